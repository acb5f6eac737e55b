"""The networks in plain PyTorch: one file each, with the paper.

They are what `spinray.nn` falls back to, what ``torch.compile`` and ``torch.export`` see, and what its tests compare
the Rust networks with: same arguments, same names in the state dict, same outputs and gradients.
"""

from __future__ import annotations

from .unet import UNet

__all__ = ["UNet"]
