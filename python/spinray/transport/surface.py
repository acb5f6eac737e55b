"""Rectangles that photons cross."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _checks
from ..errors import DtypeError, InputError
from .solids import direction

__all__ = ["Surface", "as_surface"]


@dataclasses.dataclass(frozen=True)
class Surface:
    """A rectangle in the world, in or outside a phantom, that photons cross freely, from either side.

    Parameters
    ----------
    centre : (float, float, float)
        Its middle (x, y, z) in mm.
    normal : {"x", "y", "z"} or (float, float, float)
        Direction at right angles to it.
    size : float or (float, float)
        Lengths of its sides in mm: along `across`, and at right angles to that.
    across : {"x", "y", "z"} or (float, float, float), optional
        Direction of its first side, of which the part along the normal is left out; unless given, the first of x, y, z
        that is not near the normal: x and y for a normal along z, y and z for x, x and z for y.

    Raises
    ------
    InputError
        If a number is not finite, the size is not positive, the normal zero, or `across` along it.
    DtypeError
        If an entry is no number.

    Examples
    --------
    >>> Surface((0, 0, 1000), "z", size=10)
    Surface(centre=(0.0, 0.0, 1000.0), normal=(0.0, 0.0, 1.0), size=(10.0, 10.0), across=(1.0, 0.0, 0.0))
    """

    centre: tuple[float, float, float]
    normal: Any
    size: Any
    across: Any = None

    def __post_init__(self) -> None:
        centre = _checks.doubles("centre", self.centre, shape=(3,), hint="(x, y, z) in mm")
        normal = direction("normal", self.normal)
        normal = normal / np.linalg.norm(normal)
        nearly_x = abs(normal[0]) > 0.9
        along = np.eye(3)[int(nearly_x)] if self.across is None else direction("across", self.across)
        side = along - (along @ normal) * normal
        if np.linalg.norm(side) < 1e-6 * np.linalg.norm(along):
            raise InputError(f"across: expected a direction within the surface, got its normal {self.across!r}")
        side = side / np.linalg.norm(side)
        for name, vector in (("centre", centre), ("normal", normal), ("across", side)):
            object.__setattr__(self, name, tuple(float(x) for x in vector))
        object.__setattr__(self, "size", _checks.per_axis("size", self.size, 2, above_zero=True))

    @property
    def area(self) -> float:
        """In mm2."""
        return float(np.prod(self.size))

    def _kernel(self) -> tuple[Any, ...]:
        """Give what the kernels take for it: centre, axes, size."""
        return self.centre, [self.across, np.cross(self.normal, self.across).tolist(), self.normal], self.size


def as_surface(value: Any) -> Surface | None:
    """Return a surface, or None for None; a file holds its fields."""
    if isinstance(value, Mapping):
        # To the bit: unit vectors are not scaled once more.
        kept = object.__new__(Surface)
        for field in dataclasses.fields(Surface):
            object.__setattr__(kept, field.name, tuple(value[field.name]))
        return kept
    if value is not None and not isinstance(value, Surface):
        raise DtypeError(f"surface: expected transport.Surface(...), got {type(value).__name__}")
    return value
