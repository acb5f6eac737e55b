//! A filter in front of the focal spot that is thicker towards the edges of the fan.
//!
//! A photon of energy E at fan angle p and elevation e is kept with the probability exp(-mu(E) t(p) / cos e), t linear
//! between the angles given and constant beyond them (narrow beam: what the filter scatters is lost). Photons that are
//! kept have weight 1: tallies are per photon behind the filter.

use crate::matter::{Kind, Material};
use spinray_core::{Error, Result};

/// Thickness of a filter over the fan.
#[derive(Clone, Debug)]
pub struct Bowtie {
    material: Material,
    /// Fan angles in rad, growing, from the central ray towards the detector's last column.
    angles: Vec<f64>,
    /// Thickness there along the central plane, mm.
    thickness: Vec<f64>,
}

impl Bowtie {
    /// Fan angles in rad, growing, and the thickness at each in mm.
    pub fn new(material: Material, angles: Vec<f64>, thickness: Vec<f64>) -> Result<Self> {
        let grows = angles.windows(2).all(|pair| pair[0] < pair[1]) && angles.iter().all(|a| a.is_finite());
        if angles.is_empty() || angles.len() != thickness.len() || !grows {
            return Err(Error::invalid(
                "angles",
                format!("expected growing angles, one per thickness, got {angles:?}"),
            ));
        }
        if !thickness.iter().all(|t| t.is_finite() && *t >= 0.0) {
            return Err(Error::invalid("thickness", format!("expected numbers >= 0 (mm), got {thickness:?}")));
        }
        Ok(Self { material, angles, thickness })
    }

    /// Thickness at a fan angle in mm.
    fn at(&self, angle: f64) -> f64 {
        let next = self.angles.partition_point(|&a| a <= angle);
        if next == 0 || next == self.angles.len() {
            return self.thickness[next.saturating_sub(1)];
        }
        let share = (angle - self.angles[next - 1]) / (self.angles[next] - self.angles[next - 1]);
        self.thickness[next - 1] + share * (self.thickness[next] - self.thickness[next - 1])
    }

    /// Largest probability to get through, at any angle.
    pub fn most(&self, energy: f64) -> f64 {
        let thinnest = self.thickness.iter().copied().fold(f64::INFINITY, f64::min);
        (-self.attenuation(energy) * thinnest).exp()
    }

    /// Probability to get through at a fan angle and a cosine of the elevation.
    pub fn transmission(&self, energy: f64, angle: f64, cosine: f64) -> f64 {
        (-self.attenuation(energy) * self.path(angle, cosine)).exp()
    }

    /// Path through the filter in mm at a fan angle and a cosine of the elevation.
    pub fn path(&self, angle: f64, cosine: f64) -> f64 {
        self.at(angle) / cosine
    }

    /// Attenuation of the filter in 1/mm.
    pub fn attenuation(&self, energy: f64) -> f64 {
        // cm2/g times g/cm3
        self.material.mass_attenuation(Kind::Total, energy) * self.material.density / 10.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bowtie() -> Bowtie {
        let aluminium = Material::new("Al", 2.7, vec![(13, 1.0)]).unwrap();
        Bowtie::new(aluminium, vec![-0.4, 0.0, 0.2], vec![20.0, 1.0, 11.0]).unwrap()
    }

    #[test]
    fn the_thickness_is_linear_between_angles_and_constant_beyond() {
        let b = bowtie();
        for (angle, thickness) in
            [(-1.0, 20.0), (-0.4, 20.0), (-0.2, 10.5), (0.0, 1.0), (0.05, 3.5), (0.2, 11.0), (1.0, 11.0)]
        {
            assert!((b.at(angle) - thickness).abs() < 1e-12, "{angle}");
        }
    }

    #[test]
    fn what_gets_through_follows_beer() {
        let b = bowtie();
        let mu = b.material.mass_attenuation(Kind::Total, 60.0) * 0.27;
        assert!((b.transmission(60.0, -0.2, 0.5) / (-21.0 * mu).exp() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn filters_that_make_no_sense_are_refused() {
        let make =
            |angles: &[f64], thickness: &[f64]| Bowtie::new(bowtie().material, angles.to_vec(), thickness.to_vec());
        assert!(make(&[0.0], &[1.0]).is_ok());
        assert!(make(&[0.1, 0.0], &[1.0, 2.0]).is_err());
        assert!(make(&[0.0, 0.1], &[1.0]).is_err());
        assert!(make(&[0.0, 0.1], &[1.0, -2.0]).is_err());
        assert!(make(&[], &[]).is_err());
    }
}
