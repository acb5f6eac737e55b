"""What the rows of the zoo have in common: a network, a recipe of samples, the training, the examination."""

from __future__ import annotations

import abc
import dataclasses
import math
import time
from typing import Any

import torch
from torch import Tensor, nn

from .. import _checks
from ..training import Config, History, Simulated, fit
from ._report import Report

__all__ = ["Row"]


class Row(abc.ABC):
    """A row of the catalogue: a task, the network that learns it, and the rival it is measured against.

    A row defines `network`, `recipe`, `config` and `examine`; `train` and `run` follow from them.

    Attributes
    ----------
    id, title : str
        Which row of the catalogue, and what it is.
    source : str
        Publications of network and task.
    seed : int
        Of weights and training samples; held-out samples have `held_out_seed`.
    n : int
        Training samples of an epoch, fresh ones in each; they come in batches of ``config().batch_size``.
    """

    id: str
    title: str
    source: str
    seed: int = 0
    held_out_seed: int = 1_000_000
    n: int = 512

    @abc.abstractmethod
    def network(self) -> nn.Module:
        """Return the network with the weights it starts from; torch's generator draws them."""

    @abc.abstractmethod
    def recipe(self, seed: int, index: int) -> tuple[Any, Any]:
        """Return (inputs, targets) of one sample, a pure function of (seed, index)."""

    @abc.abstractmethod
    def config(self) -> Config:
        """Return how it is trained: for a number of epochs that takes at most 180 s on two cores."""

    @abc.abstractmethod
    def examine(self, network: nn.Module) -> Report:
        """Tune the rival, and compare network and rival on held-out samples."""

    def loss(self, prediction: Any, target: Any) -> Tensor:
        """Return what the training minimises: the mean square error unless the row says otherwise."""
        return nn.functional.mse_loss(prediction, target)

    def data(self) -> Simulated:
        """Return the training samples."""
        return Simulated(self.recipe, self.n, self.seed, batch_size=self.config().batch_size)

    def train(self, network: nn.Module, data: Any = None, *, effort: float = 1.0, progress: bool = False) -> History:
        """Train a network in place.

        Parameters
        ----------
        network : torch.nn.Module
            Usually ``row.network()``.
        data : optional
            What to train it on, ``row.data()`` unless given.
        effort : float
            Fraction of the epochs to train for; at least one epoch is.
        progress : bool
            Show a progress bar.

        Returns
        -------
        spinray.training.History
        """
        share = _checks.positive("effort", effort)
        whole = self.config()
        config = dataclasses.replace(whole, epochs=math.ceil(share * (whole.epochs or 1)))
        return fit(network, self.data() if data is None else data, self.loss, config, progress=progress)

    def run(self, *, effort: float = 1.0, progress: bool = False) -> Report:
        """Train, tune the rival, and report.

        Parameters
        ----------
        effort : float
            Fraction of the training: bars are for 1, anything less is a rehearsal.
        progress : bool
            Show a progress bar.

        Returns
        -------
        Report
        """
        torch.manual_seed(self.seed)
        network = self.network()
        start = time.perf_counter()
        data = self.data()
        made = time.perf_counter() - start
        history = self.train(network, data, effort=effort, progress=progress)
        seconds = time.perf_counter() - start
        report = self.examine(network)
        curves = {**report.curves, "loss": history.epochs["loss"]}
        return dataclasses.replace(report, seconds=seconds, made=made, waiting=history.waiting_share, curves=curves)
