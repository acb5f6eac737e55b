"""Circular scans as operators: `ParallelBeam`, `FanBeam` and `ConeBeam`.

View angle t in rad: detector columns run along u = (cos t, sin t, 0), rays along d = (-sin t, cos t, 0), rows along
+z. Column j lies at ``(j - (n_cols - 1) / 2) * col_spacing + col_offset`` along u. z is the rotation axis.
"""

from __future__ import annotations

import copy
import functools
import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from spinray import _checks, _core
from spinray.errors import InputError
from spinray.grid import Grid, require_axis_aligned
from spinray.operators import LinearOperator
from spinray.operators.linear import current_progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ConeBeam", "FanBeam", "ParallelBeam"]

_Scan = TypeVar("_Scan", bound="CircularScan")
_DETECTORS = ("flat", "curved")
#: More than any memory holds, and few enough to be counted in 64 bits.
_MOST_VALUES = 1 << 56


class CircularScan(LinearOperator):
    """Line integrals along the rays of a circular scan (Joseph's model), and the exact adjoint.

    Attributes
    ----------
    grid : Grid
        Where the image lives; 0 outside.
    angles : numpy.ndarray, shape (n_views,)
        View angles in rad.
    detector_shape, detector_spacing, detector_offset : tuple
        Elements, spacing in mm and position of the detector's middle in mm, (row, column). A detector in the plane
        has one row.
    sod, sdd : float or None
        Distance of the source from the rotation axis and from the detector in mm; None for parallel rays.
    detector : str
        "flat" or "curved" (a cylinder about the source axis; column spacing is then arc length).
    """

    def __init__(
        self,
        grid: Grid,
        angles: Any,
        detector_shape: tuple[int, int],
        detector_spacing: tuple[float, float],
        detector_offset: tuple[float, float],
        sod: float | None = None,
        sdd: float | None = None,
        detector: str = "flat",
    ) -> None:
        require_axis_aligned(grid)
        self.grid = grid
        # A copy: the caller's array stays theirs to change.
        self.angles = _checks.doubles("angles", angles, shape=(None,), hint="View angles are in radians").copy()
        self.angles.setflags(write=False)
        self.detector_shape = detector_shape
        self.detector_spacing = detector_spacing
        self.detector_offset = detector_offset
        self.sod = sod
        self.sdd = sdd
        self.detector = _checks.choice("detector", detector, _DETECTORS)
        if sod is not None and sdd is not None and sdd < sod:
            raise InputError(f"sdd: must be at least sod (source to axis), got sod={sod}, sdd={sdd} mm. Swapped?")
        if self.detector == "curved" and sdd is not None and (widest := np.abs(self.columns).max() / sdd) > np.pi / 2:
            problem = f"a curved one within 90 degrees of the central ray, got columns {np.degrees(widest):.4g} away"
            raise InputError(f"detector: expected {problem} (arc length / sdd). Is col_spacing in mm on the detector?")
        self._set_shapes()
        for name, sizes in (("grid", grid.shape), ("detector", (len(self.angles), *detector_shape))):
            if math.prod(sizes) > _MOST_VALUES:
                raise InputError(
                    f"{name}: expected sizes that fit into memory, got {' x '.join(map(str, sizes))} values"
                )
        _ = self._native  # refuses a source inside the grid's box

    def _set_shapes(self) -> None:
        self.domain_shape = self.grid.shape
        views = self.angles.shape
        self.range_shape = views + (self.detector_shape if self.grid.ndim == 3 else self.detector_shape[1:])

    @functools.cached_property
    def _native(self) -> _core.Projector:
        aligned = self.grid.axis_aligned()
        flat = 3 - aligned.ndim
        return _core.Projector(
            (1,) * flat + aligned.shape,
            (1.0,) * flat + aligned.spacing,
            (0.0,) * flat + aligned.origin,
            self.angles.tolist(),
            self.detector_shape,
            self.detector_spacing,
            self.detector_offset,
            self.sod,
            self.sdd,
            self.detector == "curved",
        )

    def _forward(self, x: np.ndarray) -> np.ndarray:
        aligned = np.ascontiguousarray(self.grid.to_aligned(x))
        y: np.ndarray = self._native.forward(aligned, current_progress())
        return y.reshape(-1, *self.range_shape)

    def _adjoint(self, y: np.ndarray) -> np.ndarray:
        x: np.ndarray = self._native.adjoint(y, current_progress())
        return self.grid.from_aligned(x.reshape(-1, *self.grid.axis_aligned().shape))

    def _capsule(self) -> Any:
        return self._native.capsule() if self.grid.axis_aligned() is self.grid else None

    def __getitem__(self: _Scan, views: Any) -> _Scan:
        """Return the scan of some views: ``A[::4]``, ``A[[0, 7]]``, ``A[mask]``, ``A[3]`` (one view, kept as an axis).

        Nothing is copied but the angles: ``A[views](x)`` equals ``A(x)[views]``.
        """
        if isinstance(views, tuple):
            raise InputError(f"views: expected one index, slice, list or mask, got {len(views)} of them")
        try:
            angles = np.atleast_1d(self.angles[views])
        except IndexError as error:
            raise InputError(f"views: expected indices of {len(self.angles)} views, got {views!r} ({error})") from None
        if angles.ndim > 1:
            raise InputError(f"views: expected one index, slice, list or mask, got {views!r}")
        if not angles.size:
            raise InputError(f"views: expected at least one view, got none from {views!r}")
        angles.setflags(write=False)
        part = copy.copy(self)
        part.angles = angles
        part._set_shapes()
        return part

    def _with_margins(self: _Scan, before: int, after: int) -> _Scan:
        """Return the scan with that many more columns before the first and after the last."""
        if not before and not after:
            return self
        n_rows, n_cols = self.detector_shape
        wider = copy.copy(self)
        # Positions would be those of the narrower detector.
        vars(wider).pop("columns", None)
        wider.detector_shape = (n_rows, n_cols + before + after)
        shift = (after - before) / 2 * self.detector_spacing[1]
        wider.detector_offset = (self.detector_offset[0], self.detector_offset[1] + shift)
        wider._set_shapes()
        return wider

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self.angles)

    @functools.cached_property
    def columns(self) -> np.ndarray:
        """Positions of the detector columns along u in mm (arc length on a curved detector)."""
        return self._positions(1)

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """Positions of the detector rows along z in mm."""
        return self._positions(0)

    def _positions(self, axis: int) -> np.ndarray:
        n = self.detector_shape[axis]
        return (np.arange(n) - (n - 1) / 2) * self.detector_spacing[axis] + self.detector_offset[axis]

    def rays(self, view: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rays of one view as lines in space.

        Parameters
        ----------
        view
            Number of the view.

        Returns
        -------
        origins, directions : numpy.ndarray, shape (n_rows, n_cols, 3), or (n_cols, 3) in the plane
            A point of each ray (the source, for divergent beams) and its unit direction, (x, y, z) in mm.

        Examples
        --------
        >>> import spinray
        >>> A = spinray.ct.FanBeam(spinray.Grid((8, 8)), [0.0], 3, 1.0, sod=20, sdd=30)
        >>> origins, directions = A.rays(0)
        >>> origins[1], directions[1]
        (array([  0., -20.,   0.]), array([0., 1., 0.]))
        """
        t = self.angles[view]
        u, d = np.array([np.cos(t), np.sin(t), 0.0]), np.array([-np.sin(t), np.cos(t), 0.0])
        z = np.array([0.0, 0.0, 1.0])
        columns, rows = self.columns[:, None], self.rows[:, None, None]
        if self.sod is None or self.sdd is None:
            origins = columns * u + rows * z
            directions = np.broadcast_to(d, origins.shape).copy()
        else:
            if self.detector == "curved":
                along, across = self.sdd * np.cos(columns / self.sdd), self.sdd * np.sin(columns / self.sdd)
            else:
                along, across = np.full_like(columns, self.sdd), columns
            directions = along * d + across * u + rows * z
            directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
            origins = np.broadcast_to(-self.sod * d, directions.shape).copy()
        if self.grid.ndim == 2:
            return origins[0] + 0.0, directions[0]
        return origins + 0.0, directions

    def plot_geometry(self, ax: Axes | None = None) -> Axes:
        """Draw the scan seen along the rotation axis: grid, source path, and the detector and rays of the first view.

        Parameters
        ----------
        ax
            Axes to draw into; new ones if None.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from spinray.ct.plot import plot_geometry

        return plot_geometry(self, ax)

    def __repr__(self) -> str:
        n_rows, n_cols = self.detector_shape
        detector = f"{n_cols} columns" if self.grid.ndim == 2 else f"{n_rows} x {n_cols} elements"
        source = "" if self.sod is None else f", sod={self.sod:g}, sdd={self.sdd:g} mm, {self.detector} detector"
        return f"{type(self).__name__}({len(self)} views, {detector}, grid {self.grid.shape}{source})"


def _require_ndim(grid: Any, ndim: int, name: str, instead: str) -> None:
    if not isinstance(grid, Grid) or grid.ndim == ndim:
        return
    raise InputError(f"grid: {name} needs a {ndim}-D grid, got shape {grid.shape}. {instead}")


class ParallelBeam(CircularScan):
    """Parallel-beam scan of an image, or of a volume slice by slice.

    Parameters
    ----------
    grid : Grid
        2-D (y, x) or 3-D (z, y, x), aligned with the axes (flipped or permuted axes are allowed).
    angles : array_like, shape (n_views,)
        View angles in rad.
    n_cols : int
        Detector columns.
    col_spacing : float
        Their distance in mm.
    n_rows, row_spacing : int, float, optional
        Detector rows and their distance in mm; the slices of a 3-D grid unless given.
    col_offset : float
        Position of the detector's middle along u in mm: where the rotation axis falls on pixel c,
        ``col_offset = ((n_cols - 1) / 2 - c) * col_spacing``.
    row_offset : float, optional
        Position of the detector's middle along z in mm; the middle of the grid unless given.

    Raises
    ------
    InputError, DtypeError
        If a number is not finite, a count or spacing not positive, the grid oblique, or rows are given for a 2-D grid.

    Notes
    -----
    Joseph's model: the image is sampled where a ray crosses each row (or column) of pixels and interpolated linearly,
    with exact adjoint. Projections have shape (..., n_views, n_cols) or (..., n_views, n_rows, n_cols), in units of
    the image times mm. P. M. Joseph, IEEE Trans. Med. Imaging 1, 192 (1982).

    Examples
    --------
    >>> import numpy as np, spinray
    >>> A = spinray.ct.ParallelBeam(spinray.Grid((64, 64)), np.linspace(0, np.pi, 90, endpoint=False), n_cols=91)
    >>> sinogram = A(np.ones((64, 64)))
    >>> sinogram.shape
    (90, 91)
    >>> float(sinogram[0, 45])  # 64 mm of ones along y
    64.0
    """

    def __init__(
        self,
        grid: Grid,
        angles: Any,
        n_cols: int,
        col_spacing: float = 1.0,
        n_rows: int | None = None,
        row_spacing: float | None = None,
        col_offset: float = 0.0,
        row_offset: float | None = None,
    ) -> None:
        aligned = require_axis_aligned(grid)
        rows = {"n_rows": n_rows, "row_spacing": row_spacing, "row_offset": row_offset}
        if aligned.ndim == 2:
            for name, value in rows.items():
                if value is not None:
                    raise InputError(f"{name}: a 2-D grid is seen by a single row, got {value!r}. Use a 3-D grid")
            n_rows, row_spacing, row_offset = 1, 1.0, 0.0
        else:
            n_rows = aligned.shape[0] if n_rows is None else n_rows
            row_spacing = aligned.spacing[0] if row_spacing is None else row_spacing
            if row_offset is None:
                row_offset = aligned.origin[0] + (aligned.shape[0] - 1) / 2 * aligned.spacing[0]
        super().__init__(
            grid,
            angles,
            (_checks.integer("n_rows", n_rows, minimum=1), _checks.integer("n_cols", n_cols, minimum=1)),
            (_checks.positive("row_spacing", row_spacing), _checks.positive("col_spacing", col_spacing)),
            (_checks.number("row_offset", row_offset), _checks.number("col_offset", col_offset)),
        )


class FanBeam(CircularScan):
    """Fan-beam scan of an image: a point source and a detector line on the other side.

    Parameters
    ----------
    grid : Grid
        2-D (y, x), aligned with the axes.
    angles : array_like, shape (n_views,)
        View angles in rad: the source is at ``sod * (sin t, -cos t)``.
    n_cols : int
        Detector columns.
    col_spacing : float
        Their distance in mm on the detector (arc length if curved).
    sod, sdd : float
        Distance of the source from the rotation axis and from the detector, mm. ``sdd = sod`` puts a virtual detector
        on the axis; rays run on beyond it.
    detector : {"flat", "curved"}
        Flat, or an arc of radius `sdd` about the source.
    col_offset : float
        Position of the detector's middle along u in mm.

    Raises
    ------
    InputError, DtypeError
        As `ParallelBeam`; if sdd < sod, or if a source lies inside the grid's box.

    Notes
    -----
    Joseph's model with exact adjoint, as `ParallelBeam`.

    Examples
    --------
    >>> import numpy as np, spinray
    >>> angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    >>> A = spinray.ct.FanBeam(spinray.Grid((64, 64)), angles, n_cols=128, col_spacing=1.0, sod=200, sdd=300)
    >>> A.range_shape
    (180, 128)
    """

    def __init__(
        self,
        grid: Grid,
        angles: Any,
        n_cols: int,
        col_spacing: float,
        sod: float,
        sdd: float,
        detector: str = "flat",
        col_offset: float = 0.0,
    ) -> None:
        _require_ndim(grid, 2, "FanBeam", "Use ConeBeam for volumes")
        super().__init__(
            grid,
            angles,
            (1, _checks.integer("n_cols", n_cols, minimum=1)),
            (1.0, _checks.positive("col_spacing", col_spacing)),
            (0.0, _checks.number("col_offset", col_offset)),
            _checks.positive("sod", sod),
            _checks.positive("sdd", sdd),
            detector,
        )


class ConeBeam(CircularScan):
    """Cone-beam scan of a volume: a point source circling about z and a two-dimensional detector.

    Parameters
    ----------
    grid : Grid
        3-D (z, y, x), aligned with the axes.
    angles : array_like, shape (n_views,)
        View angles in rad: the source is at ``sod * (sin t, -cos t, 0)``.
    detector_shape : (int, int)
        Rows and columns.
    detector_spacing : float or (float, float)
        Their distance (row, column) in mm on the detector (columns: arc length if curved).
    sod, sdd : float
        Distance of the source from the rotation axis and from the detector, mm.
    detector : {"flat", "curved"}
        Flat, or a cylinder of radius `sdd` about the line through the source parallel to z.
    detector_offset : (float, float)
        Position of the detector's middle (row, column) in mm.

    Raises
    ------
    InputError, DtypeError
        As `FanBeam`.

    Notes
    -----
    Joseph's model with exact adjoint: rays are sampled on the rows (or columns) of voxels they cross most squarely in
    the plane of the orbit, bilinearly. Rays that rise by more than one slice per row are sampled sparsely along z.

    Examples
    --------
    >>> import numpy as np, spinray
    >>> angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    >>> A = spinray.ct.ConeBeam(spinray.Grid((32, 32, 32)), angles, (48, 48), 1.5, sod=200, sdd=300)
    >>> A(np.ones((32, 32, 32))).shape
    (60, 48, 48)
    """

    def __init__(
        self,
        grid: Grid,
        angles: Any,
        detector_shape: tuple[int, int],
        detector_spacing: Any,
        sod: float,
        sdd: float,
        detector: str = "flat",
        detector_offset: Any = (0.0, 0.0),
    ) -> None:
        _require_ndim(grid, 3, "ConeBeam", "Use FanBeam for images")
        n_rows, n_cols = _checks.shape("detector_shape", detector_shape, ndim=2)
        row_spacing, col_spacing = _checks.per_axis("detector_spacing", detector_spacing, 2, above_zero=True)
        row_offset, col_offset = _checks.per_axis("detector_offset", detector_offset, 2)
        super().__init__(
            grid,
            angles,
            (n_rows, n_cols),
            (row_spacing, col_spacing),
            (row_offset, col_offset),
            _checks.positive("sod", sod),
            _checks.positive("sdd", sdd),
            detector,
        )
