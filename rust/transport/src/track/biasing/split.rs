//! Splitting and Russian roulette by importance: many light photons where it matters, few heavy ones elsewhere.
//!
//! A photon that comes from importance a to b becomes n photons of a/b times its weight, where n = floor(b/a + u): b/a on
//! average, so that the weight stays what it is on average. Where b < a this is roulette. Flights are cut where importance
//! changes, which is exact, since flights forget; photons are split after what they do at the end of a flight, and so are
//! those that they emit there. Photons of the source begin with the importance of their place, unsplit.
//!
//! Changes by less than a factor of sqrt 2 wait until they have grown to it, so that smooth maps do not cut flights at
//! every voxel; a photon is split into 16 at once at the most, and further at the ends of its next flights, so that stacks
//! stay short. Reference: Lux & Koblinger 1991, "Monte Carlo particle transport methods: neutron and photon
//! calculations", section 6.III.

use super::Stage;
use crate::random::{Numbers, Uniform};
use crate::track::bank::{Bank, Fate, SLOTS, Secondary, Start};
use crate::track::stages::Sorted;

/// A change of importance that matters.
const CHANGE: f32 = std::f32::consts::SQRT_2;
/// The most photons that one is split into at once.
const MOST: f32 = 16.0;

fn changes(from: f32, to: f32) -> bool {
    to >= CHANGE * from || from >= CHANGE * to
}

impl Stage<'_> {
    /// Ends a flight where importance changes.
    pub(super) fn cut(&mut self, bank: &mut Bank, s: usize) {
        if self.bias.importance.is_empty() {
            return;
        }
        self.meet(bank, s, bank.path[s]);
        let Some(first) = self.ray.pieces.first() else {
            // It is on its way out, at a face of the bounds.
            self.ahead[s] = bank.importance[s];
            return;
        };
        if bank.start[s] == Start::Source {
            bank.importance[s] = first.importance;
        }
        let mine = bank.importance[s];
        // A photon at a face may be on either side of it by rounding.
        let slack = f64::from(self.plan.regions.slack.iter().copied().fold(0.0, f32::max));
        let mut from = 0.0;
        for piece in &self.ray.pieces {
            if from > slack && changes(mine, piece.importance) {
                (bank.path[s], bank.fate[s], bank.majorant[s]) = (from as f32, Fate::Virtual as u32, f32::INFINITY);
                self.ahead[s] = piece.importance;
                return;
            }
            from = piece.end;
        }
        self.ahead[s] = self.ray.pieces[self.ray.pieces.len() - 1].importance;
    }

    /// Before collisions: how many photons wait where others may be emitted.
    pub fn before(&mut self, sorted: &Sorted, stacks: &[Vec<Secondary>]) {
        if self.bias.importance.is_empty() {
            return;
        }
        self.emitters.clear();
        for fate in [Fate::Photoelectric, Fate::Pair] {
            self.emitters.extend(sorted.of(fate).iter().map(|&slot| (slot, stacks[slot as usize].len())));
        }
    }

    /// After collisions, with the new directions: photons whose importance has changed are split or play roulette.
    pub fn after(&mut self, bank: &mut Bank, stacks: &mut [Vec<Secondary>], ended: &mut Vec<u32>, seed: u64) {
        if self.bias.importance.is_empty() {
            return;
        }
        for &(slot, before) in &self.emitters {
            let s = slot as usize;
            for photon in stacks[s].split_off(before) {
                self.share(bank, s, photon, seed, &mut stacks[s]);
            }
        }
        for &slot in ended.iter() {
            self.ahead[slot as usize] = bank.importance[slot as usize];
        }
        let alive = bank.alive;
        for s in (0..SLOTS).filter(|&s| alive[s] == 1) {
            if changes(bank.importance[s], self.ahead[s]) {
                let waiting = stacks[s].len();
                self.share(bank, s, bank.photon(s), seed, &mut stacks[s]);
                if stacks[s].len() == waiting {
                    ended.push(s as u32);
                } else if let Some(photon) = stacks[s].pop() {
                    bank.place(s, &photon);
                }
            }
        }
    }

    /// Adds as many copies of a photon to the stack as become of it at the end of a slot's flight.
    fn share(&self, bank: &mut Bank, s: usize, photon: Secondary, seed: u64, stack: &mut Vec<Secondary>) {
        if !changes(photon.importance, self.ahead[s]) {
            return stack.push(photon);
        }
        let ratio = (self.ahead[s] / photon.importance).min(MOST);
        let mut numbers = Numbers::new(seed, bank.history(s), bank.block[s]);
        let count = (f64::from(ratio) + numbers.uniform()).floor() as usize;
        bank.block[s] = numbers.next_block();
        let shared = Secondary { weight: photon.weight / ratio, importance: photon.importance * ratio, ..photon };
        stack.extend(std::iter::repeat_n(shared, count));
    }
}
