"""The same FBP in scikit-image."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ct
from ..config import get_num_threads, set_num_threads
from ..grid import Grid
from .section import Section

__all__ = ["compare_fbp"]

_VIEWS, _PIXELS = 720, 512


def compare_fbp(hu: np.ndarray) -> Section:
    """Time FBP of one sinogram in both, on one thread each; the slice is brought to 512 x 512 pixels."""
    section = Section("Beside scikit-image")
    try:
        from skimage.transform import iradon
    except ImportError:
        section.paragraphs = ["scikit-image is not installed: no comparison (pip install scikit-image)."]
        return section
    # Its axis stands at pixel n // 2 of image and detector, its rows run against y, its views are columns.
    half = _PIXELS // 2
    grid = Grid((_PIXELS, _PIXELS), origin=(1.0 - half, -half))
    degrees = np.arange(_VIEWS) * 180.0 / _VIEWS
    A = ct.ParallelBeam(grid, np.deg2rad(degrees), n_cols=_PIXELS, col_offset=-0.5)
    y = A(_square(hu))
    theirs_in = np.ascontiguousarray(y.T)
    before = get_num_threads()
    set_num_threads(1)
    try:
        ours, seconds = _best(lambda: ct.fbp(A, y), 3)
    finally:
        set_num_threads(before)
    theirs, their_seconds = _best(lambda: iradon(theirs_in, degrees, filter_name="ramp", circle=True), 1)
    theirs = theirs[::-1]
    inside = np.hypot(*np.meshgrid(*grid.axes(), indexing="ij")) < 0.45 * _PIXELS
    apart = _apart(ours, theirs, inside)
    section.paragraphs = [
        f"The same FBP in scikit-image: {their_seconds:.2f} s, here: {seconds:.3f} s "
        f"({their_seconds / seconds:.0f} times as fast, one thread each).",
        f"{_PIXELS} × {_PIXELS} pixels, {_VIEWS} views over half a turn, ramp filter; the images differ by "
        f"{apart:.0e} of their root mean square.",
    ]
    return section


def _square(hu: np.ndarray) -> np.ndarray:
    """Return attenuation on the square, zero outside the inscribed circle, as scikit-image wants it."""
    from scipy import ndimage

    inner = int(_PIXELS / np.sqrt(2))
    zoom = inner / max(hu.shape)
    small = ndimage.zoom(ct.hu_to_attenuation(hu, clip=True), zoom, order=1)[:inner, :inner]
    out = np.zeros((_PIXELS, _PIXELS), np.float32)
    top, left = ((_PIXELS - n) // 2 for n in small.shape)
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


def _apart(ours: np.ndarray, theirs: np.ndarray, inside: np.ndarray) -> float:
    return float(np.sqrt(np.mean((ours - theirs)[inside] ** 2) / np.mean(ours[inside] ** 2)))


def _best(call: Callable[[], Any], runs: int) -> tuple[Any, float]:
    times = []
    result = None
    for _ in range(runs):
        begin = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - begin)
    return result, min(times)
