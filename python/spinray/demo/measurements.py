"""A raw measurement, reconstructed itself: flat and dark fields, rotation axis, FBP, and what few views give."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ct, regularizers, solvers, viz
from ..errors import InputError
from ..grid import Grid
from .acquisition import tv_weight
from .axis import find_shift
from .inputs import Measurement
from .section import Picture, Section, Table

__all__ = ["reconstruct_measurement"]

_SIRT_ITERATIONS, _TV_ITERATIONS = 120, 80
_HEAD = ("reconstruction", "views used", "error at the other views", "seconds")
#: Every so-manieth view is kept, the others test what the image predicts.
_SPARSE = 4
#: Most pixels a side of the image.
_MOST_PIXELS = 640
_OFF = 2.0


def reconstruct_measurement(given: Measurement) -> list[Section]:
    """Reconstruct a raw measurement, and judge few views by the others; progress bars show on standard error."""
    with warnings.catch_warnings():
        # What is missing from the measurement is told once, in the report.
        warnings.simplefilter("ignore", UserWarning)
        y, words, picture = _line_integrals(given)
        A: ct.FanBeam | ct.ParallelBeam
        found: float | None = None
        if given.raw.meta.get("geometry") == "fan":
            A = _fan(given, y.shape[1])
        else:
            A, found = _parallel(given, y)
        section = Section(given.name, paragraphs=[words], pictures=[picture] if picture else [])
        full = _full(section, A, y, found)
        sections = [section, _few_views(A, y, full)]
        if found is not None:
            _add(sections, _axis_again(A, y))
        return sections


def _line_integrals(given: Measurement) -> tuple[np.ndarray, str, Picture | None]:
    """Return the middle row's line integrals in float32, what was done, and pictures of the raw data."""
    import matplotlib.pyplot as plt

    raw = given.raw
    data = raw.data.astype(np.float32)
    if raw.is_log:
        return _row(data), f"{raw!r}: line integrals as the file has them.", None
    if raw.flats is None:
        raise InputError(f"--input: {given.name} holds counts, but no flat fields (exchange/data_white) to divide by")
    y = ct.normalise(data, raw.flats, 0.0 if raw.darks is None else raw.darks)
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.9), layout="constrained")
    viz.show_sinogram(_row(data), title="counts", ax=axes[0])
    viz.show_sinogram(_row(y), title="line integrals", ax=axes[1])
    rows = "" if data.ndim == 2 else f" Detector row {data.shape[1] // 2 + 1} of {data.shape[1]} is shown."
    words = f"{raw!r}. Line integrals are -log((counts - dark) / (flat - dark)), flats and darks averaged.{rows}"
    return _row(y), words, Picture("measurement", figure, "What the detector counted, and the line integrals.")


def _row(data: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(data[:, data.shape[1] // 2] if data.ndim == 3 else data)


def _parallel(given: Measurement, y: np.ndarray) -> tuple[ct.ParallelBeam, float]:
    """Return the scan about the axis found in the data, lengths in pixels, and the column of the axis."""
    n = y.shape[1]
    centre = ct.find_rotation_centre(y, given.raw.angles)
    pixels = min(n, _MOST_PIXELS)
    grid = Grid((pixels, pixels), spacing=n / pixels)
    return ct.ParallelBeam(grid, given.raw.angles, n, col_offset=(n - 1) / 2 - centre), centre


def _fan(given: Measurement, n_cols: int) -> ct.FanBeam:
    meta: Any = given.raw.meta
    missing = [name for name in ("sod", "sdd", "col_spacing") if name not in meta]
    if missing:
        raise InputError(f"--input: {given.name} is a fan beam that does not tell its {', '.join(missing)}")
    half = math.atan(n_cols * meta["col_spacing"] / 2 / meta["sdd"])
    pixels = min(n_cols, _MOST_PIXELS)
    grid = Grid((pixels, pixels), spacing=2 * meta["sod"] * math.sin(half) / pixels)
    return ct.FanBeam(grid, given.raw.angles, n_cols, meta["col_spacing"], meta["sod"], meta["sdd"])


def _full(section: Section, A: Any, y: np.ndarray, found: float | None) -> np.ndarray:
    """Return FBP of all views; tell and show it."""
    import matplotlib.pyplot as plt

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        begin = time.perf_counter()
        image: np.ndarray = ct.fbp(A, y, filter="hann")
        seconds = time.perf_counter() - begin
    n, pixels = y.shape[1], image.shape[0]
    text = f"FBP (Hann) of {len(y)} views onto {pixels} × {pixels} pixels took {seconds:.3f} s."
    if found is not None:
        text = (
            f"The rotation axis stands at column {found:.2f} of {n}, {found - (n - 1) / 2:+.2f} from the middle. "
            + text
        )
    section.paragraphs.append(text)
    for told in caught:
        # Of parallel beams only the columns are known: lengths are in pixels.
        words = str(told.message) if found is None else str(told.message).replace(" mm", " pixels")
        section.paragraphs.append(f"{words[:1].upper()}{words[1:]}.")
    if found is None:
        ax = viz.show(image, grid=A.grid, title="FBP", unit="1/mm")
        section.pictures.append(Picture("fbp", ax.figure, "Filtered back-projection of all views."))
        return image
    straight = ct.ParallelBeam(A.grid, A.angles, n)
    figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    window = _window(image)
    for ax, picture, title in (
        (axes[0], ct.fbp(straight, y, filter="hann"), "axis taken in the middle of the detector"),
        (axes[1], image, f"axis found at column {found:.2f}"),
    ):
        viz.show(picture, grid=A.grid, window=window, title=title, unit="1/pixel", ax=ax)
        ax.set(xlabel="x [pixels]", ylabel="y [pixels]")
    section.pictures.append(Picture("fbp", figure, "Filtered back-projection of all views, and why the axis matters."))
    return image


def _window(image: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(image, (0.005, 0.998))
    return float(low + high) / 2, float(high - low)


def _few_views(A: Any, y: np.ndarray, full: np.ndarray) -> Section:
    """Reconstruct from every fourth view, and compare what the images predict for the others with the measurement."""
    kept = np.arange(len(y)) % _SPARSE == 0
    few, rest = A[kept], A[~kept]
    tv = regularizers.TV(tv_weight(few, _noise(y)))
    begin = few, np.ascontiguousarray(y[kept])
    images: dict[str, np.ndarray] = {}
    rows = []
    calls: dict[str, Callable[[], np.ndarray]] = {
        "FBP (Hann)": lambda: ct.fbp(*begin, filter="hann"),
        "SIRT": lambda: solvers.sirt(*begin, n_iter=_SIRT_ITERATIONS, relaxation=1.9, bounds=(0, None), progress=True),
        "FISTA-TV": lambda: solvers.fista(
            *begin, n_iter=_TV_ITERATIONS, regularizer=tv, bounds=(0, None), progress=True
        ),
    }
    for name, call in calls.items():
        start = time.perf_counter()
        images[name] = call()
        seconds = time.perf_counter() - start
        wrong = float(np.linalg.norm(rest(images[name]) - y[~kept]) / np.linalg.norm(y[~kept]))
        rows.append((name, f"{kept.sum()} of {len(y)}", f"{100 * wrong:.2f} %", f"{seconds:.2f}"))
    best = images["FISTA-TV"]
    pixels, zoom = f"FBP, {len(y)} views", _object(best, A.grid)
    figure, _ = viz.compare(
        [full, *images.values()], [pixels, *images], reference=None, window=_window(best), grid=A.grid, zoom=zoom
    )
    section = Section("Few views, judged by the others", tables=[Table(_HEAD, tuple(rows), left=1)])
    section.paragraphs = [
        f"No truth is known of a measurement. So every {_SPARSE}th view is reconstructed, and each image is asked for "
        "the views it has not seen: the error is the norm of what it gets wrong over that of the measurement.",
    ]
    section.pictures = [Picture("few-views", figure, f"All views, and {kept.sum()} of them by three methods.")]
    return section


def _object(image: np.ndarray, grid: Grid) -> tuple[float, float, float, float]:
    """Return a square (left, right, bottom, top) in mm around what is bright in an image."""
    from scipy import ndimage

    bright = ndimage.median_filter(image > 0.3 * np.quantile(image, 0.998), 5)
    y, x = grid.axes()
    ys, xs = y[bright.any(axis=1)], x[bright.any(axis=0)]
    if not len(ys):
        return float(x[0]), float(x[-1]), float(y[0]), float(y[-1])
    half = 0.58 * max(np.ptp(ys), np.ptp(xs))
    middle_y, middle_x = (ys[0] + ys[-1]) / 2, (xs[0] + xs[-1]) / 2
    return float(middle_x - half), float(middle_x + half), float(middle_y - half), float(middle_y + half)


def _noise(y: np.ndarray) -> float:
    """Return the standard deviation of noise, from second differences along the columns, robust against edges."""
    return float(np.median(np.abs(np.diff(y, n=2, axis=1)))) / 0.6745 / math.sqrt(6)


def _axis_again(A: Any, y: np.ndarray) -> Section | None:
    """Find the axis a second time, by gradient descent from two columns off; None without torch."""
    begin = time.perf_counter()
    try:
        way = find_shift(A, y, start=_OFF)
    except ImportError:
        return None
    return Section(
        "The axis once more, by its gradient",
        [
            f"Gradient descent through shift, FBP and projector, started {_OFF:g} columns off, ends "
            f"{way.shifts[-1]:+.3f} columns from the axis found above after {len(way.shifts) - 1} steps "
            f"({time.perf_counter() - begin:.1f} s); what the reconstruction leaves unexplained of the data fell "
            f"from {100 * way.losses[0]:.3g} % to {100 * way.losses[-1]:.3g} %. The two methods share nothing but the "
            "data: one looks at symmetry, the other at consistency."
        ],
    )


def _add(sections: list[Section], one: Section | None) -> None:
    if one is not None:
        sections.append(one)
