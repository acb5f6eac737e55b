//! Boxes, cylinders and spheres: at each point the one of highest priority decides.
//!
//! Lanes test every solid, from the lowest priority to the highest, and keep the last that holds the point: no
//! branches, and the time grows with the number of solids, so this is for some dozens of them. Faces of aligned boxes
//! are compared in single precision as given, so boxes that share a face share it to the bit; curved surfaces are
//! right to some 1e-7 of the coordinates.
//!
//! Volumes: closed forms where solids are nested or apart, else integrals of chords along z over a lattice of
//! 1024 x 1024 lines (some 1e-4).

use super::shape::corners;
use super::{Bounds, OUTSIDE, Shape};
use crate::matter::Material;
use rayon::prelude::*;
use spinray_core::{Error, Result};
use std::ops::Range;

/// Lines across a solid, along x and along y, for volumes that have no closed form.
const LINES: usize = 1024;
/// The same across a cell of a mesh.
const LINES_PER_CELL: usize = 16;

/// A body of one material.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Solid {
    /// Its surface, in the world.
    pub shape: Shape,
    /// Index of its material.
    pub material: usize,
    /// Its density in g/cm3.
    pub density: f64,
    /// Where solids overlap, the highest wins; the later one among equals.
    pub priority: i32,
}

/// A grid of boxes that score instead of the solids they lie in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mesh {
    /// Boxes (x, y, z).
    pub count: [usize; 3],
    /// Lower corner of the first, in the world.
    pub low: [f64; 3],
    /// Size of each in mm.
    pub spacing: [f64; 3],
}

/// A solid as lanes see it: local coordinates in single precision.
#[derive(Clone, Copy, Debug)]
enum Surface {
    Box { low: [f32; 3], high: [f32; 3] },
    Cylinder { centre: [f32; 3], axes: [[f32; 3]; 3], square: f32, half: f32 },
    Sphere { centre: [f32; 3], square: f32 },
}

/// What is found along a line: kept by the caller, for its memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// Of each solid and the world.
    chords: Vec<Option<(f64, f64)>>,
    /// Ends of chords, in order.
    cuts: Vec<f64>,
}

/// Solids in a world of one material. Cells: the solids in the order given, the world, then those of the mesh.
#[derive(Clone, Debug)]
pub struct Solids {
    /// As given, then the world.
    solids: Vec<Solid>,
    materials: Vec<Material>,
    bounds: Bounds,
    mesh: Option<Mesh>,
    /// Solids but the world by growing priority, as lanes see them, and their cells.
    order: Vec<(Surface, u32)>,
    /// Material and density of each solid and the world.
    matter: Vec<(u32, f32)>,
}

impl Solids {
    /// `world`: the material and density between the solids. The bounds hold all of them unless given.
    pub fn new(
        mut solids: Vec<Solid>,
        materials: Vec<Material>,
        world: (usize, f64),
        bounds: Option<Bounds>,
        mesh: Option<Mesh>,
    ) -> Result<Self> {
        let bounds = match bounds {
            Some(bounds) => bounds,
            None => around(&solids)?,
        };
        let shape = Shape::Box { low: bounds.low, high: bounds.high() };
        solids.push(Solid { shape, material: world.0, density: world.1, priority: i32::MIN });
        check(&solids, &materials, mesh.as_ref(), &bounds)?;
        let mut order: Vec<_> = (0..solids.len() - 1).collect();
        order.sort_by_key(|&i| solids[i].priority); // stable: the later one of equals stays behind
        let order = order.iter().map(|&i| (Surface::new(&solids[i].shape.seen_from(&bounds.low)), i as u32)).collect();
        let matter = solids.iter().map(|s| (s.material as u32, s.density as f32)).collect();
        Ok(Self { solids, materials, bounds, mesh, order, matter })
    }

    /// The solids, in the order given.
    pub fn solids(&self) -> &[Solid] {
        &self.solids[..self.solids.len() - 1]
    }

    /// Material and density of each solid and the world.
    pub(crate) fn matter(&self) -> &[(u32, f32)] {
        &self.matter
    }

    /// The boxes that score, if any.
    pub fn mesh(&self) -> Option<&Mesh> {
        self.mesh.as_ref()
    }

    /// See [`super::Geometry::bounds`].
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// See [`super::Geometry::materials`].
    pub fn materials(&self) -> &[Material] {
        &self.materials
    }

    /// See [`super::Geometry::cells`].
    pub fn cells(&self) -> usize {
        self.solids.len() + self.mesh.map_or(0, |m| m.count.iter().product())
    }

    /// See [`super::Geometry::homogeneous`].
    pub fn homogeneous(&self) -> Option<(u32, f32)> {
        self.matter.iter().all(|m| *m == self.matter[0]).then(|| self.matter[0])
    }

    /// See [`super::Geometry::volumes`].
    pub fn volumes(&self) -> Vec<f64> {
        self.contents().into_iter().map(|(volume, _)| volume).collect()
    }

    /// See [`super::Geometry::masses`].
    pub fn masses(&self) -> Vec<f64> {
        self.contents().into_iter().map(|(_, mass)| mass).collect()
    }

    /// Volume in mm3 and mass in g of every cell.
    fn contents(&self) -> Vec<(f64, f64)> {
        let mut volumes = self.visible();
        let mut mesh = vec![(0.0, 0.0); self.cells() - self.solids.len()];
        if let Some(grid) = self.mesh {
            let [nx, ny, nz] = grid.count;
            mesh.par_iter_mut().enumerate().for_each(|(i, content)| {
                let cell = [i % nx, i / nx % ny, i / (nx * ny)];
                let low: [f64; 3] = std::array::from_fn(|k| grid.low[k] + cell[k] as f64 * grid.spacing[k]);
                let high = std::array::from_fn(|k| low[k] + grid.spacing[k]);
                for (volume, solid) in self.integrate(&low, &high, LINES_PER_CELL).iter().zip(&self.solids) {
                    content.0 += volume;
                    content.1 += 1e-3 * solid.density * volume;
                }
            });
            debug_assert_eq!(mesh.len(), nx * ny * nz);
            let high = std::array::from_fn(|k| grid.low[k] + grid.count[k] as f64 * grid.spacing[k]);
            for (own, taken) in volumes.iter_mut().zip(self.integrate(&grid.low, &high, LINES)) {
                *own = (*own - taken).max(0.0);
            }
        }
        let mut contents: Vec<_> =
            volumes.iter().zip(&self.solids).map(|(volume, solid)| (*volume, 1e-3 * solid.density * volume)).collect();
        contents.append(&mut mesh);
        contents
    }

    /// Volume of each solid, and of the world, that no other hides.
    fn visible(&self) -> Vec<f64> {
        let rank = |i: usize| (self.solids[i].priority, if i + 1 == self.solids.len() { -1 } else { i as i64 });
        let mut order: Vec<_> = (0..self.solids.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(rank(i)));
        let mut volumes = vec![0.0; self.solids.len()];
        for (n, &i) in order.iter().enumerate() {
            let own = &self.solids[i].shape;
            let (low, high) = own.extent();
            // Parts of the covers that can be seen fill the covers: if all are within, subtract them.
            let covers: Vec<_> = order[..n].iter().filter(|&&j| self.solids[j].shape.touches(&low, &high)).collect();
            let world = &self.solids[self.solids.len() - 1].shape;
            let nested = world.encloses(own) && covers.iter().all(|&&j| own.encloses(&self.solids[j].shape));
            volumes[i] = if nested {
                own.volume() - covers.iter().map(|&&j| volumes[j]).sum::<f64>()
            } else {
                self.integrate(&low, &high, LINES)[i]
            };
        }
        volumes
    }

    /// Volume of each solid, and of the world, that can be seen in a box: chords along z over lines at the middles of
    /// n x n squares.
    fn integrate(&self, low: &[f64; 3], high: &[f64; 3], n: usize) -> Vec<f64> {
        let step = [0, 1].map(|k| (high[k] - low[k]) / n as f64);
        let row = |j: usize| {
            let mut lengths = vec![0.0; self.solids.len()];
            let mut line = Line::default();
            for i in 0..n {
                let p = [low[0] + (i as f64 + 0.5) * step[0], low[1] + (j as f64 + 0.5) * step[1], 0.0];
                self.cross(&p, &[0.0, 0.0, 1.0], low[2]..high[2], &mut line, |solid, seen| {
                    lengths[solid] += seen.end - seen.start;
                });
            }
            lengths
        };
        let add = |mut a: Vec<f64>, b: Vec<f64>| {
            a.iter_mut().zip(&b).for_each(|(a, b)| *a += b);
            a
        };
        // Rows are summed in order: the same bits for any number of threads.
        let rows: Vec<_> = (0..n).into_par_iter().map(row).collect();
        let lengths = rows.into_iter().fold(vec![0.0; self.solids.len()], add);
        lengths.into_iter().map(|l| l * step[0] * step[1]).collect()
    }

    /// Material and density of a solid, or of the world, which comes after them.
    pub(crate) fn medium(&self, solid: usize) -> (usize, f64) {
        (self.solids[solid].material, self.solids[solid].density)
    }

    /// Calls `visit` with each solid (or the world) that can be seen along the line `p + t d`, and where, in order.
    pub(crate) fn cross(
        &self,
        p: &[f64; 3],
        d: &[f64; 3],
        range: Range<f64>,
        line: &mut Line,
        mut visit: impl FnMut(usize, Range<f64>),
    ) {
        let Line { chords, cuts } = line;
        chords.clear();
        chords.extend(self.solids.iter().map(|s| s.shape.chord(p, d)));
        cuts.clear();
        cuts.extend([range.start, range.end]);
        cuts.extend(chords.iter().flatten().flat_map(|&(a, b)| [a, b]).filter(|t| range.contains(t)));
        cuts.sort_by(f64::total_cmp);
        for pair in cuts.windows(2) {
            let middle = 0.5 * (pair[0] + pair[1]);
            let holds = |i: &usize| chords[*i].is_some_and(|(a, b)| a <= middle && middle < b);
            let world = self.solids.len() - 1;
            let inside = holds(&world);
            let top = self.order.iter().rev().map(|&(_, i)| i as usize).find(holds).unwrap_or(world);
            if inside && pair[1] > pair[0] {
                visit(top, pair[0]..pair[1]);
            }
        }
    }

    /// Calls `visit` with material, density and length of each piece of a ray from `p` (world) to the end of the bounds.
    pub(crate) fn passes(&self, p: &[f64; 3], d: &[f64; 3], line: &mut Line, mut visit: impl FnMut(usize, f64, f64)) {
        let Some((near, far)) = self.bounds.span(*p, *d) else { return };
        self.cross(p, d, near..far, line, |solid, seen| {
            let (material, density) = self.medium(solid);
            visit(material, density, seen.end - seen.start);
        });
    }

    /// See [`super::Geometry::max_densities`].
    pub fn max_densities(&self, shape: [usize; 3]) -> Vec<f32> {
        let [nz, ny, nx] = shape;
        let mut out = vec![0.0f32; nz * ny * nx * self.materials.len()];
        for (b, largest) in out.chunks_mut(self.materials.len()).enumerate() {
            let block = [b % nx, b / nx % ny, b / (nx * ny)];
            let face = |k: usize, side: usize| {
                let t = (block[k] + side) as f64 / [nx, ny, nz][k] as f64;
                // Wider by more than single precision rounds.
                self.bounds.low[k] + self.bounds.size[k] * (t + 1e-6 * (2.0 * side as f64 - 1.0))
            };
            let (low, high) = (std::array::from_fn(|k| face(k, 0)), std::array::from_fn(|k| face(k, 1)));
            let corners = corners(&low, &high);
            // From the top, until one solid fills the block.
            let from_top = self.order.iter().rev().map(|&(_, i)| i as usize).chain([self.solids.len() - 1]);
            for solid in from_top.map(|i| &self.solids[i]).filter(|s| s.shape.touches(&low, &high)) {
                largest[solid.material] = largest[solid.material].max(solid.density as f32);
                if corners.iter().all(|p| solid.shape.contains(p)) {
                    break;
                }
            }
        }
        out
    }

    /// See [`super::Geometry::locate`].
    #[inline(always)]
    pub fn locate(&self, x: &[f32], y: &[f32], z: &[f32], material: &mut [u32], density: &mut [f32], cell: &mut [u32]) {
        let n = cell.len();
        let (x, y, z) = (&x[..n], &y[..n], &z[..n]);
        let (material, density) = (&mut material[..n], &mut density[..n]);
        let world = self.solids.len() as u32 - 1;
        cell.fill(world);
        for (surface, id) in &self.order {
            surface.mark(x, y, z, *id, cell);
        }
        for k in 0..n {
            (material[k], density[k]) = self.matter[cell[k] as usize];
        }
        if let Some(mesh) = &self.mesh {
            self.mark_mesh(mesh, x, y, z, cell);
        }
        let edges = self.bounds.edges();
        for k in 0..n {
            let p = [x[k], y[k], z[k]];
            let inside = (0..3).fold(true, |inside, a| inside & (p[a] >= 0.0) & (p[a] < edges[a]));
            density[k] = if inside { density[k] } else { 0.0 };
            cell[k] = if inside { cell[k] } else { OUTSIDE };
        }
    }

    #[inline(always)]
    fn mark_mesh(&self, mesh: &Mesh, x: &[f32], y: &[f32], z: &[f32], cell: &mut [u32]) {
        let low: [f32; 3] = std::array::from_fn(|a| (mesh.low[a] - self.bounds.low[a]) as f32);
        let inverse = mesh.spacing.map(|s| (1.0 / (s as f32)).next_up().next_up());
        let edges: [f32; 3] = std::array::from_fn(|a| (mesh.count[a] as f64 * mesh.spacing[a]) as f32);
        let [nx, ny, _] = mesh.count.map(|n| n as u32);
        let first = self.solids.len() as u32;
        for k in 0..cell.len() {
            let p = [x[k] - low[0], y[k] - low[1], z[k] - low[2]];
            let inside = (0..3).fold(true, |inside, a| inside & (p[a] >= 0.0) & (p[a] < edges[a]));
            let [i, j, l] = std::array::from_fn(|a| (p[a] * inverse[a]).clamp(0.0, (mesh.count[a] - 1) as f32) as u32);
            cell[k] = if inside { first + (l * ny + j) * nx + i } else { cell[k] };
        }
    }
}

impl Surface {
    fn new(shape: &Shape) -> Self {
        let single = |p: [f64; 3]| p.map(|x| x as f32);
        match *shape {
            Shape::Box { low, high } => Self::Box { low: single(low), high: single(high) },
            Shape::Cylinder { centre, axes, radius, half } => Self::Cylinder {
                centre: single(centre),
                axes: axes.map(single),
                square: (radius * radius) as f32,
                half: half as f32,
            },
            Shape::Sphere { centre, radius } => {
                Self::Sphere { centre: single(centre), square: (radius * radius) as f32 }
            }
        }
    }

    /// Writes `id` to the lanes whose point it holds.
    #[inline(always)]
    fn mark(&self, x: &[f32], y: &[f32], z: &[f32], id: u32, cell: &mut [u32]) {
        let n = cell.len();
        match *self {
            Self::Box { low, high } => {
                for k in 0..n {
                    let p = [x[k], y[k], z[k]];
                    let inside = (0..3).fold(true, |inside, a| inside & (p[a] >= low[a]) & (p[a] < high[a]));
                    cell[k] = if inside { id } else { cell[k] };
                }
            }
            Self::Cylinder { centre, axes, square, half } => {
                for k in 0..n {
                    let d = [x[k] - centre[0], y[k] - centre[1], z[k] - centre[2]];
                    let [u, v, w] = axes.map(|a| a[0] * d[0] + a[1] * d[1] + a[2] * d[2]);
                    let inside = (u * u + v * v < square) & (w >= -half) & (w < half);
                    cell[k] = if inside { id } else { cell[k] };
                }
            }
            Self::Sphere { centre, square } => {
                for k in 0..n {
                    let d = [x[k] - centre[0], y[k] - centre[1], z[k] - centre[2]];
                    let inside = d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < square;
                    cell[k] = if inside { id } else { cell[k] };
                }
            }
        }
    }
}

/// The box around all solids.
fn around(solids: &[Solid]) -> Result<Bounds> {
    let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    for solid in solids {
        let (from, to) = solid.shape.extent();
        low = std::array::from_fn(|k| low[k].min(from[k]));
        high = std::array::from_fn(|k| high[k].max(to[k]));
    }
    if solids.is_empty() {
        return Err(Error::invalid("solids", "expected at least one, or bounds"));
    }
    Bounds::new(low, high)
}

fn check(solids: &[Solid], materials: &[Material], mesh: Option<&Mesh>, bounds: &Bounds) -> Result<()> {
    let meets = |low: &[f64; 3], high: &[f64; 3]| (0..3).all(|k| low[k] < bounds.high()[k] && high[k] > bounds.low[k]);
    let world = format!("the world from {:?} to {:?} mm", bounds.low, bounds.high());
    for (i, solid) in solids.iter().enumerate() {
        if solid.material >= materials.len() {
            let problem = format!("solid {i}: expected a material below {}, got {}", materials.len(), solid.material);
            return Err(Error::invalid("solids", problem));
        }
        if !(solid.density.is_finite() && solid.density >= 0.0) {
            let problem = format!("solid {i}: expected a finite number >= 0 (g/cm3), got {}", solid.density);
            return Err(Error::invalid("density", problem));
        }
        let size = solid.shape.volume();
        if !(size.is_finite() && size > 0.0) {
            return Err(Error::invalid(
                "solids",
                format!("solid {i}: expected a positive size, got {:?}", solid.shape),
            ));
        }
        let (low, high) = solid.shape.extent();
        if !meets(&low, &high) {
            let problem = format!("solid {i}: expected one that overlaps {world}, got one from {low:?} to {high:?}");
            return Err(Error::invalid("bounds", problem));
        }
    }
    if let Some(mesh) = mesh {
        let cells = mesh.count.iter().try_fold(1usize, |n, &m| n.checked_mul(m)).unwrap_or(usize::MAX);
        let usable = cells > 0 && cells <= i32::MAX as usize && mesh.spacing.iter().all(|s| s.is_finite() && *s > 0.0);
        if !usable || !mesh.low.iter().all(|x| x.is_finite()) {
            return Err(Error::invalid("mesh", format!("expected cells of positive size, got {mesh:?}")));
        }
        let high = std::array::from_fn(|k| mesh.low[k] + mesh.count[k] as f64 * mesh.spacing[k]);
        if !meets(&mesh.low, &high) {
            let problem = format!("expected a grid that overlaps {world}, got one from {:?} to {high:?}", mesh.low);
            return Err(Error::invalid("mesh", problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::shape::tests::cylinder;
    use super::super::{Geometry, Place};
    use super::*;
    use spinray_core::philox::Stream;
    use std::f64::consts::PI;

    fn materials() -> Vec<Material> {
        ["a", "b", "c"].map(|name| Material::new(name, 1.0, vec![(1, 0.111_9), (8, 0.888_1)]).unwrap()).to_vec()
    }

    fn solid(shape: Shape, material: usize, priority: i32) -> Solid {
        Solid { shape, material, density: 1.0 + material as f64, priority }
    }

    fn cube(low: f64, high: f64) -> Shape {
        Shape::Box { low: [low; 3], high: [high; 3] }
    }

    /// A slanted cylinder in a box beside a ball, with overlaps; the box is listed last and has the lowest priority.
    fn scene(mesh: Option<Mesh>) -> Solids {
        let solids = vec![
            solid(Shape::Sphere { centre: [105.0, 5.0, 5.0], radius: 6.0 }, 1, 2),
            solid(cylinder([98.0, 4.0, 6.0], [0.6, 0.0, 0.8], 2.0, 9.0), 2, 2),
            solid(Shape::Box { low: [90.0, 0.0, 0.0], high: [103.0, 10.0, 12.0] }, 0, -1),
        ];
        Solids::new(solids, materials(), (0, 0.001), None, mesh).unwrap()
    }

    fn slow(scene: &Solids, p: &[f64; 3]) -> usize {
        if scene.solids()[1].shape.contains(p) {
            1
        } else if scene.solids()[0].shape.contains(p) {
            0
        } else if scene.solids()[2].shape.contains(p) {
            2
        } else {
            3
        }
    }

    #[test]
    fn the_solid_of_highest_priority_decides_and_the_later_one_among_equals() {
        let scene = scene(None);
        let mut stream = Stream::new(1, 0);
        let mut seen = [0; 4];
        for _ in 0..4000 {
            let p: [[f32; 8]; 3] =
                std::array::from_fn(|k| std::array::from_fn(|_| (stream.uniform() * scene.bounds.size[k]) as f32));
            let (mut material, mut density, mut cell) = ([0; 8], [0.0; 8], [0; 8]);
            scene.locate(&p[0], &p[1], &p[2], &mut material, &mut density, &mut cell);
            for k in 0..8 {
                let world = scene.bounds.world([p[0][k], p[1][k], p[2][k]]);
                let expected = slow(&scene, &world);
                seen[expected] += 1;
                // Within 1e-5 mm of a surface rounding may decide.
                let nearby = (0..6).map(|a| {
                    let mut q = world;
                    q[a / 2] += if a % 2 == 0 { 1e-5 } else { -1e-5 };
                    slow(&scene, &q)
                });
                let clear = nearby.into_iter().all(|i| i == expected);
                let place = (material[k], density[k], cell[k]);
                let wanted = [(1, 2.0, 0), (2, 3.0, 1), (0, 1.0, 2), (0, 0.001, 3)][expected];
                assert!(!clear || place == wanted, "{world:?}: {place:?}, {wanted:?}");
            }
        }
        assert!(seen.iter().all(|&n| n > 300));
    }

    #[test]
    fn slabs_that_share_a_face_share_it_to_the_bit() {
        let faces = [0.0, 0.1, 0.7, 1.0 / 3.0 + 1.0, 2.9];
        let slab = |w: &[f64]| Shape::Box { low: [-1.0, -1.0, w[0]], high: [1.0, 1.0, w[1]] };
        let solids = faces.windows(2).map(|w| solid(slab(w), 0, 0)).collect();
        let g = Geometry::Solids(Solids::new(solids, materials(), (1, 0.0), None, None).unwrap());
        for (i, &face) in faces.iter().enumerate() {
            let above = g.place(1.0, 1.0, face as f32);
            assert_eq!(above.cell, if i < 4 { i as u32 } else { OUTSIDE });
            if i > 0 {
                assert_eq!(g.place(1.0, 1.0, (face as f32).next_down()).cell, i as u32 - 1);
            }
        }
        let Place { density, cell, .. } = g.place(2.0, 1.0, 1.0);
        assert_eq!((density, cell), (0.0, OUTSIDE));
    }

    #[test]
    fn nested_and_touching_solids_have_the_volumes_of_geometry() {
        // Ball in cylinder in cube, beside another cube, in a world of 4 x 2 x 2.
        let solids = vec![
            solid(cube(-1.0, 1.0), 0, 0),
            solid(cylinder([0.0; 3], [0.0, 0.0, 1.0], 0.9, 0.8), 1, 1),
            solid(Shape::Sphere { centre: [0.0; 3], radius: 0.5 }, 2, 2),
            solid(Shape::Box { low: [1.0, -1.0, -1.0], high: [2.0, 1.0, 1.0] }, 0, 0),
        ];
        let bounds = Bounds::new([-1.0; 3], [3.0, 1.0, 1.0]).unwrap();
        let scene = Solids::new(solids, materials(), (0, 0.0), Some(bounds), None).unwrap();
        let (ball, bar) = (4.0 / 3.0 * PI * 0.125, PI * 0.81 * 1.6);
        let expected = [8.0 - bar, bar - ball, ball, 4.0, 4.0];
        for (volume, expected) in scene.volumes().iter().zip(expected) {
            assert!((volume - expected).abs() < 1e-12, "{volume} {expected}");
        }
        let masses = scene.masses();
        assert!((masses[2] - 3e-3 * ball).abs() < 1e-15 && masses[4] == 0.0);
    }

    #[test]
    fn overlapping_solids_have_the_volumes_of_their_visible_parts() {
        // A half cylinder: the other half is hidden by a box.
        let solids = vec![
            solid(cylinder([0.0; 3], [0.0, 0.0, 1.0], 10.0, 2.5), 0, 0),
            solid(Shape::Box { low: [-20.0, -12.0, -12.0], high: [0.0, 12.0, 12.0] }, 1, 1),
        ];
        let scene = Solids::new(solids, materials(), (0, 0.0), None, None).unwrap();
        let volumes = scene.volumes();
        let half = PI * 100.0 * 5.0 / 2.0;
        assert!((volumes[0] / half - 1.0).abs() < 2e-4, "{} {half}", volumes[0]);
        assert!((volumes[1] - 20.0 * 24.0 * 24.0).abs() < 1e-9);
        assert!((volumes.iter().sum::<f64>() / scene.bounds.volume() - 1.0).abs() < 1e-4);
    }

    #[test]
    fn a_mesh_scores_instead_of_what_it_covers() {
        let mesh = Mesh { count: [2, 3, 1], low: [100.0, 1.0, 2.0], spacing: [2.0, 1.0, 4.0] };
        let (plain, meshed) = (scene(None), scene(Some(mesh)));
        assert_eq!(meshed.cells(), 10);
        let g = Geometry::Solids(meshed.clone());
        let low = plain.bounds.low;
        let at = |x: f64, y: f64, z: f64| g.place((x - low[0]) as f32, (y - low[1]) as f32, (z - low[2]) as f32);
        assert_eq!(at(100.5, 1.5, 3.0).cell, 4);
        assert_eq!(at(103.0, 3.5, 5.5).cell, 4 + 5);
        assert_eq!(at(103.0, 3.5, 5.5).material, 1, "the mesh changes no material");
        assert_eq!(at(103.0, 4.5, 5.5).cell, 0);
        let (a, b) = (plain.volumes(), meshed.volumes());
        assert!((b[4..].iter().sum::<f64>() - 48.0).abs() < 1e-9);
        assert!((a.iter().sum::<f64>() - b.iter().sum::<f64>()).abs() < 0.5);
        let (a, b) = (plain.masses(), meshed.masses());
        assert!((a.iter().sum::<f64>() / b.iter().sum::<f64>() - 1.0).abs() < 1e-3);
    }

    #[test]
    fn no_point_is_denser_than_the_majorant_of_its_block() {
        let g = Geometry::Solids(scene(None));
        let [ex, ey, ez] = g.bounds().edges();
        for shape in [[1, 1, 1], [4, 5, 6], [16, 16, 16]] {
            let most = g.max_densities(shape);
            let mut stream = Stream::new(2, 0);
            for _ in 0..50_000 {
                let [u, v, w] = std::array::from_fn(|_| stream.uniform());
                let place = g.place(u as f32 * ex, v as f32 * ey, w as f32 * ez);
                let block = [w, v, u].iter().zip(shape).fold(0, |b, (t, n)| b * n + (t * n as f64) as usize);
                assert!(place.density <= most[block * 3 + place.material as usize]);
            }
        }
        // Blocks deep in one solid know only that.
        let most = g.max_densities([16, 16, 16]);
        let blocks: Vec<_> = most.chunks(3).collect();
        assert!(blocks.iter().any(|b| **b == [1.0, 0.0, 0.0]) && blocks.iter().any(|b| **b == [0.0, 2.0, 0.0]));
    }

    #[test]
    fn solids_without_size_or_material_are_refused() {
        let make = |s| Solids::new(vec![s], materials(), (0, 0.0), None, None);
        assert!(make(solid(cube(0.0, 1.0), 2, 0)).is_ok());
        assert!(make(solid(cube(0.0, 1.0), 3, 0)).is_err());
        assert!(make(solid(cube(1.0, 0.0), 0, 0)).is_err());
        assert!(make(solid(Shape::Sphere { centre: [0.0; 3], radius: f64::NAN }, 0, 0)).is_err());
        assert!(make(Solid { density: -1.0, ..solid(cube(0.0, 1.0), 0, 0) }).is_err());
    }
}
