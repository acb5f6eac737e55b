//! VoxelMorph: Balakrishnan 2019; integration of the velocity: Dalca 2018; spatial transformer: Jaderberg 2015.

use crate::errors::Result;
use crate::layers::{Conv, channels_last, crop, leaky_relu, pad_to_multiple};
use crate::network::Forward;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use tch::Tensor;

const SLOPE: f64 = 0.2;

/// How torch names sampling between pixels, and what lies outside.
const LINEAR: i64 = 0;
const ZEROS: i64 = 0;
const BORDER: i64 = 1;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct VoxelMorph {
    encoder: Vec<i64>,
    decoder: Vec<i64>,
    steps: i32,
}

impl Forward for VoxelMorph {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], _training: bool) -> Result<Vec<Tensor>> {
        let moving = &inputs[0];
        let pair = pad_to_multiple(&Tensor::f_cat(inputs, 1)?, 1 << self.encoder.len())?;
        let velocity = self.velocity(p, pair)?;
        // Half precision is not enough for places in an image.
        let velocity = crop(&velocity, &moving.size()[2..])?.f_to_kind(moving.kind())?;
        let displacement = exponential(&velocity, self.steps)?;
        Ok(vec![sample(moving, &displacement, ZEROS)?, displacement, velocity])
    }
}

impl VoxelMorph {
    /// The U-Net.
    fn velocity(&self, p: &mut Parameters, pair: Tensor) -> Result<Tensor> {
        let half = Conv { stride: 2, ..Conv::same(3) };
        let mut skips = Vec::with_capacity(self.encoder.len());
        let mut h = pair;
        for _ in &self.encoder {
            let next = leaky_relu(channels_last(&half.forward(p, &h)?)?, SLOPE)?;
            skips.push(h);
            h = next;
        }
        for _ in &self.decoder {
            h = leaky_relu(Conv::same(3).forward(p, &h)?, SLOPE)?;
            if let Some(skip) = skips.pop() {
                h = Tensor::f_cat(&[enlarge(&h, &skip.size()[2..])?, skip], 1)?;
            }
        }
        Conv::same(3).forward(p, &h)
    }
}

/// Each pixel repeated up to that size.
fn enlarge(h: &Tensor, size: &[i64]) -> Result<Tensor> {
    Ok(match size.len() {
        2 => h.f_upsample_nearest2d(size, None, None)?,
        _ => h.f_upsample_nearest3d(size, None, None, None)?,
    })
}

/// Displacement after unit time along a stationary velocity, by scaling and squaring.
fn exponential(velocity: &Tensor, steps: i32) -> Result<Tensor> {
    let mut displacement = velocity.f_mul_scalar(0.5f64.powi(steps))?;
    for _ in 0..steps {
        displacement = displacement.f_add(&sample(&displacement, &displacement, BORDER)?)?;
    }
    Ok(displacement)
}

/// The image at the displaced places.
fn sample(image: &Tensor, displacement: &Tensor, outside: i64) -> Result<Tensor> {
    let size = &image.size()[2..];
    let mut points = Vec::with_capacity(size.len());
    for (axis, &n) in size.iter().enumerate() {
        let mut along = vec![1; size.len()];
        along[axis] = n;
        let places = Tensor::f_arange(n, (displacement.kind(), displacement.device()))?.f_reshape(along)?;
        // From -1 at the first centre to 1 at the last.
        let scale = 2.0 / (n - 1).max(1) as f64;
        let places = places.f_add(&displacement.f_select(1, axis as i64)?)?;
        points.push(places.f_mul_scalar(scale)?.f_add_scalar(-1)?);
    }
    // torch wants x first.
    points.reverse();
    let grid = Tensor::f_stack(&points, -1)?;
    Ok(match size.len() {
        2 => image.f_grid_sampler_2d(&grid, LINEAR, outside, true)?,
        _ => image.f_grid_sampler_3d(&grid, LINEAR, outside, true)?,
    })
}
