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

__all__ = ["Engine", "Match", "find"]

#: Numbers of signals that are scaled and searched for at once.
_AT_ONCE = 1 << 24
#: Signals no longer than this are compared as they are; longer ones by a few of their principal directions.
_SHORT = 32
#: Share of the energy of normalised atoms that those directions may miss, and the most there may be of them.
_MISSED, _MOST_DIRECTIONS = 1e-7, 64
#: Share above which it is not worth while.
_TOO_MUCH_MISSED = 1e-3

_UNITS = {"t1": "s", "t2": "s", "off_resonance": "Hz"}


@dataclass(frozen=True)
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


class Engine:
    """What finds the atoms of one dictionary: made once, at the first match.

    Parameters
    ----------
    dictionary
        To be searched.

    Notes
    -----
    Signals given to it have unit norm and the length of the dictionary's table.
    """

    def __init__(self, dictionary: Dictionary) -> None:
        self._table = dictionary.signals
        self._bounded = None if dictionary.basis is not None else _Bounded.of(self._table)
        self._matcher = _core.Matcher(self._table) if self._bounded is None else self._bounded.matcher

    def find(self, y: np.ndarray, top_k: int, report: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Return index, correlation and scale (n, top_k) of the best atoms, and the share that was scored."""
        if self._bounded is None:
            return self._matcher.match(y, top_k, progress=report)
        inner, outside = self._bounded.split(y)
        return self._matcher.match(inner, top_k, outside, y, report)

    def compared(self, y: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return correlation and scale of signals (n, ...) with one atom each, atoms below 0 left out (NaN)."""
        score = np.full(len(y), np.nan)
        scale = np.full(len(y), np.nan, np.complex128)
        there = np.flatnonzero(atoms >= 0)
        for piece in _subspace.pieces(len(there), y.shape[1]):
            rows = there[piece]
            # In double, as differences between neighbours are fitted.
            a = self._table[atoms[rows]].astype(np.result_type(self._table, np.float64))
            products = np.einsum("ij,ij->i", a.conj(), y[rows])
            lengths = np.sqrt(np.einsum("ij,ij->i", a.conj(), a).real)
            score[rows], scale[rows] = np.abs(products) / lengths, products / lengths**2
        return score, scale


class _Bounded:
    """Atoms at full length with their coefficients in a few directions, and the norm of what these leave out."""

    def __init__(self, table: np.ndarray, basis: np.ndarray) -> None:
        self._basis = basis
        coefficients = np.empty((len(table), basis.shape[1]), table.dtype)
        outside = np.empty(len(table), table.real.dtype)
        for piece in _subspace.pieces(*table.shape):
            coefficients[piece], outside[piece] = self.split(table[piece])
        self.matcher = _core.Matcher(coefficients, outside, table)

    @classmethod
    def of(cls, table: np.ndarray) -> _Bounded | None:
        """Return atoms in as few directions as tell them apart; None where that does not pay."""
        n_atoms, echoes = table.shape
        if echoes <= _SHORT or n_atoms <= _SHORT:
            return None
        sample = table[_subspace.spread(n_atoms)]
        vectors, energies = _subspace.principal(sample / _subspace.norms(sample)[:, None])
        missed = 1 - np.cumsum(energies) / energies.sum()
        most = min(_MOST_DIRECTIONS, echoes // 4)
        rank = min(int(np.argmax(missed <= _MISSED)) + 1 if missed[-1] <= _MISSED else most, most)
        if missed[rank - 1] > _TOO_MUCH_MISSED:
            return None
        return cls(table, np.ascontiguousarray(vectors[:, :rank].astype(table.dtype)))

    def split(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the coefficients of signals, and an upper bound on the norm of what they leave out."""
        inner = _subspace.project(y, self._basis)
        if inner.dtype.kind == "c" and self._basis.dtype.kind == "f":
            rest = y.copy()
            rest.real -= inner.real @ self._basis.T
            rest.imag -= inner.imag @ self._basis.T
        else:
            rest = y - inner @ self._basis.T
        # Rounding: of the products, and of a basis that is not quite orthonormal.
        slack = 16 * np.finfo(y.dtype).eps * _subspace.norms(y)
        return inner, (_subspace.norms(rest) + slack).astype(y.real.dtype)


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
    search = _Search(dictionary, given.reshape(-1, length), _selected(mask, shape, k), k, coefficients)
    with progress_bar("match", enable=progress) as report:
        scored = search.run(grid, report if progress else None)
    shape = shape if k == 1 else (*shape, k)

    def shaped(values: np.ndarray) -> Any:
        return _tensors.like(signals, np.ascontiguousarray(values.reshape(shape)))

    parameters = {name: shaped(values) for name, values in search.parameters.items()}
    return Match(parameters, shaped(search.m0), shaped(search.correlation), shaped(search.index), scored, k)


def _selected(mask: Any, shape: tuple[int, ...], k: int) -> np.ndarray | None:
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

    def _engine(self) -> Engine:
        if self._dictionary._engine is None:
            self._dictionary._engine = Engine(self._dictionary)
        return self._dictionary._engine

    def run(self, grid: _interpolation.Neighbours | None, report: Callable[[int, int], None] | None) -> float:
        """Match all voxels, and return the share of atoms that was scored on average."""
        engine = self._engine() if self._rows.size else None
        scored = 0.0
        for piece in _subspace.pieces(len(self._rows), self._signals.shape[1], _AT_ONCE):
            assert engine is not None
            rows = self._rows[piece]
            y = self._unit(rows)
            if self._onto is not None:
                y = _subspace.project(y, self._onto)
            index, score, scale, share = engine.find(y, self._k, _part(report, piece, len(self._rows)))
            self._put(rows, index, score, scale)
            if grid is not None:
                self._refine(rows, y, engine, grid)
            scored += share * len(rows) / len(self._rows)
        return scored

    def _unit(self, rows: np.ndarray) -> np.ndarray:
        """Return signals scaled to unit norm, in the precision of the dictionary and at least its kind."""
        some = self._signals if len(rows) == len(self._signals) else self._signals[rows]
        scale = 1 / self._norms[rows, None]
        real = self._dictionary.signals.real.dtype
        if some.dtype.kind != "c" and self._dictionary.signals.dtype.kind != "c":
            return (some * scale).astype(real)
        result = np.empty(some.shape, np.result_type(real, np.complex64))
        np.multiply(some, scale, out=result, casting="same_kind")
        return result

    def _put(self, rows: np.ndarray, index: np.ndarray, score: np.ndarray, scale: np.ndarray) -> None:
        """Keep what was found; signals that are orthogonal to a compressed dictionary stay as they are, unmatched."""
        found = index >= 0
        self.index[rows] = index
        self.correlation[rows] = np.minimum(score, 1.0)
        self.m0[rows] = scale * self._norms[rows, None]
        for name, values in self._dictionary.parameters.items():
            self.parameters[name][rows] = np.where(found, values[index], 0.0)

    def _refine(self, rows: np.ndarray, y: np.ndarray, engine: Engine, grid: _interpolation.Neighbours) -> None:
        """Move from atoms to between them."""
        index = self.index[rows, 0]
        found = index >= 0
        rows, y = rows[found], y[found]
        refined = grid.refine(index[found], lambda atoms: engine.compared(y, atoms))
        for name, values in refined.parameters.items():
            self.parameters[name][rows, 0] = values
        self.correlation[rows, 0] = np.maximum(self.correlation[rows, 0], np.minimum(refined.score, 1.0))
        self.m0[rows, 0] = refined.scale * self._norms[rows]


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
