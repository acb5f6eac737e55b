//! One element: mass attenuation by process, form factor, incoherent scattering function and shells.

use super::curve::{Broken, Even};
pub use super::data::LARGEST_Z;
use super::data::{TABLE, TRANSFERS};
use super::pair;
use crate::E_MIN;

/// Avogadro's constant in mol / (barn cm2).
const AVOGADRO: f64 = 0.602_214_076;
/// How many shells may have a fluorescence photon of their own: K, L1, L2, L3.
pub const INNER: usize = 4;

/// A shell with its electrons.
#[derive(Clone, Debug)]
pub struct Shell {
    /// 0 = K, 1 = L1, 2 = L2, 3 = L3, 4 = M1, ...
    pub code: u8,
    /// Number of electrons.
    pub electrons: f64,
    /// Binding energy in keV.
    pub binding: f64,
    /// Compton profile J of one electron at `momenta()`; J(-p) = J(p), and the integral over all p is 1.
    pub profile: Vec<f64>,
}

/// What may fill a vacancy.
#[derive(Clone, Copy, Debug)]
pub struct Transition {
    /// For each vacancy of the shell.
    pub probability: f64,
    /// Of the photon in keV; 0 if an electron is emitted instead.
    pub energy: f64,
    /// Codes of the shells then vacant; others than K and L are not followed.
    pub vacant: [u8; 2],
}

/// K or an L shell that binds with more than 1 keV.
#[derive(Clone, Debug)]
pub struct Inner {
    /// 0 = K, 1 = L1, 2 = L2, 3 = L3.
    pub code: u8,
    /// Binding energy in keV.
    pub binding: f64,
    /// Photoelectric cross section over that of all shells that are not inner.
    pub(super) ratio: Even,
    /// Probabilities sum to less than 1 by those of what leaves nothing to follow.
    pub transitions: Vec<Transition>,
    /// Mean energy in keV of the fluorescence photons of a vacancy.
    pub radiated: f64,
}

/// One element.
#[derive(Clone, Debug)]
pub struct Element {
    /// Atomic number.
    pub z: u8,
    /// Atomic weight in g/mol.
    pub weight: f64,
    photo: Broken,
    compton: Even,
    rayleigh: Even,
    transfer: Even,
    form: Even,
    incoherent: Even,
    shells: Vec<Shell>,
    inner: Vec<Inner>,
}

/// The element of atomic number `z`, 1 to 98.
///
/// # Panics
/// If there is none.
pub fn element(z: u8) -> &'static Element {
    assert!((1..=LARGEST_Z).contains(&z), "no element {z}: atomic numbers go from 1 to {LARGEST_Z}");
    &TABLE.elements[usize::from(z) - 1]
}

/// Electron momenta in atomic units at which Compton profiles are tabulated, from 0 on.
pub fn momenta() -> &'static [f64] {
    &TABLE.momenta
}

impl Element {
    pub(super) fn new(
        z: u8,
        weight: f64,
        curves: [Even; 5],
        photo: Broken,
        shells: Vec<Shell>,
        inner: Vec<Inner>,
    ) -> Self {
        let [compton, rayleigh, transfer, form, incoherent] = curves;
        let mut element = Self { z, weight, photo, compton, rayleigh, transfer, form, incoherent, shells, inner };
        element.sum_radiated();
        element
    }

    /// From the outermost shell inwards: a transition radiates its photon and what the vacancies it leaves radiate.
    fn sum_radiated(&mut self) {
        for i in (0..self.inner.len()).rev() {
            let after = |code: u8| self.inner.iter().find(|s| s.code == code).map_or(0.0, |s| s.radiated);
            let mean = |t: &Transition| {
                let photon = if t.energy >= E_MIN { t.energy } else { 0.0 };
                t.probability * (photon + after(t.vacant[0]) + after(t.vacant[1]))
            };
            self.inner[i].radiated = self.inner[i].transitions.iter().map(mean).sum();
        }
    }

    /// Photoelectric effect, cm2/g.
    #[inline]
    pub fn photo(&self, energy: f64) -> f64 {
        self.photo.at(energy, energy.ln())
    }

    /// Compton scattering by bound electrons, cm2/g.
    #[inline]
    pub fn compton(&self, energy: f64) -> f64 {
        self.compton.at_log(energy.ln())
    }

    /// Mean fraction of the photon's energy that the Compton electron receives.
    #[inline]
    pub fn compton_transfer(&self, energy: f64) -> f64 {
        self.transfer.at_log(energy.ln())
    }

    /// Rayleigh scattering, cm2/g.
    #[inline]
    pub fn rayleigh(&self, energy: f64) -> f64 {
        self.rayleigh.at_log(energy.ln())
    }

    /// Production of pairs and triplets, cm2/g.
    #[inline]
    pub fn pair(&self, energy: f64) -> f64 {
        pair::cross_section(f64::from(self.z), energy) * AVOGADRO / self.weight
    }

    /// All four processes, cm2/g.
    #[inline]
    pub fn total(&self, energy: f64) -> f64 {
        let log = energy.ln();
        self.photo.at(energy, log) + self.compton.at_log(log) + self.rayleigh.at_log(log) + self.pair(energy)
    }

    /// Form factor F(x), Z at x = 0. It gives the shape of Rayleigh scattering, not its cross section: see
    /// [`crate::matter`].
    #[inline]
    pub fn form_factor(&self, x: f64) -> f64 {
        self.form.at_log(x.max(TRANSFERS.0).ln())
    }

    /// Incoherent scattering function S(x) / Z, from 0 at x = 0 to 1.
    #[inline]
    pub fn incoherent(&self, x: f64) -> f64 {
        // S grows from 0 as the square of x.
        let below = (x / TRANSFERS.0).min(1.0);
        self.incoherent.at_log(x.max(TRANSFERS.0).ln()) * below * below
    }

    /// Absorption edges within 1 keV to 3 MeV, in keV, in order.
    pub fn edges(&self) -> impl Iterator<Item = f64> {
        self.photo.jumps()
    }

    /// Occupied shells from K outwards.
    pub fn shells(&self) -> &[Shell] {
        &self.shells
    }

    /// Those of K, L1, L2 and L3 that bind with more than 1 keV.
    pub fn inner(&self) -> &[Inner] {
        &self.inner
    }

    /// The share of each of `inner()` in the photoelectric effect; the rest of 1 is that of the other shells.
    pub fn photo_shares(&self, energy: f64) -> [f64; INNER] {
        let mut shares = [0.0; INNER];
        let log = energy.ln();
        for (share, shell) in shares.iter_mut().zip(&self.inner) {
            *share = if energy >= shell.binding { shell.ratio.at_log(log) } else { 0.0 };
        }
        let total = 1.0 + shares.iter().sum::<f64>();
        shares.map(|share| share / total)
    }

    /// Mean energy in keV of the fluorescence photons that follow the photoelectric effect.
    pub fn mean_fluorescence(&self, energy: f64) -> f64 {
        self.photo_shares(energy).iter().zip(&self.inner).map(|(share, shell)| share * shell.radiated).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HC;

    #[test]
    fn edges_are_exact() {
        let iodine = element(53);
        let edge = iodine.edges().last().unwrap();
        assert!((edge - 33.1694).abs() < 1e-5);
        // Of EPDL97, either side of the edge.
        let (below, above) = (iodine.photo(33.169), iodine.photo(33.170));
        assert!((below - 5.81).abs() < 0.02 && (above - 35.08).abs() < 0.05, "{below} {above}");
        assert!((iodine.photo(edge) / iodine.photo(edge * (1.0 + 1e-9)) - 1.0).abs() < 1e-8);
        assert!(iodine.photo(edge) > 6.0 * iodine.photo(edge * (1.0 - 1e-12)));
    }

    #[test]
    fn electrons_and_profiles_are_counted() {
        for z in 1..=LARGEST_Z {
            let atom = element(z);
            let electrons: f64 = atom.shells().iter().map(|shell| shell.electrons).sum();
            assert!((electrons / f64::from(z) - 1.0).abs() < 1e-5, "Z = {z}: {electrons} electrons");
            assert_eq!(atom.shells()[0].electrons.round(), f64::from(z.min(2)), "K shell of Z = {z}");
            for shell in atom.shells() {
                let areas =
                    momenta().windows(2).zip(shell.profile.windows(2)).map(|(p, j)| (p[1] - p[0]) * (j[0] + j[1]));
                assert!((areas.sum::<f64>() - 1.0).abs() < 1e-5, "Z = {z}, shell {}", shell.code);
            }
        }
    }

    /// Integral of |F|² times Thomson's formula, by the substitution u = 1 - cos(theta), barn per atom.
    fn thomson_with_form_factor(atom: &Element, energy: f64) -> f64 {
        let steps = 200_000;
        let sum: f64 = (0..steps)
            .map(|i| {
                // Nodes where F varies: u = 2 t^4.
                let t = (f64::from(i) + 0.5) / f64::from(steps);
                let u = 2.0 * t.powi(4);
                let f = atom.form_factor(energy / HC * (u / 2.0).sqrt());
                (1.0 + (1.0 - u).powi(2)) / 2.0 * f * f * 8.0 * t.powi(3) / f64::from(steps)
            })
            .sum();
        2.0 * std::f64::consts::PI * 0.079_407_9 * sum
    }

    #[test]
    fn the_rayleigh_cross_section_is_the_integral_of_the_form_factor() {
        // EPDL97's cross sections are from relativistic form factors, which are larger in heavy atoms than xraylib's F.
        for (z, energy, tolerance) in
            [(1, 20.0, 3e-3), (8, 30.0, 5e-3), (20, 60.0, 0.01), (53, 60.0, 0.04), (82, 50.0, 0.06)]
        {
            let atom = element(z);
            let ratio = atom.rayleigh(energy) / (thomson_with_form_factor(atom, energy) * AVOGADRO / atom.weight);
            assert!((ratio - 1.0).abs() < tolerance, "Z = {z} at {energy} keV: {ratio}");
        }
    }

    /// Klein-Nishina times S, barn per atom, and the mean fraction transferred.
    fn klein_nishina(atom: &Element, energy: f64) -> (f64, f64) {
        let (steps, k) = (100_000, energy / crate::ELECTRON);
        let (mut sum, mut moved) = (0.0, 0.0);
        for i in 0..steps {
            let t = (f64::from(i) + 0.5) / f64::from(steps);
            let u = 2.0 * t.powi(4);
            let p = 1.0 / (1.0 + k * u);
            let s = atom.incoherent(energy / HC * (u / 2.0).sqrt());
            let weight = 0.5 * p * p * (p + 1.0 / p - 1.0 + (1.0 - u).powi(2)) * s * 8.0 * t.powi(3) / f64::from(steps);
            sum += weight;
            moved += weight * (1.0 - p);
        }
        (2.0 * std::f64::consts::PI * 0.079_407_9 * sum * f64::from(atom.z), moved / sum)
    }

    #[test]
    fn the_compton_cross_section_is_the_integral_of_klein_nishina_times_s() {
        for (z, energy) in [(1, 10.0), (8, 30.0), (20, 60.0), (53, 150.0), (82, 500.0), (82, 2500.0)] {
            let atom = element(z);
            let (barn, fraction) = klein_nishina(atom, energy);
            let ratio = atom.compton(energy) / (barn * AVOGADRO / atom.weight);
            assert!((ratio - 1.0).abs() < 5e-3, "Z = {z} at {energy} keV: {ratio}");
            assert!((atom.compton_transfer(energy) / fraction - 1.0).abs() < 1e-3, "Z = {z} at {energy} keV");
        }
    }

    #[test]
    fn shares_of_shells_follow_the_jumps() {
        let lead = element(82);
        assert_eq!(lead.inner().len(), 4);
        let edge = lead.inner()[0].binding;
        let share = lead.photo_shares(edge * 1.001)[0];
        let jump = lead.photo(edge * 1.0001) / lead.photo(edge * 0.9999);
        assert!((share - (1.0 - 1.0 / jump)).abs() < 0.02, "{share} {jump}");
        assert_eq!(lead.photo_shares(edge * 0.999)[0], 0.0);
        // Kissel 2000, "RTAB: the Rayleigh scattering database", photoelectric part, as in xraylib.
        let published = [
            (82, 50.0, [0.0, 0.2927, 0.2234, 0.2492]),
            (82, 150.0, [0.8056, 0.0857, 0.0348, 0.0296]),
            (53, 60.0, [0.8525, 0.0777, 0.0173, 0.0239]),
            (29, 30.0, [0.8930, 0.0742, 0.0, 0.0]),
        ];
        for (z, energy, expected) in published {
            for (share, expected) in element(z).photo_shares(energy).into_iter().zip(expected) {
                assert!((share - expected).abs() < 1.5e-3, "Z = {z} at {energy} keV: {share}, {expected} published");
            }
        }
        assert!(element(8).inner().is_empty());
    }
}
