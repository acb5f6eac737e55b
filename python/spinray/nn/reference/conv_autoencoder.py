"""Convolutional auto-encoder."""

from __future__ import annotations

import torch
from torch import nn

from ... import _checks
from ._architecture import Architecture, convolution, crop, pad_to_multiple
from ._layers import ReLU

__all__ = ["ConvAutoencoder"]


class ConvAutoencoder(Architecture):
    """Auto-encoder: convolutions and poolings down to a code, transposed convolutions back to the image.

    Each level convolves (3 wide, ReLU) and halves the size by its maximum; a 1-wide convolution makes the code, which
    is all that the decoder sees. Trained to return its input it compresses or finds what is unusual; trained to return
    a clean image it denoises [2]_. Sizes that are no multiple of ``2**levels`` are padded by their last row and column,
    and the output is cropped.

    Parameters
    ----------
    channels
        Channels of the image, in and out.
    features
        Channels of the first level; each level below has twice as many.
    levels
        Number of poolings.
    code
        Channels of the code.
    dim
        2 for images (batch, channels, y, x), 3 for volumes (batch, channels, z, y, x).

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] J. Masci, U. Meier, D. Ciresan, J. Schmidhuber, "Stacked convolutional auto-encoders for hierarchical feature
       extraction", ICANN 2011.
    .. [2] L. Gondara, "Medical image denoising using convolutional denoising autoencoders", ICDMW 2016.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import ConvAutoencoder
    >>> network = ConvAutoencoder(features=8)
    >>> network.encode(torch.zeros(1, 1, 64, 64)).shape
    torch.Size([1, 8, 8, 8])
    >>> network(torch.zeros(1, 1, 64, 60)).shape
    torch.Size([1, 1, 64, 60])
    """

    def __init__(self, channels: int = 1, *, features: int = 16, levels: int = 3, code: int = 8, dim: int = 2) -> None:
        super().__init__(
            channels=_checks.integer("channels", channels, minimum=1),
            features=_checks.integer("features", features, minimum=1),
            levels=_checks.integer("levels", levels, minimum=1),
            code=_checks.integer("code", code, minimum=1),
            dim=_checks.choice("dim", dim, (2, 3)),
        )
        channels, features, levels, code, dim = self.spec.values()
        self._input = (channels, dim)
        conv, up = convolution(dim), convolution(dim, transposed=True)
        pool = nn.MaxPool2d if dim == 2 else nn.MaxPool3d
        widths = [features << level for level in range(levels)]
        encoder: list[nn.Module] = []
        for before, width in zip([channels, *widths], widths, strict=False):
            encoder += [conv(before, width, 3, padding=1), ReLU(), pool(2)]
        self.encoder = nn.Sequential(*encoder, conv(widths[-1], code, 1))
        decoder: list[nn.Module] = []
        for before, width in zip([code, *reversed(widths)], reversed(widths), strict=False):
            decoder += [up(before, width, 2, 2), ReLU()]
        self.decoder = nn.Sequential(*decoder, conv(features, channels, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the image made from the code of `x`, of the size of `x`."""
        self.check(x)
        return crop(self.compute(self._padded(x)), x.shape[2:])

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Return the code of an image, shape (batch, code, ...), each size divided by ``2**levels`` and rounded up."""
        self.check(x)
        return self.encoder(self._padded(x))

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """Return the image of a code, each size multiplied by ``2**levels``."""
        return self.decoder(code)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for an image whose sizes are multiples of ``2**levels``."""
        return self.decoder(self.encoder(x))

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        return pad_to_multiple(x, 1 << self.spec["levels"])
