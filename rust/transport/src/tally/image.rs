//! Images of photons on a detector, by what happened to them, with exact standard errors.
//!
//! Cells: class (but for the primary image), channel, row, column, in that order. Primary and scattered photons have
//! scores of their own, since forced detection scores the two in very different units.

use super::delivery::Delivery;
use super::history::Lists;
use super::{Scorer, Scores, Tally};
use crate::detector::{CLASSES, Class, Detector, Response};
use crate::forced::{Forced, Forcing};
use crate::geometry::Bounds;
use crate::track::Plan;
use crate::track::axis::ENERGY;
use crate::track::bank::Bank;
use spinray_core::Result;

/// How an image is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Estimator {
    /// From the photons that arrive.
    Analogue,
    /// From what collisions are expected to send: see [`crate::forced`].
    Forced {
        /// 0 to 64: how many collisions are followed. About 2 takes the least time to a given error.
        effort: f64,
    },
}

/// A detector and what it has seen.
pub struct Image {
    detector: Detector,
    channels: usize,
    /// Response of each channel by energy.
    response: Vec<[f32; 2]>,
    primary: Scores,
    scatter: Scores,
    forced: Option<Forced>,
}

impl Image {
    /// Nothing seen yet.
    pub fn new(plan: &Plan, detector: Detector, response: &Response, estimator: Estimator) -> Result<Self> {
        response.check()?;
        let problem = plan.problem();
        detector.distance(problem.geometry.bounds())?;
        detector.faces(problem.geometry.bounds())?;
        let (channels, most) = (response.channels(), response.most(problem.source.max_energy()));
        let (forced, scale) = match estimator {
            Estimator::Analogue => (None, 1.0),
            Estimator::Forced { effort } => {
                let forced = Forced::new(plan, &detector, channels, effort)?;
                let scale = forced.most(plan, &detector)?;
                (Some(forced), scale)
            }
        };
        let (cells, [photons, collided]) = (channels * detector.pixels(), plan.weights());
        let primary = Scores::new(cells, photons * most);
        let scatter = Scores::new((CLASSES - 1) * cells, collided * scale * most);
        Ok(Self { detector, channels, response: response.tables(), primary, scatter, forced })
    }

    /// The detector.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Primary photons, keV or counts.
    pub fn primary(&self) -> &Scores {
        &self.primary
    }

    /// The other classes, keV or counts.
    pub fn scatter(&self) -> &Scores {
        &self.scatter
    }

    /// The cell of a class other than primary in [`Image::scatter`].
    #[inline(always)]
    pub fn cell(&self, class: Class, channel: usize, pixel: usize) -> usize {
        ((class as usize - 1) * self.channels + channel) * self.detector.pixels() + pixel
    }

    /// Mean per history and its standard error.
    pub fn estimate(&self, class: Class, channel: usize, pixel: usize, histories: u64) -> (f64, f64) {
        match class {
            Class::Primary => self.primary.estimate(channel * self.detector.pixels() + pixel, histories),
            _ => self.scatter.estimate(self.cell(class, channel, pixel), histories),
        }
    }

    /// What a photon adds to a channel, by interval of energy.
    #[inline(always)]
    pub fn response(&self, channel: usize) -> &[[f32; 2]] {
        &self.response[channel * ENERGY.intervals()..][..ENERGY.intervals()]
    }
}

impl Tally for Image {
    fn scorer<'a>(&'a self, plan: &'a Plan) -> Box<dyn Scorer + 'a> {
        match &self.forced {
            Some(forced) => Box::new(Forcing::new(self, forced, plan)),
            None => Box::new(Arrivals::new(self, plan.problem().geometry.bounds())),
        }
    }
}

/// A worker's side of an analogue image.
struct Arrivals<'a> {
    image: &'a Image,
    bounds: &'a Bounds,
    primary: (Lists, Delivery<'a>),
    scatter: (Lists, Delivery<'a>),
}

impl<'a> Arrivals<'a> {
    fn new(image: &'a Image, bounds: &'a Bounds) -> Self {
        let primary = (Lists::new(), Delivery::new(&image.primary));
        Self { image, bounds, primary, scatter: (Lists::new(), Delivery::new(&image.scatter)) }
    }
}

impl Scorer for Arrivals<'_> {
    fn leaving(&mut self, bank: &Bank, slots: &[u32]) {
        let image = self.image;
        for &slot in slots {
            let s = slot as usize;
            let (position, direction) = (self.bounds.world(bank.position(s)), bank.direction(s).map(f64::from));
            let Some(pixel) = image.detector.meets(position, direction) else { continue };
            let class = Class::of(bank.orders[s]);
            let (k, f) = ENERGY.place(bank.energy[s]);
            for channel in 0..image.channels {
                let [value, rise] = image.response(channel)[k];
                let score = bank.weight[s] * (value + f * rise);
                if score > 0.0 && class == Class::Primary {
                    self.primary.0.push(slot, (channel * image.detector.pixels() + pixel) as u32, score);
                } else if score > 0.0 {
                    let cells = [class, Class::Scatter].map(|class| image.cell(class, channel, pixel) as u32);
                    cells.iter().for_each(|&cell| self.scatter.0.push(slot, cell, score));
                }
            }
        }
    }

    fn finish(&mut self, _bank: &Bank, slots: &[u32]) {
        for (lists, delivery) in [&mut self.primary, &mut self.scatter] {
            slots.iter().for_each(|&slot| lists.combine(slot, |cell, score| delivery.add(cell, score)));
        }
    }
}
