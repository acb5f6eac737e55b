"""Learned primal-dual reconstruction."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ... import _checks
from ...operators import LinearOperator
from ._layers import boolean
from ._unrolled import Unrolled, convolutions

__all__ = ["LearnedPrimalDual"]


class LearnedPrimalDual(Unrolled):
    r"""Learned primal-dual: networks in place of both proximal maps of a primal-dual iteration.

    With measurements y, dual memory h and primal memory f, each iteration computes

    .. math:: h \leftarrow h + \Gamma_i(h, A f_2, y), \qquad f \leftarrow f + \Lambda_i(f, A' h_1),

    where every :math:`\Gamma_i` and :math:`\Lambda_i` has three convolutions 3x3 with PReLU in between. The result is
    :math:`f_1` of the last iteration. The operator is divided by its norm, and images are in units that make up for it.

    Parameters
    ----------
    A : LinearOperator
        Real, between arrays of 1 to 3 dimensions.
    steps
        Iterations, each with weights of its own.
    memory
        Channels of h and of f.
    features
        Channels between the convolutions.
    start : LinearOperator, optional
        From measurements to the first image, such as `spinray.ct.FilteredBackprojection`; zeros, as in the paper, if
        None.
    recompute
        Store the states between iterations only, and compute the rest again in the backward pass: takes less memory
        and a third more time, in PyTorch.

    Raises
    ------
    InputError
        If an argument is out of range, `start` has other shapes than `A`, or `A` is zero.
    DtypeError
        If an operator is none, or is complex.

    References
    ----------
    J. Adler, O. Öktem, "Learned primal-dual reconstruction", IEEE Trans. Med. Imaging 37 (2018) 1322; 0.25 million
    parameters in the plane.

    Examples
    --------
    >>> import numpy as np, torch, spinray
    >>> from spinray.nn import LearnedPrimalDual
    >>> A = spinray.ct.ParallelBeam(spinray.Grid((32, 32)), np.linspace(0, np.pi, 20, endpoint=False), n_cols=47)
    >>> network = LearnedPrimalDual(A, steps=3, start=spinray.ct.FilteredBackprojection(A))
    >>> network(torch.ones(2, 1, 20, 47)).shape
    torch.Size([2, 1, 32, 32])
    """

    def __init__(
        self,
        A: LinearOperator,
        *,
        steps: int = 10,
        memory: int = 5,
        features: int = 32,
        start: LinearOperator | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__(
            A,
            start,
            steps=_checks.integer("steps", steps, minimum=1),
            memory=_checks.integer("memory", memory, minimum=1),
            features=_checks.integer("features", features, minimum=1),
            recompute=boolean("recompute", recompute),
        )
        steps, memory, features, _ = self.spec.values()
        shapes = len(A.range_shape), len(A.domain_shape)
        self.iterations = nn.ModuleList(_Iteration(*shapes, memory, features) for _ in range(steps))

    def compute(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` from a first image in scaled units."""
        memory = self.spec["memory"]
        f = x.expand(-1, memory, *x.shape[2:])
        h = y.new_zeros((len(y), memory, *y.shape[2:]))
        for iteration in self.iterations:

            def step(h: torch.Tensor, f: torch.Tensor, iteration: Any = iteration) -> tuple[torch.Tensor, ...]:
                projected = self.scaled(f[:, min(1, memory - 1)].unsqueeze(1))
                h = h + iteration.dual(torch.cat([h, projected, y], 1))
                f = f + iteration.primal(torch.cat([f, self.scaled.adjoint(h[:, :1])], 1))
                return h, f

            h, f = self.iterate(step, h, f)
        return f[:, :1]


class _Iteration(nn.Module):
    """The networks of one iteration."""

    def __init__(self, dual_dim: int, primal_dim: int, memory: int, features: int) -> None:
        super().__init__()
        inner = (features, features, memory)
        self.dual = convolutions(dual_dim, (memory + 2, *inner), 3, _prelu)
        self.primal = convolutions(primal_dim, (memory + 1, *inner), 3, _prelu)
        for layer in (*self.dual, *self.primal):
            if not isinstance(layer, nn.PReLU):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)


def _prelu(channels: int) -> nn.Module:
    return nn.PReLU(channels, init=0.0)
