"""Structural similarity and local correlation, by MONAI."""

from __future__ import annotations

from torch import Tensor, nn

from ... import _checks
from ...errors import InputError
from . import _arguments

__all__ = ["LocalNCCLoss", "MSSSIMLoss", "SSIMLoss"]

#: Weights of the scales, finest first (Wang 2003, section 3.2).
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


class SSIMLoss(nn.Module):
    """One minus the structural similarity of two images, averaged over all windows that lie within the image.

    Parameters
    ----------
    data_range : float
        Largest minus smallest value an image can have, in its unit: 1 for images scaled to [0, 1], 4096 for
        12-bit ones. It sets the constants (0.01 range)^2 and (0.03 range)^2; wrong by a factor, the loss sees either
        only brightness or only noise.
    window : int
        Side of the Gaussian window in voxels, odd.
    sigma : float
        Standard deviation of the window in voxels.

    Raises
    ------
    ImportError
        Without MONAI.
    InputError, DtypeError
        If a parameter is out of range or, in the call, the shapes differ or an image is smaller than the window.

    Notes
    -----
    ``loss(input, target)`` takes (batch, channels, y, x) or (batch, channels, z, y, x) and is symmetric. MONAI
    computes in single precision whatever the input and returns to its dtype; variances are differences of means
    there, which costs digits where an image varies by little around a large value (1e-5 of the index for a
    contrast of 1/400 of the mean). Its windows are not separated into axes: in 3-D an 11^3 window is slow, take 7.

    References
    ----------
    .. [1] Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli (2004), Image quality assessment: from error
       visibility to structural similarity. IEEE Trans. Image Process. 13:600-612.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import SSIMLoss
    >>> image = torch.linspace(0, 1, 256).reshape(1, 1, 16, 16)
    >>> float(SSIMLoss(data_range=1.0)(image, image)), float(SSIMLoss(data_range=1.0)(image, 1 - image)) > 1
    (0.0, True)
    """

    def __init__(self, data_range: float, *, window: int = 11, sigma: float = 1.5) -> None:
        super().__init__()
        self.data_range = _checks.positive("data_range", data_range)
        self.window, self.sigma = _odd("window", window), _checks.positive("sigma", sigma)
        _arguments.monai("losses", "SSIMLoss")

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"data_range={self.data_range:g}, window={self.window}, sigma={self.sigma:g}"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar in [0, 2]."""
        ndim = _arguments.pair(input, target)
        _check_size(input, self.window, "a window")
        losses = _arguments.monai("losses", "SSIMLoss")
        loss = losses.SSIMLoss(ndim, self.data_range, win_size=self.window, kernel_sigma=self.sigma)
        return loss(input, target).to(input.dtype)


class MSSSIMLoss(nn.Module):
    """One minus the multi-scale structural similarity of two images: contrast at every scale, brightness at the last.

    Parameters
    ----------
    data_range : float
        Largest minus smallest value an image can have, in its unit.
    scales : int
        Number of scales, each half as fine as the one before, 1 to 5. The published weights are those of 5; of fewer,
        the first ones are taken and scaled to the sum 1.
    window : int
        Side of the Gaussian window in voxels, odd. Five scales of the default window ask for 176 voxels along each
        axis, three for 44.
    sigma : float
        Standard deviation of the window in voxels.

    Raises
    ------
    ImportError
        Without MONAI.
    InputError, DtypeError
        If a parameter is out of range or, in the call, the shapes differ or an image is too small for that many scales.

    Notes
    -----
    ``loss(input, target)`` takes (batch, channels, y, x) or (batch, channels, z, y, x), and averages each
    scale over channels before the scales are multiplied. MONAI computes in single precision, and sets a negative
    average contrast to zero: the loss is then 1 and **its gradient zero**, as for an image against its negative. Add an
    L1 term where training may start there.

    References
    ----------
    .. [1] Z. Wang, E. P. Simoncelli, A. C. Bovik (2003), Multiscale structural similarity for image quality assessment.
       Asilomar Conf. Signals Syst. Comput. 2:1398-1402.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import MSSSIMLoss
    >>> image = torch.linspace(0, 1, 44 * 44).reshape(1, 1, 44, 44)
    >>> round(float(MSSSIMLoss(data_range=1.0, scales=3)(image, image)), 6)
    0.0
    """

    def __init__(self, data_range: float, *, scales: int = 5, window: int = 11, sigma: float = 1.5) -> None:
        super().__init__()
        self.data_range = _checks.positive("data_range", data_range)
        self.scales = _checks.integer("scales", scales, minimum=1)
        if self.scales > len(_WEIGHTS):
            raise InputError(f"scales: expected 1 to {len(_WEIGHTS)}, got {scales}")
        self.window, self.sigma = _odd("window", window), _checks.positive("sigma", sigma)
        _arguments.monai("metrics.regression", "MSSSIMLoss")

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"data_range={self.data_range:g}, scales={self.scales}, window={self.window}, sigma={self.sigma:g}"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar in [0, 1]."""
        ndim = _arguments.pair(input, target)
        # The second factor is MONAI's own demand, larger than the need for four scales.
        least = self.window * max(2 ** (self.scales - 1), (self.scales - 1) ** 2)
        _check_size(input, least, f"{self.scales} scales of a window of {self.window}")
        weights = [weight / sum(_WEIGHTS[: self.scales]) for weight in _WEIGHTS[: self.scales]]
        regression = _arguments.monai("metrics.regression", "MSSSIMLoss")
        similarity = regression.compute_ms_ssim(
            input,
            target,
            ndim,
            self.data_range,
            kernel_size=self.window,
            kernel_sigma=self.sigma,
            weights=weights,
        )
        return (1 - similarity.mean()).to(input.dtype)


class LocalNCCLoss(nn.Module):
    """One minus the squared correlation of two images within a sliding window, for images of one modality.

    Blind to brightness and contrast that vary slowly over the image.

    Parameters
    ----------
    data_range : float
        Largest minus smallest value an image can have, in its unit: windows whose sum of squared deviations is below
        1e-5 of its square count as flat and as not correlated.
    window : int
        Side of the window in voxels, odd.

    Raises
    ------
    ImportError
        Without MONAI.
    InputError, DtypeError
        If a parameter is out of range or, in the call, the shapes differ.

    Notes
    -----
    ``loss(input, target)`` takes (batch, channels, y, x) or (batch, channels, z, y, x). Windows at the faces see zeros
    outside the image, in both images: what is equal there correlates. Images are divided by `data_range` before MONAI
    sees them, whose constant for flat windows is absolute (images in 1/mm would be flat everywhere).

    References
    ----------
    .. [1] G. Balakrishnan, A. Zhao, M. R. Sabuncu, J. Guttag, A. V. Dalca (2019), VoxelMorph: a learning framework for
       deformable medical image registration. IEEE Trans. Med. Imaging 38:1788-1800, equation 6.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import LocalNCCLoss
    >>> image = torch.linspace(0, 1, 256).reshape(1, 1, 16, 16)
    >>> round(float(LocalNCCLoss(data_range=1.0)(image, 3 * image)), 5)
    0.0
    """

    def __init__(self, data_range: float, *, window: int = 9) -> None:
        super().__init__()
        self.data_range = _checks.positive("data_range", data_range)
        self.window = _odd("window", window)
        _arguments.monai("losses", "LocalNCCLoss")

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"data_range={self.data_range:g}, window={self.window}"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar in [0, 1]."""
        ndim = _arguments.pair(input, target)
        losses = _arguments.monai("losses", "LocalNCCLoss")
        loss = losses.LocalNormalizedCrossCorrelationLoss(ndim, kernel_size=self.window)
        return 1 + loss(input / self.data_range, target / self.data_range)


def _odd(name: str, value: int) -> int:
    result = _checks.integer(name, value, minimum=1)
    if result % 2 == 0:
        raise InputError(f"{name}: expected an odd number of voxels, got {result}")
    return result


def _check_size(input: Tensor, least: int, what: str) -> None:
    if min(input.shape[2:]) < least:
        raise InputError(
            f"input: expected at least {least} voxels along each axis for {what}, got shape {tuple(input.shape)}"
        )
