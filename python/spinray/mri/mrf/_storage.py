"""Dictionaries in files: an uncompressed .npz archive of plain arrays, the sequence as JSON, nothing pickled."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DtypeError, FileError, InputError
from ...io._files import as_path, existing_file, replacing
from . import events
from .sequence import Sequence

if TYPE_CHECKING:
    from .dictionary import Dictionary

__all__ = ["read", "write"]

_KIND = "spinray.mri.mrf.Dictionary"
#: Counts changes of what is written below that older readers would misread.
_VERSION = 1
_EVENTS = {
    kind.__name__: kind
    for kind in (
        events.RF,
        events.ShapedRF,
        events.Delay,
        events.Readout,
        events.Spoil,
        events.Inversion,
        events.T2Prep,
    )
}


def write(path: Any, dictionary: Dictionary) -> None:
    """Write a dictionary; `path` is replaced when all is on disk.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    header = {
        "kind": _KIND,
        "version": _VERSION,
        "parameters": list(dictionary.parameters),
        "axes": dictionary.axes is not None,
        "energy": dictionary.energy,
        "n_dropped": dictionary.n_dropped,
        "sequence": None if dictionary.sequence is None else _described(dictionary.sequence),
    }
    arrays: dict[str, Any] = {
        "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
        "signals": dictionary.signals,
    }
    arrays |= {f"parameter_{k}": values for k, values in enumerate(dictionary.parameters.values())}
    arrays |= {f"axis_{k}": values for k, values in enumerate((dictionary.axes or {}).values())}
    if dictionary.basis is not None:
        arrays["basis"] = dictionary.basis
    with replacing(as_path(path)) as file:
        np.savez(file, **arrays)


def read(path: Any, kind: type[Dictionary]) -> Dictionary:
    """Read a dictionary that `write` wrote.

    Raises
    ------
    FileError
        If there is none, it is truncated or damaged, of another kind, or written by a later version.
    """
    file = existing_file(path, "a file written by Dictionary.save")
    try:
        header, arrays = _entries(file)
    except FileError:
        raise
    # Damaged archives make NumPy, zipfile and json raise nearly anything; truncated ones lack their table of contents.
    except Exception as error:
        raise FileError(f"{file}: truncated, damaged, or not written by Dictionary.save ({error})") from None
    try:
        return _assembled(kind, header, arrays)
    except (InputError, DtypeError, KeyError, TypeError, ValueError) as error:
        raise FileError(f"{file}: damaged: {error}") from None


def _entries(file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the arrays of a file."""
    # NumPy leaves files that it opens itself open when they are damaged.
    with file.open("rb") as stream:
        archive = np.load(stream, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise FileError(f"{file}: expected a file written by Dictionary.save, got a single array")
        if "header" not in archive:
            raise FileError(f"{file}: expected a file written by Dictionary.save, got an archive of other arrays")
        header = _header(file, archive["header"])
        return header, {name: archive[name] for name in archive.files if name != "header"}


def _header(file: Path, entry: np.ndarray) -> dict[str, Any]:
    """Return the header of a dictionary that this version reads."""
    header = json.loads(entry.tobytes())
    if not isinstance(header, dict) or header.get("kind") != _KIND:
        found = header.get("kind") if isinstance(header, dict) else header
        raise FileError(f"{file}: expected a file written by Dictionary.save, got kind {found!r}")
    if header.get("version") != _VERSION:
        fix = "Simulate it anew, or use the version of spinray that wrote it"
        raise FileError(f"{file}: expected version {_VERSION} of dictionaries, got {header.get('version')}. {fix}")
    return header


def _assembled(kind: type[Dictionary], header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Dictionary:
    """Return the dictionary of a file's entries, which its constructor checks."""
    names = header["parameters"]
    parameters = {name: arrays[f"parameter_{k}"] for k, name in enumerate(names)}
    axes = {name: arrays[f"axis_{k}"] for k, name in enumerate(names)} if header["axes"] else None
    sequence = None if header["sequence"] is None else _sequence(header["sequence"])
    made = kind(arrays["signals"], parameters, arrays.get("basis"), sequence, axes=axes, energy=header["energy"])
    made.n_dropped = int(header["n_dropped"])
    return made


def _described(seq: Sequence) -> dict[str, Any]:
    """Return a sequence as what JSON can hold."""
    profile = None if seq.slice_profile is None else seq.slice_profile.tolist()
    return {"events": [_event(event) for event in seq.events], "slice_profile": profile, "dephasing": seq.dephasing}


def _event(event: events.Event) -> list[Any]:
    """Return the name of an event and its fields."""
    fields = {}
    for field in dataclasses.fields(event):  # type: ignore[arg-type]  # every event is one
        value = getattr(event, field.name)
        if isinstance(value, np.ndarray):
            value = {"re": value.real.tolist(), "im": value.imag.tolist() if value.dtype.kind == "c" else None}
        fields[field.name] = value
    return [type(event).__name__, fields]


def _sequence(described: dict[str, Any]) -> Sequence:
    made = []
    for name, fields in described["events"]:
        shaped = fields.get("waveform")
        if shaped is not None:
            imaginary = shaped["im"]
            wave = np.array(shaped["re"])
            fields = fields | {"waveform": wave if imaginary is None else wave + 1j * np.array(imaginary)}
        made.append(_EVENTS[name](**fields))
    return Sequence(made, described["slice_profile"], described["dephasing"])
