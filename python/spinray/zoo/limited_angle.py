"""Filtered back-projection as a network: weights and filter learned where the scan sees too little, or with noise."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import ct
from .. import nn as networks
from ..grid import Grid
from ..training import Config, Simulated
from . import _ct
from ._report import Bar, Report
from ._row import Row

__all__ = ["LearnedFBP"]

_WINDOWS = ("ram-lak", "shepp-logan", "cosine", "hamming", "hann")


class LearnedFBP(Row):
    """The FBP network on one scan geometry of 64 x 64 pixels, 20 000 photons.

    Before training the network is `spinray.ct.fbp` with the ramp filter. What it is held against is filtered
    back-projection with the best window on the very sinograms that both are scored on.
    """

    source = "T. Würfl et al., IEEE Trans. Med. Imaging 37 (2018) 1454"
    n = 2048
    n_held_out = 16

    def __init__(self, id: str, title: str, operator: ct.ParallelBeam | ct.FanBeam, learning_rate: float) -> None:
        self.id, self.title, self._learning_rate = id, title, learning_rate
        self.scan = _ct.Scan(operator, photons=2e4, filter="ram-lak")

    def network(self) -> nn.Module:
        """Return the network; it starts as filtered back-projection."""
        with _views_known_to_be_missing():
            return networks.FBPNet(self.scan.operator)

    def recipe(self, seed: int, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a sinogram (1, view, column) and the true image (1, y, x)."""
        image = self.scan.image(seed, index)
        return _ct.tensor(self.scan.sinogram(image, seed, index)), _ct.tensor(image)

    def data(self) -> Any:
        """Return the training set, made once: a scan takes longer than learning from it."""
        return tuple(next(iter(Simulated(self.recipe, self.n, self.seed, batch_size=self.n))))

    def config(self) -> Config:
        """Return how it is trained."""
        return Config(epochs=20, batch_size=16, learning_rate=self._learning_rate, schedule="one_cycle")

    def examine(self, network: nn.Module) -> Report:
        """Compare on held-out sinograms."""
        with _views_known_to_be_missing():
            return self._examine(network)

    def _examine(self, network: nn.Module) -> Report:
        held_out = _ct.HeldOut.of(self.scan, self.n_held_out, self.held_out_seed)

        def score(images: np.ndarray) -> float:
            return _ct.psnr(images, held_out.images, held_out.bodies)

        operator = self.scan.operator
        by_window = {f"FBP, {window}": ct.fbp(operator, held_out.sinograms, filter=window) for window in _WINDOWS}
        learned = _ct.apply(network, held_out.sinograms)
        pictures = {"target": held_out.images, **by_window, self.title: learned}
        scores = {name: score(images) for name, images in pictures.items() if name != "target"}
        best = max(by_window, key=lambda name: scores[name])
        first = {name: pictures[name][0] for name in ("target", "FBP, ram-lak", best, self.title)}
        plain = by_window["FBP, ram-lak"]
        apart = np.abs(_ct.apply(self.network(), held_out.sinograms) - plain).max() / np.abs(plain).max()
        bars = (
            Bar("largest difference from FBP before training, over the largest value", float(apart), 1e-5, False),
            Bar("PSNR over FBP with the best window, dB", scores[self.title] - scores[best], 1.0),
        )
        return Report(self.id, self.title, _ct.METRIC, scores, bars, pictures=first)


@contextlib.contextmanager
def _views_known_to_be_missing() -> Iterator[None]:
    """Keep filtered back-projection from warning of what the row is about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the views span")
        yield


def limited_parallel() -> ct.ParallelBeam:
    """Return 100 parallel views over 150 of the 180 degrees."""
    return _ct.parallel(64, 120)[:100]


def limited_fan() -> ct.FanBeam:
    """Return 150 views over 180 degrees, where a short scan would add the fan's 31."""
    angles = np.linspace(0, np.pi, 150)
    return ct.FanBeam(Grid((64, 64), _ct.FIELD / 64), angles, n_cols=84, col_spacing=8.0, sod=800.0, sdd=1200.0)


def rows() -> list[LearnedFBP]:
    """Return the rows of this family."""
    return [
        LearnedFBP("M1", "FBP network, 150 degrees", limited_parallel(), 5e-3),
        LearnedFBP("M1_fan", "FBP network, fan over 180 degrees", limited_fan(), 1e-3),
    ]
