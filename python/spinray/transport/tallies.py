"""What a simulation scores: descriptions to be passed to `simulate`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from .. import _checks
from ..errors import DtypeError, InputError

__all__ = ["Dose", "PhaseSpace", "Tally", "checked"]


@dataclasses.dataclass(frozen=True)
class Dose:
    """Energy deposited in every cell of the phantom, and dose.

    Parameters
    ----------
    estimator : {"analogue", "track_length"}
        "analogue" scores what interactions deposit. "track_length" scores, for every flight of a photon through a cell,
        the energy that flights like it deposit there on average, E mu_tr(E) / rho per unit length and density
        (Williamson 1987, "Monte Carlo evaluation of kerma at a point for photon transport problems", Med. Phys. 14,
        567): kerma, which is dose where electrons stop near where they start. It scores in many more cells
        per history, and so needs fewer histories where few photons interact.
    name : str
        What the result calls it.

    Raises
    ------
    InputError
        If there is no such estimator, or the name is empty.
    DtypeError
        If the name is no text.

    Examples
    --------
    >>> Dose()
    Dose(estimator='analogue', name='dose')
    """

    estimator: str = "analogue"
    name: str = "dose"

    def __post_init__(self) -> None:
        _checks.choice("estimator", self.estimator, ("analogue", "track_length"))
        _check_name(self.name)

    @property
    def _request(self) -> str:
        return self.estimator


@dataclasses.dataclass(frozen=True)
class PhaseSpace:
    """Every photon that leaves the phantom: where, whereto, with what energy, and after what.

    Some 60 bytes for each.

    Parameters
    ----------
    name : str
        What the result calls it.

    Raises
    ------
    InputError
        If the name is empty.
    DtypeError
        If it is no text.

    Examples
    --------
    >>> PhaseSpace()
    PhaseSpace(name='phase space')
    """

    name: str = "phase space"

    def __post_init__(self) -> None:
        _check_name(self.name)

    @property
    def _request(self) -> str:
        return "leaving"


Tally = Dose | PhaseSpace


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise DtypeError(f"name: expected a text, got {type(name).__name__}")
    if not name:
        raise InputError("name: expected a text, got an empty one. Leave it out for the usual one")


def checked(tallies: Any) -> tuple[Tally, ...]:
    """Return the tallies of a simulation, `Dose()` for None, each of a name of its own.

    Raises
    ------
    InputError
        If there are none, or two share a name.
    DtypeError
        If they are no tallies.
    """
    if tallies is None:
        return (Dose(),)
    fix = "Pass tallies=[transport.Dose()]"
    if not isinstance(tallies, Iterable) or isinstance(tallies, (str, bytes)):
        raise DtypeError(f"tallies: expected a list of tallies, got {type(tallies).__name__}. {fix}")
    wanted = tuple(tallies)
    for k, tally in enumerate(wanted):
        if not isinstance(tally, Tally):
            raise DtypeError(f"tallies[{k}]: expected a tally such as transport.Dose(), got {type(tally).__name__}")
    if not wanted:
        raise InputError(f"tallies: expected at least one, got none. {fix}")
    names = [tally.name for tally in wanted]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"tallies: expected names that differ, got {twice[0]!r} twice. Give one of them a name=")
    return wanted
