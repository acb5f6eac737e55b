"""How far an image is from the truth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Scores", "score"]


class Scores(NamedTuple):
    """PSNR in dB, SSIM (None without scikit-image), both against the range of the truth, and RMSE in HU."""

    psnr: float
    ssim: float | None
    rmse: float

    def cells(self) -> tuple[str, str, str]:
        """Return them as a table shows them."""
        return f"{self.psnr:.1f}", "-" if self.ssim is None else f"{self.ssim:.3f}", f"{self.rmse:.0f}"


def score(hu: np.ndarray, truth: np.ndarray) -> Scores:
    """Return the scores of an image in HU.

    References
    ----------
    Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, IEEE Trans. Image Process. 13, 600 (2004), as in scikit-image.
    """
    span = float(np.ptp(truth))
    rmse = float(np.sqrt(np.mean((hu.astype(np.float64) - truth) ** 2)))
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        ssim = None
    else:
        ssim = float(structural_similarity(truth, hu, data_range=span))
    return Scores(20 * float(np.log10(span / rmse)) if rmse > 0 else float("inf"), ssim, rmse)
