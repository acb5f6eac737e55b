"""Means over voxels: exact where they can be, closing in on the integral everywhere else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinray import Grid
from spinray.phantoms import Box, Cylinder, Ellipse, Ellipsoid, Phantom, Rectangle, euler_zxz, shepp_logan

TURN = euler_zxz(0.3, 0.7, 1.1)
CURVED = {
    "disc": Ellipse(12.3, centre=(0.3, 0.1)),
    "ellipse": Ellipse((13.0, 4.0), centre=(0.3, 0.1), angle=0.6),
    "rectangle": Rectangle((11.0, 5.0), centre=(0.3, 0.1), angle=0.4),
    "ball": Ellipsoid(12.3, centre=(0.3, 0.2, 0.1)),
    "ellipsoid": Ellipsoid((13.0, 7.0, 5.0), centre=(0.3, 0.2, 0.1), rotation=TURN),
    "cylinder": Cylinder((9.0, 6.0), 11.3, centre=(0.3, 0.2, 0.1)),
    "tilted cylinder": Cylinder((9.0, 6.0), 10.0, centre=(0.3, 0.2, 0.1), rotation=TURN),
    "tilted box": Box((9.0, 6.0, 4.0), centre=(0.3, 0.2, 0.1), rotation=TURN),
}


def overlap(low, high, edges):
    """Length of [low, high] in each interval between edges, as a share of the interval."""
    return np.clip(np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1]), 0, None) / np.diff(edges)


@given(st.lists(st.floats(0.1, 9.0), min_size=3, max_size=3), st.lists(st.floats(-4.0, 4.0), min_size=3, max_size=3))
@settings(max_examples=30, deadline=None)
def test_aligned_boxes_are_exact(half_axes, centre):
    grid = Grid((11, 12, 13), spacing=(1.5, 1.0, 0.75))
    shares = []
    for axis, k in enumerate((2, 1, 0)):
        n, step = grid.shape[axis], grid.spacing[axis]
        edges = (np.arange(n + 1) - n / 2) * step
        shares.append(overlap(centre[k] - half_axes[k], centre[k] + half_axes[k], edges))
    expected = shares[0][:, None, None] * shares[1][:, None] * shares[2]
    mean = Box(half_axes, centre=centre).voxelise(grid, supersampling=1, dtype=np.float64)
    np.testing.assert_allclose(mean, expected, atol=1e-12)


def test_half_axes_follow_the_axes_of_space_not_of_the_array():
    grid = Grid((9, 7, 5))
    mean = Box((2.5, 1.5, 0.5), centre=(0.0, 1.0, 2.0)).voxelise(grid)
    expected = np.zeros(grid.shape)
    expected[6, 3:6, :] = 1.0
    np.testing.assert_allclose(mean, expected)


@pytest.mark.parametrize("name", CURVED)
def test_the_total_is_the_volume_and_errors_fall_with_supersampling(name):
    shape = CURVED[name]
    grid = Grid((36,) * shape.ndim)
    fine = shape.voxelise(grid, supersampling=32, dtype=np.float64)
    cut = (fine > 0) & (fine < 1)
    errors = []
    for supersampling in (1, 2, 4, 8):
        mean = shape.voxelise(grid, supersampling=supersampling, dtype=np.float64)
        assert mean.min() >= 0
        assert mean.max() <= 1 + 1e-12
        errors.append(np.sqrt(np.mean((mean - fine)[cut] ** 2)))
        assert mean.sum() == pytest.approx(shape.volume, rel=4e-3 / supersampling**2)
    assert errors[0] < 0.06
    assert errors[2] < 4e-3
    assert errors[3] < 1e-3
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 8 * errors[3]


@pytest.mark.parametrize("name", CURVED)
def test_voxel_means_are_what_point_sampling_finds(name):
    """Points share no code with the chords; a mean over m^d of them errs by at most some 1/m near a surface."""
    shape = CURVED[name]
    grid, m = Grid((9,) * shape.ndim, spacing=3.1), 16
    inner = (np.arange(m) + 0.5) / m - 0.5
    axes = [(axis[:, None] + 3.1 * inner).ravel() for axis in grid.axes()]
    points = np.stack(np.meshgrid(*axes, indexing="ij")[::-1], -1)
    blocks = shape.value_at(points).reshape([k for n in grid.shape for k in (n, m)])
    expected = blocks.mean(axis=tuple(range(1, 2 * shape.ndim, 2)))
    mean = shape.voxelise(grid, supersampling=16, dtype=np.float64)
    assert np.abs(mean - expected).max() < 0.04
    assert np.sqrt(np.mean((mean - expected) ** 2)) < 4e-3


def test_a_thin_plate_keeps_its_volume_at_any_angle():
    plate = Box((8.0, 6.0, 0.05), rotation=TURN)
    mean = plate.voxelise(Grid((24, 24, 24)), supersampling=8, dtype=np.float64)
    assert mean.sum() == pytest.approx(plate.volume, rel=5e-3)


def test_an_oblique_grid_sees_the_object_turned_back():
    grid = Grid((20, 20, 20), direction=TURN)
    seen = Box((6.3, 4.2, 2.1), rotation=TURN).voxelise(grid, dtype=np.float64)
    np.testing.assert_allclose(seen, Box((6.3, 4.2, 2.1)).voxelise(Grid((20, 20, 20)), dtype=np.float64), atol=1e-9)


def test_flipped_axes_only_reorder_voxels():
    shape = CURVED["ellipsoid"]
    plain = Grid((30, 30, 30))
    flipped = Grid((30, 30, 30), direction=np.diag([-1.0, 1.0, -1.0]))
    means = shape.voxelise(flipped, dtype=np.float64)
    np.testing.assert_allclose(flipped.to_aligned(means), shape.voxelise(plain, dtype=np.float64), atol=1e-6)


def test_voxels_of_different_sizes_hold_the_same_volume():
    ball = Ellipsoid(10.0)
    for shape, spacing in [((12, 24, 48), (2.0, 1.0, 0.5)), ((3, 24, 24), (8.0, 1.0, 1.0)), ((1, 1, 1), 24.0)]:
        mean = ball.voxelise(Grid(shape, spacing=spacing), supersampling=16, dtype=np.float64)
        assert mean.sum() * np.prod(np.broadcast_to(spacing, 3)) == pytest.approx(ball.volume, rel=3e-3)


def test_what_lies_outside_the_grid_is_cut_off():
    mean = Ellipse(100.0, centre=(100.0, 0.0)).voxelise(Grid((4, 6)))
    np.testing.assert_array_equal(mean[:, 3:] > 0.98, True)
    np.testing.assert_array_equal(mean[:, :3], 0.0)
    np.testing.assert_array_equal(Ellipse(1.0, centre=(50.0, 0.0)).voxelise(Grid((4, 6))), 0.0)


def test_sums_of_shapes_are_sums_of_means():
    grid, shapes = Grid((40, 40)), [CURVED["disc"], CURVED["ellipse"], CURVED["rectangle"]]
    parts = [shape.voxelise(grid, dtype=np.float64) for shape in shapes]
    np.testing.assert_allclose(Phantom(shapes).voxelise(grid, dtype=np.float64), np.sum(parts, 0), atol=1e-12)


def test_any_thread_count_gives_the_same_bits():
    import spinray

    grid, before = Grid((40, 50)), spinray.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            spinray.set_num_threads(threads)
            results.append(shepp_logan(2, field_of_view=40.0).voxelise(grid))
    finally:
        spinray.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_dtype_and_shape_are_as_asked():
    assert Ellipse(3.0).voxelise(Grid((4, 6))).dtype == np.float32
    assert Ellipsoid(3.0).voxelise(Grid((4, 6, 7)), dtype=np.float64).shape == (4, 6, 7)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: Ellipse(1.0).voxelise(Grid((4, 4, 4))), "grid"),
        (lambda: Box(1.0).voxelise(Grid((4, 4))), "grid"),
        (lambda: Box(1.0).voxelise((4, 4, 4)), "grid"),
        (lambda: Ellipse(1.0).voxelise(Grid((4, 4)), supersampling=0), "supersampling"),
        (lambda: Ellipse(1.0).voxelise(Grid((4, 4)), supersampling=2.5), "supersampling"),
        (lambda: Ellipse(1.0).voxelise(Grid((4, 4)), supersampling=10**9), "supersampling"),
        (lambda: Ellipse(1.0).voxelise(Grid((4, 4)), dtype=np.float16), "dtype"),
    ],
)
def test_bad_arguments_are_named(call, name):
    with pytest.raises((ValueError, TypeError), match=name):
        call()
