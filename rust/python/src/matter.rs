//! Materials: the bindings of `spinray_transport::matter`.

use crate::error::to_python;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use spinray_core::Error;
use spinray_transport::matter::{Kind, Material, element};

/// How Python hands a material over: name, density in g/cm3, and pairs of atomic number and fraction by weight.
pub type Mixture = (String, f64, Vec<(u8, f64)>);

/// The kernel's material.
pub fn material((name, density, parts): Mixture) -> PyResult<Material> {
    Material::new(name, density, parts).map_err(to_python)
}

fn kind_of(name: &str) -> PyResult<Kind> {
    match name {
        "total" => Ok(Kind::Total),
        "photo" => Ok(Kind::Photo),
        "compton" => Ok(Kind::Compton),
        "rayleigh" => Ok(Kind::Rayleigh),
        "pair" => Ok(Kind::Pair),
        "energy_transfer" => Ok(Kind::EnergyTransfer),
        "energy_absorption" => Ok(Kind::EnergyAbsorption),
        _ => Err(to_python(Error::invalid("kind", format!("expected the name of a process, got {name:?}")))),
    }
}

/// Mass attenuation coefficients in cm2/g at energies in keV.
#[pyfunction]
fn mass_attenuation<'py>(
    py: Python<'py>,
    mixture: Mixture,
    kind: &str,
    energies: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (matter, kind) = (material(mixture)?, kind_of(kind)?);
    let values: Vec<f64> = energies.as_slice()?.iter().map(|&e| matter.mass_attenuation(kind, e)).collect();
    Ok(values.into_pyarray(py))
}

/// Absorption edges of a material in keV, from 1 keV on, in order.
#[pyfunction]
fn absorption_edges(mixture: Mixture) -> PyResult<Vec<f64>> {
    Ok(material(mixture)?.edges())
}

/// Atomic weights in g/mol, from hydrogen on.
#[pyfunction]
fn atomic_weights() -> Vec<f64> {
    (1..=element::LARGEST_Z).map(|z| element::element(z).weight).collect()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(absorption_edges, module)?)?;
    module.add_function(wrap_pyfunction!(atomic_weights, module)?)?;
    module.add_function(wrap_pyfunction!(mass_attenuation, module)?)?;
    Ok(())
}
