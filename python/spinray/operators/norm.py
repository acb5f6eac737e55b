"""The spectral norm by power iteration."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _checks
from ..errors import DtypeError
from .linear import LinearOperator

__all__ = ["spectral_norm"]


def spectral_norm(A: LinearOperator, tolerance: float, n_iter: int, seed: int, dtype: Any) -> float:
    """See `LinearOperator.norm`."""
    tolerance = _checks.positive("tolerance", tolerance)
    n_iter = _checks.integer("n_iter", n_iter, minimum=1)
    precision = np.dtype(dtype)
    if precision not in (np.float32, np.float64):
        raise DtypeError(f"dtype: expected float32 or float64, got {precision}")
    v = _start(A, seed).astype(np.result_type(precision, np.complex64) if A.is_complex else precision)
    estimate = 0.0
    for _ in range(n_iter):
        v /= _length(v)
        w = A(v)
        before, estimate = estimate, _length(w)
        # Also ends on zero and on NaN, which no further step would change.
        if not abs(estimate - before) > tolerance * estimate:
            break
        v = A.adjoint(w)
    return estimate


def _start(A: LinearOperator, seed: int) -> np.ndarray:
    """Return noise on a constant: the constant is near the leading singular vector of non-negative operators."""
    rng = np.random.default_rng(seed)
    start = 1 + rng.standard_normal(A.domain_shape, np.float32)
    return start + 1j * rng.standard_normal(A.domain_shape, np.float32) if A.is_complex else start


def _length(x: np.ndarray) -> float:
    """Return the Euclidean length, summed in double."""
    parts = x.view(x.real.dtype).ravel()
    return math.sqrt(float(np.einsum("i,i->", parts, parts, dtype=np.float64, casting="same_kind")))
