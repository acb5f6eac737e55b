"""Photons that have left the phantom, one by one."""

from __future__ import annotations

import numpy as np

from ._sums import Photons

__all__ = ["PhaseSpaceResult"]


class PhaseSpaceResult:
    """Photons that have left the phantom, by seed and history, those of one history in the order they left.

    Comes from a `Result`, as ``result["phase space"]``; `len` counts photons. Arrays are read-only. A photon of the
    source that has met no matter is among them.

    Attributes
    ----------
    position : numpy.ndarray, shape (n, 3)
        (x, y, z) in mm where it crossed the box around the phantom; its source, if it missed the box.
    direction : numpy.ndarray, shape (n, 3)
        Unit vectors.
    energy : numpy.ndarray, shape (n,)
        keV.
    weight : numpy.ndarray, shape (n,)
        How many photons it stands for: 1 in analogue simulations.
    compton, rayleigh, emission : numpy.ndarray, shape (n,)
        How often it was scattered, and how many of fluorescence and annihilation led to it; uint8.
    seed, history : numpy.ndarray, shape (n,)
        Which history it belongs to.
    n_histories : int
        Of the simulation: sums over photons, divided by it, are per history.
    """

    def __init__(self, photons: Photons, n_histories: int) -> None:
        self.n_histories = n_histories
        self.seed, self.history = photons.seed, photons.history
        self.position, self.direction = photons.position, photons.direction
        self.energy, self.weight = photons.energy, photons.weight
        self.compton, self.rayleigh, self.emission = photons.orders.T

    @property
    def primary(self) -> np.ndarray:
        """Which photons are the source's own, never scattered; shape (n,), bool."""
        return (self.compton == 0) & (self.rayleigh == 0) & (self.emission == 0)

    def __len__(self) -> int:
        return len(self.energy)

    def __repr__(self) -> str:
        return f"PhaseSpaceResult({len(self):,} photons of {self.n_histories:,} histories)"
