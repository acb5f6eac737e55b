"""`LinearOperator`: the one interface between scanner models, solvers, SciPy and torch."""

from __future__ import annotations

import contextlib
import itertools
import math
import numbers
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from .. import _checks
from ..errors import DtypeError, InputError

if TYPE_CHECKING:
    import scipy.sparse.linalg
    import torch

    from ..grid import Volume

__all__ = ["LinearOperator", "current_progress"]

_Operator = TypeVar("_Operator", bound="LinearOperator")

#: Handles differ between processes: torch keeps compiled graphs on disk, where one must not meet another operator.
_handles = map(f"{os.urandom(8).hex()}-{{}}".format, itertools.count())
#: Operators alive in this process by handle: what a compiled torch graph, which can only hold strings, refers to.
_alive: weakref.WeakValueDictionary[str, LinearOperator] = weakref.WeakValueDictionary()

_progress: ContextVar[Callable[[int, int], None] | None] = ContextVar("spinray_progress", default=None)


def current_progress() -> Callable[[int, int], None] | None:
    """Return the callback of the running ``A(x, progress=True)``, for an operator to hand to its kernel, or None."""
    return _progress.get()


@contextlib.contextmanager
def _reporting(name: str, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    from .._progress import progress_bar

    with progress_bar(name) as report:
        token = _progress.set(report)
        try:
            yield
        finally:
            _progress.reset(token)


def is_tensor(x: Any) -> bool:
    """Tell whether `x` is a torch tensor, without importing torch: whoever made a tensor has imported it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _python_number(value: Any) -> complex | None:
    """Return a number as float or complex, which do not change the dtype of what they multiply; None for the rest."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if not isinstance(value, numbers.Complex):
        return None
    # np.complex64 is no Python complex, but has a dtype that tells.
    is_complex = isinstance(value, complex) or getattr(value, "dtype", np.dtype(float)).kind == "c"
    return complex(value) if is_complex else complex(value).real


class LinearOperator:
    """A linear map from arrays of shape `domain_shape` to arrays of shape `range_shape`, with its exact adjoint.

    A subclass sets `domain_shape` and `range_shape` and defines ``_forward(x)`` and ``_adjoint(y)``. Each gets a
    C-contiguous array of shape ``(n, *shape)``, float32 or float64 (complex64 or complex128 where the class sets
    ``is_complex``), which it must not write to, and returns a new array of the same dtype and length n.

    Calling the operator does the rest:

    - float64 and complex128 are computed and returned in double; integers, booleans and half precision become
      float32; strings and objects raise. Arrays with strides of any sign are accepted.
    - Leading batch dimensions are kept: an input of shape ``(a, b, *domain_shape)`` gives ``(a, b, *range_shape)``.
    - A real operator acts on the real and the imaginary part of complex input.
    - NaN and infinity are propagated.
    - torch tensors give tensors on the same device, computed on the CPU, with gradients of every order and mode
      (``backward``, ``torch.func``, ``torch.compile``).
    - A `spinray.Volume` is accepted where the operator has a ``grid``: its voxels must be those of that grid.

    Attributes
    ----------
    domain_shape, range_shape : tuple of int
        Shapes of x and of A(x), batch dimensions left out.
    is_complex : bool
        Whether the entries of the operator are complex; real input is then promoted to complex.

    Notes
    -----
    The adjoint is with respect to the plain dot product <x, y> = sum conj(x) y of arrays. Operators are immutable,
    can be copied and pickled; names listed in ``_transient`` (a native object kept between calls) are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.operators import LinearOperator
    >>> class Differences(LinearOperator):
    ...     def __init__(self, n):
    ...         self.domain_shape, self.range_shape = (n,), (n - 1,)
    ...
    ...     def _forward(self, x):
    ...         return x[:, 1:] - x[:, :-1]
    ...
    ...     def _adjoint(self, y):
    ...         return -np.diff(y, prepend=0, append=0)
    >>> D = Differences(4)
    >>> D([1.0, 2.0, 4.0, 8.0])
    array([1., 2., 4.])
    >>> (D.H @ D)([0.0, 1.0, 3.0, 4.0])
    array([-1., -1.,  1.,  1.])
    """

    domain_shape: tuple[int, ...]
    range_shape: tuple[int, ...]
    is_complex: bool = False
    _handle: str

    #: Attributes left out of copies and pickles: native objects and caches, made anew when needed.
    _transient: tuple[str, ...] = ("_native",)

    #: Lets NumPy's operators give way, so that ``numpy_scalar * A`` reaches `__rmul__`.
    __array_ufunc__ = None

    def __new__(cls: type[_Operator], *args: Any, **kwargs: Any) -> _Operator:
        """Enter the new operator in the table of living ones."""
        self = super().__new__(cls)
        self._handle = next(_handles)
        _alive[self._handle] = self
        return self

    # What a subclass defines.

    def _forward(self, x: np.ndarray) -> np.ndarray:
        """Apply A to each of the n arrays of `x`, shape (n, *domain_shape)."""
        raise NotImplementedError(f"{type(self).__name__} defines no _forward")

    def _adjoint(self, y: np.ndarray) -> np.ndarray:
        """Apply the adjoint to each of the n arrays of `y`, shape (n, *range_shape)."""
        raise NotImplementedError(f"{type(self).__name__} defines no _adjoint")

    def _capsule(self) -> Any:
        """Return the C interface of the kernel, where calling the operator is calling its kernel; else None."""
        return None

    def _volume_entries(self, volume: Volume) -> np.ndarray:
        """Return the data of `volume` in this operator's voxel order, or an error if it lies on another grid."""
        grid = getattr(self, "grid", None)
        if grid is None:
            raise DtypeError(f"x: {type(self).__name__} knows no grid to compare the volume's with. Pass volume.data")
        return volume.values_on(grid)

    # Application.

    @overload
    def __call__(self, x: torch.Tensor, *, progress: bool = ...) -> torch.Tensor: ...
    @overload
    def __call__(self, x: Any, *, progress: bool = ...) -> np.ndarray: ...
    def __call__(self, x: Any, *, progress: bool = False) -> Any:
        """Return A x.

        Parameters
        ----------
        x : array_like, torch.Tensor or Volume, shape (..., *domain_shape)
            Any number of leading batch dimensions.
        progress : bool
            Show a progress bar of the kernel.

        Returns
        -------
        numpy.ndarray or torch.Tensor, shape (..., *range_shape)
            In the precision of `x`; a tensor if `x` is one, on the same device.

        Raises
        ------
        InputError
            If the shape does not end in `domain_shape`, or a volume lies on another grid.
        DtypeError
            If the entries are not numbers.
        """
        if is_tensor(x):
            from . import torch_bridge

            if torch_bridge.is_compiling():
                from . import torch_compile

                return torch_compile.apply(self, x)
            with _reporting(self._description, progress):
                return torch_bridge.apply(self, x)
        with _reporting(self._description, progress):
            return self._apply_to_array(x)

    @overload
    def adjoint(self, y: torch.Tensor, *, progress: bool = ...) -> torch.Tensor: ...
    @overload
    def adjoint(self, y: Any, *, progress: bool = ...) -> np.ndarray: ...
    def adjoint(self, y: Any, *, progress: bool = False) -> Any:
        """Return A' y for `y` of shape (..., *range_shape): the same as ``A.H(y)``."""
        return self.H(y, progress=progress)

    def _apply_to_array(self, x: Any) -> np.ndarray:
        """Do `__call__` for everything that is not a tensor."""
        from ..grid import Volume

        if isinstance(x, Volume):
            x = self._volume_entries(x)
        entries = _checks.array(self._input_name, x)
        if self.is_complex and entries.dtype.kind != "c":
            entries = entries.astype(np.result_type(entries, np.complex64))
        batch = self._batch_shape(entries.shape)
        result = self._apply(entries.reshape(math.prod(batch), *self.domain_shape))
        # C order, as promised: a grid with flipped axes gives a view that torch, for one, would refuse.
        return np.ascontiguousarray(result).reshape(*batch, *self.range_shape)

    @property
    def _address(self) -> tuple[str, bool] | None:
        """What a compiled torch graph refers to this operator by: a handle, and whether the adjoint is meant.

        None for an expression, whose parts have addresses.
        """
        return self._handle, False

    @property
    def _description(self) -> str:
        """What a progress bar calls this operator."""
        return type(self).__name__

    #: What error messages call the argument of a call.
    _input_name = "x"

    def _batch_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the leading dimensions of an input of that shape."""
        n_batch = len(shape) - len(self.domain_shape)
        if n_batch < 0 or tuple(shape[n_batch:]) != self.domain_shape:
            message = f"{self._input_name}: expected shape {self.domain_shape} or (..., {str(self.domain_shape)[1:]}"
            raise InputError(f"{message} for {self!r}, got {tuple(shape)}")
        return tuple(shape[:n_batch])

    def _apply(self, x: Any) -> np.ndarray:
        """Do `_forward` for contiguous arrays of shape (n, *domain_shape), real or complex, and for traced tensors."""
        if not isinstance(x, np.ndarray):
            from . import torch_compile

            traced: Any = torch_compile.apply_to_batch(self, x)
            return traced
        if x.dtype.kind == "c" and not self.is_complex:
            parts = self._apply(np.concatenate([x.real, x.imag]))
            result = np.empty((len(x), *self.range_shape), x.dtype)
            result.real, result.imag = parts[: len(x)], parts[len(x) :]
            return result
        expected = (len(x), *self.range_shape)
        if x.size == 0:
            return np.zeros(expected, x.dtype)
        result = self._forward(x)
        if result.shape != expected or result.dtype != x.dtype:
            raise InputError(
                f"{self!r}: its {self._method_name} returned {result.dtype} of shape {result.shape}, "
                f"expected {x.dtype} of shape {expected}"
            )
        return result

    #: What error messages call the method behind `_forward`.
    _method_name = "_forward"

    # Algebra.

    @property
    def H(self) -> LinearOperator:
        """The adjoint as an operator; ``A.H.H is A``."""
        from .algebra import Adjoint

        return Adjoint(self)

    def gram(self) -> LinearOperator:
        """Return the normal operator A' A."""
        from .algebra import Composition

        # Not self.H @ self: torch.compile traces calls, but not the operator @ between objects.
        return Composition(self.H, self)

    @overload
    def __matmul__(self, other: LinearOperator) -> LinearOperator: ...
    @overload
    def __matmul__(self, other: torch.Tensor) -> torch.Tensor: ...
    @overload
    def __matmul__(self, other: Any) -> np.ndarray: ...
    def __matmul__(self, other: Any) -> Any:
        """Return the operator that applies `other` and then this one; for arrays, ``A @ x`` is ``A(x)``."""
        if not isinstance(other, LinearOperator):
            return self(other)
        from .algebra import Composition

        return Composition(self, other)

    def __add__(self, other: Any) -> LinearOperator:
        """Return the sum of operators of the same shapes; ``A + 0`` is A, so that ``sum([A, B])`` works."""
        if isinstance(other, numbers.Complex) and other == 0:
            return self
        if not isinstance(other, LinearOperator):
            return NotImplemented
        from .algebra import Sum

        return Sum(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> LinearOperator:
        """Return the difference of operators of the same shapes."""
        return self + (-other) if isinstance(other, LinearOperator) else NotImplemented

    def __mul__(self, factor: Any) -> LinearOperator:
        """Return ``c * A`` for a real or complex number c; a complex one makes the operator complex."""
        value = _python_number(factor)
        if value is None:
            return NotImplemented
        from .algebra import Scaled

        return Scaled(value, self)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> LinearOperator:
        """Return ``(1 / c) * A``."""
        value = _python_number(divisor)
        if value is None:
            return NotImplemented
        if value == 0:
            raise InputError(f"divisor: expected a number other than 0, got {divisor!r}")
        return self * (1 / value)

    def __neg__(self) -> LinearOperator:
        """Return ``-1 * A``."""
        return -1.0 * self

    def norm(self, *, tolerance: float = 1e-4, n_iter: int = 200, seed: int = 0, dtype: Any = np.float32) -> float:
        """Return the largest singular value, by power iteration on A' A.

        Parameters
        ----------
        tolerance
            Stop when a step changes the estimate by less than this fraction.
        n_iter
            Stop after this many steps anyway.
        seed
            Seed of the starting vector: the same seed gives the same value.
        dtype
            Precision of the products, float32 or float64.

        Returns
        -------
        float
            The estimate. It grows towards the norm from below; a step size that must not exceed ``1/norm**2``
            needs a margin of a few `tolerance`.

        Examples
        --------
        >>> from spinray.operators import Matrix
        >>> round(Matrix([[3.0, 0.0], [4.0, 5.0]]).norm(), 3)
        6.708
        """
        from .norm import spectral_norm

        return spectral_norm(self, tolerance, n_iter, seed, dtype)

    def as_scipy(self, dtype: Any = np.float64) -> scipy.sparse.linalg.LinearOperator:
        """Return the operator as a ``scipy.sparse.linalg.LinearOperator`` on flattened vectors.

        Parameters
        ----------
        dtype
            The dtype SciPy's solvers are told, float64 (complex128 for a complex operator) unless given. Products
            are computed in the precision of their input.

        Examples
        --------
        >>> from scipy.sparse.linalg import lsqr
        >>> from spinray.operators import Matrix
        >>> lsqr(Matrix([[2.0, 0.0], [0.0, 4.0]]).as_scipy(), [2.0, 8.0])[0].round(6)
        array([1., 2.])
        """
        from .scipy_view import ScipyView

        return ScipyView(self, dtype)

    # Copies and pickles.

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes, without native objects and without the handle, which is this object's own."""
        left_out = {"_handle", *self._transient}
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the attributes; native objects are made anew when needed."""
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.domain_shape} -> {self.range_shape})"
