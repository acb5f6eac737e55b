"""An analytic head in a cone beam, reconstructed by FDK."""

from __future__ import annotations

import time

import numpy as np

from .. import ct, phantoms, viz
from ..grid import Grid, Volume
from .section import Picture, Section, Table

__all__ = ["scan_head"]

_VOXEL = 1.4
#: Voxels (z, y, x) around the head's 210 x 196 x 176 mm.
_SHAPE = (156, 146, 132)
_VIEWS, _DETECTOR, _PITCH, _SOD, _SDD = 240, (200, 176), 2.4, 600.0, 1050.0
_WINDOW = (40.0, 120.0)
#: Where the planes meet: both rows of lesions are in the first, an eye is in each of the others.
_AT = (27.0, 34.0, 38.0)


def scan_head() -> Section:
    """Scan the head without noise, by exact line integrals, and reconstruct it."""
    head, grid = phantoms.head(), Grid(_SHAPE, _VOXEL)
    angles = np.linspace(0, 2 * np.pi, _VIEWS, endpoint=False)
    A = ct.ConeBeam(grid, angles, _DETECTOR, _PITCH, _SOD, _SDD)
    begin = time.perf_counter()
    y = head.project(A, progress=True)
    projected = time.perf_counter()
    image = ct.fbp(A, y, filter="hann", progress=True)
    done = time.perf_counter()
    hu, truth = ct.attenuation_to_hu(image), ct.attenuation_to_hu(head.voxelise(grid))
    table = Table(("height z", "RMSE in the brain [HU]", "mean error [HU]"), tuple(_by_height(hu, truth, grid)))
    section = Section("An analytic head in a cone beam", tables=[table], pictures=[_picture(hu, truth, grid)])
    section.paragraphs = [
        f"Some 60 ellipsoids, cylinders and boxes make a head of {_SHAPE[2]} × {_SHAPE[1]} × {_SHAPE[0]} voxels of "
        f"{_VOXEL} mm. Its line integrals are exact, not projections of voxels: {_VIEWS} views of "
        f"{_DETECTOR[0]} × {_DETECTOR[1]} pixels of {_PITCH} mm ({_SOD:.0f} mm from source to axis, {_SDD:.0f} mm to "
        f"detector), {y.size / 1e6:.1f} million rays in {projected - begin:.1f} s. FDK with a Hann window took "
        f"{done - projected:.2f} s.",
        "There is no noise: what differs is the finite resolution at edges, and, growing away from the plane of the "
        "source, the cone-beam error of every circular scan.",
    ]
    return section


def _by_height(hu: np.ndarray, truth: np.ndarray, grid: Grid) -> list[tuple[str, str, str]]:
    """Return how true brain tissue is (edges are left out) in the plane of the source and away from it."""
    from scipy import ndimage

    brain = ndimage.binary_erosion(np.abs(truth - 35) < 12, iterations=2)
    z = grid.axes()[0]
    rows = []
    for height in (0.0, 30.0, 60.0, -60.0):
        near = np.abs(z - height) < 5
        error = (hu - truth)[near][brain[near]]
        if error.size:
            spread, mean = np.sqrt(np.mean(error**2)), round(float(error.mean()), 1)
            rows.append((f"{height:.0f} mm", f"{spread:.1f}", f"{mean + 0:.1f}"))
    return rows


def _picture(hu: np.ndarray, truth: np.ndarray, grid: Grid) -> Picture:
    import matplotlib.pyplot as plt

    sides = [grid.shape[axis] for axis in (2, 2, 1)]
    figure, axes = plt.subplots(2, 3, figsize=(10.5, 8.4), width_ratios=sides, layout="constrained")
    for row, image, name in zip(axes, (truth, hu), ("truth", "FDK"), strict=True):
        viz.show(Volume(image, grid.affine), window=_WINDOW, at=_AT, unit="HU", ax=row)
        for ax in row:
            ax.set_title(f"{name}, {ax.get_title()}", fontsize=10)
    caption = f"Above the head averaged over voxels, below FDK; level {_WINDOW[0]:g}, width {_WINDOW[1]:g} HU."
    return Picture("head", figure, caption)
