"""What an operator must satisfy, as assertions for tests: exact adjoint, gradients, reproducible bits, safe workers.

spinray's own tests use these on every operator; use them on yours.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from . import _checks, _core
from .errors import DtypeError, InputError
from .operators import LinearOperator

__all__ = ["assert_adjoint", "assert_deterministic", "assert_gradient", "assert_safe_in_workers"]

#: Largest |<Ax, y> - <x, A'y>| / (|Ax| |y|) by the precision of the products.
_ADJOINT_TOLERANCE = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-12}
#: Numerical Jacobians take a call per entry: more entries than this are a mistake.
_MOST_ENTRIES = 4096


def assert_adjoint(
    A: LinearOperator, *, dtype: Any = np.float32, seed: int = 0, n_draws: int = 2, tolerance: float | None = None
) -> None:
    """Assert that ``A.adjoint`` is the exact adjoint of ``A``.

    |<Ax, y> - <x, A'y>| <= tolerance |Ax| |y| is checked for signed and for non-negative random x and y (signed ones
    average errors out; non-negative ones are what scanners see), one by one and in a batch. Dot products are taken in
    double precision.

    Parameters
    ----------
    A
        The operator.
    dtype
        Precision of the products: float32 or float64 (complex operators get complex x and y of that precision).
    seed
        Seed of the random vectors.
    n_draws
        Number of pairs x, y of each kind, at least 2: they also make the batch.
    tolerance
        1e-6 in float32 and 1e-12 in float64 unless given.

    Raises
    ------
    AssertionError
        With the two dot products, or with the output that has another shape, dtype or value than it should.
    InputError, DtypeError
        For an unusable argument.

    Examples
    --------
    >>> from spinray.operators import Matrix
    >>> from spinray.testing import assert_adjoint
    >>> assert_adjoint(Matrix([[1.0, 2.0], [0.0, 3.0], [4.0, 0.0]]))
    """
    A = _operator(A)
    precision = np.dtype(dtype)
    if precision not in _ADJOINT_TOLERANCE:
        raise DtypeError(f"dtype: expected float32 or float64, got {precision}")
    n_draws = _checks.integer("n_draws", n_draws, minimum=2)
    limit = _ADJOINT_TOLERANCE[precision] if tolerance is None else _checks.positive("tolerance", tolerance)
    rng = np.random.default_rng(seed)
    for kind in ("signed", "non-negative"):
        x = _random(rng, (n_draws, *A.domain_shape), precision, A.is_complex, kind)
        y = _random(rng, (n_draws, *A.range_shape), precision, A.is_complex, kind)
        forward, back = A(x), A.adjoint(y)
        _assert_like("A(x)", forward, y)
        _assert_like("A.adjoint(y)", back, x)
        for i in range(n_draws):
            _assert_dot_products_agree(f"{A!r}, {kind} x and y, {precision}", forward[i], y[i], x[i], back[i], limit)
            _assert_same_alone("A(x)", A(x[i]), forward[i], i, limit)
            _assert_same_alone("A.adjoint(y)", A.adjoint(y[i]), back[i], i, limit)


def assert_gradient(
    f: LinearOperator | Callable[[Any], Any], shape: Sequence[int] | None = None, *, seed: int = 0
) -> None:
    """Assert that torch's derivatives of `f` are right, in double precision.

    Reverse and forward mode and second derivatives are compared with finite differences (gradcheck, gradgradcheck),
    ``jacfwd`` with ``jacrev``, and ``vmap`` with a loop.

    Parameters
    ----------
    f
        An operator (its adjoint is checked as well), or a function of one tensor that returns one.
    shape
        Shape of the argument of a function; an operator knows its own.
    seed
        Seed of the random argument.

    Raises
    ------
    AssertionError
        Naming the check that failed.
    InputError
        If the argument has more entries than a numerical Jacobian can take: use a smaller example.

    Examples
    --------
    >>> from spinray.operators import Matrix
    >>> from spinray.testing import assert_gradient
    >>> assert_gradient(Matrix([[1.0, 2.0], [0.0, 3.0]]))  # doctest: +SKIP
    """
    cases: list[tuple[Callable[[Any], Any], tuple[int, ...], bool, str]]
    if isinstance(f, LinearOperator):
        cases = [(f, f.domain_shape, f.is_complex, repr(f)), (f.H, f.range_shape, f.is_complex, repr(f.H))]
    elif not callable(f):
        raise DtypeError(f"f: expected a LinearOperator or a function, got {type(f).__name__}")
    elif shape is None:
        raise InputError("shape: expected the shape of the argument of f, got None")
    else:
        cases = [(f, _checks.shape("shape", shape), False, getattr(f, "__name__", repr(f)))]
    with warnings.catch_warnings():
        # torch's own, on the first forward-mode derivative: not what is tested here.
        warnings.filterwarnings("ignore", message=r".torch\.jit\.script. is deprecated", category=DeprecationWarning)
        for function, argument_shape, is_complex, name in cases:
            _assert_gradient(function, argument_shape, is_complex, seed, name)


def assert_deterministic(
    f: LinearOperator | Callable[[], Any], *, threads: Iterable[int] = (1, 2), repeats: int = 2, seed: int = 0
) -> None:
    """Assert that the result has the same bits for any number of threads, and every time.

    Parameters
    ----------
    f
        An operator (it and its adjoint act on random float32 arrays), or a function of no argument that returns an
        array or a tuple of arrays.
    threads
        Numbers of threads to try; the number in force is restored.
    repeats
        Calls with each number of threads.
    seed
        Seed of the random arrays.

    Raises
    ------
    AssertionError
        Telling how many entries differ and by how much.

    Examples
    --------
    >>> from spinray.operators import Matrix
    >>> from spinray.testing import assert_deterministic
    >>> assert_deterministic(Matrix([[1.0, 2.0], [0.0, 3.0]]))
    """
    counts = [_checks.integer(f"threads[{i}]", n, minimum=1) for i, n in enumerate(threads)]
    repeats = _checks.integer("repeats", repeats, minimum=1)
    if len(counts) * repeats < 2:
        raise InputError("threads: expected at least two calls to compare, got one. Pass two numbers of threads")
    name = repr(f) if isinstance(f, LinearOperator) else getattr(f, "__name__", repr(f))
    call = _both_ways(f, seed) if isinstance(f, LinearOperator) else f
    before = _core.num_threads()
    reference: list[np.ndarray] | None = None
    try:
        for n_threads in counts:
            _core.set_num_threads(n_threads)
            # In a new thread: one that has made many small calls computes them alone.
            with ThreadPoolExecutor(1) as thread:
                for _ in range(repeats):
                    result = _arrays(thread.submit(call).result())
                    if reference is None:
                        reference = result
                    _assert_same_bits(result, reference, f"{name}: {n_threads} threads against {counts[0]}")
    finally:
        _core.set_num_threads(before)


def assert_safe_in_workers(
    A: LinearOperator, *, num_workers: int = 2, start_method: str = "fork", timeout: float = 60.0, seed: int = 0
) -> None:
    """Assert that the operator works in the worker processes of a torch ``DataLoader``, on one thread in each.

    The operator is used in this process first, so that there is a thread pool which a forked worker must not wait for.

    Parameters
    ----------
    A
        The operator; with `start_method` "spawn" it is sent by pickle.
    num_workers
        Number of worker processes.
    start_method
        "fork" or "spawn".
    timeout
        Seconds after which a worker counts as hung.
    seed
        Seed of the samples.

    Raises
    ------
    AssertionError
        If a worker hangs, fails, uses several threads or computes something else.

    Examples
    --------
    >>> from spinray.operators import Matrix
    >>> from spinray.testing import assert_safe_in_workers
    >>> assert_safe_in_workers(Matrix([[1.0, 2.0], [0.0, 3.0]]))  # doctest: +SKIP
    """
    from torch.utils.data import DataLoader

    A = _operator(A)
    method = _checks.choice("start_method", start_method, ("fork", "spawn"))
    samples: Any = _Projections(A, 2 * _checks.integer("num_workers", num_workers, minimum=1), seed)
    expected = [samples[i][0] for i in range(len(samples))]
    loader: Any = DataLoader(
        samples,
        batch_size=None,
        num_workers=num_workers,
        timeout=_checks.positive("timeout", timeout),
        multiprocessing_context=method,
    )
    try:
        results = list(loader)
    except Exception as error:
        raise AssertionError(f"{A!r} in {num_workers} workers ({method}): {error}") from error
    for i, ((y, n_threads), wanted) in enumerate(zip(results, expected, strict=True)):
        assert n_threads == 1, f"{A!r} in a worker ({method}): {n_threads} threads, expected 1"
        _assert_same_bits([np.asarray(y)], [wanted], f"{A!r}, sample {i} in a worker ({method}) against this process")


class _Projections:
    """A data set whose samples are projections, computed where they are asked for, and the number of threads there."""

    def __init__(self, A: LinearOperator, n: int, seed: int) -> None:
        self.A, self.n, self.seed = A, n, seed

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        rng = np.random.default_rng((self.seed, i))
        x = _random(rng, self.A.domain_shape, np.dtype(np.float32), self.A.is_complex, "signed")
        return self.A(x), _core.num_threads()


def _operator(A: Any) -> LinearOperator:
    if not isinstance(A, LinearOperator):
        raise DtypeError(f"A: expected a LinearOperator, got {type(A).__name__}")
    return A


def _random(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any], is_complex: bool, kind: str
) -> np.ndarray:
    def real() -> np.ndarray:
        return rng.standard_normal(shape) if kind == "signed" else rng.random(shape)

    values = real() + 1j * real() if is_complex else real()
    return values.astype(np.result_type(dtype, np.complex64) if is_complex else dtype)


def _dot(a: np.ndarray, b: np.ndarray) -> complex:
    double = np.result_type(a, np.float64)
    return complex(np.vdot(a.astype(double), b.astype(double)))


def _length(a: np.ndarray) -> float:
    return math.sqrt(_dot(a, a).real)


def _assert_dot_products_agree(
    what: str, Ax: np.ndarray, y: np.ndarray, x: np.ndarray, Aty: np.ndarray, limit: float
) -> None:
    left, right = _dot(Ax, y), _dot(x, Aty)
    # Where Ax vanishes the other side must, on its own scale.
    scale = max(_length(Ax) * _length(y), 1e-300)
    error = abs(left - right) / scale
    assert error <= limit, (
        f"{what}: the adjoint is not exact: <Ax, y> = {_short(left)}, <x, A'y> = {_short(right)}, "
        f"|<Ax, y> - <x, A'y>| / (|Ax| |y|) = {error:.2e} > {limit:.0e}"
    )


def _short(value: complex) -> str:
    return f"{value.real:.9g}" if value.imag == 0 else f"{value:.9g}"


def _assert_like(what: str, result: np.ndarray, wanted: np.ndarray) -> None:
    assert result.shape == wanted.shape, f"{what}: shape {result.shape}, expected {wanted.shape}"
    assert result.dtype == wanted.dtype, f"{what}: dtype {result.dtype}, expected {wanted.dtype}"


def _assert_same_alone(what: str, alone: np.ndarray, in_batch: np.ndarray, i: int, limit: float) -> None:
    difference = _length(alone - in_batch)
    # Lanes over the batch may sum in another order than lanes within one image.
    assert difference <= 10 * limit * _length(alone), (
        f"{what}: entry {i} of a batch differs from the same input alone by {difference:.2e} (norm of the difference)"
    )


def _assert_gradient(f: Callable[[Any], Any], shape: tuple[int, ...], is_complex: bool, seed: int, name: str) -> None:
    import torch
    from torch.autograd import gradcheck, gradgradcheck

    n = math.prod(shape)
    if n > _MOST_ENTRIES:
        raise InputError(f"f: expected at most {_MOST_ENTRIES} entries of the argument, got {n}. Use a smaller example")
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.complex128 if is_complex else torch.float64
    x = torch.randn(shape, dtype=dtype, generator=generator, requires_grad=True)
    try:
        gradcheck(f, (x,), check_forward_ad=True)
    except RuntimeError as error:
        raise AssertionError(f"{name}: the first derivative is wrong (gradcheck): {error}") from error
    try:
        # Checking forward over reverse too: a Hessian by torch.func.hessian is one.
        gradgradcheck(f, (x,), check_fwd_over_rev=True)
    except RuntimeError as error:
        raise AssertionError(f"{name}: the second derivative is wrong (gradgradcheck): {error}") from error
    x = x.detach()
    if not f(x).is_complex() and not is_complex:
        forward, reverse = torch.func.jacfwd(f)(x), torch.func.jacrev(f)(x)
        _assert_close(forward, reverse, f"{name}: jacfwd and jacrev differ")
    batch = torch.stack([x, -2 * x, x.flip(tuple(range(x.ndim)))], dim=-1)
    one_by_one = torch.stack([f(each) for each in batch.unbind(-1)])
    _assert_close(torch.func.vmap(f, in_dims=-1)(batch), one_by_one, f"{name}: vmap and a loop differ")


def _assert_close(a: Any, b: Any, what: str) -> None:
    assert a.shape == b.shape, f"{what}: shapes {tuple(a.shape)} and {tuple(b.shape)}"
    difference, scale = float((a - b).abs().max()), float(b.abs().max())
    assert difference <= 1e-10 * scale, f"{what} by {difference:.2e} (largest entry {scale:.2e})"


def _both_ways(A: LinearOperator, seed: int) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    x = _random(rng, A.domain_shape, np.dtype(np.float32), A.is_complex, "signed")
    y = _random(rng, A.range_shape, np.dtype(np.float32), A.is_complex, "signed")
    return lambda: (A(x), A.adjoint(y))


def _arrays(result: Any) -> list[np.ndarray]:
    return [np.asarray(part) for part in (result if isinstance(result, (tuple, list)) else (result,))]


def _assert_same_bits(result: list[np.ndarray], reference: list[np.ndarray], what: str) -> None:
    assert len(result) == len(reference), f"{what}: {len(result)} arrays, expected {len(reference)}"
    for a, b in zip(result, reference, strict=True):
        _assert_like(what, a, b)
        if a.tobytes() == b.tobytes():
            continue
        differ = a != b
        # -0.0 equals 0.0 and NaN differs from itself; only the first is possible with equal values.
        count = int(np.count_nonzero(differ))
        largest = float(np.max(np.abs(np.where(differ, a - b, 0)))) if count else 0.0
        raise AssertionError(f"{what}: {count} of {a.size} entries differ, by up to {largest:.2e}; the bits must agree")
