//! Convolutional auto-encoder: Masci 2011.

use crate::errors::Result;
use crate::layers::{Conv, max_pool};
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ConvAutoencoder {
    levels: usize,
}

impl Forward for ConvAutoencoder {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], _training: bool) -> Result<Vec<Tensor>> {
        let mut h = inputs[0].shallow_clone();
        for _ in 0..self.levels {
            h = max_pool(&Conv::same(3).forward(p, &h)?.f_relu_()?, 2)?;
        }
        h = Conv::default().forward(p, &h)?;
        for _ in 0..self.levels {
            h = Conv { stride: 2, ..Conv::default() }.transposed(p, &h, 0)?.f_relu_()?;
        }
        Ok(vec![Conv::same(3).forward(p, &h)?])
    }
}
