//! Critic of patches: Isola 2017.

use crate::errors::Result;
use crate::layers::{Conv, leaky_relu, normalise};
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

const SLOPE: f64 = 0.2;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct PatchGAN {
    layers: usize,
    norm: Option<String>,
}

impl Forward for PatchGAN {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], training: bool) -> Result<Vec<Tensor>> {
        let conv = |stride, bias| Conv { stride, padding: 1, bias };
        let mut h = leaky_relu(conv(2, true).forward(p, &inputs[0])?, SLOPE)?;
        for layer in 1..=self.layers {
            let stride = if layer < self.layers { 2 } else { 1 };
            h = conv(stride, self.norm.is_none()).forward(p, &h)?;
            h = leaky_relu(normalise(p, &h, self.norm.as_deref(), training)?, SLOPE)?;
        }
        Ok(vec![conv(1, true).forward(p, &h)?])
    }
}
