"""The NIST/ISMRM system phantom: nominal positions and relaxation times of its contrast spheres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .. import _checks
from ..errors import DtypeError, InputError
from ..grid import Grid
from .composite import Phantom
from .maps import TissueMaps
from .shapes import Ellipse, Ellipsoid

__all__ = ["ContrastSphere", "SystemPhantom"]

#: Radii in mm: contrast sphere, fiducial sphere, phantom.
_SPHERE, _FIDUCIAL, _BODY = 7.5, 5.0, 100.0
#: Ten spheres of an array lie on a circle of this radius (mm), four on the corners of a square of this half side.
_RING, _SQUARE = 50.0, 20.0
#: Distance in mm of fiducial spheres.
_PITCH = 40.0
#: y in mm of the coronal plane of each array.
_PLANES = {"T1": 56.5, "T2": 16.5, "PD": -23.5}

# Relaxation times in ms of spheres 1 to 14, at 20 degrees C.
_T1_ARRAY = {
    1.5: (
        (2033, 1489, 1012, 730.8, 514.1, 367.9, 260.1, 184.6, 132.7, 92.7, 65.4, 46.32, 32.45, 22.859),
        (1669, 1244, 859.3, 628.5, 446.3, 321.2, 227.7, 161.9, 117.1, 81.9, 57.7, 41.0, 28.7, 20.2),
    ),
    3.0: (
        (1989, 1454, 984.1, 706, 496.7, 351.5, 247.13, 175.3, 125.9, 89.0, 62.7, 44.53, 30.84, 21.719),
        (1465, 1076, 717.9, 510.1, 359.6, 255.5, 180.8, 127.3, 90.3, 64.3, 45.7, 31.86, 22.38, 15.83),
    ),
}
_T2_ARRAY = {
    1.5: (
        (2376, 2183, 1870, 1539, 1237, 1030, 752.2, 550.2, 413.4, 292.9, 194.9, 160.2, 106.4, 83.33),
        (939.4, 594.3, 416.5, 267.0, 184.9, 140.6, 91.76, 64.84, 45.28, 30.62, 19.76, 15.99, 10.47, 8.15),
    ),
    3.0: (
        (2480, 2173, 1907, 1604, 1332, 1044, 801.7, 608.6, 458.4, 336.5, 244.2, 176.6, 126.9, 90.9),
        (581.3, 403.5, 278.1, 190.94, 133.27, 96.89, 64.07, 46.42, 31.97, 22.56, 15.813, 11.237, 7.911, 5.592),
    ),
}
#: Fraction of water in spheres 1 to 14 of the proton density array; the rest is heavy water.
_WATER_FRACTION = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
#: T1 and T2 in ms of water at either field: rates of 0.3/s and 0.5/s.
_WATER = (1000 / 0.3, 1000 / 0.5)


@dataclass(frozen=True)
class ContrastSphere:
    """One sphere, 15 mm in diameter, its wall neglected.

    Attributes
    ----------
    array : {"T1", "T2", "PD"}
        The array it belongs to.
    number : int
        1 to 14.
    centre : (float, float, float)
        Centre (x, y, z) in mm, RAS+.
    t1, t2 : float
        Relaxation times in s.
    m0 : float
        Proton density, of water 1.
    """

    array: str
    number: int
    centre: tuple[float, float, float]
    t1: float
    t2: float
    m0: float

    @property
    def shape(self) -> Ellipsoid:
        """The sphere as a shape whose value is its proton density."""
        return Ellipsoid(_SPHERE, centre=self.centre, value=self.m0)


@dataclass(frozen=True)
class SystemPhantom:
    """The NIST/ISMRM system phantom, in its nominal position in the scanner.

    A sphere of 200 mm diameter about the isocentre holds three coronal arrays of 14 spheres: T1 (NiCl2, y = 56.5 mm),
    T2 (MnCl2, y = 16.5 mm) and proton density (heavy water in water, y = -23.5 mm). Spheres 1 to 10 lie on a circle of
    radius 50 mm, from the top (+z) towards the patient's left, 11 to 14 on a square of side 40 mm, from the upper
    right. There are 57 fiducial spheres of 10 mm on a lattice of 40 mm. x points to the right, y forward, z up (RAS+).

    Parameters
    ----------
    field : {3.0, 1.5}, optional
        Field strength in T.

    Attributes
    ----------
    spheres : tuple of ContrastSphere
        All 42, array by array.
    fiducials : numpy.ndarray, shape (57, 3)
        Centres (x, y, z) in mm of the fiducial spheres.

    Raises
    ------
    InputError
        If the field strength is another.

    Notes
    -----
    Relaxation times are those of phantoms with serial numbers up to 41, measured by NIST at 20 degrees C; later ones
    hold other solutions. Spheres of the proton density array have the times of water. Plates, the thermometer,
    resolution and slice profile insets are left out.

    References
    ----------
    Stupic, Ainslie, Boss et al. 2021, "A standard system phantom for magnetic resonance imaging", and its supporting
    information; positions, fractions and rates of water: NIST's program PhantomViewer, `SystemPhantom.py`.

    Examples
    --------
    >>> phantom = SystemPhantom(field=3.0)
    >>> phantom.spheres[0]
    ContrastSphere(array='T1', number=1, centre=(0.0, 56.5, 50.0), t1=1.989, t2=1.465, m0=1.0)
    >>> from spinray import Grid
    >>> phantom.maps(Grid((128, 128)), array="T2")
    TissueMaps(system phantom, T2 array, shape=(128, 128), 3 T, 14 tissues)
    """

    field: float = 3.0

    def __post_init__(self) -> None:
        """Check the field strength."""
        field = _checks.number("field", self.field)
        if field not in _T1_ARRAY:
            raise InputError(f"field: expected one of {', '.join(map(str, _T1_ARRAY))} T, got {field}")
        object.__setattr__(self, "field", field)

    @property
    def spheres(self) -> tuple[ContrastSphere, ...]:
        """All contrast spheres, array by array."""
        tables = {
            "T1": zip(*_T1_ARRAY[self.field], (1.0,) * 14, strict=True),
            "T2": zip(*_T2_ARRAY[self.field], (1.0,) * 14, strict=True),
            "PD": zip((_WATER[0],) * 14, (_WATER[1],) * 14, _WATER_FRACTION, strict=True),
        }
        return tuple(
            ContrastSphere(array, number, (x, _PLANES[array], z), t1 / 1e3, t2 / 1e3, m0)
            for array, rows in tables.items()
            for number, ((x, z), (t1, t2, m0)) in enumerate(zip(_in_plane(), rows, strict=True), start=1)
        )

    @property
    def fiducials(self) -> np.ndarray:
        """Centres (x, y, z) in mm of the fiducial spheres, shape (57, 3)."""
        steps = np.moveaxis(np.indices((5, 5, 5)) - 2, 0, -1).reshape(-1, 3)
        centres = _PITCH * steps
        return np.asarray(centres[np.linalg.norm(centres, axis=1) < _BODY - _FIDUCIAL - 2], np.float64)

    def maps(
        self,
        grid: Grid,
        array: Literal["T1", "T2", "PD"] | None = None,
        *,
        water: bool = False,
        supersampling: int = 4,
    ) -> TissueMaps:
        """Return maps of T1, T2 and proton density on a grid.

        Parameters
        ----------
        grid : Grid
            In space; or in the plane for a slice through the centres of one array, the grid's y being the phantom's z.
        array : {"T1", "T2", "PD"}, optional
            One array alone; a 2-D grid needs it.
        water : bool, optional
            Fill the body around the spheres with water.
        supersampling : int, optional
            Chords per axis across a voxel that a surface cuts.

        Returns
        -------
        TissueMaps
            A tissue for each sphere, such as "T1-14", and "water" last. A voxel that a surface cuts has the
            proton density of its parts, and the times of the sphere unless most of it is water.

        Raises
        ------
        InputError
            If `array` is another, or not given for a 2-D grid.
        DtypeError
            If `grid` is no grid.
        """
        if not isinstance(grid, Grid):
            raise DtypeError(f"grid: expected a spinray.Grid, got {type(grid).__name__}")
        if array is not None:
            array = _checks.choice("array", array, tuple(_PLANES))
        elif grid.ndim == 2:
            raise InputError("array: expected 'T1', 'T2' or 'PD' for a 2-D grid, got None")
        spheres = [sphere for sphere in self.spheres if array in (None, sphere.array)]
        covered = _union(spheres, grid).voxelise(grid, supersampling=supersampling, dtype=np.float64)
        labels = np.zeros(grid.shape, np.int64)
        labels[covered > 0] = 1 + _nearest(spheres, grid, np.argwhere(covered > 0))
        values = {f"{s.array}-{s.number}": (s.t1, s.t2, s.m0) for s in spheres}
        m0 = covered * np.array([0.0, *(sphere.m0 for sphere in spheres)])[labels]
        if water:
            body = _body(grid, array).voxelise(grid, supersampling=supersampling, dtype=np.float64)
            around = np.maximum(body - covered, 0.0)
            labels = np.where((covered < 0.5) & (around > 0), 1 + len(spheres), labels)
            values["water"] = (_WATER[0] / 1e3, _WATER[1] / 1e3, 1.0)
            m0 += around
        name = "system phantom" if array is None else f"system phantom, {array} array"
        return TissueMaps.from_labels(labels, values, grid, name, self.field, m0)


def _in_plane() -> list[tuple[float, float]]:
    """Return (x, z) in mm of the spheres 1 to 14 of an array."""
    angles = [2 * math.pi * k / 10 for k in range(10)]
    # NIST's x grows to the patient's left.
    ring = [(0.0 - _RING * math.sin(angle), _RING * math.cos(angle)) for angle in angles]
    corners = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    return ring + [(x * _SQUARE, z * _SQUARE) for x, z in corners]


def _union(spheres: Sequence[ContrastSphere], grid: Grid) -> Phantom:
    """Return the spheres, or the discs in which the plane of their centres cuts them, of value 1."""
    if grid.ndim == 3:
        return Phantom([Ellipsoid(_SPHERE, centre=sphere.centre) for sphere in spheres])
    return Phantom([Ellipse(_SPHERE, centre=sphere.centre[::2]) for sphere in spheres])


def _body(grid: Grid, array: str | None) -> Any:
    """Return the body, or its cut through the plane of an array."""
    if grid.ndim == 3 or array is None:
        return Ellipsoid(_BODY)
    return Ellipse(math.sqrt(_BODY**2 - _PLANES[array] ** 2))


def _nearest(spheres: Sequence[ContrastSphere], grid: Grid, voxels: np.ndarray) -> np.ndarray:
    """Return the index of the sphere nearest to the centre of voxels, indices of shape (n, ndim)."""
    from scipy.spatial import cKDTree

    d = grid.ndim
    positions = voxels[:, ::-1] @ grid.affine[:d, :d].T + grid.affine[:d, 3]
    centres = [sphere.centre if d == 3 else sphere.centre[::2] for sphere in spheres]
    return np.asarray(cKDTree(centres).query(positions)[1], np.int64)
