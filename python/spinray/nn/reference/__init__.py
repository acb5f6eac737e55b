"""The networks in plain PyTorch: one file each, with the paper.

They are what `spinray.nn` falls back to, what ``torch.compile`` and ``torch.export`` see, and what its tests compare
the Rust networks with: same arguments, same names in the state dict, same outputs and gradients.
"""

from __future__ import annotations

from .automap import AUTOMAP
from .complex_mlp import ComplexMLP
from .conv_autoencoder import ConvAutoencoder
from .deep_pet import DeepPET
from .dncnn import DnCNN
from .fbpnet import FBPNet
from .learn import LEARN
from .learned_primal_dual import LearnedPrimalDual
from .mlp import MLP
from .modl import MoDL
from .patchgan import PatchGAN
from .redcnn import REDCNN
from .residual_generator import ResidualGenerator
from .resnet18 import ResNet18
from .resnet_denoiser import ResNetDenoiser
from .signal_cnn import SignalCNN
from .srcnn import SRCNN
from .unet import UNet
from .vnet import VNet
from .voxelmorph import VoxelMorph

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
]
