"""Residual network for denoising."""

from __future__ import annotations

import torch
from torch import nn

from ... import _checks
from ._architecture import Architecture, convolution
from ._layers import normalisation, relu

__all__ = ["ResNetDenoiser"]


class ResNetDenoiser(Architecture):
    """Denoiser of residual blocks whose output is added to the image.

    A convolution with ReLU; `blocks` times two convolutions with batch normalisation, ReLU between them, added to
    what came in [1]_; a convolution. All kernels are 3 wide. The plan follows the PET denoiser that is pre-trained on
    simulations and fine-tuned on patients [2]_.

    Parameters
    ----------
    channels
        Channels of the image, in and out.
    features
        Channels of the blocks.
    blocks
        Number of residual blocks.
    dim
        2 for images (batch, channels, y, x), 3 for volumes (batch, channels, z, y, x).

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016.
    .. [2] K. Gong, J. Guan, C.-C. Liu, J. Qi, "PET image denoising using a deep neural network through fine tuning",
       IEEE Trans. Radiat. Plasma Med. Sci. 3 (2019) 153.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import ResNetDenoiser
    >>> ResNetDenoiser(features=8, blocks=2, dim=3)(torch.zeros(1, 1, 9, 16, 16)).shape
    torch.Size([1, 1, 9, 16, 16])
    """

    def __init__(self, channels: int = 1, *, features: int = 32, blocks: int = 5, dim: int = 2) -> None:
        super().__init__(
            channels=_checks.integer("channels", channels, minimum=1),
            features=_checks.integer("features", features, minimum=1),
            blocks=_checks.integer("blocks", blocks, minimum=1),
            dim=_checks.choice("dim", dim, (2, 3)),
        )
        channels, features, blocks, dim = self.spec.values()
        self._input = (channels, dim)
        self.head = convolution(dim)(channels, features, 3, padding=1)
        self.blocks = nn.Sequential(*(_Block(features, dim) for _ in range(blocks)))
        self.tail = convolution(dim)(features, channels, 3, padding=1)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for input that has been checked."""
        return x + self.tail(self.blocks(relu(self.head(x))))


class _Block(nn.Module):
    """What two normalised convolutions add to the features."""

    def __init__(self, features: int, dim: int) -> None:
        super().__init__()
        conv = convolution(dim)
        self.conv1 = conv(features, features, 3, padding=1, bias=False)
        self.norm1 = normalisation("batch", features, dim)
        self.conv2 = conv(features, features, 3, padding=1, bias=False)
        self.norm2 = normalisation("batch", features, dim)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h + self.norm2(self.conv2(relu(self.norm1(self.conv1(h)))))
