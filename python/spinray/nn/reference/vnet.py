"""V-Net: segmentation of volumes."""

from __future__ import annotations

import torch
from torch import nn

from ... import _checks
from ...errors import InputError
from ._architecture import Architecture, convolution, crop, pad_to_multiple
from ._layers import NORMS, normalisation

__all__ = ["VNet"]


class VNet(Architecture):
    """V-Net: residual stages of 5-wide convolutions, down by strided and up by transposed ones, joined by skips.

    The stage on level i has ``min(i + 1, 3)`` convolutions with PReLU and adds what came in to the last of them; the
    number of channels doubles from level to level. Output are scores (logits), one channel for each class. Sizes that
    are no multiple of ``2**levels`` are padded by their last slice, row and column, and the output is cropped.

    Parameters
    ----------
    in_channels
        Channels of the image; they divide `features`, since the first stage adds copies of them.
    out_channels
        Classes.
    features
        Channels of the first level.
    levels
        Number of reductions by 2.
    norm
        Before each PReLU: None as in the paper, ``"batch"``, ``"instance"`` or ``"group"``.
    dim
        2 for images (batch, channels, y, x), 3 for volumes (batch, channels, z, y, x).

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: fully convolutional neural networks for volumetric medical
       image segmentation", 3DV 2016; figure 2.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import VNet
    >>> VNet(features=4, levels=2)(torch.zeros(1, 1, 10, 16, 12)).shape
    torch.Size([1, 2, 10, 16, 12])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        *,
        features: int = 16,
        levels: int = 4,
        norm: str | None = None,
        dim: int = 3,
    ) -> None:
        super().__init__(
            in_channels=_checks.integer("in_channels", in_channels, minimum=1),
            out_channels=_checks.integer("out_channels", out_channels, minimum=1),
            features=_checks.integer("features", features, minimum=1),
            levels=_checks.integer("levels", levels, minimum=1),
            norm=_checks.choice("norm", norm, NORMS),
            dim=_checks.choice("dim", dim, (2, 3)),
        )
        in_channels, out_channels, features, levels, norm, dim = self.spec.values()
        if features % in_channels:
            raise InputError(f"in_channels: expected a divisor of features = {features}, got {in_channels}")
        self._input = (in_channels, dim)
        conv, up = convolution(dim), convolution(dim, transposed=True)
        widths = [features << level for level in range(levels + 1)]
        self.encoder = nn.ModuleList([_Stage(in_channels, features, 1, norm, dim)])
        for level in range(1, levels + 1):
            down = conv(widths[level - 1], widths[level], 2, 2)
            stage = _Stage(widths[level], widths[level], min(level + 1, 3), norm, dim)
            self.encoder.append(nn.Sequential(down, *_end(norm, widths[level], dim), stage))
        self.decoder = nn.ModuleList()
        before = widths[-1]
        for level in reversed(range(levels)):
            width = widths[level + 1]
            enlarge = nn.Sequential(up(before, widths[level], 2, 2), *_end(norm, widths[level], dim))
            self.decoder.append(nn.ModuleList([enlarge, _Stage(width, width, min(level + 1, 3), norm, dim)]))
            before = width
        self.head = conv(before, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores, of the size of the image."""
        self.check(x)
        return crop(self.compute(pad_to_multiple(x, 1 << self.spec["levels"])), x.shape[2:])

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for an image whose sizes are multiples of ``2**levels``."""
        skips = []
        h = x
        for stage in self.encoder:
            h = stage(h)
            skips.append(h)
        skips.pop()
        for level in self.decoder:
            up, stage = level.children()
            h = stage(torch.cat([up(h), skips.pop()], 1))
        return self.head(h)


def _end(norm: str | None, width: int, dim: int) -> list[nn.Module]:
    """Return what follows a convolution."""
    layers = [] if norm is None else [normalisation(norm, width, dim)]
    return [*layers, nn.PReLU(width)]


class _Stage(nn.Module):
    """Convolutions, to the last of which the input is added before its PReLU."""

    def __init__(self, before: int, width: int, convolutions: int, norm: str | None, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in [before] + [width] * (convolutions - 1):
            layers += [convolution(dim)(channels, width, 5, padding=2), *_end(norm, width, dim)]
        self.layers = nn.Sequential(*layers[:-1])
        self.last = layers[-1]
        self.copies = width // before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.layers(x)
        return self.last(h + (x if self.copies == 1 else torch.cat([x] * self.copies, 1)))
