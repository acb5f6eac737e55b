"""Dictionaries of fingerprints: the signals of many atoms, whole or compressed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ... import _checks, _core
from ..._progress import progress_bar
from ...errors import DtypeError, InputError
from . import _atoms, _storage, _subspace
from .match import Match, find
from .sequence import Sequence
from .signal import NAMES, check_sequence, columns

__all__ = ["Dictionary"]

_log = logging.getLogger("spinray.mri")

#: How far the inner products of basis vectors may be off.
_ORTHONORMAL = 1e-4


class Dictionary:
    """Signals of atoms, each with its parameters, to match measured signals with.

    Simulate one by `Dictionary.simulate`, or make one of signals from elsewhere. Immutable; `len` counts atoms. Pickled
    with everything but what matching prepares; see `save` for a file.

    Parameters
    ----------
    signals : array_like, shape (n_atoms, n_echoes), or (n_atoms, rank) with a basis
        Signals, not normalised, real or complex; with a basis, their coefficients conj(basis).T @ signal.
    parameters : dict of str to array_like, shape (n_atoms,)
        What the atoms stand for: "t1" and "t2" in s, "b1" relative, "off_resonance" in Hz, or names of your own.
    basis : array_like, shape (n_echoes, rank), optional
        Orthonormal columns.
    sequence : Sequence, optional
        What the signals were simulated with.
    axes : dict of str to array_like, optional
        Where atoms are of a product grid: the values (n,) of each parameter in the order of `parameters`. Atoms may be
        missing from the grid.
    energy : float, optional
        With a basis: the share of the squared norm of all signals that the coefficients hold.

    Attributes
    ----------
    signals : numpy.ndarray
        As given, in single or double precision; read-only.
    parameters : dict of str to numpy.ndarray
        float64, shape (n_atoms,).
    basis : numpy.ndarray or None
        None while signals have their full length.
    sequence : Sequence or None
    axes : dict of str to numpy.ndarray, or None
    energy : float or None
        1 without a basis.
    n_dropped : int
        Atoms of T2 > T1 that `simulate` left out.
    n_atoms, n_echoes : int
    rank : int or None

    Raises
    ------
    InputError
        If shapes do not fit, an entry is not finite, a signal is zero, times look like ms, or the basis is not
        orthonormal.
    DtypeError
        If entries are not numbers.

    Examples
    --------
    >>> import numpy as np
    >>> times = np.arange(1, 7) * 0.01
    >>> t2 = np.array([0.02, 0.05, 0.1])
    >>> D = Dictionary(np.exp(-times / t2[:, None]), {"t2": t2})
    >>> D
    Dictionary(3 atoms of t2, 6 echoes)
    >>> D.match(2j * np.exp(-times / 0.05)).t2
    array(0.05)
    """

    signals: np.ndarray
    parameters: dict[str, np.ndarray]
    basis: np.ndarray | None
    sequence: Sequence | None
    axes: dict[str, np.ndarray] | None
    energy: float | None
    n_dropped: int

    def __init__(
        self,
        signals: ArrayLike,
        parameters: Mapping[str, ArrayLike],
        basis: ArrayLike | None = None,
        sequence: Sequence | None = None,
        *,
        axes: Mapping[str, ArrayLike] | None = None,
        energy: float | None = None,
    ) -> None:
        table = _checks.array("signals", signals)
        if table.ndim != 2 or 0 in table.shape:
            raise InputError(f"signals: expected shape (n_atoms, n_echoes) or (n_atoms, rank), got {table.shape}")
        self.signals = _frozen(table)
        self.parameters = _parameters(parameters, len(table))
        self.basis = None if basis is None else _frozen(_orthonormal(basis, table))
        if sequence is not None and not isinstance(sequence, Sequence):
            raise DtypeError(f"sequence: expected a Sequence, got {type(sequence).__name__}")
        if sequence is not None and sequence.n_echoes != self.n_echoes:
            raise InputError(f"sequence: expected {self.n_echoes} echoes as the signals have, got {sequence.n_echoes}")
        self.sequence = sequence
        self.axes = None if axes is None else _axes(axes, self.parameters)
        given = None if energy is None else _checks.positive("energy", energy)
        self.energy = 1.0 if basis is None else given
        self.n_dropped = 0
        self._whole: Dictionary | None = None
        self._matcher: _core.Matcher | None = None
        self._refuse_unusable()

    def _refuse_unusable(self) -> None:
        """Refuse signals that nothing can be matched with."""
        lengths = _subspace.norms(self.signals)
        bad = np.flatnonzero(~np.isfinite(lengths) | (lengths**2 < np.finfo(self.signals.dtype).tiny))
        if not bad.size:
            return
        first = int(bad[0])
        which = ", ".join(f"{name} = {values[first]:g}" for name, values in self.parameters.items())
        what = "NaN or infinite" if not np.isfinite(lengths[first]) else "zero"
        found = f"{bad.size} of {self.n_atoms} {what}, first atom {first} ({which})"
        raise InputError(f"signals: expected finite signals that are not zero, got {found}. Leave these atoms out")

    @classmethod
    def simulate(
        cls,
        seq: Sequence,
        t1: ArrayLike | None = None,
        t2: ArrayLike | None = None,
        b1: ArrayLike | None = None,
        off_resonance: ArrayLike | None = None,
        *,
        atoms: Any = None,
        rank: int | None = None,
        energy: float | None = None,
        n_states: int | None = None,
        dtype: DTypeLike | None = None,
        progress: bool = False,
    ) -> Dictionary:
        """Simulate a dictionary by extended phase graphs.

        Atoms are the product grid of the arrays given, the last fastest, or those of `atoms`; T2 > T1 is left out,
        counted in `n_dropped` and logged.

        Parameters
        ----------
        seq : Sequence
            What is done to the spins.
        t1, t2 : array_like, shape (n,)
            Relaxation times in s.
        b1 : array_like, shape (n,), optional
            Relative B1, which multiplies all flip angles.
        off_resonance : array_like, shape (n,), optional
            In Hz.
        atoms : array_like, shape (n_atoms, p), or dict of str to array_like, optional
            Instead of a grid: columns t1, t2, b1, off_resonance, the first p of these, or arrays by name.
        rank : int, optional
            Compress signals to so many coefficients, block by block while they are simulated: the full dictionary is
            never in memory.
        energy : float, optional
            Instead of a rank: the share of the energy of all atoms to be captured, below 1; the rank is the smallest
            that does.
        n_states : int, optional
            Simulate dephasing orders below this only; what that costs at most is logged. All unless given.
        dtype : {numpy.float32, numpy.float64}, optional
            Precision; single unless given. A sequence whose signals are real gives a real table, else it is complex.
        progress : bool
            Show a progress bar.

        Returns
        -------
        Dictionary

        Raises
        ------
        InputError
            If times look like ms, all atoms have T2 > T1, the sequence has no echoes, a signal is zero, or the rank is
            above the number of echoes.
        DtypeError
            If an argument has another type.

        Notes
        -----
        The basis is the principal directions of a sample of atoms, the same ones in every run, spread over all; the
        energy it captures is measured over all atoms. McGivney et al. 2014, "SVD compression for magnetic resonance
        fingerprinting in the time domain".

        Examples
        --------
        >>> import numpy as np
        >>> seq = Sequence.fisp(np.linspace(0.2, 1.0, 50), tr=0.012, te=0.003, inversion_time=0.02)
        >>> D = Dictionary.simulate(seq, t1=np.linspace(0.5, 2, 16), t2=np.linspace(0.02, 0.6, 30), rank=6)
        >>> D
        Dictionary(475 atoms of t1, t2, rank 6 of 50 echoes, energy 0.99999...)
        >>> D.n_dropped, D.signals.dtype
        (5, dtype('float32'))
        """
        simulator = _Simulator(seq, n_states, dtype)
        if rank is not None and energy is not None:
            raise InputError(f"rank, energy: expected one of them, got rank {rank} and energy {energy}")
        axes = None
        if atoms is None:
            axes = _atoms.grid_axes(t1, t2, b1, off_resonance)
            given = _atoms.product(axes)
        elif all(values is None for values in (t1, t2, b1, off_resonance)):
            given = _atoms.table(atoms)
        else:
            raise InputError("atoms: expected either atoms or arrays t1, t2, ... of a grid, got both")
        parameters, dropped = _atoms.drop_impossible(given)
        if dropped:
            _log.info("%d of %d atoms have T2 > T1 and were left out", dropped, given["t1"].size)
        rank, energy = _wanted(rank, energy, seq.n_echoes)
        with progress_bar("simulate", enable=progress) as report:
            hook = report if progress else None
            if rank is None and energy is None:
                made = cls(simulator.signals(parameters, hook), parameters, sequence=seq, axes=axes)
            else:
                made = cls._simulate_compressed(simulator, parameters, axes, rank, energy, hook)
        simulator.log_bound()
        made.n_dropped = dropped
        return made

    @classmethod
    def _simulate_compressed(
        cls,
        simulator: _Simulator,
        parameters: dict[str, np.ndarray],
        axes: dict[str, np.ndarray] | None,
        rank: int | None,
        energy: float | None,
        hook: Any,
    ) -> Dictionary:
        some = _subspace.spread(parameters["t1"].size)
        sample = simulator.signals({name: values[some] for name, values in parameters.items()}, None)

        def compress(basis: np.ndarray) -> tuple[np.ndarray, float]:
            return simulator.coefficients(parameters, basis, hook)

        basis, coefficients, found = _subspace.fit(compress, sample, sample.dtype, rank, energy)
        return cls(coefficients, parameters, basis, simulator.seq, axes=axes, energy=found)

    def compress(
        self, rank: int | None = None, energy: float | None = 1 - 1e-6, *, keep_full: bool = True
    ) -> Dictionary:
        """Return the dictionary with signals as coefficients in their first principal directions.

        Parameters
        ----------
        rank : int, optional
            Number of coefficients.
        energy : float, optional
            Without a rank: the share of the energy of all atoms to be captured; the rank is the smallest that does.
        keep_full : bool
            Keep this dictionary with the new one, for ``match(..., rescore=True)``. Its memory is free only when both
            are gone.

        Returns
        -------
        Dictionary
            Its `energy` is measured over all atoms.

        Raises
        ------
        InputError
            If the rank is above the number of echoes, or more energy is asked for than there is.

        Examples
        --------
        >>> import numpy as np
        >>> times, t2 = np.arange(1, 33) * 0.01, np.linspace(0.02, 0.2, 100)
        >>> D = Dictionary(np.exp(-times / t2[:, None]), {"t2": t2})
        >>> D.compress(rank=3)
        Dictionary(100 atoms of t2, rank 3 of 32 echoes, energy 0.9999...)
        >>> D.compress(energy=0.99).rank
        2
        """
        rank, energy = _wanted(rank, energy, self.signals.shape[1])
        if rank is None and energy is None:
            raise InputError("rank, energy: expected one of them, got None for both")
        before = 1.0 if self.energy is None else self.energy
        if energy is not None and energy > before:
            raise InputError(f"energy: expected at most {before:.9g}, which this dictionary holds, got {energy:.9g}")
        share = None if energy is None else energy / before
        sample = self.signals[_subspace.spread(self.n_atoms)]
        inner, coefficients, found = _subspace.fit(self._coefficients, sample, self.signals.dtype, rank, share)
        basis = inner if self.basis is None else (self.basis @ inner).astype(inner.dtype)
        known = None if self.energy is None else found * self.energy
        made = Dictionary(coefficients, self.parameters, basis, self.sequence, axes=self.axes, energy=known)
        made.n_dropped = self.n_dropped
        if keep_full:
            made._whole = self if self.basis is None else self._whole
        return made

    def _coefficients(self, basis: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the coefficients of all atoms, and the energy of their signals, computed in double."""
        wide = np.complex128 if self.signals.dtype.kind == "c" else np.float64
        result = np.empty((self.n_atoms, basis.shape[1]), self.signals.dtype)
        vectors = basis.astype(wide)
        for piece in _subspace.pieces(*self.signals.shape):
            result[piece] = _subspace.project(self.signals[piece].astype(wide), vectors)
        return result, float(np.sum(_subspace.norms(self.signals) ** 2))

    def match(
        self,
        signals: Any,
        mask: ArrayLike | None = None,
        top_k: int = 1,
        interpolate: bool = False,
        rescore: bool = False,
        progress: bool = False,
    ) -> Match:
        """Find, for every signal, the atom of the largest normalised inner product.

        Exact: the atom is the one that comparing with all of them finds, or one whose correlation is within 1e-6 of
        its, although most are ruled out by bounds and never looked at. A compressed dictionary is matched in its own
        space, exactly in that sense.

        Parameters
        ----------
        signals : array_like or torch.Tensor, shape (..., n_echoes)
            Real or complex, of any scale. A compressed dictionary takes coefficients (..., rank) too, unless rank and
            number of echoes are the same.
        mask : array_like of bool, shape (...), optional
            Where to match.
        top_k : int
            How many atoms to return for each signal, best first.
        interpolate : bool
            Refine parameters between the atoms of a product grid: along each axis, to the top of the parabola through
            the correlations of the atom and its two neighbours, over the parameter or its logarithm, whichever is
            spaced more evenly. Axes on whose border an atom lies are left as they are.
        rescore : bool
            Of a compressed dictionary that kept the full one: return what matching the full one returns.
        progress : bool
            Show a progress bar.

        Returns
        -------
        Match
            Maps of the parameters, complex scales and correlations.

        Raises
        ------
        InputError
            If the last axis has another length, a signal inside the mask is NaN or infinite, the mask has another
            shape, there are fewer atoms than `top_k`, or what `interpolate` and `rescore` need is missing.
        DtypeError
            If entries are not numbers.

        Notes
        -----
        The angle acos(<a, y> / |a| |y|) is a metric, so that a group of atoms is ruled out by the triangle inequality.
        At full length the search goes by a few directions first, where an inner product is off by no more than the
        product of the norms that both signals have outside; atoms that this interval leaves are compared at full
        length. Computed in the precision of the dictionary.

        Examples
        --------
        >>> import numpy as np
        >>> times, t2 = np.arange(1, 33) * 0.01, np.geomspace(0.02, 0.2, 30)
        >>> D = Dictionary(np.exp(-times / t2[:, None]), {"t2": t2}, axes={"t2": t2})
        >>> m = D.match(3 * np.exp(-times / 0.0471))
        >>> round(float(m.t2), 3), round(float(m.m0.real), 2)
        (0.048, 2.97)
        >>> round(float(D.match(3 * np.exp(-times / 0.0471), interpolate=True).t2), 4)
        0.0471
        """
        if rescore and self.basis is not None and self._whole is None:
            fix = "Make it by D.compress(...) with keep_full=True, or leave rescore out"
            raise InputError(f"rescore: expected a dictionary that keeps its full one, got none. {fix}")
        searched = self._whole if rescore and self._whole is not None else self
        if searched is not self and np.ndim(signals) and np.shape(signals)[-1] != self.n_echoes:
            got = np.shape(signals)
            raise InputError(f"signals: rescoring needs the full length, (..., {self.n_echoes}), got shape {got}")
        return find(searched, signals, mask, top_k, interpolate, progress)

    def save(self, path: Any) -> None:
        """Write the dictionary to a file: an uncompressed .npz archive, under any name.

        Parameters
        ----------
        path : str or path-like
            Where to. An existing file is replaced at the end, when all is written.

        Raises
        ------
        FileError
            If the file cannot be written; nothing is left behind then.

        Notes
        -----
        Signals, parameters, basis, axes, and the sequence. What `compress` kept of the full dictionary is not saved.

        Examples
        --------
        >>> import tempfile
        >>> D = Dictionary([[1.0, 0.5], [1.0, 0.7]], {"t2": [0.05, 0.08]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     D.save(f"{folder}/two.npz")
        ...     Dictionary.load(f"{folder}/two.npz")
        Dictionary(2 atoms of t2, 2 echoes)
        """
        _storage.write(path, self)

    @classmethod
    def load(cls, path: str | Path) -> Dictionary:
        """Read a dictionary that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file.

        Raises
        ------
        FileError
            If there is none, it is truncated or damaged, of another kind, or written by a later version.
        """
        return _storage.read(path, cls)

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.signals)

    @property
    def n_echoes(self) -> int:
        """Length of a signal."""
        return len(self.basis) if self.basis is not None else self.signals.shape[1]

    @property
    def rank(self) -> int | None:
        """Number of coefficients; None while signals have their full length."""
        return None if self.basis is None else self.basis.shape[1]

    def __len__(self) -> int:
        return self.n_atoms

    def __repr__(self) -> str:
        size = f"{self.n_echoes} echoes"
        if self.basis is not None:
            size = f"rank {self.rank} of {size}"
            size += "" if self.energy is None else f", energy {self.energy:.9g}"
        return f"Dictionary({self.n_atoms} atoms of {', '.join(self.parameters)}, {size})"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_matcher": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # Arrays come back writeable.
        self.signals = _frozen(self.signals)
        self.parameters = {name: _frozen(values) for name, values in self.parameters.items()}


class _Simulator:
    """A sequence ready to be simulated for tables of parameters.

    Parameters
    ----------
    seq, n_states, dtype
        As in `Dictionary.simulate`.
    """

    def __init__(self, seq: Sequence, n_states: int | None, dtype: DTypeLike | None) -> None:
        check_sequence(seq)
        if not seq.n_echoes:
            raise InputError("seq: expected a sequence with readouts, got one without echoes")
        self.seq = seq
        self.n_states = None if n_states is None else _checks.integer("n_states", n_states, minimum=1)
        self.dtype = np.dtype(np.float32 if dtype is None else dtype)
        if self.dtype not in (np.float32, np.float64):
            raise DtypeError(f"dtype: expected float32 or float64, got {self.dtype}")
        self._columns = columns(seq)
        self._bound = 0.0

    def _values(self, parameters: dict[str, np.ndarray]) -> list[np.ndarray | None]:
        values: list[np.ndarray | None] = [None] * 5
        for k, name in enumerate(NAMES):
            # On resonance signals may be real.
            if name in parameters and (name != "off_resonance" or parameters[name].any()):
                values[k] = np.ascontiguousarray(parameters[name], self.dtype)
        return values

    def signals(self, parameters: dict[str, np.ndarray], hook: Any) -> np.ndarray:
        """Return signals (n, echoes), real where all are."""
        result, bound = _core.epg(self._columns, self._values(parameters), [], self.n_states, False, hook)
        self._bound = max(self._bound, bound)
        return _numbers(result[:, 0])

    def coefficients(self, parameters: dict[str, np.ndarray], basis: np.ndarray, hook: Any) -> tuple[np.ndarray, float]:
        """Return coefficients (n, rank) in a basis of the signals' dtype, and the energy of all signals."""
        vectors = basis if basis.dtype.kind == "f" else basis.view(basis.real.dtype).reshape(*basis.shape, 2)
        result, energies, bound = _core.epg_coefficients(
            self._columns, self._values(parameters), vectors, self.n_states, hook
        )
        self._bound = max(self._bound, bound)
        return _numbers(result), float(np.sum(energies, dtype=np.float64))

    def log_bound(self) -> None:
        """Log what leaving out states costs at most."""
        if self.n_states is not None:
            _log.info("with %d states, echoes are off by at most %.3g of M0", self.n_states, self._bound)


def _numbers(table: np.ndarray) -> np.ndarray:
    """Return rows of numbers of a table that may have a last axis (re, im)."""
    table = np.ascontiguousarray(table)
    if table.ndim == 2:
        return table
    return table.view(np.complex64 if table.dtype == np.float32 else np.complex128)[..., 0]


def _frozen(array: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def _parameters(parameters: Any, n_atoms: int) -> dict[str, np.ndarray]:
    """Return the parameters of atoms, each checked and of their number."""
    if not isinstance(parameters, Mapping) or not all(isinstance(name, str) for name in parameters):
        raise DtypeError(f"parameters: expected a dict of arrays by name, got {type(parameters).__name__}")
    result = {}
    for name, values in parameters.items():
        if name in NAMES:
            given = _atoms.column(name, values)
        else:
            given = _checks.doubles(f"parameters[{name!r}]", values, shape=(None,))
        if given.size != n_atoms:
            raise InputError(f"parameters[{name!r}]: expected one for each of {n_atoms} atoms, got {given.size}")
        result[name] = _frozen(given)
    return result


def _axes(axes: Any, parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the axes of a product grid, of the parameters there are."""
    if not isinstance(axes, Mapping) or list(axes) != list(parameters):
        names = ", ".join(map(repr, axes)) if isinstance(axes, Mapping) else type(axes).__name__
        raise InputError(f"axes: expected a dict of arrays for {', '.join(map(repr, parameters))}, got {names}")
    result = {name: _checks.doubles(f"axes[{name!r}]", values, shape=(None,)) for name, values in axes.items()}
    for name, values in parameters.items():
        if not np.isin(values, result[name]).all():
            raise InputError(f"axes[{name!r}]: expected every value of parameters[{name!r}], got {result[name].size}")
    return {name: _frozen(values) for name, values in result.items()}


def _orthonormal(basis: ArrayLike, table: np.ndarray) -> np.ndarray:
    """Return a basis in the precision of a table of coefficients."""
    given = _checks.finite("basis", basis)
    rank = table.shape[1]
    if given.ndim != 2 or given.shape[1] != rank or given.shape[0] < rank:
        raise InputError(f"basis: expected shape (n_echoes, {rank}), as signals have {rank} entries, got {given.shape}")
    if given.dtype.kind == "c" and table.dtype.kind != "c":
        raise DtypeError(f"basis: expected real numbers as the signals are, got dtype {given.dtype}")
    error = float(np.abs(given.conj().T @ given - np.eye(rank)).max())
    if error > _ORTHONORMAL:
        raise InputError(f"basis: expected orthonormal columns, got inner products off by {error:.3g}")
    precision = table.real.dtype
    return given.astype(precision if given.dtype.kind == "f" else table.dtype, copy=False)


def _wanted(rank: Any, energy: Any, length: int) -> tuple[int | None, float | None]:
    """Return the rank or else the energy asked for, checked."""
    if rank is not None:
        wanted = _checks.integer("rank", rank, minimum=1)
        if wanted > length:
            raise InputError(f"rank: expected at most {length}, the length of the signals, got {wanted}")
        return wanted, None
    if energy is None:
        return None, None
    share = _checks.positive("energy", energy)
    if share >= 1:
        raise InputError(f"energy: expected a share of the energy in (0, 1), such as 1 - 1e-6, got {share}")
    return None, share
