"""What all losses share: checks of images and labels, and the door to MONAI."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from ...errors import DtypeError, InputError

__all__ = ["images", "monai", "one_hot", "pair"]


def images(name: str, x: Any) -> int:
    """Return the number of spatial axes of a batch of images (2) or volumes (3), of real numbers."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = f"dtype {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise DtypeError(f"{name}: expected a torch tensor of real floating-point numbers, got {got}")
    if x.ndim not in (4, 5) or 0 in x.shape:
        hint = ". One image alone is image[None, None]" if x.ndim in (2, 3) else ""
        raise InputError(
            f"{name}: expected shape (batch, channels, y, x) or (batch, channels, z, y, x), got {tuple(x.shape)}{hint}"
        )
    return x.ndim - 2


def pair(input: Any, target: Any) -> int:
    """Return the number of spatial axes of two batches of one shape."""
    ndim = images("input", input)
    images("target", target)
    if input.shape != target.shape:
        raise InputError(f"target: expected the shape of input, {tuple(input.shape)}, got {tuple(target.shape)}")
    return ndim


def one_hot(input: Tensor, labels: Any) -> Tensor:
    """Return labels of places as one channel per class of `input`, in its dtype; one channel is the class 1."""
    classes = max(input.shape[1], 2)
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex():
        got = f"dtype {labels.dtype}" if isinstance(labels, Tensor) else type(labels).__name__
        raise DtypeError(f"target: expected a torch tensor of integer labels, got {got}. Pass target.long()")
    shape = (input.shape[0], *input.shape[2:])
    if labels.shape not in (shape, (shape[0], 1, *shape[1:])):
        raise InputError(
            f"target: expected labels of shape {shape} or {(shape[0], 1, *shape[1:])} for an input of shape "
            f"{tuple(input.shape)}, got {tuple(labels.shape)}. One channel per class becomes labels by argmax(1)"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputError(f"target: expected labels from 0 to {classes - 1}, got {low} to {high}")
    channels = torch.nn.functional.one_hot(labels.reshape(shape).long(), classes).movedim(-1, 1).to(input.dtype)
    return channels if input.shape[1] > 1 else channels[:, 1:]


def monai(module: str, caller: str) -> Any:
    """Return a module of MONAI, or say how to get it."""
    try:
        return importlib.import_module(f"monai.{module}")
    except ImportError as error:
        raise ImportError(f'{caller} is computed by MONAI: pip install "spinray[monai]"') from error
