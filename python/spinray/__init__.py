"""spinray: MRI spins and CT/PET/SPECT rays in one toolkit.

Subpackages and public names load on first use, so that ``import spinray`` stays fast and never imports
torch; ``spinray.ct``, ``spinray.io`` and the others work without an import of their own.

Examples
--------
>>> import spinray
>>> grid = spinray.Grid((64, 64), spacing=2.0)
>>> grid.ndim
2
"""

import importlib
import logging
import sys
from typing import TYPE_CHECKING, Any

from spinray import _core

if TYPE_CHECKING:
    from spinray import (
        ct,
        data,
        demo,
        errors,
        io,
        mri,
        nn,
        operators,
        phantoms,
        regularizers,
        solvers,
        testing,
        training,
        transport,
        viz,
        zoo,
    )
    from spinray.config import get_num_threads, set_num_threads, show_config
    from spinray.grid import Grid, Volume
    from spinray.operators import LinearOperator

    __version__: str

__all__ = [
    "Grid",
    "LinearOperator",
    "Volume",
    "__version__",
    "ct",
    "data",
    "demo",
    "errors",
    "get_num_threads",
    "io",
    "mri",
    "nn",
    "operators",
    "phantoms",
    "regularizers",
    "set_num_threads",
    "show_config",
    "solvers",
    "testing",
    "training",
    "transport",
    "viz",
    "zoo",
]

# Public name -> the module that defines it; every other entry of __all__ is a module itself.
_HOME = {
    "Grid": "spinray.grid",
    "LinearOperator": "spinray.operators",
    "Volume": "spinray.grid",
    "get_num_threads": "spinray.config",
    "set_num_threads": "spinray.config",
    "show_config": "spinray.config",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("spinray")
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in __all__:
        value = importlib.import_module(f"spinray.{name}")
    else:
        raise AttributeError(f"module 'spinray' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


def _is_worker() -> bool:
    """Whether multiprocessing started this process; also true while it still unpickles what to run."""
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return False
    return process.parent_process() is not None or getattr(process.current_process(), "_inheriting", False)


logging.getLogger("spinray").addHandler(logging.NullHandler())

# The library tells a process forked after this import by itself. One that multiprocessing has started
# before looks like any other from there, but shares the machine with its siblings too.
if _is_worker():
    _core.set_num_threads(1)
