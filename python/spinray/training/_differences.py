"""Where two state dicts differ."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

__all__ = ["first_difference"]


def first_difference(saved: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Say which the first key is that two state dicts do not share, or have in different shapes; '' if none.

    Examples
    --------
    >>> import torch
    >>> first_difference({"a": torch.zeros(2)}, {"a": torch.zeros(3)})
    "'a' has shape (2,) in the file, (3,) in the network"
    """
    for there, here in itertools.zip_longest(saved, own):
        if there != here:
            return f"the first key that differs is {there!r} in the file, {here!r} in the network"
        shapes = [tuple(getattr(states[here], "shape", ())) for states in (saved, own)]
        if shapes[0] != shapes[1]:
            return f"{here!r} has shape {shapes[0]} in the file, {shapes[1]} in the network"
    return ""
