//! Several iterations in one pass over memory.
//!
//! A slab of planes is walked in strips of rows; inside a strip the iterations ("levels") follow each other plane
//! by plane, each one plane behind and one row above the one before, so that what a level reads was just written
//! and still lies in the cache:
//!
//! ```text
//! level 0 has updated planes 0 ..= k     and rows ..  b      of the strip
//! level 1 has updated planes 0 ..= k - 1 and rows ..  b - 1
//! ```
//!
//! Two buffers hold the duals: level l reads both and writes over the older, in place. What an in-place update
//! takes away from a neighbour is an image row it needs, and that row is kept: `edge` keeps the first image row of
//! the next strip, a [`Seam`] the image plane between two slabs, for every level. A seam gets its planes from a
//! private copy of the few planes around it, before the slabs are touched; slabs are then independent of each other.

use super::Extent;
use super::rows::{Dual, Image, Model, dual_row};
use spinray_core::Job;
use spinray_core::simd::{Kernel, Real, Simd, dispatch};

/// Iterations done in one pass.
pub(super) const LEVELS: usize = 4;

/// Bytes of a strip's planes that should stay in a core's cache.
const CACHE: usize = 1 << 20;

/// Voxels of a slab at least: less work is not worth a thread (but tests want seams).
const SLAB: usize = if cfg!(test) { 1 } else { 1 << 16 };

/// Planes of a slab: one slab for each thread, since each seam costs some twenty planes of an iteration.
pub(super) fn slab_planes(extent: &Extent, threads: usize) -> usize {
    extent.planes.div_ceil(threads).max(4 * LEVELS).max(SLAB.div_ceil(extent.plane()))
}

/// Rows of a strip: the planes of all levels, both duals and v, fit the cache.
fn strip_rows<T>(extent: &Extent) -> usize {
    let row = (LEVELS + 2) * (2 * extent.components + 1) * extent.columns * size_of::<T>();
    (CACHE / row).clamp(2 * LEVELS, extent.rows.max(2 * LEVELS))
}

/// The iterations of a pass.
pub(super) struct Levels<'a, T> {
    pub model: &'a Model<T>,
    pub beta: &'a [T],
}

/// What is known at the ends of a block: for each level, a plane of the image.
pub(super) struct Ends<'a, T> {
    /// The block's first plane; without it, the volume begins here.
    pub first: Option<&'a [T]>,
    /// The plane after the block's last; without it, the volume ends here.
    pub after: Option<&'a [T]>,
    /// Writes down the image of this plane of the block.
    pub record: Option<(usize, &'a mut [T])>,
    /// Planes that each level leaves out at both ends, compared with the one before.
    pub shrink: [usize; 2],
}

/// Consecutive planes and the iterations to do on them.
pub(super) struct Block<'a, T> {
    pub extent: &'a Extent,
    pub levels: &'a Levels<'a, T>,
    pub v: &'a [T],
    pub newest: &'a mut [T],
    pub older: &'a mut [T],
    pub ends: Ends<'a, T>,
    pub room: &'a mut Room<T>,
    pub job: &'a Job,
}

impl<T: Real> Kernel<T> for Block<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let rows = self.extent.rows;
        let (height, thinnest) = (strip_rows::<T>(self.extent), 2 * LEVELS);
        let planes = self.v.len() / self.extent.plane();
        let mut walk = Walk { planes, block: self };
        let mut top = 0;
        while top < rows {
            // No strip thinner than the levels' skew.
            let bottom = if top + height + thinnest > rows { rows } else { top + height };
            // SAFETY: the dispatcher chose S.
            unsafe { walk.strip::<S>(top, bottom) };
            top = bottom;
        }
    }
}

/// Buffers of a block, kept from pass to pass.
pub(super) struct Room<T> {
    /// Image rows of two planes for each level, each row with its last voxel twice: no difference across that face.
    images: Vec<T>,
    /// First image row of the next strip, for each level and plane.
    edge: Vec<T>,
    zeros: Vec<T>,
    ahead: Vec<T>,
    /// Rows of a plane of `images`.
    height: usize,
}

impl<T: Real> Room<T> {
    /// For blocks of up to `planes` planes.
    pub fn new(extent: &Extent, planes: usize) -> Self {
        let height = (strip_rows::<T>(extent) + 3 * LEVELS + 1).min(extent.rows + 1);
        Self {
            images: vec![T::default(); LEVELS * 2 * height * (extent.columns + 1)],
            edge: vec![T::default(); LEVELS * planes * extent.columns],
            zeros: vec![T::default(); extent.columns],
            ahead: vec![T::default(); extent.columns + 1],
            height,
        }
    }
}

/// A block under way.
struct Walk<'a, T> {
    block: Block<'a, T>,
    planes: usize,
}

impl<'a, T: Real> Walk<'a, T> {
    /// All levels of the strip of rows top..bottom.
    #[inline(always)]
    unsafe fn strip<S: Simd<T = T>>(&mut self, top: usize, bottom: usize) {
        let (levels, rows) = (self.block.levels.beta.len(), self.block.extent.rows);
        for step in 0..self.planes + levels - 1 {
            if self.block.job.check().is_err() {
                return;
            }
            for level in 0..levels.min(step + 1) {
                let (z, [above, below]) = (step - level, self.block.ends.shrink);
                let begin = level * above;
                if z < begin || z + level * below >= self.planes {
                    continue;
                }
                let first = top.saturating_sub(if top == 0 { 0 } else { level });
                let end = if bottom == rows { rows } else { bottom - level };
                // SAFETY: the caller's.
                unsafe {
                    if z == begin {
                        self.image::<S>(level, z, first, end);
                    }
                    self.image::<S>(level, z + 1, first, end);
                    self.update::<S>(level, z, first, end);
                }
            }
        }
    }

    /// Where the image rows of a plane lie, from row `first` on.
    #[inline(always)]
    fn slot(&self, level: usize, z: usize) -> usize {
        (level * 2 + z % 2) * self.block.room.height * (self.block.extent.columns + 1)
    }

    /// Fills the image rows first..=end of plane z (the last one only where there is a strip after).
    #[inline(always)]
    unsafe fn image<S: Simd<T = T>>(&mut self, level: usize, z: usize, first: usize, end: usize) {
        let Extent { rows, columns, .. } = *self.block.extent;
        let (slot, plane) = (self.slot(level, z), rows * columns);
        let known = match z {
            0 => self.block.ends.first,
            z if z == self.planes => self.block.ends.after,
            _ => None,
        };
        if known.is_none() && z == self.planes {
            return;
        }
        let last = end.min(rows - 1);
        for y in first..=last {
            let out = &mut self.block.room.images[slot + (y - first) * (columns + 1)..][..=columns];
            let edge = (level * self.planes + z) * columns;
            if let Some(known) = known {
                out[..columns].copy_from_slice(&known[level * plane + y * columns..][..columns]);
            } else if y == first && first > 0 {
                out[..columns].copy_from_slice(&self.block.room.edge[edge..][..columns]);
            } else {
                let (p, q) = if level.is_multiple_of(2) {
                    (&*self.block.newest, &*self.block.older)
                } else {
                    (&*self.block.older, &*self.block.newest)
                };
                let duals = Dual { extent: self.block.extent, p, q, zeros: &self.block.room.zeros };
                let v = &self.block.v[(z * rows + y) * columns..][..columns];
                let Levels { model, beta } = self.block.levels;
                // SAFETY: the caller's.
                unsafe { duals.image_row::<S>(model, beta[level], (z, y), v, &mut self.block.room.ahead, out) };
                if let Some((recorded, images)) = &mut self.block.ends.record
                    && *recorded == z
                {
                    images[level * plane + y * columns..][..columns].copy_from_slice(&out[..columns]);
                }
            }
            out[columns] = out[columns - 1];
            if y == end && known.is_none() {
                self.block.room.edge[edge..][..columns].copy_from_slice(&out[..columns]);
            }
        }
    }

    /// Updates the dual rows first..end of plane z.
    #[inline(always)]
    unsafe fn update<S: Simd<T = T>>(&mut self, level: usize, z: usize, first: usize, end: usize) {
        let Extent { rows, columns, components, .. } = *self.block.extent;
        let here = self.slot(level, z);
        let ends = z + 1 == self.planes && self.block.ends.after.is_none();
        let next = if ends { here } else { self.slot(level, z + 1) };
        let Levels { model, beta } = self.block.levels;
        let (p, q) = if level.is_multiple_of(2) {
            (&*self.block.newest, &mut *self.block.older)
        } else {
            (&*self.block.older, &mut *self.block.newest)
        };
        let images = &self.block.room.images;
        let row = |slot: usize, y: usize| &images[slot + (y - first) * (columns + 1)..][..=columns];
        for y in first..end {
            let start = (z * rows + y) * components * columns;
            let (p, q) = (&p[start..][..components * columns], &mut q[start..][..components * columns]);
            let x = row(here, y);
            let below = if y + 1 < rows { row(here, y + 1) } else { x };
            let image = Image { row: x, after: row(next, y), below };
            // SAFETY: the caller's.
            unsafe {
                if components == 3 {
                    dual_row::<S, true>(model, beta[level], p, q, &image);
                } else {
                    dual_row::<S, false>(model, beta[level], p, q, &image);
                }
            }
        }
    }
}

/// The image plane between two slabs, for every level of a pass.
pub(super) struct Seam<T> {
    /// First plane of the slab after the seam.
    plane: usize,
    /// Private copies of the planes around it.
    newest: Vec<T>,
    older: Vec<T>,
    images: Vec<T>,
    room: Room<T>,
}

impl<T: Real> Seam<T> {
    pub fn new(extent: &Extent, plane: usize) -> Self {
        let copy = 2 * LEVELS * extent.plane() * extent.components;
        Self {
            plane,
            newest: vec![T::default(); copy],
            older: vec![T::default(); copy],
            images: vec![T::default(); LEVELS * extent.plane()],
            room: Room::new(extent, 2 * LEVELS),
        }
    }

    /// The image planes, one for each level, as of the last [`Seam::prepare`].
    pub fn images(&self) -> &[T] {
        &self.images
    }

    /// Does the pass on a copy of the planes around the seam. The copy's ends are wrong where they are not the
    /// volume's, but a wrong value travels one plane per level and the seam lies that many planes inside. So the
    /// levels may also shrink by as much.
    pub fn prepare(&mut self, v: &[T], extent: &Extent, levels: &Levels<T>, newest: &[T], older: &[T], job: &Job) {
        let count = levels.beta.len();
        let (from, to) = (self.plane.saturating_sub(count), (self.plane + count).min(extent.planes));
        let (plane, dual_plane) = (extent.plane(), extent.plane() * extent.components);
        let length = (to - from) * dual_plane;
        self.newest[..length].copy_from_slice(&newest[from * dual_plane..to * dual_plane]);
        self.older[..length].copy_from_slice(&older[from * dual_plane..to * dual_plane]);
        let ends = Ends {
            first: None,
            after: None,
            record: Some((self.plane - from, &mut self.images)),
            shrink: [usize::from(from > 0), usize::from(to < extent.planes)],
        };
        dispatch(Block {
            extent,
            levels,
            v: &v[from * plane..to * plane],
            newest: &mut self.newest[..length],
            older: &mut self.older[..length],
            ends,
            room: &mut self.room,
            job,
        });
    }
}
