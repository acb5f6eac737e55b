"""Interactions one by one: they make up the dose, and obey Compton's formula."""

import math

import numpy as np
import pytest

from spinray import Grid, transport
from spinray.errors import InputError

ELECTRON = 510.99895  # keV


@pytest.fixture(scope="module")
def beam():
    return transport.PencilBeam((0.0, 0.0, -200.0), "z", energy=511.0)


@pytest.fixture(scope="module")
def detector():
    pixels = [
        transport.Box("LSO", (10, 10, 20), (11.0 * (i - 1), 11.0 * (j - 1), 10), name=f"crystal {i} {j}")
        for i in range(3)
        for j in range(3)
    ]
    return transport.SolidPhantom([*pixels, transport.Box("Al", (40, 40, 5), (0, 0, -5), name="cover")], "air")


def test_deposits_sum_to_the_dose_of_each_cell(detector, beam):
    tallies = [transport.Dose(), transport.Interactions(), transport.Interactions("crystal 1 1", name="one")]
    found = transport.simulate(detector, beam, 20_000, tallies)
    dose, hits, one = found["dose"], found["interactions"], found["one"]
    assert hits.solids == detector.names
    energies = np.bincount(hits.cell, hits.energy, minlength=len(hits.solids)) / 20_000
    np.testing.assert_allclose(energies, dose.energy, rtol=1e-6, atol=1e-9)
    inside = hits.cell == detector.names.index("crystal 1 1")
    for name in ("history", "order", "position", "energy", "photon_energy", "process", "emission", "weight", "seed"):
        assert np.array_equal(getattr(hits, name)[inside], getattr(one, name))
    assert set(hits.weight.tolist()) == {1.0}
    assert (hits.energy[hits.process == hits.processes.index("rayleigh")] == 0).all()
    # K fluorescence of lutetium, 52 to 63 keV.
    lines = hits.photon_energy[hits.emission == 1]
    assert len(lines) > 100
    assert 40 < np.median(lines) < 64


def test_events_are_histories_in_their_order(detector, beam):
    hits = transport.simulate(detector, beam, 5_000, [transport.Interactions()], seed=3)["interactions"]
    events = np.diff(hits.offsets)
    assert len(events) == len(np.unique(hits.history)) < 5_000
    assert events.sum() == len(hits)
    counted = np.concatenate([np.arange(n) for n in events])
    assert np.array_equal(hits.order, counted)
    per_photon = np.add.reduceat(hits.energy.astype(float), hits.offsets[:-1])
    assert per_photon.max() < 511.001
    # Many leave all they have, and all of these in one crystal or more.
    assert (per_photon > 510.9).mean() > 0.2
    assert np.array_equal(hits.photon_energy[hits.offsets[:-1]], np.full(len(events), 511.0, np.float32))


def test_angles_between_interactions_obey_comptons_formula():
    grid = Grid((20, 20, 20), spacing=50.0)
    water = transport.VoxelPhantom(grid, ["water"], np.zeros(grid.shape, int))
    beam = transport.PencilBeam((1.0, 2.0, -600.0), "z", energy=300.0)
    hits = transport.simulate(water, beam, 20_000, [transport.Interactions()])["interactions"]
    # Three of a history, one after the other: the middle one scatters.
    compton = hits.processes.index("compton")
    first = np.flatnonzero((hits.history[2:] == hits.history[:-2]) & (hits.process[1:-1] == compton))
    a, b = np.diff(hits.position, axis=0)[first], np.diff(hits.position, axis=0)[first + 1]
    long, wide = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    far = (long > 20.0) & (wide > 20.0)
    cosine = (a * b).sum(axis=1)[far] / (long * wide)[far]
    before, after = hits.photon_energy[first + 1][far].astype(float), hits.photon_energy[first + 2][far].astype(float)
    np.testing.assert_allclose(1 - ELECTRON * (1 / after - 1 / before), cosine, atol=2e-5)
    np.testing.assert_allclose(transport.compton_cosine(before, after), cosine, atol=2e-5)
    np.testing.assert_allclose(transport.compton_energy(before, cosine), after, rtol=2e-5)
    np.testing.assert_allclose(before - hits.energy[first + 1][far], after, rtol=1e-5)
    assert far.sum() > 10_000
    # The first of a history, seen from the beam.
    start = hits.offsets[:-1][np.diff(hits.offsets) > 1]
    start = start[hits.process[start] == compton]
    step = hits.position[start + 1] - hits.position[start]
    length = np.linalg.norm(step, axis=1)
    formula = 1 - ELECTRON * (1 / hits.photon_energy[start + 1].astype(float) - 1 / 300.0)
    np.testing.assert_allclose(formula[length > 20], (step[:, 2] / length)[length > 20], atol=2e-5)


def test_pairs_leave_two_photons_of_the_electron_mass():
    grid = Grid((5, 5, 5), spacing=40.0)
    lead = transport.VoxelPhantom(grid, ["lead"], np.zeros(grid.shape, int))
    beam = transport.PencilBeam((1.0, 2.0, -200.0), "z", energy=2500.0)
    hits = transport.simulate(lead, beam, 5_000, [transport.Interactions()])["interactions"]
    pairs = hits.process == hits.processes.index("pair")
    assert pairs.sum() > 500
    np.testing.assert_allclose(hits.energy[pairs], hits.photon_energy[pairs] - 2 * ELECTRON, rtol=1e-5)
    # A photon of annihilation is the next one, unless both leave.
    after = np.flatnonzero(pairs[:-1] & (hits.history[1:] == hits.history[:-1]))
    assert np.allclose(hits.photon_energy[after + 1], ELECTRON)
    assert (hits.emission[after + 1] == hits.emission[after] + 1).all()


def test_cells_are_voxels_of_the_grid_as_given_and_minus_one_around_it():
    shape, direction = (6, 5, 4), np.diag([1.0, -1.0, 1.0])
    grid = Grid(shape, 20.0, origin=(-50.0, 40.0, -30.0), direction=direction)
    phantom = transport.VoxelPhantom(grid, ["water"], np.zeros(shape, int), outside="air", margin=300.0)
    beam = transport.PointSource((10.0, 25.0, -300.0), 60.0, direction="z", opening=0.1)
    found = transport.simulate(phantom, beam, 20_000, [transport.Interactions(), transport.Dose()])
    hits, dose = found["interactions"], found["dose"]
    inside = hits.cell >= 0
    assert 0 < (~inside).sum() < inside.sum()
    energies = np.bincount(hits.cell[inside], hits.energy[inside], minlength=math.prod(shape)).reshape(shape) / 20_000
    np.testing.assert_allclose(energies, dose.energy, rtol=1e-6, atol=1e-9)
    k, j, i = np.unravel_index(hits.cell[inside], shape)
    centres = np.stack([i * 20.0 - 30.0, 40.0 - j * 20.0, k * 20.0 - 50.0], axis=1)
    assert np.abs(hits.position[inside] - centres).max() < 10.001


def test_a_run_in_which_nothing_happens_lists_nothing():
    empty = transport.SolidPhantom([transport.Box(None, 10.0)])
    found = transport.simulate(empty, transport.PencilBeam((0, 0, -20), "z", 60.0), 100, [transport.Interactions()])
    hits = found["interactions"]
    assert len(hits) == 0
    assert hits.offsets.tolist() == [0]
    assert (
        found
        + transport.simulate(
            empty,
            transport.PencilBeam((0, 0, -20), "z", 60.0),
            histories=(100, 200),
            tallies=[transport.Interactions()],
        )
    ).n_histories == 200


def test_energies_that_no_angle_makes_and_bad_ones():
    assert transport.compton_cosine(511.0, 100.0) < -1
    angles = np.linspace(-1, 1, 9)
    np.testing.assert_allclose(transport.compton_cosine(662.0, transport.compton_energy(662.0, angles)), angles)
    with pytest.raises(InputError, match="after: expected positive numbers"):
        transport.compton_cosine(511.0, [100.0, 0.0])
    with pytest.raises(InputError, match=r"cosine: expected numbers in \[-1, 1\], got -1.5"):
        transport.compton_energy(511.0, [0.5, -1.5])
