"""Rules that say which single of a triple is on the line, fitted to known triples: the rivals of a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..transport import compton_cosine
from ._ring import Ring, Triples

__all__ = ["Rule", "by_distance", "by_energy", "by_kinematics", "right"]

#: Of triples, whether the first single is on the line.
Rule = Callable[[Triples], np.ndarray]

_ENERGY = 510.99895


def right(rule: Rule, triples: Triples) -> float:
    """Return the share of right choices in %."""
    return 100.0 * float((rule(triples) == triples.first).mean())


def by_kinematics(ring: Ring, known: Triples, mixture: float) -> Rule:
    """Return the rule that compares angles with Compton's formula.

    If the photon scattered in one single's crystal, it flew on to the other one's: the angle between the line from the
    partner and the line between the singles should be what the energies say. The single whose angle is less off is on
    the line, with a cut at the difference that is best for the known triples.

    Parameters
    ----------
    ring : Ring
        Where crystals are.
    known : Triples
        What the cut is fitted to.
    mixture : float
        The energy after scattering is the other single's, with this weight, and what the first leaves of 511 keV.
    """

    def advantage(triples: Triples) -> np.ndarray:
        places = ring.centre(triples.crystals)
        off = []
        for one in (0, 1):
            other = 1 - one
            arriving, leaving = places[:, one] - triples.partner, places[:, other] - places[:, one]
            cosine = (arriving * leaving).sum(axis=1)
            cosine /= np.linalg.norm(arriving, axis=1) * np.linalg.norm(leaving, axis=1)
            after = mixture * triples.energies[:, other] + (1 - mixture) * (_ENERGY - triples.energies[:, one])
            # Blurred energies may ask for more than turning back, or less than flying on.
            off.append(np.abs(compton_cosine(_ENERGY, np.clip(after, _ENERGY / 3, _ENERGY)) - cosine))
        return off[1] - off[0]

    cut = _cut(advantage(known), known.first)
    return lambda triples: advantage(triples) > cut


def by_energy(known: Triples, classes: int) -> Rule:
    """Return the best rule there is from energies alone, up to the width of classes.

    Parameters
    ----------
    known : Triples
        What it is fitted to.
    classes : int
        Of the first single's share of the energy, between a half and all; each has the label most of its triples have.
    """

    def which(triples: Triples) -> np.ndarray:
        share = triples.energies[:, 0] / triples.energies.sum(axis=1)
        return np.clip((2 * share - 1) * classes, 0, classes - 1).astype(int)

    votes = np.bincount(which(known), 2.0 * known.first - 1.0, minlength=classes)
    return lambda triples: votes[which(triples)] > 0


def by_distance(ring: Ring, known: Triples, near: Rule, mixture: float, distance: float) -> Rule:
    """Return the rule that trusts one rule for singles near each other, and kinematics for others.

    Parameters
    ----------
    ring : Ring
        Where crystals are.
    known : Triples
        What the cut of kinematics is fitted to.
    near : Rule
        For singles no further apart than the distance.
    mixture : float
        As for `by_kinematics`.
    distance : float
        In mm.
    """

    def apart(triples: Triples) -> np.ndarray:
        places = ring.centre(triples.crystals)
        return np.asarray(np.linalg.norm(places[:, 0] - places[:, 1], axis=1) > distance)

    far = by_kinematics(ring, known[apart(known)], mixture)
    return lambda triples: np.where(apart(triples), far(triples), near(triples))


def _cut(score: np.ndarray, label: np.ndarray) -> float:
    """Return the cut above which a score means true, with the fewest errors."""
    order = np.argsort(score)
    wrong = np.cumsum(np.where(label[order], 1, -1))
    best = int(np.argmin(wrong))
    return float(score[order[best]]) if wrong[best] < 0 else -np.inf
