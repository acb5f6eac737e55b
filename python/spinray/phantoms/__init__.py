"""Analytic phantoms: shapes with closed-form line integrals, and the heads composed of them.

`Ellipse` and `Rectangle` live in the plane, `Ellipsoid`, `Box` and `Cylinder` in space; `Phantom` is their sum.
Every one of them can be projected exactly, averaged over voxels and evaluated at points.

`textured` draws random anatomy with labels, for networks to learn from.

For MR there are maps of relaxation times and proton density: `brain`, and `SystemPhantom` of NIST and ISMRM.
"""

from __future__ import annotations

from .brain import brain
from .composite import Phantom
from .maps import TissueMaps
from .rotations import euler_zxz
from .shapes import Box, Cylinder, Ellipse, Ellipsoid, Rectangle, Shape
from .shepp import shepp_logan
from .skull import head
from .system import ContrastSphere, SystemPhantom
from .textured import Textured, textured

__all__ = [
    "Box",
    "ContrastSphere",
    "Cylinder",
    "Ellipse",
    "Ellipsoid",
    "Phantom",
    "Rectangle",
    "Shape",
    "SystemPhantom",
    "Textured",
    "TissueMaps",
    "brain",
    "euler_zxz",
    "head",
    "shepp_logan",
    "textured",
]
