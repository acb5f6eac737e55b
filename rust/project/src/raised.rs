//! Working copies in which z (or detector rows, or the images of a batch) is the contiguous axis, and how
//! values get there and back.

use crate::geometry::{Beam, Scan};
use crate::rays::PAD;
use rayon::prelude::*;
use spinray_core::buffer::zeros;
use spinray_core::simd::Real;

/// Voxel columns and detector columns are padded to whole vectors of any instruction set.
pub const LANES: usize = 16;
/// Bytes of re-ordered views held at a time.
const VIEW_BYTES: usize = 24 << 20;

/// How values lie in the projection array: value (view, row, column) at view * `view` + row * `row` + column.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Number of rows.
    pub rows: usize,
    /// Distance of views.
    pub view: usize,
    /// Distance of rows.
    pub row: usize,
    /// Whether row r is slice r.
    pub identity: bool,
}

impl Layout {
    /// The rows of `scan`.
    pub fn of(scan: &Scan) -> Self {
        let [rows, columns] = scan.shape;
        let slices = &scan.grid;
        let aligned = |r: usize| (slices.index(0, scan.row_position(r)) - r as f64).abs() < 1e-9;
        let identity = scan.beam == Beam::Parallel && rows == slices.shape[0] && aligned(0) && aligned(rows - 1);
        Self { rows, view: rows * columns, row: columns, identity }
    }

    /// How many views fit into the memory set aside for re-ordered ones.
    pub fn views_at_once<T>(&self, scan: &Scan) -> usize {
        (VIEW_BYTES / (scan.shape[1] * self.stride() * size_of::<T>())).clamp(1, 64)
    }

    /// Zeros before and after the rows of a re-ordered column, where they are looked up between.
    pub fn pad(&self) -> usize {
        if self.identity { 0 } else { PAD }
    }

    /// Distance of padded re-ordered columns.
    pub fn stride(&self) -> usize {
        self.rows.next_multiple_of(LANES) + 2 * self.pad()
    }

    /// View `v` of `y` re-ordered: row r of column c goes to `raised[c * stride + r]`.
    pub fn raise_view<T: Copy>(&self, y: &[T], v: usize, columns: usize, stride: usize, raised: &mut [T]) {
        for c0 in (0..columns).step_by(LANES) {
            for r in 0..self.rows {
                let row = &y[v * self.view + r * self.row..][..columns];
                for c in c0..(c0 + LANES).min(columns) {
                    raised[c * stride + r] = row[c];
                }
            }
        }
    }

    /// `n` images of one slice: they take the place of slices and rows.
    pub fn batch(scan: &Scan, n: usize) -> Self {
        Self { rows: n, view: scan.shape[1], row: scan.angles.len() * scan.shape[1], identity: true }
    }
}

/// A pointer several threads may write through, each to its own entries.
#[derive(Clone, Copy)]
pub struct Shared<T>(pub *mut T);
// SAFETY: every use writes disjoint entries from different threads.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The address of an entry.
    pub fn at(self, offset: usize) -> *mut T {
        // SAFETY: callers stay inside the array the pointer came from.
        unsafe { self.0.add(offset) }
    }
}

/// (z, y, x) into (y, x, z) with z padded to `depth`.
pub fn raise<T: Real>(volume: &[T], nz: usize, nx: usize, depth: usize) -> Vec<T> {
    let pixels = volume.len() / nz;
    let mut raised = zeros(pixels * depth);
    raised.par_chunks_mut(nx * depth).enumerate().for_each(|(j, plane)| {
        for x0 in (0..nx).step_by(LANES) {
            for z in 0..nz {
                let row = &volume[z * pixels + j * nx..][..nx];
                for x in x0..(x0 + LANES).min(nx) {
                    plane[x * depth + z] = row[x];
                }
            }
        }
    });
    raised
}

/// (y, x, z) back into (z, y, x).
pub fn lower<T: Real>(raised: &[T], volume: &mut [T], nz: usize, nx: usize, depth: usize) {
    let pixels = volume.len() / nz;
    let out = Shared(volume.as_mut_ptr());
    raised.par_chunks(nx * depth).enumerate().for_each(|(j, plane)| {
        for x0 in (0..nx).step_by(LANES) {
            for z in 0..nz {
                for x in x0..(x0 + LANES).min(nx) {
                    // SAFETY: this task alone writes row j of every slice.
                    unsafe { out.at(z * pixels + j * nx + x).write(plane[x * depth + z]) };
                }
            }
        }
    });
}
