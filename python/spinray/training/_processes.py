"""Several processes that train one network together (torch's DistributedDataParallel)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Processes", "bare"]


def bare(network: torch.nn.Module) -> torch.nn.Module:
    """Return a network without the wrappers of DistributedDataParallel and ``torch.compile``."""
    while True:
        if isinstance(network, DistributedDataParallel):
            network = network.module
        elif isinstance(inner := getattr(network, "_orig_mod", None), torch.nn.Module):
            network = inner
        else:
            return network


@dataclasses.dataclass(frozen=True)
class Processes:
    """Which of how many processes this is."""

    rank: int = 0
    world: int = 1
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def of(cls, network: torch.nn.Module) -> Processes:
        """Return those that a network is trained by."""
        if not isinstance(network, DistributedDataParallel):
            return cls()
        group, device = network.process_group, next(network.parameters()).device
        return cls(torch.distributed.get_rank(group), torch.distributed.get_world_size(group), device)

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Return the sums over all processes."""
        if self.world == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(sums)
        return sums.tolist()
