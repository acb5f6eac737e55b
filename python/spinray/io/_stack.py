"""Slices put together: sorted along their normal, checked to be a regular grid, or interpolated to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..errors import FileError
from ._dicom_slices import Slice

__all__ = ["in_order", "interpolated", "regular_step", "to_ras"]

#: Slices closer than this part of the usual distance lie at the same position.
_SAME_POSITION = 1e-3
#: A step further from the normal than this (sine of the angle) is a gantry tilt, which no grid can hold.
_TILT = 1e-3
#: Air, where an interpolated grid reaches beyond the images.
AIR_HU = -1000.0


def in_order(slices: Sequence[Slice], where: Path) -> list[Slice]:
    """Return the slices sorted along their normal.

    Raises
    ------
    FileError
        If they differ in size, spacing or orientation, or two lie at the same position.
    """
    first = slices[0]
    for other in slices:
        for what, same in (
            ("size", other.shape == first.shape),
            ("PixelSpacing", np.allclose(other.spacing, first.spacing, rtol=1e-3)),
            ("ImageOrientationPatient", np.allclose(_axes(other), _axes(first), atol=1e-3)),
        ):
            if not same:
                raise FileError(
                    f"{where}: {first.name} and {other.name} differ in {what}: no volume. "
                    "Localiser or second reconstruction? Move one of them to a folder of its own"
                )
    ordered = sorted(slices, key=lambda one: float(one.position @ first.normal))
    heights = np.array([one.position @ first.normal for one in ordered])
    distances = np.diff(heights)
    if len(distances) and distances.min() <= _SAME_POSITION * np.median(distances):
        k = int(np.argmin(distances))
        raise FileError(
            f"{where}: {ordered[k].name} and {ordered[k + 1].name} lie at the same position "
            f"({heights[k]:.3f} mm along the normal). Copies, or several phases in one series? "
            "Move all but one set to another folder"
        )
    return ordered


def _axes(one: Slice) -> np.ndarray:
    return np.stack([one.along_row, one.along_column])


def regular_step(slices: Sequence[Slice], tolerance: float, where: Path) -> np.ndarray:
    """Return the vector from each slice to the next, shape (3,), LPS.

    Raises
    ------
    FileError
        If a position is further than `tolerance` steps from regular, or the step is oblique to the images.
    """
    first = slices[0]
    if len(slices) == 1:
        return first.normal * (first.thickness or 1.0)
    positions = np.stack([one.position for one in slices])
    step = (positions[-1] - positions[0]) / (len(slices) - 1)
    error = np.linalg.norm(positions - positions[0] - np.arange(len(slices))[:, None] * step, axis=1)
    size = float(np.linalg.norm(step))
    if error.max() > tolerance * size:
        raise FileError(f"{where}: {_unevenness(slices, positions, float(error.max()), size)}")
    drift = np.linalg.norm(step - (step @ first.normal) * first.normal) / size
    if drift > _TILT:
        across = float(step @ first.normal)
        raise FileError(
            f"{where}: the slices are shifted against each other, {np.degrees(np.arcsin(drift)):.1f} degrees off "
            f"their normal (tilted gantry). Interpolate them to a regular grid by resample={across:.4g} (mm)"
        )
    return step


def _unevenness(slices: Sequence[Slice], positions: np.ndarray, error: float, step: float) -> str:
    distances = np.diff(positions @ slices[0].normal)
    usual = float(np.median(distances))
    k = int(np.argmax(np.abs(distances - usual)))
    between = f"{slices[k].name} and {slices[k + 1].name}"
    if distances[k] > 1.5 * usual and np.allclose(np.delete(distances, k), usual, rtol=0.05):
        what = f"Is a slice missing between {between}?"
    else:
        what = f"They are {distances.min():.4g} to {distances.max():.4g} mm apart, oddest between {between}."
    # Rounded up, so that the number that is read off the message is enough.
    tolerance = np.ceil(error / step * 1000) / 1000
    return (
        f"unevenly spaced slices. {what} Interpolate them to a regular grid by resample={distances.min():.4g} (mm), "
        f"or take them as regular by spacing_tolerance={tolerance:g} (positions then are up to {error:.2g} mm wrong)"
    )


def interpolated(
    slices: Sequence[Slice], image: Callable[[int], np.ndarray], distance: float, fill: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Linear interpolation to slices `distance` mm apart along the normal, not shifted against each other.

    Parameters
    ----------
    slices
        In order, two at least.
    image
        Gives the pixels of the k-th slice; each k is asked for once, in order.
    distance
        mm.
    fill
        Value where the new grid reaches beyond a shifted image.

    Returns
    -------
    data : ndarray, shape (n, rows, columns)
        float32.
    origin, step : ndarray, shape (3,)
        Centre of the first voxel, and vector to the next slice; LPS, mm.
    """
    from scipy import ndimage

    first = slices[0]
    offsets = np.stack([one.position - first.position for one in slices])
    heights = offsets @ first.normal
    spacing = np.array(first.spacing)
    # Where the first pixel of each slice lies in the frame of the first one, in pixels (row, column).
    shifts = offsets @ np.stack([first.along_column, first.along_row]).T / spacing
    shifts[np.abs(shifts) < 1e-3] = 0
    low, high = np.floor(shifts.min(axis=0)), np.ceil(shifts.max(axis=0))
    canvas = tuple(int(n) for n in first.shape + high - low)

    def placed(k: int) -> np.ndarray:
        pixels = image(k)
        if not shifts.any():
            return pixels
        offset = low - shifts[k]
        return ndimage.affine_transform(
            pixels, np.eye(2), offset, output_shape=canvas, order=1, mode="grid-constant", cval=fill
        )

    n = int(np.floor(heights[-1] / distance + 1e-6)) + 1
    data = np.empty((n, *canvas), np.float32)
    below, above, k = placed(0), placed(1), 0
    for i, height in enumerate(np.arange(n) * distance):
        while height > heights[k + 1] and k + 2 < len(slices):
            k, below, above = k + 1, above, placed(k + 2)
        weight = min((height - heights[k]) / (heights[k + 1] - heights[k]), 1.0)
        data[i] = (1 - weight) * below + weight * above
    across = low * spacing
    origin = first.position + across[0] * first.along_column + across[1] * first.along_row
    return data, origin, distance * first.normal


def to_ras(first: Slice, origin: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return the NIfTI affine, shape (4, 4): LPS of DICOM turned into RAS+."""
    between_rows, between_columns = first.spacing
    affine = np.eye(4)
    affine[:3] = np.stack([first.along_row * between_columns, first.along_column * between_rows, step, origin], axis=1)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
