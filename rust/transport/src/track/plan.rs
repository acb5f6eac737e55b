//! A problem, and everything computed from it before the first photon flies.

use super::biasing::{Bias, Biasing};
use super::regions::Regions;
use super::supply::Supply;
use super::tables::Attenuation;
use super::worker;
use crate::forced::Sight;
use crate::geometry::Geometry;
use crate::matter::Material;
use crate::process::compton::Compton;
use crate::process::doppler::Doppler;
use crate::process::photoelectric::Photoelectric;
use crate::process::rayleigh::Rayleigh;
use crate::source::Source;
use crate::tally::Tally;
use rayon::prelude::*;
use spinray_core::{Job, Result};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Choices of physics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Physics {
    /// Compton scattering in the impulse approximation, with Doppler broadening.
    pub doppler: bool,
}

/// What is to be simulated.
#[derive(Clone)]
pub struct Problem {
    /// Where photons travel.
    pub geometry: Arc<Geometry>,
    /// Where they come from.
    pub source: Arc<Source>,
    /// How they interact.
    pub physics: Physics,
}

/// A problem with its tables, which clones and plans for other sources share.
#[derive(Clone)]
pub struct Plan {
    pub(super) problem: Problem,
    pub(super) attenuation: Arc<Attenuation>,
    pub(super) regions: Arc<Regions>,
    pub(super) compton: Arc<Compton>,
    /// Of each material, if asked for.
    pub(super) doppler: Option<Arc<Vec<Doppler>>>,
    pub(super) rayleigh: Arc<Vec<Rayleigh>>,
    pub(super) photoelectric: Arc<Vec<Photoelectric>>,
    pub(super) bias: Option<Arc<Bias>>,
    /// What forced detection needs, once it has been asked for.
    sight: Arc<OnceLock<Arc<Sight>>>,
}

/// What a run has done.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// Histories, to the end.
    pub histories: u64,
    /// Flights of their photons: to collisions, real or not, or out.
    pub flights: u64,
}

impl Plan {
    /// Computes the tables of a problem.
    pub fn new(problem: Problem) -> Result<Self> {
        let materials = problem.geometry.materials();
        let attenuation = Attenuation::new(materials);
        let regions = Regions::new(&problem.geometry, &attenuation, problem.source.max_energy());
        regions.check(&problem.geometry, problem.source.max_energy())?;
        let compton = Compton::new(materials.iter().map(|m| |x: f64| m.incoherent(x)));
        let doppler: Option<Vec<_>> = problem.physics.doppler.then(|| materials.par_iter().map(Doppler::new).collect());
        let rayleigh: Vec<_> = materials.par_iter().map(|m| Rayleigh::new(|x| m.form_factor_squared(x))).collect();
        let photoelectric: Vec<_> = materials.par_iter().map(Photoelectric::new).collect();
        Ok(Self {
            attenuation: Arc::new(attenuation),
            regions: Arc::new(regions),
            compton: Arc::new(compton),
            doppler: doppler.map(Arc::new),
            rayleigh: Arc::new(rayleigh),
            photoelectric: Arc::new(photoelectric),
            sight: Arc::default(),
            problem,
            bias: None,
        })
    }

    /// The same problem with variance reduction.
    pub fn biased(mut self, biasing: Biasing) -> Result<Self> {
        self.bias = Some(Arc::new(Bias::new(&self, biasing)?));
        Ok(self)
    }

    /// What scores are like compared with those of analogue runs: photons of the source, and those that have collided.
    pub fn weights(&self) -> [f64; 2] {
        let [least, most] = self.problem.source.photons().map(f64::from);
        let photons = (least * most).sqrt();
        [photons, photons * self.bias.as_ref().map_or(1.0, |bias| bias.collided())]
    }

    /// The power of 2 that scores of each cell are less by; none if 0 in all of them.
    pub fn units(&self) -> Vec<i8> {
        self.bias.as_ref().map_or_else(Vec::new, |bias| bias.units(self.problem.geometry.cells()))
    }

    /// The same with another source, and without variance reduction: a view of a scan after the first costs no tables.
    pub fn with_source(&self, source: Arc<Source>) -> Result<Self> {
        let mut plan = self.clone();
        let most = source.max_energy();
        if most != self.problem.source.max_energy() {
            plan.regions = Arc::new(Regions::new(&self.problem.geometry, &self.attenuation, most));
        }
        plan.regions.check(&self.problem.geometry, most)?;
        (plan.problem.source, plan.bias) = (source, None);
        Ok(plan)
    }

    /// What forced detection needs, made when first asked for.
    pub(crate) fn sight(&self) -> Result<Arc<Sight>> {
        if let Some(sight) = self.sight.get() {
            return Ok(Arc::clone(sight));
        }
        let made = Arc::new(Sight::new(&self.problem.geometry)?);
        Ok(Arc::clone(self.sight.get_or_init(|| made)))
    }

    /// The problem.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Their attenuation.
    pub fn attenuation(&self) -> &Attenuation {
        &self.attenuation
    }

    /// The materials of the geometry.
    pub fn materials(&self) -> &[Material] {
        self.problem.geometry.materials()
    }

    /// Adds the histories numbered `histories` under `seed` to the tallies, and returns what was done.
    ///
    /// Fewer than asked for only if `job` was cancelled: then exactly the first ones, to the end.
    pub fn simulate(&self, seed: u64, histories: Range<u64>, tallies: &[&dyn Tally], job: &Job) -> Result<Done> {
        let workers = rayon::current_num_threads();
        let supply = Supply::new(histories, workers, job);
        (0..workers).into_par_iter().with_max_len(1).for_each(|_| worker::work(self, seed, &supply, tallies));
        Ok(Done { histories: supply.done(), flights: supply.flights() })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::geometry::{Labels, Voxels};
    use crate::source::{Emission, Pencil, Profile, Spectrum};
    use crate::tally::{Dose, Scores};

    pub fn water() -> Material {
        Material::new("water", 1.0, vec![(1, 0.111_898), (8, 0.888_102)]).unwrap()
    }

    pub fn pencil(energy: f64) -> Source {
        let beam = Pencil::new([0.1, 0.1, -500.0], [0.0, 0.0, 1.0], [0.0; 2], Profile::Square).unwrap();
        Source::new(Emission::Pencils(vec![beam]), Spectrum::new(&[energy], &[1.0], 0.0).unwrap()).unwrap()
    }

    /// A cube of `n` voxels of `spacing` mm a side about the origin.
    pub fn cube(n: usize, spacing: f64, materials: Vec<Material>, label: impl Fn([usize; 3]) -> u8) -> Geometry {
        let labels = (0..n * n * n).map(|i| label([i / (n * n), i / n % n, i % n])).collect();
        let origin = [-0.5 * (n - 1) as f64 * spacing; 3];
        Geometry::Voxels(
            Voxels::new([n; 3], [spacing; 3], origin, materials, Labels::Byte(labels), None, None).unwrap(),
        )
    }

    pub fn plan(geometry: Geometry, source: Source) -> Plan {
        let (geometry, source) = (Arc::new(geometry), Arc::new(source));
        Plan::new(Problem { geometry, source, physics: Physics::default() }).unwrap()
    }

    fn bits(scores: &Scores) -> (Vec<u64>, Vec<u64>) {
        (scores.sums(), scores.squares())
    }

    /// The dose of ranges of histories on a number of threads.
    fn dose(plan: &Plan, threads: usize, ranges: &[Range<u64>]) -> (Vec<u64>, Vec<u64>) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let dose = Dose::new(plan);
        for range in ranges {
            let done = pool.install(|| plan.simulate(7, range.clone(), &[&dose], &Job::new())).unwrap();
            assert_eq!(done.histories, range.end - range.start);
        }
        bits(dose.scores())
    }

    #[test]
    fn results_have_the_same_bits_for_any_threads_and_any_split() {
        let bone = Material::new("bone", 1.9, vec![(1, 0.03), (6, 0.16), (8, 0.44), (15, 0.1), (20, 0.27)]).unwrap();
        let geometry = cube(20, 10.0, vec![water(), bone], |[z, y, _]| u8::from(z > 4 && y > 8));
        let plan = plan(geometry, pencil(1500.0));
        let whole = dose(&plan, 1, std::slice::from_ref(&(3..20_003)));
        assert_eq!(whole, dose(&plan, 2, std::slice::from_ref(&(3..20_003))));
        assert_eq!(whole, dose(&plan, 3, &[777..20_003, 3..4, 4..777]));
        assert!(whole != dose(&plan, 1, std::slice::from_ref(&(4..20_004))));
    }

    #[test]
    fn a_plan_for_another_source_is_that_of_its_problem() {
        let cube = cube(20, 10.0, vec![water()], |_| 0);
        let first = plan(cube, pencil(1500.0));
        for energy in [1500.0, 60.0] {
            let other = first.with_source(Arc::new(pencil(energy))).unwrap();
            let new = Plan::new(other.problem().clone()).unwrap();
            assert_eq!(
                dose(&other, 1, std::slice::from_ref(&(0..2000))),
                dose(&new, 1, std::slice::from_ref(&(0..2000)))
            );
        }
    }

    #[test]
    fn a_cancelled_run_holds_exactly_the_histories_it_says() {
        let plan = plan(cube(10, 10.0, vec![water()], |_| 0), pencil(60.0));
        let (job, tally) = (Job::new(), Dose::new(&plan));
        let done = std::thread::scope(|scope| {
            let run = scope.spawn(|| plan.simulate(7, 0..100_000_000, &[&tally], &job).unwrap().histories);
            // However busy the machine: not before the first histories are handed out.
            while job.progress().0 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            job.cancel();
            run.join().unwrap()
        });
        assert!(0 < done && done < 100_000_000);
        assert_eq!(bits(tally.scores()), dose(&plan, 2, std::slice::from_ref(&(0..done))));
    }
}
