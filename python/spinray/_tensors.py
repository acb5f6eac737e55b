"""Torch tensors at the door of code that computes in NumPy and has no gradient: in as arrays, out as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _checks
from .errors import InputError
from .operators.linear import is_tensor

__all__ = ["entries", "like"]


def entries(name: str, x: Any) -> np.ndarray:
    """Return an array or tensor as by `_checks.array`.

    Raises
    ------
    InputError
        If `x` is a tensor that asks for a gradient, which would silently be lost.
    """
    if is_tensor(x):
        import torch

        if x.requires_grad and torch.is_grad_enabled():
            raise InputError(f"{name}: requires a gradient, and this iteration has none. Pass {name}.detach()")
        if x.dtype in (torch.float16, torch.bfloat16):
            x = x.float()  # NumPy has no bfloat16
        x = x.numpy(force=True)
    return _checks.array(name, x)


def like(x: Any, result: np.ndarray) -> Any:
    """Return `result` as a tensor on the device of `x` where `x` is a tensor."""
    if is_tensor(x):
        import torch

        return torch.from_numpy(result).to(x.device)
    return result
