"""FISTA reaches the minimum of least squares + total variation in a box, by certificates computed here."""

import numpy as np
import pytest
import scipy.optimize

from spinray.operators import Matrix
from spinray.regularizers import TV
from spinray.solvers import fista


def differences(shape):
    """Forward differences as a dense array (axes, n, n), zero rows across the last face."""
    index = np.arange(np.prod(shape)).reshape(shape)
    D = np.zeros((len(shape), index.size, index.size))
    for axis in range(len(shape)):
        here = np.delete(index, -1, axis).ravel()
        after = np.delete(index, 0, axis).ravel()
        D[axis, here, here], D[axis, here, after] = -1, 1
    return D


def primal(x, matrix, y, weight, D):
    return 0.5 * np.sum((matrix @ x - y) ** 2) + weight * np.sqrt(((D @ x) ** 2).sum(0)).sum()


def lower_bound(matrix, y, weight, D, n_iter=20_000):
    """A dual value of min 1/2 |A x - y|^2 + w TV(x): g(p) = min over x of 1/2 |A x - y|^2 + w <p, D x>, |p_i| <= 1.

    The minimum over x is a linear solve; p climbs by plain projected gradients. Any p gives a valid bound.
    """
    normal = np.linalg.inv(matrix.T @ matrix)
    flat = D.reshape(-1, D.shape[2])
    p = np.zeros(D.shape[:2])
    step = 1 / np.linalg.norm(weight**2 * flat @ normal @ flat.T, 2)
    for _ in range(n_iter):
        x = normal @ (matrix.T @ y - weight * flat.T @ p.ravel())
        p += step * weight * (D @ x)
        p /= np.maximum(1, np.sqrt((p**2).sum(0)))
    x = normal @ (matrix.T @ y - weight * flat.T @ p.ravel())
    return 0.5 * np.sum((matrix @ x - y) ** 2) + weight * np.sum(p * (D @ x))


@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 3)])
@pytest.mark.parametrize("restart", [True, False])
def test_tv_reaches_a_duality_gap_of_a_thousandth(shape, restart, rng):
    n, weight = int(np.prod(shape)), 0.5
    matrix = rng.uniform(size=(n + 10, n))
    truth = np.zeros(shape)
    truth[1:3, 1:3] = 1.0
    y = matrix @ truth.ravel() + 0.1 * rng.standard_normal(n + 10)
    D = differences(shape)
    x, info = fista(
        Matrix(matrix, domain_shape=shape), y, n_iter=2000, regularizer=TV(weight), restart=restart, return_info=True
    )
    value = primal(x.ravel(), matrix, y, weight, D)
    bound = lower_bound(matrix, y, weight, D)
    assert -1e-12 <= (value - bound) / value <= 1e-3
    assert info.objective[-1] == pytest.approx(value, rel=1e-10)
    # Neither data nor regulariser alone decides: the gap would notice if either were ignored.
    plain = np.linalg.lstsq(matrix, y, rcond=None)[0]
    assert primal(plain, matrix, y, weight, D) > 1.2 * value


def test_tv_agrees_with_a_general_convex_solver_in_a_box(rng):
    """A 2 x 3 image by SciPy's SLSQP on the epigraph: minimise 1/2 |A x - y|^2 + w sum t, t_i >= |(D x)_i|."""
    matrix, weight, D = rng.uniform(size=(9, 6)), 0.2, differences((2, 3))
    y = matrix @ rng.uniform(-0.5, 1.5, 6)
    best = scipy.optimize.minimize(
        lambda u: 0.5 * np.sum((matrix @ u[:6] - y) ** 2) + weight * u[6:].sum(),
        np.r_[np.linspace(0.2, 0.8, 6), np.ones(6)],
        bounds=[(0, 1)] * 6 + [(0, None)] * 6,
        constraints={"type": "ineq", "fun": lambda u: u[6:] ** 2 - ((D @ u[:6]) ** 2).sum(0)},
        method="SLSQP",
        options={"maxiter": 200, "ftol": 1e-10},
    )
    x = fista(Matrix(matrix, domain_shape=(2, 3)), y, n_iter=1000, regularizer=TV(weight), bounds=(0, 1)).ravel()
    assert x.min() >= 0
    assert x.max() <= 1
    # Theirs is feasible, so no better than the minimum; the kinks keep it from being exact.
    assert best.fun * (1 - 1e-4) <= primal(x, matrix, y, weight, D) <= best.fun * (1 + 1e-8)
    np.testing.assert_allclose(x, best.x[:6], atol=5e-3)


def test_bounds_alone_meet_the_optimality_conditions(rng):
    matrix = rng.standard_normal((30, 12))
    y = matrix @ rng.uniform(-1, 2, 12)
    x = fista(Matrix(matrix), y, n_iter=3000, bounds=(0.0, 1.0))
    expected = scipy.optimize.lsq_linear(matrix, y, (0.0, 1.0), tol=1e-14)
    np.testing.assert_allclose(x, expected.x, atol=1e-7)
    gradient = matrix.T @ (matrix @ x - y)
    low, high = x == 0.0, x == 1.0
    assert low.any()
    assert high.any()
    assert np.abs(gradient[~low & ~high]).max() < 1e-7
    assert gradient[low].min() > 0
    assert gradient[high].max() < 0


def test_without_regulariser_it_is_least_squares(rng):
    matrix, y = rng.standard_normal((20, 6)), rng.standard_normal(20)
    np.testing.assert_allclose(
        fista(Matrix(matrix), y, n_iter=500), np.linalg.lstsq(matrix, y, rcond=None)[0], rtol=1e-9
    )
    both = matrix + 1j * rng.standard_normal((20, 6))
    np.testing.assert_allclose(fista(Matrix(both), y, n_iter=800), np.linalg.pinv(both) @ y, rtol=1e-9)


def test_momentum_and_restart_pay(rng):
    """On an ill-conditioned problem plain gradient steps are far behind, and restarts get to the end."""
    matrix = rng.standard_normal((40, 30)) * np.logspace(0, -1.5, 30)
    y = rng.standard_normal(40)
    least = 0.5 * np.linalg.lstsq(matrix, y, rcond=None)[1][0]
    x = np.zeros(30)
    for _ in range(1000):
        x -= matrix.T @ (matrix @ x - y) / np.linalg.norm(matrix, 2) ** 2
    plain = 0.5 * np.sum((matrix @ x - y) ** 2) - least
    excess = [
        fista(Matrix(matrix), y, n_iter=1000, restart=restart, return_info=True)[1].objective[-1] - least
        for restart in (False, True)
    ]
    assert excess[0] < plain / 5
    assert excess[1] < excess[0] / 100


def test_single_precision_comes_close(rng):
    matrix = rng.uniform(size=(40, 30))
    y = (matrix @ rng.uniform(size=30)).astype(np.float32)
    A = Matrix(matrix, domain_shape=(6, 5))
    options = {"n_iter": 300, "regularizer": TV(0.1), "bounds": (0, None)}
    single, double = fista(A, y, **options), fista(A, y.astype(float), **options)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, atol=2e-4)


def test_what_it_cannot_do_is_refused(rng):
    A, y = Matrix(rng.uniform(size=(9, 6)), domain_shape=(2, 3)), np.ones(9)
    with pytest.raises(ValueError, match=r"step: iteration \d+ overflowed"):
        fista(A, y, n_iter=5000, step=1e3)
    with pytest.raises(ValueError, match="step"):
        fista(A, y, n_iter=1, step=0.0)
    with pytest.raises(ValueError, match="inner_iter"):
        fista(A, y, n_iter=1, inner_iter=0)
    with pytest.raises(ValueError, match=r"bounds.*lower <= upper"):
        fista(A, y, n_iter=1, bounds=(1, 0))
    with pytest.raises(TypeError, match="regularizer: expected one of"):
        fista(A, y, n_iter=1, regularizer=0.1)
    with pytest.raises(ValueError, match="2 or 3 axes"):
        fista(Matrix(np.ones((3, 2))), np.ones(3), n_iter=1, regularizer=TV(1.0))
    with pytest.raises(TypeError, match="real"):
        fista(Matrix(np.ones((3, 2)) * 1j), np.ones(3), n_iter=1, bounds=(0, None))
