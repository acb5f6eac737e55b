"""FISTA: accelerated proximal gradients for least squares with a regulariser and bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _checks
from ..errors import DtypeError, InputError
from ..operators import LinearOperator
from ..regularizers import Regularizer, WarmStart, box
from .common import Problem, inner, per_image, refuse_complex, squares

__all__ = ["fista"]

#: |A|^2 is estimated from below.
_MARGIN = 1.05


def fista(
    A: LinearOperator,
    y: Any,
    *,
    n_iter: int,
    x0: Any = None,
    regularizer: Regularizer | None = None,
    bounds: tuple[float | None, float | None] | None = None,
    step: float | None = None,
    restart: bool = True,
    inner_iter: int = 10,
    callback: Callable[[int, Any], object] | None = None,
    progress: bool = False,
    return_info: bool = False,
) -> Any:
    """Reconstruct by FISTA: the minimiser of ``1/2 |A x - y|^2 + R(x)`` within bounds.

    Each iteration is a gradient step of the data term, then the proximal map of the regulariser R, from an image
    extrapolated by Nesterov's momentum.

    Parameters
    ----------
    A : LinearOperator
        Real; complex ones without regulariser and bounds.
    y : array_like or torch.Tensor, shape (..., *A.range_shape)
        Measured data, for CT line integrals. Leading dimensions are independent problems.
    n_iter : int
        Number of iterations; each costs one A, one A' and one proximal map.
    x0 : array_like, torch.Tensor or Volume, shape (..., *A.domain_shape), optional
        Start, for all of the batch or one each; zero unless given.
    regularizer : Regularizer, optional
        R, for example ``spinray.regularizers.TV(weight)``.
    bounds : (lower, upper), optional
        Least and largest value of the image; None on a side for no bound. Non-negative: ``(0, None)``.
    step : float, optional
        Step of the gradient, at most 1 / |A|^2; found by ``A.norm()`` (some products with A and A') unless given.
    restart : bool
        Drop the momentum of an image whenever it points uphill (O'Donoghue & Candes): rarely slower, often much
        faster towards the end.
    inner_iter : int
        Iterations of an iterative proximal map; each starts from where the last one ended.
    callback : function, optional
        Called as ``callback(iteration, x)`` after each iteration, counted from 1, with a copy of the image.
    progress : bool
        Show a progress bar.
    return_info : bool
        Also return a `SolverResult`; costs one evaluation of R per iteration.

    Returns
    -------
    numpy.ndarray or torch.Tensor, shape (..., *A.domain_shape)
        In the precision of `y`; a tensor (without gradient) if `y` is one, on the same device.

    Raises
    ------
    InputError
        If an entry of `y` is NaN or infinite, a shape does not fit, or a `step` too large makes the iteration diverge.
    DtypeError
        If an argument has an unusable type.

    Notes
    -----
    Memory beyond the result: 4 images, 3 arrays like `y`, and what the proximal map takes.

    References
    ----------
    .. [1] A. Beck, M. Teboulle (2009), A fast iterative shrinkage-thresholding algorithm for linear inverse problems.
       SIAM J. Imaging Sci. 2:183-202.
    .. [2] B. O'Donoghue, E. Candes (2015), Adaptive restart for accelerated gradient schemes. Found. Comput. Math.
       15:715-732, gradient scheme.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.operators import Identity
    >>> from spinray.regularizers import TV
    >>> from spinray.solvers import fista
    >>> fista(Identity((2, 2)), [[0.0, 2.0], [0.0, 2.0]], n_iter=100, regularizer=TV(0.5)).round(4)
    array([[0.5, 1.5],
           [0.5, 1.5]])
    """
    lower, upper = box("bounds", bounds)
    inner_iter = _checks.integer("inner_iter", inner_iter, minimum=1)
    problem = Problem.of(A, y, x0, n_iter, callback, progress, return_info)
    if regularizer is not None or bounds is not None:
        refuse_complex("fista with bounds or regularizer", problem)
    if regularizer is not None and not (hasattr(regularizer, "prox") and hasattr(regularizer, "value")):
        raise DtypeError(f"regularizer: expected one of spinray.regularizers, got {regularizer!r}")
    step = _step(A) if step is None else _checks.positive("step", step)
    ndim, warm_start = len(A.domain_shape), WarmStart()

    def prox(v: np.ndarray) -> np.ndarray:
        if regularizer is not None:
            limits = (lower, upper)
            return regularizer.prox(v, step, n_iter=inner_iter, bounds=limits, ndim=ndim, warm_start=warm_start)
        return v if bounds is None else np.clip(v, lower, upper, out=v)

    def record(x: np.ndarray, left: np.ndarray) -> None:
        if return_info:
            penalty = 0 if regularizer is None else regularizer.value(x, ndim=ndim)
            problem.record(left, left / 2 + penalty)

    x = problem.x0 if bounds is None else np.clip(problem.x0, lower, upper)
    # A is linear: what A makes of an extrapolated image is extrapolated too, and the residual of x comes for free.
    Ax = A(x)
    x_before, Ax_before = x, Ax
    t = np.ones(len(x))
    record(x, squares(Ax - problem.y))
    for k in problem.iterations("fista"):
        t_next = (1 + np.sqrt(1 + 4 * t**2)) / 2
        beta = (t - 1) / t_next
        z = x + per_image(beta, x) * (x - x_before)
        residual = Ax + per_image(beta, Ax) * (Ax - Ax_before)
        residual -= problem.y
        gradient = A.adjoint(residual)
        gradient *= -step
        gradient += z
        x_before, Ax_before = x, Ax
        x = prox(gradient)
        Ax = A(x)
        left = squares(Ax - problem.y)
        if not np.isfinite(left).all():
            raise InputError(f"step: iteration {k} overflowed with step {step:g}. Leave step out, or lower it")
        if restart:
            t_next = np.where(inner(z - x, x - x_before) > 0, 1.0, t_next)
        t = t_next
        record(x, left)
        problem.tell(k, x)
    return problem.result(x)


def _step(A: LinearOperator) -> float:
    """Return a step of the gradient that descends."""
    norm = A.norm(tolerance=1e-3)
    return 1 / (_MARGIN * norm**2) if norm > 0 else 1.0
