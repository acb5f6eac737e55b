"""Maps of relaxation times and proton density: what MR phantoms come as."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..grid import Grid

__all__ = ["TissueMaps"]


@dataclass(frozen=True, eq=False, repr=False)
class TissueMaps:
    """An object for MR simulations, voxel by voxel.

    Attributes
    ----------
    t1, t2 : numpy.ndarray
        Relaxation times in s, float32, shape ``grid.shape``; 0 outside the mask.
    m0 : numpy.ndarray
        Proton density, of free water 1, float32, shape ``grid.shape``; 0 outside the mask.
    labels : numpy.ndarray
        Which tissue: k stands for ``tissues[k - 1]``, 0 for none; uint8, shape ``grid.shape``.
    mask : numpy.ndarray
        Where there is signal; bool, shape ``grid.shape``.
    grid : Grid
        Where the voxels lie.
    tissues : tuple of str
        Names of the tissues.
    source : str
        What it was made from.
    field : float
        Field strength in T of the relaxation times.

    Examples
    --------
    >>> from spinray.phantoms import brain
    >>> maps = brain("shepp-logan", (64, 64))
    >>> maps
    TissueMaps(shepp-logan, shape=(64, 64), 3 T, 6 tissues)
    >>> white = maps.labels == 1 + maps.tissues.index("white matter")
    >>> maps.m0[white].max().item()
    0.6169...
    """

    t1: np.ndarray
    t2: np.ndarray
    m0: np.ndarray
    labels: np.ndarray
    mask: np.ndarray
    grid: Grid
    tissues: tuple[str, ...]
    source: str
    field: float

    @classmethod
    def from_labels(
        cls,
        labels: np.ndarray,
        values: dict[str, tuple[float, float, float]],
        grid: Grid,
        source: str,
        field: float,
        m0: np.ndarray | None = None,
    ) -> TissueMaps:
        """Fill maps by label: `values` gives (T1, T2, m0) of tissues 1, 2, ...; an `m0` map replaces theirs."""
        table = np.array([(0.0, 0.0, 0.0), *values.values()], np.float32)
        filled = table[labels]
        density = np.ascontiguousarray(filled[..., 2]) if m0 is None else m0.astype(np.float32)
        t1, t2 = (np.ascontiguousarray(filled[..., k]) for k in (0, 1))
        return cls(t1, t2, density, labels.astype(np.uint8), labels > 0, grid, tuple(values), source, field)

    def __repr__(self) -> str:
        return f"TissueMaps({self.source}, shape={self.grid.shape}, {self.field:g} T, {len(self.tissues)} tissues)"
