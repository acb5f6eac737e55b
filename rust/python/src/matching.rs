//! Matching of fingerprints: the bindings of `spinray-signal::matching`.

use crate::convert::{Scalar, zeros};
use crate::error::to_python;
use crate::run::run;
use numpy::{Complex32, Complex64, Element, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use spinray_core::Error;
use spinray_signal::matching::{Found, Matcher as Kernel, Rows};
use std::sync::Arc;

/// A real type whose pairs are a NumPy dtype.
trait Paired: Scalar {
    type Pair: Element;
}

impl Paired for f32 {
    type Pair = Complex32;
}

impl Paired for f64 {
    type Pair = Complex64;
}

/// A table of vectors, kept alive: rows of reals, or of (re, im) pairs.
struct Table<T> {
    #[expect(dead_code, reason = "keeps the entries alive")]
    array: Py<PyAny>,
    entries: *const T,
    count: usize,
    length: usize,
    complex: bool,
}

// SAFETY: the entries are only read, and belong to `array`, which may be held by any thread.
unsafe impl<T: Sync> Send for Table<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Table<T> {}

impl<T> AsRef<[T]> for Table<T> {
    fn as_ref(&self) -> &[T] {
        // SAFETY: `array` owns the entries; Python code does not write to arrays it has handed to a kernel.
        unsafe { std::slice::from_raw_parts(self.entries, self.count * self.length * (1 + usize::from(self.complex))) }
    }
}

impl<T: Paired> Table<T> {
    /// If the array is of this precision.
    fn of(name: &'static str, array: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let (shape, address, complex) = if let Ok(array) = array.cast::<PyArrayDyn<T>>() {
            (array.shape(), contiguous(name, array)?.cast::<T>(), false)
        } else if let Ok(array) = array.cast::<PyArrayDyn<T::Pair>>() {
            (array.shape(), contiguous(name, array)?.cast::<T>(), true)
        } else {
            return Ok(None);
        };
        let &[count, length] = shape else {
            let problem = format!("expected shape (n, length), got {} axes", shape.len());
            return Err(to_python(Error::invalid(name, problem)));
        };
        Ok(Some(Self { array: array.clone().unbind(), entries: address, count, length, complex }))
    }

    fn rows(&self) -> Rows<'_, T> {
        Rows { entries: self.as_ref(), length: self.length, complex: self.complex }
    }
}

/// Address of the first entry of a C-contiguous array.
fn contiguous<E: Element>(name: &str, array: &Bound<'_, PyArrayDyn<E>>) -> PyResult<*const E> {
    if !array.is_c_contiguous() {
        return Err(PyTypeError::new_err(format!("{name}: expected a C-contiguous array")));
    }
    Ok(array.data())
}

enum Precision {
    Single(Kernel<f32>),
    Double(Kernel<f64>),
}

/// A dictionary ready to be matched: `atoms` (n, length) real or complex, in single or double precision, of any norm
/// but zero, and not written to as long as this lives.
#[pyclass(frozen, module = "spinray._core")]
pub struct Matcher {
    kernel: Precision,
}

type Any<'py> = Bound<'py, PyAny>;

/// index, score, product, scored.
type Matches<'py> = (Bound<'py, PyArrayDyn<i64>>, Any<'py>, Any<'py>, f64);

fn find<'py, T: Paired>(
    kernel: &Kernel<T>,
    signals: &Bound<'py, PyAny>,
    top_k: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Matches<'py>> {
    let py = signals.py();
    let Some(table) = Table::<T>::of("signals", signals)? else {
        let problem = format!("signals: expected the precision of the atoms, got {}", kind(signals)?);
        return Err(PyTypeError::new_err(problem));
    };
    // The kernel refuses an absurd top_k: make no room for its results.
    let (count, columns) = (table.count, if top_k <= kernel.count() { top_k } else { 0 });
    let (index, indices) = zeros::<i64>(py, &[count, columns])?;
    let (score, scores) = zeros::<T>(py, &[count, columns])?;
    let (product, products) = zeros::<T>(py, &[count, columns, 2])?;
    let found = Found { top_k, index: indices, score: scores, product: products };
    let scored = run(py, progress, |job| kernel.find(table.rows(), found, job))?;
    let pairs = product.call_method1("view", (T::Pair::get_dtype(py),))?;
    let product = pairs.call_method1("reshape", ((count, columns),))?;
    Ok((index, score.into_any(), product, scored))
}

/// The dtype of an array, or the type of what is none.
fn kind(array: &Bound<'_, PyAny>) -> PyResult<String> {
    array.getattr("dtype").map_or_else(|_| Ok(array.get_type().name()?.to_string()), |dtype| Ok(dtype.to_string()))
}

#[pymethods]
impl Matcher {
    #[new]
    fn new(atoms: &Bound<'_, PyAny>) -> PyResult<Self> {
        macro_rules! with {
            ($t:ty, $precision:path) => {
                if let Some(table) = Table::<$t>::of("atoms", atoms)? {
                    let (length, complex) = (table.length, table.complex);
                    let kernel = run(atoms.py(), None, |job| Kernel::new(Arc::new(table), length, complex, job))?;
                    return Ok(Self { kernel: $precision(kernel) });
                }
            };
        }
        with!(f32, Precision::Single);
        with!(f64, Precision::Double);
        let wanted = "an array of float32, float64, complex64 or complex128";
        Err(PyTypeError::new_err(format!("atoms: expected {wanted}, got {}", kind(atoms)?)))
    }

    /// The `top_k` best atoms of each of `signals` (m, length), best first: index (m, top_k), score |<a, y>| / |a|,
    /// least-squares scale <a, y> / |a|^2, and the mean share of the atoms that were scored. The lowest index wins
    /// among equal scores; signals of zeros have index -1, score and scale 0.
    #[pyo3(signature = (signals, top_k = 1, progress = None))]
    fn r#match<'py>(
        &self,
        signals: &Bound<'py, PyAny>,
        top_k: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyArrayDyn<i64>>, Any<'py>, Any<'py>, f64)> {
        match &self.kernel {
            Precision::Single(kernel) => find(kernel, signals, top_k, progress),
            Precision::Double(kernel) => find(kernel, signals, top_k, progress),
        }
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Matcher>()
}
