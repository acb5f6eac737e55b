"""Layers that several networks share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ... import _checks
from ...errors import DtypeError, InputError

__all__ = [
    "ACTIVATIONS",
    "NORMS",
    "LeakyReLU",
    "ReLU",
    "activation_layer",
    "boolean",
    "leaky_relu",
    "normalisation",
    "probability",
    "relu",
]

#: Names of the normalisations a network can be made with.
NORMS = ("batch", "instance", "group", None)

#: Names of the activations a network can be made with.
ACTIVATIONS = ("relu", "tanh", "sigmoid", "softplus")


def normalisation(name: str, channels: int, dim: int) -> nn.Module:
    """Return batch, instance (with weights) or group normalisation (8 groups, or as many as divide the channels)."""
    if name == "group":
        return nn.GroupNorm(next(n for n in range(min(8, channels), 0, -1) if channels % n == 0), channels)
    if name == "instance":
        layer: type[nn.Module] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dim]
        return layer(channels, affine=True)
    return {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dim](channels)


def relu(x: torch.Tensor) -> torch.Tensor:
    """ReLU that overwrites its input, which no gradient needs."""
    return x.relu_() if _may_overwrite(x) else x.relu()


def leaky_relu(x: torch.Tensor, slope: float) -> torch.Tensor:
    """Leaky ReLU that overwrites its input, which no gradient needs."""
    return nn.functional.leaky_relu(x, slope, inplace=_may_overwrite(x))


def _may_overwrite(x: torch.Tensor) -> bool:
    """Whether torch lets `x` be overwritten: not where a backward hook stands behind a layer, which makes a view."""
    return not (torch.compiler.is_compiling() or x._is_view())


class ReLU(nn.ReLU):
    """`relu` as a layer."""

    def __init__(self) -> None:
        super().__init__(inplace=True)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the positive part."""
        return relu(input)


class LeakyReLU(nn.LeakyReLU):
    """`leaky_relu` as a layer."""

    def __init__(self, slope: float) -> None:
        super().__init__(slope, inplace=True)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the positive part and `slope` times the negative part."""
        return leaky_relu(input, self.negative_slope)


def activation_layer(name: str) -> nn.Module:
    """Return the activation of that name."""
    layers: dict[str, nn.Module] = {
        "relu": ReLU(),
        "tanh": nn.Tanh(),
        "sigmoid": nn.Sigmoid(),
        "softplus": nn.Softplus(),
    }
    return layers[name]


def probability(name: str, value: float) -> float:
    """Return a number of at least 0 and below 1."""
    result = _checks.positive(name, value, allow_zero=True)
    if result >= 1:
        raise InputError(f"{name}: expected a probability below 1, got {value}")
    return result


def boolean(name: str, value: Any) -> bool:
    """Return a boolean, from Python or numpy; 0 and 1 are refused."""
    if not isinstance(value, (bool, np.bool_)):
        raise DtypeError(f"{name}: expected True or False, got {value!r:.80}")
    return bool(value)
