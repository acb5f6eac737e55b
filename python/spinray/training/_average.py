"""Exponential moving averages of parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch

__all__ = ["Average"]


class Average:
    """The moving average of some parameters, a <- d a + (1 - d) p, begun with the first values it sees."""

    def __init__(self, parameters: Sequence[torch.nn.Parameter], decay: float) -> None:
        self._parameters: list[torch.Tensor] = list(parameters)
        self._decay = decay
        self.values: list[torch.Tensor] = []

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters' present values."""
        if not self.values:
            self.values = [p.detach().clone() for p in self._parameters]
        else:
            torch._foreach_lerp_(self.values, self._parameters, 1 - self._decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the network while the body runs."""
        live = [p.detach().clone() for p in self._parameters]
        self.put()
        try:
            yield
        finally:
            _copy(self._parameters, live)

    def put(self) -> None:
        """Put the average into the network."""
        if self.values:
            _copy(self._parameters, self.values)


@torch.no_grad()
def _copy(to: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    for tensor, value in zip(to, values, strict=True):
        tensor.copy_(value)
