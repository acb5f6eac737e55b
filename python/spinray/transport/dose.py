"""Energy and dose in every cell."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks, _core
from ..errors import InputError
from ..grid import Volume
from . import _plot
from ._precision import check_photons, frozen, rms_relative_error, std_error
from ._sums import ONE, Cells, Sums
from ._tally import Counted, Counter, check_name

__all__ = ["Dose", "DoseResult"]

#: Gy in a keV per g: exact since 2019, when the elementary charge became so.
GY_PER_KEV_PER_G = 1.602176634e-13


@dataclasses.dataclass(frozen=True)
class Dose(Counter):
    """Energy deposited in every cell of the phantom, and dose.

    Parameters
    ----------
    estimator : {"analogue", "track_length"}
        "analogue" scores what interactions deposit. "track_length" scores, for every flight of a photon through a cell,
        the energy that flights like it deposit there on average, E mu_tr(E) / rho per unit length and density
        (Williamson 1987, "Monte Carlo evaluation of kerma at a point for photon transport problems", Med. Phys. 14,
        567): kerma, which is dose where electrons stop near where they start. It scores in many more cells
        per history, and so needs fewer histories where few photons interact.
    name : str
        What the result calls it.

    Raises
    ------
    InputError
        If there is no such estimator, or the name is empty.
    DtypeError
        If the name is no text.

    Examples
    --------
    >>> Dose()
    Dose(estimator='analogue', name='dose')
    """

    estimator: str = "analogue"
    name: str = "dose"

    def __post_init__(self) -> None:
        _checks.choice("estimator", self.estimator, ("analogue", "track_length"))
        check_name(self.name)

    def _kernel(self, cells: Cells) -> Any:
        return _core.dose_tally() if self.estimator == "analogue" else _core.track_length_tally()

    def _shapes(self, cells: Cells) -> tuple[tuple[int, ...], ...]:
        return (cells.mass.shape,)

    def _region_shape(self, cells: Cells) -> tuple[int, ...]:
        return cells.mass.shape if cells.mesh is None else cells.mesh.shape

    def _arranged(self, cells: Cells, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [cells.in_order(values[0])]

    def _result(self, scored: Counted, cells: Cells, n_histories: int) -> DoseResult:
        return DoseResult.of(scored.sums[0], cells, n_histories)


class DoseResult:
    """Dose and deposited energy in every cell, per history or of a number of photons, with standard errors.

    Comes from a `Result`, as ``result["dose"]``. Arrays are float64, read-only, of the grid's shape (z, y, x), or
    (n_solids,), and are computed when first asked for.

    Attributes
    ----------
    mean : numpy.ndarray
        Dose in `units`; zero where there is no mass.
    std_error : numpy.ndarray
        Standard error of `mean`, of single histories, in `units`; infinite after a single history.
    energy : numpy.ndarray
        Deposited energy, in keV (per history, if `mean` is).
    energy_std_error : numpy.ndarray
        Standard error of `energy`.
    relative_error : numpy.ndarray
        Standard error over mean; infinite where nothing was scored.
    units : str
        Of `mean`: "Gy per history", or "Gy" after `scaled`.
    mass : numpy.ndarray
        g.
    grid : Grid or None
    solids : tuple of str
        Names of the cells where there is no grid.
    mesh : DoseResult or None
        Of the mesh, where solids have one.
    n_histories : int
    """

    def __init__(
        self,
        sums: Sums,
        cells: Cells,
        n_histories: int,
        photons: float | None = None,
        mesh: DoseResult | None = None,
    ) -> None:
        self._sums, self._cells = sums, cells
        self.mesh = mesh
        self.n_histories = n_histories
        self._photons = photons
        self.mass = cells.mass
        self.grid = cells.grid
        self.solids = cells.names
        self.units = "Gy per history" if photons is None else "Gy"

    @classmethod
    def of(cls, sums: Sums, cells: Cells, n_histories: int) -> DoseResult:
        """Return the result of sums over all cells, those of a mesh apart."""
        if cells.mesh is None:
            return cls(sums, cells, n_histories)
        split, shape = len(cells.names), cells.mesh.shape
        boxes = sums.part(slice(split, None), shape)
        mesh = cls(boxes, Cells(cells.mass[split:].reshape(shape), cells.mesh), n_histories)
        solids = sums.part(slice(split))
        return cls(solids, Cells(cells.mass[:split], None, cells.names), n_histories, None, mesh)

    @property
    def _keV(self) -> float | np.ndarray:
        """What the integer 1 of a mean is worth."""
        return self._sums.scale / ONE * (1.0 if self._photons is None else self._photons)

    @functools.cached_property
    def energy(self) -> np.ndarray:  # noqa: D102  see the class
        return frozen(self._sums.first / self.n_histories * self._keV)

    @functools.cached_property
    def energy_std_error(self) -> np.ndarray:  # noqa: D102  see the class
        return frozen(std_error(self._sums.first, self._sums.second, self.n_histories) * (ONE * self._keV))

    @functools.cached_property
    def mean(self) -> np.ndarray:  # noqa: D102  see the class
        return frozen(self._to_dose(self.energy))

    @functools.cached_property
    def std_error(self) -> np.ndarray:  # noqa: D102  see the class
        return frozen(self._to_dose(self.energy_std_error))

    @functools.cached_property
    def relative_error(self) -> np.ndarray:  # noqa: D102  see the class
        scored = self._sums.first > 0
        error = np.full(scored.shape, math.inf)
        return frozen(np.divide(self.energy_std_error, self.energy, out=error, where=scored))

    def _to_dose(self, energy: np.ndarray) -> np.ndarray:
        dose = np.zeros(energy.shape)
        return np.divide(energy * GY_PER_KEV_PER_G, self.mass, out=dose, where=self.mass > 0)

    @property
    def volume(self) -> Volume:
        """`mean` with its place in the world.

        Raises
        ------
        InputError
            If the cells are solids, which have no grid.
        """
        if self.grid is None:
            raise InputError("volume: the cells are solids, which have no grid. Use mean and solids")
        return Volume(self.mean, self.grid.affine)

    def uncertainty(self, above: float = 0.5, region: Any = None) -> float:
        """Return one number for the statistical uncertainty: the rms of the relative standard errors of cells.

        Parameters
        ----------
        above
            The cells are those of more than this share of the largest dose: a half, as is the custom (Chetty et al.
            2007, AAPM TG-105, Med. Phys. 34, 4818).
        region : array_like of bool, optional
            The cells instead: those that are true, of which every one with mass counts.

        Returns
        -------
        float
            0.02 for 2 %; infinite if nothing was scored, or nothing in a cell of the region.

        Raises
        ------
        InputError
            If `above` is not in [0, 1), or the region has another shape, or no cell with mass.
        DtypeError
            If the region is not of booleans.
        """
        return rms_relative_error(self._sums, self.n_histories, above, region, self.mass)

    def scaled(self, photons: float) -> DoseResult:
        """Return dose and energy of so many photons instead of one history.

        Parameters
        ----------
        photons
            Number of photons the source emits: ``100 * source.photons_per_mas`` for 100 mAs of a tube, decays times
            photons per decay for activity, fluence times area for a beam.

        Returns
        -------
        DoseResult
            In Gy and keV. Standard errors are those of the simulation: how far its mean may be off, not how much the
            dose of a real exposure fluctuates.

        Raises
        ------
        InputError
            If the number is not positive, or this result was scaled before.
        DtypeError
            If it is no number.
        """
        number = check_photons(photons, self._photons)
        mesh = None if self.mesh is None else self.mesh.scaled(number)
        return DoseResult(self._sums, self._cells, self.n_histories, number, mesh)

    def plot(self, z: float | None = None, axes: Any = None) -> Any:
        """Draw dose and relative standard error: of a slice of the grid side by side, of solids as bars.

        Parameters
        ----------
        z
            Where to cut the grid, in mm: the nearest slice of its first axis. Through the largest dose unless given.
        axes : sequence of two matplotlib.axes.Axes, optional
            Where to draw (one for solids); new ones in a new figure unless given.

        Returns
        -------
        matplotlib.axes.Axes, or numpy.ndarray of two

        Raises
        ------
        InputError
            If `z` is outside the grid, given for solids, or the number of axes is wrong.
        """
        return _plot.slice_of(self, z, axes) if self.grid is not None else _plot.bars(self, z, axes)

    def __getstate__(self) -> dict[str, Any]:
        # Without what was computed.
        return {name: value for name, value in vars(self).items() if not hasattr(type(self), name)}

    def __repr__(self) -> str:
        where = self._sums.first.shape if self.grid is not None else f"{len(self.solids)} solids"
        return f"DoseResult({where}, {self.units}, {self.n_histories:,} histories)"
