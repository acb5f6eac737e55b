//! Pair production, as far as photons see it.
//!
//! The kinetic energy E - 2 mc2 of electron and positron is deposited on the spot, where the positron also annihilates
//! at rest: two photons of mc2 leave back to back in a uniform direction. Neglected: the range of both, annihilation
//! in flight, the recoil of an electron in triplet production (which carries mc2 at the most).

use super::isotropic;
use crate::ELECTRON;
use crate::random::Uniform;

/// The energy a photon of `energy` keV deposits, and the directions of the two annihilation photons.
pub fn sample(energy: f32, random: &mut impl Uniform) -> (f32, [[f32; 3]; 2]) {
    let direction = isotropic(random);
    ((energy - (2.0 * ELECTRON) as f32).max(0.0), [direction, direction.map(|x| -x)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Numbers;

    #[test]
    fn two_photons_leave_back_to_back_and_evenly_and_the_rest_stays() {
        let n = 100_000;
        let (mut mean, mut square) = ([0.0f64; 3], [0.0f64; 3]);
        for history in 0..n {
            let (deposit, [one, other]) = sample(1500.0, &mut Numbers::new(4, history, 0));
            assert!((f64::from(deposit) + 2.0 * ELECTRON - 1500.0).abs() < 1e-4);
            let [one, other] = [one, other].map(|d| d.map(f64::from));
            assert!((0..3).all(|k| one[k] == -other[k]));
            assert!((one.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-6);
            for k in 0..3 {
                mean[k] += one[k] / n as f64;
                square[k] += one[k] * one[k] / n as f64;
            }
        }
        let noise = 4.0 / (n as f64).sqrt();
        assert!(mean.iter().all(|x| x.abs() < noise) && square.iter().all(|x| (x - 1.0 / 3.0).abs() < noise));
    }
}
