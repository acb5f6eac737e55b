//! Monte Carlo transport of photons, 1 keV to 3 MeV: energies in keV, lengths in mm, densities in g/cm3.

pub mod detector;
pub mod forced;
pub mod geometry;
pub mod matter;
pub mod process;
pub mod random;
pub mod source;
pub mod tally;
pub mod track;

/// Photons below this energy in keV are absorbed where they are.
pub const E_MIN: f64 = 1.0;
/// Largest energy of a photon in keV.
pub const E_MAX: f64 = 3000.0;
/// Energy of an electron at rest in keV (CODATA 2018).
pub const ELECTRON: f64 = 510.998_95;
/// Planck's constant times the speed of light in keV Angstrom (CODATA 2018).
pub const HC: f64 = 12.398_419_84;
