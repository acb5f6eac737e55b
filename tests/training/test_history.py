"""A history tells, draws, and travels."""

import copy
import dataclasses
import json
import pickle

import matplotlib.pyplot as plt
import pytest

from spinray.training import History
from training.small import linear, mse, quick, regression


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def history():
    return quick(linear(), validation=regression(seed=1), metrics={"error": mse}, epochs=4)


def test_it_goes_through_json_pickle_and_copies(history):
    assert History(**json.loads(json.dumps(dataclasses.asdict(history), allow_nan=False))) == history
    assert pickle.loads(pickle.dumps(history)) == history
    assert copy.deepcopy(history) == history


def test_it_counts_and_tells(history):
    assert (history.n_steps, history.n_epochs, history.best_epoch) == (12, 4, 4)
    assert history.best == {name: values[3] for name, values in history.epochs.items()}
    assert history.epochs["error"] == history.epochs["validation_loss"]
    assert repr(history).startswith("History(4 epochs, 12 steps, ")
    assert f"validation loss {history.epochs['validation_loss'][-1]:.4g}" in repr(history)
    assert repr(history).endswith("best epoch 4, ended by epochs)")


def test_an_empty_one_tells_that_it_is():
    assert repr(History()) == "History(0 epochs, 0 steps, 0 s of which 0 % waiting for data)"
    assert History().best == {}
    assert History().plot().get_xlabel() == "step"


def test_it_draws_losses_over_steps(history):
    ax = history.plot()
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert list(lines) == ["loss of each step", "loss", "validation loss", "best epoch, 4"]
    assert list(lines["loss of each step"].get_xdata()) == list(range(1, 13))
    assert list(lines["loss of each step"].get_ydata()) == history.steps["loss"]
    assert list(lines["loss"].get_xdata()) == [3, 6, 9, 12]
    assert list(lines["validation loss"].get_ydata()) == history.epochs["validation_loss"]
    assert list(lines["best epoch, 4"].get_xdata()) == [12, 12]
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel() == "step"


def test_it_draws_a_metric_into_axes_that_are_given(history):
    axes = plt.subplots()[1]
    assert history.plot("error", ax=axes) is axes
    assert list(axes.get_lines()[0].get_ydata()) == history.epochs["error"]
    assert axes.get_ylabel() == "error"


def test_losses_below_zero_are_drawn_too():
    history = History({"loss": [1.0, -1.0]}, {"step": [2], "loss": [0.0]}, 1)
    assert history.plot().get_yscale() == "linear"


def test_an_unknown_name_is_refused(history):
    with pytest.raises(ValueError, match=r"name: expected one of 'error', 'learning_rate', 'loss', .* got 'accuracy'"):
        history.plot("accuracy")
