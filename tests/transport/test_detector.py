"""Detectors: closed forms of what arrives, forced against analogue, thresholds, geometry, bits, files, refusals."""

import math
import pickle

import numpy as np
import pytest
from scipy import stats

import spinray
from spinray import Grid, ct, transport
from spinray.errors import DtypeError, InputError

GRID = Grid((8, 8, 8), spacing=20.0)
SCAN = ct.ConeBeam(GRID, [0.0, 0.8], (12, 16), (25.0, 20.0), sod=1000, sdd=1500)
CLASSES = ("primary", "compton", "rayleigh", "multiple", "scatter", "total")


@pytest.fixture(scope="module")
def water():
    return transport.VoxelPhantom(GRID, ["water"], np.zeros(GRID.shape, np.uint8))


@pytest.fixture(scope="module")
def mixed():
    """Water, half of it bone, and a block of iodine, whose fluorescence arrives."""
    labels = np.zeros(GRID.shape, np.uint8)
    labels[:, :, 5:] = 1
    labels[3:5, 1:3, 1:3] = 2
    return transport.VoxelPhantom(GRID, ["water", "cortical bone", transport.Material("I", density=0.1)], labels)


def imaged(phantom, source, n, detector, **keywords):
    return transport.simulate(phantom, source, n, [detector], **keywords)["detector"]


def likely(z, low=1e-4):
    """Whether independent deviations are those of standard normal numbers, by the sum of their squares."""
    return low < stats.chi2.sf(np.sum(np.square(z)), np.size(z)) < 1 - low


@pytest.mark.parametrize("name", CLASSES)
def test_forced_detection_has_the_mean_of_analogue(mixed, both_ways, name):
    analogue, forced = (getattr(one, name) for one in both_ways)
    error = np.hypot(analogue.std_error, forced.std_error)
    assert analogue.mean.shape == (2, 4, 6)
    # Of pixels with so many counts that their number is nearly normal: few primary photons get through the iodine.
    many = forced.mean * 1_500_000 > 20
    assert many.sum() > 12
    assert likely(((analogue.mean - forced.mean) / error)[many])
    # Sums over the image are surer: a share of a class that is missed would show.
    total = analogue.mean.sum() - forced.mean.sum()
    assert abs(total) < 4 * np.linalg.norm(error) + 0.02 * forced.mean.sum()


@pytest.fixture(scope="module")
def both_ways(mixed):
    """Both estimates of counts below and above 50 keV on 4 x 6 pixels."""
    beam = transport.ConeBeam(SCAN, {40.0: 1.0, 70.0: 2.0}, 1)
    detectors = [
        transport.Detector(SCAN, 1, (4, 6), "counting", [10.0, 50.0], 5.0, estimator)
        for estimator in ("analogue", "forced")
    ]
    return [imaged(mixed, beam, n, d, seed=3) for n, d in zip((1_500_000, 20_000), detectors, strict=True)]


def test_forced_detection_is_much_surer(both_ways):
    analogue, forced = both_ways
    gain = (analogue.scatter.std_error**2 * analogue.n_histories) / (forced.scatter.std_error**2 * forced.n_histories)
    assert np.median(gain) > 30


@pytest.mark.parametrize("kind", ["flat", "curved"])
@pytest.mark.parametrize("estimator", ["analogue", "forced"])
def test_primary_photons_are_the_line_integrals_of_the_scan(water, kind, estimator):
    """exp(-A mu) times the solid angle of the pixel, of an off-centre detector in the cube's shadow."""
    A = ct.ConeBeam(GRID, [0.0, 0.02], (5, 7), (20.0, 18.0), 1000, 1500, kind, detector_offset=(22.0, -31.0))
    found = imaged(
        water, transport.ConeBeam(A, 60.0, 1), 200_000, transport.Detector(A, 1, (5, 7), estimator=estimator)
    )
    rows, columns = np.meshgrid(A.rows, A.columns, indexing="ij")
    across = np.zeros_like(columns) if kind == "curved" else columns
    solid_angle = (1 + (across**2 + rows**2) / A.sdd**2) ** -1.5
    share = solid_angle / solid_angle.sum()
    mean = 60.0 * share * np.exp(-A(water.attenuation(60.0)))[1]
    assert likely((found.primary.mean - mean) / found.primary.std_error)
    # Of the sum as well: all pixels may be off by little.
    assert abs(found.primary.mean.sum() - mean.sum()) < 4 * np.linalg.norm(found.primary.std_error)


def test_primary_photons_of_a_pencil_are_exact_by_forced_detection(water):
    """exp(-mu L) of each energy times its share in each channel, without any spread but that of the spectrum."""
    energies, weights, thresholds = np.array([30.0, 48.0, 80.0]), np.array([0.5, 0.3, 0.2]), [20.0, 50.0]
    mu = transport.Material("water").attenuation(energies)
    counts = {}
    for energy, depth in zip(energies, mu * 160, strict=True):
        detector = transport.Detector.rectangle(
            (0, 0, 300), (40, 0, 0), (0, 40, 0), (1, 1), "counting", thresholds, 6.0, "forced"
        )
        found = imaged(water, transport.PencilBeam((0, 0, -200), "z", energy), 500, detector)
        share = detector.sensitivity([energy])[:, 0]
        np.testing.assert_allclose(found.primary.mean[:, 0, 0], math.exp(-depth) * share, rtol=2e-4, atol=1e-9)
        sigma = 6.0 / 2.354820045
        above = stats.norm.sf(np.array([*thresholds, np.inf]), energy, sigma)
        np.testing.assert_allclose(share, above[:-1] - above[1:], atol=1e-12)
        counts[energy] = found.primary.mean[:, 0, 0]
    spectrum = dict(zip(energies, weights, strict=True))
    analogue = transport.Detector.rectangle((0, 0, 300), (40, 0, 0), (0, 40, 0), (1, 1), "counting", thresholds, 6.0)
    found = imaged(water, transport.PencilBeam((0, 0, -200), "z", spectrum), 300_000, analogue)
    expected = sum(weight * counts[energy] for energy, weight in spectrum.items())
    assert likely((found.primary.mean[:, 0, 0] - expected) / found.primary.std_error[:, 0, 0])


def test_images_add_up_and_the_total_has_the_spread_of_single_photons(water):
    """A photon is counted at most once here: counts are binomial, whatever class they are of."""
    detector = transport.Detector.rectangle((0, 0, 120), (900, 0, 0), (0, 900, 0), response="counting")
    found = imaged(water, transport.PencilBeam((0, 0, -200), "z", 60.0), 50_000, detector)
    parts = sum(getattr(found, name).mean for name in ("compton", "rayleigh", "multiple"))
    np.testing.assert_allclose(parts, found.scatter.mean, rtol=1e-12)
    for name in ("primary", "scatter", "total"):
        p = getattr(found, name).mean.item()
        assert 0.02 < p < 0.5
        np.testing.assert_allclose(getattr(found, name).std_error.item(), math.sqrt(p * (1 - p) / 49_999), rtol=1e-6)
    np.testing.assert_allclose(found.total.mean, found.primary.mean + found.scatter.mean)
    np.testing.assert_allclose(found.scatter_to_primary, found.scatter.mean / found.primary.mean)


def test_uncertainty_is_that_of_scatter_where_it_is_strong(both_ways):
    found = both_ways[1]
    strong = found.scatter.mean > 0.5 * found.scatter.mean.max()
    assert 1 < strong.sum() < strong.size
    expected = math.sqrt(np.mean(found.scatter.relative_error[strong] ** 2))
    assert found.uncertainty() == pytest.approx(expected, rel=1e-9)
    assert found.uncertainty(region=strong) == pytest.approx(expected, rel=1e-9)
    assert found.uncertainty(above=0.0) > expected


@pytest.mark.parametrize("estimator", ["analogue", "forced"])
def test_results_have_the_bits_of_one_run_for_any_threads_and_parts(mixed, estimator, keep_threads):
    beam, detector = transport.ConeBeam(SCAN, 60.0, 0), transport.Detector(SCAN, 0, (3, 4), estimator=estimator)
    spinray.set_num_threads(1)
    whole = transport.simulate(mixed, beam, 3000, [detector], seed=5)
    spinray.set_num_threads(2)
    parts = [transport.simulate(mixed, beam, None, [detector], seed=5, histories=h) for h in ((900, 3000), (0, 900))]
    for name in CLASSES:
        one, sum_ = (getattr(result["detector"], name) for result in (whole, sum(parts)))
        assert one.mean.tobytes() == sum_.mean.tobytes()
        assert one.std_error.tobytes() == sum_.std_error.tobytes()


@pytest.mark.parametrize("thresholds", [None, [20.0, 45.0]])
def test_a_detector_comes_back_from_files_and_pickles(tmp_path, water, thresholds):
    A = ct.ConeBeam(GRID, [0.3], (6, 6), 40.0, 1000, 1500, "curved", (3.0, 7.0))
    response = "energy" if thresholds is None else "counting"
    detector = transport.Detector(A, 0, (2, 3), response, thresholds, estimator="forced", name="panel")
    assert pickle.loads(pickle.dumps(detector)) == detector
    assert hash(detector) == hash(transport.Detector(A, -1, (2, 3), response, thresholds, 0.0, "forced", "panel"))
    result = transport.simulate(water, transport.ConeBeam(A, 60.0, 0), 1000, [detector])
    result.save(tmp_path / "panel.npz")
    more = transport.simulate(water, transport.ConeBeam(A, 60.0, 0), None, [detector], histories=(1000, 1500))
    for back in (transport.Result.load(tmp_path / "panel.npz"), pickle.loads(pickle.dumps(result))):
        assert back["panel"].detector == detector
        np.testing.assert_array_equal(back["panel"].scatter.std_error, result["panel"].scatter.std_error)
        assert (back + more)["panel"].n_histories == 1500
    other = transport.Detector(A, 0, (2, 3), response, thresholds, estimator="analogue", name="panel")
    with pytest.raises(InputError, match="same tallies"):
        result + transport.simulate(water, transport.ConeBeam(A, 60.0, 0), None, [other], histories=(1000, 1500))


def test_a_simulation_ends_when_scatter_is_known_well_enough(water):
    detector = transport.Detector(SCAN, 0, (4, 4), estimator="forced")
    until = transport.Until(uncertainty=0.03, tally="detector")
    tallies = [transport.Dose(), detector]
    result = transport.simulate(water, transport.ConeBeam(SCAN, 60.0, 0), tallies=tallies, until=until)
    assert 0.01 < result["detector"].uncertainty() <= 0.03


def test_a_drawing_shows_primary_scatter_and_their_ratio(both_ways):
    plt = pytest.importorskip("matplotlib.pyplot", reason="drawings need matplotlib")
    axes = both_ways[1].plot(channel=1)
    shown = axes[2].images[0].get_array()
    np.testing.assert_allclose(shown, both_ways[1].scatter_to_primary[1], rtol=1e-6)
    plt.close("all")
    with pytest.raises(InputError, match="channel: expected 0 to 1"):
        both_ways[1].plot(channel=2)


def test_detectors_in_the_way_or_turned_away_are_refused(water):
    beam = transport.PencilBeam((0, 0, -200), "z", 60.0)
    with pytest.raises(InputError, match="outside the phantom"):
        imaged(water, beam, 10, transport.Detector.rectangle((0, 0, 70), (100, 0, 0), (0, 100, 0)))
    with pytest.raises(InputError, match=r"at its back.*Negate an edge"):
        imaged(water, beam, 10, transport.Detector.rectangle((0, 0, 200), (100, 0, 0), (0, -100, 0)))
    with pytest.raises(InputError, match="sdd: must be at least sod"):
        ct.ConeBeam(GRID, [0.0], (4, 4), 10.0, sod=1500, sdd=1000)
    air = transport.VoxelPhantom(GRID, ["water"], np.zeros(GRID.shape, np.uint8), outside="air")
    with pytest.raises(InputError, match="outside='vacuum' or a smaller margin"):
        imaged(air, beam, 10, transport.Detector.rectangle((0, 0, 200), (100, 0, 0), (0, 100, 0)))


def test_bad_input_is_refused_with_a_reason():
    slices = Grid((8, 8), 20.0)
    rectangle = {"centre": (0, 0, 300), "first": (40, 0, 0), "second": (0, 40, 0)}
    for error, match, make in [
        (InputError, "how far away", lambda: transport.Detector(ct.ParallelBeam(slices, [0.0], 8))),
        (InputError, "height of its rows", lambda: transport.Detector(ct.FanBeam(slices, [0.0], 8, 9.0, 500, 900))),
        (DtypeError, "rectangle takes a place", lambda: transport.Detector(GRID)),
        (InputError, "views: expected indices of 2", lambda: transport.Detector(SCAN, 2)),
        (DtypeError, "view: expected an integer", lambda: transport.Detector(SCAN, 0.5)),
        (InputError, "shape", lambda: transport.Detector(SCAN, 0, (0, 4))),
        (InputError, "response: expected one of", lambda: transport.Detector(SCAN, response="counts")),
        (InputError, "estimator: expected one of", lambda: transport.Detector(SCAN, estimator="forward")),
        (InputError, "Try 'counting'", lambda: transport.Detector(SCAN, thresholds=[20.0])),
        (InputError, "without thresholds", lambda: transport.Detector(SCAN, resolution=2.0)),
        (InputError, "growing", lambda: transport.Detector(SCAN, response="counting", thresholds=[50.0, 20.0])),
        (InputError, ">= 0", lambda: transport.Detector(SCAN, response="counting", thresholds=[9.0], resolution=-1.0)),
        (InputError, "not zero", lambda: transport.Detector.rectangle(**rectangle | {"first": (0, 0, 0)})),
        (InputError, "perpendicular", lambda: transport.Detector.rectangle(**rectangle | {"first": (40, 1, 0)})),
        (InputError, "name", lambda: transport.Detector(SCAN, name="")),
    ]:
        with pytest.raises(error, match=match):
            make()


def test_standard_errors_of_forced_images_and_of_their_total_are_those_of_repeats():
    grid = spinray.Grid((10, 10, 10), 20.0)
    water = transport.VoxelPhantom(grid, ["water"], np.zeros(grid.shape, int))
    beam = transport.PencilBeam((0, 0, -300), "z", 60.0, width=100.0)
    panel = transport.Detector.rectangle((0, 0, 150), (100, 0, 0), (0, 100, 0), shape=(2, 2), estimator="forced")
    images = [transport.simulate(water, beam, 3000, [panel], seed=seed)["detector"] for seed in range(200)]
    for name in ("primary", "scatter", "total"):
        found = [getattr(image, name) for image in images]
        spread = np.var([one.mean for one in found], axis=0, ddof=1)
        # A variance of 200 is known to 10 %, the mean of four of them to 5 %. Of primary and scatter, total has both.
        assert np.mean(spread / np.mean([one.std_error**2 for one in found], axis=0)) == pytest.approx(1, abs=0.2)
