"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from .._progress import progress_bar
from ..errors import DtypeError, InputError
from ._batches import batches_of
from ._interrupts import deferred_interrupts
from ._processes import Processes
from ._random import OF_TRAINING, derived, seeded
from .callbacks import Callback
from .checkpoint import read
from .config import Config
from .history import History
from .run import Run
from .simulated import Simulated

__all__ = ["fit"]

#: Names of numbers of an epoch that no metric may have.
_TAKEN = ("step", "loss", "validation_loss", "learning_rate", "seconds", "waiting")


def fit(
    network: torch.nn.Module,
    data: Any,
    loss: Callable[..., Any],
    config: Config,
    *,
    validation: Any = None,
    metrics: Mapping[str, Callable[..., Any]] | None = None,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
    resume: Any = None,
) -> History:
    """Train a network.

    Parameters
    ----------
    network : torch.nn.Module
        Any, with a parameter that requires gradients. It is changed in place. ``DistributedDataParallel`` and
        ``torch.compile`` may be around it.
    data : tuple, torch.utils.data.Dataset, torch.utils.data.DataLoader or iterable
        What gives batches (inputs, targets): ``network(inputs)`` is held against the targets, ``network(*inputs)``
        where the inputs are a tuple or list. A tuple (inputs, targets) of tensors, or of tuples of tensors, whose
        first axis counts samples, and a map-style ``Dataset`` are shuffled anew for each epoch and cut into batches of
        ``config.batch_size``. A ``DataLoader``, `Simulated`, a list, or anything else that can be iterated once
        for each epoch gives batches itself. Tensors are of the network's precision; those on the CPU are moved to
        the network's device. Several processes divide batches formed here, and those of `Simulated`, among them; other
        iterables must give each process its own.
    loss : callable
        ``loss(output, targets)``, one number as a tensor. One with a third parameter named ``inputs`` is given the
        network's inputs too, as ``loss(output, targets, inputs=inputs)``.
    config : Config
        Optimiser, schedule, length of the run and the rest.
    validation : as `data`, optional
        Held-out samples, gone through in order after each epoch in evaluation mode, without gradients. The random
        numbers of training are not touched by it.
    metrics : dict of callables, optional
        Further numbers of validation, called as the loss is; their means over the samples stand in the history.
    callbacks : iterable of Callback
        `Checkpoint`, `TensorBoard`, `MLflow`, or your own.
    progress : bool
        Whether to show a progress bar.
    resume : path, optional
        A file of `Checkpoint`: go on from there, with the same network, data and configuration, to the same bits that
        an uninterrupted run gives. Its length may be another: to the same bits if the saved run ended with an epoch
        and the schedule does not depend on the length, for an epoch that was cut short is not taken up again.

    Returns
    -------
    History

    Raises
    ------
    InputError
        If the loss or the gradient becomes NaN or infinite, naming epoch and batch, and the parameter; if nothing can
        be trained; if data give no batches or lie on another device; if the file is of another network or
        configuration.
    DtypeError
        If an argument has an unusable type, or the data another precision than the network.
    FileError
        If the file cannot be read.

    Notes
    -----
    With validation data, or with `Config.patience`, the network ends in the state of the epoch with the lowest loss;
    else, and if it is interrupted in the first epoch, in that of the last step. With `Config.average` both are states
    of the average. After an error it has its state of the best epoch, or that from before. Its training and evaluation
    modes are put back; batch normalisation in frozen parts of a network (see `freeze`) keeps its statistics.

    Ctrl-C takes effect after the step under way (a second one at once): ``KeyboardInterrupt`` is raised when the
    network has the state described and callbacks are done, among them `Checkpoint`, from whose file the run can go on.
    Every exception that leaves this function has the `History` as its attribute ``history``:
    ``sys.last_value.history`` in Jupyter.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import Config, fit
    >>> x = torch.linspace(-1, 1, 64).unsqueeze(1)
    >>> network = torch.nn.Linear(1, 1)
    >>> history = fit(
    ...     network, (x, 3 * x + 1), torch.nn.functional.mse_loss,
    ...     Config(epochs=20, optimiser="lbfgs", learning_rate=1.0, batch_size=64), progress=False,
    ... )
    >>> [round(value.item(), 3) for value in (network.weight, network.bias)]
    [3.0, 1.0]
    """
    _check(network, loss, config)
    measured = _named(metrics, validation)
    told = tuple(callbacks)
    for number, one in enumerate(told):
        if not isinstance(one, Callback):
            raise DtypeError(f"callbacks[{number}]: expected a training.Callback, got {type(one).__name__}")
    _check_ends(data, validation, config)
    processes = Processes.of(network)
    batches = batches_of("data", data, config.batch_size, config.seed, processes)
    held_out = None if validation is None else batches_of("validation", validation, config.batch_size, None, processes)
    run = Run(network, data, batches, loss, config, held_out, measured, told)
    if resume is not None:
        run.load(read(resume))
    modes = [(module, module.training) for module in network.modules()]
    with (
        deferred_interrupts() as check_interrupt,
        seeded(derived(config.seed, OF_TRAINING, processes.rank)),
        progress_bar("training", enable=progress and processes.rank == 0) as report,
    ):
        try:
            for one in told:
                one.on_start(run)
            run.train(check_interrupt, report)
        except BaseException as error:
            run.history.stopped = "interrupt" if isinstance(error, KeyboardInterrupt) else "error"
            error.history = run.history  # type: ignore[attr-defined]
            raise
        finally:
            try:
                for one in told:
                    one.on_end(run)
            finally:
                run.finish()
                for module, training in modes:
                    module.training = training
    return run.history


def _check(network: Any, loss: Any, config: Any) -> None:
    if not isinstance(network, torch.nn.Module):
        raise DtypeError(f"network: expected a torch.nn.Module, got {type(network).__name__}")
    if not callable(loss):
        raise DtypeError(f"loss: expected a function of (output, target), got {loss!r}")
    if not isinstance(config, Config):
        raise DtypeError(f"config: expected a training.Config, got {config!r}")


def _check_ends(data: Any, validation: Any, config: Config) -> None:
    """Refuse endless samples where nothing else ends the run."""
    endless = [isinstance(one, Simulated) and one.n is None for one in (data, validation)]
    if endless[0] and config.steps is None and config.seconds is None:
        raise InputError("data: these samples never end, nor does an epoch. Use Simulated(recipe, n), steps or seconds")
    if endless[1]:
        raise InputError("validation: these samples never end. Use Simulated(recipe, n, fresh=False)")


def _named(metrics: Mapping[str, Callable[..., Any]] | None, validation: Any) -> dict[str, Callable[..., Any]]:
    """Return the metrics, checked."""
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise DtypeError(f"metrics: expected a dict of names and functions, got {type(metrics).__name__}")
    if validation is None:
        raise InputError("metrics: they are measured on validation data, got none. Give validation")
    for name, metric in metrics.items():
        if name in _TAKEN:
            raise InputError(f"metrics: {name!r} is a name of the history's own. Choose another")
        if not callable(metric):
            raise DtypeError(f"metrics[{name!r}]: expected a function of (output, target), got {metric!r}")
    return dict(metrics)
