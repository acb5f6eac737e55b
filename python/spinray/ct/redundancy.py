"""How much each measured ray counts in filtered back-projection.

A ray is met again from the other side: (t, position u) at (t + pi, -u) for parallel beams, (t, fan angle g) at
(t + pi - 2 g, -g) for divergent ones. Weights add up to one over the occurrences of a ray, times the angular interval
of the view. Fan angles are positive towards +u.
"""

from __future__ import annotations

import math

import numpy as np

from spinray.ct.geometry import CircularScan
from spinray.errors import InputError

__all__ = ["missing_columns", "view_weights"]

#: A detector whose shorter side is less than this fraction of the longer one is meant to see half the object.
_HALF_DETECTOR = 0.5


def view_weights(A: CircularScan, short_scan: str | bool) -> tuple[np.ndarray, str]:
    """Return the weights, shape (n_views, n_cols), in rad, and what the user should be warned of ("" if nothing)."""
    if A.sod is None:
        return _parallel(A)
    return _divergent(A, short_scan)


def cyclic_intervals(angles: np.ndarray, period: float) -> np.ndarray:
    """Return the angular interval of each view: half the gaps to its neighbours on the circle; they add up to it."""
    order = np.argsort(angles % period, kind="stable")
    sorted_angles = angles[order] % period
    gaps = np.diff(sorted_angles, append=sorted_angles[0] + period)
    intervals = np.empty_like(gaps)
    intervals[order] = (gaps + np.roll(gaps, 1)) / 2
    return intervals


def open_intervals(angles: np.ndarray) -> np.ndarray:
    """Return the angular interval of each view of an arc with ends; the outer views get the whole adjacent gap."""
    if len(angles) == 1:
        return np.array([np.pi])
    order = np.argsort(angles, kind="stable")
    gaps = np.diff(angles[order])
    intervals = np.empty(len(angles))
    intervals[order] = np.concatenate([gaps[:1], (gaps[1:] + gaps[:-1]) / 2, gaps[-1:]])
    return intervals


def _arc(angles: np.ndarray) -> tuple[float, float]:
    """Return the arc covered, the intervals of the outer views included, and the angle where it begins."""
    if len(angles) == 1:
        return 0.0, float(angles[0])
    step = float(np.ptp(angles)) / (len(angles) - 1)
    return float(np.ptp(angles)) + step, float(angles.min()) - step / 2


def _reaches(arc: float, wanted: float, n_views: int) -> bool:
    """Tell whether an arc measured with `n_views` steps covers another, give or take a step."""
    return arc * (1 + 1 / n_views) >= wanted * (1 - 1e-9)


def _parallel(A: CircularScan) -> tuple[np.ndarray, str]:
    arc, _ = _arc(A.angles)
    ones = np.ones((1, A.detector_shape[1]))
    if not _reaches(arc, np.pi, len(A)):
        warning = _one_sided(A, A.columns, "an arc below 360 degrees")
        missing = f"the views span {np.degrees(arc):.0f} degrees; below 180 degrees edges seen by no ray are lost"
        return open_intervals(A.angles)[:, None] * ones, _joined(missing, warning)
    weights = cyclic_intervals(A.angles, np.pi)[:, None] * ones
    if _reaches(arc, 2 * np.pi, len(A)):
        return weights * 2 * _overlap_weights(A.columns), ""
    warning = _one_sided(A, A.columns, "an arc below 360 degrees")
    return weights, warning


def _divergent(A: CircularScan, short_scan: str | bool) -> tuple[np.ndarray, str]:
    assert A.sod is not None
    assert A.sdd is not None
    fan = A.columns / A.sdd if A.detector == "curved" else np.arctan(A.columns / A.sdd)
    arc, begin = _arc(A.angles)
    full = _reaches(arc, 2 * np.pi, len(A))
    if short_scan is False or (full and short_scan == "auto"):
        intervals = cyclic_intervals(A.angles, 2 * np.pi) if full else open_intervals(A.angles)
        warning = ""
        overlap = _overlap_weights(fan)
        if not full:
            warning = _one_sided(A, fan, "an arc below 360 degrees")
            overlap = np.full_like(fan, 0.5)
        return intervals[:, None] * overlap, warning
    warning = _one_sided(A, fan, "Parker's weights")
    # Only the part of the fan that can meet the grid must be measured twice.
    y, x = A.grid.axis_aligned().axes()[-2:]
    reach = max(math.hypot(a, b) for a in (x[0], x[-1]) for b in (y[0], y[-1]))
    widest = min(float(np.abs(fan).max()), math.asin(min(1.0, reach / A.sod)))
    since = (A.angles - begin)[:, None]
    if _reaches(arc, np.pi + 2 * widest, len(A)):
        share = _parker(since, fan[None, :], max((arc - np.pi) / 2, widest))
    else:
        needed = f"{np.degrees(np.pi + 2 * widest):.0f} degrees (180 plus the fan)"
        missing = f"the views span {np.degrees(arc):.0f} degrees; below {needed} edges seen by no ray are lost"
        share, warning = _partial(since, fan[None, :], arc), _joined(missing, warning)
    return open_intervals(A.angles)[:, None] * share, warning


def _parker(since: np.ndarray, fan: np.ndarray, overscan: float) -> np.ndarray:
    """Return Parker's weights for an arc of pi + 2 overscan (Med. Phys. 9, 254, 1982; his fan angle is -fan)."""
    fan = np.clip(fan, -overscan, overscan)
    early, late = np.maximum(overscan + fan, 1e-12), np.maximum(overscan - fan, 1e-12)
    rising = np.sin(np.pi / 4 * np.clip(since / early, 0, 2)) ** 2
    falling = np.sin(np.pi / 4 * np.clip((np.pi + 2 * overscan - since) / late, 0, 2)) ** 2
    return np.minimum(rising, falling)


def _partial(since: np.ndarray, fan: np.ndarray, arc: float) -> np.ndarray:
    """Return weights for any arc: rays met twice share one by how far from the ends of the arc they were met.

    F. Noo, M. Defrise, R. Clackdoyle, H. Kudo, Phys. Med. Biol. 47, 2525 (2002), eq. 35.
    """
    if arc == 0:  # no ray of a single view is met twice
        return np.ones(np.broadcast_shapes(since.shape, fan.shape))

    def confidence(t: np.ndarray) -> np.ndarray:
        return np.clip(np.minimum(t, arc - t) / min(np.radians(10), arc / 2), 0, 1)

    here = confidence(since)
    elsewhere = confidence(since + np.pi - 2 * fan) + confidence(since - np.pi - 2 * fan)
    return np.where(here > 0, here / np.maximum(here + elsewhere, 1e-12), 0.0)


def _sides(positions: np.ndarray) -> tuple[float, float]:
    """Return how far the detector reaches to its shorter and to its longer side of the axis."""
    half = np.ptp(positions) / (len(positions) - 1) / 2 if len(positions) > 1 else 0.0
    low, high = sorted((half - float(positions.min()), half + float(positions.max())))
    return low, high


def _overlap_weights(positions: np.ndarray) -> np.ndarray:
    """Return the share of each column on a full scan: one half each, or Wang's weights on an offset detector.

    Columns beyond the shorter side of the axis are met once. Within it, w(u) + w(-u) = 1 with a smooth passage
    (G. Wang, Med. Phys. 29, 1634, 2002, in u or fan angle).
    """
    shorter, longer = _sides(positions)
    if longer - shorter < 1e-6 * longer:
        return np.full(len(positions), 0.5)
    if shorter <= 0:
        raise InputError("col_offset: the detector must reach across the rotation axis for reconstruction")
    towards_longer = positions if positions.max() > -positions.min() else -positions
    return 0.5 + 0.5 * np.sin(np.pi / 2 * np.clip(towards_longer / shorter, -1, 1))


def missing_columns(A: CircularScan) -> tuple[int, int]:
    """Return how many columns, (before the first, after the last), a detector misses to reach as far to both sides."""
    positions = A.columns
    shorter, longer = _sides(positions)
    missing = max(0, math.ceil((longer - shorter) / A.detector_spacing[1] - 1e-6))
    return (missing, 0) if positions.max() > -positions.min() else (0, missing)


def _one_sided(A: CircularScan, positions: np.ndarray, why: str) -> str:
    """Refuse a detector offset so far that it sees half the object; warn of one that leaves a rim incomplete."""
    shorter, longer = _sides(positions)
    if shorter < _HALF_DETECTOR * longer:
        raise InputError(
            f"col_offset: the detector sees the object from one side only, and with {why} the missing rays are never "
            "measured. Use a full 360 degree scan, or a detector centred on the axis"
        )
    if longer - shorter < 1e-6 * longer:
        return ""
    y, x = A.grid.axis_aligned().axes()[-2:]
    radius = min(-x[0], x[-1], -y[0], y[-1])
    if A.sod is not None and A.sdd is not None:
        shorter = A.sod * math.sin(min(shorter, math.pi / 2))
    if radius <= shorter:
        return ""
    return f"the offset detector sees all rays only within {shorter:.4g} mm of the axis; beyond, values are off"


def _joined(*sentences: str) -> str:
    return "; ".join(s for s in sentences if s)
