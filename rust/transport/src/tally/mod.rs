//! What is counted.
//!
//! A tally is shared by all workers and holds sums of integers; each worker has a [`Scorer`] for it, which the tracking
//! loop tells, a batch at a time, about flights, collisions, photons that leave, and histories that end.

mod delivery;
mod dose;
mod history;
mod image;
mod leaving;
mod scores;
mod track_length;

pub use image::{Estimator, Image};
pub use leaving::Leaving;
pub use scores::Scores;

use crate::geometry::Geometry;
use crate::track::Plan;
use crate::track::bank::{Bank, Fate};
use dose::Analogue;
use leaving::{Door, Escapes};
use spinray_core::Result;
use track_length::{TrackLength, Transfer};

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

/// What to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Energy deposited in each cell at collisions.
    Dose,
    /// Energy transferred to electrons in each cell, by the lengths of flights.
    TrackLength,
    /// Every photon that leaves the geometry.
    Leaving,
}

/// The tallies of a run, filled by any number of threads.
#[derive(Default)]
pub struct Tallies {
    dose: Option<Scores>,
    track_length: Option<(Scores, Transfer)>,
    leaving: Option<Escapes>,
    images: Vec<Image>,
}

impl Tallies {
    /// Empty tallies.
    pub fn new(plan: &Plan, requests: &[Request]) -> Result<Self> {
        let problem = plan.problem();
        let energy = problem.source.max_energy();
        let mut tallies = Self::default();
        for request in requests {
            match request {
                Request::Dose => tallies.dose = Some(Scores::new(problem.geometry.cells(), energy)),
                Request::TrackLength => {
                    let transfer = Transfer::new(&problem.geometry)?;
                    let scale = transfer.scale(energy);
                    tallies.track_length = Some((Scores::new(problem.geometry.cells(), scale), transfer));
                }
                Request::Leaving => tallies.leaving = Some(Escapes::default()),
            }
        }
        Ok(tallies)
    }

    /// Energy deposited in each cell at collisions, keV.
    pub fn dose(&self) -> Option<&Scores> {
        self.dose.as_ref()
    }

    /// Energy transferred in each cell by the lengths of flights, keV.
    pub fn track_length(&self) -> Option<&Scores> {
        self.track_length.as_ref().map(|(scores, _)| scores)
    }

    /// The same with one more image.
    #[must_use]
    pub fn with(mut self, image: Image) -> Self {
        self.images.push(image);
        self
    }

    /// Images, in the order in which they were added.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The photons that have left so far, by history and in the order they left.
    pub fn leaving(&self) -> Option<Vec<Leaving>> {
        self.leaving.as_ref().map(Escapes::photons)
    }

    /// A worker's side of all of them.
    pub(crate) fn scorers<'a>(&'a self, plan: &'a Plan) -> Vec<Box<dyn Scorer + 'a>> {
        let mut scorers: Vec<Box<dyn Scorer>> = Vec::new();
        if let Some(scores) = &self.dose {
            scorers.push(Box::new(Analogue::new(scores)));
        }
        if let (Some((scores, transfer)), Geometry::Voxels(voxels)) = (&self.track_length, &*plan.problem().geometry) {
            scorers.push(Box::new(TrackLength::new(scores, transfer, voxels)));
        }
        if let Some(escapes) = &self.leaving {
            scorers.push(Box::new(Door::new(escapes, plan.problem().geometry.bounds())));
        }
        scorers.extend(self.images.iter().map(|image| image.scorer(plan)));
        scorers
    }
}
