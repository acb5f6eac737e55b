"""Q2: a network of complex numbers that reads fingerprints, against a real one of as many parameters."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from .. import nn, training
from ..mri import mrf
from ._report import Bar, Report, sweep
from ._row import Row

__all__ = ["ComplexFingerprinting", "rows"]

#: Ranges of T1, T2 in s; off-resonance in Hz goes from minus to plus the last.
_LEAST, _MOST, _FREQUENCY = np.array([0.2, 0.02]), np.array([4.0, 0.5]), 30.0
_FRAMES, _BATCH, _HELD_OUT = 100, 500, 5000
#: Least and largest ratio of magnetisation to noise, in real and imaginary part.
_SNR = 20.0, 200.0
_COMPLEX = (64, 64)
_RATES = (8e-3, 1.6e-2, 3.2e-2, 6.4e-2, 0.128)


class ComplexFingerprinting(Row):
    """Fingerprints of balanced SSFP, complex by their off-resonance: T1, T2 and frequency by a complex network.

    A sample is a batch of complex signals with noise, of random atoms, in random order of magnitude of the noise. The
    network has complex weights and the cardioid; its real parts are T1, T2 and frequency, each in parts of its range.
    The rival is a real network with ReLU that sees real and imaginary parts side by side, has at least as many real
    parameters, and is trained on the same batches at its best learning rate.
    """

    id = "Q2"
    title = "Complex network with cardioid on fingerprints"
    source = (
        "Virtue, Yu and Lustig 2017, 'Better than real: complex-valued neural nets for MRI fingerprinting', IEEE ICIP"
    )
    n = 300

    def network(self) -> torch.nn.Module:
        """Return the complex network, its real parts taken."""
        return _RealPart(nn.ComplexMLP(_FRAMES, 3, hidden=_COMPLEX))

    def rival(self) -> torch.nn.Module:
        """Return the real network: two hidden layers, as wide as it takes to have no fewer parameters."""
        wanted = parameters(self.network())
        width = next(k for k in range(1, 1000) if k * (2 * _FRAMES + 1) + k * (k + 1) + 3 * (k + 1) >= wanted)
        return _SideBySide(nn.MLP(2 * _FRAMES, 3, hidden=(width, width)))

    def recipe(self, seed: int, index: int) -> tuple[Tensor, Tensor]:
        """Return 500 complex signals of norm 1 (times the root of their length), and targets (500, 3)."""
        random = np.random.default_rng([seed, index])
        atoms = _drawn(_BATCH, random)
        return _measured(atoms, random), torch.from_numpy(_scaled(atoms).astype(np.float32))

    def data(self) -> training.Simulated:
        """Return the training samples, which are batches."""
        return training.Simulated(self.recipe, self.n, self.seed)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean square error."""
        return torch.nn.functional.mse_loss(prediction, target)

    def config(self, learning_rate: float = 8e-2) -> training.Config:
        """Return 18 epochs of Adam, one cycle of its learning rate; the best one of the complex network."""
        return training.Config(
            epochs=18, learning_rate=learning_rate, schedule="one_cycle", clip_norm=1.0, seed=self.seed
        )

    def examine(self, network: torch.nn.Module) -> Report:
        """Train the rival at several learning rates, and compare errors on held-out signals."""
        random = np.random.default_rng(self.held_out_seed)
        tuning, asked = ((atoms, _measured(atoms, random)) for atoms in (_drawn(_HELD_OUT, random) for _ in range(2)))
        trained = {}

        def error(rate: float) -> float:
            torch.manual_seed(self.seed)
            trained[rate] = self.rival()
            training.fit(trained[rate], self.data(), self.loss, self.config(rate), progress=False)
            return float(_errors(trained[rate], *tuning).mean())

        rates = sweep("real network", "learning rate", _RATES, error, larger_is_better=False)
        errors = {"complex network": _errors(network, *asked), "real network": _errors(trained[rates.best], *asked)}
        scores = {
            f"{name}: {what}": float(value)
            for name, values in errors.items()
            for what, value in zip(("T1", "T2", "frequency"), values, strict=True)
        }
        scores["complex network: parameters"] = parameters(network)
        scores["real network: parameters"] = parameters(trained[rates.best])
        ratio = float((errors["complex network"] / errors["real network"]).mean())
        bars = (Bar("error over the real network's, mean of T1, T2 and frequency", ratio, 1.0, at_least=False),)
        metric = "root mean square error in % of the (logarithmic, for T1 and T2) range"
        return Report(self.id, self.title, metric, scores, bars, (rates,))


def rows() -> list[Row]:
    """Return the row."""
    return [ComplexFingerprinting()]


class _RealPart(torch.nn.Module):
    """The real part of a complex network's output."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, signals: Tensor) -> Tensor:
        output: Tensor = self.network(signals).real
        return output


class _SideBySide(torch.nn.Module):
    """A real network that sees real and imaginary parts one after the other."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, signals: Tensor) -> Tensor:
        output: Tensor = self.network(torch.cat([signals.real, signals.imag], dim=-1))
        return output


def parameters(network: torch.nn.Module) -> int:
    """Return how many real parameters a network has."""
    return sum(p.numel() for p in network.parameters())


@functools.cache
def _sequence() -> mrf.Sequence:
    """Return the train of balanced pulses, short enough to be one lobe."""
    flip_angles, tr = mrf.ma2013(_FRAMES, period=50, pause=5)
    return mrf.Sequence.bssfp(flip_angles, tr, inversion_time=0.02)


def _drawn(n: int, random: np.random.Generator) -> np.ndarray:
    """Return atoms (n, 3): T1, T2 < T1, and off-resonance."""
    found = np.empty((0, 2))
    while len(found) < n:
        atoms = _LEAST * (_MOST / _LEAST) ** random.random((2 * n, 2))
        found = np.concatenate([found, atoms[atoms[:, 1] < atoms[:, 0]]])
    return np.column_stack([found[:n], random.uniform(-_FREQUENCY, _FREQUENCY, n)])


def _measured(atoms: np.ndarray, random: np.random.Generator) -> Tensor:
    """Return noisy signals (n, frames), complex64, of root mean square 1."""
    signals = np.asarray(mrf.epg(_sequence(), atoms[:, 0], atoms[:, 1], off_resonance=atoms[:, 2]))
    noise = random.standard_normal((*signals.shape, 2)) @ np.array([1, 1j])
    signals = signals + noise / np.exp(random.uniform(math.log(_SNR[0]), math.log(_SNR[1]), (len(atoms), 1)))
    power = (np.abs(signals) ** 2).mean(axis=1, keepdims=True)
    return torch.from_numpy((signals / np.sqrt(power)).astype(np.complex64))


def _scaled(atoms: np.ndarray) -> np.ndarray:
    times = np.log(atoms[:, :2] / _LEAST) / np.log(_MOST / _LEAST)
    return np.column_stack([times, 0.5 + 0.5 * atoms[:, 2] / _FREQUENCY])


def _errors(network: torch.nn.Module, atoms: np.ndarray, signals: Tensor) -> np.ndarray:
    """Return root mean square errors in % of the range, shape (3,)."""
    with torch.no_grad():
        return np.asarray(100 * np.sqrt(((network(signals).numpy() - _scaled(atoms)) ** 2).mean(axis=0)))
