//! A grid of voxels, each of one material and one density.
//!
//! The voxel of a local point is the integer part of (point - corner) / spacing, by one multiplication in single
//! precision with an inverse rounded up: a point on a face (as near as single precision has one) belongs to the voxel
//! above it, and so may one less than three units in the last place below. No gaps, no overlaps.

use super::{Bounds, OUTSIDE};
use crate::matter::Material;
use rayon::prelude::*;
use spinray_core::{Error, Result};

/// Material of each voxel, in the smallest type that holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// Up to 256 materials.
    Byte(Vec<u8>),
    /// Up to 65536.
    Word(Vec<u16>),
}

impl Labels {
    /// Number of voxels.
    pub fn len(&self) -> usize {
        match self {
            Self::Byte(labels) => labels.len(),
            Self::Word(labels) => labels.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Label of voxel `i`.
    #[inline(always)]
    pub fn get(&self, i: usize) -> usize {
        match self {
            Self::Byte(labels) => usize::from(labels[i]),
            Self::Word(labels) => usize::from(labels[i]),
        }
    }

    fn largest(&self) -> usize {
        match self {
            Self::Byte(labels) => labels.par_iter().copied().max().map_or(0, usize::from),
            Self::Word(labels) => labels.par_iter().copied().max().map_or(0, usize::from),
        }
    }
}

/// What surrounds the voxels within the bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Surround {
    material: u32,
    density: f32,
}

/// A grid of voxels, and what surrounds it. Cells are the voxels in (z, y, x) order, then the surroundings, if any.
#[derive(Clone, Debug)]
pub struct Voxels {
    /// Number of voxels (x, y, z).
    count: [usize; 3],
    /// Their size in mm (x, y, z).
    spacing: [f64; 3],
    labels: Labels,
    densities: Option<Vec<f32>>,
    materials: Vec<Material>,
    /// Density of each material, where voxels have none of their own.
    density_of: Vec<f32>,
    bounds: Bounds,
    surround: Option<Surround>,
    /// How far the bounds reach beyond the grid, mm.
    margin: f64,
    /// Local coordinates of the grid's lower corner.
    corner: [f32; 3],
    /// Edges of the grid.
    edges: [f32; 3],
    /// 1 / spacing, rounded up.
    inverse: [f32; 3],
    /// The last voxel (x, y, z).
    last: [f32; 3],
    homogeneous: bool,
}

impl Voxels {
    /// Voxels of `shape` (z, y, x) with their first centre at `origin` and `spacing` in mm (z, y, x). `densities` in
    /// g/cm3, those of the materials unless given. `surround`: the material around the grid, and how far it reaches
    /// beyond it in mm.
    pub fn new(
        shape: [usize; 3],
        spacing: [f64; 3],
        origin: [f64; 3],
        materials: Vec<Material>,
        labels: Labels,
        densities: Option<Vec<f32>>,
        surround: Option<(usize, f64)>,
    ) -> Result<Self> {
        let (count, spacing, origin) = (reversed(shape), reversed(spacing), reversed(origin));
        check(&count, &spacing, &materials, &labels, densities.as_deref())?;
        let low: [f64; 3] = std::array::from_fn(|k| origin[k] - 0.5 * spacing[k]);
        let high = std::array::from_fn(|k| low[k] + count[k] as f64 * spacing[k]);
        let margin = match surround {
            Some((material, margin)) if material < materials.len() && margin.is_finite() && margin > 0.0 => margin,
            Some(given) => {
                return Err(Error::invalid(
                    "outside",
                    format!("expected a material and a positive margin, got {given:?}"),
                ));
            }
            None => 0.0,
        };
        let bounds = Bounds::new(low.map(|x| x - margin), high.map(|x: f64| x + margin))?;
        let density_of: Vec<f32> = materials.iter().map(|m| m.density as f32).collect();
        let surround =
            surround.map(|(material, _)| Surround { material: material as u32, density: density_of[material] });
        let first = labels.get(0);
        let one = densities.as_ref().is_none_or(|d| d.par_iter().all(|&x| x == d[0]));
        let homogeneous =
            one && surround.is_none() && (0..labels.len()).into_par_iter().all(|i| labels.get(i) == first);
        Ok(Self {
            count,
            spacing,
            labels,
            densities,
            materials,
            density_of,
            bounds,
            surround,
            margin,
            corner: [margin as f32; 3],
            edges: std::array::from_fn(|k| (count[k] as f64 * spacing[k]) as f32),
            inverse: spacing.map(|s| (1.0 / (s as f32)).next_up().next_up()),
            last: count.map(|n| (n - 1) as f32),
            homogeneous,
        })
    }

    /// Number of voxels (z, y, x).
    pub fn shape(&self) -> [usize; 3] {
        reversed(self.count)
    }

    /// Their size in mm (x, y, z).
    pub fn spacing(&self) -> [f64; 3] {
        self.spacing
    }

    /// Material of each voxel.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Their densities in g/cm3, where they have their own.
    pub fn densities(&self) -> Option<&[f32]> {
        self.densities.as_deref()
    }

    /// Lower corner of the grid in the world (x, y, z); that of the bounds, if nothing surrounds it.
    pub fn low(&self) -> [f64; 3] {
        std::array::from_fn(|k| self.bounds.low[k] + self.margin)
    }

    /// See [`super::Geometry::bounds`].
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// See [`super::Geometry::materials`].
    pub fn materials(&self) -> &[Material] {
        &self.materials
    }

    /// Voxels, and one more for what surrounds them.
    pub fn cells(&self) -> usize {
        self.labels.len() + usize::from(self.surround.is_some())
    }

    /// See [`super::Geometry::volumes`].
    pub fn volumes(&self) -> Vec<f64> {
        let voxel: f64 = self.spacing.iter().product();
        let mut volumes = vec![voxel; self.labels.len()];
        volumes.extend(self.surround.map(|_| self.bounds.volume() - voxel * self.labels.len() as f64));
        volumes
    }

    /// See [`super::Geometry::masses`].
    pub fn masses(&self) -> Vec<f64> {
        let mut masses = self.volumes();
        let own = self.labels.len();
        masses[..own].par_iter_mut().enumerate().for_each(|(i, mass)| *mass *= 1e-3 * f64::from(self.density(i)));
        if let Some(surround) = self.surround {
            masses[own] *= 1e-3 * f64::from(surround.density);
        }
        masses
    }

    /// See [`super::Geometry::homogeneous`].
    pub fn homogeneous(&self) -> Option<(u32, f32)> {
        self.homogeneous.then(|| (self.labels.get(0) as u32, self.density(0)))
    }

    /// Density of voxel `i` in g/cm3.
    #[inline(always)]
    pub fn density(&self, i: usize) -> f32 {
        match &self.densities {
            Some(densities) => densities[i],
            None => self.density_of[self.labels.get(i)],
        }
    }

    /// Material and density of what surrounds the voxels; of nothing, if there is none.
    pub(crate) fn surroundings(&self) -> (usize, f32) {
        self.surround.map_or((0, 0.0), |surround| (surround.material as usize, surround.density))
    }

    /// See [`super::Geometry::max_densities`].
    pub fn max_densities(&self, shape: [usize; 3]) -> Vec<f32> {
        let (blocks, materials) = (reversed(shape), self.materials.len());
        let mut out = vec![0.0f32; shape.iter().product::<usize>() * materials];
        out.par_chunks_mut(materials).enumerate().for_each(|(b, largest)| {
            let block = [b % blocks[0], b / blocks[0] % blocks[1], b / (blocks[0] * blocks[1])];
            let ranges: [_; 3] = std::array::from_fn(|k| self.voxels_of(k, block[k], blocks[k]));
            for z in ranges[2].clone() {
                for y in ranges[1].clone() {
                    let row = (z * self.count[1] + y) * self.count[0];
                    for i in row + ranges[0].start..row + ranges[0].end {
                        let label = self.labels.get(i);
                        largest[label] = largest[label].max(self.density(i));
                    }
                }
            }
            if let Some(surround) = self.surround {
                let m = surround.material as usize;
                largest[m] = largest[m].max(surround.density);
            }
        });
        out
    }

    /// Voxels that part `block` of `blocks` of the bounds touches on axis `k`, rounding of single precision included.
    fn voxels_of(&self, k: usize, block: usize, blocks: usize) -> std::ops::Range<usize> {
        let face = |b: usize| (b as f64 / blocks as f64 * self.bounds.size[k] - self.margin) / self.spacing[k];
        let slack = 1e-6 * self.bounds.size[k] / self.spacing[k];
        let clamp = |x: f64| x.clamp(0.0, self.count[k] as f64) as usize;
        clamp((face(block) - slack).floor())..clamp((face(block + 1) + slack).ceil())
    }

    /// See [`super::Geometry::locate`].
    #[inline(always)]
    pub fn locate(&self, x: &[f32], y: &[f32], z: &[f32], material: &mut [u32], density: &mut [f32], cell: &mut [u32]) {
        self.cells_at(x, y, z, cell);
        match &self.labels {
            Labels::Byte(labels) => self.look_up(|i| u32::from(labels[i]), material, density, cell),
            Labels::Word(labels) => self.look_up(|i| u32::from(labels[i]), material, density, cell),
        }
    }

    /// The cell of each point.
    #[inline(always)]
    pub fn cells_at(&self, x: &[f32], y: &[f32], z: &[f32], cell: &mut [u32]) {
        let n = cell.len();
        let (x, y, z) = (&x[..n], &y[..n], &z[..n]);
        let around = if self.surround.is_some() { self.labels.len() as u32 } else { OUTSIDE };
        let world = self.bounds.edges();
        let (row, slice) = (self.count[0] as u32, (self.count[0] * self.count[1]) as u32);
        for k in 0..n {
            let p = [x[k] - self.corner[0], y[k] - self.corner[1], z[k] - self.corner[2]];
            let i = self.index(0, p[0]) + row * self.index(1, p[1]) + slice * self.index(2, p[2]);
            let beyond = if within([x[k], y[k], z[k]], world) { around } else { OUTSIDE };
            cell[k] = if within(p, self.edges) { i } else { beyond };
        }
    }

    /// Voxel index on axis `k`, clamped to the grid.
    #[inline(always)]
    fn index(&self, k: usize, x: f32) -> u32 {
        // Also takes NaN to 0.
        let i = (x * self.inverse[k]).max(0.0).min(self.last[k]);
        // SAFETY: finite and between 0 and the number of voxels, which is below 2^24.
        unsafe { i.to_int_unchecked::<i32>() as u32 }
    }

    #[inline(always)]
    fn look_up(&self, label: impl Fn(usize) -> u32, material: &mut [u32], density: &mut [f32], cell: &[u32]) {
        let n = cell.len();
        let (material, density) = (&mut material[..n], &mut density[..n]);
        let around = self.surround.map_or((0, 0.0), |s| (s.material, s.density));
        for k in 0..n {
            let i = cell[k] as usize;
            (material[k], density[k]) = if i < self.labels.len() {
                let m = label(i);
                (m, self.densities.as_ref().map_or_else(|| self.density_of[m as usize], |d| d[i]))
            } else if cell[k] == OUTSIDE {
                (around.0, 0.0)
            } else {
                around
            };
        }
    }
}

/// Whether a point lies in the half-open box from 0 to `edges`.
#[inline(always)]
fn within(p: [f32; 3], edges: [f32; 3]) -> bool {
    // No short cuts: lanes have no branches.
    (p[0] >= 0.0) & (p[0] < edges[0]) & (p[1] >= 0.0) & (p[1] < edges[1]) & (p[2] >= 0.0) & (p[2] < edges[2])
}

fn reversed<T: Copy>(a: [T; 3]) -> [T; 3] {
    [a[2], a[1], a[0]]
}

fn check(
    count: &[usize; 3],
    spacing: &[f64; 3],
    materials: &[Material],
    labels: &Labels,
    densities: Option<&[f32]>,
) -> Result<()> {
    let refuse = |argument, problem: String| Err(Error::invalid(argument, problem));
    let voxels = count.iter().try_fold(1usize, |n, &m| n.checked_mul(m)).unwrap_or(usize::MAX);
    if voxels == 0 || voxels > i32::MAX as usize || count.iter().any(|&n| n > 1 << 20) {
        return refuse("grid", format!("expected 1 to {} voxels, at most 2^20 per axis, got {count:?}", i32::MAX));
    }
    if !spacing.iter().all(|s| s.is_finite() && *s > 0.0) {
        return refuse("grid", format!("expected positive spacing, got {spacing:?}"));
    }
    if labels.len() != voxels || densities.is_some_and(|d| d.len() != voxels) {
        return refuse("labels", format!("expected {voxels} labels and densities, got {}", labels.len()));
    }
    if labels.largest() >= materials.len() {
        let problem =
            format!("expected labels below {}, the number of materials, got {}", materials.len(), labels.largest());
        return refuse("labels", problem);
    }
    if let Some(bad) = densities.and_then(|d| d.par_iter().find_any(|x| !(x.is_finite() && **x >= 0.0))) {
        return refuse("density", format!("expected finite numbers >= 0 (g/cm3), got {bad}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Geometry, Place};
    use super::*;
    use spinray_core::philox::Stream;

    fn material(name: &str, density: f64) -> Material {
        Material::new(name, density, vec![(1, 0.111_9), (8, 0.888_1)]).unwrap()
    }

    /// 5 x 4 x 3 voxels (x, y, z) of two materials, with densities of their own.
    fn voxels(surround: Option<(usize, f64)>) -> Voxels {
        let labels = (0..60).map(|i| u8::from(i % 7 == 3)).collect();
        let densities = (0..60).map(|i| 0.5 + 0.01 * i as f32).collect();
        let materials = vec![material("a", 1.0), material("b", 2.0)];
        let (spacing, origin) = ([0.3, 1.0, 0.7], [100.0, -20.0, 3.0]);
        Voxels::new([3, 4, 5], spacing, origin, materials, Labels::Byte(labels), Some(densities), surround).unwrap()
    }

    fn slow(v: &Voxels, p: [f64; 3], margin: f64) -> Option<usize> {
        let i: [f64; 3] = std::array::from_fn(|k| ((p[k] - margin) / v.spacing[k]).floor());
        let inside = (0..3).all(|k| i[k] >= 0.0 && i[k] < v.count[k] as f64);
        inside.then(|| ((i[2] * 4.0 + i[1]) * 5.0 + i[0]) as usize)
    }

    #[test]
    fn every_point_lies_in_the_voxel_that_its_coordinates_say() {
        for margin in [0.0, 10.0] {
            let v = voxels((margin > 0.0).then_some((0, margin)));
            let mut stream = Stream::new(1, 0);
            for _ in 0..20_000 {
                let p: [f64; 3] =
                    std::array::from_fn(|k| f64::from((stream.uniform() * 1.2 - 0.1) as f32 * v.bounds.size[k] as f32));
                let near = (0..3).any(|k| {
                    let t = (p[k] - margin) / v.spacing[k];
                    (t - t.round()).abs() < 1e-5
                });
                let mut place = ([0], [0.0], [0]);
                let [x, y, z] = p.map(|x| [x as f32]);
                v.locate(&x, &y, &z, &mut place.0, &mut place.1, &mut place.2);
                let inside = (0..3).all(|k| p[k] >= 0.0 && p[k] < v.bounds.size[k]);
                let expected = match slow(&v, p, margin) {
                    Some(i) => (v.labels.get(i) as u32, v.density(i), i as u32),
                    None if margin > 0.0 && inside => (0, 1.0, 60),
                    None => (0, 0.0, OUTSIDE),
                };
                assert!(near || (place.0[0], place.1[0], place.2[0]) == expected, "{p:?}: {place:?}, {expected:?}");
            }
        }
    }

    #[test]
    fn points_on_faces_belong_to_the_voxel_above_and_none_is_lost() {
        for spacing in [1.0, 0.1, 0.3, 3.0, 0.7, 1.0 / 3.0, 0.488_281_25] {
            let n = 512;
            let m = vec![material("a", 1.0)];
            let v =
                Voxels::new([1, 1, n], [1.0, 1.0, spacing], [0.0; 3], m, Labels::Byte(vec![0; n]), None, None).unwrap();
            let g = Geometry::Voxels(v);
            for i in 0..n {
                let face = (i as f64 * spacing) as f32;
                assert_eq!(g.place(face, 0.5, 0.5).cell, i as u32, "face {i} of {spacing} mm");
                let below = face - 4e-7 * face;
                assert!(i == 0 || g.place(below, 0.5, 0.5).cell == i as u32 - 1);
            }
            let edge = g.bounds().edges()[0];
            assert_eq!(g.place(edge, 0.5, 0.5).cell, OUTSIDE);
            assert_eq!(g.place(edge.next_down(), 0.5, 0.5).cell, n as u32 - 1);
            assert_eq!(g.place(-1e-30, 0.5, 0.5).cell, OUTSIDE);
            assert_eq!(g.place(f32::NAN, 0.5, 0.5).cell, OUTSIDE);
        }
    }

    #[test]
    fn masses_are_density_times_volume() {
        let v = voxels(Some((0, 10.0)));
        let (volumes, masses) = (v.volumes(), v.masses());
        assert_eq!(masses.len(), 61);
        for (i, mass) in masses[..60].iter().enumerate() {
            assert!((mass - 0.21e-3 * f64::from(0.5 + 0.01 * i as f32)).abs() < 1e-12);
        }
        let air = (3.5 + 20.0) * (4.0 + 20.0) * (0.9 + 20.0) - 3.5 * 4.0 * 0.9;
        assert!((volumes[60] / air - 1.0).abs() < 1e-12 && (masses[60] / (1e-3 * air) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn no_voxel_is_denser_than_the_majorant_of_its_block() {
        for (margin, shape) in [(0.0, [1, 1, 1]), (0.0, [3, 4, 5]), (0.0, [2, 3, 2]), (7.0, [5, 7, 9])] {
            let g = Geometry::Voxels(voxels((margin > 0.0).then_some((0, margin))));
            let most = g.max_densities(shape);
            let [ex, ey, ez] = g.bounds().edges();
            let mut stream = Stream::new(2, 0);
            let mut reached = 0.0f32;
            for _ in 0..50_000 {
                let [u, v, w] = std::array::from_fn(|_| stream.uniform());
                let Place { material, density, .. } = g.place(u as f32 * ex, v as f32 * ey, w as f32 * ez);
                let block = [w, v, u].iter().zip(shape).fold(0, |b, (t, n)| b * n + (t * n as f64) as usize);
                assert!(density <= most[block * 2 + material as usize]);
                reached = reached.max(density / most[block * 2 + material as usize]);
            }
            assert_eq!(reached, 1.0);
            // Blocks of one voxel are tight.
            if shape == [3, 4, 5] && margin == 0.0 {
                assert!((0..60).all(|i| most[2 * i..2 * i + 2].iter().filter(|&&d| d > 0.0).count() >= 1));
            }
        }
    }

    #[test]
    fn a_homogeneous_grid_says_so() {
        let make = |labels: Vec<u8>| {
            let m = vec![material("a", 1.0), material("b", 2.5)];
            Voxels::new([2, 2, 2], [1.0; 3], [0.0; 3], m, Labels::Byte(labels), None, None).unwrap()
        };
        assert_eq!(make(vec![1; 8]).homogeneous(), Some((1, 2.5)));
        assert_eq!(make(vec![0, 0, 0, 0, 0, 0, 0, 1]).homogeneous(), None);
        assert_eq!(voxels(None).homogeneous(), None);
    }

    #[test]
    fn labels_without_a_material_and_negative_densities_are_refused() {
        let make = |label: u8, density: f32| {
            let m = vec![material("a", 1.0)];
            Voxels::new([1, 1, 1], [1.0; 3], [0.0; 3], m, Labels::Byte(vec![label]), Some(vec![density]), None)
        };
        assert!(make(0, 1.0).is_ok());
        assert!(make(1, 1.0).is_err());
        assert!(make(0, -0.1).is_err());
        assert!(make(0, f32::NAN).is_err());
    }
}
