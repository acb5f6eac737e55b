//! Weighted convolution of detector rows: the first half of filtered back-projection.
//!
//!   forward:  q[v, r, :] = h * (a[v, :] b[r, :] p[v, r, :])        adjoint:  p = a b (h * q)
//!
//! `*` is linear convolution with an even kernel h given by its real frequency response on `length` points,
//! at least 2 columns - 1, so that nothing wraps around; an even kernel is its own adjoint. Two rows share one
//! complex transform: the response is real, so their filtered values come back in the real and the
//! imaginary part.

use rayon::prelude::*;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftNum, FftPlanner};
use spinray_core::simd::Real;
use spinray_core::{Error, Job, Result};
use std::sync::Arc;

/// A real that can be transformed.
pub trait Float: Real + FftNum {}
impl Float for f32 {}
impl Float for f64 {}

/// Rows, in pairs, that are a task.
const ROWS_PER_TASK: usize = 16;

/// The filter of a scan.
#[derive(Clone, Debug)]
pub struct RowFilter {
    /// Views, rows, columns.
    pub shape: [usize; 3],
    /// Weights a (view, column): angular interval and redundancy.
    pub view_weights: Vec<f64>,
    /// Weights b (row, column): obliquity.
    pub row_weights: Vec<f64>,
    /// Response of the kernel at frequencies 0, 1, ..., length / 2.
    pub response: Vec<f64>,
    /// Length of the transform.
    pub length: usize,
}

impl RowFilter {
    /// Refuses weights and responses that do not fit the shape.
    pub fn check(&self) -> Result<()> {
        let [views, rows, columns] = self.shape;
        let fits = self.view_weights.len() == views * columns
            && self.row_weights.len() == rows * columns
            && self.response.len() == self.length / 2 + 1
            && self.length + 1 >= 2 * columns;
        if fits { Ok(()) } else { Err(Error::invalid("filter", "weights or response do not fit the projections")) }
    }

    /// Filters `p` (n, views, rows, columns) into `q`.
    pub fn forward<T: Float>(&self, p: &[T], q: &mut [T], job: &Job) -> Result<()> {
        self.apply(&self.plan(Weigh::Before)?, p, q, job)
    }

    /// The exact adjoint of [`RowFilter::forward`].
    pub fn adjoint<T: Float>(&self, q: &[T], p: &mut [T], job: &Job) -> Result<()> {
        self.apply(&self.plan(Weigh::After)?, q, p, job)
    }

    fn apply<T: Float>(&self, plan: &Plan<T>, input: &[T], output: &mut [T], job: &Job) -> Result<()> {
        let task = ROWS_PER_TASK * self.shape[2];
        job.for_each(output.par_chunks_mut(task).zip(input.par_chunks(task)).enumerate(), |(n, (output, input))| {
            plan.rows(n * ROWS_PER_TASK, input, output);
        })
    }

    /// The filter in single or double precision, ready to run on a few rows at a time.
    pub fn plan<T: Float>(&self, weigh: Weigh) -> Result<Plan<T>> {
        self.check()?;
        let mut planner = FftPlanner::new();
        let scale = 1.0 / self.length as f64;
        let single = |weights: &[f64]| weights.iter().map(|&w| Real::from_f64(w)).collect();
        Ok(Plan {
            shape: self.shape,
            weigh,
            view_weights: single(&self.view_weights),
            row_weights: single(&self.row_weights),
            response: (0..self.length).map(|k| Real::from_f64(self.response[k.min(self.length - k)] * scale)).collect(),
            forward: planner.plan_fft_forward(self.length),
            inverse: planner.plan_fft_inverse(self.length),
        })
    }
}

/// Whether rows are weighted before the convolution (forward) or after it (adjoint).
#[derive(Clone, Copy, PartialEq)]
pub enum Weigh {
    /// As the forward filter does.
    Before,
    /// As its adjoint does.
    After,
}

/// A [`RowFilter`] in one precision.
pub struct Plan<T: Float> {
    shape: [usize; 3],
    weigh: Weigh,
    view_weights: Vec<T>,
    row_weights: Vec<T>,
    response: Vec<T>,
    forward: Arc<dyn Fft<T>>,
    inverse: Arc<dyn Fft<T>>,
}

impl<T: Float> Plan<T> {
    /// Filters whole rows that follow each other, the first being row `first` of (n, views, rows).
    pub fn rows(&self, first: usize, input: &[T], output: &mut [T]) {
        let columns = self.shape[2];
        let zero = Complex::new(T::default(), T::default());
        let mut buffer = vec![zero; self.response.len()];
        let scratch = self.forward.get_inplace_scratch_len().max(self.inverse.get_inplace_scratch_len());
        let mut scratch = vec![zero; scratch];
        for (k, (output, input)) in output.chunks_mut(2 * columns).zip(input.chunks(2 * columns)).enumerate() {
            self.pair(first + 2 * k, input, output, &mut buffer, &mut scratch);
        }
    }

    /// Filters one or two rows.
    fn pair(&self, first: usize, input: &[T], output: &mut [T], buffer: &mut [Complex<T>], scratch: &mut [Complex<T>]) {
        let [views, rows, columns] = self.shape;
        let zero = Complex::new(T::default(), T::default());
        let weight = |i: usize| {
            let (line, c) = (first + i / columns, i % columns);
            let (view, row) = (line / rows % views, line % rows);
            self.view_weights[view * columns + c] * self.row_weights[row * columns + c]
        };
        let weigh_first = self.weigh == Weigh::Before;
        let before = |i: usize| if weigh_first { input[i] * weight(i) } else { input[i] };
        let second = input.len() > columns;
        for (c, value) in buffer[..columns].iter_mut().enumerate() {
            *value = Complex::new(before(c), if second { before(columns + c) } else { T::default() });
        }
        buffer[columns..].fill(zero);
        self.forward.process_with_scratch(buffer, scratch);
        for (value, &factor) in buffer.iter_mut().zip(&self.response) {
            *value = Complex::new(value.re * factor, value.im * factor);
        }
        self.inverse.process_with_scratch(buffer, scratch);
        for (i, value) in output.iter_mut().enumerate() {
            let filtered = &buffer[i % columns];
            let filtered = if i < columns { filtered.re } else { filtered.im };
            *value = if weigh_first { filtered } else { filtered * weight(i) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinray_core::philox::Stream;

    fn filter(shape: [usize; 3], length: usize) -> RowFilter {
        let noise = |n: usize, seed| (0..n as u64).map(|i| Stream::new(seed, i).uniform()).collect::<Vec<f64>>();
        let [views, rows, columns] = shape;
        RowFilter {
            shape,
            view_weights: noise(views * columns, 1),
            row_weights: noise(rows * columns, 2),
            response: noise(length / 2 + 1, 3),
            length,
        }
    }

    #[test]
    fn rows_are_weighted_and_convolved() {
        for (shape, length) in [([3, 2, 7], 14), ([1, 1, 5], 9), ([2, 3, 4], 16), ([5, 1, 6], 12), ([9, 3, 4], 8)] {
            let f = filter(shape, length);
            let [views, rows, columns] = shape;
            // The kernel in space, from the response by its definition.
            let kernel: Vec<f64> = (0..length)
                .map(|x| {
                    let wave = |k: usize| (std::f64::consts::TAU * (k * x) as f64 / length as f64).cos();
                    (0..length).map(|k| f.response[k.min(length - k)] * wave(k)).sum::<f64>() / length as f64
                })
                .collect();
            let n = 2 * views * rows * columns;
            let p: Vec<f64> = (0..n as u64).map(|i| Stream::new(9, i).normal()).collect();
            let mut q = vec![0.0; n];
            f.forward(&p, &mut q, &Job::new()).unwrap();
            for line in 0..n / columns {
                for c in 0..columns {
                    let expected: f64 = (0..columns)
                        .map(|s| {
                            let a = f.view_weights[line / rows % views * columns + s];
                            let b = f.row_weights[line % rows * columns + s];
                            a * b * p[line * columns + s] * kernel[(c + length - s) % length]
                        })
                        .sum();
                    assert!((q[line * columns + c] - expected).abs() < 1e-12);
                }
            }
            let mut back = vec![0.0; n];
            f.adjoint(&p, &mut back, &Job::new()).unwrap();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            assert!((dot(&q, &p) - dot(&p, &back)).abs() < 1e-12 * dot(&p, &p));
        }
    }

    #[test]
    fn a_transform_too_short_is_refused() {
        assert!(filter([1, 1, 8], 14).check().is_err());
    }
}
