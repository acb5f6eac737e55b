"""Fluence and kerma: closed forms of beams in water and nothing, the dose they make, errors, bits, files."""

import itertools
import math
import pickle

import numpy as np
import pytest

import spinray
from spinray import Grid, transport
from spinray.errors import DtypeError, InputError
from spinray.transport import Fluence, Kerma, Surface

GY_PER_KEV_PER_G = 1.602176634e-13
GRID = Grid((6, 5, 4), spacing=20.0)


@pytest.fixture(scope="module")
def water():
    return transport.VoxelPhantom(GRID, ["water"], np.zeros(GRID.shape, np.uint8))


@pytest.fixture(scope="module")
def beam():
    return transport.PointSource((5.0, -5.0, -300.0), energy=80.0, direction="z", opening=0.15)


@pytest.fixture(scope="module")
def solids():
    ball, rod = (
        transport.Sphere("water", 25.0, name="ball"),
        transport.Cylinder("Al", 8.0, 40.0, (0, 0, 45), name="rod"),
    )
    bounds, mesh = ((-60, -60, -60), (60, 60, 80)), Grid((2, 3, 4), spacing=10.0)
    return transport.SolidPhantom([ball, rod], "air", bounds, mesh)


def nothing(shape=(4, 4, 4), spacing=20.0):
    return transport.VoxelPhantom(Grid(shape, spacing), [None], np.zeros(shape, np.uint8))


def z_score(found, expected):
    return (found.mean - expected) / found.std_error


def test_a_pencil_in_water_falls_off_by_the_law_of_attenuation():
    grid = Grid((10, 3, 3), spacing=(20.0, 4.0, 4.0))
    water = transport.VoxelPhantom(grid, ["water"], np.zeros(grid.shape, int))
    beam = transport.PencilBeam((0.5, -0.3, -200), "z", energy=500.0)
    # Scattered photons have less: the upper bin holds those that have met nothing (and 0.2 % of Rayleigh scatter).
    found = transport.simulate(water, beam, 200_000, [Fluence([1, 499, 500])])["fluence"]
    mu = transport.Material("water").attenuation(500.0)
    faces = np.exp(-mu * 20.0 * np.arange(11))
    expected = (faces[:-1] - faces[1:]) / (20.0 * mu) / 16.0
    column = (1, slice(None), 1, 1)
    assert np.abs((found.mean[column] - expected) / found.std_error[column]).max() < 4.0
    assert found.std_error[column].max() < 0.01 * expected.max()
    assert found.mean[0, :, 0, 0].min() > 0


def test_a_point_source_falls_off_by_the_square_of_the_distance():
    box, point = nothing(), transport.PointSource((0.0, 0.0, -70.0), 60.0)
    behind = Surface((0, 20, 100), (0, 0.6, 0.8), (120.0, 200.0), across="x")
    found = transport.simulate(box, point, 400_000, [Fluence(), Fluence(surface=behind, name="surface")])

    def mean_of(points):
        return (1 / (4 * math.pi * ((points - [0, 0, -70]) ** 2).sum(axis=-1))).mean(axis=-1)

    steps = (np.arange(16) + 0.5) / 16 - 0.5
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3) * 20.0
    z, y, x = np.meshgrid(*GRID_AXES, indexing="ij")
    centres = np.stack([x, y, z], axis=-1)
    score = z_score(found["fluence"], mean_of(centres[..., None, :] + offsets))
    assert abs((score**2).sum() / score.size - 1) < 4 * math.sqrt(2 / score.size)
    u, v = np.meshgrid(120 * ((np.arange(200) + 0.5) / 200 - 0.5), 200 * ((np.arange(200) + 0.5) / 200 - 0.5))
    points = np.array([0, 20, 100]) + u[..., None] * [1, 0, 0] + v[..., None] * [0, 0.8, -0.6]
    assert abs(z_score(found["surface"], mean_of(points.reshape(-1, 3)))) < 4.0
    assert found["surface"].relative_error < 0.01


GRID_AXES = nothing().grid.axes()


def test_spectra_sum_to_the_whole(water, solids, beam):
    edges = [1.0, 30.0, 50.0, 70.0, 75.0, 80.0]
    surface = Surface((0, 0, 70), "z", 50.0)
    wishes = ({}, {"region": GRID_MASK}, {"surface": surface})
    for phantom, places in ((water, wishes), (solids, ({}, {"region": ("ball", "rod")}, {"surface": surface}))):
        pairs = [
            (Fluence(name=f"all {k}", **place), Fluence(edges, name=f"bins {k}", **place))
            for k, place in enumerate(places)
        ]
        found = transport.simulate(phantom, beam, 20_000, itertools.chain(*pairs))
        for k in range(len(places)):
            whole, bins = found[f"all {k}"], found[f"bins {k}"]
            assert np.shape(bins.mean) == (5, *np.shape(whole.mean))
            np.testing.assert_allclose(bins.mean.sum(axis=0), whole.mean, rtol=1e-5)
            assert (bins.mean.reshape(5, -1).sum(axis=1) > 0).sum() > 3
            if whole.mesh is not None:
                np.testing.assert_allclose(bins.mesh.mean.sum(axis=0), whole.mesh.mean, rtol=1e-5)


GRID_MASK = np.zeros(GRID.shape, bool)
GRID_MASK[2:4, 1:3, 1] = True


def test_a_region_is_the_mean_of_its_cells(water, solids, beam):
    found = transport.simulate(water, beam, 20_000, [Kerma(), Kerma(region=GRID_MASK, name="region")])
    np.testing.assert_allclose(found["region"].mean, found["kerma"].mean[GRID_MASK].mean(), rtol=1e-5)
    tallies = [Fluence(), Fluence(region=("ball", "world"), name="two"), Fluence(region="rod", name="one")]
    mesh = np.arange(24).reshape(2, 3, 4) % 3 == 0
    found = transport.simulate(solids, beam, 20_000, [*tallies, Fluence(region=mesh, name="boxes")])
    each = found["fluence"]
    assert each.solids == ("ball", "rod", "world")
    volumes = solids.volumes[[0, 2]]
    np.testing.assert_allclose(found["two"].mean, (each.mean[[0, 2]] * volumes).sum() / volumes.sum(), rtol=1e-5)
    np.testing.assert_allclose(found["one"].mean, each.mean[1], rtol=1e-5)
    np.testing.assert_allclose(found["boxes"].mean, each.mesh.mean[mesh].mean(), rtol=1e-5)


def test_a_flipped_grid_has_its_region_where_it_is(beam):
    flipped = Grid(GRID.shape, 20.0, origin=(50.0, -40.0, -30.0), direction=np.diag([1.0, 1.0, -1.0]))
    labels = np.zeros(GRID.shape, np.uint8)
    tallies = [Kerma(), Kerma(region=GRID_MASK, name="region"), Fluence([1, 60, 80], name="bins")]
    found = transport.simulate(transport.VoxelPhantom(flipped, ["water"], labels), beam, 5_000, tallies)
    np.testing.assert_allclose(found["region"].mean, found["kerma"].mean[GRID_MASK].mean(), rtol=1e-5)
    assert found["kerma"].mean[-1].sum() > 2 * found["kerma"].mean[0].sum(), "it enters at the last slice"
    assert found["bins"].mean[1, -1].sum() > 2 * found["bins"].mean[1, 0].sum()


def test_kerma_in_its_own_material_is_dose_by_track_length(water, solids, beam):
    tallies = [transport.Dose("track_length"), Kerma("water")]
    found = transport.simulate(water, beam, 20_000, tallies)
    np.testing.assert_allclose(found["kerma"].mean, found["dose"].mean, rtol=1e-5)
    np.testing.assert_allclose(found["kerma"].std_error, found["dose"].std_error, rtol=1e-3)
    found = transport.simulate(solids, beam, 20_000, [*tallies, Kerma("air", name="air"), Kerma("Al", name="Al")])
    own = [found[name].mean[k] for k, name in enumerate(("kerma", "Al", "air"))]
    np.testing.assert_allclose(own, found["dose"].mean, rtol=1e-5)


def test_track_length_in_solids_gives_the_dose_of_collisions(solids, beam):
    tallies = [transport.Dose(), transport.Dose("track_length", name="length")]
    found = transport.simulate(solids, beam, 300_000, tallies)
    for a, b in ((found["dose"], found["length"]), (found["dose"].mesh, found["length"].mesh)):
        score = (a.mean - b.mean) / np.hypot(a.std_error, b.std_error)
        assert (score**2).sum() < score.size + 4 * math.sqrt(2 * score.size)
        assert (b.std_error < a.std_error).all()


def test_air_kerma_of_one_energy_is_fluence_times_energy_times_its_coefficient(water):
    beam, behind = transport.PencilBeam((5.0, 5.0, -200.0), "z", 60.0), Surface((5, 5, 500), "z", 10.0)
    found = transport.simulate(water, beam, 50_000, [Fluence(surface=behind), Kerma(surface=behind)])
    # Nothing scattered gets there: 120 mm of water let through one photon in twelve.
    mu = transport.Material("water").attenuation(60.0)
    assert abs(z_score(found["fluence"], math.exp(-120 * mu) / 100)) < 4.0
    factor = 60.0 * 100 * transport.Material("air").mass_attenuation(60.0, "energy_transfer") * GY_PER_KEV_PER_G
    np.testing.assert_allclose(found["kerma"].mean, factor * found["fluence"].mean, rtol=1e-3)
    np.testing.assert_allclose(found["kerma"].relative_error, found["fluence"].relative_error, rtol=1e-3)


def test_a_half_value_layer_halves_air_kerma():
    tube = transport.Spectrum.tube(100, {"Al": 2.5})
    beam, behind = transport.PencilBeam((0, 0, -100), "z", tube), [Kerma(surface=Surface((0, 0, 1000), "z", 10.0))]
    open_air = (
        tube.weights * tube.energies * transport.Material("air").mass_attenuation(tube.energies, "energy_transfer")
    )
    expected = open_air.sum() / tube.weights.sum() * GY_PER_KEV_PER_G
    for number, left in ((0, 1.0), (1, 0.5), (2, 0.25)):
        layers = [tube.half_value_layer("Al", k + 1) for k in range(number)]
        slab = transport.SlabStack(["Al", "Al"], layers or [0.5, 0.5], 200.0) if number == 2 else None
        parts = [slab] if slab else [transport.Box("Al" if number else None, (200, 200, sum(layers) or 1.0))]
        found = transport.simulate(transport.SolidPhantom(parts), beam, 150_000, behind)["kerma"]
        assert abs(z_score(found, left * expected)) < 4.0
        assert found.relative_error < 0.005


def repeated_tallies():
    return [
        Fluence(name="cells"),
        Fluence([1, 40, 60, 80], region=GRID_MASK, name="spectrum"),
        Fluence(surface=Surface((30, 0, 0), "x", 60.0), name="grazed"),
        Kerma(surface=Surface((0, 0, 75), "z", 200.0)),
    ]


def test_standard_errors_are_those_of_repeats(water, beam):
    n, repeats = 1000, 200
    truth = transport.simulate(water, beam, 200 * n, repeated_tallies(), seed=1000)
    found = [transport.simulate(water, beam, n, repeated_tallies(), seed=seed) for seed in range(repeats)]
    for name in truth:
        means, errors = (np.array([getattr(one[name], of) for one in found]) for of in ("mean", "std_error"))
        often = np.atleast_1d(np.asarray(truth[name].relative_error))[None] < 0.02
        score = (means.mean(axis=0) - truth[name].mean) / np.hypot(
            means.std(axis=0) / math.sqrt(repeats), truth[name].std_error
        )
        ratio = np.sqrt((errors**2).mean(axis=0)) / means.std(axis=0, ddof=1)
        assert np.abs(np.atleast_1d(score)[None][often]).max() < 4.0, name
        # The sample's standard deviation is known to 5 %.
        assert np.abs(np.atleast_1d(ratio)[None][often] - 1).max() < 0.22, name


def everything():
    return [
        Fluence(),
        Fluence([1, 40, 80], region=GRID_MASK, name="region"),
        Kerma(
            transport.Material.from_formula("LiF", 2.6), surface=Surface((0, 0, 75), (0, 1, 2), (30, 20)), name="TLD"
        ),
        Kerma(region=GRID_MASK),
        transport.Interactions(GRID_MASK),
    ]


def same_bits(a, b):
    names = ("cell", "order", "energy", "position", "process")
    return all(
        np.asarray(getattr(a[name], of)).tobytes() == np.asarray(getattr(b[name], of)).tobytes()
        for name in a
        for of in (names if name == "interactions" else ("mean", "std_error"))
    )


@pytest.mark.usefixtures("keep_threads")
def test_any_threads_split_file_and_copy_give_the_same_bits(water, beam, tmp_path):
    spinray.set_num_threads(1)
    whole = transport.simulate(water, beam, 10_001, everything(), seed=7)
    spinray.set_num_threads(3)
    cuts = itertools.pairwise((0, 1, 4000, 10_001))
    parts = [transport.simulate(water, beam, histories=pair, tallies=everything(), seed=7) for pair in cuts]
    merged = sum(reversed(parts))
    merged.save(tmp_path / "all.npz")
    loaded = transport.Result.load(tmp_path / "all.npz")
    for one in (merged, loaded, pickle.loads(pickle.dumps(merged))):
        assert same_bits(one, whole)
    more = transport.simulate(water, beam, histories=(10_001, 12_000), tallies=everything(), seed=7)
    assert same_bits(loaded + more, transport.simulate(water, beam, 12_000, everything(), seed=7))
    with pytest.raises(InputError, match=r"^results: expected the same tallies"):
        whole + transport.simulate(water, beam, histories=(10_001, 12_000), tallies=[Fluence()], seed=7)


def test_solids_are_the_same_from_a_file(solids, beam, tmp_path):
    found = transport.simulate(solids, beam, 3000, [Fluence([1, 80]), Kerma(region="ball")])
    found.save(tmp_path / "solids.npz")
    loaded = transport.Result.load(tmp_path / "solids.npz")
    assert np.array_equal(loaded["fluence"].mean, found["fluence"].mean)
    assert np.array_equal(loaded["fluence"].mesh.std_error, found["fluence"].mesh.std_error)
    assert loaded["kerma"].mean == found["kerma"].mean > 0


def test_results_scale_say_how_sure_they_are_and_draw_themselves(water, solids, beam):
    tallies = [Fluence(), Fluence(np.arange(1, 82, 10), region=GRID_MASK, name="spectrum"), Kerma(region=GRID_MASK)]
    found = transport.simulate(water, beam, 5_000, tallies)
    kerma = found["kerma"].scaled(1e9)
    assert (kerma.units, found["kerma"].units) == ("Gy", "Gy per history")
    assert kerma.mean == pytest.approx(1e9 * found["kerma"].mean)
    assert found["kerma"].uncertainty() == pytest.approx(found["kerma"].relative_error)
    assert found["fluence"].volume.data.shape == GRID.shape
    assert 0 < found["fluence"].uncertainty() < found["fluence"].uncertainty(above=0.0)
    axes = found["spectrum"].plot()
    assert axes.get_ylabel() == "fluence per keV [1/mm2 per history]"
    np.testing.assert_allclose(axes.patches[0].get_data().values, found["spectrum"].mean / 10)
    assert len(found["fluence"].plot()) == 2
    assert transport.simulate(solids, beam, 1000, [Kerma()])["kerma"].plot().get_ylabel() == "kerma [Gy per history]"
    with pytest.raises(InputError, match=r"^plot: a result of shape \(\) cannot be drawn"):
        found["kerma"].plot()
    with pytest.raises(InputError, match=r"^volume: solids, regions and surfaces"):
        _ = found["kerma"].volume
    until = transport.Until(uncertainty=0.02, tally="kerma")
    assert transport.simulate(water, beam, tallies=tallies, until=until)["kerma"].relative_error <= 0.02


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Fluence, {"energies": [1.0]}, "energies: expected two or more rising edges"),
        (Fluence, {"energies": [10.0, 5.0]}, "energies: expected two or more rising edges"),
        (Fluence, {"energies": "all"}, "energies: expected"),
        (Fluence, {"region": np.zeros((2, 2, 2), bool)}, "region: expected at least one true entry"),
        (Fluence, {"region": np.zeros((2, 2, 2))}, "region: expected an array of booleans, or names of solids"),
        (Fluence, {"region": []}, "region: expected an array of booleans"),
        (Fluence, {"surface": (0, 0, 1)}, r"surface: expected transport.Surface\(...\), got tuple"),
        (Kerma, {"material": "wather"}, "name: .*water"),
        (Kerma, {"material": 5}, "material: expected the name of a material"),
        (Kerma, {"name": ""}, "name: expected a text"),
        (Kerma, {"region": "ball", "surface": Surface((0, 0, 0), "z", 1)}, "region, surface: expected one of them"),
        (Surface, {"centre": (0, 0), "normal": "z", "size": 1}, "centre: expected"),
        (Surface, {"centre": (0, 0, 0), "normal": (0, 0, 0), "size": 1}, "normal: expected a vector that is not zero"),
        (Surface, {"centre": (0, 0, 0), "normal": "z", "size": 0}, "size: expected"),
        (
            Surface,
            {"centre": (0, 0, 0), "normal": "z", "size": 1, "across": "z"},
            "across: expected a direction within",
        ),
    ],
)
def test_places_and_energies_that_cannot_be_are_refused(make, options, message):
    with pytest.raises((InputError, DtypeError), match=f"^{message}"):
        make(**options)


def test_regions_that_a_phantom_has_not_are_refused(water, solids, beam):
    ball = transport.SolidPhantom([transport.Sphere("water", 50.0)])
    for phantom, region, message in (
        (water, "ball", "region: expected a mask of the phantom's grid, got 'ball'"),
        (water, GRID_MASK[1:], r"region: expected the shape of the phantom's grid \(6, 5, 4\), got \(5, 5, 4\)"),
        (solids, "bell", r"region: expected names of solids \(ball, rod, world\), got 'bell'"),
        (solids, GRID_MASK, r"region: expected the shape of the phantom's mesh \(2, 3, 4\), got"),
        (ball, GRID_MASK, r"region: expected names of solids \(sphere 0, world\), got a mask"),
    ):
        for tally in (Fluence(region=region), transport.Interactions(region)):
            with pytest.raises(InputError, match=f"^{message}"):
                transport.simulate(phantom, beam, 10, [tally])
