//! Optical depths along rays from a point in the geometry to its end, a bundle of rays at a time:
//!
//! ```text
//!     tau = integral mu(r, E) dl
//! ```
//!
//! with the attenuation of every voxel times the exact length of the ray in it (Amanatides & Woo 1987, "A fast voxel
//! traversal algorithm for ray tracing"): all rays of a bundle pass a face at a time, without branches. Solids: chords,
//! where the one of highest priority decides. A bundle has up to two attenuations: one of each ray's own energy, one of
//! an energy that all rays share.
//!
//! Accuracy: single precision (lengths to some 1e-6 of the ray); densities are held to 2^-20 of the largest one.

use crate::geometry::{Geometry, Line, Solids, Voxels};
use crate::matter::Material;
use rayon::prelude::*;
use spinray_core::{Error, Result};

/// Rays of a bundle.
pub const RAYS: usize = 32;
/// A value for each.
pub type Rays = [f32; RAYS];

/// Bits of a voxel's code that name its material; the others hold its density.
const BITS: u32 = 12;
const LEVELS: f32 = (1 << (32 - BITS)) as f32;

/// What rays pass through.
pub enum Depth {
    /// A grid, with what surrounds it.
    Voxels(Grid),
    /// Bodies.
    Solids(Solids),
}

/// Voxels as rays see them.
pub struct Grid {
    /// Density in units of `unit`, and material, of every voxel.
    codes: Vec<u32>,
    unit: f32,
    /// Material and density around the voxels.
    around: (usize, f32),
    count: [f32; 3],
    stride: [i32; 3],
    spacing: [f32; 3],
    inverse: [f32; 3],
    /// Lower corner of the grid in local coordinates, and its edges.
    corner: [f32; 3],
    size: [f32; 3],
    /// Edges of the bounds.
    edges: [f32; 3],
}

/// Local starts, unit directions and attenuations of a bundle.
pub struct Bundle {
    /// x, y, z of each ray's start.
    pub start: [Rays; 3],
    /// x, y, z of its direction.
    pub along: [Rays; 3],
    /// Attenuation in 1/mm per g/cm3 at the energy of each ray, for one material after the other.
    pub own: Vec<Rays>,
    /// The same at the energy they share.
    pub shared: Vec<f32>,
}

impl Bundle {
    /// Of rays in a number of materials.
    pub fn new(materials: usize) -> Self {
        let zeros = [[0.0; RAYS]; 3];
        Self { start: zeros, along: zeros, own: vec![[0.0; RAYS]; materials], shared: vec![0.0; materials] }
    }
}

impl Depth {
    /// Of a geometry.
    pub fn new(geometry: &Geometry) -> Result<Self> {
        match geometry {
            Geometry::Voxels(voxels) => Ok(Self::Voxels(Grid::new(geometry, voxels)?)),
            Geometry::Solids(solids) => Ok(Self::Solids(solids.clone())),
        }
    }

    /// Depths of all rays, (at their own energies, at the shared one).
    #[inline(always)]
    pub fn of(&self, bundle: &Bundle) -> [Rays; 2] {
        match self {
            Self::Voxels(grid) => grid.depths(bundle),
            Self::Solids(solids) => through(solids, bundle),
        }
    }
}

impl Grid {
    fn new(geometry: &Geometry, voxels: &Voxels) -> Result<Self> {
        let materials: &[Material] = voxels.materials();
        if materials.len() > 1 << BITS {
            let problem = format!("forced detection takes up to {} materials, got {}", 1 << BITS, materials.len());
            return Err(Error::invalid("materials", problem));
        }
        let labels = voxels.labels();
        let most = (0..labels.len()).into_par_iter().map(|i| voxels.density(i)).reduce(|| 0.0, f32::max);
        let unit = if most > 0.0 { most / (LEVELS - 1.0) } else { 1.0 };
        let code = |i: usize| ((voxels.density(i) / unit).round() as u32) << BITS | labels.get(i) as u32;
        let [nz, ny, nx] = voxels.shape();
        let (low, bounds, spacing) = (voxels.low(), voxels.bounds(), voxels.spacing());
        let outer = geometry.place(0.0, 0.0, 0.0);
        let surrounded = voxels.cells() > labels.len();
        Ok(Self {
            codes: (0..labels.len()).into_par_iter().map(code).collect(),
            unit,
            around: if surrounded { (outer.material as usize, outer.density) } else { (0, 0.0) },
            count: [nx, ny, nz].map(|n| n as f32),
            stride: [1, nx as i32, (nx * ny) as i32],
            spacing: spacing.map(|s| s as f32),
            inverse: spacing.map(|s| (1.0 / s) as f32),
            corner: std::array::from_fn(|k| (low[k] - bounds.low[k]) as f32),
            size: std::array::from_fn(|k| (spacing[k] * [nx, ny, nz][k] as f64) as f32),
            edges: bounds.edges(),
        })
    }

    #[inline(always)]
    fn depths(&self, bundle: &Bundle) -> [Rays; 2] {
        let mut walk = Walk::NEW;
        self.enter(bundle, &mut walk);
        let last = self.codes.len() as i32 - 1;
        let (codes, own, shared) = (&self.codes[..], bundle.own.as_flattened(), &bundle.shared[..]);
        // No ray has more faces before it than the grid.
        let faces = self.count.iter().sum::<f32>() as usize + 3;
        for _ in 0..faces.div_ceil(CHECK) {
            for _ in 0..CHECK {
                walk.step(codes, last, own, shared);
            }
            if (0..RAYS).all(|i| walk.t[i] >= walk.far[i]) {
                break;
            }
        }
        let (material, density) = self.around;
        let around = |sums: &Rays, attenuation: &dyn Fn(usize) -> f32| -> Rays {
            std::array::from_fn(|i| self.unit * sums[i] + walk.outside[i] * density * attenuation(i))
        };
        let own = around(&walk.own, &|i| bundle.own[material][i]);
        [own, around(&walk.shared, &|_| bundle.shared[material])]
    }

    /// Where each ray enters and leaves the grid, and its first faces.
    #[inline(always)]
    fn enter(&self, bundle: &Bundle, walk: &mut Walk) {
        for i in 0..RAYS {
            let (mut near, mut far, mut out) = (0.0f32, f32::INFINITY, f32::INFINITY);
            for k in 0..3 {
                let (d, local) = (oblique(bundle.along[k][i]), bundle.start[k][i]);
                let (inverse, p) = (1.0 / d, local - self.corner[k]);
                let (a, b) = (-p * inverse, (self.size[k] - p) * inverse);
                near = near.max(a.min(b));
                far = far.min(a.max(b));
                out = out.min((-local * inverse).max((self.edges[k] - local) * inverse));
            }
            // A ray that misses the grid leaves it where it enters.
            let far = far.max(near);
            let mut index = 0;
            for k in 0..3 {
                let d = oblique(bundle.along[k][i]);
                let (inverse, p) = (1.0 / d, bundle.start[k][i] - self.corner[k]);
                let place = ((p + near * d) * self.inverse[k]).max(0.0).min(self.count[k] - 1.0);
                // SAFETY: finite, since maxima and minima pass over what is no number, and within the grid.
                let voxel = unsafe { place.to_int_unchecked::<i32>() };
                let ahead = if d > 0.0 { 1.0 } else { 0.0 };
                walk.next[k][i] = ((voxel as f32 + ahead) * self.spacing[k] - p) * inverse;
                walk.delta[k][i] = self.spacing[k] * inverse.abs();
                walk.stride[k][i] = if d > 0.0 { self.stride[k] } else { -self.stride[k] };
                index += voxel * self.stride[k];
            }
            walk.index[i] = index;
            walk.t[i] = near;
            walk.far[i] = far;
            walk.outside[i] = (out - (far - near)).max(0.0);
        }
    }
}

/// Steps between looks at whether all rays have left.
const CHECK: usize = 8;

/// A direction that no plane is parallel to.
#[inline(always)]
fn oblique(d: f32) -> f32 {
    const LEAST: f32 = 1e-9;
    if d.abs() > LEAST { d } else { LEAST }
}

/// A bundle on its way through the grid.
#[repr(align(64))]
struct Walk {
    next: [Rays; 3],
    delta: [Rays; 3],
    t: Rays,
    far: Rays,
    own: Rays,
    shared: Rays,
    outside: Rays,
    stride: [[i32; RAYS]; 3],
    index: [i32; RAYS],
}

impl Walk {
    const NEW: Self = Self {
        next: [[0.0; RAYS]; 3],
        delta: [[0.0; RAYS]; 3],
        t: [0.0; RAYS],
        far: [0.0; RAYS],
        own: [0.0; RAYS],
        shared: [0.0; RAYS],
        outside: [0.0; RAYS],
        stride: [[0; RAYS]; 3],
        index: [0; RAYS],
    };

    /// Every ray passes the voxel it is in; those at the end of the grid stay.
    #[inline(always)]
    fn step(&mut self, codes: &[u32], last: i32, own: &[f32], shared: &[f32]) {
        use crate::track::bank::at;
        let Self { next: [next_x, next_y, next_z], delta: [delta_x, delta_y, delta_z], t, far, .. } = self;
        let Self { own: sum_own, shared: sum_shared, stride: [stride_x, stride_y, stride_z], index, .. } = self;
        for i in 0..RAYS {
            // Everything is read first: what is read only now and then would be a branch.
            let (x, y, z, end_of_grid, from) = (next_x[i], next_y[i], next_z[i], far[i], t[i]);
            let (dx, dy, dz, voxel) = (delta_x[i], delta_y[i], delta_z[i], index[i]);
            let (sx, sy, sz) = (stride_x[i], stride_y[i], stride_z[i]);
            let face = if x < y { x } else { y };
            let face = if face < z { face } else { z };
            let end = if face < end_of_grid { face } else { end_of_grid };
            // Never back, as where a ray misses the grid.
            let end = if end > from { end } else { from };
            let code = at(codes, voxel as usize);
            let (material, density) = ((code & ((1 << BITS) - 1)) as i32, (code >> BITS) as i32 as f32);
            let mass = (end - from) * density;
            sum_own[i] += mass * at(own, (material * RAYS as i32 + i as i32) as usize);
            sum_shared[i] += mass * at(shared, material as usize);
            t[i] = end;
            let (along_x, along_y) = (x == face, y == face);
            next_x[i] = x + if along_x { dx } else { 0.0 };
            next_y[i] = y + if !along_x & along_y { dy } else { 0.0 };
            next_z[i] = z + if !along_x & !along_y { dz } else { 0.0 };
            let stride = if along_y { sy } else { sz };
            let stride = if along_x { sx } else { stride };
            let moved = voxel + if face < end_of_grid { stride } else { 0 };
            // Rounding may take a ray past the last face, for no length to speak of.
            let moved = if moved > 0 { moved } else { 0 };
            index[i] = if moved < last { moved } else { last };
        }
    }
}

/// Depths through bodies.
fn through(solids: &Solids, bundle: &Bundle) -> [Rays; 2] {
    let (bounds, mut line) = (solids.bounds(), Line::default());
    let pairs: [[f32; 2]; RAYS] = std::array::from_fn(|i| {
        let start = bounds.world([0, 1, 2].map(|k| bundle.start[k][i]));
        let along = [0, 1, 2].map(|k| f64::from(bundle.along[k][i]));
        let (mut own, mut shared) = (0.0, 0.0);
        solids.passes(&start, &along, &mut line, |material, density, length| {
            own += density * length * f64::from(bundle.own[material][i]);
            shared += density * length * f64::from(bundle.shared[material]);
        });
        [own as f32, shared as f32]
    });
    [0, 1].map(|e| pairs.map(|pair| pair[e]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Labels, Shape, Solid};
    use crate::random::{Numbers, Uniform};

    fn materials() -> Vec<Material> {
        ["a", "b"].map(|name| Material::new(name, 1.0, vec![(1, 1.0)]).unwrap()).to_vec()
    }

    fn bundle(numbers: &mut Numbers, size: [f64; 3]) -> Bundle {
        let mut bundle = Bundle::new(2);
        for i in 0..RAYS {
            let [u, v, w] = crate::process::isotropic(numbers);
            let d = if i == 0 { [0.0, -1.0, 0.0] } else { [u, v, w] };
            for k in 0..3 {
                bundle.start[k][i] = (numbers.uniform() * size[k]) as f32;
                bundle.along[k][i] = d[k];
            }
            (bundle.own[0][i], bundle.own[1][i]) = (0.01 + 0.001 * i as f32, 0.2);
        }
        bundle.shared = vec![0.03, 0.1];
        bundle
    }

    /// The same integrals by small steps.
    fn slow(geometry: &Geometry, bundle: &Bundle, i: usize) -> [f64; 2] {
        let at = |v: &[Rays; 3]| [0, 1, 2].map(|k| f64::from(v[k][i]));
        let (p, d) = (at(&bundle.start), at(&bundle.along));
        let step = 0.002;
        let mut depths = [0.0; 2];
        for n in 0.. {
            let t = (f64::from(n) + 0.5) * step;
            let [x, y, z] = [0, 1, 2].map(|k| (p[k] + t * d[k]) as f32);
            let place = geometry.place(x, y, z);
            if place.cell == crate::geometry::OUTSIDE {
                return depths;
            }
            let mass = f64::from(place.density) * step;
            depths[0] += mass * f64::from(bundle.own[place.material as usize][i]);
            depths[1] += mass * f64::from(bundle.shared[place.material as usize]);
        }
        depths
    }

    fn agree(geometry: &Geometry) {
        let depth = Depth::new(geometry).unwrap();
        let mut numbers = Numbers::new(5, 0, 0);
        for _ in 0..20 {
            let bundle = bundle(&mut numbers, geometry.bounds().size);
            let [own, shared] = depth.of(&bundle);
            for (i, (&own, &shared)) in own.iter().zip(&shared).enumerate() {
                let expected = slow(geometry, &bundle, i);
                for (found, expected) in [own, shared].into_iter().zip(expected) {
                    let error = f64::from(found) - expected;
                    assert!(error.abs() < 0.004, "ray {i}: {found} instead of {expected}");
                }
            }
        }
    }

    #[test]
    fn depths_in_voxels_are_the_sums_over_small_steps() {
        for surround in [None, Some((1, 15.0))] {
            let labels = (0..7 * 5 * 6).map(|i| u8::from(i % 7 == 3)).collect();
            let densities = (0..7 * 5 * 6).map(|i| 0.5 + 0.01 * i as f32).collect();
            let voxels = Voxels::new(
                [7, 5, 6],
                [3.0, 5.0, 2.0],
                [100.0, -20.0, 3.0],
                materials(),
                Labels::Byte(labels),
                Some(densities),
                surround,
            );
            agree(&Geometry::Voxels(voxels.unwrap()));
        }
    }

    #[test]
    fn a_ray_through_edges_stays_on_the_diagonal() {
        let labels = (0..4 * 8 * 8).map(|i| u8::from(i % 8 == i / 8 % 8)).collect();
        let (shape, spacing) = ([4, 8, 8], [2.0; 3]);
        let voxels = Voxels::new(shape, spacing, [0.0; 3], materials(), Labels::Byte(labels), None, None).unwrap();
        let depth = Depth::new(&Geometry::Voxels(voxels)).unwrap();
        let mut bundle = Bundle::new(2);
        let along = std::f32::consts::FRAC_1_SQRT_2;
        (bundle.start, bundle.along) =
            ([[0.5; RAYS], [0.5; RAYS], [3.0; RAYS]], [[along; RAYS], [along; RAYS], [0.0; RAYS]]);
        (bundle.own[1], bundle.shared[1]) = ([1.0; RAYS], 2.0);
        let [own, shared] = depth.of(&bundle);
        let expected = 15.5 * std::f32::consts::SQRT_2;
        assert!((own[0] - expected).abs() < 1e-4 && (shared[0] - 2.0 * expected).abs() < 2e-4, "{}", own[0]);
    }

    #[test]
    fn depths_in_solids_are_the_sums_over_small_steps() {
        let solid = |shape, material, density, priority| Solid { shape, material, density, priority };
        let solids = vec![
            solid(Shape::Sphere { centre: [105.0, 0.0, 0.0], radius: 9.0 }, 1, 2.0, 1),
            solid(Shape::Box { low: [100.0, -10.0, -5.0], high: [120.0, 10.0, 3.0] }, 0, 1.5, 0),
        ];
        agree(&Geometry::Solids(Solids::new(solids, materials(), (0, 0.1), None, None).unwrap()));
    }
}
