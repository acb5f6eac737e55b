"""Data cut into folds for cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks
from ..errors import InputError
from ..operators.linear import is_tensor
from ._batches import n_samples

__all__ = ["k_fold"]


def k_fold(data: Any, k: int, seed: int = 0, *, labels: Any = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut samples into k parts, and hold out one part after the other.

    Parameters
    ----------
    data : int, tuple of tensors, or Dataset
        The samples, or how many.
    k : int
        Number of parts, at least 2; they differ in size by one sample at most.
    seed : int
        Of the shuffling.
    labels : array_like or torch.Tensor, shape (n,), optional
        Classes: each part then has its share of each, to within one sample.

    Returns
    -------
    list of (train, validation)
        Sample numbers in ascending order, int64 arrays, for ``torch.utils.data.Subset(data, train)`` or
        ``tensor[train]``.

    Raises
    ------
    InputError
        If there are fewer samples than parts, or labels for another number of them.
    DtypeError
        If an argument has an unusable type.

    Examples
    --------
    >>> from spinray.training import k_fold
    >>> [validation.tolist() for _, validation in k_fold(4, 2, labels=[0, 0, 1, 1])]
    [[0, 2], [1, 3]]
    """
    count = n_samples("data", data) if hasattr(data, "__len__") else _checks.integer("data", data, minimum=1)
    if _checks.integer("k", k, minimum=2) > count:
        raise InputError(f"k: expected at most one part for each of {count} samples, got {k}")
    classes = np.zeros(count) if labels is None else np.asarray(labels.cpu() if is_tensor(labels) else labels)
    if classes.shape != (count,):
        raise InputError(f"labels: expected one for each of {count} samples, got shape {classes.shape}")
    shuffled = np.random.default_rng(_checks.integer("seed", seed, minimum=0)).permutation(count)
    # Class after class, dealt out like cards.
    dealt = shuffled[np.argsort(classes[shuffled], kind="stable")]
    part = np.empty(count, np.int64)
    part[dealt] = np.arange(count) % k
    return [(np.flatnonzero(part != held_out), np.flatnonzero(part == held_out)) for held_out in range(k)]
