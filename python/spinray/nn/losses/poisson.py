"""The Poisson likelihood of counts that an operator predicts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ... import _checks
from ...errors import DtypeError, InputError
from ...operators import LinearOperator

__all__ = ["PoissonLoss"]


class PoissonLoss(nn.Module):
    """Negative log-likelihood of Poisson counts y whose mean is A x + background, averaged over the counts.

    Each count costs ``m - y log m + log y!`` with ``m = A x + background``; the gradient by x is
    ``A' (1 - y / m)`` over the number of counts, exactly, since the operator's adjoint is exact.

    Parameters
    ----------
    A : LinearOperator
        From images to expected counts: a scanner, with the scan's duration and efficiency in it.
    background : float or array_like or torch.Tensor
        Expected counts that do not come from the image (scatter, randoms, dark counts), >= 0; one number, or a shape
        that broadcasts against ``A.range_shape``.

    Raises
    ------
    InputError, DtypeError
        If `A` is no operator, or complex, the background is negative or of another shape or, in the call, counts are
        negative or do not have the shape of A x, or a mean is negative: end the network in a softplus or a ReLU.

    Notes
    -----
    ``loss(x, counts)`` takes images (..., *A.domain_shape) and counts (..., *A.range_shape). A mean of zero where
    counts are not is impossible: the loss is infinite. A positive background excludes it.

    References
    ----------
    .. [1] L. A. Shepp, Y. Vardi (1982), Maximum likelihood reconstruction for emission tomography. IEEE Trans. Med.
       Imaging 1:113-122.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.losses import PoissonLoss
    >>> from spinray.operators import Matrix
    >>> loss = PoissonLoss(Matrix([[1.0, 1.0], [0.0, 2.0]]), background=0.5)
    >>> x = torch.tensor([1.0, 1.5], requires_grad=True)
    >>> loss(x, torch.tensor([3.0, 7.0])).backward()
    >>> x.grad
    tensor([ 0., -1.])
    """

    background: Tensor

    def __init__(self, A: LinearOperator, background: Any = 0.0) -> None:
        super().__init__()
        if not isinstance(A, LinearOperator):
            raise DtypeError(f"A: expected a LinearOperator, got {type(A).__name__}")
        if A.is_complex:
            raise DtypeError(f"A: expected a real operator, got the complex {A!r}")
        self.A = A
        given = background.numpy(force=True) if isinstance(background, Tensor) else background
        expected = torch.from_numpy(_checks.finite("background", _checks.array("background", given, dtype="f8")))
        try:
            fits = torch.broadcast_shapes(expected.shape, A.range_shape) == torch.Size(A.range_shape)
        except RuntimeError:
            fits = False
        if not fits:
            raise InputError(
                f"background: expected one number or shape {A.range_shape}, as of A(x), got {tuple(expected.shape)}"
            )
        if bool((expected < 0).any()):
            raise InputError(f"background: expected numbers >= 0, got {float(expected.min())}")
        self.register_buffer("background", expected, persistent=False)

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        mean = self.A(x)
        mean = mean + self.background.to(mean)
        if counts.shape != mean.shape:
            raise InputError(f"counts: expected the shape of A(x), {tuple(mean.shape)}, got {tuple(counts.shape)}")
        if bool((counts < 0).any()):
            raise InputError(f"counts: expected numbers >= 0, got {float(counts.min())}")
        if bool((mean < 0).any()):
            raise InputError(
                f"x: expected images with A(x) + background >= 0, got {float(mean.min())}. "
                "End the network in a softplus or a ReLU, or raise the background"
            )
        counts = counts.to(mean)
        # Where nothing was counted the logarithm has no part, not even 0 / 0 in the gradient.
        log_mean = torch.where(counts > 0, mean, 1).log()
        return (mean - counts * log_mean + torch.lgamma(counts + 1)).mean()
