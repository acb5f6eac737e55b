//! The networks, one file each: the spec as Python passes it, and the forward pass of the twin in
//! `python/spinray/nn/reference`, layer by layer in the same order.

use crate::network::Forward;
use crate::operator::Shared;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

mod unet;

/// The network of that name, made from its spec and the operators it computes with.
pub fn network(name: &str, spec: &Bound<'_, PyDict>, _operators: Vec<Shared>) -> PyResult<Box<dyn Forward>> {
    Ok(match name {
        "UNet" => Box::new(spec.extract::<unet::UNet>()?),
        _ => return Err(PyValueError::new_err(format!("no network named {name}"))),
    })
}
