"""Scans of spectra with scatter: closed forms, direct simulation, interpolation, and what correction restores."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

import spinray
from spinray import Grid, Volume, ct, phantoms, transport
from spinray.ct import scattering
from spinray.errors import DtypeError, InputError

GRID = Grid((8, 8, 8), spacing=20.0)
ROUND = np.linspace(0, 2 * np.pi, 40, endpoint=False)
CONE = ct.ConeBeam(GRID, ROUND, (24, 30), (12.0, 10.0), 1000, 1500, detector_offset=(5.0, -8.0))
TUBE = transport.Spectrum.tube(100, {"Al": 6.0})


@pytest.fixture(scope="module")
def water():
    return transport.VoxelPhantom(GRID, ["water"], np.zeros(GRID.shape, np.uint8))


@pytest.fixture(scope="module")
def patchwork():
    """Five materials and vacuum, of uneven density."""
    rng = np.random.default_rng(3)
    names = ["water", "cortical bone", "lung tissue", "adipose tissue", "Al", "vacuum"]
    return transport.VoxelPhantom(GRID, names, rng.integers(0, 6, GRID.shape), rng.uniform(0.2, 1.0, GRID.shape))


def attenuated(A, phantom, energies, signal):
    """The part of the open beam that is transmitted, energy by energy."""
    left = sum(s * np.exp(-A(phantom.attenuation(e)).astype(float)) for e, s in zip(energies, signal, strict=True))
    return left / sum(signal)


@pytest.mark.parametrize("kind", ["cone", "curved", "fan", "parallel", "parallel slices"])
def test_transmission_is_that_of_every_energy(patchwork, kind):
    angles, plane = [0.1, 1.0], Grid((8, 8), 20.0)
    scans = {
        "cone": CONE[[3, 9]],
        "curved": ct.ConeBeam(GRID, angles, (5, 9), 30.0, 1000, 1500, "curved", (4.0, 9.0)),
        "fan": ct.ConeBeam(GRID, angles, (1, 9), (30.0, 30.0), 1000, 1500, "curved", (0.0, 9.0)),
        "parallel": ct.ParallelBeam(GRID, angles, 12, 15.0, 1, 1.0, 3.0, 0.0),
        "parallel slices": ct.ParallelBeam(GRID, angles, 12, 15.0, row_offset=2.0),
    }
    expected = attenuated(scans[kind], patchwork, TUBE.energies, TUBE.weights * TUBE.energies)
    images = {
        "fan": ct.FanBeam(plane, angles, 9, 30.0, 1000, 1500, "curved", 9.0),
        "parallel": ct.ParallelBeam(plane, angles, 12, 15.0, col_offset=3.0),
    }
    found = ct.transmission(images.get(kind, scans[kind]), patchwork, TUBE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-3)


def test_a_counting_detector_sees_its_channels(patchwork):
    lines = {30.0: 1.0, 50.0: 2.0, 70.0: 1.0}
    found = ct.transmission(CONE[:2], patchwork, lines, "counting", [20.0, 60.0])
    assert found.shape == (2, 2, 24, 30)
    np.testing.assert_allclose(found[0], attenuated(CONE[:2], patchwork, [30.0, 50.0], [1.0, 2.0]), rtol=1e-3)
    np.testing.assert_allclose(found[1], attenuated(CONE[:2], patchwork, [70.0], [1.0]), rtol=1e-3)
    few = ct.scatter(CONE[:2], patchwork, lines, 200, shape=(3, 3), response="counting", thresholds=[20.0, 60.0])
    assert ct.scan(CONE[:2], patchwork, lines, few, response="counting", thresholds=[20.0, 60.0]).shape == found.shape


def test_beam_hardening_is_undone(water):
    """160 mm along the axis, longer by 1 / cos(angle with it), until rays leave through a side."""
    A = ct.ConeBeam(GRID, [0.0], (5, 5), 20.0, 1000, 1500)
    y = ct.scan(A, water, TUBE)
    rows, columns = np.meshgrid(A.rows, A.columns, indexing="ij")
    slant = np.sqrt(1 + (rows**2 + columns**2) / 1500**2)
    np.testing.assert_allclose(ct.correct_beam_hardening(y, TUBE)[0], 160 * slant, rtol=1e-4)
    # Aluminium hardens it elsewise, and counts are of softer photons.
    assert 30 < ct.correct_beam_hardening(y, TUBE, "Al").mean() < 60
    counted = ct.scan(A, water, TUBE, response="counting")
    np.testing.assert_allclose(ct.correct_beam_hardening(counted, TUBE, response="counting")[0], 160 * slant, rtol=1e-4)
    # Below the open beam, on as it begins.
    found = ct.correct_beam_hardening([-0.1, 0.0, 0.1], TUBE)
    assert found[1] == 0
    assert -found[2] < found[0] < -0.9 * found[2]


def test_scatter_over_transmission_is_that_of_photons_that_arrive(water):
    """On the detector as it is, photon by photon, in a view between those that are simulated."""
    found = ct.scatter(CONE, water, 60.0, 10 * 25_000, views=slice(0, None, 4), shape=(8, 8), seed=2)
    np.testing.assert_array_equal(found.views, np.arange(0, 40, 4))
    assert found.uncertainty < 0.04
    ratio = (found.sinogram / ct.transmission(CONE, water, 60.0))[6]
    detector = transport.Detector(CONE, 6)
    direct = transport.simulate(water, transport.ConeBeam(CONE, 60.0, 6), 2_000_000, [detector], seed=9)["detector"]
    shadow = direct.primary.mean < 0.3 * direct.primary.mean.max()
    assert shadow.sum() > 100
    expected = direct.scatter.mean[shadow].sum() / direct.primary.mean[shadow].sum()
    np.testing.assert_allclose(
        np.sum(ratio * direct.primary.mean, where=shadow) / direct.primary.mean[shadow].sum(), expected, rtol=0.03
    )
    # In quarters of the detector as well: nothing is turned around.
    for rows in (slice(12), slice(12, None)):
        for columns in (slice(15), slice(15, None)):
            part = direct.scatter.mean[rows, columns].sum() / direct.scatter.mean.sum()
            mine = found.sinogram[6][rows, columns].sum() / found.sinogram[6].sum()
            assert mine == pytest.approx(part, rel=0.03)


@pytest.mark.parametrize("kind", ["flat", "curved"])
def test_interpolation_is_that_of_a_fine_simulation(kind):
    """An off-centre block and large pixels against small ones, each of photons of its own."""
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:6, 4:7, 1:5] = 1
    block = transport.VoxelPhantom(GRID, ["vacuum", "water"], labels)
    A = ct.ConeBeam(GRID, [0.4], (24, 24), 12.0, 1000, 1300, kind)
    fine, coarse = (ct.scatter(A, block, 60.0, 60_000, shape=(n, n), seed=n).sinogram[0] for n in (24, 12))
    assert np.sqrt(np.mean((coarse - fine) ** 2)) < 0.03 * fine.mean()
    assert fine.std() > 0.1 * fine.mean()


@pytest.mark.parametrize("kind", ["flat", "curved"])
def test_the_open_beam_is_shared_out_by_solid_angle(kind):
    """Pixels of a wide beam that nothing is in the way of, each with the photons that are sent to it."""
    A = ct.ConeBeam(Grid((1, 1, 1)), [0.0], (80, 90), 4.0, 100, 150, kind, (32.0, -20.0))
    source = transport.ConeBeam(A, 60.0, 0)
    shares = scattering._open_pixels(A, source.solid_angle)
    assert shares.shape == (80, 90)
    assert shares.sum() == pytest.approx(1.0, rel=1e-4)
    directions = source.sample(200_000, seed=1)[1]
    # An edge of pixels lies at the height of the source.
    assert np.mean(directions[:, 2] > 0) == pytest.approx(shares[A.rows > 0].sum(), abs=0.005)


def test_a_fan_scatters_as_a_cone_of_one_row(water):
    fan = ct.FanBeam(Grid((8, 8), 20.0), [0.3, 2.0], 20, 15.0, 1000, 1500)
    cone = ct.ConeBeam(GRID, [0.3, 2.0], (1, 20), (30.0, 15.0), 1000, 1500)
    a, b = (ct.scatter(A, water, 60.0, 4000, thickness=20.0).sinogram for A in (fan, cone))
    assert a.shape == (2, 20)
    np.testing.assert_array_equal(a, b[:, 0])


def test_scatter_has_the_same_bits_for_any_threads(water, keep_threads):
    found = []
    for threads in (1, 2):
        spinray.set_num_threads(threads)
        found.append(ct.scatter(CONE[::8], water, TUBE, 2000, shape=(4, 4), seed=1).sinogram)
    assert found[0].tobytes() == found[1].tobytes()


def test_simulation_ends_when_scatter_is_known_well_enough(water):
    found = ct.scatter(CONE[::20], water, 60.0, until=transport.Until(uncertainty=0.06), shape=(4, 4))
    assert 0.01 < found.uncertainty <= 0.06
    assert found.n_histories == sum(image.n_histories for image in found.images)
    short = ct.scatter(CONE, water, 60.0, until=transport.Until(seconds=0.01), shape=(4, 4))
    assert len(short.images) == 24
    assert "24 views" in repr(short)


def test_large_pixels_are_spread_by_splines_that_keep_sums_and_parabolas():
    spread = scattering._between_pixels(6, 31)
    np.testing.assert_allclose(spread.sum(axis=0), 1.0)
    edges = {n: np.linspace(0, 31, n + 1) for n in (6, 31)}
    for power in (1, 2, 3):
        large, small = (np.diff(edges[n] ** power) for n in (6, 31))
        np.testing.assert_allclose(spread @ large, small, rtol=1e-9)
    np.testing.assert_allclose(scattering._between_pixels(1, 4), np.full((4, 1), 0.25))
    np.testing.assert_allclose(scattering._between_pixels(5, 5), np.eye(5), atol=1e-12)


@pytest.mark.parametrize("turns", [[0.0], [0.0, -0.7, 2 * np.pi, 40.0]])
def test_views_are_joined_round_the_circle(turns):
    angles = np.concatenate([turn + ROUND[:: len(turns)] for turn in turns])
    A = ct.ConeBeam(GRID, angles, (4, 4), 50.0, 1000, 1500)
    picked = scattering._picked(A, None)
    assert len(picked) == 24
    weights = scattering._between_views(A, picked)
    wave = np.cos(2 * angles - 1)
    np.testing.assert_allclose(weights @ wave[picked], wave, atol=0.01)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)


def test_views_of_an_arc_are_joined_between_its_ends():
    A = ct.ConeBeam(GRID, np.linspace(3, 0, 50), (4, 4), 50.0, 1000, 1500)
    picked = scattering._picked(A, None)
    assert sorted(picked)[:: len(picked) - 1] == [0, 49]
    wave = np.cos(A.angles)
    np.testing.assert_allclose(scattering._between_views(A, picked) @ wave[picked], wave, atol=1e-3)
    # Beyond what was simulated, as at its end.
    picked = scattering._picked(A, [10, 20, 30])
    found = scattering._between_views(A, picked) @ wave[picked]
    np.testing.assert_allclose(found[[0, 5, 49]], wave[[10, 10, 30]])
    np.testing.assert_array_equal(scattering._between_views(A, scattering._picked(A, 7)), np.ones((50, 1)))


def test_a_scan_is_primary_and_scatter_with_noise(water):
    A = CONE[::10]
    scatter = ct.scatter(A, water, TUBE, 4000, shape=(6, 6))
    clean = ct.scan(A, water, TUBE, scatter)
    np.testing.assert_allclose(np.exp(-clean), ct.transmission(A, water, TUBE) + scatter.sinogram, rtol=1e-5)
    noisy = ct.scan(A, water, TUBE, scatter, i0=1e5, seed=4)
    np.testing.assert_array_equal(noisy, ct.add_noise(clean, 1e5, 4))
    with pytest.raises(InputError, match="scatter: expected that of a scan of shape"):
        ct.scan(A[:2], water, TUBE, scatter)


@pytest.fixture(scope="module")
def head():
    """A head of 6 mm voxels, its scan, and images of 1000 (mu / mu_water - 1): without scatter, with it, corrected."""
    grid = Grid((40, 36, 34), 6.0)
    hu = ct.attenuation_to_hu(phantoms.head().voxelise(grid, supersampling=2))
    phantom = transport.VoxelPhantom.from_hu(Volume(hu, grid.affine))
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    A = ct.ConeBeam(grid, angles, (52, 52), 8.0, 1000, 1500)
    scatter = ct.scatter(A, phantom, TUBE, 12 * 20_000, views=slice(0, None, 7), seed=1)
    scans = {"primary": ct.scan(A, phantom, TUBE), "measured": ct.scan(A, phantom, TUBE, scatter)}
    scans["corrected"] = ct.correct_scatter(
        A, scans["measured"], TUBE, 12 * 4000, views=slice(0, None, 8), shape=(8, 8), seed=5
    )
    images = {k: 1000 * (ct.fbp(A, ct.correct_beam_hardening(y, TUBE), "hann") - 1) for k, y in scans.items()}
    return grid, hu, scans, images


def test_correction_restores_line_integrals_and_image(head):
    grid, hu, scans, images = head
    inside = binary_erosion(hu > -300, iterations=2)
    inside[[*range(5), *range(35, 40)]] = False
    for found, at_least in ((scans, 4), (images, 4)):
        there = inside if found is images else scans["primary"] > 1
        measured, corrected = (
            np.sqrt(np.mean((found[k] - found["primary"])[there] ** 2)) for k in ("measured", "corrected")
        )
        assert measured > at_least * corrected
    # Tens of HU were lost, more in the middle than at the rim: the cup.
    z, y, x = np.meshgrid(*grid.axes(), indexing="ij")
    brain = inside & (np.abs(hu - 35) < 15) & (np.abs(z) < 40)
    middle, rim = brain & (np.hypot(x, y) < 25), brain & (np.hypot(x, y) > 55)
    loss = {k: [(images[k] - images["primary"])[part].mean() for part in (middle, rim)] for k in images}
    assert loss["measured"][0] < loss["measured"][1] - 10 < -10
    assert abs(loss["corrected"][0] - loss["corrected"][1]) < 0.3 * (loss["measured"][1] - loss["measured"][0])
    assert abs(loss["corrected"][0]) < 0.2 * abs(loss["measured"][0])


def test_bad_input_is_refused_with_a_reason(water):
    flat = Grid((8, 8), 20.0)
    y = np.zeros(CONE.range_shape)
    for error, match, make in [
        (InputError, "how far away its detector is", lambda: ct.scatter(ct.ParallelBeam(flat, [0.0], 8), water, 60.0)),
        (DtypeError, "A: expected", lambda: ct.scatter(GRID, water, 60.0)),
        (DtypeError, "phantom: expected", lambda: ct.scatter(CONE, GRID, 60.0)),
        (DtypeError, "phantom: expected", lambda: ct.transmission(CONE, GRID, 60.0)),
        (DtypeError, "A: expected", lambda: ct.transmission(GRID, water, 60.0)),
        (InputError, "views: expected indices", lambda: ct.scatter(CONE, water, 60.0, views=[99])),
        (InputError, "views: expected at least one", lambda: ct.scatter(CONE, water, 60.0, views=[])),
        (InputError, "n_histories", lambda: ct.scatter(CONE, water, 60.0, 0)),
        (InputError, "energy: expected 1 to 3000", lambda: ct.transmission(CONE, water, 0.06)),
        (InputError, "channels that photons", lambda: ct.transmission(CONE, water, 60.0, "counting", [70.0])),
        (InputError, "material", lambda: ct.correct_beam_hardening(y, 60.0, "watre")),
        (InputError, "finite", lambda: ct.correct_beam_hardening([np.nan], 60.0)),
        (InputError, "y: expected shape", lambda: ct.correct_scatter(CONE, y[0], 60.0)),
        (InputError, "finite", lambda: ct.correct_scatter(CONE, y + np.inf, 60.0)),
        (InputError, "iterations", lambda: ct.correct_scatter(CONE, y, 60.0, iterations=0)),
        (
            DtypeError,
            "A: expected a ConeBeam",
            lambda: ct.correct_scatter(ct.FanBeam(flat, [0.0], 9, 9.0, 500, 900), y, 60.0),
        ),
    ]:
        with pytest.raises(error, match=match):
            make()
    air = transport.VoxelPhantom(GRID, ["water"], np.zeros(GRID.shape, np.uint8), outside="air")
    with pytest.raises(InputError, match="outside='vacuum'"):
        ct.scatter(CONE, air, 60.0)
