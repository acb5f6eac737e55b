//! Layers: each takes its weights from the cursor in the order in which torch's module of that name registers them.

use crate::errors::{Error, Result};
use crate::parameters::Parameters;
use tch::Tensor;

/// Share of the running statistics that a batch replaces, and what keeps the variance off zero: torch's defaults.
const MOMENTUM: f64 = 0.1;
const EPSILON: f64 = 1e-5;

/// Stride and padding of a convolution, the same along every axis, and whether it has a bias.
#[derive(Clone, Copy)]
pub struct Conv {
    pub stride: i64,
    pub padding: i64,
    pub bias: bool,
}

impl Default for Conv {
    fn default() -> Self {
        Self { stride: 1, padding: 0, bias: true }
    }
}

impl Conv {
    /// A convolution that keeps the size, for kernels of that odd width.
    pub fn same(kernel: i64) -> Self {
        Self { padding: kernel / 2, ..Self::default() }
    }

    /// Without a bias where `bias` is false.
    pub fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// Convolution in one, two or three dimensions, as many as the weight has.
    pub fn forward(self, p: &mut Parameters, x: &Tensor) -> Result<Tensor> {
        let weight = p.take()?;
        let bias = if self.bias { Some(p.take()?) } else { None };
        let dim = space(weight)?;
        let (stride, padding, dilation) = (&[self.stride; 3][..dim], &[self.padding; 3][..dim], &[1; 3][..dim]);
        // One call for each number of dimensions, since autocast knows these and not the general convolution.
        Ok(match dim {
            1 => x.f_conv1d(weight, bias, stride, padding, dilation, 1)?,
            2 => x.f_conv2d(weight, bias, stride, padding, dilation, 1)?,
            _ => x.f_conv3d(weight, bias, stride, padding, dilation, 1)?,
        })
    }

    /// Transposed convolution; `output_padding` is torch's.
    pub fn transposed(self, p: &mut Parameters, x: &Tensor, output_padding: i64) -> Result<Tensor> {
        let weight = p.take()?;
        let bias = if self.bias { Some(p.take()?) } else { None };
        let dim = space(weight)?;
        let (stride, padding, dilation) = (&[self.stride; 3][..dim], &[self.padding; 3][..dim], &[1; 3][..dim]);
        let extra = &[output_padding; 3][..dim];
        Ok(match dim {
            1 => x.f_conv_transpose1d(weight, bias, stride, padding, extra, 1, dilation)?,
            2 => x.f_conv_transpose2d(weight, bias, stride, padding, extra, 1, dilation)?,
            _ => x.f_conv_transpose3d(weight, bias, stride, padding, extra, 1, dilation)?,
        })
    }
}

/// Space dimensions of a weight or an image: all but the first two.
fn space(tensor: &Tensor) -> Result<usize> {
    match tensor.dim() {
        n @ 3..=5 => Ok(n - 2),
        n => Err(Error::Input(format!("expected a tensor of 3 to 5 dimensions, got {n}"))),
    }
}

/// Fully connected layer.
pub fn linear(p: &mut Parameters, x: &Tensor) -> Result<Tensor> {
    let (weight, bias) = (p.take()?, p.take()?);
    Ok(x.f_linear(weight, Some(bias))?)
}

/// Batch normalisation with running statistics.
pub fn batch_norm(p: &mut Parameters, x: &Tensor, training: bool) -> Result<Tensor> {
    let (weight, bias, mean, variance, batches) = (p.take()?, p.take()?, p.take()?, p.take()?, p.take()?);
    if training {
        let _ = batches.shallow_clone().f_add_scalar_(1)?;
    }
    Ok(x.f_batch_norm(Some(weight), Some(bias), Some(mean), Some(variance), training, MOMENTUM, EPSILON, true)?)
}

/// A normalisation by name: see `normalisation` in `reference/_layers.py`.
pub fn normalise(p: &mut Parameters, x: &Tensor, norm: Option<&str>, training: bool) -> Result<Tensor> {
    match norm {
        None => Ok(x.shallow_clone()),
        Some("batch") => batch_norm(p, x, training),
        Some("instance") => instance_norm(p, x),
        Some("group") => {
            let (weight, bias) = (p.take()?, p.take()?);
            Ok(x.f_group_norm(groups(weight.size1()?), Some(weight), Some(bias), EPSILON, true)?)
        }
        Some(name) => Err(Error::Input(format!("no normalisation named {name}"))),
    }
}

/// Instance normalisation with weights and without running statistics.
pub fn instance_norm(p: &mut Parameters, x: &Tensor) -> Result<Tensor> {
    let (weight, bias) = (p.take()?, p.take()?);
    let none = None::<&Tensor>;
    Ok(x.f_instance_norm(Some(weight), Some(bias), none, none, true, MOMENTUM, EPSILON, true)?)
}

/// The largest number of groups, at most 8, that divides the channels.
fn groups(channels: i64) -> i64 {
    (1..=8.min(channels)).rev().find(|n| channels % n == 0).unwrap_or(1)
}

/// Maximum over blocks of that width.
pub fn max_pool(x: &Tensor, width: i64) -> Result<Tensor> {
    let w = [width; 3];
    Ok(match space(x)? {
        1 => x.f_max_pool1d(&w[..1], &w[..1], 0i64, 1i64, false)?,
        2 => x.f_max_pool2d(&w[..2], &w[..2], 0i64, 1i64, false)?,
        _ => x.f_max_pool3d(&w[..3], &w[..3], 0i64, 1i64, false)?,
    })
}
