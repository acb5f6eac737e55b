"""Validators of angles in rad, times in s and seeds; degrees and milliseconds are told where they can be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ... import _checks
from ...errors import InputError

__all__ = ["angle", "angles", "read_only", "seed", "time", "times"]

#: Longer than any delay of a sequence: a time above it was meant in ms.
_LONGEST = 20.0
#: A turn, and what rounding may add to one.
_TURN = 2 * math.pi * (1 + 1e-12)


def angle(name: str, value: Any) -> float:
    """Return an angle in rad within a turn."""
    result = _checks.number(name, value)
    if abs(result) > _TURN:
        raise _beyond_a_turn(name, result)
    return result


def angles(name: str, values: ArrayLike) -> np.ndarray:
    """Return angles in rad within a turn, shape (n,), or (1,) from a scalar."""
    result = _vector(name, values)
    beyond = np.abs(result) > _TURN
    if beyond.any():
        raise _beyond_a_turn(name, float(result[beyond][0]))
    return result


def _beyond_a_turn(name: str, angle: float) -> InputError:
    fix = "Degrees? Use numpy.deg2rad; reduce phases modulo 2 pi"
    return InputError(f"{name}: expected radians in [-2 pi, 2 pi], got {angle}. {fix}")


def time(name: str, value: Any, *, allow_zero: bool = True, what: str = "") -> float:
    """Return a time in s."""
    result = _checks.positive(name, value, allow_zero=allow_zero)
    if result > _LONGEST:
        raise InputError(f"{name}: expected at most {_LONGEST:g} s, got {what}{result} s. Milliseconds?")
    return result


def times(name: str, values: ArrayLike, *, allow_zero: bool = False) -> np.ndarray:
    """Return times in s, shape (n,), or (1,) from a scalar."""
    result = _vector(name, values)
    for extreme in (float(result.min()), float(result.max())):
        time(name, extreme, allow_zero=allow_zero)
    return result


def _vector(name: str, values: ArrayLike) -> np.ndarray:
    """Return finite numbers as a vector, of one number from a scalar."""
    given = np.atleast_1d(_checks.doubles(name, values))
    return _checks.doubles(name, given, shape=(None,))


def read_only(array: np.ndarray) -> np.ndarray:
    """Forbid writing to an array, and return it."""
    array.flags.writeable = False
    return array


def seed(value: Any) -> int:
    """Return a seed in [0, 2**64)."""
    result = _checks.integer("seed", value, minimum=0)
    if result >= 1 << 64:
        raise InputError(f"seed: expected an integer below 2**64, got {result}")
    return result
