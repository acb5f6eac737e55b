"""What all solvers share: the arguments checked once, the loop that reports, the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _checks, _tensors
from .._progress import progress_bar
from ..errors import DtypeError, InputError
from ..operators import LinearOperator

__all__ = ["Problem", "SolverResult", "inner", "per_image", "refuse", "refuse_complex", "squares"]


@dataclass(frozen=True)
class SolverResult:
    """How a solver got to its image.

    Attributes
    ----------
    n_iter : int
        Iterations done: fewer than asked for where nothing was left to improve.
    residual_norms : numpy.ndarray, shape (n_iter + 1, *batch)
        ``|A x - y|`` of the start and after each iteration.
    objective : numpy.ndarray, shape (n_iter + 1, *batch)
        What the solver minimises, at the same images.
    """

    n_iter: int
    residual_norms: np.ndarray
    objective: np.ndarray


@dataclass
class Problem:
    """A solver's arguments, checked: arrays of one dtype with a flat batch in front."""

    A: LinearOperator
    y: np.ndarray
    x0: np.ndarray
    given: Any
    batch: tuple[int, ...]
    n_iter: int
    callback: Callable[[int, Any], object] | None
    progress: bool
    return_info: bool
    #: Residual norm and objective of each image of the batch, iteration by iteration.
    history: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        A: Any,
        y: Any,
        x0: Any,
        n_iter: int,
        callback: Callable[[int, Any], object] | None,
        progress: bool,
        return_info: bool,
    ) -> Problem:
        """Check the arguments that all solvers have.

        Raises
        ------
        InputError
            If `y` or `x0` holds NaN or infinity or has another shape, or is a tensor that asks for a gradient.
        DtypeError
            If an argument has an unusable type.
        """
        if not isinstance(A, LinearOperator):
            raise DtypeError(
                f"A: expected a LinearOperator, got {type(A).__name__}. Wrap a matrix in spinray.operators.Matrix"
            )
        if callback is not None and not callable(callback):
            raise DtypeError(f"callback: expected a function of (iteration, x), got {callback!r}")
        data = _checks.finite("y", _tensors.entries("y", y))
        batch = _batch("y", data.shape, A.range_shape)
        if A.is_complex:
            data = data.astype(np.result_type(data, np.complex64), copy=False)
        count = int(np.prod(batch, dtype=np.int64))
        image = np.zeros((count, *A.domain_shape), data.dtype)
        if x0 is not None:
            image[:] = _start(A, x0, batch, data.dtype).reshape(image.shape)
        n_iter = _checks.integer("n_iter", n_iter, minimum=1)
        flat = data.reshape(count, *A.range_shape)
        return cls(A, flat, image, y, batch, n_iter, callback, progress, return_info)

    def residual(self, x: np.ndarray) -> np.ndarray:
        """Return y - A x."""
        return np.subtract(self.y, self.A(x))

    def iterations(self, name: str) -> Iterator[int]:
        """Count from 1 to `n_iter` under a progress bar."""
        with progress_bar(name, self.n_iter, enable=self.progress) as report:
            for k in range(1, self.n_iter + 1):
                yield k
                report(k, self.n_iter)

    def record(self, residual_squares: np.ndarray, objective: np.ndarray) -> None:
        """Note |A x - y|^2 and the objective of the current images."""
        self.history.append((np.sqrt(residual_squares), objective))

    def tell(self, k: int, x: np.ndarray) -> None:
        """Call the callback with a copy of the image."""
        if self.callback is not None:
            self.callback(k, self._outward(x.copy()))

    def result(self, x: np.ndarray) -> Any:
        """Return what the solver returns for the images `x`."""
        image = self._outward(x)
        if not self.return_info:
            return image
        norms, objectives = (np.reshape(values, (-1, *self.batch)) for values in zip(*self.history, strict=True))
        return image, SolverResult(len(self.history) - 1, norms, objectives)

    def _outward(self, x: np.ndarray) -> Any:
        """Return images in the shape and kind of array the caller used."""
        return _tensors.like(self.given, x.reshape(*self.batch, *self.A.domain_shape))


def squares(x: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return the sum over each entry of the batch of (weight) |x|^2, in double precision.

    Examples
    --------
    >>> squares(np.array([[3.0, 4.0], [0.0, 2.0]]))
    array([25.,  4.])
    """
    return inner(x if weight is None else weight * x, x)


def inner(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the real part of <x, y> of each entry of the batch, in double precision."""
    return np.array([_dot(a.reshape(-1), b.reshape(-1)) for a, b in zip(x, y, strict=True)], np.float64)


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    if a.dtype.kind == "c":
        return _dot(a.real, b.real) + _dot(a.imag, b.imag)
    return float(np.einsum("i,i->", a, b, dtype=np.float64, casting="same_kind"))


def per_image(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return one number per entry of the batch, in the precision of `like` and in a shape to multiply it with."""
    return values.astype(like.real.dtype).reshape(-1, *(1,) * (like.ndim - 1))


def refuse(solver: str, **arguments: Any) -> None:
    """Raise for arguments that are given but which `solver` has no use for."""
    for name, value in arguments.items():
        if value is not None:
            raise InputError(f"{name}: {solver} takes none, got {value!r}. Use spinray.solvers.fista, which does")


def refuse_complex(solver: str, problem: Problem) -> None:
    """Raise if the problem is complex."""
    if problem.y.dtype.kind == "c":
        raise DtypeError(f"y: {solver} needs real numbers and a real operator, got dtype {problem.y.dtype}")


def _batch(name: str, given: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    n_batch = len(given) - len(shape)
    if n_batch < 0 or given[n_batch:] != shape:
        raise InputError(f"{name}: expected shape {shape} or (..., {str(shape)[1:]}, got {given}")
    return given[:n_batch]


def _start(A: LinearOperator, x0: Any, batch: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return `x0` for every entry of the batch."""
    from ..grid import Volume

    start = _checks.finite("x0", A._volume_entries(x0) if isinstance(x0, Volume) else _tensors.entries("x0", x0))
    own = _batch("x0", start.shape, A.domain_shape)
    if own not in ((), batch):
        raise InputError(f"x0: expected one image or a batch {batch} like y, got a batch {own}")
    if start.dtype.kind == "c" and dtype.kind != "c":
        raise DtypeError(f"x0: expected real numbers like y, got dtype {start.dtype}")
    return np.broadcast_to(start.astype(dtype), batch + A.domain_shape)
