"""Regions: voxels of a mask, or solids by name, as plain values that can be compared and stored."""

from __future__ import annotations

import base64
import dataclasses
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import DtypeError, InputError
from ._sums import Cells

__all__ = ["Region", "as_region"]


@dataclasses.dataclass(frozen=True, repr=False)
class Region:
    """Some cells of a phantom: solids by name, or a mask, its bits compressed."""

    names: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    bits: str = ""

    @classmethod
    def of_mask(cls, mask: np.ndarray) -> Region:
        """Return the region of the true entries."""
        return cls((), mask.shape, base64.b85encode(zlib.compress(np.packbits(mask).tobytes())).decode())

    def _unpacked(self) -> np.ndarray:
        bits = np.frombuffer(zlib.decompress(base64.b85decode(self.bits)), np.uint8)
        return np.unpackbits(bits, count=int(np.prod(self.shape))).astype(bool).reshape(self.shape)

    def mask(self, cells: Cells) -> np.ndarray:
        """Return which of the kernel's cells belong to it, bool of shape (n,); what lies around a grid does not.

        Raises
        ------
        InputError
            If the phantom has no such solid, or neither a grid nor a mesh of this shape.
        """
        if self.names:
            unknown = [name for name in self.names if name not in cells.names]
            if unknown:
                what = f"names of solids ({', '.join(cells.names)})" if cells.names else "a mask of the phantom's grid"
                raise InputError(f"region: expected {what}, got {unknown[0]!r}")
            return np.isin(cells.names, self.names)
        grid = cells.grid or cells.mesh
        if grid is None:
            raise InputError(f"region: expected names of solids ({', '.join(cells.names)}), got a mask")
        if grid.shape != self.shape:
            where = "grid" if cells.grid is not None else "mesh"
            raise InputError(f"region: expected the shape of the phantom's {where} {grid.shape}, got {self.shape}")
        inside = np.ascontiguousarray(grid.to_aligned(self._unpacked())).ravel()
        return inside if cells.grid is not None else np.concatenate([np.zeros(len(cells.names), bool), inside])

    def __repr__(self) -> str:
        return f"{self.names}" if self.names else f"<{self._unpacked().sum():,} of {self.shape}>"


def as_region(value: Any) -> Region | None:
    """Return a region of a mask, a name or several, or of what a file holds of one; None for None.

    Raises
    ------
    InputError
        If it is empty.
    DtypeError
        If it is something else.
    """
    if value is None or isinstance(value, Region):
        return value
    if isinstance(value, Mapping):
        return Region(tuple(value["names"]), tuple(value["shape"]), value["bits"])
    if isinstance(value, str):
        return Region((value,))
    if not isinstance(value, np.ndarray) and isinstance(value, Iterable):
        given = list(value)
        if given and all(isinstance(name, str) for name in given):
            return Region(tuple(given))
    mask = np.asarray(value)
    if mask.dtype != bool:
        wanted = "an array of booleans, or names of solids"
        raise DtypeError(f"region: expected {wanted}, got {type(value).__name__} of {mask.dtype}. Pass mask > 0")
    if not mask.any():
        raise InputError("region: expected at least one true entry, got none")
    return Region.of_mask(mask)
