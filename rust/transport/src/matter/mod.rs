//! What photons meet: cross sections, form factors and atomic shells of the elements, and mixtures of them.
//!
//! Mass attenuation is in cm2/g, energies are in keV, momentum transfers x = sin(theta/2)/lambda in 1/Angstrom. Atoms
//! are independent: a mixture is the sum of its elements, without molecular or crystalline interference.
//!
//! Coherent scattering has two sources that do not quite agree. Cross sections are EPDL97's, of relativistic form
//! factors; angles follow the square of F(x), whose integral is smaller: by 0.4 % in oxygen, 0.7 % in calcium, 3 to 6 %
//! in iodine, 6 to 13 % in lead, from 60 to 600 keV. What is sampled is the shape of the one with the total of the other.

mod curve;
mod data;
pub mod element;
pub mod material;
mod pair;
mod radiative;
pub mod relaxation;

pub use element::{Element, Shell, element};
pub use material::{Kind, Material};
