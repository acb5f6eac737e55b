//! Proximal maps: the bindings of `spinray-prox`.

use crate::convert::{Scalar, entries};
use crate::run::run;
use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use rayon::prelude::*;
use spinray_core::Error;
use spinray_prox::tv::{self, Duals, Extent, Outcome, Stop, TotalVariation};

type Array<'py, T> = Bound<'py, PyArrayDyn<T>>;

/// The arrays of one call, all of one dtype.
struct Arrays<'a, 'py, T: Scalar> {
    images: &'a Array<'py, T>,
    newest: &'a Array<'py, T>,
    spare: &'a Array<'py, T>,
    out: &'a Array<'py, T>,
    warm: bool,
}

/// The largest count and gap of a batch.
fn worst(outcomes: &[Outcome]) -> (usize, f64) {
    let n_iter = outcomes.iter().map(|o| o.n_iter).max().unwrap_or(0);
    let gaps = outcomes.iter().map(|o| o.relative_gap);
    (n_iter, gaps.fold(0.0, |a: f64, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }))
}

/// Extent of the images of a batch (n, y, x) or (n, z, y, x).
fn extent(shape: &[usize]) -> PyResult<Extent> {
    Extent::new(shape.get(1..).unwrap_or_default()).map_err(crate::error::to_python)
}

fn prox_of<T: Scalar>(
    py: Python<'_>,
    arrays: &Arrays<'_, '_, T>,
    tv: TotalVariation,
    stop: Stop,
) -> PyResult<(usize, f64)> {
    let extent = extent(arrays.images.shape())?;
    let count = arrays.images.shape()[0];
    let dual_len = count * extent.dual_len();
    if arrays.newest.len() != dual_len || arrays.spare.len() != dual_len || arrays.out.len() != arrays.images.len() {
        return Err(PyValueError::new_err(format!("duals: images of this shape need {dual_len} entries each")));
    }
    let (mut newest, mut spare, mut out) =
        (arrays.newest.try_readwrite()?, arrays.spare.try_readwrite()?, arrays.out.try_readwrite()?);
    let (newest, spare, out) = (newest.as_slice_mut()?, spare.as_slice_mut()?, out.as_slice_mut()?);
    let (v, warm) = (entries(arrays.images)?, arrays.warm);
    let outcomes = run(py, None, |job| {
        let (voxels, dual_len) = (extent.voxels(), extent.dual_len());
        let images = (v.par_chunks(voxels), out.par_chunks_mut(voxels));
        let duals = (newest.par_chunks_mut(dual_len), spare.par_chunks_mut(dual_len));
        (images, duals)
            .into_par_iter()
            .map(|((v, out), (newest, spare))| {
                tv::prox(v, &extent, &tv, &stop, Duals { newest, spare, warm }, out, job)
            })
            .collect::<Result<Vec<_>, Error>>()
    })?;
    Ok(worst(&outcomes))
}

/// Writes the proximal map of `weight` TV of each image of a batch (n, y, x) or (n, z, y, x) to `out`. `duals` =
/// (newest, spare, warm): room that is kept from call to call, and whether it holds a start; `functional` =
/// (weight, scale along z, y, x, bounds). Returns (iterations, relative duality gap or nan).
#[pyfunction]
#[pyo3(signature = (images, duals, out, functional, n_iter, tolerance = None))]
fn tv_prox<'py>(
    py: Python<'py>,
    images: &Bound<'py, PyAny>,
    duals: (Bound<'py, PyAny>, Bound<'py, PyAny>, bool),
    out: &Bound<'py, PyAny>,
    functional: (f64, [f64; 3], (f64, f64)),
    n_iter: usize,
    tolerance: Option<f64>,
) -> PyResult<(usize, f64)> {
    let (weight, scale, bounds) = functional;
    let (tv, stop) = (TotalVariation { weight, scale, bounds }, Stop { n_iter, tolerance });
    macro_rules! with {
        ($t:ty) => {
            if let (Ok(images), Ok(newest), Ok(spare), Ok(out)) = (
                images.cast::<PyArrayDyn<$t>>(),
                duals.0.cast::<PyArrayDyn<$t>>(),
                duals.1.cast::<PyArrayDyn<$t>>(),
                out.cast::<PyArrayDyn<$t>>(),
            ) {
                return prox_of(py, &Arrays { images, newest, spare, out, warm: duals.2 }, tv, stop);
            }
        };
    }
    with!(f32);
    with!(f64);
    Err(PyTypeError::new_err("expected arrays that are all float32 or all float64"))
}

fn values_of<T: Scalar>(py: Python<'_>, images: &Array<'_, T>, tv: TotalVariation) -> PyResult<Vec<f64>> {
    let extent = extent(images.shape())?;
    let x = entries(images)?;
    run(py, None, |job| x.par_chunks(extent.voxels()).map(|x| tv::value(x, &extent, &tv, job)).collect())
}

/// `weight` TV of each image of a batch (n, y, x) or (n, z, y, x), summed in double.
#[pyfunction]
fn tv_value(py: Python<'_>, images: &Bound<'_, PyAny>, weight: f64, scale: [f64; 3]) -> PyResult<Vec<f64>> {
    let tv = TotalVariation { scale, ..TotalVariation::new(weight) };
    if let Ok(images) = images.cast::<PyArrayDyn<f32>>() {
        values_of(py, images, tv)
    } else if let Ok(images) = images.cast::<PyArrayDyn<f64>>() {
        values_of(py, images, tv)
    } else {
        Err(PyTypeError::new_err("expected a float32 or float64 array"))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(tv_prox, module)?)?;
    module.add_function(wrap_pyfunction!(tv_value, module)?)?;
    Ok(())
}
