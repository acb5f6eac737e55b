"""The progress bar: silent unless asked for, and never ahead of what was reported."""

import subprocess
import sys

import pytest

from spinray._progress import progress_bar


def test_without_a_wish_nothing_is_shown_and_no_progress_library_is_loaded():
    code = """
import sys
from spinray._progress import progress_bar
with progress_bar("sirt", 2, enable=False) as report:
    report(1, 2)
assert "tqdm" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_bar_shows_what_was_last_reported(capsys):
    with progress_bar("back-projection") as report:
        for done in (10, 25, 40):
            report(done, 40)
    shown = capsys.readouterr().err.split("\r")[-1]
    assert "back-projection" in shown
    assert "100%" in shown
    assert "40/40" in shown


def test_a_total_that_grows_is_followed(capsys):
    with progress_bar("fbp", 10) as report:
        report(10, 10)
        report(10, 40)
    assert "10/40" in capsys.readouterr().err.split("\r")[-1]


def test_the_bar_is_closed_when_the_work_fails(capsys):
    with pytest.raises(RuntimeError, match="kernel"), progress_bar("fista", 4) as report:
        report(1, 4)
        raise RuntimeError("kernel")
    shown = capsys.readouterr().err
    assert "1/4" in shown.split("\r")[-1]
    assert shown.endswith("\n")
