//! Doppler broadening of Compton scattering: the impulse approximation.
//!
//! Distribution: at an angle drawn with the incoherent scattering function, the photon meets an electron of shell i
//! whose momentum along the transfer, pz, has the Compton profile J_i. With t = (pz / mc)^2, tau = 1 + k (1 - c) and
//! k = E / mc2, the energy kept, e = E'/E, solves
//!
//! ```text
//!     pz / mc = (e tau - 1) / sqrt(1 + e^2 - 2 e c),
//!     e = (tau - t c + sign(pz) sqrt((tau - t c)^2 - (tau^2 - t)(1 - t))) / (tau^2 - t),
//! ```
//!
//! and an electron bound by U takes part only if E - E' >= U, that is pz below a most (Ribberfors & Berggren 1982,
//! Phys. Rev. A 26, 3325; Brusa et al. 1996, NIM A 379, 167). Method: shell by its number of electrons in the mixture,
//! pz by inversion of the integral of J_i, both drawn again if pz is beyond the most. Neglected: the change of the
//! angular distribution (it is that of S), the vacancy's fluorescence (its energy is deposited).
//!
//! Accuracy: pz uniform between tabulated momenta, with the integral of an exponential through the two J_i (straight
//! lines would widen the profile of lead by 4 %); the median of |pz| within 0.5 % up to copper, 1.5 % in lead.

use crate::ELECTRON;
use crate::matter::element::momenta;
use crate::matter::{Material, element};
use crate::random::Uniform;

/// mc in atomic units of momentum: one over the fine-structure constant (CODATA 2018).
const MC: f64 = 137.035_999;
/// Draws after which an electron is taken to be free and at rest.
const TRIES: usize = 10_000;

/// The electrons of a mixture.
pub struct Doppler {
    shells: Vec<Bound>,
}

struct Bound {
    /// Share of the electrons in this shell and those before it.
    share: f64,
    binding: f64,
    /// Integral of the profile from 0 to each momentum, 1 at the last.
    integral: Vec<f64>,
}

impl Doppler {
    /// Of a mixture.
    pub fn new(material: &Material) -> Self {
        let mut sum = 0.0;
        let mut shells = Vec::new();
        for &(z, fraction) in &material.parts {
            let element = element(z);
            for shell in element.shells() {
                sum += fraction / element.weight * shell.electrons;
                shells.push(Bound { share: sum, binding: shell.binding, integral: integral(&shell.profile) });
            }
        }
        shells.iter_mut().for_each(|shell| shell.share /= sum);
        Self { shells }
    }

    /// The energy kept by a photon of `energy` keV, as a fraction, at 1 - cos(theta) = `versine`.
    pub fn sample(&self, energy: f32, versine: f32, random: &mut impl Uniform) -> f32 {
        let (energy, versine) = (f64::from(energy), f64::from(versine));
        for _ in 0..TRIES {
            let share = random.uniform();
            let i = self.shells.partition_point(|shell| shell.share < share).min(self.shells.len() - 1);
            let shell = &self.shells[i];
            let signed = 2.0 * random.uniform() - 1.0;
            let momentum = invert(&shell.integral, signed.abs()).copysign(signed) / MC;
            if energy > shell.binding && momentum < momentum_of(energy, versine, 1.0 - shell.binding / energy) {
                return kept(energy, versine, momentum) as f32;
            }
        }
        (1.0 / (1.0 + energy / ELECTRON * versine)) as f32
    }
}

/// pz / mc of an electron that leaves the photon the fraction e.
fn momentum_of(energy: f64, versine: f64, e: f64) -> f64 {
    let transfer = ((1.0 - e).powi(2) + 2.0 * e * versine).sqrt();
    (e * (1.0 + energy / ELECTRON * versine) - 1.0) / transfer
}

/// The fraction that an electron of pz / mc leaves the photon.
fn kept(energy: f64, versine: f64, momentum: f64) -> f64 {
    let (tau, cosine, t) = (1.0 + energy / ELECTRON * versine, 1.0 - versine, momentum * momentum);
    let half = tau - t * cosine;
    let root = (half * half - (tau * tau - t) * (1.0 - t)).max(0.0).sqrt();
    ((half + root.copysign(momentum)) / (tau * tau - t)).clamp(0.0, 1.0)
}

/// The mean of an exponential between its ends.
fn between(first: f64, last: f64) -> f64 {
    let steep = (first / last).ln();
    if steep.is_finite() && steep.abs() > 1e-4 { (first - last) / steep } else { 0.5 * (first + last) }
}

/// Exponential between the momenta, scaled to end with 1.
fn integral(profile: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0];
    for (p, j) in momenta().windows(2).zip(profile.windows(2)) {
        sums.push(sums[sums.len() - 1] + between(j[0], j[1]) * (p[1] - p[0]));
    }
    let all = sums[sums.len() - 1];
    sums.iter().map(|s| s / all).collect()
}

fn invert(integral: &[f64], share: f64) -> f64 {
    let k = integral.partition_point(|&s| s <= share).clamp(1, integral.len() - 1);
    let (low, high) = (integral[k - 1], integral[k]);
    let f = if high > low { (share - low) / (high - low) } else { 0.0 };
    momenta()[k - 1] + f * (momenta()[k] - momenta()[k - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::tests::chi_square;
    use crate::random::Numbers;

    #[test]
    fn energies_at_an_angle_follow_the_profiles_of_the_shells() {
        let silicon = Material::new("Si", 2.33, vec![(14, 1.0)]).unwrap();
        let doppler = Doppler::new(&silicon);
        for (energy, versine) in [(20.0, 1.0), (60.0, 1.9), (300.0, 0.5)] {
            let draw = |h: u64| f64::from(doppler.sample(energy as f32, versine as f32, &mut Numbers::new(3, h, 0)));
            let samples: Vec<f64> = (0..200_000).map(draw).collect();
            let shells = element(14).shells();
            let density = |e: f64| {
                let of = |e: f64| momentum_of(energy, versine, e);
                let (p, slope) = (of(e).abs() * MC, (of(e + 1e-6) - of(e - 1e-6)) / 2e-6);
                let k = momenta().partition_point(|&m| m <= p).clamp(1, momenta().len() - 1);
                // The density that `invert` stands for: constant between momenta.
                let profile =
                    |j: &[f64]| if p > momenta()[momenta().len() - 1] { 0.0 } else { between(j[k - 1], j[k]) };
                let area = |j: &[f64]| {
                    momenta()
                        .windows(2)
                        .zip(j.windows(2))
                        .map(|(p, j)| between(j[0], j[1]) * (p[1] - p[0]))
                        .sum::<f64>()
                };
                let takes_part = shells.iter().filter(|s| energy * (1.0 - e) >= s.binding);
                takes_part.map(|s| s.electrons * profile(&s.profile) / area(&s.profile)).sum::<f64>() * slope
            };
            let (chi2, limit) = chi_square(density, [0.0, 1.0], &samples);
            assert!(chi2 < limit, "{energy} keV: chi-square {chi2} above {limit}");
        }
    }

    #[test]
    fn momentum_and_energy_are_inverse_to_each_other() {
        for energy in [5.0, 60.0, 3000.0] {
            for versine in [1e-3, 0.3, 1.0, 2.0] {
                for e in [0.05, 0.5, 0.9, 0.999] {
                    let again = kept(energy, versine, momentum_of(energy, versine, e));
                    assert!((again - e).abs() < 1e-7, "{energy} {versine} {e} {again}");
                }
                let rest = 1.0 / (1.0 + energy / ELECTRON * versine);
                assert!((kept(energy, versine, 0.0) - rest).abs() < 1e-9);
            }
        }
    }
}
