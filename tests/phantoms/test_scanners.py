"""Phantoms before the CT scanners: where a ball's shadow falls, from the geometry written out by hand."""

import numpy as np
import pytest

from phantoms.scanner import integral
from spinray import Grid, ct
from spinray.phantoms import Ellipse, Ellipsoid, Phantom, head

ANGLES = np.array([0.0, 0.4, 2.0, 4.5])
CENTRE, RADIUS = np.array([20.0, -12.0, 9.0]), 7.0
GRID = Grid((32, 32, 32), spacing=4.0)


def chord(source, towards):
    """Length of a line in the ball, by Pythagoras."""
    direction = (towards - source) / np.linalg.norm(towards - source, axis=-1, keepdims=True)
    away = CENTRE - source
    squared = (away**2).sum(-1) - (away * direction).sum(-1) ** 2
    return 2 * np.sqrt(np.clip(RADIUS**2 - squared, 0, None))


def frame(angle):
    return (
        np.array([np.cos(angle), np.sin(angle), 0]),
        np.array([-np.sin(angle), np.cos(angle), 0]),
        np.array([0, 0, 1.0]),
    )


def positions(n, spacing, offset):
    return (np.arange(n) - (n - 1) / 2) * spacing + offset


@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_cone_beam(detector):
    sod, sdd, offset = 300.0, 450.0, (5.0, -8.0)
    A = ct.ConeBeam(GRID, ANGLES, (40, 60), (3.0, 2.5), sod, sdd, detector=detector, detector_offset=offset)
    v, s = positions(40, 3.0, offset[0])[:, None, None], positions(60, 2.5, offset[1])[None, :, None]
    expected = []
    for t in ANGLES:
        u, d, z = frame(t)
        along, across = (sdd, s) if detector == "flat" else (sdd * np.cos(s / sdd), sdd * np.sin(s / sdd))
        expected.append(chord(-sod * d, (along - sod) * d + across * u + v * z))
    found = Ellipsoid(RADIUS, centre=CENTRE).project(A, dtype=np.float64)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.max() > 1.9 * RADIUS


def test_parallel_beam():
    A = ct.ParallelBeam(GRID, ANGLES, 64, 2.0, n_rows=20, row_spacing=3.0, col_offset=4.0)
    v, s = positions(20, 3.0, 0.0)[:, None, None], positions(64, 2.0, 4.0)[None, :, None]
    expected = [chord(s * u + v * z, s * u + v * z + d) for u, d, z in map(frame, ANGLES)]
    found = Ellipsoid(RADIUS, centre=CENTRE).project(A, dtype=np.float64)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_fan_beam_and_its_subsets():
    A = ct.FanBeam(Grid((64, 64), spacing=2.0), ANGLES, 80, 2.0, 300.0, 450.0)
    phantom = Phantom([Ellipse((30.0, 20.0), centre=(5.0, -3.0), angle=0.4, value=0.02), Ellipse(5.0, value=0.01)])
    found = phantom.project(A)
    assert found.shape == A.range_shape
    np.testing.assert_array_equal(phantom.project(A[[2, 0]]), found[[2, 0]])
    origins, directions = A.rays(3)
    assert found[3, 37] == pytest.approx(integral(phantom, origins[37], directions[37]), rel=1e-6)


@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_a_voxelised_head_projects_to_nearly_the_same(detector):
    grid = Grid((110, 104, 92), spacing=2.0)
    A = ct.ConeBeam(grid, [0.3, 1.7], (90, 90), (4.0, 4.0), 600.0, 900.0, detector=detector)
    phantom = head()
    exact = phantom.project(A, dtype=np.float64)
    error = A(phantom.voxelise(grid)) - exact
    # Two-millimetre voxels blur a skull of seven: what remains is that, and it has no bias.
    assert np.sqrt(np.mean(error**2) / np.mean(exact**2)) < 0.02
    assert abs(error.mean() / exact.mean()) < 1e-3
