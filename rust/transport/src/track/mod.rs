//! The tracking loop: histories in, tallies out.
//!
//! Every worker keeps a bank of photons ([`bank`]) and moves all of them by a step at a time: random numbers, flights,
//! places, decisions, then each process for the photons it has caught, then directions; slots whose history has ended
//! take the next. Each stage is a plain loop over arrays, compiled for the widest lanes of the processor.
//!
//! Analogue unless biased ([`biasing`]), in single precision; positions relative to the corner of the geometry. A photon below 1 keV is absorbed.
//! A history's numbers depend on (seed, history) only and no operation is fused, so results have the same bits for any
//! number of threads, any split of the histories and any instruction set.

pub mod axis;
pub mod bank;
mod biasing;
#[cfg(test)]
mod buildup;
pub mod math;
mod plan;
mod regions;
mod stages;
mod supply;
mod tables;
mod worker;

pub use biasing::Biasing;
pub use plan::{Done, Physics, Plan, Problem};
pub use tables::Attenuation;

#[cfg(test)]
pub(crate) use plan::tests as plan_tests;
