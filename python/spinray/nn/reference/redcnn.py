"""RED-CNN: residual encoder-decoder for low-dose CT."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from ... import _checks
from ._architecture import Architecture
from ._layers import relu

__all__ = ["REDCNN"]

#: Convolutions, and as many transposed ones; width of their kernels.
_DEPTH, _KERNEL = 5, 5


class REDCNN(Architecture):
    """Residual encoder-decoder: five 5-wide convolutions without padding, five transposed ones, three shortcuts.

    The image and the outputs of the second and the fourth convolution are added to what the decoder makes on the same
    size, before the ReLU. The last ReLU makes the output non-negative: give it images that are (attenuation, not
    Hounsfield units). 1.85 million parameters.

    Parameters
    ----------
    channels
        Channels of the image, in and out; each size of the image is at least 21.
    features
        Channels between the layers.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] H. Chen et al., "Low-dose CT with a residual encoder-decoder convolutional neural network", IEEE Trans. Med.
       Imaging 36 (2017) 2524.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import REDCNN
    >>> REDCNN(features=8)(torch.zeros(2, 1, 55, 55)).shape
    torch.Size([2, 1, 55, 55])
    """

    #: What the encoder makes one pixel of.
    _least = _DEPTH * (_KERNEL - 1) + 1

    def __init__(self, channels: int = 1, *, features: int = 96) -> None:
        super().__init__(
            channels=_checks.integer("channels", channels, minimum=1),
            features=_checks.integer("features", features, minimum=1),
        )
        channels, features = self.spec.values()
        self._input = (channels, 2)
        widths = (channels, *(_DEPTH * [features]))
        pairs = list(itertools.pairwise(widths))
        self.encoder = nn.ModuleList(nn.Conv2d(before, after, _KERNEL) for before, after in pairs)
        self.decoder = nn.ModuleList(nn.ConvTranspose2d(after, before, _KERNEL) for before, after in reversed(pairs))

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for input that has been checked."""
        skips = []
        h = x
        for i, layer in enumerate(self.encoder):
            if i % 2 == 0:
                skips.append(h)
            h = relu(layer(h))
        for i, layer in enumerate(self.decoder):
            h = layer(h)
            if i % 2 == 0:
                h = h + skips.pop()
            h = relu(h)
        return h
