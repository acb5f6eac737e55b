"""Random textured anatomy with labels: what networks are trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks, _core
from ..errors import InputError
from ..grid import Grid

__all__ = ["FAMILIES", "TISSUES", "Textured", "textured"]

#: Families of anatomies, and the field of view in mm that holds any of their bodies.
FAMILIES: dict[str, float] = dict(_core.textured_families())

#: Tissues by label: label k is the k-th. Least and largest mean attenuation in 1/mm at 60 keV of each.
TISSUES: dict[str, tuple[float, float]] = {name: (low, high) for name, low, high in _core.textured_tissues()}

_ENERGY = 60.0
#: More bytes than any memory holds.
_MOST_VOXELS = 1 << 40


@dataclass(frozen=True, eq=False, repr=False)
class Textured:
    """Random anatomies, voxel by voxel.

    Attributes
    ----------
    attenuation : numpy.ndarray
        Linear attenuation in 1/mm at `energy`, float32, shape ``grid.shape`` or (count, *grid.shape).
    labels : numpy.ndarray
        The tissue that fills most of the voxel: k stands for ``names[k]``; uint8, same shape.
    names : tuple of str
        Names of the tissues; label 0 is the air around the body.
    grid : Grid
        Where the voxels lie.
    family : str
        Kind of anatomy.
    energy : float
        Photon energy of the attenuation in keV.
    seed, index : int
        What they were drawn from; `index` of the first of several.

    Examples
    --------
    >>> from spinray.phantoms import textured
    >>> chest = textured((64, 64), seed=1)
    >>> chest
    Textured(thorax, seed 1, index 0, shape (64, 64))
    >>> lungs = chest.labels == chest.names.index("lung")
    >>> bool(0.002 < chest.attenuation[lungs].mean() < 0.009)
    True
    """

    attenuation: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    grid: Grid
    family: str
    energy: float
    seed: int
    index: int

    def __repr__(self) -> str:
        shape = self.attenuation.shape
        return f"Textured({self.family}, seed {self.seed}, index {self.index}, shape {shape})"


def textured(
    shape: Any,
    seed: int,
    index: int = 0,
    *,
    count: int | None = None,
    family: str = "thorax",
    spacing: Any = None,
) -> Textured:
    """Draw random anatomies: outlines, texture, vessels, masses, bones, all different, with labels.

    A phantom is a model in continuous space: star-shaped organs, layered walls, bones of cortex and spongiosa, trees
    of vessels, all bent by slow random fields; each tissue has a random mean, slow gradients, and a texture with a
    power-law spectrum. It depends on (seed, index, family) alone; `shape` and `spacing` say where it is looked at.
    An image is the slice z = 0 of the volume. Voxels that two tissues share hold a mean of both.

    Parameters
    ----------
    shape : tuple of int
        Voxels, (y, x) or (z, y, x); the grid is centred on the isocentre.
    seed : int
        Seed in [0, 2**64): the same bits for any number of threads.
    index : int
        Number of the phantom under the seed, in [0, 2**64).
    count : int, optional
        Draw the phantoms `index` to `index + count - 1`, along a new first axis.
    family : {"thorax", "abdomen", "head", "limb"}
        Kind of anatomy. Families share tissues and the way things are drawn, not their parts: one kept out of a
        training tests how well it carries over.
    spacing : float or sequence of float, optional
        Distance of voxels in mm, in the order of `shape`. Unless given, isotropic, such that the longest side in the
        plane covers ``FAMILIES[family]`` mm.

    Returns
    -------
    Textured
        Attenuation at 60 keV, labels, names and grid.

    Raises
    ------
    InputError
        If a number is out of range, the family is unknown, or the grid is larger than 4 m.
    DtypeError
        If an argument is not of the kind described.

    Notes
    -----
    Attenuation coefficients follow NIST (Hubbell & Seltzer 1995) for ICRU 44 tissues, texture the power laws of breast
    CT (Metheny et al. 2008, Med. Phys. 35:4685); vessels keep Murray's law (1926, PNAS 12:207). Detail finer than a
    voxel is left out of the texture. In z voxels are points: slices are thin, whatever their distance.

    Examples
    --------
    >>> from spinray.phantoms import textured
    >>> slices = textured((128, 128), seed=7, count=3, family="head")
    >>> slices.attenuation.shape, slices.grid.spacing
    ((3, 128, 128), (1.875, 1.875))
    >>> volume = textured((5, 128, 128), seed=7, family="head")
    >>> bool((volume.attenuation[2] == slices.attenuation[0]).all())
    True
    """
    n = _checks.shape("shape", shape, ndim=(2, 3))
    family = _checks.choice("family", family, tuple(FAMILIES))
    images = 1 if count is None else _checks.integer("count", count, minimum=1)
    if images * math.prod(n) > _MOST_VOXELS:
        raise InputError(f"shape: expected phantoms that fit into memory, got {images} of {n} voxels")
    grid = Grid(n, FAMILIES[family] / max(n[-2:]) if spacing is None else spacing)
    key = {name: _checks.integer(name, value, minimum=0) for name, value in (("seed", seed), ("index", index))}
    for name, value in key.items():
        if value >= 1 << 64:
            raise InputError(f"{name}: expected an integer below 2**64, got {value}")
    flat = 3 - grid.ndim
    voxels, steps = (1,) * flat + grid.shape, grid.spacing[:1] * flat + grid.spacing
    attenuation, labels = _core.textured_phantoms(family, images, voxels, steps, key["seed"], key["index"])
    whole = n if count is None else (images, *n)
    return Textured(attenuation.reshape(whole), labels.reshape(whole), tuple(TISSUES), grid, family, _ENERGY, **key)
