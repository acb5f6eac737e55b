"""Operators for networks in Rust: the kernel itself where there is one, otherwise a call back into Python."""

from __future__ import annotations

from typing import Any

import torch

from ..operators import LinearOperator
from ..operators.algebra import Scaled
from ..operators.torch_bridge import values

__all__ = ["native_operator"]


def native_operator(module: Any, A: LinearOperator) -> Any:
    """Return `A` as an operator of ``spinray._torch`` (the argument `module`), which networks in Rust compute with.

    It acts on real tensors of shape (..., *A.domain_shape), in single or double precision, with exact gradients of
    every order, and outlives `A`. A kernel of ``spinray._core``, or a real multiple of one, is called without Python.
    """
    factor = 1.0
    while isinstance(A, Scaled) and not isinstance(A._factor, complex):
        factor, A = factor * A._factor, A._operator
    return module.LinearOperator(A._capsule() or _Bridge(A), A.domain_shape, A.range_shape, factor)


class _Bridge:
    """An operator as Rust calls it: on tensors without a graph."""

    def __init__(self, A: LinearOperator) -> None:
        self._operators = (A, A.H)

    def __call__(self, x: torch.Tensor, adjoint: bool) -> torch.Tensor:
        return values(self._operators[adjoint], x)
