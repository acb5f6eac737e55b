"""Which atoms a dictionary holds: product grids and tables of parameters, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ... import _checks
from ...errors import DtypeError, InputError
from .signal import NAMES, checked

__all__ = ["column", "drop_impossible", "grid_axes", "product", "table"]


def column(name: str, values: ArrayLike) -> np.ndarray:
    """Return one parameter of every atom in double, shape (n,): times in s, B1 relative, off-resonance in Hz."""
    given = np.atleast_1d(_checks.doubles(name, values))
    return checked(name, _checks.doubles(name, given, shape=(None,)))


def product(axes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the parameters (n,) of all combinations, the last axis fastest.

    Examples
    --------
    >>> product({"t1": np.array([1.0, 2.0]), "t2": np.array([0.1, 0.2])})
    {'t1': array([1., 1., 2., 2.]), 't2': array([0.1, 0.2, 0.1, 0.2])}
    """
    meshes = np.meshgrid(*axes.values(), indexing="ij")
    return {name: mesh.ravel() for name, mesh in zip(axes, meshes, strict=True)}


def table(atoms: Any) -> dict[str, np.ndarray]:
    """Return the parameters (n,) of atoms given one by one, as columns (n, p) in the order of `NAMES` or by name."""
    if isinstance(atoms, Mapping):
        unknown = [name for name in atoms if name not in NAMES]
        if unknown or not {"t1", "t2"} <= set(atoms):
            names = ", ".join(map(repr, atoms))
            raise InputError(f"atoms: expected arrays for 't1', 't2' and perhaps 'b1', 'off_resonance', got {names}")
        given = {name: column(name, atoms[name]) for name in NAMES if name in atoms}
        sizes = {name: values.size for name, values in given.items()}
        if len(set(sizes.values())) > 1:
            raise InputError(f"atoms: expected arrays of one length, got {sizes}")
        return given
    columns = _checks.doubles("atoms", atoms)
    if columns.ndim != 2 or not 2 <= columns.shape[1] <= len(NAMES) or len(columns) == 0:
        wanted = "(n, 2), (n, 3) or (n, 4): columns t1, t2, b1, off_resonance, or a dict of arrays"
        raise InputError(f"atoms: expected shape {wanted}, got {columns.shape}")
    return {name: column(name, values) for name, values in zip(NAMES, columns.T, strict=False)}


def grid_axes(
    t1: ArrayLike | None, t2: ArrayLike | None, b1: ArrayLike | None, off_resonance: ArrayLike | None
) -> dict[str, np.ndarray]:
    """Return the axes of a product grid, those given."""
    if t1 is None or t2 is None:
        raise DtypeError("t1, t2: expected arrays of times in s for both, or atoms=")
    given = zip(NAMES, (t1, t2, b1, off_resonance), strict=True)
    return {name: column(name, values).copy() for name, values in given if values is not None}


def drop_impossible(parameters: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
    """Return the atoms with T2 <= T1, and how many were left out."""
    possible = parameters["t2"] <= parameters["t1"]
    dropped = possible.size - int(np.count_nonzero(possible))
    if dropped == possible.size:
        raise InputError(f"t2: expected T2 <= T1 for some atom, got T2 > T1 for all {dropped}. Are t1 and t2 swapped?")
    return {name: values[possible] for name, values in parameters.items()} if dropped else parameters, dropped
