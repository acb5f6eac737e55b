"""Phantoms of solids: priorities, volumes, and what is refused."""

import math
import pickle

import numpy as np
import pytest

from spinray.errors import DtypeError, InputError
from spinray.grid import Grid
from spinray.transport import Box, Cylinder, Material, SlabStack, SolidPhantom, Sphere


def at(phantom, *points):
    """Names of what lies at points, None outside."""
    cells = phantom._kernel().locate(np.array(points, float))[2]
    return [None if cell < 0 else phantom.names[cell] for cell in cells]


def test_the_highest_priority_decides_and_the_later_one_among_equals():
    solids = [
        Sphere("Al", 3.0, priority=2, name="ball"),
        Box("water", 10.0, name="first"),
        Box("PMMA", 10.0, (4, 0, 0), name="second"),
    ]
    phantom = SolidPhantom(solids, bounds=((-10, -10, -10), (10, 10, 10)))
    points = [(0, 0, 0), (2.9, 0, 0), (3.1, 0, 0), (-4, 0, 0), (8.9, 0, 0), (9.1, 0, 0), (11, 0, 0)]
    assert at(phantom, *points) == ["ball", "ball", "second", "first", "second", "world", None]


def test_a_cylinder_lies_along_its_axis():
    for axis, along in (("x", (1, 0, 0)), ("y", (0, 1, 0)), ("z", (0, 0, 1)), ((3, 0, 4), (0.6, 0, 0.8))):
        bar = Cylinder("water", radius=1.0, height=20.0, axis=axis, name="bar")
        phantom = SolidPhantom([bar], bounds=((-15, -15, -15), (15, 15, 15)))
        d = np.array(along, float)
        across = np.cross(d, [0.28, 0.5, -0.1])
        across /= np.linalg.norm(across)
        points = [9.99 * d, 10.01 * d, 5 * d + 0.99 * across, 5 * d + 1.01 * across, -9.99 * d]
        assert at(phantom, *points) == ["bar", "world", "bar", "world", "bar"]


def test_a_box_holds_its_lower_faces_and_stacked_slabs_leave_no_gap():
    thicknesses = [0.1, 0.6, 1 / 3, 1.7]
    stack = SlabStack(["Al", "CdTe", "PMMA", "water"], thicknesses, size=10.0, start=-0.3, axis="y")
    phantom = SolidPhantom([stack])
    faces = np.array([slab.low[1] for slab in stack.slabs])
    assert faces == pytest.approx(-0.3 + np.cumsum([0, *thicknesses[:-1]]))
    assert at(phantom, *[(0, face, 0) for face in faces]) == list(phantom.names[:4])
    fine = np.linspace(faces[0], faces[0] + sum(thicknesses) - 1e-6, 5001)
    assert "world" not in at(phantom, *[(0, y, 0) for y in fine])
    assert phantom.volumes[:4] == pytest.approx([100 * t for t in thicknesses])


def test_volumes_and_masses_of_nested_solids_are_closed_forms():
    solids = [
        Box.between((-20, -20, -20), (20, 20, 20), "PMMA", name="block"),
        Cylinder("water", 15, 30, axis="x", priority=1, name="tank"),
        Sphere("Al", 5, (2, 1, 0), priority=2, name="ball"),
    ]
    phantom = SolidPhantom(solids, world="air", bounds=((-20, -20, -20), (30, 20, 20)))
    ball, tank = 4 / 3 * math.pi * 125, math.pi * 225 * 30
    expected = [64000 - tank, tank - ball, ball, 16000]
    assert phantom.volumes == pytest.approx(expected, rel=1e-12)
    density = [Material(name).density for name in ("PMMA", "water", "Al", "air")]
    assert phantom.masses == pytest.approx([1e-3 * d * v for d, v in zip(density, expected, strict=True)], rel=1e-6)


def test_the_visible_part_of_a_breast_cut_by_the_chest_is_half_a_cylinder():
    solids = [
        Cylinder("skin", 100, 50, name="skin"),
        Cylinder("breast", 98, 46, priority=1, name="breast"),
        Box.between((-170, -150, -150), (0, 150, 150), "water", priority=2, name="body"),
    ]
    phantom = SolidPhantom(solids)
    inner, outer = math.pi * 98**2 * 46 / 2, math.pi * 100**2 * 50 / 2
    assert phantom.volumes[:3] == pytest.approx([outer - inner, inner, 170 * 300 * 300], rel=5e-4)


def test_a_mesh_scores_instead_of_the_solids_it_covers():
    mesh = Grid((2, 1, 3), (10.0, 10.0, 10.0), (-5.0, 0.0, -10.0))
    phantom = SolidPhantom([Box("water", 100.0), Sphere("Al", 8.0, priority=1)], mesh=mesh)
    cells = phantom._kernel().locate(np.array([[-10.0, 0, -5.0], [10.0, 0, 5.0], [0, 20.0, 0], [0, 0, 0.1]]))[2]
    assert cells.tolist() == [3, 8, 0, 7]
    assert phantom.mesh_masses.shape == (2, 1, 3)
    plain = SolidPhantom([Box("water", 100.0), Sphere("Al", 8.0, priority=1)])
    total = phantom.masses.sum() + phantom.mesh_masses.sum()
    assert total == pytest.approx(plain.masses.sum(), rel=1e-4)


def test_densities_other_than_the_materials_own_count():
    phantom = SolidPhantom([Box("water", 10.0, density=0.3)], world="vacuum")
    assert phantom.masses == pytest.approx([0.3, 0.0], rel=1e-6)


def test_a_pickled_phantom_is_the_same_and_carries_no_caches():
    phantom = SolidPhantom([Box("water", 10.0), Sphere("Al", 2.0, priority=1)], world="air")
    _ = phantom.masses
    again = pickle.loads(pickle.dumps(phantom))
    assert not {"_native", "_contents"} & vars(again).keys()
    assert again.names == phantom.names
    assert np.array_equal(again.masses, phantom.masses)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Box("water", (1, 0, 1)), r"size\[1\]: expected a positive number"),
        (lambda: Box("water", 1, (0, 0)), r"centre: expected shape \(3,\)"),
        (lambda: Box.between((0, 0, 0), (1, 1, 0), "water"), "high: expected more than low"),
        (lambda: Box("watr", 1), "Close: 'water'"),
        (lambda: Box("water", 1, density=-1.0), "density: expected a positive number"),
        (lambda: Box("vacuum", 1, density=1.0), "density: expected None for vacuum"),
        (lambda: Sphere("water", float("nan")), "radius: expected a finite number"),
        (lambda: Cylinder("water", 1, 1, axis=(0, 0, 0)), "axis: expected a vector that is not zero"),
        (lambda: Cylinder("water", 1, 1, axis="w"), "axis: expected one of 'x', 'y', 'z'"),
        (lambda: SlabStack(["water"], [1.0, 2.0], 10.0), "thicknesses: expected one for each material"),
        (lambda: SlabStack([], [], 10.0), "thicknesses: expected one for each material"),
        (lambda: SolidPhantom([]), "solids: expected at least one, or bounds"),
        (lambda: SolidPhantom([Box("Al", 1, name="a"), Box("Al", 1, name="a")]), "name: expected another"),
        (lambda: SolidPhantom([Box("Al", 1)], bounds=((0, 0, 0), (0, 1, 1))), "bounds: expected low < high"),
        (lambda: SolidPhantom([Box("Al", 1)], mesh=Grid((2, 2))), "mesh: expected a 3-D"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_what_is_no_solid_is_refused():
    with pytest.raises(DtypeError, match=r"solids\[1\]: expected a Box"):
        SolidPhantom([Box("Al", 1), "ball"])
    with pytest.raises(DtypeError, match="materials: expected a list"):
        SlabStack("Al", [1.0], 10.0)
