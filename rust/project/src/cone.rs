//! Cone beams, and stacks of slices or images: rays of one detector column share a plane parallel to z.
//!
//! Integral: p = ∫ f along the ray. Discretisation (Joseph 1982): f is sampled on the slabs of the
//! in-plane driving axis, bilinearly in the transverse index and z, times the path per slab in 3-D. A
//! ray should rise less than one slice per slab (it does unless slices are much thinner than pixels).
//!
//!   forward:  p[r, c] = len_rc Σ_s Σ_i hat(alpha_c + beta_c s - i) Σ_k hat(z_r(s) - k) f[s, i, k]
//!   adjoint:  the same weights, summed over rays
//!
//! z and detector rows are the contiguous axis of the working copies. Per (column, slab) the forward
//! projector blends two z-columns of voxels (one scalar weight) and samples the blend at the rows, whose
//! heights z_r(s) = start + step r are equally spaced; the adjoint spreads the rows onto z and adds the
//! result to the two columns. Where rows are slices (parallel stacks, batches of images) the axial half is
//! the identity and one multiply-add per voxel and ray remains.
//!
//! Threads own views (forward) or tiles of voxels (adjoint), so no two write one value and the bits do not
//! depend on their number. Working memory: one copy of the volume and, for the adjoint, some views.

use crate::geometry::{Axis, Beam, Column, Scan};
use crate::line::{Positions, sample, spread};
use crate::raised::{LANES, Layout, Shared, lower, raise};
use crate::rays::PAD;
use rayon::prelude::*;
use spinray_core::buffer::zeros;
use spinray_core::simd::{Kernel, Real, Simd, dispatch};
use spinray_core::{Job, Result};

/// Detector columns a task of the forward projector owns.
const COLUMNS: usize = 64;
/// Bytes of projections, and of volume around a few slabs, that it keeps in its second-level cache.
const SUM_BYTES: usize = 400 << 10;
const REGION_BYTES: usize = 512 << 10;
/// Bytes of volume a task of the adjoint keeps there.
const TILE_BYTES: usize = 1 << 20;

/// Projects volumes `x` (n, nz, ny, nx) into `y` (n, views, rows, columns).
pub fn forward<T: Real>(scan: &Scan, x: &[T], y: &mut [T], job: &Job) -> Result<()> {
    for (volume, projections) in x.chunks_exact(scan.grid.len()).zip(y.chunks_exact_mut(scan.len())) {
        project(scan, scan.grid.shape[0], Layout::of(scan), volume, projections, job)?;
    }
    Ok(())
}

/// Back-projects `y` (n, views, rows, columns) into volumes `x` (n, nz, ny, nx): the exact adjoint of [`forward`].
pub fn adjoint<T: Real>(scan: &Scan, y: &[T], x: &mut [T], job: &Job) -> Result<()> {
    for (projections, volume) in y.chunks_exact(scan.len()).zip(x.chunks_exact_mut(scan.grid.len())) {
        backproject(scan, scan.grid.shape[0], Layout::of(scan), projections, volume, job)?;
    }
    Ok(())
}

/// [`forward`] of images `x` (n, ny, nx) into `y` (n, views, columns), lanes over the images.
pub fn forward_batch<T: Real>(scan: &Scan, x: &[T], y: &mut [T], job: &Job) -> Result<()> {
    let n = x.len() / scan.grid.len();
    project(scan, n, Layout::batch(scan, n), x, y, job)
}

/// The axial side of one detector column: its rows cross slab s at start + step r slices, both linear in s.
struct Rise {
    start: (f64, f64),
    step: (f64, f64),
}

impl Rise {
    fn of(scan: &Scan, column: &Column) -> Self {
        // Share of the way to the detector: its value on slab 0 and change per slab.
        let share = match scan.beam {
            Beam::Parallel => (1.0, 0.0),
            Beam::Divergent { .. } => (-column.source * column.reach, column.reach),
        };
        let (first, pitch) = (scan.row_position(0), scan.pitch[0]);
        let (origin, spacing) = (scan.grid.origin[0], scan.grid.spacing[0]);
        Self {
            start: ((share.0 * first - origin) / spacing, share.1 * first / spacing),
            step: (share.0 * pitch / spacing, share.1 * pitch / spacing),
        }
    }

    #[inline(always)]
    fn at(&self, s: usize) -> Positions {
        let s = s as f64;
        Positions { start: self.start.0 + self.start.1 * s, step: self.step.0 + self.step.1 * s }
    }
}

/// Multiplies the rows of a detector column by the path per slab, mm: `values` holds whole vectors.
///
/// # Safety
/// The processor has `S`.
#[inline(always)]
unsafe fn weigh<S: Simd>(scan: &Scan, layout: Layout, column: &Column, values: &mut [S::T]) {
    let real = |x: f64| S::T::from_f64(x);
    let (first, pitch) = (scan.row_position(0) / column.distance, scan.pitch[0] / column.distance);
    let (first, pitch) = if layout.identity { (0.0, 0.0) } else { (first, pitch) };
    // SAFETY: by contract.
    unsafe {
        let length = S::splat(real(column.length));
        for (k, values) in values.chunks_exact_mut(S::N).enumerate() {
            let rise = S::fma(S::iota(), S::splat(real(pitch)), S::splat(real(first + (k * S::N) as f64 * pitch)));
            let slant = S::sqrt(S::fma(rise, rise, S::splat(real(1.0))));
            S::store(values.as_mut_ptr(), S::mul(S::load(values.as_ptr()), S::mul(slant, length)));
        }
    }
}

/// Slabs on which `column` crosses between -1 and `width`.
#[inline(always)]
fn slabs(column: &Column, width: usize) -> (usize, usize) {
    let (mut first, mut last) = (column.first as f64, column.last as f64 - 1.0);
    if first > last {
        return (0, 0);
    }
    if column.beta.abs() > 1e-12 {
        let (a, b) = ((-1.0 - column.alpha) / column.beta, (width as f64 - column.alpha) / column.beta);
        (first, last) = (first.max(a.min(b).ceil()), last.min(a.max(b).floor()));
    } else if column.alpha <= -1.0 || column.alpha >= width as f64 {
        last = -1.0;
    }
    if first > last { (0, 0) } else { (first as usize, last as usize + 1) }
}

/// The two voxel columns a ray plane crosses between on each of some slabs, and their weights. Beyond the
/// grid the inner neighbour stands in, with weight 0.
struct Crossings<T> {
    first: usize,
    last: usize,
    near: Vec<i32>,
    far: Vec<i32>,
    weights: [Vec<T>; 2],
}

impl<T: Real> Crossings<T> {
    fn new(slabs: usize) -> Self {
        let n = slabs.next_multiple_of(LANES);
        let zeros = || vec![T::default(); n];
        Self { first: 0, last: 0, near: vec![0; n], far: vec![0; n], weights: [zeros(), zeros()] }
    }

    /// Finds those of `column` on slabs first..last, where it crosses between -1 and `width`.
    ///
    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    unsafe fn find<S: Simd<T = T>>(&mut self, column: &Column, (first, last): (usize, usize), width: usize) {
        (self.first, self.last) = (first, last.max(first));
        let n = self.last - first;
        // SAFETY: by contract; the arrays hold whole vectors. Positions are above -1, up to rounding.
        unsafe {
            let real = |x: f64| S::splat(T::from_f64(x));
            let (start, step) = (real(column.alpha + 1.0), real(column.beta));
            for k in (0..n).step_by(S::N) {
                let x = S::fma(S::add(S::iota(), real((first + k) as f64)), step, start);
                let i = S::trunc(x);
                let fraction = S::sub(x, S::real(i));
                S::store_index(self.near.as_mut_ptr().add(k), S::offset(i, -1));
                S::store_index(self.far.as_mut_ptr().add(k), i);
                S::store(self.weights[0].as_mut_ptr().add(k), S::sub(real(1.0), fraction));
                S::store(self.weights[1].as_mut_ptr().add(k), fraction);
            }
        }
        // Crossings outside 0..width are at the ends of the stretch.
        let inside = |c: &Self, k: usize| c.near[k] >= 0 && c.far[k] < width as i32;
        let early = (0..n).find(|&k| inside(self, k)).unwrap_or(n);
        let late = (early..n).rev().find(|&k| inside(self, k)).map_or(early, |k| k + 1);
        for k in (0..early).chain(late..n) {
            for (index, weights) in [&mut self.near, &mut self.far].into_iter().zip(&mut self.weights) {
                let inner = index[k].clamp(0, width as i32 - 1);
                if inner != index[k] {
                    (index[k], weights[k]) = (inner, T::default());
                }
            }
        }
    }

    /// Slab s: the two columns and their weights.
    ///
    /// # Safety
    /// `s` is in first..last.
    #[inline(always)]
    unsafe fn at(&self, s: usize) -> (usize, usize, T, T) {
        let k = s - self.first;
        // SAFETY: by contract.
        unsafe {
            let (near, far) = (*self.near.get_unchecked(k), *self.far.get_unchecked(k));
            (near as usize, far as usize, *self.weights[0].get_unchecked(k), *self.weights[1].get_unchecked(k))
        }
    }
}

/// Strides of a working volume, z contiguous: (slab, transverse) for a driving axis.
#[inline(always)]
fn strides(axis: Axis, nx: usize, nz: usize) -> (usize, usize) {
    match axis {
        Axis::Y => (nx * nz, nz),
        Axis::X => (nz, nx * nz),
    }
}

fn project<T: Real>(scan: &Scan, nz: usize, layout: Layout, volume: &[T], y: &mut [T], job: &Job) -> Result<()> {
    let depth = nz.next_multiple_of(LANES);
    let raised = raise(volume, nz, scan.grid.shape[2], depth);
    let out = Shared(y.as_mut_ptr());
    let (views, columns) = (scan.angles.len(), scan.shape[1]);
    let pieces = columns.div_ceil(COLUMNS);
    let together = (SUM_BYTES / (COLUMNS * layout.rows * size_of::<T>())).clamp(1, 8);
    job.for_each(0..views.div_ceil(together) * pieces, |task| {
        let (view, piece) = (task / pieces * together, task % pieces);
        let views = (view, (view + together).min(views));
        let columns = (columns * piece / pieces, columns * (piece + 1) / pieces);
        dispatch(ProjectViews { scan, nz, depth, layout, volume: &raised, views, columns, out });
    })
}

/// A stretch of detector columns in some neighbouring views.
struct ProjectViews<'a, T> {
    scan: &'a Scan,
    nz: usize,
    depth: usize,
    layout: Layout,
    volume: &'a [T],
    views: (usize, usize),
    columns: (usize, usize),
    out: Shared<T>,
}

impl<T: Real> Kernel<T> for ProjectViews<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let Self { scan, nz, depth, layout, volume, views, columns, out } = self;
        let [_, ny, nx] = scan.grid.shape;
        let width = |column: &Column| if column.axis == Axis::Y { nx } else { ny };
        let mut planes = vec![];
        for v in views.0..views.1 {
            let view = scan.view(v);
            planes.extend((columns.0..columns.1).map(|c| {
                let column = scan.column(view, c);
                (column, Rise::of(scan, &column), slabs(&column, width(&column)))
            }));
        }
        let rows = layout.rows.next_multiple_of(LANES);
        let mut sums = vec![T::default(); planes.len() * rows];
        let mut blend = vec![T::default(); depth + 2 * PAD];
        let thickness = (REGION_BYTES / (2 * COLUMNS * depth * size_of::<T>())).clamp(4, 64);
        let mut crossings = Crossings::new(thickness);
        let seen = planes.iter().map(|p| p.2).filter(|r| r.0 < r.1);
        let first = seen.clone().map(|r| r.0).min().unwrap_or(0);
        let last = seen.map(|r| r.1).max().unwrap_or(0);
        for s0 in (first..last).step_by(thickness) {
            for ((column, rise, range), sums) in planes.iter().zip(sums.chunks_exact_mut(rows)) {
                let range = (s0.max(range.0), (s0 + thickness).min(range.1));
                if range.0 >= range.1 {
                    continue;
                }
                let (slab, across) = strides(column.axis, nx, depth);
                // SAFETY: `dispatch` chose S; voxel columns hold `depth` entries, `sums` whole vectors of
                // rows, and `blend` is padded.
                unsafe {
                    crossings.find::<S>(column, range, width(column));
                    if layout.identity {
                        let mut k = 0;
                        while k < depth {
                            let wide = depth - k >= 4 * S::N;
                            let (volume, sums) = (volume.as_ptr().add(k), sums.as_mut_ptr().add(k));
                            if wide {
                                sum_slabs::<S, 4>(volume, (slab, across), &crossings, range, sums);
                            } else {
                                sum_slabs::<S, 1>(volume, (slab, across), &crossings, range, sums);
                            }
                            k += if wide { 4 * S::N } else { S::N };
                        }
                        continue;
                    }
                    for s in range.0..range.1 {
                        let at = rise.at(s);
                        let seen = at.reaching(layout.rows, nz);
                        if seen.0 >= seen.1 {
                            continue;
                        }
                        let height = |r: usize| at.start + r as f64 * at.step;
                        let needed = (height(seen.0) as usize / LANES * LANES, (height(seen.1) + 2.0) as usize);
                        let line = blend.as_mut_ptr().add(PAD);
                        let (near, far, w_near, w_far) = crossings.at(s);
                        let plane = volume.as_ptr().add(s * slab);
                        let (near, far) = (plane.add(near * across), plane.add(far * across));
                        let weights = (S::splat(w_near), S::splat(w_far));
                        for k in (needed.0..needed.1.min(nz)).step_by(S::N) {
                            let value = S::mul(S::load(near.add(k)), weights.0);
                            S::store(line.add(k), S::fma(S::load(far.add(k)), weights.1, value));
                        }
                        let seen = (seen.0 / S::N * S::N, seen.1);
                        sample::<S>(line, nz, at, seen, |r, value| {
                            let sum = sums.as_mut_ptr().add(r);
                            S::store(sum, S::add(S::load(sum), value));
                        });
                    }
                }
            }
        }
        for ((column, ..), sums) in planes.iter().zip(sums.chunks_exact_mut(rows)) {
            // SAFETY: `dispatch` chose S; `sums` holds whole vectors.
            unsafe { weigh::<S>(scan, layout, column, sums) };
        }
        let n = columns.1 - columns.0;
        for (v, sums) in (views.0..views.1).zip(sums.chunks_exact(n * rows)) {
            for r in 0..layout.rows {
                for k in 0..n {
                    // SAFETY: this task alone writes these columns of this view.
                    unsafe { out.at(v * layout.view + r * layout.row + columns.0 + k).write(sums[k * rows + r]) };
                }
            }
        }
    }
}

/// Adds to W vectors of `sums` the slabs of `range`, from the voxels at the same place of each voxel column.
///
/// # Safety
/// The processor has `S`; `range` lies within that of `crossings`; all vectors are readable.
#[inline(always)]
unsafe fn sum_slabs<S: Simd, const W: usize>(
    volume: *const S::T,
    (slab, across): (usize, usize),
    crossings: &Crossings<S::T>,
    range: (usize, usize),
    sums: *mut S::T,
) {
    // SAFETY: by contract.
    unsafe {
        let mut sum = [S::splat(S::T::default()); W];
        for s in range.0..range.1 {
            let (near, far, w_near, w_far) = crossings.at(s);
            let plane = volume.add(s * slab);
            let (near, far) = (plane.add(near * across), plane.add(far * across));
            let (w_near, w_far) = (S::splat(w_near), S::splat(w_far));
            for (k, sum) in sum.iter_mut().enumerate() {
                *sum = S::fma(S::load(near.add(k * S::N)), w_near, *sum);
                *sum = S::fma(S::load(far.add(k * S::N)), w_far, *sum);
            }
        }
        for (k, &sum) in sum.iter().enumerate() {
            let sums = sums.add(k * S::N);
            S::store(sums, S::add(S::load(sums), sum));
        }
    }
}

/// One view re-ordered for the adjoint: columns of rows, times their path, zeros around.
struct RaisedView<'a, T> {
    columns: Vec<(Column, Rise)>,
    values: &'a [T],
}

struct RaiseView<'a, T> {
    scan: &'a Scan,
    layout: Layout,
    y: &'a [T],
    view: usize,
    /// Zero in the padding.
    values: &'a mut [T],
}

impl<'a, T: Real> Kernel<T> for RaiseView<'a, T> {
    type Output = RaisedView<'a, T>;

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) -> RaisedView<'a, T> {
        let Self { scan, layout, y, view: v, values } = self;
        let view = scan.view(v);
        let columns: Vec<Column> = (0..scan.shape[1]).map(|c| scan.column(view, c)).collect();
        let rows = layout.rows.next_multiple_of(LANES);
        let stride = layout.stride();
        let pad = layout.pad();
        layout.raise_view(y, v, columns.len(), stride, &mut values[pad..]);
        for (column, values) in columns.iter().zip(values.chunks_exact_mut(stride)) {
            // SAFETY: `dispatch` chose S; the rows are whole vectors.
            unsafe { weigh::<S>(scan, layout, column, &mut values[pad..pad + rows]) };
        }
        let columns = columns.into_iter().map(|c| (c, Rise::of(scan, &c))).collect();
        RaisedView { columns, values }
    }
}

fn backproject<T: Real>(scan: &Scan, nz: usize, layout: Layout, y: &[T], volume: &mut [T], job: &Job) -> Result<()> {
    let [_, ny, nx] = scan.grid.shape;
    let depth = nz.next_multiple_of(LANES);
    let mut raised = zeros(ny * nx * depth);
    let out = Shared(raised.as_mut_ptr());
    let block = layout.views_at_once::<T>(scan);
    let size = scan.shape[1] * layout.stride();
    let mut values = zeros(block * size);
    for first in (0..scan.angles.len()).step_by(block) {
        let values = &mut values[..block.min(scan.angles.len() - first) * size];
        let raise = |(v, values)| dispatch(RaiseView { scan, layout, y, view: first + v, values });
        let views: Vec<RaisedView<T>> = values.par_chunks_exact_mut(size).enumerate().map(raise).collect();
        for (axis, height, width) in [(Axis::Y, ny, nx), (Axis::X, nx, ny)] {
            let thickness = (TILE_BYTES / (width * depth * size_of::<T>())).clamp(16, 64);
            // Not too wide: threads must find enough tiles to end together.
            let tile = (TILE_BYTES / (thickness * depth * size_of::<T>())).clamp(1, width.min(48));
            let tiles = width.div_ceil(tile);
            job.for_each(0..height.div_ceil(thickness) * tiles, |task| {
                let (group, tile) = (task / tiles, task % tiles);
                let slabs = (group * thickness, ((group + 1) * thickness).min(height));
                let tile = (width * tile / tiles, width * (tile + 1) / tiles);
                dispatch(BackprojectTile { scan, nz, depth, layout, views: &views, axis, slabs, tile, out });
            })?;
        }
    }
    lower(&raised, volume, nz, nx, depth);
    Ok(())
}

/// Some slabs by some transverse indices.
struct BackprojectTile<'a, T> {
    scan: &'a Scan,
    nz: usize,
    depth: usize,
    layout: Layout,
    views: &'a [RaisedView<'a, T>],
    axis: Axis,
    slabs: (usize, usize),
    tile: (usize, usize),
    out: Shared<T>,
}

impl<T: Real> Kernel<T> for BackprojectTile<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let Self { scan, nz, depth, layout, views, axis, slabs: group, tile, out } = self;
        let (slab, across) = strides(axis, scan.grid.shape[2], depth);
        let width = tile.1 - tile.0;
        let stride = layout.stride();
        let mut crossings = Crossings::new(group.1 - group.0);
        for view in views {
            for ((column, rise), values) in view.columns.iter().zip(view.values.chunks_exact(stride)) {
                if column.axis != axis {
                    continue;
                }
                // The tile is a grid of its own, which begins at `tile.0`.
                let column = Column {
                    alpha: column.alpha - tile.0 as f64,
                    first: column.first.max(group.0),
                    last: column.last.min(group.1),
                    ..*column
                };
                let range = slabs(&column, width);
                if range.0 >= range.1 {
                    continue;
                }
                // SAFETY: `dispatch` chose S.
                unsafe { crossings.find::<S>(&column, range, width) };
                for s in crossings.first..crossings.last {
                    // SAFETY: `dispatch` chose S; this task alone writes this tile; voxel columns
                    // hold `depth` entries; `values` is padded.
                    unsafe {
                        let (near, far, w_near, w_far) = crossings.at(s);
                        let at = |i: usize| out.at(s * slab + (tile.0 + i) * across);
                        let (near, far) = (at(near), at(far));
                        let weights = (S::splat(w_near), S::splat(w_far));
                        let add = |k: usize, value: S::V| {
                            S::store(near.add(k), S::fma(value, weights.0, S::load(near.add(k))));
                            S::store(far.add(k), S::fma(value, weights.1, S::load(far.add(k))));
                        };
                        let line = values.as_ptr().add(layout.pad());
                        if layout.identity {
                            for k in (0..depth).step_by(S::N) {
                                add(k, S::load(line.add(k)));
                            }
                        } else {
                            let at = rise.at(s);
                            let first = (at.start - 1.0).max(0.0) as usize / S::N * S::N;
                            let end = at.start + at.step * (layout.rows - 1) as f64 + 2.0;
                            let last = (end.max(0.0) as usize).min(nz);
                            spread::<S>(line, layout.rows, at, (first, last), add);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::geometry::tests::scan;
    use crate::geometry::{Beam, Scan};
    use crate::reference::{check, projector};
    use crate::{cone, plane};
    use spinray_core::Job;

    projector!(Cone, cone);

    const FLAT: Beam = Beam::Divergent { sod: 90.0, sdd: 140.0, curved: false };
    const CURVED: Beam = Beam::Divergent { sod: 90.0, sdd: 90.0, curved: true };

    #[test]
    fn both_directions_are_the_joseph_model() {
        for beam in [Beam::Parallel, FLAT, CURVED] {
            for (shape, detector) in
                [([17, 20, 23], [25, 31]), ([40, 9, 8], [19, 20]), ([1, 6, 5], [1, 9]), ([3, 1, 1], [2, 1])]
            {
                check(&scan(beam, shape, 7, detector), &Cone);
            }
        }
    }

    #[test]
    fn rows_much_finer_or_coarser_than_slices_agree() {
        for beam in [Beam::Parallel, FLAT] {
            for (pitch, rows) in [(0.09, 90), (0.6, 40), (3.9, 12), (11.0, 5)] {
                let mut scan = scan(beam, [21, 12, 10], 5, [rows, 15]);
                scan.pitch[0] = pitch;
                check(&scan, &Cone);
            }
        }
    }

    #[test]
    fn a_parallel_stack_whose_rows_are_slices_agrees() {
        let mut scan = scan(Beam::Parallel, [19, 14, 11], 9, [19, 21]);
        (scan.pitch[0], scan.offset[0]) = (1.3, 0.0);
        scan.grid.origin[0] = -9.0 * 1.3;
        check(&scan, &Cone);
    }

    #[test]
    fn a_batch_gives_what_its_images_give_alone() {
        let scan: Scan = scan(FLAT, [1, 30, 26], 8, [1, 33]);
        let n = 21;
        let x: Vec<f64> = crate::reference::noise(n * scan.grid.len(), 3);
        let (mut together, mut alone) = (vec![0.0; n * scan.len()], vec![0.0; n * scan.len()]);
        cone::forward_batch(&scan, &x, &mut together, &Job::new()).unwrap();
        plane::forward(&scan, &x, &mut alone, &Job::new()).unwrap();
        assert!(crate::reference::error(together, &alone) < 1e-12);
    }
}
