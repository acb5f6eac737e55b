//! Families of anatomies: what a body of each kind is made of, in mm; +x is the patient's right, +y the front, +z the head.
//!
//! Sizes are those of adults, in rough agreement with ICRP 110 and with atlases of sectional anatomy; a draw varies each
//! of them, the level of the slice z = 0 among them. The aim is the variety and the statistics of sections, not anatomy.

mod abdomen;
mod common;
mod head;
mod limb;
mod thorax;

use crate::draw::Draw;
use crate::render::Part;
use spinray_core::{Error, Result};

/// Which kind of body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Lungs, heart, great vessels, ribs, spine.
    Thorax,
    /// Liver, kidneys, spleen, stomach, bowel, spine.
    Abdomen,
    /// Skull, brain, ventricles, sinuses.
    Head,
    /// Muscles around long bones.
    Limb,
}

/// A phantom in continuous space.
pub struct Model {
    /// Painted in this order.
    pub parts: Vec<Part>,
    /// Standard deviation of the slow fields that bend it, mm.
    pub bend: f32,
    /// Key of the random fields.
    pub key: [u32; 2],
}

impl Family {
    /// All of them, by name, with the field of view in mm that holds any of their bodies.
    pub const ALL: [(&'static str, Family, f64); 4] = [
        ("thorax", Family::Thorax, 400.0),
        ("abdomen", Family::Abdomen, 420.0),
        ("head", Family::Head, 240.0),
        ("limb", Family::Limb, 220.0),
    ];

    /// The family of that name.
    pub fn of(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|(known, ..)| *known == name);
        let names = Self::ALL.map(|(known, ..)| known);
        found
            .map(|(_, family, _)| family)
            .ok_or_else(|| Error::invalid("family", format!("expected one of {}, got {name}", names.join(", "))))
    }

    /// Draws phantom `index` under `seed`; vessels further than `height` mm from the plane z = 0 may be left out.
    pub fn model(self, seed: u64, index: u64, height: f32) -> Model {
        // Bodies of different families under one seed have nothing in common.
        let mut draw = Draw::new(seed.wrapping_add((self as u64) << 40), index);
        let key = draw.key();
        let (parts, bend) = match self {
            Family::Thorax => (thorax::parts(&mut draw, height), 5.0),
            Family::Abdomen => (abdomen::parts(&mut draw, height), 5.0),
            Family::Head => (head::parts(&mut draw), 2.0),
            Family::Limb => (limb::parts(&mut draw), 3.0),
        };
        Model { parts, bend, key }
    }
}
