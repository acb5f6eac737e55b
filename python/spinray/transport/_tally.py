"""What all tallies have in common: a name, what the kernel takes for them, and what becomes of what it has counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import DtypeError, InputError
from ._sums import Cells, Sums

__all__ = ["Counted", "Counter", "Listed", "Lister", "Tally", "check_name"]


class Tally:
    """A description of what a simulation scores: a frozen dataclass of plain values, among them its name."""

    name: str

    def _kernel(self, cells: Cells) -> Any:
        """Return what the kernel takes for it in a phantom of these cells, a _core.Tally."""
        raise NotImplementedError

    def _result(self, scored: Any, cells: Cells, n_histories: int) -> Any:
        """Return what the user sees of what was scored."""
        raise NotImplementedError

    @classmethod
    def _restored(cls, fields: dict[str, Any]) -> Any:
        """Return the tally of the fields that a file holds."""
        return cls(**fields)


class Counter(Tally):
    """A tally that counts by cell."""

    def _shapes(self, cells: Cells) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each of its arrays of cells."""
        raise NotImplementedError

    def _region_shape(self, cells: Cells) -> tuple[int, ...]:
        """Return the shape of what `uncertainty` of its result takes for a region."""
        return self._shapes(cells)[-1]

    def _arranged(self, cells: Cells, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return arrays of the kernel, by cell, in these shapes."""
        return [one.reshape(shape) for one, shape in zip(values, self._shapes(cells), strict=True)]


class Lister(Tally):
    """A tally that lists single events, by history."""

    #: Of its columns: name, type, and shape of a row, in the order of the kernel's.
    _COLUMNS: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]]


@dataclasses.dataclass(frozen=True)
class Counted:
    """What a tally has counted: sums of each of its arrays."""

    tally: Counter
    sums: tuple[Sums, ...]

    def columns(self) -> dict[str, np.ndarray]:
        """Return the arrays by name: two of each sums, and a third where each cell has its scale."""
        named = (
            (f"{name}_{k}", getattr(sums, name))
            for k, sums in enumerate(self.sums)
            for name in ("first", "second", "scale")
        )
        return {name: value for name, value in named if isinstance(value, np.ndarray)}

    def __add__(self, other: Counted) -> Counted:
        pairs = zip(self.sums, other.sums, strict=True)
        return Counted(self.tally, tuple(_added(self.tally.name, mine, its) for mine, its in pairs))


@dataclasses.dataclass(frozen=True)
class Listed:
    """What a tally has listed, by seed and history, events of one history in their order: rows of each column."""

    tally: Lister
    seed: np.ndarray
    rows: Mapping[str, np.ndarray]

    def columns(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {"seed": self.seed, **self.rows}

    def __add__(self, other: Listed) -> Listed:
        theirs = other.columns()
        both = {name: np.concatenate([mine, theirs[name]]) for name, mine in self.columns().items()}
        # Stable: a history is whole in one of the two.
        order = np.lexsort((both["history"], both["seed"]))
        rows = {name: column[order] for name, column in both.items()}
        return Listed(self.tally, rows.pop("seed"), rows)


def _added(name: str, a: Sums, b: Sums) -> Sums:
    """Return sums of integers, which must not wrap around."""
    first, second = a.first + b.first, a.second + b.second
    if (first < a.first).any() or (second < a.second).any():
        fix = "Keep these results apart, and average their means"
        raise InputError(f"results: the sums of {name!r} would exceed 64 bits. {fix}")
    return Sums(a.scale, first, second)


def check_name(name: Any) -> None:
    """Check the name of a tally.

    Raises
    ------
    InputError
        If it is empty.
    DtypeError
        If it is no text.
    """
    if not isinstance(name, str):
        raise DtypeError(f"name: expected a text, got {type(name).__name__}")
    if not name:
        raise InputError("name: expected a text, got an empty one. Leave it out for the usual one")
