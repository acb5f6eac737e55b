"""Where voxels lie, and that nothing moves them."""

import copy
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spinray.errors import DtypeError, InputError
from spinray.grid import Grid, Volume, require_axis_aligned

RNG = np.random.default_rng(0)


def centres(grid):
    """World coordinates (x, y, z) of all voxel centres, shape (*grid.shape, 3), through the affine."""
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)[..., ::-1]
    if grid.ndim == 2:
        indices = np.concatenate([indices, np.zeros((*grid.shape, 1), int)], axis=-1)
    return indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def turned(rng):
    """A random rotation matrix."""
    return Rotation.from_quat(rng.standard_normal(4)).as_matrix()


def signed_permutations():
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            yield np.eye(3)[list(axes)] * signs


shapes = st.lists(st.integers(1, 6), min_size=2, max_size=3).map(tuple)
spacings = st.floats(0.01, 100.0)


# Grid


def test_the_default_grid_is_centred_on_the_isocentre():
    grid = Grid((2, 3, 4), spacing=(3.0, 2.0, 1.0))
    assert grid.shape == (2, 3, 4)
    assert grid.spacing == (3.0, 2.0, 1.0)
    assert grid.origin == (-1.5, -2.0, -1.5)
    np.testing.assert_array_equal(grid.direction, np.eye(3))
    assert grid.ndim == 3
    assert all(type(value) is float for value in (*grid.spacing, *grid.origin))


@given(shapes, spacings, st.floats(-100, 100))
def test_the_centre_of_voxel_i_lies_at_origin_plus_i_spacing(shape, spacing, start):
    grid = Grid(shape, spacing, start)
    for n, axis in zip(shape, grid.axes(), strict=True):
        np.testing.assert_allclose(axis, start + np.arange(n) * spacing, rtol=1e-12, atol=1e-12)
    world = np.stack(np.meshgrid(*grid.axes(), indexing="ij"), axis=-1)[..., ::-1]
    np.testing.assert_allclose(centres(grid)[..., : grid.ndim], world, rtol=1e-12, atol=1e-9)


@given(shapes, spacings)
def test_the_default_centre_is_zero(shape, spacing):
    grid = Grid(shape, spacing)
    np.testing.assert_allclose(centres(grid).reshape(-1, 3).mean(axis=0), 0, atol=1e-9 * spacing)
    assert Grid(shape, spacing, origin=7.0).centred() == grid


def test_the_affine_acts_on_xyz_indices():
    grid = Grid((2, 3, 4), spacing=(3.0, 2.0, 1.0), origin=(30.0, 20.0, 10.0))
    expected = [[1, 0, 0, 10], [0, 2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]]
    np.testing.assert_array_equal(grid.affine, expected)
    np.testing.assert_array_equal(Grid((3, 4), (2.0, 1.0), 0.0).affine, np.diag([1.0, 2.0, 1.0, 1.0]))


def test_grids_are_values():
    grid = Grid([2, 3], spacing=2, direction=[[-1, 0], [0, 1]])
    same = Grid((np.int64(2), 3), spacing=(2.0, 2.0), direction=np.diag([-1.0, 1.0, 1.0]))
    assert grid == same
    assert hash(grid) == hash(same)
    assert grid != Grid((2, 3), spacing=2)
    assert {grid: 1}[same] == 1
    assert pickle.loads(pickle.dumps(grid)) == grid
    assert copy.deepcopy(grid) == grid
    with pytest.raises(AttributeError):
        grid.spacing = (1.0, 1.0)


@pytest.mark.parametrize("direction", list(signed_permutations()))
def test_repr_can_be_evaluated(direction):
    grid = Grid((2, 3, 4), spacing=(1.5, 1.0, 2.0), direction=direction)
    assert eval(repr(grid)) == grid


@given(st.integers(0, 1000), shapes.filter(lambda shape: len(shape) == 3))
def test_a_grid_comes_back_from_its_affine(seed, shape):
    rng = np.random.default_rng(seed)
    direction = turned(rng) * rng.choice([-1, 1])
    grid = Grid(shape, rng.uniform(0.1, 5, 3), rng.uniform(-100, 100, 3), direction)
    for affine in (grid.affine, grid.affine.astype(np.float32)):
        back = Grid.from_affine(shape, affine)
        np.testing.assert_allclose(back.spacing, grid.spacing, rtol=1e-6)
        np.testing.assert_allclose(back.origin, grid.origin, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(back.direction, direction, atol=1e-6)
        assert back.matches(grid)


def test_rounding_in_a_file_does_not_make_a_grid_oblique():
    affine = Grid((4, 5, 6), 0.7).affine
    affine[:3, :3] += 1e-6 * RNG.standard_normal((3, 3))
    grid = Grid.from_affine((4, 5, 6), affine)
    assert not grid.is_oblique
    np.testing.assert_array_equal(grid.direction, np.eye(3))


def test_a_real_tilt_does():
    tilted = Rotation.from_euler("x", 0.5, degrees=True).as_matrix()
    assert Grid((4, 5, 6), direction=tilted).is_oblique
    for direction in signed_permutations():
        assert not Grid((4, 5, 6), direction=direction).is_oblique


# Axis-aligned grids


@pytest.mark.parametrize("direction", list(signed_permutations()))
def test_flips_and_permutations_hold_the_same_voxels(direction):
    grid = Grid((2, 3, 4), spacing=(3.0, 2.0, 1.0), origin=(7.0, -5.0, 11.0), direction=direction)
    aligned = grid.axis_aligned()
    np.testing.assert_array_equal(aligned.direction, np.eye(3))
    where = np.moveaxis(centres(grid), -1, 0)
    np.testing.assert_allclose(np.moveaxis(grid.to_aligned(where), 0, -1), centres(aligned), atol=1e-12)
    np.testing.assert_array_equal(grid.from_aligned(grid.to_aligned(where)), where)
    data = RNG.standard_normal((2, 5, *grid.shape))
    assert grid.to_aligned(data).shape == (2, 5, *aligned.shape)
    np.testing.assert_array_equal(grid.from_aligned(grid.to_aligned(data)), data)
    assert require_axis_aligned(grid) == aligned


@pytest.mark.parametrize("direction", [[[0, 1], [1, 0]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]]])
def test_flips_and_permutations_of_an_image(direction):
    grid = Grid((2, 3), spacing=(2.0, 1.0), origin=(5.0, 6.0), direction=direction)
    where = np.moveaxis(centres(grid), -1, 0)
    np.testing.assert_allclose(np.moveaxis(grid.to_aligned(where), 0, -1), centres(grid.axis_aligned()), atol=1e-12)


def test_an_aligned_grid_is_left_alone():
    grid = Grid((2, 3, 4))
    data = np.zeros((2, 3, 4))
    assert grid.axis_aligned() is grid
    assert grid.to_aligned(data) is data
    assert grid.from_aligned(data) is data


@given(st.integers(0, 1000))
def test_the_aligned_grid_of_an_oblique_one_covers_it_closely(seed):
    rng = np.random.default_rng(seed)
    direction = turned(rng)
    grid = Grid(rng.integers(1, 9, 3), rng.uniform(0.5, 2, 3), rng.uniform(-9, 9, 3), direction)
    aligned = grid.axis_aligned()
    np.testing.assert_array_equal(aligned.direction, np.eye(3))
    corners = np.array(list(itertools.product(*((-0.5, n - 0.5) for n in grid.shape[::-1]))))
    world = corners @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    low = np.array(aligned.origin) - 0.5 * np.array(aligned.spacing)
    high = low + np.array(aligned.shape) * aligned.spacing
    slack = 1e-2 * np.array(aligned.spacing)
    assert (world.min(axis=0)[::-1] >= low - slack).all()
    assert (world.max(axis=0)[::-1] <= high + slack).all()
    assert (high - low - np.ptp(world, axis=0)[::-1] <= np.array(aligned.spacing) + slack).all()
    assert sorted(aligned.spacing) == pytest.approx(sorted(grid.spacing))


def test_a_slight_tilt_keeps_the_spacing_of_each_axis():
    tilted = Rotation.from_euler("xyz", (3, -2, 5), degrees=True).as_matrix()
    assert Grid((10, 20, 30), (3.0, 2.0, 1.0), direction=tilted).axis_aligned().spacing == pytest.approx(
        (3.0, 2.0, 1.0)
    )


def test_scanners_refuse_oblique_grids_with_the_fix():
    tilted = Grid((4, 5, 6), direction=Rotation.from_euler("x", 10, degrees=True).as_matrix())
    with pytest.raises(InputError, match=r"grid: expected axes along x, y and z.*volume\.resample\(aligned\)"):
        require_axis_aligned(tilted)
    with pytest.raises(InputError, match="oblique"):
        tilted.to_aligned(np.zeros((4, 5, 6)))
    with pytest.raises(InputError, match=r"Use grid\.axis_aligned\(\)"):
        tilted.axes()
    with pytest.raises(DtypeError, match=r"grid: expected a spinray\.Grid, got tuple"):
        require_axis_aligned((4, 5, 6))
    with pytest.raises(DtypeError, match=r"got Volume\. Pass volume\.grid"):
        require_axis_aligned(Volume(np.zeros((2, 2)), np.eye(4)))


def test_grids_match_up_to_rounding():
    grid = Grid((200, 300), 0.7)
    assert grid.matches(Grid((200, 300), 0.7 + 1e-9))
    assert not grid.matches(Grid((200, 300), 0.701))
    assert not grid.matches(Grid((200, 301), 0.7))
    assert not grid.matches(Grid((200, 300), 0.7, origin=0.0))
    assert not grid.matches(Grid((1, 200, 300), 0.7))
    assert not grid.matches(Grid((200, 300), 0.7, direction=np.diag([-1.0, 1, 1])))


# Bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((4,),), InputError, "shape: expected 2 or 3 integers, got 1"),
        (((4, 5, 6, 7),), InputError, "shape: expected 2 or 3 integers, got 4"),
        (((4, 0),), InputError, r"shape\[1\]: expected an integer >= 1, got 0"),
        (((4, 5.0),), DtypeError, r"shape\[1\]: expected an integer, got 5.0"),
        ((4,), DtypeError, "shape: expected a tuple of integers, got 4"),
        (((4, 5), 0.0), InputError, "spacing: expected a positive number, got 0.0"),
        (((4, 5), (1.0, -1.0)), InputError, r"spacing\[1\]: expected a positive number, got -1.0"),
        (((4, 5), (1.0, 1.0, 1.0)), InputError, "spacing: expected one number or 2 of them"),
        (((4, 5), np.nan), InputError, "spacing: expected a finite number, got nan"),
        (((4, 5), "1"), DtypeError, "spacing"),
        (((4, 5), 1.0, (0.0, np.inf)), InputError, r"origin\[1\]: expected a finite number, got inf"),
        (((4, 5, 6), 1.0, None, np.eye(4)), InputError, r"direction: expected shape \(3, 3\), got \(4, 4\)"),
        (((4, 5, 6), 1.0, None, 2 * np.eye(3)), InputError, "direction: expected unit columns.* as spacing"),
        (((4, 5, 6), 1.0, None, [[1, 0.6, 0], [0, 0.8, 0], [0, 0, 1]]), InputError, "direction: .*sheared"),
        (((4, 5, 6), 1.0, None, [[1, 1, 0], [0, 0, 0], [0, 0, 1]]), InputError, "direction: .*singular"),
        (((4, 5, 6), 1.0, None, np.full((3, 3), np.nan)), InputError, "direction: expected finite numbers"),
        (((4, 5), 1.0, None, np.eye(3)[[0, 2, 1]]), InputError, "direction: a 2-D grid can only be turned"),
    ],
)
def test_what_is_no_grid_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Grid(*arguments)


SHEARED = np.array([[1.0, 0, 0, 0], [0, 1.0, 0.27, 0], [0, 0, 1.0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (SHEARED, r"affine: expected perpendicular axes, got a sheared one \(74.89 degrees.*Gantry tilt"),
        (np.diag([1.0, 0, 1, 1]), "affine: expected three independent axes, got a singular one"),
        (np.eye(4)[[0, 0, 2, 3]], "affine: .*singular"),
        (np.array([[1.0, 2, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "affine: .*singular"),
        (np.full((4, 4), np.nan), "affine: expected finite numbers"),
        (np.eye(3), r"affine: expected shape \(4, 4\), got \(3, 3\)"),
        (Grid((2, 2, 2), origin=3.0).affine.T, "affine: expected the last row 0 0 0 1.*Transposed"),
    ],
)
def test_bad_affines_are_refused(affine, message):
    with pytest.raises(InputError, match=message):
        Grid.from_affine((2, 2, 2), affine)
    with pytest.raises(InputError, match=message):
        Volume(np.zeros((2, 2, 2)), affine)


# Volume


def test_a_volume_keeps_its_data_and_affine():
    data = RNG.integers(0, 9, (2, 3, 4)).astype(np.int16)
    affine = Grid((2, 3, 4), (3.0, 2.0, 1.0)).affine
    volume = Volume(data, affine)
    assert volume.data is data
    assert volume.grid == Grid((2, 3, 4), (3.0, 2.0, 1.0))
    np.testing.assert_array_equal(np.asarray(volume), data)
    assert np.asarray(volume) is data
    assert np.asarray(volume, dtype=float).dtype == float
    assert np.array(volume) is not data
    assert float(np.mean(volume)) == data.mean()
    affine[0, 0] = 99.0
    assert volume.affine[0, 0] == 1.0
    assert repr(volume) == "Volume(shape=(2, 3, 4), dtype=int16, spacing (x, y, z)=(1, 2, 3) mm)"
    again = pickle.loads(pickle.dumps(volume))
    np.testing.assert_array_equal(again.data, data)
    assert again.grid == volume.grid


@pytest.mark.parametrize("shape", [(3,), (), (1, 1, 1, 1, 1), (2, 0, 3)])
def test_a_volume_has_two_to_four_dimensions(shape):
    with pytest.raises(InputError, match=r"data: expected shape \(y, x\), \(z, y, x\) or \(t, z, y, x\)"):
        Volume(np.zeros(shape), np.eye(4))


def test_a_volume_holds_numbers():
    with pytest.raises(DtypeError, match="data: expected an array of numbers"):
        Volume([["a", "b"]], np.eye(4))


def test_a_coronal_image_is_a_volume_without_a_grid():
    affine = np.array([[1.0, 0, 0, 5], [0, 0, 1, 6], [0, 2, 0, 7], [0, 0, 0, 1]])
    image = Volume(np.zeros((3, 4)), affine)
    with pytest.raises(InputError, match="affine: expected a 2-D image in the x-y plane"):
        image.grid  # noqa: B018  looking is what is tested


@pytest.mark.parametrize("direction", list(signed_permutations()))
def test_values_follow_the_voxels_to_another_order(direction):
    grid = Grid((2, 3, 4), (3.0, 2.0, 1.0), (7.0, -5.0, 11.0), direction)
    series = Volume(RNG.standard_normal((2, 2, 3, 4)), grid.affine)
    aligned = grid.axis_aligned()
    np.testing.assert_array_equal(series.values_on(aligned), grid.to_aligned(series.data))
    back = Volume(series.values_on(aligned), aligned.affine)
    np.testing.assert_array_equal(back.values_on(grid), series.data)
    resampled = series.resample(aligned)
    np.testing.assert_array_equal(resampled.data, series.values_on(aligned))
    assert not np.shares_memory(resampled.data, series.data)
    assert resampled.grid.matches(aligned)


def test_values_elsewhere_are_refused():
    volume = Volume(np.zeros((2, 3, 4)), np.eye(4))
    with pytest.raises(InputError, match=r"volume: expected the voxels of .*volume\.resample\(grid\)"):
        volume.values_on(Grid((2, 3, 4)))


@given(st.integers(0, 1000), st.sampled_from([2, 3]))
def test_resampling_is_exact_for_linear_functions_inside(seed, ndim):
    rng = np.random.default_rng(seed)
    slope = rng.standard_normal(3)
    slope[ndim:] = 0

    def direction():
        if ndim == 3:
            return turned(rng)
        return Rotation.from_euler("z", rng.uniform(0, 6)).as_matrix()

    source = Grid((24,) * ndim, rng.uniform(0.8, 1.2, ndim), None, direction())
    target = Grid(rng.integers(1, 5, ndim), rng.uniform(0.3, 1.5, ndim), None, direction())
    volume = Volume(centres(source) @ slope, source.affine)
    resampled = volume.resample(target)
    assert resampled.data.dtype == np.float64
    np.testing.assert_allclose(resampled.data, centres(target) @ slope, atol=1e-9)
    np.testing.assert_allclose(resampled.affine, target.affine)


def test_a_volume_falls_off_linearly_to_the_next_missing_centre():
    line = Volume(np.full((1, 2), 4.0), Grid((1, 2), origin=0.0).affine)
    fine = Grid((1, 9), spacing=0.5, origin=(0.0, -1.5))
    np.testing.assert_allclose(line.resample(fine).data, [[0, 0, 2, 4, 4, 4, 2, 0, 0]], atol=1e-12)
    in_hu = line.resample(fine, fill=-1000.0).data
    np.testing.assert_allclose(in_hu, [[-1000, -1000, -498, 4, 4, 4, -498, -1000, -1000]], atol=1e-9)


def test_each_frame_of_a_series_is_resampled():
    source, target = Grid((4, 5, 6)), Grid((3, 4, 5), 0.9)
    series = Volume(RNG.standard_normal((3, 4, 5, 6)).astype(np.float32), source.affine)
    together = series.resample(target).data
    assert together.dtype == np.float32
    assert together.shape == (3, 3, 4, 5)
    for frame, expected in zip(together, series.data, strict=True):
        np.testing.assert_array_equal(frame, Volume(expected, source.affine).resample(target).data)


def test_integers_are_resampled_as_numbers():
    line = Volume(np.array([[0, 1]], np.uint8), Grid((1, 2)).affine)
    result = line.resample(Grid((1, 1))).data
    assert result.dtype == np.float32
    assert result == 0.5


def test_resampling_onto_nonsense_is_refused():
    volume = Volume(np.zeros((2, 3, 4)), np.eye(4))
    with pytest.raises(InputError, match="grid: expected 3 dimensions"):
        volume.resample(Grid((3, 4)))
    with pytest.raises(DtypeError, match=r"grid: expected a spinray\.Grid"):
        volume.resample((2, 3, 4))
    with pytest.raises(InputError, match="fill: expected a finite number"):
        volume.resample(Grid((2, 3, 4)), fill=np.nan)


# Other toolkits


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", "bool", "int64", "float16", ">i2"])
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (5, 2, 3, 4)])
def test_nibabel_sees_the_same_voxels_at_the_same_places(dtype, shape):
    nibabel = pytest.importorskip("nibabel")
    data = RNG.integers(0, 2, shape).astype(dtype)
    grid = Grid(shape[-3:], spacing=range(1, 1 + len(shape[-3:])))
    image = Volume(data, grid.affine).to_nibabel()
    np.testing.assert_array_equal(np.asarray(image.dataobj), data.T)
    np.testing.assert_array_equal(image.affine, grid.affine)
    assert image.header.get_zooms()[: grid.ndim] == grid.spacing[::-1]
    assert image.header.get_xyzt_units() == ("mm", "sec")
    if len(shape) > 2:
        again = nibabel.Nifti1Image.from_bytes(image.to_bytes())
        np.testing.assert_array_equal(np.asarray(again.dataobj), data.T)
        ijk = (1, 2, 1)
        place = nibabel.affines.apply_affine(again.affine, ijk)
        np.testing.assert_allclose(place, centres(grid)[ijk[::-1]])


@pytest.mark.filterwarnings("ignore")  # MONAI and what it imports warn about their own future
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (5, 2, 3, 4)])
def test_monai_sees_channels_first_and_the_affine(shape):
    pytest.importorskip("monai")
    data = RNG.standard_normal(shape).astype(">f4")
    volume = Volume(data, Grid(shape[-3:], spacing=2.0).affine)
    tensor = volume.to_monai()
    assert tuple(tensor.shape) == ((5, 4, 3, 2) if len(shape) == 4 else (1, *shape[::-1]))
    np.testing.assert_array_equal(tensor.affine, volume.affine)
    first = data[0] if len(shape) == 4 else data
    np.testing.assert_array_equal(tensor[0].numpy(), first.T)
    tensor += 1
    np.testing.assert_array_equal(volume.data, data)
