//! MoDL, a denoiser and a data-consistency solve in turn: Aggarwal 2019.

use super::unrolled::convolutions;
use crate::errors::Result;
use crate::network::Forward;
use crate::operator::Shared;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::{Kind, Tensor};

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Spec {
    steps: usize,
    layers: usize,
    cg_steps: usize,
}

pub struct MoDL {
    pub spec: Spec,
    pub operator: Shared,
}

impl Forward for MoDL {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], _training: bool) -> Result<Vec<Tensor>> {
        let (y, mut x) = (&inputs[0], inputs[1].shallow_clone());
        let weight = p.take()?.f_exp()?;
        let denoiser = p.position();
        for _ in 0..self.spec.steps {
            p.rewind(denoiser);
            let z = x.f_sub(&convolutions(p, &x, self.spec.layers, |_, mut h| Ok(h.f_relu_()?))?)?;
            let residual = y.f_sub(&self.operator.forward(&z)?)?;
            x = z.f_add(&self.solve(self.operator.adjoint(&residual)?, &weight)?)?;
        }
        Ok(vec![x])
    }
}

impl MoDL {
    /// Solves (A'A + weight) x = b by conjugate gradients, each image of the batch by itself; one whose residual has
    /// fallen to rounding stays as it is.
    fn solve(&self, b: Tensor, weight: &Tensor) -> Result<Tensor> {
        let (mut x, mut r, mut p) = (b.f_zeros_like()?, b.shallow_clone(), b);
        let mut rr = dot(&r, &r)?;
        let epsilon = if rr.kind() == Kind::Double { f64::EPSILON } else { f32::EPSILON.into() };
        let done = rr.f_detach()?.f_mul_scalar(epsilon * epsilon)?;
        for _ in 0..self.spec.cg_steps {
            let going = rr.f_detach()?.f_gt_tensor(&done)?;
            let q = self.operator.adjoint(&self.operator.forward(&p)?)?.f_add(&weight.f_mul(&p)?)?;
            let alpha = ratio(&rr, &dot(&p, &q)?, &going)?;
            x = x.f_add(&alpha.f_mul(&p)?)?;
            r = r.f_sub(&alpha.f_mul(&q)?)?;
            let before = std::mem::replace(&mut rr, dot(&r, &r)?);
            p = r.f_add(&ratio(&rr, &before, &going)?.f_mul(&p)?)?;
        }
        Ok(x)
    }
}

/// Products of the images of two batches, with dimensions to multiply images by.
fn dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let axes: Vec<i64> = (1..a.dim() as i64).collect();
    Ok(a.f_mul(b)?.f_sum_dim_intlist(&axes[..], true, None::<Kind>)?)
}

/// a / b; elsewhere 0, with no gradient.
fn ratio(a: &Tensor, b: &Tensor, place: &Tensor) -> Result<Tensor> {
    Ok(a.f_where_scalarother(place, 0.0)?.f_div(&b.f_where_scalarother(place, 1.0)?)?)
}
