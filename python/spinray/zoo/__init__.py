"""Tasks that networks learn from simulated data, each with its tuned rival, its metric and its bar."""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ImportError as _error:
    raise ImportError('spinray.zoo needs torch: pip install "spinray[torch]"') from _error

from ._report import Bar, Report, Sweep, sweep
from ._row import Row

__all__ = ["Bar", "Report", "Row", "Sweep", "sweep"]
