"""Photons that have left the phantom, one by one."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from .. import _core
from ._sums import Cells
from ._tally import Listed, Lister, check_name

__all__ = ["PhaseSpace", "PhaseSpaceResult"]


@dataclasses.dataclass(frozen=True)
class PhaseSpace(Lister):
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

    _COLUMNS: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        "history": (np.uint64, ()),
        "position": (np.float64, (3,)),
        "direction": (np.float32, (3,)),
        "energy": (np.float32, ()),
        "weight": (np.float32, ()),
        "orders": (np.uint8, (3,)),
    }

    def __post_init__(self) -> None:
        check_name(self.name)

    def _kernel(self, cells: Cells) -> Any:
        return _core.escape_tally()

    def _result(self, scored: Listed, cells: Cells, n_histories: int) -> PhaseSpaceResult:
        return PhaseSpaceResult(scored, n_histories)


class PhaseSpaceResult:
    """Photons that have left the phantom, by seed and history, those of one history in the order they left.

    Comes from a `Result`, as ``result["phase space"]``; `len` counts photons. Arrays are read-only. A photon of the
    source that has met no matter is among them.

    Attributes
    ----------
    position : numpy.ndarray, shape (n, 3)
        (x, y, z) in mm where it crossed the box around the phantom; its source, if it missed the box.
    direction : numpy.ndarray, shape (n, 3)
        Unit vectors.
    energy : numpy.ndarray, shape (n,)
        keV.
    weight : numpy.ndarray, shape (n,)
        How many photons it stands for: 1 in analogue simulations.
    compton, rayleigh, emission : numpy.ndarray, shape (n,)
        How often it was scattered, and how many of fluorescence and annihilation led to it; uint8.
    seed, history : numpy.ndarray, shape (n,)
        Which history it belongs to.
    n_histories : int
        Of the simulation: sums over photons, divided by it, are per history.
    """

    def __init__(self, photons: Listed, n_histories: int) -> None:
        self.n_histories = n_histories
        rows = photons.rows
        self.seed, self.history = photons.seed, rows["history"]
        self.position, self.direction = rows["position"], rows["direction"]
        self.energy, self.weight = rows["energy"], rows["weight"]
        self.compton, self.rayleigh, self.emission = rows["orders"].T

    @property
    def primary(self) -> np.ndarray:
        """Which photons are the source's own, never scattered; shape (n,), bool."""
        return (self.compton == 0) & (self.rayleigh == 0) & (self.emission == 0)

    def __len__(self) -> int:
        return len(self.energy)

    def __repr__(self) -> str:
        return f"PhaseSpaceResult({len(self):,} photons of {self.n_histories:,} histories)"
