"""Three convolutions: the first network for image restoration."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ... import _checks
from ...errors import InputError
from ._architecture import Architecture
from ._layers import relu

__all__ = ["SRCNN"]


class SRCNN(Architecture):
    """Three-layer convolutional network: patches to features, features to features, features to image.

    Made for super-resolution [1]_ and the first network for low-dose CT [2]_. Images are padded by zeros and keep
    their size. 8129 parameters as in the paper's 9-1-5 setting, 57281 with ``kernels=(9, 5, 5)``.

    Parameters
    ----------
    channels
        Channels of the image, in and out.
    features
        Channels after the first and after the second layer.
    kernels
        Widths of the three kernels, odd.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] C. Dong, C. C. Loy, K. He, X. Tang, "Image super-resolution using deep convolutional networks", IEEE Trans.
       Pattern Anal. Mach. Intell. 38 (2016) 295.
    .. [2] H. Chen et al., "Low-dose CT via convolutional neural network", Biomed. Opt. Express 8 (2017) 679.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import SRCNN
    >>> SRCNN()(torch.zeros(2, 1, 33, 33)).shape
    torch.Size([2, 1, 33, 33])
    """

    def __init__(
        self, channels: int = 1, *, features: Sequence[int] = (64, 32), kernels: Sequence[int] = (9, 1, 5)
    ) -> None:
        super().__init__(
            channels=_checks.integer("channels", channels, minimum=1),
            features=_checks.shape("features", features, ndim=2),
            kernels=_checks.shape("kernels", kernels, ndim=3),
        )
        channels, features, kernels = self.spec.values()
        if any(kernel % 2 == 0 for kernel in kernels):
            raise InputError(f"kernels: expected odd widths, to keep the size of the image, got {tuple(kernels)}")
        self._input = (channels, 2)
        widths = (channels, *features, channels)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, width, kernel, padding=kernel // 2)
            for before, width, kernel in zip(widths, widths[1:], kernels, strict=False)
        )

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for input that has been checked."""
        *inner, last = self.layers
        for layer in inner:
            x = relu(layer(x))
        return last(x)
