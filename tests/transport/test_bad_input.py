"""Simulations that cannot be: a clear error that names the argument, and the likely fix."""

import itertools
import math
import re

import numpy as np
import pytest

from spinray import Grid, Volume, transport
from spinray.errors import DtypeError, InputError

GRID = Grid((3, 3, 3), spacing=30.0)
MASK = np.ones(GRID.shape, bool)
until = transport.Until


@pytest.fixture(scope="module")
def phantom():
    return transport.VoxelPhantom(GRID, ["water"], np.zeros(GRID.shape, np.uint8))


@pytest.fixture(scope="module")
def beam():
    return transport.PencilBeam((0.0, 0.0, -200.0), (0.0, 0.0, 1.0), energy=60.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_histories": 0}, "n_histories: expected an integer >= 1, got 0"),
        ({"n_histories": -5}, "n_histories: expected an integer >= 1, got -5"),
        ({"n_histories": 1e6}, r"n_histories: expected an integer, got 1000000.0.*int\(1e7\)"),
        ({"n_histories": "many"}, "n_histories: expected an integer"),
        ({"n_histories": True}, "n_histories: expected an integer"),
        ({"n_histories": 2**64}, "histories: expected start < stop <= "),
        ({"n_histories": 10, "histories": (0, 10)}, "n_histories, histories: expected one of them"),
        ({"histories": (10, 10)}, r"histories: expected start < stop .* got \(10, 10\)"),
        ({"histories": (10, 5)}, "histories: expected start < stop"),
        ({"histories": (-1, 5)}, r"histories\[0\]: expected an integer >= 0"),
        ({"histories": (0, 1.5)}, r"histories\[1\]: expected an integer"),
        ({"histories": (0, 2**64)}, "histories: expected start < stop <= 2"),
        ({"histories": (1, 2, 3)}, r"histories: expected \(start, stop\), got 3 entries"),
        ({"histories": 100}, r"histories: expected \(start, stop\), got int"),
        ({"histories": range(0, 10, 2)}, "histories: expected every history"),
        ({"seed": -1}, "seed: expected an integer >= 0"),
        ({"seed": 2**64}, r"seed: expected an integer below 2\*\*64"),
        ({"seed": 0.5}, "seed: expected an integer"),
        ({"seed": None}, "seed: expected an integer"),
        ({"tallies": []}, r"tallies: expected at least one, got none. Pass tallies=\[transport.Dose\(\)\]"),
        ({"tallies": "dose"}, "tallies: expected a list of tallies, got str"),
        ({"tallies": transport.Dose()}, "tallies: expected a list of tallies, got Dose"),
        ({"tallies": [transport.Dose]}, r"tallies\[0\]: expected a tally such as transport.Dose\(\), got type"),
        (
            {"tallies": [transport.Dose(), transport.Dose("track_length")]},
            "tallies: expected names that differ, got 'dose'",
        ),
        ({"until": 60}, "until: expected transport.Until"),
        ({"until": until(uncertainty=0.1, tally="kerma")}, "until: expected tally to be one of 'dose', got 'kerma'"),
        (
            {"until": until(uncertainty=0.1), "tallies": [transport.PhaseSpace()]},
            "until: expected a dose .*Add transport",
        ),
        ({"until": until(uncertainty=0.1, region=MASK[0])}, r"region: expected the shape of the tally \(3, 3, 3\)"),
        ({"until": until(uncertainty=0.1, region=~MASK)}, "region: expected at least one cell with mass"),
        ({"on_interrupt": "ignore"}, "on_interrupt: expected one of 'raise', 'return', got 'ignore'"),
        ({"doppler": 1}, "doppler: expected one of False, True, got 1"),
        ({"phantom": "water"}, "phantom: expected a phantom such as transport.VoxelPhantom, got str"),
        ({"phantom": np.zeros((3, 3, 3))}, "phantom: expected a phantom"),
        ({"source": 60.0}, "source: expected a source such as transport.PencilBeam, got float"),
    ],
    ids=str,
)
def test_simulations_that_cannot_be_are_refused(phantom, beam, change, message):
    arguments = {"phantom": phantom, "source": beam} | change
    with pytest.raises((InputError, DtypeError), match=f"^{message}"):
        transport.simulate(**arguments)


# What issue 4 names, each as a user would come across it.


def voxels(materials=("water",), label=0, **options):
    return transport.VoxelPhantom(GRID, list(materials), np.full(GRID.shape, label), **options)


FAR = Grid((2, 2, 2), spacing=10.0, origin=(5000.0, 0.0, 0.0))


def two_results(phantom, other):
    beam = transport.PencilBeam((0, 0, -200), "z", 60)
    return transport.simulate(phantom, beam, 10) + transport.simulate(other, beam, histories=(10, 20))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: voxels(density=-0.5), r"density: expected numbers >= 0 \(g/cm3\), got -0.5.*from_hu"),
        (lambda: transport.Material("water", density=-1.0), "density: expected a positive number, got -1"),
        (lambda: transport.VoxelPhantom.from_hu(Volume(np.full((2, 2, 2), np.nan), np.eye(4))), "hu: .*NaN.*-1000"),
        (lambda: voxels(label=3), r"labels: expected labels with a material \(0 to 0\), got \[3\] without one"),
        (
            lambda: transport.simulate(voxels(), transport.PencilBeam((0, 0, 200), "z", 60), 100),
            "source: expected photons that meet the phantom, which lies between .*got none",
        ),
        (lambda: transport.PencilBeam((0, 0, -200), "z", 5000), "energy: expected 1 to 3000 keV, got 5000. eV"),
        (lambda: transport.PencilBeam((0, 0, -200), "z", 0.06), "energy: expected 1 to 3000 keV, got 0.06. MeV"),
        (
            lambda: transport.simulate(voxels(), transport.PencilBeam((0, 0, -200), "z", 60), 0),
            "n_histories: expected an integer >= 1, got 0",
        ),
        (lambda: voxels(["wter"]), "name: .*'wter'. Close: 'water'"),
        (lambda: voxels(["water"], outside="ether"), "outside: expected one of 'vacuum', 'air', got 'ether'"),
        (
            lambda: transport.simulate(voxels(), transport.VolumeSource(FAR, np.ones(FAR.shape), 140), 100),
            "source: expected photons that meet the phantom",
        ),
        (
            lambda: transport.SolidPhantom([transport.Box("water", 10.0)], mesh=FAR),
            "mesh: expected a grid that overlaps the world from .* to .* mm, got one from",
        ),
        (
            lambda: transport.SolidPhantom([transport.Box("water", 10.0)], bounds=((90, 90, 90), (99, 99, 99))),
            "bounds: solid 0: expected one that overlaps the world",
        ),
        (lambda: two_results(voxels(), voxels(["PMMA"])), "results: expected the same phantom, got two that differ"),
        (lambda: two_results(voxels(), voxels(density=1.01)), "results: expected the same phantom"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_given(make, message):
    with pytest.raises(InputError, match=f"^{message}"):
        make()


def test_a_world_whose_flights_single_precision_cannot_hold_is_refused():
    # ten kilometres for ten millimetres: a mean free path of lead is less than the last bit of a position
    grid = Grid((2, 2, 2), spacing=1e7)
    phantom = transport.VoxelPhantom(grid, ["lead", "air"], np.indices(grid.shape)[0])
    with pytest.raises(InputError, match=r"^phantom: expected at most .* mm across.* in mm$"):
        transport.simulate(phantom, transport.PencilBeam((0, 0, -1e8), "z", 60), 100)


# Values that no argument expects, and some that one might; a photon's energy, a place, a name of a material among them.
ODD = [math.nan, math.inf, -1.0, 0.0, 1e-300, 1e300, 2**64, -(2**63), 60, None, "60", "x", "water", True, b"a", 1j]
ODD += [(0, 0, 1), (math.nan, 0, 1), (1e300, 0, 0), [[1, 2], [3]], [], (), {}, {60.0: math.nan}, {"water": math.nan}]
ODD += [np.float16(60), np.array([60.0, 70.0]), np.zeros((0, 3)), np.ones((3, 3, 3)), np.array(["a"]), range(0)]
ODD += [slice(3), object()]
ORIGIN = (0.0, 0.0, 0.0)
CONSTRUCTORS = [
    (transport.Material, ["water", 1.0]),
    (transport.Material.from_formula, ["CsI", 4.51]),
    (transport.Material.mixture, [{"water": 1.0}, 1.0]),
    (transport.Spectrum, [[60.0, 70.0], [1.0, 2.0], 1.0]),
    (transport.Spectrum.tube, [80.0, {"Al": 2.5}]),
    (transport.PencilBeam, [ORIGIN, "z", 60.0, 1.0, "disc"]),
    (transport.PointSource, [ORIGIN, 60.0, "z", 0.1]),
    (transport.RectangularBeam, [(0, 0, -9), ORIGIN, (1, 0, 0), (0, 1, 0), 60.0]),
    (transport.VolumeSource, [GRID, np.ones(GRID.shape), 60.0]),
    (transport.Bowtie, ["Al", [0.0, 0.1], [1.0, 2.0]]),
    (transport.Box, ["water", 10.0, ORIGIN]),
    (transport.Sphere, ["water", 10.0, ORIGIN]),
    (transport.Cylinder, ["water", 10.0, 10.0, ORIGIN, "z"]),
    (transport.SlabStack, [["water", "Al"], [1.0, 2.0], 10.0, 0.0]),
    (transport.SolidPhantom, [[transport.Box("water", 10.0)], "air", ((-9,) * 3, (9,) * 3), GRID]),
    (transport.VoxelPhantom, [GRID, ["water"], np.zeros(GRID.shape, int), 1.0, "air", 10.0]),
    (transport.Until, [1.0, 0.1, 0.5]),
    (transport.Dose, ["analogue", "dose"]),
]


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # NumPy's, of the odd numbers themselves
@pytest.mark.parametrize(("make", "arguments"), CONSTRUCTORS, ids=lambda x: getattr(x, "__qualname__", ""))
def test_odd_arguments_are_taken_or_refused_by_name(make, arguments):
    for place, odd in itertools.product(range(len(arguments)), ODD):
        try:
            made = make(*arguments[:place], odd, *arguments[place + 1 :])
            if hasattr(made, "_kernel") and not isinstance(made, transport.Dose):
                made._kernel()
        except (InputError, DtypeError) as error:
            assert re.match(r"[a-z_]+(\[.*\])?(, [a-z_]+)*: ", str(error)), f"{odd!r}: {error}"


def test_a_phantom_is_no_source(phantom, beam):
    with pytest.raises(DtypeError, match=r"^phantom: expected a phantom such as .*got PencilBeam"):
        transport.simulate(beam, phantom)
    with pytest.raises(DtypeError, match=r"^source: expected a source such as .*got VoxelPhantom"):
        transport.simulate(phantom, phantom)


@pytest.mark.parametrize(
    ("position", "direction"),
    [((0.0, 0.0, 200.0), (0.0, 0.0, 1.0)), ((500.0, 0.0, -200.0), (0.0, 0.0, 1.0)), ((0.0, 0.0, -200.0), (0, 1, 0))],
)
def test_a_source_that_misses_the_phantom_is_refused(phantom, position, direction):
    beam = transport.PencilBeam(position, direction, energy=60.0)
    with pytest.raises(InputError, match=r"^source: .*"):
        transport.simulate(phantom, beam, 1000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "until: expected seconds or an uncertainty, got neither"),
        ({"seconds": 0}, "seconds: expected a positive number"),
        ({"seconds": -1.0}, "seconds: expected a positive number"),
        ({"seconds": math.inf}, "seconds: expected a finite number"),
        ({"seconds": "60"}, "seconds: expected a real number"),
        ({"uncertainty": 0.0}, "uncertainty: expected a positive number"),
        ({"uncertainty": 2}, r"uncertainty: expected a share of the mean in \(0, 1\), got 2.0. Percent\?"),
        ({"uncertainty": math.nan}, "uncertainty: expected a finite number"),
        ({"uncertainty": 0.1, "above": 50}, "above: expected a share .*Percent"),
        ({"uncertainty": 0.1, "region": [1, 0]}, "region: expected an array of booleans"),
        ({"uncertainty": 0.1, "region": MASK, "tally": 0}, "tally: expected"),
    ],
    ids=str,
)
def test_ends_that_never_come_are_refused(options, message):
    with pytest.raises((InputError, DtypeError), match=f"^{message}"):
        until(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "collision"}, "estimator: expected one of 'analogue', 'track_length', got 'collision'"),
        ({"estimator": None}, "estimator: expected one of"),
        ({"name": ""}, "name: expected a text, got an empty one"),
        ({"name": 3}, "name: expected a text, got int"),
    ],
)
def test_doses_that_are_none_are_refused(options, message):
    with pytest.raises((InputError, DtypeError), match=f"^{message}"):
        transport.Dose(**options)
