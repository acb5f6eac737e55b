"""Training of any ``torch.nn.Module``: one function, `fit`, its `Config`, and a `History` of what happened.

Same seed, same bits; what is interrupted goes on from a `Checkpoint` as if it had not been.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401  only to see that it is there
except ImportError as _error:
    raise ImportError('spinray.training needs torch: pip install "spinray[torch]"') from _error

# One import for each module, in alphabetical order; each name also into __all__.
from .augment import (
    Augment,
    Augmented,
    Elastic,
    Flip,
    GaussianNoise,
    Intensity,
    RightAngles,
    Rotate,
    SaltAndPepper,
)
from .balance import class_weights
from .callbacks import Callback, MLflow, TensorBoard
from .checkpoint import Checkpoint, load_weights
from .config import Config
from .fit import fit
from .history import History
from .run import Run
from .search import Choice, Integers, LogUniform, Uniform, hyperband, search
from .simulated import Simulated
from .splits import k_fold
from .transfer import freeze, unfreeze

__all__ = [
    "Augment",
    "Augmented",
    "Callback",
    "Checkpoint",
    "Choice",
    "Config",
    "Elastic",
    "Flip",
    "GaussianNoise",
    "History",
    "Integers",
    "Intensity",
    "LogUniform",
    "MLflow",
    "RightAngles",
    "Rotate",
    "Run",
    "SaltAndPepper",
    "Simulated",
    "TensorBoard",
    "Uniform",
    "class_weights",
    "fit",
    "freeze",
    "hyperband",
    "k_fold",
    "load_weights",
    "search",
    "unfreeze",
]
