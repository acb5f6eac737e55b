"""What the demo is given: a slice of a CT image, or a raw measurement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import data, io
from ..errors import InputError
from ..grid import Grid, Volume

__all__ = ["Measurement", "Slice", "load", "sample"]

#: Larger slices are averaged over blocks of pixels.
_MOST_PIXELS, _LEAST_PIXELS = 640, 16
#: An image whose least value is above this has no air in it, nor lung: no CT numbers.
_NOT_CT_ABOVE = -200.0
#: CT numbers that the range of other images is spread over.
_AIR_HU, _BRIGHT_HU = -1000.0, 600.0


@dataclass(frozen=True)
class Slice:
    """A slice of an image: CT numbers in HU, (y, x) growing with +y and +x, on a grid centred on the axis."""

    name: str
    hu: np.ndarray
    grid: Grid
    notes: tuple[str, ...]

    def placed(self, image: np.ndarray, grid: Grid | None = None) -> Volume:
        """Return an image of this slice with its place, for figures with the patient's right on the left."""
        return Volume(image, (grid or self.grid).affine)


@dataclass(frozen=True)
class Measurement:
    """A raw measurement."""

    name: str
    raw: io.RawSinogram


def load(path: str | None) -> Slice | Measurement:
    """Read a DICOM file or folder, a NIfTI file or a raw sinogram, told apart by content; the sample if None.

    Raises
    ------
    InputError, FileError
        If it is none of these, or damaged.
    """
    if path is None:
        return sample()
    file = Path(path).expanduser()
    if not file.exists():
        raise InputError(f"--input: {path} does not exist. A DICOM folder or file, a NIfTI file or a raw sinogram?")
    name = file.resolve().name
    if file.is_dir():
        return _slice(name, io.read_dicom(file))
    kind = _kind(file)
    if kind == "sinogram":
        return Measurement(name, io.read_sinogram(file))
    return _slice(name, io.read_dicom(file) if kind == "dicom" else io.read_nifti(file))


def sample() -> Slice:
    """Return the slice that is scanned when nothing else is given."""
    return _slice("CT_small.dcm, a real slice from pydicom's test files", io.read_dicom(data.sample("ct_small")))


def _kind(file: Path) -> str:
    with open(file, "rb") as stream:
        begin = stream.read(132)
    ending = file.name.lower()
    if begin.startswith((b"\x89HDF", b"MATLAB")) or ending.endswith((".h5", ".hdf5", ".hdf", ".nxs", ".mat")):
        return "sinogram"
    if begin[128:132] == b"DICM" or ending.endswith((".dcm", ".dicom", ".ima")):
        return "dicom"
    if ending.endswith((".nii", ".nii.gz", ".hdr", ".img")):
        return "nifti"
    raise InputError(
        f"--input: {file.name} is none of: DICOM (folder or file), NIfTI (.nii, .nii.gz, .hdr), raw sinogram "
        "(HDF5 /exchange, MATLAB of the Helsinki challenge)"
    )


def _slice(name: str, volume: Volume) -> Slice:
    notes: list[str] = []
    image, spacing = _middle(volume, notes)
    image = np.ascontiguousarray(image, np.float32)
    if min(image.shape) < _LEAST_PIXELS:
        raise InputError(f"--input: {name} has slices of {image.shape} pixels; at least {_LEAST_PIXELS} are needed")
    block = -(-max(image.shape) // _MOST_PIXELS)
    if block > 1:
        rows, columns = (n // block for n in image.shape)
        image = image[: rows * block, : columns * block].reshape(rows, block, columns, block).mean((1, 3))
        spacing = (spacing[0] * block, spacing[1] * block)
        notes.append(f"averaged over blocks of {block} x {block} pixels")
    if float(np.ptp(image)) == 0:
        raise InputError(f"--input: {name} has the same value everywhere in its middle slice")
    return Slice(name, _in_hu(image, notes), Grid(image.shape, spacing), tuple(notes))


def _middle(volume: Volume, notes: list[str]) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the middle slice (y, x) of the (first) volume, and its spacing."""
    values: Any = volume.data
    if np.iscomplexobj(values):
        raise InputError(f"--input: a complex image, {values.dtype}; expected CT numbers")
    if values.ndim == 4:
        notes.append(f"the first of {len(values)} volumes")
        values = values[0]
    grid = volume.grid
    if grid.is_oblique:
        notes.append("oblique: the middle slice as it was stored")
    else:
        values, grid = grid.to_aligned(values), grid.axis_aligned()
    if values.ndim == 3:
        if len(values) > 1:
            notes.append(f"slice {len(values) // 2 + 1} of {len(values)}")
        values = values[len(values) // 2]
    return values, (grid.spacing[-2], grid.spacing[-1])


def _in_hu(image: np.ndarray, notes: list[str]) -> np.ndarray:
    """Return CT numbers, none below air; an image of another kind is spread over those of tissue."""
    if image.min() > _NOT_CT_ABOVE:
        low, high = float(image.min()), float(np.quantile(image, 0.995))
        high = high if high > low else float(image.max())
        notes.append(
            f"values from {low:.4g} to {image.max():.4g} are no CT numbers: {low:.4g} is taken for {_AIR_HU:g} HU "
            f"and {high:.4g} for {_BRIGHT_HU:g} HU"
        )
        image = _AIR_HU + (image - low) * np.float32((_BRIGHT_HU - _AIR_HU) / (high - low))
    return np.maximum(image, np.float32(_AIR_HU))
