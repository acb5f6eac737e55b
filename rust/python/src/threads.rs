//! Threads, dispatch and random numbers: the bindings of `spinray-core`.

use crate::convert::{Scalar, entries};
use crate::error::to_python;
use crate::run::run;
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyReadonlyArray1};
use pyo3::prelude::*;
use rayon::prelude::*;
use spinray_core::philox::Stream;
use spinray_core::{finite, pool, simd};

/// Number of threads kernels use in this process.
#[pyfunction]
fn num_threads() -> PyResult<usize> {
    Ok(pool::pool().map_err(to_python)?.current_num_threads())
}

/// Sets the number of threads kernels use in this process.
#[pyfunction]
fn set_num_threads(n: usize) -> PyResult<()> {
    pool::set_threads(n).map_err(to_python)
}

/// Whether this process was forked from the one that loaded the library.
#[pyfunction]
fn is_forked_child() -> bool {
    pool::is_forked_child()
}

/// The instruction set in use: "avx512", "avx2" or "portable".
#[pyfunction]
fn simd_level() -> &'static str {
    simd::level().name()
}

/// Whether no entry of a real array is NaN or infinite.
#[pyfunction]
fn all_finite(py: Python<'_>, values: &Bound<'_, PyAny>) -> PyResult<bool> {
    fn every<T: Scalar>(py: Python<'_>, values: &Bound<'_, PyArrayDyn<T>>) -> PyResult<bool> {
        let values = entries(values)?;
        if values.len() <= finite::BLOCK {
            return Ok(finite::all_finite(values));
        }
        run(py, None, |_| Ok(finite::all_finite(values)))
    }
    match values.cast::<PyArrayDyn<f32>>() {
        Ok(values) => every(py, values),
        Err(_) => every(py, values.cast::<PyArrayDyn<f64>>()?),
    }
}

/// Draws sample i of a stream keyed by (seed, first + i) for every mean.
fn draw<'py>(
    py: Python<'py>,
    parameters: PyReadonlyArray1<'py, f64>,
    seed: u64,
    first: u64,
    sample: fn(&mut Stream, f64) -> f64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let parameters = parameters.as_slice()?;
    let mut out = vec![0.0; parameters.len()];
    const CHUNK: usize = 1 << 14;
    run(py, None, |job| {
        let pieces = out.par_chunks_mut(CHUNK).zip(parameters.par_chunks(CHUNK)).enumerate();
        job.for_each(pieces, |(k, (out, parameters))| {
            for (i, (out, &parameter)) in out.iter_mut().zip(parameters).enumerate() {
                *out = sample(&mut Stream::new(seed, first + (k * CHUNK + i) as u64), parameter);
            }
        })
    })?;
    Ok(out.into_pyarray(py))
}

/// Poisson samples with the given means: sample i depends on (seed, first + i) alone.
#[pyfunction]
#[pyo3(signature = (means, seed, first = 0))]
fn poisson<'py>(
    py: Python<'py>,
    means: PyReadonlyArray1<'py, f64>,
    seed: u64,
    first: u64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    draw(py, means, seed, first, |stream, mean| stream.poisson(mean))
}

/// Normal samples with the given standard deviations: sample i depends on (seed, first + i) alone.
#[pyfunction]
#[pyo3(signature = (sigmas, seed, first = 0))]
fn normal<'py>(
    py: Python<'py>,
    sigmas: PyReadonlyArray1<'py, f64>,
    seed: u64,
    first: u64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    draw(py, sigmas, seed, first, |stream, sigma| sigma * stream.normal())
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(set_num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(is_forked_child, module)?)?;
    module.add_function(wrap_pyfunction!(simd_level, module)?)?;
    module.add_function(wrap_pyfunction!(all_finite, module)?)?;
    module.add_function(wrap_pyfunction!(poisson, module)?)?;
    module.add_function(wrap_pyfunction!(normal, module)?)?;
    Ok(())
}
