//! Energies: lines, or bins that are filled uniformly.

use super::alias::Draw;
use crate::random::Uniform;
use crate::{E_MAX, E_MIN};
use spinray_core::{Error, Result};

/// A distribution of photon energies.
#[derive(Clone, Debug)]
pub struct Spectrum {
    energies: Vec<f64>,
    /// Photons of each, in any unit.
    weights: Vec<f64>,
    /// Which of the energies given these are: those with photons.
    given: Vec<usize>,
    /// How many were given.
    count: usize,
    /// Width of every bin in keV, 0 for lines.
    width: f64,
    /// None for a single entry.
    draw: Option<Draw>,
    mean: f64,
}

impl Spectrum {
    /// Lines at `energies` in keV, or bins of `width` keV around them, with photon numbers in proportion to `weights`.
    pub fn new(energies: &[f64], weights: &[f64], width: f64) -> Result<Self> {
        let refuse = |argument, problem: String| Err(Error::invalid(argument, problem));
        if energies.is_empty() || energies.len() != weights.len() || energies.len() > 1 << 24 {
            return refuse("weights", format!("expected one per energy, got {}, {}", weights.len(), energies.len()));
        }
        if !(width.is_finite() && width >= 0.0) {
            return refuse("bin_width", format!("expected a number >= 0 (keV), got {width}"));
        }
        let outside = |e: &&f64| !(**e - 0.5 * width >= E_MIN && **e + 0.5 * width <= E_MAX);
        if let Some(bad) = energies.iter().find(outside) {
            return refuse("energy", format!("expected {E_MIN} to {E_MAX} keV, got {bad} (bins of {width} keV)"));
        }
        let sum: f64 = weights.iter().sum();
        if weights.iter().any(|w| !(w.is_finite() && *w >= 0.0)) || !(sum > 0.0 && sum.is_finite()) {
            return refuse("weights", "expected finite numbers >= 0, one of them positive".into());
        }
        let (count, given) = (energies.len(), (0..energies.len()).filter(|&i| weights[i] > 0.0).collect::<Vec<_>>());
        let of_given = |values: &[f64]| given.iter().map(|&i| values[i]).collect::<Vec<_>>();
        let (energies, weights) = (of_given(energies), of_given(weights));
        let mean = energies.iter().zip(&weights).map(|(e, w)| e * w).sum::<f64>() / sum;
        let draw = (energies.len() > 1).then(|| Draw::new(&weights));
        Ok(Self { energies, weights, given, count, width, draw, mean })
    }

    /// The same photons, of which those of an energy are drawn more often by its factor: one for each energy given.
    pub fn biased(mut self, factors: &[f64]) -> Result<Self> {
        if factors.len() != self.count {
            let problem = format!("expected one factor for each of {} energies, got {}", self.count, factors.len());
            return Err(Error::invalid("spectrum", problem));
        }
        let factors: Vec<f64> = self.given.iter().map(|&i| factors[i]).collect();
        let draw = Draw::biased(&self.weights, &factors, "spectrum")?;
        self.draw = self.draw.is_some().then_some(draw);
        Ok(self)
    }

    /// The energy of a photon in keV, and how many photons it stands for.
    #[inline]
    pub fn sample<U: Uniform>(&self, random: &mut U) -> (f32, f32) {
        let (i, weight) = self.draw.as_ref().map_or((0, 1.0), |draw| draw.sample(random));
        let shift = if self.width > 0.0 { self.width * (random.uniform() - 0.5) } else { 0.0 };
        ((self.energies[i] + shift) as f32, weight)
    }

    /// The least and the most photons that one drawn stands for.
    pub fn photons(&self) -> [f32; 2] {
        self.draw.as_ref().map_or([1.0; 2], Draw::weights)
    }

    /// Energies in keV and photon numbers in any unit.
    pub fn entries(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.energies.iter().copied().zip(self.weights.iter().copied())
    }

    /// Energies in keV and how often each is drawn, in any unit.
    pub fn drawn(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let photons = |i| self.draw.as_ref().map_or(1.0, |draw| draw.photons(i));
        self.entries().enumerate().map(move |(i, (energy, weight))| (energy, weight / photons(i)))
    }

    /// Lower and upper ends of the bins in keV.
    pub fn ends(&self) -> impl Iterator<Item = f64> + '_ {
        self.energies.iter().flat_map(|e| [e - 0.5 * self.width, e + 0.5 * self.width])
    }

    /// The largest energy in keV.
    pub fn max_energy(&self) -> f64 {
        // As it comes out of `sample`.
        let largest = self.energies.iter().copied().fold(0.0, f64::max) + 0.5 * self.width;
        largest.max(f64::from(largest as f32))
    }

    /// The mean energy in keV.
    pub fn mean_energy(&self) -> f64 {
        self.mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Numbers;
    use crate::source::tests::chi_square;

    #[test]
    fn bins_are_filled_uniformly_and_in_proportion() {
        let (energies, weights) = ([20.5, 21.5, 22.5, 30.5], [1.0, 0.0, 3.0, 2.0]);
        let spectrum = Spectrum::new(&energies, &weights, 1.0).unwrap();
        let mut counts = vec![0.0; 40];
        let mut sum = 0.0;
        let n = 200_000;
        for history in 0..n {
            let e = f64::from(spectrum.sample(&mut Numbers::new(1, history, 0)).0);
            sum += e;
            let bin = energies.iter().position(|c| (e - c).abs() <= 0.5).unwrap();
            counts[10 * bin + ((e - energies[bin] + 0.5) * 10.0).min(9.0) as usize] += 1.0;
        }
        assert!(counts[10..20].iter().all(|&c| c == 0.0));
        counts.drain(10..20);
        let probabilities: Vec<_> = [1.0, 3.0, 2.0].iter().flat_map(|w| [w / 60.0; 10]).collect();
        let chi = chi_square(&counts, &probabilities);
        assert!(chi < 60.0, "29 degrees of freedom: {chi}");
        assert!((sum / n as f64 - spectrum.mean_energy()).abs() < 0.05);
        assert_eq!(spectrum.max_energy(), 31.0);
    }

    #[test]
    fn a_line_is_exact() {
        let spectrum = Spectrum::new(&[140.5], &[7.0], 0.0).unwrap();
        assert_eq!(spectrum.sample(&mut Numbers::new(1, 0, 0)), (140.5, 1.0));
    }

    #[test]
    fn energies_out_of_range_and_weights_without_photons_are_refused() {
        assert!(Spectrum::new(&[0.9], &[1.0], 0.0).is_err());
        assert!(Spectrum::new(&[1.2], &[1.0], 1.0).is_err());
        assert!(Spectrum::new(&[3000.1], &[1.0], 0.0).is_err());
        assert!(Spectrum::new(&[f64::NAN], &[1.0], 0.0).is_err());
        assert!(Spectrum::new(&[60.0], &[0.0], 0.0).is_err());
        assert!(Spectrum::new(&[60.0, 70.0], &[2.0, -1.0], 0.0).is_err());
        assert!(Spectrum::new(&[60.0], &[1.0, 2.0], 0.0).is_err());
    }
}
