//! Residual generator: Johnson 2016, Zhu 2017.

use crate::errors::Result;
use crate::layers::{Conv, normalise};
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ResidualGenerator {
    blocks: usize,
    norm: Option<String>,
}

impl Forward for ResidualGenerator {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], training: bool) -> Result<Vec<Tensor>> {
        let plain = Conv::default().with_bias(self.norm.is_none());
        let half = Conv { stride: 2, padding: 1, ..plain };
        let mut h = plain.forward(p, &mirror(&inputs[0], 3)?)?;
        h = self.norm(p, &h, training)?.f_relu_()?;
        for _ in 0..2 {
            h = half.forward(p, &h)?;
            h = self.norm(p, &h, training)?.f_relu_()?;
        }
        for _ in 0..self.blocks {
            let inner = plain.forward(p, &mirror(&h, 1)?)?;
            let inner = self.norm(p, &inner, training)?.f_relu_()?;
            let inner = plain.forward(p, &mirror(&inner, 1)?)?;
            h = h.f_add(&self.norm(p, &inner, training)?)?;
        }
        for _ in 0..2 {
            h = half.transposed(p, &h, 1)?;
            h = self.norm(p, &h, training)?.f_relu_()?;
        }
        Ok(vec![Conv::default().forward(p, &mirror(&h, 3)?)?.f_tanh()?])
    }
}

impl ResidualGenerator {
    fn norm(&self, p: &mut Parameters, h: &Tensor, training: bool) -> Result<Tensor> {
        normalise(p, h, self.norm.as_deref(), training)
    }
}

/// The image with its borders mirrored, by that many pixels.
fn mirror(x: &Tensor, width: i64) -> Result<Tensor> {
    Ok(x.f_reflection_pad2d([width; 4])?)
}
