"""Subsets of views, copies, and images that know where they lie."""

import copy
import pickle

import numpy as np
import pytest

from ct.scans import EVERY_SCAN, every_scan
from spinray import Grid, ct
from spinray.grid import Volume
from spinray.testing import assert_adjoint, assert_safe_in_workers

MASK = np.array([True, False, False, True, True])
SUBSETS = [
    slice(None, None, 2),
    slice(1, 4),
    slice(None, None, -1),
    slice(-2, None),
    [0, 4, 2],
    [-1, 1, -1],
    np.array([3]),
    MASK,
    MASK.tolist(),
    range(1, 5, 2),
    ...,
]


@pytest.mark.parametrize("views", SUBSETS, ids=repr)
@pytest.mark.parametrize("name", EVERY_SCAN)
def test_the_projection_of_a_subset_is_the_subset_of_the_projection(name, views, rng):
    A = EVERY_SCAN[name]
    x = rng.standard_normal(A.domain_shape)
    part = A[views]
    expected = A(x)[list(views) if isinstance(views, range) else views]
    assert part.range_shape == expected.shape
    assert len(part) == len(expected)
    np.testing.assert_array_equal(part(x), expected)
    assert type(part) is type(A)
    # Rows of a matrix: the other views' part of the adjoint is missing.
    y = rng.standard_normal(expected.shape)
    whole = np.zeros(A.range_shape)
    np.add.at(whole, list(views) if isinstance(views, range) else views, y)
    back = A.adjoint(whole)
    np.testing.assert_allclose(part.adjoint(y), back, rtol=0, atol=1e-12 * np.abs(back).max())


def test_one_view_keeps_its_axis_and_subsets_of_subsets_work(rng):
    A = EVERY_SCAN["cone flat"]
    x = rng.standard_normal(A.domain_shape)
    for view in (3, -2, np.int64(0)):
        assert A[view].range_shape == (1, *A.range_shape[1:])
        np.testing.assert_array_equal(A[view](x)[0], A(x)[view])
    np.testing.assert_array_equal(A[1:][::2](x), A(x)[1::2])
    np.testing.assert_array_equal(A[1:].rays(0)[1], A.rays(1)[1])
    # The operator itself is as it was.
    assert A.range_shape == (5, 4, 7)
    assert_adjoint(A[::2])


def test_ordered_subsets_add_up_to_the_whole_adjoint(rng):
    A = EVERY_SCAN["fan curved"]
    y = rng.standard_normal(A.range_shape)
    parts = sum(A[k::3].adjoint(y[k::3]) for k in range(3))
    np.testing.assert_allclose(parts, A.adjoint(y), atol=1e-12)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (5, "views: expected indices of 5 views, got 5"),
        ([0, -6], "views: expected indices of 5 views"),
        ([0.5], "views: expected indices of 5 views"),
        ("first", "views: expected indices of 5 views, got 'first'"),
        (slice(3, 3), "views: expected at least one view"),
        ([], "views"),
        (np.zeros(5, bool), "views: expected at least one view"),
        (np.zeros(4, bool), "views: expected indices of 5 views"),
        ((0, 1), "views: expected one index"),
        (np.zeros((2, 2), int), "views: expected one index"),
        (None, "views: expected one index"),
    ],
    ids=repr,
)
def test_subsets_that_are_none_are_refused(views, message):
    for name in ("parallel", "cone curved"):
        with pytest.raises((ValueError, TypeError), match=message):
            EVERY_SCAN[name][views]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda A: pickle.loads(pickle.dumps(A))])
@pytest.mark.parametrize("name", EVERY_SCAN)
def test_copies_compute_the_same(name, copied, rng):
    A = EVERY_SCAN[name]
    x = rng.standard_normal(A.domain_shape)
    for original in (A, A[1::2], A.H.H):
        again = copied(original)
        assert again is not original
        np.testing.assert_array_equal(again(x), original(x))
        np.testing.assert_array_equal(again.adjoint(original(x)), original.adjoint(original(x)))
        assert again.grid == original.grid
        assert repr(again) == repr(original)


def test_a_pickle_holds_no_native_object():
    A = EVERY_SCAN["cone flat"]
    A(np.zeros(A.domain_shape))
    assert b"Projector" not in pickle.dumps(A)
    assert len(pickle.dumps(A)) < 4000


def test_geometry_cannot_be_changed_behind_the_kernel():
    angles = np.array([0.1, 0.2, 0.3])
    A = ct.ParallelBeam(Grid((4, 4)), angles, 5)
    x = np.arange(16.0).reshape(4, 4)
    before = A(x)
    angles[:] = 1.0
    np.testing.assert_array_equal(A(x), before)
    np.testing.assert_array_equal(A.angles, [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(copy.deepcopy(A)(x), before)
    np.testing.assert_array_equal(A[1:](x), before[1:])
    for part in (A, A[1:], A[[0, 2]]):
        with pytest.raises(ValueError, match="read-only"):
            part.angles[0] = 2.0


FLIPS = {
    "as stored by DICOM": np.diag([-1.0, -1.0, 1.0]),
    "all axes flipped": np.diag([-1.0, -1.0, -1.0]),
    "x and z exchanged": np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]]),
    "rolled": np.array([[0.0, 0, 1], [-1, 0, 0], [0, 1, 0]]),
}


@pytest.mark.parametrize("name", FLIPS)
def test_flipped_and_permuted_grids_are_reordered_and_put_back(name, rng):
    """The same voxels in another order: the same projections, and the adjoint comes back in the order given."""
    shape, spacing, angles = (4, 5, 6), (1.3, 0.9, 1.1), [0.3, 1.9, 4.0]
    grid = Grid(shape, spacing, (2.0, -1.0, 0.5), FLIPS[name])
    aligned = grid.axis_aligned()
    x = rng.standard_normal(shape)
    # The affine says where each voxel is; sort the voxels by that and nothing else.
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3)
    world = indices[:, ::-1] @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    nearest = np.rint((world[:, ::-1] - aligned.origin) / aligned.spacing).astype(int)
    straight = np.empty(aligned.shape)
    straight[tuple(nearest.T)] = x.ravel()

    for build in (
        lambda grid: ct.ParallelBeam(grid, angles, 15, 0.8, n_rows=9, row_spacing=1.0, row_offset=0.0),
        lambda grid: ct.ConeBeam(grid, angles, (9, 15), 1.1, 40, 55, detector_offset=(0.4, -0.3)),
    ):
        A, B = build(grid), build(aligned)
        assert A.domain_shape == shape
        y = B(straight)
        np.testing.assert_array_equal(A(x), y)
        np.testing.assert_array_equal(A(Volume(x, grid.affine)), y)
        # A volume of the same voxels in another order is brought into the operator's.
        np.testing.assert_array_equal(A(Volume(straight, aligned.affine)), y)
        np.testing.assert_array_equal(B(Volume(x, grid.affine)), y)
        np.testing.assert_array_equal(A.adjoint(y).ravel(), B.adjoint(y)[tuple(nearest.T)])
        assert_adjoint(A)


def test_default_rows_of_a_stack_are_the_slices_of_a_permuted_grid():
    grid = Grid((4, 5, 6), (1.3, 0.9, 1.1), direction=FLIPS["rolled"])
    aligned = grid.axis_aligned()
    A = ct.ParallelBeam(grid, [0.3], 15)
    assert A.range_shape == (1, aligned.shape[0], 15)
    np.testing.assert_allclose(A.rows, aligned.axes()[0], atol=1e-12)


def test_a_volume_on_another_grid_is_refused(rng):
    A = EVERY_SCAN["cone flat"]
    x = rng.standard_normal(A.domain_shape)
    np.testing.assert_array_equal(A(Volume(x, A.grid.affine)), A(x))
    elsewhere = Grid(A.grid.shape, A.grid.spacing)
    with pytest.raises(ValueError, match="volume: expected the voxels of"):
        A(Volume(x, elsewhere.affine))


@pytest.mark.parametrize(
    ("name", "start_method"), [("fan flat", "fork"), ("cone curved", "fork"), ("parallel", "spawn")]
)
def test_workers_of_a_data_loader_project(name, start_method):
    pytest.importorskip("torch")
    assert_safe_in_workers(every_scan(5)[name], num_workers=2, start_method=start_method)


@pytest.mark.parametrize("name", EVERY_SCAN)
def test_algebra_and_scipy_see_a_scan_as_a_matrix(name, rng):
    A = EVERY_SCAN[name]
    x = rng.standard_normal(A.domain_shape)
    matrix = A(np.eye(x.size).reshape(-1, *A.domain_shape)).reshape(x.size, -1).T
    np.testing.assert_allclose(A(x).ravel(), matrix @ x.ravel(), atol=1e-12)
    np.testing.assert_allclose(A.as_scipy() @ x.ravel(), matrix @ x.ravel(), atol=1e-12)
    np.testing.assert_allclose(A.gram()(x).ravel(), matrix.T @ matrix @ x.ravel(), atol=1e-10)
    assert A.norm(tolerance=1e-7) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-3)
