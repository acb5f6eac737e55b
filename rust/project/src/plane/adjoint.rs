//! From the measurement to the image: the pixels of a slab collect their rays.

use super::candidates::Candidates;
use super::turns::{Place, Turned, turned};
use crate::geometry::Scan;
use crate::rays::{PAD, Run};
use rayon::prelude::*;
use spinray_core::simd::{Kernel, Real, Simd, dispatch};
use spinray_core::{Job, Result};

/// Pairs of slabs, mirror images of each other, that stay in the cache while the rays of a run pass over them.
const PAIRS: usize = 4;
/// Groups of views whose rays stay in the second-level cache while all slabs of a band meet them.
const GROUPS: usize = 8;
/// The most pairs of slabs one task owns.
const BAND: usize = 16;

/// Back-projects `y` (n, views, columns) into the images `x` (n, ny, nx): the exact adjoint of [`super::forward`].
pub fn adjoint<T: Real>(scan: &Scan, y: &[T], x: &mut [T], job: &Job) -> Result<()> {
    let [_, ny, nx] = scan.grid.shape;
    let groups = turned::<T>(scan);
    for (sinogram, image) in y.chunks_exact(scan.len()).zip(x.chunks_exact_mut(ny * nx)) {
        let weighted: Vec<Vec<T>> = groups.par_iter().map(|group| weigh(scan, group, sinogram)).collect();
        let mut turned = vec![T::default(); ny * nx];
        let band = (ny.max(nx) / (8 * rayon::current_num_threads())).clamp(1, BAND);
        let tasks = ny.max(nx).div_ceil(2).div_ceil(band);
        let upright = Slabs::split(image, [ny, nx], band, tasks);
        let lying = Slabs::split(&mut turned, [nx, ny], band, tasks);
        let tasks: Vec<_> = upright.into_iter().zip(lying).collect();
        job.for_each(tasks, |(upright, lying)| {
            dispatch(BackprojectBand { groups: &groups, weighted: &weighted, band, slabs: [upright, lying] });
        })?;
        image.par_chunks_exact_mut(nx).enumerate().for_each(|(j, row)| {
            for (i, pixel) in row.iter_mut().enumerate() {
                *pixel += turned[i * ny + j];
            }
        });
    }
    Ok(())
}

/// Measurements times path per slab in the order of the rays, zero in the padding, view after view of a group.
fn weigh<T: Real>(scan: &Scan, group: &Turned<T>, sinogram: &[T]) -> Vec<T> {
    let rays = &group.rays;
    let mut weighted = vec![T::default(); group.views.len() * rays.alpha.len()];
    for (weighted, &(view, _)) in weighted.chunks_exact_mut(rays.alpha.len()).zip(&group.views) {
        for run in &rays.runs {
            for k in 0..run.len {
                let value = sinogram[view * scan.shape[1] + run.column(k)];
                weighted[run.start + k] = value * rays.length[run.start + k];
            }
        }
    }
    weighted
}

/// The part of an image one task owns: slabs `first..` of its first half and their mirror images in the second.
struct Slabs<'a, T> {
    height: usize,
    width: usize,
    first: usize,
    front: &'a mut [T],
    back: &'a mut [T],
}

impl<'a, T> Slabs<'a, T> {
    /// Shares out an image of `height` slabs among `tasks`, `band` pairs of slabs each.
    fn split(image: &'a mut [T], [height, width]: [usize; 2], band: usize, tasks: usize) -> Vec<Self> {
        let (front, back) = image.split_at_mut(height.div_ceil(2) * width);
        let (mut front, mut back) = (front.chunks_mut(band * width), back.rchunks_mut(band * width));
        let slabs = |task| Self {
            height,
            width,
            first: task * band,
            front: front.next().unwrap_or_default(),
            back: back.next().unwrap_or_default(),
        };
        (0..tasks).map(slabs).collect()
    }

    /// Slab number `pair` of the first half, and its mirror image unless it is the middle.
    fn pair(&self, pair: usize) -> impl Iterator<Item = usize> {
        let near = self.first + pair;
        let far = (self.height - 1).saturating_sub(near);
        std::iter::once(near).filter(move |_| near <= far).chain(std::iter::once(far).filter(move |_| near < far))
    }
}

struct BackprojectBand<'a, T> {
    groups: &'a [Turned<T>],
    weighted: &'a [Vec<T>],
    band: usize,
    /// Of the image whose slabs are rows, and of that whose slabs are columns.
    slabs: [Slabs<'a, T>; 2],
}

impl<T: Real> Kernel<T> for BackprojectBand<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let Self { groups, weighted, band, slabs } = self;
        let mut lines = [0, 1].map(|axis| Lines::new(&slabs[axis], band, S::N));
        let mut candidates = [0, 1].map(|axis| Candidates::new(lines[axis].stride / S::N, S::N));
        for (groups, weighted) in groups.chunks(GROUPS).zip(weighted.chunks(GROUPS)) {
            for first in (0..band).step_by(PAIRS) {
                for (group, weighted) in groups.iter().zip(weighted) {
                    for run in &group.rays.runs {
                        let axis = run.axis as usize;
                        let from = run.start - PAD;
                        let rays = PaddedRun { run, alpha: &group.rays.alpha[from..], beta: &group.rays.beta[from..] };
                        for pair in first..band.min(first + PAIRS) {
                            for s in slabs[axis].pair(pair).filter(|s| run.slabs.contains(s)) {
                                let mut members = [(std::ptr::null(), std::ptr::null_mut()); 4];
                                for (m, &(_, turns)) in group.views.iter().enumerate() {
                                    let place = Place::of(run.axis, turns);
                                    let s = if place.from_end { slabs[axis].height - 1 - s } else { s };
                                    let line = lines[place.axis as usize].at(s, place.mirrored);
                                    members[m] = (weighted[m * group.rays.alpha.len() + from..].as_ptr(), line);
                                }
                                let candidates = &mut candidates[axis];
                                // SAFETY: `dispatch` chose S; lines hold whole vectors, and no two members share one.
                                unsafe {
                                    match group.views.len() {
                                        4 => meet::<S, 4>(&rays, s, candidates, &members),
                                        2 => meet::<S, 2>(&rays, s, candidates, &members),
                                        _ => meet::<S, 1>(&rays, s, candidates, &members),
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        for (slabs, lines) in slabs.into_iter().zip(lines) {
            lines.write(slabs);
        }
    }
}

/// What the slabs of a band have collected, forwards and backwards, in whole vectors.
struct Lines<T> {
    height: usize,
    first: usize,
    band: usize,
    stride: usize,
    data: Vec<T>,
}

impl<T: Real> Lines<T> {
    fn new(slabs: &Slabs<'_, T>, band: usize, lanes: usize) -> Self {
        let stride = slabs.width.next_multiple_of(lanes);
        let data = vec![T::default(); 4 * band * stride];
        Self { height: slabs.height, first: slabs.first, band, stride, data }
    }

    /// Where the line of slab `s` begins.
    fn start(&self, s: usize, mirrored: bool) -> usize {
        let far = self.height - 1 - s;
        let row = if s <= far { s - self.first } else { self.band + far - self.first };
        (2 * row + usize::from(mirrored)) * self.stride
    }

    fn at(&mut self, s: usize, mirrored: bool) -> *mut T {
        let start = self.start(s, mirrored);
        self.data[start..start + self.stride].as_mut_ptr()
    }

    fn write(&self, slabs: Slabs<'_, T>) {
        let Slabs { height, width, first, front, back } = slabs;
        let behind = height - first - back.len() / width;
        for (first, rows) in [(first, front), (behind, back)] {
            for (s, row) in (first..).zip(rows.chunks_exact_mut(width)) {
                let line = |mirrored| &self.data[self.start(s, mirrored)..][..width];
                for ((pixel, &plain), &mirrored) in row.iter_mut().zip(line(false)).zip(line(true).iter().rev()) {
                    *pixel = plain + mirrored;
                }
            }
        }
    }
}

/// The rays of a run from PAD entries before the first.
struct PaddedRun<'a, T> {
    run: &'a Run,
    alpha: &'a [T],
    beta: &'a [T],
}

/// Weighted measurements of a run, from PAD entries before the first, and the line of pixels they go to.
type Member<T> = (*const T, *mut T);

/// Adds to the lines of the first M members what the rays of a run bring to slab `s`.
///
/// # Safety
/// The processor has `S`; measurements hold PAD entries after the last ray; lines hold as many whole vectors as
/// `candidates`, and no two members share one.
#[inline(always)]
unsafe fn meet<S: Simd, const M: usize>(
    rays: &PaddedRun<'_, S::T>,
    s: usize,
    candidates: &mut Candidates<S::T>,
    members: &[Member<S::T>; 4],
) {
    let members = members.first_chunk::<M>().expect("M is at most 4");
    // SAFETY: by contract.
    unsafe {
        if let Some((start, per_pixel)) = rays.run.inverse.sparse(s) {
            collect_pairs::<S, M>(rays.run.len, start, per_pixel, candidates.vectors, members);
        } else {
            candidates.find::<S>(rays.run, s);
            if candidates.narrow {
                collect::<S, M>(rays, s, candidates, members);
            } else {
                scatter(rays, s, candidates.vectors * S::N, members);
            }
        }
    }
}

/// Every pixel looks at the few rays around it, their crossings by the expression the forward direction uses.
///
/// # Safety
/// That of [`meet`].
#[inline(always)]
unsafe fn collect<S: Simd, const M: usize>(
    rays: &PaddedRun<'_, S::T>,
    s: usize,
    candidates: &Candidates<S::T>,
    members: &[Member<S::T>; M],
) {
    let real = |x: f64| S::T::from_f64(x);
    // SAFETY: look-ups start between entries PAD - 1 and PAD + rays + 1 and stay below 2N from there.
    unsafe {
        let (zero, one) = (S::splat(S::T::default()), S::splat(real(1.0)));
        let slab = S::splat(real(s as f64));
        let along = S::mul(S::iota(), S::splat(real(1.0 / S::N as f64)));
        let curve = S::mul(along, S::sub(along, one));
        let shift = S::splat(real(PAD as f64 + 1.0));
        let low = S::splat(real(PAD as f64 - 1.0));
        for m in candidates.first..candidates.last {
            let count = *candidates.counts.get_unchecked(m);
            let from = S::add(S::splat(*candidates.starts.get_unchecked(m)), shift);
            let from = S::fma(along, S::splat(*candidates.widths.get_unchecked(m)), from);
            let first = S::max(S::fma(curve, S::splat(*candidates.bends.get_unchecked(m)), from), low);
            let here = S::add(S::iota(), S::splat(real((m * S::N) as f64)));
            let i = S::trunc(first);
            let base = S::first(i);
            let mut i = S::offset(i, -base);
            let (alpha, beta) = (rays.alpha.as_ptr().offset(base as isize), rays.beta.as_ptr().offset(base as isize));
            let near = S::fma(S::load(beta), slab, S::load(alpha));
            let far = S::fma(S::load(beta.add(S::N)), slab, S::load(alpha.add(S::N)));
            let mut sums = members.map(|(_, line)| S::load(line.add(m * S::N)));
            for _ in 0..count {
                let hat = S::max(zero, S::sub(one, S::abs(S::sub(S::table(near, far, i), here))));
                for (sum, (weighted, _)) in sums.iter_mut().zip(members) {
                    *sum = S::fma(hat, S::window(weighted.offset(base as isize), i), *sum);
                }
                i = S::offset(i, 1);
            }
            for (sum, (_, line)) in sums.iter().zip(members) {
                S::store(line.add(m * S::N), *sum);
            }
        }
    }
}

/// [`collect`] ray by ray, for rays much denser than pixels, or close beside their source.
///
/// # Safety
/// Lines hold `width` pixels, measurements those of the rays.
unsafe fn scatter<T: Real>(rays: &PaddedRun<'_, T>, s: usize, width: usize, members: &[Member<T>]) {
    let slab = T::from_f64(s as f64);
    for k in PAD..PAD + rays.run.len {
        let x = (rays.beta[k] * slab + rays.alpha[k]).to_f64();
        let i = x.floor();
        let right = T::from_f64(x - i);
        for (i, weight) in [(i, T::from_f64(1.0) - right), (i + 1.0, right)] {
            if i >= 0.0 && i < width as f64 {
                for (weighted, line) in members {
                    // SAFETY: by contract.
                    unsafe { *line.add(i as usize) += weight * *weighted.add(k) };
                }
            }
        }
    }
}

/// [`collect`] for parallel rays at least a pixel apart: only the rays on either side reach a pixel, and
/// their distance follows from the fractional ray number.
///
/// # Safety
/// That of [`meet`].
#[inline(always)]
unsafe fn collect_pairs<S: Simd, const M: usize>(
    rays: usize,
    start: f64,
    per_pixel: f64,
    vectors: usize,
    members: &[Member<S::T>; M],
) {
    let real = S::T::from_f64;
    let lanes = S::N as f64;
    // Vectors that see a ray: the number of the first pixel below `rays`, of the last above -1.
    let first = ((-(start + 1.0) / per_pixel - lanes + 1.0) / lanes).floor().max(0.0) as usize;
    let last = ((((rays as f64 - start) / per_pixel) / lanes + 1.0).max(0.0) as usize).min(vectors);
    // SAFETY: numbers lie in (-1 - N, rays + N) there, and PAD covers 2N + 2 on both sides.
    unsafe {
        let (zero, one) = (S::splat(S::T::default()), S::splat(real(1.0)));
        let (pitch, back) = (S::splat(real(1.0 / per_pixel)), S::splat(real(-1.0 / per_pixel)));
        let rest = S::splat(real(1.0 - 1.0 / per_pixel));
        let (start, per_pixel) = (S::splat(real(start + PAD as f64)), S::splat(real(per_pixel)));
        let mut position = S::add(S::iota(), S::splat(real(first as f64 * lanes)));
        for m in first..last {
            let number = S::fma(position, per_pixel, start);
            position = S::add(position, S::splat(real(lanes)));
            let i = S::trunc(number);
            let past = S::sub(number, S::real(i));
            let base = S::first(i);
            let i = S::offset(i, -base);
            let left = S::max(zero, S::fma(past, back, one));
            let right = S::max(zero, S::fma(past, pitch, rest));
            for (weighted, line) in members {
                let (weighted, pixels) = (weighted.offset(base as isize), line.add(m * S::N));
                let sum = S::fma(left, S::window(weighted, i), S::load(pixels));
                S::store(pixels, S::fma(right, S::window(weighted, S::offset(i, 1)), sum));
            }
        }
    }
}
