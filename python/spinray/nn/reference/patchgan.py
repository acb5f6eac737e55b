"""PatchGAN: a critic that judges patches."""

from __future__ import annotations

import torch
from torch import nn

from ... import _checks
from ._architecture import Architecture, convolution
from ._layers import NORMS, LeakyReLU, normalisation

__all__ = ["PatchGAN"]


class PatchGAN(Architecture):
    """Critic of a generative adversarial network: one number for each patch of the image, without sigmoid.

    4-wide convolutions with leaky ReLU (slope 0.2): `layers` of stride 2 and two of stride 1. With three layers each
    number sees 70 x 70 pixels. A conditional critic (pix2pix) takes the two images as channels: 2.77 million
    parameters for twice three channels [1]_.

    Parameters
    ----------
    in_channels
        Channels of the image, or of the images together.
    features
        Channels after the first convolution; doubled by each of the next three at most.
    layers
        Number of convolutions of stride 2.
    norm
        After each convolution but the first and the last: ``"batch"`` as in pix2pix, ``"instance"`` as in CycleGAN
        [2]_, ``"group"``, or None for a gradient penalty, which wants independent samples [3]_.
    dim
        2 for images (batch, channels, y, x), 3 for volumes (batch, channels, z, y, x).

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, "Image-to-image translation with conditional adversarial
       networks", CVPR 2017.
    .. [2] J.-Y. Zhu, T. Park, P. Isola, A. A. Efros, "Unpaired image-to-image translation using cycle-consistent
       adversarial networks", ICCV 2017.
    .. [3] I. Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import PatchGAN
    >>> PatchGAN(2, features=8)(torch.zeros(1, 2, 256, 256)).shape
    torch.Size([1, 1, 30, 30])
    """

    def __init__(
        self,
        in_channels: int = 1,
        *,
        features: int = 64,
        layers: int = 3,
        norm: str | None = "batch",
        dim: int = 2,
    ) -> None:
        super().__init__(
            in_channels=_checks.integer("in_channels", in_channels, minimum=1),
            features=_checks.integer("features", features, minimum=1),
            layers=_checks.integer("layers", layers, minimum=1),
            norm=_checks.choice("norm", norm, NORMS),
            dim=_checks.choice("dim", dim, (2, 3)),
        )
        in_channels, features, layers, norm, dim = self.spec.values()
        self._input = (in_channels, dim)
        self._least = 3 << layers
        conv = convolution(dim)
        widths = [features * min(1 << i, 8) for i in range(layers + 1)]
        stack: list[nn.Module] = [conv(in_channels, features, 4, 2, 1), LeakyReLU(0.2)]
        for i in range(1, layers + 1):
            stride = 2 if i < layers else 1
            stack.append(conv(widths[i - 1], widths[i], 4, stride, 1, bias=norm is None))
            if norm is not None:
                stack.append(normalisation(norm, widths[i], dim))
            stack.append(LeakyReLU(0.2))
        self.layers = nn.Sequential(*stack, conv(widths[-1], 1, 4, 1, 1))

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for input that has been checked."""
        return self.layers(x)
