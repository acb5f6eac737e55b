"""Kinematics of Compton scattering off an electron at rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks
from ..errors import InputError

__all__ = ["compton_cosine", "compton_energy"]

#: Rest energy of an electron in keV.
_ELECTRON = 510.99895


def compton_energy(energy: Any, cosine: Any) -> np.ndarray:
    """Return the energy of a photon after Compton scattering.

    Parameters
    ----------
    energy : array_like
        Before, in keV.
    cosine : array_like
        Of the angle between its old and its new direction; broadcast with the energy.

    Returns
    -------
    numpy.ndarray
        E / (1 + E (1 - cosine) / mc2), in keV.

    Raises
    ------
    InputError
        If an energy is not positive, a cosine not in [-1, 1], or a number not finite.

    Notes
    -----
    Compton 1923, "A quantum theory of the scattering of x-rays by light elements", Phys. Rev. 21, 483.

    Examples
    --------
    >>> compton_energy(511.0, [1.0, 0.0, -1.0]).round(1)  # onwards, sideways, back
    array([511. , 255.5, 170.3])
    """
    before = _energy("energy", energy)
    turn = _checks.doubles("cosine", cosine)
    if not (np.abs(turn) <= 1).all():
        raise InputError(f"cosine: expected numbers in [-1, 1], got {turn.flat[np.abs(turn).argmax()]:g}")
    return np.asarray(before / (1 + before * (1 - turn) / _ELECTRON))


def compton_cosine(before: Any, after: Any) -> np.ndarray:
    """Return the cosine of the angle by which a photon was scattered, from its energies.

    Parameters
    ----------
    before, after : array_like
        Energies in keV, broadcast.

    Returns
    -------
    numpy.ndarray
        1 - mc2 (1 / after - 1 / before): beyond [-1, 1] where no angle makes such energies, as measured ones may be.

    Raises
    ------
    InputError
        If an energy is not positive or not finite.

    Examples
    --------
    >>> compton_cosine(511.0, [511.0, 255.5]).round(3)
    array([1., 0.])
    """
    return np.asarray(1 - _ELECTRON * (1 / _energy("after", after) - 1 / _energy("before", before)))


def _energy(name: str, value: Any) -> np.ndarray:
    energy = _checks.doubles(name, value, hint="In keV")
    if not (energy > 0).all():
        raise InputError(f"{name}: expected positive numbers (keV), got {energy.min():g}")
    return energy
