"""MoDL: a denoiser and a data-consistency solve in turn."""

from __future__ import annotations

import math

import torch
from torch import nn

from ... import _checks
from ...operators import LinearOperator
from ._layers import boolean
from ._unrolled import Unrolled, convolutions

__all__ = ["MoDL"]


class MoDL(Unrolled):
    r"""MoDL: a convolutional denoiser and a data-consistency solve in turn, with the same weights in every iteration.

    .. math:: z = x - N(x), \qquad x = \arg\min_x |A x - y|^2 + \lambda |x - z|^2,

    with the operator divided by its norm. The minimum, :math:`z + (A'A + \lambda)^{-1} A'(y - A z)`, is found by
    conjugate gradients, and gradients (of :math:`\lambda` too, which is learned) go through each of their steps: they
    are those of what is computed, also where the solve has not converged. An image counts as solved, and stays, when
    its residual has fallen to rounding.

    Parameters
    ----------
    A : LinearOperator
        Real, with images of 1 to 3 dimensions.
    steps
        Iterations.
    features
        Channels between the convolutions of N, all of width 3.
    layers
        Their number, at least 2; no batch normalisation, unlike the paper's.
    weight
        Where :math:`\lambda` starts.
    cg_steps
        Steps of conjugate gradients in each iteration.
    start : LinearOperator, optional
        From measurements to the first image; zeros if None. The paper's is ``A.H``.
    recompute
        Store the images between iterations only, and compute the rest again in the backward pass: takes less memory
        and a third more time, in PyTorch.

    Raises
    ------
    InputError
        If an argument is out of range, `start` has other shapes than `A`, or `A` is zero.
    DtypeError
        If an operator is none, or is complex.

    References
    ----------
    H. K. Aggarwal, M. P. Mani, M. Jacob, "MoDL: model-based deep learning architecture for inverse problems", IEEE
    Trans. Med. Imaging 38 (2019) 394.

    Examples
    --------
    >>> import numpy as np, torch, spinray
    >>> from spinray.nn import MoDL
    >>> A = spinray.ct.ParallelBeam(spinray.Grid((32, 32)), np.linspace(0, np.pi, 20, endpoint=False), n_cols=47)
    >>> MoDL(A, steps=2, features=8)(torch.ones(1, 1, 20, 47)).shape
    torch.Size([1, 1, 32, 32])
    """

    def __init__(
        self,
        A: LinearOperator,
        *,
        steps: int = 10,
        features: int = 64,
        layers: int = 5,
        weight: float = 0.05,
        cg_steps: int = 10,
        start: LinearOperator | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__(
            A,
            start,
            steps=_checks.integer("steps", steps, minimum=1),
            features=_checks.integer("features", features, minimum=1),
            layers=_checks.integer("layers", layers, minimum=2),
            weight=_checks.positive("weight", weight),
            cg_steps=_checks.integer("cg_steps", cg_steps, minimum=1),
            recompute=boolean("recompute", recompute),
        )
        steps, features, layers, weight, cg_steps, _ = self.spec.values()
        self.log_weight = nn.Parameter(torch.tensor(math.log(weight)))
        channels = (1, *(layers - 1) * (features,), 1)
        self.noise = convolutions(len(A.domain_shape), channels, 3, lambda _: nn.ReLU())

    def compute(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` from a first image in scaled units."""
        for _ in range(self.spec["steps"]):
            x = self.iterate(self._step, y, x)
        return x

    def _step(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        z = x - self.noise(x)
        return z + self._solve(self.scaled.adjoint(y - self.scaled(z)))

    def _solve(self, b: torch.Tensor) -> torch.Tensor:
        """Solve (A'A + weight) x = b, each image of the batch by itself."""
        weight = self.log_weight.exp()
        x, r, p = torch.zeros_like(b), b, b
        rr = _dot(r, r)
        done = rr.detach() * torch.finfo(rr.dtype).eps ** 2
        for _ in range(self.spec["cg_steps"]):
            going = rr.detach() > done
            q = self.scaled.adjoint(self.scaled(p)) + weight * p
            alpha = _ratio(rr, _dot(p, q), going)
            x = x + alpha * p
            r = r - alpha * q
            before, rr = rr, _dot(r, r)
            p = r + _ratio(rr, before, going) * p
        return x


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the products of the images of two batches, with dimensions to multiply images by."""
    return (a * b).sum(tuple(range(1, a.ndim)), keepdim=True)


def _ratio(a: torch.Tensor, b: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return a / b; elsewhere 0, with no gradient."""
    return torch.where(where, a, 0.0) / torch.where(where, b, 1.0)
