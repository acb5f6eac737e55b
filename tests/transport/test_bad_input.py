"""Simulations that cannot be: a clear error that names the argument, and the likely fix."""

import math

import numpy as np
import pytest

from spinray import Grid, transport
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


def test_track_lengths_need_voxels(beam):
    ball = transport.SolidPhantom([transport.Sphere("water", 50.0)])
    with pytest.raises(InputError, match=r"^estimator: 'track_length' needs a voxel phantom"):
        transport.simulate(ball, beam, 100, [transport.Dose("track_length")])
