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
from ._native import Native

__all__ = ["UNet", "explain", "losses", "reference", "uncertainty"]


class UNet(Native, reference.UNet):
    pass
