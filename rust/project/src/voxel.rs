//! Voxel-driven back-projection for filtered back-projection, and its exact adjoint.
//!
//!   f(x) = Σ_views w(x) q(c(x), r(x))
//!
//! with q the filtered view, interpolated linearly (bilinearly) at the detector position of voxel x, and
//! w = 1 for parallel rays, (sod / depth)² on a flat detector, (sod / L)² on a curved one; depth is the distance
//! from the source along the central ray, L the in-plane distance from the source (Feldkamp, Davis & Kress
//! 1984; Kak & Slaney 1988, eqs. 3.4.35 and 3.4.20). Views are already weighted by their angular interval.
//! q ramps to 0 within one element beyond the detector.
//!
//! The adjoint spreads voxels onto the detector with the same weights; threads own views there and rows of
//! voxels in the forward direction, so the bits do not depend on their number.

use crate::geometry::{Beam, Scan, View};
use crate::line::{Positions, sample, spread};
use crate::raised::{LANES, Layout, Shared, lower, raise};
use crate::rays::PAD;
use rayon::prelude::*;
use spinray_core::simd::{Kernel, Real, Simd, dispatch};
use spinray_core::{Job, Result};

/// Images of one slice from which on lanes over images beat lanes over pixels.
const BATCH: usize = 8;
/// Zero columns before and after a re-ordered view, so that every voxel has two columns to blend.
const BEFORE: usize = 1;
const AFTER: usize = 2;
/// Rows of voxels a thread works on.
const ROWS: usize = 4;

/// Back-projects filtered views `q` (n, views, rows, columns) into volumes `x` (n, nz, ny, nx).
pub fn backproject<T: Real>(scan: &Scan, q: &[T], x: &mut [T], job: &Job) -> Result<()> {
    let n = q.len() / scan.len();
    let (views, volumes) = (scan.len(), scan.grid.len());
    if scan.is_planar() && n >= BATCH {
        return backproject_raised(scan, n, Layout::batch(scan, n), q, x, job);
    }
    for (q, x) in q.chunks_exact(views).zip(x.chunks_exact_mut(volumes)) {
        if scan.is_planar() {
            backproject_image(scan, q, x, job)?;
        } else {
            backproject_raised(scan, scan.grid.shape[0], Layout::of(scan), q, x, job)?;
        }
    }
    Ok(())
}

/// Spreads volumes `x` (n, nz, ny, nx) onto views `q` (n, views, rows, columns): the exact adjoint of [`backproject`].
pub fn spread_onto_views<T: Real>(scan: &Scan, x: &[T], q: &mut [T], job: &Job) -> Result<()> {
    let n = x.len() / scan.grid.len();
    let (views, volumes) = (scan.len(), scan.grid.len());
    if scan.is_planar() {
        return spread_raised(scan, n, Layout::batch(scan, n), x, q, job);
    }
    for (x, q) in x.chunks_exact(volumes).zip(q.chunks_exact_mut(views)) {
        spread_raised(scan, scan.grid.shape[0], Layout::of(scan), x, q, job)?;
    }
    Ok(())
}

/// Where the voxels of one row (y = const) fall on the detector of one view.
struct Shadow<T> {
    /// Column number, kept within one of the detector.
    column: Vec<T>,
    /// Magnification of z onto the detector.
    scale: Vec<T>,
    /// Weight of the view at the voxel.
    weight: Vec<T>,
}

impl<T: Real> Shadow<T> {
    fn new(nx: usize) -> Self {
        let n = nx.next_multiple_of(LANES);
        Self { column: vec![T::default(); n], scale: vec![T::default(); n], weight: vec![T::default(); n] }
    }

    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    unsafe fn cast<S: Simd<T = T>>(&mut self, scan: &Scan, view: View, j: usize) {
        let View { cos, sin } = view;
        let grid = &scan.grid;
        let (x0, dx) = (grid.origin[2], grid.spacing[2]);
        let y = grid.origin[1] + j as f64 * grid.spacing[1];
        let per_column = 1.0 / scan.pitch[1];
        // SAFETY: by contract; the arrays hold whole vectors.
        unsafe {
            let real = |x: f64| S::splat(T::from_f64(x));
            let (low, high) = (real(-1.0), real(scan.shape[1] as f64));
            let first = real(-scan.column_position(0) * per_column);
            let linear = |i: usize, a: f64, b: f64| S::fma(S::add(S::iota(), real(i as f64)), real(b), real(a));
            for i in (0..self.column.len()).step_by(S::N) {
                let (position, scale, weight);
                match scan.beam {
                    Beam::Parallel => {
                        let (a, b) = (x0 * cos + y * sin, dx * cos);
                        position = linear(i, a * per_column, b * per_column);
                        (scale, weight) = (real(1.0), real(1.0));
                    }
                    Beam::Divergent { sod, sdd, curved } => {
                        let across = linear(i, x0 * cos + y * sin, dx * cos);
                        let depth = linear(i, sod + y * cos - x0 * sin, -dx * sin);
                        let ratio = S::div(across, depth);
                        if curved {
                            let square = S::fma(across, across, S::mul(depth, depth));
                            scale = S::div(real(sdd), S::sqrt(square));
                            position = S::mul(arctan::<S>(ratio), real(sdd * per_column));
                        } else {
                            scale = S::div(real(sdd), depth);
                            position = S::mul(ratio, real(sdd * per_column));
                        }
                        let nearness = S::mul(scale, real(sod / sdd));
                        weight = S::mul(nearness, nearness);
                    }
                }
                let column = S::min(S::max(S::add(position, first), low), high);
                S::store(self.column.as_mut_ptr().add(i), column);
                S::store(self.scale.as_mut_ptr().add(i), scale);
                S::store(self.weight.as_mut_ptr().add(i), weight);
            }
        }
    }
}

/// Arc tangent: two halvings of the angle, arctan t = 2 arctan(t / (1 + √(1 + t²))), then the power series.
#[inline(always)]
unsafe fn arctan<S: Simd>(t: S::V) -> S::V {
    // SAFETY: the caller's processor has S.
    unsafe {
        let real = |x: f64| S::splat(S::T::from_f64(x));
        let half = |t: S::V| S::div(t, S::add(real(1.0), S::sqrt(S::fma(t, t, real(1.0)))));
        let t = half(half(t));
        let square = S::mul(t, t);
        // |t| <= tan(pi / 8): 20 terms leave less than 1e-16.
        let mut sum = real(0.0);
        for k in (0..20).rev() {
            let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
            sum = S::fma(sum, square, real(sign / (2 * k + 1) as f64));
        }
        S::mul(S::mul(sum, t), real(4.0))
    }
}

/// One image: lanes over its pixels.
fn backproject_image<T: Real>(scan: &Scan, q: &[T], x: &mut [T], job: &Job) -> Result<()> {
    let [_, ny, nx] = scan.grid.shape;
    let columns = scan.shape[1];
    // Parallel views in which columns run against x are mirrored, so that lanes always run upwards.
    let mirrored = |v: usize| scan.beam == Beam::Parallel && scan.view(v).cos < 0.0;
    let mut padded = vec![T::default(); scan.angles.len() * (columns + 2 * PAD)];
    for (v, (line, view)) in padded.chunks_exact_mut(columns + 2 * PAD).zip(q.chunks_exact(columns)).enumerate() {
        line[PAD..PAD + columns].copy_from_slice(view);
        if mirrored(v) {
            line[PAD..PAD + columns].reverse();
        }
    }
    let views: Vec<View> = (0..scan.angles.len()).map(|v| scan.view(v)).collect();
    let band = (ny / (4 * rayon::current_num_threads())).clamp(8, 64);
    job.for_each(x.par_chunks_mut(band * nx).enumerate(), |(n, rows)| {
        dispatch(BackprojectRows { scan, views: &views, padded: &padded, first: n * band, rows });
    })
}

struct BackprojectRows<'a, T> {
    scan: &'a Scan,
    views: &'a [View],
    padded: &'a [T],
    first: usize,
    rows: &'a mut [T],
}

/// Views whose lines stay in the second-level cache, and rows that stay in the first-level cache.
const VIEWS: usize = 32;
const LINES: usize = 8;

impl<T: Real> Kernel<T> for BackprojectRows<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let Self { scan, views, padded, first, rows } = self;
        let nx = scan.grid.shape[2];
        let columns = scan.shape[1];
        let stride = nx.next_multiple_of(LANES);
        let mut lines = vec![T::default(); rows.len() / nx * stride];
        let mut shadow = Shadow::new(nx);
        for (views, padded) in views.chunks(VIEWS).zip(padded.chunks(VIEWS * (columns + 2 * PAD))) {
            for (n, lines) in lines.chunks_mut(LINES * stride).enumerate() {
                for (&view, q) in views.iter().zip(padded.chunks_exact(columns + 2 * PAD)) {
                    for (m, line) in lines.chunks_exact_mut(stride).enumerate() {
                        let j = first + n * LINES + m;
                        // SAFETY: `dispatch` chose S; `q` is padded, `line` holds whole vectors.
                        unsafe {
                            if scan.beam == Beam::Parallel {
                                add_parallel::<S>(scan, view, j, q, line);
                            } else {
                                shadow.cast::<S>(scan, view, j);
                                add_shadow::<S>(&shadow, q, line);
                            }
                        }
                    }
                }
            }
        }
        for (row, line) in rows.chunks_exact_mut(nx).zip(lines.chunks_exact(stride)) {
            row.copy_from_slice(&line[..nx]);
        }
    }
}

#[inline(always)]
unsafe fn add_parallel<S: Simd>(scan: &Scan, View { cos, sin }: View, j: usize, q: &[S::T], line: &mut [S::T]) {
    let grid = &scan.grid;
    let (columns, per_column) = (scan.shape[1], 1.0 / scan.pitch[1]);
    let y = grid.origin[1] + j as f64 * grid.spacing[1];
    let start = (grid.origin[2] * cos + y * sin - scan.column_position(0)) * per_column;
    let start = if cos < 0.0 { (columns - 1) as f64 - start } else { start };
    let at = Positions { start, step: grid.spacing[2] * cos.abs() * per_column };
    let (first, last) = at.reaching(grid.shape[2], columns);
    let range = (first / S::N * S::N, last);
    // SAFETY: by contract.
    unsafe {
        let pixels = line.as_mut_ptr();
        sample::<S>(q.as_ptr().add(PAD), columns, at, range, |i, value| {
            S::store(pixels.add(i), S::add(S::load(pixels.add(i)), value));
        });
    }
}

#[inline(always)]
unsafe fn add_shadow<S: Simd>(shadow: &Shadow<S::T>, q: &[S::T], line: &mut [S::T]) {
    // SAFETY: columns are clamped to one beyond the detector, and `q` is padded.
    unsafe {
        let shift = S::splat(S::T::from_f64(PAD as f64));
        for (k, pixels) in line.chunks_exact_mut(S::N).enumerate() {
            let column = S::add(S::load(shadow.column.as_ptr().add(k * S::N)), shift);
            let weight = S::load(shadow.weight.as_ptr().add(k * S::N));
            let i = S::trunc(column);
            let (left, right) = (S::gather(q.as_ptr(), i), S::gather(q.as_ptr().add(1), i));
            let value = S::fma(S::sub(column, S::real(i)), S::sub(right, left), left);
            S::store(pixels.as_mut_ptr(), S::fma(weight, value, S::load(pixels.as_ptr())));
        }
    }
}

/// Volumes and batches: lanes over z (images).
fn backproject_raised<T: Real>(scan: &Scan, nz: usize, layout: Layout, q: &[T], x: &mut [T], job: &Job) -> Result<()> {
    let [_, ny, nx] = scan.grid.shape;
    let depth = nz.next_multiple_of(LANES);
    let columns = scan.shape[1];
    let stride = layout.rows.next_multiple_of(LANES);
    let mut raised = vec![T::default(); ny * nx * depth];
    let block = layout.views_at_once::<T>(scan);
    for first in (0..scan.angles.len()).step_by(block) {
        let last = (first + block).min(scan.angles.len());
        let views: Vec<Vec<T>> = (first..last)
            .into_par_iter()
            .map(|v| {
                let mut view = vec![T::default(); (columns + BEFORE + AFTER) * stride];
                layout.raise_view(q, v, columns, stride, &mut view[BEFORE * stride..]);
                view
            })
            .collect();
        job.for_each(raised.par_chunks_mut(ROWS * nx * depth).enumerate(), |(n, rows)| {
            dispatch(BackprojectColumns { scan, nz, depth, layout, views: &views, first, j: n * ROWS, rows });
        })?;
    }
    lower(&raised, x, nz, nx, depth);
    Ok(())
}

struct BackprojectColumns<'a, T> {
    scan: &'a Scan,
    nz: usize,
    depth: usize,
    layout: Layout,
    views: &'a [Vec<T>],
    /// Number of the first of `views`, and y index of the first of `rows`.
    first: usize,
    j: usize,
    rows: &'a mut [T],
}

impl<T: Real> Kernel<T> for BackprojectColumns<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let Self { scan, nz, depth, layout, views, first, j, rows } = self;
        let nx = scan.grid.shape[2];
        let stride = layout.rows.next_multiple_of(LANES);
        let mut shadow = Shadow::new(nx);
        let mut blend = vec![T::default(); stride + 2 * PAD];
        for (v, view) in views.iter().enumerate() {
            for (m, row) in rows.chunks_exact_mut(nx * depth).enumerate() {
                // SAFETY: `dispatch` chose S; columns are clamped to the padded view; voxel columns and
                // detector columns hold whole vectors, `blend` is padded.
                unsafe {
                    shadow.cast::<S>(scan, scan.view(first + v), j + m);
                    for (i, voxels) in row.chunks_exact_mut(depth).enumerate() {
                        let (near, fraction, weight) = shadow.at(i);
                        let near = view.as_ptr().add(near * stride);
                        let far = near.add(stride);
                        let weights = (S::splat(weight - fraction * weight), S::splat(fraction * weight));
                        let mix =
                            |k: usize| S::fma(S::load(far.add(k)), weights.1, S::mul(S::load(near.add(k)), weights.0));
                        let voxels = voxels.as_mut_ptr();
                        let add = |k: usize, value| S::store(voxels.add(k), S::add(S::load(voxels.add(k)), value));
                        if layout.identity {
                            for k in (0..depth).step_by(S::N) {
                                add(k, mix(k));
                            }
                            continue;
                        }
                        let at = shadow.heights(scan, i);
                        let seen = at.reaching(nz, layout.rows);
                        if seen.0 >= seen.1 {
                            continue;
                        }
                        let height = |k: usize| at.start + k as f64 * at.step;
                        let needed = (height(seen.0) as usize / LANES * LANES, (height(seen.1) + 2.0) as usize);
                        for k in (needed.0..needed.1.min(layout.rows)).step_by(S::N) {
                            S::store(blend.as_mut_ptr().add(PAD + k), mix(k));
                        }
                        let seen = (seen.0 / S::N * S::N, seen.1);
                        sample::<S>(blend.as_ptr().add(PAD), layout.rows, at, seen, add);
                    }
                }
            }
        }
    }
}

impl<T: Real> Shadow<T> {
    /// Voxel i: the padded column below it, the fraction beyond, and the weight.
    #[inline(always)]
    fn at(&self, i: usize) -> (usize, T, T) {
        let column = self.column[i].to_f64() + BEFORE as f64;
        let near = column as usize;
        (near, T::from_f64(column - near as f64), self.weight[i])
    }

    /// Where the slices above pixel i fall on the detector rows.
    #[inline(always)]
    fn heights(&self, scan: &Scan, i: usize) -> Positions {
        let scale = self.scale[i].to_f64();
        let start = (scale * scan.grid.origin[0] - scan.row_position(0)) / scan.pitch[0];
        Positions { start, step: scale * scan.grid.spacing[0] / scan.pitch[0] }
    }
}

/// The adjoint of both: every view collects what the voxels give it.
fn spread_raised<T: Real>(scan: &Scan, nz: usize, layout: Layout, x: &[T], q: &mut [T], job: &Job) -> Result<()> {
    let depth = nz.next_multiple_of(LANES);
    let raised = raise(x, nz, scan.grid.shape[2], depth);
    let out = Shared(q.as_mut_ptr());
    job.for_each(0..scan.angles.len(), |v| dispatch(SpreadView { scan, nz, depth, layout, raised: &raised, v, out }))
}

struct SpreadView<'a, T> {
    scan: &'a Scan,
    nz: usize,
    depth: usize,
    layout: Layout,
    raised: &'a [T],
    v: usize,
    out: Shared<T>,
}

impl<T: Real> Kernel<T> for SpreadView<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let Self { scan, nz, depth, layout, raised, v, out } = self;
        let [_, ny, nx] = scan.grid.shape;
        let columns = scan.shape[1];
        let stride = layout.rows.next_multiple_of(LANES);
        let mut view = vec![T::default(); (columns + BEFORE + AFTER) * stride];
        let mut shadow = Shadow::new(nx);
        let mut padded = vec![T::default(); depth + 2 * PAD];
        for j in 0..ny {
            let row = &raised[j * nx * depth..][..nx * depth];
            // SAFETY: as in the forward direction; rows beyond the last are dropped.
            unsafe {
                shadow.cast::<S>(scan, scan.view(v), j);
                for (i, voxels) in row.chunks_exact(depth).enumerate() {
                    let (near, fraction, weight) = shadow.at(i);
                    let near = view.as_mut_ptr().add(near * stride);
                    let far = near.add(stride);
                    let weights = (S::splat(weight - fraction * weight), S::splat(fraction * weight));
                    let add = |k: usize, value: S::V| {
                        S::store(near.add(k), S::fma(value, weights.0, S::load(near.add(k))));
                        S::store(far.add(k), S::fma(value, weights.1, S::load(far.add(k))));
                    };
                    if layout.identity {
                        for k in (0..depth).step_by(S::N) {
                            add(k, S::load(voxels.as_ptr().add(k)));
                        }
                        continue;
                    }
                    padded[PAD..PAD + depth].copy_from_slice(voxels);
                    let at = shadow.heights(scan, i);
                    let first = (at.start - 1.0).max(0.0) as usize / S::N * S::N;
                    let end = at.start + at.step * (nz - 1) as f64 + 2.0;
                    spread::<S>(
                        padded.as_ptr().add(PAD),
                        nz,
                        at,
                        (first, (end.max(0.0) as usize).min(layout.rows)),
                        add,
                    );
                }
            }
        }
        for r in 0..layout.rows {
            for c in 0..columns {
                // SAFETY: this task alone writes this view.
                unsafe { out.at(v * layout.view + r * layout.row + c).write(view[(c + BEFORE) * stride + r]) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::tests::scan;
    use crate::reference::{error, noise};

    const FLAT: Beam = Beam::Divergent { sod: 90.0, sdd: 140.0, curved: false };
    const CURVED: Beam = Beam::Divergent { sod: 90.0, sdd: 110.0, curved: true };

    /// The definition, voxel by voxel: (value index, voxel, weight).
    fn weights(scan: &Scan) -> Vec<(usize, usize, f64)> {
        let [nz, ny, nx] = scan.grid.shape;
        let [n_rows, n_cols] = scan.shape;
        let world = |axis: usize, k: usize| scan.grid.origin[axis] + k as f64 * scan.grid.spacing[axis];
        let mut weights = vec![];
        for (v, t) in scan.angles.iter().enumerate() {
            for voxel in 0..nz * ny * nx {
                let (k, j, i) = (voxel / (ny * nx), voxel / nx % ny, voxel % nx);
                let (x, y, z) = (world(2, i), world(1, j), world(0, k));
                let (across, along) = (x * t.cos() + y * t.sin(), y * t.cos() - x * t.sin());
                let (u, h, w) = match scan.beam {
                    Beam::Parallel => (across, z, 1.0),
                    Beam::Divergent { sod, sdd, curved } => {
                        let depth = sod + along;
                        let l = if curved { depth.hypot(across) } else { depth };
                        let u = if curved { sdd * across.atan2(depth) } else { sdd * across / depth };
                        (u, sdd * z / l, (sod / l).powi(2))
                    }
                };
                let c = (u - scan.column_position(0)) / scan.pitch[1];
                let r = (h - scan.row_position(0)) / scan.pitch[0];
                for (ci, cw) in [(c.floor(), 1.0 - c + c.floor()), (c.floor() + 1.0, c - c.floor())] {
                    for (ri, rw) in [(r.floor(), 1.0 - r + r.floor()), (r.floor() + 1.0, r - r.floor())] {
                        if ci >= 0.0 && ci < n_cols as f64 && ri >= 0.0 && ri < n_rows as f64 {
                            weights.push(((v * n_rows + ri as usize) * n_cols + ci as usize, voxel, cw * rw * w));
                        }
                    }
                }
            }
        }
        weights
    }

    fn check(scan: &Scan, n: usize) {
        let weights = weights(scan);
        let (views, voxels) = (scan.len(), scan.grid.len());
        let (q, x) = (noise(n * views, 1), noise(n * voxels, 2));
        let (mut volumes, mut onto) = (vec![0.0; n * voxels], vec![0.0; n * views]);
        for b in 0..n {
            for &(value, voxel, w) in &weights {
                volumes[b * voxels + voxel] += w * q[b * views + value];
                onto[b * views + value] += w * x[b * voxels + voxel];
            }
        }
        let (mut found, mut back) = (vec![0.0; x.len()], vec![0.0; q.len()]);
        backproject(scan, &q, &mut found, &Job::new()).unwrap();
        spread_onto_views(scan, &x, &mut back, &Job::new()).unwrap();
        let (forward, adjoint) = (error(found, &volumes), error(back, &onto));
        assert!(forward < 1e-12 && adjoint < 1e-12, "{:?} {:?} x{n}: {forward} {adjoint}", scan.beam, scan.grid.shape);
        let single = |v: &[f64]| v.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let (mut found, mut back) = (vec![0.0f32; x.len()], vec![0.0f32; q.len()]);
        backproject(scan, &single(&q), &mut found, &Job::new()).unwrap();
        spread_onto_views(scan, &single(&x), &mut back, &Job::new()).unwrap();
        let widen = |v: Vec<f32>| v.into_iter().map(f64::from);
        let (forward, adjoint) = (error(widen(found), &volumes), error(widen(back), &onto));
        assert!(forward < 5e-5 && adjoint < 5e-5, "f32 {:?} {:?}: {forward} {adjoint}", scan.beam, scan.grid.shape);
    }

    #[test]
    fn images_volumes_and_batches_meet_the_definition() {
        for beam in [Beam::Parallel, FLAT, CURVED] {
            let mut image = scan(beam, [1, 31, 37], 9, [1, 45]);
            (image.grid.origin[0], image.offset[0]) = (0.0, 0.0);
            check(&image, 2);
            check(&image, 9);
            image.shape[1] = 11; // voxels beyond both ends of the detector
            check(&image, 1);
            check(&scan(beam, [19, 13, 12], 7, [15, 21]), 1);
            check(&scan(beam, [5, 9, 8], 7, [60, 21]), 2);
        }
        let mut stack = scan(Beam::Parallel, [18, 11, 10], 6, [18, 19]);
        (stack.pitch[0], stack.offset[0], stack.grid.origin[0]) = (1.3, 0.0, -8.5 * 1.3);
        check(&stack, 1);
    }

    #[test]
    fn arctan_is_exact_to_rounding() {
        struct Worst;
        impl Kernel<f64> for Worst {
            type Output = f64;
            #[inline(always)]
            unsafe fn run<S: Simd<T = f64>>(self) -> f64 {
                let mut out = [0.0; 8];
                let at = |x: f64| -> f64 {
                    // SAFETY: `dispatch` chose S; f64 has 8 lanes everywhere.
                    unsafe { S::store(out.as_mut_ptr(), arctan::<S>(S::splat(x))) };
                    (out[0] - x.atan()).abs()
                };
                (-400..400).map(|k| k as f64 * 0.03).map(at).fold(0.0, f64::max)
            }
        }
        assert!(dispatch(Worst) < 5e-16 * 4.0);
    }
}
