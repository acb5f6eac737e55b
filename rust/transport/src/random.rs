//! Random numbers of a history: Philox 4x32-10 keyed by the seed, counter = (block, 0, history low, history high).
//!
//! A history takes whole blocks of four 32-bit words, one after another, for its source, its flights and its
//! collisions, so its numbers depend on (seed, history) and on nothing else. Scalar code draws through [`Uniform`]
//! from [`Numbers`]; the stages of the loop draw a block for every photon at once by [`blocks`].

use spinray_core::philox::philox;

/// A source of random words.
pub trait Uniform {
    /// 32 random bits.
    fn bits(&mut self) -> u32;

    /// Uniform in the open interval (0, 1), 52 bits.
    fn uniform(&mut self) -> f64 {
        let (high, low) = (u64::from(self.bits()), u64::from(self.bits()));
        ((high << 32 | low) >> 12) as f64 * 2f64.powi(-52) + 2f64.powi(-53)
    }

    /// Uniform in (0, 1] from one word.
    fn uniform32(&mut self) -> f32 {
        unit(self.bits())
    }
}

/// The word as a number in (0, 1], (bits + 1/2) 2^-32 rounded to single precision: near 0 it keeps its relative
/// precision, so that -ln reaches 22.9.
#[inline(always)]
pub fn unit(bits: u32) -> f32 {
    // Halves go separately, since a conversion of signed integers is one instruction everywhere.
    let high = (bits >> 16) as i32 as f32;
    let low = (bits & 0xffff) as i32 as f32 + 0.5;
    (high * 65536.0 + low) * 2.328_306_4e-10
}

/// The numbers of one history from a given block on.
#[derive(Clone, Debug)]
pub struct Numbers {
    key: [u32; 2],
    history: u64,
    next: u32,
    words: [u32; 4],
    used: usize,
}

impl Numbers {
    /// Begins with block `next` of `history`.
    #[inline]
    pub fn new(seed: u64, history: u64, next: u32) -> Self {
        Self { key: key(seed), history, next, words: [0; 4], used: 4 }
    }

    /// The first block not yet drawn from.
    #[inline]
    pub fn next_block(&self) -> u32 {
        self.next
    }
}

impl Uniform for Numbers {
    #[inline]
    fn bits(&mut self) -> u32 {
        if self.used == 4 {
            self.words = philox([self.next, 0, self.history as u32, (self.history >> 32) as u32], self.key);
            self.next = self.next.wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }
}

/// The key of a seed.
#[inline]
pub fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// Words `w` of block `block[i]` of history `low[i] + 2^32 high[i]` into `words[w][i]`, for i < n.
///
/// The four words of a counter stay in 64-bit lanes through all rounds: a product of 32-bit halves is then one
/// instruction, and what stands in the upper halves in between does no harm.
#[inline(always)]
pub fn blocks<const N: usize>(
    key: [u32; 2],
    block: &[u32; N],
    low: &[u32; N],
    high: &[u32; N],
    n: usize,
    words: &mut [[u32; N]; 4],
) {
    const HALF: u64 = 0xffff_ffff;
    let [first, second, third, fourth] = words;
    for i in 0..n.min(N) {
        let mut c = [u64::from(block[i]), 0, u64::from(low[i]), u64::from(high[i])];
        let mut k = key;
        for _ in 0..10 {
            let a = 0xD251_1F53 * (c[0] & HALF);
            let b = 0xCD9E_8D57 * (c[2] & HALF);
            c = [(b >> 32) ^ c[1] ^ u64::from(k[0]), b, (a >> 32) ^ c[3] ^ u64::from(k[1]), a];
            k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
        }
        first[i] = c[0] as u32;
        second[i] = c[1] as u32;
        third[i] = c[2] as u32;
        fourth[i] = c[3] as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_the_numbers_of_the_scalar_generator() {
        let seed = 0x0123_4567_89ab_cdef;
        let (mut block, mut low, mut high) = ([0; 32], [0; 32], [0; 32]);
        for i in 0..32 {
            (block[i], low[i], high[i]) = (i as u32 * 77, u32::MAX - i as u32, i as u32 % 3);
        }
        let mut words = [[0; 32]; 4];
        blocks(key(seed), &block, &low, &high, 32, &mut words);
        for i in 0..32 {
            let mut numbers = Numbers::new(seed, u64::from(high[i]) << 32 | u64::from(low[i]), block[i]);
            assert_eq!(words.map(|w| w[i]), std::array::from_fn(|_| numbers.bits()));
            assert_eq!(numbers.next_block(), block[i] + 1);
        }
    }

    #[test]
    fn one_word_keeps_its_relative_precision_near_zero() {
        for bits in [0, 1, 2, 77, 65_535, 65_536, 1 << 20, 123_456_789, 1 << 31, u32::MAX] {
            let exact = (f64::from(bits) + 0.5) * 2f64.powi(-32);
            assert!((f64::from(unit(bits)) / exact - 1.0).abs() < 1.3e-7, "{bits}");
        }
        assert!(unit(u32::MAX) == 1.0 && -unit(0).ln() > 22.8);
    }
}
