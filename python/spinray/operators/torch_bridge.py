"""Operators on torch tensors: values on the CPU, gradients of every order and mode.

Two doors lead to the same kernel. `apply`, through an ``autograd.Function`` with jvp and vmap, is the one for eager
code: it is right under ``backward``, double backward and all of ``torch.func``. ``torch.compile`` refuses such a
Function, and takes the door of `torch_compile` instead.

The derivative of a linear map is the map itself, and its backward pass is the adjoint: torch's gradients of complex
tensors are conjugated such that no further conjugation is needed.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .linear import LinearOperator

__all__ = ["apply", "is_compiling", "prepared", "values"]

_DOUBLE = (torch.float64, torch.complex128)

is_compiling = torch.compiler.is_compiling


def apply(operator: LinearOperator, x: Tensor) -> Tensor:
    """Return A x for a tensor of shape (..., *domain_shape), differentiable."""
    x = prepared(operator, x)
    return _Apply.apply(x, operator)


def prepared(operator: LinearOperator, x: Tensor) -> Tensor:
    """Return `x` in the dtype it is computed in, its shape checked; autograd sees the conversion."""
    operator._batch_shape(tuple(x.shape))
    return x.to(_working_dtype(x.dtype, operator.is_complex))


def _working_dtype(dtype: torch.dtype, promote: bool) -> torch.dtype:
    """Return the dtype an input is computed in: double stays double, every other number becomes single."""
    double = dtype in _DOUBLE
    if dtype.is_complex or promote:
        return torch.complex128 if double else torch.complex64
    return torch.float64 if double else torch.float32


def values(operator: LinearOperator, x: Tensor) -> Tensor:
    """Return A x without a graph, on the device of `x`."""
    if x.device.type != "cpu":
        _log_transfer(x.device.type)
    result = operator._apply_to_array(x.numpy(force=True))
    return torch.from_numpy(result).to(x.device)


@functools.cache
def _log_transfer(device: str) -> None:
    message = "operators compute on the CPU: tensors on %s are copied there and back at every call (logged once)"
    logging.getLogger("spinray").info(message, device)


class _Apply(torch.autograd.Function):
    """x -> A x, for eager code."""

    @staticmethod
    def forward(x: Tensor, operator: LinearOperator) -> Tensor:
        return values(operator, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, LinearOperator], output: Tensor) -> None:
        ctx.operator = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Apply.apply(gradient, ctx.operator.H), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return _Apply.apply(tangent, ctx.operator)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], x: Tensor, operator: LinearOperator) -> tuple[Tensor, int]:
        # The mapped dimension becomes one more batch dimension: one call of the kernel.
        return _Apply.apply(x.movedim(in_dims[0], 0), operator), 0
