"""Networks of medical imaging: ordinary ``torch.nn.Module`` objects whose forward pass runs in Rust on LibTorch.

Weights belong to PyTorch: optimisers, schedulers, state dicts, copies, pickles, ``.to``, autocast, checkpointing and
distributed training work as with any module. Where ``spinray._torch`` is not built for the installed torch, and under
``torch.compile`` and ``torch.func``, the same networks run in plain PyTorch (`spinray.nn.reference`).
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401  first: the native module finds LibTorch in it
except ImportError as _error:
    raise ImportError('spinray.nn needs torch: pip install "spinray[torch]"') from _error

from . import explain, losses, reference, uncertainty
from ._monai import from_monai
from ._native import Native
from .reference.voxelmorph import exponential, warp

__all__ = [
    "AUTOMAP",
    "LEARN",
    "MLP",
    "REDCNN",
    "SRCNN",
    "ComplexMLP",
    "ConvAutoencoder",
    "DeepPET",
    "DnCNN",
    "FBPNet",
    "LearnedPrimalDual",
    "MoDL",
    "PatchGAN",
    "ResNet18",
    "ResNetDenoiser",
    "ResidualGenerator",
    "SignalCNN",
    "UNet",
    "VNet",
    "VoxelMorph",
    "explain",
    "exponential",
    "from_monai",
    "losses",
    "reference",
    "uncertainty",
    "warp",
]


class AUTOMAP(Native, reference.AUTOMAP):
    pass


class ComplexMLP(Native, reference.ComplexMLP):
    pass


class ConvAutoencoder(Native, reference.ConvAutoencoder):
    pass


class DeepPET(Native, reference.DeepPET):
    pass


class DnCNN(Native, reference.DnCNN):
    pass


class FBPNet(Native, reference.FBPNet):
    pass


class LEARN(Native, reference.LEARN):
    pass


class LearnedPrimalDual(Native, reference.LearnedPrimalDual):
    pass


class MLP(Native, reference.MLP):
    pass


class MoDL(Native, reference.MoDL):
    pass


class PatchGAN(Native, reference.PatchGAN):
    pass


class REDCNN(Native, reference.REDCNN):
    pass


class ResNet18(Native, reference.ResNet18):
    pass


class ResNetDenoiser(Native, reference.ResNetDenoiser):
    pass


class ResidualGenerator(Native, reference.ResidualGenerator):
    pass


class SRCNN(Native, reference.SRCNN):
    pass


class SignalCNN(Native, reference.SignalCNN):
    pass


class UNet(Native, reference.UNet):
    pass


class VNet(Native, reference.VNet):
    pass


class VoxelMorph(Native, reference.VoxelMorph):
    pass
