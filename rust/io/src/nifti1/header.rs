//! The 348 bytes in front of a NIfTI-1 image, read and checked field by field: what `Layout` holds is
//! consistent, and its sizes cannot overflow. Whether the file really holds that much is up to `read`.

use super::affine;
use crate::Affine;
use nifti::{NiftiHeader, NiftiType};

/// Length of a header.
pub const HEADER: usize = 348;
/// Where the voxels of a single file begin at the earliest: header and extension flags.
pub const FIRST_VOXEL: u64 = 352;

/// What a header says about the voxels.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The header; its `endianness` is that of the voxels.
    pub header: NiftiHeader,
    /// Type of a voxel.
    pub kind: NiftiType,
    /// (y, x), (z, y, x) or (t, z, y, x).
    pub shape: Vec<usize>,
    /// Bytes of all voxels.
    pub bytes: usize,
    /// Bytes in front of them.
    pub offset: u64,
    /// Whether they follow in the same file (n+1) or stand in an .img beside it (ni1).
    pub same_file: bool,
    /// (slope, intercept), if they change anything.
    pub scaling: Option<(f64, f64)>,
    /// World position of the voxels, in millimetres.
    pub affine: Affine,
}

impl Layout {
    /// Reads a header; the error says what is wrong with the file.
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Self, String> {
        check_kind_of_file(bytes)?;
        let header = NiftiHeader::from_reader(&bytes[..]).map_err(|error| error.to_string())?;
        if header.sizeof_hdr != HEADER as i32 {
            return Err("its byte order is contradictory (sizeof_hdr against dim[0]); the header is damaged".into());
        }
        let kind = kind(&header)?;
        let shape = shape(&header)?;
        let bytes = shape
            .iter()
            .try_fold(kind.size_of(), |bytes, &n| bytes.checked_mul(n))
            .filter(|&bytes| isize::try_from(bytes).is_ok())
            .ok_or_else(|| format!("its header claims {shape:?} voxels, more than any memory holds; it is damaged"))?;
        let same_file = &header.magic == nifti::header::MAGIC_CODE_NIP1;
        let offset = offset(&header, same_file)?;
        let (scaling, affine) = (scaling(&header)?, affine::of_header(&header)?);
        Ok(Self { header, kind, shape, bytes, offset, same_file, scaling, affine })
    }
}

fn check_kind_of_file(bytes: &[u8; HEADER]) -> Result<(), String> {
    let first = [bytes[0], bytes[1], bytes[2], bytes[3]];
    match (i32::from_le_bytes(first), i32::from_be_bytes(first), &bytes[344..]) {
        (348, _, b"n+1\0" | b"ni1\0") | (_, 348, b"n+1\0" | b"ni1\0") => Ok(()),
        (348, _, _) | (_, 348, _) => Err("it is ANALYZE 7.5 or a damaged NIfTI-1 header: the mark 'n+1' or 'ni1' is \
             missing; convert it to NIfTI-1 (for example with nibabel)"
            .into()),
        (540, _, _) | (_, 540, _) => {
            Err("it is NIfTI-2; save it as NIfTI-1 (for example with nibabel.Nifti1Image.from_image)".into())
        }
        _ => Err("it is not a NIfTI-1 file (its first four bytes are not the number 348)".into()),
    }
}

fn kind(header: &NiftiHeader) -> Result<NiftiType, String> {
    use NiftiType::*;
    let kind = header.data_type().map_err(|_| format!("its datatype code {} is unknown", header.datatype))?;
    match kind {
        Rgb24 | Rgba32 => return Err("it holds colours (RGB); store a scalar image, one file for each channel".into()),
        Float128 | Complex256 => {
            return Err("it holds 128-bit floating point numbers; store it as float64 or complex128".into());
        }
        _ => {}
    }
    let bits = kind.size_of() * 8;
    // Old writers leave 0.
    if header.bitpix != 0 && usize::try_from(header.bitpix) != Ok(bits) {
        return Err(format!("its header contradicts itself: {kind:?} has {bits} bits, bitpix says {}", header.bitpix));
    }
    Ok(kind)
}

/// The shape in index order, slowest first; axes beyond the fourth must have length 1 and are dropped.
fn shape(header: &NiftiHeader) -> Result<Vec<usize>, String> {
    let rank = usize::from(header.dim[0]);
    if !(1..=7).contains(&rank) {
        return Err(format!("its header claims {rank} dimensions, NIfTI-1 has 1 to 7"));
    }
    let given = &header.dim[1..=rank];
    // The field is a signed 16-bit number.
    if given.iter().any(|&n| n == 0 || n > i16::MAX as u16) {
        return Err(format!("its header claims {given:?} voxels, each must be 1 to 32767"));
    }
    if rank == 1 || given.iter().skip(4).any(|&n| n > 1) {
        return Err(format!(
            "it holds {given:?} voxels (x first); images of 2 to 4 dimensions (x, y, z, t) can be read"
        ));
    }
    Ok(given.iter().take(4).rev().map(|&n| usize::from(n)).collect())
}

fn offset(header: &NiftiHeader, same_file: bool) -> Result<u64, String> {
    let given = header.vox_offset;
    // Above 2^24 not every integer is a float32, but those that are stand for themselves.
    let valid = given.is_finite() && given >= 0.0 && given.fract() == 0.0 && given < 1e15;
    if !valid || (same_file && (given as u64) < FIRST_VOXEL) {
        let least = if same_file { FIRST_VOXEL } else { 0 };
        return Err(format!("its vox_offset is {given}; expected a whole number >= {least}"));
    }
    Ok(given as u64)
}

/// The standard turns scaling off by slope 0; NaN is what nibabel writes for the same.
fn scaling(header: &NiftiHeader) -> Result<Option<(f64, f64)>, String> {
    let (slope, intercept) = (f64::from(header.scl_slope), f64::from(header.scl_inter));
    if slope == 0.0 || !slope.is_finite() || (slope, intercept) == (1.0, 0.0) {
        return Ok(None);
    }
    if !intercept.is_finite() {
        return Err(format!("its scl_slope is {slope}, but its scl_inter is {intercept}"));
    }
    Ok(Some((slope, intercept)))
}
