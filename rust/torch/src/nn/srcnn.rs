//! Three convolutions: Dong 2016.

use crate::errors::Result;
use crate::layers::Conv;
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Srcnn {
    kernels: [i64; 3],
}

impl Forward for Srcnn {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], _training: bool) -> Result<Vec<Tensor>> {
        let [first, second, third] = self.kernels;
        let h = Conv::same(first).forward(p, &inputs[0])?.f_relu_()?;
        let h = Conv::same(second).forward(p, &h)?.f_relu_()?;
        Ok(vec![Conv::same(third).forward(p, &h)?])
    }
}
