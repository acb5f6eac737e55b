"""A training that was interrupted and resumed gives the same bits as one that was not."""

import os
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset

from spinray.training import Callback, Checkpoint, Simulated, freeze, load_weights
from training.small import Clock, copied, linear, mse, network, quick, regression, same, told, told_losses


class StopAt(Callback):
    """Interrupts after a step."""

    def __init__(self, step):
        self.step = step

    def on_step(self, run):
        if run.step == self.step:
            raise KeyboardInterrupt


def interrupted_equals_whole(path, at, data=None, loss=mse, make=network, **how):
    """Train as a whole, and interrupted after step `at`, and compare weights and histories."""
    data = regression if data is None else data
    whole, parts, fresh = make(), make(), make()
    expected = quick(whole, data(), loss, **how)
    with pytest.raises(KeyboardInterrupt):
        quick(parts, data(), loss, callbacks=[StopAt(at), Checkpoint(path)], **how)
    torch.manual_seed(99)
    random.seed(99)
    history = quick(fresh, data(), loss, resume=path, **how)
    assert told(history) == told(expected)
    assert same(fresh.state_dict(), whole.state_dict())


SCHEDULES = {
    "constant": {},
    "cosine": {"warm_up": 0.3},
    "poly": {},
    "one_cycle": {},
    "step": {"schedule_options": {"every": 1, "factor": 0.5}},
    "plateau": {"schedule_options": {"patience": 0, "factor": 0.5, "threshold": 0.99}},
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd", "rmsprop", "lbfgs"])
def test_in_every_optimiser_and_schedule(tmp_path, optimiser, schedule):
    options = {"momentum": 0.9} if optimiser in ("sgd", "rmsprop") else {}
    how = {"optimiser": optimiser, "optimiser_options": options, "schedule": schedule, **SCHEDULES[schedule]}
    interrupted_equals_whole(tmp_path / "run.pt", 5, epochs=4, learning_rate=0.01, **how)


@pytest.mark.parametrize("at", range(1, 9))
def test_at_every_step(tmp_path, at):
    how = {"average": 0.8, "validation": regression(seed=1), "l1": 0.01, "clip_norm": 0.5}
    interrupted_equals_whole(tmp_path / "run.pt", at, epochs=3, **how)


def test_early_stopping_remembers_how_long_it_has_waited(tmp_path):
    how = {"patience": 3, "learning_rate": 0.5, "optimiser": "sgd", "epochs": 100}
    history = quick(network(), validation=regression(seed=1), **how)
    assert history.stopped == "patience"
    at = history.epochs["step"][history.best_epoch] + 1
    interrupted_equals_whole(tmp_path / "run.pt", at, validation=regression(seed=1), **how)


class Augmented(Dataset):
    """Samples with noise of each generator that data sets draw from."""

    def __init__(self):
        self.x, self.y = regression()
        self.read = []

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        self.read.append(i)
        return self.x[i] + torch.randn(3) + np.float32(np.random.rand() + random.random()), self.y[i]  # noqa: NPY002  tested


class Stream:
    """Batches from a generator of torch, that is the global one."""

    def __iter__(self):
        for _ in range(3):
            x = torch.randn(8, 3)
            yield x, x.sum(1, keepdim=True)


def simulated():
    """Noisy samples of a linear map, of fresh noise in every epoch."""

    def recipe(seed, index):
        x = torch.from_numpy(np.random.default_rng([seed, index]).normal(size=3).astype(np.float32))
        return x, x.sum(0, keepdim=True)

    return Simulated(recipe, n=24, seed=5, batch_size=8)


FORMS = {
    "dataset": Augmented,
    "loader": lambda: DataLoader(Augmented(), batch_size=8, shuffle=True),
    "loader with a generator": lambda: DataLoader(
        Augmented(), batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(3)
    ),
    "stream": Stream,
    "simulated": simulated,
    "a part of simulated": lambda: Subset(simulated(), range(20)),
    "loader of simulated": lambda: DataLoader(simulated(), batch_size=8, shuffle=True),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("at", [3, 5])
def test_with_every_form_of_data(tmp_path, form, at):
    interrupted_equals_whole(tmp_path / "run.pt", at, FORMS[form], epochs=3)


def test_with_random_workers(tmp_path):
    def loader():
        return DataLoader(Augmented(), batch_size=8, shuffle=True, num_workers=1)

    interrupted_equals_whole(tmp_path / "run.pt", 4, loader)


def test_samples_that_were_done_are_not_read_again(tmp_path):
    data = Augmented()
    with pytest.raises(KeyboardInterrupt):
        quick(network(), data, callbacks=[StopAt(2), Checkpoint(tmp_path / "run.pt")], epochs=1)
    assert len(data.read) == 16
    done, data.read = data.read, []
    quick(network(), data, resume=tmp_path / "run.pt", epochs=1)
    assert sorted(done + data.read) == list(range(24))


def test_a_budget_is_of_the_whole_run(tmp_path, monkeypatch):
    how = {"loss": Clock(monkeypatch), "seconds": 8.0}
    with pytest.raises(KeyboardInterrupt):
        quick(linear(), callbacks=[StopAt(5), Checkpoint(tmp_path / "run.pt")], **how)
    how["loss"].now += 100.0
    history = quick(linear(), resume=tmp_path / "run.pt", **how)
    assert (history.n_steps, history.stopped) == (8, "seconds")
    assert history.epochs["seconds"] == [3.0, 3.0, 2.0]


def test_a_finished_run_is_gone_on_with(tmp_path):
    one, whole = network(), network()
    quick(one, epochs=2, callbacks=[Checkpoint(tmp_path / "run.pt")])
    history = quick(one, epochs=4, resume=tmp_path / "run.pt")
    assert told(history) == told(quick(whole, epochs=4))
    assert same(one.state_dict(), whole.state_dict())
    assert quick(network(), epochs=4, resume=tmp_path / "run.pt").n_epochs == 4
    assert quick(network(), epochs=1, resume=tmp_path / "run.pt").n_epochs == 2


def test_an_epoch_cut_short_by_its_steps_is_not_taken_up_again(tmp_path):
    data = Augmented()
    quick(network(), data, steps=4, callbacks=[Checkpoint(tmp_path / "run.pt")])
    data.read = []
    history = quick(network(), data, steps=7, resume=tmp_path / "run.pt")
    assert sorted(data.read) == list(range(24))
    assert history.epochs["step"] == [3, 4, 7]


def test_the_trained_weights_are_what_a_file_gives(tmp_path):
    how = {"validation": [regression(seed=1)], "average": 0.5, "learning_rate": 0.3, "epochs": 3}
    for extra in ({}, {"validation": None}, {"average": None}, {"validation": None, "average": None}):
        one, other = network(), network(seed=1)
        losses = told_losses([3.0, 1.0, 2.0])  # the best epoch is not the last
        quick(one, loss=losses, callbacks=[Checkpoint(tmp_path / "run.pt")], **{**how, **extra})
        load_weights(other, tmp_path / "run.pt")
        assert same(one.state_dict(), other.state_dict()), extra


def test_every_so_many_steps(tmp_path):
    class Names(Callback):
        def on_step(self, run):
            found.append(torch.load(tmp_path / "run.pt", weights_only=True)["step"] if run.step > 1 else None)

    found = []
    quick(network(), callbacks=[Checkpoint(tmp_path / "run.pt", steps=2), Names()], epochs=2)
    assert found == [None, 2, 2, 4, 4, 6]
    assert os.listdir(tmp_path) == ["run.pt"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    quick(network(), callbacks=[Checkpoint(path)], epochs=1)
    before = path.read_bytes()

    def fails(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fails)
        with pytest.raises(OSError, match="cannot be written: No space left"):
            quick(network(), callbacks=[Checkpoint(path)], epochs=2, resume=path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.pt"]


def test_a_run_is_not_saved_within_a_step():
    class Curious(Callback):
        def on_start(self, run):
            self.run = run

    curious = Curious()

    def loss(output, target):
        curious.run.state()

    with pytest.raises(ValueError, match="run: this one is within a step"):
        quick(network(), loss=loss, callbacks=[curious])


@pytest.fixture
def saved(tmp_path):
    quick(network(), callbacks=[Checkpoint(tmp_path / "run.pt")], epochs=1)
    return tmp_path / "run.pt"


def test_another_architecture_names_the_first_key_that_differs(saved):
    wide = torch.nn.Sequential(torch.nn.Linear(3, 9), torch.nn.BatchNorm1d(9), torch.nn.Linear(9, 1))
    for call in (lambda: quick(wide, resume=saved), lambda: load_weights(wide, saved)):
        with pytest.raises(ValueError, match=r"'0.weight' has shape \(8, 3\) in the file, \(9, 3\) in the network"):
            call()
    shallow = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))
    before = copied(shallow)
    with pytest.raises(
        ValueError, match=r"the first key that differs is '4.weight' in the file, '2.weight' in the network"
    ):
        quick(shallow, resume=saved)
    assert same(shallow.state_dict(), before)
    weights = saved.with_name("weights.pt")
    torch.save(before, weights)
    with pytest.raises(ValueError, match=r"is '2.weight' in the file, None in the network"):
        load_weights(shallow[:2], weights)


def test_another_configuration_is_named(saved):
    with pytest.raises(ValueError, match=r"resume: saved from a run with learning_rate=0.001, got learning_rate=0.1"):
        quick(network(), resume=saved, learning_rate=0.1)


def test_other_trained_parameters_are_named(saved):
    one = network()
    freeze(one, "0.bias")
    with pytest.raises(ValueError, match=r"resume: '0.bias' was trained in the run that was saved"):
        quick(one, resume=saved)


def test_other_measures_are_named(saved):
    with pytest.raises(ValueError, match=r"saved from a run that measured \[\], got \['validation_loss', 'mse'\]"):
        quick(network(), resume=saved, validation=regression(), metrics={"mse": mse})


def test_other_data_are_named(saved):
    with pytest.raises(ValueError, match="data: expected 0 generators of its own, as when saved, got 1"):
        quick(network(), FORMS["loader with a generator"](), resume=saved)


class Evil:
    def __reduce__(self):
        return os.system, ("false",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "truncated, damaged, or not of plain values"),
        (b"not a checkpoint", "truncated, damaged, or not of plain values"),
        (Evil(), "not of plain values and tensors"),
        ([1], "expected a dict of weights, got list"),
        ({"format": "spinray.training.Checkpoint", "version": 99}, "version 1, got something else"),
        ({"weight": torch.zeros(1)}, "expected a file of training.Checkpoint"),
        (None, "no such file"),
    ],
)
def test_files_of_anything_else_are_refused(tmp_path, content, says):
    path = tmp_path / "run.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(OSError, match=says):
        quick(network(), resume=path)


def test_a_truncated_checkpoint_is_refused(saved):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OSError, match="truncated, damaged"):
        quick(network(), resume=saved)
