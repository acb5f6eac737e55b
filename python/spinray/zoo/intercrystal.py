"""D6: which single of a triple coincidence is on the line of response, after scatter from crystal to crystal."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import nn, training
from ._report import Bar, Report, sweep
from ._ring import Ring, Triples
from ._ring_rules import by_distance, by_energy, by_kinematics, right
from ._row import Row

__all__ = ["InterCrystal", "rows"]

#: Annihilations of a sample.
_LINES = 20_000
#: Sweeps of the rivals' settings.
_MIXTURES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
_CLASSES = (1, 2, 4, 8, 16, 32, 64, 256, 1024)
_DISTANCES = (0.5, 2.2, 3.0, 4.5, 6.5, 8.5, 10.5, 14.5)


class InterCrystal(Row):
    """Triple coincidences of a small-animal scanner: pick the single that is on the line.

    A sample is a set of triples simulated by `spinray.transport`: annihilations all over the bore of a ring of 2 mm
    crystals, both photons followed until they are absorbed, energies blurred by 20 % at 511 keV. The network sees six
    numbers: places of the two singles in the plane they span with the partner, and their energies; the single of more
    energy comes first, and the network says whether it is on the line.

    Rivals, tuned on the training set: the choice that Compton's formula prefers; the best choice from the energies
    alone; and, the strongest we know of, Compton's formula where singles are far apart and energies where they are
    near. Controls train the same network on what must teach it nothing: shuffled labels, and places without physics,
    the second single put anywhere around the first, which shows that neither the binning to crystals nor the activity
    gives the line away.
    """

    id = "D6"
    title = "Inter-crystal scatter: the single on the line of response"
    source = (
        "Michaud et al. 2015, 'Sensitivity increase through a neural network method for LOR recovery of ICS triple "
        "coincidences in high-resolution pixelated-detectors PET scanners', IEEE Trans. Nucl. Sci. 62, 82"
    )
    n = 30
    n_held_out = 15
    ring = Ring()

    def network(self) -> nn.MLP:
        """Return an MLP 6-32-32-1 whose output is the logit that the first single is on the line."""
        return nn.MLP(6, 1, hidden=(32, 32))

    def recipe(self, seed: int, index: int) -> tuple[Tensor, Tensor]:
        """Return the triples of 20 000 annihilations, features (n, 6) and labels (n, 1)."""
        return self._tensors(_simulated(self.ring, seed, index))

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the cross entropy."""
        return torch.nn.functional.binary_cross_entropy_with_logits(prediction, target)

    def config(self) -> training.Config:
        """Return 30 epochs of Adam through the same triples."""
        return training.Config(epochs=30, batch_size=512, learning_rate=1e-2, schedule="one_cycle", seed=self.seed)

    def data(self) -> Any:
        """Return the training set: triples are simulated once, since that takes longer than learning from them."""
        return self._tensors(self._triples(self.seed, self.n))

    def examine(self, network: torch.nn.Module) -> Report:
        """Tune the rivals on the training set, and compare shares of right choices on held-out triples."""
        known, fresh = self._triples(self.seed, self.n), self._triples(self.held_out_seed, self.n_held_out)
        # Rules are fitted to one half and their settings chosen by the other.
        fitted, judged = known[::2], known[1::2]
        tuned = [
            sweep(
                "Compton kinematics",
                "weight of the other single's energy",
                _MIXTURES,
                lambda w: right(by_kinematics(self.ring, fitted, w), judged),
            ),
            sweep("energy rule", "classes", _CLASSES, lambda n: right(by_energy(fitted, int(n)), judged)),
        ]
        mixture, classes = tuned[0].best, int(tuned[1].best)
        near = by_energy(known, classes)
        tuned.append(
            sweep(
                "both rules",
                "distance in mm",
                _DISTANCES,
                lambda d: right(by_distance(self.ring, fitted, near, mixture, d), judged),
            )
        )
        scores = {
            "network": self._accuracy(network, fresh),
            "Compton kinematics": right(by_kinematics(self.ring, known, mixture), fresh),
            "energy rule": right(near, fresh),
            "both rules": right(by_distance(self.ring, known, near, mixture, tuned[2].best), fresh),
            "commoner label": 100 * max(fresh.first.mean(), 1 - fresh.first.mean()),
            **self._controls(known, fresh),
        }
        better = max(scores["Compton kinematics"], scores["energy rule"])
        bars = (
            Bar("points over Compton kinematics and over the energy rule", scores["network"] - better, 4.0),
            Bar("points over both rules joined", scores["network"] - scores["both rules"], 0.0),
            Bar("points that shuffled labels teach", scores["shuffled labels"] - scores["commoner label"], 1.0, False),
            Bar("points over chance that places without physics teach", scores["no physics"] - 50, 2.5, False),
        )
        return Report(self.id, self.title, "right choices of held-out triples in %", scores, bars, tuple(tuned))

    def _triples(self, seed: int, n: int) -> Triples:
        """Return the triples of the first samples of a seed."""
        parts = [_simulated(self.ring, seed, index) for index in range(n)]
        columns = ([getattr(part, field.name) for part in parts] for field in dataclasses.fields(Triples))
        return Triples(*map(np.concatenate, columns))

    def _tensors(self, triples: Triples) -> tuple[Tensor, Tensor]:
        label = torch.from_numpy(triples.first.astype(np.float32))[:, None]
        return torch.from_numpy(features(self.ring, triples)), label

    def _accuracy(self, network: torch.nn.Module, triples: Triples) -> float:
        inputs, labels = self._tensors(triples)
        with torch.no_grad():
            return 100 * float(((network(inputs) > 0) == (labels > 0)).float().mean())

    def _controls(self, known: Triples, fresh: Triples) -> dict[str, float]:
        """Return the accuracy of networks that learned what says nothing of the line."""
        random = np.random.default_rng(self.seed)
        shuffled = dataclasses.replace(known, first=random.permutation(known.first))
        blind, asked = (without_physics(self.ring, triples, random) for triples in (known, fresh))
        return {
            "shuffled labels": self._accuracy(self._trained(shuffled), fresh),
            "no physics": self._accuracy(self._trained(blind), asked),
        }

    def _trained(self, triples: Triples) -> torch.nn.Module:
        torch.manual_seed(self.seed)
        network = self.network()
        training.fit(network, self._tensors(triples), self.loss, self.config(), progress=False)
        return network


def rows() -> list[Row]:
    """Return the row."""
    return [InterCrystal()]


@functools.lru_cache(maxsize=64)
def _simulated(ring: Ring, seed: int, index: int) -> Triples:
    return ring.triples((seed << 24) + index, _LINES)


def features(ring: Ring, triples: Triples) -> np.ndarray:
    """Return what the network sees, shape (n, 6), float32.

    In the plane of the three crystals, with the partner at the origin and the singles' middle on the first axis: half
    the way from the second single to the first along both axes and its length, in cm; where the middle is, in radii of
    the ring; and the energies over 511 keV. Shifted to means near 0.
    """
    first, second = np.moveaxis(ring.centre(triples.crystals) - triples.partner[:, None], 1, 0)
    middle, half = (first + second) / 2, (first - second) / 2
    reach = np.linalg.norm(middle, axis=1)
    along = (half * middle).sum(axis=1) / reach
    across = np.sqrt(np.maximum((half**2).sum(axis=1) - along**2, 0))
    radius = ring.inner + ring.depth / 2
    scaled = [along / 10, across / 10, reach / radius - 1.5, np.hypot(along, across) / 10]
    energies = triples.energies / 511 - [0.65, 0.3]
    return np.column_stack([*scaled, energies]).astype(np.float32)


def without_physics(ring: Ring, triples: Triples, random: np.random.Generator) -> Triples:
    """Return triples whose second interaction is displaced from the first as far as it was, but to any side.

    Steps along and around the ring keep their sizes and get random signs, energies are all the same, and the order is
    random: whoever finds the line in these reads it off the geometry of the scanner.
    """
    on = np.where(triples.first, *triples.crystals.T)
    off = np.where(triples.first, *triples.crystals.T[::-1])
    (row, column), (there, turned) = np.divmod(on, ring.around), np.divmod(off, ring.around)
    step = (turned - column + ring.around // 2) % ring.around - ring.around // 2
    signs = random.choice([-1, 1], size=(2, len(on)))
    target = row + signs[0] * (there - row)
    # At the ends of the ring there is one side only.
    target = np.where((target < 0) | (target >= ring.along), there, target)
    moved = target * ring.around + (column + signs[1] * step) % ring.around
    first = random.random(len(on)) < 0.5
    crystals = np.where(first[:, None], np.stack([on, moved], axis=1), np.stack([moved, on], axis=1))
    return Triples(triples.partner, crystals, np.full_like(triples.energies, 255.5), first)
