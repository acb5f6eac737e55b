//! ResNet-18: He 2016.

use crate::errors::Result;
use crate::layers::{Conv, batch_norm, linear, max_pool_strided};
use crate::network::Forward;
use crate::parameters::Parameters;
use tch::{Kind, Tensor};

const STAGES: usize = 4;
const BLOCKS: usize = 2;

pub struct ResNet18;

impl Forward for ResNet18 {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], training: bool) -> Result<Vec<Tensor>> {
        let h = Conv { stride: 2, padding: 3, bias: false }.forward(p, &inputs[0])?;
        let h = batch_norm(p, &h, training)?.f_relu_()?;
        let mut h = max_pool_strided(&h, 3, 2, 1)?;
        for stage in 0..STAGES {
            for i in 0..BLOCKS {
                h = block(p, &h, training, stage > 0 && i == 0)?;
            }
        }
        let space: Vec<i64> = (2..h.dim() as i64).collect();
        Ok(vec![linear(p, &h.f_mean_dim(space, false, None::<Kind>)?)?])
    }
}

/// Two convolutions, added to the input, which a 1-wide convolution halves where `down`.
fn block(p: &mut Parameters, x: &Tensor, training: bool, down: bool) -> Result<Tensor> {
    let conv = Conv::same(3).with_bias(false);
    let stride = if down { 2 } else { 1 };
    let h = Conv { stride, ..conv }.forward(p, x)?;
    let h = batch_norm(p, &h, training)?.f_relu_()?;
    let h = conv.forward(p, &h)?;
    let h = batch_norm(p, &h, training)?;
    if !down {
        return Ok(h.f_add(x)?.f_relu_()?);
    }
    let skip = Conv { stride, padding: 0, bias: false }.forward(p, x)?;
    Ok(h.f_add(&batch_norm(p, &skip, training)?)?.f_relu_()?)
}
