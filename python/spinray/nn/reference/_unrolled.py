"""What networks share that unroll an iterative reconstruction: an operator, a start, iterations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ...errors import DtypeError, InputError
from ...operators import LinearOperator
from ._architecture import Architecture, convolution

__all__ = ["Unrolled", "convolutions", "real_operator"]


def real_operator(name: str, A: Any) -> LinearOperator:
    """Return `A` if it is a real operator between arrays of one to three dimensions; raise otherwise."""
    if not isinstance(A, LinearOperator):
        raise DtypeError(f"{name}: expected a spinray LinearOperator, got {type(A).__name__}")
    if A.is_complex:
        raise DtypeError(f"{name}: expected a real operator, got the complex {A!r}")
    for shape in (A.domain_shape, A.range_shape):
        if not 1 <= len(shape) <= 3:
            raise InputError(f"{name}: expected arrays of 1 to 3 dimensions, got {A!r}")
    return A


class Unrolled(Architecture):
    """Base of networks that unroll an iteration for A x = y, with images in units in which the operator has norm 1.

    A network defines ``compute(y, x)``: measurements and first image in, image out, all of shape (batch, 1, ...).
    There ``self.scaled`` is A / |A| and x stands for |A| times the image, so that weights and step sizes of one
    problem suit another, whatever its units.

    Attributes
    ----------
    operator : LinearOperator
        A, which copies and pickles of the network contain.
    start : LinearOperator or None
        From measurements to the first image; None for an image of zeros.
    norm : float
        |A|.
    """

    def __init__(self, A: LinearOperator, start: LinearOperator | None, **spec: Any) -> None:
        super().__init__(**spec)
        self.operator, self.start = real_operator("A", A), start
        if start is not None:
            shapes = real_operator("start", start).domain_shape, start.range_shape
            if shapes != (A.range_shape, A.domain_shape):
                raise InputError(f"start: expected an operator {A.range_shape} -> {A.domain_shape}, got {start!r}")
        self.norm = A.norm()
        if not 0 < self.norm < float("inf"):
            raise InputError(f"A: expected an operator with a finite norm above 0, got {A!r} with norm {self.norm}")
        self.scaled = A / self.norm

    @property
    def operators(self) -> tuple[LinearOperator, ...]:
        """What the network in Rust computes with."""
        return (self.scaled,)

    def runs_natively(self) -> bool:
        """Tell whether the network in Rust can stand in: it stores every iteration."""
        return not self._recomputes()

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Return images, shape (batch, 1, *A.domain_shape), for measurements, shape (batch, 1, *A.range_shape)."""
        self.check(y)
        if self.start is not None:
            x = self.start(y) * self.norm
        else:
            x = y.new_zeros((*y.shape[:2], *self.operator.domain_shape))
        return self.compute(y, x) / self.norm

    def check(self, *inputs: torch.Tensor) -> None:
        """Raise unless the input is one tensor of measurements.

        Raises
        ------
        InputError
            If its shape is not (batch, 1, *A.range_shape).
        DtypeError
            If its dtype or device is not that of the weights.
        """
        check_measurements(self, self.operator, *inputs)

    def iterate(self, step: Callable[..., Any], *state: torch.Tensor) -> Any:
        """Return ``step(*state)``; with `recompute`, its inside is computed again in the backward pass."""
        return checkpoint(step, *state, use_reentrant=False) if self._recomputes() else step(*state)

    def _recomputes(self) -> bool:
        return bool(self.spec["recompute"]) and torch.is_grad_enabled()


def check_measurements(network: Architecture, A: LinearOperator, *inputs: torch.Tensor) -> None:
    """Raise unless the input is one tensor of shape (batch, 1, *A.range_shape) in the precision of the weights."""
    network._check_tensors(inputs, "y")
    (y,) = inputs
    if y.ndim != len(A.range_shape) + 2 or tuple(y.shape[1:]) != (1, *A.range_shape):
        wanted = f"(batch, 1, {str(A.range_shape)[1:]}"
        raise InputError(f"y: expected shape {wanted} for {network._name} with {A!r}, got {tuple(y.shape)}")
    network._check_kind("y", y)


def convolutions(dim: int, channels: tuple[int, ...], kernel: int, activation: Callable[[int], nn.Module]) -> Any:
    """Return convolutions from the first of `channels` to the last, with activations in between."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        if layers:
            layers.append(activation(before))
        layers.append(convolution(dim)(before, after, kernel, padding=kernel // 2))
    return nn.Sequential(*layers)
