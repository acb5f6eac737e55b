"""Files in and out: NIfTI-1, CT series in DICOM, raw sinograms.

A file is read completely or not at all, and written under a temporary name that is renamed at the end. Every reader
refuses damaged files and non-finite values with a `spinray.errors.FileError` (an `OSError`) that names the file.
"""

from .dicom import read_dicom
from .nifti import read_nifti, write_nifti
from .sinogram import RawSinogram, read_sinogram

__all__ = ["RawSinogram", "read_dicom", "read_nifti", "read_sinogram", "write_nifti"]
