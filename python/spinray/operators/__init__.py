"""Linear operators: what every scanner model is, and the algebra that combines them.

`LinearOperator` is the base of every projector; `Matrix` and `Identity` are the two plain ones, `vstack` puts
operators on top of each other. NumPy arrays give NumPy arrays, torch tensors give torch tensors with gradients.
"""

from __future__ import annotations

from .algebra import vstack
from .linear import LinearOperator
from .matrix import Identity, Matrix

__all__ = ["Identity", "LinearOperator", "Matrix", "vstack"]
