"""Losses, metrics and gradients that are what they should be, or a word about what they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from ..errors import DtypeError, InputError
from ._batches import tensors_of

__all__ = ["gradient_norm", "loss_value", "not_finite", "one_number"]


def loss_value(value: Any) -> torch.Tensor:
    """Return what a loss function gave, as a tensor of no dimensions.

    Raises
    ------
    DtypeError
        If it is no tensor, or complex.
    InputError
        If it is several numbers.
    """
    if not isinstance(value, torch.Tensor) or value.is_complex():
        got = "a complex one" if isinstance(value, torch.Tensor) else type(value).__name__
        raise DtypeError(f"loss: expected a real tensor from loss(output, target), got {got}")
    if value.numel() != 1:
        raise InputError(f"loss: expected one number, got shape {tuple(value.shape)}. Take its mean")
    return value.reshape(()) if value.ndim else value


def one_number(name: str, value: Any) -> float:
    """Return what a metric gave.

    Raises
    ------
    InputError
        If it is several numbers.
    """
    if isinstance(value, torch.Tensor) and value.numel() != 1:
        raise InputError(f"metrics[{name!r}]: expected one number, got shape {tuple(value.shape)}. Take its mean")
    return float(value)


def not_finite(inputs: Any, target: Any) -> str:
    """Say what to do about a loss that is NaN or infinite."""
    bad = [name for name, part in (("inputs", inputs), ("targets", target)) if not _all_finite(part)]
    return f"The batch's {' and '.join(bad)} hold such too" if bad else "Lower learning_rate, or give clip_norm"


def _all_finite(nested: Any) -> bool:
    return all(bool(leaf.isfinite().all()) for leaf in tensors_of(nested) if isinstance(leaf, torch.Tensor))


def gradient_norm(parameters: Mapping[str, torch.nn.Parameter], where: str) -> torch.Tensor:
    """Return the Euclidean norm of all gradients together.

    Raises
    ------
    InputError
        If it is not finite, naming the parameter that comes last among those whose gradient is not; or if there is
        no gradient.
    """
    given = {name: p.grad for name, p in parameters.items() if p.grad is not None}
    if not given:
        raise InputError("loss: expected a value that depends on the trainable parameters, got one without")
    each = torch._foreach_norm(list(given.values()))
    norms = torch.stack([norm.to(each[0].device) for norm in each])
    total = torch.linalg.vector_norm(norms)
    if not math.isfinite(float(total)):
        bad = [name for name, norm in zip(given, norms, strict=True) if not math.isfinite(float(norm))]
        # Back-propagation spreads it towards the input.
        raise InputError(
            f"gradient: NaN or infinite in {where}: in {len(bad)} of {len(given)} parameters, the one nearest to the "
            f"output {bad[-1] if bad else 'none, but their norm'!r}. Look there for roots and logarithms of 0"
        )
    return total
