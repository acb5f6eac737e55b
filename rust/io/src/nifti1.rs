//! NIfTI-1: .nii, .nii.gz, and .hdr/.img pairs (R. W. Cox et al. 2004, nifti1.h).
//!
//! The `nifti` crate parses the header, decodes the voxels and writes files. It trusts what it reads
//! (it allocates what a header claims, and panics on some), so `header` checks every field that is used
//! before `read` allocates anything, and no more is ever allocated than the file turns out to hold.

mod affine;
mod header;
mod read;
mod write;

pub use read::{decode, read};
pub use write::write;

#[cfg(test)]
mod fuzz;
