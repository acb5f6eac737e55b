"""AUTOMAP: from measurements to the image by fully connected layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from ... import _checks
from ...errors import InputError
from ._architecture import Architecture
from ._layers import relu

__all__ = ["AUTOMAP"]


class AUTOMAP(Architecture):
    r"""Reconstruction by manifold approximation: two fully connected layers with tanh, then three convolutions.

    Input are the measurements as a vector of real numbers, shape (batch, `n_measurements`): real parts, then imaginary
    parts of k-space in any order, or a sinogram. Output is the image, shape (batch, 1, y, x). With N pixels there are
    :math:`N (n + 1) + N (N + 1) + 26 f + 25 f^2 + f + 49 f + 1` parameters: 805 million for 128 x 128 pixels.

    Parameters
    ----------
    n_measurements
        Numbers measured, n above.
    shape
        Pixels of the image, (y, x).
    features
        Channels of the convolutions, f above.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] B. Zhu, J. Z. Liu, S. F. Cauley, B. R. Rosen, M. S. Rosen, "Image reconstruction by domain-transform manifold
       learning", Nature 555 (2018) 487: tanh, tanh; convolutions of 5, 5 with ReLU, transposed of 7.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import AUTOMAP
    >>> AUTOMAP(2 * 16 * 16, (16, 16), features=8)(torch.zeros(4, 512)).shape
    torch.Size([4, 1, 16, 16])
    """

    def __init__(self, n_measurements: int, shape: Sequence[int], *, features: int = 64) -> None:
        super().__init__(
            n_measurements=_checks.integer("n_measurements", n_measurements, minimum=1),
            shape=_checks.shape("shape", shape, ndim=2),
            features=_checks.integer("features", features, minimum=1),
        )
        n_measurements, shape, features = self.spec.values()
        pixels = math.prod(shape)
        self.dense1 = nn.Linear(n_measurements, pixels)
        self.dense2 = nn.Linear(pixels, pixels)
        self.conv1 = nn.Conv2d(1, features, 5, padding=2)
        self.conv2 = nn.Conv2d(features, features, 5, padding=2)
        self.deconv = nn.ConvTranspose2d(features, 1, 7, padding=3)

    def check(self, *inputs: torch.Tensor) -> None:
        """Raise unless the input is one tensor of shape (batch, n_measurements) in the precision of the weights.

        Raises
        ------
        InputError
            If the shape is another one.
        DtypeError
            If the tensor's dtype or device is not that of the weights.
        """
        self._check_tensors(inputs, "x")
        (x,) = inputs
        n = self.spec["n_measurements"]
        if x.ndim != 2 or x.shape[1] != n:
            raise InputError(f"x: expected shape (batch, {n}) for {self._name}, got {tuple(x.shape)}")
        self._check_kind("x", x)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for input that has been checked."""
        h = self.dense2(self.dense1(x).tanh()).tanh()
        h = h.unflatten(1, (1, *self.spec["shape"]))
        return self.deconv(relu(self.conv2(relu(self.conv1(h)))))
