"""One image, a stack of images, or a volume in three planes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks
from ..errors import DtypeError, InputError
from ..grid import Grid, Volume
from ._common import axes_or_new, colour_bar, entries, extent, limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

__all__ = ["draw", "show"]

#: Array axes (rows, columns) of each plane of a (z, y, x) volume, the axis across it, and the letters at the
#: (left, right, bottom, top) edges. Radiological: one looks at the patient from the feet, the front and the left, so
#: that columns run from high to low: the patient's right and front stand on the left.
_PLANES = {
    "axial": ((1, 2), 0, "RLPA"),
    "coronal": ((0, 2), 1, "RLIS"),
    "sagittal": ((0, 1), 2, "APIS"),
}
#: A stack is shown by as many images as this.
_MOST = 12


def show(
    image: Any,
    *,
    window: tuple[float, float] | None = None,
    grid: Grid | None = None,
    at: tuple[float, float, float] | None = None,
    title: str | None = None,
    unit: str | None = None,
    cmap: str = "gray",
    colorbar: bool = True,
    ax: Axes | Sequence[Axes] | None = None,
) -> Any:
    """Draw an image, a stack of images, or a volume in three orthogonal planes.

    Parameters
    ----------
    image : array_like, torch.Tensor or Volume
        Shape (y, x): one image. Shape (n, y, x): up to twelve evenly spaced images of a stack. A `Volume` of several
        slices: the axial, coronal and sagittal planes through `at`, with R/L, A/P and S/I at their edges.
    window : (level, width), optional
        Of the grey values, in the image's unit: (40, 400) HU for soft tissue. All but the outermost 0.2 % of the
        values unless given.
    grid : Grid, optional
        Where an array's pixels lie (2-D, or 3-D for a stack that is a volume): axes are then in mm. Pixels about
        the middle of the image unless given.
    at : (float, float, float), optional
        World point (x, y, z) in mm that the planes of a volume meet in; its middle unless given.
    title, unit : str, optional
        Title of the figure; unit at the colour bar.
    cmap : str
        A colour map of matplotlib.
    colorbar : bool
        Whether to draw a colour bar.
    ax : matplotlib.axes.Axes or three of them, optional
        Where to draw a single image, or the planes of a volume (one: the axial plane); new axes in a new figure unless
        given.

    Returns
    -------
    matplotlib.axes.Axes, or numpy.ndarray of them for stacks and volumes

    Raises
    ------
    InputError
        If the shape is none of these, the window not positive, the grid of another shape, or `at` outside.
    DtypeError
        If the entries are not real numbers.

    Examples
    --------
    >>> import spinray
    >>> grid = spinray.Grid((64, 64), spacing=4.0)
    >>> phantom = spinray.phantoms.shepp_logan(2)
    >>> ax = spinray.viz.show(phantom.voxelise(grid), grid=grid, unit="1/mm")
    >>> ax.get_xlabel()
    'x [mm]'
    """
    if isinstance(image, Volume):
        if grid is not None:
            raise InputError("grid: a Volume brings its own, leave it out")
        return _show_volume(image, window, at, title, unit, cmap, colorbar, ax)
    if at is not None:
        raise InputError("at: only a Volume has planes to choose. Use Volume(array, grid.affine)")
    values = entries("image", image)
    if grid is not None and grid.shape != values.shape:
        raise InputError(f"grid: expected the image's shape {values.shape}, got {grid.shape}")
    if grid is not None:
        values, grid = grid.to_aligned(values), grid.axis_aligned()
    if values.ndim == 3:
        if ax is not None:
            raise InputError(f"ax: a stack of shape {values.shape} needs axes of its own. Show image[i] instead")
        return _show_stack(values, window, grid, title, unit, cmap, colorbar)
    if isinstance(ax, Sequence | np.ndarray):
        raise InputError("ax: expected one for a single image, got several")
    axes = axes_or_new(ax)
    drawn = draw(axes, values, limits(window, values), grid, cmap)
    axes.set_xlabel("x [pixels]" if grid is None else "x [mm]")
    axes.set_ylabel("y [pixels]" if grid is None else "y [mm]")
    if title:
        axes.set_title(title)
    if colorbar:
        colour_bar(drawn, unit, axes)
    return axes


def draw(
    axes: Axes, values: np.ndarray, between: tuple[float, float], grid: Grid | None = None, cmap: str = "gray"
) -> AxesImage:
    """Draw one image (y, x), y upwards, with square millimetres.

    Parameters
    ----------
    axes
        Where to.
    values
        The image, indices growing with +y and +x.
    between
        Values that are black and white.
    grid
        Where its pixels lie; pixels about the middle if None.
    cmap
        A colour map of matplotlib.
    """
    low, high = between
    edges = extent(grid, values.shape)
    return axes.imshow(values, cmap=cmap, vmin=low, vmax=high, origin="lower", extent=edges, interpolation="nearest")


def _show_stack(
    values: np.ndarray,
    window: tuple[float, float] | None,
    grid: Grid | None,
    title: str | None,
    unit: str | None,
    cmap: str,
    colorbar: bool,
) -> np.ndarray:
    import matplotlib.pyplot as plt

    count = min(len(values), _MOST)
    picked = np.linspace(0, len(values) - 1, count).round().astype(int)
    columns = min(count, 4)
    rows = math.ceil(count / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.4 * columns + 0.6, 2.4 * rows), squeeze=False, layout="constrained"
    )
    plane = None if grid is None else Grid(grid.shape[1:], grid.spacing[1:], grid.origin[1:])
    between = limits(window, values[picked])
    for one in axes.flat:
        one.axis("off")
    for one, index in zip(axes.flat, picked, strict=False):
        drawn = draw(one, values[index], between, plane, cmap)
        one.set_title(f"{index}" if grid is None else f"z = {grid.axes()[0][index]:.4g} mm", fontsize=9)
    if title:
        figure.suptitle(title)
    if colorbar:
        colour_bar(drawn, unit, axes)
    return axes


def _show_volume(
    volume: Volume,
    window: tuple[float, float] | None,
    at: tuple[float, float, float] | None,
    title: str | None,
    unit: str | None,
    cmap: str,
    colorbar: bool,
    ax: Any,
) -> Any:
    import matplotlib.pyplot as plt

    if volume.data.ndim == 4:
        raise InputError(f"image: expected one volume, got a series of shape {volume.data.shape}. Show volume.data[t]")
    if volume.data.dtype.kind == "c":
        raise DtypeError("image: expected real numbers, got a complex volume. Show its magnitude: abs(volume.data)")
    volume = _upright(volume)
    where, values = volume.grid.axes(), volume.data
    if values.ndim == 2:
        where, values = (np.zeros(1), *where), values[np.newaxis]
    index = _indices(where, at)
    several = len(where[0]) > 1 and (ax is None or np.ndim(ax) == 1)
    planes = list(_PLANES) if several else ["axial"]
    between = limits(window, values)
    if not several:
        axes = np.array([axes_or_new(ax)])
    elif ax is not None:
        axes = np.asarray(ax)
        if axes.shape != (3,):
            raise InputError(f"ax: expected one or three axes, got {axes.size}")
    else:
        # As wide as their millimetres, so that all three have one scale.
        sides = [_span(where[_PLANES[plane][0][1]]) for plane in planes]
        figure, axes = plt.subplots(1, 3, figsize=(10.5, 4.2), width_ratios=sides, layout="constrained")
        if title:
            figure.suptitle(title)
    for one, plane in zip(axes, planes, strict=True):
        drawn = _draw_plane(one, values, where, index, plane, between, cmap)
    if colorbar:
        colour_bar(drawn, unit, axes if len(planes) > 1 else axes[0])
    if len(planes) > 1:
        return axes
    if title:
        axes[0].set_title(title)
    return axes[0]


def _upright(volume: Volume) -> Volume:
    """Return the volume with its indices along +x, +y and +z: reordered, or resampled if its axes are oblique."""
    grid = volume.grid
    if grid.is_oblique:
        return volume.resample(grid.axis_aligned(), fill=float(np.min(volume.data)))
    return Volume(grid.to_aligned(volume.data), grid.axis_aligned().affine)


def _indices(where: tuple[np.ndarray, ...], at: tuple[float, float, float] | None) -> tuple[int, ...]:
    """Return the voxel (z, y, x) nearest to a world point."""
    if at is None:
        return tuple(len(axis) // 2 for axis in where)
    point = _checks.per_axis("at", at, 3)[::-1]
    for name, axis, place in zip("zyx", where, point, strict=True):
        if not axis[0] - _step(axis) <= place <= axis[-1] + _step(axis):
            raise InputError(f"at: expected {name} between {axis[0]:.4g} and {axis[-1]:.4g} mm, got {place:.4g}")
    return tuple(int(np.argmin(np.abs(axis - place))) for axis, place in zip(where, point, strict=True))


def _draw_plane(
    axes: Axes,
    values: np.ndarray,
    where: tuple[np.ndarray, ...],
    index: tuple[int, ...],
    plane: str,
    between: tuple[float, float],
    cmap: str,
) -> AxesImage:
    (row, column), across, letters = _PLANES[plane]
    picture = np.take(values, index[across], axis=across)
    grid = Grid(
        picture.shape,
        (_step(where[row]), _step(where[column])),
        (float(where[row][0]), float(where[column][0])),
    )
    drawn = draw(axes, picture, between, grid, cmap)
    axes.invert_xaxis()
    name = "xyz"[2 - across]
    if values.shape[across] > 1:
        axes.set_title(f"{plane}, {name} = {where[across][index[across]]:.4g} mm", fontsize=10)
    axes.set_axis_off()
    for letter, place in zip(letters, ((0.03, 0.5), (0.97, 0.5), (0.5, 0.03), (0.5, 0.97)), strict=True):
        axes.text(
            *place,
            letter,
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=9,
            color="#ffd24d",
            fontweight="bold",
        )
    return drawn


def _step(axis: np.ndarray) -> float:
    return float(axis[1] - axis[0]) if len(axis) > 1 else 1.0


def _span(axis: np.ndarray) -> float:
    return _step(axis) * len(axis)
