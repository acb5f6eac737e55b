"""Triple coincidences in a ring of small crystals: one photon in one crystal, the other one in two.

A photon of 511 keV that is scattered in one crystal is often absorbed in a neighbour. Both fire, and only the first is
on the line of response. Which is the first must be told from two energies and three places.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .. import transport

__all__ = ["Ring", "Triples"]

_ENERGY = 510.99895
_FULL_WIDTH = 2.0 * np.sqrt(2.0 * np.log(2.0))
#: Photons tried for each partner: enough that next to none goes without.
_PARTNERS = 10


@dataclasses.dataclass(frozen=True)
class Triples:
    """Triple coincidences. Singles of a pair are in the order of their energies, the larger one first.

    Attributes
    ----------
    partner : numpy.ndarray, shape (n, 3)
        Centre of the crystal that took the whole other photon, (x, y, z) in mm.
    crystals : numpy.ndarray of int, shape (n, 2)
        The two singles' crystals, see `Ring.centre`.
    energies : numpy.ndarray, shape (n, 2)
        In keV, as measured.
    first : numpy.ndarray of bool, shape (n,)
        Whether the photon interacted first in the crystal of the larger energy: that one is on its line.
    """

    partner: np.ndarray
    crystals: np.ndarray
    energies: np.ndarray
    first: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, which: slice | np.ndarray) -> Triples:
        return Triples(*(getattr(self, field.name)[which] for field in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class Ring:
    """A full ring of LYSO for small animals, as LabPET's: one layer of crystals of 2 mm, read out one by one.

    The scintillator is one hollow cylinder, cut into crystals where interactions are binned: no light is shared and
    gaps are left out. Activity fills the bore, so that lines of response come at all obliquities in both planes.

    Attributes
    ----------
    inner, depth, length, pitch : float
        Radius of the bore, crystals' length, axial length, and pitch along both directions, in mm.
    resolution : float
        Full width at half maximum over energy at 511 keV; it goes with the root of the energy.
    threshold : float
        In keV: what measures less is not read out.
    window : (float, float)
        In keV, of the partner's energy and of the two singles' sum.
    """

    inner: float = 81.0
    depth: float = 12.0
    length: float = 76.0
    pitch: float = 2.0
    resolution: float = 0.2
    threshold: float = 50.0
    window: tuple[float, float] = (400.0, 630.0)

    @property
    def around(self) -> int:
        """Crystals around the ring."""
        return round(2 * np.pi * self.inner / self.pitch)

    @property
    def along(self) -> int:
        """Rings of crystals."""
        return round(self.length / self.pitch)

    def phantom(self) -> transport.SolidPhantom:
        """Return the ring's solids: "ring", and the bore."""
        ring = transport.Cylinder("LYSO", self.inner + self.depth, self.length, name="ring")
        return transport.SolidPhantom([ring, transport.Cylinder("vacuum", self.inner, 2 * self.length, priority=1)])

    def crystal(self, positions: np.ndarray) -> np.ndarray:
        """Return the crystals that positions (n, 3) lie in."""
        turn = np.arctan2(positions[:, 1], positions[:, 0]) / (2 * np.pi) % 1
        row = np.clip((positions[:, 2] + self.length / 2) // self.pitch, 0, self.along - 1)
        return (row * self.around + turn * self.around // 1 % self.around).astype(np.int64)

    def centre(self, crystals: np.ndarray) -> np.ndarray:
        """Return the centres of crystals (...), shape (..., 3), (x, y, z) in mm: depth is not measured."""
        row, column = np.divmod(crystals, self.around)
        turn, radius = 2 * np.pi * (column + 0.5) / self.around, self.inner + self.depth / 2
        z = (row + 0.5) * self.pitch - self.length / 2
        return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=-1)

    def lines(self, n: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return places (n, 3) of annihilations in the bore and directions of one photon; both photons meet the ring.

        Places are uniform, directions isotropic.
        """
        found: list[np.ndarray] = []
        while sum(map(len, found)) < n:
            u = random.random((4 * n, 5))
            radius, spin, turn = self.inner * np.sqrt(u[:, 0]), 2 * np.pi * u[:, 1], 2 * np.pi * u[:, 3]
            z, cosine = self.length * (u[:, 2] - 0.5), 2 * u[:, 4] - 1
            sine = np.sqrt(1 - cosine**2)
            place = np.stack([radius * np.cos(spin), radius * np.sin(spin), z], axis=1)
            way = np.stack([sine * np.cos(turn), sine * np.sin(turn), cosine], axis=1)
            middle, half = (place[:, :2] * way[:, :2]).sum(axis=1), np.sqrt(self.inner**2 - radius**2)
            root = np.sqrt(middle**2 + (sine * half) ** 2)
            ends = (
                z[:, None] + cosine[:, None] * (np.stack([root, -root], axis=1) - middle[:, None]) / sine[:, None] ** 2
            )
            found.append(np.hstack([place, way])[(np.abs(ends) < self.length / 2).all(axis=1)])
        both = np.concatenate(found)[:n]
        return both[:, :3], both[:, 3:]

    def triples(self, seed: int, n_lines: int) -> Triples:
        """Return the triple coincidences of so many annihilations: some 15 %.

        First one photon of each pair is simulated, then, where it made two singles, the other one until it is wholly
        absorbed in one crystal: given their line, what they do is independent.
        """
        random = np.random.default_rng(seed)
        phantom, (places, ways) = self.phantom(), self.lines(n_lines, random)
        source = transport.Rays(places, ways, _ENERGY)
        photons = self._photons(phantom, source, n_lines, 2 * seed, random)
        pair = photons.singles == 2
        ray, known = np.unique(photons.ray[pair], return_index=True)
        start = photons.start[pair][known]
        total = photons.energy[start] + photons.energy[start + 1]
        # Where the first interaction itself is below the threshold, neither is right.
        kept = self._within(total) & (photons.first[start] | photons.first[start + 1])
        ray, start = ray[kept], start[kept]

        back = transport.Rays(places[ray], -ways[ray], _ENERGY)
        others = self._photons(phantom, back, _PARTNERS * len(ray), 2 * seed + 1, random)
        whole = (others.singles == 1) & self._within(others.energy[others.start])
        which, known = np.unique(others.ray[whole], return_index=True)
        partner = others.crystal[others.start[whole][known]]

        start = start[which]
        larger = start + (photons.energy[start] < photons.energy[start + 1])
        order = np.stack([larger, 2 * start + 1 - larger], axis=1)
        crystals = photons.crystal[order]
        triples = Triples(self.centre(partner), crystals, photons.energy[order], photons.first[order[:, 0]])
        # A photon that scatters across the bore into its partner's crystal makes one single with it.
        return triples[(crystals != partner[:, None]).all(axis=1)]

    def _within(self, energy: np.ndarray) -> np.ndarray:
        return (energy > self.window[0]) & (energy < self.window[1])

    def _photons(
        self,
        phantom: transport.SolidPhantom,
        source: transport.Rays,
        n: int,
        seed: int,
        random: np.random.Generator,
    ) -> _Photons:
        """Simulate photons, and return what crystals read out of them."""
        hits = transport.simulate(phantom, source, n, [transport.Interactions("ring")], seed=seed)["interactions"]
        left = hits.energy > 0
        history, crystal = hits.history[left].astype(np.int64), self.crystal(hits.position[left])
        key = history * (self.around * self.along) + crystal
        fired, which = np.unique(key, return_inverse=True)
        energy = np.bincount(which, hits.energy[left])
        energy += random.normal(size=len(fired)) * self.resolution / _FULL_WIDTH * np.sqrt(energy * _ENERGY)
        # Interactions are listed in their order: the first row of a history is its first deposit.
        first = np.isin(fired, key[np.unique(history, return_index=True)[1]])
        read = energy > self.threshold
        fired, energy, first = fired[read], energy[read], first[read]
        photon, start, singles = np.unique(fired // (self.around * self.along), return_index=True, return_counts=True)
        ray = source.drawn(n, seed)[photon]
        return _Photons(ray, start, singles, fired % (self.around * self.along), energy, first)


@dataclasses.dataclass(frozen=True)
class _Photons:
    """What is read out of photons: of photon k, singles[k] rows from start[k] on.

    Attributes
    ----------
    ray, start, singles : numpy.ndarray of int, shape (n_photons,)
        Which ray it took, where its rows start and how many it has.
    crystal, energy, first : numpy.ndarray, shape (n_rows,)
        Crystal, energy measured, and whether the photon's first deposit was there.
    """

    ray: np.ndarray
    start: np.ndarray
    singles: np.ndarray
    crystal: np.ndarray
    energy: np.ndarray
    first: np.ndarray
