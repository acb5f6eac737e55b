"""Q1 and Q2: samples depend on seed and index alone, the posterior mean is the best, networks are of one size."""

import dataclasses

import numpy as np
import pytest
import torch

from spinray.mri import mrf, tissues
from spinray.zoo import complex_fingerprinting, fingerprinting
from spinray.zoo.complex_fingerprinting import ComplexFingerprinting, parameters
from spinray.zoo.fingerprinting import Drone


@pytest.mark.parametrize("row", [Drone(25), Drone(500), ComplexFingerprinting()], ids=["25", "500", "complex"])
def test_samples_depend_on_seed_and_index_alone(row):
    first = row.recipe(3, 5)
    row.recipe(3, 4)
    fingerprinting._simulated.cache_clear()
    again, other = row.recipe(3, 5), row.recipe(4, 5)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    signals, targets = first
    assert len(signals) == len(targets) == 500
    assert (targets >= 0).all()
    assert (targets <= 1).all()
    assert (signals.abs() ** 2).mean(dim=1).numpy() == pytest.approx(1.0, rel=1e-5)


def test_a_long_train_is_seen_with_several_noises():
    row = Drone(500)
    one, two, next_block = (row.recipe(0, index) for index in (0, row.repeats - 1, row.repeats))
    assert torch.equal(one[1][:, :2], two[1][:, :2])
    assert not torch.equal(one[0], two[0])
    assert not torch.equal(one[1][:, :2], next_block[1][:, :2])


def test_targets_are_the_atoms_of_the_signals():
    """A signal without noise is simulated again from its targets."""
    row = Drone(25)
    signals, targets = row.recipe(0, 0)
    clean = targets[:, 2] == 1
    assert 0.03 < clean.float().mean() < 0.2
    t1, t2 = (0.2 * 20 ** targets[clean, 0], 0.02 * 25 ** targets[clean, 1])
    again = mrf.epg(fingerprinting._sequence(25), t1.double().numpy(), t2.double().numpy()).real
    again /= np.sqrt((again**2).mean(axis=1, keepdims=True))
    assert signals[clean].numpy() == pytest.approx(again, abs=1e-4)
    # The weight says how strong the noise was.
    noise = (signals[~clean].numpy() ** 2).mean()
    assert noise == pytest.approx(1.0)
    assert (targets[~clean, 2] < 1).all()


def test_noise_is_relative_to_the_magnetisation():
    random = np.random.default_rng(0)
    noisy = fingerprinting._noisy(np.zeros((400, 500)), np.full(400, 1 / 20), random)
    assert noisy.std() == pytest.approx(0.05, rel=0.01)


def test_three_of_four_atoms_are_near_a_tissue():
    random = np.random.default_rng(2)
    atoms = fingerprinting.draw_atoms(40_000, random)
    assert atoms.shape == (40_000, 2)
    assert (atoms >= [0.2, 0.02]).all()
    assert (atoms <= [4.0, 0.5]).all()
    assert (atoms[:, 1] < atoms[:, 0]).all()
    table = np.array([tissues.relaxation(name) for name in tissues.TISSUES])
    table = table[table[:, 1] < 0.5]

    def share_nearby(atoms):
        nearest = (np.log(atoms[:, None] / table) ** 2).sum(axis=2).min(axis=1)
        return (nearest < 0.3**2).mean()

    anything = fingerprinting.draw_atoms(40_000, random, of_tissue=0.0)
    near = 0.75 * 0.99 + 0.25 * share_nearby(anything)
    assert share_nearby(atoms) == pytest.approx(near, abs=0.01)
    # Even in the logarithm, T2 below T1 left out.
    longest = np.log(4.0 / anything[anything[:, 0] > 0.5, 0]) / np.log(8.0)
    assert np.quantile(longest, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.02)


@pytest.mark.parametrize("of_tissue", [0.75, 0.0])
def test_the_density_says_how_often_atoms_are_drawn(of_tissue):
    """Counted in boxes around white matter, liver and fat, and where no tissue is."""
    atoms = np.log(fingerprinting.draw_atoms(1_000_000, np.random.default_rng(3), of_tissue))
    centres = np.log([[1.084, 0.069], [0.809, 0.034], [0.371, 0.133], [3.0, 0.4], [1.2, 0.09]])
    width = 0.1
    counts = [(abs(atoms - centre) < width / 2).all(axis=1).sum() for centre in centres]
    offsets = np.stack(np.meshgrid(*2 * [np.linspace(-0.45, 0.45, 10) * width]), axis=-1).reshape(-1, 2)
    expected = np.array([fingerprinting.density(np.exp(centre + offsets), of_tissue).mean() for centre in centres])
    expected *= sum(counts) / expected.sum()
    assert (abs(counts - expected) < 4 * np.sqrt(expected)).all()
    assert expected.max() > (5 if of_tissue else 0.99) * expected.min()


def test_the_posterior_mean_weighs_atoms_by_fit_and_by_how_often_they_are_drawn():
    D = mrf.Dictionary([[1.0, 0.0], [0.0, 1.0]], {"t1": [0.5, 2.0], "t2": [0.1, 0.4]})
    drawn = fingerprinting.density(np.array([[0.5, 0.1], [2.0, 0.4]]))
    both, first = fingerprinting._posterior_mean(D, np.array([[1.0, 1.0], [9.0, 1.0]]), np.array([0.5, 0.5]))
    assert both == pytest.approx([np.exp(drawn @ np.log(t) / drawn.sum()) for t in ([0.5, 2.0], [0.1, 0.4])])
    assert first == pytest.approx([0.5, 0.1], rel=1e-6)
    # Of likelihoods exp(x1^2 / 2 sigma^2) and exp(x2^2 / 2 sigma^2) by hand.
    one, two = drawn * np.exp(0.5 * (np.array([1.2, 0.7]) / 0.8) ** 2)
    expected = np.exp((one * np.log(0.5) + two * np.log(2.0)) / (one + two))
    assert fingerprinting._posterior_mean(D, np.array([[1.2, 0.7]]), np.array([0.8]))[0, 0] == pytest.approx(expected)


def test_the_posterior_mean_is_better_than_matching_and_than_not_knowing_tissues(monkeypatch):
    row = Drone(25)
    random = np.random.default_rng(5)
    atoms = fingerprinting.draw_atoms(600, random)
    signals = fingerprinting._simulate(25, atoms)
    noisy, sigma = fingerprinting._noisy(signals, np.full(600, 0.1), random), np.full(600, 0.1)
    D = row._dictionary(48)
    best = fingerprinting._errors(fingerprinting._posterior_mean(D, noisy, sigma), atoms)
    assert (best < 0.8 * fingerprinting._errors(fingerprinting._matched(D, noisy), atoms)).all()
    assert (fingerprinting._errors(fingerprinting._matched(D, signals), atoms) < 5).all()
    # Nor the one of somebody who does not know the tissues.
    monkeypatch.setattr(fingerprinting, "density", lambda atoms: np.ones(len(atoms)))
    assert (best < fingerprinting._errors(fingerprinting._posterior_mean(D, noisy, sigma), atoms)).all()


def test_errors_are_root_mean_squares_of_logarithms():
    atoms = np.array([[1.0, 0.1], [2.0, 0.2]])
    found = atoms * np.exp([[0.03, 0.0], [-0.04, 0.1]])
    assert fingerprinting._errors(found, atoms) == pytest.approx([100 * np.sqrt(0.00125), 100 * np.sqrt(0.005)])


def test_where_the_posterior_mean_is_not_20_percent_better_it_is_the_bar():
    errors = {
        "network": np.array([7.0, 9.0]),
        "matching": np.array([10.0, 10.0]),
        "posterior mean": np.array([6.0, 8.5]),
    }
    one, two = fingerprinting._bars("SNR 10", errors)
    assert one.met
    assert one.value == pytest.approx(0.7)
    assert "matching" in one.claim
    assert two.value == pytest.approx(9 / 8.5)
    assert "posterior mean" in two.claim


def test_drone_reads_atoms_off_its_output():
    row = Drone(25)
    network = row.network()
    assert parameters(network) == 26 * 300 + 301 * 300 + 301 * 2

    class Perfect(torch.nn.Module):
        def forward(self, signals):
            return torch.from_numpy(fingerprinting._scaled(atoms).astype(np.float32))

    atoms = fingerprinting.draw_atoms(50, np.random.default_rng(1))
    signals = fingerprinting._simulate(25, atoms)
    assert fingerprinting._read(Perfect(), signals) == pytest.approx(atoms, rel=1e-5)


def test_training_lowers_the_loss():
    class Short(Drone):
        def config(self):
            return dataclasses.replace(super().config(), epochs=1)

    row = Short(25)
    row.n = 20
    torch.manual_seed(0)
    network = row.network()
    inputs, targets = row.recipe(9, 0)
    before = float(row.loss(network(inputs), targets).detach())
    row.train(network)
    with torch.no_grad():
        assert float(row.loss(network(inputs), targets)) < before


def test_the_real_network_has_as_many_parameters_and_sees_both_parts():
    row = ComplexFingerprinting()
    torch.manual_seed(0)
    network, rival = row.network(), row.rival()
    assert 0 <= parameters(rival) - parameters(network) < 0.02 * parameters(network)
    signals, targets = row.recipe(0, 0)
    for one in (network, rival):
        found = one(signals)
        assert found.shape == targets.shape
        assert not found.is_complex()
        row.loss(found, targets).backward()
        assert all(p.grad is not None for p in one.parameters())
    assert not torch.equal(rival(signals), rival(signals.conj().resolve_conj()))


def test_balanced_fingerprints_know_the_frequency():
    atoms = np.array([[1.0, 0.1, 12.0], [1.0, 0.1, -12.0]])
    signals = np.asarray(mrf.epg(complex_fingerprinting._sequence(), *atoms[:, :2].T, off_resonance=atoms[:, 2]))
    assert signals[0] == pytest.approx(signals[1].conj(), abs=1e-12)
    assert abs(signals[0].imag).max() > 0.05
    assert complex_fingerprinting._scaled(atoms)[:, 2] == pytest.approx([0.7, 0.3])


def test_an_examination_of_drone_is_of_held_out_signals(monkeypatch):
    monkeypatch.setattr(fingerprinting, "_DENSITIES", (6, 12, 24))
    monkeypatch.setattr(fingerprinting, "_TUNING", 100)
    monkeypatch.setattr(fingerprinting, "_HELD_OUT", 200)
    seeds = []
    drawn = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: seeds.append(seed) or drawn(seed))
    row = Drone(25)
    report = row.examine(row.network())
    assert seeds == [row.held_out_seed]
    assert not report.met  # the network has learned nothing
    by_claim = {bar.claim.partition(":")[0]: bar for bar in report.bars}
    assert set(by_claim) == {f"{noise}, {t}" for noise in ("SNR 10", "SNR 20", "no noise") for t in ("T1", "T2")}
    assert by_claim["no noise, T1"].limit == 5.0
    assert report.scores["SNR 10, network, any voxel: T1"] > 0
    assert report.scores["SNR 20, matching, any voxel: T2"] != report.scores["SNR 20, matching: T2"]
    for name in ("T1", "T2"):
        found, best = (report.scores[f"SNR 10, {who}: {name}"] for who in ("network", "posterior mean"))
        matched = report.scores[f"SNR 10, matching: {name}"]
        assert best < matched
        bar = by_claim[f"SNR 10, {name}"]
        assert bar.value == pytest.approx(found / matched if bar.limit == 0.8 else found / best)


def test_the_complex_network_is_held_against_the_best_real_one(monkeypatch):
    monkeypatch.setattr(complex_fingerprinting, "_HELD_OUT", 100)
    monkeypatch.setattr(complex_fingerprinting, "_RATES", (1e-4, 3e-3, 1e-2))
    row = ComplexFingerprinting()
    row.n = 2
    torch.manual_seed(0)
    report = row.examine(row.network())
    (bar,) = report.bars
    parts = ("T1", "T2", "frequency")
    ratios = [report.scores[f"complex network: {part}"] / report.scores[f"real network: {part}"] for part in parts]
    assert bar.value == pytest.approx(np.mean(ratios))
    assert (bar.limit, bar.at_least) == (1.0, False)
    assert report.sweeps[0].best in (1e-4, 3e-3, 1e-2)
