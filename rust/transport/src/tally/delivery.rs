//! Scores on their way from a worker to the shared cells.
//!
//! The cells of a share are dealt to stripes. A worker keeps a short list of scores for each stripe and, when one is
//! full, takes the stripe's lock and adds the whole list: ordinary additions, where atomic ones would wait for each
//! other. A cell is fetched when its score is listed, so that it is near by then. Integers are exact in any order, so
//! nobody can tell.

use super::scores::{STRIPES, Scores, Share};

const ROOM: usize = 64;

/// One history's score in a cell.
#[derive(Clone, Copy)]
pub struct Score {
    /// The cell.
    pub cell: u32,
    /// In the tally's unit.
    pub score: f64,
}

/// Scores of one worker, by stripe.
pub struct Delivery<'a> {
    scores: &'a Scores,
    number: usize,
    share: &'a Share,
    count: [u32; STRIPES],
    lists: Vec<[Score; ROOM]>,
}

impl<'a> Delivery<'a> {
    /// Nothing yet.
    pub fn new(scores: &'a Scores) -> Self {
        let lists = vec![[Score { cell: 0, score: 0.0 }; ROOM]; STRIPES];
        let number = scores.join();
        Self { scores, number, share: scores.share(number), count: [0; STRIPES], lists }
    }

    /// Adds what one history scored in a cell.
    #[inline(always)]
    pub fn add(&mut self, cell: u32, score: f64) {
        self.share.prefetch(cell);
        let stripe = Share::stripe(cell);
        let n = self.count[stripe] as usize;
        self.lists[stripe][n % ROOM] = Score { cell, score };
        self.count[stripe] += 1;
        if n + 1 == ROOM {
            self.deliver(stripe);
        }
    }

    #[inline(never)]
    fn deliver(&mut self, stripe: usize) {
        let n = std::mem::take(&mut self.count[stripe]) as usize;
        self.scores.add(self.share, stripe, &self.lists[stripe][..n]);
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        (0..STRIPES).for_each(|stripe| self.deliver(stripe));
        self.scores.leave(self.number);
    }
}
