"""Regularisers: what a reconstruction is asked to be besides true to the data, each with its proximal map.

A regulariser R is a convex function of an image. Solvers that take one minimise ``1/2 |A x - y|^2 + R(x)`` and need
its proximal map

    prox(v, step) = argmin_x  1/2 |x - v|^2 + step R(x),    lower <= x <= upper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from . import _checks, _core, _tensors
from .errors import DtypeError, InputError

__all__ = ["TV", "Regularizer", "WarmStart"]


class WarmStart:
    """What a proximal map remembers from one call to the next, for the caller to keep; filled by the first call.

    Calls whose image changes little between them, as in an outer iteration, then need few inner iterations each. It
    starts anew when shape or dtype of the image change, and must not be shared by threads.
    """

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._arrays: tuple[np.ndarray, ...] = ()
        self._filled = False

    def arrays(self, count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[tuple[np.ndarray, ...], bool]:
        """Return `count` arrays of that shape and dtype, and whether they hold what a call has left there."""
        key = (count, shape, dtype)
        if key != self._key:
            self._arrays = tuple(np.empty(shape, dtype) for _ in range(count))
            self._key, self._filled = key, False
        return self._arrays, self._filled

    def fill(self) -> None:
        """Note that the arrays are filled: to be called after a call that was not interrupted."""
        self._filled = True


class Regularizer(Protocol):
    """What solvers ask of a regulariser."""

    def value(self, x: Any, *, ndim: int | None = None) -> Any:
        """Return R(x) of each image of a batch; images have `ndim` axes."""

    def prox(
        self,
        x: Any,
        step: float = 1.0,
        *,
        n_iter: int = 100,
        bounds: tuple[float | None, float | None] | None = None,
        ndim: int | None = None,
        warm_start: WarmStart | None = None,
    ) -> Any:
        """Return the proximal map of ``step`` R at each image of a batch, within `bounds`."""


class ProxInfo(NamedTuple):
    """How a proximal map ended: inner iterations, and duality gap over objective (nan if no tolerance was given)."""

    n_iter: int
    relative_gap: float


class TV:
    """Isotropic total variation: ``weight`` times the sum over voxels of the length of the image's gradient.

    The gradient is made of forward differences to the next voxel along each axis, none across the last face
    (Neumann). With ``weight`` w, ``TV(w).prox(v)`` is the minimiser that ``skimage.restoration.denoise_tv_chambolle(v,
    weight=w)`` approaches.

    Parameters
    ----------
    weight : float
        Weight w >= 0, in units of the image (per unit `spacing` where given).
    spacing : float or sequence of float, optional
        Voxel spacing in mm, in index order like the image's axes (``grid.spacing``): differences are divided by it.
        Unless given they are plain differences between voxels, whatever their shape.

    Raises
    ------
    InputError
        If `weight` is negative or not finite, or a spacing is not positive.

    Notes
    -----
    The proximal map is found by fast gradient projection on the dual [1]_, which respects bounds exactly and gives a
    duality gap; the objective converges like 1/k^2 in the number k of iterations. Results are the same bits for any
    number of threads. Memory beyond the image and the result: 4 images in 2-D, 6 in 3-D.

    References
    ----------
    .. [1] A. Beck, M. Teboulle (2009), Fast gradient-based algorithms for constrained total variation image denoising
       and deblurring problems. IEEE Trans. Image Process. 18:2419-2434.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.regularizers import TV
    >>> tv = TV(0.5)
    >>> tv.value([[0.0, 2.0], [0.0, 2.0]])
    2.0
    >>> tv.prox([[0.0, 2.0], [0.0, 2.0]])
    array([[0.5, 1.5],
           [0.5, 1.5]])
    """

    def __init__(self, weight: float, *, spacing: float | Sequence[float] | None = None) -> None:
        self.weight = _checks.positive("weight", weight, allow_zero=True)
        if spacing is not None and not isinstance(spacing, (int, float)):
            spacing = _checks.per_axis("spacing", spacing, len(spacing), above_zero=True)
        elif spacing is not None:
            spacing = _checks.positive("spacing", spacing)
        self.spacing = spacing

    def __repr__(self) -> str:
        spacing = "" if self.spacing is None else f", spacing={self.spacing}"
        return f"TV({self.weight:g}{spacing})"

    def value(self, x: Any, *, ndim: int | None = None) -> Any:
        """Return ``weight`` TV(x).

        Parameters
        ----------
        x : array_like or torch.Tensor, shape (..., y, x) or (..., z, y, x)
            Images; integers are computed in float32.
        ndim : int, optional
            Axes of an image, 2 or 3; leading axes are a batch. All axes of `x` unless given.

        Returns
        -------
        float or numpy.ndarray
            A float for one image, an array of the batch's shape for a batch; summed in double precision. Not
            differentiable in torch.

        Raises
        ------
        InputError, DtypeError
            If `x` is not an image of real numbers.
        """
        entries = _images("x", x)
        batch, shape = _split(entries.shape, ndim)
        values = _core.tv_value(entries.reshape(math.prod(batch), *shape), self.weight, self._scale(len(shape)))
        return np.reshape(values, batch) if batch else values[0]

    def prox(
        self,
        x: Any,
        step: float = 1.0,
        *,
        n_iter: int = 100,
        tolerance: float | None = None,
        bounds: tuple[float | None, float | None] | None = None,
        ndim: int | None = None,
        warm_start: WarmStart | None = None,
        return_info: bool = False,
    ) -> Any:
        """Return argmin_u 1/2 |u - x|^2 + step weight TV(u), within `bounds`.

        Parameters
        ----------
        x : array_like or torch.Tensor, shape (..., y, x) or (..., z, y, x)
            Images; integers are computed in float32.
        step : float
            Factor of the weight, >= 0.
        n_iter : int
            Number of iterations, at most if there is a tolerance.
        tolerance : float, optional
            Stop an image when the duality gap is at most this fraction of its objective, which bounds its excess
            over the minimum. Looked at every 8 iterations.
        bounds : (lower, upper), optional
            Least and largest value of the result; None on a side for no bound.
        ndim : int, optional
            Axes of an image, 2 or 3; leading axes are a batch. All axes of `x` unless given.
        warm_start : WarmStart, optional
            Kept by the caller: the call starts from where the last one with it ended.
        return_info : bool
            Also return a named tuple ``(n_iter, relative_gap)``, the largest of the batch.

        Returns
        -------
        numpy.ndarray or torch.Tensor, shape of `x`
            In the precision of `x`; a tensor if `x` is one, on the same device.

        Raises
        ------
        InputError
            If `x` holds NaN or infinity, has not 2 or 3 axes without `ndim`, or is a tensor that asks for a
            gradient: the iteration has none (pass ``x.detach()``).
        DtypeError
            If the entries are not real numbers.

        Examples
        --------
        >>> import numpy as np
        >>> from spinray.regularizers import TV
        >>> step = np.r_[np.zeros(3), np.ones(3)] * np.ones((4, 1))
        >>> TV(0.1).prox(step, bounds=(0.1, None), n_iter=500)[0].round(3)
        array([0.1  , 0.1  , 0.1  , 0.967, 0.967, 0.967])
        """
        weight = self.weight * _checks.positive("step", step, allow_zero=True)
        n_iter = _checks.integer("n_iter", n_iter, minimum=1)
        if tolerance is not None:
            tolerance = _checks.positive("tolerance", tolerance, allow_zero=True)
        entries = _checks.finite("x", _images("x", x))
        batch, shape = _split(entries.shape, ndim)
        count = math.prod(batch)
        warm_start = WarmStart() if warm_start is None else warm_start
        (newest, spare), warm = warm_start.arrays(2, (count, *shape[:-1], len(shape), shape[-1]), entries.dtype)
        out = np.empty_like(entries)
        functional = (weight, self._scale(len(shape)), box("bounds", bounds))
        images = entries.reshape(count, *shape)
        ended = _core.tv_prox(images, (newest, spare, warm), out.reshape(images.shape), functional, n_iter, tolerance)
        warm_start.fill()
        info = ProxInfo(*ended)
        result = _tensors.like(x, out)
        return (result, info) if return_info else result

    def _scale(self, ndim: int) -> tuple[float, float, float]:
        """Return the factors of the differences along z, y, x."""
        if self.spacing is None:
            return (1.0, 1.0, 1.0)
        spacing = _checks.per_axis("spacing", self.spacing, ndim, above_zero=True)
        # A 2-D image has no z.
        z, y, x = (1.0,) * (3 - ndim) + tuple(1 / s for s in spacing)
        return (z, y, x)


def box(name: str, bounds: Any) -> tuple[float, float]:
    """Return (lower, upper) as floats, infinite where there is no bound.

    Examples
    --------
    >>> box("bounds", (0, None))
    (0.0, inf)
    """
    if bounds is None:
        return (-math.inf, math.inf)
    if isinstance(bounds, (str, bytes)) or not isinstance(bounds, Sequence) or len(bounds) != 2:
        raise InputError(f"{name}: expected (lower, upper), None for no bound, got {bounds!r}. Non-negative: (0, None)")
    free = (-math.inf, math.inf)
    lower, upper = (
        absent if bound is None or bound == absent else _checks.number(f"{name}[{side}]", bound)
        for side, (bound, absent) in enumerate(zip(bounds, free, strict=True))
    )
    if lower > upper:
        raise InputError(f"{name}: expected lower <= upper, got {bounds!r}")
    return (lower, upper)


def _images(name: str, x: Any) -> np.ndarray:
    """Return the entries of an array or tensor, real."""
    entries = _tensors.entries(name, x)
    if entries.dtype.kind == "c":
        raise DtypeError(
            f"{name}: expected real numbers, got dtype {entries.dtype}. Regularise real and imaginary part"
        )
    return entries


def _split(shape: tuple[int, ...], ndim: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of batch and image."""
    if ndim is None:
        ndim = len(shape)
        hint = ". For a batch of images, pass ndim"
    else:
        ndim, hint = _checks.integer("ndim", ndim), ""
    if ndim not in (2, 3):
        raise InputError(f"{'ndim' if not hint else 'x'}: expected images of 2 or 3 axes, got {ndim}{hint}")
    batch, image = shape[: max(len(shape) - ndim, 0)], shape[-ndim:]
    if len(image) < ndim or 0 in image:
        raise InputError(f"x: expected at least one voxel along each of {ndim} axes, got shape {shape}")
    return batch, image
