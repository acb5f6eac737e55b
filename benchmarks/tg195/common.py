"""What the cases share: materials, beams, running in parts, tables.

Positions are (x, y, z) in mm. Errors: histories are run in ten parts, and the standard error of anything computed from
them is that of the mean of the ten, so that sums over cells that see the same histories have theirs too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import spinray
from spinray import transport

PARTS = 10
HERE = Path(__file__).resolve().parent
Point = tuple[float, float, float]
#: x and y of two corners, mm
Region = tuple[float, float, float, float]
#: what happened to photons that reach the detector, as the report tells them apart
KINDS = ("primary", "Compton once", "Rayleigh once", "multiple")
Options = argparse.Namespace

#: density in g/cm3, weights in percent: those of the report for its materials (and air to stop photons in)
COMPOSITIONS: dict[str, tuple[float, dict[str, float]]] = {
    "aluminium": (2.699, {"Al": 100}),
    "air": (0.001205, {"C": 0.0124, "N": 75.5268, "O": 23.1781, "Ar": 1.2827}),
    "compressed air": (1.205, {"C": 0.0124, "N": 75.5268, "O": 23.1781, "Ar": 1.2827}),
    "water": (1.0, {"H": 11.1898, "O": 88.8102}),
    "acrylic": (1.19, {"H": 8.0541, "C": 59.9846, "O": 31.9613}),
    "soft tissue": (
        1.03,
        {"H": 10.5, "C": 25.6, "N": 2.7, "O": 60.2, "Na": 0.1, "P": 0.2, "S": 0.3, "Cl": 0.2, "K": 0.2},
    ),
    "skin": (1.09, {"H": 9.8, "C": 17.8, "N": 5, "O": 66.7, "P": 0.175, "S": 0.175, "K": 0.175, "Ca": 0.175}),
    "fat": (0.93, {"H": 11.2, "C": 61.9, "N": 1.7, "O": 25.1, "P": 0.025, "S": 0.025, "K": 0.025, "Ca": 0.025}),
    "gland": (1.04, {"H": 10.2, "C": 18.4, "N": 3.2, "O": 67.7, "P": 0.125, "S": 0.125, "K": 0.125, "Ca": 0.125}),
}


@dataclass(frozen=True)
class Tube:
    """Of the report: kV, anode and its angle in degrees, filter and its mm, half-value layer in mm of aluminium."""

    kv: float
    anode: str
    angle: float
    filter: str
    thickness: float
    layer: float


#: half-value layers are behind a metre of air: see `beam`
TUBES = {
    "30 kVp": Tube(30.0, "Mo", 15.0, "Mo", 0.0386, 0.3431),
    "100 kVp": Tube(100.0, "W", 11.0, "Al", 2.708, 3.950),
    "120 kVp": Tube(120.0, "W", 11.0, "Al", 2.861, 5.010),
}


def breast() -> tuple[float, dict[str, float]]:
    """A fifth of gland, the rest fat, by weight; the density mixed alike."""
    (fat, of_fat), (gland, of_gland) = COMPOSITIONS["fat"], COMPOSITIONS["gland"]
    return 0.8 * fat + 0.2 * gland, {name: 0.8 * of_fat[name] + 0.2 * of_gland[name] for name in of_fat}


def material(name: str) -> Any:
    """One of the report's."""
    density, weights = breast() if name == "breast" else COMPOSITIONS[name]
    total = sum(weights.values())
    return transport.Material.from_composition({k: w / total for k, w in weights.items()}, density, name)


@dataclass(frozen=True)
class Beam:
    """Its name, and its energy in keV or its spectrum."""

    name: str
    energy: Any


def behind_air(spectrum: transport.Spectrum) -> transport.Spectrum:
    """Return it behind a metre of air, where case 1 has its kerma."""
    return spectrum.filtered(material("air"), 1000.0)


def beam(name: str, given: Options) -> Beam:
    """Return the beam called "30 keV" or "100 kVp".

    Energies of the report's tables are the middles of their bins, and its half-value layers are behind the air of case
    1: so the 0.3431 mm of its 30 kVp table come out as 0.343 mm; as lower ends of bins, or without the air, 0.359 and
    0.313 mm.
    """
    if name.endswith("keV"):
        return Beam(name, float(name.split()[0]))
    if given.spectra:
        file = given.spectra / f"{name.replace(' ', '')}.txt"
        energies, weights = np.loadtxt(file, unpack=True)
    else:
        file = HERE / "spectra.csv"
        energies, weights = np.loadtxt(file, delimiter=",", usecols=(0, 1 + list(TUBES).index(name)), unpack=True)
    lit = weights > 0
    spectrum = transport.Spectrum(energies[lit], weights[lit], bin_width=0.5)
    print(
        f"\n{name}: {file.name}; mean {spectrum.mean_energy:.2f} keV, half-value layer behind a metre of air "
        f"{behind_air(spectrum).half_value_layer('Al'):.4g} mm Al (report: {TUBES[name].layer} mm)"
    )
    return Beam(name, spectrum)


@dataclass(frozen=True)
class Part:
    """A solid: its name, material, and shape."""

    name: str
    material: str
    shape: Any


def box(name: str, of: str, low: Point, high: Point) -> Part:
    """An upright box from corner to corner."""
    return Part(name, of, ("box", low, high))


def cube(name: str, of: str, middle: Point, size: Point) -> Part:
    """An upright box about its middle."""
    low = tuple(m - s / 2 for m, s in zip(middle, size, strict=True))
    return box(name, of, low, tuple(a + s for a, s in zip(low, size, strict=True)))


def cylinder(name: str, of: str, middle: Point, radius: float, length: float) -> Part:
    """Along z."""
    return Part(name, of, ("cylinder", middle, radius, length))


def phantom(world: tuple[Point, Point], parts: Sequence[Part]) -> Any:
    """The parts, later ones over earlier ones, in air."""
    solids = []
    for part in parts:
        kind, *shape = part.shape
        of = material(part.material)
        if kind == "box":
            solids.append(transport.Box.between(*shape, of, name=part.name))
        else:
            middle, radius, length = shape
            solids.append(transport.Cylinder(of, radius, length, centre=middle, axis="z", name=part.name))
    return transport.SolidPhantom(solids, world=material("air"), bounds=world)


def square(x: float, y: float, side: float) -> Region:
    """A square region about a point."""
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def cone(beam: Beam, at: Point, direction: Point, opening: float) -> Any:
    """A point source limited to an angle, edge to edge, about a direction."""
    return transport.PointSource(at, beam.energy, direction=direction, opening=opening)


def pencil(beam: Beam, at: Point, to: Point) -> Any:
    """Photons along the line from one point to another."""
    return transport.PencilBeam(at, np.subtract(to, at), beam.energy)


def onto(beam: Beam, at: Point, corners: tuple[Point, Point]) -> Any:
    """A point source limited to an upright rectangle in a plane of constant z."""
    (x0, y0, z), (x1, y1, _) = corners
    middle = ((x0 + x1) / 2, (y0 + y1) / 2, z)
    return transport.RectangularBeam(at, middle, ((x1 - x0), 0.0, 0.0), (0.0, (y1 - y0), 0.0), beam.energy)


def fan(beam: Beam, at: Point, middle: Point, size: tuple[float, float]) -> Any:
    """A point source limited to a rectangle that stands on the line to its middle, its second side along z."""
    along = np.subtract(middle, at)
    across = np.cross(along, (0.0, 0.0, 1.0))
    across *= size[0] / np.linalg.norm(across)
    return transport.RectangularBeam(at, middle, tuple(across), (0.0, 0.0, size[1]), beam.energy)


class Scored:
    """Energy in cells, part of the histories by part."""

    def __init__(self, energies: Sequence[dict[str, float]]) -> None:
        self.energies = list(energies)

    def energy(self, *names: str) -> np.ndarray:
        """Energy per photon in these cells together, eV, of each part of the histories."""
        return 1e3 * np.array([sum(part[name] for name in names) for part in self.energies])


def results(
    world: tuple[Point, Point], parts: Sequence[Part], source: Any, given: Options, tallies: Any = None
) -> Iterator[transport.Result]:
    """Simulate, a tenth of the histories at a time."""
    solids = phantom(world, parts)
    edges = np.linspace(0, given.histories, PARTS + 1).astype(int)
    for pair in itertools.pairwise(edges.tolist()):
        yield transport.simulate(solids, source, tallies=tallies, histories=pair, seed=given.seed)


def run(
    world: tuple[Point, Point],
    parts: Sequence[Part],
    source: Any,
    given: Options,
    plane: float = 0.0,
    regions: dict[str, Region] | None = None,
    estimator: str = "analogue",
) -> Scored:
    """Score energy deposited, and that of photons that leave the world through regions of its face at z = plane."""
    tallies = [transport.Dose(estimator), *([transport.PhaseSpace()] if regions else [])]
    energies = []
    for result in results(world, parts, source, given, tallies):
        dose = result["dose"]
        energies.append(dict(zip(dose.solids, dose.energy.tolist(), strict=True)))
        if regions:
            energies[-1] |= arriving(result["phase space"], plane, regions)
    return Scored(energies)


def arriving(photons: transport.PhaseSpaceResult, plane: float, regions: dict[str, Region]) -> dict[str, float]:
    """Energy per history in keV through each region, "NAME, primary" and so on, whatever the angle."""
    x, y, z = photons.position.T
    scattered = [photons.compton.astype(int), photons.rayleigh.astype(int), photons.emission.astype(int)]
    order, there = sum(scattered), abs(z - plane) < 1e-3
    kinds = [order == 0, (order == 1) & (scattered[0] == 1), (order == 1) & (scattered[1] == 1)]
    kinds.append(~np.any(kinds, axis=0))
    found = {}
    for name, (x0, y0, x1, y1) in regions.items():
        inside = there & (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
        for kind, of in zip(KINDS, kinds, strict=True):
            found[f"{name}, {kind}"] = float((photons.energy * photons.weight)[inside & of].sum()) / photons.n_histories
    return found


class Table:
    """Lines of quantity, value, standard error, and a reference's value where the user gave some."""

    def __init__(self, title: str, what: str, given: Options) -> None:
        self.title, self.reference = title, given.reference.get(title, {})
        self.lines = [f"| {title} | {what} | standard error | reference | ours / reference |", "|---|---|---|---|---|"]

    def add(self, name: str, *parts: float) -> None:
        """A quantity, from what each part of the histories gave."""
        mean, error = np.mean(parts), np.std(parts, ddof=1) / math.sqrt(len(parts))
        known = self.reference.get(name)
        compared = f"{known:.6g} | {mean / known:.4f} +- {error / known:.4f}" if known else "- | -"
        self.lines.append(f"| {name} | {mean:.6g} | {error:.2g} | {compared} |")

    def add_regions(self, scored: Scored, regions: dict[str, Region]) -> None:
        """Energy through each region, by what happened to the photons."""
        for name in regions:
            for kind in KINDS:
                self.add(f"{name}, {kind}", *scored.energy(f"{name}, {kind}"))

    def show(self) -> None:
        """Print."""
        print("\n" + "\n".join(self.lines), flush=True)


def options(doc: str | None) -> Options:
    """The command line of every case."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=lambda s: int(float(s)), default=1_000_000, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="all unless given")
    parser.add_argument(
        "--spectra",
        type=Path,
        metavar="DIR",
        help="folder of the report's 30kVp.txt, 100kVp.txt, 120kVp.txt: energy in keV, probability; else spectra.csv",
    )
    parser.add_argument(
        "--reference", type=Path, metavar="FILE", help='JSON {"title of a table": {"name of a line": value}}'
    )
    given = parser.parse_args()
    if given.histories < PARTS:
        sys.exit(f"--histories: expected at least {PARTS}, got {given.histories}")
    if given.threads:
        spinray.set_num_threads(given.threads)
    given.reference = json.loads(given.reference.read_text()) if given.reference else {}
    return given
