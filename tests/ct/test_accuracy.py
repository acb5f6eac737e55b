"""Projections against closed forms: what the line integrals are, not what another program finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ct.joseph import joseph
from ct.scans import scans
from spinray import Grid, ct
from spinray.phantoms import Box, Ellipse, Ellipsoid, Rectangle

# Objects one mm across, so that a grid of spacing 1/n has n samples across them. No view of the scans below runs
# along a face of the box: a jump in a projection is blurred over a voxel, whatever the model.
PLANE_OBJECTS = {
    "disc": Ellipse(0.5, centre=(0.03, -0.02)),
    "ellipse": Ellipse((0.5, 0.3), centre=(0.04, -0.03), angle=0.5),
    "box": Rectangle((0.4, 0.3), centre=(0.02, 0.01), angle=0.3),
}
SOLIDS = {
    "sphere": Ellipsoid(0.5, centre=(0.03, -0.02, 0.02)),
    "ellipsoid": Ellipsoid((0.5, 0.3, 0.4), centre=(0.04, -0.03, 0.01), rotation=(0.5, 0.4, 0.3)),
    "box": Box((0.4, 0.3, 0.25), centre=(0.02, 0.01, 0.03), rotation=(0.3, 0.4, 0.2)),
}
TURN = 0.013 + np.linspace(0, 2 * np.pi, 24, endpoint=False)
FEW_VIEWS = np.array([0.1, 0.9, 1.7, 2.5, 3.6, 4.4, 5.3])

PLANE_SCANS = {
    "parallel": lambda grid, s: ct.ParallelBeam(grid, TURN, 384, s),
    "parallel offset": lambda grid, s: ct.ParallelBeam(grid, TURN, 384, s, col_offset=0.21),
    "fan flat": lambda grid, s: ct.FanBeam(grid, TURN, 384, 1.5 * s, sod=2.0, sdd=3.0),
    "fan curved": lambda grid, s: ct.FanBeam(grid, TURN, 384, 1.5 * s, sod=2.0, sdd=3.0, detector="curved"),
    "fan offset": lambda grid, s: ct.FanBeam(grid, TURN, 384, 1.5 * s, sod=2.0, sdd=3.0, col_offset=0.31),
    "fan sdd = sod": lambda grid, s: ct.FanBeam(grid, TURN, 384, s, sod=1.2, sdd=1.2),
    "fan curved sdd = sod": lambda grid, s: ct.FanBeam(grid, TURN, 384, s, sod=1.2, sdd=1.2, detector="curved"),
}
SPACE_SCANS = {
    "parallel": lambda grid, s: ct.ParallelBeam(grid, FEW_VIEWS, 80, s, n_rows=80, row_spacing=s, col_offset=0.11),
    "parallel slices": lambda grid, s: ct.ParallelBeam(grid, FEW_VIEWS, 80, s),
    "cone flat": lambda grid, s: ct.ConeBeam(grid, FEW_VIEWS, (80, 80), 1.6 * s, sod=2.0, sdd=3.0),
    "cone curved": lambda grid, s: ct.ConeBeam(grid, FEW_VIEWS, (80, 80), 1.6 * s, sod=2.0, sdd=3.0, detector="curved"),
    "cone offset": lambda grid, s: ct.ConeBeam(
        grid, FEW_VIEWS, (80, 80), (1.4 * s, 1.6 * s), sod=2.0, sdd=3.0, detector_offset=(0.13, -0.31)
    ),
    "cone sdd = sod": lambda grid, s: ct.ConeBeam(grid, FEW_VIEWS, (80, 80), 1.1 * s, sod=2.0, sdd=2.0),
}


def plane_grid(n, stretch=1.0):
    """Square field of 1.2 mm with n samples per mm along y, `stretch` times as many along x."""
    return Grid((round(1.2 * n), round(1.2 * n * stretch)), (1 / n, 1 / (n * stretch)))


def space_grid(n, stretch=1.0):
    return Grid((round(1.16 * n * stretch), round(1.16 * n), round(1.16 * n)), (1 / (n * stretch), 1 / n, 1 / n))


def relative_rms(A, phantom, image):
    exact = phantom.project(A, dtype=np.float64)
    return float(np.sqrt(np.mean((A(image) - exact) ** 2) / np.mean(exact**2)))


@pytest.mark.parametrize("stretch", [1.0, 1.3], ids=["square pixels", "oblong pixels"])
@pytest.mark.parametrize("name", PLANE_OBJECTS)
def test_projections_in_the_plane_are_the_chords_of_the_object(name, stretch):
    """At most 0.5 % of relative RMS with 256 samples across the object, less than half of it with 64."""
    phantom = PLANE_OBJECTS[name]
    fine, coarse = plane_grid(256, stretch), plane_grid(64, stretch)
    fine_image, coarse_image = (phantom.voxelise(grid, supersampling=8) for grid in (fine, coarse))
    errors = {
        scan: (
            relative_rms(build(coarse, 1 / 256), phantom, coarse_image),
            relative_rms(build(fine, 1 / 256), phantom, fine_image),
        )
        for scan, build in PLANE_SCANS.items()
    }
    report = f"{name}, relative RMS (64, 256 samples): " + repr(
        {k: tuple(f"{e:.2%}" for e in v) for k, v in errors.items()}
    )
    print(report)
    assert all(at_256 <= 0.005 for _, at_256 in errors.values()), report
    assert all(at_256 <= 0.5 * at_64 for at_64, at_256 in errors.values()), report


@pytest.fixture(scope="module")
def voxelised():
    """Solids on grids of 64 and 256 samples, made once."""
    return {
        (name, n): phantom.voxelise(space_grid(n), supersampling=4)
        for name, phantom in SOLIDS.items()
        for n in (64, 256)
    }


@pytest.mark.parametrize("name", SOLIDS)
def test_projections_in_space_are_the_chords_of_the_object(name, voxelised):
    """At most 0.7 % of relative RMS with 256 samples across the object, less than half of it with 64."""
    phantom = SOLIDS[name]
    errors = {
        scan: tuple(relative_rms(build(space_grid(n), 1 / 64), phantom, voxelised[name, n]) for n in (64, 256))
        for scan, build in SPACE_SCANS.items()
    }
    report = f"{name}, relative RMS (64, 256 samples): " + repr(
        {k: tuple(f"{e:.2%}" for e in v) for k, v in errors.items()}
    )
    print(report)
    assert all(at_256 <= 0.007 for _, at_256 in errors.values()), report
    assert all(at_256 <= 0.5 * at_64 for at_64, at_256 in errors.values()), report


def test_projections_in_space_of_oblong_voxels_are_the_chords_of_the_object():
    grid = space_grid(256, stretch=0.9)
    phantom = SOLIDS["ellipsoid"]
    image = phantom.voxelise(grid, supersampling=4)
    errors = {scan: relative_rms(build(grid, 1 / 64), phantom, image) for scan, build in SPACE_SCANS.items()}
    assert max(errors.values()) <= 0.007, errors


def ones(grid):
    """The box that a grid of ones fills, edges included."""
    half = [n * s / 2 for n, s in zip(grid.shape, grid.spacing, strict=True)]
    centre = [o + (n - 1) / 2 * s for o, n, s in zip(grid.origin, grid.shape, grid.spacing, strict=True)]
    return (Rectangle if grid.ndim == 2 else Box)(half[::-1], centre=centre[::-1])


VIEWS = {
    "oblique": np.random.default_rng(3).uniform(0, 2 * np.pi, 48),
    "along axes": np.arange(4) * np.pi / 2,
    "along diagonals": (np.arange(4) + 0.5) * np.pi / 2,
}
BOX_SCANS = {
    "parallel": lambda grid, grid3, t: ct.ParallelBeam(grid, t, 241, 0.37),
    "fan flat": lambda grid, grid3, t: ct.FanBeam(grid, t, 241, 0.55, sod=200, sdd=300),
    "fan curved": lambda grid, grid3, t: ct.FanBeam(grid, t, 241, 0.55, sod=60, sdd=90, detector="curved"),
    "parallel stack": lambda grid, grid3, t: ct.ParallelBeam(
        grid3, t, 61, 0.91, n_rows=61, row_spacing=0.83, row_offset=0.0
    ),
    "cone flat": lambda grid, grid3, t: ct.ConeBeam(grid3, t, (61, 61), (1.2, 1.4), sod=200, sdd=300),
    "cone curved": lambda grid, grid3, t: ct.ConeBeam(
        grid3, t, (71, 71), (1.3, 1.4), sod=60, sdd=90, detector="curved"
    ),
}


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize("name", BOX_SCANS)
def test_chords_through_a_box_of_ones_have_no_bias(name, views):
    """Voxels of 1 mm at random offsets: mean signed error of all rays that hit or graze the box at most 0.05 mm."""
    rng = np.random.default_rng(7)
    errors = []
    for _ in range(12 if name in ("parallel", "fan flat", "fan curved") else 6):
        z, y, x = -15.5 + rng.uniform(-1, 1, 3)
        A = BOX_SCANS[name](Grid((32, 32), 1.0, (y, x)), Grid((32, 32, 32), 1.0, (z, y, x)), VIEWS[views])
        exact = ones(A.grid).project(A, dtype=np.float64)
        found = A(np.ones(A.domain_shape))
        missed = found[_distant(A, exact)]
        assert np.all(missed == 0), f"{np.count_nonzero(missed)} rays that pass the box by get a value"
        errors.append((found - exact)[(found != 0) | (exact != 0)])
    mean = np.concatenate(errors).mean()
    print(f"{name}, {views}: mean signed chord error {mean:+.4f} mm")
    assert abs(mean) <= 0.05, f"mean signed chord error {mean:+.4f} mm"


def _distant(A, exact):
    """Rays that pass a box one voxel larger by."""
    larger = Grid(
        [n + 2 for n in A.grid.shape],
        A.grid.spacing,
        [o - s for o, s in zip(A.grid.origin, A.grid.spacing, strict=True)],
    )
    return (ones(larger).project(A, dtype=np.float64) == 0) & (exact == 0)


def test_rays_along_axes_see_the_box_exactly_and_ramp_over_its_edges():
    grid = Grid((5, 4), (2.0, 1.0))
    image = np.ones((5, 4))
    # Along y, 10 mm deep; the middle of the outer pixels is at 1.5, the next, missing one at 2.5.
    A = ct.ParallelBeam(grid, [0.0, np.pi], 13, 0.5)
    assert A.columns[0] == -3.0
    expected = [0, 0, 5, 10, 10, 10, 10, 10, 10, 10, 5, 0, 0]
    np.testing.assert_allclose(A(image), [expected, expected], atol=1e-12)
    # Along x, 4 mm deep; the outer pixels at 4, the missing ones at 6.
    A = ct.ParallelBeam(grid, [np.pi / 2, -np.pi / 2], 9, 1.5)
    expected = [0, 3, 4, 4, 4, 4, 4, 3, 0]
    np.testing.assert_allclose(A(image), [expected, expected], atol=1e-12)


def test_rays_through_corners_of_pixels_are_diagonals():
    A = ct.ParallelBeam(Grid((6, 6)), [np.pi / 4], 13, np.sqrt(0.5))
    assert A.columns[6] == 0
    # The ray of column j crosses 6 - |j| pixels from corner to corner, and ramps off over two more.
    chords = np.sqrt(2) * np.array([6 - abs(j) for j in range(-6, 7)])
    np.testing.assert_allclose(A(np.ones((6, 6)))[0], np.maximum(chords, 0), atol=1e-12)


@pytest.mark.parametrize("name", ["parallel", "flat", "curved"])
def test_a_small_detector_sees_a_part_of_what_a_large_one_sees(name, rng):
    def scan(grid, n):
        if name == "parallel":
            return ct.ParallelBeam(grid, TURN, n, 0.7)
        if grid.ndim == 2:
            return ct.FanBeam(grid, TURN, n, 0.7, 40, 60, name)
        return ct.ConeBeam(grid, TURN, (n, n), 0.7, 40, 60, name)

    image = rng.standard_normal((30, 26))
    small, large = (scan(Grid(image.shape), n)(image) for n in (9, 161))
    np.testing.assert_allclose(small, large[:, 76:85], rtol=0, atol=1e-9)
    assert np.all(large[:, [0, -1]] == 0)
    volume = rng.standard_normal((9, 14, 12))
    small, large = (scan(Grid(volume.shape), n)(volume) for n in (5, 75))
    rows = slice(None) if name == "parallel" else slice(35, 40)
    np.testing.assert_allclose(small, large[:, rows, 35:40], rtol=0, atol=1e-9)


def test_rays_lie_where_the_design_says():
    """Columns run along u, rays along d; the source is at -sod d, the detector's middle at (sdd - sod) d."""
    t = 0.7
    u, d, z = np.array([np.cos(t), np.sin(t), 0]), np.array([-np.sin(t), np.cos(t), 0]), np.array([0, 0, 1.0])
    grid = Grid((4, 6, 5))
    # The rotation axis on pixel 295.5 of 640 means an offset of +24 columns.
    A = ct.ParallelBeam(Grid((8, 8)), [t], 640, 0.5, col_offset=24 * 0.5)
    assert np.interp(0.0, A.columns, np.arange(640)) == 295.5
    origins, directions = A.rays(0)
    np.testing.assert_allclose(origins @ u, A.columns, atol=1e-12)
    np.testing.assert_allclose(directions, np.broadcast_to(d, (640, 3)), atol=1e-15)
    A = ct.ConeBeam(grid, [t], (3, 4), (2.0, 1.5), 50.0, 80.0, detector_offset=(0.5, -3.0))
    origins, directions = A.rays(0)
    assert origins.shape == directions.shape == (3, 4, 3)
    np.testing.assert_allclose(origins, np.broadcast_to(-50 * d, (3, 4, 3)), atol=1e-12)
    # Row 2, column 0 of the flat detector.
    pixel = 30 * d + (-1.5 * 1.5 - 3.0) * u + (1 * 2.0 + 0.5) * z
    np.testing.assert_allclose(np.cross(pixel + 50 * d, directions[2, 0]), 0, atol=1e-12)
    assert directions[2, 0] @ d > 0
    # On a cylinder the column position is an arc, and rows keep their height.
    A = ct.ConeBeam(grid, [t], (3, 4), (2.0, 1.5), 50.0, 80.0, "curved", (0.5, -3.0))
    arc = (-1.5 * 1.5 - 3.0) / 80
    pixel = -50 * d + 80 * (np.cos(arc) * d + np.sin(arc) * u) + 2.5 * z
    np.testing.assert_allclose(np.cross(pixel + 50 * d, A.rays(0)[1][2, 0]), 0, atol=1e-12)


def test_a_point_lands_where_the_design_projects_it():
    """A voxel at (x, y, z) falls on the magnified position of every view and row: signs and orders, end to end."""
    grid = Grid((21, 41, 41), 1.0)
    volume = np.zeros(grid.shape)
    x, y, z = 9.0, -6.0, 4.0
    volume[14, 14, 29] = 1.0
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False) + 0.1
    u, depth = x * np.cos(angles) + y * np.sin(angles), 100 - x * np.sin(angles) + y * np.cos(angles)
    scans = [
        (ct.ParallelBeam(grid, angles, 121, 0.5), u, z + 0 * u),
        (ct.ConeBeam(grid, angles, (81, 161), 0.5, 100, 150), 150 * u / depth, 150 * z / depth),
        (
            ct.ConeBeam(grid, angles, (81, 161), 0.5, 100, 150, "curved", (1.0, 2.0)),
            150 * np.arctan2(u, depth),
            150 * z / np.hypot(u, depth),
        ),
    ]
    for A, column, row in scans:
        p = A(volume)
        weight = p.sum(axis=(1, 2))
        np.testing.assert_allclose((p.sum(axis=1) @ A.columns) / weight, column, atol=0.06, err_msg=repr(A))
        np.testing.assert_allclose((p.sum(axis=2) @ A.rows) / weight, row, atol=0.06, err_msg=repr(A))


@settings(max_examples=150)
@given(scans(), st.integers(0, 2**31))
def test_every_scan_is_the_joseph_model(A, seed):
    image = np.random.default_rng(seed).standard_normal(A.domain_shape)
    expected = joseph(A, image)
    scale = max(np.abs(expected).max(), np.abs(image).max() * min(A.grid.spacing))
    np.testing.assert_allclose(A(image), expected, rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(A(image.astype(np.float32)), expected, rtol=0, atol=5e-5 * scale)


@pytest.mark.parametrize("columns", [0, 3, 4, 11, 31])
@pytest.mark.parametrize("spacing", [0.3, 1.0, 1.5])
def test_rays_that_pass_beside_the_image_along_an_axis_are_zero(spacing, columns):
    """Neighbouring rays whose slopes differ in sign, beside the image: no look-up may leave it."""
    grid = Grid((32, 32), 1.0, (-15.9, -14.3))
    n = 161
    fan = np.arctan(((columns + 0.5) - (n - 1) / 2) * spacing / 300)
    angles = np.concatenate(
        [k * np.pi / 2 + fan * sign + np.linspace(-0.02, 0.02, 21) for k in range(4) for sign in (1, -1)]
    )
    for dtype in (np.float32, np.float64):
        for A in (
            ct.FanBeam(grid, angles, n, spacing, 200, 300),
            ct.FanBeam(grid, angles, n, spacing, 60, 300, "curved"),
            ct.ParallelBeam(grid, angles, n, spacing),
        ):
            image = np.random.default_rng(0).standard_normal(grid.shape).astype(dtype)
            expected = joseph(A, image)
            np.testing.assert_allclose(A(image), expected, rtol=0, atol=1e-4 * np.abs(expected).max(), err_msg=repr(A))
