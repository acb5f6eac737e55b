"""What happened while a network was trained."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from .. import _checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["History"]


@dataclasses.dataclass
class History:
    """Losses, metrics, learning rates and times of a training, of every step and of every epoch.

    Plain lists of plain numbers: ``json.dumps(dataclasses.asdict(history))`` writes it, ``History(**json.loads(text))``
    reads it back.

    Parameters
    ----------
    steps : dict of list
        'loss' of the batch, before the step; 'learning_rate' of the step; 'seconds' it took, without waiting;
        'waiting' for its data, in seconds.
    epochs : dict of list
        'step' at the end of the epoch; 'loss', the mean over its samples; 'learning_rate' of its last step; 'seconds'
        of all, validation included; 'waiting' for data, in seconds; with validation data 'validation_loss' and each
        metric, means over samples.
    best_epoch : int or None
        The epoch, counted from 1, with the lowest validation loss, or without validation data with the lowest loss.
    stopped : str
        What ended the training: 'epochs', 'steps', 'seconds', 'patience', 'callback', 'interrupt' or 'error'; empty
        while it runs.

    Examples
    --------
    >>> from spinray.training import History
    >>> steps = {"loss": [3.0], "seconds": [0.4], "waiting": [0.1]}
    >>> History(steps, {"step": [1], "loss": [3.0], "seconds": [0.5]}, 1, "epochs")
    History(1 epoch, 1 step, 0.5 s of which 20 % waiting for data, loss 3, best epoch 1, ended by epochs)
    """

    steps: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    epochs: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    best_epoch: int | None = None
    stopped: str = ""

    @property
    def n_steps(self) -> int:
        """Optimiser steps that were made."""
        return len(self.steps.get("loss", ()))

    @property
    def n_epochs(self) -> int:
        """Epochs that were completed, the last perhaps cut short by the end of the run."""
        return len(self.epochs.get("loss", ()))

    @property
    def seconds(self) -> float:
        """Duration of all epochs, validation and waiting included."""
        return sum(self.epochs.get("seconds", ()))

    @property
    def waiting_share(self) -> float:
        """Share of the time of the steps that went into waiting for data, in [0, 1]."""
        waiting = sum(self.steps.get("waiting", ()))
        total = waiting + sum(self.steps.get("seconds", ()))
        return waiting / total if total else 0.0

    @property
    def best(self) -> dict[str, float]:
        """The numbers of the best epoch; empty before the first."""
        if self.best_epoch is None:
            return {}
        return {name: values[self.best_epoch - 1] for name, values in self.epochs.items()}

    def plot(self, name: str = "loss", *, ax: Axes | None = None) -> Axes:
        """Draw how the loss, or a metric, went over the steps.

        Parameters
        ----------
        name : str
            'loss' draws that of steps (pale) and epochs, and of the validation data where there are any; or a metric,
            'learning_rate', or another of the names in `epochs`.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes in a new figure unless given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        InputError
            If the history has nothing of that name.

        Examples
        --------
        >>> from spinray.training import History
        >>> history = History({"loss": [3.0, 2.0]}, {"step": [1, 2], "loss": [3.0, 2.0]}, best_epoch=2)
        >>> history.plot().get_xlabel()
        'step'
        """
        from ..viz._common import axes_or_new

        _checks.choice("name", name, tuple(sorted({"loss", *self.epochs} - {"step"})))
        axes = axes_or_new(ax, (5.6, 3.8))
        drawn = [name]
        if name == "loss":
            losses = self.steps.get("loss", ())
            axes.plot(range(1, len(losses) + 1), losses, color="0.8", linewidth=0.8, label="loss of each step")
            drawn += [other for other in ("validation_loss",) if other in self.epochs]
            if losses and min(losses) > 0:
                axes.set_yscale("log")
        at = self.epochs.get("step", [])
        for one in drawn:
            axes.plot(at, self.epochs.get(one, []), marker="o", markersize=3, label=one.replace("_", " "))
        if self.best_epoch is not None:
            axes.axvline(at[self.best_epoch - 1], color="0.5", linestyle=":", label=f"best epoch, {self.best_epoch}")
        axes.set_xlabel("step")
        axes.set_ylabel(name.replace("_", " "))
        axes.legend(frameon=False, fontsize=8)
        return axes

    def __repr__(self) -> str:
        parts = [_counted(self.n_epochs, "epoch"), _counted(self.n_steps, "step")]
        parts.append(f"{self.seconds:.3g} s of which {100 * self.waiting_share:.2g} % waiting for data")
        told = ("step", "learning_rate", "seconds", "waiting")
        last = {name: values[-1] for name, values in self.epochs.items() if values and name not in told}
        parts += [f"{name.replace('_', ' ')} {value:.4g}" for name, value in last.items()]
        if self.best_epoch is not None:
            parts.append(f"best epoch {self.best_epoch}")
        if self.stopped:
            parts.append(f"ended by {self.stopped}")
        return f"History({', '.join(parts)})"

    def _add(self, rows: dict[str, list[float]], values: dict[str, Any]) -> None:
        for name, value in values.items():
            rows.setdefault(name, []).append(value)


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
