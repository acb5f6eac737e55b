"""Interactions of photons, one by one."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from .. import _core
from ._precision import frozen
from ._region import as_region
from ._sums import Cells
from ._tally import Listed, Lister, check_name

__all__ = ["Interactions", "InteractionsResult"]


@dataclasses.dataclass(frozen=True)
class Interactions(Lister):
    """Every interaction of every photon: where, in what, of which kind, and what energy it left there.

    What studies of detectors start from: which crystals a photon met, in what order, with what energies.

    Parameters
    ----------
    region : array_like of bool, str or sequence of str, optional
        Where interactions are listed: voxels of the grid (or boxes of the mesh) of a phantom, or names of its solids;
        everywhere unless given. Each takes some 60 bytes, and there may be some ten for each photon.
    name : str
        What the result calls it.

    Raises
    ------
    InputError
        If the name or the region is empty; when simulating, if the phantom has no such region.
    DtypeError
        If an argument is of another type.

    Examples
    --------
    >>> from spinray import transport
    >>> crystals = [transport.Box("LSO", (4, 4, 20), (4.2 * i, 0, 10), name=f"crystal {i}") for i in range(2)]
    >>> gamma = transport.PencilBeam((0, 0, -50), "z", energy=511.0)
    >>> phantom = transport.SolidPhantom(crystals)
    >>> found = transport.simulate(phantom, gamma, 2000, [Interactions(region=["crystal 0", "crystal 1"])])
    >>> hits = found["interactions"]
    >>> per_photon = np.add.reduceat(hits.energy, hits.offsets[:-1])  # keV
    >>> bool(per_photon.max() <= 511.001), hits.processes[0]
    (True, 'photoelectric')
    """

    region: Any = None
    name: str = "interactions"

    _COLUMNS: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        "history": (np.uint64, ()),
        "order": (np.uint32, ()),
        "position": (np.float64, (3,)),
        "cell": (np.uint32, ()),
        "energy": (np.float32, ()),
        "photon_energy": (np.float32, ()),
        "weight": (np.float32, ()),
        "process": (np.uint8, ()),
        "emission": (np.uint8, ()),
    }

    def __post_init__(self) -> None:
        check_name(self.name)
        object.__setattr__(self, "region", as_region(self.region))

    def _kernel(self, cells: Cells) -> Any:
        return _core.interaction_tally(None if self.region is None else self.region.mask(cells))

    def _result(self, scored: Listed, cells: Cells, n_histories: int) -> InteractionsResult:
        return InteractionsResult(scored, cells, n_histories)


class InteractionsResult:
    """Interactions by seed and history, those of one history in the order in which they were simulated.

    Comes from a `Result`, as ``result["interactions"]``; `len` counts interactions. Arrays are read-only. A photon is
    followed to its end, then the photons it gave rise to, the last one first.

    Attributes
    ----------
    position : numpy.ndarray, shape (n, 3)
        (x, y, z) in mm.
    cell : numpy.ndarray, shape (n,)
        Where it is: index into the raveled grid (`numpy.unravel_index` knows which voxel), -1 around it; or into
        `solids`, from ``len(solids)`` on into the raveled mesh. int64.
    energy : numpy.ndarray, shape (n,)
        Left on the spot by electrons, keV; 0 for Rayleigh scattering.
    photon_energy : numpy.ndarray, shape (n,)
        Of the photon before, keV.
    process : numpy.ndarray, shape (n,)
        Index into `processes`; uint8.
    processes : tuple of str
        "photoelectric", "compton", "rayleigh", "pair".
    order : numpy.ndarray, shape (n,)
        How many interactions of its history came before, in the region or not; uint32.
    emission : numpy.ndarray, shape (n,)
        0 for a photon of the source, 1 for one of fluorescence or annihilation, 2 for one that came of such; uint8.
    weight : numpy.ndarray, shape (n,)
        How many photons it stands for: 1 in analogue simulations.
    seed, history : numpy.ndarray, shape (n,)
        Which history it belongs to.
    offsets : numpy.ndarray, shape (n_events + 1,)
        Where histories begin: those with interactions are the events, and event k has rows offsets[k] to
        offsets[k + 1], as ``numpy.add.reduceat(energy, offsets[:-1])`` likes them. int64.
    solids : tuple of str
        Names, where there is no grid.
    n_histories : int
        Of the simulation, those without interactions included.
    """

    processes: ClassVar[tuple[str, ...]] = ("photoelectric", "compton", "rayleigh", "pair")

    def __init__(self, listed: Listed, cells: Cells, n_histories: int) -> None:
        self.n_histories = n_histories
        self.solids = cells.names
        rows = listed.rows
        self.seed, self.history, self.order = listed.seed, rows["history"], rows["order"]
        self.position, self.energy, self.photon_energy = rows["position"], rows["energy"], rows["photon_energy"]
        self.weight, self.process, self.emission = rows["weight"], rows["process"], rows["emission"]
        self.cell = frozen(cells.index(rows["cell"]))
        changes = (np.diff(self.history) != 0) | (np.diff(self.seed) != 0)
        first = [0] if len(self.history) else []
        self.offsets = frozen(
            np.concatenate([first, np.flatnonzero(changes) + 1, [len(self.history)]]).astype(np.int64)
        )

    def __len__(self) -> int:
        return len(self.energy)

    def __repr__(self) -> str:
        events = len(self.offsets) - 1
        return f"InteractionsResult({len(self):,} in {events:,} of {self.n_histories:,} histories)"
