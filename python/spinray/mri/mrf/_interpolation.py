"""Between the atoms of a product grid: the top of a parabola through the correlations of neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...errors import InputError

if TYPE_CHECKING:
    from .dictionary import Dictionary

__all__ = ["Neighbours", "Refined"]

#: Correlation and scale of every signal with an atom of its own; NaN where its number is below 0.
Comparison = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Refined(NamedTuple):
    """Parameters, correlation and scale (n,) between atoms."""

    parameters: dict[str, np.ndarray]
    score: np.ndarray
    scale: np.ndarray


class Neighbours:
    """Which atoms are next to which along the axes of a product grid.

    Parameters
    ----------
    dictionary
        Its `axes` must be known and strictly increasing or decreasing; atoms may be missing.

    Raises
    ------
    InputError
        If it is no product grid.
    """

    def __init__(self, dictionary: Dictionary) -> None:
        if dictionary.axes is None:
            fix = "Simulate it from arrays t1, t2, ... rather than atoms, or pass axes="
            raise InputError(f"interpolate: expected the dictionary of a product grid, got single atoms. {fix}")
        for name, axis in dictionary.axes.items():
            steps = np.diff(axis)
            if not ((steps > 0).all() or (steps < 0).all()):
                raise InputError(f"interpolate: expected an axis {name} that increases or decreases, got ties or turns")
        self._axes = dictionary.axes
        self._places = [_places(axis, dictionary.parameters[name]) for name, axis in self._axes.items()]
        self._shape = tuple(axis.size for axis in self._axes.values())
        self._atoms = np.full(self._shape, -1, np.int64)
        self._atoms[tuple(self._places)] = np.arange(dictionary.n_atoms)

    def refine(self, index: np.ndarray, compare: Comparison) -> Refined:
        """Return parameters between atoms for the signals whose best atoms are `index`.

        Each axis for itself; correlation and scale take what all axes add.
        """
        place = [places[index] for places in self._places]
        score, scale = compare(index)
        result = Refined({}, score.copy(), scale.copy())
        for k, (name, axis) in enumerate(self._axes.items()):
            variable = _natural(axis)
            centre = variable[place[k]]
            at, values, scales = [centre], [score], [scale]
            for step in (-1, 1):
                beside = place[k] + step
                there = (beside >= 0) & (beside < axis.size)
                clipped = np.clip(beside, 0, axis.size - 1)
                atoms = self._atoms[tuple(clipped if j == k else other for j, other in enumerate(place))]
                value, factor = compare(np.where(there, atoms, -1))
                at.append(variable[clipped])
                values.append(value)
                scales.append(factor)
            top = _vertex(at, values)
            weights = _lagrange(at, top)
            moved = top != centre
            gain = _mixed(weights, values) - score
            result.score[moved] += np.maximum(gain[moved], 0.0)
            result.scale[moved] += (_mixed(weights, scales) - scale)[moved]
            exact = axis[place[k]]
            between = np.exp(top) if variable is not axis else top
            result.parameters[name] = np.where(moved, between, exact)
        return result


def _places(axis: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return where along an axis each value is."""
    order = np.argsort(axis)
    return order[np.searchsorted(axis, values, sorter=order)]


def _natural(axis: np.ndarray) -> np.ndarray:
    """Return the axis, or its logarithm if that is spaced more evenly."""
    if axis.size < 3 or axis.min() <= 0:
        return axis
    logarithm = np.log(axis)
    spreads = [np.ptp(steps) / np.abs(steps.mean()) for steps in (np.diff(axis), np.diff(logarithm))]
    return logarithm if spreads[1] < spreads[0] else axis


def _vertex(at: list[np.ndarray], values: list[np.ndarray]) -> np.ndarray:
    """Return the top of the parabola through three points, the middle one first; that one where there is no top.

    Never beyond its neighbours.
    """
    (x, below, above), (y, left, right) = at, values
    a, b = below - x, above - x
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # Twice the curvature times a b (b - a), and the slope times the same.
        curvature = a * (right - y) - b * (left - y)
        slope = b**2 * (left - y) - a**2 * (right - y)
        shift = -slope / (2 * curvature)
        fine = np.isfinite(shift) & (curvature * a * b * (b - a) < 0)
        fine &= (y >= left) & (y >= right)
    low, high = np.minimum(a, b), np.maximum(a, b)
    return x + np.where(fine, np.clip(np.where(fine, shift, 0.0), low, high), 0.0)


def _lagrange(at: list[np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """Return the weights of three points in the parabola through them at x."""
    turns = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return [(x - at[j]) * (x - at[k]) / ((at[i] - at[j]) * (at[i] - at[k])) for i, j, k in turns]


def _mixed(weights: list[np.ndarray], values: list[np.ndarray]) -> np.ndarray:
    """Return the weighted sum; NaN where a neighbour is missing."""
    with np.errstate(invalid="ignore"):
        return sum((weight * value for weight, value in zip(weights, values, strict=True)), np.zeros(1))
