"""Adjoints, gradients and reproducible bits of every scan."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ct.scans import EVERY_SCAN, every_scan, scans
from spinray import Grid, ct
from spinray.testing import assert_adjoint, assert_deterministic, assert_gradient

#: Large enough for several threads and whole vectors.
LARGER = every_scan(7)
TURN = np.linspace(0, 2 * np.pi, 50, endpoint=False)


@settings(max_examples=150)
@given(scans(), st.integers(0, 1000))
def test_the_adjoint_of_every_scan_is_exact(A, seed):
    assert_adjoint(A, dtype=np.float64, seed=seed)
    # The weight of a ray that only grazes the object is a small difference of rounded positions.
    assert_adjoint(A, seed=seed, tolerance=1e-4)


@settings(max_examples=60)
@given(scans(whole=True), st.sampled_from([2, 7, 8, 9, 17, 33]), st.integers(0, 1000))
def test_the_adjoint_of_a_batch_is_exact_and_gives_what_its_images_give_alone(A, n, seed):
    """From 8 images on a scan in the plane takes another kernel."""
    assert_adjoint(A, dtype=np.float64, seed=seed, n_draws=n)
    # Rounded positions average out over the rays: some hundred of them leave 2e-6.
    assert_adjoint(A, seed=seed, n_draws=n, tolerance=5e-6)


@pytest.mark.parametrize("name", LARGER)
def test_adjoints_of_larger_scans_are_exact(name):
    assert_adjoint(LARGER[name])
    assert_adjoint(LARGER[name], dtype=np.float64)
    assert_adjoint(LARGER[name], n_draws=9)


@pytest.mark.parametrize(
    "A",
    [
        ct.ParallelBeam(Grid((300, 310)), TURN, 450, 1.0),
        ct.FanBeam(Grid((300, 310)), TURN, 450, 1.4, 600.0, 900.0),
        ct.FanBeam(Grid((300, 310)), TURN, 450, 1.4, 600.0, 900.0, "curved", 20.0),
        ct.ParallelBeam(Grid((40, 64, 70)), TURN, 100, 1.0),
        ct.ConeBeam(Grid((60, 64, 70)), TURN, (90, 100), 1.5, 300.0, 450.0),
        ct.ConeBeam(Grid((60, 64, 70)), TURN, (90, 100), 1.5, 300.0, 450.0, "curved", (3.0, 7.0)),
    ],
    ids=repr,
)
def test_adjoints_of_scans_of_real_size_are_exact(A):
    assert_adjoint(A)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (5, 1), (1, 1, 1), (4, 1, 1), (1, 7, 1), (1, 1, 9), (2, 1, 3)])
@pytest.mark.parametrize("n_cols", [1, 2, 33])
def test_adjoints_of_the_smallest_images_are_exact(shape, n_cols):
    grid, angles = Grid(shape, 1.3), [0.2, 1.4, 3.3]
    for A in (
        ct.ParallelBeam(grid, angles, n_cols, 0.4),
        *((ct.FanBeam(grid, angles, n_cols, 0.6, 20, 30, d) for d in ("flat", "curved")) if len(shape) == 2 else ()),
        *(
            (ct.ConeBeam(grid, angles, (3, n_cols), 0.6, 20, 30, d) for d in ("flat", "curved"))
            if len(shape) == 3
            else ()
        ),
    ):
        assert np.any(A(np.ones(shape)) > 0)
        for n in (2, 8):
            assert_adjoint(A, dtype=np.float64, n_draws=n)
            assert_adjoint(A, n_draws=n, tolerance=1e-5)


@pytest.mark.parametrize("rays_per_two_pixels", [1, 2, 3, 5, 7, 10, 14, 41])
@pytest.mark.parametrize("excess", [-5e-4, 0.0, 1e-9, 5e-4, 2e-3])
def test_whole_numbers_of_rays_over_a_pixel_and_a_little_more_are_counted(rays_per_two_pixels, excess):
    """A ray that only just reaches a pixel counts with a small weight, and none may be forgotten."""
    spacing = 2 / (rays_per_two_pixels + excess)
    for shift in (0.0, 1e-5, -1e-4, 0.3):
        A = ct.ParallelBeam(Grid((8, 9)), [0.0, np.pi / 2, np.pi], round(20 / spacing), spacing, col_offset=shift)
        assert_adjoint(A, dtype=np.float64)


@pytest.mark.parametrize("spacing", [1e-4, 30.0, 1e3, 2e3, 1e4, 1e7])
def test_rays_far_closer_or_further_apart_than_pixels_keep_the_adjoint(spacing):
    for offset in (0.0, 0.37):
        assert_adjoint(ct.ParallelBeam(Grid((8, 9)), [0.0, 1.0], 19, spacing, col_offset=offset), dtype=np.float64)
        assert_adjoint(ct.FanBeam(Grid((8, 9)), [0.0, 1.0], 19, spacing, 30, 45, "flat", offset), dtype=np.float64)


@pytest.mark.parametrize(
    ("grid", "angles", "columns", "distances", "offset"),
    [
        (Grid((50, 26), (0.654, 2.159), (-15.64, 69.19)), [-6.8, -1.62], (179, 0.4637), (48.34, 48.34), -7.77),
        (Grid((33, 37), (0.567, 0.722), (3.74, 49.9)), [-0.067, 4.712], (196, 1.2715), (31.17, 124.7), 9.28),
        (Grid((62, 55), (0.423, 2.353), (-12.9, 242.1)), [3.965, 3.927], (124, 11.0), (472.1, 708.1), 382.3),
        (Grid((59, 32), (0.217, 1.283), (38.1, 113.2)), [5.44, -0.003], (182, 0.3205), (25.05, 25.05), 4.15),
    ],
    ids=range(4),
)
def test_a_wide_curved_fan_beside_oblong_pixels_keeps_the_adjoint(grid, angles, columns, distances, offset):
    """Rays of a fan of more than a right angle may all be driven along one axis of such pixels."""
    A = ct.FanBeam(grid, angles, *columns, *distances, "curved", offset)
    assert np.ptp(A.columns) / A.sdd > np.pi / 2
    assert A(np.ones(grid.shape)).any()
    for n in (2, 9):
        assert_adjoint(A, dtype=np.float64, n_draws=n)


@pytest.mark.parametrize("gap", [3.0, 0.5, 0.1, 1e-2, 1e-6])
def test_a_source_that_touches_the_grid_keeps_the_adjoint(gap):
    for angles in ([0.0, np.pi], [np.pi / 2], [0.0, 0.02, -0.02]):
        reach = 4.0 + gap + (0.2 if len(angles) == 3 else 0.5 * (len(angles) == 1))
        for n_cols, spacing in ((25, 0.9), (301, 0.1), (25, 5.0)):
            A = ct.FanBeam(Grid((8, 9)), angles, n_cols, spacing, reach, reach)
            assert_adjoint(A, dtype=np.float64)
            A = ct.ConeBeam(Grid((4, 8, 9)), angles, (9, n_cols), (0.7, spacing), reach, reach)
            assert_adjoint(A, dtype=np.float64)


@pytest.mark.parametrize("name", EVERY_SCAN)
def test_leading_batch_dimensions_are_a_loop(name, rng):
    A = EVERY_SCAN[name]
    x = rng.standard_normal((2, 5, *A.domain_shape))
    y = A(x)
    back = A.adjoint(y)
    assert y.shape == (2, 5, *A.range_shape)
    assert back.shape == x.shape
    for i in np.ndindex(2, 5):
        np.testing.assert_allclose(y[i], A(x[i]), rtol=0, atol=1e-12 * np.abs(y).max())
        np.testing.assert_allclose(back[i], A.adjoint(y[i]), rtol=0, atol=1e-12 * np.abs(back).max())
    assert A(x[:0]).shape == (0, 5, *A.range_shape)


@pytest.mark.parametrize("name", EVERY_SCAN)
def test_gradients_of_every_order_and_mode_are_right(name):
    pytest.importorskip("torch")
    assert_gradient(EVERY_SCAN[name])


@pytest.mark.parametrize("name", LARGER)
def test_one_and_two_threads_give_the_same_bits(name):
    assert_deterministic(LARGER[name])
    A = LARGER[name]
    x = np.random.default_rng(1).standard_normal((9, *A.domain_shape)).astype(np.float32)
    assert_deterministic(lambda: (A(x), A.adjoint(A(x))))


@pytest.mark.filterwarnings("ignore")  # torch.compile warns about its own insides
def test_a_compiled_step_through_a_scan_is_the_eager_one():
    torch = pytest.importorskip("torch")
    A = EVERY_SCAN["fan flat"]

    def step(x):
        return (x - 0.01 * A.adjoint(A(x) - 1.0)).square().sum()

    x = torch.ones(3, *A.domain_shape, dtype=torch.float64, requires_grad=True)
    # aot_eager traces and differentiates as the default backend does, and spares the C++ compiler.
    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
    gradients = [torch.autograd.grad(f(x), x)[0] for f in (compiled, step)]
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0
