"""One simulation under way: calls the kernel until enough histories are done."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..errors import DtypeError, InputError
from ._identity import digest
from ._precision import check_region
from ._ranges import END, Histories
from ._sums import ONE, Cells, Identity, Sums
from ._tally import Counted, Counter, Listed, Lister
from .result import Result

if TYPE_CHECKING:
    from .biasing import Biasing
    from .simulation import Until

__all__ = ["Run"]

#: Histories before the uncertainty is looked at for the first time.
_FIRST = 1 << 14
#: From one look at the uncertainty to the next, the number of histories grows by at least and at most this.
_GROWTH = 1.1, 4.0
#: Histories of a biased run before it is known how much they score, and how much more may come than they say.
_PILOT, _MARGIN = 1 << 12, 16
#: After so many histories that scored nothing where the uncertainty is wanted, no more are tried.
_NOTHING = 1 << 24


class _Enough(Exception):
    """Time is up: no error, but what ends a call of the kernel."""


class Run:
    """Histories `which`, from the first on, of a seed.

    Whatever ends `to_the_end`, an exception included: `done` histories from the first on have been scored, whole, and
    no other.

    Parameters
    ----------
    phantom, source
        Of the simulation.
    tallies : tuple of tallies
        What is scored.
    seed : int
        Key of the random numbers.
    which : (int, int)
        The histories, [start, stop).
    until : Until or None
        When to end before.
    doppler : bool
        Whether Compton scattering broadens energies.
    biasing : Biasing or None
        Which photons are looked at more closely.
    """

    def __init__(
        self,
        phantom: Any,
        source: Any,
        tallies: tuple[Counter | Lister, ...],
        seed: int,
        which: tuple[int, int],
        until: Until | None,
        doppler: bool,
        biasing: Biasing | None,
    ) -> None:
        from .. import __version__

        kernels = _kernel("phantom", phantom, "VoxelPhantom"), _kernel("source", source, "PencilBeam")
        self._tallies, self._seed, self._until = tallies, seed, until
        self._first, self._limit = which[0], which[1] - which[0]
        self._cells = _cells(phantom)
        self._watched = _watched(until, tallies, self._cells)
        self._biased = biasing is not None
        wishes = None if biasing is None else biasing._kernel(phantom, source)
        self._transport = _core.Transport(*kernels, [tally._kernel(self._cells) for tally in tallies], doppler, wishes)
        which_photons = "" if biasing is None else digest(biasing)
        self._identity = Identity(digest(phantom), digest(source), f"doppler={doppler}", __version__, which_photons)
        self._safe = 0
        self._began = time.perf_counter()
        self._seconds = 0.0

    @property
    def done(self) -> int:
        """Histories scored so far."""
        return self._transport.done

    def to_the_end(self, report: Callable[[int, int], None]) -> None:
        """Run histories until all are done, or enough.

        Raises
        ------
        InputError
            If sums would exceed 64 bits, or nothing is scored where an uncertainty is wanted.
        KeyboardInterrupt
            On Ctrl-C.
        """
        self._began = time.perf_counter()
        goal = self._next_goal()
        while self.done < goal:
            self._advance(goal, report)
            goal = self._next_goal()

    def result(self) -> Result:
        """Return what was found so far."""
        histories: Histories = {self._seed: ((self._first, self._first + self.done),)}
        scored = tuple(self._scored(k) for k in range(len(self._tallies)))
        return Result(scored, self._cells, histories, self._seconds, self._identity)

    def _next_goal(self) -> int:
        """Return how many histories to have done before the next look; as many as are done if they are enough."""
        if self._until is None:
            return self._limit
        if self.done and self._time_is_up():
            return self.done
        if self._until.uncertainty is None:
            return self._limit
        if not self.done:
            return min(_FIRST, self._limit)
        return min(self._predicted(self._until.uncertainty), self._limit)

    def _predicted(self, target: float) -> int:
        """Return how many histories will do, going by what those done so far have shown."""
        tally = self._tallies[self._watched]
        found = tally._result(self._scored(self._watched), self._cells, self.done)
        found = getattr(found, "mesh", None) or found
        reached = found.uncertainty(self._until.above, self._until.region)  # type: ignore[union-attr]  # there is one
        if reached <= target:
            return self.done
        if self.done >= _NOTHING and not self._transport.largest(self._watched):
            fix = "Does the source reach the phantom?"
            raise InputError(f"until: {tally.name!r} scored nothing in {self.done:,} histories. {fix}")
        growth = min(max(1.02 * (reached / target) ** 2, _GROWTH[0]), _GROWTH[1])
        return int(self.done * growth)

    def _advance(self, goal: int, report: Callable[[int, int], None]) -> None:
        """Run the kernel up to `goal` histories, or less if time is up or more would not be safe."""
        begin = self.done
        if begin >= self._safe:
            self._safe = begin + self._room()
        end = min(goal, self._safe)
        # No limit but time: the bar has no end.
        shown = 0 if goal > 2**62 else goal

        def progress(steps: int, all_steps: int) -> None:
            report(begin + (end - begin) * steps // max(all_steps, 1), shown)
            if self._time_is_up():
                raise _Enough

        try:
            self._transport.simulate(self._seed, self._first + begin, self._first + end, progress)
        except _Enough:
            pass
        finally:
            self._seconds = time.perf_counter() - self._began

    def _time_is_up(self) -> bool:
        limit = None if self._until is None else self._until.seconds
        return limit is not None and time.perf_counter() - self._began >= limit

    def _room(self) -> int:
        """Return how many more histories no sum of 64 bits can overflow in.

        Raises
        ------
        InputError
            If that is none.
        """
        room = []
        for k, tally in enumerate(self._tallies):
            if not isinstance(tally, Counter):
                continue
            largest = self._transport.largest(k)
            # What one history can add to either sum.
            each = max(1.0, self._transport.bound(k)) ** 2 * ONE + 1
            if self._biased and self.done:
                # Photons stand for more than one, or less: histories score what they have scored so far.
                each = max(_MARGIN * largest / self.done, 1.0)
            room.append(int((2**64 - 1 - largest) / each))
            if self._biased:
                room[-1] = min(room[-1], max(3 * self.done, _PILOT))
            if not room[-1]:
                fix = "Run parts with histories=(start, stop) and average their means"
                raise InputError(
                    f"n_histories: the sums of {tally.name!r} would exceed 64 bits beyond {self.done:,}. {fix}"
                )
        return min(room, default=END)

    def _scored(self, k: int) -> Counted | Listed:
        """Return what tally `k` has scored so far."""
        tally = self._tallies[k]
        if isinstance(tally, Lister):
            rows = dict(zip(tally._COLUMNS, self._transport.columns(k), strict=True))
            return Listed(tally, np.full(len(rows["history"]), self._seed, np.uint64), rows)
        firsts, seconds = (
            tally._arranged(self._cells, arrays) for arrays in zip(*self._transport.sums(k), strict=True)
        )
        scales = self._transport.scales(k)
        if not all(isinstance(scale, float) for scale in scales):
            scales = tally._arranged(self._cells, scales)
        sums = zip(scales, firsts, seconds, strict=True)
        return Counted(tally, tuple(Sums(*one) for one in sums))


def _kernel(name: str, given: Any, such_as: str) -> Any:
    """Return what the kernel takes for a phantom or a source."""
    make = getattr(given, "_kernel", None)
    kernel = None if make is None else make()
    if not isinstance(kernel, _core.Geometry if name == "phantom" else _core.Source):
        raise DtypeError(f"{name}: expected a {name} such as transport.{such_as}, got {type(given).__name__}")
    return kernel


def _cells(phantom: Any) -> Cells:
    """Return what tallies score in."""
    grid, mesh = getattr(phantom, "grid", None), getattr(phantom, "mesh", None)
    if grid is not None:
        return Cells(phantom.masses, grid)
    mass = phantom.masses if mesh is None else np.concatenate([phantom.masses, phantom.mesh_masses.ravel()])
    return Cells(mass, None, tuple(phantom.names), mesh, phantom._contents[0])


def _watched(until: Until | None, tallies: tuple[Counter | Lister, ...], cells: Cells) -> int:
    """Return the index of the tally whose uncertainty counts."""
    if until is None or until.uncertainty is None:
        return 0
    counters = {tally.name: k for k, tally in enumerate(tallies) if isinstance(tally, Counter)}
    if not counters:
        raise InputError("until: expected a dose among the tallies for an uncertainty, got none. Add transport.Dose()")
    if until.tally is not None and until.tally not in counters:
        raise InputError(f"until: expected tally to be one of {', '.join(map(repr, counters))}, got {until.tally!r}")
    watched = next(iter(counters.values())) if until.tally is None else counters[until.tally]
    if until.region is not None:
        check_region(until.region, tallies[watched]._region_shape(cells))  # type: ignore[union-attr]  # a counter
    return watched
