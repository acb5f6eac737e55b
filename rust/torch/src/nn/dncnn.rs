//! DnCNN: Zhang 2017.

use crate::errors::Result;
use crate::layers::{Conv, batch_norm, channels_last};
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct DnCNN {
    depth: usize,
}

impl Forward for DnCNN {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], training: bool) -> Result<Vec<Tensor>> {
        let (x, conv) = (&inputs[0], Conv::same(3));
        let mut h = channels_last(&conv.forward(p, x)?)?.f_relu_()?;
        for _ in 2..self.depth {
            h = conv.with_bias(false).forward(p, &h)?;
            h = batch_norm(p, &h, training)?.f_relu_()?;
        }
        Ok(vec![x.f_sub(&conv.forward(p, &h)?)?])
    }
}
