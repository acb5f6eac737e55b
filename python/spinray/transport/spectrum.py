"""Photon energies: lines, bins, and the spectra of x-ray tubes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks
from ..errors import DtypeError, InputError
from .materials import ENERGIES, Material

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Spectrum"]

_KVP = (40.0, 150.0)
#: Thicker than any filter; a half-value layer beyond it is not looked for.
_THICKEST = 1e5


class Spectrum:
    """A distribution of photon energies.

    Immutable, comparable, hashable and picklable.

    Parameters
    ----------
    energies : array_like, shape (n,)
        Lines in keV, or the middles of bins.
    weights : array_like, shape (n,)
        Photon numbers in any unit, not negative; they are scaled to sum to 1.
    bin_width : float, optional
        Width in keV of every bin, filled uniformly; 0 for lines.
    photons_per_mas : float, optional
        Photons per sr and mAs of the tube, if it is one.

    Attributes
    ----------
    energies, weights : numpy.ndarray, shape (n,)
        In keV, and fractions of photons that sum to 1; read-only.
    bin_width : float
        In keV; 0 for lines.
    photons_per_mas : float or None
        Photons per sr and mAs.

    Raises
    ------
    InputError
        If an energy is outside 1 to 3000 keV, a weight negative, or all are 0.

    Examples
    --------
    >>> tc99m = Spectrum([140.5], [0.89])
    >>> tc99m.mean_energy
    140.5
    >>> Spectrum.tube(120, {"Al": 2.5}).half_value_layer("Al").__round__(1)  # mm
    4.2
    """

    __slots__ = ("bin_width", "energies", "photons_per_mas", "weights")

    energies: np.ndarray
    weights: np.ndarray
    bin_width: float
    photons_per_mas: float | None

    def __init__(
        self,
        energies: ArrayLike,
        weights: ArrayLike,
        bin_width: float = 0.0,
        photons_per_mas: float | None = None,
    ) -> None:
        energy = np.atleast_1d(_checks.doubles("energies", energies)).copy()
        weight = np.atleast_1d(_checks.doubles("weights", weights)).copy()
        width = _checks.positive("bin_width", bin_width, allow_zero=True)
        if energy.ndim != 1 or energy.shape != weight.shape or not energy.size:
            raise InputError(f"weights: expected one for each energy, got shapes {energy.shape} and {weight.shape}")
        low, high = ENERGIES
        outside = (energy - width / 2 < low) | (energy + width / 2 > high)
        if outside.any():
            first = float(energy[outside][0])
            hint = " MeV? multiply by 1000" if 0 < first < low else " eV? divide by 1000" if first > high else ""
            bins = f" in bins of {width:g} keV" if width else ""
            raise InputError(f"energy: expected {low:g} to {high:g} keV, got {first:g}{bins}.{hint}")
        if (weight < 0).any() or not weight.sum() > 0:
            raise InputError(f"weights: expected numbers >= 0, one of them positive, got {weight.min()} as the least")
        if photons_per_mas is not None:
            photons_per_mas = _checks.positive("photons_per_mas", photons_per_mas)
        self._set(energy, weight / weight.sum(), width, photons_per_mas)

    def _set(self, energies: np.ndarray, weights: np.ndarray, bin_width: float, photons: float | None) -> None:
        for array in (energies, weights):
            array.setflags(write=False)
        fields = {"energies": energies, "weights": weights, "bin_width": bin_width, "photons_per_mas": photons}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @classmethod
    def mono(cls, energy: float) -> Spectrum:
        """Return a single line.

        Parameters
        ----------
        energy : float
            In keV.

        Examples
        --------
        >>> Spectrum.mono(60)
        Spectrum(60 keV)
        """
        return cls([_checks.number("energy", energy)], [1.0])

    @classmethod
    def tube(
        cls,
        kvp: float,
        filtration: Mapping[str | Material, float] | None = None,
    ) -> Spectrum:
        """Return the spectrum of a tungsten tube with an anode angle of 12 degrees, on its central ray.

        Parameters
        ----------
        kvp : float
            Tube potential in kV, 40 to 150.
        filtration : mapping of (str or Material) to float, optional
            Materials in the beam and their thickness in mm, the tube's own included: ``{"Al": 2.5, "Cu": 0.1}``.
            None leaves the beam as it is behind the target, with its L lines: no real tube's.

        Returns
        -------
        Spectrum
            In bins of 1 keV, with photons per sr and mAs.

        Raises
        ------
        InputError
            If the potential is out of range, a material unknown, or a thickness negative.

        Notes
        -----
        Unfiltered spectra come from runs of SpekPy 2.5 with its model "casim" (Poludniowski, Omar, Bujila & Andreo
        2021, "Technical Note: SpekPy v2.0", Med. Phys. 48, 3630), every 2 kV; between them the bremsstrahlung divided
        by its distance from the end of the spectrum is interpolated, to 0.4 % of the photons at 41 kV and 0.1 % from
        60 kV on. Filters are this package's attenuation coefficients (narrow beam): behind 2.5 mm of aluminium,
        half-value layers are within 0.5 % of SpekPy's.

        Examples
        --------
        >>> beam = Spectrum.tube(80, {"Al": 2.5})
        >>> round(beam.mean_energy)  # keV
        43
        """
        potential = _checks.number("kvp", kvp, hint="In kV")
        if not _KVP[0] <= potential <= _KVP[1]:
            hint = " V? divide by 1000" if potential > 1000 else ""
            raise InputError(f"kvp: expected {_KVP[0]:g} to {_KVP[1]:g} kV, got {kvp!r}.{hint}")
        photons = _unfiltered(potential)
        lit = np.flatnonzero(photons)
        # The first bin reaches below the energies that are simulated.
        lit = lit[lit >= ENERGIES[0]]
        spectrum = cls(lit + 0.5, photons[lit], 1.0, float(photons[lit].sum()))
        if filtration is None:
            return spectrum
        if not isinstance(filtration, Mapping):
            problem = f"expected a mapping of materials to mm, got {type(filtration).__name__}"
            raise DtypeError(f"filtration: {problem}. Such as {{'Al': 2.5}}")
        for material, thickness in filtration.items():
            spectrum = spectrum.filtered(material, thickness)
        return spectrum

    def filtered(self, material: str | Material, thickness: float) -> Spectrum:
        """Return the spectrum behind a filter, in narrow-beam geometry.

        Parameters
        ----------
        material : str or Material
            What it is made of.
        thickness : float
            In mm.

        Raises
        ------
        InputError
            If the material is unknown (close names are listed), the thickness negative, or nothing is left.

        Examples
        --------
        >>> beam = Spectrum.tube(80, {"Al": 2.5})
        >>> beam.filtered("Cu", 0.2).mean_energy > beam.mean_energy
        True
        """
        depth = _checks.positive("thickness", thickness, allow_zero=True, hint="In mm")
        left = self.weights * np.exp(-depth * _material(material).attenuation(self.energies))
        share = float(left.sum())
        if not share > np.finfo(float).tiny:
            raise InputError(f"thickness: expected one that lets photons through, got {thickness!r} mm of {material}")
        photons = None if self.photons_per_mas is None else self.photons_per_mas * share
        return Spectrum(self.energies, left, self.bin_width, photons)

    @property
    def mean_energy(self) -> float:
        """Mean photon energy in keV."""
        return float(self.energies @ self.weights)

    @property
    def max_energy(self) -> float:
        """The largest energy in keV."""
        return float(self.energies[self.weights > 0].max()) + self.bin_width / 2

    def half_value_layer(self, material: str | Material = "Al", number: int = 1) -> float:
        """Return the thickness that halves the air kerma, in narrow-beam geometry.

        Parameters
        ----------
        material : str or Material
            What the layer is made of.
        number : int
            2 for the second half-value layer, which follows the first, and so on.

        Returns
        -------
        float
            In mm.

        Raises
        ------
        InputError
            If the material is unknown, or `number` below 1.

        Examples
        --------
        >>> import math
        >>> layer = Spectrum.mono(60).half_value_layer("Al")
        >>> math.isclose(layer, math.log(2) / Material("Al").attenuation(60))
        True
        """
        from scipy.optimize import brentq

        layers = _checks.integer("number", number, minimum=1)
        attenuation = _material(material).attenuation(self.energies)
        kerma = self.weights * self.energies * Material("air").mass_attenuation(self.energies, "energy_transfer")

        def depth(halvings: int) -> float:
            if not halvings:
                return 0.0
            goal = math.log(kerma.sum()) - halvings * math.log(2)

            def excess(x: float) -> float:
                # The least attenuated photons set the scale: no depth leaves nothing.
                least = attenuation[kerma > 0].min()
                return float(np.log((kerma * np.exp(-x * (attenuation - least))).sum()) - x * least - goal)

            return float(brentq(excess, 0.0, _THICKEST, xtol=1e-12))

        return depth(layers) - depth(layers - 1)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw photon numbers over energy.

        Parameters
        ----------
        ax
            Axes to draw into; new ones if None.

        Returns
        -------
        matplotlib.axes.Axes
        """
        import matplotlib.pyplot as plt

        axes = plt.subplots()[1] if ax is None else ax
        if self.bin_width:
            axes.step(self.energies, self.weights / self.bin_width, where="mid")
            axes.set_ylabel("photons per keV")
        else:
            axes.vlines(self.energies, 0.0, self.weights)
            axes.set_ylabel("photons")
        axes.set_xlabel("energy / keV")
        axes.set_ylim(bottom=0.0)
        return axes

    def _kernel(self) -> tuple[list[float], list[float], float]:
        """Give what the kernels take for a spectrum (`sources::Energies`)."""
        return self.energies.tolist(), self.weights.tolist(), self.bin_width

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Spectrum is immutable: make another one instead of setting {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spectrum):
            return NotImplemented
        return self._state() == other._state()

    def __hash__(self) -> int:
        return hash(self._state())

    def _state(self) -> tuple[Any, ...]:
        return self.energies.tobytes(), self.weights.tobytes(), self.bin_width, self.photons_per_mas

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.energies, self.weights, self.bin_width, self.photons_per_mas)

    def __repr__(self) -> str:
        if len(self.energies) == 1:
            return f"Spectrum({self.energies[0]:g} keV)"
        kind = f"bins of {self.bin_width:g} keV" if self.bin_width else "lines"
        low, high = self.energies[0], self.energies[-1]
        return f"Spectrum({len(self.energies)} {kind}, {low:g} to {high:g} keV, mean {self.mean_energy:.4g} keV)"


def as_spectrum(name: str, value: Any) -> Spectrum:
    """Return a spectrum from one, an energy in keV, or a mapping of line energies to photon numbers."""
    if isinstance(value, Spectrum):
        return value
    if isinstance(value, Mapping):
        return Spectrum(list(value), list(value.values()))
    try:
        return Spectrum.mono(_checks.number(name, value))
    except DtypeError:
        wanted = "an energy in keV, a Spectrum, or a mapping of energies to photon numbers"
        raise DtypeError(f"{name}: expected {wanted}, got {type(value).__name__}") from None


def _restored(energies: np.ndarray, weights: np.ndarray, bin_width: float, photons: float | None) -> Spectrum:
    """Return a pickled spectrum, to the bit."""
    spectrum = Spectrum.__new__(Spectrum)
    spectrum._set(energies, weights, bin_width, photons)
    return spectrum


def _material(material: str | Material) -> Material:
    return material if isinstance(material, Material) else Material(material)


@lru_cache(maxsize=1)
def _table() -> dict[str, np.ndarray]:
    """Return what tools/tube_spectra.py wrote."""
    file = resources.files(__package__).joinpath("tube_spectra.npz")
    with file.open("rb") as stream, np.load(stream) as table:
        return {name: table[name].astype(float) for name in table.files if name != "version"}


def _unfiltered(kvp: float) -> np.ndarray:
    """Return photons per sr and mAs in bins of 1 keV from 0 keV on."""
    table = _table()
    potentials, reduced = table["potentials"], table["bremsstrahlung"]
    i = min(int(np.searchsorted(potentials, kvp, side="right")) - 1, len(potentials) - 2)
    share = (kvp - potentials[i]) / (potentials[i + 1] - potentials[i])
    middles = np.arange(reduced.shape[1]) + 0.5
    # Beyond its own end the lower spectrum says nothing.
    lower = np.where(middles < potentials[i], reduced[i], reduced[i + 1])
    # Bins that the potential ends in are left out, so that no photon has more.
    end = np.where(middles + 0.5 <= kvp, kvp - middles, 0.0)
    photons = ((1 - share) * lower + share * reduced[i + 1]) * end
    photons[table["line_bins"].astype(int)] += (1 - share) * table["lines"][i] + share * table["lines"][i + 1]
    return np.asarray(photons)
