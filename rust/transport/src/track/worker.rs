//! One thread's share of a run.

use super::bank::{Bank, Fate, Orders, SLOTS, Secondary, Start};
use super::biasing::Stage;
use super::plan::Plan;
use super::stages::{Sorted, advance, decide, draw, fly, rotate};
use super::supply::Supply;
use crate::geometry::Geometry;
use crate::process::doppler::Doppler;
use crate::process::{compton, isotropic, pair};
use crate::random::{Numbers, key};
use crate::tally::{Collision, Scorer, Tally};
use crate::{E_MIN, ELECTRON};
use spinray_core::simd::{Kernel, Simd, dispatch};
use std::ops::Range;

/// Follows histories until the supply is empty.
pub fn work(plan: &Plan, seed: u64, supply: &Supply<'_>, tallies: &[&dyn Tally]) {
    let scorers = tallies.iter().map(|tally| tally.scorer(plan)).collect();
    dispatch(Worker::new(plan, seed, supply, scorers));
}

/// A bank of photons, and what happens to them in a step.
pub struct Worker<'a> {
    plan: &'a Plan,
    seed: u64,
    supply: &'a Supply<'a>,
    histories: Range<u64>,
    alive: usize,
    bank: Box<Bank>,
    stacks: Vec<Vec<Secondary>>,
    sorted: Box<Sorted>,
    batch: Box<compton::Batch>,
    collisions: Vec<Collision>,
    ended: Vec<u32>,
    finished: Vec<u32>,
    scorers: Vec<Box<dyn Scorer + 'a>>,
    biased: Option<Stage<'a>>,
}

impl Kernel<f32> for Worker<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = f32>>(mut self) {
        self.begin();
        let mut flights = 0;
        while self.alive > 0 {
            flights += self.alive as u64;
            self.step();
        }
        self.supply.report(flights);
    }
}

impl<'a> Worker<'a> {
    /// With one side of each tally.
    pub fn new(plan: &'a Plan, seed: u64, supply: &'a Supply<'a>, scorers: Vec<Box<dyn Scorer + 'a>>) -> Self {
        let mut bank = Box::<Bank>::default();
        if let Some((material, density)) = plan.problem.geometry.homogeneous() {
            (bank.material, bank.density) = ([material; SLOTS], [density; SLOTS]);
        }
        Self {
            plan,
            seed,
            supply,
            histories: 0..0,
            alive: 0,
            bank,
            stacks: vec![Vec::new(); SLOTS],
            sorted: Box::default(),
            batch: Box::default(),
            collisions: Vec::with_capacity(SLOTS),
            ended: Vec::with_capacity(SLOTS),
            finished: Vec::with_capacity(SLOTS),
            scorers,
            biased: plan.bias.as_ref().map(|bias| Stage::new(plan, bias)),
        }
    }

    #[inline(always)]
    fn begin(&mut self) {
        self.alive = SLOTS;
        (0..SLOTS).for_each(|slot| self.refill(slot));
    }

    #[inline(always)]
    fn step(&mut self) {
        let plan = self.plan;
        let edges = plan.problem.geometry.bounds().edges();
        draw(&mut self.bank, key(self.seed));
        fly(&mut self.bank, &plan.regions, edges);
        if let Some(biased) = &mut self.biased {
            biased.flights(&mut self.bank, &mut self.stacks);
        }
        for scorer in self.scorers.iter_mut().filter(|scorer| scorer.wants_flights()) {
            scorer.flights(&self.bank);
        }
        advance(&mut self.bank, edges);
        locate(&plan.problem.geometry, &mut self.bank);
        if let Some(biased) = &self.biased {
            biased.collisions(&mut self.bank);
        }
        decide(&mut self.bank, &plan.attenuation);
        for scorer in self.scorers.iter_mut().filter(|scorer| scorer.wants_strikes()) {
            scorer.strikes(&self.bank);
        }
        self.sorted.sort(&self.bank.fate);
        if let Some(biased) = &mut self.biased {
            biased.before(&self.sorted, &self.stacks);
        }
        self.collide();
        rotate(&mut self.bank);
        self.bank.start.fill(Start::Goes);
        if let Some(biased) = &mut self.biased {
            biased.after(&mut self.bank, &mut self.stacks, &mut self.ended, self.seed);
        }
        self.end();
    }

    /// Lets every process act on the photons it has caught.
    #[inline(always)]
    fn collide(&mut self) {
        self.collisions.clear();
        self.ended.clear();
        self.compton();
        self.rayleigh();
        self.photoelectric();
        self.pair();
        let leaves = self.sorted.of(Fate::Leaves);
        self.ended.extend_from_slice(leaves);
        for scorer in &mut self.scorers {
            scorer.collisions(&self.bank, &self.collisions);
            scorer.leaving(&self.bank, leaves);
        }
    }

    #[inline(always)]
    fn compton(&mut self) {
        let Self { bank, batch, sorted, collisions, ended, .. } = self;
        let slots = sorted.of(Fate::Compton);
        batch.n = slots.len();
        for (i, &slot) in slots.iter().enumerate() {
            let s = slot as usize % SLOTS;
            batch.slot[i] = slot;
            batch.energy[i] = bank.energy[s];
            batch.material[i] = bank.material[s];
            batch.block[i] = bank.block[s];
            batch.low[i] = bank.low[s];
            batch.high[i] = bank.high[s];
        }
        self.plan.compton.sample(key(self.seed), batch);
        let scattered = &mut batch.scattered;
        if let Some(doppler) = &self.plan.doppler {
            broaden(doppler, self.seed, bank, scattered);
        }
        for i in 0..scattered.n.min(SLOTS) {
            let s = scattered.slot[i] as usize % SLOTS;
            let before = bank.energy[s];
            let after = before * scattered.ratio[i];
            let absorbed = after < E_MIN as f32;
            let deposit = if absorbed { before } else { before - after };
            bank.energy[s] = if absorbed { before } else { after };
            bank.block[s] = scattered.block[i];
            bank.versine[s] = scattered.versine[i];
            bank.orders[s].compton = bank.orders[s].compton.saturating_add(1);
            collisions.push(Collision::new(s, bank.cell[s], deposit * bank.weight[s], Fate::Compton));
            if absorbed {
                ended.push(s as u32);
            }
        }
    }

    #[inline(always)]
    fn rayleigh(&mut self) {
        for &slot in self.sorted.of(Fate::Rayleigh) {
            let s = slot as usize % SLOTS;
            let bank = &mut self.bank;
            let mut numbers = Numbers::new(self.seed, bank.history(s), bank.block[s]);
            bank.versine[s] = self.plan.rayleigh[bank.material[s] as usize].sample(bank.energy[s], &mut numbers);
            bank.block[s] = numbers.next_block();
            bank.orders[s].rayleigh = bank.orders[s].rayleigh.saturating_add(1);
            self.collisions.push(Collision::new(s, bank.cell[s], 0.0, Fate::Rayleigh));
        }
    }

    #[inline(always)]
    fn photoelectric(&mut self) {
        for &slot in self.sorted.of(Fate::Photoelectric) {
            let s = slot as usize % SLOTS;
            let bank = &mut self.bank;
            let process = &self.plan.photoelectric[bank.material[s] as usize];
            let mut numbers = Numbers::new(self.seed, bank.history(s), bank.block[s]);
            let mut lines = [0.0; 8];
            let mut n = 0;
            let deposit = process.sample(bank.energy[s], &mut numbers, |line| {
                lines[n % 8] = line;
                n += 1;
            });
            for &energy in &lines[..n.min(8)] {
                self.stacks[s].push(emission(bank, s, energy, isotropic(&mut numbers)));
            }
            bank.block[s] = numbers.next_block();
            self.collisions.push(Collision::new(s, bank.cell[s], deposit * bank.weight[s], Fate::Photoelectric));
            self.ended.push(slot);
        }
    }

    #[inline(always)]
    fn pair(&mut self) {
        for &slot in self.sorted.of(Fate::Pair) {
            let s = slot as usize % SLOTS;
            let bank = &mut self.bank;
            let mut numbers = Numbers::new(self.seed, bank.history(s), bank.block[s]);
            let (deposit, directions) = pair::sample(bank.energy[s], &mut numbers);
            for direction in directions {
                self.stacks[s].push(emission(bank, s, ELECTRON as f32, direction));
            }
            bank.block[s] = numbers.next_block();
            self.collisions.push(Collision::new(s, bank.cell[s], deposit * bank.weight[s], Fate::Pair));
            self.ended.push(slot);
        }
    }

    /// Slots whose photon has ended take another of the same history, or the next history.
    #[inline(always)]
    fn end(&mut self) {
        self.finished.clear();
        for k in 0..self.ended.len() {
            let slot = self.ended[k];
            match self.stacks[slot as usize].pop() {
                Some(photon) => self.bank.place(slot as usize, &photon),
                None => self.finished.push(slot),
            }
        }
        for scorer in &mut self.scorers {
            scorer.finish(&self.bank, &self.finished);
        }
        for k in 0..self.finished.len() {
            self.refill(self.finished[k] as usize);
        }
    }

    /// Puts the next history into a slot, or empties it.
    #[inline(always)]
    fn refill(&mut self, slot: usize) {
        if self.histories.is_empty() {
            self.histories = self.supply.take();
        }
        let Some(history) = self.histories.next() else {
            self.bank.alive[slot] = 0;
            self.alive -= 1;
            return;
        };
        let mut numbers = Numbers::new(self.seed, history, 0);
        let particle = self.plan.problem.source.sample(&mut numbers);
        let bounds = self.plan.problem.geometry.bounds();
        let entry = bounds.enter(particle.position, particle.direction);
        let position = entry.unwrap_or_else(|| std::array::from_fn(|k| (particle.position[k] - bounds.low[k]) as f32));
        let direction = particle.direction.map(|u| u as f32);
        let (energy, weight) = (particle.energy, particle.weight);
        let (orders, start) = (Orders::default(), Start::Source);
        let bank = &mut self.bank;
        bank.place(slot, &Secondary { position, direction, energy, weight, orders, start, importance: 1.0 });
        bank.alive[slot] = if entry.is_some() { 1 } else { 2 };
        (bank.low[slot], bank.high[slot]) = (history as u32, (history >> 32) as u32);
        bank.block[slot] = numbers.next_block();
        for scorer in self.scorers.iter_mut().filter(|scorer| scorer.wants_births()) {
            scorer.births(&self.bank, slot as u32, &particle);
        }
    }
}

/// Replaces energies after scattering from electrons at rest by those from moving ones.
fn broaden(doppler: &[Doppler], seed: u64, bank: &Bank, scattered: &mut compton::Scattered) {
    for i in 0..scattered.n {
        let s = scattered.slot[i] as usize;
        let mut numbers = Numbers::new(seed, bank.history(s), scattered.block[i]);
        let electrons = &doppler[bank.material[s] as usize];
        scattered.ratio[i] = electrons.sample(bank.energy[s], scattered.versine[i], &mut numbers);
        scattered.block[i] = numbers.next_block();
    }
}

/// Material, density and cell at the ends of all flights.
#[inline(always)]
fn locate(geometry: &Geometry, bank: &mut Bank) {
    let Bank { x, y, z, material, density, cell, .. } = bank;
    match geometry {
        Geometry::Voxels(voxels) if voxels.homogeneous().is_some() => voxels.cells_at(x, y, z, cell),
        _ => geometry.locate(x, y, z, material, density, cell),
    }
}

/// A photon emitted where the one of `slot` collided.
fn emission(bank: &Bank, slot: usize, energy: f32, direction: [f32; 3]) -> Secondary {
    let mut orders = bank.orders[slot];
    orders.emission = orders.emission.saturating_add(1);
    Secondary { direction, energy, orders, start: Start::Emitted, ..bank.photon(slot) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::matter::{Kind, Material};
    use crate::process::tests::chi_square;
    use crate::tally::Dose;
    use crate::track::plan_tests::{cube, pencil, plan, water};
    use spinray_core::Job;
    use spinray_core::simd::Portable;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Follows a run of one worker with a scorer of the test's.
    pub fn follow<T: Scorer + 'static>(plan: &Plan, histories: u64, scorer: T) {
        let job = Job::new();
        let supply = Supply::new(0..histories, 1, &job);
        dispatch(Worker::new(plan, 11, &supply, vec![Box::new(scorer)]));
        assert_eq!(supply.done(), histories);
    }

    /// Deposits and escapes of each history.
    struct Balance {
        energy: f64,
        of_slot: Vec<f64>,
        finished: Rc<RefCell<u64>>,
    }

    impl Scorer for Balance {
        fn collisions(&mut self, _bank: &Bank, collisions: &[Collision]) {
            collisions.iter().for_each(|c| self.of_slot[c.slot as usize] += f64::from(c.deposit));
        }
        fn leaving(&mut self, bank: &Bank, slots: &[u32]) {
            slots.iter().for_each(|&s| self.of_slot[s as usize] += f64::from(bank.energy[s as usize]));
        }
        fn finish(&mut self, _bank: &Bank, slots: &[u32]) {
            for &slot in slots {
                let all = std::mem::take(&mut self.of_slot[slot as usize]);
                assert!((all / self.energy - 1.0).abs() < 1e-6, "{all} keV of {}", self.energy);
                *self.finished.borrow_mut() += 1;
            }
        }
    }

    #[test]
    fn every_history_deposits_or_loses_its_energy() {
        let lead = Material::new("lead", 11.34, vec![(82, 1.0)]).unwrap();
        for energy in [30.0, 100.0, 662.0, 3000.0] {
            let plan = plan(cube(10, 5.0, vec![water(), lead.clone()], |[z, _, _]| u8::from(z == 4)), pencil(energy));
            let finished = Rc::new(RefCell::new(0));
            let of_slot = vec![0.0; SLOTS];
            follow(&plan, 50_000, Balance { energy, of_slot, finished: finished.clone() });
            assert_eq!(*finished.borrow(), 50_000);
        }
    }

    #[test]
    fn what_scatters_to_below_1_kev_is_absorbed() {
        // Of photons of 1.001 keV, half of the Compton scatters in hydrogen, 0.6 % of all collisions, go below.
        let hydrogen = Material::new("hydrogen", 1.0, vec![(1, 1.0)]).unwrap();
        let plan = plan(cube(1, 100.0, vec![hydrogen], |_| 0), pencil(1.001));
        let (finished, of_slot) = (Rc::new(RefCell::new(0)), vec![0.0; SLOTS]);
        follow(&plan, 50_000, Balance { energy: 1.001, of_slot, finished: finished.clone() });
        assert_eq!(*finished.borrow(), 50_000);
    }

    /// 1 - cos of the first scatters.
    struct Versines(Rc<RefCell<Vec<f64>>>);

    impl Scorer for Versines {
        fn collisions(&mut self, bank: &Bank, collisions: &[Collision]) {
            let first = Orders { compton: 1, ..Orders::default() };
            for c in collisions.iter().filter(|c| c.process == Fate::Compton && bank.orders[c.slot as usize] == first) {
                self.0.borrow_mut().push(f64::from(bank.versine[c.slot as usize]));
            }
        }
    }

    #[test]
    fn every_material_scatters_by_its_own_function() {
        let lead = Material::new("lead", 11.34, vec![(82, 1.0)]).unwrap();
        let plan = plan(cube(1, 50.0, vec![water(), lead.clone()], |_| 1), pencil(150.0));
        let versines = Rc::new(RefCell::new(Vec::new()));
        follow(&plan, 400_000, Versines(versines.clone()));
        let density = |t: f64| {
            let eps = 1.0 / (1.0 + 150.0 / ELECTRON * t);
            let x = 150.0 / crate::HC * (0.5 * t).sqrt();
            eps * eps * (eps + 1.0 / eps - t * (2.0 - t)) * lead.incoherent(x)
        };
        let (chi2, limit) = chi_square(density, [0.0, 2.0], &versines.borrow());
        assert!(versines.borrow().len() > 10_000 && chi2 < limit, "chi-square {chi2} above {limit}");
    }

    /// Depths at which photons first do something.
    struct Depths {
        seen: Vec<bool>,
        depths: Rc<RefCell<Vec<f64>>>,
    }

    impl Scorer for Depths {
        fn collisions(&mut self, bank: &Bank, collisions: &[Collision]) {
            for collision in collisions {
                let s = collision.slot as usize;
                if !std::mem::replace(&mut self.seen[s], true) {
                    self.depths.borrow_mut().push(f64::from(bank.z[s]));
                }
            }
        }
        fn finish(&mut self, _bank: &Bank, slots: &[u32]) {
            slots.iter().for_each(|&s| self.seen[s as usize] = false);
        }
    }

    #[test]
    fn free_paths_are_exponential_in_layers_too() {
        let titanium = Material::new("titanium", 4.5, vec![(22, 1.0)]).unwrap();
        let n = 400_000;
        for (energy, layer) in [(15.0, 200), (60.0, 200), (60.0, 30), (1250.0, 30)] {
            let inside = |z: usize| (layer..layer + 3).contains(&z);
            // Elsewhere in the cube, titanium raises the majorant.
            let label = |[z, y, x]: [usize; 3]| u8::from(inside(z) || (x < 4 && y < 4 && z > 90));
            let plan = plan(cube(100, 2.0, vec![water(), titanium.clone()], label), pencil(energy));
            let depths = Rc::new(RefCell::new(Vec::new()));
            follow(&plan, n, Depths { seen: vec![false; SLOTS], depths: depths.clone() });
            let mu = [0, 1].map(|m| plan.materials()[m].attenuation(Kind::Total, energy));
            let thick = |z: f64| (z - 2.0 * layer as f64).clamp(0.0, 6.0);
            let at = |z: f64| if inside((z / 2.0) as usize) { mu[1] } else { mu[0] };
            let density = |z: f64| at(z) * (-mu[0] * (z - thick(z)) - mu[1] * thick(z)).exp();
            let (chi2, limit) = chi_square(density, [0.0, 200.0], &depths.borrow());
            assert!(chi2 < limit, "{energy} keV: chi-square {chi2} above {limit}");
            let through = 1.0 - depths.borrow().len() as f64 / n as f64;
            let expected = (-mu[0] * (200.0 - thick(200.0)) - mu[1] * thick(200.0)).exp();
            let sigma = (expected * (1.0 - expected) / n as f64).sqrt() + 3e-6;
            assert!((through - expected).abs() < 4.0 * sigma + 3e-4 * expected, "{energy}: {through}, {expected}");
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let bone = Material::new("bone", 1.9, vec![(1, 0.03), (6, 0.16), (8, 0.44), (15, 0.1), (20, 0.27)]).unwrap();
        let plan = plan(cube(20, 10.0, vec![water(), bone], |[z, y, _]| u8::from(z > 4 && y > 16)), pencil(1500.0));
        let [a, b] = [false, true].map(|portable| {
            let (job, dose) = (Job::new(), Dose::new(&plan));
            let supply = Supply::new(0..20_000, 1, &job);
            let worker = Worker::new(&plan, 11, &supply, vec![dose.scorer(&plan)]);
            if portable {
                // SAFETY: portable lanes run anywhere.
                unsafe { worker.run::<Portable<f32>>() };
            } else {
                dispatch(worker);
            }
            (dose.scores().sums(), dose.scores().squares())
        });
        assert_eq!(a, b);
    }
}
