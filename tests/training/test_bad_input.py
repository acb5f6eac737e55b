"""Whatever cannot be trained is refused, by the name of the argument, with what is wrong and what to do."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from spinray.training import Config, Simulated, fit, freeze
from spinray.training._placement import Placement
from training.small import linear, mse, quick, regression

x, y = regression()


def frozen():
    one = linear()
    freeze(one, "*")
    return one


class Samples(IterableDataset):
    def __iter__(self):
        return zip(x, y, strict=True)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: quick(mse), TypeError, "network: expected a torch.nn.Module, got function"),
        (
            lambda: quick(frozen()),
            ValueError,
            "network: expected one with parameters that require gr.* unfreeze",
        ),
        (lambda: quick(nn.Identity()), ValueError, "network: expected one with parameters"),
        (lambda: quick(linear(), loss="mse"), TypeError, r"loss: expected a function of \(output, target\), got 'mse'"),
        (lambda: fit(linear(), (x, y), mse, {"epochs": 3}), TypeError, "config: expected a training.Config, got {"),
        (
            lambda: quick(linear(), (x, y, y)),
            ValueError,
            r"data: expected a pair \(inputs, targets\), got a tup",
        ),
        (lambda: quick(linear(), x), TypeError, r"data: expected \(inputs, targets\), a Dataset, .* got Tensor"),
        (lambda: quick(linear(), 3), TypeError, "data: expected .* got int"),
        (lambda: quick(linear(), (x, y[:5])), ValueError, r"data: expected tensors of as many samples, got \[24, 5\]"),
        (
            lambda: quick(linear(), (x.numpy(), y)),
            TypeError,
            "data: expected tensors .* ndarray, .*as_tensor",
        ),
        (lambda: quick(linear(), (x[:0], y[:0])), ValueError, "data: expected at least one sample, got none"),
        (lambda: quick(linear(), Samples()), TypeError, "data: .* an IterableDataset, .* Wrap it in a DataLoader"),
        (lambda: quick(linear(), []), ValueError, "data: epoch 1 gave no batch"),
        (
            lambda: quick(linear(), iter([(x, y)])),
            ValueError,
            "data: epoch 2 gave no batch. Give something",
        ),
        (
            lambda: quick(linear(), [x]),
            TypeError,
            r"expected batches that are pairs .* got Tensor",
        ),
        (lambda: quick(linear(), [(x, y, y)]), TypeError, "data: expected batches that are pairs .* got tuple of 3"),
        (lambda: quick(linear(), [{"image": x}]), TypeError, "got dict with 'image'. Give"),
        (lambda: quick(linear(), DataLoader(TensorDataset(x))), TypeError, "got list of 1"),
        (
            lambda: quick(linear(), (x.double(), y)),
            TypeError,
            "data: inputs are torch.float64, .* torch.float32",
        ),
        (
            lambda: quick(linear(), (x, y.half())),
            TypeError,
            r"data: targets are torch.float16, .* network.to",
        ),
        (
            lambda: quick(linear().double(), (x, y)),
            TypeError,
            r"inputs are torch.float32, .* tensor.to\(torch.f",
        ),
        (lambda: quick(linear(), (x.to(torch.complex128), y)), TypeError, "data: inputs are torch.complex128"),
        (
            lambda: quick(linear(), (x.to("meta"), y)),
            ValueError,
            "data: inputs are on meta, the network on cpu",
        ),
        (lambda: quick(linear(), (x, y.to("meta"))), ValueError, "data: targets are on meta"),
        (lambda: quick(linear(), validation=[]), ValueError, "validation: gave no batch"),
        (lambda: quick(linear(), validation=(x.double(), y)), TypeError, "validation: inputs are torch.float64"),
        (lambda: quick(linear(), validation=[x]), TypeError, "validation: expected batches that are pairs"),
        (lambda: quick(linear(), validation=7), TypeError, "validation: expected .* got int"),
        (lambda: quick(linear(), metrics={"a": mse}), ValueError, "metrics: they are measured on validation data"),
        (lambda: quick(linear(), metrics=[mse], validation=(x, y)), TypeError, "metrics: expected a dict of names and"),
        (
            lambda: quick(linear(), metrics={"a": 1}, validation=(x, y)),
            TypeError,
            r"metrics\['a'\]: expected a fun",
        ),
        (
            lambda: quick(linear(), metrics={"a": torch.sub}, validation=(x, y)),
            ValueError,
            r"\['a'\]: .* Take its mean",
        ),
        (
            lambda: quick(linear(), metrics={"loss": mse}, validation=(x, y)),
            ValueError,
            "'loss' is a name of the his",
        ),
        (
            lambda: quick(linear(), loss=lambda o, t: (o - t) ** 2),
            ValueError,
            r"loss: .* got shape \(8, 1\). Take",
        ),
        (lambda: quick(linear(), loss=lambda o, t: 1.0), TypeError, r"loss: expected a real tensor .* got float"),
        (
            lambda: quick(linear(), loss=lambda o, t: o.mean() * 1j),
            TypeError,
            "loss: expected a real tensor .* comp",
        ),
        (lambda: quick(linear(), loss=lambda o, t: t.mean()), ValueError, "loss: expected a value that depends on"),
        (
            lambda: quick(linear(), [(x.clone().requires_grad_(), y)], lambda o, t, inputs: inputs.mean()),
            ValueError,
            "loss: expected a value that depends on",
        ),
        (
            lambda: quick(linear(), optimiser_options={"betas": (2, 0)}),
            ValueError,
            "_options: Invalid beta",
        ),
        (
            lambda: quick(linear(), optimiser_options={"betas": 3}),
            ValueError,
            r"_options: .* got \{'betas': 3",
        ),
        (lambda: quick(linear(), resume="nowhere.pt"), OSError, "nowhere.pt: no such file"),
        (lambda: quick(linear(), Simulated(lambda seed, index: index)), ValueError, "data: these samples never end"),
        (
            lambda: quick(linear(), validation=Simulated(lambda seed, index: index), steps=3),
            ValueError,
            "validation: these samples never end",
        ),
    ],
)
def test_bad_arguments_of_fit(call, error, says):
    with pytest.raises(error, match=says):
        call()


@pytest.mark.parametrize(
    ("config", "error", "says"),
    [
        ({}, ValueError, "epochs: expected a number of epochs, steps or seconds, got none"),
        ({"epochs": 0}, ValueError, "epochs: expected an integer >= 1, got 0"),
        ({"steps": 2.5}, TypeError, "steps: expected an integer, got 2.5"),
        ({"seconds": -1}, ValueError, "seconds: expected a positive number, got -1"),
        ({"epochs": 1, "optimiser": "Adam"}, ValueError, "optimiser: expected one of 'adam', 'adamw', .* got 'Adam'"),
        (
            {"epochs": 1, "optimiser_options": {"beta": 1}},
            ValueError,
            "_options: adam takes betas, .* got 'beta'",
        ),
        ({"epochs": 1, "optimiser_options": {"lr": 1}}, ValueError, "optimiser_options: adam takes .* got 'lr'"),
        ({"epochs": 1, "optimiser_options": 0.9}, TypeError, "optimiser_options: expected a dict, got 0.9"),
        (
            {"epochs": 1, "optimiser": "lbfgs", "weight_decay": 0.1},
            ValueError,
            "weight_decay: lbfgs takes none, got",
        ),
        ({"epochs": 1, "learning_rate": 0}, ValueError, "learning_rate: expected a positive number"),
        ({"epochs": 1, "learning_rate": np.nan}, ValueError, "learning_rate: expected a finite number"),
        ({"epochs": 1, "l1": -1}, ValueError, "l1: expected a number >= 0"),
        ({"epochs": 1, "batch_size": 0}, ValueError, "batch_size: expected an integer >= 1"),
        ({"epochs": 1, "clip_norm": 0}, ValueError, "clip_norm: expected a positive number"),
        ({"epochs": 1, "patience": 0}, ValueError, "patience: expected an integer >= 1"),
        ({"epochs": 1, "min_delta": "a"}, TypeError, "min_delta: expected a real number"),
        ({"epochs": 1, "average": 1.0}, ValueError, r"average: expected a number in \[0, 1\), got 1.0"),
        ({"epochs": 1, "precision": "half"}, ValueError, "precision: expected one of 'full', 'bfloat16', got 'half'"),
        ({"epochs": 1, "validation_precision": 16}, ValueError, "validation_precision: expected one of"),
        ({"epochs": 1, "seed": -1}, ValueError, "seed: expected an integer >= 0"),
    ],
)
def test_bad_configurations(config, error, says):
    with pytest.raises(error, match=says):
        Config(**config)


def test_integers_are_no_precision():
    """Labels and indices go through, whatever the network's precision."""
    one = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 3))
    data = torch.randint(5, (16, 3)), torch.randint(3, (16,))
    assert quick(one, data, nn.functional.cross_entropy).n_steps == 4


def test_after_bad_data_the_network_is_as_it_was():
    one = linear()
    before = one.weight.detach().clone()
    with pytest.raises(TypeError):
        quick(one, [(x, y), (x.double(), y)])
    assert torch.equal(one.weight, before)


def test_data_on_the_cpu_go_to_the_device_of_the_network():
    """On the device that every machine has, and on which nothing is computed."""
    placed = Placement(linear().to("meta")).of("data", ((x, [x]), {"not": "a tensor"}))
    assert [t.device.type for t in (placed[0][0], placed[0][1][0])] == ["meta", "meta"]
    assert placed[1] == {"not": "a tensor"}
