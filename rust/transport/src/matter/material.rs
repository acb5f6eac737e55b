//! Mixtures: mass attenuation as the sum over elements, energy transfer and energy absorption.
//!
//!   mu_tr / rho = (1 - X/E) tau + f sigma + (1 - 2mc²/E) kappa
//!
//! with the mean fluorescence energy X of a photoelectric event, the mean fraction f of the energy that the Compton
//! electron receives (Klein-Nishina times S, integrated), and kinetic energies only in pairs. mu_en takes from each
//! term the part that its electrons radiate (see `radiative`); positrons count as electrons. Fluorescence after Compton
//! scattering is left in (0.4 % of mu_tr of lead at 1 MeV).

use super::data::LARGEST_Z;
use super::element::{Element, element};
use super::radiative::Slowing;
use crate::ELECTRON;
use spinray_core::{Error, Result};

/// A process, or a sum of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All four processes.
    Total,
    /// Photoelectric effect.
    Photo,
    /// Compton (incoherent) scattering.
    Compton,
    /// Rayleigh (coherent) scattering.
    Rayleigh,
    /// Pair and triplet production.
    Pair,
    /// Energy given to electrons, mu_tr.
    EnergyTransfer,
    /// The same less what they radiate, mu_en.
    EnergyAbsorption,
}

/// A mixture of elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Material {
    /// As given.
    pub name: String,
    /// g/cm3
    pub density: f64,
    /// Atomic number and fraction by weight; fractions sum to 1.
    pub parts: Vec<(u8, f64)>,
}

/// How far from 1 fractions may sum, as published ones do that are rounded; they are then scaled.
const ROUNDING: f64 = 0.01;

impl Material {
    /// Checked; fractions that sum to 1 within 1 % are scaled to do so.
    pub fn new(name: impl Into<String>, density: f64, parts: Vec<(u8, f64)>) -> Result<Self> {
        if !(density > 0.0 && density.is_finite()) {
            return Err(Error::invalid("density", format!("expected a positive number of g/cm3, got {density}")));
        }
        for &(z, fraction) in &parts {
            if !(1..=LARGEST_Z).contains(&z) {
                return Err(Error::invalid("parts", format!("expected atomic numbers 1 to {LARGEST_Z}, got {z}")));
            }
            if !(fraction >= 0.0 && fraction.is_finite()) {
                return Err(Error::invalid("parts", format!("expected fractions by weight >= 0, got {fraction}")));
            }
        }
        let sum: f64 = parts.iter().map(|part| part.1).sum();
        if (sum - 1.0).abs() > ROUNDING {
            return Err(Error::invalid("parts", format!("expected fractions by weight that sum to 1, got {sum}")));
        }
        let parts = parts.into_iter().filter(|part| part.1 > 0.0).map(|(z, fraction)| (z, fraction / sum)).collect();
        Ok(Self { name: name.into(), density, parts })
    }

    fn elements(&self) -> impl Iterator<Item = (&'static Element, f64)> {
        self.parts.iter().map(|&(z, fraction)| (element(z), fraction))
    }

    fn sum(&self, term: impl Fn(&Element) -> f64) -> f64 {
        self.elements().map(|(element, fraction)| fraction * term(element)).sum()
    }

    /// Mass attenuation coefficient in cm2/g at an energy in keV, 1 to 3000.
    pub fn mass_attenuation(&self, kind: Kind, energy: f64) -> f64 {
        match kind {
            Kind::Photo => self.sum(|e| e.photo(energy)),
            Kind::Compton => self.sum(|e| e.compton(energy)),
            Kind::Rayleigh => self.sum(|e| e.rayleigh(energy)),
            Kind::Pair => self.sum(|e| e.pair(energy)),
            Kind::Total => self.sum(|e| e.total(energy)),
            Kind::EnergyTransfer => self.transfers(energy).iter().map(|term| term.0).sum(),
            Kind::EnergyAbsorption => {
                let slowing = Slowing::new(self.elements().map(|(e, fraction)| (f64::from(e.z), e.weight, fraction)));
                self.transfers(energy).iter().map(|(term, electron)| term * (1.0 - slowing.radiated(*electron))).sum()
            }
        }
    }

    /// Linear attenuation coefficient in 1/mm.
    pub fn attenuation(&self, kind: Kind, energy: f64) -> f64 {
        self.mass_attenuation(kind, energy) * self.density / 10.0
    }

    /// Energy transfer by process in cm2/g, with the energy of an electron that stands for all of it: Compton electrons
    /// and those of pairs are spread about evenly from 0, so that their mean by energy is 4/3 of their mean.
    fn transfers(&self, energy: f64) -> [(f64, f64); 3] {
        let photo = self.sum(|e| e.photo(energy) * (1.0 - e.mean_fluorescence(energy) / energy));
        let scattered = self.sum(|e| e.compton(energy) * e.compton_transfer(energy));
        let fraction = scattered / self.mass_attenuation(Kind::Compton, energy);
        let kinetic = (energy - 2.0 * ELECTRON).max(0.0);
        let pair = self.mass_attenuation(Kind::Pair, energy) * kinetic / energy;
        [(photo, energy), (scattered, 4.0 / 3.0 * fraction * energy), (pair, 4.0 / 3.0 * kinetic / 2.0)]
    }

    /// Electrons per gram over Avogadro's constant, Z / A.
    pub fn electrons(&self) -> f64 {
        self.sum(|e| f64::from(e.z) / e.weight)
    }

    /// Incoherent scattering function of an average electron, S(x) / Z, 0 to 1.
    pub fn incoherent(&self, x: f64) -> f64 {
        self.sum(|e| f64::from(e.z) / e.weight * e.incoherent(x)) / self.electrons()
    }

    /// Square of the form factor of an average atom.
    pub fn form_factor_squared(&self, x: f64) -> f64 {
        self.sum(|e| e.form_factor(x).powi(2) / e.weight) / self.sum(|e| 1.0 / e.weight)
    }

    /// Absorption edges of all elements in keV, in order.
    pub fn edges(&self) -> Vec<f64> {
        let mut edges: Vec<f64> = self.elements().flat_map(|(element, _)| element.edges()).collect();
        edges.sort_by(f64::total_cmp);
        edges.dedup();
        edges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn water() -> Material {
        Material::new("water", 1.0, vec![(1, 0.111_894), (8, 0.888_106)]).unwrap()
    }

    fn pure(z: u8) -> Material {
        Material::new("element", 1.0, vec![(z, 1.0)]).unwrap()
    }

    fn assert_follows(material: &Material, kind: Kind, table: &[(f64, f64)], tolerance: f64) {
        for &(energy, expected) in table {
            let ratio = material.mass_attenuation(kind, energy) / expected;
            assert!((ratio - 1.0).abs() < tolerance, "{} at {energy} keV: {ratio} of the table", material.name);
        }
    }

    /// Hubbell & Seltzer 1995 (NISTIR 5632), whose cross sections are of another evaluation than ours.
    #[test]
    fn totals_are_those_of_nist() {
        let table =
            [(20.0, 0.8096), (30.0, 0.3756), (60.0, 0.2059), (100.0, 0.1707), (200.0, 0.1370), (500.0, 0.09687)];
        assert_follows(&water(), Kind::Total, &table, 5e-4);
        let table = [(1000.0, 0.07072), (1250.0, 0.06323), (1500.0, 0.05754), (2000.0, 0.04942), (3000.0, 0.03969)];
        assert_follows(&water(), Kind::Total, &table, 2e-3);
        let table = [(20.0, 86.36), (60.0, 5.021), (100.0, 5.549), (200.0, 0.9985), (500.0, 0.1614)];
        assert_follows(&pure(82), Kind::Total, &table, 5e-4);
        let table = [(1000.0, 0.07102), (1250.0, 0.05876), (1500.0, 0.05222), (2000.0, 0.04606), (3000.0, 0.04234)];
        assert_follows(&pure(82), Kind::Total, &table, 2e-3);
        let table = [(1000.0, 0.06618), (1250.0, 0.05577), (1500.0, 0.05000), (2000.0, 0.04433), (3000.0, 0.04075)];
        assert_follows(&pure(74), Kind::Total, &table, 2e-3);
        let table = [(1000.0, 0.05901), (1250.0, 0.05261), (1500.0, 0.04803), (2000.0, 0.04205), (3000.0, 0.03599)];
        assert_follows(&pure(29), Kind::Total, &table, 5e-4);
        let table = [(1000.0, 0.06146), (1250.0, 0.05496), (1500.0, 0.05006), (2000.0, 0.04324), (3000.0, 0.03541)];
        assert_follows(&pure(13), Kind::Total, &table, 2e-3);
    }

    #[test]
    fn energy_absorption_in_water_is_that_of_nist() {
        let table = [(20.0, 0.5503), (30.0, 0.1557), (60.0, 0.03190), (100.0, 0.02546), (500.0, 0.03299)];
        assert_follows(&water(), Kind::EnergyAbsorption, &table, 2e-3);
        let table = [(1000.0, 0.03103), (1500.0, 0.02833), (2000.0, 0.02608), (3000.0, 0.02281)];
        assert_follows(&water(), Kind::EnergyAbsorption, &table, 2e-3);
    }

    #[test]
    fn energy_absorption_knows_fluorescence_and_bremsstrahlung() {
        // Hubbell & Seltzer for lead: fluorescence carries away a third above the K edge, bremsstrahlung a tenth at 3 MeV.
        let table = [(80.0, 1.916), (100.0, 1.976), (200.0, 0.5870), (1000.0, 0.03654), (3000.0, 0.02322)];
        assert_follows(&pure(82), Kind::EnergyAbsorption, &table, 0.035);
    }

    #[test]
    fn a_mixture_is_the_sum_of_its_elements_and_the_total_that_of_its_processes() {
        let (mixed, hydrogen, oxygen) = (water(), pure(1), pure(8));
        for energy in [1.0, 17.3, 400.0, 2500.0, 3000.0] {
            let at = |m: &Material, kind| m.mass_attenuation(kind, energy);
            let sum = 0.111_894 * at(&hydrogen, Kind::Total) + 0.888_106 * at(&oxygen, Kind::Total);
            assert!((at(&mixed, Kind::Total) / sum - 1.0).abs() < 1e-12);
            let kinds = [Kind::Photo, Kind::Compton, Kind::Rayleigh, Kind::Pair];
            let parts: f64 = kinds.map(|kind| at(&mixed, kind)).iter().sum();
            assert!((at(&mixed, Kind::Total) / parts - 1.0).abs() < 1e-12);
            assert!(at(&mixed, Kind::EnergyAbsorption) <= at(&mixed, Kind::EnergyTransfer));
            assert!(at(&mixed, Kind::EnergyTransfer) < at(&mixed, Kind::Total));
        }
    }

    #[test]
    fn forward_all_electrons_act_as_one_and_far_out_each_alone() {
        let water = water();
        let atoms = |f: fn(f64) -> f64| {
            let (h, o) = (0.111_894 / element(1).weight, 0.888_106 / element(8).weight);
            (h * f(1.0) + o * f(8.0)) / (h + o)
        };
        assert!((water.form_factor_squared(0.0) / atoms(|z| z * z) - 1.0).abs() < 1e-4);
        assert_eq!(water.incoherent(0.0), 0.0);
        // Below the table as the square of x.
        assert!((water.incoherent(5e-4) / water.incoherent(1e-3) - 0.25).abs() < 1e-9);
        assert!((water.incoherent(20.0) - 1.0).abs() < 1e-4 && water.form_factor_squared(20.0) < 1e-6);
        let rises = (1..2000).map(|i| f64::from(i) * 0.01).all(|x| water.incoherent(x) >= water.incoherent(x - 0.01));
        assert!(rises);
    }

    #[test]
    fn refuses_what_is_no_material() {
        let refused = |density, parts| Material::new("x", density, parts).unwrap_err().to_string();
        assert!(refused(-1.0, vec![(1, 1.0)]).starts_with("density: expected a positive number of g/cm3, got -1"));
        assert!(refused(1.0, vec![(0, 1.0)]).starts_with("parts: expected atomic numbers 1 to 98, got 0"));
        assert!(refused(1.0, vec![(1, 0.5)]).contains("sum to 1, got 0.5"));
        assert!(refused(1.0, vec![(1, f64::NAN)]).starts_with("parts: expected fractions by weight >= 0"));
    }
}
