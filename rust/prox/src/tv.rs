//! Proximal map of isotropic total variation with an optional box, 2-D and 3-D.
//!
//! For an image v it finds
//!
//! ```text
//! x = argmin_{lower <= x <= upper}  1/2 |x - v|^2 + w TV(x),      TV(x) = sum_i |(D x)_i|,
//! ```
//!
//! (D x)_i the forward differences of voxel i along each axis, each times that axis' scale (1, or 1/spacing),
//! zero across the last face (Neumann). The dual p, one vector of length <= 1 per voxel, gives the image
//! x(p) = clamp(v - w D'p) and is found by the fast gradient projection of Beck & Teboulle (2009, IEEE Trans.
//! Image Process. 18:2419):
//!
//! ```text
//! r = p + beta (p - q),   p, q = P(r + D x(r) / (w L)), p,      L = 4 (sum of squared scales) >= |D|^2,
//! ```
//!
//! P the projection of each vector to the unit ball, beta Nesterov's momentum. Primal and dual value at p differ by
//!
//! ```text
//! gap(p) = w sum_i ( |(D x)_i| - p_i . (D x)_i ),   every term >= 0,
//! ```
//!
//! and 1/2 |x(p) - x*|^2 <= gap. After k iterations the dual value is within 2 L |p0 - p*|^2 w^2 / (k + 1)^2.
//!
//! Memory traffic decides the speed: 4 iterations go through the volume in one pass (see [`sweep`]), which moves
//! 1 + 4 C volumes instead of the 4 (1 + 3 C) of four passes, C = 2 or 3 components. Memory beyond v and x: the two
//! newest duals, 2 C volumes kept by the caller; and per slab about 1 MB of rows and, where it borders on another,
//! 16 C + 4 planes. Every entry is the same arithmetic however the work is split: the same bits for any number of
//! threads.

use rayon::prelude::*;
use spinray_core::simd::{Kernel, Real, Simd, dispatch};
use spinray_core::{Error, Job, Result};

mod rows;
mod sweep;
#[cfg(test)]
mod tests;

use rows::{Against, Dual, Model, row_sums};
use sweep::{Block, Ends, Levels, Room, Seam};

/// Weight over the largest voxel, below the rounding of any precision.
const NO_WEIGHT: f64 = 1e-17;

/// Iterations between two looks at the duality gap.
const LOOK: usize = 8;

/// Shape of an image as the kernel sees it: an image of 2 axes is a stack of planes of one row each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    planes: usize,
    rows: usize,
    columns: usize,
    components: usize,
}

impl Extent {
    /// From (y, x) or (z, y, x).
    pub fn new(shape: &[usize]) -> Result<Self> {
        match *shape {
            [_, _] | [_, _, _] if shape.contains(&0) => {
                Err(Error::invalid("shape", format!("{shape:?} holds no voxel; every axis needs at least one")))
            }
            [planes, columns] => Ok(Self { planes, rows: 1, columns, components: 2 }),
            [planes, rows, columns] => Ok(Self { planes, rows, columns, components: 3 }),
            _ => Err(Error::invalid("shape", format!("{} axes; total variation takes images of 2 or 3", shape.len()))),
        }
    }

    /// Voxels of an image.
    pub fn voxels(&self) -> usize {
        self.planes * self.rows * self.columns
    }

    /// Entries of the dual: per row of voxels, one row for each component.
    pub fn dual_len(&self) -> usize {
        self.voxels() * self.components
    }

    fn plane(&self) -> usize {
        self.rows * self.columns
    }
}

/// The functional: w TV with differences scaled per axis, and a box.
#[derive(Clone, Copy, Debug)]
pub struct TotalVariation {
    /// Weight w >= 0.
    pub weight: f64,
    /// Factor of the differences along z, y, x (y, x use the last two); 1 / spacing, or ones.
    pub scale: [f64; 3],
    /// The box; infinite where there is none.
    pub bounds: (f64, f64),
}

impl TotalVariation {
    /// Total variation of voxel differences, without bounds.
    pub fn new(weight: f64) -> Self {
        Self { weight, scale: [1.0; 3], bounds: (f64::NEG_INFINITY, f64::INFINITY) }
    }

    fn check(&self) -> Result<()> {
        let (lower, upper) = self.bounds;
        if !(self.weight >= 0.0 && self.weight.is_finite()) {
            return Err(Error::invalid("weight", format!("{} given; must be finite and >= 0", self.weight)));
        }
        if !self.scale.iter().all(|&s| s > 0.0 && s.is_finite()) {
            return Err(Error::invalid("spacing", "must be positive and finite along every axis"));
        }
        if lower.is_nan() || upper.is_nan() || lower > upper {
            return Err(Error::invalid(
                "bounds",
                format!("({lower}, {upper}) given; the lower bound exceeds the upper"),
            ));
        }
        Ok(())
    }

    /// Scales of the components in the order they are stored: x, z (the slowest axis), y.
    fn stored_scale(&self, extent: &Extent) -> [f64; 3] {
        let [z, y, x] = self.scale;
        if extent.components == 2 { [x, y, 0.0] } else { [x, z, y] }
    }

    fn model<T: Real>(&self, extent: &Extent) -> Model<T> {
        let scale = self.stored_scale(extent);
        let lipschitz = 4.0 * scale.iter().map(|s| s * s).sum::<f64>();
        let bound = |b: f64| T::from_f64(b.clamp(-f64::MAX, f64::MAX));
        Model {
            fall: scale.map(|s| T::from_f64(s * self.weight)),
            rise: scale.map(|s| T::from_f64(s / (self.weight * lipschitz))),
            lower: bound(self.bounds.0),
            upper: bound(self.bounds.1),
        }
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// At most so many iterations.
    pub n_iter: usize,
    /// And as soon as gap <= tolerance * objective, looked at every 8 iterations; `None`: never early.
    pub tolerance: Option<f64>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Iterations.
    pub n_iter: usize,
    /// Last duality gap over the objective; NaN where no tolerance was asked for.
    pub relative_gap: f64,
}

/// The dual iterates, kept by the caller: allocated once, reused by every call of an outer iteration.
#[derive(Debug)]
pub struct Duals<'a, T> {
    /// The newest dual on return.
    pub newest: &'a mut [T],
    /// As much room again.
    pub spare: &'a mut [T],
    /// Start from what an earlier call with the same extent left in both, not from zero.
    pub warm: bool,
}

impl<T: Real> Duals<'_, T> {
    /// Zeros, unless the start is warm.
    fn prepare(&mut self, job: &Job) -> Result<()> {
        if self.warm {
            return Ok(());
        }
        let pieces = (self.newest.par_chunks_mut(PIECE), self.spare.par_chunks_mut(PIECE));
        job.for_each(pieces, |(newest, spare)| {
            newest.fill(T::default());
            spare.fill(T::default());
        })
    }
}

/// Writes prox(v) to `out`.
pub fn prox<T: Real>(
    v: &[T],
    extent: &Extent,
    tv: &TotalVariation,
    stop: &Stop,
    mut duals: Duals<T>,
    out: &mut [T],
    job: &Job,
) -> Result<Outcome> {
    tv.check()?;
    duals.prepare(job)?;
    let Duals { newest: dual, spare, .. } = duals;
    assert_eq!((v.len(), out.len()), (extent.voxels(), extent.voxels()));
    assert_eq!((dual.len(), spare.len()), (extent.dual_len(), extent.dual_len()));
    let model = tv.model::<T>(extent);
    if !model.fall.iter().all(|f| f.to_f64().is_finite()) {
        return Err(Error::invalid("weight", format!("{} given; too large for the precision of the image", tv.weight)));
    }
    // So little weight changes nothing but rounding, and its inverse might overflow.
    let most = tv.scale.iter().fold(0.0, |most: f64, &s| most.max(s));
    if tv.weight * most <= NO_WEIGHT * peak(v) {
        dual.fill(T::default());
        image(v, extent, &model, dual, out, job)?;
        return Ok(Outcome { n_iter: 0, relative_gap: 0.0 });
    }
    let mut iteration = Iteration::new(extent);
    let mut outcome = Outcome { n_iter: 0, relative_gap: f64::NAN };
    let mut swapped = false;
    while outcome.n_iter < stop.n_iter {
        let until_look = stop.tolerance.map_or(usize::MAX, |_| LOOK - outcome.n_iter % LOOK);
        let levels = sweep::LEVELS.min(stop.n_iter - outcome.n_iter).min(until_look);
        let (newest, older) = if swapped { (&mut *spare, &mut *dual) } else { (&mut *dual, &mut *spare) };
        iteration.advance(v, &model, levels, newest, older, job)?;
        swapped ^= levels % 2 == 1;
        outcome.n_iter += levels;
        let ended = outcome.n_iter == stop.n_iter;
        if let Some(tolerance) = stop.tolerance
            && (ended || outcome.n_iter.is_multiple_of(LOOK))
        {
            let newest = if swapped { &*spare } else { &*dual };
            image(v, extent, &model, newest, out, job)?;
            outcome.relative_gap = relative_gap(v, extent, tv, newest, out, job)?;
            if outcome.relative_gap <= tolerance {
                break;
            }
        }
    }
    if swapped {
        job.for_each((dual.par_chunks_mut(PIECE), spare.par_chunks(PIECE)), |(to, from)| to.copy_from_slice(from))?;
    }
    if stop.tolerance.is_none() || outcome.n_iter == 0 {
        image(v, extent, &model, dual, out, job)?;
    }
    Ok(outcome)
}

/// The largest |v|.
fn peak<T: Real>(v: &[T]) -> f64 {
    let largest = |piece: &[T]| {
        piece.iter().fold(T::default(), |most, &v| {
            if v > most {
                v
            } else if -v > most {
                -v
            } else {
                most
            }
        })
    };
    v.par_chunks(PIECE).map(|piece| largest(piece).to_f64()).reduce(|| 0.0, f64::max)
}

/// The state that outlives a pass: Nesterov's sequence and the buffers of the seams between slabs.
struct Iteration<T> {
    extent: Extent,
    slab: usize,
    seams: Vec<Seam<T>>,
    rooms: Vec<Room<T>>,
    t: f64,
}

impl<T: Real> Iteration<T> {
    fn new(extent: &Extent) -> Self {
        let slab = sweep::slab_planes(extent, rayon::current_num_threads());
        let slabs = extent.planes.div_ceil(slab);
        Self {
            extent: *extent,
            slab,
            seams: (1..slabs).map(|k| Seam::new(extent, k * slab)).collect(),
            rooms: (0..slabs).map(|_| Room::new(extent, slab.min(extent.planes))).collect(),
            t: 1.0,
        }
    }

    /// Momentum of the next iteration: 0 at first.
    fn momentum(&mut self) -> T {
        let next = (1.0 + (1.0 + 4.0 * self.t * self.t).sqrt()) / 2.0;
        let beta = (self.t - 1.0) / next;
        self.t = next;
        T::from_f64(beta)
    }

    /// Does `levels` iterations; the newest dual ends in `newest` if they are even, else in `older`.
    fn advance(
        &mut self,
        v: &[T],
        model: &Model<T>,
        levels: usize,
        newest: &mut [T],
        older: &mut [T],
        job: &Job,
    ) -> Result<()> {
        let mut beta = [T::default(); sweep::LEVELS];
        beta[..levels].iter_mut().for_each(|b| *b = self.momentum());
        let levels = Levels { model, beta: &beta[..levels] };
        let extent = self.extent;
        job.for_each(self.seams.par_iter_mut(), |seam| seam.prepare(v, &extent, &levels, newest, older, job))?;
        let dual_slab = self.slab * extent.plane() * extent.components;
        let slabs = (self.rooms.par_iter_mut(), v.par_chunks(self.slab * extent.plane()));
        let duals = (newest.par_chunks_mut(dual_slab), older.par_chunks_mut(dual_slab));
        let seams = &self.seams;
        job.for_each((slabs, duals).into_par_iter().enumerate(), |(k, ((room, v), (newest, older)))| {
            let ends = Ends {
                first: k.checked_sub(1).map(|k| seams[k].images()),
                after: seams.get(k).map(|seam| seam.images()),
                record: None,
                shrink: [0, 0],
            };
            dispatch(Block { extent: &extent, levels: &levels, v, newest, older, ends, room, job });
        })
    }
}

struct Image<'a, T> {
    v: &'a [T],
    extent: &'a Extent,
    model: &'a Model<T>,
    dual: &'a [T],
    first_plane: usize,
    out: &'a mut [T],
}

impl<T: Real> Kernel<T> for Image<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let Extent { rows, columns, .. } = *self.extent;
        let (zeros, mut ahead) = (vec![T::default(); columns], vec![T::default(); columns + 1]);
        let duals = Dual { extent: self.extent, p: self.dual, q: self.dual, zeros: &zeros };
        for (k, out) in self.out.chunks_exact_mut(columns).enumerate() {
            let (z, y) = (self.first_plane + k / rows, k % rows);
            let v = &self.v[(z * rows + y) * columns..][..columns];
            // SAFETY: the dispatcher chose S.
            unsafe { duals.image_row::<S>(self.model, T::default(), (z, y), v, &mut ahead, out) };
        }
    }
}

/// x(p) for the dual p.
fn image<T: Real>(v: &[T], extent: &Extent, model: &Model<T>, dual: &[T], out: &mut [T], job: &Job) -> Result<()> {
    job.for_each(out.par_chunks_mut(extent.plane() * GROUP).enumerate(), |(k, out)| {
        dispatch(Image { v, extent, model, dual, first_plane: k * GROUP, out })
    })
}

/// Entries a task copies or clears.
const PIECE: usize = 1 << 18;

/// Planes a task of the one-pass helpers takes.
const GROUP: usize = 8;

/// Sums over a plane of the image x; see [`row_sums`].
struct Sums<'a, T> {
    x: &'a [T],
    against: Option<Against<'a, T>>,
    extent: &'a Extent,
    scale: [T; 3],
    plane: usize,
}

impl<T: Real> Kernel<T> for Sums<'_, T> {
    type Output = [f64; 3];
    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) -> [f64; 3] {
        let Extent { planes, rows, columns, components } = *self.extent;
        let mut ended = vec![T::default(); columns + 1];
        let mut sums = [0.0; 3];
        for y in 0..rows {
            let at = (self.plane * rows + y) * columns;
            let row = &self.x[at..][..columns];
            ended[..columns].copy_from_slice(row);
            ended[columns] = row[columns - 1];
            let below = if y + 1 < rows { &self.x[at + columns..][..columns] } else { row };
            let after = if self.plane + 1 < planes { &self.x[at + rows * columns..][..columns] } else { row };
            let image = rows::Image { row: &ended, after, below };
            let against =
                self.against.map(|(dual, v)| (&dual[at * components..][..components * columns], &v[at..][..columns]));
            // SAFETY: the dispatcher chose S.
            let part = unsafe {
                if components == 3 {
                    row_sums::<S, true>(&self.scale, &image, against)
                } else {
                    row_sums::<S, false>(&self.scale, &image, against)
                }
            };
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        sums
    }
}

/// Sums over the image, plane by plane in double and in a fixed order.
fn sums<T: Real>(
    x: &[T],
    against: Option<Against<T>>,
    extent: &Extent,
    tv: &TotalVariation,
    job: &Job,
) -> Result<[f64; 3]> {
    let scale = tv.stored_scale(extent).map(T::from_f64);
    let mut parts = vec![[0.0; 3]; extent.planes];
    job.for_each(parts.par_chunks_mut(GROUP).enumerate(), |(k, parts)| {
        for (plane, part) in parts.iter_mut().enumerate() {
            *part = dispatch(Sums { x, against, extent, scale, plane: k * GROUP + plane });
        }
    })?;
    Ok(parts.iter().fold([0.0; 3], |a, b| [a[0] + b[0], a[1] + b[1], a[2] + b[2]]))
}

/// The duality gap at the dual p and its image x, over the objective of x.
fn relative_gap<T: Real>(v: &[T], extent: &Extent, tv: &TotalVariation, dual: &[T], x: &[T], job: &Job) -> Result<f64> {
    let [length, apart, squares] = sums(x, Some((dual, v)), extent, tv, job)?;
    let objective = squares / 2.0 + tv.weight * length;
    let gap = (tv.weight * apart).max(0.0);
    Ok(if gap == 0.0 { 0.0 } else { gap / objective })
}

/// w TV(x), summed in double.
pub fn value<T: Real>(x: &[T], extent: &Extent, tv: &TotalVariation, job: &Job) -> Result<f64> {
    tv.check()?;
    assert_eq!(x.len(), extent.voxels());
    Ok(tv.weight * sums(x, None, extent, tv, job)?[0])
}
