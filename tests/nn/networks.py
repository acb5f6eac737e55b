"""The networks of the shared tests: a small one of each kind, and an input for it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from spinray import nn


@dataclass(frozen=True)
class Case:
    """A network, and the shape(s) of its input."""

    make: Callable[..., torch.nn.Module]
    shapes: tuple[tuple[int, ...], ...]

    def network(self, **options) -> torch.nn.Module:
        torch.manual_seed(1)
        return self.make(**options)

    def inputs(self, dtype=torch.float32) -> tuple[torch.Tensor, ...]:
        generator = torch.Generator().manual_seed(2)
        return tuple(torch.randn(shape, generator=generator, dtype=dtype) for shape in self.shapes)


def case(make, *shapes):
    return Case(make, shapes)


CASES = {
    "unet": case(lambda **k: nn.UNet(2, 3, features=4, levels=2, **k), (2, 2, 16, 12)),
    "unet padded": case(lambda **k: nn.UNet(1, 1, features=4, levels=2, norm=None, **k), (1, 1, 13, 18)),
    "unet residual": case(lambda **k: nn.UNet(1, 1, features=4, levels=2, residual=True, **k), (2, 1, 16, 16)),
    "unet attention": case(
        lambda **k: nn.UNet(1, 2, features=4, levels=1, norm="instance", attention=True, **k), (2, 1, 8, 8)
    ),
    "unet 3d": case(lambda **k: nn.UNet(1, 1, features=4, levels=1, norm="group", dim=3, **k), (1, 1, 6, 8, 4)),
}
