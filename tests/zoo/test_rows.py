"""Rows of the zoo in the small: shapes, purity of recipes, gradients, a step, save and load, reports."""

import copy
import functools
import io
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import spinray
from spinray import zoo
from spinray.errors import InputError
from spinray.training import Config, Simulated, fit
from spinray.zoo import _ct, low_dose, noise_to_noise

# Those with a network of their own; a contest of several has none.
ROWS = [id for id, row in zoo.rows().items() if isinstance(row, zoo.Row)]
CT = ["M1", "M1_fan", "I3", "M9", "M10", "I1", "I2", "I4", "I9"]

# Where spinray._torch is not built the twins stand in.
pytestmark = pytest.mark.filterwarnings("ignore:networks run in PyTorch")


def pair(row, n=2):
    return torch.utils.data.default_collate([row.recipe(row.held_out_seed, index) for index in range(n)])


def test_the_rows_of_the_catalogue_are_there():
    assert zoo.I3 is zoo.row("I3")
    with pytest.raises(AttributeError, match="I1000"):
        _ = zoo.I1000
    assert set(CT) <= set(ROWS)
    assert "low_dose" in zoo.rows()
    for id, row in zoo.rows().items():
        assert row.id == id
        assert row.title


@pytest.mark.parametrize("id", CT)
def test_recipes_are_pure_functions_of_seed_and_index(id):
    row = zoo.row(id)
    first, second = row.recipe(3, 4), row.recipe(3, 4)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for seed, index in ((3, 5), (4, 4)):
        other = row.recipe(seed, index)
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("id", CT)
def test_networks_take_one_step_downhill_and_survive_a_copy(id):
    row = zoo.row(id)
    torch.manual_seed(0)
    network = row.network()
    inputs, targets = pair(row)
    before = row.loss(network(inputs), targets)
    before.backward()
    gradients = [p.grad for p in network.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert any(g.abs().max() > 0 for g in gradients)
    squares = sum(float(g.square().sum()) for g in gradients)
    with torch.no_grad():
        for p in network.parameters():
            p -= 1e-3 * float(before) / squares * p.grad
    assert row.loss(network(inputs), targets) < before

    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    again = row.network()
    again.load_state_dict(torch.load(file))
    network.eval(), again.eval()
    with torch.no_grad():
        expected = network(inputs)
        assert torch.equal(again(inputs), expected)
        assert torch.equal(copy.deepcopy(network)(inputs), expected)


@pytest.mark.parametrize("id", CT)
def test_an_examination_is_of_held_out_samples_and_its_bar_over_the_best_rival(id, monkeypatch):
    seen = []
    anatomy = _ct.Scan.anatomy

    def remembered(scan, seed, index):
        seen.append(seed)
        return anatomy(scan, seed, index)

    monkeypatch.setattr(_ct.Scan, "anatomy", remembered)
    row = copy.copy(zoo.row(id))
    row.n_held_out = 2
    for rival in ("iterative_tv", "weighted_tv"):
        monkeypatch.setattr(_ct, rival, functools.partial(getattr(_ct, rival), n_iter=3))
    monkeypatch.setattr(_ct, "denoise_tv", lambda images, weight: images / (1 + weight))
    torch.manual_seed(0)
    report = row.examine(row.network())
    assert set(seen) == {row.held_out_seed}
    assert row.held_out_seed != row.seed
    rivals = [tuned.score for tuned in report.sweeps] or [v for name, v in report.scores.items() if "FBP," in name]
    bar = report.bars[-1]
    assert bar.value == pytest.approx(report.scores[row.title] - max(rivals))
    assert (bar.limit, bar.at_least) == ({"M1": 1.0, "M1_fan": 1.0, "I3": 0.3}.get(id, 0.5), True)
    assert [(one.limit, one.met) for one in report.bars[:-1]] == ([(1e-5, True)] if id in ("M1", "M1_fan") else [])
    assert set(report.pictures) - {"target"} <= set(report.scores)


def test_training_samples_are_of_the_rows_own_seed():
    for id in ROWS:
        row = zoo.row(id)
        if id not in ("M1", "M1_fan", "T10", "D6"):  # these are made beforehand
            assert row.data().seed == row.seed


def test_noise_to_noise_is_held_against_the_supervised_network(monkeypatch):
    monkeypatch.setattr(noise_to_noise.NoiseToNoise, "n", 8)
    monkeypatch.setattr(noise_to_noise.NoiseToNoise, "n_held_out", 2)
    report = zoo.run("I9", effort=0.1)
    behind, over = report.bars
    assert behind.value == pytest.approx(report.scores["supervised"] - report.scores["noise to noise"])
    assert (behind.limit, behind.at_least) == (0.3, False)
    assert over.value == pytest.approx(report.scores["noise to noise"] - report.sweeps[0].score)
    assert report.scores["supervised"] != report.scores["noise to noise"]
    assert report.seconds > 0
    assert {"loss", "loss, supervised"} == set(report.curves)


def test_the_best_low_dose_recipe_is_held_against_the_better_rival(monkeypatch):
    monkeypatch.setattr(low_dose.LowDose, "n", 8)
    monkeypatch.setattr(low_dose.LowDose, "n_held_out", 2)
    monkeypatch.setattr(_ct, "denoise_tv", lambda images, weight: images / (1 + weight))
    report = zoo.run("low_dose", effort=0.01)
    (bar,) = report.bars
    networks = [report.scores[zoo.row(id).title] for id in ("I1", "I2", "I4")]
    assert bar.value == pytest.approx(max(networks) - max(tuned.score for tuned in report.sweeps))
    assert (bar.limit, bar.at_least) == (0.5, True)
    assert {tuned.rival for tuned in report.sweeps} == {"TV", "NLM"}


@pytest.mark.parametrize("id", ["M1", "M1_fan"])
def test_the_fbp_network_is_fbp_before_training(id):
    row = zoo.row(id)
    sinogram, _ = row.recipe(1, 0)
    with torch.no_grad():
        image = row.network()(sinogram[None])[0, 0].numpy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the views span")  # the row is about them
        expected = spinray.ct.fbp(row.scan.operator, sinogram[0].numpy())
    assert np.abs(image - expected).max() <= 1e-5 * np.abs(expected).max()


def test_fit_trains_a_row_for_a_moment():
    row = zoo.row("I1")
    torch.manual_seed(0)
    network = row.network()
    data = Simulated(row.recipe, 16, 0, batch_size=8)
    history = fit(network, data, row.loss, Config(epochs=3, learning_rate=1e-3), progress=False)
    losses = history.epochs["loss"]
    assert losses[-1] < losses[0]


def test_two_scans_of_one_anatomy_differ_by_their_noise_alone():
    row = zoo.row("I9")
    one, other = row.recipe(2, 3)
    clean = type(row)(supervised=True).recipe(2, 3)
    assert torch.equal(clean[0], one)
    errors = one - clean[1], other - clean[1]
    correlation = np.corrcoef([e.flatten().numpy() for e in errors])[0, 1]
    assert abs(correlation) < 0.1
    assert errors[0].std().item() == pytest.approx(errors[1].std().item(), rel=0.25)


def test_scans_have_the_noise_of_their_photons():
    scan = _ct.Scan(_ct.parallel(32, 24), photons=1e5, electronic_noise=0.0)
    image = scan.image(1, 0)
    p = scan.operator(image) * _ct.WATER
    noise = np.stack([scan.sinogram(image, 1, 0, k) for k in range(200)]) * _ct.WATER - p
    expected = np.sqrt(np.exp(p) / 1e5)
    assert np.mean(noise.std(0) / expected) == pytest.approx(1, rel=0.02)
    assert np.abs(noise.mean(0)).max() < 0.5 * expected.max()
    assert np.mean(scan.inverse_variance(p / _ct.WATER) * noise.var(0)) == pytest.approx(1, rel=0.04)


def test_the_score_is_the_definition():
    rng = np.random.default_rng(0)
    targets, images = rng.uniform(0, 3, (2, 5, 6)), rng.uniform(0, 3, (2, 5, 6))
    bodies = rng.uniform(size=(2, 5, 6)) > 0.3
    one_by_one = [
        20 * np.log10(t[b].max() / np.sqrt(np.mean((x[b] - t[b]) ** 2)))
        for x, t, b in zip(images, targets, bodies, strict=True)
    ]
    assert _ct.psnr(images, targets, bodies) == pytest.approx(np.mean(one_by_one), rel=1e-12)


def test_rivals_improve_on_what_they_are_given():
    scan = _ct.Scan(_ct.parallel(48, 60), photons=5e3, filter="ram-lak")
    held_out = _ct.HeldOut.of(scan, 2, 1)

    def score(images):
        return _ct.psnr(images, held_out.images, held_out.bodies)

    noisy = score(held_out.reconstructions)
    assert score(_ct.denoise_tv(held_out.reconstructions, 0.1)) > noisy + 0.5
    assert score(_ct.denoise_nlm(held_out.reconstructions, 2.0)) > noisy + 0.5
    few = _ct.Scan(_ct.parallel(48, 15), photons=1e6, filter="ram-lak")
    sinograms = few.operator(held_out.images)
    assert score(_ct.iterative_tv(few, sinograms, 3.0, 60)) > score(few.reconstruct(sinograms)) + 1.0
    assert score(_ct.weighted_tv(few, sinograms, 0.1, 300)) > score(few.reconstruct(sinograms)) + 1.0


def test_rays_count_by_their_weights():
    scan = _ct.Scan(_ct.parallel(16, 12), photons=1e4, electronic_noise=0.0)
    random = np.random.default_rng(0)
    x, weights = random.random((16, 16)), random.random(scan.operator.range_shape)
    A, r = _ct._Weighted(scan.operator, weights), scan.operator(x)
    assert np.square(A(x)).sum() == pytest.approx((weights * np.square(r)).sum(), rel=1e-10)
    y = random.random(A.range_shape)
    assert (A(x) * y).sum() == pytest.approx((x * A.adjoint(y)).sum(), rel=1e-10)


def test_a_row_is_missed_by_a_bar_or_by_a_rival_at_the_edge():
    bar = zoo.Bar("points", 1.0, 0.5)
    inside = zoo.sweep("rival", "width", [1, 2, 3], lambda w: -((w - 2) ** 2))
    edge = zoo.sweep("rival", "width", [1, 2, 3], lambda w: w)
    low = zoo.Bar("error", 0.4, 0.3, at_least=False)
    report = zoo.Report("X", "a row", "score", {"network": 1.0}, (bar,), (inside,))
    assert (inside.best, inside.at_edge, edge.at_edge) == (2, False, True)
    assert report.met
    assert not zoo.Report("X", "a row", "score", {}, (bar,), (edge,)).met
    assert not zoo.Report("X", "a row", "score", {}, (bar, low)).met
    assert not zoo.Bar("points", float("nan"), 0.5).met
    assert "MISSED" in str(low)
    assert "AT THE EDGE" in str(edge)


def test_losses_are_ranked_the_other_way():
    tuned = zoo.sweep("rival", "width", [1, 2, 3], lambda w: (w - 2) ** 2, larger_is_better=False)
    assert (tuned.best, tuned.score) == (2, 0)


def test_reports_print_and_plot():
    image = np.arange(12.0).reshape(3, 4)
    tuned = zoo.sweep("TV", "weight", [1, 2, 3], lambda w: -abs(w - 2))
    pictures = {"target": image, "net": image + 1}
    report = zoo.Report("X", "a row", "dB", {"net": 3.0}, (), (tuned,), 7.0, 3.0, 0.25, {"loss": [2.0, 1.0]}, pictures)
    text = str(report)
    assert text.startswith("X: a row (met; trained for 7 s, samples made in the first 3 s of it, 25.0% of")
    assert "net  3" in text
    figure = report.plot()
    titles = [ax.get_title() for ax in figure.axes]
    assert {"target", "net\n3.00", "TV"} <= set(titles)
    plt.close(figure)


def test_unknown_rows_and_wrong_efforts_are_named():
    with pytest.raises(InputError, match="id: expected one of 'M1'"):
        zoo.run("M1000")
    with pytest.raises(InputError, match="effort: expected a positive number"):
        zoo.row("I1").train(torch.nn.Linear(1, 1), effort=0)
