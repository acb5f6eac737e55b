//! Sums over histories of x and x^2 for every cell, where x is what one history scored there.
//!
//! Fixed point: x in units of the tally's scale, rounded to 2^-32, and x^2, rounded up to 2^-32, summed as 64-bit
//! integers. Sums of integers are exact in any order, so that results have the same bits for any number of threads, and
//! those of two ranges of histories add up to those of one. Rounding adds at most 2^-33 of the scale to each score, and
//! never takes from a standard error: where all scores are below 2^-16 of the scale, it is overstated. A cell holds 2^32
//! histories that score the scale.

use super::delivery::Score;
use rayon::prelude::*;
use spinray_core::buffer::zeros;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Number of locks the cells are dealt to.
pub const STRIPES: usize = 64;

const ONE: f64 = 4_294_967_296.0;

/// The integer not below x >= 0.
#[inline(always)]
fn above(x: f64) -> u64 {
    let whole = x as i64;
    (whole + i64::from((whole as f64) < x)) as u64
}

/// The sums of all cells, shared by all threads; read at any time, written under a stripe's lock.
pub struct Scores {
    /// (sum, sum of squares) of each cell.
    cells: Vec<[AtomicU64; 2]>,
    scale: f64,
    inverse: f64,
    stripes: [Mutex<()>; STRIPES],
}

impl Scores {
    /// Zeros for a number of cells, in units of `scale`.
    pub fn new(cells: usize, scale: f64) -> Self {
        let mut zeros = std::mem::ManuallyDrop::new(zeros::<[u64; 2]>(cells));
        // SAFETY: an AtomicU64 has the size, alignment (on targets with 64-bit words) and zero of a u64; `zeros` gives
        // its memory up.
        let cells = unsafe { Vec::from_raw_parts(zeros.as_mut_ptr().cast(), zeros.len(), zeros.capacity()) };
        Self { cells, scale, inverse: 1.0 / scale, stripes: [const { Mutex::new(()) }; STRIPES] }
    }

    /// What 2^32 stands for.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Sum of x of every cell.
    pub fn sums(&self) -> Vec<u64> {
        self.cells.par_iter().map(|cell| cell[0].load(Relaxed)).collect()
    }

    /// Sum of x^2 of every cell.
    pub fn squares(&self) -> Vec<u64> {
        self.cells.par_iter().map(|cell| cell[1].load(Relaxed)).collect()
    }

    /// The largest sum of all.
    pub fn largest(&self) -> u64 {
        self.cells.par_iter().flat_map_iter(|cell| cell.iter().map(|sum| sum.load(Relaxed))).max().unwrap_or(0)
    }

    /// Mean of x times the scale, and its standard error, after a number of histories.
    pub fn estimate(&self, cell: usize, histories: u64) -> (f64, f64) {
        let n = histories as f64;
        let [sum, square] = [0, 1].map(|k| self.cells[cell][k].load(Relaxed) as f64 / ONE / n);
        let variance = (square - sum * sum).max(0.0) / (n - 1.0).max(1.0);
        (self.scale * sum, self.scale * variance.sqrt())
    }

    /// x and x^2 in units of 2^-32.
    #[inline(always)]
    fn fixed(&self, score: f64) -> [u64; 2] {
        let x = score * self.inverse;
        [(x * ONE + 0.5) as i64 as u64, above(x * x * ONE)]
    }

    /// Adds what one history scored in a cell to sums of a worker's own.
    #[inline(always)]
    pub(crate) fn accumulate(&self, [sum, squares]: &mut [u64; 2], score: f64) {
        let [x, square] = self.fixed(score);
        *sum += x;
        *squares += square;
    }

    /// Adds a worker's own sums of all cells.
    pub(crate) fn merge(&self, own: &[[u64; 2]]) {
        for (cell, own) in self.cells.iter().zip(own) {
            cell.iter().zip(own).for_each(|(shared, &own)| _ = shared.fetch_add(own, Relaxed));
        }
    }

    /// The stripe of a cell: neighbours along a row share one.
    #[inline(always)]
    pub(super) fn stripe(cell: u32) -> usize {
        (cell >> 5) as usize % STRIPES
    }

    /// Fetches a cell that will be added to.
    #[inline(always)]
    pub(super) fn prefetch(&self, cell: u32) {
        if let Some(cell) = self.cells.get(cell as usize) {
            spinray_core::simd::prefetch(cell);
        }
    }

    /// Adds scores of histories in cells of one stripe.
    pub(super) fn add(&self, stripe: usize, scores: &[Score]) {
        let _guard = self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner);
        for &Score { cell, score } in scores {
            debug_assert_eq!(Self::stripe(cell), stripe);
            // No addition of another thread comes in between: it would need the stripe's lock.
            for (sum, x) in self.cells[cell as usize].iter().zip(self.fixed(score)) {
                sum.store(sum.load(Relaxed) + x, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_exact_and_errors_never_understated() {
        for (x, loose) in [(1.0, 1e-9), (0.3, 1e-9), (1e-3, 1e-3), (3e-6, 100.0)] {
            let scores = Scores::new(1, 50.0);
            // One history in ten scores.
            scores.add(0, &[Score { cell: 0, score: 50.0 * x }; 100]);
            let (mean, error) = scores.estimate(0, 1000);
            let expected = 50.0 * x * (0.1f64 * 0.9 / 999.0).sqrt();
            assert!((mean / (5.0 * x) - 1.0).abs() < 1e-9 + 2f64.powi(-33) / x);
            assert!(error > expected * (1.0 - 1e-9) && error < expected * (1.0 + loose), "{error} for {expected}");
        }
    }
}
