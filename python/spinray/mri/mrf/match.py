"""Matching: the atom of a dictionary that each measured signal is most alike, and the maps that come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import _checks, _core, _tensors
from ..._progress import progress_bar
from ...errors import InputError
from . import _interpolation, _subspace

if TYPE_CHECKING:
    from .dictionary import Dictionary

__all__ = ["Match", "find"]

#: Numbers of signals that are searched for at once.
_AT_ONCE = 1 << 24
#: Norms between which no product leaves the range of single precision.
_SMALL, _LARGE = 1e-12, 1e12

_UNITS = {"t1": "s", "t2": "s", "off_resonance": "Hz"}


@dataclass(frozen=True, eq=False, repr=False)
class Match:
    """What matching found: maps of the shape of the voxels, with a last axis ``top_k`` if that is above 1.

    Each parameter of the dictionary is an attribute of its name too: ``m.t1``. Voxels outside the mask and those
    without signal have index -1, and zeros for the rest. Arrays are tensors if the signals were.

    Attributes
    ----------
    parameters : dict of str to numpy.ndarray
        Of the atom found, float64: "t1" and "t2" in s, "b1" relative, "off_resonance" in Hz.
    m0 : numpy.ndarray
        Complex scale of the atom that comes closest to the signal, <a, y> / |a|^2: proton density times receiver phase.
    correlation : numpy.ndarray
        |<a, y>| / (|a| |y|), 1 for a signal that is an atom.
    index : numpy.ndarray
        Number of the atom, int64.
    scored : float
        Share of the atoms that signals were compared with, on average; the others were ruled out.
    top_k : int
        Atoms for each voxel.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.mri import mrf
    >>> D = mrf.Dictionary([[1.0, 0.5], [1.0, 0.7]], {"t2": [0.05, 0.08]})
    >>> m = D.match([[2.0, 1.0], [0.0, 0.0]])
    >>> m.t2, m.index
    (array([0.05, 0.  ]), array([ 0, -1]))
    """

    parameters: dict[str, Any]
    m0: Any
    correlation: Any
    index: Any
    scored: float
    top_k: int = 1

    def __getattr__(self, name: str) -> Any:
        """Return a parameter by its name."""
        parameters = self.__dict__.get("parameters", {})
        if name in parameters:
            return parameters[name]
        raise AttributeError(f"a Match of this dictionary has no {name!r}, its parameters are {', '.join(parameters)}")

    def __repr__(self) -> str:
        shape = tuple(self.index.shape)
        return f"Match(shape {shape}, {', '.join(self.parameters)}, {100 * self.scored:.3g} % of atoms scored)"

    def plot(self, at: int | None = None) -> tuple[Any, np.ndarray]:
        """Draw the maps of an image, or of one slice of a volume: parameters, modulus of M0, correlation.

        Parameters
        ----------
        at : int, optional
            Which slice of maps (z, y, x); the middle one unless given.

        Returns
        -------
        figure : matplotlib.figure.Figure
        axes : numpy.ndarray of matplotlib.axes.Axes, shape (number of maps,)

        Raises
        ------
        InputError
            If the voxels are neither an image nor a volume, or there is no slice `at`.

        Examples
        --------
        >>> import numpy as np
        >>> from spinray.mri import mrf
        >>> D = mrf.Dictionary([[1.0, 0.5], [1.0, 0.7]], {"t2": [0.05, 0.08]})
        >>> figure, axes = D.match(np.ones((4, 5, 2))).plot()
        >>> [one.get_title() for one in axes]
        ['t2 [s]', '|m0|', 'correlation']
        """
        import matplotlib.pyplot as plt

        from ...viz import _common, images

        maps = _maps(self, at)
        count = len(maps)
        figure, axes = plt.subplots(1, count, figsize=(3.1 * count, 2.9), squeeze=False, layout="constrained")
        for one, (name, values) in zip(axes[0], maps.items(), strict=True):
            drawn = images.draw(one, values, _common.limits(None, values), cmap="viridis")
            unit = _UNITS.get(name)
            one.set_title(f"{name} [{unit}]" if unit else name, fontsize=10)
            one.set_axis_off()
            _common.colour_bar(drawn, None, one)
        return figure, axes[0]


def _maps(m: Match, at: int | None) -> dict[str, np.ndarray]:
    """Return what there is to draw, by title, NaN where nothing was matched."""
    maps = {**m.parameters, "|m0|": abs(m.m0), "correlation": m.correlation}
    best = (..., 0) if m.top_k > 1 else ...
    index = np.asarray(m.index)[best]
    if index.ndim not in (2, 3):
        raise InputError(f"plot: expected maps (y, x) or (z, y, x), got shape {index.shape}")
    maps = {name: np.where(index < 0, np.nan, np.asarray(values)[best]) for name, values in maps.items()}
    if index.ndim == 2:
        return maps
    number = len(index) // 2 if at is None else _checks.integer("at", at, minimum=0)
    if number >= len(index):
        raise InputError(f"at: expected a slice below {len(index)}, got {number}")
    return {name: values[number] for name, values in maps.items()}


def _compared(table: np.ndarray, y: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return |<a, y>| / |a| and <a, y> / |a|^2 of signals (n, length) with one atom each; NaN for atoms below 0."""
    score = np.full(len(y), np.nan)
    scale = np.full(len(y), np.nan, np.complex128)
    there = np.flatnonzero(atoms >= 0)
    for piece in _subspace.pieces(len(there), y.shape[1]):
        rows = there[piece]
        # In double, as differences between neighbours are fitted.
        a = table[atoms[rows]].astype(np.result_type(table, np.float64))
        products = np.einsum("ij,ij->i", a.conj(), y[rows])
        lengths = _subspace.norms(a)
        score[rows], scale[rows] = np.abs(products) / lengths, products / lengths**2
    return score, scale


def find(dictionary: Dictionary, signals: Any, mask: Any, top_k: int, interpolate: bool, progress: bool) -> Match:
    """Match signals with a dictionary: see `Dictionary.match`."""
    given = _tensors.entries("signals", signals)
    length = given.shape[-1] if given.ndim else 0
    coefficients = length != dictionary.n_echoes
    if coefficients and length != dictionary.rank:
        wanted = f"(..., {dictionary.n_echoes})" + (f" or (..., {dictionary.rank})" if dictionary.rank else "")
        raise InputError(f"signals: expected shape {wanted}, echoes last, got {given.shape}")
    k = _checks.integer("top_k", top_k, minimum=1)
    if k > dictionary.n_atoms:
        raise InputError(f"top_k: expected at most {dictionary.n_atoms}, the number of atoms, got {k}")
    grid = None
    if interpolate:
        if k > 1:
            raise InputError(f"interpolate: expected top_k = 1, there is one best place between atoms; got top_k = {k}")
        grid = _interpolation.Neighbours(dictionary)
    shape = given.shape[:-1]
    search = _Search(dictionary, given.reshape(-1, length), _selected(mask, shape), k, coefficients)
    with progress_bar("match", enable=progress) as report:
        scored = search.run(grid, report if progress else None)
    shape = shape if k == 1 else (*shape, k)

    def shaped(values: np.ndarray) -> Any:
        return _tensors.like(signals, values.reshape(shape))

    parameters = {name: shaped(values) for name, values in search.parameters.items()}
    return Match(parameters, shaped(search.m0), shaped(search.correlation), shaped(search.index), scored, k)


def _selected(mask: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the numbers of the voxels in a mask; None for all."""
    if mask is None:
        return None
    inside = _checks.finite("mask", _tensors.entries("mask", mask))
    if inside.shape != shape:
        raise InputError(f"mask: expected shape {shape}, the signals' without their last axis, got {inside.shape}")
    return np.flatnonzero(inside)


class _Search:
    """One call of `find`: voxels as rows, and the results they are given.

    Parameters
    ----------
    dictionary, k, coefficients
        What to search, for how many atoms, whether signals are coefficients.
    signals
        Shape (voxels, length).
    inside
        Numbers of the voxels to match; None for all.
    """

    def __init__(
        self, dictionary: Dictionary, signals: np.ndarray, inside: np.ndarray | None, k: int, coefficients: bool
    ) -> None:
        self._dictionary, self._signals, self._k = dictionary, signals, k
        self._onto = None if coefficients else dictionary.basis
        voxels = len(signals)
        real = signals.real.dtype
        self.index = np.full((voxels, k), -1, np.int64)
        self.correlation = np.zeros((voxels, k), real)
        self.m0 = np.zeros((voxels, k), np.result_type(real, np.complex64))
        self.parameters = {name: np.zeros((voxels, k)) for name in dictionary.parameters}
        self._norms = _norms(signals, inside)
        self._rows = np.flatnonzero(self._norms)

    def _matcher(self) -> _core.Matcher:
        if self._dictionary._matcher is None:
            self._dictionary._matcher = _core.Matcher(self._dictionary.signals)
        return self._dictionary._matcher

    def run(self, grid: _interpolation.Neighbours | None, report: Callable[[int, int], None] | None) -> float:
        """Match all voxels, and return the share of atoms that was scored on average."""
        scored = 0.0
        for piece in _subspace.pieces(len(self._rows), self._signals.shape[1], _AT_ONCE):
            rows = self._rows[piece]
            y, divisor = self._prepared(rows)
            part = _part(report, piece, len(self._rows))
            index, score, scale, share = self._matcher().match(y, self._k, progress=part)
            units = divisor[:, None]
            self._put(rows, index, score * units, scale * units)
            if grid is not None:
                self._refine(rows, y, divisor, grid)
            scored += share * len(rows) / len(self._rows)
        return scored

    def _prepared(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return signals in the space and precision of the dictionary, complex if either is, and what divided them."""
        consecutive = rows[-1] - rows[0] + 1 == len(rows)
        y = self._signals[rows[0] : rows[-1] + 1] if consecutive else self._signals[rows]
        divisor = np.ones(len(rows))
        norms = self._norms[rows]
        if norms.min() < _SMALL or norms.max() > _LARGE:
            y, divisor = y / norms[:, None], norms
        if self._onto is not None:
            y = _subspace.project(y, self._onto)
        table = self._dictionary.signals.dtype
        kind = np.result_type(table, np.complex64) if y.dtype.kind == "c" else table
        return y.astype(kind, copy=False), divisor

    def _put(self, rows: np.ndarray, index: np.ndarray, score: np.ndarray, scale: np.ndarray) -> None:
        """Keep what was found; signals that are orthogonal to a compressed dictionary stay as they are, unmatched."""
        found = index >= 0
        self.index[rows] = index
        self.correlation[rows] = np.minimum(score / self._norms[rows, None], 1.0)
        self.m0[rows] = scale
        for name, values in self._dictionary.parameters.items():
            self.parameters[name][rows] = np.where(found, values[index], 0.0)

    def _refine(self, rows: np.ndarray, y: np.ndarray, divisor: np.ndarray, grid: _interpolation.Neighbours) -> None:
        """Move from atoms to between them."""
        index = self.index[rows, 0]
        found = index >= 0
        rows, y, units = rows[found], y[found], divisor[found] / self._norms[rows[found]]

        def compare(atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            score, scale = _compared(self._dictionary.signals, y, atoms)
            return score * units, scale

        refined = grid.refine(index[found], compare)
        for name, values in refined.parameters.items():
            self.parameters[name][rows, 0] = values
        self.correlation[rows, 0] = np.maximum(self.correlation[rows, 0], np.minimum(refined.score, 1.0))
        self.m0[rows, 0] = refined.scale * divisor[found]


def _norms(signals: np.ndarray, inside: np.ndarray | None) -> np.ndarray:
    """Return the norm of every signal, 0 outside the mask; refuse NaN and infinity inside."""
    if inside is None:
        result = _subspace.norms(signals)
    else:
        result = np.zeros(len(signals))
        for piece in _subspace.pieces(len(inside), signals.shape[1]):
            result[inside[piece]] = _subspace.norms(signals[inside[piece]])
    bad = np.flatnonzero(~np.isfinite(result))
    if bad.size:
        where = "of the mask " if inside is not None else ""
        fix = "Leave these voxels out by mask=" if inside is None else "Leave these voxels out of the mask"
        found = f"{bad.size} voxels {where}with NaN or infinity, the first is voxel {bad[0]} in C order"
        raise InputError(f"signals: expected finite numbers, got {found}. {fix}")
    return result


def _part(report: Callable[[int, int], None] | None, piece: slice, total: int) -> Any:
    """Return a report of the progress on a piece, as progress on the whole."""
    if report is None:
        return None
    return lambda done, of: report(piece.start + (piece.stop - piece.start) * done // max(1, of), total)
