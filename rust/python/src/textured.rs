//! Random anatomy: the bindings of `spinray-phantom`.

use crate::convert::zeros;
use crate::error::to_python;
use crate::run::run;
use numpy::PyArrayDyn;
use pyo3::prelude::*;
use spinray_phantom::tissue::TISSUES;
use spinray_phantom::{Extent, Family, textured};

type Images<'py> = (Bound<'py, PyArrayDyn<f32>>, Bound<'py, PyArrayDyn<u8>>);

/// Phantoms `first` to `first + count - 1` of a family: attenuation in 1/mm and labels, each (count, z, y, x).
#[pyfunction]
fn textured_phantoms<'py>(
    py: Python<'py>,
    family: &str,
    count: usize,
    shape: [usize; 3],
    spacing: [f64; 3],
    seed: u64,
    first: u64,
) -> PyResult<Images<'py>> {
    let family = Family::of(family).map_err(to_python)?;
    let extent = Extent::new(shape, spacing).map_err(to_python)?;
    let all = [count, shape[0], shape[1], shape[2]];
    let (attenuation, voxels) = zeros::<f32>(py, &all)?;
    let (labels, marks) = zeros::<u8>(py, &all)?;
    run(py, None, |job| textured(family, &extent, (seed, first), voxels, marks, job))?;
    Ok((attenuation, labels))
}

/// Name, least and largest mean attenuation in 1/mm of each label.
#[pyfunction]
fn textured_tissues() -> Vec<(String, f32, f32)> {
    TISSUES.iter().map(|tissue| (tissue.name.to_string(), tissue.range[0], tissue.range[1])).collect()
}

/// Name and field of view in mm of each family.
#[pyfunction]
fn textured_families() -> Vec<(String, f64)> {
    Family::ALL.iter().map(|(name, _, field_of_view)| (name.to_string(), *field_of_view)).collect()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(textured_phantoms, module)?)?;
    module.add_function(wrap_pyfunction!(textured_tissues, module)?)?;
    module.add_function(wrap_pyfunction!(textured_families, module)?)?;
    Ok(())
}
