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
use crate::line::{Positions, arctan, sample, spread};
use crate::raised::{LANES, Layout, Shared, lower, raise};
use crate::rays::PAD;
use rayon::prelude::*;
use spinray_core::buffer::zeros;
use spinray_core::simd::{Kernel, Real, Simd, dispatch};
use spinray_core::{Job, Result};

/// Zero columns before and after a re-ordered view, so that every voxel has two columns to blend.
const BEFORE: usize = 1;
const AFTER: usize = 2;
/// Rows of voxels a thread works on.
const ROWS: usize = 4;
/// Bytes of voxels that stay in the first-level cache.
const TILE_BYTES: usize = 16 << 10;

/// Back-projects filtered views (n, views, rows, columns) into volumes `x` (n, nz, ny, nx). `views(v, q)` writes as
/// many whole views as `q` holds, from view v of the n · views on: they are filtered when their turn comes, and
/// never all in memory.
pub fn backproject<T: Real>(
    scan: &Scan,
    views: impl Fn(usize, &mut [T]) + Sync + Send,
    x: &mut [T],
    job: &Job,
) -> Result<()> {
    for (n, x) in x.chunks_exact_mut(scan.grid.len()).enumerate() {
        let views = |v: usize, q: &mut [T]| views(n * scan.angles.len() + v, q);
        if scan.is_planar() {
            backproject_image(scan, views, x, job)?;
        } else {
            backproject_raised(scan, views, x, job)?;
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
    /// Of the two columns around a voxel the lower one, counted from the first zero column; voxels beyond
    /// the detector are kept next to it.
    near: Vec<i32>,
    /// Weights of the lower and the upper column.
    weights: [Vec<T>; 2],
    /// Magnification of z onto the detector.
    scale: Vec<T>,
}

impl<T: Real> Shadow<T> {
    fn new(nx: usize) -> Self {
        let n = nx.next_multiple_of(LANES);
        let zeros = || vec![T::default(); n];
        Self { near: vec![0; n], weights: [zeros(), zeros()], scale: zeros() }
    }

    /// Fills in voxels first..last of row `j`, whole vectors.
    ///
    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    unsafe fn cast<S: Simd<T = T>>(&mut self, scan: &Scan, view: View, j: usize, (first, last): (usize, usize)) {
        let View { cos, sin } = view;
        let grid = &scan.grid;
        let (x0, dx) = (grid.origin[2], grid.spacing[2]);
        let y = grid.origin[1] + j as f64 * grid.spacing[1];
        let per_column = 1.0 / scan.pitch[1];
        // SAFETY: by contract; the arrays hold whole vectors.
        unsafe {
            let real = |x: f64| S::splat(T::from_f64(x));
            let (low, high) = (real(0.0), real((scan.shape[1] + BEFORE) as f64));
            let shift = real(BEFORE as f64 - scan.column_position(0) * per_column);
            for i in (first..last).step_by(S::N) {
                let index = S::add(S::iota(), real(i as f64));
                let linear = |a: f64, b: f64| S::fma(index, real(b), real(a));
                let (position, scale, weight);
                match scan.beam {
                    Beam::Parallel => {
                        position = linear((x0 * cos + y * sin) * per_column, dx * cos * per_column);
                        (scale, weight) = (real(1.0), real(1.0));
                    }
                    Beam::Divergent { sod, sdd, curved } => {
                        let across = linear(x0 * cos + y * sin, dx * cos);
                        let depth = linear(sod + y * cos - x0 * sin, -dx * sin);
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
                let column = S::min(S::max(S::add(position, shift), low), high);
                let near = S::trunc(column);
                let far = S::mul(S::sub(column, S::real(near)), weight);
                S::store_index(self.near.as_mut_ptr().add(i), near);
                S::store(self.weights[0].as_mut_ptr().add(i), S::sub(weight, far));
                S::store(self.weights[1].as_mut_ptr().add(i), far);
                S::store(self.scale.as_mut_ptr().add(i), scale);
            }
        }
    }

    /// Where the slices above voxel i fall on the detector rows.
    #[inline(always)]
    fn heights(&self, scan: &Scan, i: usize) -> Positions {
        let scale = self.scale[i].to_f64();
        let per_row = 1.0 / scan.pitch[0];
        let start = (scale * scan.grid.origin[0] - scan.row_position(0)) * per_row;
        Positions { start, step: scale * scan.grid.spacing[0] * per_row }
    }
}

/// One image: lanes over its pixels.
fn backproject_image<T: Real>(
    scan: &Scan,
    filtered: impl Fn(usize, &mut [T]) + Sync + Send,
    x: &mut [T],
    job: &Job,
) -> Result<()> {
    let [_, ny, nx] = scan.grid.shape;
    let columns = scan.shape[1];
    let stride = columns + 2 * PAD;
    // Parallel views in which columns run against x are mirrored, so that lanes always run upwards.
    let mirrored = |v: usize| scan.beam == Beam::Parallel && scan.view(v).cos < 0.0;
    let mut padded = vec![T::default(); scan.angles.len() * stride];
    job.for_each(padded.par_chunks_mut(VIEWS * stride).enumerate(), |(n, lines)| {
        let mut q = vec![T::default(); lines.len() / stride * columns];
        filtered(n * VIEWS, &mut q);
        for (v, (line, view)) in lines.chunks_exact_mut(stride).zip(q.chunks_exact(columns)).enumerate() {
            line[PAD..PAD + columns].copy_from_slice(view);
            if mirrored(n * VIEWS + v) {
                line[PAD..PAD + columns].reverse();
            }
        }
    })?;
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
                                shadow.cast::<S>(scan, view, j, (0, stride));
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
    // No pixel of this row may be seen: its first vector would look up entries far off the view.
    if first >= last {
        return;
    }
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
        let q = q.as_ptr().add(PAD - BEFORE);
        for (k, pixels) in line.chunks_exact_mut(S::N).enumerate() {
            let near = S::load_index(shadow.near.as_ptr().add(k * S::N));
            let weights = shadow.weights.each_ref().map(|w| S::load(w.as_ptr().add(k * S::N)));
            let value = S::fma(weights[0], S::gather(q, near), S::load(pixels.as_ptr()));
            S::store(pixels.as_mut_ptr(), S::fma(weights[1], S::gather(q.add(1), near), value));
        }
    }
}

/// Volumes: lanes over z.
fn backproject_raised<T: Real>(
    scan: &Scan,
    filtered: impl Fn(usize, &mut [T]) + Sync + Send,
    x: &mut [T],
    job: &Job,
) -> Result<()> {
    let [nz, ny, nx] = scan.grid.shape;
    let layout = Layout::of(scan);
    let depth = nz.next_multiple_of(LANES);
    let columns = scan.shape[1];
    let stride = layout.rows.next_multiple_of(LANES);
    let mut raised = zeros(ny * nx * depth);
    let block = layout.views_at_once::<T>(scan);
    let size = (columns + BEFORE + AFTER) * stride;
    let mut views = zeros(block * size);
    for first in (0..scan.angles.len()).step_by(block) {
        let views = &mut views[..block.min(scan.angles.len() - first) * size];
        job.for_each(views.par_chunks_exact_mut(size).enumerate(), |(v, view)| {
            let mut q = vec![T::default(); layout.rows * columns];
            filtered(first + v, &mut q);
            layout.raise_view(&q, 0, columns, stride, &mut view[BEFORE * stride..]);
        })?;
        let views: Vec<&[T]> = views.chunks_exact(size).collect();
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
    views: &'a [&'a [T]],
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
        // Voxels whose sums stay in the first-level cache while the views pass.
        let tile = (TILE_BYTES / (ROWS * depth * size_of::<T>()) / LANES * LANES).max(LANES);
        for x0 in (0..nx).step_by(tile) {
            for (v, view) in views.iter().enumerate() {
                let geometry = scan.view(first + v);
                for (m, row) in rows.chunks_exact_mut(nx * depth).enumerate() {
                    // SAFETY: `dispatch` chose S; columns are clamped to the padded view; voxel columns and
                    // detector columns hold whole vectors, `blend` is padded.
                    unsafe {
                        shadow.cast::<S>(scan, geometry, j + m, (x0, (x0 + tile).min(nx)));
                        for (i, voxels) in row.chunks_exact_mut(depth).enumerate().take(x0 + tile).skip(x0) {
                            let near = view.as_ptr().add(*shadow.near.get_unchecked(i) as usize * stride);
                            let far = near.add(stride);
                            let weights = shadow.weights.each_ref().map(|w| S::splat(*w.get_unchecked(i)));
                            let voxels = voxels.as_mut_ptr();
                            if layout.identity {
                                for k in (0..depth).step_by(S::N) {
                                    let sum = S::fma(S::load(near.add(k)), weights[0], S::load(voxels.add(k)));
                                    S::store(voxels.add(k), S::fma(S::load(far.add(k)), weights[1], sum));
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
                                let value = S::mul(S::load(near.add(k)), weights[0]);
                                let value = S::fma(S::load(far.add(k)), weights[1], value);
                                S::store(blend.as_mut_ptr().add(PAD + k), value);
                            }
                            let seen = (seen.0 / S::N * S::N, seen.1);
                            sample::<S>(blend.as_ptr().add(PAD), layout.rows, at, seen, |k, value| {
                                S::store(voxels.add(k), S::add(S::load(voxels.add(k)), value));
                            });
                        }
                    }
                }
            }
        }
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
                shadow.cast::<S>(scan, scan.view(v), j, (0, nx));
                for (i, voxels) in row.chunks_exact(depth).enumerate() {
                    let near = view.as_mut_ptr().add(shadow.near[i] as usize * stride);
                    let far = near.add(stride);
                    let weights = shadow.weights.each_ref().map(|w| S::splat(w[i]));
                    let add = |k: usize, value: S::V| {
                        S::store(near.add(k), S::fma(value, weights[0], S::load(near.add(k))));
                        S::store(far.add(k), S::fma(value, weights[1], S::load(far.add(k))));
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
        fn copy<T: Real>(scan: &Scan, q: &[T]) -> impl Fn(usize, &mut [T]) {
            let size = scan.shape[0] * scan.shape[1];
            move |v, out| out.copy_from_slice(&q[v * size..][..out.len()])
        }
        let (q, x) = (noise(n * views, 1), noise(n * voxels, 2));
        let (mut volumes, mut onto) = (vec![0.0; n * voxels], vec![0.0; n * views]);
        for b in 0..n {
            for &(value, voxel, w) in &weights {
                volumes[b * voxels + voxel] += w * q[b * views + value];
                onto[b * views + value] += w * x[b * voxels + voxel];
            }
        }
        let (mut found, mut back) = (vec![0.0; x.len()], vec![0.0; q.len()]);
        backproject(scan, copy(scan, &q), &mut found, &Job::new()).unwrap();
        spread_onto_views(scan, &x, &mut back, &Job::new()).unwrap();
        let (forward, adjoint) = (error(found, &volumes), error(back, &onto));
        assert!(forward < 1e-12 && adjoint < 1e-12, "{:?} {:?} x{n}: {forward} {adjoint}", scan.beam, scan.grid.shape);
        let single = |v: &[f64]| v.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let (mut found, mut back) = (vec![0.0f32; x.len()], vec![0.0f32; q.len()]);
        backproject(scan, copy(scan, &single(&q)), &mut found, &Job::new()).unwrap();
        spread_onto_views(scan, &single(&x), &mut back, &Job::new()).unwrap();
        let widen = |v: Vec<f32>| v.into_iter().map(f64::from);
        let (forward, adjoint) = (error(widen(found), &volumes), error(widen(back), &onto));
        assert!(forward < 5e-5 && adjoint < 5e-5, "f32 {:?} {:?}: {forward} {adjoint}", scan.beam, scan.grid.shape);
    }

    #[test]
    fn images_volumes_and_batches_meet_the_definition() {
        for beam in [Beam::Parallel, FLAT, CURVED] {
            let mut image = scan(beam, [1, 31, 37], VIEWS + 3, [1, 45]);
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
}
