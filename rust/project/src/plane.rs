//! Rays in a plane: parallel and fan beams, one image at a time.
//!
//! Integral: p = ∫ f along the ray. Discretisation (Joseph 1982): f is sampled where the ray crosses
//! each slab of its driving axis and interpolated linearly across it; the sum is multiplied by the path
//! per slab. Outside the grid f ramps linearly to 0 within one pixel.
//!
//!   forward:  p_k = len_k Σ_s Σ_i hat(alpha_k + beta_k s - i) f[s, i]        hat(t) = max(0, 1 - |t|)
//!   adjoint:  f[s, i] = Σ_views Σ_k hat(alpha_k + beta_k s - i) len_k p_k
//!
//! Both compute the crossing alpha_k + beta_k s by the same rounded expression, so the pair is adjoint
//! up to the rounding of sums. No gathers in the usual case: 16 neighbouring rays (forward) or pixels
//! (adjoint) touch fewer than 32 neighbouring entries, which two loads and a permute deliver. The adjoint
//! visits pixels and collects the few rays within one pixel of each, so no two threads write one pixel
//! and the bits do not depend on the number of threads.
//!
//! Lanes run along the transverse index; rays driven along x read (write) the transposed image.

use crate::geometry::{Axis, Scan};
use crate::line::arctan;
use crate::rays::{Inverse, PAD, Rays, Run};
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

/// Rows of pixels that stay in the first-level cache while the rays of one run pass over them.
const ROWS: usize = 8;
/// Views whose rays stay in the second-level cache while all rows of a band meet them.
const VIEWS: usize = 16;

/// Back-projects `y` (n, views, columns) into the images `x` (n, ny, nx): the exact adjoint of [`forward`].
pub fn adjoint<T: Real>(scan: &Scan, y: &[T], x: &mut [T], job: &Job) -> Result<()> {
    let [_, ny, nx] = scan.grid.shape;
    let views: Vec<Rays<T>> = (0..scan.angles.len()).into_par_iter().map(|v| Rays::new(scan, v..v + 1)).collect();
    for (sinogram, image) in y.chunks_exact(scan.len()).zip(x.chunks_exact_mut(ny * nx)) {
        let weighted: Vec<Vec<T>> = views.par_iter().map(|rays| weigh(scan, rays, sinogram)).collect();
        let mut turned = vec![T::default(); ny * nx];
        for (axis, height, width, target) in [(Axis::X, nx, ny, &mut turned[..]), (Axis::Y, ny, nx, &mut *image)] {
            let band = (height / (4 * rayon::current_num_threads())).clamp(ROWS, 8 * ROWS);
            job.for_each(target.par_chunks_mut(band * width).enumerate(), |(n, rows)| {
                dispatch(BackprojectBand { views: &views, weighted: &weighted, axis, first: n * band, width, rows });
            })?;
        }
        image.par_chunks_exact_mut(nx).enumerate().for_each(|(j, row)| {
            for (i, pixel) in row.iter_mut().enumerate() {
                *pixel += turned[i * ny + j];
            }
        });
    }
    Ok(())
}

/// Measurements times path per slab, in the order of the rays, zero in the padding.
fn weigh<T: Real>(scan: &Scan, rays: &Rays<T>, sinogram: &[T]) -> Vec<T> {
    let mut weighted = vec![T::default(); rays.alpha.len()];
    for run in &rays.runs {
        for k in 0..run.len {
            let value = sinogram[run.view * scan.shape[1] + run.column(k)];
            weighted[run.start + k] = value * rays.length[run.start + k];
        }
    }
    weighted
}

struct BackprojectBand<'a, T> {
    views: &'a [Rays<T>],
    weighted: &'a [Vec<T>],
    axis: Axis,
    /// Slab of the first row of `rows`.
    first: usize,
    width: usize,
    rows: &'a mut [T],
}

impl<T: Real> Kernel<T> for BackprojectBand<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let Self { views, weighted, axis, first, width, rows } = self;
        let vectors = width.div_ceil(S::N);
        let stride = vectors * S::N;
        let mut lines = vec![T::default(); rows.len() / width * stride];
        let mut candidates = Candidates::new(vectors, S::N);
        for (views, weighted) in views.chunks(VIEWS).zip(weighted.chunks(VIEWS)) {
            for (n, lines) in lines.chunks_mut(ROWS * stride).enumerate() {
                for (rays, weighted) in views.iter().zip(weighted) {
                    for run in rays.runs.iter().filter(|run| run.axis == axis) {
                        let from = run.start - PAD;
                        let (alpha, beta, weighted) = (&rays.alpha[from..], &rays.beta[from..], &weighted[from..]);
                        let arrays = PaddedRun { alpha, beta, weighted };
                        for (m, line) in lines.chunks_exact_mut(stride).enumerate() {
                            let s = first + n * ROWS + m;
                            if !run.slabs.contains(&s) {
                                continue;
                            }
                            // SAFETY: `dispatch` chose S; `line` holds whole vectors.
                            unsafe {
                                if let Some((start, per_pixel)) = run.inverse.sparse(s) {
                                    collect_pairs::<S>(run.len, start, per_pixel, arrays.weighted, line);
                                } else {
                                    candidates.find::<S>(run, s);
                                    if candidates.narrow {
                                        collect::<S>(&arrays, s, &candidates, line);
                                    } else {
                                        scatter(run, &arrays, s, &mut line[..width]);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        for (row, line) in rows.chunks_exact_mut(width).zip(lines.chunks_exact(stride)) {
            row.copy_from_slice(&line[..width]);
        }
    }
}

/// Which rays may reach each vector of pixels of a slab.
struct Candidates<T> {
    /// Ray number, a continuous function of position, one pixel before the vector; from the vector before
    /// the first one to that after the last.
    ends: Vec<T>,
    /// That of the vector itself, less a margin.
    starts: Vec<T>,
    /// Rays over the vector, and half by how much they are more than over the vector before.
    widths: Vec<T>,
    /// See `widths`.
    bends: Vec<T>,
    /// How many rays to look at for each pixel.
    counts: Vec<i32>,
    /// Number of vectors, and the stretch of them that sees a ray.
    vectors: usize,
    /// See `vectors`.
    first: usize,
    /// See `vectors`.
    last: usize,
    /// Whether the rays of every vector are known well and fit a window.
    narrow: bool,
}

impl<T: Real> Candidates<T> {
    fn new(vectors: usize, lanes: usize) -> Self {
        let whole = vectors.next_multiple_of(lanes);
        let zeros = |n| vec![T::default(); n];
        Self {
            ends: zeros(whole + lanes),
            starts: zeros(whole),
            widths: zeros(whole),
            bends: zeros(whole),
            counts: vec![0; whole],
            vectors,
            first: 0,
            last: 0,
            narrow: true,
        }
    }

    /// Pixel i takes the rays that cross between i - 1 and i + 1. Their numbers are exact at the ends of
    /// vectors and taken from a parabola between; a margin of more than its error, by third differences,
    /// makes sure of them. A ray too many costs time only: its hat is zero.
    ///
    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    unsafe fn find<S: Simd<T = T>>(&mut self, run: &Run, s: usize) {
        let lanes = S::N as f64;
        let mut widest = [T::default(); 16];
        // SAFETY: by contract; every array holds whole vectors, `ends` three entries more.
        unsafe {
            let real = |x: f64| S::splat(T::from_f64(x));
            run.inverse.numbers::<S>(s, &mut self.ends);
            let ends = self.ends.as_ptr();
            let mut most = real(0.0);
            for m in (0..self.counts.len()).step_by(S::N) {
                let end = [0, 1, 2, 3].map(|k| S::load(ends.add(m + k)));
                let width = S::sub(end[2], end[1]);
                let bend = S::sub(width, S::sub(end[1], end[0]));
                let twist = S::sub(S::sub(S::sub(end[3], end[2]), width), bend);
                let (bend_size, twist_size) = (S::abs(bend), S::abs(twist));
                let margin = S::fma(twist_size, real(0.15), S::fma(bend_size, real(0.02), real(2e-3)));
                // Close beside the source a parabola says little.
                let wild = S::max(S::sub(twist_size, S::fma(width, real(0.1), real(0.1))), real(0.0));
                // Rays within a pixel of a pixel, where they are densest.
                let local = S::fma(S::add(bend_size, twist_size), real(0.6), width);
                let count = S::fma(local, real(2.0 / lanes), S::fma(margin, real(2.0), real(0.999)));
                let count = S::trunc(S::min(count, real(1e6)));
                let reach = S::add(S::add(width, bend_size), S::real(count));
                most = S::max(most, S::fma(wild, real(1e6), reach));
                S::store(self.starts.as_mut_ptr().add(m), S::sub(end[1], margin));
                S::store(self.widths.as_mut_ptr().add(m), width);
                S::store(self.bends.as_mut_ptr().add(m), S::mul(bend, real(0.5)));
                S::store_index(self.counts.as_mut_ptr().add(m), count);
            }
            S::store(widest.as_mut_ptr(), most);
        }
        let window = T::from_f64(2.0 * lanes - 1.01);
        self.narrow = widest.iter().all(|&w| w < window);
        // Numbers grow along the slab: the vectors that see a ray are a stretch.
        let seen = |m: &usize| self.ends[m + 2].to_f64() + f64::from(self.counts[*m]) > -1.0;
        self.first = (0..self.vectors).find(seen).unwrap_or(self.vectors);
        let seen = |m: &usize| self.starts[*m].to_f64() < run.len as f64;
        self.last = (0..self.vectors).rev().find(seen).map_or(0, |m| m + 1);
    }
}

/// The rays of a run and their weighted measurements, from PAD entries before the first.
struct PaddedRun<'a, T> {
    alpha: &'a [T],
    beta: &'a [T],
    weighted: &'a [T],
}

/// Adds to a line of pixels of slab `s` what the rays of a run bring, given from PAD entries before the
/// first: their crossings alpha + beta s, by the expression [`project_block`] uses, and their weighted measurements.
///
/// # Safety
/// The processor has `S`; the arrays hold PAD entries after the last ray; `line` holds whole vectors and
/// `candidates` are theirs.
#[inline(always)]
unsafe fn collect<S: Simd>(rays: &PaddedRun<'_, S::T>, s: usize, candidates: &Candidates<S::T>, line: &mut [S::T]) {
    let real = |x: f64| S::T::from_f64(x);
    // SAFETY: look-ups start between entries PAD - 1 and PAD + rays + 1 and stay below 2N from there.
    unsafe {
        let (zero, one) = (S::splat(S::T::default()), S::splat(real(1.0)));
        let slab = S::splat(real(s as f64));
        let along = S::mul(S::iota(), S::splat(real(1.0 / S::N as f64)));
        let curve = S::mul(along, S::sub(along, one));
        let shift = S::splat(real(PAD as f64 + 1.0));
        let low = S::splat(real(PAD as f64 - 1.0));
        for (m, pixels) in line.chunks_exact_mut(S::N).enumerate().take(candidates.last).skip(candidates.first) {
            let count = *candidates.counts.get_unchecked(m);
            let from = S::add(S::splat(*candidates.starts.get_unchecked(m)), shift);
            let from = S::fma(along, S::splat(*candidates.widths.get_unchecked(m)), from);
            let first = S::max(S::fma(curve, S::splat(*candidates.bends.get_unchecked(m)), from), low);
            let here = S::add(S::iota(), S::splat(real((m * S::N) as f64)));
            let mut sum = S::load(pixels.as_ptr());
            let i = S::trunc(first);
            let base = S::first(i);
            let mut i = S::offset(i, -base);
            let at = |array: &[S::T]| array.as_ptr().offset(base as isize);
            let (alpha, beta, weighted) = (at(rays.alpha), at(rays.beta), at(rays.weighted));
            let near = S::fma(S::load(beta), slab, S::load(alpha));
            let far = S::fma(S::load(beta.add(S::N)), slab, S::load(alpha.add(S::N)));
            for _ in 0..count {
                let hat = S::max(zero, S::sub(one, S::abs(S::sub(S::table(near, far, i), here))));
                sum = S::fma(hat, S::window(weighted, i), sum);
                i = S::offset(i, 1);
            }
            S::store(pixels.as_mut_ptr(), sum);
        }
    }
}

/// [`collect`] ray by ray, for rays much denser than pixels, or close beside their source.
fn scatter<T: Real>(run: &Run, rays: &PaddedRun<'_, T>, s: usize, line: &mut [T]) {
    let slab = T::from_f64(s as f64);
    for k in PAD..PAD + run.len {
        let x = (rays.beta[k] * slab + rays.alpha[k]).to_f64();
        let i = x.floor();
        let right = T::from_f64(x - i);
        for (i, weight) in [(i, T::from_f64(1.0) - right), (i + 1.0, right)] {
            if i >= 0.0 && i < line.len() as f64 {
                line[i as usize] += weight * rays.weighted[k];
            }
        }
    }
}

/// [`collect`] for parallel rays at least a pixel apart: only the rays on either side reach a pixel, and
/// their distance follows from the fractional ray number.
///
/// # Safety
/// The processor has `S`; `weighted` begins PAD entries before ray 0 and holds PAD after the last of `rays`;
/// `line` holds whole vectors.
#[inline(always)]
unsafe fn collect_pairs<S: Simd>(rays: usize, start: f64, per_pixel: f64, weighted: &[S::T], line: &mut [S::T]) {
    let real = S::T::from_f64;
    let lanes = S::N as f64;
    // Vectors that see a ray: the number of the first pixel below `rays`, of the last above -1.
    let first = ((-(start + 1.0) / per_pixel - lanes + 1.0) / lanes).floor().max(0.0) as usize;
    let last = (((rays as f64 - start) / per_pixel) / lanes + 1.0).max(0.0) as usize;
    // SAFETY: numbers lie in (-1 - N, rays + N) there, and PAD covers 2N + 2 on both sides.
    unsafe {
        let (zero, one) = (S::splat(S::T::default()), S::splat(real(1.0)));
        let (pitch, back) = (S::splat(real(1.0 / per_pixel)), S::splat(real(-1.0 / per_pixel)));
        let rest = S::splat(real(1.0 - 1.0 / per_pixel));
        let (start, per_pixel) = (S::splat(real(start + PAD as f64)), S::splat(real(per_pixel)));
        let mut position = S::add(S::iota(), S::splat(real(first as f64 * lanes)));
        for pixels in line.chunks_exact_mut(S::N).take(last).skip(first) {
            let number = S::fma(position, per_pixel, start);
            position = S::add(position, S::splat(real(lanes)));
            let i = S::trunc(number);
            let past = S::sub(number, S::real(i));
            let base = S::first(i);
            let (i, weighted) = (S::offset(i, -base), weighted.as_ptr().offset(base as isize));
            let left = S::fma(S::max(zero, S::fma(past, back, one)), S::window(weighted, i), S::load(pixels.as_ptr()));
            let right = S::max(zero, S::fma(past, pitch, rest));
            S::store(pixels.as_mut_ptr(), S::fma(right, S::window(weighted, S::offset(i, 1)), left));
        }
    }
}

impl Inverse {
    /// Ray number at pixel 0 of slab `s` and rays per pixel, where rays are one to five pixels apart.
    #[inline(always)]
    fn sparse(&self, s: usize) -> Option<(f64, f64)> {
        match self {
            Inverse::Linear { alpha, beta, per_pixel } if (0.2..=1.0).contains(per_pixel) => {
                Some((-(alpha + beta * s as f64) * per_pixel, *per_pixel))
            }
            _ => None,
        }
    }

    /// Ray numbers on slab `s` one pixel before every vector, from the one before the first.
    ///
    /// # Safety
    /// The processor has `S`; `ends` holds whole vectors.
    #[inline(always)]
    unsafe fn numbers<S: Simd>(&self, s: usize, ends: &mut [S::T]) {
        let lanes = S::N as f64;
        // SAFETY: by contract.
        unsafe {
            let real = |x: f64| S::splat(S::T::from_f64(x));
            for (m, ends) in ends.chunks_exact_mut(S::N).enumerate() {
                let vector = S::add(S::iota(), real((m * S::N) as f64 - 1.0));
                let at = |start: f64, per_pixel: f64| S::fma(vector, real(lanes * per_pixel), real(start));
                let number = match *self {
                    Inverse::Linear { alpha, beta, per_pixel } => {
                        at((-1.0 - beta * s as f64 - alpha) * per_pixel, per_pixel)
                    }
                    Inverse::Divergent { middle, x, s: source, stretch, slope, tilt, scale, curved } => {
                        let per_pixel = stretch / (s as f64 - source);
                        let excess = at((-1.0 - x) * per_pixel - slope, per_pixel);
                        // Beyond a right angle the far side of the scale would come back: stay at its end.
                        let below = S::fma(excess, real(slope - tilt), real(1.0 + slope * slope));
                        let ratio = S::div(excess, S::max(below, real(1e-6)));
                        S::fma(if curved { arctan::<S>(ratio) } else { ratio }, real(scale), real(middle))
                    }
                };
                S::store(ends.as_mut_ptr(), number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::geometry::{Beam, Scan, tests};
    use crate::plane;
    use crate::reference::{check, projector};
    use std::f64::consts::FRAC_PI_2;

    projector!(Plane, plane);

    const FLAT: Beam = Beam::Divergent { sod: 90.0, sdd: 140.0, curved: false };
    const CURVED: Beam = Beam::Divergent { sod: 90.0, sdd: 90.0, curved: true };

    fn scan(beam: Beam, shape: [usize; 3], views: usize, detector: [usize; 2]) -> Scan {
        let mut scan = tests::scan(beam, shape, views, detector);
        (scan.grid.origin[0], scan.offset[0]) = (0.0, 0.0);
        scan
    }

    #[test]
    fn both_directions_are_the_joseph_model() {
        for beam in [Beam::Parallel, FLAT, CURVED] {
            for (shape, columns) in
                [([1, 33, 47], 61), ([1, 70, 64], 90), ([1, 1, 1], 1), ([1, 5, 2], 40), ([1, 40, 3], 2)]
            {
                check(&scan(beam, shape, 13, [1, columns]), &Plane);
            }
        }
    }

    #[test]
    fn bins_much_finer_or_coarser_than_pixels_take_the_gather_path() {
        for beam in [Beam::Parallel, FLAT, CURVED] {
            for (pitch, columns) in [(0.11, 300), (0.4, 120), (4.5, 17), (30.0, 5)] {
                let mut scan = scan(beam, [1, 37, 41], 7, [1, columns]);
                scan.pitch[1] = pitch;
                check(&scan, &Plane);
            }
        }
    }

    #[test]
    fn rays_along_axes_and_diagonals_agree() {
        for beam in [Beam::Parallel, FLAT] {
            let mut scan = scan(beam, [1, 24, 24], 8, [1, 37]);
            scan.grid.spacing = [1.0; 3];
            scan.grid.origin = [0.0, -11.5, -11.5];
            (scan.pitch, scan.offset) = ([1.0; 2], [0.0; 2]);
            scan.angles = (0..8).map(|k| k as f64 * std::f64::consts::FRAC_PI_4).collect();
            check(&scan, &Plane);
        }
    }

    #[test]
    fn a_source_beside_the_grid_sees_only_what_lies_ahead() {
        let mut wide: Scan = scan(Beam::Divergent { sod: 21.0, sdd: 40.0, curved: true }, [1, 20, 30], 5, [1, 90]);
        wide.grid.origin = [0.0, -9.0, -16.0];
        wide.angles = vec![0.0, 1.0, FRAC_PI_2 + 1e-8, 3.0, 3.0 * FRAC_PI_2 + 1e-9];
        check(&wide, &Plane);
    }

    #[test]
    fn blocks_that_pass_beside_a_corner_stay_inside_the_padding() {
        let mut beside = scan(Beam::Divergent { sod: 600.0, sdd: 900.0, curved: false }, [1, 288, 288], 4, [1, 400]);
        (beside.grid.spacing, beside.grid.origin) = ([0.8; 3], [0.0, -114.8, -114.8]);
        (beside.pitch, beside.offset) = ([1.2; 2], [0.0; 2]);
        beside.angles = [104.0f64, 194.0, 256.0, 346.0].map(f64::to_radians).to_vec();
        check(&beside, &Plane);
    }
}
