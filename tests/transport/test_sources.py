"""Sources: where photons start, where they go, and with which energy."""

import math
import pickle

import numpy as np
import pytest

import spinray
from spinray import ct
from spinray.errors import DtypeError, InputError
from spinray.grid import Grid
from spinray.transport import (
    Bowtie,
    ConeBeam,
    FanBeam,
    Material,
    ParallelBeam,
    PencilBeam,
    PointSource,
    Rays,
    RectangularBeam,
    Spectrum,
    VolumeSource,
    VoxelPhantom,
)

N = 40_000


def chi_square(counts, expected):
    return float(((counts - expected) ** 2 / expected).sum())


def cone_scan(detector="flat", offset=(7.0, -11.0)):
    grid = Grid((16, 16, 16), 5.0)
    return ct.ConeBeam(grid, [0.3, 2.0, 4.4], (24, 32), (6.0, 8.0), 500, 800, detector, offset)


def on_detector(A, angle, positions, directions):
    """Detector coordinates (column, row) in mm that photons of a view hit."""
    u, d = np.array([np.cos(angle), np.sin(angle), 0]), np.array([-np.sin(angle), np.cos(angle), 0])
    assert positions == pytest.approx(np.broadcast_to(-A.sod * d, positions.shape))
    along, across, up = directions @ d, directions @ u, directions[:, 2]
    if A.detector == "curved":
        return A.sdd * np.arctan2(across, along), A.sdd * up / np.hypot(along, across)
    return A.sdd * across / along, A.sdd * up / along


@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_a_cone_beam_fills_the_detector_to_its_edges_and_uniformly_in_solid_angle(detector):
    A = cone_scan(detector)
    source = ConeBeam(A, 60, view=1)
    positions, directions, energies = source.sample(N)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1.0)
    assert set(energies) == {60.0}
    column, row = on_detector(A, A.angles[1], positions, directions)
    half = 8.0 * 32 / 2, 6.0 * 24 / 2
    assert (column.min(), column.max()) == pytest.approx((-11 - half[0], -11 + half[0]), abs=0.1)
    assert (row.min(), row.max()) == pytest.approx((7 - half[1], 7 + half[1]), abs=0.1)
    # Solid angle of each element from its middle: cos / distance^2, times the area.
    c, r = np.meshgrid(A.columns, A.rows)
    share = (A.sdd**2 + r**2) ** -1.5 if detector == "curved" else (A.sdd**2 + c**2 + r**2) ** -1.5
    counts, _, _ = np.histogram2d(row, column, (24, 32), ((7 - half[1], 7 + half[1]), (-11 - half[0], -11 + half[0])))
    assert chi_square(counts, N * share / share.sum()) < 767 + 5 * math.sqrt(2 * 767)
    flat = 48.0 * A.sdd * share.sum()  # elements of 48 mm2
    assert source.solid_angle == pytest.approx(flat, rel=1e-3)


def test_the_rays_of_a_scan_are_directions_of_its_beam():
    A = cone_scan()
    origins, rays = A.rays(2)
    _, directions, _ = ConeBeam(A, 60, view=2).sample(2000)
    nearest = (directions @ rays.reshape(-1, 3).T).max(axis=1)
    assert np.arccos(nearest.min()) < 1.01 * math.hypot(3.0, 4.0) / 800
    assert ConeBeam(A, 60, view=2).sample(1)[0][0] == pytest.approx(origins[0, 0])


def test_all_views_of_a_scan_are_equally_likely():
    A = cone_scan()
    positions, _, _ = ConeBeam(A, 60).sample(30_000)
    angles = np.arctan2(positions[:, 0], -positions[:, 1]) % (2 * np.pi)
    counts = [np.count_nonzero(np.abs(angles - angle) < 1e-9) for angle in A.angles]
    assert chi_square(np.array(counts), np.full(3, 10_000)) < 20
    some = ConeBeam(A, 60, view=slice(0, 2)).sample(100)[0]
    assert len(np.unique(some.round(6), axis=0)) == 2


def test_a_fan_has_its_thickness_at_the_rotation_axis():
    A = ct.FanBeam(Grid((8, 8)), [0.0, 1.0], 100, 2.0, sod=400, sdd=700)
    positions, directions, _ = FanBeam(A, 60, view=1, thickness=12.0).sample(N)
    d = np.array([-np.sin(1.0), np.cos(1.0), 0])
    at_axis = positions + directions * (400 / (directions @ d))[:, None]
    assert np.abs(at_axis[:, 2]).max() == pytest.approx(6.0, abs=0.01)
    assert FanBeam(A, 60, thickness=0.0).sample(100)[1][:, 2].tolist() == [0.0] * 100
    fan = np.arctan2(directions @ [np.cos(1.0), np.sin(1.0), 0], directions @ d)
    assert np.abs(fan).max() == pytest.approx(math.atan(100 / 700), abs=1e-4)
    # Fan angles: the solid angle per angle is the same but for the cosine of the slightly changing elevation.
    counts = np.histogram(fan, 10, (-math.atan(1 / 7), math.atan(1 / 7)))[0]
    assert chi_square(counts, np.full(10, N / 10)) < 60


def test_a_bowtie_leaves_of_each_ray_what_beer_says():
    A = ct.FanBeam(Grid((8, 8)), [0.0, 1.0], 100, 4.0, sod=400, sdd=500, detector="curved")
    bowtie = Bowtie("Al", [-0.4, 0.0, 0.4], [30.0, 2.0, 16.0])
    lines = Spectrum([40.0, 100.0], [0.7, 0.3], photons_per_mas=1e9)
    source = FanBeam(A, lines, view=1, thickness=5.0, bowtie=bowtie)
    _, directions, energies = source.sample(N)
    fan = np.arctan2(directions @ [np.cos(1.0), np.sin(1.0), 0], directions @ [-np.sin(1.0), np.cos(1.0), 0])
    angles = np.linspace(-0.4, 0.4, 2001)[:-1] + 0.0002
    path = np.interp(angles, bowtie.angles, bowtie.thickness)
    attenuation = Material("Al").attenuation([40.0, 100.0])
    kept = np.array([[0.7], [0.3]]) * np.exp(-attenuation[:, None] * path)
    expected = kept.reshape(2, 20, 100).sum(axis=2) / kept.sum()
    counts = [np.histogram(fan[energies == energy], 20, (-0.4, 0.4))[0] for energy in (40.0, 100.0)]
    assert chi_square(np.array(counts), N * expected) < 39 + 5 * math.sqrt(78)
    open_field = FanBeam(A, lines, view=1, thickness=5.0)
    assert source.solid_angle == open_field.solid_angle
    transmitted = source.photons_per_mas / open_field.photons_per_mas
    assert transmitted == pytest.approx(kept.sum() / len(angles), rel=1e-3)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_parallel_beam_covers_its_detector_from_outside_the_grid(ndim):
    if ndim == 2:
        A = ct.ParallelBeam(Grid((16, 16), 5.0), [0.7], n_cols=30, col_spacing=4.0, col_offset=9.0)
        rows = (-1.5, 1.5)
    else:
        A = ct.ParallelBeam(Grid((16, 16, 16), 5.0), [0.7], n_cols=30, col_spacing=4.0, col_offset=9.0)
        rows = (-40.0, 40.0)
    positions, directions, _ = ParallelBeam(A, 60, thickness=3.0 if ndim == 2 else None).sample(N)
    d = np.array([-np.sin(0.7), np.cos(0.7), 0])
    assert directions == pytest.approx(np.broadcast_to(d, directions.shape))
    assert (positions @ d).max() < -math.hypot(40, 40)
    column = positions @ [np.cos(0.7), np.sin(0.7), 0]
    assert (column.min(), column.max()) == pytest.approx((9 - 60, 9 + 60), abs=0.05)
    assert (positions[:, 2].min(), positions[:, 2].max()) == pytest.approx(rows, abs=0.05)
    counts = np.histogram2d(column, positions[:, 2], 8, ((-51, 69), rows))[0]
    assert chi_square(counts, np.full((8, 8), N / 64)) < 120


def test_a_pencil_has_its_profile():
    for profile, inside in (("square", 4.0), ("disc", math.pi), ("gaussian", None)):
        positions, directions, _ = PencilBeam((1, 2, 3), "z", 60, width=2.0, profile=profile).sample(N)
        x, y, z = (positions - [1, 2, 3]).T
        assert np.array_equal(z, np.zeros(N))
        assert np.array_equal(directions, np.tile([0.0, 0.0, 1.0], (N, 1)))
        if inside is None:
            # Half of the maximum at a distance of half the width: a fraction 1/2 of the photons lies within.
            assert np.mean(np.hypot(x, y) < 1.0) == pytest.approx(0.5, abs=0.01)
        else:
            assert np.mean(np.hypot(x, y) < 0.5) == pytest.approx(math.pi * 0.25 / inside, abs=0.01)
            assert max(np.abs(x).max(), np.abs(y).max()) <= 1.0
    x, y, _ = PencilBeam((0, 0, 0), "z", 60, width=(4.0, 0.5)).sample(N)[0].T
    assert (np.ptp(x), np.ptp(y)) == pytest.approx((4.0, 0.5), abs=0.01)


def test_a_point_source_fills_its_cone_and_fluence_falls_as_the_inverse_square():
    _, directions, _ = PointSource((0, 0, 0), 60, direction=(1, 2, 2), opening=0.6).sample(N)
    cosine = directions @ np.array([1, 2, 2]) / 3
    least = math.cos(0.3)
    assert cosine.min() >= least - 1e-12
    counts = np.histogram(cosine, 20, (least, 1.0))[0]
    assert chi_square(counts, np.full(20, N / 20)) < 50
    # Photons through a disc of 5 mm at 100 and 200 mm.
    tangent = np.tan(np.arccos(np.minimum(cosine, 1.0)))
    near, far = np.count_nonzero(tangent < 0.05), np.count_nonzero(tangent < 0.025)
    assert near / far == pytest.approx(4.0, rel=0.3)
    assert PointSource((0, 0, 0), 60, "z", math.pi).solid_angle == pytest.approx(2 * math.pi)


def test_a_rectangular_beam_meets_its_rectangle_whatever_its_tilt():
    focus, centre = np.array([30.0, -40.0, -500.0]), np.array([10.0, 20.0, 50.0])
    first, second = np.array([80.0, 0.0, 60.0]), np.array([0.0, 50.0, 0.0])
    source = RectangularBeam(focus, centre, first, second, 60)
    positions, directions, _ = source.sample(N)
    assert np.array_equal(positions, np.tile(focus, (N, 1)))
    normal = np.cross(first, second)
    path = ((centre - focus) @ normal) / (directions @ normal)
    assert path.min() > 0
    hit = positions + directions * path[:, None] - centre
    a, b = hit @ first / (first @ first), hit @ second / (second @ second)
    assert (a.min(), a.max(), b.min(), b.max()) == pytest.approx((-0.5, 0.5, -0.5, 0.5), abs=2e-3)
    # Solid angle of small parts from their middles.
    t = (np.arange(10) + 0.5) / 10 - 0.5
    way = centre + t[:, None, None] * first + t[None, :, None] * second - focus
    share = np.abs(way @ normal) / np.linalg.norm(way, axis=-1) ** 3 / 100
    assert source.solid_angle == pytest.approx(share.sum(), rel=2e-3)
    counts = np.histogram2d(a, b, 10, ((-0.5, 0.5), (-0.5, 0.5)))[0]
    assert chi_square(counts, N * share / share.sum()) < 99 + 5 * math.sqrt(198)


def test_voxels_emit_in_proportion_to_their_activity_in_any_order_of_axes():
    grid = Grid((3, 4, 5), (2.0, 1.0, 3.0), (5.0, 6.0, 7.0))
    activity = np.random.default_rng(3).integers(0, 5, grid.shape).astype(float) * 1e40
    flipped = Grid.from_affine(
        grid.shape, grid.affine @ np.array([[-1, 0, 0, 4], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    )
    for source in (VolumeSource(grid, activity, 140.5), VolumeSource(flipped, activity[:, :, ::-1], 140.5)):
        positions, directions, _ = source.sample(N)
        edges = [
            axis[0] - step / 2 + step * np.arange(n + 1)
            for axis, step, n in zip(grid.axes(), grid.spacing, grid.shape, strict=True)
        ]
        counts = np.histogramdd(positions[:, ::-1], edges)[0]
        expected = N * activity / activity.sum()
        assert counts[expected == 0].sum() == 0
        lit = expected > 0
        assert counts.sum() == N
        assert chi_square(counts[lit], expected[lit]) < lit.sum() + 5 * math.sqrt(2 * lit.sum())
        assert np.abs(directions.mean(axis=0)).max() < 4 / math.sqrt(3 * N)


def test_energies_follow_the_spectrum():
    beam = Spectrum.tube(80, {"Al": 2.5})
    _, _, energies = PencilBeam((0, 0, 0), "z", beam).sample(N)
    keep = beam.weights * N > 10
    edges = np.append(beam.energies - 0.5, beam.energies[-1] + 0.5)
    counts = np.histogram(energies, edges)[0]
    assert chi_square(counts[keep], N * beam.weights[keep]) < keep.sum() + 5 * math.sqrt(2 * keep.sum())
    assert energies.mean() == pytest.approx(beam.mean_energy, rel=5e-3)
    lines = PointSource((0, 0, 0), {171.3: 0.91, 245.4: 0.94}).sample(N)[2]
    assert np.unique(lines) == pytest.approx([171.3, 245.4])
    assert np.mean(lines < 200) == pytest.approx(0.91 / 1.85, abs=0.01)


def test_photons_depend_on_seed_and_history_only():
    source = ConeBeam(cone_scan(), Spectrum.tube(80, {"Al": 2.5}))
    whole, part, other = source.sample(100, seed=5), source.sample(10, seed=5), source.sample(100, seed=6)
    for a, b, c in zip(whole, part, other, strict=True):
        assert np.array_equal(a[:10], b)
        assert not np.array_equal(a, c)


def test_a_tube_knows_its_photons_per_mas():
    tube = Spectrum.tube(80, {"Al": 2.5})
    source = PointSource((0, 0, 0), tube, "z", 0.2)
    assert source.photons_per_mas == pytest.approx(tube.photons_per_mas * source.solid_angle)
    assert PointSource((0, 0, 0), 60).photons_per_mas is None
    assert PencilBeam((0, 0, 0), "z", tube).photons_per_mas is None


def test_rays_are_taken_as_given_and_as_often_as_each_other():
    random = np.random.default_rng(0)
    starts, ways = random.normal(size=(2, 40, 3))
    source = Rays(starts, ways, {100: 1.0, 200: 3.0})
    positions, directions, energies = source.sample(N, seed=5)
    which = source.drawn(N, seed=5)
    assert np.array_equal(positions, starts[which])
    assert directions == pytest.approx((ways / np.linalg.norm(ways, axis=1, keepdims=True))[which], abs=1e-15)
    assert chi_square(np.bincount(which, minlength=40), np.full(40, N / 40)) < 73  # 39 degrees of freedom, 1e-3
    assert (energies == 200).mean() == pytest.approx(0.75, abs=0.01)


def test_rays_that_are_the_same_are_the_first_of_them():
    source = Rays([[0, 0, 0], [1, 1, 1], [0, 0, 0]], [[0, 0, 1], [0, 0, -1], [0, -0.0, 2]], 60)
    assert set(source.drawn(100).tolist()) == {0, 1}


def test_a_source_tells_whether_it_reaches_a_phantom():
    phantom = VoxelPhantom(Grid((4, 4, 4), 10.0), ["water"], np.zeros((4, 4, 4), int))
    for x, y, reaches in ((0, 0, True), (19, 0, True), (21, 0, False)):
        source = PencilBeam((x, y, -100), "z", 60)
        assert source._kernel().reaches(phantom._kernel()) is reaches
    assert not PencilBeam((0, 0, 100), "z", 60)._kernel().reaches(phantom._kernel())


SOURCES = [
    PencilBeam((0, 0, -10), "x", 60, width=1.0),
    PointSource((0, 0, 0), 60, "z", 0.5),
    Rays([[0, 0, 0], [1, 0, 0]], [[0, 0, 1], [0, 3, 4]], 60),
    RectangularBeam((0, 0, -10), (0, 0, 0), (1, 0, 0), (0, 1, 0), 60),
    ConeBeam(cone_scan(), 60, view=0),
    ConeBeam(cone_scan(), 60, bowtie=Bowtie("PMMA", [-0.1, 0.1], [10.0, 20.0])),
    FanBeam(ct.FanBeam(Grid((8, 8)), [0.0], 10, 2.0, sod=400, sdd=700), 60),
    ParallelBeam(ct.ParallelBeam(Grid((8, 8)), [0.0], 10), 60),
    VolumeSource(Grid((2, 2, 2)), np.ones((2, 2, 2)), 60),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: type(source).__name__)
def test_pickled_sources_emit_the_same_photons(source):
    again = pickle.loads(pickle.dumps(source))
    assert "_native" not in vars(again)
    assert repr(again) == repr(source)
    for a, b in zip(source.sample(50), again.sample(50), strict=True):
        assert np.array_equal(a, b)
    with pytest.raises(AttributeError, match="immutable"):
        source.spectrum = Spectrum.mono(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PencilBeam((0, 0), "z", 60), r"position: expected shape \(3,\)"),
        (lambda: PencilBeam((0, 0, math.nan), "z", 60), "position: expected finite"),
        (lambda: PencilBeam((0, 0, 0), (0, 0, 0), 60), "direction: expected a vector that is not zero"),
        (lambda: PencilBeam((0, 0, 0), "z", 0.06), "energy: expected 1 to 3000 keV, got 0.06. MeV"),
        (lambda: PencilBeam((0, 0, 0), "z", 60000), "energy: expected 1 to 3000 keV, got 60000. eV"),
        (lambda: PencilBeam((0, 0, 0), "z", -60), "energy: expected 1 to 3000 keV"),
        (lambda: PencilBeam((0, 0, 0), "z", 60, width=-1), "width: expected numbers >= 0"),
        (lambda: PencilBeam((0, 0, 0), "z", 60, profile="round"), "profile: expected one of"),
        (lambda: PointSource((0, 0, 0), 60, direction="z"), "opening: expected one"),
        (lambda: PointSource((0, 0, 0), 60, opening=1.0), "direction: expected one"),
        (lambda: PointSource((0, 0, 0), 60, "z", 30.0), "opening: .* Degrees"),
        (lambda: RectangularBeam((0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 1, 0), 60), "second: .* perpendicular"),
        (lambda: RectangularBeam((5, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), 60), "position: .* off the rectangle"),
        (lambda: Rays([[0, 0, 0]], [[0, 0, 1]] * 2, 60), "directions: expected one for each of 1 positions, got 2"),
        (lambda: Rays([[0, 0, 0]] * 2, [[0, 0, 1], [0, 0, 0]], 60), "directions: .* not zero, got one at index 1"),
        (lambda: Rays([0, 0, 0], [0, 0, 1], 60), r"positions: expected shape \(n, 3\)"),
        (lambda: Bowtie("Al", [0.1, 0.0], [1.0, 2.0]), "angles: expected growing radians"),
        (lambda: Bowtie("Al", [-20.0, 20.0], [1.0, 2.0]), "angles: .* Degrees"),
        (lambda: Bowtie("Al", [0.0, 0.1], [1.0, -2.0]), "thickness: expected numbers >= 0"),
        (lambda: Bowtie("Al", [0.0, 0.1], [1.0]), "thickness: expected one for each angle"),
        (lambda: ConeBeam(cone_scan(), 10, bowtie=Bowtie("Pb", [0.0], [9.0])), "bowtie: .* lets photons"),
        (lambda: ConeBeam(cone_scan(), 60, view=3), "views: expected indices of 3 views, got 3"),
        (lambda: VolumeSource(Grid((2, 2, 2)), np.zeros((2, 2, 2)), 60), "activity: .* one of them positive"),
        (lambda: VolumeSource(Grid((2, 2, 2)), -np.ones((2, 2, 2)), 60), "activity: expected numbers >= 0"),
        (lambda: VolumeSource(Grid((2, 2, 2)), np.ones((2, 2)), 60), "activity: expected the shape"),
        (lambda: VolumeSource(Grid((2, 2)), np.ones((2, 2)), 60), "grid: expected a 3-D grid"),
        (lambda: VolumeSource(Grid((2, 2, 2)), np.full((2, 2, 2), np.nan), 60), "activity: expected finite"),
        (lambda: PencilBeam((0, 0, 0), "z", 60).sample(1, seed=1 << 64), "seed: expected an integer below"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PencilBeam((0, 0, 0), "z", "60 keV"), "energy: expected an energy in keV, a Spectrum"),
        (lambda: ConeBeam(ct.FanBeam(Grid((8, 8)), [0.0], 9, 1.0, 50, 90), 60), r"ct_operator: .*ct\.ConeBeam"),
        (lambda: ConeBeam(cone_scan(), 60, bowtie="Al"), r"bowtie: expected a transport\.Bowtie"),
        (lambda: FanBeam(spinray.Grid((8, 8)), 60), r"ct_operator: .*ct\.FanBeam, got Grid"),
    ],
)
def test_bad_types_are_named(make, message):
    with pytest.raises(DtypeError, match=message):
        make()
