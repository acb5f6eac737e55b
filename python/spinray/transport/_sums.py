"""What results keep: integer sums of each tally, the cells they are of, and what the simulation was."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..errors import InputError
from ..grid import Grid
from .tallies import Dose, PhaseSpace

__all__ = ["ONE", "Cells", "Identity", "Photons", "Sums"]

#: What x = 1 is as an integer.
ONE = 2.0**32


@dataclasses.dataclass(frozen=True)
class Cells:
    """What tallies score in: voxels of a grid; or named solids, then the boxes of a mesh.

    Parameters
    ----------
    mass : numpy.ndarray
        g, of the grid's shape or (n_solids + n_boxes,).
    grid : Grid or None
        None for solids.
    names : tuple of str
        Of the solids.
    mesh : Grid or None
        Of the boxes.
    """

    mass: np.ndarray
    grid: Grid | None = None
    names: tuple[str, ...] = ()
    mesh: Grid | None = None


@dataclasses.dataclass(frozen=True)
class Sums:
    """Integer sums of one tally, uint64 of the shape of the cells; `scale` is x = 1 in keV."""

    tally: Dose
    scale: float
    first: np.ndarray
    second: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {"first": self.first, "second": self.second}

    def __add__(self, other: Sums) -> Sums:
        first = _added(self.tally, self.first, other.first)
        return Sums(self.tally, self.scale, first, _added(self.tally, self.second, other.second))


@dataclasses.dataclass(frozen=True)
class Photons:
    """Photons by seed and history, those of one history in the order they left: rows of each array."""

    tally: PhaseSpace
    seed: np.ndarray
    history: np.ndarray
    position: np.ndarray
    direction: np.ndarray
    energy: np.ndarray
    weight: np.ndarray
    orders: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)[1:]}

    def __add__(self, other: Photons) -> Photons:
        both = {name: np.concatenate([a, getattr(other, name)]) for name, a in self.columns().items()}
        # Stable: a history is whole in one of the two.
        order = np.lexsort((both["history"], both["seed"]))
        return Photons(self.tally, **{name: column[order] for name, column in both.items()})


def _added(tally: Dose, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return sums of integers, which must not wrap around."""
    total = a + b
    if (total < a).any():
        fix = "Keep these results apart, and average their means"
        raise InputError(f"results: the sums of {tally.name!r} would exceed 64 bits. {fix}")
    return total


@dataclasses.dataclass(frozen=True)
class Identity:
    """What results must have in common to be added."""

    phantom: str
    source: str
    physics: str
    version: str
