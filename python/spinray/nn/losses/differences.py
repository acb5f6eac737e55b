"""Losses made of differences between neighbouring voxels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ... import _checks
from ...errors import InputError
from . import _arguments

__all__ = ["GradientDifferenceLoss", "TVLoss"]


class GradientDifferenceLoss(nn.Module):
    """How the steepness of edges differs: the mean of ``| |dx target| - |dx input| |^alpha``, summed over axes.

    Differences are between neighbouring voxels. Beside an L1 or L2 loss it keeps edges sharp; alone it is blind to
    brightness and to the sign of an edge.

    Parameters
    ----------
    alpha : float
        Power, at least 1; 1 in [1]_, 2 in [2]_.

    Raises
    ------
    InputError, DtypeError
        If `alpha` is out of range or, in the call, the shapes differ or an axis has a single voxel.

    Notes
    -----
    ``loss(input, target)`` takes (batch, channels, y, x) or (batch, channels, z, y, x).

    References
    ----------
    .. [1] M. Mathieu, C. Couprie, Y. LeCun (2016), Deep multi-scale video prediction beyond mean square error. ICLR,
       equation 6.
    .. [2] D. Nie et al. (2017), Medical image synthesis with context-aware generative adversarial networks. MICCAI,
       LNCS 10435:417-425.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import GradientDifferenceLoss
    >>> ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    >>> GradientDifferenceLoss()(3 * ramp, ramp)
    tensor(2.)
    """

    def __init__(self, *, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = _checks.number("alpha", alpha)
        if self.alpha < 1:
            raise InputError(f"alpha: expected a number >= 1, got {alpha}")

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"alpha={self.alpha:g}"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar in units of the image to the power alpha."""
        ndim = _arguments.pair(input, target)
        if min(input.shape[2:]) < 2:
            raise InputError(f"input: expected at least 2 voxels along each axis, got shape {tuple(input.shape)}")
        differences = [
            (target.diff(dim=axis).abs() - input.diff(dim=axis).abs()).abs().pow(self.alpha).mean()
            for axis in range(-ndim, 0)
        ]
        return torch.stack(differences).sum()


class TVLoss(nn.Module):
    """Total variation of an image, isotropic, per voxel.

    The length of the vector of forward differences to the next voxel along each axis (none across the last face),
    averaged over voxels, channels and batch: `spinray.regularizers.TV` divided by the number of voxels, with a
    gradient. Where the image is flat the gradient is taken as zero.

    Raises
    ------
    InputError, DtypeError
        In the call, if `input` is no batch of images.

    Notes
    -----
    ``loss(input)`` takes (batch, channels, y, x) or (batch, channels, z, y, x).

    References
    ----------
    .. [1] L. I. Rudin, S. Osher, E. Fatemi (1992), Nonlinear total variation based noise removal algorithms.
       Physica D 60:259-268.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import TVLoss
    >>> ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    >>> TVLoss()(ramp)
    tensor(0.7500)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the loss, a scalar in units of the image."""
        ndim = _arguments.images("input", input)
        last = [input.narrow(axis, -1, 1) for axis in range(-ndim, 0)]
        steps = [input.diff(dim=axis, append=edge) for axis, edge in zip(range(-ndim, 0), last, strict=True)]
        return torch.linalg.vector_norm(torch.stack(steps), dim=0).mean()
