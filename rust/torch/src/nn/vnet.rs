//! V-Net: Milletari 2016.

use crate::errors::Result;
use crate::layers::{Conv, normalise, prelu};
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct VNet {
    levels: usize,
    norm: Option<String>,
}

impl Forward for VNet {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], training: bool) -> Result<Vec<Tensor>> {
        let half = Conv { stride: 2, ..Conv::default() };
        let mut skips = Vec::with_capacity(self.levels);
        let mut h = self.stage(p, &inputs[0], 0, training)?;
        for level in 1..=self.levels {
            let down = half.forward(p, &h)?;
            skips.push(h);
            let down = self.end(p, &down, training)?;
            h = self.stage(p, &down, level, training)?;
        }
        for level in (0..self.levels).rev() {
            let up = half.transposed(p, &h, 0)?;
            let up = self.end(p, &up, training)?;
            let joined = Tensor::f_cat(&[up, skips.swap_remove(level)], 1)?;
            h = self.stage(p, &joined, level, training)?;
        }
        Ok(vec![Conv::default().forward(p, &h)?])
    }
}

impl VNet {
    /// What follows a convolution.
    fn end(&self, p: &mut Parameters, h: &Tensor, training: bool) -> Result<Tensor> {
        let h = normalise(p, h, self.norm.as_deref(), training)?;
        prelu(p, &h)
    }

    /// Convolutions of a level, to the last of which (copies of) the input are added before its PReLU.
    fn stage(&self, p: &mut Parameters, x: &Tensor, level: usize, training: bool) -> Result<Tensor> {
        let (conv, convolutions) = (Conv::same(5), (level + 1).min(3));
        let mut h = conv.forward(p, x)?;
        for _ in 1..convolutions {
            h = self.end(p, &h, training)?;
            h = conv.forward(p, &h)?;
        }
        let h = normalise(p, &h, self.norm.as_deref(), training)?;
        let copies = h.size()[1] / x.size()[1];
        let sum = if copies == 1 { h.f_add(x)? } else { h.f_add(&Tensor::f_cat(&vec![x; copies as usize], 1)?)? };
        prelu(p, &sum)
    }
}
