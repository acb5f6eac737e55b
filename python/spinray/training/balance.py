"""Rare classes made to count as much as frequent ones."""

from __future__ import annotations

import torch

from .. import _checks
from ..errors import DtypeError, InputError

__all__ = ["class_weights"]


def class_weights(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return weights by which each class counts the same in all, for ``CrossEntropyLoss(weight=...)``.

    Parameters
    ----------
    labels : torch.Tensor of integers, any shape
        Classes of samples, or of pixels, from 0 to classes - 1.
    classes : int
        How many there are.

    Returns
    -------
    torch.Tensor, shape (classes,)
        n / (classes n_c) in float32, where n_c of n labels are c; their mean over the labels is 1. Classes that do not
        occur have weight 0.

    Raises
    ------
    InputError
        If there are no labels, or one is out of range.
    DtypeError
        If they are no tensor of integers.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import class_weights
    >>> class_weights(torch.tensor([0, 0, 0, 1]), 2)
    tensor([0.6667, 2.0000])
    """
    _checks.integer("classes", classes, minimum=1)
    if not isinstance(labels, torch.Tensor) or labels.is_floating_point() or labels.is_complex():
        got = getattr(labels, "dtype", type(labels).__name__)
        raise DtypeError(f"labels: expected a tensor of integers, got {got}")
    if not labels.numel() or labels.min() < 0 or labels.max() >= classes:
        got = f"{int(labels.min())} to {int(labels.max())}" if labels.numel() else "none"
        raise InputError(f"labels: expected some, from 0 to {classes - 1}, got {got}")
    counts = torch.bincount(labels.flatten(), minlength=classes)
    weights = labels.numel() / (classes * counts.float())
    return torch.where(counts > 0, weights, 0.0)
