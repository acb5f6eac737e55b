"""The networks of the shared tests: a small one of each kind, and an input for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from spinray import Grid, ct, nn


@dataclass(frozen=True)
class Case:
    """A network, and the shape(s) of its input."""

    make: Callable[..., torch.nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    is_complex: bool = False

    def network(self, **options) -> torch.nn.Module:
        torch.manual_seed(1)
        return self.make(**options)

    def inputs(self, dtype=torch.float32) -> tuple[torch.Tensor, ...]:
        generator = torch.Generator().manual_seed(2)
        dtype = dtype.to_complex() if self.is_complex else dtype
        return tuple(torch.randn(shape, generator=generator, dtype=dtype) for shape in self.shapes)


def case(make, *shapes, **options):
    return Case(make, shapes, **options)


def moving(network):
    """A VoxelMorph that moves pixels from the start."""
    torch.nn.init.normal_(network.flow.weight, std=0.3)
    return network


SCAN = ct.ParallelBeam(Grid((12, 10), 2.0), np.linspace(0, np.pi, 9, endpoint=False), 15, 2.0)
_CONE = ct.ConeBeam(Grid((4, 6, 5), 2.0), np.linspace(0, 2 * np.pi, 5, endpoint=False), (5, 8), 3.0, sod=40, sdd=60)

#: The large ones have layers of more than 2^16 numbers, which Rust turns over in memory (channels last).
CASES = {
    "unet": case(lambda **k: nn.UNet(2, 3, features=4, levels=2, **k), (2, 2, 16, 12)),
    "unet padded": case(lambda **k: nn.UNet(1, 1, features=4, levels=2, norm=None, **k), (1, 1, 13, 18)),
    "unet residual": case(lambda **k: nn.UNet(1, 1, features=4, levels=2, residual=True, **k), (2, 1, 16, 16)),
    "unet attention": case(
        lambda **k: nn.UNet(1, 2, features=4, levels=1, norm="instance", attention=True, **k), (2, 1, 8, 8)
    ),
    "unet of widths": case(
        lambda **k: nn.UNet(1, 2, features=(4, 4, 6), levels=2, norm="instance", slope=0.1, **k), (2, 1, 8, 12)
    ),
    "unet large": case(lambda **k: nn.UNet(1, 3, features=8, levels=2, **k), (1, 1, 136, 132)),
    "unet 3d": case(lambda **k: nn.UNet(1, 1, features=4, levels=1, norm="group", dim=3, **k), (1, 1, 6, 8, 4)),
    "mlp": case(lambda **k: nn.MLP(7, 3, hidden=(20, 10), dropout=0.2, **k), (4, 5, 7)),
    "mlp drone": case(
        lambda **k: nn.MLP(7, 2, hidden=(20, 20), activation="tanh", output_activation="sigmoid", **k), (5, 7)
    ),
    "mlp linear": case(lambda **k: nn.MLP(7, 2, hidden=(), output_activation="softplus", **k), (5, 7)),
    "complex mlp": case(lambda **k: nn.ComplexMLP(7, 3, hidden=(20, 10), **k), (4, 7), is_complex=True),
    "srcnn": case(lambda **k: nn.SRCNN(2, features=(8, 6), kernels=(5, 1, 3), **k), (2, 2, 9, 12)),
    "dncnn": case(lambda **k: nn.DnCNN(1, depth=5, features=6, **k), (2, 1, 9, 12)),
    "dncnn large": case(lambda **k: nn.DnCNN(1, depth=4, features=8, **k), (1, 1, 136, 132)),
    "dncnn 3d": case(lambda **k: nn.DnCNN(2, depth=3, features=4, dim=3, **k), (1, 2, 5, 6, 4)),
    "redcnn": case(lambda **k: nn.REDCNN(1, features=4, **k), (2, 1, 25, 23)),
    "resnet denoiser": case(lambda **k: nn.ResNetDenoiser(2, features=6, blocks=2, **k), (2, 2, 9, 12)),
    "resnet denoiser 3d": case(lambda **k: nn.ResNetDenoiser(1, features=4, blocks=1, dim=3, **k), (1, 1, 5, 6, 4)),
    "patchgan": case(lambda **k: nn.PatchGAN(2, features=4, layers=2, **k), (2, 2, 24, 28)),
    "patchgan 3d": case(lambda **k: nn.PatchGAN(1, features=4, layers=1, norm=None, dim=3, **k), (2, 1, 8, 8, 6)),
    "residual generator": case(lambda **k: nn.ResidualGenerator(1, 2, features=4, blocks=2, **k), (2, 1, 16, 12)),
    "residual generator padded": case(
        lambda **k: nn.ResidualGenerator(features=4, blocks=1, norm="batch", **k), (2, 1, 10, 13)
    ),
    "resnet18": case(lambda **k: nn.ResNet18(2, 3, **k), (2, 2, 40, 36)),
    "vnet": case(lambda **k: nn.VNet(features=2, levels=2, **k), (1, 1, 8, 4, 6)),
    "vnet 2d": case(lambda **k: nn.VNet(2, 3, features=4, levels=3, norm="batch", dim=2, **k), (2, 2, 16, 24)),
    "autoencoder": case(lambda **k: nn.ConvAutoencoder(2, features=4, levels=2, code=3, **k), (2, 2, 10, 12)),
    "autoencoder 3d": case(lambda **k: nn.ConvAutoencoder(features=4, levels=1, dim=3, **k), (1, 1, 4, 6, 5)),
    "signal": case(lambda **k: nn.SignalCNN(2, 3, features=(4, 6), bins=3, dropout=0.1, **k), (3, 2, 37)),
    "automap": case(lambda **k: nn.AUTOMAP(12, (4, 6), features=3, **k), (3, 12)),
    "deep pet": case(lambda **k: nn.DeepPET((20, 26), (16, 12), features=2, levels=2, **k), (2, 1, 20, 26)),
    "voxelmorph": case(
        lambda **k: moving(nn.VoxelMorph((12, 14), encoder=(4, 6), decoder=(6, 4, 4), steps=3, **k)),
        *2 * [(2, 1, 12, 14)],
    ),
    "voxelmorph 3d": case(
        lambda **k: moving(nn.VoxelMorph((6, 8, 5), encoder=(4,), decoder=(4,), steps=0, **k)), *2 * [(1, 1, 6, 8, 5)]
    ),
    "fbp": case(lambda **k: nn.FBPNet(SCAN, **k), (2, 1, 9, 15)),
    "fbp 3d": case(lambda **k: nn.FBPNet(_CONE, relu=True, **k), (1, 1, 5, 5, 8)),
    "learn": case(lambda **k: nn.LEARN(SCAN, steps=3, features=4, **k), (2, 1, 9, 15)),
    "learn 3d": case(lambda **k: nn.LEARN(_CONE, steps=2, features=3, kernel=3, **k), (1, 1, 5, 5, 8)),
    "primal-dual": case(lambda **k: nn.LearnedPrimalDual(SCAN, steps=2, memory=3, features=4, **k), (2, 1, 9, 15)),
    "primal-dual 3d": case(
        lambda **k: nn.LearnedPrimalDual(
            2 * _CONE, steps=2, memory=1, features=3, start=ct.FilteredBackprojection(_CONE), **k
        ),
        (1, 1, 5, 5, 8),
    ),
    "modl": case(lambda **k: nn.MoDL(SCAN, steps=2, features=4, layers=3, cg_steps=4, **k), (2, 1, 9, 15)),
    "modl 3d": case(
        lambda **k: nn.MoDL(_CONE, steps=2, features=3, layers=2, cg_steps=3, start=_CONE.H, **k), (1, 1, 5, 5, 8)
    ),
}
