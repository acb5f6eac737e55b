//! `spinray._torch`: networks as pure functions of (spec, weights and buffers, inputs, training) on LibTorch.
//!
//! Python owns the weights and hands them over at each call, in the order of the state dict; what comes back is part
//! of the autograd graph like the output of any torch function. Layers are built on tch's fallible calls, so that bad
//! input is a one-line exception. torch must be imported before this module.

use pyo3::prelude::*;

mod errors;
mod layers;
mod network;
mod nn;
mod operator;
mod parameters;
mod tensors;

#[pymodule]
fn _torch(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<network::Network>()?;
    operator::register(module)
}
