//! DeepPET: Häggström 2019.

use crate::errors::Result;
use crate::layers::{Conv, batch_norm};
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct DeepPET {
    out_shape: [i64; 2],
    levels: usize,
}

impl Forward for DeepPET {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], training: bool) -> Result<Vec<Tensor>> {
        let mut h = convolution(p, &inputs[0], 7, 1, training)?;
        for level in 1..=self.levels + 1 {
            let kernel = match level {
                1 => 7,
                2 | 3 => 5,
                _ => 3,
            };
            h = stage(p, &h, kernel, if level <= self.levels { 2 } else { 1 }, training)?;
        }
        let bottom = h.size();
        for step in 1..=self.levels {
            let size = [self.size(bottom[2], 0, step), self.size(bottom[3], 1, step)];
            h = stage(p, &h.f_upsample_bilinear2d(size, false, None, None)?, 3, 1, training)?;
        }
        Ok(vec![Conv::same(3).forward(p, &h)?])
    }
}

impl DeepPET {
    /// Size along an axis after that many enlargements by equal factors.
    fn size(&self, bottom: i64, axis: usize, step: usize) -> i64 {
        let (a, b) = (bottom as f64, self.out_shape[axis] as f64);
        (a * (b / a).powf(step as f64 / self.levels as f64) + 0.5) as i64
    }
}

/// A convolution with normalisation and ReLU.
fn convolution(p: &mut Parameters, x: &Tensor, kernel: i64, stride: i64, training: bool) -> Result<Tensor> {
    let h = Conv { stride, ..Conv::same(kernel).with_bias(false) }.forward(p, x)?;
    Ok(batch_norm(p, &h, training)?.f_relu_()?)
}

/// Four convolutions, of which the first changes channels and size.
fn stage(p: &mut Parameters, x: &Tensor, kernel: i64, stride: i64, training: bool) -> Result<Tensor> {
    let mut h = convolution(p, x, kernel, stride, training)?;
    for _ in 0..3 {
        h = convolution(p, &h, 3, 1, training)?;
    }
    Ok(h)
}
