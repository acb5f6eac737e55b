"""CGLS: conjugate gradients for least squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..operators import LinearOperator
from .common import Problem, per_image, refuse, squares

__all__ = ["cgls"]


def cgls(
    A: LinearOperator,
    y: Any,
    *,
    n_iter: int,
    x0: Any = None,
    regularizer: None = None,
    bounds: None = None,
    callback: Callable[[int, Any], object] | None = None,
    progress: bool = False,
    return_info: bool = False,
) -> Any:
    """Reconstruct by conjugate gradients on the normal equations: the least squares solution in few iterations.

    Converges to a minimiser of ``1/2 |A x - y|^2``, the one nearest to `x0`. On noisy data stop early: the number of
    iterations is the regularisation.

    Parameters
    ----------
    A : LinearOperator
        Real or complex.
    y : array_like or torch.Tensor, shape (..., *A.range_shape)
        Measured data. Leading dimensions are independent problems.
    n_iter : int
        Number of iterations, each one A and one A'; fewer are done once the rounding of the precision is reached.
    x0 : array_like, torch.Tensor or Volume, shape (..., *A.domain_shape), optional
        Start, for all of the batch or one each; zero unless given.
    regularizer, bounds : None
        CGLS takes none; use `fista`.
    callback : function, optional
        Called as ``callback(iteration, x)`` after each iteration, counted from 1, with a copy of the image.
    progress : bool
        Show a progress bar.
    return_info : bool
        Also return a `SolverResult`, with the residuals that the recursion carries.

    Returns
    -------
    numpy.ndarray or torch.Tensor, shape (..., *A.domain_shape)
        In the precision of `y`; a tensor (without gradient) if `y` is one, on the same device.

    Raises
    ------
    InputError
        If an entry of `y` is NaN or infinite or a shape does not fit.
    DtypeError
        If an argument has an unusable type.

    References
    ----------
    .. [1] M. Hestenes, E. Stiefel (1952), Methods of conjugate gradients for solving linear systems. J. Res. Natl.
       Bur. Stand. 49:409-436, section 10.

    Examples
    --------
    >>> from spinray.operators import Matrix
    >>> from spinray.solvers import cgls
    >>> cgls(Matrix([[1.0, 0.0], [0.0, 2.0], [0.0, 2.0]]), [1.0, 1.0, 3.0], n_iter=2).round(6)
    array([1., 1.])
    """
    refuse("cgls", regularizer=regularizer, bounds=bounds)
    problem = Problem.of(A, y, x0, n_iter, callback, progress, return_info)
    eps = np.finfo(problem.y.dtype).eps
    data = squares(problem.y)

    x = problem.x0
    residual = problem.residual(x)
    gradient = A.adjoint(residual)
    direction = gradient.copy()
    left, slope = squares(residual), squares(gradient)
    norm = np.zeros(len(x))  # largest |A p|^2 / |p|^2 yet, a lower bound of |A|^2
    problem.record(left, left / 2)
    for k in problem.iterations("cgls"):
        image = A(direction)
        curvature = squares(image)
        norm = np.maximum(norm, _ratio(curvature, squares(direction)))
        # Nothing left but rounding: of the residual, or of its part in the range of A.
        at_work = (left > eps**2 * data) & (slope > eps**2 * norm * left) & (curvature > 0)
        if not at_work.any():
            break
        step = np.where(at_work, _ratio(slope, curvature), 0)
        x += per_image(step, x) * direction
        residual -= per_image(step, residual) * image
        left = squares(residual)
        problem.record(left, left / 2)
        problem.tell(k, x)
        if k < problem.n_iter:
            gradient = A.adjoint(residual)
            before, slope = slope, squares(gradient)
            direction *= per_image(_ratio(slope, before), direction)
            direction += gradient
    return problem.result(x)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a / b, zero where b is."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
