//! RED-CNN: Chen 2017.

use crate::errors::Result;
use crate::layers::Conv;
use crate::network::Forward;
use crate::parameters::Parameters;
use tch::Tensor;

/// Convolutions, and as many transposed ones.
const DEPTH: usize = 5;

pub struct RedCnn;

impl Forward for RedCnn {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], _training: bool) -> Result<Vec<Tensor>> {
        let conv = Conv::default();
        let mut h = inputs[0].shallow_clone();
        let mut skips = Vec::new();
        for layer in 0..DEPTH {
            if layer % 2 == 0 {
                skips.push(h.shallow_clone());
            }
            h = conv.forward(p, &h)?.f_relu_()?;
        }
        for layer in 0..DEPTH {
            h = conv.transposed(p, &h, 0)?;
            if layer % 2 == 0
                && let Some(skip) = skips.pop()
            {
                h = h.f_add(&skip)?;
            }
            h = h.f_relu_()?;
        }
        Ok(vec![h])
    }
}
