"""Draw the figure of the README, docs/first_scan.png: ``python docs/figure.py``.

Above: a real slice, scanned in simulation with 45 views. Below: raw data of a tooth, a quarter of its views.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import spinray
from spinray import ct, regularizers, solvers, viz
from spinray.demo.acquisition import acquire, tv_weight
from spinray.demo.inputs import sample

TARGET = Path(__file__).parent / "first_scan.png"


def reconstructions(A: ct.FanBeam | ct.ParallelBeam, y: np.ndarray, weight: float) -> list[np.ndarray]:
    """Return FBP, SIRT and FISTA-TV of one scan."""
    fbp = ct.fbp(A, y, filter="hann")
    tv = solvers.fista(A, y, n_iter=100, x0=fbp, regularizer=regularizers.TV(weight), bounds=(0, None))
    return [fbp, solvers.sirt(A, y, n_iter=100, bounds=(0, None)), tv]


def slice_images() -> tuple[list[spinray.Volume], list[str]]:
    """Return the true slice and what 45 views give, in HU."""
    given = sample()
    mu = ct.hu_to_attenuation(given.hu, clip=True)
    _, few = acquire(mu, given.grid, 360, 110.0, 8, 0.0206)
    images = [given.hu, *map(ct.attenuation_to_hu, reconstructions(few.A, few.y, tv_weight(few.A, few.noise)))]
    return [given.placed(image) for image in images], ["real slice", "FBP, 45 views", "SIRT", "FISTA-TV"]


def tooth_images() -> tuple[list[np.ndarray], list[str], spinray.Grid]:
    """Return FBP of all views of the tooth, and what a quarter of them gives."""
    raw = spinray.io.read_sinogram(spinray.data.sample("tooth_sinogram"))
    y = np.ascontiguousarray(ct.normalise(raw.data, raw.flats, raw.darks)[:, 0])
    n, centre = y.shape[1], ct.find_rotation_centre(y, raw.angles)
    grid = spinray.Grid((360, 360))
    A = ct.ParallelBeam(grid, raw.angles, n, col_offset=(n - 1) / 2 - centre)
    few = np.ascontiguousarray(y[::4])
    images = [ct.fbp(A, y, filter="hann"), *reconstructions(A[::4], few, 0.08)]
    return images, ["raw data, FBP, 181 views", "FBP, 46 views", "SIRT", "FISTA-TV"], grid


def main() -> None:
    """Draw both rows, one below the other, with few colours to keep the file small."""
    images, titles = slice_images()
    rows = [viz.compare(images, titles, reference=None, window=(40, 700), unit="HU")[0]]
    teeth, titles, grid = tooth_images()
    window = (0.0042, 0.0095)
    zoom = (-120.0, 150.0, -155.0, 115.0)
    rows.append(viz.compare(teeth, titles, reference=None, window=window, grid=grid, unit="1/pixel", zoom=zoom)[0])
    drawn = []
    for figure in rows:
        figure.set_dpi(75)
        figure.canvas.draw()
        drawn.append(np.asarray(figure.canvas.buffer_rgba())[..., :3])
        plt.close(figure)
    picture = Image.fromarray(np.concatenate(drawn)).quantize(64)
    picture.save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
