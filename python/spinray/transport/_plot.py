"""Drawings of doses, fluence and kerma, and their uncertainty, and of detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks
from ..errors import InputError
from ..grid import Grid

if TYPE_CHECKING:
    from .detector import DetectorResult
    from .dose import DoseResult
    from .fluence import FluenceResult

__all__ = ["bars", "images", "slice_of", "spectrum"]


def slice_of(dose: DoseResult | FluenceResult, z: float | None, axes: Any, what: str = "dose") -> np.ndarray:
    """Draw a result and its relative standard error of one slice (y, x) side by side; return both axes."""
    from ..viz._common import colour_bar, limits
    from ..viz.images import draw

    assert dose.grid is not None
    grid = dose.grid.axis_aligned()
    mean, error = dose.grid.to_aligned(dose.mean), 100 * dose.grid.to_aligned(dose.relative_error)
    index = _slice(grid, z, mean)
    plane = Grid(grid.shape[1:], grid.spacing[1:], grid.origin[1:])
    pair = _axes(axes, 2, (9.0, 4.0))
    error = np.where(np.isfinite(error[index]), error[index], np.nan)
    pictures = [(mean[index], dose.units, "inferno"), (error, "standard error [%]", "viridis")]
    for one, (values, unit, cmap) in zip(pair, pictures, strict=True):
        drawn = draw(one, values, (0.0, max(limits(None, values)[1], np.finfo(np.float32).tiny)), plane, cmap)
        colour_bar(drawn, unit, one)
        one.set_xlabel("x [mm]")
        one.set_ylabel("y [mm]")
    pair[0].set_title(f"{what} at z = {grid.axes()[0][index]:.4g} mm")
    pair[1].set_title(f"{dose.n_histories:,} histories")
    return pair


def bars(dose: DoseResult | FluenceResult, z: float | None, axes: Any, what: str = "dose") -> Any:
    """Draw the result of each solid as a bar with its standard error; return the axes."""
    if z is not None:
        raise InputError(f"z: solids have no slices, got {z}. Leave it out")
    (one,) = _axes(axes, 1, (6.0, 4.0))
    places = np.arange(len(dose.solids))
    one.bar(places, dose.mean, yerr=np.where(np.isfinite(dose.std_error), dose.std_error, 0.0), capsize=3)
    one.set_xticks(places, dose.solids)
    one.set_ylabel(f"{what} [{dose.units}]")
    one.set_title(f"{dose.n_histories:,} histories")
    return one


def spectrum(found: FluenceResult, z: float | None, axes: Any, what: str) -> Any:
    """Draw a spectrum per keV with its standard errors; return the axes."""
    if z is not None:
        raise InputError(f"z: a spectrum has no slices, got {z}. Leave it out")
    (one,) = _axes(axes, 1, (6.0, 4.0))
    assert found.energies is not None
    width = np.diff(found.energies)
    middle, density = found.energies[:-1] + width / 2, found.mean / width
    line = one.stairs(density, found.energies)
    error = np.where(np.isfinite(found.std_error), found.std_error, 0.0) / width
    one.errorbar(middle, density, error, fmt="none", ecolor=line.get_edgecolor())
    one.set_xlabel("energy [keV]")
    one.set_ylabel(f"{what} per keV [{found.units}]")
    one.set_title(f"{found.n_histories:,} histories")
    return one


def images(found: DetectorResult, channel: int, axes: Any) -> np.ndarray:
    """Draw primary photons, scatter and their ratio, rows upwards; return the three axes."""
    from ..viz._common import colour_bar, limits
    from ..viz.images import draw

    detector = found.detector
    count = 1 if detector.thresholds is None else len(detector.thresholds)
    if not 0 <= _checks.integer("channel", channel) < count:
        raise InputError(f"channel: expected 0 to {count - 1}, got {channel}")
    pictures = {
        f"primary [{found.units}]": found.primary.mean,
        f"scatter [{found.units}]": found.scatter.mean,
        "scatter / primary": np.where(found.primary.mean > 0, found.scatter_to_primary, np.nan),
    }
    trio = _axes(axes, 3, (12.0, 3.6))
    plane = Grid(detector.shape, detector.pitch)
    for one, (unit, picture) in zip(trio, pictures.items(), strict=True):
        values = picture.reshape(count, *detector.shape)[channel]
        drawn = draw(one, values, (0.0, max(limits(None, values)[1], np.finfo(np.float32).tiny)), plane, "inferno")
        colour_bar(drawn, unit, one)
        one.set_xlabel("along rows [mm]")
    trio[0].set_ylabel("along columns [mm]")
    trio[1].set_title(f"{found.n_histories:,} histories")
    return trio


def _slice(grid: Grid, z: float | None, mean: np.ndarray) -> int:
    """Return the index of the slice nearest to `z`, or of the one with the largest dose."""
    if z is None:
        return int(np.unravel_index(int(np.argmax(mean)), mean.shape)[0])
    where, centres, step = _checks.number("z", z), grid.axes()[0], grid.spacing[0]
    low, high = centres[0] - step / 2, centres[-1] + step / 2
    if not low <= where <= high:
        raise InputError(f"z: expected a place in the grid, from {low:g} to {high:g} mm, got {where:g}")
    return int(np.argmin(np.abs(centres - where)))


def _axes(axes: Any, count: int, size: tuple[float, float]) -> np.ndarray:
    """Return the axes given, or those of a new figure."""
    if axes is None:
        import matplotlib.pyplot as plt

        return plt.subplots(1, count, figsize=size, layout="constrained", squeeze=False)[1][0]
    given = np.atleast_1d(np.asarray(axes, dtype=object))
    if given.shape != (count,):
        raise InputError(f"axes: expected {count}, got {given.size}")
    return given
