//! Pair production, as far as photons see it.
//!
//! The kinetic energy E - 2 mc2 of electron and positron is deposited on the spot, where the positron also annihilates
//! at rest: two photons of mc2 leave back to back in a uniform direction. Neglected: the range of both, annihilation
//! in flight, the recoil of an electron in triplet production (which carries mc2 at the most).

use super::isotropic;
use crate::ELECTRON;
use crate::random::Uniform;

/// The energy a photon of `energy` keV deposits, and the directions of the two annihilation photons.
pub fn sample(energy: f32, random: &mut impl Uniform) -> (f32, [[f32; 3]; 2]) {
    let direction = isotropic(random);
    ((energy - (2.0 * ELECTRON) as f32).max(0.0), [direction, direction.map(|x| -x)])
}
