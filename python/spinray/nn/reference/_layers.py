"""Layers that several networks share."""

from __future__ import annotations

from torch import nn

__all__ = ["NORMS", "normalisation"]

#: Names of the normalisations a network can be made with.
NORMS = ("batch", "instance", "group", None)


def normalisation(name: str, channels: int, dim: int) -> nn.Module:
    """Return batch, instance (with weights) or group normalisation (8 groups, or as many as divide the channels)."""
    if name == "group":
        return nn.GroupNorm(next(n for n in range(min(8, channels), 0, -1) if channels % n == 0), channels)
    if name == "instance":
        layer: type[nn.Module] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dim]
        return layer(channels, affine=True)
    return {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dim](channels)
