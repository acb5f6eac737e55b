//! Convolutional network for signals: Hoppe 2017.

use crate::errors::Result;
use crate::layers::{Conv, batch_norm, linear, max_pool};
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct SignalCNN {
    features: Vec<i64>,
    kernel: i64,
    bins: i64,
    dropout: f64,
}

impl Forward for SignalCNN {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], training: bool) -> Result<Vec<Tensor>> {
        let mut h = inputs[0].shallow_clone();
        for _ in &self.features {
            h = Conv::same(self.kernel).with_bias(false).forward(p, &h)?;
            h = max_pool(&batch_norm(p, &h, training)?.f_relu_()?, 2)?;
        }
        let h = h.f_adaptive_avg_pool1d(self.bins)?.f_flatten(1, -1)?.f_dropout(self.dropout, training)?;
        Ok(vec![linear(p, &h)?])
    }
}
