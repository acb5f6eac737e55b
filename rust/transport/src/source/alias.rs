//! Sampling from a table of weights in constant time (Walker 1977, "An efficient method for generating discrete random
//! variables with general distributions"; built as by Vose 1991).

use crate::random::Uniform;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Numbers;
    use crate::source::tests::chi_square;

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
