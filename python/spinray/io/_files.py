"""What readers and writers need: paths checked, values that are numbers, files that appear when they are whole."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .._checks import not_finite
from ..errors import DtypeError, FileError

__all__ = ["as_path", "existing_file", "refuse_non_finite", "replacing"]


def as_path(path: Any) -> Path:
    """Return `path`, a string or path, as a `Path`; ``~`` is the home folder.

    Raises
    ------
    DtypeError
        If it is something else.

    Examples
    --------
    >>> as_path("scans/head.nii.gz").name
    'head.nii.gz'
    """
    if not isinstance(path, (str, os.PathLike)):
        raise DtypeError(f"path: expected a file name, got {type(path).__name__}")
    text = os.fspath(path)
    if not isinstance(text, str) or "\0" in text:
        raise DtypeError(f"path: expected a file name of text, got {text!r}")
    return Path(text).expanduser()


def existing_file(path: Any, wanted: str) -> Path:
    """Return `path` as a `Path` to a file that exists.

    Raises
    ------
    FileError
        If there is no such file; `wanted` says what is accepted.
    """
    file = as_path(path)
    if file.is_dir():
        raise FileError(f"{file}: expected {wanted}, got a folder")
    if not file.is_file():
        raise FileError(f"{file}: no such file (working folder {Path.cwd()})")
    return file


def refuse_non_finite(name: str, values: np.ndarray, fix: str) -> None:
    """Refuse NaN and infinite values.

    Raises
    ------
    FileError
        Naming `name`, the number of bad values, the first of them, and the `fix`.
    """
    if values.dtype.kind not in "fc":
        return
    # A sum is finite if its terms are, overflow aside, and needs no temporary array.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):
            return
    if not np.isfinite(values).all():
        raise FileError(f"{name}: {not_finite(values)}. {fix}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its name in the end, or is removed.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    if not path.name or path.is_dir():
        raise FileError(f"{path}: expected a name for the file, got a folder")
    temporary = path.with_name(f".spinray-{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
