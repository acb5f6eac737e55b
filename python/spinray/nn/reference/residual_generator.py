"""Residual generator of pix2pix and CycleGAN."""

from __future__ import annotations

import torch
from torch import nn

from ... import _checks
from ._architecture import Architecture, crop, pad_to_multiple
from ._layers import NORMS, ReLU, normalisation

__all__ = ["ResidualGenerator"]


class ResidualGenerator(Architecture):
    """Image-to-image generator: two reductions by 2, residual blocks, two enlargements, values within -1 to 1.

    Borders are mirrored before the 7-wide convolutions at both ends and in the blocks [1]_; every convolution but the
    last has normalisation and ReLU, the last a hyperbolic tangent. Sizes that are no multiple of 4 are padded by their
    last row and column, and the output is cropped; the least size is 5. 11.38 million parameters for three channels.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the image that comes in and of the one that goes out.
    features
        Channels at full size; four times as many in the blocks.
    blocks
        Number of residual blocks: 9 for images of 256 x 256, 6 below that [2]_.
    norm
        ``"instance"`` as in CycleGAN [2]_, ``"batch"`` as in pix2pix, ``"group"``, or None.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution",
       ECCV 2016.
    .. [2] J.-Y. Zhu, T. Park, P. Isola, A. A. Efros, "Unpaired image-to-image translation using cycle-consistent
       adversarial networks", ICCV 2017.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import ResidualGenerator
    >>> ResidualGenerator(features=8, blocks=2)(torch.zeros(1, 1, 30, 32)).shape
    torch.Size([1, 1, 30, 32])
    """

    #: Padded to 8, it is of two pixels in the blocks, which is what can be mirrored.
    _least = 5

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        features: int = 64,
        blocks: int = 9,
        norm: str | None = "instance",
    ) -> None:
        super().__init__(
            in_channels=_checks.integer("in_channels", in_channels, minimum=1),
            out_channels=_checks.integer("out_channels", out_channels, minimum=1),
            features=_checks.integer("features", features, minimum=1),
            blocks=_checks.integer("blocks", blocks, minimum=1),
            norm=_checks.choice("norm", norm, NORMS),
        )
        in_channels, out_channels, features, blocks, norm = self.spec.values()
        self._input = (in_channels, 2)
        bias = norm is None
        self.head = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(in_channels, features, 7, bias=bias), *_end(norm, features)
        )
        self.down = nn.Sequential(
            *(
                layer
                for width in (features, 2 * features)
                for layer in (nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), *_end(norm, 2 * width))
            )
        )
        self.blocks = nn.Sequential(*(_Block(4 * features, norm) for _ in range(blocks)))
        self.up = nn.Sequential(
            *(
                layer
                for width in (2 * features, features)
                for layer in (nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1, bias=bias), *_end(norm, width))
            )
        )
        self.tail = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(features, out_channels, 7), nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the image made, of the size of the one that came in."""
        self.check(x)
        return crop(self.compute(pad_to_multiple(x, 4)), x.shape[2:])

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for an image whose sizes are multiples of 4."""
        return self.tail(self.up(self.blocks(self.down(self.head(x)))))


def _end(norm: str | None, width: int) -> list[nn.Module]:
    """Return what follows a convolution."""
    layers = [] if norm is None else [normalisation(norm, width, 2)]
    return [*layers, ReLU()]


class _Block(nn.Module):
    """What two convolutions add to the features."""

    def __init__(self, width: int, norm: str | None) -> None:
        super().__init__()
        bias = norm is None
        self.first = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), *_end(norm, width))
        self.second = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), *_end(norm, width)[:-1]
        )

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h + self.second(self.first(h))
