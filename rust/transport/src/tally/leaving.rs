//! Photons that leave the geometry, one by one: what detectors, phase spaces and spectra of escape are made from.

use super::{Scorer, Tally};
use crate::geometry::Bounds;
use crate::track::Plan;
use crate::track::bank::{Bank, Orders};
use std::sync::{Mutex, PoisonError};

/// A photon on its way out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leaving {
    /// Number of its history.
    pub history: u64,
    /// Where it crossed the bounds, or its source if it missed them; world, mm.
    pub position: [f64; 3],
    /// Unit vector.
    pub direction: [f32; 3],
    /// keV
    pub energy: f32,
    /// How many photons it stands for.
    pub weight: f32,
    /// What happened to it.
    pub orders: Orders,
}

/// All of them, of all threads.
#[derive(Default)]
pub struct Escapes {
    photons: Mutex<Vec<Leaving>>,
}

impl Escapes {
    /// Sorted by history; those of one history in the order in which they left.
    pub fn photons(&self) -> Vec<Leaving> {
        let mut photons = self.photons.lock().unwrap_or_else(PoisonError::into_inner).clone();
        photons.sort_by_key(|photon| photon.history);
        photons
    }
}

impl Tally for Escapes {
    fn scorer<'a>(&'a self, plan: &'a Plan) -> Box<dyn Scorer + 'a> {
        Box::new(Door { escapes: self, bounds: plan.problem().geometry.bounds(), photons: Vec::new() })
    }
}

/// A worker's side of it.
struct Door<'a> {
    escapes: &'a Escapes,
    bounds: &'a Bounds,
    photons: Vec<Leaving>,
}

impl Scorer for Door<'_> {
    fn leaving(&mut self, bank: &Bank, slots: &[u32]) {
        self.photons.extend(slots.iter().map(|&slot| {
            let s = slot as usize;
            Leaving {
                history: bank.history(s),
                position: self.bounds.world(bank.position(s)),
                direction: bank.direction(s),
                energy: bank.energy[s],
                weight: bank.weight[s],
                orders: bank.orders[s],
            }
        }));
    }
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        let mut all = self.escapes.photons.lock().unwrap_or_else(PoisonError::into_inner);
        all.append(&mut self.photons);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matter::Kind;
    use crate::source::{Emission, Pencil, Profile, Source, Spectrum};
    use crate::track::plan_tests::{cube, pencil, plan, water};
    use spinray_core::Job;

    fn leaving(plan: &crate::track::Plan, n: u64) -> Vec<Leaving> {
        let escapes = Escapes::default();
        plan.simulate(2, 0..n, &[&escapes], &Job::new()).unwrap();
        escapes.photons()
    }

    #[test]
    fn primaries_come_out_behind_with_their_energy_and_by_the_law_of_attenuation() {
        let n = 200_000;
        let plan = plan(cube(10, 10.0, vec![water()], |_| 0), pencil(60.0));
        let photons = leaving(&plan, n);
        assert!(photons.windows(2).all(|w| w[0].history < w[1].history), "at most one photon of each history");
        let faces = |p: &Leaving| p.position.iter().any(|x| (x.abs() - 50.0).abs() < 1e-3);
        assert!(photons.iter().all(faces));
        let (primary, scattered): (Vec<_>, Vec<_>) = photons.iter().partition(|p| p.orders == Orders::default());
        let straight = |p: &&Leaving| p.energy == 60.0 && p.direction == [0.0, 0.0, 1.0] && p.position[2] > 49.9;
        assert!(primary.iter().all(straight));
        let expected = (-100.0 * plan.materials()[0].attenuation(Kind::Total, 60.0)).exp();
        let found = primary.len() as f64 / n as f64;
        assert!((found - expected).abs() < 4.0 * (expected / n as f64).sqrt(), "{found}, {expected}");
        // Rayleigh alone keeps the energy, and every Compton scatter loses some.
        assert!(scattered.iter().all(|p| (p.energy == 60.0) == (p.orders.compton == 0)));
        assert!(scattered.iter().any(|p| p.orders.compton > 2));
    }

    #[test]
    fn photons_that_miss_are_handed_over_at_their_source() {
        let beam = Pencil::new([70.0, 0.0, -500.0], [0.0, 0.0, 1.0], [0.0; 2], Profile::Square).unwrap();
        let spectrum = Spectrum::new(&[60.0], &[1.0], 0.0).unwrap();
        let source = Source::new(Emission::Pencils(vec![beam]), spectrum).unwrap();
        let photons = leaving(&plan(cube(10, 10.0, vec![water()], |_| 0), source), 1000);
        assert!(photons.len() == 1000 && photons.iter().all(|p| p.position == [70.0, 0.0, -500.0] && p.energy == 60.0));
    }

    #[test]
    fn photons_know_that_they_were_emitted() {
        let iodine = crate::matter::Material::new("iodine", 4.93, vec![(53, 1.0)]).unwrap();
        let photons = leaving(&plan(cube(1, 0.5, vec![iodine], |_| 0), pencil(60.0)), 20_000);
        // Lines of K are below the edge; what scatters keeps more than 48 keV.
        let (emitted, others): (Vec<&Leaving>, Vec<&Leaving>) = photons.iter().partition(|p| p.energy < 33.2);
        assert!(emitted.len() > 1000 && emitted.iter().all(|p| p.orders.emission > 0));
        assert!(others.len() > 1000 && others.iter().all(|p| p.orders.emission == 0));
    }
}
