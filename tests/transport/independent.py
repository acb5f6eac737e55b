"""An independent photon Monte Carlo, slow and plain: the source of the stored numbers in `test_physics.py`.

Cross sections, incoherent scattering functions and form factors come from xraylib (pip install xraylib), nothing from
spinray. All photons of a run move together in double precision from collision to collision through one homogeneous
box in vacuum; angles of scatter are drawn by tables of the integrated distributions instead of rejection:

- Compton: d sigma / d Omega = Klein-Nishina x S(x), energy of a free electron at rest, binding and Doppler left out;
- Rayleigh: (1 + cos^2) / 2 x F^2(x), atoms independent;
- photoelectric: all of the energy stays where it happened (fluorescence of H and O carries 0.5 keV at most).

Run it by hand, ``python tests/transport/independent.py 4e6``: it prints what the tests compare with.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
from scipy.interpolate import CubicSpline

ELECTRON = 510.99895  # rest energy, keV (CODATA 2018)
HC = 12.398419843  # keV Angstrom
AVOGADRO = 0.602214076  # mol / (barn cm2)
WATER = {1: 2, 8: 1}
ENERGIES = np.arange(1.0, 1500.25, 0.5)
COSINES = 1 - 2 * np.linspace(0, 1, 2001) ** 2  # finer towards the front, where form factors fall
LEVELS = np.linspace(0, 1, 1024)


def klein_nishina(energy: np.ndarray, cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ratio of energies after and before, and the differential cross section per electron, in r_e^2 / 2."""
    ratio = 1 / (1 + energy / ELECTRON * (1 - cosine))
    return ratio, ratio**2 * (ratio + 1 / ratio - 1 + cosine**2)


def quantiles(density: np.ndarray) -> np.ndarray:
    """The cosine at each of `LEVELS` of the distribution with this density on `COSINES`."""
    steps = np.diff(-COSINES)
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * steps)])
    return np.interp(LEVELS, cumulative / cumulative[-1], COSINES)


class Water:
    """What a photon needs to know of water: three coefficients (1/mm) and two tables of angles by energy.

    With `free` electrons there is no binding: Klein and Nishina's cross section and no coherent scattering.
    """

    def __init__(self, free: bool = False) -> None:
        import xraylib

        weight = {z: n * xraylib.AtomicWeight(z) for z, n in WATER.items()}
        total = sum(weight.values())
        self.grid = ENERGIES[ENERGIES <= 800]
        self.coefficients = np.array(
            [
                [sum(w / total * f(z, e) for z, w in weight.items()) / 10 for e in self.grid]
                for f in (xraylib.CS_Photo, xraylib.CS_Compt, xraylib.CS_Rayl)
            ]
        )
        electrons = sum(n * z for z, n in WATER.items()) / total * AVOGADRO
        if free:
            self.coefficients[1] = [xraylib.CS_KN(e) * electrons / 10 for e in self.grid]
            self.coefficients[2] = 0
        self.rows = np.geomspace(1, 800, 300)
        x = np.sqrt((1 - COSINES) / 2)
        self.compton, self.rayleigh = np.empty((2, 300, len(LEVELS)))
        momenta = np.concatenate([[0], np.geomspace(1e-3, 70, 3000)])
        incoherent = [sum(n * xraylib.SF_Compt(z, q) for z, n in WATER.items()) if q else 0.0 for q in momenta]
        coherent = [sum(n * xraylib.FF_Rayl(z, q) ** 2 for z, n in WATER.items()) if q else 66.0 for q in momenta]
        for i, energy in enumerate(self.rows):
            q = energy / HC * x
            _, kn = klein_nishina(energy, COSINES)
            self.compton[i] = quantiles(kn if free else kn * np.interp(q, momenta, incoherent))
            self.rayleigh[i] = quantiles((1 + COSINES**2) * np.interp(q, momenta, coherent))

    def mu(self, energy: np.ndarray) -> np.ndarray:
        """Photoelectric, Compton and Rayleigh coefficients, shape (3, n), 1/mm."""
        return np.stack([np.interp(energy, self.grid, c) for c in self.coefficients])

    def cosine(self, table: np.ndarray, energy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Drawn from the table's row below or above the energy, each with the weight it would have in a sum."""
        place = np.interp(np.log(energy), np.log(self.rows), np.arange(len(self.rows)))
        row = np.minimum((place + rng.random(len(energy))).astype(int), len(self.rows) - 1)
        level = rng.random(len(energy)) * (len(LEVELS) - 1)
        low = np.minimum(level.astype(int), len(LEVELS) - 2)
        return table[row, low] + (level - low) * (table[row, low + 1] - table[row, low])


def turned(direction: np.ndarray, cosine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors (3, n) at angles of these cosines from `direction`, any azimuth."""
    other = np.where(np.abs(direction[2]) < 0.9, [[0.0], [0.0], [1.0]], [[1.0], [0.0], [0.0]])
    across = np.cross(direction, other, axis=0)
    across /= np.linalg.norm(across, axis=0)
    azimuth = 2 * np.pi * rng.random(len(cosine))
    sine = np.sqrt(np.maximum(0, 1 - cosine**2))
    third = np.cross(direction, across, axis=0)
    out = cosine * direction + sine * (np.cos(azimuth) * across + np.sin(azimuth) * third)
    return out / np.linalg.norm(out, axis=0)


def pencil(energy: float, size: tuple[float, float, float], n: int, seed: int = 1) -> dict[str, tuple[float, float]]:
    """Where the energy of a pencil along +z into the middle of a box's face goes, shares of it with standard errors.

    `size` is (x, y, z) in mm; the box begins at z = 0. "forward" and "back" leave through the faces z = size and
    z = 0, of "forward" the part that never collided is "primary", and "scatter" the rest.
    """
    rng = np.random.default_rng(seed)
    water = Water()
    sums = {name: np.zeros(2) for name in ("absorbed", "forward", "primary", "scatter", "back", "side")}
    half = np.array([[size[0] / 2], [size[1] / 2]])
    for _ in range(0, n, 100_000):
        scores = {name: np.zeros(100_000) for name in sums}
        who = np.arange(100_000)
        position = np.zeros((3, len(who)))
        direction = np.zeros((3, len(who)))
        direction[2] = 1
        left = np.full(len(who), energy)
        order = np.zeros(len(who), int)
        while len(who):
            mu = water.mu(left)
            position = position - np.log1p(-rng.random(len(who))) / mu.sum(0) * direction
            front, back = position[2] > size[2], position[2] < 0
            # a photon may leave sideways before it passes a face's plane: the first plane it meets decides
            inside = (np.abs(position[:2]) < half).all(0)
            with np.errstate(divide="ignore", invalid="ignore"):
                past = np.where(direction > 0, position - np.r_[half, [[size[2]]]], position + np.r_[half, [[0.0]]])
                overshoot = np.where(direction != 0, past / direction, -np.inf)
            through = overshoot.argmax(0)
            gone = front | back | ~inside
            side = gone & (through < 2)
            front, back = gone & ~side & (direction[2] > 0), gone & ~side & (direction[2] < 0)
            scores["side"][who[side]] += left[side]
            scores["back"][who[back]] += left[back]
            scores["forward"][who[front]] += left[front]
            first = front & (order == 0)
            scores["primary"][who[first]] += left[first]
            scores["scatter"][who[front & (order > 0)]] += left[front & (order > 0)]
            stay = ~gone
            who, position, direction, left, order = (
                who[stay],
                position[:, stay],
                direction[:, stay],
                left[stay],
                order[stay] + 1,
            )
            share = np.cumsum(mu[:, stay] / mu[:, stay].sum(0), axis=0)
            draw = rng.random(len(who))
            photo, compton = draw < share[0], (draw >= share[0]) & (draw < share[1])
            rayleigh = draw >= share[1]
            cosine = np.ones(len(who))
            cosine[compton] = water.cosine(water.compton, left[compton], rng)
            cosine[rayleigh] = water.cosine(water.rayleigh, left[rayleigh], rng)
            after = np.where(compton, left * klein_nishina(left, cosine)[0], left)
            lost = np.where(photo | (after < 1), left, left - after)
            scores["absorbed"][who] += lost
            alive = ~(photo | (after < 1))
            direction = turned(direction, cosine, rng)
            who, position, direction, left, order = (
                who[alive],
                position[:, alive],
                direction[:, alive],
                after[alive],
                order[alive],
            )
        for name, score in scores.items():
            sums[name] += [score.sum() / energy, (score**2).sum() / energy**2]
    count = -(-n // 100_000) * 100_000
    means = {name: s[0] / count for name, s in sums.items()}
    return {name: (m, float(np.sqrt((sums[name][1] / count - m**2) / count))) for name, m in means.items()}


# Mass energy-absorption coefficient of dry air, cm2/g, by energy in keV (Hubbell and Seltzer, NISTIR 5632)
AIR = {
    5: 39.31,
    6: 22.70,
    8: 9.446,
    10: 4.742,
    15: 1.334,
    20: 0.5389,
    30: 0.1537,
    40: 0.06833,
    50: 0.04098,
    60: 0.03041,
    80: 0.02407,
    100: 0.02325,
    150: 0.02496,
    200: 0.02672,
    300: 0.02872,
    400: 0.02949,
    500: 0.02966,
    600: 0.02953,
    800: 0.02882,
}


def response(energy: np.ndarray) -> np.ndarray:
    """Of air, by a cubic spline through the logarithms (straight lines would be 3 % too high at 70 keV)."""
    return np.exp(CubicSpline(np.log(list(AIR)), np.log(list(AIR.values())))(np.log(energy)))


def point(
    energy: float, edges: np.ndarray, n: int, seed: int = 1, free: bool = False
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Buildup about a point in water without end, in shells between `edges`, with standard errors.

    Edges are in mean free paths without coherent scattering, and so is what "direct" means. "exposure" is of air kerma
    (each collision stands for a flight of one mean free path), "absorbed" of energy left in water.
    """
    rng = np.random.default_rng(seed)
    water = Water(free)
    at_first = water.mu(np.array([energy]))[:, 0]
    per_path = at_first[:2].sum()
    direct = (np.exp(-edges[:-1]) - np.exp(-edges[1:])) / per_path * energy
    runs: dict[str, list[np.ndarray]] = {"exposure": [], "absorbed": []}
    for _ in range(0, n, 50_000):
        cosine, azimuth = 2 * rng.random(50_000) - 1, 2 * np.pi * rng.random(50_000)
        sine = np.sqrt(1 - cosine**2)
        direction = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine])
        position, left = np.zeros_like(direction), np.full(50_000, energy)
        scored = {name: np.zeros(len(edges) - 1) for name in runs}
        while len(left):
            mu = water.mu(left)
            position = position - np.log1p(-rng.random(len(left))) / mu.sum(0) * direction
            radius = np.sqrt((position**2).sum(0)) * per_path
            kerma = left / mu.sum(0) * response(left) / response(np.array([energy]))
            scored["exposure"] += np.histogram(radius, edges, weights=kerma)[0]
            share = np.cumsum(mu / mu.sum(0), axis=0)
            draw = rng.random(len(left))
            photo, compton, rayleigh = draw < share[0], (draw >= share[0]) & (draw < share[1]), draw >= share[1]
            cosine = np.ones(len(left))
            cosine[compton] = water.cosine(water.compton, left[compton], rng)
            cosine[rayleigh] = water.cosine(water.rayleigh, left[rayleigh], rng)
            after = np.where(compton, left * klein_nishina(left, cosine)[0], left)
            end = photo | (after < 1)
            scored["absorbed"] += np.histogram(radius, edges, weights=np.where(end, left, left - after))[0]
            direction = turned(direction, cosine, rng)
            on = ~end & (radius < edges[-1] + 4)
            position, direction, left = position[:, on], direction[:, on], after[on]
        for name, sums in scored.items():
            runs[name].append(sums / 50_000 / direct)
    _, kn = klein_nishina(energy, COSINES)
    momenta = np.concatenate([[0], np.geomspace(1e-3, 70, 3000)])
    import xraylib

    bound = [sum(k * (z if free else xraylib.SF_Compt(z, q)) for z, k in WATER.items()) if q else 0.0 for q in momenta]
    weight = kn * np.interp(energy / HC * np.sqrt((1 - COSINES) / 2), momenta, bound) * np.gradient(-COSINES)
    lost = (weight * (1 - klein_nishina(energy, COSINES)[0])).sum() / weight.sum()
    of_direct = at_first[0] + at_first[1] * lost  # energy transfer, 1/mm
    runs["absorbed"] = [sums / of_direct for sums in runs["absorbed"]]
    count = len(runs["absorbed"])
    return {name: (np.mean(r, axis=0), np.std(r, axis=0, ddof=1) / np.sqrt(count)) for name, r in runs.items()}


def main() -> None:
    """Print the stored numbers."""
    n = int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000
    boxes = {
        "cube of 300 mm": (300.0, 300.0, 300.0),
        "slab of 200 mm": (2e4, 2e4, 200.0),
        "all depth": (2e4, 2e4, 1e4),
    }
    for name, size in boxes.items():
        for energy in (60.0, 140.0, 511.0):
            result = pencil(energy, size, n)
            said = ", ".join(f"{key} {value:.5f} +- {error:.5f}" for key, (value, error) in result.items())
            print(f"{name}, {energy:g} keV: {said}", flush=True)
    edges = np.array([0.5, 1.5, 3.5, 4.5, 6.5, 7.5, 9.5, 10.5])
    for energy, free in itertools.product((100.0, 300.0, 500.0), (False, True)):
        for name, (means, errors) in point(energy, edges, n // 2, free=free).items():
            said = ", ".join(f"{m:.4g} +- {e:.2g}" for m, e in zip(means[::2], errors[::2], strict=True))
            electrons = "free electrons" if free else "atoms"
            print(f"point in water, {energy:g} keV, {electrons}, {name}, 1, 4, 7, 10 paths: {said}", flush=True)


if __name__ == "__main__":
    main()
