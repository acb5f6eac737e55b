"""From counts to line integrals and back: CT numbers, photon noise, flat fields, the rotation axis."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .. import _checks, _core
from ..errors import InputError
from ..grid import Volume
from ..operators.linear import is_tensor
from .rotation_centre import find_rotation_centre

__all__ = ["add_noise", "attenuation_to_hu", "find_rotation_centre", "hu_to_attenuation", "normalise"]

_log = logging.getLogger("spinray.ct")

_Array = TypeVar("_Array")

#: Readings treated at once: bounds the memory beside input and output to some 100 MB.
_AT_ONCE = 1 << 22


def hu_to_attenuation(hu: _Array, mu_water: float = 0.0206, *, clip: bool = False) -> _Array:
    """Return attenuation from CT numbers: mu = mu_water (1 + HU / 1000).

    Parameters
    ----------
    hu : array_like, torch.Tensor or Volume
        CT numbers in HU, any shape.
    mu_water : float, optional
        Attenuation of water in 1/mm, which fixes the energy the numbers are read at: 0.0206 at 60 keV (NIST XCOM:
        0.02059), 0.0184 at 80 keV, 0.0171 at 100 keV.
    clip : bool, optional
        Make what lies below -1000 HU (padding, noise in air) zero instead of negative.

    Returns
    -------
    same kind as `hu`
        Attenuation in 1/mm; float64 in gives float64, anything else float32. Tensors keep device and gradients.

    Raises
    ------
    InputError
        If an entry is not finite, or `mu_water` is not in (0, 0.1] per mm.
    DtypeError
        If the entries are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> hu_to_attenuation(np.array([-1000.0, 0.0, 1000.0]), mu_water=0.02)
    array([0.  , 0.02, 0.04])
    """
    mu_water = _water(mu_water)

    def convert(x: Any) -> Any:
        mu = x * (mu_water / 1000) + mu_water
        return mu.clip(min=0) if clip else mu

    return _pointwise("hu", hu, convert)


def attenuation_to_hu(mu: _Array, mu_water: float = 0.0206) -> _Array:
    """Return CT numbers from attenuation: HU = 1000 (mu / mu_water - 1), the inverse of `hu_to_attenuation`.

    Parameters
    ----------
    mu : array_like, torch.Tensor or Volume
        Attenuation in 1/mm, any shape.
    mu_water : float, optional
        Attenuation of water in 1/mm at the same energy.

    Returns
    -------
    same kind as `mu`
        CT numbers in HU; float64 in gives float64, anything else float32. Tensors keep device and gradients.

    Raises
    ------
    InputError
        If an entry is not finite, or `mu_water` is not in (0, 0.1] per mm.
    DtypeError
        If the entries are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> attenuation_to_hu(np.array([0.0, 0.02, 0.03]), mu_water=0.02)
    array([-1000.,     0.,   500.])
    """
    mu_water = _water(mu_water)
    return _pointwise("mu", mu, lambda x: x * (1000 / mu_water) - 1000)


def add_noise(
    line_integrals: _Array, i0: Any, seed: int, *, electronic_noise: float = 0.0, floor: float = 0.5
) -> _Array:
    """Return line integrals as a detector that counts photons would measure them.

    Counts are Poisson with mean i0 exp(-p), plus normal electronic noise, and the result is -log(counts / i0).

    Parameters
    ----------
    line_integrals : array_like or torch.Tensor
        Line integrals p, without unit, any shape.
    i0 : float or array_like
        Photons that reach a detector pixel with nothing in the beam; an array (views, bow-tie filter) is broadcast
        against `line_integrals`.
    seed : int
        Seed in [0, 2**64). Reading k of the flattened array draws from the stream (seed, k): the same bits for any
        number of threads.
    electronic_noise : float, optional
        Standard deviation of the electronic noise in counts; drawn from the streams (seed, size + k).
    floor : float, optional
        Counts below this are raised to it, so that no reading is infinite: the largest line integral that can be
        measured is log(i0 / floor). The default, half a count, comes into play where no photon arrived.

    Returns
    -------
    same kind as `line_integrals`
        Noisy line integrals of the same shape; float64 in gives float64, anything else float32. Not differentiable:
        tensors come back without gradient.

    Raises
    ------
    InputError
        If an entry is not finite, `i0` or `floor` not positive, `electronic_noise` negative, the seed out of range,
        or a mean beyond 1e15 counts.
    DtypeError
        If an argument is not a real number.

    References
    ----------
    Macovski 1983, "Medical imaging systems", section 5.4; counter-based streams: Salmon et al. 2011, "Parallel
    random numbers: as easy as 1, 2, 3".

    Examples
    --------
    >>> import numpy as np
    >>> noisy = add_noise(np.full(100_000, 2.0), i0=1e4, seed=1)
    >>> round(float(noisy.mean()), 2), round(float(noisy.std() * np.sqrt(1e4 * np.exp(-2.0))), 2)
    (2.0, 1.0)
    """
    p = _real("line_integrals", line_integrals)
    seed = _checks.integer("seed", seed, minimum=0)
    if seed >= 1 << 64:
        raise InputError(f"seed: expected an integer below 2**64, got {seed}")
    sigma = _checks.positive("electronic_noise", electronic_noise, allow_zero=True)
    floor = _checks.positive("floor", floor)
    incident = _real("i0", i0).astype(np.float64)
    if incident.size and incident.min() <= 0:
        raise InputError(f"i0: expected positive counts, got {incident.min()}")
    try:
        incident = np.broadcast_to(incident, p.shape)
    except ValueError:
        shapes = f"{incident.shape} for line integrals of shape {p.shape}"
        raise InputError(f"i0: expected a number or an array that broadcasts, got shape {shapes}") from None
    out, flat = np.empty_like(p), p.reshape(-1)
    written = out.reshape(-1)
    for first in range(0, flat.size, _AT_ONCE):
        part = slice(first, min(first + _AT_ONCE, flat.size))
        open_beam = incident.flat[part]
        with np.errstate(over="ignore"):
            means = open_beam * np.exp(-flat[part].astype(np.float64))
        if not means.max() <= 1e15:
            raise InputError(
                f"line_integrals: expected at most 1e15 counts, got {means.max():.3g}. Negative attenuation?"
            )
        counts = _core.poisson(means, seed, first)
        if sigma:
            counts += _core.normal(np.full(counts.size, sigma), seed, flat.size + first)
        written[part] = -np.log(np.maximum(counts, floor) / open_beam)
    return _like(line_integrals, out)


def normalise(data: _Array, flats: Any, darks: Any = 0.0, *, floor: float = 1e-6) -> _Array:
    """Return line integrals -log((data - dark) / (flat - dark)) from raw detector readings.

    Parameters
    ----------
    data : array_like or torch.Tensor
        Readings with the object, shape (view, ..., column); integers or floats.
    flats : array_like
        Readings with the beam on and no object, shape (n, ..., column), averaged over n, or a single frame
        (..., column).
    darks : array_like, optional
        Readings with the beam off, shaped as `flats`, or one number for all pixels.
    floor : float, optional
        Transmissions below this (noise below the dark level, dead pixels) are raised to it and counted in a log
        warning: the largest line integral returned is -log(floor).

    Returns
    -------
    same kind as `data`
        Line integrals without unit, of the shape of `data`; float64 in gives float64, anything else float32.

    Raises
    ------
    InputError
        If shapes do not fit, a reading is not finite, or the flats are on average no brighter than the darks.
    DtypeError
        If the entries are not real numbers.

    Notes
    -----
    Frames are averaged in double. A pixel whose flat field is no brighter than its dark field has transmission
    `floor` in every view.

    Examples
    --------
    >>> import numpy as np
    >>> flats, darks = np.full((10, 4), 1100.0), np.full((10, 4), 100.0)
    >>> normalise(np.array([[1100.0, 600.0, 350.0, 225.0]]), flats, darks) / np.log(2)
    array([[-0.,  1.,  2.,  3.]])
    """
    readings = _real("data", data)
    if readings.ndim < 2 or readings.size == 0:
        raise InputError(f"data: expected shape (view, ..., column), got {readings.shape}")
    floor = _checks.positive("floor", floor)
    dark = _frame("darks", darks, readings.shape)
    bright = _frame("flats", flats, readings.shape) - dark
    if not bright.mean() > 0:
        found = f"mean above dark {bright.mean():.6g}"
        raise InputError(f"flats: expected readings brighter than darks, got {found}. Flats and darks swapped?")
    dead = int(np.count_nonzero(bright <= 0))
    # Nothing can be measured in a dead pixel: an infinite open beam makes its transmission zero.
    scale = np.divide(1.0, bright, out=np.zeros_like(bright), where=bright > 0).astype(readings.dtype)
    dark = dark.astype(readings.dtype)
    out, floored = np.empty_like(readings), 0
    step = max(1, _AT_ONCE // dark.size)
    for first in range(0, len(readings), step):
        part = out[first : first + step]
        np.subtract(readings[first : first + step], dark, out=part)
        part *= scale
        floored += int(np.count_nonzero(part < floor))
        np.negative(np.log(np.maximum(part, floor, out=part), out=part), out=part)
    if floored:
        _log.warning(
            "normalise: %d of %d readings have a transmission below %g and were raised to it (%d dead pixels)",
            floored,
            out.size,
            floor,
            dead,
        )
    return _like(data, out)


def _frame(name: str, frames: Any, data_shape: tuple[int, ...]) -> np.ndarray:
    """Return the mean frame in double."""
    given = _real(name, frames)
    frame = data_shape[1:]
    if given.ndim == len(data_shape) and given.shape[1:] == frame and len(given):
        return given.mean(axis=0, dtype=np.float64)
    if given.shape == frame or (given.ndim == 0 and name == "darks"):
        return np.broadcast_to(given.astype(np.float64), frame)
    raise InputError(
        f"{name}: expected shape (n, *{frame}) or {frame} for data of shape {data_shape}, got {given.shape}"
    )


def _water(mu_water: float) -> float:
    mu_water = _checks.positive("mu_water", mu_water)
    if mu_water > 0.1:
        raise InputError(f"mu_water: expected at most 0.1/mm, got {mu_water}. 1/cm? Divide by 10")
    return mu_water


def _real(name: str, value: Any) -> np.ndarray:
    """Return finite real numbers of any kind of array in their working dtype."""
    given = value.detach().cpu().numpy() if is_tensor(value) else value
    return _checks.array(name, _checks.finite(name, given), allow_complex=False)


def _like(given: Any, result: np.ndarray) -> Any:
    """Return a result in the kind of array the input came in."""
    if is_tensor(given):
        return sys.modules["torch"].from_numpy(result).to(given.device)
    return result if result.ndim else result[()]


def _pointwise(name: str, given: Any, convert: Callable[[Any], Any]) -> Any:
    """Apply plain arithmetic to whatever kind of array is given."""
    if isinstance(given, Volume):
        return Volume(_pointwise(name, given.data, convert), given.affine)
    values = _real(name, given)
    if not is_tensor(given):
        return _like(given, convert(values))
    # Checked above on a copy; the arithmetic itself stays with torch, for its gradients and devices.
    return convert(given.to(getattr(sys.modules["torch"], str(values.dtype))))
