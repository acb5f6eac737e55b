"""CGLS reaches the least squares solution and knows when to stop."""

import numpy as np
import pytest

from spinray.operators import Matrix
from spinray.solvers import cgls


def test_it_reaches_the_least_squares_solution_in_as_many_steps_as_unknowns(rng):
    matrix, y = rng.standard_normal((20, 6)), rng.standard_normal(20)
    expected = np.linalg.lstsq(matrix, y, rcond=None)[0]
    x, info = cgls(Matrix(matrix), y, n_iter=6, return_info=True)
    np.testing.assert_allclose(x, expected, rtol=1e-9)
    assert info.residual_norms[-1] == pytest.approx(np.linalg.norm(matrix @ expected - y), rel=1e-12)
    # One fewer is not enough: this is no direct solve.
    assert np.abs(cgls(Matrix(matrix), y, n_iter=5) - expected).max() > 1e-6


def test_of_many_solutions_it_finds_the_one_nearest_to_the_start(rng):
    matrix, y, x0 = rng.standard_normal((5, 9)), rng.standard_normal(5), rng.standard_normal(9)
    expected = x0 + np.linalg.pinv(matrix) @ (y - matrix @ x0)
    np.testing.assert_allclose(cgls(Matrix(matrix), y, n_iter=50, x0=x0), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_stops_when_only_rounding_is_left(dtype, rng):
    """A thousand iterations more would multiply noise; exact starts and zero data need none."""
    matrix = rng.standard_normal((30, 6)).astype(dtype)
    y = rng.standard_normal(30).astype(dtype)
    A = Matrix(matrix)
    x, info = cgls(A, y, n_iter=1000, return_info=True)
    assert 6 <= info.n_iter < 40
    np.testing.assert_allclose(x, np.linalg.lstsq(matrix, y, rcond=None)[0], rtol=200 * np.finfo(dtype).eps)
    assert len(info.residual_norms) == info.n_iter + 1
    x, info = cgls(A, np.zeros(30, dtype), n_iter=10, return_info=True)
    assert info.n_iter == 0
    assert not x.any()
    assert not cgls(Matrix(np.zeros((3, 2))), np.ones(3), n_iter=4).any()


def test_an_image_of_a_batch_that_is_done_waits_for_the_others(rng):
    matrix = rng.standard_normal((30, 20))
    simple, hard = matrix @ np.linalg.svd(matrix)[2][0], rng.standard_normal(30)
    x = cgls(Matrix(matrix), np.stack([simple, hard, np.zeros(30)]), n_iter=60)
    np.testing.assert_allclose(x[0], np.linalg.svd(matrix)[2][0], atol=1e-10)
    np.testing.assert_allclose(x[1], np.linalg.lstsq(matrix, hard, rcond=None)[0], atol=1e-9)
    assert not x[2].any()


def test_complex_systems(rng):
    matrix = rng.standard_normal((12, 5)) + 1j * rng.standard_normal((12, 5))
    y = rng.standard_normal(12) + 1j * rng.standard_normal(12)
    expected = np.linalg.lstsq(matrix, y, rcond=None)[0]
    np.testing.assert_allclose(cgls(Matrix(matrix), y, n_iter=5), expected, rtol=1e-9)
    np.testing.assert_allclose(cgls(Matrix(matrix.real), y, n_iter=5), np.linalg.pinv(matrix.real) @ y, rtol=1e-9)
    assert cgls(Matrix(matrix), y.real.astype("f4"), n_iter=2).dtype == np.complex64
