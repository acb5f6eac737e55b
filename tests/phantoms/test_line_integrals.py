"""Line integrals of shapes: closed forms first, then quadrature along random rays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantoms.scanner import Rays, integral, parallel
from spinray.phantoms import Box, Cylinder, Ellipse, Ellipsoid, Phantom, Rectangle, euler_zxz

coordinate = st.floats(-15.0, 15.0)
half_axis = st.floats(0.5, 12.0)
euler = st.floats(-3.1, 3.1)


def test_disc_has_the_chord_of_pythagoras_in_every_view():
    angles, columns = np.linspace(0, np.pi, 7), np.linspace(-30.0, 30.0, 121)
    projection = Ellipse(20.0, centre=(4.0, -3.0), value=0.02).project(parallel(angles, columns), dtype=np.float64)
    offset = 4.0 * np.cos(angles) - 3.0 * np.sin(angles)
    chord = 2 * np.sqrt(np.clip(20.0**2 - (columns[None] - offset[:, None]) ** 2, 0, None))
    np.testing.assert_allclose(projection, 0.02 * chord, atol=1e-12)


def test_ellipse_has_the_chord_of_kak_and_slaney():
    a, b, alpha = 12.0, 5.0, 0.7
    angles, columns = np.linspace(0, np.pi, 9), np.linspace(-14.0, 14.0, 57)
    projection = Ellipse((a, b), angle=alpha).project(parallel(angles, columns), dtype=np.float64)
    squared = (a * np.cos(angles - alpha)) ** 2 + (b * np.sin(angles - alpha)) ** 2
    chord = 2 * a * b * np.sqrt(np.clip(squared[:, None] - columns**2, 0, None)) / squared[:, None]
    np.testing.assert_allclose(projection, chord, atol=1e-12)


def test_ellipse_turns_from_x_towards_y():
    tilted = Ellipse((10.0, 1.0), angle=np.pi / 4)
    assert integral(tilted, (0, 0, 0), (1, 1, 0)) == pytest.approx(20.0)
    assert integral(tilted, (0, 0, 0), (1, -1, 0)) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("origin", "direction", "chord"),
    [
        ((0, 0, -99), (0, 0, 1), 6.0),
        ((-99, 0, 0), (1, 0, 0), 2.0),
        ((0.999, 1.999, 0), (0, 0, -1), 6.0),
        ((-1, -2, -3), (2, 4, 6), np.sqrt(4 + 16 + 36)),
        ((1, 2, 3), (1, -1, 0), 0.0),
        ((1.5, 0, 0), (-1, 1, 0), 1.5 * np.sqrt(2)),
        ((1.001, 0, -99), (0, 0, 1), 0.0),
        ((-99, 2.001, 0), (1, 0, 0), 0.0),
        ((1, 0.5, -99), (0, 0, 1), 3.0),
        ((1, 2, -99), (0, 0, 1), 1.5),
    ],
    ids=[
        "z",
        "x",
        "just inside",
        "diagonal",
        "through a corner only",
        "cuts an edge",
        "missing",
        "missing y",
        "in a face",
        "in an edge",
    ],
)
def test_box_chords(origin, direction, chord):
    assert integral(Box((1.0, 2.0, 3.0)), origin, direction) == pytest.approx(chord, abs=1e-12)


def test_boxes_that_share_a_face_add_up_to_their_union():
    tiles = Phantom([Box(1.0, centre=(x, y, 0.0)) for x in (-1, 1) for y in (-1, 1)])
    union = Box((2.0, 2.0, 1.0))
    for origin in [(0.0, 0.0, -9.0), (0.0, 0.7, -9.0), (2.0, 0.3, -9.0), (0.3, -1.1, -9.0)]:
        assert integral(tiles, origin, (0, 0, 1)) == pytest.approx(integral(union, origin, (0, 0, 1)), abs=1e-12)


def test_a_face_is_seen_alike_from_rounded_directions():
    # cos(pi / 2) is 6e-17: such a ray runs in the face all the same.
    assert integral(Rectangle(5.0), (5.0, 0, 0), (np.cos(np.pi / 2), 1, 0)) == 5.0


@given(half_axis, half_axis, half_axis, euler, euler, euler, coordinate, coordinate, coordinate)
@settings(max_examples=50, deadline=None)
def test_ellipsoid_is_an_affine_image_of_the_ball(a, b, c, phi, theta, psi, x, y, z):
    """Map the ray back to the unit ball: the chord there, stretched by the length of the mapped direction."""
    rotation, origin, direction = euler_zxz(phi, theta, psi), np.array([x, y, z]), np.array([0.48, -0.6, 0.64])
    o, d = (np.diag([1 / a, 1 / b, 1 / c]) @ rotation.T @ v for v in (origin - [1, 2, 3], direction))
    distance = np.linalg.norm(np.cross(o, d)) / np.linalg.norm(d)
    chord = 2 * np.sqrt(max(0.0, 1 - distance**2)) / np.linalg.norm(d)
    ellipsoid = Ellipsoid((a, b, c), centre=(1, 2, 3), rotation=rotation)
    assert integral(ellipsoid, origin, direction) == pytest.approx(chord, abs=1e-6)


def test_cylinder_is_cut_by_its_side_and_by_its_ends():
    rod = Cylinder(2.0, 3.0)
    assert integral(rod, (1, 1, 99), (0, 0, -1)) == pytest.approx(6.0)
    assert integral(rod, (-99, 1, 2.9), (1, 0, 0)) == pytest.approx(2 * np.sqrt(3.0))
    assert integral(rod, (-99, 1, 3.1), (1, 0, 0)) == 0.0
    # At 45 degrees through the centre the side is met first, at x = -2 and 2.
    assert integral(rod, (0, 0, 0), (1, 0, 1)) == pytest.approx(4 * np.sqrt(2.0))
    # Steeper than the diagonal the ends are met first, at z = -3 and 3.
    assert integral(rod, (0, 0, 0), (1, 0, 3)) == pytest.approx(6 * np.sqrt(10.0) / 3)


def test_cylinder_follows_its_axis():
    rod = Cylinder(2.0, 30.0, axis=(3.0, 0.0, 4.0), centre=(1.0, 1.0, 1.0))
    assert integral(rod, (1, 1, 1), (0.6, 0, 0.8)) == pytest.approx(60.0)
    assert integral(rod, (1, 1, 1), (0, 1, 0)) == pytest.approx(4.0)


def test_tangents_and_misses_are_zero():
    shapes = [Ellipsoid((3.0, 2.0, 1.0)), Cylinder(3.0, 1.0), Box((3.0, 1.0, 1.0))]
    for shape in shapes:
        assert integral(shape, (3.0, -9, 0) if not isinstance(shape, Box) else (3.1, -9, 0), (0, 1, 0)) == 0.0
        assert integral(shape, (0, -9, 1.5), (0, 1, 0)) == 0.0


@st.composite
def solids(draw):
    centre, rotation = [draw(coordinate) for _ in range(3)], [draw(euler) for _ in range(3)]
    size = [draw(half_axis) for _ in range(3)]
    kind = draw(st.sampled_from([Ellipsoid, Box, Cylinder]))
    given_size = (size[:2], size[2]) if kind is Cylinder else (size,)
    return kind(*given_size, centre=centre, rotation=rotation, value=draw(st.floats(-2.0, 2.0)))


@given(st.lists(solids(), min_size=1, max_size=3), st.lists(coordinate, min_size=6, max_size=6))
@settings(max_examples=40, deadline=None)
def test_line_integrals_are_what_quadrature_finds(shapes, ends):
    """Midpoint sums of value_at, which shares no code with the kernel, along a random ray."""
    phantom = Phantom(shapes)
    origin, aim = np.array(ends[:3]), np.add(ends[3:], [0.1, 0.2, 0.3])
    direction = aim / np.linalg.norm(aim)
    step, reach = 0.005, 80.0
    t = np.arange(-reach, reach, step) + step / 2
    points = origin + t[:, None] * direction
    # Each surface crossed misplaces at most half a step.
    bound = 2 * step * sum(abs(shape.value) for shape in shapes) + 1e-9
    assert abs(integral(phantom, origin, direction) - step * phantom.value_at(points).sum()) <= bound


@given(st.lists(solids(), min_size=2, max_size=5))
@settings(max_examples=20, deadline=None)
def test_projection_is_additive(shapes):
    rays = Rays(np.random.default_rng(0).normal(0, 5, (2, 50, 3)), np.random.default_rng(1).normal(0, 1, (2, 50, 3)))
    parts = [shape.project(rays, dtype=np.float64) for shape in shapes]
    np.testing.assert_allclose(Phantom(shapes).project(rays, dtype=np.float64), np.sum(parts, 0), atol=1e-12)


def test_a_far_source_costs_no_digits():
    ball = Ellipsoid(1.0, centre=(0.3, 0.2, 0.1))
    near = integral(ball, (0.3, 0.2 + 0.6, -10), (0, 0, 1))
    far = integral(ball, (0.3, 0.2 + 0.6, -1e6), (0, 0, 1))
    assert near == pytest.approx(1.6, abs=1e-14)
    assert far == pytest.approx(1.6, abs=1e-9)


def test_rows_and_columns_lie_as_the_scanner_says():
    scan = parallel(np.linspace(0, 3, 4), np.linspace(-12, 12, 25), rows=np.linspace(-9, 9, 19))
    ball = Ellipsoid(8.0)
    chord = 2 * np.sqrt(np.clip(64 - np.linspace(-12, 12, 25) ** 2 - np.linspace(-9, 9, 19)[:, None] ** 2, 0, None))
    projection = ball.project(scan)
    assert projection.dtype == np.float32
    assert projection.shape == (4, 19, 25)
    np.testing.assert_allclose(projection, np.broadcast_to(chord, (4, 19, 25)), atol=1e-5)


def test_a_scan_in_the_plane_sees_the_slice_of_a_solid():
    scan = parallel([0.0, 1.0], np.linspace(-5, 5, 11))
    ball = Ellipsoid(5.0, centre=(0, 0, 3.0))
    np.testing.assert_allclose(ball.project(scan), Ellipse(4.0).project(scan), atol=1e-6)


def test_many_views_are_the_views_one_by_one(monkeypatch):
    from spinray.phantoms import base

    scan = parallel(np.linspace(0, 3, 11), np.linspace(-9, 9, 33))
    phantom = Phantom([Ellipse((5.0, 3.0), angle=0.2), Rectangle(4.0, centre=(2.0, 1.0))])
    at_once = phantom.project(scan)
    monkeypatch.setattr(base, "_RAYS_PER_CALL", 100)
    np.testing.assert_array_equal(phantom.project(scan), at_once)


def test_unusable_scanners_are_refused():
    disc, rows = Ellipse(5.0), parallel([0.0], [0.0], rows=[1.0])
    with pytest.raises(ValueError, match="plane z = 0"):
        disc.project(rows)
    with pytest.raises(TypeError, match="A: expected an operator"):
        disc.project(np.zeros((3, 3)))
    with pytest.raises(TypeError, match="dtype"):
        disc.project(parallel([0.0], [0.0]), dtype=np.int32)
    wrong = parallel([0.0], [0.0, 1.0])
    wrong.range_shape = (1, 3)
    with pytest.raises(ValueError, match=r"rays\(0\)"):
        disc.project(wrong)
    nowhere = parallel([0.0], [0.0])
    nowhere.directions = np.zeros_like(nowhere.directions)
    with pytest.raises(ValueError, match="direction without length"):
        disc.project(nowhere)
