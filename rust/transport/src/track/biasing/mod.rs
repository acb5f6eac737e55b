//! Variance reduction: photons of other weights than by nature, with the same means.
//!
//! Stages of the loop that exist only where they are asked for: collisions that are forced to happen ([`force`]), and
//! photons that are split or play roulette by the importance of where they are ([`split`]). Both need what a ray meets:
//! the pieces between faces (voxels) or surfaces (solids), in order, in double precision.

mod force;
mod split;

use super::bank::{Bank, Lanes, SLOTS, Secondary, Start};
use super::plan::Plan;
use crate::geometry::{Geometry, Line};
use crate::random::Numbers;
use crate::tally::Faces;
use crate::track::axis::ENERGY;
use spinray_core::{Error, Result};

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Biasing {
    /// Whether the first collision of every photon of the source is forced to happen in the bounds.
    pub force: bool,
    /// Importance of every voxel and what surrounds them, or of every solid and the world; only ratios matter.
    pub importance: Option<Vec<f32>>,
}

/// The most that importances may differ by.
const WIDEST: f32 = 1e6;
/// Photons of the source looked at to know what scores will be like.
const TRIALS: u64 = 512;

/// What all workers share.
pub struct Bias {
    force: bool,
    /// Empty where there is none.
    importance: Vec<f32>,
    faces: Option<Faces>,
    collided: f64,
    born: f32,
}

impl Bias {
    /// For the geometry and the source of a plan.
    pub fn new(plan: &Plan, biasing: Biasing) -> Result<Self> {
        let (geometry, importance) = (&*plan.problem().geometry, biasing.importance.unwrap_or_default());
        let regions = match geometry {
            Geometry::Voxels(voxels) => voxels.cells(),
            Geometry::Solids(solids) => solids.solids().len() + 1,
        };
        if !importance.is_empty() {
            check(&importance, regions)?;
        }
        let faces = match geometry {
            Geometry::Voxels(voxels) => Some(Faces::new(voxels)),
            Geometry::Solids(_) => None,
        };
        let mut bias = Self { force: biasing.force, importance, faces, collided: 1.0, born: 1.0 };
        bias.try_photons(plan);
        Ok(bias)
    }

    /// What photons that have collided score, compared with analogue runs: between 1 and the largest part of a photon of
    /// the source that is forced to.
    pub fn collided(&self) -> f64 {
        self.collided.sqrt()
    }

    /// The power of 2 that each of some cells scores less by, compared with analogue runs: half of what importance says,
    /// since photons get there both before and after they are split. Empty where there is none.
    pub fn units(&self, cells: usize) -> Vec<i8> {
        let unit = |i: &f32| (0.5 * (i / self.born).log2()).round() as i8;
        let mut units: Vec<i8> = self.importance.iter().map(unit).collect();
        if let Some(&most) = units.iter().max() {
            // Boxes of a mesh may lie in any solid.
            units.resize(cells, most);
        }
        units
    }

    /// Looks at where photons of the source begin, and how many collide.
    fn try_photons(&mut self, plan: &Plan) {
        let bounds = plan.problem().geometry.bounds();
        let (mut ray, mut most, mut logs, mut count) = (Ray::default(), 0.0f64, 0.0f32, 0.0f32);
        for history in 0..TRIALS {
            let photon = plan.problem().source.sample(&mut Numbers::new(0, history, 0));
            let Some((near, far)) = bounds.span(photon.position, photon.direction) else { continue };
            let Some(position) = bounds.enter(photon.position, photon.direction) else { continue };
            ray.meet(plan, self, (position, photon.direction.map(|u| u as f32), photon.energy), (far - near) as f32);
            most = most.max(-(-ray.depth()).exp_m1());
            logs += ray.pieces.first().map_or(0.0, |piece| piece.importance.ln());
            count += 1.0;
        }
        self.collided = if self.force && most > 0.0 { most } else { 1.0 };
        self.born = (logs / count.max(1.0)).exp();
    }
}

fn check(importance: &[f32], regions: usize) -> Result<()> {
    let refuse = |problem: String| Err(Error::invalid("importance", problem));
    if importance.len() != regions {
        return refuse(format!("expected {regions} values, got {}", importance.len()));
    }
    if let Some(bad) = importance.iter().find(|i| !(i.is_finite() && **i > 0.0)) {
        return refuse(format!("expected finite numbers > 0, got {bad}"));
    }
    let (least, most) = importance.iter().fold((f32::INFINITY, 0.0f32), |(a, b), &i| (a.min(i), b.max(i)));
    if most > WIDEST * least {
        return refuse(format!(
            "expected values that differ by a factor of {WIDEST:e} at the most, got {least:e} to {most:e}: a photon is \
             split into as many as their ratio"
        ));
    }
    Ok(())
}

/// A piece of a ray in one region.
#[derive(Clone, Copy)]
struct Piece {
    /// Path to its end, mm.
    end: f64,
    /// Optical depth there.
    depth: f64,
    importance: f32,
}

/// What a ray meets.
#[derive(Default)]
struct Ray {
    pieces: Vec<Piece>,
    line: Line,
}

impl Ray {
    /// Follows a ray of a photon (local position, direction, energy) for a path.
    fn meet(&mut self, plan: &Plan, bias: &Bias, (from, along, energy): ([f32; 3], [f32; 3], f32), path: f32) {
        let Self { pieces, line } = self;
        pieces.clear();
        let (k, f) = ENERGY.place(energy);
        let (mut end, mut depth, mut importance) = (0.0, 0.0, 1.0);
        let mut push = |region: usize, material: usize, density: f64, length: f64| {
            end += length;
            depth += length * density * f64::from(plan.attenuation.at(material as u32, k, f)[3]);
            // Beyond the grid, where nothing surrounds it and only rounding leads to, none is given.
            importance = bias.importance.get(region).copied().unwrap_or(importance);
            pieces.push(Piece { end, depth, importance });
        };
        match (&*plan.problem.geometry, &bias.faces) {
            (Geometry::Voxels(voxels), Some(faces)) => {
                let (around, labels) = (voxels.labels().len(), voxels.labels());
                let outside = voxels.surroundings();
                faces.pass(from, along, path, around as u32, |cell, length| {
                    let i = cell as usize;
                    let (material, density) = if i < around { (labels.get(i), voxels.density(i)) } else { outside };
                    push(i, material, f64::from(density), f64::from(length));
                });
            }
            (Geometry::Solids(solids), _) => {
                let from = solids.bounds().world(from);
                solids.cross(&from, &along.map(f64::from), 0.0..f64::from(path), line, |i, seen| {
                    let (material, density) = solids.medium(i);
                    push(i, material, density, seen.end - seen.start);
                });
            }
            (Geometry::Voxels(_), None) => unreachable!("voxels have faces"),
        }
    }

    /// Optical depth of all of it.
    fn depth(&self) -> f64 {
        self.pieces.last().map_or(0.0, |piece| piece.depth)
    }
}

/// A worker's side of it.
pub struct Stage<'a> {
    plan: &'a Plan,
    bias: &'a Bias,
    ray: Ray,
    /// Where the collision of the photon that waits in a slot is forced, mm.
    place: Box<Lanes<f32>>,
    /// Importance at the end of the flight.
    ahead: Box<Lanes<f32>>,
    /// Slots whose flight ends in a forced collision.
    forced: Vec<u32>,
    /// Slots whose photon may emit others, and how many waited on the stack before.
    emitters: Vec<(u32, usize)>,
}

impl<'a> Stage<'a> {
    /// For a plan that is biased.
    pub fn new(plan: &'a Plan, bias: &'a Bias) -> Self {
        let ones = || Box::new([1.0; SLOTS]);
        let (forced, emitters) = (Vec::with_capacity(SLOTS), Vec::with_capacity(SLOTS));
        Self { plan, bias, ray: Ray::default(), place: ones(), ahead: ones(), forced, emitters }
    }

    /// After flights have been drawn: some are given other ends.
    pub fn flights(&mut self, bank: &mut Bank, stacks: &mut [Vec<Secondary>]) {
        self.forced.clear();
        let alive = bank.alive;
        for s in (0..SLOTS).filter(|&s| alive[s] == 1) {
            match bank.start[s] {
                Start::Source if self.bias.force => self.force(bank, &mut stacks[s], s),
                Start::Collides => self.aim(bank, s),
                _ => self.cut(bank, s),
            }
        }
    }

    fn meet(&mut self, bank: &Bank, s: usize, path: f32) {
        let photon = (bank.position(s), bank.direction(s), bank.energy[s]);
        self.ray.meet(self.plan, self.bias, photon, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Labels, Shape, Solid, Solids, Voxels};
    use crate::matter::Material;
    use crate::source::{Emission, Point, Source, Spectrum, Volume};
    use crate::tally::{Dose, Scores, TrackLength};
    use crate::track::plan_tests::{cube, pencil, plan, water};
    use spinray_core::Job;

    fn lead() -> Material {
        Material::new("lead", 11.34, vec![(82, 1.0)]).unwrap()
    }

    /// Chi-square and sum of z of the cells that both have seen well, and how many these are.
    fn compare(a: (&Scores, u64), b: (&Scores, u64)) -> (f64, f64, f64) {
        let (mut chi2, mut sum, mut count) = (0.0, 0.0, 0.0);
        for cell in 0..a.0.len() {
            let ((x, s), (y, t)) = (a.0.estimate(cell, a.1), b.0.estimate(cell, b.1));
            if x > 10.0 * s && y > 10.0 * t {
                let z = (x - y) / (s * s + t * t).sqrt();
                (chi2, sum, count) = (chi2 + z * z, sum + z, count + 1.0);
            }
        }
        (chi2, sum, count)
    }

    /// Dose and lengths of flights of a plan are those of an analogue one.
    fn agree(analogue: &Plan, n: u64, biased: &Plan, m: u64, least: f64) {
        let tallies = |plan: &Plan| (Dose::new(plan), TrackLength::dose(plan).ok());
        let (a, b) = (tallies(analogue), tallies(biased));
        for (plan, tallies, seed, n) in [(analogue, &a, 1, n), (biased, &b, 2, m)] {
            let mut all: Vec<&dyn crate::tally::Tally> = vec![&tallies.0];
            all.extend(tallies.1.as_ref().map(|length| length as &dyn crate::tally::Tally));
            plan.simulate(seed, 0..n, &all, &Job::new()).unwrap();
        }
        let lengths = a.1.as_ref().zip(b.1.as_ref()).map(|(a, b)| (a.scores(), b.scores()));
        for (a, b) in [Some((a.0.scores(), b.0.scores())), lengths].into_iter().flatten() {
            let (chi2, sum, count) = compare((a, n), (b, m));
            assert!(count >= least, "{count} cells");
            assert!((chi2 - count).abs() < 4.5 * (2.0 * count).sqrt(), "chi-square {chi2} of {count} cells");
            // Cells of a run are correlated: a common factor shows here.
            assert!(sum.abs() < 6.0 * count.sqrt(), "sum of z {sum} of {count} cells");
        }
    }

    /// Water with a slab of lead, in air: 10 layers of 4 x 4 voxels.
    fn slabs(spacing: f64) -> Geometry {
        let air = Material::new("air", 0.0012, vec![(7, 0.767), (8, 0.233)]).unwrap();
        let labels = (0..160).map(|i| u8::from(i / 16 == 6 && i % 4 < 2)).collect();
        let (wide, origin) = (2.5 * spacing, [-4.5 * spacing, -3.75 * spacing, -3.75 * spacing]);
        let (spacing, materials) = ([spacing, wide, wide], vec![water(), lead(), air]);
        let voxels = Voxels::new([10, 4, 4], spacing, origin, materials, Labels::Byte(labels), None, Some((2, 12.0)));
        Geometry::Voxels(voxels.unwrap())
    }

    /// A cone wider than the slabs.
    fn cone(energies: &[f64], spacing: f64) -> Source {
        let spectrum = Spectrum::new(energies, &vec![1.0; energies.len()], 0.0).unwrap();
        let point = Point::new([3.0, 1.0, -10.0 * spacing], Some(([0.1, 0.0, 1.0], 1.4))).unwrap();
        Source::new(Emission::Point(point), spectrum).unwrap()
    }

    fn forced() -> Biasing {
        Biasing { force: true, importance: None }
    }

    /// 2 more at every other layer of voxels, and half as much outside.
    fn rising(plan: &Plan) -> Vec<f32> {
        let last = plan.problem().geometry.cells() - 1;
        (0..=last).map(|i| if i == last { 0.5 } else { (0.5 * (i / 16) as f32).exp2() }).collect()
    }

    #[test]
    fn forced_collisions_change_no_dose_and_no_length_of_flights() {
        for (energies, spacing) in [(vec![60.0, 100.0], 2.0), (vec![1500.0], 8.0)] {
            let make = || plan(slabs(spacing), cone(&energies, spacing));
            agree(&make(), 500_000, &make().biased(forced()).unwrap(), 150_000, 100.0);
        }
    }

    #[test]
    fn splitting_and_roulette_change_no_dose_and_no_length_of_flights() {
        for (energies, spacing, force) in [(vec![60.0, 100.0], 8.0, false), (vec![1500.0], 20.0, true)] {
            let make = || plan(slabs(spacing), cone(&energies, spacing));
            let analogue = make();
            let importance = Some(rising(&analogue));
            agree(&analogue, 500_000, &make().biased(Biasing { force, importance }).unwrap(), 50_000, 100.0);
        }
    }

    #[test]
    fn solids_are_biased_as_well() {
        let solid = |shape, material, density| Solid { shape, material, density, priority: material as i32 };
        let ball = |radius: f64| Shape::Sphere { centre: [5.0, 0.0, 10.0], radius };
        let solids = || {
            let mut all = vec![solid(Shape::Box { low: [-40.0; 3], high: [40.0; 3] }, 0, 1.0)];
            all.extend((1..7).map(|k| solid(ball(3.0 * f64::from(7 - k)), k as usize % 2, 0.3 * f64::from(k))));
            (1..7).for_each(|k| all[k].priority = k as i32);
            Geometry::Solids(Solids::new(all, vec![water(), lead()], (0, 0.001), None, None).unwrap())
        };
        let importance = Some(vec![2.0, 3.0, 4.0, 4.0, 30.0, 2.0, 0.5, 0.1]);
        let biased = plan(solids(), pencil(150.0)).biased(Biasing { force: true, importance }).unwrap();
        agree(&plan(solids(), pencil(150.0)), 400_000, &biased, 80_000, 5.0);
    }

    #[test]
    fn sources_drawn_from_other_probabilities_give_the_same_dose_with_or_without_the_rest() {
        let activity: Vec<f32> = (0..64).map(|i| if i < 8 { 0.1 } else { (i % 3) as f32 }).collect();
        let volume = Volume::new([4; 3], [12.0; 3], [-18.0; 3], &activity).unwrap();
        let spectrum = Spectrum::new(&[50.0, 90.0, 300.0], &[5.0, 3.0, 1.0], 4.0).unwrap();
        let nature = Source::new(Emission::Volume(volume), spectrum).unwrap();
        let factors: Vec<f32> = (0..64).map(|i| if i < 8 { 50.0 } else { 1.0 + 0.1 * i as f32 }).collect();
        let biased = nature.clone().biased(Some(&[1.0, 2.0, 8.0]), Some(&factors)).unwrap();
        let analogue = plan(slabs(6.0), nature);
        let importance = Some(rising(&analogue));
        agree(&analogue, 400_000, &plan(slabs(6.0), biased.clone()), 300_000, 60.0);
        let all = plan(slabs(6.0), biased).biased(Biasing { force: true, importance }).unwrap();
        agree(&analogue, 400_000, &all, 60_000, 60.0);
    }

    #[test]
    fn biased_results_have_the_same_bits_for_any_threads_and_any_split() {
        let make = plan(slabs(10.0), cone(&[1500.0], 10.0));
        let importance = Some(rising(&make));
        let biased = make.biased(Biasing { force: true, importance }).unwrap();
        let run = |threads: usize, ranges: &[std::ops::Range<u64>]| {
            let (pool, dose) =
                (rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap(), Dose::new(&biased));
            for range in ranges {
                pool.install(|| biased.simulate(7, range.clone(), &[&dose], &Job::new())).unwrap();
            }
            (dose.scores().sums(), dose.scores().squares())
        };
        let whole = run(1, std::slice::from_ref(&(3..9003)));
        assert_eq!(whole, run(2, std::slice::from_ref(&(3..9003))));
        assert_eq!(whole, run(3, &[777..9003, 3..4, 4..777]));
    }

    #[test]
    fn importances_that_make_no_sense_are_refused() {
        let refused = |importance| {
            let biasing = Biasing { force: false, importance: Some(importance) };
            plan(cube(2, 5.0, vec![water()], |_| 0), pencil(60.0)).biased(biasing).err().map(|e| e.to_string())
        };
        assert!(refused(vec![1.0; 8]).is_none());
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY, 2e6] {
            let mut importance = vec![1.0; 8];
            importance[3] = bad;
            assert!(refused(importance).unwrap().contains("importance"));
        }
        assert!(refused(vec![1.0; 7]).unwrap().contains("expected 8 values"));
    }
}
