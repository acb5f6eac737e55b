"""What results keep: integer sums or lists of each tally, the cells they are of, and what the simulation was."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from ..grid import Grid

__all__ = ["ONE", "Cells", "Identity", "Sums"]

#: What x = 1 is as an integer.
ONE = 2.0**32


@dataclasses.dataclass(frozen=True)
class Cells:
    """What photons interact in: voxels of a grid; or named solids, then the boxes of a mesh.

    Parameters
    ----------
    mass : numpy.ndarray
        g, of the grid's shape or (n_solids + n_boxes,).
    grid : Grid or None
        None for solids.
    names : tuple of str
        Of the solids.
    mesh : Grid or None
        Of the boxes.
    volume : numpy.ndarray or None
        mm3, (n_solids + n_boxes,); None for a grid, whose voxels are alike.
    """

    mass: np.ndarray
    grid: Grid | None = None
    names: tuple[str, ...] = ()
    mesh: Grid | None = None
    volume: np.ndarray | None = None

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel of the grid in mm3."""
        assert self.grid is not None
        return math.prod(self.grid.spacing)

    def volume_of(self, region: np.ndarray) -> float:
        """Return the volume in mm3 of the kernel's cells that are true."""
        if self.grid is not None:
            return float(region.sum()) * self.voxel_volume
        assert self.volume is not None
        return float(self.volume[: len(region)][region].sum())

    def index(self, cells: np.ndarray) -> np.ndarray:
        """Return where the kernel's cells stand in the order of `mass`, int64; -1 for what lies around a grid."""
        index = cells.astype(np.int64)
        if self.grid is None:
            return index
        index[index >= self.mass.size] = -1
        if self.grid.axis_aligned() != self.grid:
            inside = index >= 0
            places = self.grid.to_aligned(np.arange(self.mass.size).reshape(self.mass.shape)).ravel()
            index[inside] = places[index[inside]]
        return index

    def in_order(self, values: np.ndarray) -> np.ndarray:
        """Return values by cell of the kernel in the order of `mass`; the kernel's last may be of the surroundings."""
        kept = values[: self.mass.size]
        if self.grid is not None:
            kept = np.ascontiguousarray(self.grid.from_aligned(kept.reshape(self.grid.axis_aligned().shape)))
        return kept


@dataclasses.dataclass(frozen=True)
class Sums:
    """Integer sums of x and of x^2, uint64 of one shape; `scale` is what x = 1 stands for, in all cells or in each."""

    scale: float | np.ndarray
    first: np.ndarray
    second: np.ndarray

    def part(self, cells: Any, shape: tuple[int, ...] = (-1,)) -> Sums:
        """Return the sums of some cells, by an index, in another shape."""
        scale = self.scale if isinstance(self.scale, float) else self.scale[cells].reshape(shape)
        return Sums(scale, self.first[cells].reshape(shape), self.second[cells].reshape(shape))


@dataclasses.dataclass(frozen=True)
class Identity:
    """What results must have in common to be added."""

    phantom: str
    source: str
    physics: str
    version: str
    #: Empty for analogue runs.
    biasing: str = ""
