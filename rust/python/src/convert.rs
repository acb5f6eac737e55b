//! NumPy arrays at the border. Python has already made them C-contiguous and float32 or float64.

use numpy::{Element, PyArrayDyn, PyArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use spinray_core::simd::Real;

/// A real number that is also a NumPy dtype.
pub trait Scalar: Real + Element {}
impl Scalar for f32 {}
impl Scalar for f64 {}

/// The entries of a C-contiguous array, borrowed for as long as the array is.
///
/// The array must not be written while the slice lives; bindings hold it only for the duration of one call.
pub fn entries<'a, T: Scalar>(array: &'a Bound<'_, PyArrayDyn<T>>) -> PyResult<&'a [T]> {
    // SAFETY: Python code does not write to arrays it has handed to a kernel.
    unsafe { array.as_slice() }.map_err(|_| PyTypeError::new_err("expected a C-contiguous array"))
}

/// A new array of zeros, and its entries to be written before anyone else sees it.
pub fn zeros<'py, T: Element>(py: Python<'py>, shape: &[usize]) -> PyResult<(Bound<'py, PyArrayDyn<T>>, &'py mut [T])> {
    // By way of Python: `PyArray::zeros` panics where memory does not suffice.
    let zeros = py.import("numpy")?.getattr("zeros")?;
    let array = zeros.call1((shape, T::get_dtype(py)))?.cast_into::<PyArrayDyn<T>>()?;
    // SAFETY: freshly allocated, contiguous and not yet shared; it outlives the call through `array`.
    let entries = unsafe { std::slice::from_raw_parts_mut(array.data(), shape.iter().product()) };
    Ok((array, entries))
}

/// Calls a generic function with the array downcast to float32 or float64.
macro_rules! by_dtype {
    ($array:expr, |$x:ident| $call:expr) => {
        if let Ok($x) = $array.cast::<numpy::PyArrayDyn<f32>>() {
            Ok($call?.into_any())
        } else if let Ok($x) = $array.cast::<numpy::PyArrayDyn<f64>>() {
            Ok($call?.into_any())
        } else {
            Err(pyo3::exceptions::PyTypeError::new_err("expected a float32 or float64 array"))
        }
    };
}
pub(crate) use by_dtype;
