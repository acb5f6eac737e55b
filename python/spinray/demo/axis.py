"""A shifted rotation axis, found by gradient descent through reconstruction and projector."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import ct, viz
from ..grid import Grid
from .acquisition import readings, scanner
from .inputs import Slice
from .section import Picture, Section

if TYPE_CHECKING:
    import torch

__all__ = ["Descent", "averaged", "find_shift", "moved", "shift_axis"]

_SHIFT, _VIEWS, _PHOTONS, _STEPS = 2.0, 180, 2e5, 12
#: Larger slices are averaged down to this many pixels: the shift is one of the detector.
_MOST_PIXELS = 256
#: Steps end where the shift moves by less than this, in columns.
_CLOSE = 1e-3
_WINDOW = (40.0, 700.0)


@dataclass(frozen=True)
class Descent:
    """The way of a gradient descent: shift in columns, and what is left unexplained, before each step and at last."""

    shifts: list[float]
    losses: list[float]


def moved(y: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Return a sinogram moved by a real number of columns, to the right if positive, by the shift theorem.

    It is padded by zeros to twice its width, so that nothing comes in again at the other side.
    """
    import torch

    n = y.shape[-1]
    turns = torch.fft.rfftfreq(2 * n, dtype=y.dtype) * shift
    spectrum = torch.fft.rfft(y, 2 * n) * torch.exp(-2j * math.pi * turns)
    return torch.fft.irfft(spectrum, 2 * n)[..., :n]


def find_shift(A: Any, y: np.ndarray, start: float = 0.0, n_steps: int = _STEPS) -> Descent:
    """Descend on how badly a reconstruction explains the data it was made of, over the shift of the data.

    For a shift s: x(s) = fbp(y moved by s), loss(s) = |A x(s) - y moved by s|^2 / |y|^2. The derivative is torch's,
    backwards through the projector, the filtered back-projection and the shift theorem; the image is not known. Steps
    are those of Barzilai and Borwein (1988): the last step over the change of the gradient.

    Parameters
    ----------
    A : ParallelBeam or FanBeam
        The scan as it was meant to be.
    y : numpy.ndarray, shape A.range_shape
        What was measured.
    start : float
        First shift, in columns.
    n_steps : int
        Most steps.
    """
    import torch

    data = torch.from_numpy(np.ascontiguousarray(y))
    whole = (data**2).sum()
    shift = torch.tensor(float(start), dtype=data.dtype, requires_grad=True)
    shifts: list[float] = []
    losses: list[float] = []
    last = 0.0
    for _ in range(n_steps + 1):
        at = moved(data, shift)
        loss = ((A(ct.fbp(A, at, filter="hann")) - at) ** 2).sum() / whole
        (gradient,) = torch.autograd.grad(loss, shift)
        slope = gradient.item()
        shifts.append(shift.item())
        losses.append(loss.item())
        if len(shifts) == 1:
            step = -math.copysign(0.5, slope)
        else:
            bend = (slope - last) / (shifts[-1] - shifts[-2])
            # Uphill curvature is not to be trusted: then half a column downhill.
            step = -slope / bend if bend > 0 else -math.copysign(0.5, slope)
            step = max(-2.0, min(2.0, step))
        if abs(step) < _CLOSE:
            break
        last = slope
        with torch.no_grad():
            shift += step
    return Descent(shifts, losses)


def shift_axis(given: Slice) -> Section:
    """Scan a slice with the detector two columns off, and find out."""
    block = -(-max(given.grid.shape) // _MOST_PIXELS)
    hu, grid = averaged(given.hu, given.grid, block)
    mu = ct.hu_to_attenuation(hu, clip=True)
    A = scanner(grid, _VIEWS)
    y = ct.add_noise(readings(mu, grid, _VIEWS, _SHIFT), _PHOTONS, seed=5)
    begin = time.perf_counter()
    way = find_shift(A, y)
    seconds = time.perf_counter() - begin
    section = Section("A shifted axis, found by its gradient", pictures=[_picture(given, A, y, way)])
    section.paragraphs = [
        f"The detector stands {_SHIFT:g} columns off the place that the model knows. Its shift is found by gradient "
        f"descent: {way.shifts[-1]:.3f} columns after {len(way.shifts) - 1} steps ({seconds:.1f} s). The image is "
        "unknown. For each trial shift the data are moved by it (shift theorem), reconstructed by FBP and projected "
        "again; the loss is what the projection leaves unexplained of the moved data.",
        "torch differentiates through projector, FBP and shift. The operators are differentiable in image and data; "
        "gradients with respect to the geometry itself are not there yet, which is why the data move here, and not "
        "the detector.",
    ]
    return section


def averaged(hu: np.ndarray, grid: Grid, block: int) -> tuple[np.ndarray, Grid]:
    """Return a slice averaged over blocks of so many pixels a side, and its grid."""
    rows, columns = (n // block for n in hu.shape)
    mean = hu[: rows * block, : columns * block].reshape(rows, block, columns, block).mean((1, 3))
    return mean, Grid(mean.shape, tuple(block * step for step in grid.spacing))


def _picture(given: Slice, A: ct.FanBeam, y: np.ndarray, way: Descent) -> Picture:
    import matplotlib.pyplot as plt
    import torch

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.9), layout="constrained")
    steps = range(len(way.shifts))
    axes[0].axhline(_SHIFT, color="#888888", lw=1, ls="--")
    axes[0].plot(steps, way.shifts, "o-", color="#2a6fb0", ms=4)
    axes[0].set(xlabel="step", ylabel="shift [columns]", title="descent")
    other = axes[0].twinx()
    other.semilogy(steps, way.losses, "s:", color="#c8452f", ms=3)
    other.set_ylabel("unexplained share of the data", color="#c8452f")
    found = moved(torch.from_numpy(y), torch.tensor(way.shifts[-1])).numpy()
    for ax, data, title in (
        (axes[1], y, "as the model has it"),
        (axes[2], found, f"moved by {way.shifts[-1]:.2f} columns"),
    ):
        image = ct.attenuation_to_hu(ct.fbp(A, data, filter="hann"))
        viz.show(given.placed(image, A.grid), window=_WINDOW, title=title, unit="HU", ax=ax)
    return Picture(
        "axis-shift",
        figure,
        "Left: the shift (blue, dashed: the truth) and the share of the data that is left unexplained (red). "
        "Right: FBP before and after.",
    )
