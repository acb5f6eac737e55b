"""One-dimensional convolutional network for signals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ... import _checks
from ...errors import InputError
from ._architecture import Architecture
from ._layers import ReLU, normalisation, probability

__all__ = ["SignalCNN"]


class SignalCNN(Architecture):
    """Convolutional network from signals (batch, channels, samples) to numbers (batch, out_features).

    Each layer convolves, normalises (batch), applies ReLU and halves the number of samples by the maximum; what is left
    is averaged over `bins` equal parts of the time axis, so that the place of an event still counts and signals of any
    length fit; dropout and a fully connected layer make the numbers. Real and imaginary part of a complex signal are
    two channels. The kind of network that reads relaxation times off fingerprints [1]_ and finds bad spectra [2]_.

    Parameters
    ----------
    in_channels
        Channels of the signal.
    out_features
        Numbers that come out: quantities, or scores (logits) of classes.
    features
        Channels after each layer.
    kernel
        Width of the convolutions in samples, odd.
    bins
        Parts of the time axis that the last layer tells apart.
    dropout
        Probability that one of its inputs is set to zero in training; at least 0, below 1.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] E. Hoppe et al., "Deep learning for magnetic resonance fingerprinting: a new approach for predicting
       quantitative parameter values from time series", Stud. Health Technol. Inform. 243 (2017) 202.
    .. [2] S. P. Kyathanahally, A. Döring, R. Kreis, "Deep learning approaches for detection and removal of ghosting
       artifacts in MR spectroscopy", Magn. Reson. Med. 80 (2018) 851.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import SignalCNN
    >>> SignalCNN(2, 3)(torch.zeros(16, 2, 500)).shape
    torch.Size([16, 3])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_features: int = 1,
        *,
        features: Sequence[int] = (16, 32, 64),
        kernel: int = 7,
        bins: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            in_channels=_checks.integer("in_channels", in_channels, minimum=1),
            out_features=_checks.integer("out_features", out_features, minimum=1),
            features=_checks.shape("features", features),
            kernel=_checks.integer("kernel", kernel, minimum=1),
            bins=_checks.integer("bins", bins, minimum=1),
            dropout=probability("dropout", dropout),
        )
        in_channels, out_features, features, kernel, bins, dropout = self.spec.values()
        if kernel % 2 == 0:
            raise InputError(f"kernel: expected an odd width, got {kernel}")
        if not features:
            raise InputError("features: expected at least one layer, got none")
        self._input = (in_channels, 1)
        self._least = 1 << len(features)
        layers: list[nn.Module] = []
        for before, width in zip((in_channels, *features), features, strict=False):
            layers += [nn.Conv1d(before, width, kernel, padding=kernel // 2, bias=False)]
            layers += [normalisation("batch", width, 1), ReLU(), nn.MaxPool1d(2)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(bins), nn.Flatten(), nn.Dropout(dropout))
        self.head = nn.Linear(features[-1] * bins, out_features)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for input that has been checked."""
        return self.head(self.layers(x))
