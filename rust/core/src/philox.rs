//! Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy
//! as 1, 2, 3").
//!
//! A stream is keyed by the seed and numbered by a sample (or history) index, so a sample's numbers
//! depend on nothing else: same seed, same bits, for any number of threads or workers.

const ROUND: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The Philox 4x32-10 bijection of a counter under a key.
#[inline]
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(ROUND[0]) * u64::from(counter[0]);
        let b = u64::from(ROUND[1]) * u64::from(counter[2]);
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// The random numbers of one sample.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream of sample `index` under `seed`.
    pub fn new(seed: u64, index: u64) -> Self {
        let counter = [0, 0, index as u32, (index >> 32) as u32];
        Self { key: [seed as u32, (seed >> 32) as u32], counter, block: [0; 4], used: 4 }
    }

    /// 32 random bits.
    #[inline]
    pub fn bits(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.counter[1] = self.counter[1].wrapping_add(u32::from(self.counter[0] == 0));
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// Uniform in the open interval (0, 1), 52 bits.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        let (high, low) = (u64::from(self.bits()), u64::from(self.bits()));
        ((high << 32 | low) >> 12) as f64 * 2f64.powi(-52) + 2f64.powi(-53)
    }

    /// Standard normal (Box & Muller 1958, one of the pair).
    #[inline]
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Poisson with the given mean: inversion below 10, above it Hörmann's transformed rejection PTRS
    /// (1993, "The transformed rejection method for generating Poisson random variables").
    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean < 10.0 { self.poisson_by_inversion(mean) } else { self.poisson_by_rejection(mean) }
    }

    fn poisson_by_inversion(&mut self, mean: f64) -> f64 {
        let u = self.uniform();
        let mut term = (-mean).exp();
        let (mut sum, mut k) = (term, 0.0);
        while u > sum && term > 0.0 {
            k += 1.0;
            term *= mean / k;
            sum += term;
        }
        k
    }

    fn poisson_by_rejection(&mut self, mean: f64) -> f64 {
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let v_r = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let u = self.uniform() - 0.5;
            let v = self.uniform();
            let us = 0.5 - u.abs();
            let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            if us >= 0.07 && v <= v_r {
                return k;
            }
            if k < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            if (v * inverse_alpha / (a / (us * us) + b)).ln() <= k * mean.ln() - mean - ln_factorial(k) {
                return k;
            }
        }
    }
}

/// ln k! for integer k >= 0: Stirling's series with three corrections, exact to 1e-10 from k = 10 on
/// and carried there by the recurrence below.
fn ln_factorial(k: f64) -> f64 {
    let mut product = 1.0;
    let mut x = k + 1.0;
    while x < 10.0 {
        product *= x;
        x += 1.0;
    }
    let series = (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * x * x)) / (x * x)) / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_vectors() {
        // Random123, kat_vectors, philox4x32 10.
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(philox(pi, [0xa409_3822, 0x299f_31d0]), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    fn moments(mut draw: impl FnMut(&mut Stream) -> f64) -> (f64, f64) {
        let n = 200_000;
        let (mut sum, mut square) = (0.0, 0.0);
        for index in 0..n {
            let x = draw(&mut Stream::new(7, index));
            sum += x;
            square += x * x;
        }
        let mean = sum / n as f64;
        (mean, square / n as f64 - mean * mean)
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let (mean, variance) = moments(Stream::uniform);
        assert!((mean - 0.5).abs() < 3e-3 && (variance - 1.0 / 12.0).abs() < 1e-3);
        let (mean, variance) = moments(Stream::normal);
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02);
    }

    #[test]
    fn poisson_has_mean_and_variance_equal_on_both_sides_of_the_switch() {
        for mean in [0.05, 1.0, 9.5, 10.5, 40.0, 1e3, 1e6] {
            let (m, v) = moments(|s| s.poisson(mean));
            let sigma = (mean / 200_000.0f64).sqrt();
            assert!((m - mean).abs() < 5.0 * sigma, "mean of Poisson({mean}) is {m}");
            assert!((v / mean - 1.0).abs() < 0.03, "variance of Poisson({mean}) is {v}");
        }
        assert_eq!(Stream::new(0, 0).poisson(0.0), 0.0);
    }

    #[test]
    fn poisson_probabilities_are_right_where_rejection_begins() {
        let mean = 12.0;
        let n = 400_000;
        let mut counts = [0.0; 40];
        for index in 0..n {
            let k = Stream::new(3, index).poisson(mean) as usize;
            counts[k.min(39)] += 1.0;
        }
        let chi2: f64 = (3..24)
            .map(|k| {
                let p = (k as f64 * mean.ln() - mean - ln_factorial(k as f64)).exp() * n as f64;
                (counts[k] - p).powi(2) / p
            })
            .sum();
        assert!(chi2 < 55.0, "chi-square of 21 classes: {chi2}");
    }
}
