"""Variance reduction: means and standard errors of every route are those of nature; closed forms; bits; errors."""

import itertools
import math
import pickle

import numpy as np
import pytest

import spinray
from spinray import Grid, transport
from spinray.errors import DtypeError, InputError
from spinray.transport import Biasing

#: Layers of water, the last two of bone, 5 mm thick: few photons collide, and fewer get to the end.
GRID = Grid((6, 2, 2), spacing=(5.0, 20.0, 20.0))
SPECTRUM = transport.Spectrum([30.0, 45.0, 60.0], [4.0, 2.0, 1.0], bin_width=2.0)
REPEATS = 40


@pytest.fixture(scope="module")
def phantom():
    labels = np.zeros(GRID.shape, np.uint8)
    labels[4:] = 1
    return transport.VoxelPhantom(GRID, ["water", "cortical bone"], labels, outside="air", margin=20.0)


@pytest.fixture(scope="module")
def source():
    activity = np.arange(16.0).reshape(4, 2, 2)
    return transport.VolumeSource(Grid((4, 2, 2), 15.0, origin=(-40.0, -7.0, -7.0)), activity, SPECTRUM)


DEEPER = np.broadcast_to(np.array([1.0, 1.3, 2.0, 5.0, 9.0, 40.0])[:, None, None], GRID.shape)
LATER = np.linspace(1.0, 6.0, 16).reshape(4, 2, 2)
ROUTES = {
    "force": Biasing(force=True),
    "importance": Biasing(importance=DEEPER),
    "spectrum": Biasing(spectrum=[1.0, 2.5, 6.0]),
    "activity": Biasing(activity=LATER),
    "all": Biasing(force=True, importance=DEEPER, spectrum=[1.0, 2.5, 6.0], activity=LATER),
}


def both_estimators():
    return [transport.Dose(), transport.Dose("track_length", name="track length")]


@pytest.fixture(scope="module")
def truth(phantom, source):
    return transport.simulate(phantom, source, 4_000_000, both_estimators(), seed=1000)


@pytest.mark.parametrize("route", ROUTES)
def test_z_scores_of_repeats_against_nature_are_standard_normal(phantom, source, truth, route):
    repeats = [
        transport.simulate(phantom, source, 20_000, both_estimators(), seed=seed, biasing=ROUTES[route])
        for seed in range(REPEATS)
    ]
    for name in truth:
        # Where a repeat knows little its error and its mean go together, and z is not normal.
        well = np.mean([r[name].relative_error for r in repeats], axis=0) < 0.08
        assert well.sum() >= 8
        error = np.array([r[name].energy_std_error[well] for r in repeats])
        z = np.array([r[name].energy[well] for r in repeats]) - truth[name].energy[well]
        z /= np.hypot(error, truth[name].energy_std_error[well])
        known = truth[name].energy_std_error[well] / np.sqrt((error**2).mean(axis=0))
        mean, variance = z.mean(axis=0), z.var(axis=0, ddof=1)
        # What is wrong with the truth is common to all repeats.
        assert np.abs(mean / np.sqrt(1 / REPEATS + known**2)).max() < 4.0
        assert abs(mean.mean()) < 4.0 / math.sqrt(4 * REPEATS)  # cells are correlated: some 4 of them count
        assert np.abs(variance - 1).max() < 4.5 * math.sqrt(2 / (REPEATS - 1))
        assert abs(variance.mean() - 1) < 0.2


@pytest.mark.parametrize("route", ["force", "importance", "all"])
def test_surfaces_regions_and_detectors_are_those_of_nature(phantom, source, route):
    deep = np.zeros(GRID.shape, bool)
    deep[4:] = True
    behind, within = transport.Surface((0, 0, 40), "z", size=120.0), transport.Surface((0, 0, 1), "z", size=40.0)
    edges = np.linspace(0.0, 62.0, 5)
    tallies = [
        transport.Fluence(edges, region=deep, name="region"),
        transport.Fluence(edges, surface=behind, name="behind"),
        transport.Kerma(surface=within, name="within"),
        transport.Kerma("water", name="cells"),
        transport.Detector.rectangle((0, 0, 60), (90, 0, 0), (0, 90, 0), shape=(2, 2), name="detector"),
    ]

    def values(result):
        found = [result[name] for name in ("region", "behind", "within", "cells")]
        image = result["detector"]
        parts = [*((f.mean, f.std_error) for f in found), (image.scatter.mean, image.scatter.std_error)]
        return [np.concatenate([np.ravel(part[k]) for part in parts]) for k in (0, 1)]

    vacuum = transport.VoxelPhantom(GRID, phantom.materials, phantom.labels)
    truth, apart = values(transport.simulate(vacuum, source, 1_000_000, tallies, seed=2000))
    found, error = values(transport.simulate(vacuum, source, 300_000, tallies, seed=1, biasing=ROUTES[route]))
    well = (truth > 10 * apart) & (found > 10 * error)
    z = (found - truth)[well] / np.hypot(error, apart)[well]
    assert well.sum() > 20
    assert np.abs(z).max() < 4.5
    assert (z**2).mean() < 2.0


@pytest.fixture(scope="module")
def wall():
    """30 cm of water, a beam, and an importance that grows as photons become fewer."""
    grid = Grid((15, 2, 2), spacing=(20.0, 60.0, 60.0))
    water = transport.VoxelPhantom(grid, ["water"], np.zeros(grid.shape, np.uint8))
    beam = transport.PencilBeam((1, 1, -300), "z", energy=60.0)
    return water, beam, np.broadcast_to((2.0 ** (np.arange(15) // 2))[:, None, None], grid.shape)


def test_what_is_looked_at_is_known_better_for_as_many_histories(phantom, source, wall):
    water, beam, importance = wall
    split = transport.simulate(water, beam, 20_000, biasing=Biasing(importance=importance))["dose"]
    nature = transport.simulate(water, beam, 20_000)["dose"]
    assert split.uncertainty(region=importance > 100) < 0.25 * nature.uncertainty(region=importance > 100)
    thin = transport.VoxelPhantom(GRID, ["water"], np.zeros(GRID.shape, np.uint8), density=np.full(GRID.shape, 0.001))
    few, many = (transport.simulate(thin, beam, 20_000, biasing=b)["dose"] for b in (None, Biasing(force=True)))
    assert many.uncertainty() < 0.05 * few.uncertainty()
    np.testing.assert_allclose(many.energy.sum(), few.energy.sum(), rtol=4 * few.uncertainty())


def test_every_forced_photon_leaves_and_collides_by_the_law_of_attenuation():
    grid = Grid((10, 4, 4), spacing=0.5)
    labels = np.zeros(grid.shape, np.uint8)
    labels[3:5] = 1
    slabs = transport.VoxelPhantom(grid, ["water", "Al"], labels)
    beam = transport.PencilBeam((0.3, 0.2, -100), "z", energy=60.0)
    tallies = [transport.Dose(), transport.PhaseSpace()]
    result = transport.simulate(slabs, beam, 20_000, tallies, biasing=Biasing(force=True))
    photons = result["phase space"]
    through = photons.primary
    assert np.array_equal(photons.history[through], np.arange(20_000))
    tau = 4.0 * transport.Material("water").attenuation(60.0) + transport.Material("Al").attenuation(60.0)
    # Attenuation in tables is within 0.05 %.
    np.testing.assert_allclose(photons.weight[through], math.exp(-tau), rtol=6e-4 * tau)
    left = np.bincount(photons.history.astype(int), photons.weight * photons.energy.astype(float))
    assert left.max() < 60.0001
    np.testing.assert_allclose(left.mean() + result["dose"].energy.sum(), 60.0, rtol=1e-6)


def test_energy_is_conserved_on_average_by_splitting_and_roulette(phantom, source):
    balance = []
    for seed in range(40):
        tallies = [transport.Dose(), transport.PhaseSpace()]
        result = transport.simulate(phantom, source, 1000, tallies, seed=seed, biasing=ROUTES["all"])
        photons = result["phase space"]
        stays = result._scored["dose"].sums[0]
        balance.append((photons.weight * photons.energy).sum(dtype=float) / 1000 + result["dose"].energy.sum())
        assert stays.scale.shape == GRID.shape
    # The air around the phantom keeps 0.001 of them.
    error = np.std(balance, ddof=1) / math.sqrt(40)
    assert abs(np.mean(balance) - SPECTRUM.mean_energy) < 4 * error + 1e-3 * SPECTRUM.mean_energy
    assert error < 0.02 * SPECTRUM.mean_energy


@pytest.mark.usefixtures("keep_threads")
def test_bits_depend_on_seed_and_history_only(phantom, source):
    def run(histories, seed=7):
        return transport.simulate(phantom, source, histories=histories, seed=seed, biasing=ROUTES["all"])

    results = []
    for n in (1, 3):
        spinray.set_num_threads(n)
        results.append(run((0, 12_001)))
    parts = [run(pair) for pair in itertools.pairwise((0, 13, 5000, 5001, 12_001))]
    for other in (results[1], sum(parts), sum(reversed(parts))):
        for of in ("energy", "energy_std_error"):
            assert getattr(other["dose"], of).tobytes() == getattr(results[0]["dose"], of).tobytes()


def test_results_of_other_biasing_do_not_add_up(phantom, source, tmp_path):
    def run(histories, biasing):
        return transport.simulate(phantom, source, histories=histories, biasing=biasing)

    a = run((0, 100), ROUTES["all"])
    copies = [run((100, 200), pickle.loads(pickle.dumps(ROUTES["all"])))]
    copies[0].save(tmp_path / "b.npz")
    copies += [transport.Result.load(tmp_path / "b.npz"), pickle.loads(pickle.dumps(copies[0]))]
    whole = run((0, 200), ROUTES["all"])["dose"]
    for b in copies:
        assert (a + b)["dose"].energy_std_error.tobytes() == whole.energy_std_error.tobytes()
        assert (a + b)["dose"].uncertainty() == whole.uncertainty()
    for biasing in (None, ROUTES["force"], Biasing(importance=2 * DEEPER)):
        with pytest.raises(InputError, match=r"^results: expected the same biasing"):
            a + run((100, 200), biasing)


def test_the_importance_of_solids_goes_by_name_and_their_mesh_is_right():
    grid = Grid((4, 2, 2), spacing=(10.0, 20.0, 20.0), origin=(15.0, -10.0, -10.0))
    solids = [
        transport.Box("water", (40.0, 40.0, 60.0), (0.0, 0.0, 30.0), name="block"),
        transport.Sphere("cortical bone", 12.0, (0.0, 0.0, 40.0), name="ball", priority=1),
    ]
    phantom = transport.SolidPhantom(solids, mesh=grid)
    beam = transport.PencilBeam((0, 0, -100), "z", energy=50.0, width=30.0)
    nature = transport.simulate(phantom, beam, 400_000)["dose"]
    biasing = Biasing(importance={"ball": 8.0})
    split = transport.simulate(phantom, beam, 100_000, seed=1, biasing=biasing)["dose"]
    for a, b in ((nature, split), (nature.mesh, split.mesh)):
        much = a.relative_error < 0.2
        z = (a.energy - b.energy)[much] / np.hypot(a.energy_std_error, b.energy_std_error)[much]
        assert np.abs(z).max() < 4.0
    assert split.solids == ("block", "ball", "world")
    # Of a quarter of the histories.
    assert split.mesh.relative_error[3].max() < 0.75 * 2 * nature.mesh.relative_error[3].max()


def test_fluence_and_kerma_know_the_importance_of_their_cells(phantom, source):
    tallies = [transport.Fluence(), transport.Kerma(), transport.Fluence(energies=[10, 40, 70], name="spectra")]
    nature = transport.simulate(phantom, source, 300_000, tallies)
    split = transport.simulate(phantom, source, 100_000, tallies, seed=1, biasing=ROUTES["importance"])
    for name in nature:
        a, b = nature[name], split[name]
        z = (a.mean - b.mean) / np.hypot(a.std_error, b.std_error)
        assert z.shape[-3:] == GRID.shape
        assert np.abs(z).max() < 4.5


def test_a_grid_that_is_flipped_has_its_importance_and_its_factors_flipped(phantom, source):
    flipped = Grid(
        GRID.shape,
        GRID.spacing,
        origin=(GRID.origin[0], -GRID.origin[1], GRID.origin[2]),
        direction=np.diag([1.0, -1.0, 1.0]),
    )
    other = transport.VoxelPhantom(flipped, phantom.materials, phantom.labels[:, ::-1], outside="air", margin=20.0)
    importance = DEEPER * np.array([1.0, 3.0])[:, None]
    a = transport.simulate(phantom, source, 2000, biasing=Biasing(importance=importance))
    b = transport.simulate(other, source, 2000, biasing=Biasing(importance=importance[:, ::-1]))
    assert np.array_equal(a["dose"].energy, b["dose"].energy[:, ::-1])
    assert np.array_equal(a["dose"].energy_std_error, b["dose"].energy_std_error[:, ::-1])


def test_until_an_uncertainty_of_biased_photons(wall):
    water, beam, importance = wall
    until = transport.Until(uncertainty=0.02, region=importance > 100)
    biased = transport.simulate(water, beam, until=until, biasing=Biasing(importance=importance))
    assert biased["dose"].uncertainty(region=importance > 100) <= 0.02
    assert 5 * biased.n_histories < transport.simulate(water, beam, until=until).n_histories


@pytest.mark.parametrize(
    ("wishes", "error", "message"),
    [
        ({}, InputError, "biasing: expected something to be biased"),
        ({"force": 2}, InputError, "force: expected one of"),
        ({"importance": -DEEPER}, InputError, "importance: expected numbers > 0, got -40"),
        ({"importance": DEEPER[0]}, InputError, r"importance: expected shape \(6, 2, 2\)"),
        ({"importance": np.where(DEEPER > 10, 1e7, 1)}, InputError, "importance: expected values that differ by"),
        ({"importance": np.where(DEEPER > 10, np.nan, 1)}, InputError, "importance: expected finite"),
        ({"importance": {"ball": 2.0}}, DtypeError, "importance: expected an array"),
        ({"importance": {"ball": 0.0}}, InputError, r"importance\['ball'\]: expected"),
        ({"spectrum": [1.0, 2.0]}, InputError, r"spectrum: expected shape \(3,\)"),
        ({"spectrum": [1.0, 2.0, 1e7]}, InputError, "spectrum: expected factors > 0, the largest at most 1e6"),
        ({"activity": LATER[1:]}, InputError, r"activity: expected shape \(4, 2, 2\)"),
        ({"activity": 0 * LATER}, InputError, "activity: expected numbers > 0"),
        ({"activity": "much"}, DtypeError, "activity: expected"),
    ],
)
def test_what_makes_no_sense_is_refused(phantom, source, wishes, error, message):
    with pytest.raises(error, match=f"^{message}"):
        transport.simulate(phantom, source, 10, biasing=Biasing(**wishes))


def test_what_is_no_biasing_and_fits_no_source_is_refused(phantom):
    beam = transport.PencilBeam((0, 0, -200), "z", energy=60.0)
    with pytest.raises(DtypeError, match=r"^biasing: expected transport.Biasing"):
        transport.simulate(phantom, beam, 10, biasing=True)
    with pytest.raises(InputError, match=r"^activity: expected a VolumeSource, got PencilBeam"):
        transport.simulate(phantom, beam, 10, biasing=Biasing(activity=LATER))
    ball = transport.SolidPhantom([transport.Sphere("water", 5.0, name="ball")])
    with pytest.raises(InputError, match=r"^importance: expected names of ball, world, got 'bowl'"):
        transport.simulate(ball, beam, 10, biasing=Biasing(importance={"bowl": 2.0}))
    with pytest.raises(DtypeError, match=r"^importance: expected a mapping of names"):
        transport.simulate(ball, beam, 10, biasing=Biasing(importance=DEEPER))
