"""The command line of the demo."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import SpinrayError
from .job import run
from .report import write

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit status: 0, 2 for an input or folder that cannot be used, 130 if interrupted."""
    given = _parser().parse_args(arguments)
    if not 0 < given.train < float("inf"):
        print(f"spinray.demo: error: --train: expected seconds above 0, got {given.train:g}", file=sys.stderr)
        return 2
    folder = Path(given.out).expanduser()
    begin = time.perf_counter()
    sections = []
    try:
        _require_writable(folder)
        for section in run(given.input, given.train):
            print(f"\n{section.title}\n")
            for table in section.tables:
                print(f"{table}\n")
            for paragraph in section.paragraphs if not section.tables else ():
                print(textwrap.fill(paragraph, 110))
            sys.stdout.flush()
            sections.append(section)
        seconds = time.perf_counter() - begin
        files = write(folder, f"CT from end to end: {sections[0].title.split(',')[0]}", sections, seconds)
    except (SpinrayError, OSError) as error:
        print(f"spinray.demo: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("spinray.demo: interrupted", file=sys.stderr)
        return 130
    print(f"\nDone in {seconds:.0f} s. The report: {files[0]}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m spinray.demo",
        description="Scan and reconstruct a CT image, or reconstruct a raw measurement; write figures and a report.",
    )
    parser.add_argument(
        "--input",
        metavar="FILE_OR_FOLDER",
        help="DICOM file or folder, NIfTI file, or raw sinogram (HDF5, MATLAB); default: a slice from pydicom's files",
    )
    parser.add_argument(
        "--train", metavar="SECONDS", type=float, default=60.0, help="how long a network learns (default: %(default)g)"
    )
    parser.add_argument("--out", metavar="DIR", default="spinray-report", help="where to write (default: %(default)s)")
    return parser


def _require_writable(folder: Path) -> None:
    """Raise before the work rather than after it."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--out: {folder} is a file, a folder is needed")
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        raise PermissionError(f"--out: {existing} cannot be written to")
