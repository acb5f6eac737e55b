"""A real slice at low dose and with few views, by FBP, SIRT and FISTA-TV."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from .. import ct, regularizers, solvers, viz
from .acquisition import Acquisition, acquire, tv_weight
from .inputs import Slice
from .scores import score
from .section import Picture, Section, Table

__all__ = ["ERROR", "MU_WATER", "NOISE_HU", "VIEWS", "WINDOW", "few_views", "scan_slice"]

MU_WATER = 0.0206
#: Views of a turn.
VIEWS = 360
#: Noise of the FBP image at low dose, in HU.
NOISE_HU = 110.0
#: Iterations of SIRT and FISTA: noise stops SIRT early, missing views need more.
_ITERATIONS = {"low dose": (45, 50), "few views": (80, 120)}
#: SIRT goes nearly twice as far in a step, just inside its limit of 2.
_RELAXATION = 1.9
#: Grey values shown: soft tissue, and the errors.
WINDOW, ERROR = (40.0, 700.0), 150.0


def scan_slice(given: Slice) -> Section:
    """Scan, reconstruct and score a slice; progress bars show on standard error."""
    mu = ct.hu_to_attenuation(given.hu, MU_WATER, clip=True)
    scans = acquire(mu, given.grid, VIEWS, NOISE_HU, few_views(given), MU_WATER)
    rows, pictures = [], []
    for scan in scans:
        images = _reconstruct(scan)
        hu = {name: ct.attenuation_to_hu(image, MU_WATER) for name, (image, _) in images.items()}
        for name, (_, seconds) in images.items():
            rows.append((scan.name, name, *score(hu[name], given.hu).cells(), f"{seconds:.3f}"))
        pictures.append(_picture(scan, hu, given))
    section = Section(
        given.name, tables=[Table(_HEAD, tuple(rows), left=2)], pictures=[_overview(given, scans), *pictures]
    )
    section.paragraphs = _words(given, scans)
    return section


_HEAD = ("scan", "reconstruction", "PSNR [dB]", "SSIM", "RMSE [HU]", "seconds")


def few_views(given: Slice) -> int:
    """Return which views make the sparse scan: every eighth, every fifth of large images, which need more."""
    return 8 if max(given.grid.shape) <= 256 else 5


def _reconstruct(scan: Acquisition) -> dict[str, tuple[np.ndarray, float]]:
    """Return each method's image in 1/mm and the seconds it took."""
    A, y = scan.A, scan.y
    sirt_iterations, tv_iterations = _ITERATIONS[scan.name]
    tv = regularizers.TV(tv_weight(A, scan.noise))
    fbp = _timed(lambda: ct.fbp(A, y, filter="hann"))
    start = np.maximum(fbp[0], 0)
    return {
        "FBP (Hann)": fbp,
        "SIRT": _timed(
            lambda: solvers.sirt(A, y, n_iter=sirt_iterations, relaxation=_RELAXATION, bounds=(0, None), progress=True)
        ),
        "FISTA-TV": _timed(
            lambda: solvers.fista(A, y, n_iter=tv_iterations, x0=start, regularizer=tv, bounds=(0, None), progress=True)
        ),
    }


def _timed(call: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def _words(given: Slice, scans: tuple[Acquisition, Acquisition]) -> list[str]:
    A, sparse = scans[0].A, scans[1].A
    rows, columns = given.grid.shape
    low, few = (_ITERATIONS[scan.name] for scan in scans)
    notes = f" ({'; '.join(given.notes)})" if given.notes else ""
    return [
        f"The truth is {given.name}{notes}: {rows} × {columns} pixels of "
        f"{given.grid.spacing[0]:.3g} × {given.grid.spacing[1]:.3g} mm, standing alone in air. It is scanned by a fan "
        f"beam with an arc of {A.detector_shape[1]} columns ({A.sod:.0f} mm from source to axis, {A.sdd:.0f} mm to "
        f"detector, {MU_WATER}/mm for water), with Poisson noise: {len(A)} views of {scans[0].i0:,.0f} photons a "
        f"reading, and {len(sparse)} views of {scans[1].i0:,.0f}. The scan meets an object of three times finer pixels "
        "on a three times finer detector, so that nothing is reconstructed by the very model that made the data.",
        f"SIRT ran {low[0]} and {few[0]} iterations from zero with relaxation {_RELAXATION}, FISTA {low[1]} and "
        f"{few[1]} from the FBP image, both with attenuation kept non-negative. The weight of total variation follows "
        "from the noise by one rule for all inputs. PSNR and SSIM refer to the range of the true image; all pixels "
        "count.",
    ]


def _overview(given: Slice, scans: tuple[Acquisition, Acquisition]) -> Picture:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.9), layout="constrained")
    viz.show(given.placed(given.hu), window=WINDOW, title="true image", unit="HU", ax=axes[0])
    for ax, scan in zip(axes[1:], scans, strict=True):
        viz.show_sinogram(scan.y, scan.A, title=f"{scan.name}: {len(scan.A)} views, {scan.i0:,.0f} photons", ax=ax)
    return Picture("scan", figure, "The true image, and the line integrals measured in the two scans.")


def _picture(scan: Acquisition, hu: dict[str, np.ndarray], given: Slice) -> Picture:
    figure, _ = viz.compare(
        [given.placed(image) for image in (given.hu, *hu.values())],
        ["truth", *hu],
        window=WINDOW,
        error=ERROR,
        unit="HU",
    )
    return Picture(
        scan.name.replace(" ", "-"),
        figure,
        f"{scan.name.capitalize()}: {len(scan.A)} views of {scan.i0:,.0f} photons. Below each image its difference "
        "from the truth, red where too bright.",
    )
