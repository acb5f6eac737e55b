"""An analytic head for cone-beam scans."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from .. import _checks
from ..errors import InputError
from .composite import Phantom
from .shapes import Box, Cylinder, Ellipsoid, Shape

__all__ = ["TISSUES", "head"]

#: CT numbers in HU of what the head is made of.
TISSUES = {
    "air": -1000.0,
    "fat": -90.0,
    "fluid": 8.0,
    "vitreous body": 12.0,
    "dark lesion": 29.0,
    "brain": 35.0,
    "bright lesion": 41.0,
    "scalp": 45.0,
    "blood": 65.0,
    "lens": 110.0,
    "calcification": 250.0,
    "bone": 900.0,
    "dense bone": 1600.0,
}


class _Builder:
    """Collects shapes of which each lies wholly inside one region, and replaces that region's tissue."""

    def __init__(self, mu_water: float) -> None:
        self.mu_water = mu_water
        self.shapes: list[Shape] = []

    def put(self, kind: type[Any], tissue: str, inside: str, *size: Any, at: Sequence[float], **turn: Any) -> None:
        """Add a shape of `tissue` centred `at` (x, y, z) in mm, within a region of the tissue `inside`."""
        value = self.mu_water * (TISSUES[tissue] - TISSUES[inside]) / 1000
        self.shapes.append(kind(*size, centre=at, value=value, **turn))


def head(*, mu_water: float = 0.0206, ears: bool = True) -> Phantom:
    """Return an analytic head of some 60 ellipsoids, cylinders and boxes, made for cone-beam scans.

    Scalp, a skull of uneven thickness with frontal and sphenoid sinuses, brain with ventricles, fissure, a bleed,
    calcifications and two rows of spheres 6 HU above and below it, eyes with lenses in bony orbits, nasal passages,
    petrous bones with air cells (finer ones on the left), ears. x points to the right, y forward, z up (RAS+). The
    head fills 176 x 196 x 210 mm about the isocentre.

    Every shape lies wholly inside one homogeneous region and holds the difference to it, so that the object takes no
    other values than those of `TISSUES`. Composed after the FORBILD head, rounder: no clipped shapes.

    Parameters
    ----------
    mu_water : float, optional
        Attenuation of water in 1/mm, which fixes the energy: 0.0206 at 60 keV.
    ears : bool, optional
        False leaves out the outer ears and the air cells of the petrous bones.

    Returns
    -------
    Phantom
        In space; values in 1/mm.

    Raises
    ------
    InputError
        If `mu_water` is not positive, or above 0.1/mm.

    References
    ----------
    Lauritsch and Bruder, "FORBILD head phantom", Institute of Medical Physics, Erlangen. Yu, Noo, Dennerlein,
    Wunderlich, Lauritsch and Hornegger 2012, "Simulation tools for two-dimensional experiments in x-ray computed
    tomography using the FORBILD head phantom".

    Examples
    --------
    >>> phantom = head()
    >>> round(phantom.value_at([30.0, 20.0, 30.0]).item(), 5)
    0.02132
    """
    mu_water = _checks.positive("mu_water", mu_water)
    if mu_water > 0.1:
        raise InputError(f"mu_water: expected at most 0.1/mm, got {mu_water}. 1/cm? Divide by 10")
    builder = _Builder(mu_water)
    _shell(builder)
    _frontal_sinuses(builder)
    _brain(builder)
    _lesions(builder)
    _face(builder)
    _petrous_bones(builder, cells=ears)
    if ears:
        for side in (-1, 1):
            builder.put(Ellipsoid, "scalp", "air", (3.0, 14.0, 27.0), at=(side * 85.0, -8.0, -12.0))
    return Phantom(builder.shapes)


def _shell(builder: _Builder) -> None:
    builder.put(Ellipsoid, "scalp", "air", (78.0, 98.0, 105.0), at=(0.0, 0.0, 0.0))
    builder.put(Ellipsoid, "bone", "scalp", (74.0, 93.0, 100.0), at=(0.0, 0.0, 0.0))
    # Further back and up than the skull: a thick forehead to hold the sinuses, and a thick base.
    builder.put(Ellipsoid, "fluid", "bone", (67.5, 82.0, 90.0), at=(0.0, -4.0, 4.0))
    builder.put(Ellipsoid, "brain", "fluid", (65.5, 80.0, 88.0), at=(0.0, -4.0, 4.0))


def _frontal_sinuses(builder: _Builder) -> None:
    for side, height in ((-1, 8.0), (1, 11.0)):
        tilt = (side * math.radians(-10), 0.0, 0.0)
        builder.put(Ellipsoid, "air", "bone", (10.0, 4.0, height), at=(side * 13.0, 83.2, -6.0), rotation=tilt)


def _brain(builder: _Builder) -> None:
    for side in (-1, 1):
        tilt = (side * math.radians(12), 0.0, 0.0)
        builder.put(Ellipsoid, "fluid", "brain", (6.0, 21.0, 8.0), at=(side * 11.0, 6.0, 16.0), rotation=tilt)
        builder.put(Ellipsoid, "fluid", "brain", (4.5, 12.0, 5.0), at=(side * 20.0, -30.0, 10.0), rotation=tilt)
    builder.put(Ellipsoid, "fluid", "brain", (2.0, 11.0, 8.0), at=(0.0, -2.0, -4.0))
    builder.put(Ellipsoid, "fluid", "brain", (6.0, 5.0, 9.0), at=(0.0, -42.0, -28.0))
    builder.put(Box, "fluid", "brain", (0.75, 16.0, 12.0), at=(0.0, 40.0, 46.0))


def _lesions(builder: _Builder) -> None:
    sizes, places = (8.0, 6.0, 4.0, 2.5, 1.5), (-36.0, -16.0, 2.0, 18.0, 32.0)
    for tissue, y, side in (("bright lesion", 8.0, 1), ("dark lesion", -34.0, -1)):
        for radius, x in zip(sizes, places, strict=True):
            builder.put(Ellipsoid, tissue, "brain", radius, at=(side * x, y, 38.0))
    lean = (math.radians(20), 0.0, 0.0)
    builder.put(Ellipsoid, "blood", "brain", (4.5, 17.0, 15.0), at=(51.0, 14.0, 18.0), rotation=lean)
    builder.put(Ellipsoid, "calcification", "brain", (2.5, 2.0, 2.0), at=(0.0, -22.0, 2.0))
    for row in range(5):
        place = (-44.0, -34.0 + 4.0 * row, 16.0)
        builder.put(Cylinder, "calcification", "brain", 0.8, 6.0, at=place, axis=(1.0, 0.0, 0.0))


def _face(builder: _Builder) -> None:
    for side in (-1, 1):
        centre = (side * 27.0, 34.0, -34.0)
        builder.put(Ellipsoid, "bone", "brain", 15.0, at=centre)
        builder.put(Ellipsoid, "fat", "bone", 13.5, at=centre)
        builder.put(Ellipsoid, "vitreous body", "fat", 11.5, at=centre)
        builder.put(Ellipsoid, "lens", "vitreous body", (4.5, 2.0, 4.5), at=(side * 27.0, 42.0, -34.0))
    builder.put(Box, "bone", "brain", (10.0, 17.0, 11.0), at=(0.0, 28.0, -44.0))
    for side in (-1, 1):
        builder.put(Cylinder, "air", "bone", (3.0, 4.0), 14.0, at=(side * 5.0, 28.0, -47.0), axis=(0.0, 1.0, 0.0))
    builder.put(Ellipsoid, "air", "bone", (7.0, 10.0, 3.0), at=(0.0, 26.0, -37.5))


def _petrous_bones(builder: _Builder, *, cells: bool) -> None:
    for side in (-1, 1):
        tilt = (side * math.radians(-30), 0.0, 0.0)
        builder.put(Ellipsoid, "dense bone", "brain", (21.0, 9.0, 9.0), at=(side * 34.0, -18.0, -38.0), rotation=tilt)
    if not cells:
        return
    for x, y in _honeycomb(spacing=3.6, rows=2, columns=4):
        builder.put(Ellipsoid, "air", "dense bone", 1.4, at=(36.0 + x, -19.0 + y, -38.0))
    for x, y in _honeycomb(spacing=2.4, rows=2, columns=6):
        builder.put(Ellipsoid, "air", "dense bone", 0.8, at=(-36.0 + x, -19.0 + y, -38.0))


def _honeycomb(spacing: float, rows: int, columns: int) -> Iterator[tuple[float, float]]:
    """Yield positions (x, y) of a staggered pattern about the origin."""
    for row in range(rows):
        for column in range(columns - row % 2):
            yield spacing * (column - (columns - 1 - row % 2) / 2), spacing * math.sqrt(3) / 2 * (row - (rows - 1) / 2)
