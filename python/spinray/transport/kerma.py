"""Kerma in a material, wherever photons fly."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from ..errors import DtypeError
from ._sums import Cells
from ._tally import Counted
from .dose import GY_PER_KEV_PER_G
from .fluence import Flow, FluenceResult
from .materials import Material
from .surface import Surface

__all__ = ["Kerma", "KermaResult"]


@dataclasses.dataclass(frozen=True)
class Kerma(Flow):
    """Kerma in a material under the fluence of the photons, Gy: what a little of it would receive there.

    The integral of the fluence over energy with E mu_tr(E) / rho of the material (ICRU 2011, Report 85, section 5.2),
    whatever the matter is that the photons are in: air kerma in vacuum, in air, or in a patient.

    Parameters
    ----------
    material : str or Material
        Its density does not matter.
    region, surface, name
        As for `Fluence`: where; in every cell of the phantom unless given.

    Raises
    ------
    InputError
        If there is no such material; and as for `Fluence`.
    DtypeError
        If an argument is of another type.

    Notes
    -----
    Energies handed to electrons, with fluorescence taken off and bremsstrahlung left in: collision kerma is smaller by
    the share that electrons lose to bremsstrahlung, below 0.1 % in air up to 200 keV.

    Examples
    --------
    >>> import numpy as np
    >>> import spinray
    >>> from spinray import transport
    >>> box = transport.SolidPhantom([], bounds=((-5, -5, 0), (5, 5, 10)))  # nothing
    >>> beam = transport.PencilBeam((0, 0, -200), "z", energy=60.0)
    >>> air = Kerma(surface=transport.Surface((0, 0, 1000), "z", size=20.0))
    >>> result = transport.simulate(box, beam, 1000, [air])["kerma"]
    >>> result.units
    'Gy per history'
    >>> expected = 60 * transport.Material("air").mass_attenuation(60, "energy_transfer") * 100 / 20**2  # keV/g
    >>> round(result.mean / (expected * 1.602176634e-13), 3)
    1.0
    """

    material: Any = "air"
    region: Any = None
    surface: Surface | None = None
    name: str = "kerma"

    def __post_init__(self) -> None:
        self._check_place()
        if isinstance(self.material, Material):
            # Plain values: what a file holds.
            object.__setattr__(self, "material", tuple(self.material.composition.items()))
        elif isinstance(self.material, Sequence) and not isinstance(self.material, str):
            object.__setattr__(self, "material", tuple((symbol, part) for symbol, part in self.material))
        elif not isinstance(self.material, str):
            wanted = "the name of a material or a transport.Material"
            raise DtypeError(f"material: expected {wanted}, got {type(self.material).__name__}")
        self._mixture()

    def _mixture(self) -> Any:
        if isinstance(self.material, str):
            return Material(self.material)._kernel()
        return Material.from_composition(dict(self.material), density=1.0)._kernel()

    def _result(self, scored: Counted, cells: Cells, n_histories: int) -> KermaResult:
        result: KermaResult = KermaResult.of(self, scored.sums[0], cells, n_histories)
        return result


class KermaResult(FluenceResult):
    """Kerma with standard errors; attributes as of `FluenceResult`, in "Gy per history" or, after `scaled`, "Gy"."""

    _UNITS: ClassVar[str] = "Gy"
    _WORTH: ClassVar[float] = GY_PER_KEV_PER_G
    _WHAT: ClassVar[str] = "kerma"
