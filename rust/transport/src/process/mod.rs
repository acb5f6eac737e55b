//! What a photon can do in matter: one file for each process, with its data, `sample` and tests.

pub mod compton;
pub mod doppler;
pub mod pair;
pub mod photoelectric;
pub mod rayleigh;

use crate::random::Uniform;

/// A uniform direction.
pub fn isotropic(random: &mut impl Uniform) -> [f32; 3] {
    let w = 2.0 * random.uniform() - 1.0;
    let (sine, cosine) = (std::f64::consts::TAU * random.uniform()).sin_cos();
    let q = (1.0 - w * w).max(0.0).sqrt();
    [(q * cosine) as f32, (q * sine) as f32, w as f32]
}

#[cfg(test)]
pub(crate) mod tests {
    /// Chi-square of samples of a density on [low, high], over classes that are equally likely by its integral, and the
    /// value that one true distribution in 10^4 exceeds (Wilson & Hilferty 1931).
    pub fn chi_square(density: impl Fn(f64) -> f64, [low, high]: [f64; 2], samples: &[f64]) -> (f64, f64) {
        const FINE: usize = 200_000;
        const CLASSES: usize = 50;
        let at = |i: usize| low + (high - low) * (i as f64 + 0.5) / FINE as f64;
        let mut integral = vec![0.0];
        (0..FINE).for_each(|i| integral.push(integral[i] + density(at(i))));
        let mut counts = [0.0; CLASSES];
        for &x in samples {
            let t = ((x - low) / (high - low) * FINE as f64).clamp(0.0, FINE as f64 - 1e-6);
            let i = t as usize;
            let share = (integral[i] + (t - i as f64) * (integral[i + 1] - integral[i])) / integral[FINE];
            counts[((share * CLASSES as f64) as usize).min(CLASSES - 1)] += 1.0;
        }
        let expected = samples.len() as f64 / CLASSES as f64;
        let chi2 = counts.iter().map(|c| (c - expected).powi(2) / expected).sum();
        let n = (CLASSES - 1) as f64;
        (chi2, n * (1.0 - 2.0 / (9.0 * n) + 3.72 * (2.0 / (9.0 * n)).sqrt()).powi(3))
    }
}
