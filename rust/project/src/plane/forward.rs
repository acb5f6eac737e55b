//! From the image to the measurement: 16 neighbouring rays at a time.

use crate::geometry::{Axis, Scan};
use crate::rays::{PAD, Rays, Run};
use rayon::prelude::*;
use spinray_core::simd::{Kernel, Real, Simd, dispatch};
use spinray_core::{Job, Result};

/// An image with zeros around each row: row s holds the transverse line of slab s.
struct Padded<T> {
    rows: Vec<T>,
    stride: usize,
    width: usize,
}

impl<T: Real> Padded<T> {
    fn new(height: usize, width: usize, pixel: impl Fn(usize, usize) -> T) -> Self {
        let stride = width + 2 * PAD;
        let mut rows = vec![T::default(); stride * height];
        for (s, row) in rows.chunks_exact_mut(stride).enumerate() {
            for (i, value) in row[PAD..PAD + width].iter_mut().enumerate() {
                *value = pixel(s, i);
            }
        }
        Self { rows, stride, width }
    }
}

/// Projects the images `x` (n, ny, nx) into `y` (n, views, columns).
pub fn forward<T: Real>(scan: &Scan, x: &[T], y: &mut [T], job: &Job) -> Result<()> {
    let [_, ny, nx] = scan.grid.shape;
    for (image, sinogram) in x.chunks_exact(ny * nx).zip(y.chunks_exact_mut(scan.len())) {
        let upright = Padded::new(ny, nx, |j, i| image[j * nx + i]);
        let turned = Padded::new(nx, ny, |i, j| image[j * nx + i]);
        job.for_each(sinogram.par_chunks_exact_mut(scan.shape[1]).enumerate(), |(v, view)| {
            let rays = Rays::new(scan, v..v + 1);
            for run in &rays.runs {
                let image = if run.axis == Axis::Y { &upright } else { &turned };
                dispatch(ProjectRun { rays: &rays, run, image, view });
            }
        })?;
    }
    Ok(())
}

struct ProjectRun<'a, T> {
    rays: &'a Rays<T>,
    run: &'a Run,
    image: &'a Padded<T>,
    view: &'a mut [T],
}

impl<T: Real> Kernel<T> for ProjectRun<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let Self { rays, run, image, view } = self;
        let mut sums = [T::default(); 16];
        for k in (0..run.len).step_by(S::N) {
            // SAFETY: `dispatch` chose S. `start + k + N` stays inside the padded ray arrays; the slabs of
            // a `Crossing` keep every look-up inside the padded row.
            unsafe {
                let (alpha, beta) = (rays.alpha.as_ptr().add(run.start + k), rays.beta.as_ptr().add(run.start + k));
                let crossing = Crossing::of(alpha, beta, S::N, run, image.width);
                let sum = if crossing.narrow {
                    project_block::<S, true>(image, &crossing, alpha, beta)
                } else {
                    project_block::<S, false>(image, &crossing, alpha, beta)
                };
                S::store(sums.as_mut_ptr(), S::mul(sum, S::load(rays.length.as_ptr().add(run.start + k))));
            }
            for (lane, &sum) in sums.iter().enumerate().take(S::N.min(run.len - k)) {
                view[run.column(k + lane)] = sum;
            }
        }
    }
}

/// Where a block of neighbouring rays meets the image.
struct Crossing {
    first: usize,
    last: usize,
    /// Whether on every slab the block spans less than a window, in order.
    narrow: bool,
}

impl Crossing {
    /// # Safety
    /// `alpha[0..n]` and `beta[0..n]` are readable.
    #[inline(always)]
    unsafe fn of<T: Real>(alpha: *const T, beta: *const T, n: usize, run: &Run, width: usize) -> Self {
        // SAFETY: by contract.
        let (a, b) = unsafe {
            let line = |k: usize| (alpha.add(k).read().to_f64(), beta.add(k).read().to_f64());
            (line(0), line(n - 1))
        };
        // Some ray right of -1, some ray left of `width`: each the union of two half-lines in s.
        let (right0, right1) = union(half_line(a, 1.0, -1.0), half_line(b, 1.0, -1.0));
        let (left0, left1) = union(half_line(a, -1.0, width as f64), half_line(b, -1.0, width as f64));
        let first = right0.max(left0).max(run.slabs.start as f64);
        let last = right1.min(left1).min(run.slabs.end as f64 - 1.0);
        if first > last {
            return Self { first: 0, last: 0, narrow: true };
        }
        let (first, last) = (first.ceil(), last.floor());
        let span = |s: f64| (b.0 + b.1 * s) - (a.0 + a.1 * s);
        let (near, far) = (span(first), span(last));
        // Well-ordered lanes start with the lowest; the window then holds all of them.
        let ordered = near.min(far) > 0.01 && near.max(far) + 2.01 < 2.0 * n as f64;
        // The union of half-lines that open away from each other bridges a gap in which all rays pass beside the image.
        let beside = |s: f64| b.0 + b.1 * s < -2.0 || a.0 + a.1 * s > width as f64 + 1.0;
        let narrow = ordered && !beside(first) && !beside(last);
        Self { first: first as usize, last: (last + 1.0).max(first) as usize, narrow }
    }
}

/// The interval of s in which sign * (alpha + beta s) > sign * bound (closed, a hair wider).
#[inline(always)]
fn half_line((alpha, beta): (f64, f64), sign: f64, bound: f64) -> (f64, f64) {
    let (gap, slope) = (sign * (alpha - bound) + 1e-3, sign * beta);
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    if slope.abs() < 1e-12 {
        return if gap > 0.0 { (low, high) } else { (high, low) };
    }
    let edge = -gap / slope;
    if slope > 0.0 { (edge, high) } else { (low, edge) }
}

#[inline(always)]
fn union(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0.min(b.0), a.1.max(b.1))
}

/// Σ_s of the interpolated image for N neighbouring rays.
///
/// # Safety
/// The processor has `S`; `alpha` and `beta` hold N rays; `crossing` is theirs on this image.
#[inline(always)]
unsafe fn project_block<S: Simd, const NARROW: bool>(
    image: &Padded<S::T>,
    crossing: &Crossing,
    alpha: *const S::T,
    beta: *const S::T,
) -> S::V {
    // SAFETY: narrow blocks lie in (-2N, width + 2N) on every slab of the crossing, wide ones are
    // clamped to [-2, width + 1]; PAD covers both.
    unsafe {
        let real = |x: usize| S::splat(S::T::from_f64(x as f64));
        let shift = real(PAD);
        let (alpha, beta) = (S::load(alpha), S::load(beta));
        let (low, high) = (real(PAD - 2), real(PAD + image.width + 1));
        let mut sum = S::splat(S::T::default());
        for s in crossing.first..crossing.last {
            let row = image.rows.as_ptr().add(s * image.stride);
            let mut x = S::add(S::fma(beta, real(s), alpha), shift);
            if !NARROW {
                x = S::min(S::max(x, low), high);
            }
            let i = S::trunc(x);
            let fraction = S::sub(x, S::real(i));
            let (left, right) = if NARROW {
                let base = S::first(i);
                let (row, i) = (row.offset(base as isize), S::offset(i, -base));
                (S::window(row, i), S::window(row, S::offset(i, 1)))
            } else {
                (S::gather(row, i), S::gather(row.add(1), i))
            };
            sum = S::fma(fraction, S::sub(right, left), S::add(sum, left));
        }
        sum
    }
}
