"""Hyper-parameter search: what is drawn, who goes on, what it costs, how it resumes, bad input."""

import math
import sys

import numpy as np
import pytest
import torch

from spinray.errors import DtypeError, FileError, InputError
from spinray.regularizers import TV
from spinray.training import Choice, Config, Integers, LogUniform, Uniform, fit, hyperband, search

SPACE = {"rate": LogUniform(1e-4, 1.0), "width": Integers(1, 5), "kind": Choice(["a", "b"]), "fixed": 3}


def objective(parameters, budget):
    """Lowest at rate 0.01; a short training blurs it."""
    return abs(math.log10(parameters["rate"]) + 2) + math.sin(1e3 * parameters["rate"]) / budget


def by_budget(found):
    budgets = sorted({one.budget for one in found.evaluations})
    return {b: [one for one in found.evaluations if one.budget == b] for b in budgets}


def test_draws_are_even_in_their_space():
    found = search(lambda p, b: 0.0, {**SPACE, "share": Uniform(-1, 3)}, n=2000, budget=1)
    trials = [one.parameters for one in found.evaluations]
    logs = np.log10([trial["rate"] for trial in trials])
    assert -4 <= logs.min() < -3.98
    assert -0.02 < logs.max() <= 0
    assert logs.mean() == pytest.approx(-2, abs=0.1)
    assert np.mean([trial["share"] for trial in trials]) == pytest.approx(1, abs=0.1)
    widths = np.bincount([trial["width"] for trial in trials])
    assert widths[0] == 0
    assert widths[1:] == pytest.approx(np.full(5, 400), rel=0.2)
    assert np.mean([trial["kind"] == "a" for trial in trials]) == pytest.approx(0.5, abs=0.05)
    assert {trial["fixed"] for trial in trials} == {3}


def test_draws_depend_on_seed_and_number_only():
    few, many, other = (search(objective, SPACE, n=n, budget=1, seed=s) for n, s in ((5, 0), (9, 0), (5, 1)))
    drawn = [[one.parameters for one in found.evaluations] for found in (few, many, other)]
    assert drawn[0] == drawn[1][:5]
    assert all(a != b for a, b in zip(drawn[0], drawn[2], strict=True))
    assert [trial.number for trial in drawn[1]] == list(range(9))


def test_random_search_gives_each_draw_the_full_budget():
    found = search(objective, SPACE, n=20, budget=10)
    assert [one.budget for one in found.evaluations] == [10] * 20
    assert found.best.score == min(one.score for one in found.evaluations)
    assert found.cost == 200


def test_the_best_third_goes_on_with_three_times_the_budget():
    found = search(objective, SPACE, n=30, budget=81, least=3)
    rungs = by_budget(found)
    assert {budget: len(ones) for budget, ones in rungs.items()} == {3: 30, 9: 10, 27: 3, 81: 1}
    assert all(isinstance(budget, int) for budget in rungs)
    for smaller, larger in ((3, 9), (9, 27), (27, 81)):
        best = sorted(rungs[smaller], key=lambda one: one.score)[: len(rungs[larger])]
        assert {one.parameters.number for one in best} == {one.parameters.number for one in rungs[larger]}
        assert [one.parameters.number for one in rungs[larger]] == sorted(
            one.parameters.number for one in rungs[larger]
        )
    assert found.best is rungs[81][0]
    assert found.cost == 90 + 90 + 81 + 81


def test_budgets_are_not_smaller_than_the_least_nor_is_the_last_trial_dropped():
    assert list(by_budget(search(objective, SPACE, n=2, budget=1.0, least=0.2, factor=2))) == [0.25, 0.5, 1.0]
    assert list(by_budget(search(objective, SPACE, n=8, budget=10, least=10))) == [10]
    assert list(by_budget(search(objective, SPACE, n=30, budget=10, least=0.1))) == [1, 3, 10]


def test_a_trial_comes_again_with_the_same_parameters_and_number():
    seen = {}

    def counting(parameters, budget):
        seen.setdefault(parameters.number, []).append(dict(parameters))
        return objective(parameters, budget)

    search(counting, SPACE, n=9, budget=9, least=1)
    assert max(map(len, seen.values())) == 3
    assert all(one == ones[0] for ones in seen.values() for one in ones)


def test_failures_come_last_and_ties_go_to_the_first():
    found = search(lambda p, b: math.nan if p.number < 6 else 1.0, SPACE, n=9, budget=9, least=1)
    assert [one.parameters.number for one in by_budget(found)[3]] == [6, 7, 8]
    assert found.best.parameters.number == 6


def test_hyperband_has_the_published_brackets():
    found = hyperband(objective, SPACE, budget=81, least=1)
    counts = {budget: len(ones) for budget, ones in by_budget(found).items()}
    # Li et al. 2018, table 1: 81 27 9 3 1 | 34 11 3 1 | 15 5 1 | 8 2 | 5.
    assert counts == {1: 81, 3: 27 + 34, 9: 9 + 11 + 15, 27: 3 + 3 + 5 + 8, 81: 1 + 1 + 1 + 2 + 5}
    numbers = {one.parameters.number for one in found.evaluations}
    assert numbers == set(range(81 + 34 + 15 + 8 + 5))


def test_a_search_finds_the_weight_of_total_variation(rng):
    y, x = np.mgrid[:48, :48]
    truth = ((y - 20) ** 2 + (x - 26) ** 2 < 200).astype(float) + 0.3 * np.sin(x / 6)
    noisy = truth + 0.3 * rng.standard_normal(truth.shape)

    def error(parameters, budget):
        return float(np.sqrt(np.mean((TV(parameters["weight"]).prox(noisy, n_iter=budget) - truth) ** 2)))

    sweep = min(error({"weight": weight}, 81) for weight in np.geomspace(1e-3, 10, 60))
    found = search(error, {"weight": LogUniform(1e-3, 10.0)}, n=27, budget=81, least=3)
    assert found.best.score <= sweep * 10 ** (0.3 / 20)
    assert found.cost < 27 * 81 / 4


def test_a_search_over_trainings():
    inputs = torch.linspace(-1, 1, 64)[:, None]
    data = (inputs, 2 * inputs + 1)

    def train(parameters, budget):
        torch.manual_seed(0)
        config = Config(epochs=budget, optimiser="sgd", learning_rate=parameters["rate"], batch_size=64)
        try:
            history = fit(torch.nn.Linear(1, 1), data, torch.nn.functional.mse_loss, config, progress=False)
        except InputError:  # the loss has become infinite
            return math.nan
        return history.epochs["loss"][-1]

    found = search(train, {"rate": LogUniform(1e-4, 1e6)}, n=12, budget=36, least=4)
    assert 0.1 < found.best.parameters["rate"] < 1
    assert found.best.score < 1e-2


class Stop(Exception):
    pass


@pytest.mark.parametrize("cut", [0, 7])
@pytest.mark.parametrize("run", [search, hyperband])
def test_an_interrupted_search_goes_on_from_its_record(run, cut, tmp_path):
    options = {"budget": 9, "least": 1, **({"n": 9} if run is search else {})}
    expected, calls = run(objective, SPACE, **options), []

    def interrupted(parameters, budget):
        if len(calls) == 5:
            raise Stop
        calls.append(parameters.number)
        return objective(parameters, budget)

    record = tmp_path / "search.jsonl"
    with pytest.raises(Stop):
        run(interrupted, SPACE, record=record, **options)
    if cut:  # as if killed while writing
        record.write_bytes(record.read_bytes()[:-cut])
    again = []

    def counted(parameters, budget):
        again.append(parameters.number)
        return objective(parameters, budget)

    found = run(counted, SPACE, record=record, **options)
    assert found == expected
    assert len(again) == len(expected.evaluations) - (4 if cut else 5)
    assert run(interrupted, SPACE, record=record, **options) == expected


def test_a_record_of_another_search_is_refused(tmp_path):
    record = tmp_path / "search.jsonl"
    search(objective, SPACE, n=2, budget=1, record=record)
    for change in ({"seed": 1}, {"n": 3}, {"budget": 2}):
        with pytest.raises(FileError, match=r"record: expected the search .* Give the name of a new file"):
            search(objective, SPACE, record=record, **{"n": 2, "budget": 1, **change})
    with pytest.raises(FileError, match="record: expected the search"):
        search(objective, {**SPACE, "rate": Uniform(0, 1)}, n=2, budget=1, record=record)
    for other in (b"no record\n", b"", b"\xff\xfe\n"):
        record.write_bytes(other)
        with pytest.raises(FileError, match="record: expected the record of a search"):
            search(objective, SPACE, n=2, budget=1, record=record)
    with pytest.raises(FileError, match="nowhere"):
        search(objective, SPACE, n=2, budget=1, record=tmp_path / "nowhere" / "search.jsonl")


def test_what_was_found_says_so():
    found = search(lambda p, b: p["x"], {"x": Choice([0.5])}, n=2, budget=3)
    assert repr(found) == "Found(2 trials, best {'x': 0.5} with 0.5 at budget 3)"


class TestOptuna:
    @pytest.fixture(autouse=True)
    def optuna(self):
        pytest.importorskip("optuna", reason='needs optuna: pip install "spinray[search]"')

    def test_it_learns_from_scores(self):
        def bowl(parameters, budget):
            return sum((value - 0.3) ** 2 for value in parameters.values())

        space = {name: Uniform(-5, 5) for name in "abc"}
        random = search(bowl, space, n=80, budget=1)
        learned = search(bowl, space, n=80, budget=1, backend="optuna")
        assert learned.best.score < 0.5 * random.best.score
        assert search(bowl, space, n=80, budget=1, backend="optuna") == learned

    def test_it_knows_every_kind_of_parameter_and_stops_bad_trials(self):
        found = search(objective, SPACE, n=40, budget=27, least=1, backend="optuna")
        for one in found.evaluations:
            assert 1e-4 <= one.parameters["rate"] <= 1
            assert one.parameters["width"] in range(1, 6)
            assert one.parameters["kind"] in ("a", "b")
            assert one.parameters["fixed"] == 3
        counts = {budget: len(ones) for budget, ones in by_budget(found).items()}
        assert counts[1] == 40
        assert 40 > counts[3] >= counts[9] >= counts[27] >= 1
        assert found.cost < 0.5 * 40 * 27

    def test_it_goes_on_from_a_record_and_past_failures(self, tmp_path):
        options = {"n": 12, "budget": 9, "least": 1, "backend": "optuna"}

        def failing(parameters, budget):
            return math.nan if parameters.number == 3 else objective(parameters, budget)

        expected = search(failing, SPACE, **options)
        record = tmp_path / "search.jsonl"
        search(failing, SPACE, record=record, **options)
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(lines[:7]))
        found = search(failing, SPACE, record=record, **options)
        assert [one.parameters for one in found.evaluations] == [one.parameters for one in expected.evaluations]


def test_without_optuna_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r'backend="optuna" needs Optuna: pip install "spinray\[search\]"'):
        search(objective, SPACE, n=2, budget=1, backend="optuna")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Uniform(1, 1), InputError, "high: expected a number above low = 1, got 1"),
        (lambda: LogUniform(0, 1), InputError, "low: expected a positive number, got 0"),
        (lambda: Integers(0.5, 2), DtypeError, "low: expected an integer, got 0.5"),
        (lambda: Choice("ab"), InputError, "options: expected a list"),
        (lambda: search(objective, SPACE, n=0, budget=1), InputError, "n: expected an integer >= 1, got 0"),
        (lambda: search(objective, SPACE, n=1, budget=0), InputError, "budget: expected a positive number"),
        (lambda: search(objective, SPACE, n=1, budget=1, least=2), InputError, "least: expected at most the budget 1"),
        (lambda: search(objective, SPACE, n=1, budget=1, factor=1), InputError, "factor: expected an integer >= 2"),
        (lambda: search(objective, SPACE, n=1, budget=1, backend="grid"), InputError, "backend: expected one of"),
        (lambda: search(objective, {}, n=1, budget=1), DtypeError, "space: expected a dict of parameters"),
        (lambda: search(3, SPACE, n=1, budget=1), DtypeError, "objective: expected a function of parameters"),
        (
            lambda: search(lambda p, b: None, SPACE, n=1, budget=1),
            DtypeError,
            "objective: .* return a number, got None",
        ),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
