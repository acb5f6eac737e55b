"""Where the rotation axis of a parallel-beam scan falls on the detector."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from .. import _checks
from ..errors import InputError
from ..operators.linear import is_tensor

__all__ = ["find_rotation_centre"]

_log = logging.getLogger("spinray.ct")

#: Columns and views that the coarse search is reduced to.
_COARSE_COLUMNS, _COARSE_VIEWS = 128, 180
#: Rows of a stack of sinograms that are looked at, fewer of large ones.
_ROWS, _READINGS = 8, 1 << 22
#: Scans that cover more than this hold opposite views, those below the other cannot be completed.
_OPPOSITE, _TOO_LITTLE = 1.1 * np.pi, np.radians(170)
#: Share of the window over which it falls to zero.
_TAPER = 0.4
#: Angular frequency n belongs to no object when |n| > _WEDGE * radius * |omega| + _MARGIN (samples blur the wedge).
_WEDGE, _MARGIN = 1.2, 6
#: Windows with less than this share of the energy of the best one hold no object.
_EMPTY = 0.05


def find_rotation_centre(sinogram: Any, angles: Any, *, search: tuple[float, float] | None = None) -> float:
    """Return the detector column, as a real number, onto which the rotation axis of a parallel-beam scan projects.

    A view and its opposite are mirror images about the axis, p(t + pi, c + u) = p(t, c - u). Where the scan holds
    opposite views (360 degrees, or more than 198), c is the one that makes them agree best. A scan over 180 degrees
    has none: it is completed by its own mirror image about c to a full turn, and c is the one that leaves least
    energy at frequencies that no object within the field of view has (outside the "double wedge"). In both, the data
    are windowed about c, so that objects wider than the detector do no harm.

    Parameters
    ----------
    sinogram : array_like or torch.Tensor
        Line integrals, shape (view, column) or (view, row, column); of a stack, up to eight rows are used.
    angles : array_like
        View angles in rad, in any order, over 170 degrees at least. Views should follow each other closely: some 180
        in half a turn for the accuracy below.
    search : (float, float), optional
        Smallest and largest column to consider; the middle eight tenths of the detector unless given.

    Returns
    -------
    float
        Column c in pixels, 0 at the centre of the first. The column offset of the scanner models is
        ``col_offset = ((n_cols - 1) / 2 - c) * col_spacing``: an axis at pixel 295.5 of 640 means +24 pixels.

    Raises
    ------
    InputError
        If shapes do not fit, an entry is not finite, the angles cover too little, or the sinogram is constant.
    DtypeError
        If the entries are not real numbers.

    Notes
    -----
    Accuracy: 0.1 pixel for 180 views of 256 columns with 1e4 photons a pixel, 0.2 if the object is wider than the
    detector; 0.03 with opposite views. The result is reported with its mismatch (0: perfect symmetry, 1: none) to the
    log "spinray.ct".

    References
    ----------
    Vo, Drakopoulos, Atwood and Reinhard 2014, "Reliable method for calculating the center of rotation in
    parallel-beam tomography", equations 2 and 3. Instead of shifting the mirrored half for each candidate, the
    energy is evaluated for a real-valued c through the shift theorem.

    Examples
    --------
    >>> import numpy as np
    >>> t, s = np.linspace(0, np.pi, 180, endpoint=False)[:, None], np.arange(128) - 60.25
    >>> disc = 2 * np.sqrt(np.clip(20.0**2 - (s - 15 * np.cos(t) - 9 * np.sin(t)) ** 2, 0, None))
    >>> abs(find_rotation_centre(disc, t[:, 0]) - 60.25) < 0.1
    True
    """
    data, turned = _arranged(sinogram, angles)
    n = data.shape[-1]
    low, high = _range(search, n)
    step = max(1, -(-n // _COARSE_COLUMNS))
    coarse = _coarse(data, turned, step, low, high)
    centre, value = _fine(data, turned, max(low, coarse - 1.5 * step), min(high, coarse + 1.5 * step))
    _log.info("rotation centre at column %.3f of %d, mismatch %.2g", centre, n, value)
    if value > 0.5:
        _log.warning("find_rotation_centre: no clear symmetry (mismatch %.2g at column %.1f)", value, centre)
    return centre


def _arranged(sinogram: Any, angles: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return data (view, row, column) in double and their angles, rising through the arc that the scan covers."""
    given = sinogram.detach().cpu().numpy() if is_tensor(sinogram) else sinogram
    data = _checks.array("sinogram", _checks.finite("sinogram", given), allow_complex=False)
    if data.ndim not in (2, 3) or 0 in data.shape:
        raise InputError(f"sinogram: expected shape (view, column) or (view, row, column), got {data.shape}")
    t = _checks.array("angles", _checks.finite("angles", angles), allow_complex=False).astype(np.float64)
    if t.shape != data.shape[:1]:
        raise InputError(f"angles: expected one for each of {len(data)} views, got shape {t.shape}")
    if len(t) < 16 or data.shape[-1] < 16:
        raise InputError(f"sinogram: expected at least 16 views and 16 columns, got shape {data.shape}")
    if np.ptp(t) > 8 * np.pi:
        raise InputError(
            f"angles: expected radians within four turns, got a range of {np.ptp(t):.4g}. "
            "Degrees? (Golden angles: pass them modulo 2 pi)"
        )
    if _covered(_along_arc(t)[1]) < _TOO_LITTLE:
        covered = np.degrees(_covered(_along_arc(t)[1]))
        raise InputError(f"angles: expected 170 degrees at least to be covered, got {covered:.4g} degrees")
    if np.ptp(data) == 0:
        raise InputError("sinogram: expected an object, got the same number everywhere")
    rows = int(np.clip(_READINGS // (len(data) * data.shape[-1]), 1, _ROWS))
    data = data.reshape(len(data), -1, data.shape[-1])
    picked = np.unique(np.linspace(0, data.shape[1] - 1, min(rows, data.shape[1]) + 2).round().astype(int)[1:-1])
    order, t = _along_arc(t)
    return data[:, picked][order].astype(np.float64), t


def _along_arc(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of views, and their angles, that begins after the largest gap of the circle."""
    wrapped = np.mod(t, 2 * np.pi)
    order = np.argsort(wrapped, kind="stable")
    rising = wrapped[order]
    gaps = np.diff(rising, append=rising[0] + 2 * np.pi)
    first = (int(np.argmax(gaps)) + 1) % len(t)
    rising = np.concatenate([rising[first:], rising[:first] + 2 * np.pi])
    return np.roll(order, -first), rising


def _range(search: tuple[float, float] | None, n: int) -> tuple[float, float]:
    if search is None:
        return 0.1 * (n - 1), 0.9 * (n - 1)
    low, high = _checks.per_axis("search", search, 2)
    if not 0 <= low < high <= n - 1:
        raise InputError(f"search: expected columns 0 <= low < high <= {n - 1}, got {search}")
    return low, high


def _coarse(data: np.ndarray, t: np.ndarray, step: int, low: float, high: float) -> float:
    """Return the best column to within `step`, by trying every one of the reduced data."""
    binned = data[..., : data.shape[-1] // step * step]
    binned = binned.reshape(*data.shape[:2], -1, step).mean(-1)
    every = max(1, len(t) // (_COARSE_VIEWS if _covered(t) < _OPPOSITE else 2 * _COARSE_VIEWS))
    columns = np.arange(binned.shape[-1], dtype=np.float64)
    # Column k of the binned data lies at step * (k + 1/2) - 1/2.
    places = step * (columns + 0.5) - 0.5
    columns = columns[(places >= low - step / 2) & (places <= high + step / 2)]
    energies = np.array([np.sum((binned * _window(binned.shape[-1], c)) ** 2) for c in columns])
    columns = columns[energies > _EMPTY * energies.max()]
    values = [_mismatch(binned[::every], t[::every], c) for c in columns]
    return float(step * (columns[int(np.argmin(values))] + 0.5) - 0.5)


def _fine(data: np.ndarray, t: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Return the best column between two, and its mismatch."""
    from scipy.optimize import minimize_scalar

    result = minimize_scalar(
        lambda c: _mismatch(data, t, c), bounds=(low, high), method="bounded", options={"xatol": 0.003}
    )
    return float(result.x), float(result.fun)


def _step(t: np.ndarray) -> float:
    """Return the usual distance between neighbouring views."""
    gaps = np.diff(t)
    return float(np.median(gaps[gaps > 1e-9])) if (gaps > 1e-9).any() else 2 * np.pi


def _covered(t: np.ndarray) -> float:
    return float(t[-1] - t[0] + _step(t))


def _window(n: int, c: float) -> np.ndarray:
    """Return weights of the columns, even about c: one in the middle, falling to zero at the nearer edge."""
    u = np.abs(np.arange(n) - c) / (min(c, n - 1 - c) + 0.5)
    return 0.5 * (1 + np.cos(np.pi * np.clip((u - 1 + _TAPER) / _TAPER, 0, 1)))


def _mismatch(data: np.ndarray, t: np.ndarray, c: float) -> float:
    """Return how badly data (view, row, column) disagree with their mirror image about c, as a share of energy."""
    from scipy import fft

    n = data.shape[-1]
    radius = min(c, n - 1 - c) + 0.5
    length = fft.next_fast_len(2 * n, real=True)
    omega = 2 * np.pi * np.arange(1, length // 2 + 1) / length
    against, in_all = 0.0, 0.0
    for row in np.moveaxis(data, 1, 0):
        spectrum = fft.rfft(row * _window(n, c), length, axis=-1)[:, 1:]
        mirrored = spectrum.conj() * np.exp(-2j * omega * c)
        compare = _opposite if _covered(t) >= _OPPOSITE else _wedge
        parts = compare(spectrum, mirrored, t, omega, radius)
        against, in_all = against + parts[0], in_all + parts[1]
    return against / in_all if in_all > 0 else np.inf


def _opposite(
    spectrum: np.ndarray, mirrored: np.ndarray, t: np.ndarray, omega: np.ndarray, radius: float
) -> tuple[float, float]:
    """Return the energy of differences between views and mirrored opposite ones, and that of the views."""
    step = _step(t)
    ring = np.append(t, t[0] + 2 * np.pi)
    wanted = np.mod(t + np.pi - t[0], 2 * np.pi) + t[0]
    left = np.clip(np.searchsorted(ring, wanted + 1e-9) - 1, 0, len(t) - 1)
    gap = np.maximum(ring[left + 1] - ring[left], 1e-12)
    share = np.clip((wanted - ring[left]) / gap, 0, 1)
    there = (gap < 2.5 * step) | (np.minimum(share, 1 - share) * gap < 0.1 * step)
    share = share[there, None]
    views = spectrum[there]
    opposite = (1 - share) * mirrored[left[there]] + share * mirrored[(left[there] + 1) % len(t)]
    return _energy(views - opposite), _energy(views) + _energy(opposite)


def _wedge(
    spectrum: np.ndarray, mirrored: np.ndarray, t: np.ndarray, omega: np.ndarray, radius: float
) -> tuple[float, float]:
    """Return the energy outside the double wedge of the completed turn, and that of its halves each alone."""
    from scipy import fft

    # A view at the far end that repeats the first one, mirrored, is left out.
    half = t < t[0] + np.pi - 0.25 * _step(t)
    known = omega < np.count_nonzero(half) / (_WEDGE * radius)
    spectrum, mirrored, t, omega = spectrum[half][:, known], mirrored[half][:, known], t[half], omega[known]
    nothing = np.zeros_like(spectrum)
    first = fft.fft(_on_even_angles(np.concatenate([spectrum, nothing]), t), axis=0)
    second = fft.fft(_on_even_angles(np.concatenate([nothing, mirrored]), t), axis=0)
    frequency = np.abs(fft.fftfreq(2 * len(t), 1 / (2 * len(t))))[:, None]
    # The jump from one half to the other has a spectrum of 1/n.
    weight = np.sqrt((frequency > _WEDGE * radius * omega + _MARGIN) / np.maximum(frequency, 1))
    first *= weight
    second *= weight
    return _energy(first + second), _energy(first) + _energy(second)


def _on_even_angles(turn: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return views at t and t + pi interpolated to as many evenly spaced angles."""
    n = len(turn)
    ring = np.concatenate([t, t + np.pi, t[:1] + 2 * np.pi])
    wanted = t[0] + np.arange(n) * 2 * np.pi / n
    left = np.clip(np.searchsorted(ring, wanted + 1e-9) - 1, 0, n - 1)
    share = np.clip((wanted - ring[left]) / np.maximum(ring[left + 1] - ring[left], 1e-12), 0, 1)[:, None]
    return (1 - share) * turn[left] + share * turn[(left + 1) % n]


def _energy(x: np.ndarray) -> float:
    # Not a dot product: BLAS would start threads of its own for it, and wait for them.
    return float(np.square(x.real).sum() + np.square(x.imag).sum())
