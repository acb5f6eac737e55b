"""Q1: relaxation times from fingerprints by a small network, DRONE, instead of matching."""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .. import nn, training
from ..mri import mrf, tissues
from ._report import Bar, Report, Sweep, sweep
from ._row import Row

__all__ = ["Drone", "density", "draw_atoms", "rows"]

#: Ranges of T1 and T2 in s.
_LEAST, _MOST = np.array([0.2, 0.02]), np.array([4.0, 0.5])
#: T1 and T2 of the tissues at 3 T that are within; fluids are not.
_TISSUES = np.array([t for t in (tissues.relaxation(name) for name in tissues.TISSUES) if (np.array(t) < _MOST).all()])
#: Standard deviation of the logarithms of T1 and T2 within a tissue.
_SPREAD = 0.1
#: Signals of a sample, of the held-out set, and of the one the rival is tuned on.
_BATCH, _HELD_OUT, _TUNING = 500, 4000, 2000
#: Share of training signals without noise, and least and largest SNR of the others.
_CLEAN, _SNR = 0.1, (7.0, 500.0)
#: The SNR that bars are about.
_ASKED = 10.0, 20.0
#: Errors are weighted as if they went like noise: at SNR 10, and without noise.
_AT_TEN, _FLOOR = 0.15, 0.06
#: What errors are asked to be of matching's, and of the posterior mean's where that is no better.
_BELOW, _NEAR = 0.8, 1.1
#: Atoms of a dictionary along each axis.
_DENSITIES = (6, 12, 24, 48, 96, 144)


class Drone(Row):
    """Fingerprints of a FISP train with inversion, T1 and T2 read off by a network of two hidden layers.

    Three of four atoms are near a tissue of `spinray.mri.tissues` at 3 T, the fourth is anything in the range. A sample
    is a batch of signals of random atoms, simulated by extended phase graphs while the network trains, with white noise
    of random strength; phases are known, so that signals are real, and they come scaled to one norm. SNR is the
    magnetisation at rest over the standard deviation of the noise. The rival is exact matching with refinement between
    atoms, on a dictionary of tuned density.

    For judgement there is the posterior mean, the best in mean square for whoever knows the strength of the noise, how
    often atoms are drawn, and nothing about the proton density. To know tissues helps less, or harms, where there are
    others: errors of atoms drawn evenly from the range are reported as well.

    Parameters
    ----------
    frames : int
        Of the train.
    """

    title = "DRONE: T1 and T2 from fingerprints"
    source = (
        "Cohen, Zhu and Rosen 2018, 'MR fingerprinting deep reconstruction network (DRONE)', Magn. Reson. Med. 80, 885"
    )

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.id = "Q1" if frames == 25 else f"Q1_{frames}"
        #: A long train takes longer to simulate than to learn from: its signals are seen with several noises.
        self.repeats = max(1, frames // 25)
        self.n = 500

    def network(self) -> nn.MLP:
        """Return the MLP of DRONE: two hidden layers of 300 with tanh, and a sigmoid."""
        return nn.MLP(self.frames, 2, hidden=(300, 300), activation="tanh", output_activation="sigmoid")

    def recipe(self, seed: int, index: int) -> tuple[Tensor, Tensor]:
        """Return 500 noisy signals, and T1, T2 in parts of the logarithmic range with the weight of their errors."""
        atoms, signals = _simulated(self.frames, seed, index // self.repeats)
        random = np.random.default_rng([seed, index])
        snr = np.exp(random.uniform(math.log(_SNR[0]), math.log(_SNR[1]), _BATCH))
        sigma = np.where(random.random(_BATCH) < _CLEAN, 0.0, 1 / snr)
        weight = 1 / ((10 * _AT_TEN * sigma) ** 2 + _FLOOR**2)
        target = np.column_stack([_scaled(atoms), weight * _FLOOR**2])
        return _inputs(_noisy(signals, sigma, random)), torch.from_numpy(target.astype(np.float32))

    def data(self) -> training.Simulated:
        """Return the training samples, which are batches."""
        return training.Simulated(self.recipe, self.n, self.seed)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the weighted mean square error."""
        return (target[:, 2:] * (prediction - target[:, :2]) ** 2).mean()

    def config(self) -> training.Config:
        """Return 30 epochs of Adam (10 of a long train), one cycle of its learning rate."""
        return training.Config(
            epochs=30 if self.frames < 100 else 10, learning_rate=3e-3, schedule="one_cycle", seed=self.seed
        )

    def examine(self, network: torch.nn.Module) -> Report:
        """Tune the dictionary's density at each SNR, and compare errors and speed on held-out signals."""
        random = np.random.default_rng(self.held_out_seed)
        known, asked = draw_atoms(_TUNING, random), draw_atoms(_HELD_OUT, random)
        strange = draw_atoms(_HELD_OUT, random, of_tissue=0.0)
        signals_known, signals, signals_strange = (_simulate(self.frames, atoms) for atoms in (known, asked, strange))
        fine = self._dictionary(_DENSITIES[-1])
        scores: dict[str, float] = {}
        sweeps, bars = [], []
        for snr in _ASKED:
            tuned = self._tuned(snr, _noisy(signals_known, np.full(_TUNING, 1 / snr), random), known)
            sweeps.append(tuned)
            D, sigma = self._dictionary(int(tuned.best)), np.full(_HELD_OUT, 1 / snr)
            noisy, noisy_strange = (_noisy(clean, sigma, random) for clean in (signals, signals_strange))
            errors = {
                "network": _errors(_read(network, noisy), asked),
                "matching": _errors(_matched(D, noisy), asked),
                "posterior mean": _errors(_posterior_mean(fine, noisy, sigma), asked),
            }
            bars += _bars(f"SNR {snr:g}", errors)
            errors |= {
                "network, any voxel": _errors(_read(network, noisy_strange), strange),
                "matching, any voxel": _errors(_matched(D, noisy_strange), strange),
            }
            scores |= _named(f"SNR {snr:g}", errors)
            reading = functools.partial(_read, network, noisy)
            for name, dictionary in (("tuned", D), ("finest", fine)):
                ratio = _times_faster(reading, functools.partial(dictionary.match, noisy))
                scores[f"SNR {snr:g}, network's speed over matching's, {name} dictionary"] = ratio
        clean = {
            "network": _errors(_read(network, signals), asked),
            "matching": _errors(_matched(fine, signals), asked),
        }
        scores |= _named("no noise", clean)
        for name, error in zip(("T1", "T2"), clean["network"], strict=True):
            bars.append(Bar(f"no noise, {name}: error in %", float(error), 5.0, at_least=False))
        metric = "root mean square of ln(estimate / truth) in %"
        return Report(self.id, f"{self.title}, {self.frames} frames", metric, scores, tuple(bars), tuple(sweeps))

    def _tuned(self, snr: float, noisy: np.ndarray, atoms: np.ndarray) -> Sweep:
        # Rounded, so that of densities that are as good the coarsest is taken.
        return sweep(
            f"matching at SNR {snr:g}",
            "atoms along an axis",
            _DENSITIES,
            lambda n: round(float(_errors(_matched(self._dictionary(int(n)), noisy), atoms).mean()), 1),
            larger_is_better=False,
        )

    def _dictionary(self, n: int) -> mrf.Dictionary:
        axes = (np.geomspace(least, most, n) for least, most in zip(_LEAST, _MOST, strict=True))
        return mrf.Dictionary.simulate(_sequence(self.frames), *axes)


def rows() -> list[Row]:
    """Return the rows: a short train and a long one."""
    return [Drone(25), Drone(500)]


def _bars(noise: str, errors: dict[str, np.ndarray]) -> list[Bar]:
    """Return bars for T1 and T2: 20 % below matching, or where the posterior mean is not that good, near it."""
    bars = []
    for k, name in enumerate(("T1", "T2")):
        found, matched, best = (float(errors[who][k]) for who in ("network", "matching", "posterior mean"))
        if best < _BELOW * matched:
            bars.append(Bar(f"{noise}, {name}: error over matching's", found / matched, _BELOW, at_least=False))
        else:
            bars.append(Bar(f"{noise}, {name}: error over the posterior mean's", found / best, _NEAR, at_least=False))
    return bars


def _named(noise: str, errors: dict[str, np.ndarray]) -> dict[str, float]:
    return {
        f"{noise}, {who}: {name}": float(value)
        for who, pair in errors.items()
        for name, value in zip(("T1", "T2"), pair, strict=True)
    }


@functools.cache
def _sequence(frames: int) -> mrf.Sequence:
    """Return the train: the first lobes of Jiang's kind, an inversion before."""
    flip_angles, tr = mrf.jiang2015(frames)
    return mrf.Sequence.fisp(flip_angles, tr, te=0.003, inversion_time=0.02)


@functools.lru_cache(maxsize=8)
def _simulated(frames: int, seed: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Return atoms (n, 2) and signals (n, frames) of a training block."""
    atoms = draw_atoms(_BATCH, np.random.default_rng([seed, block, 2]))
    return atoms, _simulate(frames, atoms)


def draw_atoms(n: int, random: np.random.Generator, of_tissue: float = 0.75) -> np.ndarray:
    """Draw T1 and T2 of voxels.

    Parameters
    ----------
    n : int
        How many.
    random : numpy.random.Generator
        Where chance comes from.
    of_tissue : float
        Share near a tissue of `spinray.mri.tissues` at 3 T, with a standard deviation of 10 %; the others are spread
        evenly over the logarithms of 0.2 to 4 s and of 0.02 to 0.5 s.

    Returns
    -------
    ndarray, shape (n, 2)
        T1 and T2 < T1 in s.

    Examples
    --------
    >>> import numpy as np
    >>> draw_atoms(1000, np.random.default_rng(0)).shape
    (1000, 2)
    """
    found = np.empty((0, 2))
    while len(found) < n:
        near = _TISSUES[random.integers(len(_TISSUES), size=2 * n)]
        near = near * np.exp(_SPREAD * random.standard_normal(near.shape))
        anything = _LEAST * (_MOST / _LEAST) ** random.random(near.shape)
        atoms = np.where(random.random((2 * n, 1)) < of_tissue, near, anything)
        allowed = ((atoms >= _LEAST) & (atoms <= _MOST)).all(axis=1) & (atoms[:, 1] < atoms[:, 0])
        found = np.concatenate([found, atoms[allowed]])
    return found[:n]


def density(atoms: np.ndarray, of_tissue: float = 0.75) -> np.ndarray:
    """Return how likely `draw_atoms` draws atoms, per area of their logarithms and up to a common factor.

    Parameters
    ----------
    atoms : ndarray, shape (n, 2)
        T1 and T2 < T1 in s, within the range.
    of_tissue : float
        As for `draw_atoms`.

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> white_matter, nothing = density(np.array([[1.084, 0.069], [0.4, 0.3]]))
    >>> round(white_matter / nothing)
    61
    """
    apart = np.log(atoms[:, None] / _TISSUES) / _SPREAD
    near = np.exp(-0.5 * (apart**2).sum(axis=2)).mean(axis=1) / (2 * math.pi * _SPREAD**2)
    return np.asarray(of_tissue * near + (1 - of_tissue) / np.log(_MOST / _LEAST).prod())


def _simulate(frames: int, atoms: np.ndarray) -> np.ndarray:
    """Return signals (n, frames) of atoms (n, 2)."""
    return np.asarray(mrf.epg(_sequence(frames), atoms[:, 0], atoms[:, 1])).real


def _noisy(signals: np.ndarray, sigma: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return signals + sigma[:, None] * random.standard_normal(signals.shape, dtype=np.float32)


def _inputs(signals: np.ndarray) -> Tensor:
    """Return signals as the network sees them: of root mean square 1."""
    return torch.from_numpy((signals / np.sqrt((signals**2).mean(axis=1, keepdims=True))).astype(np.float32))


def _scaled(atoms: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(atoms / _LEAST) / np.log(_MOST / _LEAST))


def _read(network: torch.nn.Module, signals: np.ndarray) -> np.ndarray:
    """Return the network's T1 and T2, shape (n, 2)."""
    with torch.no_grad():
        return np.asarray(_LEAST * (_MOST / _LEAST) ** network(_inputs(signals)).numpy().astype(float))


def _matched(D: mrf.Dictionary, signals: np.ndarray) -> np.ndarray:
    """Return T1 and T2 by matching, shape (n, 2)."""
    found = D.match(signals, interpolate=True)
    return np.stack([found.t1, found.t2], axis=1)


def _posterior_mean(D: mrf.Dictionary, signals: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return exp of the posterior mean of ln T1 and ln T2, (n, 2), with any scale as likely as any other.

    The dictionary's logarithms are evenly spaced. Over the scale m, exp(-|s - m a|^2 / 2 sigma^2) has the integral
    exp((s a / |a|)^2 / 2 sigma^2) / |a| but for factors without a.
    """
    norms = np.linalg.norm(D.signals, axis=1)
    atoms = D.signals / norms[:, None]
    times = np.stack([D.parameters["t1"], D.parameters["t2"]], axis=1)
    logs, prior = np.log(times), np.log(density(times) / norms).astype(atoms.dtype)
    found = []
    for piece in np.array_split(np.arange(len(signals)), max(1, len(signals) // 500)):
        fit = 0.5 * ((signals[piece].astype(atoms.dtype) @ atoms.T) / sigma[piece, None]) ** 2 + prior
        likely = np.exp(fit - fit.max(axis=1, keepdims=True))
        found.append(likely @ logs / likely.sum(axis=1, keepdims=True))
    return np.asarray(np.exp(np.concatenate(found)))


def _errors(found: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """Return the log-RMS of T1 and of T2 in %."""
    return np.asarray(100 * np.sqrt((np.log(found / atoms) ** 2).mean(axis=0)))


def _times_faster(fast: Callable[[], object], slow: Callable[[], object]) -> float:
    """Return the ratio of the median times of two functions, called in turn."""
    seconds: tuple[list[float], list[float]] = [], []
    for _ in range(5):
        for function, times in zip((fast, slow), seconds, strict=True):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return statistics.median(seconds[1]) / statistics.median(seconds[0])
