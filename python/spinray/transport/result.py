"""What a simulation found: means per history with their standard errors, from integers that add up exactly.

For each cell of a tally a result holds two integers: the sum over histories of x, and of x^2, where x is what one
history scored there, in units of 2^-32 of `scale`. With N histories

    mean = S1 / N,    standard error of the mean = sqrt((S2 / N - mean^2) / (N - 1)),

both times `scale`. Integers add up to the same in any order, so results of parts have the bits of one run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from ..errors import InputError
from . import _ranges, _storage
from ._sums import Cells, Identity
from ._tally import Counted, Listed

__all__ = ["Result"]


class Result:
    """What `simulate` returns: its tallies by name, and what it took to find them.

    ``result["dose"]`` is a `DoseResult`, ``result["phase space"]`` a `PhaseSpaceResult`, and so on; `len`, iteration
    and ``in`` are those of a mapping of names. Results of the same simulation with other seeds or other ranges of
    histories add up, ``a + b`` or ``sum(results)``, to the bits of one run of all of them. Picklable; `save` writes a
    file.

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
        tallies: tuple[Counted | Listed, ...],
        cells: Cells,
        histories: _ranges.Histories,
        seconds: float,
        identity: Identity,
    ) -> None:
        self._scored = {scored.tally.name: scored for scored in tallies}
        for array in (cells.mass, *(column for scored in tallies for column in scored.columns().values())):
            array.setflags(write=False)
        self._cells = cells
        self._identity = identity
        self.histories = histories
        self.seconds = seconds
        self.n_histories = _ranges.count(histories)
        self.seed = next(iter(histories)) if len(histories) == 1 else None
        self._found = {
            name: scored.tally._result(scored, cells, self.n_histories) for name, scored in self._scored.items()
        }

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
        scored = tuple(mine + other._scored[name] for name, mine in self._scored.items())  # type: ignore[operator]  # of one kind
        return Result(scored, self._cells, histories, self.seconds + other.seconds, self._identity)

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
        mine, theirs = ([scored.tally for scored in result._scored.values()] for result in (self, other))
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
        tallies = tuple(self._scored.values())
        return Result, (tallies, self._cells, self.histories, self.seconds, self._identity)

    def __repr__(self) -> str:
        seed = "several seeds" if self.seed is None else f"seed {self.seed}"
        return f"Result({', '.join(self)}: {self.n_histories:,} histories, {seed}, {self.seconds:.3g} s)"


#: What is added.
_SAME = "Results add up if only their seeds or histories differ"
