"""Layers that several networks share."""

from __future__ import annotations

from torch import nn

from ... import _checks
from ...errors import InputError

__all__ = ["ACTIVATIONS", "NORMS", "activation_layer", "normalisation", "share"]

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


def activation_layer(name: str) -> nn.Module:
    """Return the activation of that name; ReLU overwrites its input, which no gradient needs."""
    layers: dict[str, nn.Module] = {
        "relu": nn.ReLU(inplace=True),
        "tanh": nn.Tanh(),
        "sigmoid": nn.Sigmoid(),
        "softplus": nn.Softplus(),
    }
    return layers[name]


def share(name: str, value: float) -> float:
    """Return a number of at least 0 and below 1."""
    result = _checks.positive(name, value, allow_zero=True)
    if result >= 1:
        raise InputError(f"{name}: expected a share below 1, got {value}")
    return result
