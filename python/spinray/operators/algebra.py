"""Operators made of operators: adjoint, composition, sum, multiple and stack.

Their ``_forward`` and ``_adjoint`` also see torch tensors, when ``torch.compile`` traces through them to their parts.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import DtypeError, InputError
from .linear import LinearOperator

__all__ = ["Adjoint", "Composition", "Scaled", "Stack", "Sum", "vstack"]


class Expression(LinearOperator):
    """An operator made of others.

    It is not in the table of living operators: ``torch.compile`` can thus make one inside a traced function.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make the object, and no more."""
        return object.__new__(cls)

    @property
    def _address(self) -> tuple[str, bool] | None:
        return None


class Adjoint(Expression):
    """The adjoint A' of an operator."""

    _input_name = "y"
    _method_name = "_adjoint"

    def __init__(self, operator: LinearOperator) -> None:
        self._operator = operator
        self.domain_shape, self.range_shape = operator.range_shape, operator.domain_shape
        self.is_complex = operator.is_complex

    @property
    def _description(self) -> str:
        return f"{self._operator._description} adjoint"

    @property
    def H(self) -> LinearOperator:
        """The operator this is the adjoint of."""
        return self._operator

    @property
    def _address(self) -> tuple[str, bool] | None:
        address = self._operator._address
        return address and (address[0], not address[1])

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return self._operator._adjoint(x)

    def _adjoint(self, y: np.ndarray) -> np.ndarray:
        return self._operator._forward(y)

    def __repr__(self) -> str:
        return f"{self._operator!r}.H"


class Composition(Expression):
    """``outer @ inner``: applies `inner`, then `outer`."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        if outer.domain_shape != inner.range_shape:
            raise InputError(
                f"A @ B: expected B's range to be A's domain, got {outer!r} after {inner!r}: "
                f"{inner.range_shape} is not {outer.domain_shape}"
            )
        self._outer, self._inner = outer, inner
        self.domain_shape, self.range_shape = inner.domain_shape, outer.range_shape
        self.is_complex = outer.is_complex or inner.is_complex

    @property
    def grid(self) -> object:
        """The grid of the operator that sees the input, or None."""
        return getattr(self._inner, "grid", None)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return self._outer._apply(self._inner._apply(x))

    def _adjoint(self, y: np.ndarray) -> np.ndarray:
        return self._inner.H._apply(self._outer.H._apply(y))


class Sum(Expression):
    """``first + second``."""

    def __init__(self, first: LinearOperator, second: LinearOperator) -> None:
        if (first.domain_shape, first.range_shape) != (second.domain_shape, second.range_shape):
            raise InputError(f"A + B: expected operators of the same shapes, got {first!r} and {second!r}")
        self._first, self._second = first, second
        self.domain_shape, self.range_shape = first.domain_shape, first.range_shape
        self.is_complex = first.is_complex or second.is_complex

    @property
    def grid(self) -> object:
        """The grid of the terms, or None."""
        return getattr(self._first, "grid", None)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return self._first._apply(x) + self._second._apply(x)

    def _adjoint(self, y: np.ndarray) -> np.ndarray:
        return self._first.H._apply(y) + self._second.H._apply(y)


class Scaled(Expression):
    """``factor * operator``."""

    def __init__(self, factor: complex, operator: LinearOperator) -> None:
        self._factor, self._operator = factor, operator
        self.domain_shape, self.range_shape = operator.domain_shape, operator.range_shape
        self.is_complex = operator.is_complex or isinstance(factor, complex)

    @property
    def grid(self) -> object:
        """The grid of the operator, or None."""
        return getattr(self._operator, "grid", None)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return self._operator._apply(x) * self._factor

    def _adjoint(self, y: np.ndarray) -> np.ndarray:
        return self._operator.H._apply(y) * self._factor.conjugate()


class Stack(Expression):
    """Operators on one domain, one on top of the other; made by `vstack`."""

    def __init__(self, operators: tuple[LinearOperator, ...]) -> None:
        self._operators = operators
        self.domain_shape = operators[0].domain_shape
        self.is_complex = any(operator.is_complex for operator in operators)
        shapes = [operator.range_shape for operator in operators]
        if all(shape and shape[1:] == shapes[0][1:] for shape in shapes):
            self.range_shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
        else:
            self.range_shape = (sum(math.prod(shape) for shape in shapes),)

    @property
    def grid(self) -> object:
        """The grid of the operators, or None."""
        return getattr(self._operators[0], "grid", None)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        joined = np.concatenate if isinstance(x, np.ndarray) else sys.modules["torch"].cat
        parts = [operator._apply(x) for operator in self._operators]
        return joined([part.reshape(len(x), -1, *self.range_shape[1:]) for part in parts], 1)

    def _adjoint(self, y: np.ndarray) -> np.ndarray:
        terms, start, per_row = [], 0, math.prod(self.range_shape[1:])
        for operator in self._operators:
            stop = start + math.prod(operator.range_shape) // per_row
            # A slice of a batch is not contiguous, which kernels want; a traced tensor is made so by the call itself.
            part = y[:, start:stop].reshape(len(y), *operator.range_shape)
            terms.append(operator.H._apply(np.ascontiguousarray(part) if isinstance(part, np.ndarray) else part))
            start = stop
        return sum(terms[1:], terms[0])


def vstack(operators: Iterable[LinearOperator]) -> LinearOperator:
    """Put operators on one domain on top of each other: the input goes to each, the outputs are joined.

    Parameters
    ----------
    operators
        At least one operator; all share `domain_shape`.

    Returns
    -------
    LinearOperator
        Outputs that agree in all but their first dimension (views of one scanner) are joined along the first.
        Others are flattened and joined into one vector.

    Raises
    ------
    InputError
        If there are none, or their domains differ.
    DtypeError
        If one is no operator.

    Examples
    --------
    >>> from spinray.operators import Identity, Matrix, vstack
    >>> vstack([Matrix([[1.0, 1.0]]), 0.5 * Identity((2,))])([2.0, 4.0])
    array([6., 1., 2.])
    """
    parts = tuple(operators)
    if not parts:
        raise InputError("operators: expected at least one operator, got none")
    for part in parts:
        if not isinstance(part, LinearOperator):
            raise DtypeError(f"operators: expected LinearOperators, got {type(part).__name__}")
        if part.domain_shape != parts[0].domain_shape:
            raise InputError(f"operators: expected operators on one domain, got {parts[0]!r} and {part!r}")
    return Stack(parts)
