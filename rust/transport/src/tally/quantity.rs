//! What a millimetre of flight scores: length itself (fluence), or energy handed to electrons (kerma).
//!
//! Fluence in a volume V is the sum of lengths of flights in it over V; kerma is the integral of the fluence over
//! energy with E mu_tr(E) / rho (ICRU 2011, Report 85, sections 3.1 and 5.2), of the matter that is there or of any
//! other. Accuracy: factors linear between energies 2^-7 of an octave apart (error below 2e-4 away from edges).

use crate::E_MAX;
use crate::geometry::Geometry;
use crate::matter::{Kind, Material};
use crate::source::Spectrum;
use crate::track::axis::ENERGY;
use rayon::prelude::*;
use spinray_core::{Error, Result};

/// A factor by energy.
pub type Table = Vec<[f32; 2]>;

/// What is scored along flights.
#[derive(Clone, Debug)]
pub enum Quantity {
    /// Energy transferred to electrons where the photon is, keV: factors of every material at 1 g/cm3, keV/mm.
    Transfer(Vec<Table>),
    /// The same factor everywhere.
    Uniform(Table),
}

impl Quantity {
    /// Energy transferred to the materials of a geometry.
    pub fn transfer(geometry: &Geometry) -> Self {
        Self::Transfer(geometry.materials().par_iter().map(|material| transfer(material, 0.1)).collect())
    }

    /// Length of flights, mm.
    pub fn length() -> Self {
        Self::Uniform(ENERGY.tabulate(|_| 1.0))
    }

    /// Length of flights times E mu_tr / rho of a material: over a volume in mm3, its kerma in keV/g.
    pub fn kerma(material: &Material) -> Self {
        Self::Uniform(transfer(material, 100.0))
    }

    /// The most that a millimetre scores: rms over the photons of a source, if all had their energy, a half or a
    /// quarter of it.
    pub fn most(&self, geometry: &Geometry, spectrum: &Spectrum) -> f64 {
        let rms = |table: &Table, share: f64| {
            let (mut squares, mut photons) = (0.0, 0.0);
            for (energy, weight) in spectrum.entries() {
                let (k, f) = ENERGY.place((share * energy) as f32);
                squares += weight * f64::from(table[k][0] + f * table[k][1]).powi(2);
                photons += weight;
            }
            (squares / photons).sqrt()
        };
        let of = |table: &Table| [1.0, 0.5, 0.25].map(|share| rms(table, share)).into_iter().fold(0.0, f64::max);
        match self {
            Self::Uniform(table) => of(table),
            Self::Transfer(tables) => {
                let densities = geometry.max_densities([1; 3]);
                tables
                    .iter()
                    .zip(&densities)
                    .map(|(table, &density)| f64::from(density) * of(table))
                    .fold(0.0, f64::max)
            }
        }
    }
}

/// E mu_tr / rho, keV cm2/g times `unit`.
fn transfer(material: &Material, unit: f64) -> Table {
    ENERGY.tabulate(|e| unit * e * material.mass_attenuation(Kind::EnergyTransfer, e.min(E_MAX)))
}

/// Energies side by side.
#[derive(Clone, Debug, Default)]
pub struct Bins {
    /// Rising, in keV; none for a single bin of all energies.
    edges: Vec<f32>,
}

impl Bins {
    /// Between edges in keV: `low <= E < high`, and the last one holds its upper edge.
    pub fn new(edges: &[f64]) -> Result<Self> {
        let rising = edges.windows(2).all(|pair| pair[0] < pair[1]) && edges.iter().all(|e| e.is_finite());
        if edges.len() < 2 || !rising {
            return Err(Error::invalid("energies", format!("expected two or more rising edges in keV, got {edges:?}")));
        }
        Ok(Self { edges: edges.iter().map(|&e| e as f32).collect() })
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.edges.len().saturating_sub(1).max(1)
    }

    /// The bin of an energy.
    #[inline(always)]
    pub fn of(&self, energy: f32) -> Option<usize> {
        let [first, .., last] = self.edges[..] else { return Some(0) };
        if !(first <= energy && energy <= last) {
            return None;
        }
        Some(self.edges.partition_point(|&edge| edge <= energy).min(self.edges.len() - 1) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_their_lower_edges_and_the_last_one_both() {
        let bins = Bins::new(&[10.0, 20.0, 50.0]).unwrap();
        let found = [9.9, 10.0, 19.9, 20.0, 50.0, 50.1].map(|e| bins.of(e));
        assert_eq!(found, [None, Some(0), Some(0), Some(1), Some(1), None]);
        assert_eq!((bins.count(), Bins::default().count(), Bins::default().of(1e4)), (2, 1, Some(0)));
        for bad in [&[10.0][..], &[10.0, 10.0], &[10.0, f64::NAN], &[]] {
            assert!(Bins::new(bad).is_err());
        }
    }
}
