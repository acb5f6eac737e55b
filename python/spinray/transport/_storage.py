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
from ._sums import Cells, Identity, Sums
from ._tally import Counted, Listed, Lister
from .tallies import KINDS

if TYPE_CHECKING:
    from .result import Result

__all__ = ["read", "write"]

_FORMAT = Format("spinray.transport.Result", version=1)


def write(path: Any, found: Result) -> None:
    """Write a result; `path` is replaced when all is on disk.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    cells = found._cells
    scored = list(found._scored.values())
    header = {
        "identity": dataclasses.asdict(found._identity),
        "histories": list(found.histories.items()),
        "seconds": found.seconds,
        "tallies": [
            [
                type(one.tally).__name__,
                dataclasses.asdict(one.tally),  # type: ignore[call-overload]  # all are
                [sums.scale if isinstance(sums.scale, float) else None for sums in one.sums]
                if isinstance(one, Counted)
                else [],
            ]
            for one in scored
        ],
        "grid": None if cells.grid is None else dataclasses.asdict(cells.grid),
        "names": cells.names,
        "mesh": None if cells.mesh is None else dataclasses.asdict(cells.mesh),
    }
    arrays = {"mass": cells.mass} | ({} if cells.volume is None else {"volume": cells.volume})
    for k, one in enumerate(scored):
        arrays |= {f"{k}_{name}": column for name, column in one.columns().items()}
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
    volume = arrays.get("volume")
    if volume is not None and (volume.shape != shape or volume.dtype.kind != "f"):
        raise InputError(f"volume: expected numbers of shape {shape}, got {volume.dtype} of shape {volume.shape}")
    cells = Cells(mass, grid, names, mesh, volume)
    tallies = tuple(_scored(arrays, k, cells, *described) for k, described in enumerate(header["tallies"]))
    histories = _ranges.check_histories(header["histories"])
    identity = Identity(**header["identity"])
    return kind(tallies, cells, histories, float(header["seconds"]), identity)


def _scored(
    arrays: Mapping[str, np.ndarray],
    k: int,
    cells: Cells,
    kind: str,
    fields: dict[str, Any],
    scales: list[float | None],
) -> Counted | Listed:
    """Return what tally `k` has scored."""
    tally = KINDS[kind]._restored(fields)
    if isinstance(tally, Lister):
        return _listed(arrays, k, tally)
    sums = []
    for i, (scale, shape) in enumerate(zip(scales, tally._shapes(cells), strict=True)):
        pair = [arrays[f"{k}_{which}_{i}"] for which in ("first", "second")]
        for array in pair:
            if array.shape != shape or array.dtype != np.uint64:
                raise InputError(f"sums: expected uint64 of shape {shape}, got {array.dtype} of shape {array.shape}")
        sums.append(Sums(_scale(arrays, f"{k}_scale_{i}", shape) if scale is None else float(scale), *pair))
    return Counted(tally, tuple(sums))


def _scale(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the scale of each cell."""
    scale = arrays[name]
    if scale.shape != shape or scale.dtype != np.float64 or not (np.isfinite(scale) & (scale > 0)).all():
        raise InputError(f"scale: expected positive float64 of shape {shape}, got {scale.dtype} of shape {scale.shape}")
    return scale


def _listed(arrays: Mapping[str, np.ndarray], k: int, tally: Lister) -> Listed:
    """Return what tally `k` has listed."""
    expected: dict[str, tuple[Any, tuple[int, ...]]] = {"seed": (np.uint64, ()), **tally._COLUMNS}
    columns = {name: arrays[f"{k}_{name}"] for name in expected}
    count = len(columns["seed"])
    for name, (dtype, shape) in expected.items():
        if columns[name].dtype != dtype or columns[name].shape != (count, *shape):
            wanted = f"{np.dtype(dtype)} of shape {(count, *shape)}"
            raise InputError(f"{name}: expected {wanted}, got {columns[name].dtype} of shape {columns[name].shape}")
    return Listed(tally, columns.pop("seed"), columns)
