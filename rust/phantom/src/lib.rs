//! Random anatomy to learn from: attenuation maps with labels, of which no two are alike.
//!
//! A phantom is a model in continuous space, drawn from (seed, index): solids with smooth random outlines (`solid`),
//! branching vessels (`vessels`), random fields for texture and for bending everything (`noise`), put together to a
//! family of anatomies (`family`). `render` evaluates the model where the voxels are, so that one seed gives the same
//! anatomy on any grid, and an image is a slice of the volume.

mod draw;
pub mod family;
mod noise;
mod render;
mod solid;
pub mod tissue;
mod vessels;

pub use family::Family;
pub use render::{Extent, textured};
