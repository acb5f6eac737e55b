"""How sure a network is, and whether it is right about that: dropout at prediction, ensembles, calibration."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import _checks
from ..errors import DtypeError, InputError
from ._modes import evaluating

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Calibration",
    "Prediction",
    "classification_calibration",
    "ensemble",
    "mc_dropout",
    "regression_calibration",
    "sigma_scale",
    "temperature",
]


_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


class Prediction(NamedTuple):
    """Mean of several predictions, and their standard deviation with one less than their number in the denominator."""

    mean: Tensor
    std: Tensor


def mc_dropout(
    network: nn.Module,
    inputs: Any,
    *,
    n: int = 30,
    seed: int = 0,
    batch_size: int | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
) -> Prediction:
    """Predict several times with dropout left on: Monte Carlo dropout.

    Everything else is as in evaluation: batch normalisation uses its running statistics and keeps them.

    Parameters
    ----------
    network : torch.nn.Module
        With dropout layers; left in the mode it was in.
    inputs : torch.Tensor or tuple of torch.Tensor, shape (batch, ...)
        What the network is called with.
    n : int
        Number of predictions, at least 2.
    seed : int
        Of the layers that are dropped; torch's own generator is left as it was.
    batch_size : int, optional
        Inputs in one call; all unless given. What is dropped depends on it.
    transform : callable, optional
        Applied to each output before it is averaged: ``lambda scores: scores.softmax(1)`` for classes.

    Returns
    -------
    Prediction
        ``mean`` and ``std`` of the shape of the output, without a gradient.

    Raises
    ------
    InputError
        If the network has no dropout layer, or inputs differ in number.
    DtypeError
        If inputs or outputs are no tensors.

    References
    ----------
    .. [1] Y. Gal, Z. Ghahramani (2016), Dropout as a Bayesian approximation: representing model uncertainty in deep
       learning. ICML, PMLR 48:1050-1059.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.uncertainty import mc_dropout
    >>> network = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
    >>> mean, std = mc_dropout(network, torch.ones(3, 8), n=10)
    >>> mean.shape, bool((std > 0).all())
    (torch.Size([3, 1]), True)
    """
    n = _checks.integer("n", n, minimum=2)
    dropouts = [m for m in network.modules() if isinstance(m, _DROPOUT) and m.p > 0]
    if not dropouts:
        raise InputError(
            f"network: expected dropout layers with p > 0, {type(network).__name__} has none. Use ensemble"
        )
    batches = _batches(inputs, batch_size)
    first = batches[0][0]
    with evaluating(network), torch.no_grad(), torch.random.fork_rng([first.device] if first.is_cuda else []):
        torch.manual_seed(_checks.integer("seed", seed, minimum=0))
        for layer in dropouts:
            layer.train()
        found = [_moments(_called(network, batch, transform) for _ in range(n)) for batch in batches]
    return Prediction(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def ensemble(
    networks: Sequence[nn.Module],
    inputs: Any,
    *,
    batch_size: int | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
) -> Prediction:
    """Predict with several networks, trained from different initialisations: a deep ensemble.

    Parameters
    ----------
    networks : sequence of torch.nn.Module
        At least 2; each in evaluation mode for the call, and left in the mode it was in.
    inputs, batch_size, transform
        As of `mc_dropout`.

    Returns
    -------
    Prediction
        ``mean`` and ``std`` of the shape of the output, without a gradient.

    Raises
    ------
    InputError
        If there are fewer than 2 networks, or inputs differ in number.
    DtypeError
        If inputs or outputs are no tensors.

    References
    ----------
    .. [1] B. Lakshminarayanan, A. Pritzel, C. Blundell (2017), Simple and scalable predictive uncertainty estimation
       using deep ensembles. NeurIPS 30:6402-6413.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn.uncertainty import ensemble
    >>> mean, std = ensemble([torch.nn.Identity(), torch.nn.Flatten()], torch.ones(3, 8))
    >>> mean.shape, float(std.max())
    (torch.Size([3, 8]), 0.0)
    """
    networks = list(networks)
    if len(networks) < 2:
        raise InputError(f"networks: expected at least 2, got {len(networks)}. Of one with dropout, use mc_dropout")
    found = []
    with contextlib.ExitStack() as stack, torch.no_grad():
        for network in networks:
            stack.enter_context(evaluating(network))
        for batch in _batches(inputs, batch_size):
            found.append(_moments(_called(network, batch, transform) for network in networks))
    return Prediction(*(torch.cat(parts) for parts in zip(*found, strict=True)))


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What was predicted and what was observed, bin by bin; equal if the prediction of uncertainty is right.

    Attributes
    ----------
    predicted, observed : numpy.ndarray, shape (bins,)
        Of a regression: root mean square of the predicted standard deviations, and of the errors. Of a classification:
        mean confidence, and accuracy.
    counts : numpy.ndarray, shape (bins,)
        Entries of each bin.
    error : float
        Expected calibration error. Of a regression relative, the mean over bins of |observed - predicted| / predicted
        [1]_; of a classification the mean over entries of |observed - predicted| of their bin [2]_.
    kind : {"regression", "classification"}
        Which of the two.

    References
    ----------
    .. [1] D. Levi, L. Gispan, N. Giladi, E. Fetaya (2022), Evaluating and calibrating uncertainty prediction in
       regression tasks. Sensors 22:5540, equation 9.
    .. [2] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger (2017), On calibration of modern neural networks. ICML, PMLR
       70:1321-1330, equation 3.

    Examples
    --------
    >>> from spinray.nn.uncertainty import regression_calibration
    >>> found = regression_calibration([0.0, 0.0], [1.0, 2.0], [1.0, 3.0], bins=2)
    >>> found.predicted, found.observed, found.error
    (array([1., 2.]), array([1., 3.]), 0.25)
    >>> found.plot(unit="HU").get_ylabel()
    'root mean square error [HU]'
    """

    predicted: np.ndarray
    observed: np.ndarray
    counts: np.ndarray
    error: float
    kind: str

    def plot(self, *, unit: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw the curve beside the diagonal, where it should lie.

        Parameters
        ----------
        unit : str, optional
            Unit of the standard deviation.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes in a new figure unless given.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ..viz._common import axes_or_new

        axes = axes_or_new(ax)
        regression = self.kind == "regression"
        most = float(max(self.predicted.max(), self.observed.max())) * 1.05 if regression else 1.0
        most = most or 1.0
        axes.plot([0, most], [0, most], color="0.6", linestyle="--", linewidth=1, label="calibrated")
        name = "relative calibration error" if regression else "calibration error"
        axes.plot(self.predicted, self.observed, marker="o", markersize=4, label=f"{name} {self.error:.3g}")
        suffix = f" [{unit}]" if unit else ""
        axes.set_xlabel(f"predicted standard deviation{suffix}" if regression else "confidence")
        axes.set_ylabel(f"root mean square error{suffix}" if regression else "accuracy")
        axes.set_xlim(0, most)
        axes.set_ylim(0, most)
        axes.set_aspect("equal")
        axes.legend(frameon=False, fontsize=9)
        return axes


def regression_calibration(mean: Any, std: Any, truth: Any, *, bins: int = 10) -> Calibration:
    """Compare predicted standard deviations with errors, in bins of as many entries each.

    Parameters
    ----------
    mean, std, truth : array_like or torch.Tensor, of one shape
        Prediction, its standard deviation, and what is true.
    bins : int
        Number of bins, at most that of entries. The error of a well calibrated prediction grows with it, as the square
        root of bins over entries.

    Returns
    -------
    Calibration

    Raises
    ------
    InputError, DtypeError
        If shapes differ, a standard deviation is negative, or entries are not finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.nn.uncertainty import regression_calibration
    >>> rng = np.random.default_rng(0)
    >>> sigma = rng.uniform(1, 3, 20000)
    >>> regression_calibration(np.zeros(20000), sigma, sigma * rng.standard_normal(20000)).error < 0.05
    True
    """
    error, sigma = _errors(mean, std, truth)
    bins = _checks.integer("bins", bins, minimum=1)
    if bins > len(error):
        raise InputError(f"bins: expected at most the number of entries, {len(error)}, got {bins}")
    parts = np.array_split(np.argsort(sigma, kind="stable"), bins)
    predicted = np.array([np.sqrt(np.mean(sigma[part] ** 2)) for part in parts])
    observed = np.array([np.sqrt(np.mean(error[part] ** 2)) for part in parts])
    difference = np.abs(observed - predicted)
    with np.errstate(divide="ignore", invalid="ignore"):
        # What is said to be exact, and is, is calibrated.
        relative = np.where(difference == 0, 0.0, difference / predicted)
    counts = np.array([len(part) for part in parts])
    return Calibration(predicted, observed, counts, float(relative.mean()), "regression")


def classification_calibration(probabilities: Any, labels: Any, *, bins: int = 15) -> Calibration:
    """Compare the probability of the answer with how often it is right: the reliability diagram.

    Parameters
    ----------
    probabilities : array_like or torch.Tensor, shape (batch, classes, ...)
        Of all classes, adding up to 1.
    labels : array_like or torch.Tensor of int, shape (batch, ...)
        The true classes.
    bins : int
        Number of bins of confidence between 0 and 1, all as wide; empty ones are left out.

    Returns
    -------
    Calibration

    Raises
    ------
    InputError, DtypeError
        If shapes do not fit, labels are out of range, or probabilities do not add up to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.nn.uncertainty import classification_calibration
    >>> labels = np.arange(10) < 7
    >>> found = classification_calibration(np.full((10, 2), (0.1, 0.9)), labels.astype(int))
    >>> found.predicted, found.observed, round(found.error, 6)
    (array([0.9]), array([0.7]), 0.2)
    """
    p, truth = _scores("probabilities", probabilities, labels)
    total = p.sum(1)
    if p.min() < 0 or np.abs(total - 1).max() > 1e-3:
        raise InputError(
            f"probabilities: expected numbers >= 0 that add up to 1 over classes, got sums {total.min():.4g} to "
            f"{total.max():.4g} and least {p.min():.4g}. Scores? Take their softmax"
        )
    bins = _checks.integer("bins", bins, minimum=1)
    confidence, right = p.max(1), p.argmax(1) == truth
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(number, minlength=bins)
    filled = counts > 0
    predicted = np.bincount(number, confidence, bins)[filled] / counts[filled]
    observed = np.bincount(number, right, bins)[filled] / counts[filled]
    error = float(np.average(np.abs(observed - predicted), weights=counts[filled]))
    return Calibration(predicted, observed, counts[filled], error, "classification")


def sigma_scale(mean: Any, std: Any, truth: Any) -> float:
    """Return the factor for `std` that makes held-out errors likeliest, if they are normal.

    It is the root mean square of error over standard deviation. Fit it on validation data.

    Parameters
    ----------
    mean, std, truth : array_like or torch.Tensor, of one shape
        Prediction, its standard deviation (> 0), and what is true.

    Raises
    ------
    InputError, DtypeError
        If shapes differ, a standard deviation is not positive, or entries are not finite numbers.

    References
    ----------
    .. [1] M.-H. Laves, S. Ihler, J. F. Fast, L. A. Kahrs, T. Ortmaier (2020), Well-calibrated regression uncertainty in
       medical imaging with deep learning. MIDL, PMLR 121:393-412, equation 10.

    Examples
    --------
    >>> from spinray.nn.uncertainty import sigma_scale
    >>> sigma_scale([0.0, 0.0], [1.0, 2.0], [3.0, -6.0])
    3.0
    """
    error, sigma = _errors(mean, std, truth)
    if sigma.min() <= 0:
        raise InputError(f"std: expected positive numbers, got {np.count_nonzero(sigma == 0)} zeros. Leave them out")
    return float(np.sqrt(np.mean((error / sigma) ** 2)))


def temperature(scores: Any, labels: Any) -> float:
    """Return the number T that makes ``softmax(scores / T)`` likeliest for held-out labels: temperature scaling.

    Parameters
    ----------
    scores : array_like or torch.Tensor, shape (batch, classes, ...)
        What the softmax is taken of.
    labels : array_like or torch.Tensor of int, shape (batch, ...)
        The true classes.

    Notes
    -----
    The logarithm of the likelihood is concave in 1 / T: its one maximum is where the mean score under the softmax is
    the mean score of the true classes, found to 12 digits.

    Raises
    ------
    InputError, DtypeError
        If shapes do not fit, labels are out of range, or no temperature is best: each label has the largest score (T
        would be 0), or they are no better than chance.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger (2017), On calibration of modern neural networks. ICML, PMLR
       70:1321-1330, section 4.2.

    Examples
    --------
    >>> import math
    >>> from spinray.nn.uncertainty import temperature
    >>> scores = [[math.log(9), 0.0]] * 4
    >>> round(temperature(scores, [0, 0, 0, 1]), 6)
    2.0
    """
    from scipy.optimize import brentq

    z, truth = _scores("scores", scores, labels)
    own = np.take_along_axis(z, truth[:, None], 1)[:, 0]

    def excess(inverse: float) -> float:
        weights = np.exp(inverse * (z - z.max(1, keepdims=True)))
        return float(np.mean((weights * z).sum(1) / weights.sum(1) - own))

    if excess(0.0) >= 0:
        raise InputError("labels: expected scores that are better than chance, these are not. Is the class axis 1?")
    if (own == z.max(1)).all():
        raise InputError("labels: expected some that do not have the largest score, all have. Use more held-out data")
    high = 1.0
    while excess(high) < 0:
        high *= 2
    return 1 / float(brentq(excess, 0.0, high, xtol=1e-300, rtol=1e-12))


# Behind them.


def _batches(inputs: Any, batch_size: int | None) -> list[tuple[Tensor, ...]]:
    """Return the inputs in parts of `batch_size`."""
    tensors = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    if not tensors or any(not isinstance(tensor, Tensor) or tensor.ndim == 0 for tensor in tensors):
        raise DtypeError(f"inputs: expected tensors with a batch axis, got {[type(t).__name__ for t in tensors]}")
    count = len(tensors[0])
    if count == 0 or any(len(tensor) != count for tensor in tensors):
        raise InputError(f"inputs: expected as many entries in each, at least one, got {[len(t) for t in tensors]}")
    size = count if batch_size is None else _checks.integer("batch_size", batch_size, minimum=1)
    return list(zip(*(tensor.split(size) for tensor in tensors), strict=True))


def _called(network: nn.Module, batch: tuple[Tensor, ...], transform: Callable[[Tensor], Tensor] | None) -> Tensor:
    output = network(*batch)
    output = output if transform is None else transform(output)
    if not isinstance(output, Tensor):
        raise DtypeError(f"network: expected a tensor as output, got {type(output).__name__}. Pick one by transform")
    return output


def _moments(outputs: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation, of which only two are held at a time (Welford 1962)."""
    mean = next(outputs).clone()
    squares, count = torch.zeros_like(mean), 1
    for count, output in enumerate(outputs, start=2):
        from_old = output - mean
        mean += from_old / count
        squares += from_old * (output - mean)
    return mean, (squares / (count - 1)).sqrt()


def _doubles(name: str, values: Any) -> np.ndarray:
    given = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values
    return _checks.finite(name, _checks.array(name, given, allow_complex=False, dtype=np.float64))


def _errors(mean: Any, std: Any, truth: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return errors and standard deviations, flat."""
    m, s, t = (_doubles(*pair) for pair in (("mean", mean), ("std", std), ("truth", truth)))
    if not m.shape == s.shape == t.shape or m.size == 0:
        raise InputError(f"truth: expected mean, std and truth of one shape, got {m.shape}, {s.shape} and {t.shape}")
    if s.min() < 0:
        raise InputError(f"std: expected numbers >= 0, got {s.min():.6g}")
    return (m - t).ravel(), s.ravel()


def _scores(name: str, scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of shape (entries, classes), and labels."""
    values = _doubles(name, scores)
    truth = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if truth.dtype.kind not in "iu":
        raise DtypeError(f"labels: expected integers, got dtype {truth.dtype}")
    if values.ndim < 2 or values.shape[1] < 2 or truth.shape != (values.shape[0], *values.shape[2:]) or not truth.size:
        raise InputError(
            f"labels: expected shape (batch, ...) for {name} of shape (batch, classes, ...) with at least 2 classes, "
            f"got {truth.shape} and {values.shape}"
        )
    if truth.min() < 0 or truth.max() >= values.shape[1]:
        raise InputError(f"labels: expected 0 to {values.shape[1] - 1}, got {truth.min()} to {truth.max()}")
    return np.moveaxis(values, 1, -1).reshape(-1, values.shape[1]), truth.ravel()
