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
//! Threads own views (forward) or groups of slabs (adjoint), so no two write one value and the bits do not
//! depend on their number. Working memory: one copy of the volume and, for the adjoint, some views.

use crate::geometry::{Axis, Beam, Column, Scan};
use crate::line::{Positions, sample, spread};
use crate::raised::{LANES, Layout, Shared, lower, raise};
use crate::rays::PAD;
use rayon::prelude::*;
use spinray_core::simd::{Kernel, Real, Simd, dispatch};
use spinray_core::{Job, Result};

/// Detector columns walked together, so that they share voxel columns in the first-level cache.
const COLUMNS: usize = 8;
/// Bytes of volume a thread of the adjoint keeps in its second-level cache.
const SLAB_BYTES: usize = 1 << 20;

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

/// The exact adjoint of [`forward_batch`].
pub fn adjoint_batch<T: Real>(scan: &Scan, y: &[T], x: &mut [T], job: &Job) -> Result<()> {
    let n = y.len() / scan.len();
    backproject(scan, n, Layout::batch(scan, n), y, x, job)
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
    if column.beta.abs() > 1e-12 {
        let (a, b) = ((-1.0 - column.alpha) / column.beta, (width as f64 - column.alpha) / column.beta);
        (first, last) = (first.max(a.min(b).ceil()), last.min(a.max(b).floor()));
    } else if column.alpha <= -1.0 || column.alpha >= width as f64 {
        last = -1.0;
    }
    if first > last { (0, 0) } else { (first as usize, last as usize + 1) }
}

/// The two voxel columns a ray plane crosses between on one slab, and their weights. Beyond the grid the
/// inner neighbour stands in, with weight 0.
struct Crossing {
    near: usize,
    far: usize,
    weights: (f64, f64),
}

impl Crossing {
    #[inline(always)]
    fn of(column: &Column, s: usize, width: usize) -> Self {
        let x = column.alpha + column.beta * s as f64;
        let i = x.floor();
        let fraction = x - i;
        let last = width as isize - 1;
        let (left, right) = (i as isize, i as isize + 1);
        let weight = |i: isize, w: f64| if (0..=last).contains(&i) { w } else { 0.0 };
        Self {
            near: left.clamp(0, last) as usize,
            far: right.clamp(0, last) as usize,
            weights: (weight(left, 1.0 - fraction), weight(right, fraction)),
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
    let columns = scan.shape[1];
    // A view in pieces, so that few views still fill many threads.
    let pieces = columns.div_ceil(8 * COLUMNS);
    job.for_each(0..scan.angles.len() * pieces, |task| {
        let (view, piece) = (task / pieces, task % pieces);
        let columns = (columns * piece / pieces, columns * (piece + 1) / pieces);
        dispatch(ProjectView { scan, nz, depth, layout, volume: &raised, view, columns, out });
    })
}

struct ProjectView<'a, T> {
    scan: &'a Scan,
    nz: usize,
    depth: usize,
    layout: Layout,
    volume: &'a [T],
    view: usize,
    columns: (usize, usize),
    out: Shared<T>,
}

impl<T: Real> Kernel<T> for ProjectView<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let Self { scan, nz, depth, layout, volume, view: v, columns, out } = self;
        let [_, ny, nx] = scan.grid.shape;
        let view = scan.view(v);
        let rows = layout.rows.next_multiple_of(LANES);
        let mut sums = vec![T::default(); COLUMNS * rows];
        let mut blend = vec![T::default(); depth + 2 * PAD];
        for c0 in (columns.0..columns.1).step_by(COLUMNS) {
            let group: Vec<Column> = (c0..(c0 + COLUMNS).min(columns.1)).map(|c| scan.column(view, c)).collect();
            let width = |column: &Column| if column.axis == Axis::Y { nx } else { ny };
            let rises: Vec<Rise> = group.iter().map(|c| Rise::of(scan, c)).collect();
            let ranges: Vec<(usize, usize)> = group.iter().map(|c| slabs(c, width(c))).collect();
            let first = ranges.iter().map(|r| r.0).min().unwrap_or(0);
            let last = ranges.iter().map(|r| r.1).max().unwrap_or(0);
            sums.fill(T::default());
            for s in first..last {
                let columns = group.iter().zip(&rises).zip(&ranges);
                for (((column, rise), range), sums) in columns.zip(sums.chunks_exact_mut(rows)) {
                    if !(range.0..range.1).contains(&s) {
                        continue;
                    }
                    let crossing = Crossing::of(column, s, width(column));
                    let (slab, across) = strides(column.axis, nx, depth);
                    // SAFETY: `dispatch` chose S; voxel columns hold `depth` entries, `sums` whole vectors of
                    // rows, and `blend` is padded.
                    unsafe {
                        let near = volume.as_ptr().add(s * slab + crossing.near * across);
                        let far = volume.as_ptr().add(s * slab + crossing.far * across);
                        let weights = (T::from_f64(crossing.weights.0), T::from_f64(crossing.weights.1));
                        if layout.identity {
                            add_blend::<S>(near, far, weights, sums);
                        } else {
                            let at = rise.at(s);
                            let seen = at.reaching(layout.rows, nz);
                            let needed = (at.start + seen.0 as f64 * at.step, at.start + seen.1 as f64 * at.step);
                            let needed =
                                ((needed.0.max(0.0) as usize) / LANES * LANES, (needed.1 + 2.0).max(0.0) as usize);
                            let line = blend.as_mut_ptr().add(PAD);
                            blend_into::<S>(near, far, weights, line, (needed.0, needed.1.min(nz)));
                            let seen = (seen.0 / S::N * S::N, seen.1);
                            sample::<S>(line, nz, at, seen, |r, value| {
                                let sum = sums.as_mut_ptr().add(r);
                                S::store(sum, S::add(S::load(sum), value));
                            });
                        }
                    }
                }
            }
            for (column, sums) in group.iter().zip(sums.chunks_exact_mut(rows)) {
                // SAFETY: `dispatch` chose S; `sums` holds whole vectors.
                unsafe { weigh::<S>(scan, layout, column, sums) };
            }
            for r in 0..layout.rows {
                for k in 0..group.len() {
                    // SAFETY: this task alone writes these columns of this view.
                    unsafe { out.at(v * layout.view + r * layout.row + c0 + k).write(sums[k * rows + r]) };
                }
            }
        }
    }
}

/// line[k] = near[k] * weight + far[k] * weight for k in first..last, whole vectors.
#[inline(always)]
unsafe fn blend_into<S: Simd>(
    near: *const S::T,
    far: *const S::T,
    weights: (S::T, S::T),
    line: *mut S::T,
    (first, last): (usize, usize),
) {
    // SAFETY: the caller's columns hold whole vectors.
    unsafe {
        let weights = (S::splat(weights.0), S::splat(weights.1));
        for k in (first..last).step_by(S::N) {
            let value = S::mul(S::load(near.add(k)), weights.0);
            S::store(line.add(k), S::fma(S::load(far.add(k)), weights.1, value));
        }
    }
}

/// sums[k] += near[k] * weight + far[k] * weight.
#[inline(always)]
unsafe fn add_blend<S: Simd>(near: *const S::T, far: *const S::T, weights: (S::T, S::T), sums: &mut [S::T]) {
    // SAFETY: the caller's columns hold as many entries as `sums`.
    unsafe {
        let weights = (S::splat(weights.0), S::splat(weights.1));
        for (k, sum) in sums.chunks_exact_mut(S::N).enumerate() {
            let value = S::fma(S::load(near.add(k * S::N)), weights.0, S::load(sum.as_ptr()));
            S::store(sum.as_mut_ptr(), S::fma(S::load(far.add(k * S::N)), weights.1, value));
        }
    }
}

/// One view re-ordered for the adjoint: columns of rows, times their path, zeros around.
struct RaisedView<T> {
    columns: Vec<(Column, Rise)>,
    values: Vec<T>,
}

struct RaiseView<'a, T> {
    scan: &'a Scan,
    layout: Layout,
    y: &'a [T],
    view: usize,
}

impl<T: Real> Kernel<T> for RaiseView<'_, T> {
    type Output = RaisedView<T>;

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) -> RaisedView<T> {
        let Self { scan, layout, y, view: v } = self;
        let view = scan.view(v);
        let columns: Vec<Column> = (0..scan.shape[1]).map(|c| scan.column(view, c)).collect();
        let rows = layout.rows.next_multiple_of(LANES);
        let stride = rows + 2 * PAD;
        let mut values = vec![T::default(); columns.len() * stride];
        layout.raise_view(y, v, columns.len(), stride, &mut values[PAD..]);
        for (column, values) in columns.iter().zip(values.chunks_exact_mut(stride)) {
            // SAFETY: `dispatch` chose S; the rows are whole vectors.
            unsafe { weigh::<S>(scan, layout, column, &mut values[PAD..PAD + rows]) };
        }
        let columns = columns.into_iter().map(|c| (c, Rise::of(scan, &c))).collect();
        RaisedView { columns, values }
    }
}

fn backproject<T: Real>(scan: &Scan, nz: usize, layout: Layout, y: &[T], volume: &mut [T], job: &Job) -> Result<()> {
    let [_, ny, nx] = scan.grid.shape;
    let depth = nz.next_multiple_of(LANES);
    let mut raised = vec![T::default(); ny * nx * depth];
    let out = Shared(raised.as_mut_ptr());
    let block = layout.views_at_once::<T>(scan);
    for first in (0..scan.angles.len()).step_by(block) {
        let last = (first + block).min(scan.angles.len());
        let raise = |view| dispatch(RaiseView { scan, layout, y, view });
        let views: Vec<RaisedView<T>> = (first..last).into_par_iter().map(raise).collect();
        for (axis, height, width) in [(Axis::Y, ny, nx), (Axis::X, nx, ny)] {
            let thickness = (SLAB_BYTES / (width * depth * size_of::<T>())).clamp(1, 16);
            job.for_each(0..height.div_ceil(thickness), |group| {
                let slabs = (group * thickness, ((group + 1) * thickness).min(height));
                dispatch(BackprojectSlabs { scan, nz, depth, layout, views: &views, axis, slabs, out });
            })?;
        }
    }
    lower(&raised, volume, nz, nx, depth);
    Ok(())
}

struct BackprojectSlabs<'a, T> {
    scan: &'a Scan,
    nz: usize,
    depth: usize,
    layout: Layout,
    views: &'a [RaisedView<T>],
    axis: Axis,
    slabs: (usize, usize),
    out: Shared<T>,
}

impl<T: Real> Kernel<T> for BackprojectSlabs<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let Self { scan, nz, depth, layout, views, axis, slabs: group, out } = self;
        let [_, ny, nx] = scan.grid.shape;
        let width = if axis == Axis::Y { nx } else { ny };
        let (slab, across) = strides(axis, nx, depth);
        let stride = layout.rows.next_multiple_of(LANES) + 2 * PAD;
        for view in views {
            for ((column, rise), values) in view.columns.iter().zip(view.values.chunks_exact(stride)) {
                if column.axis != axis {
                    continue;
                }
                let range = slabs(column, width);
                for s in range.0.max(group.0)..range.1.min(group.1) {
                    let crossing = Crossing::of(column, s, width);
                    // SAFETY: `dispatch` chose S; this task alone writes slabs of this group; voxel columns
                    // hold `depth` entries; `values` is padded.
                    unsafe {
                        let near = out.at(s * slab + crossing.near * across);
                        let far = out.at(s * slab + crossing.far * across);
                        let weights =
                            (S::splat(T::from_f64(crossing.weights.0)), S::splat(T::from_f64(crossing.weights.1)));
                        let add = |k: usize, value: S::V| {
                            S::store(near.add(k), S::fma(value, weights.0, S::load(near.add(k))));
                            S::store(far.add(k), S::fma(value, weights.1, S::load(far.add(k))));
                        };
                        let line = values.as_ptr().add(PAD);
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
        let (mut back, mut alone_back) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        cone::adjoint_batch(&scan, &alone, &mut back, &Job::new()).unwrap();
        plane::adjoint(&scan, &alone, &mut alone_back, &Job::new()).unwrap();
        assert!(crate::reference::error(back, &alone_back) < 1e-12);
    }
}
