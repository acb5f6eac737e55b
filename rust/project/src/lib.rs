//! Ray kernels: each projector and its exact adjoint in one file.

pub mod analytic;
pub mod cone;
pub mod geometry;
pub mod line;
pub mod plane;
mod raised;
pub mod rays;
#[cfg(test)]
mod reference;
pub mod voxel;

use geometry::Scan;
use spinray_core::simd::Real;
use spinray_core::{Job, Result};

/// Images of one slice from which on lanes over images beat lanes over pixels in the forward direction.
const BATCH: usize = 8;

/// Projects `x` (n, nz, ny, nx) into `y` (n, views, rows, columns) by the kernel that suits the scan.
pub fn forward<T: Real>(scan: &Scan, x: &[T], y: &mut [T], job: &Job) -> Result<()> {
    let n = x.len() / scan.grid.len();
    match (scan.is_planar(), n >= BATCH) {
        (true, true) => cone::forward_batch(scan, x, y, job),
        (true, false) => plane::forward(scan, x, y, job),
        (false, _) => cone::forward(scan, x, y, job),
    }
}

/// Back-projects `y` (n, views, rows, columns) into `x` (n, nz, ny, nx): the exact adjoint of [`forward`].
pub fn adjoint<T: Real>(scan: &Scan, y: &[T], x: &mut [T], job: &Job) -> Result<()> {
    if scan.is_planar() { plane::adjoint(scan, y, x, job) } else { cone::adjoint(scan, y, x, job) }
}
