//! U-Net: Ronneberger 2015; residual (FBPConvNet): Jin 2017; attention gates: Oktay 2018.

use crate::errors::Result;
use crate::layers::{Conv, channels_last, leaky_relu, max_pool, normalise};
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct UNet {
    levels: usize,
    norm: Option<String>,
    slope: f64,
    residual: bool,
    attention: bool,
}

impl Forward for UNet {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], training: bool) -> Result<Vec<Tensor>> {
        let x = &inputs[0];
        let mut skips = Vec::with_capacity(self.levels);
        let mut h = self.block(p, x, training)?;
        for _ in 0..self.levels {
            let pooled = max_pool(&h, 2)?;
            skips.push(h);
            h = self.block(p, &pooled, training)?;
        }
        while let Some(skip) = skips.pop() {
            h = self.up(p, &h, skip, training)?;
        }
        let y = Conv::default().forward(p, &h)?.f_contiguous()?;
        Ok(vec![if self.residual { y.f_add(&x.f_narrow(1, 0, y.size()[1])?)? } else { y }])
    }
}

impl UNet {
    /// Two convolutions, each with normalisation and ReLU.
    fn block(&self, p: &mut Parameters, x: &Tensor, training: bool) -> Result<Tensor> {
        let conv = Conv::same(3).with_bias(self.norm.is_none());
        let h = channels_last(&conv.forward(p, x)?)?;
        let h = leaky_relu(normalise(p, &h, self.norm.as_deref(), training)?, self.slope)?;
        let h = conv.forward(p, &h)?;
        leaky_relu(normalise(p, &h, self.norm.as_deref(), training)?, self.slope)
    }

    /// From a level to the one above, with its skip.
    fn up(&self, p: &mut Parameters, h: &Tensor, skip: Tensor, training: bool) -> Result<Tensor> {
        let h = Conv { stride: 2, ..Conv::default() }.transposed(p, h, 0)?;
        let skip = if self.attention { gate(p, &skip, &h)? } else { skip };
        let joined = Tensor::f_cat(&[skip, h], 1)?;
        self.block(p, &joined, training)
    }
}

/// Additive attention: skip * sigmoid(w . relu(a skip + b h)).
fn gate(p: &mut Parameters, skip: &Tensor, h: &Tensor) -> Result<Tensor> {
    let (conv, no_bias) = (Conv::default(), Conv::default().with_bias(false));
    let sum = conv.forward(p, skip)?.f_add(&no_bias.forward(p, h)?)?;
    Ok(skip.f_mul(&conv.forward(p, &sum.f_relu()?)?.f_sigmoid()?)?)
}
