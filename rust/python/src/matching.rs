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
    len: usize,
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
        unsafe { std::slice::from_raw_parts(self.entries, self.len) }
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
        let len = count * length * (1 + usize::from(complex));
        Ok(Some(Self { array: array.clone().unbind(), entries: address, len, length, complex }))
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
/// but zero, and not written to as long as this lives. With `full` (n, echoes), the atoms are those: whatever their
/// length, they are found through a few dimensions that the matcher chooses itself, and proven at full length.
#[pyclass(frozen, module = "spinray._core")]
pub struct Matcher {
    kernel: Precision,
    full: bool,
}

impl Matcher {
    fn find<'py, T: Paired>(
        py: Python<'py>,
        kernel: &Kernel<T>,
        signals: &Bound<'py, PyAny>,
        top_k: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Matches<'py>> {
        let Some(table) = Table::<T>::of("signals", signals)? else {
            let problem = format!("signals: expected the precision of the atoms, got {}", dtype(signals)?);
            return Err(PyTypeError::new_err(problem));
        };
        let count = table.len / table.rows().width().max(1);
        // An absurd top_k is refused by the kernel, before there is room for its results.
        let columns = if top_k <= kernel.count() { top_k } else { 0 };
        let (index, indices) = integers(py, &[count, columns])?;
        let (score, scores) = zeros::<T>(py, &[count, columns])?;
        let (product, products) = zeros::<T>(py, &[count, columns, 2])?;
        let found = Found { top_k, index: indices, score: scores, product: products };
        let scored = run(py, progress, |job| kernel.find(table.rows(), found, job))?;
        let pairs = product.call_method1("view", (T::Pair::get_dtype(py),))?;
        let product = pairs.call_method1("reshape", ((count, columns),))?;
        Ok((index, score.into_any(), product, scored))
    }
}

/// index, score, product, scored.
type Matches<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, f64);

fn dtype(array: &Bound<'_, PyAny>) -> PyResult<String> {
    array.getattr("dtype").map_or_else(|_| Ok(array.get_type().name()?.to_string()), |dtype| Ok(dtype.to_string()))
}

fn integers<'py>(py: Python<'py>, shape: &[usize; 2]) -> PyResult<(Bound<'py, PyAny>, &'py mut [i64])> {
    let zeros = py.import("numpy")?.getattr("zeros")?;
    let array = zeros.call1((shape, i64::get_dtype(py)))?.cast_into::<PyArrayDyn<i64>>()?;
    // SAFETY: freshly allocated, contiguous and not yet shared; it outlives the call through `array`.
    let entries = unsafe { std::slice::from_raw_parts_mut(array.data(), shape.iter().product()) };
    Ok((array.into_any(), entries))
}

#[pymethods]
impl Matcher {
    #[new]
    #[pyo3(signature = (atoms, residuals = None, full = None))]
    fn new(
        py: Python<'_>,
        atoms: &Bound<'_, PyAny>,
        residuals: Option<&Bound<'_, PyAny>>,
        full: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        // What the coefficients leave out, the matcher finds out for itself.
        let _ = residuals;
        let (name, given) = full.map_or(("atoms", atoms), |full| ("full", full));
        macro_rules! with {
            ($t:ty, $kind:path) => {
                if let Some(table) = Table::<$t>::of(name, given)? {
                    let (length, complex) = (table.length, table.complex);
                    let kernel = run(py, None, |job| Kernel::new(Arc::new(table), length, complex, job))?;
                    return Ok(Self { kernel: $kind(kernel), full: full.is_some() });
                }
            };
        }
        with!(f32, Precision::Single);
        with!(f64, Precision::Double);
        let wanted = "an array of float32, float64, complex64 or complex128";
        Err(PyTypeError::new_err(format!("{name}: expected {wanted}, got {}", dtype(given)?)))
    }

    /// The `top_k` best atoms of each of `signals` (m, length), best first: index (m, top_k), score |<a, y>| / |a|,
    /// least-squares scale <a, y> / |a|^2, and the mean share of the atoms that were scored. Signals of zeros have
    /// index -1. With atoms at full length, `full` are the signals; `residuals` are not needed.
    #[pyo3(signature = (signals, top_k = 1, residuals = None, full = None, progress = None))]
    #[pyo3(name = "match")]
    fn matches<'py>(
        &self,
        py: Python<'py>,
        signals: &Bound<'py, PyAny>,
        top_k: usize,
        residuals: Option<&Bound<'py, PyAny>>,
        full: Option<&Bound<'py, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Matches<'py>> {
        let _ = residuals;
        let signals = match (self.full, full) {
            (false, None) => signals,
            (true, Some(full)) => full,
            (true, None) => return Err(whole("the atoms were given at full length, so must be the signals")),
            (false, Some(_)) => return Err(whole("given for signals, but not for the atoms")),
        };
        match &self.kernel {
            Precision::Single(kernel) => Self::find(py, kernel, signals, top_k, progress),
            Precision::Double(kernel) => Self::find(py, kernel, signals, top_k, progress),
        }
    }
}

fn whole(problem: &str) -> PyErr {
    to_python(Error::invalid("full", problem))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Matcher>()
}
