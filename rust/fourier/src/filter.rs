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
        self.apply(p, q, true, job)
    }

    /// The exact adjoint of [`RowFilter::forward`].
    pub fn adjoint<T: Float>(&self, q: &[T], p: &mut [T], job: &Job) -> Result<()> {
        self.apply(q, p, false, job)
    }

    fn apply<T: Float>(&self, input: &[T], output: &mut [T], weigh_first: bool, job: &Job) -> Result<()> {
        self.check()?;
        let [views, rows, columns] = self.shape;
        let mut planner = FftPlanner::new();
        let transforms = (planner.plan_fft_forward(self.length), planner.plan_fft_inverse(self.length));
        let scale = 1.0 / self.length as f64;
        let response: Vec<T> =
            (0..self.length).map(|k| Real::from_f64(self.response[k.min(self.length - k)] * scale)).collect();
        let single = |weights: &[f64]| weights.iter().map(|&w| Real::from_f64(w)).collect::<Vec<T>>();
        let (view_weights, row_weights) = (single(&self.view_weights), single(&self.row_weights));
        // Pairs of rows; a batch of some pairs is a task.
        let pairs_per_task = 8;
        let task = 2 * pairs_per_task * columns;
        job.for_each(output.par_chunks_mut(task).zip(input.par_chunks(task)).enumerate(), |(n, (output, input))| {
            let weight = |line: usize, c: usize| {
                let (view, row) = (line / rows % views, line % rows);
                view_weights[view * columns + c] * row_weights[row * columns + c]
            };
            let mut worker = Worker::new(self.length, &transforms);
            let pairs = output.chunks_mut(2 * columns).zip(input.chunks(2 * columns));
            for (k, (output, input)) in pairs.enumerate() {
                let line = 2 * (n * pairs_per_task + k);
                worker.filter(
                    input,
                    output,
                    columns,
                    &response,
                    |i| weight(line + i / columns, i % columns),
                    weigh_first,
                );
            }
        })
    }
}

struct Worker<'a, T: Float> {
    forward: &'a Arc<dyn Fft<T>>,
    inverse: &'a Arc<dyn Fft<T>>,
    buffer: Vec<Complex<T>>,
    scratch: Vec<Complex<T>>,
}

impl<'a, T: Float> Worker<'a, T> {
    fn new(length: usize, (forward, inverse): &'a (Arc<dyn Fft<T>>, Arc<dyn Fft<T>>)) -> Self {
        let zero = Complex::new(T::default(), T::default());
        let scratch = forward.get_inplace_scratch_len().max(inverse.get_inplace_scratch_len());
        Self { forward, inverse, buffer: vec![zero; length], scratch: vec![zero; scratch] }
    }

    /// Filters one or two rows of `columns`; `weight(i)` is the weight of entry i of the pair.
    fn filter(
        &mut self,
        input: &[T],
        output: &mut [T],
        columns: usize,
        response: &[T],
        weight: impl Fn(usize) -> T,
        weigh_first: bool,
    ) {
        let before = |i: usize| if weigh_first { input[i] * weight(i) } else { input[i] };
        let second = input.len() > columns;
        for (c, value) in self.buffer[..columns].iter_mut().enumerate() {
            *value = Complex::new(before(c), if second { before(columns + c) } else { T::default() });
        }
        self.buffer[columns..].fill(Complex::new(T::default(), T::default()));
        self.forward.process_with_scratch(&mut self.buffer, &mut self.scratch);
        for (value, &factor) in self.buffer.iter_mut().zip(response) {
            *value = Complex::new(value.re * factor, value.im * factor);
        }
        self.inverse.process_with_scratch(&mut self.buffer, &mut self.scratch);
        for (i, value) in output.iter_mut().enumerate() {
            let filtered = &self.buffer[i % columns];
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
        for (shape, length) in [([3, 2, 7], 14), ([1, 1, 5], 9), ([2, 3, 4], 16), ([5, 1, 6], 12)] {
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
