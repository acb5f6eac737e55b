//! AUTOMAP: Zhu 2018.

use crate::errors::Result;
use crate::layers::{Conv, linear};
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Automap {
    shape: [i64; 2],
}

impl Forward for Automap {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], _training: bool) -> Result<Vec<Tensor>> {
        let h = linear(p, &inputs[0])?.f_tanh()?;
        let h = linear(p, &h)?.f_tanh()?.f_unflatten(1, [1, self.shape[0], self.shape[1]])?;
        let h = Conv::same(5).forward(p, &h)?.f_relu_()?;
        let h = Conv::same(5).forward(p, &h)?.f_relu_()?;
        Ok(vec![Conv::same(7).transposed(p, &h, 0)?])
    }
}
