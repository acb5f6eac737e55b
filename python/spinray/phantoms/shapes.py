"""The shapes: unit ball, box and cylinder, scaled, turned and moved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from .. import _checks
from ..errors import InputError
from .base import AnalyticObject
from .rotations import IDENTITY, Matrix, about_z, frozen, rotation, z_onto

__all__ = ["Box", "Cylinder", "Ellipse", "Ellipsoid", "Rectangle", "Shape"]

#: A length in mm for all axes, or one for each of (x, y, z).
Lengths: TypeAlias = float | Sequence[float]

# Kinds as the kernels number them.
_BALL, _BOX, _CYLINDER = 0, 1, 2


class Shape(AnalyticObject):
    """One homogeneous shape. `value` is what it adds to the object it is part of."""

    value: float
    _kind: ClassVar[int]

    @property
    def ndim(self) -> int:
        """2 for a shape of the plane, 3 for one of space."""
        return 2 if isinstance(self, _Plane) else 3

    def _parts(self) -> tuple[Shape, ...]:
        return (self,)

    @property
    def volume(self) -> float:
        """Area in mm^2 of a plane shape, volume in mm^3 of one in space."""
        raise NotImplementedError

    def _to_local(self) -> np.ndarray:
        """Return the 3x3 matrix from world positions, relative to the centre, to the unit shape."""
        raise NotImplementedError

    def _centre(self) -> tuple[float, float, float]:
        raise NotImplementedError

    def _row(self) -> list[float]:
        return [self._kind, self.value, *self._centre(), *self._to_local().ravel()]

    def _inside(self, positions: np.ndarray) -> np.ndarray:
        """Tell which positions, shape (..., 3), lie in the shape."""
        x, y, z = np.moveaxis((positions - self._centre()) @ self._to_local().T, -1, 0)
        if self._kind == _BALL:
            return x * x + y * y + z * z <= 1
        if self._kind == _CYLINDER:
            return (x * x + y * y <= 1) & (np.abs(z) <= 1)
        return (np.abs(x) <= 1) & (np.abs(y) <= 1) & (np.abs(z) <= 1)

    def _set(self, **fields: Any) -> None:
        """Put checked values into the frozen dataclass."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class _Plane(Shape):
    """A shape of the plane: half axes along its own x and y, turned by an angle, moved to a centre."""

    half_axes: Lengths
    _: KW_ONLY
    centre: Sequence[float] = (0.0, 0.0)
    angle: float = 0.0
    value: float = 1.0

    def __post_init__(self) -> None:
        """Check the fields and bring them into one form."""
        self._set(
            half_axes=_lengths("half_axes", self.half_axes, 2),
            centre=_position("centre", self.centre, 2),
            angle=_checks.number("angle", self.angle),
            value=_checks.number("value", self.value),
        )
        if abs(self.angle) > 2 * math.pi:
            raise InputError(f"angle: expected radians in [-2 pi, 2 pi], got {self.angle}. Degrees?")

    def _centre(self) -> tuple[float, float, float]:
        x, y = self.centre
        return x, y, 0.0

    def _to_local(self) -> np.ndarray:
        matrix = about_z(-self.angle)
        matrix[:2] /= np.reshape(self.half_axes, (2, 1))
        matrix[2] = 0.0
        return matrix


@dataclass(frozen=True)
class Ellipse(_Plane):
    """A filled ellipse; with a single half axis, a disc.

    Parameters
    ----------
    half_axes : float or (float, float)
        Half axes in mm along the ellipse's own x and y.
    centre : (float, float), optional
        Centre (x, y) in mm.
    angle : float, optional
        Angle in rad by which the ellipse is turned from x towards y.
    value : float, optional
        What it adds to the object, 1/mm.

    Raises
    ------
    InputError
        If a length is not positive, a number not finite, or the angle beyond a turn.
    DtypeError
        If an argument is not a number or a sequence of numbers.

    Examples
    --------
    >>> disc = Ellipse(10.0, centre=(5.0, 0.0), value=0.02)
    >>> round(disc.integral, 6)
    6.283185
    """

    _kind = _BALL

    @property
    def volume(self) -> float:
        """Area in mm^2."""
        return math.pi * float(np.prod(self.half_axes))


@dataclass(frozen=True)
class Rectangle(_Plane):
    """A filled rectangle; with a single half axis, a square.

    Parameters
    ----------
    half_axes : float or (float, float)
        Half the sides in mm along the rectangle's own x and y.
    centre : (float, float), optional
        Centre (x, y) in mm.
    angle : float, optional
        Angle in rad by which the rectangle is turned from x towards y.
    value : float, optional
        What it adds to the object, 1/mm.

    Raises
    ------
    InputError
        If a length is not positive, a number not finite, or the angle beyond a turn.
    DtypeError
        If an argument is not a number or a sequence of numbers.

    Examples
    --------
    >>> Rectangle((3.0, 2.0)).volume
    24.0
    """

    _kind = _BOX

    @property
    def volume(self) -> float:
        """Area in mm^2."""
        return 4 * float(np.prod(self.half_axes))


@dataclass(frozen=True)
class _Solid(Shape):
    """A shape of space: half axes along its own x, y and z, turned by a rotation, moved to a centre."""

    half_axes: Lengths
    _: KW_ONLY
    centre: Sequence[float] = (0.0, 0.0, 0.0)
    rotation: Any = IDENTITY
    value: float = 1.0

    def __post_init__(self) -> None:
        """Check the fields and bring them into one form."""
        self._set(
            half_axes=_lengths("half_axes", self.half_axes, 3),
            centre=_position("centre", self.centre, 3),
            rotation=rotation("rotation", self.rotation),
            value=_checks.number("value", self.value),
        )

    def _centre(self) -> tuple[float, float, float]:
        x, y, z = self.centre
        return x, y, z

    def _to_local(self) -> np.ndarray:
        return _scaled(self.rotation, self.half_axes)


@dataclass(frozen=True)
class Ellipsoid(_Solid):
    """A filled ellipsoid; with a single half axis, a ball.

    Parameters
    ----------
    half_axes : float or (float, float, float)
        Half axes in mm along the ellipsoid's own x, y and z.
    centre : (float, float, float), optional
        Centre (x, y, z) in mm.
    rotation : (float, float, float) or array_like, optional
        Euler angles (phi, theta, psi) in rad, see `euler_zxz`, or the 3x3 rotation from the ellipsoid's own axes to
        the world's: its columns are the directions of the half axes. Kept as a matrix.
    value : float, optional
        What it adds to the object, 1/mm.

    Raises
    ------
    InputError
        If a length is not positive, a number not finite, or the matrix not a rotation.
    DtypeError
        If an argument is not a number or a sequence of numbers.

    Examples
    --------
    >>> import numpy as np
    >>> cigar = Ellipsoid((10.0, 2.0, 2.0), rotation=(np.pi / 2, 0.0, 0.0))
    >>> cigar.contains([[0.0, 9.0, 0.0], [9.0, 0.0, 0.0]])
    array([ True, False])
    """

    _kind = _BALL

    @property
    def volume(self) -> float:
        """Volume in mm^3."""
        return 4 / 3 * math.pi * float(np.prod(self.half_axes))


@dataclass(frozen=True)
class Box(_Solid):
    """A filled box; with a single half axis, a cube.

    Parameters
    ----------
    half_axes : float or (float, float, float)
        Half the sides in mm along the box's own x, y and z.
    centre : (float, float, float), optional
        Centre (x, y, z) in mm.
    rotation : (float, float, float) or array_like, optional
        Euler angles (phi, theta, psi) in rad, see `euler_zxz`, or the 3x3 rotation from the box's own axes to the
        world's. Kept as a matrix.
    value : float, optional
        What it adds to the object, 1/mm.

    Raises
    ------
    InputError
        If a length is not positive, a number not finite, or the matrix not a rotation.
    DtypeError
        If an argument is not a number or a sequence of numbers.

    Examples
    --------
    >>> Box((1.0, 2.0, 3.0), value=0.02).volume
    48.0
    """

    _kind = _BOX

    @property
    def volume(self) -> float:
        """Volume in mm^3."""
        return 8 * float(np.prod(self.half_axes))


@dataclass(frozen=True)
class Cylinder(Shape):
    """A filled finite cylinder, its cross section a disc or an ellipse.

    Parameters
    ----------
    radius : float or (float, float)
        Radius in mm, or the half axes of the cross section along the cylinder's own x and y.
    half_length : float
        Half its length in mm along its own z.
    centre : (float, float, float), optional
        Centre (x, y, z) in mm.
    axis : (float, float, float), optional
        Direction of the axis, of any length; the cross section is carried along by the smallest turn from z.
    rotation : (float, float, float) or array_like, optional
        In place of `axis`: Euler angles (phi, theta, psi) in rad, see `euler_zxz`, or the 3x3 rotation from the
        cylinder's own axes to the world's. Kept as a matrix.
    value : float, optional
        What it adds to the object, 1/mm.

    Raises
    ------
    InputError
        If a length is not positive, a number not finite, the matrix not a rotation, or `axis` contradicts `rotation`.
    DtypeError
        If an argument is not a number or a sequence of numbers.

    Examples
    --------
    >>> rod = Cylinder(2.0, 30.0, axis=(1.0, 0.0, 0.0), value=0.05)
    >>> rod.value_at([[29.0, 0.0, 1.9], [0.0, 0.0, 2.1]])
    array([0.05, 0.  ])
    """

    radius: Lengths
    half_length: float
    _: KW_ONLY
    centre: Sequence[float] = (0.0, 0.0, 0.0)
    axis: Sequence[float] | None = None
    rotation: Any = None
    value: float = 1.0

    _kind = _CYLINDER

    def __post_init__(self) -> None:
        """Check the fields and bring them into one form."""
        turned = rotation("rotation", self.rotation)
        if self.axis is not None:
            axis = np.array(_position("axis", self.axis, 3))
            length = float(np.linalg.norm(axis))
            if length == 0:
                raise InputError("axis: expected a direction, got (0, 0, 0)")
            if self.rotation is None:
                turned = frozen(z_onto(axis / length))
            elif np.abs(np.array(turned)[:, 2] - axis / length).max() > 1e-6:
                raise InputError(f"axis: {axis.tolist()} is not where rotation takes the z axis. Give one of the two")
        self._set(
            radius=_lengths("radius", self.radius, 2),
            half_length=_checks.positive("half_length", self.half_length),
            centre=_position("centre", self.centre, 3),
            axis=tuple(row[2] for row in turned),
            rotation=turned,
            value=_checks.number("value", self.value),
        )

    @property
    def volume(self) -> float:
        """Volume in mm^3."""
        return 2 * math.pi * float(np.prod(self.radius)) * self.half_length

    def _centre(self) -> tuple[float, float, float]:
        x, y, z = self.centre
        return x, y, z

    def _to_local(self) -> np.ndarray:
        return _scaled(self.rotation, [*np.ravel(self.radius), self.half_length])


def _scaled(turned: Matrix, half_axes: Any) -> np.ndarray:
    """Return the matrix from world to unit-shape coordinates."""
    return np.array(turned).T / np.reshape(half_axes, (3, 1))


def _lengths(name: str, value: Any, ndim: int) -> tuple[float, ...]:
    """Return positive lengths in (x, y, z) order, one for each axis."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        value = _position(name, value, ndim)
    return _checks.per_axis(name, value, ndim, above_zero=True)


def _position(name: str, value: Any, ndim: int) -> tuple[float, ...]:
    """Return finite coordinates (x, y, z), one for each axis."""
    given = list(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else [value]
    if len(given) != ndim:
        raise InputError(f"{name}: expected {ndim} numbers ({', '.join('xyz'[:ndim])}) in mm, got {value!r}")
    return _checks.per_axis(name, given, ndim)
