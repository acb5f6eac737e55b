"""Running histories: how many, which, until when, and what becomes of a Ctrl-C."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .. import _checks
from .._progress import progress_bar
from ..errors import DtypeError, InputError
from . import _ranges
from ._precision import check_region, check_share
from ._run import Run
from .biasing import Biasing
from .result import Result
from .tallies import checked

__all__ = ["Until", "simulate"]

#: Histories where neither a number nor an end is given.
_DEFAULT = 1_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class Until:
    """When a simulation may end: after a time, or when the uncertainty is small enough, whichever comes first.

    Parameters
    ----------
    seconds : float, optional
        Time the histories may take. What has begun is finished: some 0.1 s more.
    uncertainty : float, optional
        0.02 for 2 %: the rms of the relative standard errors over the cells of more than `above` times the largest
        dose, or over `region`, as `DoseResult.uncertainty` gives it.
    tally : str, optional
        Name of the tally whose uncertainty counts; the first of the simulation unless given.
    above : float
        Share of the largest dose.
    region : array_like of bool, optional
        Cells to average over instead, of the grid's shape, the mesh's, or (n_solids,).

    Raises
    ------
    InputError
        If neither a time nor an uncertainty is given, one is not positive, or `above` is not in [0, 1).
    DtypeError
        If they are no numbers, or the region is not of booleans.

    Notes
    -----
    When to stop on uncertainty is decided on the results alone, so that the number of histories is the same on any
    machine and for any number of threads. A mean that decides itself when it is good enough is biased by much less than
    its standard error.

    Examples
    --------
    >>> Until(uncertainty=0.02, seconds=60).uncertainty
    0.02
    """

    seconds: float | None = None
    uncertainty: float | None = None
    tally: str | None = None
    above: float = 0.5
    region: Any = None

    def __post_init__(self) -> None:
        if self.seconds is None and self.uncertainty is None:
            raise InputError("until: expected seconds or an uncertainty, got neither. Until(uncertainty=0.02)")
        if self.seconds is not None:
            object.__setattr__(self, "seconds", _checks.positive("seconds", self.seconds))
        if self.uncertainty is not None:
            object.__setattr__(self, "uncertainty", _uncertainty(self.uncertainty))
        if self.tally is not None and not isinstance(self.tally, str):
            raise DtypeError(f"tally: expected the name of a tally, got {type(self.tally).__name__}")
        check_share(self.above)
        if self.region is not None:
            object.__setattr__(self, "region", check_region(self.region, np.shape(self.region)))


def _uncertainty(value: Any) -> float:
    target = _checks.positive("uncertainty", value)
    if target >= 1:
        raise InputError(f"uncertainty: expected a share of the mean in (0, 1), got {target}. Percent?")
    return target


def simulate(
    phantom: Any,
    source: Any,
    n_histories: int | None = None,
    tallies: Any = None,
    *,
    seed: int = 0,
    histories: tuple[int, int] | None = None,
    until: Until | None = None,
    doppler: bool = False,
    biasing: Biasing | None = None,
    progress: bool = False,
    on_interrupt: str = "raise",
) -> Result:
    """Track photons from a source through a phantom, and score what they do there.

    A history is a photon of the source with all photons that come of it. Its random numbers depend on `seed` and its
    number alone: results have the same bits for any number of threads and any split into ranges of `histories`, and
    those of different seeds or ranges add up as if they had been one run.

    Parameters
    ----------
    phantom : VoxelPhantom or SolidPhantom
        Where photons interact.
    source : PencilBeam, PointSource or another source
        Where they come from.
    n_histories : int, optional
        Histories in all, whatever the number of threads: 1,000,000 unless given, and with `until` no limit.
    tallies : list of Dose, Detector, Fluence, Kerma, PhaseSpace and Interactions, optional
        What to score: ``[Dose()]`` unless given.
    seed : int
        Below 2**64.
    histories : (int, int), optional
        Instead of a number, which histories: [start, stop).
    until : Until, optional
        When to stop before all are done.
    doppler : bool
        Whether Compton scattering knows of the motion of electrons (impulse approximation: Ribberfors and Berggren
        1982, Phys. Rev. A 26, 3325), which broadens the energy of scattered photons; electrons at rest, bound by
        incoherent scattering functions, unless asked for.
    biasing : Biasing, optional
        What to look at more closely than nature does: forced collisions, importance, sampling of the source. Means stay
        the same; analogue unless given.
    progress : bool
        Whether to show a progress bar.
    on_interrupt : {"raise", "return"}
        What Ctrl-C does: raise KeyboardInterrupt, or return the result of the histories that are done, whose
        `n_histories` tells how many. If none is, it raises.

    Returns
    -------
    Result
        Its tallies by name: ``result["dose"]``.

    Raises
    ------
    InputError
        If numbers are out of range, two tallies share a name, the source does not hit the phantom, sums would exceed 64
        bits, or `until` names no tally.
    DtypeError
        If an argument is of another type.

    Notes
    -----
    Photons of 1 keV to 3 MeV by Woodcock tracking (Woodcock et al. 1965, ANL-7050): photoelectric effect with
    fluorescence, Compton and Rayleigh scattering, pairs. Electrons stop where they start; photons below 1 keV are
    absorbed on the spot.

    Examples
    --------
    >>> import numpy as np
    >>> import spinray
    >>> from spinray import transport
    >>> grid = spinray.Grid((10, 10, 10), spacing=10.0)
    >>> water = transport.VoxelPhantom(grid, ["water"], np.zeros(grid.shape, int))
    >>> beam = transport.PencilBeam((0, 0, -200), "z", energy=60.0)
    >>> result = transport.simulate(water, beam, n_histories=20_000)
    >>> result["dose"].mean.shape, result["dose"].units
    ((10, 10, 10), 'Gy per history')

    Twenty thousand more, and both together:

    >>> more = transport.simulate(water, beam, histories=(20_000, 40_000))
    >>> (result + more).n_histories
    40000
    """
    wanted = checked(tallies)
    which = _which(n_histories, histories, until)
    _checks.choice("on_interrupt", on_interrupt, ("raise", "return"))
    _checks.choice("doppler", doppler, (False, True))
    if biasing is not None and not isinstance(biasing, Biasing):
        raise DtypeError(f"biasing: expected transport.Biasing(...), got {type(biasing).__name__}. Biasing(force=True)")
    run = Run(phantom, source, wanted, _ranges.check_seed(seed), which, until, doppler, biasing)
    try:
        with progress_bar("photons", enable=progress) as report:
            run.to_the_end(report)
    except KeyboardInterrupt:
        if on_interrupt == "raise" or not run.done:
            raise
    return run.result()


def _which(n_histories: Any, histories: Any, until: Any) -> tuple[int, int]:
    """Return the histories asked for, as (start, stop)."""
    if until is not None and not isinstance(until, Until):
        raise DtypeError(f"until: expected transport.Until(...), got {type(until).__name__}. Until(uncertainty=0.02)")
    if histories is not None:
        if n_histories is not None:
            raise InputError("n_histories, histories: expected one of them. (start, stop) says how many")
        return _ranges.check_range(histories)
    if n_histories is None:
        return 0, _DEFAULT if until is None else _ranges.END
    number = _checks.integer("n_histories", n_histories, minimum=1, hint="Write 10_000_000, or int(1e7)")
    return _ranges.check_range((0, number))
