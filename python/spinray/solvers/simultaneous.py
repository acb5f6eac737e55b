"""SIRT: simultaneous iterative reconstruction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _checks
from ..errors import InputError
from ..operators import LinearOperator
from ..regularizers import box
from .common import Problem, refuse, refuse_complex, squares

__all__ = ["sirt"]


def sirt(
    A: LinearOperator,
    y: Any,
    *,
    n_iter: int,
    x0: Any = None,
    regularizer: None = None,
    bounds: tuple[float | None, float | None] | None = None,
    relaxation: float = 1.0,
    callback: Callable[[int, Any], object] | None = None,
    progress: bool = False,
    return_info: bool = False,
) -> Any:
    """Reconstruct by SIRT, x <- x + relaxation C A' R (y - A x).

    R and C hold the inverse row and column sums of A (zero for rays that miss the image and voxels that no ray meets).
    The iteration converges to a minimiser of the weighted least squares ``1/2 sum R (A x - y)^2`` within the bounds;
    stopped early it is the smooth part of it.

    Parameters
    ----------
    A : LinearOperator
        With non-negative entries, as projectors have; the row and column sums are ``A(1)`` and ``A.adjoint(1)``.
    y : array_like or torch.Tensor, shape (..., *A.range_shape)
        Measured data, for CT line integrals. Leading dimensions are independent problems.
    n_iter : int
        Number of iterations; each costs one A and one A'.
    x0 : array_like, torch.Tensor or Volume, shape (..., *A.domain_shape), optional
        Start, for all of the batch or one each; zero unless given.
    regularizer : None
        SIRT takes none; use `fista`.
    bounds : (lower, upper), optional
        Least and largest value of the image; None on a side for no bound. Non-negative: ``(0, None)``.
    relaxation : float
        Step, between 0 and 2 (exclusive).
    callback : function, optional
        Called as ``callback(iteration, x)`` after each iteration, counted from 1, with a copy of the image.
    progress : bool
        Show a progress bar.
    return_info : bool
        Also return a `SolverResult`, whose objective is the weighted one; costs one more A.

    Returns
    -------
    numpy.ndarray or torch.Tensor, shape (..., *A.domain_shape)
        In the precision of `y`; a tensor (without gradient) if `y` is one, on the same device.

    Raises
    ------
    InputError
        If an entry of `y` is NaN or infinite, a shape does not fit, or A has negative row or column sums.
    DtypeError
        If an argument has an unusable type.

    References
    ----------
    .. [1] J. Gregor, T. Benson (2008), Computational analysis and improvement of SIRT. IEEE Trans. Med. Imaging
       27:918-924.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.operators import Matrix
    >>> from spinray.solvers import sirt
    >>> sirt(Matrix([[1.0, 1.0], [0.0, 2.0]]), [3.0, 4.0], n_iter=200).round(4)
    array([1., 2.])
    """
    refuse("sirt", regularizer=regularizer)
    relaxation = _checks.positive("relaxation", relaxation)
    if relaxation >= 2:
        raise InputError(f"relaxation: expected a number between 0 and 2, got {relaxation}; SIRT diverges beyond")
    lower, upper = box("bounds", bounds)
    problem = Problem.of(A, y, x0, n_iter, callback, progress, return_info)
    refuse_complex("sirt", problem)
    weights = _inverse_sums(A(np.ones(A.domain_shape, problem.y.dtype)))
    step = relaxation * _inverse_sums(A.adjoint(np.ones(A.range_shape, problem.y.dtype)))

    x = np.clip(problem.x0, lower, upper)
    residual = problem.residual(x)
    _record(problem, residual, weights)
    for k in problem.iterations("sirt"):
        residual *= weights
        x += step * A.adjoint(residual)
        np.clip(x, lower, upper, out=x)
        problem.tell(k, x)
        if k < problem.n_iter or return_info:
            residual = problem.residual(x)
            _record(problem, residual, weights)
    return problem.result(x)


def _record(problem: Problem, residual: np.ndarray, weights: np.ndarray) -> None:
    if problem.return_info:
        problem.record(squares(residual), squares(residual, weights) / 2)


def _inverse_sums(sums: np.ndarray) -> np.ndarray:
    """Return 1 / sums, zero where a row or column is empty up to rounding."""
    rounding = np.finfo(sums.dtype).eps * max(float(np.max(np.abs(sums))), np.finfo(sums.dtype).tiny)
    if np.min(sums) < -rounding:
        raise InputError(
            "A: sirt needs non-negative entries, but a sum of rows or columns is negative. Use cgls or fista"
        )
    return np.divide(1, sums, out=np.zeros_like(sums), where=sums > rounding)
