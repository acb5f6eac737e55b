"""Simulated scans: the series of a phantom, noise, and the aliasing of undersampled spirals.

A series has shape (..., y, x, n_echoes): one image for each readout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from ... import _checks, _core, _tensors
from ..._progress import progress_bar
from ...config import get_num_threads
from ...errors import DtypeError, InputError
from . import _units
from .sequence import Sequence
from .signal import epg

__all__ = ["add_noise", "scan", "spiral_masks", "undersample"]

_Array = TypeVar("_Array")

#: Complex numbers treated at once: bounds the memory beside input and output to some 100 MB.
_AT_ONCE = 1 << 22


def scan(
    maps: Any,
    seq: Sequence | Callable[..., Any],
    *,
    b1: Any = 1.0,
    off_resonance: Any = 0.0,
    progress: bool = False,
) -> np.ndarray:
    """Return the series of images that a sequence takes of an object, without noise or aliasing.

    Voxel by voxel m0 times the signal of its T1 and T2; each pair that occurs is simulated once.

    Parameters
    ----------
    maps : TissueMaps or mapping of str to array_like
        ``t1``, ``t2`` in s and ``m0``, which may be complex, all of one shape such as (y, x) or (z, y, x); as
        attributes, as those of `spinray.phantoms.brain`, or as entries.
    seq : Sequence or callable
        Simulated by `mrf.epg`; or a signal model of your own, called as ``seq(t1, t2, b1, off_resonance)`` with
        vectors of n voxels, that returns (n, n_echoes).
    b1 : float or array_like, optional
        Factor of all flip angles, one or a map.
    off_resonance : float or array_like, optional
        Off-resonance in Hz, one or a map.
    progress : bool, optional
        Show a progress bar.

    Returns
    -------
    numpy.ndarray, shape (*shape, n_echoes)
        complex64; complex128 if a map is float64. 0 where m0 is 0.

    Raises
    ------
    InputError
        If shapes differ, numbers are not finite, or times are not positive where m0 is not 0.
    DtypeError
        If a map is missing or holds no numbers.

    Examples
    --------
    >>> from spinray.mri import mrf
    >>> from spinray.phantoms import brain
    >>> flip_angles, tr = mrf.jiang2015(400)
    >>> seq = mrf.Sequence.fisp(flip_angles, tr, te=0.003, inversion_time=0.02)
    >>> mrf.scan(brain("shepp-logan", (64, 64)), seq).shape
    (64, 64, 400)
    """
    t1, t2, m0 = (_map(maps, name) for name in ("t1", "t2", "m0"))
    for name, values in (("t2", t2), ("m0", m0)):
        if values.shape != t1.shape:
            raise InputError(f"{name}: expected shape {t1.shape} like t1, got {values.shape}")
    if not isinstance(seq, Sequence) and not callable(seq):
        raise DtypeError(f"seq: expected a Sequence or a signal model, got {type(seq).__name__}")
    inside = m0 != 0
    parameters = [t1, t2, _parameter("b1", b1, t1.shape), _parameter("off_resonance", off_resonance, t1.shape)]
    double = np.float64 in (t1.dtype, t2.dtype, m0.real.dtype)
    rows = np.stack([np.broadcast_to(values, t1.shape)[inside] for values in parameters], -1)
    distinct, which = np.unique(rows.astype(np.float64 if double else np.float32), axis=0, return_inverse=True)
    signals = _signals(seq, distinct, progress)
    out = np.zeros((*t1.shape, signals.shape[-1]), np.complex128 if double else np.complex64)
    flat, voxels, density = out.reshape(-1, signals.shape[-1]), np.flatnonzero(inside), m0[inside]
    which = which.reshape(-1)
    step = max(1, _AT_ONCE // max(1, signals.shape[-1]))
    for first in range(0, voxels.size, step):
        part = slice(first, first + step)
        flat[voxels[part]] = signals[which[part]] * density[part, np.newaxis]
    return out


def add_noise(series: _Array, snr: float, seed: int, *, per_voxel: bool = False) -> _Array:
    """Return a series with complex white noise.

    Real and imaginary parts of the noise are independent normal numbers of one standard deviation.

    Parameters
    ----------
    series : array_like or torch.Tensor, shape (..., n_echoes)
        Signals, real or complex.
    snr : float
        Ratio of root mean squares of signal and noise, |s| / |n| over the whole of a series: of all signals together,
        those that are 0 throughout left out, so that the noise is the same everywhere; or of each signal.
    seed : int
        Seed in [0, 2**64): the same seed gives the same bits for any number of threads.
    per_voxel : bool, optional
        Give each signal the noise that makes `snr` its own; a signal that is 0 stays so.

    Returns
    -------
    same kind as `series`
        complex64, or complex128 from float64 and complex128. Not differentiable: tensors come back without gradient.

    Raises
    ------
    InputError
        If a number is not finite, all are 0, `snr` is not positive, or the seed is out of range.
    DtypeError
        If an argument holds no numbers.

    Examples
    --------
    >>> import numpy as np
    >>> noise = add_noise(np.ones((1000, 100)), snr=10.0, seed=1) - 1.0
    >>> round(float(np.sqrt(np.mean(np.abs(noise) ** 2))), 3)
    0.1
    """
    given = _series(series)
    snr = _checks.positive("snr", snr)
    seed = _units.seed(seed)
    rows = given.reshape(-1, given.shape[-1])
    power = np.einsum("ij,ij->i", rows, rows.conj()).real.astype(np.float64) / given.shape[-1]
    if not power.any():
        raise InputError("series: expected signals, got zeros")
    if not per_voxel:
        power[:] = power[power > 0].mean()
    sigma = np.sqrt(power / 2) / snr
    out = np.empty(rows.shape, np.complex64 if given.dtype.itemsize <= 8 else np.complex128)
    n = given.shape[-1]
    step = max(1, _AT_ONCE // n)
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        sigmas = np.repeat(sigma[part], 2 * n)
        noise = _core.normal(sigmas, seed, 2 * n * first).view(np.complex128)
        out[part] = rows[part] + noise.reshape(-1, n)
    return _tensors.like(series, out.reshape(given.shape))


def spiral_masks(shape: Any, acceleration: int, *, centre_acceleration: float | None = None) -> np.ndarray:
    """Return the weights of k-space for each interleaf of a spiral, drawn on the Cartesian grid.

    Interleaf j holds the points within a line one point wide along an Archimedean spiral, whose angle from x towards y
    grows with the radius, turned by j / acceleration of a turn from the first. Together the interleaves cover all of
    k-space, corners included: each outer point once, inner points more often, since lines are wider there (variable
    density) and meet at the centre. Weights are the reciprocal of how often, times the number of interleaves: their
    mean over the interleaves is 1 at every point.

    Parameters
    ----------
    shape : (int, int)
        ``(y, x)`` of the images.
    acceleration : int
        Number of interleaves; 48 in the first fingerprinting scans.
    centre_acceleration : float, optional
        Number of interleaves that would do for the centre; half of `acceleration` unless given, and growing linearly
        to it at the edge.

    Returns
    -------
    numpy.ndarray, shape (acceleration, y, x)
        Weights, float32, 0 where nothing is sampled; frequency 0 comes first, as in `numpy.fft`.

    Raises
    ------
    InputError
        If there is no interleaf, or more are asked for at the centre than there are.
    DtypeError
        If an argument is not a number.

    Examples
    --------
    >>> import numpy as np
    >>> masks = spiral_masks((64, 64), 16)
    >>> masks.shape, bool(np.allclose(masks.mean(axis=0), 1.0))
    ((16, 64, 64), True)
    """
    n = _checks.integer("acceleration", acceleration, minimum=1)
    inner = n / 2 if centre_acceleration is None else _checks.positive("centre_acceleration", centre_acceleration)
    if inner > n:
        raise InputError(f"centre_acceleration: expected at most {n} interleaves, got {centre_acceleration}")
    ny, nx = _checks.shape("shape", shape, ndim=2)
    fy, fx = np.meshgrid(np.fft.fftfreq(ny), np.fft.fftfreq(nx), indexing="ij")
    # In points of the finer axis: circles stay circles in k-space whatever the number of voxels.
    radius = np.hypot(fy, fx) * max(ny, nx)
    needed = inner + (n - inner) * np.minimum(2 * radius / max(ny, nx), 1.0)
    with np.errstate(divide="ignore"):
        # Next to the centre the lines run outwards and cover 1 / (2 pi r) of a circle each.
        often = n * np.maximum(1 / np.maximum(needed, 1.0), 1 / (2 * math.pi * radius))
    often = np.clip(np.rint(often), 1, n).astype(np.int64)
    # A whole number below n for each point: the interleaf whose line begins there.
    line = np.rint(n * (np.arctan2(fy, fx) / (2 * math.pi)) - radius).astype(np.int64) % n
    hit = (line - np.arange(n)[:, np.newaxis, np.newaxis]) % n < often
    return np.where(hit, (n / often).astype(np.float32), np.float32(0))


def undersample(
    series: _Array,
    acceleration: int = 48,
    seed: int | None = None,
    *,
    centre_acceleration: float | None = None,
    progress: bool = False,
) -> _Array:
    """Return a series as if each image came from one interleaf of a spiral: a model of its aliasing.

    Each image is masked in k-space by one of the `spiral_masks`, turning from image to image, and weighted by the
    sampling density. The mean over all turns of an unchanging image is that image. This is no spiral: points lie on the
    Cartesian grid, and there is neither decay nor off-resonance during the readout, nor a coil.

    Parameters
    ----------
    series : array_like or torch.Tensor, shape (..., y, x, n_echoes)
        Images, real or complex; of a volume each slice alike (a stack of spirals).
    acceleration : int, optional
        Number of interleaves that fill k-space; 1 changes nothing.
    seed : int, optional
        Take the interleaves of each turn in an order drawn from this seed in [0, 2**64); one after the other unless
        given.
    centre_acceleration : float, optional
        See `spiral_masks`.
    progress : bool, optional
        Show a progress bar.

    Returns
    -------
    same kind as `series`
        complex64, or complex128 from float64 and complex128. Not differentiable: tensors come back without gradient.

    Raises
    ------
    InputError
        If the series has fewer than three axes, a number is not finite or an argument out of range.
    DtypeError
        If an argument holds no numbers.

    Notes
    -----
    Noise that the scanner would measure belongs into the series beforehand: ``undersample(add_noise(series, ...))``.

    References
    ----------
    The sampling it imitates: Ma et al. 2013, "Magnetic resonance fingerprinting".

    Examples
    --------
    >>> import numpy as np
    >>> series = np.zeros((64, 64, 96), np.complex64)
    >>> series[20:40, 30:50] = 1.0
    >>> aliased = undersample(series, 48)
    >>> bool(np.allclose(aliased.mean(axis=-1), series[..., 0], atol=1e-5))
    True
    """
    from scipy import fft

    given = _series(series)
    if given.ndim < 3:
        raise InputError(f"series: expected shape (..., y, x, n_echoes), got {given.shape}")
    masks = spiral_masks(given.shape[-3:-1], acceleration, centre_acceleration=centre_acceleration)
    order = _order(given.shape[-1], len(masks), None if seed is None else _units.seed(seed))
    kind = np.dtype(np.complex64 if given.dtype.itemsize <= 8 else np.complex128)
    out = np.empty(given.shape, kind)
    volume = math.prod(given.shape[:-1])
    step = max(1, _AT_ONCE // max(1, volume))
    n, threads = given.shape[-1], get_num_threads()
    with progress_bar("undersample", n, enable=progress) as report:
        for first in range(0, n, step):
            part = slice(first, min(first + step, n))
            images = np.ascontiguousarray(np.moveaxis(given[..., part], -1, 0), kind)
            images = fft.fft2(images, workers=threads, overwrite_x=True)
            weights = masks[order[part]]
            images *= weights.reshape(len(weights), *(1,) * (given.ndim - 3), *weights.shape[1:])
            out[..., part] = np.moveaxis(fft.ifft2(images, workers=threads, overwrite_x=True), 0, -1)
            report(part.stop, n)
    return _tensors.like(series, out)


def _map(maps: Any, name: str) -> np.ndarray:
    """Return one of the maps, finite."""
    try:
        found = maps[name] if isinstance(maps, Mapping) else getattr(maps, name)
    except (KeyError, AttributeError):
        raise DtypeError(f"maps: expected maps t1, t2 and m0, got {type(maps).__name__} without {name}") from None
    values = _checks.finite(name, found)
    if name != "m0" and values.dtype.kind == "c":
        raise DtypeError(f"{name}: expected real numbers, got dtype {values.dtype}")
    return values


def _parameter(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return a number or a map."""
    values = _checks.array(name, _checks.finite(name, value), allow_complex=False)
    if values.shape not in ((), shape):
        raise InputError(f"{name}: expected a number or shape {shape} like t1, got {values.shape}")
    return values


def _signals(seq: Sequence | Callable[..., Any], rows: np.ndarray, progress: bool) -> np.ndarray:
    """Return the signal of every row (T1, T2, B1, off-resonance)."""
    columns = [np.ascontiguousarray(column) for column in rows.T]
    if isinstance(seq, Sequence):
        return np.asarray(epg(seq, *columns, progress=progress))
    signals = np.asarray(seq(*columns))
    if signals.ndim != 2 or len(signals) != len(rows):
        raise InputError(f"seq: expected signals of shape ({len(rows)}, n_echoes), got {signals.shape}")
    return _checks.finite("seq", signals)


def _series(series: Any) -> np.ndarray:
    given = _tensors.entries("series", series)
    if given.ndim == 0 or given.size == 0:
        raise InputError(f"series: expected shape (..., n_echoes) with at least one number, got {given.shape}")
    given = _checks.finite("series", given)
    return given if given.dtype.kind == "c" else given.astype(np.result_type(given.dtype, np.complex64))


def _order(n: int, turns: int, seed: int | None) -> np.ndarray:
    """Return which of `turns` interleaves each of n images takes."""
    cycles = -(-n // turns)
    if seed is None:
        return np.tile(np.arange(turns), cycles)[:n]
    drawn = _core.normal(np.ones(cycles * turns), seed, 0).reshape(cycles, turns)
    return np.argsort(drawn, axis=1, kind="stable").reshape(-1)[:n]
