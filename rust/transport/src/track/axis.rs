//! Tables addressed by the bits of a float: 2^BITS intervals per octave, linear inside each.
//!
//! The upper bits of a positive float (exponent and leading mantissa) number the interval, the remaining ones give the
//! place inside it. No logarithm, and a relative width between 2^-BITS and 2^-(BITS + 1) everywhere. Linear
//! interpolation of a power x^-p errs by at most p (p + 1)/8 4^-BITS: 1.0e-4 at BITS = 7 for the steepest smooth
//! attenuation (p = 3.2); an interval that holds an absorption edge has the edge smeared over it.

/// Intervals from `first`, a power of two, with 2^BITS in each octave.
#[derive(Clone, Copy, Debug)]
pub struct Axis<const BITS: u32> {
    base: u32,
    count: u32,
}

impl<const BITS: u32> Axis<BITS> {
    const SHIFT: u32 = 23 - BITS;

    /// From 2^`first` over `octaves` octaves.
    pub const fn new(first: i32, octaves: u32) -> Self {
        Self { base: ((first + 127) as u32) << BITS, count: octaves << BITS }
    }

    /// Number of intervals.
    pub fn intervals(&self) -> usize {
        self.count as usize
    }

    /// The lower end of interval k (k may be their number).
    pub fn node(&self, k: usize) -> f64 {
        f64::from(f32::from_bits((self.base + k as u32) << Self::SHIFT))
    }

    /// The interval of x and the place in it, 0 to 1; the ends of the axis hold everything beyond them.
    #[inline(always)]
    pub fn place(&self, x: f32) -> (usize, f32) {
        let bits = x.to_bits();
        let k = ((bits >> Self::SHIFT) as i32 - self.base as i32).clamp(0, self.count as i32 - 1);
        let f = (bits & ((1 << Self::SHIFT) - 1)) as i32 as f32 * (1.0 / (1u32 << Self::SHIFT) as f32);
        (k as usize, f)
    }

    /// (value at the lower end, rise to the upper end) of a function on every interval.
    pub fn tabulate(&self, f: impl Fn(f64) -> f64) -> Vec<[f32; 2]> {
        let values: Vec<f64> = (0..=self.intervals()).map(|k| f(self.node(k))).collect();
        values.windows(2).map(|w| [w[0] as f32, (w[1] - w[0]) as f32]).collect()
    }
}

/// Photon energies, 1 to 4096 keV.
pub const ENERGY: Axis<7> = Axis::new(0, 12);
/// Squares of the momentum transfer x = sin(theta/2)/lambda, 2^-22 to 2^18 1/Angstrom^2.
pub const TRANSFER: Axis<5> = Axis::new(-22, 40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_again_and_powers_interpolated_to_the_stated_accuracy() {
        let table = ENERGY.tabulate(|e| e.powf(-3.2));
        for k in 0..ENERGY.intervals() {
            assert_eq!(ENERGY.place(ENERGY.node(k) as f32), (k, 0.0));
            let e = 0.5 * (ENERGY.node(k) + ENERGY.node(k + 1));
            let (at, f) = ENERGY.place(e as f32);
            let value = f64::from(table[at][0]) + f64::from(f) * f64::from(table[at][1]);
            assert!((value / e.powf(-3.2) - 1.0).abs() < 1.1e-4, "{e}: {}", value / e.powf(-3.2) - 1.0);
        }
        assert_eq!(ENERGY.place(0.5).0, 0);
        assert_eq!(ENERGY.place(1e6).0, ENERGY.intervals() - 1);
    }
}
