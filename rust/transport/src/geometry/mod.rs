//! Where photons travel: what material and density lie at a point, and which scoring cell.
//!
//! Points of the tracking loop are LOCAL: single precision, mm from the lower corner of the bounds, so that
//! patient coordinates far from the origin lose no digits. All cells are half open, `low <= x < high`: every point
//! within the bounds lies in exactly one.

mod bounds;
mod shape;
mod solids;
mod voxels;

pub use bounds::Bounds;
pub use shape::Shape;
pub(crate) use solids::Line;
pub use solids::{Mesh, Solid, Solids};
pub use voxels::{Labels, Voxels};

use crate::matter::Material;

/// Cell of a point outside the bounds.
pub const OUTSIDE: u32 = u32::MAX;

/// What lies at a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Index of the material; of some material, where there is none.
    pub material: u32,
    /// Density in g/cm3, 0 in vacuum.
    pub density: f32,
    /// Scoring cell, or [`OUTSIDE`].
    pub cell: u32,
}

/// An object to send photons through.
#[derive(Clone, Debug)]
pub enum Geometry {
    /// A material and a density per voxel.
    Voxels(Voxels),
    /// Boxes, cylinders and spheres.
    Solids(Solids),
}

/// Calls a method that both geometries have.
macro_rules! either {
    ($geometry:expr, |$g:ident| $call:expr) => {
        match $geometry {
            Geometry::Voxels($g) => $call,
            Geometry::Solids($g) => $call,
        }
    };
}

impl Geometry {
    /// Outside of it there is nothing.
    #[inline]
    pub fn bounds(&self) -> &Bounds {
        either!(self, |g| g.bounds())
    }

    /// What [`Place::material`] counts.
    pub fn materials(&self) -> &[Material] {
        either!(self, |g| g.materials())
    }

    /// Number of scoring cells.
    pub fn cells(&self) -> usize {
        either!(self, |g| g.cells())
    }

    /// Volume of each cell in mm3.
    pub fn volumes(&self) -> Vec<f64> {
        either!(self, |g| g.volumes())
    }

    /// Mass of each cell in g.
    pub fn masses(&self) -> Vec<f64> {
        either!(self, |g| g.masses())
    }

    /// Material and density, where they are the same everywhere within the bounds.
    pub fn homogeneous(&self) -> Option<(u32, f32)> {
        either!(self, |g| g.homogeneous())
    }

    /// The largest density of each material in each block of the bounds cut into `shape` (z, y, x) equal blocks:
    /// `[block][material]`, 0 where a block has nothing of a material. Rather too large than too small.
    pub fn max_densities(&self, shape: [usize; 3]) -> Vec<f32> {
        either!(self, |g| g.max_densities(shape))
    }

    /// What lies at one local point.
    #[inline(always)]
    pub fn place(&self, x: f32, y: f32, z: f32) -> Place {
        let mut place = Place { material: 0, density: 0.0, cell: OUTSIDE };
        let (material, density, cell) = (&mut place.material, &mut place.density, &mut place.cell);
        self.locate(
            &[x],
            &[y],
            &[z],
            std::array::from_mut(material),
            std::array::from_mut(density),
            std::array::from_mut(cell),
        );
        place
    }

    /// What lies at local points, lane by lane; slices of one length.
    #[inline(always)]
    pub fn locate(&self, x: &[f32], y: &[f32], z: &[f32], material: &mut [u32], density: &mut [f32], cell: &mut [u32]) {
        either!(self, |g| g.locate(x, y, z, material, density, cell))
    }
}

/// Two unit vectors across a direction, and the direction as a unit vector: right-handed. Along x, y or z they are
/// the other axes.
pub fn frame(direction: [f64; 3]) -> [[f64; 3]; 3] {
    let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    let w = direction.map(|x| x / length);
    // The axis most across the direction; z, x, y for x, y, z.
    let size = w.map(f64::abs);
    let pick = if size[2] >= size[0] && size[2] >= size[1] { 0 } else { 2 };
    let mut helper = [0.0; 3];
    helper[pick] = 1.0;
    let along = w[pick];
    let across: [f64; 3] = std::array::from_fn(|k| helper[k] - along * w[k]);
    let length = across.iter().map(|x| x * x).sum::<f64>().sqrt();
    let u = across.map(|x| x / length);
    [u, [w[1] * u[2] - w[2] * u[1], w[2] * u[0] - w[0] * u[2], w[0] * u[1] - w[1] * u[0]], w]
}
