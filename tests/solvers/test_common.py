"""What holds for every solver: batches, dtypes, tensors, callbacks, interruption, and the input they refuse."""

import signal

import numpy as np
import pytest

import spinray
from spinray.operators import Matrix
from spinray.regularizers import TV
from spinray.solvers import SolverResult, cgls, fista, sirt

SOLVERS = [sirt, cgls, fista]
each = pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.__name__)


@pytest.fixture
def A(rng):
    """A non-negative 30 x (5, 4) operator on a range of shape (6, 5)."""
    return Matrix(rng.uniform(size=(30, 20)), domain_shape=(5, 4), range_shape=(6, 5))


@each
def test_a_batch_is_a_loop(solver, A, rng):
    y = rng.standard_normal((2, 3, 6, 5))
    x0 = rng.standard_normal((5, 4))
    together, info = solver(A, y, n_iter=4, x0=x0, return_info=True)
    assert together.shape == (2, 3, 5, 4)
    assert info.residual_norms.shape == info.objective.shape == (5, 2, 3)
    for i in np.ndindex(2, 3):
        alone, its = solver(A, y[i], n_iter=4, x0=x0, return_info=True)
        np.testing.assert_allclose(together[i], alone, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(info.objective[:, i[0], i[1]], its.objective, rtol=1e-9)
    starts = rng.standard_normal((2, 3, 5, 4))
    np.testing.assert_allclose(
        solver(A, y, n_iter=2, x0=starts)[1, 2], solver(A, y[1, 2], n_iter=2, x0=starts[1, 2]), rtol=1e-9, atol=1e-10
    )
    assert solver(A, y[:0], n_iter=2).shape == (0, 3, 5, 4)


def test_each_image_of_a_batch_restarts_by_itself(A, rng):
    """FISTA-TV: the images of a batch do not share momentum, step counts or dual."""
    y = A(rng.standard_normal((3, 5, 4)) * [[[1e-3]], [[1.0]], [[1e3]]])
    together = fista(A, y, n_iter=300, regularizer=TV(0.05), bounds=(0, None))
    for i in range(3):
        alone = fista(A, y[i], n_iter=300, regularizer=TV(0.05), bounds=(0, None))
        np.testing.assert_allclose(together[i], alone, rtol=1e-6, atol=1e-6 * np.abs(alone).max())


@each
@pytest.mark.parametrize(("given", "kept"), [("f4", "f4"), ("f8", "f8"), ("f2", "f4"), ("i2", "f4")])
def test_the_image_has_the_precision_of_the_data(solver, A, given, kept):
    y = np.arange(30).reshape(6, 5).astype(given)
    image = solver(A, y, n_iter=3, x0=np.zeros((5, 4)))
    assert image.dtype == kept
    np.testing.assert_allclose(image, solver(A, y.astype(float), n_iter=3), rtol=1e-3, atol=1e-3)


@each
def test_the_history_tells_of_the_images(solver, A, rng):
    y = rng.standard_normal((6, 5))
    images = []
    x, info = solver(A, y, n_iter=5, callback=lambda k, x: images.append((k, x)), return_info=True)
    assert isinstance(info, SolverResult)
    assert info.n_iter == 5
    assert [k for k, _ in images] == [1, 2, 3, 4, 5]
    assert np.array_equal(images[-1][1], x)
    norms = [np.linalg.norm(y)] + [np.linalg.norm(A(image) - y) for _, image in images]
    np.testing.assert_allclose(info.residual_norms, norms, rtol=1e-12)
    assert (np.diff(info.objective) < 0).all()
    assert np.array_equal(solver(A, y, n_iter=5), x)


@each
def test_a_callback_may_write_to_its_image(solver, A, rng):
    y = rng.standard_normal((6, 5))
    assert np.array_equal(solver(A, y, n_iter=4, callback=lambda k, x: x.fill(np.nan)), solver(A, y, n_iter=4))


@each
def test_more_iterations_continue_from_x0(solver, A, rng):
    y, x0 = rng.standard_normal((6, 5)), rng.standard_normal((5, 4))
    kept = x0.copy()
    near = solver(A, y, n_iter=400, x0=x0)
    assert np.array_equal(x0, kept)
    assert np.linalg.norm(A(near) - y) < np.linalg.norm(A(x0) - y)
    start = solver(A, A(x0), n_iter=1, x0=x0)
    np.testing.assert_allclose(start, x0, atol=1e-12)


@each
def test_same_bits_for_any_number_of_threads(solver, rng, keep_threads):
    A = Matrix(rng.uniform(size=(40, 64)), domain_shape=(8, 8))
    y = rng.standard_normal((3, 40)).astype(np.float32)
    extra = {"regularizer": TV(0.1)} if solver is fista else {}
    results = []
    for threads in (1, 2):
        spinray.set_num_threads(threads)
        results.append(solver(A, y, n_iter=9, **extra))
    assert np.array_equal(*results)


@each
def test_tensors_give_tensors_without_a_graph(solver, A, rng):
    torch = pytest.importorskip("torch")
    y = rng.standard_normal((2, 6, 5)).astype(np.float32)
    seen = []
    tensor = torch.from_numpy(y)
    x = solver(A, tensor, n_iter=3, x0=torch.zeros(5, 4), callback=lambda k, x: seen.append(type(x)))
    assert isinstance(x, torch.Tensor)
    assert seen == [torch.Tensor] * 3
    assert np.array_equal(x.numpy(), solver(A, y, n_iter=3))
    leaf = tensor.clone().requires_grad_()
    with pytest.raises(ValueError, match=r"y: requires a gradient.*detach"):
        solver(A, leaf, n_iter=3)
    with torch.no_grad():
        assert solver(A, leaf, n_iter=3).grad_fn is None


@each
def test_ctrl_c_stops_it(solver, A):
    def interrupt(k, x):
        if k == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        solver(A, np.ones((6, 5)), n_iter=10**9, callback=interrupt)


@each
def test_progress_is_shown_only_when_asked_for(solver, A, capsys):
    pytest.importorskip("tqdm")
    solver(A, np.ones((6, 5)), n_iter=3)
    assert capsys.readouterr() == ("", "")
    solver(A, np.ones((6, 5)), n_iter=3, progress=True)
    assert "3/3" in capsys.readouterr().err


def _nan(shape):
    y = np.ones(shape)
    y[0, 1] = np.nan
    return y


@each
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"y": _nan((6, 5))}, ValueError, r"y: expected finite numbers.*\(0, 1\)"),
        ({"y": np.full((6, 5), np.inf)}, ValueError, "y: expected finite numbers"),
        ({"y": np.ones((5, 6))}, ValueError, r"y: expected shape \(6, 5\)"),
        ({"y": np.ones(5)}, ValueError, "y: expected shape"),
        ({"y": "data"}, TypeError, "y"),
        ({"x0": _nan((5, 4))}, ValueError, "x0: expected finite numbers"),
        ({"x0": np.ones((4, 5))}, ValueError, r"x0: expected shape \(5, 4\)"),
        ({"x0": np.ones((2, 5, 4))}, ValueError, "x0: expected one image or a batch"),
        ({"x0": np.ones((5, 4), complex)}, TypeError, "x0: expected real"),
        ({"n_iter": 0}, ValueError, "n_iter: expected an integer >= 1"),
        ({"n_iter": 2.5}, TypeError, "n_iter"),
        ({"callback": 3}, TypeError, "callback"),
        ({"A": np.ones((30, 20))}, TypeError, "A: expected a LinearOperator.*Matrix"),
    ],
)
def test_bad_input_names_the_argument(solver, A, arguments, error, message):
    with pytest.raises(error, match=message):
        solver(**{"A": A, "y": np.ones((6, 5)), "n_iter": 2, **arguments})


def test_solvers_without_regulariser_or_bounds_name_the_one_that_has_them(A):
    y = np.ones((6, 5))
    for solver in (sirt, cgls):
        with pytest.raises(ValueError, match=r"regularizer: .* takes none.*fista"):
            solver(A, y, n_iter=1, regularizer=TV(1.0))
    with pytest.raises(ValueError, match=r"bounds: cgls takes none.*fista"):
        cgls(A, y, n_iter=1, bounds=(0, None))
