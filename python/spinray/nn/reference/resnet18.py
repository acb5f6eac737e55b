"""ResNet-18, a classifier."""

from __future__ import annotations

import torch
from torch import nn

from ... import _checks
from ._architecture import Architecture, convolution
from ._layers import normalisation, relu

__all__ = ["ResNet18"]

#: Stages, each of half the size and twice the channels of the one before; blocks in each.
_STAGES, _BLOCKS = 4, 2


class ResNet18(Architecture):
    """Residual classifier of 18 layers: image in, one score (logit) for each class out, shape (batch, classes).

    Names and shapes of the weights are torchvision's: with three channels, 1000 classes and two dimensions its state
    dict of ``resnet18`` loads as it is. 11,689,512 parameters then.

    Parameters
    ----------
    in_channels
        Channels of the image.
    classes
        Scores that come out.
    dim
        2 for images (batch, channels, y, x), 3 for volumes (batch, channels, z, y, x).

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016; table 1.
    .. [2] K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015: the weights at the start.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import ResNet18
    >>> network = ResNet18(in_channels=1, classes=2)
    >>> network(torch.zeros(4, 1, 64, 64)).shape
    torch.Size([4, 2])
    """

    def __init__(self, in_channels: int = 3, classes: int = 1000, *, dim: int = 2) -> None:
        super().__init__(
            in_channels=_checks.integer("in_channels", in_channels, minimum=1),
            classes=_checks.integer("classes", classes, minimum=1),
            dim=_checks.choice("dim", dim, (2, 3)),
        )
        in_channels, classes, dim = self.spec.values()
        self._input = (in_channels, dim)
        self.conv1 = convolution(dim)(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = normalisation("batch", 64, dim)
        before = 64
        for stage in range(_STAGES):
            width = 64 << stage
            blocks = [_Block(before, width, dim), *(_Block(width, width, dim) for _ in range(_BLOCKS - 1))]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            before = width
        self.fc = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, convolution(dim)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for input that has been checked."""
        pool = nn.functional.max_pool2d if self.spec["dim"] == 2 else nn.functional.max_pool3d
        h = pool(relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(_STAGES):
            h = self.get_submodule(f"layer{stage + 1}")(h)
        return self.fc(h.mean(tuple(range(2, h.ndim))))


class _Block(nn.Module):
    """Two convolutions, added to the input, which a 1-wide convolution halves where the width grows."""

    def __init__(self, before: int, width: int, dim: int) -> None:
        super().__init__()
        conv = convolution(dim)
        stride = 1 if before == width else 2
        self.conv1 = conv(before, width, 3, stride, 1, bias=False)
        self.bn1 = normalisation("batch", width, dim)
        self.conv2 = conv(width, width, 3, 1, 1, bias=False)
        self.bn2 = normalisation("batch", width, dim)
        self.downsample = None
        if stride == 2:
            self.downsample = nn.Sequential(
                conv(before, width, 1, stride, bias=False), normalisation("batch", width, dim)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(h + (x if self.downsample is None else self.downsample(x)))
