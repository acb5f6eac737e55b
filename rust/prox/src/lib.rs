//! Proximal maps: the non-smooth half of regularised reconstruction.

pub mod tv;
