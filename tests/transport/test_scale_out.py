"""The programs of docs/transport.md run; the one on a cluster finds the bits of one run."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from spinray import transport

PAGE = Path(__file__).resolve().parents[2] / "docs/transport.md"
PATIENCE = 300


def programs():
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def run(code, folder):
    """Run a program in a process of its own."""
    file = folder / "program.py"
    file.write_text(code, encoding="utf-8")
    command = [sys.executable, "-W", "ignore", file]
    return subprocess.run(
        command, cwd=folder, env=os.environ, capture_output=True, text=True, check=True, timeout=PATIENCE
    )


def test_the_page_has_its_programs():
    found = programs()
    assert len(found) == 11
    assert "LocalCluster" in found[-1]


def test_the_programs_for_one_machine_run_one_after_the_other(tmp_path):
    done = run("\n".join(programs()[:-1]), tmp_path)
    assert "(30, 30, 30) Gy per history" in done.stdout
    assert transport.Result.load(tmp_path / "dose.npz").n_histories > 50_000


def test_workers_of_a_cluster_find_the_bits_of_one_run(tmp_path):
    pytest.importorskip("distributed", reason="dask.distributed is not installed: pip install distributed")
    run(programs()[-1], tmp_path)
    found = transport.Result.load(tmp_path / "dose.npz")
    page = runpy.run_path(str(tmp_path / "program.py"))
    whole = transport.simulate(page["water"], page["beam"], 100_000, seed=1)
    assert found.histories == whole.histories == {1: ((0, 100_000),)}
    for name in ("mean", "std_error"):
        assert getattr(found["dose"], name).tobytes() == getattr(whole["dose"], name).tobytes()
