//! What unrolled networks share.

use crate::errors::Result;
use crate::layers::Conv;
use crate::parameters::Parameters;
use tch::Tensor;

/// Convolutions that keep the size, `layers` of them, with an activation in between.
pub fn convolutions(
    p: &mut Parameters,
    x: &Tensor,
    layers: usize,
    activation: impl Fn(&mut Parameters, Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut h = Conv::same(p.peek()?.size()[2]).forward(p, x)?;
    for _ in 1..layers {
        h = activation(p, h)?;
        h = Conv::same(p.peek()?.size()[2]).forward(p, &h)?;
    }
    Ok(h)
}
