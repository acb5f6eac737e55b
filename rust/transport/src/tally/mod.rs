//! What is counted.
//!
//! A [`Tally`] is shared by all workers and holds sums of integers, or lists; each worker has a [`Scorer`] for it, which
//! the tracking loop tells, a batch at a time, about flights, collisions, photons that leave, and histories that end.

mod crossing;
mod delivery;
mod dose;
mod history;
mod image;
mod interactions;
mod leaving;
mod passage;
mod quantity;
mod scores;
mod track_length;

pub use crossing::{Crossings, Rectangle};
pub use dose::Dose;
pub use image::{Estimator, Image};
pub use interactions::{Interaction, Interactions};
pub use leaving::{Escapes, Leaving};
pub use quantity::{Bins, Quantity};
pub use scores::Scores;
pub(crate) use track_length::Grid as Faces;
pub use track_length::{Target, TrackLength};

use crate::source::Particle;
use crate::track::Plan;
use crate::track::bank::{Bank, Fate};

/// One collision.
#[derive(Clone, Copy, Debug)]
pub struct Collision {
    /// Slot of the bank, where the photon's place, direction before and energy after the collision are.
    pub slot: u32,
    /// Scoring cell.
    pub cell: u32,
    /// Energy left on the spot, keV times weight.
    pub deposit: f32,
    /// The process.
    pub process: Fate,
}

impl Collision {
    #[inline(always)]
    pub(crate) fn new(slot: usize, cell: u32, deposit: f32, process: Fate) -> Self {
        Self { slot: slot as u32, cell, deposit, process }
    }
}

/// One worker's side of a tally.
pub trait Scorer {
    /// Whether `births` does anything.
    fn wants_births(&self) -> bool {
        false
    }

    /// A photon of the source has come into this slot, to where it enters the geometry; or has missed it.
    fn births(&mut self, _bank: &Bank, _slot: u32, _source: &Particle) {}

    /// Whether `flights` does anything.
    fn wants_flights(&self) -> bool {
        false
    }

    /// Flights of `bank.path` along `bank`'s directions from where the photons are.
    fn flights(&mut self, _bank: &Bank) {}

    /// Whether `strikes` does anything.
    fn wants_strikes(&self) -> bool {
        false
    }

    /// Photons whose fate is a process collide where they are, and still are as they came.
    fn strikes(&mut self, _bank: &Bank) {}

    /// Collisions at the ends of flights.
    fn collisions(&mut self, _bank: &Bank, _collisions: &[Collision]) {}

    /// Photons of these slots leave the geometry for good, from where they are; those of `alive` 2 have missed it.
    fn leaving(&mut self, _bank: &Bank, _slots: &[u32]) {}

    /// The histories of these slots have ended.
    fn finish(&mut self, _bank: &Bank, _slots: &[u32]) {}
}

/// Something to count, filled by any number of threads.
pub trait Tally: Send + Sync {
    /// A worker's side of it.
    fn scorer<'a>(&'a self, plan: &'a Plan) -> Box<dyn Scorer + 'a>;
}
