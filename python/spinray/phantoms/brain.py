"""Brains with relaxation times: the MRI Shepp-Logan head, the MNI152 template, and BrainWeb's classes."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import _checks
from ..errors import FileError, InputError
from ..grid import Grid, Volume
from .maps import TissueMaps
from .shapes import Ellipsoid

__all__ = ["brain"]

_log = logging.getLogger("spinray.phantoms")

#: Tissues of Gach 2008: A in s and C of T1 = A B0^C (B0 in T), T2 in s.
_GACH_TISSUES = {
    "scalp": (0.324, 0.137, 0.07),
    "bone marrow": (0.533, 0.088, 0.05),
    "cerebrospinal fluid": (4.2, 0.0, 1.99),
    "grey matter": (0.857, 0.376, 0.1),
    "white matter": (0.583, 0.382, 0.08),
    "tumour": (0.926, 0.217, 0.1),
}
# Half axes (a, b, c), centre (x, y, z), angle about z in degrees, tissue, proton density. Gach 2008; each ellipsoid
# replaces what it overlaps.
_GACH_SHAPES: list[tuple[float, float, float, float, float, float, float, str, float]] = [
    (0.72, 0.95, 0.93, 0.0, 0.0, 0.0, 0, "scalp", 0.8),
    (0.69, 0.92, 0.9, 0.0, 0.0, 0.0, 0, "bone marrow", 0.12),
    (0.6624, 0.874, 0.88, 0.0, -0.0184, 0.0, 0, "cerebrospinal fluid", 0.98),
    (0.6524, 0.864, 0.87, 0.0, -0.0184, 0.0, 0, "grey matter", 0.745),
    (0.41, 0.16, 0.21, -0.22, 0.0, -0.25, -72, "cerebrospinal fluid", 0.98),
    (0.31, 0.11, 0.22, 0.22, 0.0, -0.25, 72, "cerebrospinal fluid", 0.98),
    (0.21, 0.25, 0.35, 0.0, 0.35, -0.25, 0, "white matter", 0.617),
    (0.046, 0.046, 0.046, 0.0, 0.1, -0.25, 0, "tumour", 0.95),
    (0.046, 0.023, 0.02, -0.08, -0.605, -0.25, 0, "tumour", 0.95),
    (0.046, 0.023, 0.02, 0.06, -0.605, -0.25, -90, "tumour", 0.95),
    (0.046, 0.046, 0.046, 0.0, -0.1, -0.25, 0, "tumour", 0.95),
    (0.023, 0.023, 0.023, 0.0, -0.605, -0.25, 0, "tumour", 0.95),
    (0.056, 0.04, 0.1, 0.06, -0.105, 0.0625, -90, "tumour", 0.93),
    (0.056, 0.056, 0.1, 0.0, 0.1, 0.625, 0, "cerebrospinal fluid", 0.98),
]
#: Side in mm of the cube that the table takes as [-1, 1].
_GACH_SIDE = 256.0

_MNI_TISSUES = ("cerebrospinal fluid", "grey matter", "white matter")

#: BrainWeb's classes as the file holds them: proton density, T1 and T2 in ms. The skin has the values of the fluid.
_BRAINWEB = {
    "cerebrospinal fluid": (1.0, 2569.0, 329.0),
    "grey matter": (0.86, 833.0, 83.0),
    "white matter": (0.77, 500.0, 70.0),
    "fat": (1.0, 350.0, 70.0),
    "muscle": (1.0, 900.0, 47.0),
}
_BRAINWEB_FIELD = 1.5

#: z in mm of a slice, unless told: where the structures are.
_SLICE = {"shepp-logan": -32.0, "mni": 20.0}


def brain(
    source: Literal["auto", "shepp-logan", "mni", "maps"] = "auto",
    shape: Any = None,
    field: float | None = None,
    *,
    z: float | None = None,
) -> TissueMaps:
    """Return a brain with T1, T2 and proton density.

    Parameters
    ----------
    source : {"auto", "shepp-logan", "mni", "maps"}, optional
        - "shepp-logan": the Shepp-Logan head with tissues, needs no files;
        - "mni": the MNI152 template, each voxel the likeliest of white matter, grey matter and fluid, with the times
          of `spinray.mri.tissues`; needs nilearn (``pip install spinray[mri]``), or the samples "mni152_t1",
          "mni152_gm" and "mni152_wm" of `spinray.data` in the folder of SPINRAY_DATA;
        - "maps": a slice of BrainWeb's classes with scalp; needs the sample "brain_tissue_maps";
        - "auto": the first of "mni", "maps" and "shepp-logan" whose files are on this machine.
    shape : tuple of int, optional
        ``(y, x)`` for a slice, ``(z, y, x)`` for the volume, which "maps" does not have. Unless given, a slice in the
        source's own resolution. Voxels are square in the plane and as small as lets the whole source fit.
    field : float, optional
        Field strength in T, 3 unless given: 1.5 or 3, any for "shepp-logan". "maps" have their own times, for 1.5 T;
        for 3 T they are those of `spinray.mri.tissues`.
    z : float, optional
        Position in mm of a slice: -32 for "shepp-logan", 20 (MNI space) for "mni" unless given.

    Returns
    -------
    TissueMaps
        Maps ``t1``, ``t2`` (s), ``m0``, ``labels``, ``mask`` and their ``grid``, the face along +y. ``source`` tells
        what "auto" has chosen.

    Raises
    ------
    InputError
        If an argument has another value, or "maps" are asked for a volume.
    FileError
        If the files are nowhere on this machine; nothing is downloaded.

    References
    ----------
    Gach, Tanase and Boada 2008, "2D & 3D Shepp-Logan phantom standards for MRI". Fonov et al. 2011, "Unbiased average
    age-appropriate atlases for pediatric studies" (MNI ICBM152 2009a). Collins et al. 1998, "Design and construction
    of a realistic digital brain phantom" (BrainWeb). Sources of times and densities: `spinray.mri.tissues`.

    Examples
    --------
    >>> maps = brain("shepp-logan", (128, 128), field=1.5)
    >>> maps.t1.shape, maps.grid.spacing
    ((128, 128), (2.0, 2.0))
    """
    source = _checks.choice("source", source, ("auto", "shepp-logan", "mni", "maps"))
    n = None if shape is None else _checks.shape("shape", shape, ndim=(2, 3))
    field = None if field is None else _checks.positive("field", field)
    z = None if z is None else _checks.number("z", z)
    if n is not None and len(n) == 3 and z is not None:
        raise InputError(f"z: expected none for the volume, got {z}. A slice has shape (y, x)")
    if source != "auto":
        return _MAKERS[source](n, field, z)
    for name in ("mni", "maps"):
        if name == "maps" and ((n is not None and len(n) == 3) or z is not None):
            continue
        try:
            return _MAKERS[name](n, field, z)
        except FileError as error:
            _log.info("brain: no %r here: %s", name, error)
    return _shepp_logan(n, field, z)


def _shepp_logan(n: tuple[int, ...] | None, field: float | None, z: float | None) -> TissueMaps:
    b0 = 3.0 if field is None else field
    grid = _covering((256, 256) if n is None else n, (_GACH_SIDE,) * 3, (0.0,) * 3)
    names, scale = tuple(_GACH_TISSUES), _GACH_SIDE / 2
    labels, m0 = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.float32)
    *along, y, x = grid.axes()
    heights: list[float] = along[0].tolist() if along else [_SLICE["shepp-logan"] if z is None else z]
    points = np.zeros((y.size, x.size, 3))
    points[..., 0], points[..., 1] = x, y[:, np.newaxis]
    planes = zip(labels.reshape(-1, y.size, x.size), m0.reshape(-1, y.size, x.size), heights, strict=True)
    for label, density, height in planes:
        points[..., 2] = height
        for a, b, c, *centre, degrees, tissue, value in _GACH_SHAPES:
            middle = [scale * float(k) for k in centre]
            if abs(height - middle[2]) > scale * c:
                continue
            turn = (math.radians(float(degrees)), 0.0, 0.0)
            inside = Ellipsoid((scale * a, scale * b, scale * c), centre=middle, rotation=turn).contains(points)
            label[inside], density[inside] = 1 + names.index(str(tissue)), value
    times = {name: (a * b0**c, t2, 1.0) for name, (a, c, t2) in _GACH_TISSUES.items()}
    return TissueMaps.from_labels(labels, times, grid, "shepp-logan", b0, m0)


def _mni(n: tuple[int, ...] | None, field: float | None, z: float | None) -> TissueMaps:
    from ..io import read_nifti

    b0 = 3.0 if field is None else field
    times = {name: _table(name, b0) for name in _MNI_TISSUES}
    files = [_sample(f"mni152_{kind}") for kind in ("t1", "gm", "wm")]
    template, grey, white = (read_nifti(file) for file in files)
    native = template.grid
    extent = [size * step for size, step in zip(native.shape, native.spacing, strict=True)]
    centre = [start + (size - 1) / 2 * step for size, step, start in _layout(native)]
    grid = _covering(native.shape[1:] if n is None else n, extent, centre)
    space = grid
    if grid.ndim == 2:
        height = _SLICE["mni"] if z is None else z
        space = Grid((1, *grid.shape), (1.0, *grid.spacing), (height, *grid.origin))
    inside = Volume((template.data > 0).astype(np.float32), template.affine).resample(space).data > 0.5
    tissues = [Volume(part.data / np.float32(255), part.affine).resample(space).data for part in (grey, white)]
    fluid = 1 - tissues[0] - tissues[1]
    labels = np.where(inside, 1 + np.argmax([fluid, *tissues], axis=0), 0).astype(np.uint8)
    return TissueMaps.from_labels(labels.reshape(grid.shape), times, grid, "mni", b0)


def _maps(n: tuple[int, ...] | None, field: float | None, z: float | None) -> TissueMaps:
    if (n is not None and len(n) == 3) or z is not None:
        raise InputError("source: 'maps' are one slice without a position, got a volume's shape or z. Use 'mni'")
    b0 = _BRAINWEB_FIELD if field is None else field
    times = {name: (t1 / 1e3, t2 / 1e3, m0) for name, (m0, t1, t2) in _BRAINWEB.items()}
    if b0 != _BRAINWEB_FIELD:
        times = {name: (*_table(name, b0)[:2], m0) for name, (_, _, m0) in times.items()}
    native = _brainweb_labels(_sample("brain_tissue_maps"))
    if n is None:
        return TissueMaps.from_labels(native, times, Grid(native.shape), "maps", b0)
    grid = _covering(n, [float(size) for size in native.shape], (0.0, 0.0))
    rows, columns = (
        np.floor(axis + size / 2).astype(np.int64) for axis, size in zip(grid.axes(), native.shape, strict=True)
    )
    within = (rows >= 0)[:, np.newaxis] & (rows < native.shape[0])[:, np.newaxis]
    within = within & (columns >= 0) & (columns < native.shape[1])
    nearest = native[np.ix_(rows.clip(0, native.shape[0] - 1), columns.clip(0, native.shape[1] - 1))]
    return TissueMaps.from_labels(np.where(within, nearest, 0).astype(np.uint8), times, grid, "maps", b0)


_MAKERS = {"shepp-logan": _shepp_logan, "mni": _mni, "maps": _maps}


def _brainweb_labels(file: Path) -> np.ndarray:
    """Return the class of every voxel of the file, 0 where there is none."""
    try:
        with np.load(file) as content:
            found = np.stack([content[key] for key in ("m0", "t1_ms", "t2_ms")], -1)
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"{file}: expected arrays m0, t1_ms and t2_ms ({error})") from None
    labels = np.zeros(found.shape[:-1], np.uint8)
    for label, values in enumerate(_BRAINWEB.values(), start=1):
        labels[np.isclose(found, values, rtol=1e-3).all(axis=-1)] = label
    if (labels == 0)[found.any(axis=-1)].any():
        raise FileError(f"{file}: holds tissues other than {', '.join(_BRAINWEB)}")
    return labels


def _table(name: str, field: float) -> tuple[float, float, float]:
    """Return T1, T2 and proton density of a tissue of the table."""
    from ..mri import tissues

    density = tissues.tissue(name).proton_density
    return (*tissues.relaxation(name, field), 1.0 if density is None else density)


def _sample(name: str) -> Path:
    """Return a sample that is on this machine."""
    from ..data import sample

    try:
        return sample(name)
    except FileError as error:
        also = ", install nilearn," if name.startswith("mni") else ""
        raise FileError(f"{error}{also} or take source='shepp-logan', which needs no files") from None


def _layout(grid: Grid) -> Any:
    return zip(grid.shape, grid.spacing, grid.origin, strict=True)


def _covering(n: tuple[int, ...], extent: Any, centre: Any) -> Grid:
    """Return the grid of n voxels, square in the plane, over an extent in mm, of which the last axes count."""
    extent, centre = tuple(extent)[-len(n) :], tuple(centre)[-len(n) :]
    spacing = [length / size for length, size in zip(extent, n, strict=True)]
    spacing[-2:] = [max(spacing[-2:])] * 2
    origin = [middle - (size - 1) / 2 * step for middle, size, step in zip(centre, n, spacing, strict=True)]
    return Grid(n, spacing, origin)
