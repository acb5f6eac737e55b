//! Residual denoiser: blocks of He 2016, plan of Gong 2019.

use crate::errors::Result;
use crate::layers::{Conv, batch_norm};
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ResNetDenoiser {
    blocks: usize,
}

impl Forward for ResNetDenoiser {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], training: bool) -> Result<Vec<Tensor>> {
        let (x, conv) = (&inputs[0], Conv::same(3));
        let mut h = conv.forward(p, x)?.f_relu_()?;
        for _ in 0..self.blocks {
            h = block(p, &h, training)?;
        }
        Ok(vec![x.f_add(&conv.forward(p, &h)?)?])
    }
}

fn block(p: &mut Parameters, h: &Tensor, training: bool) -> Result<Tensor> {
    let conv = Conv::same(3).with_bias(false);
    let inner = conv.forward(p, h)?;
    let inner = batch_norm(p, &inner, training)?.f_relu_()?;
    let inner = conv.forward(p, &inner)?;
    Ok(h.f_add(&batch_norm(p, &inner, training)?)?)
}
