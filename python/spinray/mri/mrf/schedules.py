"""Schedules of flip angles and repetition times in the style of the first publications of MR fingerprinting.

The trains scanned then are tables; these functions make trains of the same kind from a documented formula and a seed:
smooth lobes of varying height for FISP, noisy ones with pauses for bSSFP, and repetition times that wander.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ... import _checks, _core
from ...errors import InputError
from . import _units

__all__ = ["jiang2015", "ma2013"]

#: Maxima in rad of the lobes of the FISP train.
_MAXIMA = tuple(np.deg2rad([35.0, 60.0, 20.0, 70.0, 45.0]).tolist())

# Parts of the stream of a seed: knots of repetition times, noise of flip angles.
_KNOTS, _NOISE = 0, 1 << 32


def jiang2015(
    n_pulses: int = 1000,
    maxima: ArrayLike = _MAXIMA,
    *,
    minimum: float = math.radians(5.0),
    tr: float | Sequence[float] = (0.0115, 0.0145),
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a smooth train for FISP fingerprinting: sinusoidal lobes of varying maximum.

    The train is divided evenly among its lobes. Pulse i = 0, 1, ... of a lobe of L pulses and maximum A has the flip
    angle minimum + (A - minimum) sin(pi (i + 1/2) / L). Repetition times are smooth noise over the given range.

    Parameters
    ----------
    n_pulses : int, optional
        Number of pulses, at least one for each lobe; 400 to 1000 are common.
    maxima : array_like, shape (lobes,), optional
        Maximum of each lobe in rad; 35, 60, 20, 70 and 45 degrees unless given.
    minimum : float, optional
        Flip angle in rad between the lobes.
    tr : float or (float, float), optional
        Repetition time in s: one for all, or the smallest and the largest.
    seed : int, optional
        Seed in [0, 2**64) of the repetition times: the same seed gives the same bits.

    Returns
    -------
    flip_angles : numpy.ndarray, shape (n_pulses,)
        In rad, float64.
    tr : numpy.ndarray, shape (n_pulses,)
        In s, float64.

    Raises
    ------
    InputError
        If there are fewer pulses than lobes, angles look like degrees or are negative, times like ms, or the seed is
        out of range.
    DtypeError
        If an argument is not a number.

    Notes
    -----
    Repetition times are one-dimensional gradient noise after Perlin, octaves of 100, 50 and 25 pulses with weights 1,
    1/2 and 1/4, stretched to the range.

    References
    ----------
    Jiang, Ma, Seiberlich, Gulani and Griswold 2015, "MR fingerprinting using fast imaging with steady state
    precession (FISP) with spiral readout": a train of this style. Perlin 2002, "Improving noise".

    Examples
    --------
    >>> from spinray.mri import mrf
    >>> flip_angles, tr = mrf.jiang2015(600)
    >>> mrf.Sequence.fisp(flip_angles, tr, te=0.003, inversion_time=0.02)
    Sequence(1801 events, 600 pulses, 600 echoes, 7.68 s)
    """
    n = _checks.integer("n_pulses", n_pulses, minimum=1)
    heights = _positive_angles("maxima", maxima)
    low = float(_positive_angles("minimum", _checks.number("minimum", minimum))[0])
    if n < heights.size:
        raise InputError(f"n_pulses: expected at least one for each of {heights.size} lobes, got {n}")
    lobes = np.array_split(np.empty(n), heights.size)
    angles = [low + (height - low) * _half_sine(lobe.size) for lobe, height in zip(lobes, heights, strict=True)]
    return np.concatenate(angles), _repetition_times(n, tr, seed)


def ma2013(
    n_pulses: int = 1000,
    maximum: float = math.radians(60.0),
    *,
    minimum: float = math.radians(10.0),
    period: int = 250,
    pause: int = 10,
    noise: float = math.radians(5.0),
    tr: float | Sequence[float] = (0.0105, 0.014),
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a pseudo-random train for bSSFP fingerprinting: noisy sinusoidal lobes, every other one halved.

    Pulse i = 0, 1, ... of a lobe has the flip angle minimum + (maximum - minimum) sin(pi (i + 1/2) / L) + noise, over
    L = period - pause pulses, then comes a pause of pulses of angle 0. Every second lobe repeats the one before at
    half its angles. Repetition times are smooth noise over the given range.

    Parameters
    ----------
    n_pulses : int, optional
        Number of pulses, those of pauses counted.
    maximum, minimum : float, optional
        Flip angles in rad at the top of the first lobe and at its ends, without noise.
    period : int, optional
        Pulses from the start of a lobe to that of the next.
    pause : int, optional
        Pulses of angle 0 at the end of each period, in which magnetisation recovers.
    noise : float, optional
        Standard deviation in rad of the noise, uniformly distributed; angles are cut off at 0.
    tr : float or (float, float), optional
        Repetition time in s: one for all, or the smallest and the largest.
    seed : int, optional
        Seed in [0, 2**64) of noise and repetition times: the same seed gives the same bits.

    Returns
    -------
    flip_angles : numpy.ndarray, shape (n_pulses,)
        In rad, float64. `Sequence.bssfp` alternates their phase.
    tr : numpy.ndarray, shape (n_pulses,)
        In s, float64.

    Raises
    ------
    InputError
        If a pause fills its period, angles look like degrees or are negative, times like ms, or the seed is out of
        range.
    DtypeError
        If an argument is not a number.

    References
    ----------
    Ma, Gulani, Seiberlich, Liu, Sunshine, Duerk and Griswold 2013, "Magnetic resonance fingerprinting", methods: a
    train of this style. Repetition times as in `jiang2015`.

    Examples
    --------
    >>> from spinray.mri import mrf
    >>> flip_angles, tr = mrf.ma2013(500)
    >>> mrf.Sequence.bssfp(flip_angles, tr, inversion_time=0.02)
    Sequence(1501 events, 500 pulses, 500 echoes, 6.007 s)
    """
    n = _checks.integer("n_pulses", n_pulses, minimum=1)
    span = _checks.integer("period", period, minimum=1)
    rest = _checks.integer("pause", pause, minimum=0)
    if rest >= span:
        raise InputError(f"pause: expected fewer pulses than the period of {span}, got {rest}")
    names = {"maximum": maximum, "minimum": minimum, "noise": noise}
    high, low, sigma = (float(_positive_angles(name, _checks.number(name, x))[0]) for name, x in names.items())
    n_lobes = -(-n // span)
    lobes = np.zeros((n_lobes, span))
    lobes[:, : span - rest] = low + (high - low) * _half_sine(span - rest)
    lobes[:, : span - rest] += sigma * _uniform(seed, (n_lobes, span - rest))
    lobes = np.clip(lobes, 0.0, 2 * math.pi)
    lobes[1::2] = lobes[: n_lobes - n_lobes % 2 : 2] / 2
    return lobes.reshape(-1)[:n], _repetition_times(n, tr, seed)


def _half_sine(n: int) -> np.ndarray:
    """Return n samples of a half sine, at the middles of n equal parts."""
    return np.sin(np.pi * (np.arange(n) + 0.5) / n)


def _uniform(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return uniform noise of mean 0 and variance 1."""
    from scipy.special import ndtr

    normal = _core.normal(np.ones(math.prod(shape)), _units.seed(seed), _NOISE).reshape(shape)
    return math.sqrt(12) * (ndtr(normal) - 0.5)


def _repetition_times(n: int, tr: float | Sequence[float], seed: int) -> np.ndarray:
    """Return n repetition times in s: one for all, or smooth noise over a range."""
    seed = _units.seed(seed)
    given = _units.times("tr", tr)
    if given.size == 1:
        return np.full(n, given[0])
    if given.size != 2 or given[0] > given[1]:
        raise InputError(f"tr: expected one time or (smallest, largest) in s, got {given.tolist()}")
    noise = sum(_gradient_noise(n, 100 / 2**octave, seed, octave << 20) / 2**octave for octave in range(3))
    reach = np.ptp(noise)
    unit = (noise - np.min(noise)) / reach if reach > 0 else np.full(n, 0.5)
    return np.asarray(given[0] + (given[1] - given[0]) * unit)


def _gradient_noise(n: int, wavelength: float, seed: int, first: int) -> np.ndarray:
    """Return n samples of Perlin's noise: random slopes at knots, blended by 6 t^5 - 15 t^4 + 10 t^3."""
    # Half a sample off the knots, at which the noise vanishes.
    position = (np.arange(n) + 0.5) / wavelength
    knot = position.astype(np.int64)
    t = position - knot
    slopes = _core.normal(np.ones(int(knot[-1]) + 2), seed, _KNOTS + first)
    fade = t**3 * (10 + t * (6 * t - 15))
    return np.asarray((1 - fade) * slopes[knot] * t + fade * slopes[knot + 1] * (t - 1))


def _positive_angles(name: str, values: ArrayLike) -> np.ndarray:
    angles = _units.angles(name, values)
    if angles.min() < 0:
        raise InputError(f"{name}: expected angles >= 0, got {angles.min()}")
    return angles
