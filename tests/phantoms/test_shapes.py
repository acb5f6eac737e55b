"""Shapes as objects: values, volumes, conventions of rotation, copies, refusals."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from spinray.phantoms import Box, Cylinder, Ellipse, Ellipsoid, Phantom, Rectangle, euler_zxz

ALL = [
    Ellipse((3.0, 2.0), centre=(1.0, 0.0), angle=0.5, value=0.1),
    Rectangle((3.0, 2.0), centre=(1.0, 0.0), angle=0.5, value=0.1),
    Ellipsoid((3.0, 2.0, 1.0), centre=(1.0, 0.0, 2.0), rotation=(0.1, 0.2, 0.3), value=0.1),
    Box((3.0, 2.0, 1.0), centre=(1.0, 0.0, 2.0), rotation=(0.1, 0.2, 0.3), value=0.1),
    Cylinder((3.0, 2.0), 4.0, centre=(1.0, 0.0, 2.0), axis=(1.0, 1.0, 0.0), value=0.1),
]


@pytest.mark.parametrize("shape", ALL, ids=lambda shape: type(shape).__name__)
def test_volume_is_the_share_of_random_points_inside(shape):
    points = np.random.default_rng(0).uniform(-8, 8, (400_000, shape.ndim))
    share = shape.contains(points).mean()
    error = 4 * np.sqrt(share / len(points))
    assert shape.volume / 16.0**shape.ndim == pytest.approx(share, abs=error)
    assert shape.integral == pytest.approx(0.1 * shape.volume)
    np.testing.assert_array_equal(shape.value_at(points), 0.1 * shape.contains(points))


@pytest.mark.parametrize("shape", ALL, ids=lambda shape: type(shape).__name__)
def test_shapes_are_values(shape):
    for twin in (pickle.loads(pickle.dumps(shape)), copy.deepcopy(shape), replace(shape), replace(shape, value=0.1)):
        assert twin == shape
        assert hash(twin) == hash(shape)
    assert replace(shape, value=0.2) != shape
    phantom = Phantom([shape, shape])
    assert pickle.loads(pickle.dumps(phantom)) == phantom == shape + shape


def test_one_half_axis_serves_all():
    assert Ellipse(2.0) == Ellipse((2.0, 2.0))
    assert Ellipsoid(2) == Ellipsoid((2.0, 2.0, 2.0))
    assert Cylinder(2.0, 1.0) == Cylinder((2.0, 2.0), 1.0)


def test_euler_angles_turn_about_z_then_x_then_z():
    """Goldstein's x convention, read as turns of the body about world axes: psi about z, theta about x, phi about z."""
    long_x = (10.0, 1.0, 1.0)
    quarter = np.pi / 2
    tips = {
        (quarter, 0.0, 0.0): (0, 9, 0),
        (0.0, quarter, 0.0): (9, 0, 0),
        (0.0, quarter, quarter): (0, 0, 9),
        (quarter, quarter, 0.0): (0, 9, 0),
        (0.3, 0.0, 0.4): (9 * np.cos(0.7), 9 * np.sin(0.7), 0),
    }
    for angles, tip in tips.items():
        assert Ellipsoid(long_x, rotation=angles).contains(tip), angles
    # The sign of theta: z goes to -y.
    assert Box((1.0, 1.0, 5.0), centre=(0, 0, 0), rotation=(0.0, 0.5, 0.0)).contains(
        4.9 * np.array([0, -np.sin(0.5), np.cos(0.5)])
    )


def test_columns_of_a_matrix_are_the_half_axes():
    matrix = euler_zxz(0.4, 1.1, -0.6)
    box = Box((5.0, 2.0, 1.0), centre=(1.0, 2.0, 3.0), rotation=matrix)
    assert box == Box((5.0, 2.0, 1.0), centre=(1.0, 2.0, 3.0), rotation=(0.4, 1.1, -0.6))
    for k, length in enumerate((5.0, 2.0, 1.0)):
        assert box.contains(np.array([1.0, 2.0, 3.0]) + 0.999 * length * matrix[:, k])
        assert not box.contains(np.array([1.0, 2.0, 3.0]) + 1.001 * length * matrix[:, k])


@pytest.mark.parametrize(
    "axis", [(1.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, -1.0), (1.0, -2.0, 0.5), (0.0, 0.0, 1.0)]
)
def test_an_axis_may_point_anywhere(axis):
    rod = Cylinder(0.5, 10.0, axis=axis)
    unit = np.array(axis) / np.linalg.norm(axis)
    np.testing.assert_allclose(rod.axis, unit, atol=1e-15)
    assert rod.contains(9.9 * unit)
    assert rod.contains(-9.9 * unit)
    assert not rod.contains(10.1 * unit)


def test_values_add_up_and_scale():
    phantom = Phantom([Ellipse(5.0, value=0.02), Phantom([Ellipse(2.0, value=-0.01), Rectangle(1.0, value=0.5)])])
    np.testing.assert_allclose(phantom.value_at([[0, 0], [1.5, 0], [4, 0], [6, 0]]), [0.51, 0.01, 0.02, 0.0])
    np.testing.assert_allclose(phantom.scaled(10.0).value_at([[0.0, 0.0]]), [5.1])
    assert phantom.value_at(np.zeros((2, 3, 2))).shape == (2, 3)
    assert phantom.integral == pytest.approx(0.02 * np.pi * 25 - 0.01 * np.pi * 4 + 0.5 * 4)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Ellipse(0.0), "half_axes"),
        (lambda: Ellipse((1.0, -2.0)), "half_axes"),
        (lambda: Ellipse((1.0, 2.0, 3.0)), "half_axes"),
        (lambda: Ellipse("big"), "half_axes"),
        (lambda: Ellipse(1.0, centre=(0.0, 0.0, 0.0)), "centre"),
        (lambda: Ellipse(1.0, centre=(0.0, np.nan)), "centre"),
        (lambda: Ellipse(1.0, angle=30.0), "Degrees"),
        (lambda: Ellipse(1.0, value=np.inf), "value"),
        (lambda: Ellipse(1.0, value="0.02"), "value"),
        (lambda: Ellipsoid(1.0, centre=5.0), "centre"),
        (lambda: Ellipsoid(1.0, rotation=np.diag([1.0, 1.0, -1.0])), "rotation"),
        (lambda: Ellipsoid(1.0, rotation=2 * np.eye(3)), "rotation"),
        (lambda: Ellipsoid(1.0, rotation=0.3), "rotation"),
        (lambda: Ellipsoid(1.0, rotation=(30.0, 0.0, 0.0)), "Degrees"),
        (lambda: Box((1.0, 2.0)), "half_axes"),
        (lambda: Cylinder(1.0, -1.0), "half_length"),
        (lambda: Cylinder(1.0, 1.0, axis=(0, 0, 0)), "axis"),
        (lambda: Cylinder(1.0, 1.0, axis=(1, 0, 0), rotation=(0.1, 0.1, 0.1)), "axis"),
        (lambda: Phantom([]), "shapes"),
        (lambda: Phantom([Ellipse(1.0), Box(1.0)]), "shapes"),
        (lambda: Phantom([Ellipse(1.0), 3]), r"shapes\[1\]"),
        (lambda: Phantom(Ellipse(1.0)), "shapes"),
        (lambda: Ellipse(1.0).value_at([[0.0, 0.0, 0.0]]), "points"),
        (lambda: Ellipse(1.0).value_at([[0.0, np.nan]]), "points"),
        (lambda: Ellipse(1.0).contains(["a", "b"]), "points"),
    ],
)
def test_bad_arguments_are_named(make, name):
    with pytest.raises((ValueError, TypeError), match=name):
        make()
