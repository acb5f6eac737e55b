"""Dropout at prediction, ensembles and calibration: closed forms, modes and seeds, bad input."""

import numpy as np
import pytest
import torch
from torch import nn

from spinray.errors import DtypeError, InputError
from spinray.nn import MLP
from spinray.nn.uncertainty import (
    classification_calibration,
    ensemble,
    mc_dropout,
    regression_calibration,
    sigma_scale,
    temperature,
)


def network(*shape):
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.3))
    return nn.Sequential(conv, nn.Conv2d(4, 2, 1))


class Constant(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return x + self.value


# Dropout.


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_the_variance_of_a_linear_network_with_dropout_is_the_closed_form(p):
    torch.manual_seed(1)
    linear = nn.Linear(6, 2).double()
    x = torch.randn(3, 6, dtype=torch.float64)
    n = 5000
    mean, std = mc_dropout(nn.Sequential(nn.Dropout(p), linear), x, n=n)
    # Each product w x is kept with chance 1 - p, then divided by it.
    variance = p / (1 - p) * (x[:, None, :] * linear.weight).square().sum(-1)
    torch.testing.assert_close(std.square(), variance, rtol=0.1, atol=0)
    assert ((mean - linear(x)).abs() < 5 * (variance / n).sqrt()).all()
    assert not std.requires_grad


def test_mean_and_deviation_are_those_of_the_passes():
    x, seen = torch.rand(2, 1, 6, 6), []
    mean, std = mc_dropout(network(), x, n=7, transform=lambda y: seen.append(y) or y)
    passes = torch.stack(seen)
    assert len(passes) == 7
    torch.testing.assert_close(mean, passes.mean(0))
    torch.testing.assert_close(std, passes.std(0))


def test_only_dropout_is_in_training():
    x = 5 + torch.rand(4, 1, 6, 6)
    one = network()
    one.train()
    one[1].eval()
    before = {name: value.clone() for name, value in one.state_dict().items()}
    modes = [module.training for module in one.modules()]
    mean, _ = mc_dropout(one, x, n=1000)
    assert [module.training for module in one.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())
    # Dropout is the last thing that is not linear: its mean is the evaluated network.
    torch.testing.assert_close(mean, one.eval()(x), atol=0.06, rtol=0)


def test_the_mode_is_restored_after_an_error():
    one = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1))
    with pytest.raises(RuntimeError):
        mc_dropout(one, torch.zeros(2, 4))
    assert all(module.training for module in one.modules())
    assert torch.is_grad_enabled()


def test_a_seed_decides_and_leaves_torchs_generator():
    x = torch.rand(5, 1, 6, 6)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    a, b, c = (mc_dropout(network(), x, n=4, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(a.mean, b.mean)
    assert torch.equal(a.std, b.std)
    assert not torch.equal(a.mean, c.mean)
    torch.manual_seed(3)
    mc_dropout(network(), x, n=4)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2), expected)


def test_torchs_generator_goes_on_as_if_nothing_had_been_drawn():
    one, x = network(), torch.rand(5, 1, 6, 6)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    mc_dropout(one, x, n=4)
    assert torch.equal(torch.rand(2), expected)


def test_batches_have_the_same_statistics():
    x = torch.rand(5, 1, 6, 6)
    whole, parts = (mc_dropout(network(), x, n=500, batch_size=size) for size in (None, 2))
    assert parts.mean.shape == whole.mean.shape == (5, 2, 6, 6)
    torch.testing.assert_close(parts.mean, whole.mean, atol=0.1, rtol=0)
    torch.testing.assert_close(parts.std, whole.std, atol=0.05, rtol=0.2)


def test_networks_of_several_inputs_and_classes():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, a, b):
            return self.drop(a) + b

    a, b = torch.rand(4, 3), torch.rand(4, 3)
    mean, std = mc_dropout(Sum(), (a, b), n=5, batch_size=3, transform=lambda scores: scores.softmax(1))
    torch.testing.assert_close(mean.sum(1), torch.ones(4))
    assert std.shape == (4, 3)


def test_our_own_perceptron_drops_out_in_prediction():
    torch.manual_seed(0)
    network, x = MLP(4, 2, hidden=(32,), dropout=0.5).eval(), torch.rand(3, 4)
    mean, std = mc_dropout(network, x, n=2000)
    assert (std > 0).all()
    assert ((mean - network(x)).abs() < 5 * std / 2000**0.5).all()
    assert not any(module.training for module in network.modules())


# Ensembles.


def test_mean_and_deviation_of_an_ensemble():
    values = [0.0, 1.0, 5.0]
    networks = [Constant(value) for value in values]
    networks[1].eval()
    x = torch.rand(5, 2, dtype=torch.float64)
    for batch_size in (None, 2):
        mean, std = ensemble(networks, x, batch_size=batch_size)
        torch.testing.assert_close(mean, x + 2)
        torch.testing.assert_close(std, torch.full_like(x, np.std(values, ddof=1)))
    assert [one.training for one in networks] == [True, False, True]


def test_an_ensemble_is_evaluated():
    networks = [nn.Sequential(nn.Dropout(0.5), Constant(value)) for value in (0.0, 2.0)]
    mean, _ = ensemble(networks, torch.ones(3, 2))
    assert torch.equal(mean, torch.full((3, 2), 2.0))


def test_an_ensemble_of_gaussians_is_calibrated(rng):
    # Networks and truth are draws of one normal distribution for each entry: the error of the mean of m of them has the
    # variance sigma^2 (1 + 1/m).
    m, sigma = 100, torch.from_numpy(rng.uniform(0.5, 4, 20000))
    networks = [Constant(sigma * torch.from_numpy(rng.standard_normal(20000))) for _ in range(m)]
    mean, std = ensemble(networks, torch.zeros(1, 20000))
    truth = sigma * torch.from_numpy(rng.standard_normal(20000))
    found = regression_calibration(mean[0], std[0], truth)
    assert found.error < 0.03
    assert sigma_scale(mean[0], std[0], truth) == pytest.approx(np.sqrt(1 + 1 / m), rel=0.02)


# Calibration of regressions.


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_wrong_sigma_shows_in_curve_error_and_scale(rng, factor):
    sigma, mean = rng.uniform(1, 5, (200, 300)), rng.standard_normal((200, 300))
    truth = mean + sigma * rng.standard_normal(mean.shape)
    found = regression_calibration(mean, factor * sigma, truth, bins=12)
    np.testing.assert_allclose(found.observed / found.predicted, 1 / factor, rtol=0.05)
    assert (np.diff(found.predicted) > 0).all()
    assert found.counts.tolist() == [5000] * 12
    assert found.error == pytest.approx(abs(1 / factor - 1), abs=0.02)
    scale = sigma_scale(mean, factor * sigma, truth)
    assert scale == pytest.approx(1 / factor, rel=0.01)
    assert regression_calibration(mean, scale * factor * sigma, truth).error < 0.02


def test_bins_by_hand():
    found = regression_calibration(np.zeros(4), [4.0, 1.0, 2.0, 3.0], [5.0, 0.0, 1.0, 1.0], bins=2)
    np.testing.assert_allclose(found.predicted, [np.sqrt(2.5), np.sqrt(12.5)])
    np.testing.assert_allclose(found.observed, [np.sqrt(0.5), np.sqrt(13)])
    ratio = found.observed / found.predicted
    assert found.error == pytest.approx(np.mean(np.abs(ratio - 1)))


def test_the_scale_is_the_likeliest(rng):
    mean, sigma = rng.standard_normal(50), rng.uniform(1, 2, 50)
    truth = rng.standard_normal(50)
    best = sigma_scale(mean, sigma, truth)

    def likelihood(scale):
        return -np.sum(np.log(scale * sigma) + 0.5 * ((mean - truth) / (scale * sigma)) ** 2)

    assert likelihood(best) > max(likelihood(0.99 * best), likelihood(1.01 * best))


def test_a_sigma_of_zero_is_right_only_without_an_error():
    assert regression_calibration(np.ones(3), np.zeros(3), np.ones(3), bins=1).error == 0
    assert regression_calibration(np.ones(3), np.zeros(3), np.zeros(3), bins=1).error == np.inf


# Calibration of classifications.


def labels_of(rng, p):
    return (rng.random((len(p), 1)) > np.cumsum(p, 1)).sum(1)


def test_labels_drawn_from_the_probabilities_are_calibrated(rng):
    p = torch.from_numpy(rng.normal(0, 2, (50000, 4))).softmax(1)
    labels = labels_of(rng, p.numpy())
    found = classification_calibration(p, torch.from_numpy(labels))
    assert found.error < 0.01
    many = found.counts > 500
    np.testing.assert_allclose(found.observed[many], found.predicted[many], atol=0.06)
    assert found.counts.sum() == 50000
    # Nothing is as unsure as below one in four.
    assert found.predicted.min() > 0.25


def test_temperature_undoes_overconfidence(rng):
    scores = rng.normal(0, 2, (50000, 4))
    labels = labels_of(rng, torch.from_numpy(scores).softmax(1).numpy())
    found = temperature(3 * scores, labels)
    assert found == pytest.approx(3, rel=0.03)
    sure = classification_calibration(torch.from_numpy(3 * scores).softmax(1), labels)
    cured = classification_calibration(torch.from_numpy(3 * scores / found).softmax(1), labels)
    assert sure.error > 0.1
    assert cured.error < 0.01
    assert (sure.observed[-3:] < sure.predicted[-3:]).all()


@pytest.mark.parametrize("share", [0.6, 0.75, 0.99])
@pytest.mark.parametrize("gap", [0.01, 1.0, 400.0])
def test_the_temperature_of_two_classes_is_the_closed_form(share, gap):
    labels = (np.arange(100) >= 100 * share).astype(int)
    scores = np.tile([gap, 0.0], (100, 1))
    assert temperature(scores, labels) == pytest.approx(gap / np.log(share / (1 - share)), rel=1e-9)


def test_maps_of_classes_are_binned_entry_by_entry(rng):
    p = torch.from_numpy(rng.random((3, 2, 4, 5))).softmax(1)
    labels = torch.from_numpy(rng.integers(0, 2, (3, 4, 5)))
    flat = p.movedim(1, -1).reshape(-1, 2)
    assert classification_calibration(p, labels).error == classification_calibration(flat, labels.ravel()).error


# Figures, bad input.


def test_the_plots_say_what_they_show():
    regression = regression_calibration(np.zeros(4), [1.0, 2.0, 3.0, 4.0], np.ones(4), bins=2)
    axes = regression.plot(unit="HU")
    assert axes.get_xlabel() == "predicted standard deviation [HU]"
    assert axes.get_ylabel() == "root mean square error [HU]"
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), regression.observed)
    classification = classification_calibration(np.full((4, 2), 0.5), [0, 1, 0, 1])
    assert classification.plot(ax=axes) is axes
    assert axes.get_xlabel() == "confidence"
    assert axes.get_xlim() == (0, 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mc_dropout(nn.Linear(2, 1), torch.zeros(1, 2)), InputError, "network: expected dropout layers"),
        (lambda: mc_dropout(nn.Dropout(0.0), torch.zeros(1, 2)), InputError, "network: expected dropout layers"),
        (lambda: mc_dropout(nn.Dropout(), torch.zeros(1, 2), n=1), InputError, "n: expected an integer >= 2"),
        (lambda: mc_dropout(nn.Dropout(), np.zeros(2)), DtypeError, r"inputs: expected tensors .*'ndarray'"),
        (lambda: mc_dropout(nn.Dropout(), (torch.zeros(2), torch.zeros(3))), InputError, r"inputs: .* got \[2, 3\]"),
        (lambda: ensemble([nn.Identity()], torch.zeros(1, 2)), InputError, "networks: expected at least 2, got 1"),
        (lambda: ensemble([nn.LSTM(2, 1)] * 2, torch.zeros(1, 2)), DtypeError, "network: expected a tensor as output"),
        (lambda: regression_calibration([0.0], [1.0, 1.0], [0.0]), InputError, "mean, std and truth of one shape"),
        (
            lambda: regression_calibration([0.0], [-1.0], [0.0], bins=1),
            InputError,
            "std: expected numbers >= 0, got -1",
        ),
        (lambda: regression_calibration([0.0], [np.nan], [0.0], bins=1), InputError, "std: expected finite numbers"),
        (
            lambda: regression_calibration([0.0], [1.0], [0.0]),
            InputError,
            "bins: expected at most the number of entries",
        ),
        (lambda: sigma_scale([0.0], [0.0], [0.0]), InputError, "std: expected positive numbers, got 1 zeros"),
        (lambda: classification_calibration([[2.0, 1.0]], [0]), InputError, r"Scores\? Take their softmax"),
        (lambda: classification_calibration([[0.5, 0.5]], [2]), InputError, "labels: expected 0 to 1, got 2 to 2"),
        (lambda: classification_calibration([[0.5, 0.5]], [0.0]), DtypeError, "labels: expected integers"),
        (
            lambda: classification_calibration([[0.5, 0.5]], [0, 1]),
            InputError,
            r"labels: expected shape \(batch, ...\)",
        ),
        (lambda: temperature([[1.0, 0.0]] * 2, [0, 0]), InputError, "labels: .* all have"),
        (lambda: temperature([[1.0, 0.0]] * 3, [0, 1, 1]), InputError, "labels: .* better than chance"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
