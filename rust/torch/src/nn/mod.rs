//! The networks, one file each: the spec as Python passes it, and the forward pass of the twin in
//! `python/spinray/nn/reference`, layer by layer in the same order.

use crate::network::Forward;
use crate::operator::Shared;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

mod automap;
mod complex_mlp;
mod conv_autoencoder;
mod deep_pet;
mod dncnn;
mod fbpnet;
mod learn;
mod learned_primal_dual;
mod mlp;
mod modl;
mod patchgan;
mod redcnn;
mod residual_generator;
mod resnet18;
mod resnet_denoiser;
mod signal_cnn;
mod srcnn;
mod unet;
mod unrolled;
mod vnet;
mod voxelmorph;

/// The network of that name, made from its spec and the operators it computes with.
pub fn network(name: &str, spec: &Bound<'_, PyDict>, operators: Vec<Shared>) -> PyResult<Box<dyn Forward>> {
    let operator = || operators.first().cloned().ok_or_else(|| PyValueError::new_err(format!("{name}: no operator")));
    Ok(match name {
        "AUTOMAP" => Box::new(spec.extract::<automap::Automap>()?),
        "ComplexMLP" => Box::new(spec.extract::<complex_mlp::ComplexMLP>()?),
        "ConvAutoencoder" => Box::new(spec.extract::<conv_autoencoder::ConvAutoencoder>()?),
        "DeepPET" => Box::new(spec.extract::<deep_pet::DeepPET>()?),
        "DnCNN" => Box::new(spec.extract::<dncnn::DnCNN>()?),
        "FBPNet" => Box::new(fbpnet::FBPNet { backprojection: operator()? }),
        "LEARN" => Box::new(learn::Learn { spec: spec.extract()?, operator: operator()? }),
        "LearnedPrimalDual" => {
            Box::new(learned_primal_dual::LearnedPrimalDual { spec: spec.extract()?, operator: operator()? })
        }
        "MLP" => Box::new(spec.extract::<mlp::Mlp>()?),
        "MoDL" => Box::new(modl::MoDL { spec: spec.extract()?, operator: operator()? }),
        "PatchGAN" => Box::new(spec.extract::<patchgan::PatchGAN>()?),
        "REDCNN" => Box::new(redcnn::RedCnn),
        "ResidualGenerator" => Box::new(spec.extract::<residual_generator::ResidualGenerator>()?),
        "ResNet18" => Box::new(resnet18::ResNet18),
        "ResNetDenoiser" => Box::new(spec.extract::<resnet_denoiser::ResNetDenoiser>()?),
        "SignalCNN" => Box::new(spec.extract::<signal_cnn::SignalCNN>()?),
        "SRCNN" => Box::new(spec.extract::<srcnn::Srcnn>()?),
        "UNet" => Box::new(spec.extract::<unet::UNet>()?),
        "VNet" => Box::new(spec.extract::<vnet::VNet>()?),
        "VoxelMorph" => Box::new(spec.extract::<voxelmorph::VoxelMorph>()?),
        _ => return Err(PyValueError::new_err(format!("no network named {name}"))),
    })
}
