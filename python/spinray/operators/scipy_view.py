"""An operator as SciPy's solvers want it: a linear map between flat vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse.linalg

from .linear import LinearOperator

__all__ = ["ScipyView"]


class ScipyView(scipy.sparse.linalg.LinearOperator):
    """The operator on vectors flattened in C order; a matrix of columns is one batched call."""

    def __init__(self, operator: LinearOperator, dtype: Any) -> None:
        if operator.is_complex:
            dtype = np.result_type(dtype, np.complex64)
        shape = (math.prod(operator.range_shape), math.prod(operator.domain_shape))
        super().__init__(dtype=dtype, shape=shape)
        self._operator = operator

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return self._operator(x.reshape(self._operator.domain_shape)).ravel()

    def _rmatvec(self, x: np.ndarray) -> np.ndarray:
        return self._operator.adjoint(x.reshape(self._operator.range_shape)).ravel()

    def _matmat(self, X: np.ndarray) -> np.ndarray:
        columns = X.T.reshape(-1, *self._operator.domain_shape)
        return self._operator(columns).reshape(len(columns), -1).T

    def _rmatmat(self, X: np.ndarray) -> np.ndarray:
        columns = X.T.reshape(-1, *self._operator.range_shape)
        return self._operator.adjoint(columns).reshape(len(columns), -1).T
