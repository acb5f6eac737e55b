"""NIfTI-1 through Rust (`spinray-io`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks, _core
from ..errors import DtypeError, FileError, InputError
from ..grid import Volume
from ._files import as_path, existing_file, refuse_non_finite

__all__ = ["read_nifti", "write_nifti"]


def read_nifti(path: Any, *, nonfinite: float | None = None) -> Volume:
    """Read a NIfTI-1 image: .nii, .nii.gz, or a pair of .hdr and .img.

    Parameters
    ----------
    path : str or path-like
        The file; of a pair, either one.
    nonfinite : float, optional
        Value that replaces NaN and infinity, which some programs write outside the head. Unless given, they are
        refused.

    Returns
    -------
    Volume
        ``data`` of shape (y, x), (z, y, x) or (t, z, y, x), C order; ``affine`` in mm, RAS+, as nibabel gives it
        (sform, else qform, else the voxel sizes about the centre), with lengths in m and um turned into mm.

    Raises
    ------
    FileError
        If the file is missing, truncated, damaged, or no NIfTI-1 image of 2 to 4 dimensions; if its affine is
        singular or sheared, or values are not finite.

    Notes
    -----
    Voxels keep their dtype. Where the header scales them (``scl_slope``, ``scl_inter``), integers of 8 and 16 bits
    become float32, wider ones and float64 become float64, float32 and complex stay; the products are computed in
    double. Colours (RGB) and 128-bit numbers are refused.

    References
    ----------
    .. [1] R. W. Cox et al., "A (sort of) new image data format standard: NIfTI-1", NeuroImage 22, e1440 (2004).

    Examples
    --------
    >>> import numpy as np, tempfile, spinray
    >>> volume = spinray.Volume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.diag([1.0, 1.0, 5.0, 1.0]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     spinray.io.write_nifti(f"{folder}/scan.nii.gz", volume)
    ...     spinray.io.read_nifti(f"{folder}/scan.nii.gz")
    Volume(shape=(2, 3, 4), dtype=int16, spacing (x, y, z)=(1, 1, 5) mm)
    """
    file = existing_file(path, "a .nii, .nii.gz, .hdr or .img file (a folder of slices is for read_dicom)")
    if nonfinite is not None:
        nonfinite = _checks.number("nonfinite", nonfinite)
    data, affine = _core.nifti_read(file)
    if nonfinite is None:
        refuse_non_finite(str(file), data, "Pass nonfinite=0.0 to replace them")
    elif data.dtype.kind in "fc":
        data[~np.isfinite(data)] = nonfinite
    try:
        return Volume(data, affine)
    except InputError as error:
        raise FileError(f"{file}: {error}") from None


def write_nifti(path: Any, volume: Any) -> None:
    """Write a volume to a NIfTI-1 file, gzipped if the name ends on .gz.

    Parameters
    ----------
    path : str or path-like
        Name ending on .nii or .nii.gz. An existing file is replaced at the end, when all is written.
    volume : Volume
        2-D to 4-D. Integers, float32, float64 and complex numbers keep their dtype; bool becomes uint8, float16
        becomes float32.

    Raises
    ------
    InputError
        If the name has another ending, an axis is longer than 32767, or the affine is not finite in single precision.
    DtypeError
        If `volume` is no `Volume`, or its dtype is one NIfTI-1 does not have.
    FileError
        If the file cannot be written; nothing is left behind then.

    Notes
    -----
    The affine goes, in the format's single precision, into the sform and into the qform.

    Examples
    --------
    >>> import numpy as np, tempfile, spinray
    >>> volume = spinray.Volume(np.ones((4, 5, 6), np.float32), spinray.Grid((4, 5, 6), spacing=2.0).affine)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     spinray.io.write_nifti(f"{folder}/ones.nii", volume)
    """
    file = as_path(path)
    if not isinstance(volume, Volume):
        raise DtypeError(
            f"volume: expected a spinray.Volume, got {type(volume).__name__}. "
            "Give an array its place first: Volume(array, grid.affine)"
        )
    data = volume.data
    if data.dtype == bool:
        data = data.astype(np.uint8)
    elif data.dtype == np.float16:
        data = data.astype(np.float32)
    elif data.dtype.kind not in "iufc" or data.dtype.itemsize > (16 if data.dtype.kind == "c" else 8):
        raise DtypeError(f"volume: expected integers, float32, float64 or complex, got dtype {data.dtype}")
    # Native byte order, and C order as the file wants it.
    data = np.require(data, data.dtype.newbyteorder("="), "C")
    _core.nifti_write(file, data, np.ascontiguousarray(volume.affine, np.float64))
