"""Operators on torch tensors: values on the CPU, gradients of every order and mode.

Two doors lead to the same kernel. `_Apply`, an ``autograd.Function`` with jvp and vmap, is the one for eager code: it
is right under ``backward``, double backward and all of ``torch.func``. ``torch.compile`` refuses such a Function, and
gets the custom operator ``spinray::apply`` instead. Its derivatives are registered by hand at the Autograd key: those
of ``torch.library.register_autograd`` know no forward mode, and ``jacfwd`` would silently return zeros.

The derivative of a linear map is the map itself, and its backward pass is the adjoint: torch's gradients of complex
tensors are conjugated such that no further conjugation is needed.
"""

from __future__ import annotations

import functools
import logging
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import InputError
from .linear import _alive

if TYPE_CHECKING:
    from .linear import LinearOperator

__all__ = ["apply", "apply_compiled", "is_compiling"]

_DOUBLE = (torch.float64, torch.complex128)

is_compiling = torch.compiler.is_compiling


def apply(operator: LinearOperator, x: Tensor) -> Tensor:
    """Return A x for a tensor of shape (..., *domain_shape), differentiable."""
    x = _prepared(operator, x)
    return _Apply.apply(x, operator)


def _prepared(operator: LinearOperator, x: Tensor) -> Tensor:
    """Return `x` in the dtype it is computed in, its shape checked; autograd sees the conversion."""
    operator._batch_shape(tuple(x.shape))
    return x.to(_working_dtype(x.dtype, operator.is_complex))


def _working_dtype(dtype: torch.dtype, promote: bool) -> torch.dtype:
    """Return the dtype an input is computed in: double stays double, every other number becomes single."""
    double = dtype in _DOUBLE
    if dtype.is_complex or promote:
        return torch.complex128 if double else torch.complex64
    return torch.float64 if double else torch.float32


def _values(operator: LinearOperator, x: Tensor) -> Tensor:
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
        return _values(operator, x)

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


def apply_compiled(operator: LinearOperator, x: Tensor) -> Tensor:
    """Return A x for a tensor of shape (..., *domain_shape) inside ``torch.compile``."""
    x = _prepared(operator, x)
    batch = operator._batch_shape(tuple(x.shape))
    result = apply_traced(operator, x.reshape(math.prod(batch), *operator.domain_shape))
    return result.reshape(*batch, *operator.range_shape)


def apply_traced(operator: LinearOperator, x: Tensor) -> Tensor:
    """Return A x for a tensor of shape (n, *domain_shape), leaving the kernel call to the compiled graph."""
    if x.is_complex() and not operator.is_complex:
        return torch.complex(apply_traced(operator, x.real), apply_traced(operator, x.imag))
    if operator._address is None:
        expression: Any = operator
        return expression._forward(x)
    return torch.ops.spinray.apply(x, *operator._address)


def _operator_at(handle: str, adjoint: bool) -> LinearOperator:
    operator = _alive.get(handle)
    if operator is None:
        raise InputError("A: the operator a compiled function was traced with no longer exists. Keep a reference to it")
    return operator.H if adjoint else operator


_NAME = "spinray::apply"
_library = torch.library.Library("spinray", "FRAGMENT")
_library.define("apply(Tensor x, str handle, bool adjoint) -> Tensor")


@torch.library.impl(_library, "apply", "CompositeExplicitAutograd")
def _kernel(x: Tensor, handle: str, adjoint: bool) -> Tensor:
    return _values(_operator_at(handle, adjoint), x)


@torch.library.register_fake(_NAME, lib=_library)
def _fake(x: Tensor, handle: str, adjoint: bool) -> Tensor:
    operator = _operator_at(handle, adjoint)
    batch = x.shape[: x.ndim - len(operator.domain_shape)]
    return x.new_empty((*batch, *operator.range_shape))


@torch.library.register_vmap(_NAME, lib=_library)
def _vmap(info: Any, in_dims: tuple[int, None, None], x: Tensor, handle: str, adjoint: bool) -> tuple[Tensor, int]:
    return torch.ops.spinray.apply(x.movedim(in_dims[0], 0), handle, adjoint), 0


class _ApplyTraced(torch.autograd.Function):
    """The derivatives of ``spinray::apply``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, handle: str, adjoint: bool) -> Tensor:
        ctx.handle, ctx.adjoint = handle, adjoint
        with torch._C._AutoDispatchBelowAutograd():
            return torch.ops.spinray.apply(x, handle, adjoint)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return torch.ops.spinray.apply(gradient, ctx.handle, not ctx.adjoint), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return torch.ops.spinray.apply(tangent, ctx.handle, ctx.adjoint)


@torch.library.impl(_library, "apply", "Autograd")
def _autograd(x: Tensor, handle: str, adjoint: bool) -> Tensor:
    # torch.library's own autograd would return zeros here. This error makes torch.compile fall back to eager code,
    # which is right; with fullgraph=True the user sees it.
    if torch._C._are_functorch_transforms_active():
        raise NotImplementedError(
            "torch.compile cannot trace torch.func derivatives of spinray operators: leave fullgraph=True out"
        )
    return _ApplyTraced.apply(x, handle, adjoint)
