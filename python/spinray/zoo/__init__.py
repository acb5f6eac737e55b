"""Tasks that networks learn from simulated data, each with its tuned rival, its metric and its bar.

``spinray.zoo.I3`` is the row of that id, and `rows` are all of them; `run` trains one, tunes its rival and reports;
``make zoo``, or ``python -m spinray.zoo``, runs all.
"""

from __future__ import annotations

from typing import Any

try:
    import torch as _torch  # noqa: F401  only to see that it is there
except ImportError as _error:
    raise ImportError('spinray.zoo needs torch: pip install "spinray[torch]"') from _error

from ._report import Bar, Report, Sweep, sweep
from ._row import Row
from ._rows import row, rows, run

__all__ = ["Bar", "Report", "Row", "Sweep", "row", "rows", "run", "sweep"]


def __getattr__(name: str) -> Any:
    if name in rows():
        return rows()[name]
    raise AttributeError(f"module 'spinray.zoo' has no attribute {name!r}, and no row of that id: {', '.join(rows())}")
