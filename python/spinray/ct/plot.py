"""A drawing of a scan, seen along the rotation axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from spinray.ct.geometry import CircularScan

__all__ = ["plot_geometry"]

_GRID, _RAYS, _ORBIT, _DETECTOR, _SOURCE = "#5b6470", "#e0a030", "#9aa4b0", "#2a6fb0", "#c8452f"
#: Rays drawn of the first view.
_SHOWN = 9


def plot_geometry(A: CircularScan, ax: Axes | None = None) -> Axes:
    """Draw a scan seen along the rotation axis: grid, source path, and the detector and rays of the first view.

    Parameters
    ----------
    A : ParallelBeam, FanBeam or ConeBeam
        The scan.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; new ones in a new figure unless given.

    Returns
    -------
    matplotlib.axes.Axes
        x to the right, y up, in mm.

    Examples
    --------
    >>> import numpy as np, spinray
    >>> angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    >>> A = spinray.ct.FanBeam(spinray.Grid((64, 64)), angles, n_cols=96, col_spacing=2.0, sod=200, sdd=300)
    >>> plot_geometry(A).get_xlabel()
    'x [mm]'
    """
    import matplotlib.pyplot as plt

    axes = plt.subplots(figsize=(5, 5), layout="constrained")[1] if ax is None else ax
    y, x = A.grid.axis_aligned().axes()[-2:]
    dy, dx = A.grid.axis_aligned().spacing[-2:]
    left, right, bottom, top = x[0] - dx / 2, x[-1] + dx / 2, y[0] - dy / 2, y[-1] + dy / 2
    axes.fill([left, right, right, left], [bottom, bottom, top, top], color=_GRID, alpha=0.35, lw=0, label="grid")
    starts, detector = _first_view(A, float(max(np.hypot(a, b) for a in (left, right) for b in (bottom, top))))
    for k in np.unique(np.linspace(0, len(detector) - 1, _SHOWN).round().astype(int)):
        axes.plot(*np.stack([starts[k], detector[k]]).T, color=_RAYS, lw=0.8, zorder=1)
    axes.plot(*detector.T, color=_DETECTOR, lw=3, solid_capstyle="butt", label="detector, first view")
    if A.sod is not None:
        sources = A.sod * np.stack([np.sin(A.angles), -np.cos(A.angles)], 1)
        axes.scatter(sources[:, 0], sources[:, 1], s=4, color=_ORBIT, label=f"source, {len(A)} views")
        axes.scatter(sources[0, 0], sources[0, 1], s=45, color=_SOURCE, zorder=3, label="source, first view")
    axes.plot(0, 0, "+", color="black", ms=8, label="rotation axis")
    axes.set_aspect("equal")
    axes.set_xlabel("x [mm]")
    axes.set_ylabel("y [mm]")
    axes.margins(0.06)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    return axes


def _first_view(A: CircularScan, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where the rays of the first view begin and meet the detector, each of shape (columns, 2), as (x, y).

    Parallel rays have neither source nor detector distance: both are put beside the grid, `radius` from the axis.
    """
    t = A.angles[0]
    u, d = np.array([np.cos(t), np.sin(t)]), np.array([-np.sin(t), np.cos(t)])
    columns = A.columns[:, None]
    if A.sod is None or A.sdd is None:
        return columns * u - 1.3 * radius * d, columns * u + 1.3 * radius * d
    source = -A.sod * d
    if A.detector == "curved":
        along, across = A.sdd * np.cos(columns / A.sdd), A.sdd * np.sin(columns / A.sdd)
    else:
        along, across = np.full_like(columns, A.sdd), columns
    return np.broadcast_to(source, (len(columns), 2)), source + along * d + across * u
