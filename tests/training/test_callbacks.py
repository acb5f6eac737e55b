"""Callbacks are told in order, and those for trackers call what the trackers have."""

import sys

import pytest

from spinray.training import Callback, Checkpoint, Config, MLflow, TensorBoard
from training.small import linear, mse, quick, regression


class Writer:
    """Stands in for a SummaryWriter, and for the module mlflow."""

    def __init__(self):
        self.scalars, self.params, self.metrics = [], [], []

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))

    def log_params(self, params):
        self.params.append(params)

    def log_metrics(self, metrics, step):
        self.metrics.append((metrics, step))


def test_they_are_told_in_order():
    told = []

    class Teller(Callback):
        def on_start(self, run):
            told.append(("start", run.step, run.epoch))

        def on_step(self, run):
            told.append(("step", run.step, run.epoch))

        def on_epoch(self, run):
            told.append(("epoch", run.step, run.epoch))

        def on_end(self, run):
            told.append(("end", run.step, run.epoch))

    quick(linear(), callbacks=[Teller()], epochs=2, steps=4)
    assert told == [
        ("start", 0, 0),
        *[("step", k, 0) for k in (1, 2, 3)],
        ("epoch", 3, 1),
        ("step", 4, 1),
        ("epoch", 4, 2),
        ("end", 4, 2),
    ]


def test_tensorboard_gets_steps_and_epochs():
    writer = Writer()
    history = quick(linear(), callbacks=[TensorBoard(writer, every=2)], validation=regression(), epochs=2)
    steps = [(value, step) for name, value, step in writer.scalars if name == "step/loss"]
    assert steps == [(history.steps["loss"][k - 1], k) for k in (2, 4, 6)]
    assert ("step/learning_rate", 1e-3, 2) in writer.scalars
    for name in ("loss", "validation_loss", "learning_rate", "seconds", "waiting"):
        found = [(value, step) for n, value, step in writer.scalars if n == f"epoch/{name}"]
        assert found == list(zip(history.epochs[name], (3, 6), strict=True))
    assert len(writer.scalars) == 2 * 3 + 5 * 2


def test_mlflow_gets_the_configuration_and_epochs():
    tracker = Writer()
    history = quick(linear(), callbacks=[MLflow(tracker)], validation=regression(), metrics={"error": mse}, epochs=2)
    (params,) = tracker.params
    assert (params["optimiser"], params["epochs"], params["batch_size"]) == ("adam", 2, 8)
    assert [step for _, step in tracker.metrics] == [3, 6]
    for k, (metrics, _) in enumerate(tracker.metrics):
        assert metrics == {name: values[k] for name, values in history.epochs.items() if name != "step"}
        assert "error" in metrics


def test_the_real_trackers_are_not_imported(monkeypatch):
    for name in ("mlflow", "tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)  # to import it fails
    quick(linear(), callbacks=[TensorBoard(Writer()), MLflow(Writer())])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: TensorBoard("runs"), TypeError, "writer: expected a SummaryWriter, with add_scalar, got str"),
        (lambda: TensorBoard(Writer(), every=0), ValueError, "every: expected an integer >= 1"),
        (lambda: MLflow(None), TypeError, "mlflow: expected the module mlflow, with log_params, got None"),
        (lambda: Checkpoint(3), TypeError, "path: expected a file name, got int"),
        (lambda: Checkpoint("a", steps=0), ValueError, "steps: expected an integer >= 1"),
        (lambda: quick(linear(), callbacks=[print]), TypeError, r"callbacks\[0\]: expected a training.Callback, got"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_a_configuration_is_frozen_and_comparable():
    assert Config(epochs=1) == Config(epochs=1)
    assert len({Config(epochs=1), Config(epochs=1), Config(epochs=2)}) == 2
    with pytest.raises(AttributeError):
        Config(epochs=1).epochs = 3
