"""Between the atoms of a product grid: the top of a paraboloid through the correlations of an atom and its neighbours.

With steps d along the axes, in the parameter or its logarithm, correlations are y + g.d + d.H.d / 2. Neighbours along
an axis give its slope and curvature; each diagonal neighbour gives an estimate of the mixed term, whose mean is taken.
"""

from __future__ import annotations

import itertools
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
        self._variables = {name: _natural(axis) for name, axis in self._axes.items()}
        self._places = [_places(axis, dictionary.parameters[name]) for name, axis in self._axes.items()]
        # A rim of missing atoms: every place has neighbours.
        self._atoms = np.full([axis.size + 2 for axis in self._axes.values()], -1, np.int64)
        self._atoms[tuple(place + 1 for place in self._places)] = np.arange(dictionary.n_atoms)

    def refine(self, index: np.ndarray, compare: Comparison) -> Refined:
        """Return what lies between atoms for the signals whose best atoms are `index`."""
        place = [places[index] for places in self._places]

        def samples(offset: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
            atoms = self._atoms[tuple(at + 1 + step for at, step in zip(place, offset, strict=True))]
            return compare(atoms)

        taken = {offset: samples(offset) for offset in _offsets(len(place))}
        steps = self._steps(place)
        score, scale = (_Quadratic({offset: pair[k] for offset, pair in taken.items()}, steps) for k in (0, 1))
        move = _top(score, steps)
        parameters = {}
        for k, (name, axis) in enumerate(self._axes.items()):
            variable = self._variables[name]
            there = variable[place[k]] + move[:, k]
            between = there if variable is axis else np.exp(there)
            parameters[name] = np.where(move[:, k] != 0, between, axis[place[k]])
        return Refined(parameters, score.centre + score.gain(move).real, scale.centre + scale.gain(move))

    def _steps(self, place: list[np.ndarray]) -> np.ndarray:
        """Return the steps (n, axes, 2) to the neighbours before and after; NaN beyond the ends."""
        steps = np.empty((len(place[0]), len(place), 2))
        for k, variable in enumerate(self._variables.values()):
            padded = np.concatenate([[np.nan], variable, [np.nan]])
            for side in (0, 1):
                steps[:, k, side] = padded[place[k] + 2 * side] - variable[place[k]]
        return steps


class _Quadratic:
    """A quadratic function around each of n points.

    Parameters
    ----------
    samples
        Values (n,) by offset in steps of the grid; NaN where there is no atom.
    steps
        Shape (n, axes, 2).
    """

    def __init__(self, samples: dict[tuple[int, ...], np.ndarray], steps: np.ndarray) -> None:
        n, axes, _ = steps.shape
        self.centre = y = samples[(0,) * axes]
        self.gradient = np.zeros((n, axes), y.dtype)
        self.hessian = np.zeros((n, axes, axes), y.dtype)
        sides = {-1: 0, 1: 1}
        with np.errstate(invalid="ignore"):
            for k in range(axes):
                (a, b), (left, right) = steps[:, k].T, (samples[_offset(axes, {k: s})] - y for s in sides)
                scale = a * b * (b - a)
                slope, curvature = (b**2 * left - a**2 * right) / scale, 2 * (a * right - b * left) / scale
                whole = np.isfinite(slope) & np.isfinite(curvature)
                self.gradient[:, k] = np.where(whole, slope, 0)
                self.hessian[:, k, k] = np.where(whole, curvature, 0)
            for k, j in itertools.combinations(range(axes), 2):
                total, count = np.zeros(n, y.dtype), np.zeros(n)
                for s, t in itertools.product(sides, repeat=2):
                    corner, one, other = (samples[_offset(axes, at)] for at in ({k: s, j: t}, {k: s}, {j: t}))
                    mixed = (corner - one - other + y) / (steps[:, k, sides[s]] * steps[:, j, sides[t]])
                    there = np.isfinite(mixed)
                    total[there] += mixed[there]
                    count += there
                self.hessian[:, k, j] = self.hessian[:, j, k] = total / np.maximum(count, 1)

    def gain(self, move: np.ndarray) -> np.ndarray:
        """Return what is gained by moves (n, axes)."""
        bent = 0.5 * np.einsum("nk,nkj,nj->n", move, self.hessian, move)
        return np.einsum("nk,nk->n", move, self.gradient) + bent


def _top(f: _Quadratic, steps: np.ndarray) -> np.ndarray:
    """Return the moves (n, axes) to the highest place between the neighbours: of all axes, of each alone, or none."""
    n, axes, _ = steps.shape
    curved = f.hessian[:, range(axes), range(axes)] < 0
    # Axes without two neighbours stay where they are.
    hessian = np.where(curved[:, :, None] & curved[:, None, :], f.hessian, -np.eye(axes))
    gradient = np.where(curved, f.gradient, 0.0)
    alone = -gradient / hessian[:, range(axes), range(axes)]
    # Units in which the curvatures along the axes are 1, so that rounding does not make a ridge of a valley.
    unit = 1 / np.sqrt(-hessian[:, range(axes), range(axes)])
    scaled = hessian * unit[:, :, None] * unit[:, None, :]
    definite = np.linalg.eigvalsh(scaled).max(axis=1) < -1e-3
    scaled[~definite] = -np.eye(axes)
    together = -np.linalg.solve(scaled, (gradient * unit)[..., None])[..., 0] * unit
    low, high = (np.nan_to_num(edge(steps, axis=2)) for edge in (np.min, np.max))
    together[~definite | ((together < low) | (together > high)).any(axis=1)] = 0.0
    candidates = [np.zeros((n, axes)), np.clip(alone, low, high), together]
    candidates += [candidates[1] * (np.arange(axes) == k) for k in range(axes)]
    best = np.argmax([f.gain(move) for move in candidates], axis=0)
    return np.stack(candidates)[best, np.arange(n)]


def _offsets(axes: int) -> list[tuple[int, ...]]:
    """Return an atom, its neighbours along axes, and those along diagonals of two axes, in steps."""
    near = itertools.product((0, -1, 1), repeat=axes)
    return [offset for offset in near if np.count_nonzero(offset) <= 2]


def _offset(axes: int, steps: dict[int, int]) -> tuple[int, ...]:
    return tuple(steps.get(k, 0) for k in range(axes))


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
