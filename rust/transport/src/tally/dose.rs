//! Energy deposited in each cell at collisions: the analogue estimator.

use super::delivery::Delivery;
use super::history::Lists;
use super::{Collision, Scorer, Scores, Tally};
use crate::track::Plan;
use crate::track::bank::Bank;

/// Energy in every cell of the geometry.
pub struct Dose {
    scores: Scores,
}

impl Dose {
    /// Nothing yet.
    pub fn new(plan: &Plan) -> Self {
        let (problem, [_, collided]) = (plan.problem(), plan.weights());
        let scores = Scores::new(problem.geometry.cells(), collided * problem.source.max_energy());
        Self { scores: scores.in_units(&plan.units()) }
    }

    /// By cell, keV.
    pub fn scores(&self) -> &Scores {
        &self.scores
    }
}

impl Tally for Dose {
    fn scorer<'a>(&'a self, _plan: &'a Plan) -> Box<dyn Scorer + 'a> {
        Box::new(Deposits { lists: Lists::new(), delivery: Delivery::new(&self.scores) })
    }
}

/// A worker's side of it.
struct Deposits<'a> {
    lists: Lists,
    delivery: Delivery<'a>,
}

impl Scorer for Deposits<'_> {
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
