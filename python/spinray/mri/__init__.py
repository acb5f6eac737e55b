"""Magnetic resonance: fingerprinting (`mrf`) and the relaxation times of tissues (`tissues`)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spinray.mri import mrf, tissues

__all__ = ["mrf", "tissues"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'spinray.mri' has no attribute {name!r}")
    return importlib.import_module(f"spinray.mri.{name}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
