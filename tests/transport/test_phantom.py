"""Phantoms of voxels: what lies where, and what is refused."""

import pickle

import numpy as np
import pytest

from spinray.errors import DtypeError, InputError
from spinray.grid import Grid, Volume
from spinray.transport import Material, VoxelPhantom

WATER, BONE = Material("water"), Material("cortical bone")


def two_materials(grid=None, **more):
    grid = Grid((4, 5, 6), (2.0, 1.0, 0.5), (10.0, 20.0, 30.0)) if grid is None else grid
    labels = np.random.default_rng(1).integers(0, 2, grid.shape)
    return VoxelPhantom(grid, ["water", BONE], labels, **more)


def centres(grid):
    z, y, x = np.meshgrid(*grid.axes(), indexing="ij")
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)


def test_voxel_centres_have_their_voxels_material_density_and_cell():
    density = np.random.default_rng(2).uniform(0.1, 2.0, (4, 5, 6)).astype(np.float32)
    for own in (None, density):
        phantom = two_materials(density=own)
        material, found, cell = phantom._kernel().locate(centres(phantom.grid))
        assert np.array_equal(material, phantom.labels.ravel())
        assert np.array_equal(found, phantom.densities.ravel())
        assert np.array_equal(cell, np.arange(120))
    assert phantom.densities is not density
    assert np.array_equal(phantom.densities, density)


def test_faces_belong_to_the_voxel_of_larger_index_and_the_last_one_to_none():
    phantom = VoxelPhantom(Grid((1, 1, 4), 3.0), ["water"], np.zeros((1, 1, 4), int))
    points = np.array([[x, 0.0, 0.0] for x in (-6.001, -6.0, -3.0, -0.001, 0.0, 5.999, 6.0)])
    assert phantom._kernel().locate(points)[2].tolist() == [-1, 0, 1, 1, 2, 3, -1]


def test_flipped_and_permuted_grids_describe_the_same_phantom():
    plain = Grid((4, 5, 6), (2.0, 1.0, 0.5), (10.0, 20.0, 30.0))
    affine = plain.affine.copy()
    flipped = affine @ np.array([[-1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    one = two_materials(plain)
    other = VoxelPhantom(Grid.from_affine(plain.shape, flipped), ["water", BONE], one.labels[:, :, ::-1])
    points = centres(plain)
    for a, b in zip(one._kernel().locate(points), other._kernel().locate(points), strict=True):
        assert np.array_equal(a, b)


def test_air_surrounds_the_grid_as_far_as_its_margin():
    phantom = VoxelPhantom(Grid((2, 2, 2), 10.0), ["water"], np.zeros((2, 2, 2), int), outside="air", margin=50.0)
    points = np.array([[0.0, 0.0, 0.0], [10.5, 0.0, 0.0], [59.0, 0.0, 0.0], [61.0, 0.0, 0.0]])
    _, density, cell = phantom._kernel().locate(points)
    air = Material("air").density
    assert density == pytest.approx([1.0, air, air, 0.0], rel=1e-6)
    assert cell.tolist() == [7, 8, 8, -1]
    low, high = phantom._kernel().bounds
    assert (low[0], high[2]) == (-60.0, 60.0)


def test_masses_are_density_times_volume():
    phantom = two_materials()
    expected = np.where(phantom.labels == 1, BONE.density, 1.0) * 1e-3  # voxels of 1 mm3
    assert phantom.masses == pytest.approx(expected, rel=1e-6)
    assert phantom._kernel().masses() == pytest.approx(expected.ravel(), rel=1e-6)


def test_vacuum_is_a_material_without_mass():
    labels = np.array([[[0, 1, 2]]])
    phantom = VoxelPhantom(Grid((1, 1, 3)), ["water", "vacuum", "Al"], labels)
    assert phantom.materials[1] is None
    assert phantom.masses.ravel() == pytest.approx([1e-3, 0.0, 2.699e-3], rel=1e-3)
    assert phantom._kernel().locate(centres(phantom.grid))[1][1] == 0.0
    dense = VoxelPhantom(phantom.grid, ["water", "vacuum", "Al"], labels, density=2.0)
    assert dense.densities.ravel().tolist() == [2.0, 0.0, 2.0]


def test_labels_of_a_mapping_are_any_integers():
    phantom = VoxelPhantom(Grid((1, 1, 3)), {7: "water", 0: "air", 300: BONE}, [[[0, 300, 7]]])
    names = [phantom.materials[label].name for label in phantom.labels.ravel()]
    assert names == ["air", "cortical bone", "water"]
    assert phantom.labels.dtype == np.uint8


def test_more_than_256_materials_have_labels_of_two_bytes():
    materials = [WATER.with_density(0.5 + 0.001 * i) for i in range(300)]
    phantom = VoxelPhantom(Grid((1, 1, 300)), materials, np.arange(300).reshape(1, 1, 300))
    assert phantom.labels.dtype == np.uint16
    assert phantom._kernel().locate(centres(phantom.grid))[0].tolist() == list(range(300))


def test_attenuation_is_that_of_the_material_at_the_voxels_density():
    phantom = VoxelPhantom(Grid((1, 1, 2)), ["water", "Al"], [[[0, 1]]], density=[[[0.5, 2.0]]])
    expected = [WATER.attenuation(80) * 0.5, Material("Al").mass_attenuation(80) / 10 * 2.0]
    assert phantom.attenuation(80).ravel() == pytest.approx(expected, rel=1e-6)


def test_ct_numbers_become_tissues_in_place():
    hu = np.array([[[-1000.0, 0.0, 60.0, 1200.0]]])
    volume = Volume(hu, Grid((1, 1, 4), 2.0).affine)
    phantom = VoxelPhantom.from_hu(volume, outside="air")
    assert phantom.grid == volume.grid
    assert np.all(np.diff(phantom.densities.ravel()) > 0)
    assert phantom.attenuation(60)[0, 0, 1] == pytest.approx(WATER.attenuation(60), rel=0.03)


def test_a_pickled_phantom_is_the_same_and_carries_no_caches():
    phantom = two_materials(density=np.full((4, 5, 6), 1.5))
    _ = phantom._kernel(), phantom.densities
    again = pickle.loads(pickle.dumps(phantom))
    assert vars(again).keys() == {"grid", "materials", "labels", "density", "outside", "margin"}
    assert np.array_equal(again.labels, phantom.labels)
    assert not again.labels.flags.writeable
    assert np.array_equal(again._kernel().masses(), phantom._kernel().masses())


def test_a_phantom_does_not_change():
    labels = np.zeros((1, 1, 2), np.uint8)
    phantom = VoxelPhantom(Grid((1, 1, 2)), ["water", "Al"], labels)
    labels[:] = 1
    assert phantom.labels.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        phantom.labels[:] = 1
    with pytest.raises(AttributeError, match="immutable"):
        phantom.margin = 3.0


GRID = Grid((1, 1, 2))
NONE = np.zeros((1, 1, 2), int)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((GRID, ["water"], NONE + 1), r"labels: .* material \(0 to 0\), got \[1\] without one"),
        ((GRID, ["water"], NONE - 1), r"labels: .* got \[-1\] without one"),
        ((GRID, {3: "water", 5: "Al"}, NONE + 4), r"labels: .* \(3, 5\), got \[4\]"),
        ((GRID, ["water"], np.zeros((1, 2, 2), int)), r"labels: expected the shape of the grid, \(1, 1, 2\)"),
        ((GRID, ["watter"], NONE), "Close: 'water'"),
        ((GRID, [], NONE), "materials: expected at least one"),
        ((GRID, ["water"], NONE, [[[1.0, -0.5]]]), r"density: expected numbers >= 0 .* got -0.5 at \(0, 0, 1\)"),
        ((GRID, ["water"], NONE, [[[1.0, np.nan]]]), "density: expected finite numbers"),
        ((GRID, ["water"], NONE, [[[1.0, 1000.0]]]), "kg/m3"),
        ((GRID, ["water"], NONE, np.ones((2, 2, 2))), "density: expected the shape of the grid"),
        ((GRID, ["water"], NONE, None, "ether"), "outside: expected one of 'vacuum', 'air'"),
        ((GRID, ["water"], NONE, None, "air", -1.0), "margin: expected a positive number"),
        ((Grid((2, 2)), ["water"], np.zeros((2, 2), int)), "grid: expected a 3-D grid"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        VoxelPhantom(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((GRID, ["water"], NONE + 0.5), "labels: expected integers"),
        ((GRID, "water", NONE), r"Such as \['water'\]"),
        ((GRID, [3], NONE), r"materials\[0\]: expected a Material"),
        (((1, 1, 2), ["water"], NONE), r"grid: expected a spinray\.Grid"),
    ],
)
def test_bad_types_are_named(arguments, message):
    with pytest.raises(DtypeError, match=message):
        VoxelPhantom(*arguments)


def test_ct_images_that_cannot_be_read_are_refused():
    affine = np.eye(4)
    with pytest.raises(InputError, match="hu: expected finite numbers"):
        VoxelPhantom.from_hu(Volume(np.full((2, 2, 2), np.nan), affine))
    with pytest.raises(InputError, match=r"volume: expected shape \(z, y, x\)"):
        VoxelPhantom.from_hu(Volume(np.zeros((2, 2)), affine))
    with pytest.raises(DtypeError, match=r"volume: expected a spinray\.Volume"):
        VoxelPhantom.from_hu(np.zeros((2, 2, 2)))
