"""A clinical fan-beam scan of a slice, with the photons it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .. import ct
from ..grid import Grid

__all__ = ["Acquisition", "acquire", "readings", "scanner", "tv_weight"]

#: Distances of a clinical scanner in mm (GE HiSpeed); the source stays outside larger objects.
_SOD, _SDD = 541.0, 949.0
#: The object and the detector are this much finer than what is reconstructed and read out.
_FINER = 3


@dataclass(frozen=True)
class Acquisition:
    """What a scan measured: its model, the noisy line integrals, photons per reading, and their noise."""

    name: str
    A: ct.FanBeam
    y: np.ndarray
    i0: float
    noise: float


def scanner(grid: Grid, n_views: int, *, finer: int = 1, shift: float = 0.0) -> ct.FanBeam:
    """Return a fan beam that sees the whole grid from all around, a column for each pixel on the axis.

    `finer` divides pixels and columns: the object that a simulated scan meets has no pixels of ours. `shift` moves the
    detector, in columns.
    """
    pixel = min(grid.spacing)
    radius = math.hypot(*(n * step / 2 for n, step in zip(grid.shape, grid.spacing, strict=True)))
    scale = max(1.0, 1.5 * radius / _SOD)
    sod, sdd = scale * _SOD, scale * _SDD
    column = pixel * sdd / sod
    n_cols = 2 * math.ceil(sdd * math.asin(radius / sod) / column) + 2
    fine = Grid(tuple(finer * n for n in grid.shape), tuple(step / finer for step in grid.spacing))
    angles = np.linspace(0, 2 * np.pi, n_views, endpoint=False)
    return ct.FanBeam(fine, angles, finer * n_cols, column / finer, sod, sdd, "curved", col_offset=shift * column)


def readings(mu: np.ndarray, grid: Grid, n_views: int, shift: float = 0.0) -> np.ndarray:
    """Return noiseless line integrals as a detector sees them: transmissions averaged over each of its elements."""
    fine = scanner(grid, n_views, finer=_FINER, shift=shift)(np.kron(mu, np.ones((_FINER, _FINER), mu.dtype)))
    return -np.log(np.exp(-fine).reshape(n_views, -1, _FINER).mean(-1))


def acquire(
    mu: np.ndarray, grid: Grid, n_views: int, noise_hu: float, sparse: int, mu_water: float
) -> tuple[Acquisition, Acquisition]:
    """Scan a slice twice: at low dose with all views, and at a higher dose with every `sparse`-th view.

    The low dose is the one at which theory gives `noise_hu` of noise in the middle of an FBP image with the ramp
    filter, sigma = pi / sqrt(12 N) / pixel * sigma(p) for N views [1]_. A reading of the sparse scan gets four times
    the photons that would make both doses equal.

    References
    ----------
    .. [1] Kak and Slaney 1988, "Principles of computerized tomographic imaging", section 5.3.
    """
    A, p = scanner(grid, n_views), readings(mu, grid, n_views)
    middle = p[:, p.shape[1] * 3 // 8 : p.shape[1] * 5 // 8]
    per_reading = math.sqrt(float(np.mean(np.exp(middle.astype(np.float64)))))
    gain = math.pi / math.sqrt(12 * n_views) / min(grid.spacing) / mu_water * 1000
    i0 = float(f"{(gain * per_reading / noise_hu) ** 2:.2g}")
    scans = []
    for name, views, photons in (
        ("low dose", slice(None), i0),
        ("few views", slice(None, None, sparse), 4 * sparse * i0),
    ):
        y = ct.add_noise(p[views], photons, seed=2)
        noise = math.sqrt(float(np.mean(np.exp(np.minimum(p[views], math.log(photons))) / photons)))
        scans.append(Acquisition(name, A[views], y, photons, noise))
    return scans[0], scans[1]


def tv_weight(A: ct.FanBeam | ct.ParallelBeam, noise: float) -> float:
    """Return the weight at which total variation holds out against noise of that size in the line integrals.

    The image is free of noise where the weight exceeds what the noise pulls with: A' n has a standard deviation of
    `noise` times the length of a column of A. The factor was set once, on slices of the chest and the neck.
    """
    ones = np.ones(A.range_shape, np.float32)
    # A ray crosses a pixel over some 0.8 of its side, which two neighbouring columns of the detector share.
    squares = np.median(A.adjoint(ones)) * 0.7 * min(A.grid.spacing)
    return 1.25 * noise * math.sqrt(float(squares))
