"""DeepPET: from sinogram to image by an encoder and a decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ... import _checks
from ...errors import InputError
from ._architecture import Architecture
from ._layers import ReLU, normalisation

__all__ = ["DeepPET"]


class DeepPET(Architecture):
    """Encoder-decoder from a sinogram (batch, 1, views, bins) to an image (batch, 1, y, x).

    Convolutions with batch normalisation and ReLU: one at full size, then on each level one that halves the size and
    doubles the channels, then one that once more doubles the channels at the bottom (7 wide the first two, 5 the next
    two, 3 all others); on the way up, bilinear enlargement by equal factors and half the channels. Three further
    convolutions follow each change of channels; a last one makes the image.

    The paper's plan for sinograms of 288 x 269: 32 to 1024 channels, 18 x 17 at the bottom, 128 x 128 out, enlargement
    by about 1.7, more than 60 million parameters. It leaves open how many convolutions share a size; with four the
    parameters are as many.

    Parameters
    ----------
    in_shape
        Size of the sinogram, (views, bins).
    out_shape
        Size of the image, (y, x).
    features
        Channels at full size.
    levels
        Number of reductions by 2.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] I. Häggström, C. R. Schmidtlein, G. Campanella, T. J. Fuchs, "DeepPET: a deep encoder-decoder network for
       directly solving the PET image reconstruction inverse problem", Med. Image Anal. 54 (2019) 253.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import DeepPET
    >>> DeepPET((64, 96), (64, 64), features=2, levels=3)(torch.zeros(1, 1, 64, 96)).shape
    torch.Size([1, 1, 64, 64])
    """

    def __init__(
        self, in_shape: Sequence[int], out_shape: Sequence[int], *, features: int = 32, levels: int = 4
    ) -> None:
        super().__init__(
            in_shape=_checks.shape("in_shape", in_shape, ndim=2),
            out_shape=_checks.shape("out_shape", out_shape, ndim=2),
            features=_checks.integer("features", features, minimum=1),
            levels=_checks.integer("levels", levels, minimum=1),
        )
        in_shape, out_shape, features, levels = self.spec.values()
        self._input = (1, 2)
        stages = [_convolution(1, features, 7)]
        for level in range(1, levels + 2):
            kernel = 7 if level == 1 else 5 if level <= 3 else 3
            stages.append(_stage(features << (level - 1), features << level, kernel, 2 if level <= levels else 1))
        self.encoder = nn.Sequential(*stages)
        self.decoder = nn.ModuleList(
            _stage(features << (level + 1), features << level, 3, 1) for level in reversed(range(1, levels + 1))
        )
        self.head = nn.Conv2d(2 * features, 1, 3, padding=1)

    def check(self, *inputs: torch.Tensor) -> None:
        """Raise unless the input is one batch of sinograms of that size in the precision of the weights.

        Raises
        ------
        InputError
            If the shape is another one.
        DtypeError
            If the tensor's dtype or device is not that of the weights.
        """
        super().check(*inputs)
        found, wanted = tuple(inputs[0].shape[2:]), self.spec["in_shape"]
        if found != wanted:
            raise InputError(f"x: expected sinograms of {wanted} (views, bins) for {self._name}, got {found}")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for input that has been checked."""
        h = self.encoder(x)
        bottom, levels = h.shape[2:], self.spec["levels"]
        for step, stage in enumerate(self.decoder, start=1):
            pairs = zip(bottom, self.spec["out_shape"], strict=True)
            size = [int(a * (b / a) ** (step / levels) + 0.5) for a, b in pairs]
            h = stage(nn.functional.interpolate(h, size, mode="bilinear"))
        return self.head(h)


def _convolution(before: int, width: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution with normalisation and ReLU."""
    conv = nn.Conv2d(before, width, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, normalisation("batch", width, 2), ReLU())


def _stage(before: int, width: int, kernel: int, stride: int) -> nn.Sequential:
    """Return four convolutions, of which the first changes channels and size."""
    return nn.Sequential(
        _convolution(before, width, kernel, stride), *(_convolution(width, width, 3) for _ in range(3))
    )
