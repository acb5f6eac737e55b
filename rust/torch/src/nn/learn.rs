//! LEARN, gradient steps with a learned regulariser: Chen 2018.

use super::unrolled::convolutions;
use crate::errors::Result;
use crate::network::Forward;
use crate::operator::Shared;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Spec {
    steps: usize,
}

pub struct Learn {
    pub spec: Spec,
    pub operator: Shared,
}

impl Forward for Learn {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], _training: bool) -> Result<Vec<Tensor>> {
        let (y, mut x) = (&inputs[0], inputs[1].shallow_clone());
        for _ in 0..self.spec.steps {
            let rate = p.take()?;
            let gradient = self.operator.adjoint(&self.operator.forward(&x)?.f_sub(y)?)?;
            let regulariser = convolutions(p, &x, 3, |_, mut h| Ok(h.f_relu_()?))?;
            x = x.f_sub(&rate.f_mul(&gradient)?)?.f_sub(&regulariser)?;
        }
        Ok(vec![x])
    }
}
