"""What may look on while a network is trained, and stop it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from .. import _checks
from ..errors import DtypeError

if TYPE_CHECKING:
    from .run import Run

__all__ = ["Callback", "MLflow", "TensorBoard"]


class Callback:
    """Something that is told of each step and epoch; derive from it and write the methods you need.

    The network holds the weights that are being trained until all `on_end` are done; only then `fit` gives it those of
    the best epoch, or the average.

    Examples
    --------
    >>> from spinray.training import Callback
    >>> class UntilGood(Callback):
    ...     def on_epoch(self, run):
    ...         if run.history.epochs["loss"][-1] < 1e-3:
    ...             run.stop()
    """

    def on_start(self, run: Run) -> None:
        """Do something before the first step."""

    def on_step(self, run: Run) -> None:
        """Do something after each step of the optimiser."""

    def on_epoch(self, run: Run) -> None:
        """Do something after each epoch and its validation."""

    def on_end(self, run: Run) -> None:
        """Do something after the training, also if it failed or was interrupted: see ``run.history.stopped``."""


class TensorBoard(Callback):
    """Writes losses, metrics and learning rates to TensorBoard.

    Parameters
    ----------
    writer : torch.utils.tensorboard.SummaryWriter
        Or anything with its ``add_scalar(name, value, step)``. It stays open.
    every : int
        Steps between two values of 'step/loss' and 'step/learning_rate'; 'epoch/...' are written after each epoch.

    Raises
    ------
    DtypeError
        If the writer has no ``add_scalar``.

    Examples
    --------
    >>> from spinray.training import TensorBoard
    >>> class Writer:
    ...     def add_scalar(self, name, value, step):
    ...         print(name, value, step)
    >>> callback = TensorBoard(Writer(), every=100)
    """

    def __init__(self, writer: Any, *, every: int = 1) -> None:
        if not callable(getattr(writer, "add_scalar", None)):
            raise DtypeError(f"writer: expected a SummaryWriter, with add_scalar, got {type(writer).__name__}")
        self._writer, self._every = writer, _checks.integer("every", every, minimum=1)

    def on_step(self, run: Run) -> None:
        """Write the loss and the learning rate of a step."""
        if run.step % self._every == 0:
            for name in ("loss", "learning_rate"):
                self._writer.add_scalar(f"step/{name}", run.history.steps[name][-1], run.step)

    def on_epoch(self, run: Run) -> None:
        """Write all numbers of an epoch."""
        for name, value in _last(run).items():
            self._writer.add_scalar(f"epoch/{name}", value, run.step)


class MLflow(Callback):
    """Logs the configuration and the numbers of each epoch to MLflow, in the run that is active there.

    Parameters
    ----------
    mlflow : module
        The module itself, or anything with its ``log_params(dict)`` and ``log_metrics(dict, step=)``.

    Raises
    ------
    DtypeError
        If it has not both.

    Examples
    --------
    >>> from spinray.training import MLflow
    >>> class Tracker:
    ...     def log_params(self, params):
    ...         print(params["optimiser"])
    ...     def log_metrics(self, metrics, step):
    ...         print(metrics["loss"], step)
    >>> callback = MLflow(Tracker())
    """

    def __init__(self, mlflow: Any) -> None:
        for name in ("log_params", "log_metrics"):
            if not callable(getattr(mlflow, name, None)):
                raise DtypeError(f"mlflow: expected the module mlflow, with {name}, got {mlflow!r}")
        self._mlflow = mlflow

    def on_start(self, run: Run) -> None:
        """Log the configuration."""
        self._mlflow.log_params(dataclasses.asdict(run.config))

    def on_epoch(self, run: Run) -> None:
        """Log all numbers of an epoch."""
        self._mlflow.log_metrics(_last(run), step=run.step)


def _last(run: Run) -> dict[str, float]:
    """Return the numbers of the last epoch."""
    return {name: values[-1] for name, values in run.history.epochs.items() if name != "step"}
