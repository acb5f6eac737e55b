"""Low-dose CT: four denoisers of filtered back-projections, against total variation and non-local means."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .. import nn as networks
from ..training import Config
from . import _ct
from ._report import Bar, Report, sweep
from ._row import Row

__all__ = ["LowDose", "LowDoseContest"]


class LowDose(Row):
    """A denoiser of low-dose scans, trained on pairs of noisy and true images.

    Parallel beams, 120 views of 64 x 64 pixels, 10 000 photons, electronic noise; filtered back-projection with the
    ramp filter is what comes in, and the true image is what is asked for: networks learn what the filter does to small
    things as well, so the reconstruction without noise is scored beside them. The rivals, tuned on the very images that
    they are scored on, are the proximal map of total variation and non-local means.
    """

    n = 512
    n_held_out = 16

    def __init__(
        self, id: str, title: str, source: str, make: Callable[[], nn.Module], *, learning_rate: float, epochs: int
    ) -> None:
        self.id, self.title, self.source = id, title, source
        self._make, self._learning_rate, self._epochs = make, learning_rate, epochs
        self.scan = _ct.Scan(_ct.parallel(64, 120), photons=1e4, filter="ram-lak")

    def network(self) -> nn.Module:
        """Return the denoiser."""
        return self._make()

    def recipe(self, seed: int, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a noisy reconstruction and the true image, each (1, y, x)."""
        image = self.scan.image(seed, index)
        noisy = self.scan.reconstruct(self.scan.sinogram(image, seed, index))
        return _ct.tensor(noisy), _ct.tensor(image)

    def config(self) -> Config:
        """Return how it is trained."""
        return Config(
            epochs=self._epochs,
            batch_size=4,
            learning_rate=self._learning_rate,
            schedule="one_cycle",
            precision="bfloat16",
        )

    def examine(self, network: nn.Module) -> Report:
        """Compare on held-out images."""
        held_out = _ct.HeldOut.of(self.scan, self.n_held_out, self.held_out_seed)

        def score(images: Any) -> float:
            return _ct.psnr(images, held_out.images, held_out.bodies)

        noisy = held_out.reconstructions
        tv = sweep("TV", "weight", _TV_WEIGHTS, lambda weight: score(_ct.denoise_tv(noisy, weight)))
        nlm = sweep("NLM", "h", _ct.NLM_WIDTHS, lambda h: score(_ct.denoise_nlm(noisy, h)))
        denoised = _ct.apply(network, noisy)
        clean = self.scan.reconstruct(self.scan.operator(held_out.images))
        pictures = {"target": held_out.images, "FBP without noise": clean, "FBP": noisy, self.title: denoised}
        pictures |= {"TV": _ct.denoise_tv(noisy, tv.best), "NLM": _ct.denoise_nlm(noisy, nlm.best)}
        scores = {name: score(images) for name, images in pictures.items() if name != "target"}
        bar = Bar("PSNR over the better of tuned TV and NLM, dB", scores[self.title] - max(tv.score, nlm.score), 0.5)
        first = {name: images[0] for name, images in pictures.items()}
        return Report(self.id, self.title, _ct.METRIC, scores, (bar,), (tv, nlm), pictures=first)


_TV_WEIGHTS = (0.01, 0.02, 0.03, 0.045, 0.07, 0.1, 0.15, 0.2, 0.3)


def _srcnn() -> nn.Module:
    return networks.SRCNN(features=(64, 32), kernels=(9, 5, 5))


def _redcnn() -> nn.Module:
    return networks.REDCNN(features=24)


def _dncnn() -> nn.Module:
    return networks.DnCNN(depth=7, features=32)


def rows() -> list[LowDose]:
    """Return the rows of this family."""
    return [
        LowDose(
            "I1",
            "3-layer CNN",
            "H. Chen et al., Biomed. Opt. Express 8 (2017) 679",
            _srcnn,
            learning_rate=1e-3,
            epochs=20,
        ),
        LowDose(
            "I2",
            "RED-CNN",
            "H. Chen et al., IEEE Trans. Med. Imaging 36 (2017) 2524",
            _redcnn,
            learning_rate=1e-3,
            epochs=24,
        ),
        LowDose(
            "I4",
            "DnCNN",
            "K. Zhang et al., IEEE Trans. Image Process. 26 (2017) 3142",
            _dncnn,
            learning_rate=2e-3,
            epochs=28,
        ),
    ]


class LowDoseContest:
    """All denoisers of low-dose scans: the best of them is held against the better of the rivals.

    Attributes
    ----------
    id, title : str
        Of the entry.
    """

    id, title = "low_dose", "low-dose CT, the best of I1, I2 and I4"

    def run(self, *, effort: float = 1.0, progress: bool = False) -> Report:
        """Train all, tune the rivals, and report."""
        reports = [row.run(effort=effort, progress=progress) for row in rows()]
        first = reports[0]
        best = max((report.bars[0] for report in reports), key=lambda bar: bar.value)
        scores = {name: score for report in reports for name, score in report.scores.items()}
        pictures = {name: image for report in reports for name, image in report.pictures.items()}
        curves = {report.title: report.curves["loss"] for report in reports}
        seconds, waiting = max(report.seconds for report in reports), max(report.waiting for report in reports)
        claim = dataclasses.replace(best, claim=f"best recipe: {best.claim}")
        return Report(
            self.id,
            self.title,
            first.metric,
            scores,
            (claim,),
            first.sweeps,
            seconds,
            waiting=waiting,
            curves=curves,
            pictures=pictures,
        )
