//! Sampling from a table of weights in constant time (Walker 1977, "An efficient method for generating discrete random
//! variables with general distributions"; built as by Vose 1991), with probabilities of their own or with others.
//!
//! An entry of probability p that is drawn with probability q stands for p/q photons: means stay what they are.

use crate::random::Uniform;
use spinray_core::{Error, Result};

/// A discrete distribution.
#[derive(Clone, Debug)]
pub struct Alias {
    /// Entry i is kept below this, and its alias taken above.
    table: Vec<(f32, u32)>,
}

impl Alias {
    /// Of weights >= 0 with a positive finite sum.
    pub fn new(weights: &[f64]) -> Self {
        let n = weights.len();
        let scale = n as f64 / weights.iter().sum::<f64>();
        let mut share: Vec<f64> = weights.iter().map(|w| w * scale).collect();
        let mut table: Vec<(f32, u32)> = (0..n).map(|i| (1.0, i as u32)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| share[i] < 1.0);
        while let (Some(&s), Some(&l)) = (small.last(), large.last()) {
            small.pop();
            table[s] = (share[s] as f32, l as u32);
            share[l] -= 1.0 - share[s];
            if share[l] < 1.0 {
                large.pop();
                small.push(l);
            }
        }
        Self { table }
    }

    /// An index with the probability of its weight.
    #[inline]
    pub fn sample<U: Uniform>(&self, random: &mut U) -> usize {
        let place = random.uniform() * self.table.len() as f64;
        let i = (place as usize).min(self.table.len() - 1);
        let (keep, other) = self.table[i];
        if place - (i as f64) < f64::from(keep) { i } else { other as usize }
    }
}

/// Entries, and how many photons each stands for.
#[derive(Clone, Debug)]
pub struct Draw {
    alias: Alias,
    /// p/q of each entry; none where all are 1.
    weights: Vec<f32>,
}

/// The most that an entry may be drawn more often than another, relative to their probabilities.
const WIDEST: f64 = 1e6;

impl Draw {
    /// In proportion to `weights` >= 0, which have a positive finite sum.
    pub fn new(weights: &[f64]) -> Self {
        Self { alias: Alias::new(weights), weights: Vec::new() }
    }

    /// In proportion to `weights` > 0 times `factors`.
    pub fn biased(weights: &[f64], factors: &[f64], argument: &'static str) -> Result<Self> {
        let least = factors.iter().copied().fold(f64::INFINITY, f64::min);
        let most = factors.iter().copied().fold(0.0, f64::max);
        if !factors.iter().all(|f| *f > 0.0 && f.is_finite()) || most > WIDEST * least {
            let problem = format!(
                "expected factors > 0, the largest at most {WIDEST:e} times the least, wherever the source has photons \
                 (what is never drawn would be lost), got {least} to {most}"
            );
            return Err(Error::invalid(argument, problem));
        }
        let drawn: Vec<f64> = weights.iter().zip(factors).map(|(w, f)| w * f).collect();
        let mean = drawn.iter().sum::<f64>() / weights.iter().sum::<f64>();
        let weights = factors.iter().map(|f| (mean / f) as f32).collect();
        Ok(Self { alias: Alias::new(&drawn), weights })
    }

    /// An index, and how many photons it stands for.
    #[inline]
    pub fn sample<U: Uniform>(&self, random: &mut U) -> (usize, f32) {
        let i = self.alias.sample(random);
        (i, if self.weights.is_empty() { 1.0 } else { self.weights[i] })
    }

    /// How many photons entry i stands for.
    pub fn photons(&self, i: usize) -> f64 {
        self.weights.get(i).copied().map_or(1.0, f64::from)
    }

    /// The least and the most photons that an entry stands for.
    pub fn weights(&self) -> [f32; 2] {
        let (least, most) = (f32::min, f32::max);
        self.weights
            .iter()
            .fold(None, |found: Option<[f32; 2]>, &w| Some(found.map_or([w; 2], |[a, b]| [least(a, w), most(b, w)])))
            .unwrap_or([1.0; 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Numbers;
    use crate::source::tests::chi_square;

    #[test]
    fn entries_drawn_more_often_stand_for_fewer_photons() {
        let weights: Vec<f64> = (1..30).map(f64::from).collect();
        let factors: Vec<f64> = (0..29).map(|i| if i < 5 { 40.0 } else { 0.5 + f64::from(i) / 30.0 }).collect();
        let draw = Draw::biased(&weights, &factors, "biasing").unwrap();
        let n = 400_000;
        let (mut counts, mut photons) = (vec![0.0; 29], vec![0.0; 29]);
        for history in 0..n {
            let (i, weight) = draw.sample(&mut Numbers::new(4, history, 0));
            counts[i] += 1.0;
            photons[i] += f64::from(weight);
        }
        let (all, drawn) = (435.0, weights.iter().zip(&factors).map(|(w, f)| w * f).sum::<f64>());
        let probabilities: Vec<_> = weights.iter().zip(&factors).map(|(w, f)| w * f / drawn).collect();
        let chi = chi_square(&counts, &probabilities);
        assert!(chi < 60.0, "28 degrees of freedom: {chi}");
        for i in 0..29 {
            // As many photons as by nature, of a smaller error where more were drawn.
            let (share, expected) = (photons[i] / n as f64, weights[i] / all);
            assert!((share / expected - 1.0).abs() < 4.0 / counts[i].sqrt(), "{i}: {share} for {expected}");
        }
        let [least, most] = draw.weights();
        assert!((f64::from(least) / (drawn / all / 40.0) - 1.0).abs() < 1e-6);
        assert!((f64::from(most) / (drawn / all / factors[5]) - 1.0).abs() < 1e-6);
        assert!(Draw::biased(&weights, &[0.0; 29], "biasing").is_err() && Draw::new(&weights).weights() == [1.0; 2]);
    }

    #[test]
    fn entries_come_in_proportion_to_their_weights() {
        let weights: Vec<f64> = (0..50).map(|i| if i == 20 { 30.0 } else { f64::from(i % 7) }).collect();
        let alias = Alias::new(&weights);
        let mut counts = vec![0.0; 50];
        for history in 0..400_000 {
            counts[alias.sample(&mut Numbers::new(3, history, 0))] += 1.0;
        }
        let sum: f64 = weights.iter().sum();
        let (positive, probabilities): (Vec<_>, Vec<_>) =
            (0..50).filter(|&i| weights[i] > 0.0).map(|i| (counts[i], weights[i] / sum)).unzip();
        assert!((0..50).all(|i| weights[i] > 0.0 || counts[i] == 0.0));
        let chi = chi_square(&positive, &probabilities);
        assert!(chi < 80.0, "42 classes: {chi}");
    }

    #[test]
    fn rounding_leaves_no_entry_without_its_probability() {
        // Exact probabilities of the table, from its own definition.
        let weights: Vec<f64> = (0..1000).map(|i| 1e-3 + f64::from(i).sin().powi(2)).collect();
        let alias = Alias::new(&weights);
        let mut probability = vec![0.0; 1000];
        for (i, &(keep, other)) in alias.table.iter().enumerate() {
            probability[i] += f64::from(keep) / 1000.0;
            probability[other as usize] += (1.0 - f64::from(keep)) / 1000.0;
        }
        let sum: f64 = weights.iter().sum();
        assert!(probability.iter().zip(&weights).all(|(p, w)| (p - w / sum).abs() < 1e-9));
    }
}
