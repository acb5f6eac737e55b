"""What a simulation found: means per history with their standard errors, from integers that add up exactly.

For each cell of a tally a result holds two integers: the sum over histories of x, and of x^2, where x is what one
history scored there, in units of 2^-32 of `scale`. With N histories

    mean = S1 / N,    standard error of the mean = sqrt((S2 / N - mean^2) / (N - 1)),

both times `scale`. Integers add up to the same in any order, so results of parts have the bits of one run.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _checks
from ..errors import DtypeError, InputError
from ..grid import Volume
from . import _plot, _ranges, _storage
from ._sums import ONE, Cells, Identity, Photons, Sums
from .phase_space import PhaseSpaceResult

__all__ = ["DoseResult", "Result"]

#: Gy in a keV per g: exact since 2019, when the elementary charge became so.
GY_PER_KEV_PER_G = 1.602176634e-13


class DoseResult:
    """Dose and deposited energy in every cell, per history or of a number of photons, with standard errors.

    Comes from a `Result`, as ``result["dose"]``. Arrays are float64, read-only, of the grid's shape (z, y, x), or
    (n_solids,), and are computed when first asked for.

    Attributes
    ----------
    mean : numpy.ndarray
        Dose in `units`; zero where there is no mass.
    std_error : numpy.ndarray
        Standard error of `mean`, of single histories, in `units`; infinite after a single history.
    energy : numpy.ndarray
        Deposited energy, in keV (per history, if `mean` is).
    energy_std_error : numpy.ndarray
        Standard error of `energy`.
    relative_error : numpy.ndarray
        Standard error over mean; infinite where nothing was scored.
    units : str
        Of `mean`: "Gy per history", or "Gy" after `scaled`.
    mass : numpy.ndarray
        g.
    grid : Grid or None
    solids : tuple of str
        Names of the cells where there is no grid.
    mesh : DoseResult or None
        Of the mesh, where solids have one.
    n_histories : int
    """

    def __init__(
        self,
        sums: Sums,
        cells: Cells,
        n_histories: int,
        photons: float | None = None,
        mesh: DoseResult | None = None,
    ) -> None:
        self._sums, self._cells = sums, cells
        self.mesh = mesh
        self.n_histories = n_histories
        self._photons = photons
        self.mass = cells.mass
        self.grid = cells.grid
        self.solids = cells.names
        self.units = "Gy per history" if photons is None else "Gy"

    @classmethod
    def of(cls, sums: Sums, cells: Cells, n_histories: int) -> DoseResult:
        """Return the result of sums over all cells, those of a mesh apart."""
        if cells.mesh is None:
            return cls(sums, cells, n_histories)
        split, shape = len(cells.names), cells.mesh.shape
        boxes = [array[split:].reshape(shape) for array in (sums.first, sums.second, cells.mass)]
        mesh = cls(Sums(sums.tally, sums.scale, boxes[0], boxes[1]), Cells(boxes[2], cells.mesh), n_histories)
        solids = Sums(sums.tally, sums.scale, sums.first[:split], sums.second[:split])
        return cls(solids, Cells(cells.mass[:split], None, cells.names), n_histories, None, mesh)

    @property
    def _keV(self) -> float:
        """What the integer 1 of a mean is worth."""
        return self._sums.scale / ONE * (1.0 if self._photons is None else self._photons)

    @functools.cached_property
    def energy(self) -> np.ndarray:  # noqa: D102  see the class
        return _frozen(self._sums.first / self.n_histories * self._keV)

    @functools.cached_property
    def energy_std_error(self) -> np.ndarray:  # noqa: D102  see the class
        return _frozen(_std_error(self._sums.first, self._sums.second, self.n_histories) * (ONE * self._keV))

    @functools.cached_property
    def mean(self) -> np.ndarray:  # noqa: D102  see the class
        return _frozen(self._to_dose(self.energy))

    @functools.cached_property
    def std_error(self) -> np.ndarray:  # noqa: D102  see the class
        return _frozen(self._to_dose(self.energy_std_error))

    @functools.cached_property
    def relative_error(self) -> np.ndarray:  # noqa: D102  see the class
        scored = self._sums.first > 0
        error = np.full(scored.shape, math.inf)
        return _frozen(np.divide(self.energy_std_error, self.energy, out=error, where=scored))

    def _to_dose(self, energy: np.ndarray) -> np.ndarray:
        dose = np.zeros(energy.shape)
        return np.divide(energy * GY_PER_KEV_PER_G, self.mass, out=dose, where=self.mass > 0)

    @property
    def volume(self) -> Volume:
        """`mean` with its place in the world.

        Raises
        ------
        InputError
            If the cells are solids, which have no grid.
        """
        if self.grid is None:
            raise InputError("volume: the cells are solids, which have no grid. Use mean and solids")
        return Volume(self.mean, self.grid.affine)

    def uncertainty(self, above: float = 0.5, region: Any = None) -> float:
        """Return one number for the statistical uncertainty: the rms of the relative standard errors of cells.

        Parameters
        ----------
        above
            The cells are those of more than this share of the largest dose: a half, as is the custom (Chetty et al.
            2007, AAPM TG-105, Med. Phys. 34, 4818).
        region : array_like of bool, optional
            The cells instead: those that are true, of which every one with mass counts.

        Returns
        -------
        float
            0.02 for 2 %; infinite if nothing was scored, or nothing in a cell of the region.

        Raises
        ------
        InputError
            If `above` is not in [0, 1), or the region has another shape, or no cell with mass.
        DtypeError
            If the region is not of booleans.
        """
        # Of the cells that count only: there may be a hundred million, and few of them scored in.
        first = self._sums.first.ravel()
        if region is None:
            share, scored = check_share(above), np.flatnonzero(first)
            mass = self.mass.ravel()[scored]
            dose = np.divide(first[scored], mass, out=np.zeros(mass.shape), where=mass > 0)
            picked = scored[dose > share * dose.max(initial=0.0)]
        else:
            picked = np.flatnonzero(check_region(region, self.mass.shape) & (self.mass > 0))
            if not picked.size:
                raise InputError("region: expected at least one cell with mass, got none")
        if not picked.size or not first[picked].all():
            return math.inf
        error = _std_error(first[picked], self._sums.second.ravel()[picked], self.n_histories)
        return float(np.sqrt(np.mean((error / (first[picked] / (self.n_histories * ONE))) ** 2)))

    def scaled(self, photons: float) -> DoseResult:
        """Return dose and energy of so many photons instead of one history.

        Parameters
        ----------
        photons
            Number of photons the source emits: ``100 * source.photons_per_mas`` for 100 mAs of a tube, decays times
            photons per decay for activity, fluence times area for a beam.

        Returns
        -------
        DoseResult
            In Gy and keV. Standard errors are those of the simulation: how far its mean may be off, not how much the
            dose of a real exposure fluctuates.

        Raises
        ------
        InputError
            If the number is not positive, or this result was scaled before.
        DtypeError
            If it is no number.
        """
        if self._photons is not None:
            raise InputError("photons: this result is of a number of photons already. Scale the one per history")
        number = _checks.positive("photons", photons)
        mesh = None if self.mesh is None else self.mesh.scaled(number)
        return DoseResult(self._sums, self._cells, self.n_histories, number, mesh)

    def plot(self, z: float | None = None, axes: Any = None) -> Any:
        """Draw dose and relative standard error: of a slice of the grid side by side, of solids as bars.

        Parameters
        ----------
        z
            Where to cut the grid, in mm: the nearest slice of its first axis. Through the largest dose unless given.
        axes : sequence of two matplotlib.axes.Axes, optional
            Where to draw (one for solids); new ones in a new figure unless given.

        Returns
        -------
        matplotlib.axes.Axes, or numpy.ndarray of two

        Raises
        ------
        InputError
            If `z` is outside the grid, given for solids, or the number of axes is wrong.
        """
        return _plot.slice_of(self, z, axes) if self.grid is not None else _plot.bars(self, z, axes)

    def __getstate__(self) -> dict[str, Any]:
        # Without what was computed.
        return {name: value for name, value in vars(self).items() if not hasattr(type(self), name)}

    def __repr__(self) -> str:
        where = self._sums.first.shape if self.grid is not None else f"{len(self.solids)} solids"
        return f"DoseResult({where}, {self.units}, {self.n_histories:,} histories)"


def _std_error(first: np.ndarray, second: np.ndarray, n_histories: int) -> np.ndarray:
    """Return the standard error of the mean of x."""
    if n_histories == 1:
        return np.full(first.shape, math.inf)
    mean = first / (n_histories * ONE)
    # Squares are in units of 2^-32 too; rounding may leave less than nothing of a variance that is zero.
    variance = np.maximum(second / (n_histories * ONE) - mean**2, 0.0)
    return np.sqrt(variance / (n_histories - 1))


def check_share(above: Any) -> float:
    """Return a share of the largest dose."""
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


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


class Result:
    """What `simulate` returns: its tallies by name, and what it took to find them.

    ``result["dose"]`` is a `DoseResult`, ``result["phase space"]`` a `PhaseSpaceResult`; `len`, iteration and ``in``
    are those of a mapping of names. Results of the same simulation with other seeds or other ranges of histories add
    up, ``a + b`` or ``sum(results)``, to the bits of one run of all of them. Picklable; `save` writes a file.

    Attributes
    ----------
    n_histories : int
        In all.
    seed : int or None
        None where several were merged: see `histories`.
    histories : dict of int to tuple of (int, int)
        For each seed, the ranges [start, stop) simulated.
    seconds : float
        Time it took; the sum of those of merged results.

    Examples
    --------
    >>> import numpy as np
    >>> import spinray
    >>> from spinray import transport
    >>> water = transport.VoxelPhantom(spinray.Grid((4, 4, 4), spacing=50.0), {0: "water"}, np.zeros((4, 4, 4), int))
    >>> beam = transport.PencilBeam((0, 0, -200), "z", energy=60.0)
    >>> parts = [transport.simulate(water, beam, 1000, seed=seed) for seed in range(3)]
    >>> result = sum(parts)
    >>> result.n_histories, result["dose"].energy.sum() < 60
    (3000, np.True_)
    """

    n_histories: int
    seed: int | None
    histories: _ranges.Histories
    seconds: float

    def __init__(
        self,
        tallies: tuple[Sums | Photons, ...],
        cells: Cells,
        histories: _ranges.Histories,
        seconds: float,
        identity: Identity,
    ) -> None:
        self._sums = {sums.tally.name: sums for sums in tallies}
        for array in (cells.mass, *(column for scored in tallies for column in scored.columns().values())):
            array.setflags(write=False)
        self._cells = cells
        self._identity = identity
        self.histories = histories
        self.seconds = seconds
        self.n_histories = _ranges.count(histories)
        self.seed = next(iter(histories)) if len(histories) == 1 else None
        self._found = {name: self._result_of(scored) for name, scored in self._sums.items()}

    def _result_of(self, scored: Sums | Photons) -> DoseResult | PhaseSpaceResult:
        if isinstance(scored, Photons):
            return PhaseSpaceResult(scored, self.n_histories)
        return DoseResult.of(scored, self._cells, self.n_histories)

    def __getitem__(self, name: str) -> Any:
        if name not in self._found:
            raise InputError(f"name: expected one of {', '.join(map(repr, self._found))}, got {name!r}")
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def __add__(self, other: Any) -> Result:
        if not isinstance(other, Result):
            return NotImplemented
        self._refuse_others(other)
        histories = _ranges.merged(self.histories, other.histories)
        sums = tuple(mine + other._sums[name] for name, mine in self._sums.items())  # type: ignore[operator]  # of one kind
        return Result(sums, self._cells, histories, self.seconds + other.seconds, self._identity)

    def __radd__(self, other: Any) -> Result:
        # `sum` begins with 0.
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def _refuse_others(self, other: Result) -> None:
        """Refuse to add the result of another simulation."""
        for field in dataclasses.fields(Identity):
            mine, theirs = getattr(self._identity, field.name), getattr(other._identity, field.name)
            if mine != theirs:
                # Digests of objects tell a reader nothing.
                which = f": {mine} and {theirs}" if field.name in ("physics", "version") else ""
                raise InputError(f"results: expected the same {field.name}, got two that differ{which}. {_SAME}")
        mine, theirs = ([s.tally for s in result._sums.values()] for result in (self, other))
        if {tally.name: tally for tally in mine} != {tally.name: tally for tally in theirs}:
            raise InputError(f"results: expected the same tallies, got {mine} and {theirs}. {_SAME}")

    def save(self, path: Any) -> None:
        """Write this result to a file, an uncompressed .npz archive.

        Parameters
        ----------
        path : str or path
            Replaced when all is on disk; the name is used as it is.

        Raises
        ------
        FileError
            If the file cannot be written.
        DtypeError
            If `path` is no file name.
        """
        _storage.write(path, self)

    @classmethod
    def load(cls, path: Any) -> Result:
        """Read a result that `save` wrote: it adds up with others as it did before.

        Parameters
        ----------
        path : str or path
            The file.

        Returns
        -------
        Result

        Raises
        ------
        FileError
            If there is no such file, or it is truncated, damaged, or something else.
        DtypeError
            If `path` is no file name.
        """
        return _storage.read(path, cls)

    def __reduce__(self) -> tuple[Any, ...]:
        tallies = tuple(self._sums.values())
        return Result, (tallies, self._cells, self.histories, self.seconds, self._identity)

    def __repr__(self) -> str:
        seed = "several seeds" if self.seed is None else f"seed {self.seed}"
        return f"Result({', '.join(self)}: {self.n_histories:,} histories, {seed}, {self.seconds:.3g} s)"


#: What is added.
_SAME = "Results add up if only their seeds or histories differ"
