//! Image files in and out: NIfTI-1. A file is read completely or not at all, and written under a
//! temporary name that is renamed once everything is on disk.

pub mod image;
pub mod nifti1;

pub use image::{Affine, Entries, Image, Voxel};
