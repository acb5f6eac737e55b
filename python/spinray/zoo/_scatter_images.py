"""Projections of random anatomies in a cone beam, with the scatter that Monte Carlo finds in them."""

from __future__ import annotations

import dataclasses

import numpy as np

from .. import ct, phantoms, transport
from ..grid import Grid, Volume

__all__ = ["ScatterImages"]

#: Least and largest size of bodies, in parts of the one they are drawn with.
_SIZES = 0.75, 1.15
#: Rays across a pixel, along rows and along columns.
_RAYS = 2
#: Seeds of anatomies and of photons, by sample.
_PER_SEED = 1 << 32


@dataclasses.dataclass(frozen=True)
class ScatterImages:
    """A cone beam of a flat panel without grid, and bodies in it.

    Projections are in parts of the open beam, binned to pixels as large as scatter, which is smooth, allows.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns of the panel, binned; even numbers.
    pixel : float
        Its pixels in mm.
    sod, sdd : float
        From the focal spot to the rotation axis and to the panel, in mm.
    kv, filter : float
        Tube voltage, and its filter of aluminium in mm.
    views : int
        Of each body, evenly over a turn from a random angle on.
    """

    shape: tuple[int, int] = (16, 24)
    pixel: float = 26.0
    sod: float = 1000.0
    sdd: float = 1500.0
    kv: float = 120.0
    filter: float = 6.0
    views: int = 4
    grid: Grid = dataclasses.field(default_factory=lambda: Grid((32, 44, 44), 9.0))

    def body(self, family: str, seed: int, index: int) -> Volume:
        """Return CT numbers of an anatomy of random size, of a "lump" of anything, or of a "cylinder" with rods."""
        random = np.random.default_rng([seed, index])
        if family == "cylinder":
            return _cylinder(self.grid, random)
        if family == "lump":
            return _lump(self.grid, random)
        # The same anatomy, looked at in larger or smaller steps.
        steps = np.array(self.grid.spacing) / random.uniform(*_SIZES)
        drawn = phantoms.textured(self.grid.shape, seed, index, family=family, spacing=steps)
        return Volume(ct.attenuation_to_hu(drawn.attenuation), self.grid.affine)

    def images(self, family: str, seed: int, index: int, n_histories: int) -> tuple[np.ndarray, np.ndarray]:
        """Return primary transmission and scatter of all views of a body, (views, rows, columns), float32 each.

        Parameters
        ----------
        family : str
            One of `phantoms.FAMILIES`, "lump" or "cylinder".
        seed, index : int
            Which body.
        n_histories : int
            Photons for each view.
        """
        start = np.random.default_rng([seed, index, 1]).uniform(0, 2 * np.pi)
        angles = start + 2 * np.pi * np.arange(self.views) / self.views
        rays = _RAYS * self.shape[0], _RAYS * self.shape[1]
        A = ct.ConeBeam(self.grid, angles, rays, self.pixel / _RAYS, self.sod, self.sdd)
        phantom = transport.VoxelPhantom.from_hu(self.body(family, seed, index))
        tube = transport.Spectrum.tube(self.kv, {"Al": self.filter})
        large = (self.shape[0] // 2, self.shape[1] // 2)
        scatter = ct.scatter(
            A, phantom, tube, n_histories * self.views, views=slice(None), shape=large, seed=_PER_SEED * seed + index
        )
        return _binned(ct.transmission(A, phantom, tube)), _binned(scatter.sinogram)


def _binned(images: np.ndarray) -> np.ndarray:
    """Return the means of all rays of each pixel."""
    n, rows, columns = images.shape
    pixels = images.reshape(n, rows // _RAYS, _RAYS, columns // _RAYS, _RAYS)
    return np.asarray(pixels.mean(axis=(2, 4)), np.float32)


def _lump(grid: Grid, random: np.random.Generator) -> Volume:
    """Return CT numbers of a body between ellipsoid and box, with ellipsoids of anything from air to bone in it."""
    z, y, x = np.meshgrid(*grid.axes(), indexing="ij")
    hu = np.full(grid.shape, -1000.0)

    def paint(centre: np.ndarray, radii: np.ndarray, power: float, number: float) -> None:
        turn = random.uniform(0, np.pi)
        u, v = x - centre[0], y - centre[1]
        u, v = np.cos(turn) * u + np.sin(turn) * v, np.cos(turn) * v - np.sin(turn) * u
        off = sum(abs(a / r) ** power for a, r in zip((u, v, z - centre[2]), radii, strict=True)) ** (1 / power)
        # Voxels at the edge are shared.
        hu[...] += np.clip((1 - off) * radii.min() / grid.spacing[1] + 0.5, 0, 1) * (number - hu)

    body = random.uniform((60, 50, 60), (160, 130, 250))
    paint(random.uniform(-15, 15, 3), body, random.uniform(2, 6), random.uniform(-120, 130))
    for _ in range(random.integers(2, 10)):
        paint(random.uniform(-0.6, 0.6, 3) * body, random.uniform(8, 40, 3), 2.0, random.uniform(-950, 1100))
    return Volume(hu, grid.affine)


def _cylinder(grid: Grid, random: np.random.Generator) -> Volume:
    """Return CT numbers of a cylinder with rods along it, as those that scanners are calibrated with."""
    z, y, x = np.meshgrid(*grid.axes(), indexing="ij")

    def rod(radius: float, centre: complex) -> np.ndarray:
        # Voxels at the edge are shared.
        return np.asarray(np.clip((radius - np.hypot(x - centre.real, y - centre.imag)) / grid.spacing[1] + 0.5, 0, 1))

    radius, half = random.uniform(60, 150), random.uniform(60, 140)
    hu = np.full(grid.shape, -1000.0)
    hu += rod(radius, 0j) * (random.uniform(-50, 130) - hu)
    number, first = int(random.integers(4, 9)), random.uniform(0, 2 * np.pi)
    for k in range(number):
        centre = 0.62 * radius * np.exp(1j * (first + 2 * np.pi * k / number))
        hu += rod(random.uniform(8, 20), centre) * (random.choice([-990.0, -100.0, 100.0, 340.0, 500.0, 990.0]) - hu)
    return Volume(np.where(abs(z) < half, hu, -1000.0), grid.affine)
