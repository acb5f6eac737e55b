"""A network trained on the spot, on simulated scans of random anatomies, and applied to the real slice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from .. import ct, regularizers, solvers, viz
from ..phantoms.textured import FAMILIES, textured
from .acquisition import Acquisition, acquire, tv_weight
from .axis import averaged
from .inputs import Slice
from .scores import score
from .section import Picture, Section, Table
from .slices import ERROR, MU_WATER, NOISE_HU, VIEWS, WINDOW, few_views

if TYPE_CHECKING:
    from torch import nn

    from ..training import History

__all__ = ["Scans", "learn_slice"]

#: Larger slices are averaged down to this many pixels, so that a minute is enough.
_MOST_PIXELS = 256
#: Side of the patches that a step of the training sees, and how many.
_PATCH, _BATCH = 96, 8
_FEATURES, _LEVELS = 16, 3
_LEARNING_RATE, _CLIP_NORM = 2e-3, 1.0
_TV_ITERATIONS = 120


class Scans:
    """Scans of random anatomies with the scanner of a slice: what sample i is depends on the seed and i alone."""

    def __init__(self, scan: Acquisition) -> None:
        self.scan = scan
        self._last = [max(0, n - _PATCH) for n in scan.A.domain_shape]

    def __call__(self, seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a patch of the FBP image and of the truth, in units of water, shape (1, patch, patch)."""
        A, families = self.scan.A, tuple(FAMILIES)
        family, rng = families[index % len(families)], np.random.default_rng([seed, index])
        # From whole bodies to what a slice of this size shows of them.
        whole, shown = FAMILIES[family] / max(A.domain_shape), max(A.grid.spacing)
        spacing = whole * min(1.0, shown / whole) ** rng.uniform()
        mu = textured(A.domain_shape, seed, index, family=family, spacing=spacing).attenuation
        y = ct.add_noise(A(mu), self.scan.i0, seed=int(rng.integers(2**32)))
        # Bodies lie within a circle: corners of the image have nothing to teach.
        row, column = (int(rng.integers(last // 5, last - last // 5 + 1)) for last in self._last)
        patch = np.s_[None, row : row + _PATCH, column : column + _PATCH]
        image = ct.fbp(A, y, filter="hann")
        return image[patch] / np.float32(MU_WATER), mu[patch] / np.float32(MU_WATER)


def learn_slice(given: Slice, seconds: float) -> Section:
    """Train FBPConvNet on simulated scans with few views, and hold it against FBP and total variation."""
    import torch

    block = -(-max(given.grid.shape) // _MOST_PIXELS)
    truth, grid = averaged(given.hu, given.grid, block)
    mu = ct.hu_to_attenuation(truth, MU_WATER, clip=True)
    scan = acquire(mu, grid, VIEWS, NOISE_HU, few_views(given), MU_WATER)[1]
    network, history = _trained(scan, seconds)
    fbp = ct.fbp(scan.A, scan.y, filter="hann")
    begin = time.perf_counter()
    tv = solvers.fista(
        scan.A,
        scan.y,
        n_iter=_TV_ITERATIONS,
        x0=np.maximum(fbp, 0),
        regularizer=regularizers.TV(tv_weight(scan.A, scan.noise)),
        bounds=(0, None),
        progress=True,
    )
    spent = {"FISTA-TV": time.perf_counter() - begin}
    begin = time.perf_counter()
    with torch.no_grad():
        learned = MU_WATER * network(torch.from_numpy(fbp / np.float32(MU_WATER))[None, None])[0, 0].numpy()
    spent["FBPConvNet"] = time.perf_counter() - begin
    images = {"FBP (Hann)": fbp, "FISTA-TV": tv, "FBPConvNet": learned}
    hu = {name: ct.attenuation_to_hu(image, MU_WATER) for name, image in images.items()}
    rows = [
        (name, *score(image, truth).cells(), f"{spent[name]:.3f}" if name in spent else "")
        for name, image in hu.items()
    ]
    section = Section(
        "Learned reconstruction of few views",
        tables=[Table(("reconstruction", "PSNR [dB]", "SSIM", "RMSE [HU]", "seconds"), tuple(rows))],
        pictures=[_pictures(given, scan, truth, hu), _curve(history)],
    )
    section.paragraphs = _words(scan, network, history)
    return section


def _trained(scan: Acquisition, seconds: float) -> tuple[nn.Module, History]:
    import torch

    from .. import nn, training

    torch.manual_seed(0)
    network = nn.UNet(features=_FEATURES, levels=_LEVELS, residual=True)
    # It begins as the FBP image itself.
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.zeros_(network.head.bias)
    samples = training.Simulated(Scans(scan), 25 * _BATCH, seed=1, batch_size=_BATCH)
    config = training.Config(
        seconds=seconds, optimiser="adamw", learning_rate=_LEARNING_RATE, schedule="one_cycle", clip_norm=_CLIP_NORM
    )
    history = training.fit(network, samples, torch.nn.functional.mse_loss, config)
    return network.eval(), history


def _words(scan: Acquisition, network: nn.Module, history: History) -> list[str]:
    rows, columns = scan.A.domain_shape
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    return [
        f"The slice, at {rows} × {columns} pixels, is scanned with {len(scan.A)} views of {scan.i0:,.0f} photons. A "
        f"U-Net of {n_parameters:,} parameters that corrects the FBP image (FBPConvNet, Jin et al. 2017) was trained "
        f"for {history.seconds:.0f} s before: {history.n_steps} steps on {_BATCH * history.n_steps:,} scans of random "
        "anatomies by the same scanner, made meanwhile in the background; training waited for them during "
        f"{100 * history.waiting_share:.1f} % of the time. It has never seen a real image.",
        "A minute on a laptop is little for a network. What it learned is the look of streaks and noise, and it takes "
        "them off in one pass; total variation needs no training, and more time for each image.",
    ]


def _pictures(given: Slice, scan: Acquisition, truth: np.ndarray, hu: dict[str, np.ndarray]) -> Picture:
    figure, _ = viz.compare(
        [given.placed(image, scan.A.grid) for image in (truth, *hu.values())],
        ["truth", *hu],
        window=WINDOW,
        error=ERROR,
        unit="HU",
    )
    caption = f"{len(scan.A)} views. Below each image its difference from the truth, red where too bright."
    return Picture("learned", figure, caption)


def _curve(history: History) -> Picture:
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
    history.plot(ax=ax)
    return Picture("learned-history", figure, "Mean squared error of the training samples, in units of water.")
