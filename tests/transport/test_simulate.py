"""Simulations: which histories, how many, until when; the same bits however they are split; errors that are right."""

import itertools
import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import spinray
from spinray import Grid, transport
from spinray.errors import InputError

#: Long enough for any machine; a hang fails.
PATIENCE = 300
GRID = Grid((4, 3, 3), spacing=40.0)


@pytest.fixture(scope="module")
def phantom():
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:] = 1
    return transport.VoxelPhantom(GRID, ["water", "cortical bone"], labels)


@pytest.fixture(scope="module")
def beam():
    return transport.PointSource((10.0, -5.0, -300.0), energy=80.0, direction=(0, 0, 1), opening=0.2)


def same_bits(a, b, name="dose"):
    return all(getattr(a[name], of).tobytes() == getattr(b[name], of).tobytes() for of in ("mean", "std_error"))


@pytest.mark.usefixtures("keep_threads")
def test_any_number_of_threads_gives_the_same_bits_and_the_same_number(phantom, beam):
    results = []
    for n in (1, 2, 5):
        spinray.set_num_threads(n)
        results.append(transport.simulate(phantom, beam, 30_001, seed=7))
    assert [result.n_histories for result in results] == [30_001] * 3
    assert same_bits(results[0], results[1])
    assert same_bits(results[0], results[2])
    assert not same_bits(results[0], transport.simulate(phantom, beam, 30_001, seed=8))


@pytest.mark.parametrize("cuts", [(0, 1, 30_001), (0, 13, 512, 20_000, 20_001, 30_001)])
def test_any_split_gives_the_same_bits(phantom, beam, cuts):
    whole = transport.simulate(phantom, beam, 30_001, seed=7)
    parts = [transport.simulate(phantom, beam, histories=pair, seed=7) for pair in itertools.pairwise(cuts)]
    assert same_bits(sum(parts), whole)
    assert same_bits(sum(reversed(parts)), whole)
    assert sum(parts).histories == whole.histories == {7: ((0, 30_001),)}


def test_ranges_may_be_anywhere(phantom, beam):
    start = 2**63 - 1000
    result = transport.simulate(phantom, beam, histories=(start, start + 1000), seed=2**64 - 1)
    assert result.histories == {2**64 - 1: ((start, start + 1000),)}
    assert result["dose"].energy.sum() > 0


def test_both_estimators_score_in_one_run_what_they_score_alone(phantom, beam):
    both = [transport.Dose(), transport.Dose("track_length", name="kerma")]
    together = transport.simulate(phantom, beam, 20_000, both)
    assert list(together) == ["dose", "kerma"]
    assert same_bits(together, transport.simulate(phantom, beam, 20_000))
    assert same_bits(together, transport.simulate(phantom, beam, 20_000, both[1:]), "kerma")
    for name in together:
        assert together[name].energy.sum() < 80.0


def test_photons_that_leave_take_the_energy_that_does_not_stay(phantom, beam):
    result = transport.simulate(phantom, beam, 20_000, [transport.Dose(), transport.PhaseSpace()], seed=5)
    photons = result["phase space"]
    assert len(photons) == len(photons.position) == len(photons.direction) > 1000
    np.testing.assert_allclose(photons.energy.sum(dtype=float) / 20_000 + result["dose"].energy.sum(), 80.0, rtol=1e-5)
    assert np.array_equal(np.unique(photons.energy[photons.primary]), [80.0])
    assert photons.energy[~photons.primary & (photons.rayleigh == 0)].max() < 80.0
    np.testing.assert_allclose(np.linalg.norm(photons.direction, axis=1), 1.0, atol=1e-5)
    assert (np.diff(photons.history.astype(float)) >= 0).all()
    assert set(photons.seed.tolist()) == {5}


def test_photons_of_parts_are_those_of_one_run(phantom, beam, tmp_path):
    def run(histories, seed):
        return transport.simulate(phantom, beam, tallies=[transport.PhaseSpace()], histories=histories, seed=seed)

    whole = run((0, 3000), 1) + run((0, 500), 2)
    parts = [run((1000, 3000), 1), run((0, 500), 2), run((0, 1000), 1)]
    sum(parts).save(tmp_path / "a.npz")
    for one in (sum(parts), transport.Result.load(tmp_path / "a.npz"), pickle.loads(pickle.dumps(sum(parts)))):
        for name in ("seed", "history", "position", "direction", "energy", "weight", "compton", "rayleigh", "emission"):
            assert np.array_equal(getattr(one["phase space"], name), getattr(whole["phase space"], name))
        assert one.histories == whole.histories


def test_dose_is_energy_over_mass_and_energy_is_what_the_source_brings(phantom, beam):
    dose = transport.simulate(phantom, beam, 20_000)["dose"]
    assert dose.grid == GRID
    np.testing.assert_allclose(dose.mass[0], 40.0**3 * 1e-3, rtol=1e-6)  # g, of water
    np.testing.assert_allclose(dose.mean, dose.energy * 1.602176634e-13 / dose.mass, rtol=1e-12)
    assert 0.3 * 80.0 < dose.energy.sum() < 80.0
    # It enters at the front.
    assert dose.energy[0].sum() > 2 * dose.energy[3].sum()


def test_a_grid_that_is_flipped_has_its_doses_flipped(phantom, beam):
    size = np.array(GRID.shape) * 40.0
    flipped = Grid(GRID.shape, 40.0, origin=(size / 2 - 20.0) * [1, -1, 1], direction=np.diag([1.0, 1.0, -1.0]))
    flipped = Grid(GRID.shape, 40.0, origin=(60.0, -40.0, -40.0), direction=np.diag([1.0, 1.0, -1.0]))
    upside_down = transport.VoxelPhantom(flipped, phantom.materials, phantom.labels[::-1])
    a, b = (transport.simulate(one, beam, 5_000)["dose"] for one in (phantom, upside_down))
    assert np.array_equal(a.energy, b.energy[::-1])
    assert np.array_equal(a.mass, b.mass[::-1])


def test_z_scores_of_200_repeats_are_standard_normal(phantom, beam):
    # The reference has 100 times the histories of a repeat, of another seed.
    n = 10_000
    truth = transport.simulate(phantom, beam, 100 * n, both_estimators(), seed=1000)
    repeats = [transport.simulate(phantom, beam, n, both_estimators(), seed=seed) for seed in range(200)]
    for name in truth:
        much = truth[name].energy > 0.05 * truth[name].energy.max()
        assert much.sum() > 20
        z = np.array([(r[name].energy - truth[name].energy)[much] for r in repeats])
        z /= np.sqrt([r[name].energy_std_error[much] ** 2 + truth[name].energy_std_error[much] ** 2 for r in repeats])
        mean, variance = z.mean(axis=0), z.var(axis=0, ddof=1)
        # 3.9 standard deviations each; the error of the reference is common to all repeats.
        assert np.abs(mean).max() < 3.9 * math.sqrt(1 / 200 + 1 / 100)
        assert np.abs(variance - 1).max() < 3.9 * math.sqrt(2 / 199)
        assert abs(variance.mean() - 1) < 0.08


def both_estimators():
    return [transport.Dose(), transport.Dose("track_length", name="track length")]


def test_until_a_time_has_passed(phantom, beam):
    began = time.perf_counter()
    result = transport.simulate(phantom, beam, until=transport.Until(seconds=0.3))
    assert 0.3 <= result.seconds <= time.perf_counter() - began
    assert result.seconds < 20.0
    # Exact for as many as there are.
    assert same_bits(result, transport.simulate(phantom, beam, result.n_histories))


def test_time_is_a_limit_not_a_wish(phantom, beam):
    result = transport.simulate(phantom, beam, 1000, until=transport.Until(seconds=3600.0))
    assert result.n_histories == 1000


@pytest.mark.usefixtures("keep_threads")
def test_until_the_uncertainty_is_small_enough_for_any_number_of_threads(phantom, beam):
    results = []
    for n in (1, 2):
        spinray.set_num_threads(n)
        results.append(transport.simulate(phantom, beam, until=transport.Until(uncertainty=0.004)))
    a, b = results
    assert a["dose"].uncertainty() <= 0.004
    # Not many more than needed.
    assert a["dose"].uncertainty() > 0.002
    assert a.n_histories == b.n_histories
    assert same_bits(a, b)


def test_the_uncertainty_may_be_of_a_tally_and_a_region(phantom, beam):
    region = np.zeros(GRID.shape, bool)
    region[3, 0, 0] = True
    until = transport.Until(uncertainty=0.05, tally="track length", region=region)
    result = transport.simulate(phantom, beam, tallies=both_estimators(), until=until)
    assert result["track length"].relative_error[3, 0, 0] <= 0.05
    capped = transport.simulate(phantom, beam, 20_000, both_estimators(), until=until)
    assert capped.n_histories == min(20_000, result.n_histories)
    part = transport.simulate(phantom, beam, histories=(100, 400), until=until, tallies=both_estimators())
    assert part.histories == {0: ((100, 400),)}


def test_a_beam_of_other_energy_is_another_simulation(phantom, beam):
    other = transport.PointSource((10.0, -5.0, -300.0), energy=81.0, direction=(0, 0, 1), opening=0.2)
    a, b = transport.simulate(phantom, beam, 100), transport.simulate(phantom, other, histories=(100, 200))
    with pytest.raises(InputError, match=r"^results: expected the same source"):
        a + b
    heavy = transport.VoxelPhantom(GRID, phantom.materials, phantom.labels, density=np.full(GRID.shape, 1.5))
    with pytest.raises(InputError, match=r"^results: expected the same phantom"):
        a + transport.simulate(heavy, beam, histories=(100, 200))
    with pytest.raises(InputError, match=r"^results: expected the same physics"):
        a + transport.simulate(phantom, beam, histories=(100, 200), doppler=True)


def test_copies_by_pickle_are_the_same_simulation(phantom, beam):
    copies = [pickle.loads(pickle.dumps(thing)) for thing in (phantom, beam)]
    parts = [
        transport.simulate(phantom, beam, 500),
        pickle.loads(pickle.dumps(transport.simulate(*copies, histories=(500, 1000)))),
    ]
    assert same_bits(sum(parts), transport.simulate(phantom, beam, 1000))


def work(job):
    phantom, beam, histories = job
    return transport.simulate(phantom, beam, histories=histories, seed=3)


@pytest.mark.parametrize(
    "method",
    [
        "spawn",
        pytest.param("fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")),
    ],
)
# Threads of other tests' libraries may live; spinray's pool survives a fork.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_worker_processes_share_the_histories_of_one_run(phantom, beam, method):
    whole = transport.simulate(phantom, beam, 4000, seed=3)
    jobs = [(phantom, beam, (start, start + 1000)) for start in range(0, 4000, 1000)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        parts = pool.map_async(work, jobs).get(PATIENCE)
    assert same_bits(sum(parts), whole)
    assert sum(parts).histories == whole.histories


def test_the_bar_appears_on_request_only(phantom, beam, capsys):
    transport.simulate(phantom, beam, 100)
    assert capsys.readouterr() == ("", "")
    transport.simulate(phantom, beam, 12_345, progress=True)
    shown = capsys.readouterr().err.split("\r")[-1]
    assert "photons" in shown
    assert "12345/12345" in shown


LONG = """
import signal, sys, numpy as np, spinray
from spinray import transport
phantom = transport.VoxelPhantom(spinray.Grid((3, 3, 3), 50.0), ["water"], np.zeros((3, 3, 3), np.uint8))
beam = transport.PencilBeam((0, 0, -200), (0, 0, 1), energy=60.0)
print("calling", flush=True)
try:
    result = transport.simulate(phantom, beam, 10**11, on_interrupt={on_interrupt!r})
except KeyboardInterrupt:
    print("interrupted", transport.simulate(phantom, beam, 1000).n_histories, flush=True)
else:
    again = transport.simulate(phantom, beam, result.n_histories)
    same = again["dose"].std_error.tobytes() == result["dose"].std_error.tobytes()
    print("returned", same, 0 < result.n_histories < 10**11, flush=True)
"""


@pytest.mark.parametrize(
    ("on_interrupt", "expected"), [("raise", "interrupted 1000\n"), ("return", "returned True True\n")]
)
def test_ctrl_c_raises_or_returns_what_is_done(on_interrupt, expected):
    with subprocess.Popen(
        [sys.executable, "-c", LONG.format(on_interrupt=on_interrupt)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "calling\n", process.stderr.read()
            time.sleep(0.7)  # into the kernel
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert (out, err, process.returncode) == (expected, "", 0)
