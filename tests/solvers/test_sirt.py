"""SIRT reaches the weighted least squares solution of its own weights."""

import numpy as np
import pytest

from spinray.operators import Matrix
from spinray.solvers import sirt


@pytest.fixture
def matrix(rng):
    return rng.uniform(size=(30, 8)) * rng.uniform(0.1, 3.0, (30, 1))


def test_it_reaches_the_weighted_least_squares_solution(matrix, rng):
    y = rng.standard_normal(30)
    root = 1 / np.sqrt(matrix.sum(1))
    expected = np.linalg.lstsq(root[:, None] * matrix, root * y, rcond=None)[0]
    x, info = sirt(Matrix(matrix), y, n_iter=6000, relaxation=1.9, return_info=True)
    np.testing.assert_allclose(x, expected, rtol=1e-8, atol=1e-8)
    assert info.objective[-1] == pytest.approx(0.5 * np.sum((root * (matrix @ expected - y)) ** 2), rel=1e-10)
    # Not the unweighted one.
    assert np.abs(np.linalg.lstsq(matrix, y, rcond=None)[0] - expected).max() > 1e-3


def test_one_iteration_is_the_formula(matrix, rng):
    y, x0 = rng.standard_normal(30), rng.standard_normal(8)
    step = matrix.T @ ((y - matrix @ x0) / matrix.sum(1)) / matrix.sum(0)
    np.testing.assert_allclose(sirt(Matrix(matrix), y, n_iter=1, x0=x0), x0 + step, rtol=1e-12)
    np.testing.assert_allclose(sirt(Matrix(matrix), y, n_iter=1, x0=x0, relaxation=0.5), x0 + step / 2, rtol=1e-12)


def test_within_bounds_it_meets_the_optimality_conditions(matrix, rng):
    y = matrix @ rng.uniform(-1, 2, 8)
    x = sirt(Matrix(matrix), y, n_iter=20_000, relaxation=1.9, bounds=(0.0, 1.0))
    gradient = matrix.T @ ((matrix @ x - y) / matrix.sum(1))
    low, high = x == 0.0, x == 1.0
    free = ~low & ~high
    assert low.any()
    assert high.any()
    assert free.any()
    assert np.abs(gradient[free]).max() < 1e-9
    assert gradient[low].min() > 0
    assert gradient[high].max() < 0


def test_rays_that_miss_and_voxels_that_no_ray_meets_are_left_alone(matrix, rng):
    wide = np.zeros((33, 9))
    wide[:30, :8] = matrix
    y = rng.standard_normal(33)
    x = sirt(Matrix(wide), y, n_iter=50, x0=np.full(9, 0.25))
    assert x[8] == 0.25
    np.testing.assert_allclose(x[:8], sirt(Matrix(matrix), y[:30], n_iter=50, x0=np.full(8, 0.25)), rtol=1e-12)
    assert np.array_equal(sirt(Matrix(np.zeros((3, 2))), np.ones(3), n_iter=2), np.zeros(2))


def test_the_start_is_brought_into_the_bounds(matrix):
    start = {"x0": np.full(8, -9.0), "bounds": (0, 1)}
    x, info = sirt(Matrix(matrix), matrix.sum(1), n_iter=1, return_info=True, **start)
    assert info.residual_norms[0] == pytest.approx(np.linalg.norm(matrix.sum(1)))
    assert x.min() >= 0


def test_what_it_cannot_do_is_refused(matrix):
    y = np.ones(30)
    for relaxation in (0.0, 2.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="relaxation"):
            sirt(Matrix(matrix), y, n_iter=1, relaxation=relaxation)
    with pytest.raises(ValueError, match=r"A: sirt needs non-negative entries.*cgls"):
        sirt(Matrix(-matrix), y, n_iter=1)
    with pytest.raises(TypeError, match="real"):
        sirt(Matrix(matrix * 1j), y, n_iter=1)
