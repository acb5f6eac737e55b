//! Layers: each takes its weights from the cursor in the order in which torch's module of that name registers them.

use crate::errors::{Error, Result};
use crate::operator::take_tensor;
use crate::parameters::Parameters;
use std::ffi::c_char;
use tch::Tensor;
use torch_sys::C_tensor;

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

/// Refuses to divide by the deviation of a single number, as torch's modules do and its kernels do not: batch
/// normalisation would keep the NaN in its running variance.
fn check_deviation(x: &Tensor, sets: i64) -> Result<()> {
    if x.numel() as i64 > sets {
        return Ok(());
    }
    let sizes = x.size().iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    Err(Error::Input(format!(
        "normalisation: expected more than one value in each channel, got shape ({sizes}). Use larger images or batches"
    )))
}

/// Batch normalisation with running statistics.
pub fn batch_norm(p: &mut Parameters, x: &Tensor, training: bool) -> Result<Tensor> {
    let (weight, bias, mean, variance, batches) = (p.take()?, p.take()?, p.take()?, p.take()?, p.take()?);
    if training {
        check_deviation(x, weight.size1()?)?;
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
            let groups = groups(weight.size1()?);
            check_deviation(x, groups)?;
            Ok(x.f_group_norm(groups, Some(weight), Some(bias), EPSILON, true)?)
        }
        Some(name) => Err(Error::Input(format!("no normalisation named {name}"))),
    }
}

/// Instance normalisation with weights and without running statistics.
pub fn instance_norm(p: &mut Parameters, x: &Tensor) -> Result<Tensor> {
    let (weight, bias) = (p.take()?, p.take()?);
    check_deviation(x, x.size()[0] * weight.size1()?)?;
    let none = None::<&Tensor>;
    Ok(x.f_instance_norm(Some(weight), Some(bias), none, none, true, MOMENTUM, EPSILON, true)?)
}

/// The largest number of groups, at most 8, that divides the channels.
fn groups(channels: i64) -> i64 {
    (1..=8.min(channels)).rev().find(|n| channels % n == 0).unwrap_or(1)
}

/// Maximum over blocks of that width.
pub fn max_pool(x: &Tensor, width: i64) -> Result<Tensor> {
    max_pool_strided(x, width, width, 0)
}

/// Maximum over windows of that width, one for each `stride` pixels.
pub fn max_pool_strided(x: &Tensor, width: i64, stride: i64, padding: i64) -> Result<Tensor> {
    let dim = space(x)?;
    let (width, stride, padding) = (&[width; 3][..dim], &[stride; 3][..dim], &[padding; 3][..dim]);
    Ok(match dim {
        1 => x.f_max_pool1d(width, stride, padding, 1i64, false)?,
        2 => x.f_max_pool2d(width, stride, padding, 1i64, false)?,
        _ => x.f_max_pool3d(width, stride, padding, 1i64, false)?,
    })
}

/// Repeats the last rows, columns (and slices) until each size is a multiple of `factor`.
pub fn pad_to_multiple(x: &Tensor, factor: i64) -> Result<Tensor> {
    // torch counts from the last dimension.
    let widths: Vec<i64> = x.size()[2..].iter().rev().flat_map(|n| [0, (-n).rem_euclid(factor)]).collect();
    if widths.iter().all(|&width| width == 0) {
        return Ok(x.shallow_clone());
    }
    Ok(x.f_pad(widths, "replicate", None)?)
}

/// The part that lies over an image of that size (its space dimensions).
pub fn crop(y: &Tensor, size: &[i64]) -> Result<Tensor> {
    let mut y = y.shallow_clone();
    let extent = y.size();
    for (axis, &n) in size.iter().enumerate() {
        // A part that is the whole would still cost a copy in the backward pass.
        if extent[axis + 2] != n {
            y = y.f_narrow(axis as i64 + 2, 0, n)?;
        }
    }
    Ok(y)
}

/// Parametric ReLU, a slope for each channel.
pub fn prelu(p: &mut Parameters, x: &Tensor) -> Result<Tensor> {
    Ok(x.f_prelu(p.take()?)?)
}

/// An activation by name, in place where its gradient needs no more: see `activation_layer` in `reference/_layers.py`.
pub fn activate(x: Tensor, name: &str) -> Result<Tensor> {
    Ok(match name {
        "relu" => { x }.f_relu_()?,
        "tanh" => { x }.f_tanh_()?,
        "sigmoid" => { x }.f_sigmoid_()?,
        "softplus" => x.f_softplus()?,
        _ => return Err(Error::Input(format!("no activation named {name}"))),
    })
}

/// Leaky ReLU in place, ReLU for a slope of zero; tch knows it only with a slope of 0.01.
pub fn leaky_relu(x: Tensor, slope: f64) -> Result<Tensor> {
    if slope == 0.0 {
        return Ok({ x }.f_relu_()?);
    }
    let mut message = std::ptr::null_mut();
    // SAFETY: the tensor lives through the call.
    let y = unsafe { spinray_leaky_relu(x.as_ptr(), slope, &mut message) };
    take_tensor(y, message).map_err(Error::Input)
}

/// From this many numbers on, images are worth turning over in memory (measured, two cores: the same at 2^16).
const LARGE: usize = 1 << 16;

/// A large image with its channels innermost in memory: convolutions keep it so, and are faster.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    if x.numel() < LARGE {
        return Ok(x.shallow_clone());
    }
    let mut message = std::ptr::null_mut();
    // SAFETY: the tensor lives through the call.
    let y = unsafe { spinray_channels_last(x.as_ptr(), &mut message) };
    take_tensor(y, message).map_err(Error::Input)
}

unsafe extern "C" {
    fn spinray_leaky_relu(x: *const C_tensor, slope: f64, message: *mut *mut c_char) -> *mut C_tensor;
    fn spinray_channels_last(x: *const C_tensor, message: *mut *mut c_char) -> *mut C_tensor;
}
