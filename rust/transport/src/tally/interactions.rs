//! Interactions one by one: what detector studies are made from.
//!
//! Those of one history come in the order in which they were simulated: a photon is followed to its end, then the
//! photons it has left behind, the last one first. `order` counts all of a history, listed or not.

use super::{Collision, Scorer, Tally};
use crate::geometry::Bounds;
use crate::track::Plan;
use crate::track::bank::{Bank, Lanes, SLOTS};
use std::sync::{Mutex, PoisonError};

/// What happened to a photon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interaction {
    /// Number of its history.
    pub history: u64,
    /// Where; world, mm.
    pub position: [f64; 3],
    /// How many interactions of its history came before.
    pub order: u32,
    /// Cell of the geometry.
    pub cell: u32,
    /// Energy left on the spot, keV.
    pub deposit: f32,
    /// Energy of the photon before, keV.
    pub energy: f32,
    /// How many photons it stands for.
    pub weight: f32,
    /// Photoelectric, Compton, Rayleigh, pair: as [`crate::track::bank::Fate`] counts.
    pub process: u8,
    /// How many emissions (fluorescence, annihilation) lie between the source and this photon.
    pub emission: u8,
}

/// All of them, of all threads; of the cells that are true in a mask, if there is one.
#[derive(Default)]
pub struct Interactions {
    region: Option<Vec<bool>>,
    list: Mutex<Vec<Interaction>>,
}

impl Interactions {
    /// Nothing yet.
    pub fn new(region: Option<Vec<bool>>) -> Self {
        Self { region, list: Mutex::default() }
    }

    /// Sorted by history; those of one history in their order.
    pub fn list(&self) -> Vec<Interaction> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner).clone();
        list.sort_by_key(|one| one.history);
        list
    }
}

impl Tally for Interactions {
    fn scorer<'a>(&'a self, plan: &'a Plan) -> Box<dyn Scorer + 'a> {
        let (bounds, energy, order) = (plan.problem().geometry.bounds(), [0.0; SLOTS], [0; SLOTS]);
        Box::new(Notes { interactions: self, bounds, energy, order, list: Vec::new() })
    }
}

/// A worker's side of it.
struct Notes<'a> {
    interactions: &'a Interactions,
    bounds: &'a Bounds,
    /// Energies before collisions.
    energy: Lanes<f32>,
    /// Interactions so far of the history in each slot.
    order: Lanes<u32>,
    list: Vec<Interaction>,
}

impl Scorer for Notes<'_> {
    fn wants_strikes(&self) -> bool {
        true
    }

    fn strikes(&mut self, bank: &Bank) {
        self.energy = bank.energy;
    }

    fn collisions(&mut self, bank: &Bank, collisions: &[Collision]) {
        for collision in collisions {
            let s = collision.slot as usize;
            let order = self.order[s];
            self.order[s] += 1;
            let listed = |region: &Vec<bool>| region.get(collision.cell as usize) == Some(&true);
            if self.interactions.region.as_ref().is_none_or(listed) {
                self.list.push(Interaction {
                    history: bank.history(s),
                    position: self.bounds.world(bank.position(s)),
                    order,
                    cell: collision.cell,
                    deposit: collision.deposit / bank.weight[s],
                    energy: self.energy[s],
                    weight: bank.weight[s],
                    process: collision.process as u8,
                    emission: bank.orders[s].emission,
                });
            }
        }
    }

    fn finish(&mut self, _bank: &Bank, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.order[slot as usize] = 0);
    }
}

impl Drop for Notes<'_> {
    fn drop(&mut self) {
        self.interactions.list.lock().unwrap_or_else(PoisonError::into_inner).append(&mut self.list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ELECTRON;
    use crate::tally::Dose;
    use crate::track::bank::Fate;
    use crate::track::plan_tests::{cube, pencil, plan, water};
    use spinray_core::Job;

    #[test]
    fn deposits_sum_to_the_dose_and_orders_count_every_interaction() {
        let lead = crate::matter::Material::new("lead", 11.34, vec![(82, 1.0)]).unwrap();
        let plan = plan(cube(10, 20.0, vec![water(), lead], |[z, _, _]| u8::from(z == 6)), pencil(2000.0));
        let region: Vec<bool> = (0..1000).map(|i| i / 100 == 6).collect();
        let (dose, all, some) = (Dose::new(&plan), Interactions::default(), Interactions::new(Some(region.clone())));
        let n = 20_000;
        plan.simulate(5, 0..n, &[&dose, &all, &some], &Job::new()).unwrap();
        let (all, some) = (all.list(), some.list());
        let mut sums = vec![0.0; 1000];
        all.iter().for_each(|one| sums[one.cell as usize] += f64::from(one.deposit));
        for (cell, sum) in sums.iter().enumerate() {
            assert!((sum / n as f64 - dose.scores().estimate(cell, n).0).abs() < 1e-6 * sum / n as f64 + 1e-9);
        }
        for pair in all.windows(2).filter(|pair| pair[0].history == pair[1].history) {
            assert_eq!(pair[1].order, pair[0].order + 1);
        }
        let firsts = all.windows(2).filter(|pair| pair[0].history != pair[1].history).map(|pair| pair[1]);
        assert!(firsts.clone().all(|one| one.order == 0 && one.emission == 0 && one.energy == 2000.0));
        let kept: Vec<_> = all.iter().filter(|one| region[one.cell as usize]).copied().collect();
        assert_eq!(kept, some);
        // Pairs leave two photons of 511 keV.
        let pairs: Vec<_> = all.iter().filter(|one| one.process == Fate::Pair as u8).collect();
        assert!(pairs.len() > 100 && pairs.iter().all(|one| one.emission == 0));
        let left = |one: &&Interaction| (one.energy - one.deposit - 2.0 * ELECTRON as f32).abs() < 1e-3;
        assert!(pairs.iter().all(left));
    }

    #[test]
    fn energies_before_an_interaction_are_those_left_by_the_one_before() {
        let plan = plan(cube(10, 20.0, vec![water()], |_| 0), pencil(100.0));
        let all = Interactions::default();
        plan.simulate(5, 0..20_000, &[&all], &Job::new()).unwrap();
        let list = all.list();
        let follows = list.windows(2).filter(|p| p[0].history == p[1].history && p[1].emission == 0);
        let mut count = 0;
        for pair in follows {
            assert!((pair[0].energy - pair[0].deposit - pair[1].energy).abs() < 1e-4);
            count += 1;
        }
        assert!(count > 20_000);
    }
}
