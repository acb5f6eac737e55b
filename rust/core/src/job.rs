//! One long call: its progress and the wish to stop it.

use crate::{Error, Result};
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Shared between a kernel, which advances and checks it, and the caller, which reads and cancels it.
#[derive(Debug, Default)]
pub struct Job {
    cancelled: AtomicBool,
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Job {
    /// A job that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the kernel to stop at its next check.
    pub fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
    }

    /// (steps done, steps announced so far).
    pub fn progress(&self) -> (usize, usize) {
        (self.done.load(Relaxed), self.total.load(Relaxed))
    }

    /// Fails once the caller has asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.cancelled.load(Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Announces `steps` more steps.
    pub fn announce(&self, steps: usize) {
        self.total.fetch_add(steps, Relaxed);
    }

    /// One announced step is done; fails once the caller has asked to stop.
    pub fn step(&self) -> Result<()> {
        self.done.fetch_add(1, Relaxed);
        self.check()
    }

    /// Runs `work` for every item on the current pool, a step each. Items are handed out one at a
    /// time, so make them worth some 10 microseconds, and short enough (< 0.1 s) that a stop is prompt.
    pub fn for_each<I>(&self, items: I, work: impl Fn(I::Item) + Sync + Send) -> Result<()>
    where
        I: IntoParallelIterator,
        I::Iter: IndexedParallelIterator,
    {
        let items = items.into_par_iter();
        self.announce(items.len());
        items.with_max_len(1).try_for_each(|item| {
            self.check()?;
            work(item);
            self.step()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_visited_once_and_counted() {
        let (job, sum) = (Job::new(), AtomicUsize::new(0));
        job.for_each(0..100usize, |i| {
            sum.fetch_add(i, Relaxed);
        })
        .unwrap();
        assert_eq!((sum.load(Relaxed), job.progress()), (4950, (100, 100)));
    }

    #[test]
    fn a_cancelled_job_stops() {
        let (job, visited) = (Job::new(), AtomicUsize::new(0));
        let outcome = job.for_each(0..10_000usize, |_| {
            visited.fetch_add(1, Relaxed);
            job.cancel();
        });
        assert!(matches!(outcome, Err(Error::Cancelled)));
        assert!(visited.load(Relaxed) < 10_000);
    }
}
