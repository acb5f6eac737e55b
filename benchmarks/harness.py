"""Timing, memory and the machine: what every benchmark script shares."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def best(call: Callable[[], object], runs: int = 5, budget: float = 4.0) -> float:
    """Best wall time of `runs` calls after a warm-up, stopping when `budget` seconds are spent."""
    call()
    times: list[float] = []
    while len(times) < runs and (len(times) < 2 or sum(times) < budget):
        times.append(seconds(call))
    return min(times)


def race(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    before: Callable[[], object] = lambda: None,
    runs: int = 5,
    budget: float = 10.0,
    clock: Callable[[], float] | None = None,
) -> tuple[float, float]:
    """Best wall times of both, run in turn so that neither has the quieter machine.

    One warm-up each; `before` (untimed) readies the peer; at least one round, then until `budget` seconds are spent.
    A round is two calls of each, one right after the other: memory freed while the other side ran may have gone back
    to the system, and only the second call finds its own still mapped. `clock`, where the peer has one, says what its
    last call took in its own view. `runs=1` is for peers of most of a minute: no warm-up for them, one shot, three
    for us.
    """

    def timed(call: Callable[[], object]) -> float:
        before()
        wall = seconds(call)
        return clock() if clock else wall

    if runs == 1:
        return best(ours, 3), timed(theirs)
    ours()
    timed(theirs)
    mine: list[float] = []
    other: list[float] = []
    while len(mine) < 2 * runs and (len(mine) < 2 or sum(mine) + sum(other) < budget):
        gc.collect()
        mine += [seconds(ours), seconds(ours)]
        other += [timed(theirs), timed(theirs)]
    return min(mine), min(other)


def row(
    workload: str,
    against: str,
    threads: int,
    ours_s: float | None,
    theirs_s: float | None,
    must: float | None = None,
    aim: float | None = None,
    accuracy: str = "",
) -> dict[str, Any]:
    """One line of the table; `ratio` = theirs / ours, None when either is missing."""
    ratio = theirs_s / ours_s if ours_s and theirs_s else None
    return {
        "workload": workload,
        "against": against,
        "threads": threads,
        "ours_s": ours_s,
        "theirs_s": theirs_s,
        "ratio": ratio,
        "must": must,
        "aim": aim,
        "accuracy": accuracy,
    }


def child(script: str, *arguments: str, **environment: str) -> Any:
    """What `script` (beside this file) prints as JSON on its last line, run in a fresh process."""
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def resident(peak: bool) -> int:
    """Bytes of this process in memory, now or at most; away from Linux always the most."""
    status = Path("/proc/self/status")
    if status.exists():
        key = "VmHWM" if peak else "VmRSS"
        line = next(text for text in status.read_text().splitlines() if text.startswith(key))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def extra_peak_memory(call: Callable[[], Any]) -> int:
    """Bytes of peak memory of one call beyond what was resident before it and the array it returns."""
    gc.collect()
    # tells Linux to start the high-water mark anew
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before = resident(peak=False)
    result = call()
    return max(0, resident(peak=True) - before - int(result.nbytes))


def machine() -> str:
    """CPU model, cores in use and the instruction set spinray chose."""
    import spinray._core as core

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, {core.simd_level()}"
