"""Weights of MONAI's networks under the names of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from ..errors import InputError

__all__ = ["from_monai"]

#: Names of MONAI's BasicUNet up to its layers, and of `UNet`; the decoder counts from the other end.
_PLACES = (
    (r"conv_0\.", lambda level: "encoder.0."),
    (r"down_(\d)\.convs\.", lambda level: f"encoder.{level}."),
    (r"upcat_(\d)\.convs\.", lambda level: f"decoder.{4 - level}.block."),
)
#: Its layers in a pair of convolutions: place in the sequence of ours.
_LAYERS = {"conv_0.conv": 0, "conv_0.adn.N": 1, "conv_1.conv": 3, "conv_1.adn.N": 4}


def from_monai(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of a ``monai.networks.nets.BasicUNet`` under the names of `UNet`.

    MONAI's network is a `UNet` of five widths, the first two equal, with instance normalisation and leaky ReLU of slope
    0.1: ``UNet(1, 2, features=(32, 32, 64, 128, 256), norm="instance", slope=0.1, dim=3)`` for its defaults. It has a
    bias before each normalisation, which instance normalisation takes away again, and `UNet` has none. Batch
    normalisation works too (the bias moves into the running mean). Outputs are equal for sizes that are multiples of
    16; others are padded in another place.

    Not for networks with group or layer normalisation, whose biases count: a constant on one channel is not the mean
    of its group. Their weights look like those of instance normalisation, so that wrong outputs are all that shows.

    Parameters
    ----------
    weights
        State dict of a BasicUNet with ``upsample="deconv"``.

    Raises
    ------
    InputError
        If an entry is none of BasicUNet's.

    Examples
    --------
    >>> from spinray.nn import UNet, from_monai
    >>> from monai.networks.nets import BasicUNet  # doctest: +SKIP
    >>> network = UNet(1, 2, features=(32, 32, 64, 128, 256), norm="instance", slope=0.1, dim=3)
    >>> network.load_state_dict(from_monai(BasicUNet().state_dict()))  # doctest: +SKIP
    <All keys matched successfully>
    """
    result = {}
    for name, value in weights.items():
        if name.endswith(".conv.bias"):
            continue
        if name.endswith(".adn.N.running_mean"):
            value = value - weights[name.replace("adn.N.running_mean", "conv.bias")]
        result[_name(name)] = value
    return result


def _name(name: str) -> str:
    """Return our name of an entry."""
    if name.startswith("final_conv."):
        return name.replace("final_conv", "head")
    up = re.fullmatch(r"upcat_(\d)\.upsample\.deconv\.(\w+)", name)
    if up:
        return f"decoder.{4 - int(up[1])}.up.{up[2]}"
    for pattern, place in _PLACES:
        match = re.match(pattern, name)
        if match:
            layer, _, kind = name[match.end() :].rpartition(".")
            if layer in _LAYERS:
                return f"{place(int(match[1]) if match.groups() else 0)}{_LAYERS[layer]}.{kind}"
    raise InputError(f'weights: {name!r} is no entry of MONAI\'s BasicUNet with upsample="deconv"')
