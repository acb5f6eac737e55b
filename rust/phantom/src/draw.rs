//! Random choices of an anatomy.

use spinray_core::philox::Stream;

/// The choices of one phantom, in the order they are asked for.
pub struct Draw(Stream);

impl Draw {
    /// Those of phantom `index` under `seed`.
    pub fn new(seed: u64, index: u64) -> Self {
        Self(Stream::new(seed, index))
    }

    /// Uniform between two values.
    pub fn within(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.0.uniform() as f32
    }

    /// -1 or 1.
    pub fn sign(&mut self) -> f32 {
        if self.chance(0.5) { 1.0 } else { -1.0 }
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.0.uniform() < probability
    }

    /// An integer from `low` to `high`, both included.
    pub fn count(&mut self, low: usize, high: usize) -> usize {
        low + (self.0.uniform() * (high - low + 1) as f64) as usize
    }

    /// A direction, all equally likely.
    pub fn direction(&mut self) -> [f32; 3] {
        let z = self.within(-1.0, 1.0);
        let (sine, cosine) = self.within(0.0, std::f32::consts::TAU).sin_cos();
        let r = (1.0 - z * z).sqrt();
        [r * cosine, r * sine, z]
    }

    /// A key for counter-based numbers of its own.
    pub fn key(&mut self) -> [u32; 2] {
        [self.0.bits(), self.0.bits()]
    }
}
