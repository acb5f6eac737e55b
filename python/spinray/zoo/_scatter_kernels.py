r"""Scatter by superposition of kernels: the rival of a network that estimates scatter.

The scatter of a pencil of the beam depends on how thick the body is there, and spreads over the panel as a kernel:

.. math:: S = \sum_i \left[ w_i(p)\, A_i\, P^{\alpha_i}\, p^{\beta_i} \right] * h_i, \qquad p = -\ln P,

with the primary transmission P, and kernels h of two Gaussians each. Ohnesorge et al. 1999 (Eur. Radiol. 9, 563) have
one kernel and alpha = beta = 1; Sun and Star-Lack 2010 (Phys. Med. Biol. 55, 6695, eq. 3 to 7) have exponents and
kernels of their own for each range of thickness. Here weights w go linearly from one thickness to the next, so that
nothing jumps. The primary is not known: it is the reading less the scatter, found by repetition.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

__all__ = ["Kernels", "relative_error"]

#: Least part of a reading that is primary.
_LEFT = 0.01
#: Of the change of the primary, what each repetition makes.
_STEP = 0.6


class Kernels(nn.Module):
    """Kernels fitted to readings and their scatter.

    Parameters
    ----------
    thicknesses : tuple of float
        Line integrals p that kernels belong to.
    repetitions : int
        How often the primary is made of the scatter before.

    Attributes
    ----------
    widths : torch.nn.Parameter, shape (n, 2)
        Logarithms of the Gaussians' standard deviations in pixels.
    exponents : torch.nn.Parameter, shape (n, 2)
        Alpha and beta.
    amplitudes : torch.nn.Parameter, shape (n, 2)
        Logarithms of the integrals of the Gaussians.
    """

    def __init__(self, thicknesses: tuple[float, ...] = (1.0, 3.0, 5.0), repetitions: int = 6) -> None:
        super().__init__()
        n = len(thicknesses)
        self.thicknesses = thicknesses
        self.repetitions = repetitions
        self.widths = nn.Parameter(torch.tensor([1.5, 5.0]).log().repeat(n, 1))
        self.exponents = nn.Parameter(torch.tensor([1.0, 1.0]).repeat(n, 1))
        self.amplitudes = nn.Parameter(torch.tensor([0.1, 0.1]).log().repeat(n, 1))

    def of_primary(self, primary: Tensor) -> Tensor:
        """Return the scatter (n, rows, columns) of a primary transmission (n, rows, columns)."""
        thickness = -primary.log().clamp(max=-1e-4)
        result = torch.zeros_like(primary)
        for k, weight in enumerate(_weights(thickness, self.thicknesses)):
            alpha, beta = self.exponents[k]
            source = weight * (beta * thickness.log() - alpha * thickness).exp()
            for amplitude, width in zip(self.amplitudes[k].exp(), self.widths[k].exp(), strict=True):
                rows, columns = (_gaussian(size, width) for size in primary.shape[-2:])
                result = result + amplitude * (rows @ source @ columns)
        return result

    def forward(self, reading: Tensor) -> Tensor:
        """Return the scatter (n, rows, columns) in readings (n, rows, columns), both in parts of the open beam."""
        primary = reading
        for _ in range(self.repetitions):
            found = torch.maximum(reading - self.of_primary(primary), _LEFT * reading)
            primary = primary + _STEP * (found - primary)
        return self.of_primary(primary)

    def fit(self, reading: Tensor, scatter: Tensor, steps: int) -> Kernels:
        """Fit all parameters to the least mean relative error, and return the kernels themselves."""
        optimiser = torch.optim.Adam(self.parameters(), lr=0.05)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(steps):
            optimiser.zero_grad()
            relative_error(self(reading), scatter).backward()
            optimiser.step()
            schedule.step()
        return self


def relative_error(estimate: Tensor, truth: Tensor) -> Tensor:
    """Return the mean of the absolute error over the truth, pixel by pixel."""
    return ((estimate - truth).abs() / truth).mean()


def _weights(thickness: Tensor, nodes: tuple[float, ...]) -> list[Tensor]:
    """Return the weight of each node: hat functions that add up to 1, constant beyond the ends."""
    if len(nodes) == 1:
        return [torch.ones_like(thickness)]
    gaps = [((thickness - a) / (b - a)).clamp(0, 1) for a, b in itertools.pairwise(nodes)]
    inner = [before - after for before, after in itertools.pairwise(gaps)]
    return [1 - gaps[0], *inner, gaps[-1]]


def _gaussian(size: int, width: Tensor) -> Tensor:
    """Return the matrix (size, size) that convolves with a normal distribution of a standard deviation in pixels."""
    place = torch.arange(size, dtype=width.dtype, device=width.device)
    return (-0.5 * ((place[:, None] - place) / width) ** 2).exp() / (width * (2 * torch.pi) ** 0.5)
