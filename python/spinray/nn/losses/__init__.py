"""Losses: each a `torch.nn.Module` whose call returns one number, smaller for what is better.

Every loss is a mean over the batch, so that its weight beside another one depends on neither batch nor image size.
Images are (batch, channels, y, x), volumes (batch, channels, z, y, x): one loss serves both. For mean absolute and
mean squared differences take torch's own: ``torch.nn.L1Loss()``, ``torch.nn.MSELoss()``, and ``weight_decay`` of
the optimiser for the squared size of parameters.

SSIM, MS-SSIM, Dice, focal loss and local correlation are computed by MONAI (``pip install "spinray[monai]"``), with
this project's conventions around it; what MONAI does not have, or not as published, is computed here.

Examples
--------
>>> import torch
>>> from spinray.nn.losses import TVLoss
>>> TVLoss()(torch.tensor([[[[0.0, 2.0], [0.0, 2.0]]]]))
tensor(1.)
"""

from __future__ import annotations

from .adversarial import CriticLoss, CycleLoss, GeneratorLoss, GradientPenalty
from .differences import GradientDifferenceLoss, TVLoss
from .overlap import DiceLoss, FocalLoss, GeneralizedDiceLoss
from .poisson import PoissonLoss
from .similarity import LocalNCCLoss, MSSSIMLoss, SSIMLoss

__all__ = [
    "CriticLoss",
    "CycleLoss",
    "DiceLoss",
    "FocalLoss",
    "GeneralizedDiceLoss",
    "GeneratorLoss",
    "GradientDifferenceLoss",
    "GradientPenalty",
    "LocalNCCLoss",
    "MSSSIMLoss",
    "PoissonLoss",
    "SSIMLoss",
    "TVLoss",
]
