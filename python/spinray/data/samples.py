"""Finding a sample: $SPINRAY_DATA, an installed package, the user's cache, else a download."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
from pathlib import Path
from typing import Any

from ..errors import DtypeError, FileError, InputError
from .registry import SAMPLES, Sample

__all__ = ["describe", "names", "sample"]


def names() -> tuple[str, ...]:
    """Return the names of all samples.

    Examples
    --------
    >>> "ct_small" in names()
    True
    """
    return tuple(SAMPLES)


def describe(name: str) -> Sample:
    """Return what a sample shows, its source, licence and checksum.

    Parameters
    ----------
    name : str
        One of `names`.

    Raises
    ------
    InputError
        If there is no such sample.

    Examples
    --------
    >>> describe("tooth_sinogram").licence
    'BSD-3-Clause style (UChicago Argonne)'
    """
    if not isinstance(name, str):
        raise DtypeError(f"name: expected the name of a sample, got {type(name).__name__}")
    if name not in SAMPLES:
        raise InputError(f"name: no sample {name!r}. There are: {', '.join(SAMPLES)}")
    return SAMPLES[name]


def sample(name: str) -> Path:
    """Return the path of a sample file, downloading it if it is nowhere on this machine.

    It is looked for in the folder of the environment variable ``SPINRAY_DATA``, then in the user's cache.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    pathlib.Path
        A file whose checksum was verified.

    Raises
    ------
    InputError
        If there is no such sample.
    FileError
        If the file is not there and cannot be downloaded, or what is there has another content.

    Examples
    --------
    >>> sample("ct_small").name
    'CT_small.dcm'
    """
    entry = describe(name)
    folder = os.environ.get("SPINRAY_DATA")
    if folder:
        file = Path(folder).expanduser() / entry.file
        if file.is_file():
            _verify(file, entry)
            return file
    if entry.shipped_in is not None:
        shipped = _in_package(entry.shipped_in)
        if shipped is not None:
            return shipped
    cached = _cache() / entry.file
    if cached.is_file():
        _verify(cached, entry)
        return cached
    return _download(entry, cached)


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("spinray"))


def _in_package(path: str) -> Path | None:
    """Return a file of an installed package, found without importing the package."""
    package, _, inside = path.partition("/")
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / inside).is_file():
            return Path(folder) / inside
    return None


def _verify(file: Path, entry: Sample) -> None:
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise FileError(f"{file}: cannot be read ({error})") from None
    if found != entry.sha256:
        raise FileError(
            f"{file}: not the sample {entry.name!r} (sha256 {found[:12]}... instead of {entry.sha256[:12]}...). "
            "Damaged or another file; remove it"
        )


def _by_hand(entry: Sample) -> str:
    folder = os.environ.get("SPINRAY_DATA")
    state = f"is {folder}" if folder else "is not set"
    return f"Set the environment variable SPINRAY_DATA (it {state}) to a folder that holds {entry.file}"


def _download(entry: Sample, target: Path) -> Path:
    if entry.url is None:
        raise FileError(
            f"sample {entry.name!r}: {entry.file} is not on this machine and cannot be downloaded: {entry.source}. "
            f"{_by_hand(entry)}"
        )
    import pooch

    log, level = pooch.get_logger(), pooch.get_logger().level
    # pooch would announce the download on the terminal.
    log.setLevel(logging.WARNING)
    logging.getLogger("spinray.data").info("downloading %s to %s", entry.url, target)
    try:
        # pooch downloads under a temporary name and compares the checksum before it renames.
        file: Any = pooch.retrieve(entry.url, f"sha256:{entry.sha256}", target.name, target.parent)
    except Exception as error:  # requests' many errors, OSError, and ValueError for a wrong checksum
        raise FileError(
            f"sample {entry.name!r}: {entry.file} could not be downloaded from {entry.url} "
            f"({type(error).__name__}: {error}). {_by_hand(entry)}"
        ) from None
    finally:
        log.setLevel(level)
    return Path(file)
