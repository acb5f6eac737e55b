"""Materials by name, by formula and by weight; their attenuation; CT numbers to materials.

Named materials stand in `materials.csv`, each with its source. Cross sections below 800 keV are those of EPDL97 as
xraylib distributes them; `tools/photon_data.py` says where the rest is from.
"""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks, _core
from ..errors import DtypeError, InputError

__all__ = ["Material", "hounsfield_to_materials", "material_names"]

KINDS = ("total", "photo", "compton", "rayleigh", "pair", "energy_transfer", "energy_absorption")

#: Photon energies in keV for which there is data.
ENERGIES = (1.0, 3000.0)

#: Denser than any matter on earth, in g/cm3.
_DENSEST = 23.0


class Material:
    """A mixture of elements of some density.

    Immutable, hashable, comparable (by density and composition, not by name) and picklable.

    Parameters
    ----------
    name : str
        A named material such as "water", "cortical bone" or "CdTe" (`material_names` lists them all), an element by
        name or symbol. Case, blanks, hyphens and underscores do not matter.
    density : float, optional
        Density in g/cm3, if not the usual one.

    Raises
    ------
    InputError
        If there is no such material (close names are listed), or the density is not positive.

    See Also
    --------
    Material.from_formula, Material.from_composition, Material.mixture

    Examples
    --------
    >>> water = Material("water")
    >>> water
    Material('water', density=1 g/cm3, H 0.1119 O 0.8881)
    >>> round(water.attenuation(60), 4)
    0.0206
    >>> Material("Pb").density
    11.35
    """

    __slots__ = ("_composition", "_density", "_name")

    _name: str
    _density: float
    _composition: tuple[tuple[str, float], ...]

    def __init__(self, name: str, density: float | None = None) -> None:
        entry = _entry(name)
        self._set(entry.name, entry.density if density is None else density, entry.fractions)

    def _set(self, name: str, density: float, fractions: Mapping[str, float]) -> None:
        if not isinstance(name, str):
            raise DtypeError(f"name: expected a string, got {type(name).__name__}")
        total = math.fsum(fractions.values())
        parts = sorted((_number(symbol), symbol, value / total) for symbol, value in fractions.items() if value > 0)
        self._keep(name, _density(density), tuple((symbol, value) for _, symbol, value in parts))

    def _keep(self, name: str, density: float, composition: tuple[tuple[str, float], ...]) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_density", density)
        object.__setattr__(self, "_composition", composition)

    @classmethod
    def from_composition(cls, composition: Mapping[str, float], density: float, name: str | None = None) -> Material:
        """Return a mixture of elements by weight.

        Parameters
        ----------
        composition : mapping of str to float
            Parts by weight of each element, by symbol; scaled to sum to 1.
        density : float
            Density in g/cm3.
        name : str, optional
            What to call it.

        Raises
        ------
        InputError
            If a symbol is unknown, a part is negative, or there is none.

        Examples
        --------
        >>> Material.from_composition({"H": 11.19, "O": 88.81}, density=1.0).composition["O"]
        0.8881
        """
        parts = {_symbol(symbol, "composition"): part for symbol, part in _weights("composition", composition).items()}
        return cls._new(name or " ".join(f"{symbol} {part:g}" for symbol, part in parts.items()), density, parts)

    @classmethod
    def from_formula(cls, formula: str, density: float, name: str | None = None) -> Material:
        """Return a compound.

        Parameters
        ----------
        formula : str
            Symbols with numbers of atoms, which need not be whole, and brackets: "CsI", "Ca10(PO4)6(OH)2",
            "Cd0.9Zn0.1Te".
        density : float
            Density in g/cm3.
        name : str, optional
            What to call it, if not by its formula.

        Raises
        ------
        InputError
            If the formula cannot be read (the message says where), or the density is not positive.

        Examples
        --------
        >>> Material.from_formula("CsI", density=4.51)
        Material('CsI', density=4.51 g/cm3, I 0.4884 Cs 0.5116)
        """
        return cls._new(name or formula, density, _by_weight(_atoms(formula)))

    @classmethod
    def mixture(
        cls,
        parts: Mapping[str | Material, float],
        density: float | None = None,
        name: str | None = None,
    ) -> Material:
        """Return a mixture by weight of materials.

        Parameters
        ----------
        parts : mapping of (str or Material) to float
            Parts by weight of each: a material, its name or a formula; scaled to sum to 1.
        density : float, optional
            Density in g/cm3. None: volumes add up, which needs the densities of all parts (a formula has none).
        name : str, optional
            What to call it.

        Raises
        ------
        InputError
            If a part is negative or there is none, a name is unknown, or a density is missing.

        Examples
        --------
        >>> saline = Material.mixture({"water": 0.991, "NaCl": 0.009}, density=1.004, name="saline")
        >>> {symbol: round(part, 4) for symbol, part in saline.composition.items()}
        {'H': 0.1109, 'O': 0.8801, 'Na': 0.0035, 'Cl': 0.0055}
        >>> round(Material.mixture({"water": 0.5, "iodine": 0.5}).density, 3)
        1.663
        """
        weights = _weights("parts", parts)
        total = math.fsum(weights.values())
        fractions: dict[str, float] = {}
        volume = 0.0
        for part, weight in weights.items():
            own_density, own = _part(part)
            for symbol, fraction in own.items():
                fractions[symbol] = fractions.get(symbol, 0.0) + weight / total * fraction
            if density is None and own_density is None:
                raise InputError(f"density: expected one in g/cm3, as {part!r} is a formula without one. Got None")
            volume += weight / total / (own_density or math.nan)
        label = " + ".join(
            f"{weight:g} {part._name if isinstance(part, Material) else part}" for part, weight in weights.items()
        )
        return cls._new(name or label, 1 / volume if density is None else density, fractions)

    @classmethod
    def _new(cls, name: str, density: float, fractions: Mapping[str, float]) -> Material:
        material = cls.__new__(cls)
        material._set(name, density, fractions)
        return material

    @classmethod
    def _restored(cls, name: str, density: float, composition: tuple[tuple[str, float], ...]) -> Material:
        """Build from what another one holds, to the bit."""
        material = cls.__new__(cls)
        material._keep(name, density, composition)
        return material

    def with_density(self, density: float) -> Material:
        """Return the same matter at another density in g/cm3.

        Examples
        --------
        >>> Material("lung").with_density(0.26).density
        0.26
        """
        return self._restored(self._name, _density(density), self._composition)

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def density(self) -> float:
        """Density in g/cm3."""
        return self._density

    @property
    def composition(self) -> Mapping[str, float]:
        """Fractions by weight by symbol, in order of the atomic number; they sum to 1."""
        return MappingProxyType(dict(self._composition))

    @property
    def edges(self) -> np.ndarray:
        """Absorption edges from 1 keV on, in keV and in order, float64 of shape (n,)."""
        return np.array(_core.absorption_edges(self._kernel()))

    def attenuation(self, energy: ArrayLike, kind: str = "total") -> Any:
        """Return linear attenuation coefficients.

        At an edge, the coefficient above it is returned.

        Parameters
        ----------
        energy : array_like
            Photon energies in keV, 1 to 3000, of any shape.
        kind : str, optional
            "photo", "compton" (with electron binding), "rayleigh", "pair" (triplets included), or "total", their sum;
            "energy_transfer": what is handed to electrons, with fluorescence taken off; "energy_absorption": that less
            their bremsstrahlung, which is known to some 10 %.

        Returns
        -------
        float or numpy.ndarray
            In 1/mm, float64, of the shape of `energy`.

        Raises
        ------
        InputError
            If an energy is outside 1 to 3000 keV or `kind` is unknown.

        Notes
        -----
        Below 800 keV from EPDL97 (Cullen, Hubbell & Kissel 1997, UCRL-50400 Vol. 6 Rev. 5) by way of xraylib
        (Schoonjans et al. 2011, Spectrochim. Acta B 66, 776); above by extrapolation, with the pair production of the
        Geant4 Physics Reference Manual, corrected for heavy elements. Totals are within 0.2 % of NIST's (Hubbell &
        Seltzer 1995, NISTIR 5632) for water, aluminium, copper, tungsten and lead, from 20 keV to 3 MeV; energy
        absorption is within 0.2 % for water, and 3 % for lead.

        Examples
        --------
        >>> lead = Material("lead")
        >>> lead.attenuation([88.0, 88.01]).round(2)  # either side of the K edge
        array([2.17, 8.72])
        """
        values = self.mass_attenuation(energy, kind) * (self._density / 10)
        return float(values) if np.ndim(values) == 0 else values

    def mass_attenuation(self, energy: ArrayLike, kind: str = "total") -> Any:
        """Return mass attenuation coefficients in cm2/g; see `attenuation`.

        Examples
        --------
        >>> round(Material("water").mass_attenuation(100.0), 4)
        0.1707
        """
        chosen = _checks.choice("kind", kind, KINDS)
        energies = _energies(energy)
        values = _core.mass_attenuation(self._kernel(), chosen, energies.ravel()).reshape(energies.shape)
        return values if values.ndim else float(values)

    def _kernel(self) -> tuple[str, float, list[tuple[int, float]]]:
        """Give what the kernels take for a material (`matter::Mixture`)."""
        return self._name, self._density, [(_number(symbol), fraction) for symbol, fraction in self._composition]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Material is immutable: make another one instead of setting {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Material is immutable: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Material):
            return NotImplemented
        return (self._density, self._composition) == (other._density, other._composition)

    def __hash__(self) -> int:
        return hash((self._density, self._composition))

    def __reduce__(self) -> tuple[Any, ...]:
        return Material._restored, (self._name, self._density, self._composition)

    def __repr__(self) -> str:
        parts = " ".join(f"{symbol} {fraction:.4g}" for symbol, fraction in self._composition)
        return f"Material({self._name!r}, density={self._density:g} g/cm3, {parts})"


def _density(value: Any) -> float:
    density = _checks.positive("density", value, hint="In g/cm3: water has 1")
    if density > _DENSEST:
        raise InputError(f"density: expected g/cm3 up to {_DENSEST:g}, got {value!r}. kg/m3? divide by 1000")
    return density


def material_names() -> tuple[str, ...]:
    """Return the names of all named materials, elements first.

    Examples
    --------
    >>> names = material_names()
    >>> names[0], "cortical bone" in names
    ('hydrogen', True)
    """
    return tuple(entry.name for entry in _entries())


class _Entry:
    """A row of materials.csv."""

    __slots__ = ("aliases", "density", "fractions", "name", "source")

    def __init__(self, row: Mapping[str, str]) -> None:
        self.name = row["name"]
        self.aliases = [alias.strip() for alias in row["aliases"].split("|") if alias.strip()]
        self.density = float(row["density"])
        self.source = row["source"]
        text = row["composition"]
        words = text.split()
        if text.startswith("="):
            self.fractions = _by_weight(_atoms(text[1:]))
        elif len(words) == 1:
            self.fractions = {text: 1.0}
        else:
            self.fractions = dict(zip(words[::2], map(float, words[1::2]), strict=True))


@lru_cache(maxsize=1)
def _rows() -> list[dict[str, str]]:
    text = resources.files(__package__).joinpath("materials.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@lru_cache(maxsize=1)
def _numbers() -> dict[str, int]:
    """Atomic numbers by symbol: the elements come first in the table, in order."""
    elements = range(len(_core.atomic_weights()))
    return {row["composition"]: z + 1 for z, row in zip(elements, _rows(), strict=False)}


@lru_cache(maxsize=1)
def _entries() -> tuple[_Entry, ...]:
    return tuple(_Entry(row) for row in _rows())


@lru_cache(maxsize=1)
def _by_key() -> dict[str, _Entry]:
    return {_key(name): entry for entry in _entries() for name in (entry.name, *entry.aliases)}


def _key(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


def _entry(name: Any) -> _Entry:
    if not isinstance(name, str):
        raise DtypeError(f"name: expected the name of a material, got {type(name).__name__}")
    found = _by_key().get(_key(name))
    if found is None:
        raise InputError(_unknown(name))
    return found


def _unknown(name: str) -> str:
    table = _by_key()
    close = [table[key].name for key in difflib.get_close_matches(_key(name), table, n=5, cutoff=0.6)]
    close += [entry.name for entry in _entries() if len(_key(name)) > 2 and _key(name) in _key(entry.name)]
    names = ", ".join(map(repr, dict.fromkeys(close))) or "see material_names()"
    return f"name: expected the name of a material, got {name!r}. Close: {names}; a compound: Material.from_formula"


def _number(symbol: str) -> int:
    return _numbers()[symbol]


def _symbol(symbol: Any, argument: str) -> str:
    if symbol not in _numbers():
        raise InputError(f"{argument}: expected symbols of elements (H to Cf), got {symbol!r}")
    return str(symbol)


def _weights(argument: str, parts: Any) -> dict[Any, float]:
    if not isinstance(parts, Mapping):
        raise DtypeError(f"{argument}: expected a mapping of names to parts by weight, got {type(parts).__name__}")
    weights = {key: _checks.positive(f"{argument}[{key!r}]", value, allow_zero=True) for key, value in parts.items()}
    if not any(weights.values()):
        raise InputError(f"{argument}: expected at least one part by weight above 0, got {dict(parts)!r}")
    return weights


def _part(part: Any) -> tuple[float | None, Mapping[str, float]]:
    """Give density, if it is known, and fractions by weight of a part of a mixture."""
    if isinstance(part, Material):
        return part.density, part.composition
    if isinstance(part, str) and _key(part) in _by_key():
        material = Material(part)
        return material.density, material.composition
    if isinstance(part, str) and all(symbol in _numbers() for symbol in re.findall("[A-Z][a-z]?", part)):
        try:
            return None, _by_weight(_atoms(part))
        except InputError:
            pass
    raise InputError(_unknown(part) if isinstance(part, str) else f"parts: expected materials or names, got {part!r}")


_TOKEN = re.compile(r"([A-Z][a-z]?)|([(\[])|([)\]])|(\d+(?:\.\d*)?|\.\d+)")


def _atoms(formula: Any) -> dict[str, float]:
    """Read a formula: atoms by symbol."""
    if not isinstance(formula, str):
        raise DtypeError(f"formula: expected a string such as 'CsI', got {type(formula).__name__}")

    def refuse(problem: str, position: int) -> InputError:
        return InputError(
            f"formula: {problem} at position {position} of {formula!r}. Expected such as 'Ca10(PO4)6(OH)2'"
        )

    levels: list[dict[str, float]] = [{}]
    last: dict[str, float] | None = None
    position = 0
    while position < len(formula):
        token = _TOKEN.match(formula, position)
        if token is None:
            raise refuse(f"got {formula[position]!r}", position)
        symbol, opened, closed, count = token.groups()
        if count:
            if last is None or not float(count) > 0:
                raise refuse(f"got the number {count}", position)
            _add(levels[-1], last, float(count) - 1)
            last = None
        elif symbol:
            if symbol not in _numbers():
                raise refuse(f"got no element {symbol!r}", position)
            last = {symbol: 1.0}
            _add(levels[-1], last, 1.0)
        elif opened:
            levels.append({})
            last = None
        elif closed:
            if len(levels) == 1 or not levels[-1]:
                raise refuse(f"got {closed!r}", position)
            last = levels.pop()
            _add(levels[-1], last, 1.0)
        position = token.end()
    if len(levels) > 1 or not levels[0]:
        raise refuse("got no end of a bracket" if len(levels) > 1 else "got no element", len(formula))
    return levels[0]


def _add(total: dict[str, float], atoms: Mapping[str, float], times: float) -> None:
    for symbol, count in atoms.items():
        total[symbol] = total.get(symbol, 0.0) + times * count


def _by_weight(atoms: Mapping[str, float]) -> dict[str, float]:
    weights = _core.atomic_weights()
    mass = {symbol: count * weights[_number(symbol) - 1] for symbol, count in atoms.items()}
    total = math.fsum(mass.values())
    return {symbol: value / total for symbol, value in mass.items()}


def _energies(energy: ArrayLike) -> np.ndarray:
    energies = _checks.doubles("energy", energy)
    low, high = ENERGIES
    bad = (energies < low) | (energies > high)
    if np.any(bad):
        first = float(energies[bad][0]) if energies.ndim else float(energies)
        hint = " MeV? multiply by 1000" if 0 < first < low else " eV? divide by 1000" if first > high else ""
        raise InputError(f"energy: expected {low:g} to {high:g} keV, got {first:g}.{hint}")
    return energies


#: Lower ends of the intervals of CT numbers, and fractions by weight in percent of H, C, N, O, Na, Mg, P, S, Cl, Ar, K,
#: Ca: Schneider, Bortfeld & Schlegel 2000, table 6.
_TISSUES: tuple[tuple[int, tuple[float, ...]], ...] = (
    (-1000, (0, 0, 75.5, 23.2, 0, 0, 0, 0, 0, 1.3, 0, 0)),
    (-950, (10.3, 10.5, 3.1, 74.9, 0.2, 0, 0.2, 0.3, 0.3, 0, 0.2, 0)),
    (-120, (11.6, 68.1, 0.2, 19.8, 0.1, 0, 0, 0.1, 0.1, 0, 0, 0)),
    (-82, (11.3, 56.7, 0.9, 30.8, 0.1, 0, 0, 0.1, 0.1, 0, 0, 0)),
    (-52, (11.0, 45.8, 1.5, 41.1, 0.1, 0, 0.1, 0.2, 0.2, 0, 0, 0)),
    (-22, (10.8, 35.6, 2.2, 50.9, 0, 0, 0.1, 0.2, 0.2, 0, 0, 0)),
    (8, (10.6, 28.4, 2.6, 57.8, 0, 0, 0.1, 0.2, 0.2, 0, 0.1, 0)),
    (19, (10.3, 13.4, 3.0, 72.3, 0.2, 0, 0.2, 0.2, 0.2, 0, 0.2, 0)),
    (80, (9.4, 20.7, 6.2, 62.2, 0.6, 0, 0, 0.6, 0.3, 0, 0, 0)),
    (120, (9.5, 45.5, 2.5, 35.5, 0.1, 0, 2.1, 0.1, 0.1, 0, 0.1, 4.5)),
    (200, (8.9, 42.3, 2.7, 36.3, 0.1, 0, 3.0, 0.1, 0.1, 0, 0.1, 6.4)),
    (300, (8.2, 39.1, 2.9, 37.2, 0.1, 0, 3.9, 0.1, 0.1, 0, 0.1, 8.3)),
    (400, (7.6, 36.1, 3.0, 38.0, 0.1, 0.1, 4.7, 0.2, 0.1, 0, 0, 10.1)),
    (500, (7.1, 33.5, 3.2, 38.7, 0.1, 0.1, 5.4, 0.2, 0, 0, 0, 11.7)),
    (600, (6.6, 31.0, 3.3, 39.4, 0.1, 0.1, 6.1, 0.2, 0, 0, 0, 13.2)),
    (700, (6.1, 28.7, 3.5, 40.0, 0.1, 0.1, 6.7, 0.2, 0, 0, 0, 14.6)),
    (800, (5.6, 26.5, 3.6, 40.5, 0.1, 0.2, 7.3, 0.3, 0, 0, 0, 15.9)),
    (900, (5.2, 24.6, 3.7, 41.1, 0.1, 0.2, 7.8, 0.3, 0, 0, 0, 17.0)),
    (1000, (4.9, 22.7, 3.8, 41.6, 0.1, 0.2, 8.3, 0.3, 0, 0, 0, 18.1)),
    (1100, (4.5, 21.0, 3.9, 42.0, 0.1, 0.2, 8.8, 0.3, 0, 0, 0, 19.2)),
    (1200, (4.2, 19.4, 4.0, 42.5, 0.1, 0.2, 9.2, 0.3, 0, 0, 0, 20.1)),
    (1300, (3.9, 17.9, 4.1, 42.9, 0.1, 0.2, 9.6, 0.3, 0, 0, 0, 21.0)),
    (1400, (3.6, 16.5, 4.2, 43.2, 0.1, 0.2, 10.0, 0.3, 0, 0, 0, 21.9)),
    (1500, (3.4, 15.5, 4.2, 43.5, 0.1, 0.2, 10.3, 0.3, 0, 0, 0, 22.5)),
)
_TISSUE_ELEMENTS = ("H", "C", "N", "O", "Na", "Mg", "P", "S", "Cl", "Ar", "K", "Ca")

#: Lower ends of the intervals, density at CT number 0 and slope: the same paper, equations 17 to 23.
_DENSITIES = ((-98, 1.018, 0.893e-3), (15, 1.03, 0.0), (23, 1.003, 1.169e-3), (101, 1.017, 0.592e-3))
_AIR_DENSITY = 1.21e-3
_LUNG_DENSITY = 0.93
_LARGEST_HU = 20000.0


def hounsfield_to_materials(hu: ArrayLike) -> tuple[np.ndarray, np.ndarray, tuple[Material, ...]]:
    """Return material and density of CT numbers, by the 24 tissues of Schneider et al.

    Their intervals were fitted to one scanner at 120 kV; CT numbers below -1000, such as the padding outside the
    field of view, are air; above 1600, where the paper ends, its densest bone with its density continued. Metal is not
    recognised: label it yourself.

    Parameters
    ----------
    hu : array_like
        CT numbers in HU, of any shape.

    Returns
    -------
    labels : numpy.ndarray
        Index into `materials`, uint8, of the shape of `hu`.
    density : numpy.ndarray
        In g/cm3, float32, of the shape of `hu`.
    materials : tuple of Material
        The 24 tissues, each with the density at the middle of its interval.

    Raises
    ------
    InputError
        If a CT number is NaN or infinite, or above 20000.

    Notes
    -----
    Schneider, Bortfeld & Schlegel 2000, "Correlation between CT numbers and tissue parameters needed for Monte Carlo
    simulations of clinical dose distributions", Phys. Med. Biol. 45, 459: compositions of table 6, densities of
    equations 17 to 23, from -1000 to -98 the line from air (0.00121 g/cm3) to 0.93 g/cm3. Their lines do not meet:
    from 100 to 101 HU, where soft tissue ends, density falls by 0.04 g/cm3.

    Examples
    --------
    >>> labels, density, materials = hounsfield_to_materials([-1000, 0, 1000])
    >>> [materials[label].name for label in labels]
    ['tissue below -950 HU', 'tissue -22 to 8 HU', 'tissue 1000 to 1100 HU']
    >>> density
    array([1.210e-03, 1.018e+00, 1.609e+00], dtype=float32)
    """
    hint = "Replace them, by -1000 (air) for instance"
    numbers = _checks.finite("hu", _checks.array("hu", hu, allow_complex=False), hint)
    if numbers.size and float(numbers.max()) > _LARGEST_HU:
        raise InputError(f"hu: expected CT numbers up to {_LARGEST_HU:g}, got {float(numbers.max()):g}")
    return *_matter_of(numbers), _tissues()


@lru_cache(maxsize=1)
def _by_hu() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, density and its slope at each whole CT number from -1000 on: all intervals begin at whole ones."""
    numbers = np.arange(-1000, int(_LARGEST_HU) + 1)
    labels = np.searchsorted([start for start, _ in _TISSUES[1:]], numbers, side="right").astype(np.uint8)
    lung = (_LUNG_DENSITY - _AIR_DENSITY) / (_DENSITIES[0][0] + 1000)
    offsets = np.array([_AIR_DENSITY + 1000 * lung, *(offset for _, offset, _ in _DENSITIES)])
    slopes = np.array([lung, *(slope for _, _, slope in _DENSITIES)])
    interval = np.searchsorted([start for start, _, _ in _DENSITIES], numbers, side="right")
    densities = offsets[interval] + slopes[interval] * numbers
    return labels, densities.astype(np.float32), slopes[interval].astype(np.float32)


def _matter_of(hu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give labels and densities."""
    labels, densities, slopes = _by_hu()
    inside = np.maximum(hu, -1000)
    whole = np.floor(inside)
    index = whole.astype(np.int32) + 1000
    return labels[index], densities[index] + slopes[index] * (inside - whole).astype(np.float32)


@lru_cache(maxsize=1)
def _tissues() -> tuple[Material, ...]:
    ends: Iterable[int] = [start for start, _ in _TISSUES[1:]] + [1600]
    result = []
    for (start, percent), end in zip(_TISSUES, ends, strict=True):
        name = f"tissue {start} to {end} HU" if start > -1000 else f"tissue below {end} HU"
        density = float(_matter_of(np.array([(start + end) / 2]))[1][0])
        parts = {symbol: value for symbol, value in zip(_TISSUE_ELEMENTS, percent, strict=True) if value}
        result.append(Material.from_composition(parts, density if start > -1000 else _AIR_DENSITY, name))
    return tuple(result)
