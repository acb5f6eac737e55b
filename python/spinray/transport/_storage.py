"""Results in files."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..grid import Grid
from ..io._archive import Format
from . import _ranges
from ._sums import Cells, Identity, Photons, Sums
from .tallies import Dose, PhaseSpace

if TYPE_CHECKING:
    from .result import Result

__all__ = ["read", "write"]

_FORMAT = Format("spinray.transport.Result", version=1)
_TALLIES: dict[str, Any] = {kind.__name__: kind for kind in (Dose, PhaseSpace)}
#: Of photons: types, and shapes of a row.
_COLUMNS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "seed": (np.uint64, ()),
    "history": (np.uint64, ()),
    "position": (np.float64, (3,)),
    "direction": (np.float32, (3,)),
    "energy": (np.float32, ()),
    "weight": (np.float32, ()),
    "orders": (np.uint8, (3,)),
}


def write(path: Any, found: Result) -> None:
    """Write a result; `path` is replaced when all is on disk.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    cells = found._cells
    sums = list(found._sums.values())
    header = {
        "identity": dataclasses.asdict(found._identity),
        "histories": list(found.histories.items()),
        "seconds": found.seconds,
        "tallies": [
            [type(s.tally).__name__, dataclasses.asdict(s.tally), s.scale if isinstance(s, Sums) else 1.0] for s in sums
        ],
        "grid": None if cells.grid is None else dataclasses.asdict(cells.grid),
        "names": cells.names,
        "mesh": None if cells.mesh is None else dataclasses.asdict(cells.mesh),
    }
    arrays = {"mass": cells.mass}
    for k, scored in enumerate(sums):
        arrays |= {f"{name}_{k}": column for name, column in scored.columns().items()}
    _FORMAT.write(path, header, arrays)


def read(path: Any, kind: type[Result]) -> Result:
    """Read a result that `write` wrote.

    Raises
    ------
    FileError
        If there is none, it is truncated or damaged, of another kind, or written by a later version.
    """
    return _FORMAT.read(path, lambda header, arrays: _assembled(kind, header, arrays))


def _assembled(kind: type[Result], header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Result:
    """Return the result of a file's entries."""
    grid, mesh = (None if header[which] is None else Grid(**header[which]) for which in ("grid", "mesh"))
    mass, names = arrays["mass"], tuple(header["names"])
    boxes = 0 if mesh is None else math.prod(mesh.shape)
    shape = (len(names) + boxes,) if grid is None else grid.shape
    if mass.shape != shape or mass.dtype.kind != "f":
        raise InputError(f"mass: expected numbers of shape {shape}, got {mass.dtype} of shape {mass.shape}")
    cells = Cells(mass, grid, names, mesh)
    tallies = tuple(_scored(arrays, k, shape, *described) for k, described in enumerate(header["tallies"]))
    histories = _ranges.check_histories(header["histories"])
    identity = Identity(**header["identity"])
    return kind(tallies, cells, histories, float(header["seconds"]), identity)


def _scored(
    arrays: Mapping[str, np.ndarray], k: int, shape: tuple[int, ...], kind: str, fields: dict[str, Any], scale: float
) -> Sums | Photons:
    """Return what tally `k` has scored."""
    tally = _TALLIES[kind](**fields)
    if isinstance(tally, PhaseSpace):
        return Photons(tally, **_photons(arrays, k))
    pair = [arrays[f"{which}_{k}"] for which in ("first", "second")]
    for array in pair:
        if array.shape != shape or array.dtype != np.uint64:
            raise InputError(f"sums: expected uint64 of shape {shape}, got {array.dtype} of shape {array.shape}")
    return Sums(tally, float(scale), *pair)


def _photons(arrays: Mapping[str, np.ndarray], k: int) -> dict[str, np.ndarray]:
    """Return the columns of the photons of tally `k`."""
    columns = {name: arrays[f"{name}_{k}"] for name in _COLUMNS}
    count = len(columns["seed"])
    for name, (dtype, shape) in _COLUMNS.items():
        if columns[name].dtype != dtype or columns[name].shape != (count, *shape):
            wanted = f"{np.dtype(dtype)} of shape {(count, *shape)}"
            raise InputError(f"{name}: expected {wanted}, got {columns[name].dtype} of shape {columns[name].shape}")
    return columns
