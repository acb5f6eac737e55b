//! Hands histories to workers, in order and in blocks.

use spinray_core::Job;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Largest number of histories handed out at once.
const MOST: u64 = 4096;

/// The histories of a run. What has been handed out is always finished, so that the histories done are the first ones
/// even if the run is cancelled.
pub struct Supply<'a> {
    histories: Range<u64>,
    block: u64,
    next: AtomicU64,
    flights: AtomicU64,
    job: &'a Job,
}

impl<'a> Supply<'a> {
    /// Histories for a number of workers.
    pub fn new(histories: Range<u64>, workers: usize, job: &'a Job) -> Self {
        let count = histories.end.saturating_sub(histories.start);
        let block = (count / (8 * workers as u64)).clamp(1, MOST);
        job.announce(count.div_ceil(block) as usize);
        Self { histories, block, next: AtomicU64::new(0), flights: AtomicU64::new(0), job }
    }

    /// The next block; empty if there is none or the job is cancelled.
    pub fn take(&self) -> Range<u64> {
        let count = self.histories.end.saturating_sub(self.histories.start);
        if self.job.check().is_err() || self.next.load(Relaxed) >= count {
            return 0..0;
        }
        let first = self.next.fetch_add(self.block, Relaxed).min(count);
        let end = (first + self.block).min(count);
        if first < end {
            // Progress only: a stop is seen by `check`.
            let _ = self.job.step();
        }
        self.histories.start + first..self.histories.start + end
    }

    /// A worker reports how many flights its histories took.
    pub fn report(&self, flights: u64) {
        self.flights.fetch_add(flights, Relaxed);
    }

    /// All flights reported.
    pub fn flights(&self) -> u64 {
        self.flights.load(Relaxed)
    }

    /// How many have been handed out.
    pub fn done(&self) -> u64 {
        self.next.load(Relaxed).min(self.histories.end.saturating_sub(self.histories.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_handed_out_once_and_in_order() {
        let job = Job::new();
        let supply = Supply::new(5..20_000, 2, &job);
        let mut next = 5;
        loop {
            let block = supply.take();
            if block.is_empty() {
                break;
            }
            assert_eq!(block.start, next);
            next = block.end;
        }
        let (done, announced) = job.progress();
        assert!(next == 20_000 && supply.done() == 19_995 && done == announced);
    }

    #[test]
    fn a_cancelled_supply_ends_after_a_whole_block() {
        let job = Job::new();
        let supply = Supply::new(0..20_000, 2, &job);
        let block = supply.take();
        job.cancel();
        assert!(supply.take().is_empty() && supply.done() == block.end);
    }
}
