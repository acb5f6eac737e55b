//! Learned primal-dual reconstruction: Adler and Öktem 2018.

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
    memory: i64,
}

pub struct LearnedPrimalDual {
    pub spec: Spec,
    pub operator: Shared,
}

impl Forward for LearnedPrimalDual {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], _training: bool) -> Result<Vec<Tensor>> {
        let (y, x, memory) = (&inputs[0], &inputs[1], self.spec.memory);
        let channels = |of: &Tensor| [&[of.size()[0], memory], &of.size()[2..]].concat();
        let mut f = x.f_expand(channels(x), false)?;
        let mut h = Tensor::f_zeros(channels(y), (y.kind(), y.device()))?;
        for _ in 0..self.spec.steps {
            let projected = self.operator.forward(&f.f_narrow(1, 1.min(memory - 1), 1)?)?;
            h = h.f_add(&network(p, &[&h, &projected, y])?)?;
            let backprojected = self.operator.adjoint(&h.f_narrow(1, 0, 1)?)?;
            f = f.f_add(&network(p, &[&f, &backprojected])?)?;
        }
        Ok(vec![f.f_narrow(1, 0, 1)?])
    }
}

/// Three convolutions of what is joined along the channels, with PReLU in between.
fn network(p: &mut Parameters, inputs: &[&Tensor]) -> Result<Tensor> {
    convolutions(p, &Tensor::f_cat(inputs, 1)?, 3, |p, h| Ok(h.f_prelu(p.take()?)?))
}
