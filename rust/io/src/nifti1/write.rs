//! Writing: everything into a temporary file of the same folder, then one rename.

use super::affine;
use super::header::FIRST_VOXEL;
use crate::{Affine, Voxel};
use ndarray::{ArrayView, IxDyn};
use nifti::{NiftiHeader, writer::WriterOptions};
use spinray_core::{Error, Job, Result};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes an image of shape (y, x), (z, y, x) or (t, z, y, x), C order, to a .nii or .nii.gz file.
pub fn write<T: Voxel>(path: &Path, shape: &[usize], entries: &[T], affine: &Affine, job: &Job) -> Result<()> {
    let suffix = suffix(path)?;
    check_shape(shape, entries.len())?;
    let mut header = NiftiHeader::default();
    affine::into_header(affine, &mut header).map_err(|problem| Error::invalid("affine", problem))?;
    let array =
        ArrayView::from_shape(IxDyn(shape), entries).map_err(|error| Error::invalid("data", error.to_string()))?;

    let temporary = Temporary::beside(path, suffix)?;
    let failed = |error: &dyn std::fmt::Display| Error::File(format!("{}: cannot be written: {error}", path.display()));
    let options = WriterOptions::new(&temporary.0).reference_header(&header);
    T::write(array.reversed_axes(), &options).map_err(|error| failed(&error))?;
    // The crate drops its buffer without looking whether the last bytes reached the disk.
    let written = std::fs::metadata(&temporary.0).map_err(|error| failed(&error))?.len();
    if suffix == ".nii" && written != FIRST_VOXEL + size_of_val(entries) as u64 {
        return Err(failed(&"the disk is full"));
    }
    job.check()?;
    std::fs::rename(&temporary.0, path).map_err(|error| failed(&error))
}

fn suffix(path: &Path) -> Result<&'static str> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    [".nii.gz", ".nii"].into_iter().find(|suffix| name.ends_with(suffix)).ok_or_else(|| {
        Error::invalid("path", format!("expected a name ending on .nii or .nii.gz, got {}", path.display()))
    })
}

fn check_shape(shape: &[usize], entries: usize) -> Result<()> {
    if !(2..=4).contains(&shape.len()) {
        return Err(Error::invalid("data", format!("expected 2 to 4 dimensions (t, z, y, x), got shape {shape:?}")));
    }
    if shape.iter().any(|&n| n == 0 || n > i16::MAX as usize) {
        return Err(Error::invalid(
            "data",
            format!("NIfTI-1 holds 1 to 32767 voxels along an axis, got shape {shape:?}"),
        ));
    }
    if shape.iter().product::<usize>() != entries {
        return Err(Error::invalid("data", format!("got {entries} voxels for shape {shape:?}")));
    }
    Ok(())
}

/// A file that is removed again unless it is renamed.
struct Temporary(PathBuf);

impl Temporary {
    /// The name holds no dot but the suffix's: the crate replaces whatever follows one.
    fn beside(path: &Path, suffix: &str) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(Error::File(format!("{}: its folder does not exist", path.display())));
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
        let name = format!("spinray-{}-{}-{time}{suffix}", process::id(), COUNT.fetch_add(1, Relaxed));
        Ok(Self(folder.join(name)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing left under this name.
        let _ = std::fs::remove_file(&self.0);
    }
}
