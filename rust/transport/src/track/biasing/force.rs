//! Forced collisions: every photon of the source that meets matter collides in it, however thin it is.
//!
//! A photon of weight w whose ray has an optical depth T to the end of the bounds is two: one of weight w exp(-T), which
//! leaves straight on, and one of weight w (1 - exp(-T)), whose collision lies at an optical depth t of the density
//!
//! ```text
//!     p(t) = exp(-t) / (1 - exp(-T)),   0 < t < T,       t = -ln(1 - u (1 - exp(-T))).
//! ```
//!
//! Both fly, and are scored, as any other; together they weigh w at the source, and w exp(-t) at each depth on average.
//! Later flights are analogue. Accuracy: attenuation of every piece of the ray times its length, in double precision;
//! where rounding puts the collision into a vacuum beside, the photon flies on. Reference: Lux & Koblinger 1991, "Monte
//! Carlo particle transport methods: neutron and photon calculations", section 6.II.

use super::Stage;
use crate::random::unit;
use crate::track::axis::ENERGY;
use crate::track::bank::{Bank, Fate, Secondary, Start};
use crate::track::stages::exit;

/// Optical depths worth the trouble: less is nothing, and of more nearly all photons collide by nature.
const DEPTHS: std::ops::Range<f64> = 1e-12..3.0;

impl Stage<'_> {
    /// Parts a photon of the source: one part goes through in this flight, the other waits for the next.
    pub(super) fn force(&mut self, bank: &mut Bank, stack: &mut Vec<Secondary>, s: usize) {
        let edges = self.plan.problem().geometry.bounds().edges();
        let (p, d) = (bank.position(s), bank.direction(s));
        let out = (0..3).fold(f32::INFINITY, |out, k| exit(0.0, edges[k], p[k], d[k], out));
        self.meet(bank, s, out);
        let all = self.ray.depth();
        if !DEPTHS.contains(&all) {
            return self.cut(bank, s);
        }
        let collides = -(-all).exp_m1();
        let depth = -(-f64::from(unit(bank.words[0][s])) * collides).ln_1p();
        let i = self.ray.pieces.partition_point(|piece| piece.depth < depth).min(self.ray.pieces.len() - 1);
        let (piece, before) = (self.ray.pieces[i], i.checked_sub(1).map(|i| self.ray.pieces[i]));
        let (start, above) = before.map_or((0.0, 0.0), |before| (before.end, before.depth));
        self.place[s] = (start + (depth - above) / (piece.depth - above) * (piece.end - start)) as f32;
        self.ahead[s] = piece.importance;
        bank.importance[s] = self.ray.pieces[0].importance;
        let weight = f64::from(bank.weight[s]);
        stack.push(Secondary { weight: (weight * collides) as f32, start: Start::Collides, ..bank.photon(s) });
        bank.weight[s] = (weight * (-all).exp()) as f32;
        (bank.start[s], bank.path[s], bank.fate[s]) = (Start::Through, out, Fate::Leaves as u32);
    }

    /// Sends the part that collides to where it does.
    pub(super) fn aim(&mut self, bank: &mut Bank, s: usize) {
        (bank.path[s], bank.fate[s]) = (self.place[s], Fate::Virtual as u32);
        self.forced.push(s as u32);
    }

    /// Before collisions are decided: those that are forced are real.
    pub fn collisions(&self, bank: &mut Bank) {
        for &slot in &self.forced {
            let s = slot as usize;
            let (k, f) = ENERGY.place(bank.energy[s]);
            let attenuation = bank.density[s] * self.plan.attenuation.at(bank.material[s], k, f)[3];
            // Less by a rounding, so that what is drawn is less for certain.
            bank.majorant[s] = attenuation * (1.0 - 2.0 * f32::EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::matter::{Kind, Material};
    use crate::process::tests::chi_square;
    use crate::tally::{Collision, Scorer};
    use crate::track::Biasing;
    use crate::track::bank::{Bank, SLOTS};
    use crate::track::plan_tests::{cube, pencil, plan, water};
    use crate::track::worker::tests::follow;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Depths and weights of first collisions, and energy of each history.
    struct First {
        energy: f64,
        seen: Vec<bool>,
        balance: Vec<f64>,
        found: Rc<RefCell<Vec<(f64, f64)>>>,
    }

    impl Scorer for First {
        fn collisions(&mut self, bank: &Bank, collisions: &[Collision]) {
            for collision in collisions {
                let s = collision.slot as usize;
                self.balance[s] += f64::from(collision.deposit);
                if !std::mem::replace(&mut self.seen[s], true) {
                    self.found.borrow_mut().push((f64::from(bank.z[s]), f64::from(bank.weight[s])));
                }
            }
        }
        fn leaving(&mut self, bank: &Bank, slots: &[u32]) {
            for s in slots.iter().map(|&slot| slot as usize) {
                self.balance[s] += f64::from(bank.energy[s] * bank.weight[s]);
            }
        }
        fn finish(&mut self, _bank: &Bank, slots: &[u32]) {
            for s in slots.iter().map(|&slot| slot as usize) {
                assert!(std::mem::replace(&mut self.seen[s], false), "every history collides");
                let all = std::mem::take(&mut self.balance[s]);
                assert!((all / self.energy - 1.0).abs() < 1e-6, "{all} keV of {}", self.energy);
            }
        }
    }

    #[test]
    fn every_history_collides_with_the_density_and_the_weight_of_the_law_of_attenuation() {
        let titanium = Material::new("titanium", 4.5, vec![(22, 1.0)]).unwrap();
        let n = 200_000;
        for (energy, spacing) in [(60.0, 0.02), (1250.0, 0.5), (30.0, 2.0)] {
            let inside = |z: f64| (30.0..33.0).contains(&(z / spacing));
            let label = |[z, _, _]: [usize; 3]| u8::from(inside(spacing * (z as f64 + 0.5)));
            let plan = plan(cube(100, spacing, vec![water(), titanium.clone()], label), pencil(energy));
            let mu = [0, 1].map(|m| plan.materials()[m].attenuation(Kind::Total, energy));
            let plan = plan.biased(Biasing { force: true, importance: None }).unwrap();
            let found = Rc::new(RefCell::new(Vec::new()));
            let (seen, balance) = (vec![false; SLOTS], vec![0.0; SLOTS]);
            follow(&plan, n, First { energy, seen, balance, found: found.clone() });
            let thick = |z: f64| (z - 30.0 * spacing).clamp(0.0, 3.0 * spacing);
            let depth = |z: f64| mu[0] * (z - thick(z)) + mu[1] * thick(z);
            let density = |z: f64| mu[usize::from(inside(z))] * (-depth(z)).exp();
            let depths: Vec<f64> = found.borrow().iter().map(|first| first.0).collect();
            let (chi2, limit) = chi_square(density, [0.0, 100.0 * spacing], &depths);
            assert!(chi2 < limit, "{energy} keV: chi-square {chi2} above {limit}");
            let expected = -(-depth(100.0 * spacing)).exp_m1();
            // Attenuation in tables is within 0.05 %.
            assert!(found.borrow().iter().all(|first| (first.1 / expected - 1.0).abs() < 6e-4), "{energy}: {expected}");
        }
    }
}
