"""The four scans of the CT table, their test scene, and its exact projections.

The scene is a handful of balls (discs in 2-D): its line integrals are chords, so each contestant can be held
against a closed form that none of them computed.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

# centre (x, y, z) and radius in units of half the grid's width, attenuation in 1/mm
BALLS = (
    ((0.0, 0.0, 0.0), 0.80, 0.020),
    ((0.24, -0.14, 0.05), 0.35, 0.010),
    ((-0.31, 0.10, -0.20), 0.16, -0.010),
    ((0.08, 0.47, 0.10), 0.10, 0.020),
)


@dataclass(frozen=True)
class Workload:
    """A scan: grid of `shape`, 1 mm voxels, `n_views` over `arc` degrees, detector (rows,) columns of `pitch` mm.

    The grid lies `shift` mm off centre on every axis.
    """

    name: str
    shape: tuple[int, ...]
    n_views: int
    arc: float
    detector: tuple[int, ...]
    pitch: float
    sod: float = np.inf
    sdd: float = np.inf
    shift: float = 0.0

    @property
    def angles(self) -> np.ndarray:
        """View angles in radians."""
        return np.deg2rad(self.arc) * np.arange(self.n_views) / self.n_views

    @property
    def steps(self) -> int:
        """Voxel-views: the cost of one projection in the field's unit."""
        return int(np.prod(self.shape)) * self.n_views

    @property
    def balls(self) -> list[tuple[np.ndarray, float, float]]:
        """Centre (x, y, z) and radius in mm, attenuation in 1/mm; flat scans see the discs at z = 0."""
        half = self.shape[-1] / 2
        depth = 1.0 if len(self.shape) == 3 else 0.0
        return [(half * np.array([x, y, depth * z]), half * r, mu) for (x, y, z), r, mu in BALLS]

    def operator(self) -> Any:
        """The projector of this scan."""
        import spinray

        grid = spinray.Grid(self.shape, origin=[self.shift - (n - 1) / 2 for n in self.shape[::-1]])
        if np.isinf(self.sod):
            return spinray.ct.ParallelBeam(grid, self.angles, self.detector[0], self.pitch)
        if len(self.shape) == 2:
            return spinray.ct.FanBeam(grid, self.angles, self.detector[0], self.pitch, self.sod, self.sdd)
        return spinray.ct.ConeBeam(grid, self.angles, self.detector, (self.pitch, self.pitch), self.sod, self.sdd)

    def image(self, origin: tuple[float, ...] | None = None) -> np.ndarray:
        """The scene averaged over voxels (float32, `shape`), the first centred at `origin` (default: centred grid)."""
        return _image(self, origin or tuple(-(n - 1) / 2 for n in self.shape))

    def projections(self, columns: np.ndarray | None = None) -> np.ndarray:
        """Exact line integrals, float32 (views, (rows,) columns); `columns`: other positions of the columns, mm."""
        if columns is None:
            columns = (np.arange(self.detector[-1]) - (self.detector[-1] - 1) / 2) * self.pitch
        rows = (np.arange(self.detector[0]) - (self.detector[0] - 1) / 2) * self.pitch
        out = np.zeros((self.n_views, *self.detector[:-1], len(columns)), np.float32)
        for view, t in zip(out, self.angles, strict=True):
            u, d = np.array([np.cos(t), np.sin(t), 0]), np.array([-np.sin(t), np.cos(t), 0])
            pixel = columns[:, None] * u
            if len(self.detector) == 2:
                pixel = pixel + rows[:, None, None] * np.array([0, 0, 1])
            if np.isinf(self.sod):
                start, along = pixel, d
            else:
                start = -self.sod * d
                along = pixel + (self.sdd - self.sod) * d - start
                along /= np.linalg.norm(along, axis=-1, keepdims=True)
            for centre, radius, mu in self.balls:
                w = centre - start
                miss = (w * w).sum(-1) - (w * along).sum(-1) ** 2
                view += mu * 2 * np.sqrt(np.maximum(radius**2 - miss, 0))
        return out


@functools.lru_cache(maxsize=4)
def _image(workload: Workload, origin: tuple[float, ...]) -> np.ndarray:
    fine = 4 if len(workload.shape) == 2 else 2
    sub = (np.arange(fine) + 0.5) / fine - 0.5
    axes = [o + np.arange(n) for n, o in zip(workload.shape, origin, strict=True)]
    out = np.zeros(workload.shape, np.float32)
    for shift in itertools.product(sub, repeat=len(axes)):
        places = np.meshgrid(*(a + s for a, s in zip(axes, shift, strict=True)), indexing="ij", sparse=True)
        for centre, radius, mu in workload.balls:
            # places run (z,) y, x and centres x, y, z
            square: Any = sum((p - c) ** 2 for p, c in zip(reversed(places), centre, strict=False))
            out += np.float32(mu / fine ** len(axes)) * (square < radius**2)
    return out


WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", (512, 512), 720, 180, (729,), 1.0),
        Workload("W2", (512, 512), 720, 360, (729,), 1.5, 1024, 1536),
        Workload("W3", (128, 128, 128), 180, 360, (192, 192), 2.0, 500, 1000),
        Workload("W4", (256, 256, 256), 360, 360, (384, 384), 2.0, 1000, 2000),
    )
}
