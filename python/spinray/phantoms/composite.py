"""Phantoms: sums of shapes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

from .. import _checks
from ..errors import DtypeError, InputError
from .base import AnalyticObject
from .shapes import Shape

__all__ = ["Phantom"]


@dataclass(frozen=True, init=False)
class Phantom(AnalyticObject):
    """The sum of shapes: where they overlap, their values add up.

    A cavity of value b in a body of value a is a shape of value b - a inside it.

    Parameters
    ----------
    shapes : iterable of Shape
        Shapes and phantoms, at least one, all of the plane or all of space.

    Raises
    ------
    InputError
        If there is no shape, or both plane shapes and shapes of space.
    DtypeError
        If an entry is not a shape.

    Examples
    --------
    >>> from spinray.phantoms import Ellipse, Phantom, Rectangle
    >>> phantom = Phantom([Ellipse(50.0, value=0.02), Rectangle((5.0, 3.0), value=0.01)])
    >>> phantom.value_at([0.0, 0.0]).item()
    0.03
    >>> phantom.scaled(2.0).shapes[1].value
    0.02
    """

    shapes: tuple[Shape, ...]

    def __init__(self, shapes: Iterable[AnalyticObject]) -> None:
        if isinstance(shapes, AnalyticObject) or not isinstance(shapes, Iterable):
            raise DtypeError(f"shapes: expected a list of shapes, got {type(shapes).__name__}")
        parts: list[Shape] = []
        for index, part in enumerate(shapes):
            if not isinstance(part, AnalyticObject):
                raise DtypeError(f"shapes[{index}]: expected a shape such as Ellipsoid, got {type(part).__name__}")
            parts.extend(part._parts())
        dimensions = {shape.ndim for shape in parts}
        if len(dimensions) != 1:
            found = "both plane shapes and shapes of space" if parts else "none"
            raise InputError(f"shapes: expected at least one shape, all 2-D or all 3-D, got {found}")
        object.__setattr__(self, "shapes", tuple(parts))

    def _parts(self) -> tuple[Shape, ...]:
        return self.shapes

    def scaled(self, factor: Any) -> Phantom:
        """Return the phantom with every value multiplied by a number."""
        factor = _checks.number("factor", factor)
        return Phantom([replace(cast(Any, shape), value=factor * shape.value) for shape in self.shapes])
