//! Complex multi-layer perceptron with cardioid activation: Virtue 2017.

use crate::errors::Result;
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::{Kind, Tensor};

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ComplexMLP {
    hidden: Vec<i64>,
}

impl Forward for ComplexMLP {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], _training: bool) -> Result<Vec<Tensor>> {
        let mut h = inputs[0].shallow_clone();
        for _ in &self.hidden {
            h = cardioid(&linear(p, &h)?)?;
        }
        Ok(vec![linear(p, &h)?])
    }
}

/// Weights and bias are pairs of real numbers along the last axis.
fn linear(p: &mut Parameters, x: &Tensor) -> Result<Tensor> {
    let (weight, bias) = (p.take()?.f_view_as_complex()?, p.take()?.f_view_as_complex()?);
    Ok(x.f_linear(&weight, Some(&bias))?)
}

/// (1 + cos(arg z)) z / 2, equation 4; zero where z is zero.
fn cardioid(z: &Tensor) -> Result<Tensor> {
    let tiny = if z.kind() == Kind::ComplexDouble { f64::MIN_POSITIVE } else { f32::MIN_POSITIVE.into() };
    let modulus = z.f_abs()?.f_clamp_min(tiny)?;
    let cosine = z.f_real()?.f_div(&modulus)?;
    Ok(z.f_mul(&cosine.f_add_scalar(1)?.f_mul_scalar(0.5)?)?)
}
