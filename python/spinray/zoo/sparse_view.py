"""Sparse-view CT: networks after and inside the reconstruction, against iterative total variation."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .. import ct
from .. import nn as networks
from ..training import Config
from . import _ct
from ._report import Bar, Report, sweep
from ._row import Row

__all__ = ["SparseView"]


class SparseView(Row):
    """A reconstruction from few views, learned from pairs of sinograms and true images.

    Parallel beams, 20 views of 64 x 64 pixels, 100 000 photons, electronic noise. The rival is least squares with total
    variation, non-negative, all rays alike or by their statistics, whichever is better: its weight is tuned on the very
    sinograms that it is scored on. Dose and views were chosen with its scores in sight: with more of both, it leaves
    little to learn.
    """

    n = 512
    n_held_out = 16
    views = 20
    margin: float
    weights = (1.0, 2.0, 4.0, 7.0, 12.0, 20.0, 40.0)
    statistical_weights = (0.1, 0.2, 0.3, 0.45, 0.7)

    def __init__(self) -> None:
        self.scan = _ct.Scan(_ct.parallel(64, self.views), photons=1e5, filter="ram-lak")

    def pair(self, seed: int, index: int) -> tuple[Any, Any]:
        """Return a sinogram and the true image."""
        image = self.scan.image(seed, index)
        return self.scan.sinogram(image, seed, index), image

    def inputs(self, sinograms: Any) -> Any:
        """Return what the network is given of sinograms (n, ...): themselves, unless the row says otherwise."""
        return sinograms

    def recipe(self, seed: int, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the network is given, and the true image (1, y, x)."""
        sinogram, image = self.pair(seed, index)
        return _ct.tensor(self.inputs(sinogram[None])[0]), _ct.tensor(image)

    def examine(self, network: nn.Module) -> Report:
        """Compare on held-out sinograms."""
        held_out = _ct.HeldOut.of(self.scan, self.n_held_out, self.held_out_seed)

        def score(images: Any) -> float:
            return _ct.psnr(images, held_out.images, held_out.bodies)

        rivals = {"TV": (_ct.iterative_tv, self.weights), "weighted TV": (_ct.weighted_tv, self.statistical_weights)}
        learned = _ct.apply(network, self.inputs(held_out.sinograms))
        pictures = {"target": held_out.images, "FBP": held_out.reconstructions, self.title: learned}
        sweeps = []
        for name, (rival, weights) in rivals.items():
            images = {weight: rival(self.scan, held_out.sinograms, weight) for weight in weights}
            scored = {weight: score(image) for weight, image in images.items()}
            tuned = sweep(name, "weight", weights, scored.__getitem__)
            pictures[name] = images[tuned.best]
            sweeps.append(tuned)
        scores = {name: score(images) for name, images in pictures.items() if name != "target"}
        better = max(tuned.score for tuned in sweeps)
        bar = Bar("PSNR over the better tuned TV, dB", scores[self.title] - better, self.margin)
        first = {name: images[0] for name, images in pictures.items()}
        return Report(self.id, self.title, _ct.METRIC, scores, (bar,), tuple(sweeps), pictures=first)


class FBPConvNet(SparseView):
    """A residual U-Net after filtered back-projection."""

    id, title = "I3", "FBPConvNet"
    source = "K. H. Jin et al., IEEE Trans. Image Process. 26 (2017) 4509"
    margin = 0.3

    def inputs(self, sinograms: Any) -> Any:
        """Return filtered back-projections."""
        return self.scan.reconstruct(sinograms)

    def network(self) -> nn.Module:
        """Return the U-Net."""
        return networks.UNet(features=24, levels=3, residual=True)

    def config(self) -> Config:
        """Return how it is trained."""
        return Config(epochs=22, batch_size=4, learning_rate=2e-3, schedule="one_cycle", precision="bfloat16")


class Unrolled(SparseView):
    """LEARN: gradient steps with a learned regulariser, from filtered back-projection."""

    id, title = "M9", "LEARN"
    source = "H. Chen et al., IEEE Trans. Med. Imaging 37 (2018) 1333"
    margin = 0.5
    epochs, learning_rate = 11, 1e-3

    def network(self) -> nn.Module:
        """Return the unrolled iteration."""
        return networks.LEARN(self.scan.operator, steps=6, features=24, start=self._start())

    def _start(self) -> ct.FilteredBackprojection:
        return ct.FilteredBackprojection(self.scan.operator, self.scan.filter)

    def config(self) -> Config:
        """Return how it is trained."""
        return Config(
            epochs=self.epochs,
            batch_size=1,
            learning_rate=self.learning_rate,
            schedule="one_cycle",
            clip_norm=1.0,
            precision="bfloat16",
        )


class PrimalDual(Unrolled):
    """Learned primal-dual, from filtered back-projection."""

    id, title = "M10", "learned primal-dual"
    source = "J. Adler, O. Öktem, IEEE Trans. Med. Imaging 37 (2018) 1322"
    epochs, learning_rate = 8, 2e-3

    def network(self) -> nn.Module:
        """Return the unrolled iteration."""
        return networks.LearnedPrimalDual(self.scan.operator, steps=5, memory=4, features=24, start=self._start())


def rows() -> list[SparseView]:
    """Return the rows of this family."""
    return [FBPConvNet(), Unrolled(), PrimalDual()]
