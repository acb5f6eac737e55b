"""U-Net in two and three dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from ... import _checks
from ...errors import InputError
from ._architecture import Architecture, convolution, crop, pad_to_multiple
from ._layers import NORMS, LeakyReLU, ReLU, boolean, normalisation

__all__ = ["UNet"]


class UNet(Architecture):
    r"""U-Net: an encoder and a decoder of equal depth, joined by skips on every level.

    With `residual` the input is added to the output, which makes it FBPConvNet [2]_; with `attention` every skip is
    weighted by a gate that looks at the level below [3]_. Sizes that are no multiple of ``2**levels`` are padded by
    their last row and column, and the output is cropped.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the image that comes in and of the one that goes out.
    features
        Channels of the first level, each level below having twice as many; or those of all ``levels + 1``.
    levels
        Number of poolings.
    norm
        After each convolution: ``"batch"``, ``"instance"`` or ``"group"`` (8 groups) normalisation, or None.
    slope
        What a ReLU makes of negative values: times this number; 0.1 in MONAI's BasicUNet (see `from_monai`).
    residual
        Add the input to the output; needs as many channels out as in, or one out (the first one in is added).
    attention
        Gate the skips.
    dim
        2 for images (batch, channels, y, x), 3 for volumes (batch, channels, z, y, x).

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image segmentation",
       MICCAI 2015; with padded convolutions. 31.0 million parameters at 64 features and 4 levels.
    .. [2] K. H. Jin, M. T. McCann, E. Froustey, M. Unser, "Deep convolutional neural network for inverse problems in
       imaging", IEEE Trans. Image Process. 26 (2017) 4509.
    .. [3] O. Oktay et al., "Attention U-Net: learning where to look for the pancreas", MIDL 2018.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import UNet
    >>> network = UNet(1, 1, features=8, levels=2)
    >>> network(torch.zeros(4, 1, 30, 32)).shape
    torch.Size([4, 1, 30, 32])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        features: int | Sequence[int] = 64,
        levels: int = 4,
        norm: str | None = "batch",
        slope: float = 0.0,
        residual: bool = False,
        attention: bool = False,
        dim: int = 2,
    ) -> None:
        super().__init__(
            in_channels=_checks.integer("in_channels", in_channels, minimum=1),
            out_channels=_checks.integer("out_channels", out_channels, minimum=1),
            features=_widths(features),
            levels=_checks.integer("levels", levels, minimum=1),
            norm=_checks.choice("norm", norm, NORMS),
            slope=_checks.positive("slope", slope, allow_zero=True),
            residual=boolean("residual", residual),
            attention=boolean("attention", attention),
            dim=_checks.choice("dim", dim, (2, 3)),
        )
        in_channels, out_channels, features, levels, norm, slope, residual, attention, dim = self.spec.values()
        if residual and out_channels not in (1, in_channels):
            raise InputError(
                f"residual: expected out_channels 1 or {in_channels}, to add the input to, got {out_channels}"
            )
        self._input = (in_channels, dim)
        widths = [features << level for level in range(levels + 1)] if isinstance(features, int) else list(features)
        if len(widths) != levels + 1:
            raise InputError(f"features: expected an integer, or {levels + 1} for {levels} levels, got {features}")
        self.encoder = nn.ModuleList(
            _Block(*pair, norm, slope, dim) for pair in itertools.pairwise([in_channels, *widths])
        )
        pairs = itertools.pairwise(reversed(widths))
        self.decoder = nn.ModuleList(_Up(*pair, norm, slope, attention, dim) for pair in pairs)
        self.head = convolution(dim)(widths[0], out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output image, of the size of the input image."""
        self.check(x)
        return crop(self.compute(pad_to_multiple(x, 1 << self.spec["levels"])), x.shape[2:])

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for an image whose sizes are multiples of ``2**levels``."""
        pool = nn.functional.max_pool2d if self.spec["dim"] == 2 else nn.functional.max_pool3d
        skips = []
        h = self.encoder[0](x)
        for block in self.encoder[1:]:
            skips.append(h)
            h = block(pool(h, 2))
        for up in self.decoder:
            h = up(h, skips.pop())
        y = self.head(h)
        return y + x[:, : y.shape[1]] if self.spec["residual"] else y


def _widths(features: int | Sequence[int]) -> int | tuple[int, ...]:
    if isinstance(features, Sequence):
        return _checks.shape("features", features)
    return _checks.integer("features", features, minimum=1)


class _Block(nn.Sequential):
    """Two convolutions, each with normalisation and ReLU."""

    def __init__(self, before: int, width: int, norm: str | None, slope: float, dim: int) -> None:
        layers: list[nn.Module] = []
        for channels in (before, width):
            layers.append(convolution(dim)(channels, width, 3, padding=1, bias=norm is None))
            if norm is not None:
                layers.append(normalisation(norm, width, dim))
            layers.append(LeakyReLU(slope) if slope else ReLU())
        super().__init__(*layers)


class _Up(nn.Module):
    """From a level to the one above, with its skip."""

    def __init__(self, before: int, width: int, norm: str | None, slope: float, attention: bool, dim: int) -> None:
        super().__init__()
        self.up = convolution(dim, transposed=True)(before, width, 2, stride=2)
        self.gate = _Gate(width, dim) if attention else None
        self.block = _Block(2 * width, width, norm, slope, dim)

    def forward(self, h: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        h = self.up(h)
        if self.gate is not None:
            skip = self.gate(skip, h)
        return self.block(torch.cat([skip, h], 1))


class _Gate(nn.Module):
    """Additive attention: skip * sigmoid(w . relu(a skip + b h)), Oktay 2018 equations 1 and 2 after up-sampling."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        inner = max(width // 2, 1)
        self.skip = convolution(dim)(width, inner, 1)
        self.signal = convolution(dim)(width, inner, 1, bias=False)
        self.weight = convolution(dim)(inner, 1, 1)

    def forward(self, skip: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return skip * torch.sigmoid(self.weight(torch.relu(self.skip(skip) + self.signal(h))))
