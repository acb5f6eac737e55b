"""Dictionaries in files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...io._archive import Format
from . import events
from .sequence import Sequence

if TYPE_CHECKING:
    from .dictionary import Dictionary

__all__ = ["read", "write"]

_FORMAT = Format(
    "spinray.mri.mrf.Dictionary", version=1, fix="Simulate it anew, or use the version of spinray that wrote it"
)
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
        "parameters": list(dictionary.parameters),
        "axes": dictionary.axes is not None,
        "energy": dictionary.energy,
        "n_dropped": dictionary.n_dropped,
        "sequence": None if dictionary.sequence is None else _described(dictionary.sequence),
    }
    arrays = {"signals": dictionary.signals}
    arrays |= {f"parameter_{k}": values for k, values in enumerate(dictionary.parameters.values())}
    arrays |= {f"axis_{k}": values for k, values in enumerate((dictionary.axes or {}).values())}
    if dictionary.basis is not None:
        arrays["basis"] = dictionary.basis
    _FORMAT.write(path, header, arrays)


def read(path: Any, kind: type[Dictionary]) -> Dictionary:
    """Read a dictionary that `write` wrote.

    Raises
    ------
    FileError
        If there is none, it is truncated or damaged, of another kind, or written by a later version.
    """
    return _FORMAT.read(path, lambda header, arrays: _assembled(kind, header, arrays))


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
