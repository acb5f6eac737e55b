"""What all figures share: windows, extents, axes to draw into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks
from ..errors import InputError
from ..grid import Grid
from ..operators.linear import is_tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

__all__ = ["axes_or_new", "colour_bar", "entries", "extent", "limits"]

#: Without a window, this share of the values is cut off on each side: a single hot pixel darkens nothing.
_CUT = 0.002


def entries(name: str, image: Any) -> np.ndarray:
    """Return real numbers of any kind of array, of two or three dimensions."""
    given = image.detach().cpu().numpy() if is_tensor(image) else image
    values = _checks.array(name, given, allow_complex=False)
    if values.ndim not in (2, 3) or values.size == 0:
        raise InputError(f"{name}: expected an image (y, x) or a stack (n, y, x), got shape {values.shape}")
    return values


def limits(window: Any, *images: np.ndarray) -> tuple[float, float]:
    """Return the values shown black and white, of a window (level, width) or of all images together.

    Examples
    --------
    >>> limits((40, 400))
    (-160.0, 240.0)
    """
    if window is not None:
        level, width = _checks.per_axis("window", window, 2)
        if np.ndim(window) != 1 or width <= 0:
            raise InputError(f"window: expected (level, width) with a positive width, got {window}")
        return level - width / 2, level + width / 2
    finite = np.concatenate([image[np.isfinite(image)].ravel() for image in images])
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.quantile(finite, (_CUT, 1 - _CUT)))
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def extent(grid: Grid | None, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Return the outer edges (left, right, bottom, top) of an image in mm, or in pixels about its middle."""
    y, x = (Grid(shape) if grid is None else grid).axes()
    dy, dx = (1.0, 1.0) if grid is None else grid.spacing
    return float(x[0] - dx / 2), float(x[-1] + dx / 2), float(y[0] - dy / 2), float(y[-1] + dy / 2)


def axes_or_new(ax: Axes | None, size: tuple[float, float] = (4.6, 4.2)) -> Axes:
    """Return the axes given, or those of a new figure."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def colour_bar(drawn: AxesImage, unit: str | None, axes: Any) -> None:
    """Put a slim colour bar beside one or several axes."""
    bar = drawn.axes.figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2)
    if unit:
        bar.set_label(unit, fontsize=9)
