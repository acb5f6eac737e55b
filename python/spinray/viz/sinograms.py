"""Sinograms with their axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks
from ..ct.geometry import CircularScan
from ..errors import DtypeError, InputError
from ._common import axes_or_new, colour_bar, entries, limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["show_sinogram"]


def show_sinogram(
    sinogram: Any,
    A: CircularScan | None = None,
    *,
    row: int | None = None,
    window: tuple[float, float] | None = None,
    title: str | None = None,
    cmap: str = "gray",
    ax: Axes | None = None,
) -> Axes:
    """Draw a sinogram: views downwards, detector columns to the right.

    Parameters
    ----------
    sinogram : array_like or torch.Tensor, shape (view, column) or (view, row, column)
        Line integrals or counts.
    A : ParallelBeam, FanBeam or ConeBeam, optional
        The scan, for axes in degrees and mm; numbers of views and columns unless given.
    row : int, optional
        Detector row to show; the middle one unless given.
    window : (level, width), optional
        Of the grey values; all but the outermost 0.2 % unless given.
    title : str, optional
        Title of the figure.
    cmap : str
        A colour map of matplotlib.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes in a new figure unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If the sinogram is not one of `A`, or there is no such row.
    DtypeError
        If the entries are not real numbers, or `A` is no scan.

    Examples
    --------
    >>> import numpy as np, spinray
    >>> A = spinray.ct.ParallelBeam(spinray.Grid((32, 32)), np.linspace(0, np.pi, 30, endpoint=False), n_cols=47)
    >>> spinray.viz.show_sinogram(A(np.ones((32, 32))), A).get_ylabel()
    'view angle [°]'
    """
    values = entries("sinogram", sinogram)
    if A is not None and not isinstance(A, CircularScan):
        raise DtypeError(f"A: expected a ParallelBeam, FanBeam or ConeBeam, got {type(A).__name__}")
    if A is not None and A.range_shape != values.shape:
        raise InputError(f"sinogram: expected the scan's shape {A.range_shape}, got {values.shape}")
    if values.ndim == 3:
        row = values.shape[1] // 2 if row is None else _checks.integer("row", row, minimum=0)
        if row >= values.shape[1]:
            raise InputError(f"row: expected at most {values.shape[1] - 1}, got {row}")
        values = values[:, row]
    axes = axes_or_new(ax)
    low, high = limits(window, values)
    edges = _edges(values.shape, A)
    drawn = axes.imshow(
        values, cmap=cmap, vmin=low, vmax=high, extent=edges, aspect="auto", interpolation="nearest", origin="upper"
    )
    regular = A is not None and _is_regular(A.angles)
    axes.set_xlabel("column" if A is None else "detector column [mm]")
    axes.set_ylabel("view angle [°]" if regular else "view")
    if title:
        axes.set_title(title)
    colour_bar(drawn, None, axes)
    return axes


def _edges(shape: tuple[int, ...], A: CircularScan | None) -> tuple[float, float, float, float]:
    """Return the outer edges (left, right, bottom, top); views are rows only where they follow each other evenly."""
    n_views, n_columns = shape
    left, right, bottom, top = -0.5, n_columns - 0.5, n_views - 0.5, -0.5
    if A is None:
        return left, right, bottom, top
    half = A.detector_spacing[1] / 2
    left, right = float(A.columns[0]) - half, float(A.columns[-1]) + half
    if _is_regular(A.angles):
        first, last = np.degrees(A.angles[[0, -1]])
        step = (last - first) / (n_views - 1)
        bottom, top = float(last + step / 2), float(first - step / 2)
    return left, right, bottom, top


def _is_regular(angles: np.ndarray) -> bool:
    steps = np.diff(angles)
    return len(angles) > 1 and bool(np.abs(steps - steps.mean()).max() < 0.01 * abs(steps.mean()))
