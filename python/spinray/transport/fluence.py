"""Fluence of photons: in every cell, in a region, or through a surface; by energy, if asked for."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .. import _checks, _core
from ..errors import InputError
from ..grid import Grid, Volume
from . import _plot
from ._precision import check_photons, frozen, rms_relative_error, std_error
from ._region import Region, as_region
from ._sums import ONE, Cells, Sums
from ._tally import Counted, Counter, check_name
from .surface import Surface, as_surface

__all__ = ["Flow", "Fluence", "FluenceResult"]


class Flow(Counter):
    """What is scored along flights: in every cell, in a region, or through a surface."""

    region: Region | None
    surface: Surface | None

    #: Edges of bins, where photons are told apart by energy.
    _edges: tuple[float, ...] | None = None

    def _check_place(self) -> None:
        """Check name, region and surface, of which one at most is given."""
        check_name(self.name)
        if self.region is not None and self.surface is not None:
            raise InputError("region, surface: expected one of them at most, got both. Score two tallies")
        object.__setattr__(self, "region", as_region(self.region))
        object.__setattr__(self, "surface", as_surface(self.surface))

    def _mixture(self) -> Any:
        """Return the material whose kerma is scored, as the kernel takes it; None for fluence."""
        return None

    def _kernel(self, cells: Cells) -> Any:
        if self.surface is not None:
            centre, axes, size = self.surface._kernel()
            return _core.crossing_tally(centre, axes, size, self._mixture(), self._edges)
        mask = None if self.region is None else self.region.mask(cells)
        return _core.flight_tally(self._mixture(), self._edges, mask)

    @property
    def _bins(self) -> tuple[int, ...]:
        """Shape that bins of energy add to each result."""
        return () if self._edges is None else (len(self._edges) - 1,)

    def _place(self, cells: Cells) -> tuple[int, ...]:
        """Return the shape of a result for each bin."""
        return cells.mass.shape if self.region is None and self.surface is None else ()

    def _shapes(self, cells: Cells) -> tuple[tuple[int, ...], ...]:
        return ((*self._bins, *self._place(cells)) or (1,),)

    def _region_shape(self, cells: Cells) -> tuple[int, ...]:
        place = self._place(cells)
        return (*self._bins, *(place if not place or cells.mesh is None else cells.mesh.shape))

    def _arranged(self, cells: Cells, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        shape = self._shapes(cells)[0]
        if not self._place(cells):
            return [values[0].reshape(shape)]
        each = values[0].reshape(math.prod(self._bins), -1)
        return [np.concatenate([cells.in_order(one)[None] for one in each]).reshape(shape)]


@dataclasses.dataclass(frozen=True)
class Fluence(Flow):
    """Fluence of photons, 1/mm2: in every cell of the phantom, in a region of it, or through a surface.

    In cells, the lengths of all flights through them over their volume; through a surface, 1 / |cos| over its area for
    every photon that crosses, at an angle to the normal, from either side (ICRU 2011, Report 85, section 3.1).

    Parameters
    ----------
    energies : array_like, optional
        Rising edges in keV: fluence in the bins between them, each with its lower edge, the last one with both.
        Photons outside of all are left out. All photons together unless given.
    region : array_like of bool, str or sequence of str, optional
        Voxels of the grid (or boxes of the mesh) of a phantom, or names of its solids: the mean fluence in all of them
        together instead of that in each cell.
    surface : Surface, optional
        Where photons are scored instead, in or outside the phantom. Photons that miss the phantom count; some must meet
        it.
    name : str
        What the result calls it.

    Raises
    ------
    InputError
        If edges do not rise, the region is empty, or region and surface are both given; when simulating, if the phantom
        has no such region, or bins times cells are more than 2**30.
    DtypeError
        If an argument is of another type.

    Notes
    -----
    Of photons that graze a surface, |cos| < 0.01, each scores as if |cos| were 0.005: the mean there, where the fluence
    does not change with the angle, and a variance that is finite (Clark 1966, Nucl. Sci. Eng. 27, 235). A parallel
    beam along a surface is not what a surface is for.

    Memory: 16 bytes for each bin of each cell.

    Examples
    --------
    >>> import numpy as np
    >>> import spinray
    >>> from spinray import transport
    >>> grid = spinray.Grid((10, 10, 10), spacing=10.0)
    >>> water = transport.VoxelPhantom(grid, ["water"], np.zeros(grid.shape, int))
    >>> beam = transport.PencilBeam((5, 5, -200), "z", energy=60.0)
    >>> behind = transport.Surface((5, 5, 100), "z", size=1000.0)
    >>> tallies = [Fluence(), Fluence(np.arange(10, 61, 10), surface=behind, name="behind")]
    >>> result = transport.simulate(water, beam, 20_000, tallies)
    >>> result["fluence"].mean.shape, result["fluence"].units, result["behind"].mean.shape
    ((10, 10, 10), '1/mm2 per history', (5,))
    """

    energies: Any = None
    region: Any = None
    surface: Surface | None = None
    name: str = "fluence"

    def __post_init__(self) -> None:
        self._check_place()
        if self.energies is not None:
            edges = _checks.doubles("energies", self.energies, shape=(None,), hint="Edges of bins in keV")
            if len(edges) < 2 or not (np.diff(edges) > 0).all():
                raise InputError(f"energies: expected two or more rising edges in keV, got {edges.tolist()}")
            object.__setattr__(self, "energies", tuple(edges.tolist()))

    @property
    def _edges(self) -> tuple[float, ...] | None:  # type: ignore[override]  # a plain value where there is none
        return self.energies

    def _result(self, scored: Counted, cells: Cells, n_histories: int) -> FluenceResult:
        return FluenceResult.of(self, scored.sums[0], cells, n_histories)


class FluenceResult:
    """Fluence with standard errors, per history or of a number of photons.

    Comes from a `Result`, as ``result["fluence"]``. Arrays are float64 and read-only, of the grid's shape (z, y, x) or
    (n_solids,); of a region or a surface they are single numbers. With bins of energy these come first: (n_bins, ...).

    Attributes
    ----------
    mean : numpy.ndarray or float
        In `units`: in each bin (not per keV).
    std_error : numpy.ndarray or float
        Standard error of `mean`, of single histories; infinite after a single history.
    relative_error : numpy.ndarray or float
        Standard error over mean; infinite where nothing was scored.
    units : str
        Of `mean`: "1/mm2 per history", or "1/mm2" after `scaled`.
    energies : numpy.ndarray or None
        Edges of bins in keV, shape (n_bins + 1,).
    grid : Grid or None
        Of the voxels; None for solids, regions and surfaces.
    solids : tuple of str
        Names of the cells, where these are solids.
    mesh : FluenceResult or None
        Of the mesh, where solids have one.
    n_histories : int
    """

    _UNITS: ClassVar[str] = "1/mm2"
    #: What the kernel's units are worth.
    _WORTH: ClassVar[float] = 1.0
    _WHAT: ClassVar[str] = "fluence"

    def __init__(
        self,
        sums: Sums,
        n_histories: int,
        size: float | np.ndarray,
        energies: tuple[float, ...] | None = None,
        grid: Grid | None = None,
        solids: tuple[str, ...] = (),
        mesh: Any = None,
        photons: float | None = None,
    ) -> None:
        self._sums, self._size, self._photons = sums, size, photons
        self.n_histories = n_histories
        self.energies = None if energies is None else frozen(np.array(energies))
        self.grid, self.solids, self.mesh = grid, solids, mesh
        self.units = f"{self._UNITS} per history" if photons is None else self._UNITS

    @classmethod
    def of(cls, tally: Flow, sums: Sums, cells: Cells, n_histories: int) -> Any:
        """Return the result of sums: of one place, of a grid, or of solids, those of a mesh apart."""
        edges = tally._edges
        if tally.surface is not None or tally.region is not None:
            # Sums over a surface are of fluence, those over a region of lengths.
            size = 1.0 if tally.region is None else cells.volume_of(tally.region.mask(cells))
            return cls(sums.part(..., tally._bins), n_histories, size, edges)
        if cells.grid is not None:
            return cls(sums, n_histories, cells.voxel_volume, edges, cells.grid)
        assert cells.volume is not None
        split, mesh = len(cells.names), None
        if cells.mesh is not None:
            boxes, shape = (..., slice(split, None)), cells.mesh.shape
            volume = cells.volume[split:].reshape(shape)
            mesh = cls(sums.part(boxes, (*tally._bins, *shape)), n_histories, volume, edges, cells.mesh)
        solids = sums.part((..., slice(split)), (*tally._bins, split))
        return cls(solids, n_histories, cells.volume[:split], edges, None, cells.names, mesh)

    @property
    def _unit(self) -> float | np.ndarray:
        """What the integer 1 of a mean is worth; 0 where there is no volume."""
        each = self._sums.scale * self._WORTH / ONE * (1.0 if self._photons is None else self._photons)
        size = np.asarray(self._size)
        # Where importances differ, so does what the integers of cells are worth.
        shape = np.broadcast_shapes(np.shape(each), size.shape)
        return np.divide(each, size, out=np.zeros(shape), where=size > 0)

    @functools.cached_property
    def mean(self) -> Any:  # noqa: D102  see the class
        return _given(self._sums.first / self.n_histories * self._unit)

    @functools.cached_property
    def std_error(self) -> Any:  # noqa: D102  see the class
        return _given(std_error(self._sums.first, self._sums.second, self.n_histories) * ONE * self._unit)

    @functools.cached_property
    def relative_error(self) -> Any:  # noqa: D102  see the class
        mean = np.asarray(self.mean)
        return _given(np.divide(self.std_error, mean, out=np.full(mean.shape, math.inf), where=mean > 0))

    @property
    def volume(self) -> Volume:
        """`mean` with its place in the world; bins of energy are its time axis.

        Raises
        ------
        InputError
            If it is not of a grid.
        """
        if self.grid is None:
            raise InputError("volume: solids, regions and surfaces have no grid. Use mean")
        return Volume(self.mean, self.grid.affine)

    def uncertainty(self, above: float = 0.5, region: Any = None) -> float:
        """Return one number for the statistical uncertainty: the rms of the relative standard errors.

        Parameters
        ----------
        above
            Entries of `mean` of more than this share of the largest count,
        region : array_like of bool, optional
            or those that are true, of the shape of `mean`.

        Returns
        -------
        float
            0.02 for 2 %; infinite if nothing was scored, or nothing in an entry of the region.

        Raises
        ------
        InputError
            If `above` is not in [0, 1), or the region has another shape or is empty.
        DtypeError
            If the region is not of booleans.
        """
        size = np.asarray(self._size)
        each = None if not size.ndim else np.broadcast_to(size, self._sums.first.shape)
        return rms_relative_error(self._sums, self.n_histories, above, region, each)

    def scaled(self, photons: float) -> Any:
        """Return the result of so many photons of the source instead of one history: see `DoseResult.scaled`.

        Raises
        ------
        InputError
            If the number is not positive, or this result was scaled before.
        DtypeError
            If it is no number.
        """
        number = check_photons(photons, self._photons)
        mesh = None if self.mesh is None else self.mesh.scaled(number)
        edges = None if self.energies is None else tuple(self.energies.tolist())
        return type(self)(self._sums, self.n_histories, self._size, edges, self.grid, self.solids, mesh, number)

    def plot(self, z: float | None = None, axes: Any = None) -> Any:
        """Draw it: a spectrum with its standard errors, a slice of a grid beside its errors, or solids as bars.

        Parameters
        ----------
        z
            Where to cut a grid, in mm: see `DoseResult.plot`.
        axes : matplotlib.axes.Axes or sequence of two, optional
            Where to draw; new ones in a new figure unless given.

        Returns
        -------
        matplotlib.axes.Axes, or numpy.ndarray of two

        Raises
        ------
        InputError
            If it is a single number or has spectra in several cells, `z` is outside the grid or there is none, or the
            number of axes is wrong.
        """
        if self.energies is not None and np.ndim(self.mean) == 1:
            return _plot.spectrum(self, z, axes, self._WHAT)
        if self.energies is not None or np.ndim(self.mean) == 0:
            fix = "A spectrum in a region, or a map of all photons, can be"
            raise InputError(f"plot: a result of shape {np.shape(self.mean)} cannot be drawn. {fix}")
        return _plot.bars(self, z, axes, self._WHAT) if self.grid is None else _plot.slice_of(self, z, axes, self._WHAT)

    def __getstate__(self) -> dict[str, Any]:
        # Without what was computed.
        return {name: value for name, value in vars(self).items() if not hasattr(type(self), name)}

    def __repr__(self) -> str:
        kind, shape = type(self).__name__, self._sums.first.shape
        return f"{kind}({shape}, {self.units}, {self.n_histories:,} histories)"


def _given(values: Any) -> Any:
    """Return what a user gets: a number, or an array that nobody writes to."""
    return frozen(values) if np.ndim(values) else float(values)
