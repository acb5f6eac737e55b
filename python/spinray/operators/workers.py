"""One thread inside DataLoader workers, whose siblings already fill the machine.

A forked worker gets it from the thread pool itself, which knows the process that loaded it. A spawned one is a fresh
process like any other; torch alone knows that it is a worker.
"""

from __future__ import annotations

import os
import sys

from .. import _core

__all__ = ["one_thread_in_workers"]

_checked_process = 0


def one_thread_in_workers() -> None:
    """Limit this process to one thread if it is a DataLoader worker that has not chosen otherwise; then remember."""
    global _checked_process
    process = os.getpid()
    if process == _checked_process:
        return
    _checked_process = process
    data = sys.modules.get("torch.utils.data")
    if data is not None and data.get_worker_info() is not None and not _core.pool_is_started():
        _core.set_num_threads(1)
