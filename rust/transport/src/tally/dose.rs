//! Energy deposited in each cell at collisions: the analogue estimator.

use super::delivery::Delivery;
use super::history::Lists;
use super::{Collision, Scorer, Scores};
use crate::track::bank::Bank;

/// A worker's side of it.
pub struct Analogue<'a> {
    lists: Lists,
    delivery: Delivery<'a>,
}

impl<'a> Analogue<'a> {
    /// Adds to `scores`.
    pub fn new(scores: &'a Scores) -> Self {
        Self { lists: Lists::new(), delivery: Delivery::new(scores) }
    }
}

impl Scorer for Analogue<'_> {
    fn collisions(&mut self, _bank: &Bank, collisions: &[Collision]) {
        for collision in collisions {
            if collision.deposit > 0.0 {
                self.lists.push(collision.slot, collision.cell, collision.deposit);
            }
        }
    }

    fn finish(&mut self, _bank: &Bank, slots: &[u32]) {
        for &slot in slots {
            self.lists.combine(slot, |cell, score| self.delivery.add(cell, score));
        }
    }
}
