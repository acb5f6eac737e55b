"""LEARN: gradient steps with a learned regulariser."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ... import _checks
from ...ct.fbp import FilteredBackprojection
from ...ct.geometry import CircularScan
from ...errors import InputError
from ...operators import LinearOperator
from ._layers import boolean
from ._unrolled import Unrolled, convolutions

__all__ = ["LEARN"]


class LEARN(Unrolled):
    r"""LEARN: gradient descent on the data term, with the gradient of the regulariser learned step by step.

    .. math:: x \leftarrow x - \lambda_i A'(A x - y) - C_i(x),

    where each :math:`C_i` has three convolutions with ReLU in between, and :math:`\lambda_i` is learned too, starting
    from 1 for the operator divided by its norm.

    Parameters
    ----------
    A : LinearOperator
        Real, with images of 1 to 3 dimensions.
    steps
        Iterations, each with weights of its own.
    features
        Channels between the convolutions.
    kernel
        Width of the convolutions, odd.
    start : LinearOperator, optional
        From measurements to the first image. Filtered back-projection for a CT scan, as in the paper, else zeros.
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
    H. Chen, Y. Zhang, Y. Chen, J. Zhang, W. Zhang, H. Sun, Y. Lv, P. Liao, J. Zhou, G. Wang, "LEARN: learned experts'
    assessment-based reconstruction network for sparse-data CT", IEEE Trans. Med. Imaging 37 (2018) 1333. Weights start
    as there, normal with standard deviation 0.01.

    Examples
    --------
    >>> import numpy as np, torch, spinray
    >>> from spinray.nn import LEARN
    >>> A = spinray.ct.ParallelBeam(spinray.Grid((32, 32)), np.linspace(0, np.pi, 20, endpoint=False), n_cols=47)
    >>> LEARN(A, steps=4, features=8)(torch.ones(1, 1, 20, 47)).shape
    torch.Size([1, 1, 32, 32])
    """

    def __init__(
        self,
        A: LinearOperator,
        *,
        steps: int = 50,
        features: int = 48,
        kernel: int = 5,
        start: LinearOperator | None = None,
        recompute: bool = False,
    ) -> None:
        if start is None and isinstance(A, CircularScan):
            start = FilteredBackprojection(A)
        super().__init__(
            A,
            start,
            steps=_checks.integer("steps", steps, minimum=1),
            features=_checks.integer("features", features, minimum=1),
            kernel=_checks.integer("kernel", kernel, minimum=1),
            recompute=boolean("recompute", recompute),
        )
        steps, features, kernel, _ = self.spec.values()
        if not kernel % 2:
            raise InputError(f"kernel: expected an odd width, which keeps the size, got {kernel}")
        dim = len(A.domain_shape)
        self.iterations = nn.ModuleList(_Iteration(dim, features, kernel) for _ in range(steps))

    def compute(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` from a first image in scaled units."""
        for iteration in self.iterations:

            def step(x: torch.Tensor, iteration: Any = iteration) -> torch.Tensor:
                gradient = self.scaled.adjoint(self.scaled(x) - y)
                return x - iteration.rate * gradient - iteration.regulariser(x)

            x = self.iterate(step, x)
        return x


class _Iteration(nn.Module):
    """Step size and regulariser of one iteration."""

    def __init__(self, dim: int, features: int, kernel: int) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.ones(()))
        self.regulariser = convolutions(dim, (1, features, features, 1), kernel, lambda _: nn.ReLU())
        for layer in self.regulariser:
            if not isinstance(layer, nn.ReLU):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)
