"""The tallies there are, and those of one simulation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import DtypeError, InputError
from ._tally import Counter, Lister
from .detector import Detector
from .dose import Dose
from .fluence import Fluence
from .interactions import Interactions
from .kerma import Kerma
from .phase_space import PhaseSpace

__all__ = ["KINDS", "checked"]

#: Tallies by the names of their classes.
KINDS: dict[str, type[Counter | Lister]] = {
    kind.__name__: kind for kind in (Detector, Dose, Fluence, Interactions, Kerma, PhaseSpace)
}


def checked(tallies: Any) -> tuple[Counter | Lister, ...]:
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
        if not isinstance(tally, (Counter, Lister)):
            raise DtypeError(f"tallies[{k}]: expected a tally such as transport.Dose(), got {type(tally).__name__}")
    if not wanted:
        raise InputError(f"tallies: expected at least one, got none. {fix}")
    names = [tally.name for tally in wanted]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"tallies: expected names that differ, got {twice[0]!r} twice. Give one of them a name=")
    return wanted
