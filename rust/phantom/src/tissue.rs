//! The tissues: names, attenuation at 60 keV, and the texture of each.
//!
//! Attenuation is the mass attenuation coefficient of NIST's tables (Hubbell & Seltzer 1995; ICRU 44 compositions) times
//! usual densities; the range is what the means of different phantoms lie in. Texture is a random field with the power
//! spectrum f^-slope in a slice, as measured in breast CT (slopes 1.5 to 2.5: Metheny et al. 2008, Med. Phys. 35, 4685;
//! Chen et al. 2012, Med. Phys. 39, 1435) and, for spongiosa and lung, chosen to look like them; its standard deviation
//! is relative to the mean.

use crate::draw::Draw;
use crate::noise::{LATTICE, OCTAVES};

/// What is known of a tissue; its label is its place in [`TISSUES`].
#[derive(Debug)]
pub struct Tissue {
    /// What it is called.
    pub name: &'static str,
    /// Least and largest mean attenuation in 1/mm.
    pub range: [f32; 2],
    /// Standard deviation of the texture over the mean.
    pub texture: f32,
    /// Power spectrum of the texture in a slice: f^-slope.
    pub slope: f32,
}

const fn tissue(name: &'static str, low: f32, high: f32, texture: f32, slope: f32) -> Tissue {
    Tissue { name, range: [low, high], texture, slope }
}

/// All tissues, by label.
pub const TISSUES: [Tissue; 21] = [
    tissue("air", 0.0, 0.0, 0.0, 2.0),
    tissue("skin", 0.0212, 0.0222, 0.02, 2.0),
    tissue("fat", 0.0184, 0.0191, 0.02, 2.5),
    tissue("muscle", 0.0211, 0.0219, 0.022, 2.0),
    tissue("soft tissue", 0.0205, 0.0215, 0.02, 2.5),
    tissue("cortical bone", 0.046, 0.06, 0.05, 2.0),
    tissue("spongiosa", 0.026, 0.034, 0.1, 1.0),
    tissue("cartilage", 0.0218, 0.0235, 0.02, 2.0),
    tissue("lung", 0.0035, 0.0065, 0.22, 2.2),
    tissue("vessel", 0.0214, 0.0245, 0.01, 2.0),
    tissue("nodule", 0.0204, 0.0228, 0.025, 2.0),
    tissue("heart muscle", 0.0213, 0.0222, 0.02, 2.0),
    tissue("liver", 0.0214, 0.0226, 0.022, 2.0),
    tissue("spleen", 0.0214, 0.0224, 0.02, 2.0),
    tissue("kidney", 0.0213, 0.0235, 0.025, 2.0),
    tissue("bowel wall", 0.0208, 0.0218, 0.02, 2.0),
    tissue("bowel content", 0.02, 0.0216, 0.04, 1.5),
    tissue("gas", 0.0, 0.0002, 0.1, 2.0),
    tissue("grey matter", 0.02155, 0.0217, 0.004, 2.0),
    tissue("white matter", 0.0211, 0.02125, 0.004, 2.5),
    tissue("fluid", 0.0205, 0.0208, 0.005, 2.0),
];

macro_rules! labels {
    ($($name:ident = $label:literal),*) => { $(pub(crate) const $name: usize = $label;)* };
}
labels!(
    SKIN = 1,
    FAT = 2,
    MUSCLE = 3,
    SOFT = 4,
    CORTICAL = 5,
    SPONGIOSA = 6,
    CARTILAGE = 7,
    LUNG = 8,
    VESSEL = 9,
    NODULE = 10,
    HEART = 11,
    LIVER = 12,
    SPLEEN = 13,
    KIDNEY = 14,
    BOWEL_WALL = 15,
    CONTENT = 16,
    GAS = 17,
    GREY = 18,
    WHITE = 19,
    FLUID = 20
);

/// Part of the texture's standard deviation that is added as slow gradients.
const GRADIENT: f32 = 0.5;
/// Octaves of the noise that make the gradients; those after them make the texture.
const GRADIENT_OCTAVES: usize = 2;

/// A tissue as it is in one phantom.
#[derive(Clone, Debug)]
pub struct Paint {
    /// Label.
    pub label: u8,
    /// Mean attenuation in 1/mm.
    pub mean: f32,
    /// What each octave of the noise, of unit variance, adds, in 1/mm.
    pub weights: [f32; OCTAVES],
}

impl Paint {
    /// A tissue with a mean of its own.
    pub fn new(label: usize, draw: &mut Draw) -> Self {
        let Tissue { range, texture, slope, .. } = &TISSUES[label];
        let mean = draw.within(range[0], range[1]);
        Self { label: label as u8, mean, weights: octave_weights(*texture, *slope).map(|weight| mean * weight) }
    }
}

/// Standard deviations of the octaves of a field with spectrum f^-slope in a slice.
///
/// An octave holds the spectrum over an interval of frequencies that doubles, so that its variance in the plane goes as
/// f^2 f^-slope.
fn octave_weights(deviation: f32, slope: f32) -> [f32; OCTAVES] {
    let mut weights = [0.0; OCTAVES];
    for (weight, lattice) in weights.iter_mut().zip(LATTICE).skip(GRADIENT_OCTAVES) {
        *weight = lattice.powf(slope / 2.0 - 1.0);
    }
    let scale = deviation / weights.iter().map(|w| w * w).sum::<f32>().sqrt();
    weights = weights.map(|weight| weight * scale);
    weights[..GRADIENT_OCTAVES].fill(deviation * GRADIENT / (GRADIENT_OCTAVES as f32).sqrt());
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octaves_add_up_to_the_texture_and_fall_with_its_slope() {
        let weights = octave_weights(0.1, 3.0);
        let variance: f32 = weights[GRADIENT_OCTAVES..].iter().map(|w| w * w).sum();
        assert!((variance - 0.01).abs() < 1e-6);
        assert!((weights[3] / weights[5] - 2.0).abs() < 1e-5, "a factor 4 of scale, to the power (3 - 2) / 2");
    }

    #[test]
    fn the_named_labels_are_those_of_the_table() {
        for (label, name) in [(SKIN, "skin"), (LUNG, "lung"), (KIDNEY, "kidney"), (GAS, "gas"), (FLUID, "fluid")] {
            assert_eq!(TISSUES[label].name, name);
        }
    }
}
