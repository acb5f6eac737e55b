"""Images side by side: one window for all, and what each is wrong by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks
from ..errors import InputError
from ..grid import Grid, Volume
from ._common import colour_bar, entries, extent, limits
from .images import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["compare"]


def compare(
    images: Sequence[Any],
    titles: Sequence[str],
    *,
    reference: int | None = 0,
    window: tuple[float, float] | None = None,
    error: float | None = None,
    grid: Grid | None = None,
    unit: str | None = None,
    zoom: tuple[float, float, float, float] | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw images side by side under one window, and below each its difference from the reference.

    Parameters
    ----------
    images : sequence of array_like, torch.Tensor or Volume, each of shape (y, x)
        All of one shape. If the first is a `Volume`, all lie where it does, and the patient's right is on the left.
    titles : sequence of str
        One for each image.
    reference : int or None
        Number of the image that the others are compared with; None draws no differences.
    window : (level, width), optional
        Of the grey values; all but the outermost 0.2 % of the values of the reference unless given.
    error : float, optional
        Difference drawn in full colour; four times the root mean square of the smallest one unless given.
    grid : Grid, optional
        Where the pixels lie: `zoom` is then in mm.
    unit : str, optional
        Unit of the values.
    zoom : (left, right, bottom, top), optional
        Show this part only.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : numpy.ndarray of matplotlib.axes.Axes, shape (1 or 2, len(images))

    Raises
    ------
    InputError
        If images and titles differ in number, the images in shape, or there is no image `reference`.
    DtypeError
        If the entries are not real numbers.

    Examples
    --------
    >>> import numpy as np, spinray
    >>> truth = spinray.phantoms.shepp_logan(2).voxelise(spinray.Grid((32, 32), spacing=8.0))
    >>> figure, axes = spinray.viz.compare([truth, truth + 0.001], ["truth", "too bright"])
    >>> axes[1, 1].get_title()
    'RMSE 0.001'
    """
    import matplotlib.pyplot as plt

    images = list(images)
    mirrored = bool(images) and isinstance(images[0], Volume)
    if mirrored and grid is None:
        grid = images[0].grid
    pictures = [
        entries(f"images[{number}]", image.data if isinstance(image, Volume) else image)
        for number, image in enumerate(images)
    ]
    if not pictures or len(pictures) != len(titles):
        raise InputError(f"titles: expected one for each of {len(pictures)} images, got {len(titles)}")
    shape = pictures[0].shape
    if len(shape) != 2 or any(picture.shape != shape for picture in pictures):
        raise InputError(f"images: expected one 2-D shape, got {[picture.shape for picture in pictures]}")
    if grid is not None and grid.shape != shape:
        raise InputError(f"grid: expected the images' shape {shape}, got {grid.shape}")
    if reference is not None and not 0 <= reference < len(pictures):
        raise InputError(f"reference: expected the number of one of {len(pictures)} images, got {reference}")
    if grid is not None:
        pictures, grid = [grid.to_aligned(picture) for picture in pictures], grid.axis_aligned()

    rows = 1 if reference is None else 2
    left, right, bottom, top = extent(grid, shape) if zoom is None else _checks.per_axis("zoom", zoom, 4)
    tall = (top - bottom) / (right - left)
    figure, axes = plt.subplots(
        rows,
        len(pictures),
        figsize=(2.9 * len(pictures) + 0.7, rows * (2.9 * tall + 0.35)),
        squeeze=False,
        layout="constrained",
    )
    between = limits(window, *(pictures if reference is None else [pictures[reference]]))
    for one, picture, title in zip(axes[0], pictures, titles, strict=True):
        drawn = draw(one, picture, between, grid)
        one.set_title(title, fontsize=11)
    colour_bar(drawn, unit, axes[0])
    if reference is not None:
        _draw_errors(axes[1], pictures, reference, error, grid, unit)
    for one in axes.flat:
        one.set_axis_off()
        one.set_xlim(*((right, left) if mirrored else (left, right)))
        one.set_ylim(bottom, top)
    return figure, axes


def _draw_errors(
    axes: np.ndarray,
    pictures: list[np.ndarray],
    reference: int,
    error: float | None,
    grid: Grid | None,
    unit: str | None,
) -> None:
    """Draw each image minus the reference, red where it is too high."""
    truth = pictures[reference]
    differences = {i: picture - truth for i, picture in enumerate(pictures) if i != reference}
    sizes = {i: float(np.sqrt(np.mean(difference**2))) for i, difference in differences.items()}
    most = 4 * min(sizes.values(), default=0.0) if error is None else _checks.positive("error", error)
    drawn = None
    for i, one in enumerate(axes):
        if i == reference:
            continue
        drawn = draw(one, differences[i], (-(most or 1.0), most or 1.0), grid, "RdBu_r")
        one.set_title(f"RMSE {sizes[i]:.3g}{f' {unit}' if unit else ''}", fontsize=10)
    if drawn is not None:
        colour_bar(drawn, f"difference [{unit}]" if unit else "difference", axes)
