"""Fully connected network of complex numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import nn

from ... import _checks
from ...errors import DtypeError, InputError
from ._architecture import Architecture

__all__ = ["ComplexMLP", "cardioid"]


class ComplexMLP(Architecture):
    r"""Multi-layer perceptron of complex weights, biases and signals with cardioid activation.

    The cardioid :math:`f(z) = \tfrac12 (1 + \cos\arg z)\, z` keeps the phase, lets positive numbers pass, stops
    negative ones and halves imaginary ones: on the real line it is the ReLU [1]_. Input is complex, of shape
    (..., `in_features`), output complex, of shape (..., `out_features`); take its ``.real`` for real quantities.
    Weights are stored as pairs of real numbers (shape (out, in, 2)), so that optimisers and ``.double()`` treat them as
    any others.

    Parameters
    ----------
    in_features, out_features
        Length of the vectors that come in and go out.
    hidden
        Lengths of the vectors in between.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] P. Virtue, S. X. Yu, M. Lustig, "Better than real: complex-valued neural nets for MRI fingerprinting",
       IEEE Int. Conf. Image Process. 2017, 3953; equation 4.
    .. [2] C. Trabelsi et al., "Deep complex networks", ICLR 2018: weights start with Rayleigh distributed moduli and
       uniform phases, of variance 2 / in_features.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import ComplexMLP
    >>> network = ComplexMLP(500, 2)
    >>> network(torch.zeros(64, 500, dtype=torch.complex64)).real.shape
    torch.Size([64, 2])
    """

    def __init__(self, in_features: int, out_features: int, *, hidden: Sequence[int] = (128, 128)) -> None:
        super().__init__(
            in_features=_checks.integer("in_features", in_features, minimum=1),
            out_features=_checks.integer("out_features", out_features, minimum=1),
            hidden=_checks.shape("hidden", hidden),
        )
        in_features, out_features, hidden = self.spec.values()
        widths = (in_features, *hidden, out_features)
        self.layers = nn.ModuleList(_ComplexLinear(*pair) for pair in itertools.pairwise(widths))

    def check(self, *inputs: torch.Tensor) -> None:
        """Raise unless the input is one complex tensor of shape (..., in_features) in the precision of the weights.

        Raises
        ------
        InputError
            If the number of inputs or the length of the vectors is another one.
        DtypeError
            If the tensor is real, or of another precision or on another device than the weights.
        """
        self._check_tensors(inputs, "x")
        (x,) = inputs
        n = self.spec["in_features"]
        if x.ndim == 0 or x.shape[-1] != n:
            raise InputError(f"x: expected shape (..., {n}) for {self._name}, got {tuple(x.shape)}")
        if not x.is_complex():
            raise DtypeError(f"x: expected complex numbers, got {x.dtype}. Use torch.complex(real, imaginary)")
        self._check_kind("x", x.real)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for input that has been checked."""
        *inner, last = self.layers
        for layer in inner:
            x = cardioid(layer(x))
        return last(x)


def cardioid(z: torch.Tensor) -> torch.Tensor:
    """Return (1 + cos(arg z)) z / 2, Virtue 2017 equation 4; zero where z is zero."""
    modulus = z.abs().clamp_min(torch.finfo(z.dtype).tiny)
    return z * ((z.real / modulus + 1) * 0.5)


class _ComplexLinear(nn.Module):
    """Weight z + bias, in complex numbers."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, before, 2).normal_(std=1 / math.sqrt(before)))
        self.bias = nn.Parameter(torch.zeros(width, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, torch.view_as_complex(self.weight), torch.view_as_complex(self.bias))
