"""What a row of the zoo reports: scores, the rival's sweep, and whether the bars are met."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Bar", "Report", "Sweep", "sweep"]


@dataclass(frozen=True)
class Bar:
    """A measured value and what it is asked to be.

    Attributes
    ----------
    claim : str
        What is asked, in words: "PSNR over tuned TV in dB".
    value, limit : float
        What was measured, and the bar.
    at_least : bool
        Whether the value must be at least the limit, or at most.

    Examples
    --------
    >>> Bar("PSNR over tuned TV in dB", 0.7, 0.3).met
    True
    """

    claim: str
    value: float
    limit: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether the value keeps the bar; a value that is not a number does not."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        relation = ">=" if self.at_least else "<="
        return f"{self.claim}: {self.value:.4g} (bar {relation} {self.limit:g}) {'met' if self.met else 'MISSED'}"


@dataclass(frozen=True)
class Sweep:
    """A rival's score at every setting that was tried.

    Attributes
    ----------
    rival, setting : str
        Who was tuned, and what was varied.
    values, scores : tuple of float
        Settings in the order of growth, and the score of each.
    larger_is_better : bool
        Which way the scores count.

    Examples
    --------
    >>> tuned = Sweep("TV", "weight", (0.1, 0.2, 0.4), (30.0, 31.5, 31.0))
    >>> tuned.best, tuned.score, tuned.at_edge
    (0.2, 31.5, False)
    """

    rival: str
    setting: str
    values: tuple[float, ...]
    scores: tuple[float, ...]
    larger_is_better: bool = True

    @property
    def _where(self) -> int:
        ranked = np.asarray(self.scores) * (1 if self.larger_is_better else -1)
        return int(np.argmax(np.where(np.isfinite(ranked), ranked, -np.inf)))

    @property
    def best(self) -> float:
        """The setting with the best score."""
        return self.values[self._where]

    @property
    def score(self) -> float:
        """The best score."""
        return self.scores[self._where]

    @property
    def at_edge(self) -> bool:
        """Whether the best setting is the first or the last one tried: a better one may lie beyond."""
        return self._where in (0, len(self.values) - 1)

    def __str__(self) -> str:
        edge = " AT THE EDGE of its sweep" if self.at_edge else ""
        spread = f"{self.values[0]:g} ... {self.values[-1]:g}, {len(self.values)} settings"
        return f"{self.rival}: {self.score:.4g} at {self.setting} = {self.best:g}{edge} ({spread})"


def sweep(
    rival: str, setting: str, values: Sequence[float], score: Callable[[float], float], *, larger_is_better: bool = True
) -> Sweep:
    """Score a rival at every setting.

    Parameters
    ----------
    rival, setting : str
        Who is tuned, and what is varied.
    values : sequence of float
        Settings, growing; three at least, or none could lie inside.
    score : function
        Called with a setting, returns its score.
    larger_is_better : bool
        Which way the scores count.

    Raises
    ------
    InputError
        If there are fewer than three settings, or they do not grow.

    Examples
    --------
    >>> sweep("TV", "weight", [0.1, 0.2, 0.4], lambda w: -abs(w - 0.2)).best
    0.2
    """
    tried = tuple(float(value) for value in values)
    if len(tried) < 3 or any(b <= a for a, b in itertools.pairwise(tried)):
        raise InputError(f"values: expected at least three settings that grow, got {tried}")
    return Sweep(rival, setting, tried, tuple(float(score(value)) for value in tried), larger_is_better)


@dataclass(frozen=True)
class Report:
    """The outcome of a row; printing it gives a table.

    Attributes
    ----------
    row, title : str
        Which row of the catalogue, and what it is.
    metric : str
        What the scores are, with unit and definition.
    scores : mapping of str to float
        By contender: the network, its rivals, the input.
    bars : tuple of Bar
        What is asked.
    sweeps : tuple of Sweep
        How the rivals were tuned.
    seconds : float
        Wall time of the training, samples that are made beforehand included.
    made : float
        Wall time of making samples beforehand; none are where they are made while the network trains.
    waiting : float
        Share of the rest that the training waited for samples.
    curves : mapping of str to sequence of float
        What to plot against the training step: losses, scores on the way.
    pictures : mapping of str to numpy.ndarray
        Images (y, x) of one held-out example by contender, "target" among them.
    """

    row: str
    title: str
    metric: str
    scores: Mapping[str, float]
    bars: tuple[Bar, ...]
    sweeps: tuple[Sweep, ...] = ()
    seconds: float = math.nan
    made: float = 0.0
    waiting: float = math.nan
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether every bar is met, by rivals whose best settings lie inside their sweeps."""
        return all(bar.met for bar in self.bars) and not any(tuned.at_edge for tuned in self.sweeps)

    def __repr__(self) -> str:
        width = max(map(len, self.scores), default=0)
        beforehand = f", samples made in the first {self.made:.0f} s of it" if self.made >= 0.5 else ""
        training = f"trained for {self.seconds:.0f} s{beforehand}, {self.waiting:.1%} of the training waiting"
        lines = [f"{self.row}: {self.title} ({'met' if self.met else 'MISSED'}; {training})"]
        lines += [f"  {self.metric}"]
        lines += [f"    {name:<{width}}  {score:.4g}" for name, score in self.scores.items()]
        lines += [f"  tuned  {tuned}" for tuned in self.sweeps]
        lines += [f"  bar    {bar}" for bar in self.bars]
        return "\n".join(lines)

    def plot(self) -> Figure:
        """Draw the training curves, the rivals' sweeps, and the pictures.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from ._plot import plot_report

        return plot_report(self)
