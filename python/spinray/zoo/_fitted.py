"""Rows whose recipe gives whole batches, or whose samples are simulated once and for all."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from .. import training
from ._row import Row

__all__ = ["Fitted"]


class Fitted(Row):
    """A row that is trained by `training.fit` on what `data` returns.

    Attributes
    ----------
    n : int
        Samples of an epoch; samples are batches.
    """

    def data(self) -> Any:
        """Return what to train on: the recipe's batches, made meanwhile, unless a row has a fixed set."""
        return training.Simulated(self.recipe, self.n, self.seed)

    def train(self, network: torch.nn.Module, *, effort: float = 1.0, progress: bool = False) -> training.History:
        """Train a network in place.

        Parameters
        ----------
        network : torch.nn.Module
            Usually ``row.network()``.
        effort : float
            Share of the epochs; at least one is done.
        progress : bool
            Show a progress bar.

        Returns
        -------
        spinray.training.History
        """
        return self.fit(network, self.data(), self.config(), effort=effort, progress=progress)

    def fit(
        self,
        network: torch.nn.Module,
        data: Any,
        config: training.Config,
        *,
        effort: float = 1.0,
        progress: bool = False,
    ) -> training.History:
        """Train any network on any data as the row's own."""
        assert config.epochs is not None
        shorter = dataclasses.replace(config, epochs=max(1, round(effort * config.epochs)))
        return training.fit(network, data, self.loss, shorter, progress=progress)
