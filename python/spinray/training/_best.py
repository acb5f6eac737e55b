"""The best epoch of a run: its state, and how long ago it was."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch

from .config import Config

__all__ = ["Best"]


class Best:
    """The state of the epoch with the lowest loss; before the first epoch, that from before the training."""

    def __init__(self, network: torch.nn.Module, config: Config) -> None:
        self._network, self._patience, self._min_delta = network, config.patience, config.min_delta
        self._lowest = self._to_beat = math.inf
        self._since = 0
        self.state = copy.deepcopy(network.state_dict())

    def judge(self, loss: float) -> bool:
        """Tell whether an epoch with this loss is the best so far, and count those since a clear gain."""
        if loss < self._to_beat - self._min_delta:
            self._to_beat, self._since = loss, 0
        else:
            self._since += 1
        if not loss < self._lowest:
            return False
        self._lowest = loss
        return True

    def keep(self) -> None:
        """Copy the network's state over the one that was best so far: there is no moment with three of them."""
        for name, value in self._network.state_dict().items():
            if isinstance(value, torch.Tensor):
                self.state[name].copy_(value)
            else:
                self.state[name] = copy.deepcopy(value)

    @property
    def is_long_ago(self) -> bool:
        """Whether patience is at its end."""
        return self._patience is not None and self._since >= self._patience

    def saved(self) -> dict[str, Any]:
        """Return all, to be `load` ed."""
        return {"lowest": self._lowest, "to_beat": self._to_beat, "since": self._since, "state": self.state}

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from what was `saved`."""
        self._lowest, self._to_beat, self._since = saved["lowest"], saved["to_beat"], saved["since"]
        self.state = saved["state"]
