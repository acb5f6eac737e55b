"""Standard errors from integer sums, one number for the uncertainty of many cells, and what these are asked with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _checks
from ..errors import DtypeError, InputError
from ._sums import ONE, Sums

__all__ = ["check_photons", "check_region", "check_share", "frozen", "rms_relative_error", "std_error"]


def std_error(first: np.ndarray, second: np.ndarray, n_histories: int) -> np.ndarray:
    """Return the standard error of the mean of x."""
    if n_histories == 1:
        return np.full(first.shape, math.inf)
    mean = first / (n_histories * ONE)
    # Squares are in units of 2^-32 too; rounding may leave less than nothing of a variance that is zero.
    variance = np.maximum(second / (n_histories * ONE) - mean**2, 0.0)
    return np.sqrt(variance / (n_histories - 1))


def rms_relative_error(sums: Sums, n_histories: int, above: float, region: Any, size: np.ndarray | None) -> float:
    """Return the rms of the relative standard errors of the cells that count.

    Parameters
    ----------
    sums
        Of the cells.
    n_histories
        That led to them.
    above
        Cells of more than this share of the largest value count,
    region
        or those that are true.
    size
        What sums are divided by for the value (mass, for dose); cells of size 0 do not count. None for 1.

    Returns
    -------
    float
        Infinite if nothing was scored, or nothing in a cell of the region.
    """
    # Of the cells that count only: there may be a hundred million, and few of them scored in.
    first = sums.first.ravel()
    if region is None:
        share, scored = check_share(above), np.flatnonzero(first)
        value = first[scored] * (1.0 if isinstance(sums.scale, float) else sums.scale.ravel()[scored])
        if size is not None:
            part = size.ravel()[scored]
            value = np.divide(value, part, out=np.zeros(part.shape), where=part > 0)
        picked = scored[value > share * value.max(initial=0.0)]
    else:
        mask = check_region(region, sums.first.shape)
        picked = np.flatnonzero(mask if size is None else mask & (size > 0))
        if not picked.size:
            raise InputError("region: expected at least one cell with mass, got none")
    if not picked.size or not first[picked].all():
        return math.inf
    error = std_error(first[picked], sums.second.ravel()[picked], n_histories)
    return float(np.sqrt(np.mean((error / (first[picked] / (n_histories * ONE))) ** 2)))


def check_photons(photons: Any, before: float | None) -> float:
    """Return the number of photons to scale a result to, which must be per history still."""
    if before is not None:
        raise InputError("photons: this result is of a number of photons already. Scale the one per history")
    return _checks.positive("photons", photons)


def check_share(above: Any) -> float:
    """Return a share of the largest value."""
    share = _checks.positive("above", above, allow_zero=True)
    if share >= 1:
        raise InputError(f"above: expected a share of the largest dose in [0, 1), got {share}. Percent?")
    return share


def check_region(region: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask of cells."""
    mask = np.asarray(region)
    if mask.dtype != bool:
        raise DtypeError(f"region: expected an array of booleans, got dtype {mask.dtype}. Pass region > 0")
    if mask.shape != shape:
        raise InputError(f"region: expected the shape of the tally {shape}, got {mask.shape}")
    return mask


def frozen(array: np.ndarray) -> np.ndarray:
    """Return an array that nobody writes to any more."""
    array.setflags(write=False)
    return array
