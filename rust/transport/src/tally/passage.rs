//! Cuts flights into pieces by cell.
//!
//! Voxels are passed face by face (Amanatides & Woo 1987, "A fast voxel traversal algorithm for ray tracing"); solids by
//! the chords of each, of which the one of highest priority is seen, and a mesh within them face by face again.
//! Accuracy: double precision along the ray.

use super::track_length::Grid;
use crate::geometry::{Bounds, Line, Solids, Voxels};

/// Material and density.
pub type Matter = (usize, f32);

/// A geometry as flights pass it.
pub trait Passage {
    /// Hands cell, matter and length in mm of every piece of a flight to `visit`. Where `MATTER` is not asked for, it is
    /// not looked up.
    fn pass<const MATTER: bool>(
        &mut self,
        from: [f32; 3],
        along: [f32; 3],
        path: f32,
        visit: impl FnMut(u32, Matter, f32),
    );
}

/// Through voxels.
pub struct VoxelPassage<'a> {
    voxels: &'a Voxels,
    grid: Grid,
    /// Matter outside the grid.
    around: Matter,
}

impl<'a> VoxelPassage<'a> {
    /// Of a geometry.
    pub fn new(voxels: &'a Voxels) -> Self {
        Self { voxels, grid: Grid::new(voxels), around: voxels.surroundings() }
    }
}

impl Passage for VoxelPassage<'_> {
    #[inline(always)]
    fn pass<const MATTER: bool>(
        &mut self,
        from: [f32; 3],
        along: [f32; 3],
        path: f32,
        mut visit: impl FnMut(u32, Matter, f32),
    ) {
        let Self { voxels, grid, around } = self;
        let (labels, outside) = (voxels.labels(), voxels.labels().len());
        let surrounded = voxels.cells() > outside;
        grid.pass(from, along, path, outside as u32, |cell, length| {
            let i = cell as usize;
            let matter = match MATTER {
                true if i < outside => (labels.get(i), voxels.density(i)),
                _ => *around,
            };
            if i < outside || surrounded {
                visit(cell, matter, length);
            }
        });
    }
}

/// Through solids.
pub struct SolidPassage<'a> {
    solids: &'a Solids,
    bounds: &'a Bounds,
    mesh: Option<Grid>,
    line: Line,
}

impl<'a> SolidPassage<'a> {
    /// Of a geometry.
    pub fn new(solids: &'a Solids) -> Self {
        let bounds = solids.bounds();
        let mesh = solids.mesh().map(|mesh| {
            let corner = std::array::from_fn(|k| mesh.low[k] - bounds.low[k]);
            Grid { count: mesh.count.map(|n| n as i32), spacing: mesh.spacing, corner }
        });
        Self { solids, bounds, mesh, line: Line::default() }
    }
}

impl Passage for SolidPassage<'_> {
    #[inline]
    fn pass<const MATTER: bool>(
        &mut self,
        from: [f32; 3],
        along: [f32; 3],
        path: f32,
        mut visit: impl FnMut(u32, Matter, f32),
    ) {
        let Self { solids, bounds, mesh, line } = self;
        let boxes = solids.matter().len() as u32;
        solids.cross(&bounds.world(from), &along.map(f64::from), 0.0..f64::from(path), line, |solid, seen| {
            let (material, density) = solids.matter()[solid];
            let (matter, length) = ((material as usize, density), (seen.end - seen.start) as f32);
            let Some(mesh) = mesh else { return visit(solid as u32, matter, length) };
            let start = std::array::from_fn(|k| from[k] + seen.start as f32 * along[k]);
            mesh.pass(start, along, length, u32::MAX, |cell, length| {
                visit(if cell == u32::MAX { solid as u32 } else { boxes + cell }, matter, length);
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Geometry, Mesh, Shape, Solid};
    use crate::matter::Material;
    use crate::random::{Numbers, Uniform};

    /// A point on the faces of a box of `size`, and a direction inwards with a probability in proportion to its cosine:
    /// lines of an isotropic field.
    fn line(size: [f64; 3], numbers: &mut Numbers) -> ([f32; 3], [f32; 3]) {
        let area = [0, 1, 2].map(|k| size[(k + 1) % 3] * size[(k + 2) % 3]);
        let mut at = 2.0 * area.iter().sum::<f64>() * numbers.uniform();
        let mut face = 0;
        while at > area[face / 2] && face < 5 {
            at -= area[face / 2];
            face += 1;
        }
        let (axis, far) = (face / 2, face % 2 == 1);
        let mut from: [f64; 3] = std::array::from_fn(|k| size[k] * numbers.uniform());
        from[axis] = if far { size[axis] } else { 0.0 };
        let (square, turn) = (numbers.uniform(), std::f64::consts::TAU * numbers.uniform());
        let mut along = [0.0; 3];
        along[axis] = (1.0 - square).sqrt() * if far { -1.0 } else { 1.0 };
        along[(axis + 1) % 3] = square.sqrt() * turn.cos();
        along[(axis + 2) % 3] = square.sqrt() * turn.sin();
        (from.map(|x| x as f32), along.map(|x| x as f32))
    }

    #[test]
    fn mean_lengths_in_an_isotropic_field_are_four_volumes_over_the_surface() {
        // Cauchy's theorem: over the lines that meet a convex body of surface S, the mean length in any part of it of
        // volume V is 4 V / S.
        let solid = |shape, priority| Solid { shape, material: 0, density: 1.0, priority };
        let solids = vec![
            solid(Shape::Sphere { centre: [3.0, 1.0, -2.0], radius: 6.0 }, 2),
            solid(Shape::Box { low: [-8.0, -2.0, -9.0], high: [5.0, 9.0, 4.0] }, 1),
        ];
        let mesh = Mesh { count: [2, 3, 2], low: [-1.0, -4.0, -5.0], spacing: [3.0, 2.0, 2.5] };
        let bounds = Bounds::new([-10.0, -11.0, -12.0], [12.0, 11.0, 8.0]).unwrap();
        let matter = vec![Material::new("a", 1.0, vec![(1, 1.0)]).unwrap()];
        let solids = Solids::new(solids, matter, (0, 0.1), Some(bounds), Some(mesh)).unwrap();
        let (volumes, size) = (Geometry::Solids(solids.clone()).volumes(), bounds.size);
        let surface = 2.0 * (0..3).map(|k| size[(k + 1) % 3] * size[(k + 2) % 3]).sum::<f64>();
        let mut passage = SolidPassage::new(&solids);
        let (n, mut numbers) = (200_000, Numbers::new(5, 0, 0));
        let (mut sums, mut squares) = (vec![0.0f64; volumes.len()], vec![0.0f64; volumes.len()]);
        for _ in 0..n {
            let (from, along) = line(size, &mut numbers);
            let start = std::array::from_fn(|k| bounds.low[k] + f64::from(from[k]));
            let Some((_, far)) = bounds.span(start, along.map(f64::from)) else { continue };
            let (mut own, mut path) = (vec![0.0f64; volumes.len()], 0.0);
            passage.pass::<false>(from, along, far as f32, |cell, _, length| {
                own[cell as usize] += f64::from(length);
                path += f64::from(length);
            });
            assert!((path - far).abs() < 1e-4, "pieces of {path} mm instead of {far}");
            for (cell, length) in own.into_iter().enumerate() {
                sums[cell] += length;
                squares[cell] += length * length;
            }
        }
        for (cell, volume) in volumes.into_iter().enumerate() {
            let (mean, expected) = (sums[cell] / f64::from(n), 4.0 * volume / surface);
            let error = ((squares[cell] / f64::from(n) - mean * mean) / f64::from(n)).sqrt();
            assert!((mean - expected).abs() < 4.0 * error + 1e-4 * mean, "{cell}: {mean} +- {error}, {expected}");
        }
    }
}
