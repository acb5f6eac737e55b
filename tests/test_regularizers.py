"""Total variation: its value, its proximal map against what defines it, and what it refuses."""

import copy
import signal
import threading

import numpy as np
import pytest

import spinray
from spinray.regularizers import TV, WarmStart, box

SHAPES = [(23, 17), (9, 14, 11)]


def gradient(x):
    """Forward differences, zero across the last face: shape (axes, *x.shape)."""
    return np.stack([np.diff(x, axis=a, append=np.take(x, [-1], axis=a)) for a in range(x.ndim)])


def tv_of(x, spacing=None):
    spacing = np.ones(x.ndim) if spacing is None else np.asarray(spacing)
    g = gradient(x) / spacing.reshape(-1, *(1,) * x.ndim)
    return np.sqrt((g**2).sum(0)).sum()


def objective(x, v, weight):
    return 0.5 * ((x - v) ** 2).sum() + weight * tv_of(x)


@pytest.mark.parametrize("shape", SHAPES)
def test_value_is_the_sum_of_gradient_lengths(shape, rng):
    x = rng.standard_normal(shape)
    spacing = [0.5, 1.5, 2.0][: len(shape)]
    assert TV(0.7).value(x) == pytest.approx(0.7 * tv_of(x), rel=1e-13)
    assert TV(0.7, spacing=spacing).value(x) == pytest.approx(0.7 * tv_of(x, spacing), rel=1e-13)
    assert TV(0.7, spacing=2.0).value(x) == pytest.approx(0.35 * tv_of(x), rel=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_prox_approaches_what_scikit_image_approaches_at_the_same_weight(shape, rng):
    restoration = pytest.importorskip("skimage.restoration")
    v = rng.standard_normal(shape)
    theirs = restoration.denoise_tv_chambolle(v, weight=0.3, eps=0, max_num_iter=4000)
    ours = TV(0.3).prox(v, n_iter=2000)
    assert np.abs(ours - theirs).max() < 1e-3
    # Two algorithms, one minimiser; the bound tells a weight apart that is off by 2 %.
    assert np.abs(TV(0.306).prox(v, n_iter=2000) - theirs).max() > 4e-3
    assert objective(ours, v, 0.3) <= objective(theirs, v, 0.3)


@pytest.mark.parametrize("shape", SHAPES)
def test_objective_meets_the_dual_value(shape, rng):
    """Any field |p| <= w bounds every objective from below by |v|^2/2 - |v - D'p|^2/2, and x is v - D'p for one."""
    v, weight = rng.standard_normal(shape), 0.4
    x, info = TV(weight).prox(v, n_iter=3000, tolerance=1e-6, return_info=True)
    assert info.relative_gap <= 1e-6
    assert info.n_iter < 3000
    dual = 0.5 * (v**2).sum() - 0.5 * (x**2).sum()
    assert 0 <= objective(x, v, weight) - dual <= 1e-6 * objective(x, v, weight) * (1 + 1e-9)


def test_a_step_shrinks_by_the_weight_over_its_width():
    """A step across a long strip: each side moves towards the other by w / (its width), exactly."""
    v = np.repeat([[0.0] * 4 + [1.0] * 6], 5, axis=0)
    x = TV(0.2).prox(v, n_iter=2000)
    np.testing.assert_allclose(x, np.repeat([[0.05] * 4 + [1 - 0.2 / 6] * 6], 5, axis=0), atol=1e-6)
    np.testing.assert_allclose(TV(0.1).prox(v, step=2.0, n_iter=2000), x, atol=1e-6)


def test_spacing_weighs_the_axes():
    """With rows 2 mm apart a jump between rows costs half as much per voxel."""
    v = np.repeat([[0.0]] * 5 + [[1.0]] * 5, 4, axis=1)
    x = TV(0.4, spacing=(2.0, 1.0)).prox(v, n_iter=2000)
    np.testing.assert_allclose(x, np.repeat([[0.04]] * 5 + [[0.96]] * 5, 4, axis=1), atol=1e-6)


def test_bounds_are_part_of_the_minimum_not_a_clip_after_it(rng):
    v = rng.standard_normal((12, 13))
    inside = TV(0.5).prox(v, n_iter=5000, bounds=(0.0, 0.4))
    clipped = np.clip(TV(0.5).prox(v, n_iter=5000), 0.0, 0.4)
    assert inside.min() >= 0.0
    assert inside.max() <= 0.4
    assert objective(inside, v, 0.5) < objective(clipped, v, 0.5) - 1e-3
    # No feasible image nearby is better.
    for _ in range(50):
        other = np.clip(inside + 0.01 * rng.standard_normal(v.shape), 0.0, 0.4)
        assert objective(other, v, 0.5) > objective(inside, v, 0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(70, 41, 34), (700, 203)])
def test_same_bits_for_any_number_of_threads(shape, dtype, rng, keep_threads):
    v = rng.standard_normal(shape).astype(dtype)
    results = []
    for threads in (1, 2, 3):
        spinray.set_num_threads(threads)
        results.append((TV(0.2).prox(v, n_iter=13, tolerance=0.0, return_info=True), TV(0.2).value(v)))
    (first, info), value = results[0]
    assert first.dtype == dtype
    for (x, other), v2 in results[1:]:
        assert np.array_equal(x, first)
        assert other == info
        assert v2 == value


def test_a_batch_is_a_loop(rng):
    v = rng.standard_normal((2, 3, 15, 16)).astype(np.float32)
    tv = TV(0.3)
    together = tv.prox(v, n_iter=30, ndim=2)
    assert tv.value(v, ndim=2).shape == (2, 3)
    for i in np.ndindex(2, 3):
        assert np.array_equal(together[i], tv.prox(v[i], n_iter=30))
        assert tv.value(v, ndim=2)[i] == tv.value(v[i])
    assert tv.prox(v[:0], ndim=2).shape == (0, 3, 15, 16)
    assert not np.allclose(tv.prox(v[0], n_iter=30), together[0])  # three axes without ndim: a volume


def test_a_warm_start_saves_iterations(rng):
    v = rng.standard_normal((40, 40))
    tv, start = TV(0.5), WarmStart()
    cold = tv.prox(v, n_iter=5000, tolerance=1e-5, warm_start=start, return_info=True)[1]
    warm = tv.prox(v + 1e-3, n_iter=5000, tolerance=1e-5, warm_start=start, return_info=True)[1]
    assert warm.n_iter * 5 <= cold.n_iter
    # Another shape starts anew.
    assert np.array_equal(tv.prox(v[:9], n_iter=5, warm_start=start), tv.prox(v[:9], n_iter=5))


def test_strides_and_integers_are_accepted_and_the_input_is_left_alone(rng):
    v = rng.standard_normal((20, 30))
    before = v.copy()
    for view in (v[::-1, ::2], v.T, np.asfortranarray(v)):
        assert np.array_equal(TV(0.2).prox(view), TV(0.2).prox(np.ascontiguousarray(view)))
    assert np.array_equal(v, before)
    assert TV(1.0).prox(np.arange(12).reshape(3, 4)).dtype == np.float32
    assert copy.deepcopy(TV(0.2, spacing=2)).spacing == 2


def test_tensors_give_tensors_and_gradients_are_refused(rng):
    torch = pytest.importorskip("torch")
    v = rng.standard_normal((8, 9)).astype(np.float32)
    x = TV(0.2).prox(torch.from_numpy(v))
    assert isinstance(x, torch.Tensor)
    assert np.array_equal(x.numpy(), TV(0.2).prox(v))
    assert TV(0.2).value(torch.from_numpy(v)) == TV(0.2).value(v)
    assert TV(0.2).prox(torch.from_numpy(v).bfloat16()).dtype == torch.float32
    leaf = torch.from_numpy(v).requires_grad_()
    with pytest.raises(ValueError, match=r"x: requires a gradient.*detach"):
        TV(0.2).prox(leaf)
    with torch.no_grad():
        assert not TV(0.2).prox(leaf).requires_grad


def test_ctrl_c_stops_it(rng):
    press = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    v, start = rng.standard_normal((300, 300)), WarmStart()
    press.start()
    with pytest.raises(KeyboardInterrupt):
        TV(0.5).prox(v, n_iter=10**9, warm_start=start)
    press.join()
    # What it left behind is no start.
    assert np.array_equal(TV(0.5).prox(v, n_iter=5, warm_start=start), TV(0.5).prox(v, n_iter=5))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: TV(-1.0), ValueError, "weight"),
        (lambda: TV(np.nan), ValueError, "weight"),
        (lambda: TV("much"), TypeError, "weight"),
        (lambda: TV(1.0, spacing=0.0), ValueError, "spacing"),
        (lambda: TV(1.0, spacing=(1.0, -1.0)), ValueError, r"spacing\[1\]"),
        (lambda: TV(1.0, spacing=(1.0, 1.0)).prox(np.ones((3, 3, 3))), ValueError, "spacing"),
        (lambda: TV(1e39).prox(np.ones((3, 3), np.float32)), ValueError, "weight.*too large"),
        (lambda: TV(1.0).prox(np.ones(3)), ValueError, "x: expected images of 2 or 3 axes"),
        (lambda: TV(1.0).prox(np.ones((2, 3, 4, 5))), ValueError, "pass ndim"),
        (lambda: TV(1.0).prox(np.ones((3, 4)), ndim=3), ValueError, "x: .* along each of 3 axes"),
        (lambda: TV(1.0).prox(np.ones((3, 0))), ValueError, "x: expected at least one voxel"),
        (lambda: TV(1.0).prox([[1.0, np.nan]]), ValueError, "x: expected finite"),
        (lambda: TV(1.0).prox([["a"]]), TypeError, "x"),
        (lambda: TV(1.0).prox(np.ones((3, 3), complex)), TypeError, "x: expected real"),
        (lambda: TV(1.0).prox(np.ones((3, 3)), n_iter=0), ValueError, "n_iter"),
        (lambda: TV(1.0).prox(np.ones((3, 3)), tolerance=-1.0), ValueError, "tolerance"),
        (lambda: TV(1.0).prox(np.ones((3, 3)), step=-1.0), ValueError, "step"),
        (lambda: TV(1.0).prox(np.ones((3, 3)), bounds=(1.0, 0.0)), ValueError, "bounds"),
        (lambda: TV(1.0).prox(np.ones((3, 3)), bounds=0.0), ValueError, r"bounds.*\(0, None\)"),
        (lambda: box("bounds", (np.nan, 1.0)), ValueError, r"bounds\[0\]"),
    ],
)
def test_bad_input_names_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
