//! Incoherent scattering from bound electrons, in the incoherent scattering function approximation.
//!
//! Distribution: with k = E/mc2 and eps = E'/E from eps0 = 1/(1 + 2k) to 1,
//!
//! ```text
//!     p(eps) ~ (1/eps + eps) (1 - eps sin2(theta)/(1 + eps^2)) S(x),    1 - cos(theta) = (1 - eps)/(k eps),
//! ```
//!
//! the Klein-Nishina cross section times S, the mixture's incoherent scattering function divided by its number of
//! electrons, x = sin(theta/2) E/hc. Method: composition and rejection (Nelson, Hirayama & Rogers 1985, "The EGS4 code
//! system", SLAC-265, section 2.9): eps from 1/eps or from eps, in proportion of their integrals ln(1/eps0) and
//! (1 - eps0^2)/2, kept with the probability of the two brackets that remain. A draw is kept with probability 0.6 to
//! 0.9 (less where S is small, far below 10 keV). All photons of a batch try at once; those refused close ranks and
//! try again. Every try takes one block of the history's numbers.
//!
//! Accuracy: single precision; S linear between nodes 2^-5 of an octave of x^2 apart (error below 2e-4).

use crate::random::{blocks, unit};
use crate::track::axis::TRANSFER;
use crate::track::bank::{Lanes, SLOTS, at};
use crate::track::math::{exp, ln};
use crate::{ELECTRON, HC};

/// S(x) of every material.
pub struct Compton {
    incoherent: Vec<[f32; 2]>,
}

/// Photons about to scatter, closed ranks: entries 0..n.
pub struct Batch {
    /// Number of photons.
    pub n: usize,
    /// Slot in the bank.
    pub slot: Lanes<u32>,
    /// Energy before, keV.
    pub energy: Lanes<f32>,
    /// Index of the material.
    pub material: Lanes<u32>,
    /// Next block of random numbers, and the history it belongs to.
    pub block: Lanes<u32>,
    /// Low half of the history's number.
    pub low: Lanes<u32>,
    /// High half of the history's number.
    pub high: Lanes<u32>,
    words: [Lanes<u32>; 4],
    ratio: Lanes<f32>,
    versine: Lanes<f32>,
    kept: Lanes<u32>,
    /// The photons that have scattered.
    pub scattered: Scattered,
}

/// How photons have scattered: entries 0..n, in no particular order.
pub struct Scattered {
    /// Number of photons.
    pub n: usize,
    /// Slot in the bank.
    pub slot: Lanes<u32>,
    /// Energy after over energy before.
    pub ratio: Lanes<f32>,
    /// 1 - cos(theta).
    pub versine: Lanes<f32>,
    /// Next unused block of random numbers.
    pub block: Lanes<u32>,
}

impl Default for Batch {
    fn default() -> Self {
        let (zeros, reals) = ([0; SLOTS], [0.0; SLOTS]);
        Self {
            n: 0,
            slot: zeros,
            energy: reals,
            material: zeros,
            block: zeros,
            low: zeros,
            high: zeros,
            words: [zeros; 4],
            ratio: reals,
            versine: reals,
            kept: zeros,
            scattered: Scattered { n: 0, slot: zeros, ratio: reals, versine: reals, block: zeros },
        }
    }
}

impl Compton {
    /// From S(x) of each material, x in 1/Angstrom, S between 0 and 1.
    pub fn new<S: Fn(f64) -> f64>(materials: impl Iterator<Item = S>) -> Self {
        Self { incoherent: materials.flat_map(|s| TRANSFER.tabulate(|square| s(square.sqrt()))).collect() }
    }

    /// Scatters all photons of the batch, into `batch.scattered`.
    #[inline(always)]
    pub fn sample(&self, key: [u32; 2], batch: &mut Batch) {
        batch.scattered.n = 0;
        while batch.n > 0 {
            blocks(key, &batch.block, &batch.low, &batch.high, batch.n, &mut batch.words);
            self.attempt(batch);
            batch.part();
        }
    }

    /// One draw for every photon of the batch.
    #[inline(always)]
    fn attempt(&self, batch: &mut Batch) {
        let Batch { n, energy, material, words, ratio, versine, kept, .. } = batch;
        let table = &self.incoherent[..];
        for i in 0..(*n).min(SLOTS) {
            let k = energy[i] * (1.0 / ELECTRON) as f32;
            let least = 1.0 / (1.0 + 2.0 * k);
            let (first, second) = (-ln(least), 0.5 * (1.0 - least * least));
            let inverse = exp(-first * unit(words[1][i]));
            let linear = (least * least + 2.0 * second * unit(words[1][i])).sqrt();
            let eps = if unit(words[0][i]) * (first + second) < first { inverse } else { linear };
            let eps = if eps > least { eps } else { least };
            let t = (1.0 - eps) / (k * eps);
            let t = if t < 2.0 { t } else { 2.0 };
            let square = energy[i] * energy[i] * t * (0.5 / (HC * HC)) as f32;
            let (at_interval, f) = TRANSFER.place(square);
            let s = at(table, material[i] as usize * TRANSFER.intervals() + at_interval);
            let keep = (1.0 - eps * t * (2.0 - t) / (1.0 + eps * eps)) * (s[0] + f * s[1]);
            ratio[i] = eps;
            versine[i] = t;
            kept[i] = u32::from(unit(words[2][i]) < keep);
        }
    }
}

impl Batch {
    /// Moves the photons that were kept over; the others close ranks for another try. Every photon is written to both
    /// ends, and the one that counts is moved on: which one cannot be foreseen.
    #[inline(always)]
    fn part(&mut self) {
        let out = &mut self.scattered;
        let mut left = 0;
        for i in 0..self.n.min(SLOTS) {
            let (to, block) = (out.n % SLOTS, self.block[i].wrapping_add(1));
            out.slot[to] = self.slot[i];
            out.ratio[to] = self.ratio[i];
            out.versine[to] = self.versine[i];
            out.block[to] = block;
            out.n += self.kept[i] as usize;
            self.slot[left] = self.slot[i];
            self.energy[left] = self.energy[i];
            self.material[left] = self.material[i];
            self.low[left] = self.low[i];
            self.high[left] = self.high[i];
            self.block[left] = block;
            left += 1 - self.kept[i] as usize;
        }
        self.n = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matter::Material;
    use crate::process::tests::chi_square;
    use crate::random::key;

    /// (energy after over before, 1 - cos) with a scattering function.
    fn sample(incoherent: &dyn Fn(f64) -> f64, energy: f32, batches: usize) -> Vec<(f64, f64)> {
        let nothing = |_: f64| 0.0;
        let table = [&nothing as &dyn Fn(f64) -> f64, incoherent];
        let compton = Compton::new(table.into_iter());
        let mut batch = Batch::default();
        let mut out = Vec::new();
        for k in 0..batches {
            batch.n = SLOTS;
            (batch.energy, batch.material, batch.block) = ([energy; SLOTS], [1; SLOTS], [0; SLOTS]);
            for i in 0..SLOTS {
                (batch.slot[i], batch.low[i]) = (i as u32, (k * SLOTS + i) as u32);
            }
            compton.sample(key(3), &mut batch);
            let scattered = &batch.scattered;
            let mut seen = [false; SLOTS];
            for i in 0..scattered.n {
                assert!(!std::mem::replace(&mut seen[scattered.slot[i] as usize], true));
                out.push((f64::from(scattered.ratio[i]), f64::from(scattered.versine[i])));
            }
        }
        assert_eq!(out.len(), batches * SLOTS);
        out
    }

    #[test]
    fn energies_and_angles_follow_klein_nishina_times_the_scattering_function() {
        let water = Material::new("water", 1.0, vec![(1, 0.111_898), (8, 0.888_102)]).unwrap();
        let lead = Material::new("lead", 11.34, vec![(82, 1.0)]).unwrap();
        for (material, energy) in [(&water, 8.0), (&water, 60.0), (&lead, 60.0), (&water, 511.0), (&lead, 2900.0)] {
            let k = energy / ELECTRON;
            let samples = sample(&|x| material.incoherent(x), energy as f32, 1600);
            for &(eps, versine) in &samples {
                assert!((eps * (1.0 + k * versine) - 1.0).abs() < 2e-6, "energy and angle belong together");
            }
            // In the cosine, as textbooks have it.
            let density = |cosine: f64| {
                let eps = 1.0 / (1.0 + k * (1.0 - cosine));
                let x = energy / HC * (0.5 * (1.0 - cosine)).sqrt();
                eps * eps * (eps + 1.0 / eps - (1.0 - cosine * cosine)) * material.incoherent(x)
            };
            let cosines: Vec<f64> = samples.iter().map(|s| 1.0 - s.1).collect();
            let (chi2, limit) = chi_square(density, [-1.0, 1.0], &cosines);
            assert!(chi2 < limit, "{} at {energy} keV: chi-square {chi2} above {limit}", material.name);
        }
    }

    #[test]
    fn free_electrons_scatter_as_klein_and_nishina_say_in_angle_and_in_energy() {
        for energy in [20.0, 140.0, 662.0, 2500.0] {
            let k = energy / ELECTRON;
            let samples = sample(&|_| 1.0, energy as f32, 1600);
            // d sigma / d Omega, and d sigma / d E': with eps = E'/E, d(cos) = d(eps) / (k eps^2).
            let of_angle = |cosine: f64| {
                let eps = 1.0 / (1.0 + k * (1.0 - cosine));
                eps * eps * (eps + 1.0 / eps - (1.0 - cosine * cosine))
            };
            let of_energy = |eps: f64| {
                let cosine = 1.0 - (1.0 / eps - 1.0) / k;
                eps + 1.0 / eps - (1.0 - cosine * cosine)
            };
            let cosines: Vec<f64> = samples.iter().map(|s| 1.0 - s.1).collect();
            let energies: Vec<f64> = samples.iter().map(|s| s.0).collect();
            let (of_cosines, limit) = chi_square(of_angle, [-1.0, 1.0], &cosines);
            let (of_energies, _) = chi_square(of_energy, [1.0 / (1.0 + 2.0 * k), 1.0], &energies);
            assert!(of_cosines < limit && of_energies < limit, "{energy} keV: chi-square {of_cosines}, {of_energies}");
        }
    }
}
