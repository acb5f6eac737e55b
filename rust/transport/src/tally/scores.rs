//! Sums over histories of x and x^2 for every cell, where x is what one history scored there.
//!
//! Fixed point: x in units of the tally's scale, rounded to 2^-32, and x^2, rounded up to 2^-32, summed as 64-bit
//! integers. Sums of integers are exact in any order, so that results have the same bits for any number of threads, and
//! those of two ranges of histories add up to those of one. Rounding adds at most 2^-33 of the scale to each score, and
//! never takes from a standard error: where all scores are below 2^-16 of the scale, it is overstated. A cell holds 2^32
//! histories that score the scale. Where photons of smaller weight score, as where they are split, cells have units of
//! their own.
//!
//! Threads that add to the same cells wait for each other's caches. So each has cells of its own while they are few, and
//! what is asked for is the sum of all; where there are many, threads share them.

use super::delivery::Score;
use rayon::prelude::*;
use spinray_core::buffer::zeros;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Number of locks the cells of a share are dealt to.
pub const STRIPES: usize = 64;
/// Memory in bytes for cells beyond one set of them.
const SPARE: usize = 256 << 20;

const ONE: f64 = 4_294_967_296.0;

/// The integer not below x >= 0.
#[inline(always)]
fn above(x: f64) -> u64 {
    let whole = x as i64;
    (whole + i64::from((whole as f64) < x)) as u64
}

/// The sums of all cells; read at any time.
pub struct Scores {
    count: usize,
    scale: f64,
    inverse: f64,
    /// What scores of each cell are multiplied by; empty if 1.
    units: Vec<f64>,
    shares: Vec<OnceLock<Share>>,
    /// Of each share: workers that add to it now.
    workers: Mutex<Vec<usize>>,
}

/// A part of the sums of all cells, written under the lock of a cell's stripe.
pub struct Share {
    /// (sum, sum of squares) of each cell.
    cells: Vec<[AtomicU64; 2]>,
    stripes: [Mutex<()>; STRIPES],
}

impl Share {
    fn new(cells: usize) -> Self {
        let mut zeros = std::mem::ManuallyDrop::new(zeros::<[u64; 2]>(cells));
        // SAFETY: an AtomicU64 has the size, alignment (on targets with 64-bit words) and zero of a u64; `zeros` gives
        // its memory up.
        let cells = unsafe { Vec::from_raw_parts(zeros.as_mut_ptr().cast(), zeros.len(), zeros.capacity()) };
        Self { cells, stripes: [const { Mutex::new(()) }; STRIPES] }
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
}

impl Scores {
    /// Zeros for a number of cells, in units of `scale`.
    pub fn new(cells: usize, scale: f64) -> Self {
        let spare = SPARE / (size_of::<[u64; 2]>() * cells.max(1));
        let shares = (0..=spare.min(rayon::current_num_threads() - 1)).map(|_| OnceLock::new()).collect::<Vec<_>>();
        let workers = Mutex::new(vec![0; shares.len()]);
        Self { count: cells, scale, inverse: 1.0 / scale, units: Vec::new(), shares, workers }
    }

    /// The same where scores of each cell are smaller by a power of 2, that given: x is so much more of them.
    #[must_use]
    pub fn in_units(self, powers: &[i8]) -> Self {
        Self { units: powers.iter().map(|&power| f64::from(power).exp2()).collect(), ..self }
    }

    /// What the scores of each cell are multiplied by, as numbers of `scale`; empty if by 1.
    pub fn units(&self) -> &[f64] {
        &self.units
    }

    #[inline(always)]
    fn unit(&self, cell: usize) -> f64 {
        self.units.get(cell).copied().unwrap_or(1.0)
    }

    /// What 2^32 stands for.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sum of x of every cell.
    pub fn sums(&self) -> Vec<u64> {
        self.totals(0)
    }

    /// Sum of x^2 of every cell.
    pub fn squares(&self) -> Vec<u64> {
        self.totals(1)
    }

    fn totals(&self, power: usize) -> Vec<u64> {
        (0..self.count).into_par_iter().map(|cell| self.total(cell, power)).collect()
    }

    #[inline(always)]
    fn total(&self, cell: usize, power: usize) -> u64 {
        self.shares.iter().filter_map(OnceLock::get).map(|share| share.cells[cell][power].load(Relaxed)).sum()
    }

    /// The largest sum of all.
    pub fn largest(&self) -> u64 {
        (0..self.count).into_par_iter().map(|cell| self.total(cell, 0).max(self.total(cell, 1))).max().unwrap_or(0)
    }

    /// Mean of x times the scale, and its standard error, after a number of histories.
    pub fn estimate(&self, cell: usize, histories: u64) -> (f64, f64) {
        let n = histories as f64;
        let [sum, square] = [0, 1].map(|power| self.total(cell, power) as f64 / ONE / n);
        let variance = (square - sum * sum).max(0.0) / (n - 1.0).max(1.0);
        let scale = self.scale / self.unit(cell);
        (scale * sum, scale * variance.sqrt())
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
        for (cell, own) in self.share(0).cells.iter().zip(own) {
            cell.iter().zip(own).for_each(|(shared, &own)| _ = shared.fetch_add(own, Relaxed));
        }
    }

    /// The number of a share that few workers add to; it is one more until it [leaves](Self::leave).
    pub(super) fn join(&self) -> usize {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let share = (0..workers.len()).min_by_key(|&share| workers[share]).unwrap_or(0);
        workers[share] += 1;
        share
    }

    /// A worker has added all to its share.
    pub(super) fn leave(&self, share: usize) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)[share] -= 1;
    }

    /// A share by its number.
    pub(super) fn share(&self, share: usize) -> &Share {
        self.shares[share].get_or_init(|| Share::new(self.count))
    }

    /// Adds scores of histories in cells of one stripe to a share.
    pub(super) fn add(&self, share: &Share, stripe: usize, scores: &[Score]) {
        let _guard = share.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner);
        for &Score { cell, score } in scores {
            debug_assert_eq!(Share::stripe(cell), stripe);
            // No addition of another thread comes in between: it would need the stripe's lock.
            let score = score * self.unit(cell as usize);
            for (sum, x) in share.cells[cell as usize].iter().zip(self.fixed(score)) {
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
            scores.add(scores.share(0), 0, &[Score { cell: 0, score: 50.0 * x }; 100]);
            let (mean, error) = scores.estimate(0, 1000);
            let expected = 50.0 * x * (0.1f64 * 0.9 / 999.0).sqrt();
            assert!((mean / (5.0 * x) - 1.0).abs() < 1e-9 + 2f64.powi(-33) / x);
            assert!(error > expected * (1.0 - 1e-9) && error < expected * (1.0 + loose), "{error} for {expected}");
        }
    }

    #[test]
    fn shares_are_as_many_as_memory_allows_and_all_count() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| {
            let scores = Scores::new(10, 1.0);
            let joined = [0; 4].map(|_| scores.join());
            assert_eq!(joined, [0, 1, 2, 0]);
            scores.leave(1);
            assert_eq!(scores.join(), 1);
            for share in 0..3 {
                scores.add(scores.share(share), 0, &[Score { cell: 7, score: 0.5 }]);
            }
            assert_eq!((scores.sums()[7], scores.squares()[7], scores.largest()), (3 << 31, 3 << 30, 3 << 31));
            assert_eq!(Scores::new(SPARE / 16, 1.0).shares.len(), 2);
            assert_eq!(Scores::new(SPARE / 16 + 1, 1.0).shares.len(), 1);
        });
    }

    #[test]
    fn small_scores_in_units_of_their_cell_lose_nothing() {
        let scores = Scores::new(2, 50.0).in_units(&[0, 15]);
        scores.add(scores.share(0), 0, &[Score { cell: 1, score: 50.0 * 3e-6 }; 100]);
        let (mean, error) = scores.estimate(1, 1000);
        assert!((mean / 15e-6 - 1.0).abs() < 1e-6);
        assert!((error / (150e-6 * (0.1f64 * 0.9 / 999.0).sqrt()) - 1.0).abs() < 1e-6);
    }
}
