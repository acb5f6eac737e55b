"""T10: the scatter in projections of a cone beam, estimated by a network that learned from Monte Carlo."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import nn, training
from ._report import Bar, Report, sweep
from ._row import Row
from ._scatter_images import ScatterImages
from ._scatter_kernels import Kernels, relative_error

__all__ = ["ScatterEstimation", "rows"]

#: Families that are learned from, and those that are held out.
_KNOWN, _UNKNOWN = ("thorax", "head", "limb", "lump"), ("abdomen", "cylinder")
#: Photons for each view of what is learned from: noisy, but there are many; and of what is judged by.
_HISTORIES, _MANY = 3_000, 30_000
#: Networks and kernels see and give logarithms of about this scatter, in parts of the open beam.
_TYPICAL = 0.01
#: By what the kernels' widths and amplitudes are multiplied in the sweeps.
_FACTORS = (0.5, 0.7, 0.85, 1.0, 1.15, 1.4, 2.0)
#: Images that kernels are fitted to: few parameters need no more.
_FITTED = 200


class ScatterEstimation(Row):
    """Deep scatter estimation: readings of a cone-beam scan go in, their scatter comes out.

    A sample is a body, an anatomy of `phantoms.textured` of random size or a lump of anything, seen from four sides by
    a flat panel without grid: primary radiation by line integrals, scatter by Monte Carlo (`ct.scatter`). A small U-Net
    sees the logarithm of the readings, primary and scatter, and gives that of the scatter. One view does not say how
    deep a body is, so it sees those from the other sides as well. Mirror images are learned from, too. Judged are
    families that it has never seen: abdomens, and cylinders of plastic with rods.

    The rival superposes kernels, each for a range of thickness, all their parameters fitted to the same bodies; widths
    and amplitudes are then tuned about the fit, on bodies that it was not fitted to.
    """

    id = "T10"
    title = "Scatter estimation for cone-beam CT"
    source = (
        "Maier et al. 2018, 'Deep scatter estimation (DSE)', J. Nondestruct. Eval. 37, 57, and 2019, Med. Phys. 46, 238"
    )
    n = 400
    n_held_out = 16
    #: Steps of the kernels' fit.
    fit_steps = 400
    images = ScatterImages()

    def network(self) -> nn.UNet:
        """Return a U-Net of three levels from 8 channels on, which gives ln(scatter / 1 %)."""
        return nn.UNet(self.images.views, 1, features=8, levels=3)

    def recipe(self, seed: int, index: int) -> tuple[Tensor, Tensor]:
        """Return the views of a body: what `inputs` makes of readings, and ln(scatter / 1 %), (views, 1, y, x)."""
        reading, scatter = self._readings([self._known(seed, index)])
        return inputs(reading, self.images.views), (scatter / _TYPICAL).log()[:, None]

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean absolute difference of logarithms: of small errors, the mean relative error."""
        return (prediction - target).abs().mean()

    def config(self) -> training.Config:
        """Return 20 epochs of Adam through all bodies and their mirror images."""
        return training.Config(epochs=20, batch_size=32, learning_rate=5e-3, schedule="one_cycle", seed=self.seed)

    def data(self) -> Any:
        """Return all bodies with their mirror images: Monte Carlo takes longer than learning."""
        seen, target = (torch.cat(x) for x in zip(*(self.recipe(self.seed, i) for i in range(self.n)), strict=True))
        # In a mirror, a view from the right is one from the left.
        turned = seen[:, [-k % self.images.views for k in range(self.images.views)]].flip(-1)
        seen, target = torch.cat([seen, turned]), torch.cat([target, target.flip(-1)])
        return torch.cat([seen, seen.flip(-2)]), torch.cat([target, target.flip(-2)])

    def examine(self, network: torch.nn.Module) -> Report:
        """Fit the kernels, and compare relative errors in bodies of unknown families."""
        network.eval()
        reading, scatter = self._readings([self._known(self.seed, i) for i in range(self.n)])
        spare = self._readings([self._known(self.held_out_seed, i) for i in range(self.n_held_out // 2)])
        picked = torch.randperm(len(reading), generator=torch.Generator().manual_seed(self.seed))[:_FITTED]
        kernels = Kernels().fit(reading[picked], scatter[picked], self.fit_steps)
        sweeps = []
        for name in ("widths", "amplitudes"):
            score = functools.partial(_moved, kernels, name, spare)
            tuned = sweep("fitted kernels", f"factor of all {name}", _FACTORS, score, larger_is_better=False)
            with torch.no_grad():
                getattr(kernels, name).add_(math.log(tuned.best))
            sweeps.append(tuned)
        scores: dict[str, float] = {}
        pictures: dict[str, np.ndarray] = {}
        for family in _UNKNOWN:
            bodies = [self.images.images(family, self.held_out_seed, i, _MANY) for i in range(self.n_held_out // 2)]
            reading, truth = self._readings(bodies)
            found = {
                "network": estimate(network, reading, self.images.views),
                "fitted kernels": kernels(reading).detach(),
            }
            scores |= {f"{name}: {family}": 100 * float(relative_error(one, truth)) for name, one in found.items()}
            if family == _UNKNOWN[0]:
                pictures = {"target": truth[0].numpy()}
                pictures |= {f"{name}: {family}": image[0].numpy() for name, image in found.items()}
        mean = {who: np.mean([scores[f"{who}: {family}"] for family in _UNKNOWN]) for who in found}
        bars = (
            Bar("error of unknown families in %", float(mean["network"]), 5.0, at_least=False),
            Bar("error over the fitted kernels'", float(mean["network"] / mean["fitted kernels"]), 0.6, at_least=False),
        )
        return Report(
            self.id,
            self.title,
            "mean of |estimate - scatter| / scatter over pixels of unknown families, in %",
            scores,
            bars,
            tuple(sweeps),
            pictures=pictures,
        )

    def _known(self, seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        return _simulated(self.images, _KNOWN[index % len(_KNOWN)], seed, index)

    def _readings(self, bodies: list[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
        """Return readings and scatter of all views, (n, rows, columns)."""
        primary, scatter = (torch.from_numpy(np.concatenate(x)) for x in zip(*bodies, strict=True))
        return primary + scatter, scatter


def rows() -> list[Row]:
    """Return the row."""
    return [ScatterEstimation()]


def inputs(reading: Tensor, views: int) -> Tensor:
    """Return what the network sees of readings (n, y, x): -ln of each view, then of the next ones, (n, views, y, x)."""
    bodies = -reading.log().unflatten(0, (-1, views))
    return torch.stack([bodies.roll(-k, 1) for k in range(views)], dim=2).flatten(0, 1)


def estimate(network: torch.nn.Module, reading: Tensor, views: int) -> Tensor:
    """Return a network's scatter in readings (n, y, x), all views of each body, both in parts of the open beam."""
    with torch.no_grad():
        scatter: Tensor = _TYPICAL * network(inputs(reading, views))[:, 0].exp()
    return scatter


@functools.lru_cache(maxsize=512)
def _simulated(images: ScatterImages, family: str, seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    return images.images(family, seed, index, _HISTORIES)


def _moved(kernels: Kernels, name: str, spare: tuple[Tensor, Tensor], factor: float) -> float:
    """Return the relative error in % with some of the kernels' parameters multiplied."""
    parameter = getattr(kernels, name)
    kept = parameter.detach().clone()
    with torch.no_grad():
        parameter += math.log(factor)
        found = 100 * float(relative_error(kernels(spare[0]), spare[1]))
        parameter.copy_(kept)
    return found
