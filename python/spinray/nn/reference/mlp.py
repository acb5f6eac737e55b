"""Fully connected network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ... import _checks
from ...errors import InputError
from ._architecture import Architecture
from ._layers import ACTIVATIONS, activation_layer, probability

__all__ = ["MLP"]


class MLP(Architecture):
    """Multi-layer perceptron: fully connected layers with an activation, and dropout, between them.

    Input is of shape (..., `in_features`), output of shape (..., `out_features`). With 300 and 300 hidden values,
    ``activation="tanh"`` and ``output_activation="sigmoid"`` it is the network of DRONE, which reads relaxation times
    off fingerprints [2]_.

    Parameters
    ----------
    in_features, out_features
        Length of the vectors that come in and go out.
    hidden
        Lengths of the vectors in between; an empty tuple makes a linear map.
    activation
        After each hidden layer: ``"relu"``, ``"tanh"``, ``"sigmoid"`` or ``"softplus"``.
    dropout
        Probability that a hidden value is set to zero in training, the others scaled up to keep the mean [1]_; at
        least 0, below 1.
    output_activation
        After the last layer: one of the above, or None.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, "Dropout: a simple way to prevent
       neural networks from overfitting", J. Mach. Learn. Res. 15 (2014) 1929.
    .. [2] O. Cohen, B. Zhu, M. S. Rosen, "MR fingerprinting deep reconstruction network (DRONE)", Magn. Reson. Med. 80
       (2018) 885.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import MLP
    >>> network = MLP(25, 2, hidden=(300, 300), activation="tanh", output_activation="sigmoid")
    >>> network(torch.zeros(1000, 25)).shape
    torch.Size([1000, 2])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        hidden: Sequence[int] = (300, 300),
        activation: str = "relu",
        dropout: float = 0.0,
        output_activation: str | None = None,
    ) -> None:
        super().__init__(
            in_features=_checks.integer("in_features", in_features, minimum=1),
            out_features=_checks.integer("out_features", out_features, minimum=1),
            hidden=_checks.shape("hidden", hidden),
            activation=_checks.choice("activation", activation, ACTIVATIONS),
            dropout=probability("dropout", dropout),
            output_activation=_checks.choice("output_activation", output_activation, (*ACTIVATIONS, None)),
        )
        in_features, out_features, hidden, activation, dropout, output_activation = self.spec.values()
        layers: list[nn.Module] = []
        for before, width in zip((in_features, *hidden), hidden, strict=False):
            layers += [nn.Linear(before, width), activation_layer(activation), nn.Dropout(dropout)]
        layers.append(nn.Linear((in_features, *hidden)[-1], out_features))
        if output_activation is not None:
            layers.append(activation_layer(output_activation))
        self.layers = nn.Sequential(*layers)

    def check(self, *inputs: torch.Tensor) -> None:
        """Raise unless the input is one tensor of shape (..., in_features) in the precision of the weights.

        Raises
        ------
        InputError
            If the number of inputs or the length of the vectors is another one.
        DtypeError
            If the tensor's dtype or device is not that of the weights.
        """
        self._check_tensors(inputs, "x")
        (x,) = inputs
        n = self.spec["in_features"]
        if x.ndim == 0 or x.shape[-1] != n:
            raise InputError(f"x: expected shape (..., {n}) for {self._name}, got {tuple(x.shape)}")
        self._check_kind("x", x)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Do `forward` for input that has been checked."""
        return self.layers(x)
