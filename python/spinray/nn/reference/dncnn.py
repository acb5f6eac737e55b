"""DnCNN: a stack of convolutions that finds the noise."""

from __future__ import annotations

import torch
from torch import nn

from ... import _checks
from ._architecture import Architecture, convolution
from ._layers import ReLU, normalisation

__all__ = ["DnCNN"]


class DnCNN(Architecture):
    """Denoiser that learns the noise: a stack of 3-wide convolutions whose output is subtracted from the image.

    Convolution and ReLU; then ``depth - 2`` times convolution, batch normalisation and ReLU; then a convolution.
    Every output sees ``2 * depth + 1`` pixels along each axis. 0.56 million parameters at depth 17.

    Parameters
    ----------
    channels
        Channels of the image, in and out.
    depth
        Number of convolutions, at least 2.
    features
        Channels between them.
    dim
        2 for images (batch, channels, y, x), 3 for volumes (batch, channels, z, y, x).

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang, "Beyond a Gaussian denoiser: residual learning of deep CNN for
       image denoising", IEEE Trans. Image Process. 26 (2017) 3142.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import DnCNN
    >>> DnCNN(depth=5, features=8)(torch.zeros(2, 1, 40, 40)).shape
    torch.Size([2, 1, 40, 40])
    """

    def __init__(self, channels: int = 1, *, depth: int = 17, features: int = 64, dim: int = 2) -> None:
        super().__init__(
            channels=_checks.integer("channels", channels, minimum=1),
            depth=_checks.integer("depth", depth, minimum=2),
            features=_checks.integer("features", features, minimum=1),
            dim=_checks.choice("dim", dim, (2, 3)),
        )
        channels, depth, features, dim = self.spec.values()
        self._input = (channels, dim)
        conv = convolution(dim)
        layers: list[nn.Module] = [conv(channels, features, 3, padding=1), ReLU()]
        for _ in range(depth - 2):
            layers += [conv(features, features, 3, padding=1, bias=False), normalisation("batch", features, dim)]
            layers.append(ReLU())
        self.layers = nn.Sequential(*layers, conv(features, channels, 3, padding=1))

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for input that has been checked."""
        return x - self.layers(x)
