"""What spinray costs by itself: instruction sets, threads, memory, size, import. Each number from a fresh process."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness import best, child, extra_peak_memory
from workloads import WORKLOADS, Workload

LEVELS = ("avx512", "avx2", "portable")
TASKS = ("forward", "back", "fbp")
MIB = 2.0**20


def ready(workload: Workload, task: str, threads: int) -> Any:
    """The call that does `task` of `workload` on `threads` threads; the data need not be a real scan's."""
    import numpy as np

    import ct
    import spinray

    spinray.set_num_threads(threads)
    projections = np.zeros((workload.n_views, *workload.detector), np.float32)
    projections[:] = np.linspace(0.5, 1.0, workload.detector[-1], dtype=np.float32)
    image = np.ones(workload.shape, np.float32)
    return ct.task_of(workload.operator(), task, image, projections)


def sized(n: int, dimensions: int) -> Workload:
    """W1 or W3 scaled to n voxels a side, views and detector in proportion."""
    if dimensions == 2:
        return replace(WORKLOADS["W1"], shape=(n, n), n_views=n * 720 // 512, detector=(n * 729 // 512,))
    d = n * 3 // 2
    return replace(
        WORKLOADS["W3"], shape=(n, n, n), n_views=n * 180 // 128, detector=(d, d), sod=n * 500 / 128, sdd=n * 1000 / 128
    )


def measure(what: str, name: str, task: str, threads: int) -> Any:
    """One number (or pair), as the child process prints it."""
    if what == "import":
        start = time.perf_counter()
        import spinray  # noqa: F401  importing is what is timed

        return time.perf_counter() - start
    if what == "memory":
        workload = WORKLOADS[name]
        # a tiny scan first: the pool's stacks and the library's pages are not the call's
        tiny = sized(16, len(workload.shape))
        ready(tiny, task, threads)()
        call = ready(workload, task, threads)
        volume = workload.steps // workload.n_views * 4
        copies = workload.n_views * 4
        for n in workload.detector:
            copies *= n
        return extra_peak_memory(call), volume + 64 * MIB + (copies if task == "fbp" else 0)
    if what == "cost":
        workload = sized(int(name), threads)
        return [best(ready(workload, t, 1), 3) / workload.steps * 1e9 for t in TASKS]
    workload = WORKLOADS[name] if what == "time" else replace(WORKLOADS[name], shift=0.25)
    return best(ready(workload, task, threads), 15)


def ask(what: str, name: str = "W1", task: str = "forward", threads: int = 1, simd: str = "") -> Any:
    """`measure` in a fresh process, with `SPINRAY_SIMD` set to `simd` if given."""
    environment = {"SPINRAY_SIMD": simd} if simd else {}
    return child("own.py", what, name, task, str(threads), **environment)


def tables(only: Sequence[str] = (), threads: Sequence[int] = (1, 2), quick: bool = False) -> list[str]:
    """The tables as Markdown, one text each."""
    names = [n for n in WORKLOADS if (not only or n in only) and not (quick and n == "W4")]
    big = [n for n in names if n in ("W3", "W4")]
    out = []
    lines = ["| ms on one thread | " + " | ".join(LEVELS) + " |", "|---|---|---|---|"]
    for name in names if quick else [n for n in names if n != "W4"]:
        for task in TASKS:
            times = [ask("time", name, task, 1, level) * 1e3 for level in LEVELS]
            lines.append(f"| {name} {task} | " + " | ".join(f"{t:.0f}" for t in times) + " |")
    out.append("\n".join(lines))
    if flat := [n for n in names if n in ("W1", "W2")]:
        # views a quarter turn apart share their weights where the grid turns onto itself
        lines = ["| ms on one thread | grid in the centre | 0.25 mm beside it |", "|---|---|---|"]
        for name in flat:
            centred, beside = (ask(what, name, "back", 1) * 1e3 for what in ("time", "beside"))
            lines.append(f"| {name} back | {centred:.0f} | {beside:.0f} |")
        out.append("\n".join(lines))
    few, many = min(threads), max(threads)
    if big and few < many:
        lines = [f"| ms | {few} thread | {many} threads | gain |", "|---|---|---|---|"]
        for name in big:
            for task in TASKS:
                one, two = (ask("time", name, task, count) * 1e3 for count in (few, many))
                lines.append(f"| {name} {task} | {one:.0f} | {two:.0f} | {one / two:.2f}x |")
        out.append("\n".join(lines))
    lines = ["| peak memory of a call, MiB beyond input and output | extra | bound |", "|---|---|---|"]
    for name in names:
        for task in TASKS:
            extra, bound = ask("memory", name, task, max(threads))
            lines.append(f"| {name} {task} | {extra / MIB:.0f} | {bound / MIB:.0f} |")
    out.append("\n".join(lines))
    if not only:
        lines = ["| ns per voxel and view, one thread | forward | back | FBP |", "|---|---|---|---|"]
        sizes = [(128, 2), (256, 2), (512, 2), (1024, 2), (64, 3), (96, 3), (128, 3), (192, 3)]
        for n, dimensions in sizes:
            costs = ask("cost", str(n), "forward", dimensions)
            scan = sized(n, dimensions)
            what = f"{'parallel' if dimensions == 2 else 'cone'} {n}^{dimensions}, {scan.n_views} views"
            lines.append(f"| {what} | " + " | ".join(f"{c:.3f}" for c in costs) + " |")
        out.append("\n".join(lines))
        out.append(f"`import spinray`: {min(ask('import') for _ in range(5)) * 1e3:.0f} ms.")
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("time", "beside", "memory", "cost", "import"))
    parser.add_argument("name")
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("threads", type=int)
    given = parser.parse_args()
    print(json.dumps(measure(given.what, given.name, given.task, given.threads)))
    sys.exit(0)
