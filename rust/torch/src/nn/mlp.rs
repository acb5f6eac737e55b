//! Multi-layer perceptron with dropout: Srivastava 2014.

use crate::errors::Result;
use crate::layers::{activate, linear};
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Mlp {
    hidden: Vec<i64>,
    activation: String,
    dropout: f64,
    output_activation: Option<String>,
}

impl Forward for Mlp {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], training: bool) -> Result<Vec<Tensor>> {
        let mut h = inputs[0].shallow_clone();
        for _ in &self.hidden {
            h = activate(linear(p, &h)?, &self.activation)?.f_dropout(self.dropout, training)?;
        }
        let y = linear(p, &h)?;
        Ok(vec![match &self.output_activation {
            Some(name) => activate(y, name)?,
            None => y,
        }])
    }
}
