"""Trainings in files: written whole or not at all, read without running code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .. import _checks
from ..errors import DtypeError, FileError, InputError
from ..io._files import as_path, existing_file, replacing
from ._differences import first_difference
from ._processes import bare
from .callbacks import Callback

if TYPE_CHECKING:
    from .run import Run

__all__ = ["Checkpoint", "load_weights", "read"]

_FORMAT, _VERSION = "spinray.training.Checkpoint", 1


class Checkpoint(Callback):
    """Keeps a training in a file, for ``fit(..., resume=path)``: after each epoch, and when it is interrupted.

    The file is replaced when the new one is whole. With several processes the first one writes; a run that goes on is
    then exact as long as the network draws no random numbers.

    Parameters
    ----------
    path : str or path
        The file.
    steps : int, optional
        Also write after every so many steps.

    Raises
    ------
    FileError
        If the file cannot be written.

    Notes
    -----
    Exact are networks, optimisers, schedules, the generators of torch, NumPy and Python, and the order of the samples,
    also within an epoch: a ``Dataset`` or tensors are gone on with at the next sample; a ``DataLoader`` or another
    iterable is begun anew, with the generators as they were, and batches that were done are left out. A data set that
    keeps a generator of its own is on its own.

    Examples
    --------
    >>> import pathlib, tempfile, torch
    >>> from spinray.training import Checkpoint, Config, fit
    >>> path = pathlib.Path(tempfile.mkdtemp(), "run.pt")
    >>> data, loss = (torch.randn(8, 2), torch.randn(8, 1)), torch.nn.functional.mse_loss
    >>> network = torch.nn.Linear(2, 1)
    >>> fit(network, data, loss, Config(epochs=1), callbacks=[Checkpoint(path)], progress=False).n_epochs
    1
    >>> fit(network, data, loss, Config(epochs=3), resume=path, progress=False).n_epochs
    3
    """

    def __init__(self, path: Any, *, steps: int | None = None) -> None:
        self._path = as_path(path)
        self._steps = None if steps is None else _checks.integer("steps", steps, minimum=1)
        self._written: tuple[int, int] | None = None

    def on_step(self, run: Run) -> None:
        """Write, if it is time."""
        if self._steps is not None and run.step % self._steps == 0:
            self._write(run)

    def on_epoch(self, run: Run) -> None:
        """Write."""
        self._write(run)

    def on_end(self, run: Run) -> None:
        """Write what an interruption left, unless it fell within a step."""
        if run.between_steps and run.history.stopped != "error" and self._written != (run.step, run.epoch):
            self._write(run)

    def _write(self, run: Run) -> None:
        if run.rank == 0:
            content = {"format": _FORMAT, "version": _VERSION, **run.state()}
            with replacing(self._path) as file:
                torch.save(content, file)
        self._written = run.step, run.epoch


def read(path: Any) -> dict[str, Any]:
    """Return what a `Checkpoint` wrote.

    Raises
    ------
    FileError
        If there is no such file, or it is damaged, or something else.
    """
    content = _loaded(path)
    if content.get("format") != _FORMAT or content.get("version") != _VERSION:
        raise FileError(f"{path}: expected a file of training.Checkpoint, version {_VERSION}, got something else")
    return content


def load_weights(network: torch.nn.Module, path: Any) -> None:
    """Give a network the weights that a training has left in a file.

    Parameters
    ----------
    network : torch.nn.Module
        Of the architecture that was trained.
    path : str or path
        A file of `Checkpoint`, whose weights are those that `fit` left the network with (or would have, where it was
        interrupted), or of ``torch.save(network.state_dict(), path)``.

    Raises
    ------
    InputError
        If the weights are of another architecture, naming the first key that differs.
    FileError
        If there is no such file, or it is damaged, or holds anything else than tensors and plain values.
    DtypeError
        If the network is none.

    Examples
    --------
    >>> import pathlib, tempfile, torch
    >>> from spinray.training import load_weights
    >>> path = pathlib.Path(tempfile.mkdtemp(), "weights.pt")
    >>> torch.save(torch.nn.Linear(2, 1).state_dict(), path)
    >>> load_weights(torch.nn.Linear(2, 3), path)
    Traceback (most recent call last):
        ...
    spinray.errors.InputError: network: the file is of another: 'weight' has shape (1, 2) in the file, (3, 2) ...
    """
    if not isinstance(network, torch.nn.Module):
        raise DtypeError(f"network: expected a torch.nn.Module, got {type(network).__name__}")
    content = _loaded(path)
    if content.get("format") == _FORMAT:
        content = content["network"] if content["left"] is None else content["left"]
    network = bare(network)
    difference = first_difference(content, network.state_dict())
    if difference:
        raise InputError(f"network: the file is of another: {difference}")
    network.load_state_dict(content)


def _loaded(path: Any) -> dict[str, Any]:
    file = existing_file(path, "a file of training.Checkpoint")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    # Damaged archives make torch, zipfile and pickle raise nearly anything.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileError(f"{file}: truncated, damaged, or not of plain values and tensors ({reason})") from None
    if not isinstance(content, dict):
        raise FileError(f"{file}: expected a dict of weights, got {type(content).__name__}")
    return content
