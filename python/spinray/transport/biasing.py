"""Variance reduction: which photons are followed more often than by nature, with the same means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _checks
from ..errors import DtypeError, InputError

__all__ = ["Biasing"]


@dataclasses.dataclass(frozen=True, eq=False)
class Biasing:
    """What to look at more closely in a simulation; means stay those of nature, standard errors do not.

    Photons carry weights, and every tally counts them by weight. A region or an energy that is looked at more often is
    known better, for the same time, at the expense of the others.

    Parameters
    ----------
    force : bool
        Whether every photon of the source collides in the phantom, with the part of its weight that does so by nature,
        1 - exp(-tau), while the other part leaves: for what is thin, such as a gas, a sheet, a small animal, a crystal.
    importance : array_like or mapping, optional
        Importance of every voxel (the phantom's shape), or of solids by name, 1 for those that are not named: a photon
        that comes from importance a to b is split into b/a of a/b of its weight, or, where it falls, survives with the
        probability b/a (Russian roulette). Only ratios matter, from a factor of sqrt 2 on. In proportion to the inverse
        of the photons that get there, so that about as many are followed everywhere, is a good choice. What surrounds
        the voxels has the least of them.
    spectrum : array_like, shape (n,), optional
        How much more often each energy of the source's spectrum is drawn than by nature, relative to the others.
    activity : array_like, optional
        How much more often photons start in each voxel of a `VolumeSource` than by nature, relative to the others; of
        its grid's shape.

    Raises
    ------
    InputError
        If nothing is asked for, a number is not positive, or the largest is more than a million times the least. In
        `simulate`: if shapes are not those of phantom and source, or there is no solid of a name.
    DtypeError
        If they are no numbers.

    Notes
    -----
    Forced collisions, splitting and roulette, and source biasing as in Lux and Koblinger 1991, "Monte Carlo particle
    transport methods: neutron and photon calculations". Only the first flight is forced. Flights end where importance
    changes, so that photons are split at the surface; a photon becomes 16 at once at the most. Random numbers still
    depend on seed and history alone. Results of different biasing do not add up: their means are of one quantity, but
    one standard error says nothing about a sum of both.

    Examples
    --------
    >>> import numpy as np
    >>> import spinray
    >>> from spinray import transport
    >>> grid = spinray.Grid((4, 4, 4), spacing=5.0)
    >>> air = transport.VoxelPhantom(grid, ["air"], np.zeros(grid.shape, int))
    >>> beam = transport.PencilBeam((0, 0, -200), "z", energy=60.0)
    >>> dose = transport.simulate(air, beam, 1000, biasing=transport.Biasing(force=True))["dose"]
    >>> bool(dose.relative_error[1, 2, 2] < 0.3)  # without forcing, none of 1000 photons is likely to collide
    True
    """

    force: bool = False
    importance: Any = None
    spectrum: Any = None
    activity: Any = None

    def __post_init__(self) -> None:
        _checks.choice("force", self.force, (False, True))
        if not self.force and self.importance is None and self.spectrum is None and self.activity is None:
            raise InputError(
                "biasing: expected something to be biased, got nothing. Biasing(force=True), or leave it out"
            )
        if isinstance(self.importance, Mapping):
            values = {name: _checks.positive(f"importance[{name!r}]", x) for name, x in self.importance.items()}
            object.__setattr__(self, "importance", values)
        for name in ("importance", "spectrum", "activity"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, dict):
                object.__setattr__(self, name, _factors(name, value))

    def _kernel(self, phantom: Any, source: Any) -> tuple[bool, Any, Any, Any]:
        """Return what the kernel takes for it, with this phantom and this source.

        Raises
        ------
        InputError
            If shapes or names are others than theirs.
        DtypeError
            If importances are of the other kind of phantom.
        """
        importance = None if self.importance is None else _by_cell(self.importance, phantom)
        spectrum = (
            None if self.spectrum is None else _of_shape("spectrum", self.spectrum, source.spectrum.energies.shape)
        )
        return self.force, importance, spectrum, None if self.activity is None else _by_voxel(self.activity, source)

    def __reduce__(self) -> tuple[Any, ...]:
        return Biasing, (self.force, self.importance, self.spectrum, self.activity)


def _factors(name: str, value: Any) -> np.ndarray:
    """Return positive numbers, read-only."""
    factors = _checks.finite(name, _checks.array(name, value, allow_complex=False)).astype(np.float64)
    if not factors.size or not factors.min() > 0:
        least = factors.min() if factors.size else "none"
        raise InputError(
            f"{name}: expected numbers > 0, got {least} as the least. What is never looked at would be lost"
        )
    factors.setflags(write=False)
    return factors


def _of_shape(name: str, factors: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if factors.shape != shape:
        raise InputError(f"{name}: expected shape {shape}, one number for each, got {factors.shape}")
    return factors


def _by_cell(importance: Any, phantom: Any) -> np.ndarray:
    """Return importances in the order of the kernel: voxels and what surrounds them, or solids and the world."""
    grid = getattr(phantom, "grid", None)
    if isinstance(importance, dict) != (grid is None):
        wanted = "a mapping of names of solids" if grid is None else "an array of the phantom's shape"
        raise DtypeError(f"importance: expected {wanted} for this phantom, got {type(importance).__name__}")
    if grid is None:
        unknown = sorted(set(importance) - set(phantom.names))
        if unknown:
            raise InputError(f"importance: expected names of {', '.join(phantom.names)}, got {unknown[0]!r}")
        return np.array([importance.get(name, 1.0) for name in phantom.names], np.float32)
    _of_shape("importance", importance, grid.shape)
    voxels = np.ascontiguousarray(grid.to_aligned(importance), np.float32).ravel()
    return voxels if phantom.outside == "vacuum" else np.append(voxels, voxels.min())


def _by_voxel(activity: np.ndarray, source: Any) -> np.ndarray:
    """Return factors in the order of a source's voxels."""
    if getattr(source, "activity", None) is None:
        raise InputError(f"activity: expected a VolumeSource, got {type(source).__name__}, which has no voxels")
    _of_shape("activity", activity, source.grid.shape)
    return np.ascontiguousarray(source.grid.to_aligned(activity), np.float32).ravel()
