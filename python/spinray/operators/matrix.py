"""The plain operators: a matrix, dense or sparse, and the identity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _checks
from ..errors import InputError
from .linear import LinearOperator

__all__ = ["Identity", "Matrix"]


class Identity(LinearOperator):
    """The identity on arrays of one shape.

    Parameters
    ----------
    shape : tuple of int
        Shape of domain and range.

    Examples
    --------
    >>> from spinray.operators import Identity
    >>> (3 * Identity((2,)))([1.0, 2.0])
    array([3., 6.])
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.domain_shape = self.range_shape = _checks.shape("shape", shape)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        # A copy: writing to a result must never change the input.
        return x.copy()

    def _adjoint(self, y: np.ndarray) -> np.ndarray:
        return y.copy()


class Matrix(LinearOperator):
    """A dense or sparse matrix as an operator between arrays: a system matrix of another program, or a small example.

    Parameters
    ----------
    matrix : array_like or scipy.sparse matrix, shape (m, n)
        Real or complex entries. Products are computed in the precision of the input.
    domain_shape, range_shape : tuple of int, optional
        Shapes with n and m entries, flattened in C order; ``(n,)`` and ``(m,)`` unless given.

    Raises
    ------
    InputError
        If `matrix` is not two-dimensional or a shape has another number of entries.
    DtypeError
        If the entries are not numbers.

    Examples
    --------
    >>> from spinray.operators import Matrix
    >>> A = Matrix([[1.0, 2.0], [0.0, 1.0], [1.0, 0.0]])
    >>> A([1.0, 1.0]), A.adjoint([1.0, 1.0, 1.0])
    (array([3., 1., 1.]), array([2., 3.]))
    """

    _transient = ("_in_dtype",)

    def __init__(
        self, matrix: Any, domain_shape: tuple[int, ...] | None = None, range_shape: tuple[int, ...] | None = None
    ) -> None:
        if hasattr(matrix, "tocsr"):
            _checks.working_dtype("matrix", matrix.dtype)
            self._matrix = matrix.tocsr()
        else:
            self._matrix = _checks.array("matrix", matrix)
        if self._matrix.ndim != 2:
            raise InputError(f"matrix: expected two dimensions (m, n), got shape {self._matrix.shape}")
        m, n = self._matrix.shape
        self.domain_shape = _shape_of("domain_shape", domain_shape, n)
        self.range_shape = _shape_of("range_shape", range_shape, m)
        self.is_complex = self._matrix.dtype.kind == "c"

    def _cast(self, dtype: np.dtype[Any]) -> Any:
        """Return the matrix in that dtype, kept for the next call."""
        cache = self.__dict__.setdefault("_in_dtype", {})
        if dtype not in cache:
            cache[dtype] = self._matrix.astype(dtype)
        return cache[dtype]

    def _forward(self, x: np.ndarray) -> np.ndarray:
        product = self._cast(x.dtype) @ x.reshape(len(x), -1).T
        return np.ascontiguousarray(product.T).reshape(len(x), *self.range_shape)

    def _adjoint(self, y: np.ndarray) -> np.ndarray:
        product = self._cast(y.dtype).conj().T @ y.reshape(len(y), -1).T
        return np.ascontiguousarray(product.T).reshape(len(y), *self.domain_shape)


def _shape_of(name: str, shape: tuple[int, ...] | None, size: int) -> tuple[int, ...]:
    if shape is None:
        return (size,)
    result = _checks.shape(name, shape)
    if math.prod(result) != size:
        raise InputError(f"{name}: expected a shape of {size} entries, got {result} with {math.prod(result)}")
    return result
