"""Parallel beam against scikit-image, whose image axis lies at pixel n // 2 and whose rows run against y."""

import numpy as np
import pytest

import spinray

transform = pytest.importorskip("skimage.transform", reason="the peer scikit-image is not installed")

N = 64
ANGLES = np.arange(90) * np.pi / 90
# centres of scikit-image's pixels: row r lies at y = n // 2 - r, column c at x = c - n // 2
GRID = spinray.Grid((N, N), origin=(1.0 - N // 2, -N // 2))


def blobs() -> np.ndarray:
    """Smooth bumps in the circle scikit-image allows, on GRID: two interpolations of them agree."""
    y, x = (GRID.origin[0] + np.arange(N))[:, None], GRID.origin[1] + np.arange(N)
    bumps = [(0, 0, 7, 1.0), (9, -5, 3, 0.8), (-6, 10, 4, -0.5)]
    image = sum(a * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * s * s)) for cx, cy, s, a in bumps)
    return np.where(x**2 + y**2 < (N // 2 - 1) ** 2, image, 0)


def test_projection_of_smooth_bumps_is_radon():
    image = blobs()
    expected = transform.radon(image[::-1], theta=np.rad2deg(ANGLES), circle=True).T
    # its axis is bin n // 2: an even number of bins has it half a bin above the middle
    operator = spinray.ct.ParallelBeam(GRID, ANGLES, N, col_offset=-0.5)
    difference = operator(image) - expected
    # two interpolations of smooth bumps; half a pixel of shift would be 6 %
    assert np.linalg.norm(difference) / np.linalg.norm(expected) < 2e-3


# its other filters sample their window at the 256 frequencies of its own padding
@pytest.mark.parametrize(
    ("ours", "theirs", "tolerance"),
    [("ram-lak", "ramp", 1e-6), ("shepp-logan", "shepp-logan", 1e-3), ("cosine", "cosine", 1e-3)],
)
def test_fbp_is_iradon(ours, theirs, tolerance):
    """Of any sinogram: both filter with the band-limited ramp and interpolate bins linearly."""
    n_cols = 95
    sinogram = np.random.default_rng(1).normal(size=(len(ANGLES), n_cols))
    expected = transform.iradon(sinogram.T, theta=np.rad2deg(ANGLES), filter_name=theirs, output_size=N, circle=False)[
        ::-1
    ]
    image = spinray.ct.fbp(spinray.ct.ParallelBeam(GRID, ANGLES, n_cols), sinogram, filter=ours)
    assert np.linalg.norm(image - expected) / np.linalg.norm(expected) < tolerance
