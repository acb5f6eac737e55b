"""Operators inside ``torch.compile``: the custom operator ``spinray::apply``, in one piece with the rest of the graph.

A graph holds strings and numbers only, so an operator goes into it by its handle. Expressions go in as their parts,
since they may be made inside the traced function; there, write calls, ``A(x)`` and ``A.adjoint(y)``: ``torch.compile``
does not trace the operator ``@`` between objects.

Derivatives are registered by hand at the Autograd key: those of ``torch.library.register_autograd`` know no forward
mode, and ``jacfwd`` would silently return zeros.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import InputError
from .linear import _alive
from .torch_bridge import prepared, values

if TYPE_CHECKING:
    from .linear import LinearOperator

__all__ = ["apply", "apply_to_batch"]


def apply(operator: LinearOperator, x: Tensor) -> Tensor:
    """Return A x for a tensor of shape (..., *domain_shape) inside ``torch.compile``."""
    x = prepared(operator, x)
    batch = operator._batch_shape(tuple(x.shape))
    result = apply_to_batch(operator, x.reshape(math.prod(batch), *operator.domain_shape))
    return result.reshape(*batch, *operator.range_shape)


def apply_to_batch(operator: LinearOperator, x: Tensor) -> Tensor:
    """Return A x for a tensor of shape (n, *domain_shape), leaving the kernel call to the compiled graph."""
    if x.is_complex() and not operator.is_complex:
        return torch.complex(apply_to_batch(operator, x.real), apply_to_batch(operator, x.imag))
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
    return values(_operator_at(handle, adjoint), x)


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
