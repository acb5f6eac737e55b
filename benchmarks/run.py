"""Time spinray beside the field's tools and print the tables of the README.

`python benchmarks/run.py` does all of it (about a quarter of an hour on two cores), `--only W1` a part, and
`--write README.md` also replaces what stands between the benchmark markers of a file.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARKED = re.compile(r"(<!-- benchmarks -->\n).*?(\n<!-- /benchmarks -->)", re.DOTALL)
HEAD = "| workload (float32) | against | threads | ours | theirs | ratio | must | aim | accuracy, ours / theirs |"


def duration(seconds: float | None) -> str:
    """Milliseconds with three digits, or seconds."""
    if seconds is None:
        return "-"
    if seconds >= 10:
        return f"{seconds:.1f} s"
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{1e3 * seconds:.0f} ms"


def line(row: dict[str, Any]) -> str:
    """A row of the table; a ratio short of what it must be says so."""
    ratio, must, aim = row["ratio"], row["must"], row["aim"]
    said = "-"
    if ratio is not None:
        short = must is not None and ratio < must
        said = f"{ratio:.1f}x" + (" (missed)" if short else "")
    goals = [f"{goal:g}x" if goal is not None else "-" for goal in (must, aim)]
    cells = [row["workload"], row["against"], str(row["threads"]), duration(row["ours_s"]), duration(row["theirs_s"])]
    return "| " + " | ".join([*cells, said, *goals, row.get("accuracy", "")]) + " |"


def report(only: list[str], threads: list[int], quick: bool) -> Iterator[str]:
    """The report, line by line as it is measured."""
    import own
    from harness import machine

    import ct

    yield f"Measured by `make bench` on {machine()}; best of several alternating runs, both sides warm."
    yield ""
    yield HEAD
    yield "|" + "---|" * HEAD.count(" |")
    for row in ct.rows(only, threads, quick):
        yield line(row)
    if not only or "TV" in only:
        import tv

        for row in tv.rows(threads=threads, quick=quick):
            yield line(row)
    for name, script in (("MRF", "mrf"), ("MC", "transport"), ("NN", "networks"), ("NN", "unrolled")):
        if only and name not in only:
            continue
        module = importlib.import_module(script)
        for row in module.rows(threads, quick):
            yield line(row)
        for text in module.tables(max(threads), quick):
            yield ""
            yield from text.splitlines()
    if only and set(only) <= {"MRF", "MC", "NN"}:
        return
    for table in own.tables(only, threads, quick):
        yield ""
        yield from table.splitlines()


def main() -> None:
    """Run as the command says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="W", help="W1, W2, W3, W4, TV, MRF, MC or NN")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--quick", action="store_true", help="leave out W4")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace the block between the markers of FILE")
    given = parser.parse_args()
    if given.write and not MARKED.search(given.write.read_text()):
        sys.exit(f"--write: {given.write} has no <!-- benchmarks --> ... <!-- /benchmarks --> block")
    # before any peer starts its threads: XLA, for one, takes as many as the process may use
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: max(given.threads)])
    lines = []
    for text in report(given.only, given.threads, given.quick):
        print(text, flush=True)
        lines.append(text)
    if given.write:
        text = "\n".join(lines)
        given.write.write_text(MARKED.sub(lambda m: m[1] + text + m[2], given.write.read_text()))


if __name__ == "__main__":
    main()
