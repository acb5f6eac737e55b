"""The assertions pass what is right, and fail what is wrong: by a little, or only in a corner."""

import itertools

import numpy as np
import pytest

from spinray import _core
from spinray.errors import DtypeError, InputError
from spinray.operators import LinearOperator, Matrix, vstack
from spinray.testing import assert_adjoint, assert_deterministic, assert_gradient

RNG = np.random.default_rng(0)
REAL = RNG.random((7, 6))
COMPLEX = REAL + 1j * RNG.standard_normal((7, 6))
A, C = Matrix(REAL, (2, 3)), Matrix(COMPLEX, (2, 3))


class Pair(LinearOperator):
    """Forward and adjoint from two functions of batches of vectors."""

    def __init__(self, forward, adjoint, is_complex=False, m=7, n=6):
        self.domain_shape, self.range_shape = (n,), (m,)
        self._functions, self.is_complex = (forward, adjoint), is_complex

    def _forward(self, x):
        return self._functions[0](x)

    def _adjoint(self, y):
        return self._functions[1](y)


def with_adjoint(matrix):
    return Pair(lambda x: x @ REAL.T.astype(x.dtype), lambda y: y @ matrix.astype(y.dtype))


@pytest.mark.parametrize("operator", [A, C, A.H, C.H, 2j * A, vstack([A, C]), Matrix(np.zeros((3, 2)))])
@pytest.mark.parametrize("dtype", [np.float32, "float64"])
def test_an_exact_adjoint_passes(operator, dtype):
    assert_adjoint(operator, dtype=dtype)


def test_a_slightly_wrong_adjoint_fails():
    wrong = REAL.copy()
    wrong[3, 2] += 1e-4
    with pytest.raises(AssertionError, match=r"adjoint is not exact: <Ax, y> = .*, <x, A'y> = .*> 1e-06"):
        assert_adjoint(with_adjoint(wrong))
    wrong[3, 2] = REAL[3, 2] + 1e-9
    assert_adjoint(with_adjoint(wrong))
    with pytest.raises(AssertionError, match="float64: the adjoint is not exact"):
        assert_adjoint(with_adjoint(wrong), dtype=np.float64)
    assert_adjoint(with_adjoint(wrong), dtype=np.float64, tolerance=1e-8)


def test_a_missing_conjugate_fails():
    with pytest.raises(AssertionError, match="adjoint is not exact"):
        assert_adjoint(Pair(lambda x: x @ COMPLEX.T.astype(x.dtype), lambda y: y @ COMPLEX.astype(y.dtype), True))


def test_an_error_that_signed_numbers_average_out_fails_on_non_negative_ones():
    n, gain = 10_000, 1 + 2e-6
    biased = Pair(lambda x: x.copy(), lambda y: y * y.dtype.type(gain), m=n, n=n)
    with pytest.raises(AssertionError, match="non-negative x and y"):
        assert_adjoint(biased)


def test_an_adjoint_of_nothing_must_be_nothing():
    zeros = Pair(lambda x: np.zeros((len(x), 7), x.dtype), lambda y: y @ REAL.astype(y.dtype))
    with pytest.raises(AssertionError, match=r"<Ax, y> = 0, <x, A'y> ="):
        assert_adjoint(zeros)


def test_a_batch_that_is_mixed_up_fails():
    mixed = Pair(lambda x: x[::-1] @ REAL.T.astype(x.dtype), lambda y: y[::-1] @ REAL.astype(y.dtype))
    with pytest.raises(AssertionError):
        assert_adjoint(mixed)
    first_only = Pair(
        lambda x: np.repeat(x[:1], len(x), 0) @ REAL.T.astype(x.dtype),
        lambda y: np.repeat(y[:1], len(y), 0) @ REAL.astype(y.dtype),
    )
    with pytest.raises(AssertionError):
        assert_adjoint(first_only)


def test_a_batch_that_is_scaled_by_its_length_fails():
    scaled = Pair(lambda x: len(x) * (x @ REAL.T.astype(x.dtype)), lambda y: len(y) * (y @ REAL.astype(y.dtype)))
    with pytest.raises(AssertionError, match=r"A\(x\): entry 0 of a batch differs from the same input alone"):
        assert_adjoint(scaled)


def test_an_affine_map_is_no_operator():
    shifted = Pair(lambda x: x @ REAL.T.astype(x.dtype) + 1, lambda y: y @ REAL.astype(y.dtype))
    with pytest.raises(AssertionError, match="adjoint is not exact"):
        assert_adjoint(shifted)


def test_nan_is_no_agreement():
    nan = Pair(lambda x: np.full((len(x), 7), np.nan, x.dtype), lambda y: y @ REAL.astype(y.dtype))
    with pytest.raises(AssertionError, match="nan"):
        assert_adjoint(nan)


def test_arguments_of_assert_adjoint():
    with pytest.raises(DtypeError, match="A: expected a LinearOperator, got ndarray"):
        assert_adjoint(REAL)
    with pytest.raises(DtypeError, match="dtype: expected float32 or float64, got int64"):
        assert_adjoint(A, dtype=np.int64)
    with pytest.raises(InputError, match="n_draws: expected an integer >= 2"):
        assert_adjoint(A, n_draws=1)
    with pytest.raises(InputError, match="tolerance"):
        assert_adjoint(A, tolerance=0)


# Gradients


def test_right_gradients_pass():
    torch = pytest.importorskip("torch")
    assert_gradient(A)
    assert_gradient(C.H)
    assert_gradient(lambda x: A(x).sin() * x.sum(), (2, 3))
    assert_gradient(torch.fft.rfft, (5,), seed=3)


def test_the_gradient_of_a_wrong_adjoint_fails():
    pytest.importorskip("torch")
    wrong = REAL.copy()
    wrong[3, 2] += 0.05
    with pytest.raises(AssertionError, match=r"the first derivative is wrong \(gradcheck\)"):
        assert_gradient(with_adjoint(wrong))


def function_with(**methods):
    """A function x -> 2 x whose derivatives are overridden."""
    torch = pytest.importorskip("torch")

    class Double(torch.autograd.Function):
        generate_vmap_rule = "vmap" not in methods

        @staticmethod
        def forward(x):
            return 2 * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, gradient):
            return 2 * gradient

        @staticmethod
        def jvp(ctx, tangent):
            return 2 * tangent

    for name, method in methods.items():
        setattr(Double, name, staticmethod(method))
    return Double.apply


def test_wrong_forward_mode_fails():
    assert_gradient(function_with(), (3,))
    with pytest.raises(AssertionError, match=r"gradcheck"):
        assert_gradient(function_with(jvp=lambda ctx, tangent: 0 * tangent), (3,))


def test_a_wrong_second_derivative_fails():
    def backward(ctx, gradient):
        return 2 * gradient.detach() + 0 * gradient

    with pytest.raises(AssertionError, match=r"the second derivative is wrong \(gradgradcheck\)"):
        assert_gradient(function_with(backward=backward), (3,))


def test_a_wrong_vmap_fails():
    def vmap(info, in_dims, x):
        return 2 * x.movedim(in_dims[0], 0).flip(0), 0

    with pytest.raises(AssertionError, match="differ"):
        assert_gradient(function_with(vmap=vmap), (3,))


def test_arguments_of_assert_gradient():
    with pytest.raises(InputError, match="shape: expected the shape of the argument"):
        assert_gradient(lambda x: x)
    with pytest.raises(DtypeError, match="f: expected a LinearOperator or a function, got int"):
        assert_gradient(3, (2,))
    pytest.importorskip("torch")
    with pytest.raises(InputError, match=r"f: expected at most 4096 entries .*smaller example"):
        assert_gradient(lambda x: x, (100, 100))


# Bits


def test_what_is_deterministic_passes():
    before = _core.num_threads()
    assert_deterministic(A)
    assert_deterministic(lambda: _core.poisson(np.full(100_000, 3.0), 1), threads=(1, 2, 3))
    assert _core.num_threads() == before


def test_what_depends_on_the_threads_fails():
    before = _core.num_threads()
    with pytest.raises(AssertionError, match=r"2 threads against 1: 1 of 1 entries differ, by up to 1.00e\+00"):
        assert_deterministic(lambda: np.array([float(_core.num_threads())]))
    assert _core.num_threads() == before

    class Threaded(Matrix):
        def _adjoint(self, y):
            return super()._adjoint(y) * y.dtype.type(1 + 1e-6 * (_core.num_threads() == 2))

    with pytest.raises(AssertionError, match=r"Threaded.*entries differ; the bits must agree|entries differ, by up to"):
        assert_deterministic(Threaded(REAL))


def test_what_changes_from_call_to_call_fails():
    count = itertools.count()
    with pytest.raises(AssertionError, match="2 of 2 entries differ"):
        assert_deterministic(lambda: np.full(2, next(count)), threads=(1,))
    with pytest.raises(AssertionError, match="shape"):
        assert_deterministic(lambda: (np.zeros(next(count)),))


def test_nan_has_bits_like_any_number():
    assert_deterministic(lambda: np.array([np.nan, 1.0]))


def test_arguments_of_assert_deterministic():
    with pytest.raises(InputError, match=r"threads\[0\]: expected an integer >= 1, got 0"):
        assert_deterministic(A, threads=(0, 1))
    with pytest.raises(InputError, match="threads: expected at least two calls"):
        assert_deterministic(A, threads=(1,), repeats=1)
