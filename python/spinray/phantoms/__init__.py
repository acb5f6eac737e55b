"""Analytic phantoms: shapes with closed-form line integrals, and the heads composed of them.

`Ellipse` and `Rectangle` live in the plane, `Ellipsoid`, `Box` and `Cylinder` in space; `Phantom` is their sum.
Every one of them can be projected exactly, averaged over voxels and evaluated at points.
"""

from __future__ import annotations

from .composite import Phantom
from .rotations import euler_zxz
from .shapes import Box, Cylinder, Ellipse, Ellipsoid, Rectangle, Shape
from .shepp import shepp_logan
from .skull import head

__all__ = [
    "Box",
    "Cylinder",
    "Ellipse",
    "Ellipsoid",
    "Phantom",
    "Rectangle",
    "Shape",
    "euler_zxz",
    "head",
    "shepp_logan",
]
