"""Write rust/transport/src/data/photons.bin: how photons interact with the elements 1 to 98.

Below 800 keV every number comes from xraylib 4.3 (BSD licence; Schoonjans et al. 2011, "The xraylib library for X-ray
matter interactions. Recent developments", Spectrochim. Acta B 66, 776), which holds EPDL97 (photoelectric effect,
Compton, Rayleigh, form factors, incoherent scattering functions), Kissel's partial photoelectric cross sections,
Biggs, Mendelsohn & Mann's Compton profiles (1975) and evaluated fluorescence data. From 800 keV to 3 MeV:

- photoelectric effect: the parabola in log-log fitted from 300 to 800 keV, scaled to meet the table at 800 keV;
- Compton: Klein-Nishina times S(x, Z), integrated over the angle, scaled likewise (by less than 0.5 %);
- Rayleigh: as E^-2.

Pair production is a formula of three polynomials and is evaluated by the loader. Run it in an environment that has
xraylib: ``python tools/photon_data.py``; rust/transport/src/matter/data.rs reads what this writes.

The file, little endian, all reals f32: the magic "SRPH", u32 version, u32 n_e = points of the energy grid (logarithmic,
1 to 3000 keV), u32 n_x = points of the grid of momentum transfer (logarithmic, 0.001 to 250 per Angstrom), u32 n_p and
n_p points of the grid of electron momentum in atomic units; then for each element from Z = 1 on:

- f32 atomic weight;
- u32 n, n energies (the grid plus every edge above 1 keV, twice) and n photoelectric cross sections in cm2/g: below
  the edge at its first place, above it at the second;
- n_e Compton, n_e Rayleigh cross sections in cm2/g, n_e mean fractions of the energy a Compton electron receives;
- n_x form factors F, n_x incoherent scattering functions S / Z;
- u32 n shells: for each u32 code (0 = K, 1 = L1, ... as xraylib counts), f32 electrons, f32 binding energy in keV, n_p
  values of the Compton profile of one electron, whose integral over all momenta is 1;
- u32 n inner shells (K, L1, L2, L3 above 1 keV): for each u32 code, N_RATIO ratios of its photoelectric cross section
  to that of all shells which are not inner ones, on a logarithmic grid from its edge to 3000 keV; u32 n transitions:
  for each f32 probability, f32 photon energy in keV (0: no photon), u32 and u32 the shells then vacant (9: one that
  is not tracked).
"""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import xraylib as x

OUT = Path(__file__).resolve().parents[1] / "rust/transport/src/data/photons.bin"

ELECTRON = 510.99895  # keV
HC = 12.39841984  # keV Angstrom
CLASSICAL = 0.0794078  # r_e^2 in barn
AVOGADRO = 0.602214076  # mol / barn cm2
TABLE_END = 800.0
ENERGIES = 3000.0 ** (np.arange(257) / 256)
TRANSFERS = 1e-3 * 2.5e5 ** (np.arange(193) / 192)
# Biggs's own momenta.
STEPS = [*np.arange(0, 0.2, 0.05), *np.arange(0.2, 0.8, 0.1), *np.arange(0.8, 2.0, 0.2)]
MOMENTA = np.array([*STEPS, 2.0, 2.4, 3, 4, 5, 6, 7, 8, 10, 15, 20, 30, 40, 60, 100])
N_RATIO = 33
# Standard atomic weights (CIAAW 2021, abridged; of the longest-lived isotope where there is none): xraylib's are
# rounded to 1.01 for hydrogen, while its cross sections are per gram of 1.008.
WEIGHTS = np.fromstring(
    """
1.008 4.0026 6.94 9.0122 10.81 12.011 14.007 15.999 18.998 20.180
22.990 24.305 26.982 28.085 30.974 32.06 35.45 39.95 39.098 40.078
44.956 47.867 50.942 51.996 54.938 55.845 58.933 58.693 63.546 65.38
69.723 72.630 74.922 78.971 79.904 83.798 85.468 87.62 88.906 91.224
92.906 95.95 98 101.07 102.91 106.42 107.87 112.41 114.82 118.71
121.76 127.60 126.90 131.29 132.91 137.33 138.91 140.12 140.91 144.24
145 150.36 151.96 157.25 158.93 162.50 164.93 167.26 168.93 173.05
174.97 178.49 180.95 183.84 186.21 190.23 192.22 195.08 196.97 200.59
204.38 207.2 208.98 209 210 222 223 226 227 232.04
231.04 238.03 237 244 243 247 247 251
""",
    sep=" ",
)
INNER = range(4)
UNTRACKED = 9
#: Distance from an edge beyond which the spline of the table is the curve itself.
CLEAR = 1e-3
#: Logarithmic slope above which the table is at an edge, and the one between edges.
STEEP, FALL = 25.0, -2.7
#: How far below the edge the table's may begin, and how far above it end; what rises later is the delayed onset of
#: M4 and M5.
NEAR, ONSET = 0.04, 0.006


def attempt(function, *arguments) -> float:
    """Give the table's number, 0 where it has none."""
    try:
        return function(*arguments)
    except ValueError:
        return 0.0


# Photoelectric effect.


def edges(z: int) -> list[float]:
    """Give the edges inside the grid, in order."""
    found = {attempt(x.EdgeEnergy, z, shell) for shell in range(31)}
    return sorted(e for e in found if 1.0 < e < TABLE_END)


def jumps(z: int) -> np.ndarray:
    """Give where the photoelectric table rises steeply, as rows (begin, end): EPDL97's edges.

    They are up to 2 % off the edges of other tables, and spread by the spline where it has no doubled points.
    """
    energies = np.exp(np.arange(0, math.log(TABLE_END), 2.5e-4))
    logs = np.log([x.CS_Photo(z, e) for e in energies])
    steep = np.flatnonzero(np.diff(logs) / 2.5e-4 > STEEP)
    return np.stack([energies[steep], energies[steep + 1]], axis=1)


def clear_range(low: float, high: float, borders: list[float], rises: np.ndarray) -> tuple[float, float]:
    """Give the part of a segment in which the table is what it should be, clear of what belongs to its two edges."""
    margin = min(CLEAR, math.log(high / low) / 8)
    first, last = low * math.exp(margin), high * math.exp(-margin)
    for begin, end in rises:
        nearest = min(borders, key=lambda edge: abs(math.log(edge / begin)))
        if nearest == low and begin < low * (1 + ONSET):
            first = max(first, end * (1 + CLEAR / 4))
        elif nearest == high and begin > high * (1 - NEAR):
            last = min(last, begin * (1 - CLEAR / 4))
    return (first, last) if first < last else (math.sqrt(low * high),) * 2


def photo_between(z: int, first: float, last: float, energies: np.ndarray) -> np.ndarray:
    """Give cross sections of a segment: the table from `first` to `last`, beyond by its slopes there in log-log."""
    step = min(3 * CLEAR, math.log(last / first) / 3)

    def table(energy: float) -> float:
        inside = min(max(energy, first), last)
        value = x.CS_Photo(z, inside)
        if inside == energy:
            return value
        other = inside * math.exp(step if energy < inside else -step)
        slope = math.log(x.CS_Photo(z, other) / value) / math.log(other / inside) if step else FALL
        return value * (energy / inside) ** slope

    return np.array([table(e) for e in energies])


def photo(z: int) -> tuple[np.ndarray, np.ndarray]:
    """Give energies and photoelectric cross sections, in segments from edge to edge."""
    borders = [1.0, *edges(z), TABLE_END]
    rises = jumps(z)
    energies, values = [], []
    for low, high in pairwise(borders):
        inside = ENERGIES[(low < ENERGIES) & (high > ENERGIES)]
        here = np.array([low, *inside, high])
        energies.append(here)
        values.append(photo_between(z, *clear_range(low, high, borders, rises), here))
    above = ENERGIES[ENERGIES > TABLE_END]
    energies[-1], values[-1] = energies[-1][:-1], values[-1][:-1]
    fitted = np.geomspace(300, TABLE_END, 25)
    law = np.polyfit(np.log(fitted), np.log([x.CS_Photo(z, e) for e in fitted]), 2)
    scale = x.CS_Photo(z, TABLE_END) / np.exp(np.polyval(law, math.log(TABLE_END)))
    values.append(scale * np.exp(np.polyval(law, np.log(above))))
    return np.concatenate([*energies, above]), np.concatenate(values)


def ratios(z: int, shell: int) -> np.ndarray:
    """Give a shell's cross section over that of all shells that are not inner ones, from its edge to 3 MeV.

    Kissel's splines start wrong at an edge, end early for light elements and ring in between: the ratio is taken where
    their sum agrees with EPDL97, and interpolated, or held, elsewhere.
    """
    edge = x.EdgeEnergy(z, shell)
    tracked = [s for s in INNER if binding(z, s) >= 1.0]
    energies, values = [], []
    for energy in np.geomspace(edge * 1.01, TABLE_END / 2, 300):
        total = attempt(x.CS_Photo_Total, z, energy)
        outer = total - sum(attempt(x.CS_Photo_Partial, z, s, energy) for s in tracked)
        part = attempt(x.CS_Photo_Partial, z, shell, energy)
        if abs(total / x.CS_Photo(z, energy) - 1) < 0.03 and part > 0 and outer > 7e-3 * total:
            energies.append(energy)
            values.append(part / outer)
    grid = np.geomspace(edge, ENERGIES[-1], N_RATIO)
    return np.exp(np.interp(np.log(grid), np.log(energies), np.log(values)))


# Scattering.


def form_factor(z: int) -> np.ndarray:
    """Give F on the grid; where the table has run out of digits, the x^-4 of an atom's innermost electrons."""
    values = np.array([x.FF_Rayl(z, t) for t in TRANSFERS])
    slopes = np.gradient(np.log(np.maximum(values, 1e-30)), np.log(TRANSFERS))
    lost = (values < 3e-5) | (TRANSFERS > 100) | ((TRANSFERS > 5) & ((slopes > 0) | (slopes < -6)))
    if lost.any():
        end = int(np.argmax(lost)) - 1
        values[end:] = values[end] * (TRANSFERS[end:] / TRANSFERS[end]) ** -4.0
    return values


def incoherent(z: int) -> np.ndarray:
    """Give S / Z on the grid."""
    values = [attempt(x.SF_Compt, z, t) / z if t < 100 else 1.0 for t in TRANSFERS]
    return np.clip(np.maximum.accumulate(values), 0.0, 1.0)


def klein_nishina(energies: np.ndarray, s_of_x) -> tuple[np.ndarray, np.ndarray]:
    """Integrate the Klein-Nishina formula times S / Z: barn per electron, and mean fraction the electron receives."""
    nodes, weights = np.polynomial.legendre.leggauss(96)
    k = (energies / ELECTRON)[:, None]
    # 1 - cos(theta) = 2 t^4 puts nodes where S rises.
    t = (nodes + 1)[None, :] / 2
    versine = 2 * t**4
    measure = weights[None, :] / 2 * 8 * t**3
    cosine = 1 - versine
    p = 1 / (1 + k * versine)
    momentum = energies[:, None] / HC * np.sqrt(versine / 2)
    shape = 0.5 * CLASSICAL * p**2 * (p + 1 / p - 1 + cosine**2) * s_of_x(momentum) * 2 * np.pi * measure
    total = shape.sum(axis=1)
    return total, (shape * (1 - p)).sum(axis=1) / total


def compton(z: int, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give Compton cross sections in cm2/g and mean transferred fractions."""

    def s_of_x(momentum: np.ndarray) -> np.ndarray:
        inside = np.exp(np.interp(np.log(momentum), np.log(TRANSFERS), np.log(np.maximum(s, 1e-12))))
        return np.where(momentum < TRANSFERS[0], s[0] * (momentum / TRANSFERS[0]) ** 2, inside)

    energies = np.append(ENERGIES, TABLE_END)
    barn, fraction = klein_nishina(energies, s_of_x)
    values = barn * z * AVOGADRO / WEIGHTS[z - 1]
    scale = x.CS_Compt(z, TABLE_END) / values[-1]
    table = [x.CS_Compt(z, e) if e <= TABLE_END else scale * v for e, v in zip(ENERGIES, values[:-1], strict=True)]
    return np.array(table), fraction[:-1]


def rayleigh(z: int) -> np.ndarray:
    """Give Rayleigh cross sections in cm2/g."""
    return np.array([x.CS_Rayl(z, min(e, TABLE_END)) * min(1.0, TABLE_END / e) ** 2 for e in ENERGIES])


def profile(z: int, shell: int) -> np.ndarray:
    """Give the profile of one electron; where Biggs has none, that of the subshell closest by."""
    for other in sorted(range(31), key=lambda code: abs(code - shell)):
        values = np.array([attempt(x.ComptonProfile_Partial, z, other, p) for p in MOMENTA])
        if values[0] > 0:
            # To 100 atomic units, where nothing is left.
            return values / (2 * np.trapezoid(values, MOMENTA))
    raise ValueError(f"no Compton profile of element {z}")


def shells(z: int) -> list[tuple[int, float, float, np.ndarray]]:
    """Give code, electrons, binding energy (0 where none is known) and profile of each occupied shell."""
    electrons = {shell: attempt(x.ElectronConfig, z, shell) for shell in range(31)}
    total = sum(electrons.values())
    if abs(total - z) > 0.01:
        raise ValueError(f"element {z} has {total} electrons")
    return [(s, n * z / total, binding(z, s), profile(z, s)) for s, n in electrons.items() if n > 0]


# What follows a vacancy.

LETTERS = ["K", "L1", "L2", "L3", "M1", "M2", "M3", "M4", "M5", "N1", "N2", "N3", "N4", "N5", "N6", "N7"]
LETTERS += ["O1", "O2", "O3", "O4", "O5", "O6", "O7", "P1", "P2", "P3", "P4", "P5"]


def binding(z: int, shell: int) -> float:
    return attempt(x.EdgeEnergy, z, shell)


def radiative(z: int, shell: int) -> list[tuple[float, float, int, int]]:
    """Give the lines that fill a shell, with probabilities that sum to its fluorescence yield."""
    lines = []
    for source in range(shell + 1, len(LETTERS)):
        code = getattr(x, f"{LETTERS[shell]}{LETTERS[source]}_LINE", None)
        if code is None:
            continue
        rate, energy = attempt(x.RadRate, z, code), attempt(x.LineEnergy, z, code)
        if rate > 0 and energy > 0:
            energy = min(energy, binding(z, shell) - binding(z, source))
            lines.append((rate, energy, source if source in INNER else UNTRACKED, UNTRACKED))
    total = sum(line[0] for line in lines)
    scale = attempt(x.FluorYield, z, shell) / total if total > 0 else 0.0
    return [(rate * scale, *rest) for rate, *rest in lines]


def auger(z: int) -> dict[tuple[int, int], float]:
    """Give the shares of the pairs of shells that a K Auger transition leaves vacant."""
    pairs: dict[tuple[int, int], float] = {}
    for first in range(1, len(LETTERS)):
        for second in range(first, len(LETTERS)):
            code = getattr(x, f"K_{LETTERS[first]}{LETTERS[second]}_AUGER", None)
            rate = attempt(x.AugerRate, z, code) if code is not None else 0.0
            key = tuple(sorted(s if s in INNER else UNTRACKED for s in (first, second)))
            pairs[key] = pairs.get(key, 0.0) + rate
    total = sum(pairs.values())
    return {key: rate / total for key, rate in pairs.items() if rate > 0} if total > 0 else {}


def coster_kronig(z: int, shell: int) -> list[tuple[float, float, int, int]]:
    """Give the transitions that move a vacancy from one L subshell to a higher one."""
    names = {1: (("FL12_TRANS", 2), ("FL13_TRANS", 3)), 2: (("FL23_TRANS", 3),)}.get(shell, ())
    moves = [(attempt(x.CosKronTransProb, z, getattr(x, name)), target) for name, target in names]
    return [(p, 0.0, target, UNTRACKED) for p, target in moves if p > 0]


def transitions(z: int, shell: int) -> list[tuple[float, float, int, int]]:
    """Give all that may fill a shell; what is left of the probability deposits the binding energy on the spot."""
    result = radiative(z, shell)
    if shell == 0:
        rest = 1.0 - sum(t[0] for t in result)
        result += [(rest * share, 0.0, *pair) for pair, share in sorted(auger(z).items())]
    else:
        result += coster_kronig(z, shell)
    return result


def reals(values) -> bytes:
    return np.asarray(values, "<f4").tobytes()


def integer(value: int) -> bytes:
    return struct.pack("<I", value)


def element(z: int) -> bytes:
    energies, photoelectric = photo(z)
    s = incoherent(z)
    scattered, fraction = compton(z, s)
    parts = [reals(WEIGHTS[z - 1]), integer(len(energies)), reals(energies), reals(photoelectric)]
    parts += [reals(scattered), reals(rayleigh(z)), reals(fraction), reals(form_factor(z)), reals(s)]
    occupied = shells(z)
    parts.append(integer(len(occupied)))
    for code, electrons, energy, profile in occupied:
        parts += [integer(code), reals(electrons), reals(energy), reals(profile)]
    inner = [shell for shell in INNER if binding(z, shell) >= 1.0]
    parts.append(integer(len(inner)))
    for shell in inner:
        found = transitions(z, shell)
        parts += [integer(shell), reals(ratios(z, shell)), integer(len(found))]
        parts += [reals(t[:2]) + integer(t[2]) + integer(t[3]) for t in found]
    return b"".join(parts)


def main() -> None:
    head = b"SRPH" + struct.pack("<IIII", 1, len(ENERGIES), len(TRANSFERS), len(MOMENTA)) + reals(MOMENTA)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(head + b"".join(element(z) for z in range(1, 99)))


if __name__ == "__main__":
    main()
