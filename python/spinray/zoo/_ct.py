"""What the CT rows share: scans of random anatomy with photon noise, classical rivals, and the score.

Images are attenuation over that of water, so that numbers are about 1; sinograms are their line integrals in mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import ct, phantoms
from ..ct.geometry import CircularScan
from ..grid import Grid
from ..operators import LinearOperator
from ..regularizers import TV
from ..solvers import fista

__all__ = [
    "METRIC",
    "NLM_WIDTHS",
    "HeldOut",
    "Scan",
    "apply",
    "denoise_nlm",
    "denoise_tv",
    "iterative_tv",
    "psnr",
    "weighted_tv",
]

#: Attenuation of water at 60 keV, 1/mm.
WATER = 0.0206
#: Families whose phantoms take turns, by index.
FAMILIES = ("thorax", "abdomen")
#: Field of view of all of them, mm.
FIELD = 420.0

#: Widths h that non-local means are tried with, in standard deviations of the noise.
NLM_WIDTHS = (0.5, 0.8, 1.2, 1.7, 2.3, 3.0, 4.0, 6.0)

METRIC = "PSNR in dB: 20 log10(largest target value / RMSE) over the voxels of the body, mean over images"


@dataclass(frozen=True)
class Scan:
    """A scan of random anatomy.

    Attributes
    ----------
    operator : ParallelBeam or FanBeam
        From image to sinogram.
    photons : float
        That reach a detector element with nothing in the beam.
    electronic_noise : float
        Standard deviation of the electronic noise, in photons.
    filter : str
        Of the filtered back-projection that images are reconstructed by.
    """

    operator: CircularScan
    photons: float
    electronic_noise: float = 5.0
    filter: str = "hann"

    def anatomy(self, seed: int, index: int) -> phantoms.Textured:
        """Return phantom `index` under `seed`."""
        shape, family = self.operator.domain_shape, FAMILIES[index % len(FAMILIES)]
        return phantoms.textured(shape, seed, index, family=family, spacing=FIELD / max(shape))

    def image(self, seed: int, index: int) -> np.ndarray:
        """Return the true image of a sample, (y, x)."""
        return self.anatomy(seed, index).attenuation / np.float32(WATER)

    def sinogram(self, image: np.ndarray, seed: int, index: int, repetition: int = 0) -> np.ndarray:
        """Return what is measured of an image; repetitions differ by their noise."""
        key = int(np.random.SeedSequence([seed, index, repetition]).generate_state(1, np.uint64)[0])
        p = self.operator(image) * np.float32(WATER)
        return ct.add_noise(p, self.photons, key, electronic_noise=self.electronic_noise) / np.float32(WATER)

    def inverse_variance(self, sinogram: np.ndarray) -> np.ndarray:
        """Return 1 / variance of attenuation line integrals: photons^2 / (photons + electronic noise^2)."""
        photons = self.photons * np.exp(-sinogram * np.float32(WATER))
        return photons**2 / (photons + np.float32(self.electronic_noise**2))

    def reconstruct(self, sinogram: np.ndarray) -> np.ndarray:
        """Return the filtered back-projection."""
        return ct.fbp(self.operator, sinogram, filter=self.filter)


def parallel(size: int, views: int) -> ct.ParallelBeam:
    """Return a parallel-beam scan over 180 degrees of a field of ``size**2`` pixels."""
    grid = Grid((size, size), FIELD / size)
    angles = np.linspace(0, np.pi, views, endpoint=False)
    return ct.ParallelBeam(grid, angles, n_cols=size + size // 4, col_spacing=FIELD / size)


@dataclass(frozen=True)
class HeldOut:
    """Samples that no training sees: true images, sinograms, reconstructions, masks of the body, each (n, ...)."""

    images: np.ndarray
    sinograms: np.ndarray
    reconstructions: np.ndarray
    bodies: np.ndarray

    @classmethod
    def of(cls, scan: Scan, n: int, seed: int) -> HeldOut:
        """Make `n` of them."""
        anatomies = [scan.anatomy(seed, index) for index in range(n)]
        images = np.stack([one.attenuation for one in anatomies]) / np.float32(WATER)
        sinograms = np.stack([scan.sinogram(image, seed, index) for index, image in enumerate(images)])
        bodies = np.stack([one.labels for one in anatomies]) > 0
        return cls(images, sinograms, scan.reconstruct(sinograms), bodies)


def psnr(images: np.ndarray, targets: np.ndarray, bodies: np.ndarray) -> float:
    """Return the mean peak signal-to-noise ratio in dB over the voxels of the body.

    Parameters
    ----------
    images, targets : numpy.ndarray, shape (n, y, x)
        What is scored, and the truth.
    bodies : numpy.ndarray of bool, shape (n, y, x)
        Where it counts.

    Examples
    --------
    >>> import numpy as np
    >>> target = np.array([[[0.0, 1.0], [2.0, 9.0]]])
    >>> body = np.array([[[True, True], [True, False]]])
    >>> round(psnr(target + 0.2, target, body), 6)
    20.0
    """
    squares = np.where(bodies, (images.astype(np.float64) - targets) ** 2, 0).sum((1, 2)) / bodies.sum((1, 2))
    peaks = np.where(bodies, targets, 0).max((1, 2))
    return float(np.mean(20 * np.log10(peaks) - 10 * np.log10(squares)))


def apply(network: torch.nn.Module, inputs: np.ndarray) -> np.ndarray:
    """Return what a network in evaluation mode makes of images or sinograms (n, ...)."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            outputs = [network(part.unsqueeze(1)) for part in torch.from_numpy(inputs).split(8)]
    finally:
        network.train(training)
    return torch.cat(outputs).squeeze(1).numpy()


def denoise_tv(images: np.ndarray, weight: float) -> np.ndarray:
    """Return images denoised by total variation."""
    return TV(weight).prox(images, n_iter=300, tolerance=1e-4, ndim=2)


def denoise_nlm(images: np.ndarray, h: float) -> np.ndarray:
    """Return images denoised by non-local means (Buades et al. 2005, CVPR), h over the noise's standard deviation.

    The noise is estimated in each image by the median of its finest wavelet coefficients.
    """
    from skimage.restoration import denoise_nl_means, estimate_sigma

    def one(image: np.ndarray) -> np.ndarray:
        sigma = float(estimate_sigma(image))
        return denoise_nl_means(image, patch_size=3, patch_distance=6, h=h * sigma, sigma=sigma, fast_mode=True)

    return np.stack([one(image) for image in images])


class _Weighted(LinearOperator):
    """A scan whose rays count by weights, shape of a sinogram: their roots times the line integrals."""

    def __init__(self, operator: CircularScan, weights: np.ndarray) -> None:
        self.domain_shape, self.range_shape = operator.domain_shape, operator.range_shape
        self.operator, self.roots = operator, np.sqrt(weights)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return self.roots * self.operator(x)

    def _adjoint(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(self.operator.adjoint(self.roots * y))


def iterative_tv(scan: Scan, sinograms: np.ndarray, weight: float, n_iter: int = 300) -> np.ndarray:
    """Return the reconstructions by least squares with total variation, non-negative."""
    return _fitted(scan.operator, sinograms, ct.fbp(scan.operator, sinograms, filter="hann"), weight, n_iter)


def weighted_tv(scan: Scan, sinograms: np.ndarray, weight: float, n_iter: int = 1000) -> np.ndarray:
    """Return the reconstructions of `iterative_tv` with statistical weights.

    Rays count by the inverse of their variance over its mean (Sauer and Bouman 1993, IEEE Trans. Signal Process. 41,
    534).
    """

    def one(sinogram: np.ndarray) -> np.ndarray:
        inverse = scan.inverse_variance(sinogram)
        A = _Weighted(scan.operator, inverse / inverse.mean())
        return _fitted(A, A.roots * sinogram, ct.fbp(scan.operator, sinogram, filter="hann"), weight, n_iter)

    return np.stack([one(sinogram) for sinogram in sinograms])


def _fitted(A: LinearOperator, y: np.ndarray, start: np.ndarray, weight: float, n_iter: int) -> np.ndarray:
    step, x0 = 1 / (1.05 * A.norm(tolerance=1e-3) ** 2), start.clip(min=0)
    images: np.ndarray = fista(A, y, n_iter=n_iter, x0=x0, regularizer=TV(weight), bounds=(0, None), step=step)
    return images


def tensor(image: np.ndarray) -> Tensor:
    """Return one image or sinogram as a sample, (1, ...)."""
    return torch.from_numpy(np.ascontiguousarray(image, np.float32)).unsqueeze(0)
