//! Local majorants, so that a little metal does not slow flights everywhere.
//!
//! The bounds are cut into boxes; boxes of similar attenuation form a class with a majorant of its own. A flight from a
//! box may use the majorant of the box's class as far as no box of a higher class lies: a cube of boxes about its own,
//! `reach` boxes to each side (the idea of proximity clouds, Cohen & Sheffer 1994). A flight that leaves the cube is
//! cut there and drawn anew, which is exact, since flights forget.

use super::axis::ENERGY;
use super::tables::Attenuation;
use crate::geometry::Geometry;
use spinray_core::{Error, Result};

/// Boxes along the longest edge of the bounds.
const BOXES: f64 = 24.0;
/// Majorants of neighbouring classes differ at least by this factor.
const STEP: f64 = 2.0;
/// Less than this fraction of flights must remain, or boxes are not worth their while.
const GAIN: f64 = 0.75;
/// Largest number of classes.
const CLASSES: usize = 8;
/// Mean free paths that the last bit of a position may be worth: flights then are right to 0.1 %.
const ROUNDING: f64 = 0.125;

/// The box of a point, and how far its majorant holds.
pub struct Regions {
    /// Boxes along x, y, z.
    pub count: [usize; 3],
    /// Their edges in mm, and the inverse.
    pub size: [f32; 3],
    /// One over `size`.
    pub inverse: [f32; 3],
    /// How far a point may lie from the face it was cut at, mm.
    pub slack: [f32; 3],
    /// class + 256 reach of each box, x fastest.
    pub boxes: Vec<u32>,
    /// Majorants of all classes, one after the other.
    pub majorants: Vec<[f32; 2]>,
}

impl Regions {
    /// Boxes and classes for photons up to `energy` keV; one box if more would not pay.
    pub fn new(geometry: &Geometry, attenuation: &Attenuation, energy: f64) -> Self {
        let size = geometry.bounds().size;
        let longest = size.iter().copied().fold(0.0, f64::max);
        let count = size.map(|s| (BOXES * s / longest).round().clamp(1.0, BOXES) as usize);
        let whole = Self::classified(geometry, attenuation, [1; 3], energy);
        if geometry.homogeneous().is_some() {
            return whole;
        }
        let cut = Self::classified(geometry, attenuation, count, energy);
        if cut.flights(energy) < GAIN * whole.flights(energy) { cut } else { whole }
    }

    /// Refuses bounds so large that flights of the densest material would vanish in the last bit of a position.
    pub fn check(&self, geometry: &Geometry, energy: f64) -> Result<()> {
        let longest = geometry.bounds().size.iter().copied().fold(0.0, f64::max);
        let (k, f) = ENERGY.place(energy as f32);
        let path = 1.0 / f64::from(self.majorants[k][0] + f * self.majorants[k][1]);
        let most = ROUNDING * path / f64::from(f32::EPSILON / 2.0);
        if longest <= most {
            return Ok(());
        }
        let problem = format!(
            "expected at most {most:.4} mm across, with the air around it, where mean free paths are as short as \
             {path:.4} mm (at {energy} keV); got {longest:.4} mm. Positions are in single precision; lengths are in mm"
        );
        Err(Error::invalid("phantom", problem))
    }

    /// Whether there is but one.
    pub fn is_whole(&self) -> bool {
        self.boxes.len() == 1
    }

    fn classified(geometry: &Geometry, attenuation: &Attenuation, count: [usize; 3], energy: f64) -> Self {
        let materials = geometry.materials().len();
        let densest = geometry.max_densities([count[2], count[1], count[0]]);
        let strength: Vec<f64> = densest.chunks(materials).map(|d| attenuation.largest(d, energy)).collect();
        let most = strength.iter().copied().fold(0.0, f64::max);
        let class_of =
            |s: f64| ((most / s.max(1e-12)).ln() / STEP.ln()).floor().clamp(0.0, (CLASSES - 1) as f64) as usize;
        let classes: Vec<usize> = strength.iter().map(|&s| class_of(s)).collect();
        let mut media = vec![vec![0.0f32; materials]; CLASSES];
        for (densities, &class) in densest.chunks(materials).zip(&classes) {
            for (most, &density) in media[class].iter_mut().zip(densities) {
                *most = most.max(density);
            }
        }
        // A class may fly through weaker ones as well.
        for class in (0..CLASSES - 1).rev() {
            let (stronger, weaker) = media.split_at_mut(class + 1);
            for (most, density) in stronger[class].iter_mut().zip(&weaker[0]) {
                *most = most.max(*density);
            }
        }
        let majorants = media.iter().flat_map(|densities| attenuation.majorant(densities)).collect();
        let size: [f64; 3] = std::array::from_fn(|k| geometry.bounds().size[k] / count[k] as f64);
        Self {
            count,
            size: size.map(|s| s as f32),
            inverse: size.map(|s| (1.0 / s) as f32),
            slack: geometry.bounds().size.map(|s| 5e-7 * s as f32),
            boxes: with_reach(&classes, count),
            majorants,
        }
    }

    /// Mean over boxes of flights per mm, at energies up to `energy`: those that end in a collision, real or not, and
    /// those that are cut.
    fn flights(&self, energy: f64) -> f64 {
        let places = [1.0, 0.7, 0.4].map(|f| ENERGY.place((f * energy) as f32).0);
        let size = f64::from(self.size.iter().copied().fold(f32::INFINITY, f32::min));
        let of_box = |&b: &u32| -> f64 {
            let majorants = &self.majorants[(b as usize & 255) * ENERGY.intervals()..];
            let collisions = places.iter().map(|&k| f64::from(majorants[k][0])).sum::<f64>() / places.len() as f64;
            collisions + if self.is_whole() { 0.0 } else { 1.0 / (((b >> 8) as f64 + 0.5) * size) }
        };
        self.boxes.iter().map(of_box).sum::<f64>() / self.boxes.len() as f64
    }
}

/// class + 256 reach of each box: reach is one less than the Chebyshev distance to the nearest box of a higher
/// majorant (a lower class number), by dilating those boxes one layer at a time.
fn with_reach(classes: &[usize], count: [usize; 3]) -> Vec<u32> {
    let farthest = *count.iter().max().unwrap_or(&1);
    let mut boxes: Vec<u32> = classes.iter().map(|&c| c as u32 + 256 * farthest as u32).collect();
    // The strongest class within `layer` boxes.
    let mut near = classes.to_vec();
    for layer in 1..farthest {
        for axis in 0..3 {
            near = dilated(&near, count, axis);
        }
        for ((b, &class), &strongest) in boxes.iter_mut().zip(classes).zip(&near) {
            if strongest < class && *b >> 8 == farthest as u32 {
                *b = class as u32 + 256 * (layer as u32 - 1);
            }
        }
    }
    boxes
}

/// The least of each box and its two neighbours along an axis.
fn dilated(values: &[usize], count: [usize; 3], axis: usize) -> Vec<usize> {
    let stride = [1, count[0], count[0] * count[1]][axis];
    (0..values.len())
        .map(|i| {
            let k = i / stride % count[axis];
            let low = if k > 0 { values[i - stride] } else { values[i] };
            let high = if k + 1 < count[axis] { values[i + stride] } else { values[i] };
            low.min(values[i]).min(high)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matter::Material;
    use crate::random::{Numbers, Uniform};
    use crate::tally::Dose;
    use crate::track::plan_tests::{cube, pencil, plan, water};
    use spinray_core::Job;

    #[test]
    fn the_reach_of_a_box_ends_before_the_next_higher_class() {
        let count = [9, 7, 5];
        let (metal, dense) = ([7usize, 3, 2], [1usize, 1, 1]);
        let at = |b: [usize; 3]| b[0] + count[0] * (b[1] + count[1] * b[2]);
        let mut classes = vec![2; 9 * 7 * 5];
        (classes[at(metal)], classes[at(dense)]) = (0, 1);
        let boxes = with_reach(&classes, count);
        let distance = |a: [usize; 3], b: [usize; 3]| (0..3).map(|k| a[k].abs_diff(b[k])).max().unwrap() as u32;
        for i in 0..classes.len() {
            let b = [i % 9, i / 9 % 7, i / 63];
            let expected = match classes[i] {
                0 => 9,
                1 => distance(b, metal) - 1,
                _ => distance(b, metal).min(distance(b, dense)) - 1,
            };
            assert_eq!((boxes[i] & 255, boxes[i] >> 8), (classes[i] as u32, expected), "box {b:?}");
        }
    }

    /// Whether no point of the cube about any box, its faces included, attenuates more than the box's majorant.
    fn assert_covers(plan: &crate::track::Plan, boxes: [usize; 3], energy: f64) {
        let geometry = &plan.problem().geometry;
        let regions = Regions::classified(geometry, &plan.attenuation, boxes, energy);
        let edges = geometry.bounds().edges();
        let mut numbers = Numbers::new(1, 0, 0);
        for _ in 0..20_000 {
            let b: [usize; 3] = std::array::from_fn(|k| (numbers.uniform() * regions.count[k] as f64) as usize);
            let found = regions.boxes[b[0] + regions.count[0] * (b[1] + regions.count[1] * b[2])];
            let reach = (found >> 8) as f32;
            for _ in 0..40 {
                let q: [f32; 3] = std::array::from_fn(|k| {
                    let low = (b[k] as f32 - reach).max(0.0);
                    let high = (b[k] as f32 + reach + 1.0).min(regions.count[k] as f32);
                    // One in eight on a face: flights end there by rounding.
                    let face = numbers.bits().is_multiple_of(8);
                    let place = if face { high } else { low + (high - low) * numbers.uniform32() };
                    (regions.size[k] * place).min(edges[k].next_down())
                });
                let place = geometry.place(q[0], q[1], q[2]);
                let (k, f) = ENERGY.place(1.0 + (energy as f32 - 1.0) * numbers.uniform32());
                let [value, rise] = regions.majorants[(found & 255) as usize * ENERGY.intervals() + k];
                let there = place.density * plan.attenuation.at(place.material, k, f)[3];
                assert!(there <= (value + f * rise) * (1.0 + 2e-7), "box {b:?}, {q:?}");
            }
        }
    }

    #[test]
    fn the_majorant_of_a_box_covers_everything_in_its_cube() {
        let titanium = Material::new("titanium", 4.5, vec![(22, 1.0)]).unwrap();
        let lead = Material::new("lead", 11.34, vec![(82, 1.0)]).unwrap();
        let label =
            |[z, y, x]: [usize; 3]| u8::from(z == 3 && y > 11 && x % 5 == 2) + 2 * u8::from(z > 15 && x == 9 && y == 4);
        let plan = plan(cube(20, 7.3, vec![water(), titanium, lead], label), pencil(150.0));
        assert_covers(&plan, [23, 32, 9], 150.0);
        assert_covers(&plan, [20; 3], 150.0);
    }

    #[test]
    fn the_majorant_of_a_box_covers_what_is_weaker_at_the_largest_energy_only() {
        // Thin iodine attenuates a quarter of what water does at 1 MeV, and eleven times as much at 60 keV.
        let iodine = Material::new("iodine", 0.3, vec![(53, 1.0)]).unwrap();
        let plan = plan(cube(20, 7.3, vec![water(), iodine], |[_, _, x]| u8::from(x > 10)), pencil(1000.0));
        assert_covers(&plan, [10; 3], 1000.0);
    }

    #[test]
    fn a_world_too_large_for_single_precision_is_refused() {
        let lead = Material::new("lead", 11.34, vec![(82, 1.0)]).unwrap();
        let refused = |size: f64| {
            let geometry = cube(2, size / 2.0, vec![water(), lead.clone()], |[z, _, _]| z as u8);
            let attenuation = Attenuation::new(geometry.materials());
            Regions::new(&geometry, &attenuation, 60.0).check(&geometry, 60.0).is_err()
        };
        // 0.176 mm of lead are a mean free path: an eighth of it is the last bit of 368 m.
        assert!(!refused(367_000.0) && refused(369_000.0));
    }

    #[test]
    fn local_majorants_change_no_mean_and_save_flights() {
        let titanium = Material::new("titanium", 4.5, vec![(22, 1.0)]).unwrap();
        let insert =
            |[z, y, x]: [usize; 3]| u8::from((5..8).contains(&z) && (9..12).contains(&y) && (11..14).contains(&x));
        let mut cut = plan(cube(20, 10.0, vec![water(), titanium], insert), pencil(60.0));
        let mut whole = plan(cube(20, 10.0, cut.materials().to_vec(), insert), pencil(60.0));
        whole.regions = Regions::classified(&whole.problem().geometry, &whole.attenuation, [1; 3], 60.0).into();
        // Finer boxes than voxels as well: more faces to be cut at.
        cut.regions = Regions::classified(&cut.problem().geometry, &cut.attenuation, [32; 3], 60.0).into();
        assert!(!cut.regions.is_whole() && cut.regions.flights(60.0) < 0.3 * whole.regions.flights(60.0));
        let n = 1_000_000;
        let run = |plan: &crate::track::Plan, seed| {
            let tally = Dose::new(plan);
            plan.simulate(seed, 0..n, &[&tally], &Job::new()).unwrap();
            let dose = tally.scores();
            (0..dose.len()).map(|cell| dose.estimate(cell, n)).collect::<Vec<_>>()
        };
        let (a, b) = (run(&cut, 1), run(&whole, 2));
        let z: Vec<f64> = a
            .iter()
            .zip(&b)
            .filter(|((x, s), _)| *x > 10.0 * s)
            .map(|((x, s), (y, t))| (x - y) / (s * s + t * t).sqrt())
            .collect();
        let (cells, chi2) = (z.len() as f64, z.iter().map(|z| z * z).sum::<f64>());
        assert!(cells > 300.0 && (chi2 - cells).abs() < 4.0 * (2.0 * cells).sqrt(), "{chi2} of {cells}");
        assert!((z.iter().sum::<f64>() / cells.sqrt()).abs() < 4.0, "a bias of {}", z.iter().sum::<f64>() / cells);
    }
}
