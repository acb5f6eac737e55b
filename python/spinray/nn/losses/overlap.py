"""Overlap of segmentations with labels, by MONAI."""

from __future__ import annotations

from torch import Tensor, nn

from ... import _checks
from ...errors import InputError
from . import _arguments

__all__ = ["DiceLoss", "FocalLoss", "GeneralizedDiceLoss"]


class DiceLoss(nn.Module):
    """One minus the Dice overlap of class probabilities with labels, averaged over classes and batch.

    Of class c with probabilities p and labels g in {0, 1} it is ``1 - 2 sum(p g) / (sum p + sum g)``, each sum over the
    places of one image, with 1e-5 added above and below: a class that is neither there nor found costs nothing.

    Parameters
    ----------
    include_background : bool
        Whether class 0 counts. Leave it out where it is nearly all of the image.

    Raises
    ------
    ImportError
        Without MONAI.
    InputError, DtypeError
        In the call, if shapes do not fit, labels are no integers or out of range, or one channel is to be left out.

    Notes
    -----
    ``loss(input, target)`` takes a network's raw output, (batch, classes, y, x) or (batch, classes, z, y, x), whose
    softmax over classes it takes (the sigmoid of a single channel: class 1 against the rest), and integer
    labels, (batch, y, x) or (batch, 1, y, x) and likewise in 3-D.

    References
    ----------
    .. [1] F. Milletari, N. Navab, S.-A. Ahmadi (2016), V-Net: fully convolutional neural networks for volumetric
       medical image segmentation. 3DV, 565-571; here without the squares in the denominator.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import DiceLoss
    >>> undecided, labels = torch.zeros(1, 2, 4, 4), torch.arange(16).reshape(1, 4, 4) % 2
    >>> round(float(DiceLoss()(undecided, labels)), 4)
    0.5
    """

    def __init__(self, *, include_background: bool = True) -> None:
        super().__init__()
        self.include_background = include_background
        _arguments.monai("losses", "DiceLoss")

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"include_background={self.include_background}"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar in [0, 1]."""
        binary = _is_binary(input, self.include_background)
        loss = _arguments.monai("losses", "DiceLoss").DiceLoss(
            include_background=self.include_background, sigmoid=binary, softmax=not binary
        )
        return loss(input, _arguments.one_hot(input, target))


class GeneralizedDiceLoss(nn.Module):
    """One minus the Dice overlap of all classes together, each weighted by one over its squared volume.

    Of an image it is ``1 - 2 sum_c w_c sum(p_c g_c) / sum_c w_c (sum p_c + sum g_c)`` with ``w_c = 1 / (sum g_c)^2``,
    each with 1e-5 over the number of places added above and below: small structures weigh more than large ones.
    Averaged over the batch.

    Parameters
    ----------
    include_background : bool
        Whether class 0 counts.

    Raises
    ------
    ImportError
        Without MONAI.
    InputError, DtypeError
        In the call, if shapes do not fit, labels are no integers or out of range, or one channel is to be left out.

    Notes
    -----
    Arguments of the call as of `DiceLoss`. A class that is absent from an image has the largest weight of those
    present. Where none of the counted classes is in the image, the loss is 0 **without a gradient**, whatever the
    network found there; `DiceLoss` has one. MONAI computes the weights in single precision; its own added constant,
    1e-5, is larger than the sums for structures of more than 1e5 voxels, whose loss it hides.

    References
    ----------
    .. [1] C. H. Sudre, W. Li, T. Vercauteren, S. Ourselin, M. J. Cardoso (2017), Generalised Dice overlap as a deep
       learning loss function for highly unbalanced segmentations. DLMIA, LNCS 10553:240-248.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import GeneralizedDiceLoss
    >>> undecided, labels = torch.zeros(1, 2, 4, 4), torch.arange(16).reshape(1, 4, 4) % 2
    >>> round(float(GeneralizedDiceLoss()(undecided, labels)), 4)
    0.5
    """

    def __init__(self, *, include_background: bool = True) -> None:
        super().__init__()
        self.include_background = include_background
        _arguments.monai("losses", "GeneralizedDiceLoss")

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"include_background={self.include_background}"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar in [0, 1]."""
        binary = _is_binary(input, self.include_background)
        # Weighted sums are as small as one over the number of places: MONAI's own 1e-5 would outweigh them.
        smooth = 1e-5 / input[0, 0].numel()
        loss = _arguments.monai("losses", "GeneralizedDiceLoss").GeneralizedDiceLoss(
            include_background=self.include_background,
            sigmoid=binary,
            softmax=not binary,
            smooth_nr=smooth,
            smooth_dr=smooth,
        )
        return loss(input, _arguments.one_hot(input, target))


class FocalLoss(nn.Module):
    """Cross entropy that makes little of what is already well classified, averaged over places and batch.

    With probability p of the true class it is ``-(1 - p)^gamma log p``; gamma 0 is the cross entropy.

    Parameters
    ----------
    gamma : float
        0, or at least 1: in between the gradient is infinite where p = 1.

    Raises
    ------
    ImportError
        Without MONAI.
    InputError, DtypeError
        If `gamma` is out of range or, in the call, shapes do not fit or labels are no integers or out of range.

    Notes
    -----
    Arguments of the call as of `DiceLoss`. MONAI computes in single precision; it would divide by the number of classes
    as well, which is undone here, so that gamma 0 is ``torch.nn.functional.cross_entropy``.

    References
    ----------
    .. [1] T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár (2017), Focal loss for dense object detection. ICCV,
       2980-2988, equation 4.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import FocalLoss
    >>> undecided, labels = torch.zeros(1, 2, 4, 4), torch.arange(16).reshape(1, 4, 4) % 2
    >>> round(float(FocalLoss()(undecided, labels) / torch.log(torch.tensor(2.0))), 4)
    0.25
    """

    def __init__(self, *, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = _checks.positive("gamma", gamma, allow_zero=True)
        if 0 < self.gamma < 1:
            raise InputError(f"gamma: expected 0, or a number >= 1, got {gamma}. In between gradients are infinite")
        _arguments.monai("losses", "FocalLoss")

    def extra_repr(self) -> str:
        """Describe the parameters."""
        return f"gamma={self.gamma:g}"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar >= 0."""
        binary = _is_binary(input, True)
        loss = _arguments.monai("losses", "FocalLoss").FocalLoss(
            gamma=self.gamma, use_softmax=not binary, reduction="none"
        )
        return loss(input, _arguments.one_hot(input, target)).sum(1).mean().to(input.dtype)


def _is_binary(input: Tensor, include_background: bool) -> bool:
    """Return whether `input` is one channel, class 1 against the rest."""
    _arguments.images("input", input)
    if input.shape[1] == 1 and not include_background:
        raise InputError("include_background: expected True for an input of one channel, which is class 1 alone")
    return input.shape[1] == 1
