"""How long a run is, and how much of it is behind."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..errors import InputError
from ._schedules import needs_length
from .config import Config

__all__ = ["Behind", "check_length", "reached", "share", "shown"]


class Behind(NamedTuple):
    """What of a run is done."""

    step: int
    #: Completed.
    epoch: int
    #: Batches of the epoch under way.
    batch: int
    seconds: float


def check_length(config: Config, n_batches: int | None, processes: int) -> None:
    """Refuse a run whose learning rate needs a length that nobody knows.

    Raises
    ------
    InputError
        Also for a time budget of several processes.
    """
    if config.seconds is not None and processes > 1:
        raise InputError("seconds: the clocks of several processes differ. Give epochs or steps")
    known = n_batches is not None or config.steps is not None or config.seconds is not None
    if needs_length(config.schedule, config.warm_up) and not known:
        raise InputError(
            f"schedule: {config.schedule!r} with warm_up={config.warm_up:g} goes by the length of the run, and the "
            "data do not tell theirs. Give steps or seconds"
        )


def share(config: Config, n_batches: int | None, behind: Behind) -> float:
    """Return the share of the run that is behind, in [0, 1].

    Examples
    --------
    >>> share(Config(epochs=2, steps=20), 10, Behind(step=5, epoch=0, batch=5, seconds=1.0))
    0.25
    """
    shares = [0.0]
    if config.steps is not None:
        shares.append(behind.step / config.steps)
    if config.epochs is not None:
        shares.append((behind.epoch + behind.batch / (n_batches or math.inf)) / config.epochs)
    if config.seconds is not None:
        shares.append(behind.seconds / config.seconds)
    return min(max(shares), 1.0)


def reached(config: Config, behind: Behind) -> str:
    """Return which limit of the run is reached, '' if none."""
    if config.epochs is not None and behind.epoch >= config.epochs:
        return "epochs"
    if config.steps is not None and behind.step >= config.steps:
        return "steps"
    if config.seconds is not None and behind.seconds >= config.seconds:
        return "seconds"
    return ""


def shown(config: Config, n_batches: int | None, behind: Behind) -> tuple[int, int]:
    """Return what a progress bar shows: how much is done, in steps or seconds, and of how much; 0 if unknown."""
    totals = [config.steps] if config.steps is not None else []
    if config.epochs is not None and n_batches is not None:
        totals.append(config.epochs * n_batches)
    if totals or config.seconds is None:
        return behind.step, min(totals, default=0)
    return min(int(behind.seconds), int(config.seconds)), int(config.seconds)
