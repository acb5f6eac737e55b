//! What photons meet: cross sections, form factors and atomic shells of the elements, and mixtures of them.
//!
//! Mass attenuation is in cm2/g, energies are in keV, momentum transfers x = sin(theta/2)/lambda in 1/Angstrom. Atoms
//! are independent: a mixture is the sum of its elements, without molecular or crystalline interference.

mod curve;
mod data;
pub mod element;
pub mod material;
mod pair;
mod radiative;
pub mod relaxation;

pub use element::{Element, Shell, element};
pub use material::{Kind, Material};
