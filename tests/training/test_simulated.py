"""Samples made while the network trains: the same ones whoever makes them, errors told, threads gone at the end."""

import itertools
import multiprocessing
import os
import threading
import time

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset

from spinray.errors import DtypeError, InputError
from spinray.training import Augment, Augmented, Config, Simulated, fit


def recipe(seed, index):
    rng = np.random.default_rng([seed, index])
    inputs = rng.normal(size=(1, 3)).astype(np.float32)
    return inputs, np.float32(index)


def numbers(data):
    return [targets.int().tolist() for _, targets in data]


def makers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("spinray-simulated")]


def until_gone(seconds=5.0):
    end = time.monotonic() + seconds
    while makers() and time.monotonic() < end:
        time.sleep(0.01)
    return not makers()


def test_batches_come_in_order_and_every_epoch_has_fresh_samples():
    data = Simulated(recipe, n=5, seed=3, batch_size=2)
    assert (data.n_batches, len(data)) == (3, 5)
    assert numbers(data) == [[0, 1], [2, 3], [4]]
    assert numbers(data) == [[5, 6], [7, 8], [9]]
    data.set_epoch(1)
    assert numbers(data) == [[5, 6], [7, 8], [9]]


WRAPPED = {
    "subset": lambda data: Subset(data, [0, 1, 2, 3]),
    "joined": lambda data: ConcatDataset([Subset(data, [0, 1]), Subset(data, [2, 3])]),
    "augmented": lambda data: Augmented(data, Augment()),
    "loader": lambda data: DataLoader(Augmented(data, Augment()), batch_size=2),
    "persistent worker": lambda data: DataLoader(data, batch_size=2, num_workers=1, persistent_workers=True),
}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # threads of other tests' libraries
@pytest.mark.parametrize("wrapped", WRAPPED)
def test_every_epoch_has_fresh_samples_within_other_data_sets(wrapped):
    seen = []

    def loss(output, numbers):
        seen.extend(numbers.ravel().int().tolist())
        return output.mean()

    data = Simulated(_number, n=4)
    fit(torch.nn.Linear(1, 1), WRAPPED[wrapped](data), loss, Config(epochs=3, batch_size=2), progress=False)
    assert [sorted(seen[k : k + 4]) for k in (0, 4, 8)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def _number(seed, index):
    """An image of one pixel, its own number."""
    return torch.full((1, 1, 1), float(index)), torch.full((1, 1, 1), float(index))


def test_samples_that_are_not_fresh_are_those_of_the_first_epoch():
    data = Simulated(recipe, n=3, batch_size=3, fresh=False)
    assert numbers(data) == numbers(data) == [[0, 1, 2]]


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (2, 3), (4, 9)])
def test_bits_depend_neither_on_threads_nor_on_how_far_they_are_ahead(threads, ahead):
    def slow_at_random(seed, index):
        time.sleep(0.002 * (index * 7 % 5))
        return recipe(seed, index)

    data = Simulated(slow_at_random, n=12, seed=1, batch_size=3, threads=threads, ahead=ahead)
    found = torch.cat([inputs for inputs, _ in data])
    expected = np.stack([recipe(1, index)[0] for index in range(12)])
    assert np.array_equal(found.numpy(), expected)


def test_indexing_and_loaders_give_the_same_samples():
    data = Simulated(recipe, n=4, seed=2)
    direct = torch.stack([data[index][0] for index in range(4)])
    loader = DataLoader(Simulated(recipe, n=4, seed=2), batch_size=2)
    # Without a batch size an iteration gives samples as they are made.
    assert torch.equal(direct, torch.stack([inputs for inputs, _ in data]))
    assert isinstance(data[-1][0], torch.Tensor)
    data.set_epoch(0)
    assert torch.equal(torch.cat([inputs for inputs, _ in loader]), direct[:4])
    with pytest.raises(IndexError, match="one of 4 samples, got 4"):
        data[4]


def test_an_endless_stream_goes_on():
    data = Simulated(recipe, seed=4, batch_size=2)
    first = numbers(itertools.islice(data, 3))
    assert first == [[0, 1], [2, 3], [4, 5]]
    assert data.n_batches is None
    with pytest.raises(DtypeError, match="endless"):
        len(data)
    again, _ = next(iter(data))
    assert not np.array_equal(again[0].numpy(), recipe(4, 0)[0]), "a second iteration has samples of its own"
    assert until_gone()


def test_batches_before_the_first_asked_for_are_not_made():
    made = []

    def counted(seed, index):
        made.append(index)
        return recipe(seed, index)

    data = Simulated(counted, n=8, batch_size=2)
    assert numbers(data.batches(1, 2)) == [[12, 13], [14, 15]]
    assert sorted(made) == [12, 13, 14, 15]


def test_errors_of_the_recipe_reach_the_caller_at_their_batch():
    def broken(seed, index):
        if index == 4:
            raise RuntimeError("no sample 4")
        return recipe(seed, index)

    batches = iter(Simulated(broken, n=8, batch_size=2, threads=2))
    assert [next(batches)[1].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(RuntimeError, match="no sample 4"):
        next(batches)
    with pytest.raises(StopIteration):
        next(batches)
    assert until_gone()


def test_threads_end_with_the_iteration_and_when_it_is_left():
    data = Simulated(recipe, n=4, batch_size=2, threads=2)
    list(data)
    assert until_gone()
    for _ in data:
        break
    assert until_gone()


def test_making_goes_on_while_the_caller_computes_and_waiting_is_counted():
    def slow(seed, index):
        time.sleep(0.02)
        return recipe(seed, index)

    data = Simulated(slow, n=6, batch_size=1)
    for _ in data:
        pass
    idle = data.waited
    assert 0.1 < idle < 2
    for _ in data:
        time.sleep(0.04)
    assert data.waited - idle < 0.6 * idle


def _first_numbers(iterator, queue):
    queue.put([next(iterator)[1].tolist() for _ in range(2)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
# Threads of other tests' libraries may live; the iteration's own are what is tested.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_an_iteration_goes_on_in_a_forked_child():
    iterator = iter(Simulated(recipe, n=20, batch_size=2))
    assert next(iterator)[1].tolist() == [0, 1]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_first_numbers, args=(iterator, queue))
    child.start()
    assert queue.get(timeout=30) == [[2, 3], [4, 5]]
    child.join(30)
    assert child.exitcode == 0
    assert next(iterator)[1].tolist() == [2, 3]


def test_fit_trains_on_it_and_sees_the_samples_of_each_epoch():
    seen = []

    def line(seed, index):
        seen.append(index)
        x = np.random.default_rng([seed, index]).normal(size=1).astype(np.float32)
        return x, 2 * x

    network = torch.nn.Linear(1, 1)
    data = Simulated(line, n=64, seed=1, batch_size=16)
    config = Config(epochs=10, optimiser="sgd", learning_rate=0.2)
    history = fit(network, data, torch.nn.functional.mse_loss, config, progress=False)
    assert sorted(seen) == list(range(640))
    assert history.n_steps == 40
    assert network.weight.item() == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"recipe": 3}, DtypeError, "recipe: expected a function"),
        ({"n": 0}, InputError, "n: expected an integer >= 1"),
        ({"seed": -1}, InputError, "seed"),
        ({"seed": 1 << 64}, InputError, "seed: expected an integer below"),
        ({"batch_size": 0}, InputError, "batch_size"),
        ({"threads": 1.5}, DtypeError, "threads: expected an integer"),
        ({"ahead": 0}, InputError, "ahead"),
    ],
)
def test_bad_arguments_are_named(arguments, error, match):
    with pytest.raises(error, match=match):
        Simulated(**{"recipe": recipe} | arguments)
