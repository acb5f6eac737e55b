"""What the rows of the zoo have in common: a network, a recipe of samples, the training, the examination."""

from __future__ import annotations

import abc
import dataclasses
import time
from typing import TYPE_CHECKING, Any

import torch

from ._report import Report

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Row"]


class Row(abc.ABC):
    """A row of the catalogue: a task, the network that learns it, and the rival it is measured against.

    A row defines `network`, `recipe`, `loss`, `config` and `examine`; `train` and `run` follow from them.

    Attributes
    ----------
    id, title : str
        Which row of the catalogue, and what it is.
    source : str
        Publications of network and task.
    seed : int
        Of weights and training samples. Held-out samples have seeds of their own.
    n : int
        Training samples of an epoch; every epoch has fresh ones.
    """

    id: str
    title: str
    source: str
    seed: int = 0
    n: int

    @abc.abstractmethod
    def network(self) -> nn.Module:
        """Return the network with the weights it starts from; torch's generator draws them."""

    @abc.abstractmethod
    def recipe(self, seed: int, index: int) -> tuple[Any, Any]:
        """Return (inputs, targets) of one sample, a pure function of (seed, index)."""

    @abc.abstractmethod
    def loss(self, prediction: Any, target: Any) -> Tensor:
        """Return what the training minimises."""

    @abc.abstractmethod
    def config(self) -> Any:
        """Return how it is trained: at most 180 s on two cores."""

    @abc.abstractmethod
    def examine(self, network: nn.Module) -> Report:
        """Tune the rival, and compare network and rival on held-out samples."""

    def train(self, network: nn.Module, *, effort: float = 1.0, progress: bool = False) -> Any:
        """Train a network in place.

        Parameters
        ----------
        network : torch.nn.Module
            Usually ``row.network()``.
        effort : float
            Fraction of the epochs to train for; at least one is.
        progress : bool
            Show a progress bar.
        """
        raise NotImplementedError  # training.fit comes with the next commit

    def run(self, *, effort: float = 1.0, progress: bool = False) -> Report:
        """Train, tune the rival, and report.

        Parameters
        ----------
        effort : float
            Fraction of the training: bars are for 1, anything less is a rehearsal.
        progress : bool
            Show a progress bar.
        """
        torch.manual_seed(self.seed)
        network = self.network()
        start = time.perf_counter()
        self.train(network, effort=effort, progress=progress)
        seconds = time.perf_counter() - start
        return dataclasses.replace(self.examine(network), seconds=seconds)
