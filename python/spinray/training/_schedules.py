"""Learning rates over a run, as closed forms of the share of it that is behind.

torch's schedulers count steps; a run that is given a number of seconds does not know how many it will make.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from .. import _checks
from ..errors import InputError

__all__ = ["check_schedule", "factor", "make_plateau", "needs_length"]

_OPTIONS: dict[str, dict[str, float]] = {
    "constant": {},
    "cosine": {"final": 0.0},
    "poly": {"power": 0.9},
    "one_cycle": {"start": 0.04, "peak": 0.3, "final": 4e-6},
    "step": {"every": 30, "factor": 0.1},
    "plateau": {},
}
_PLATEAU = ("factor", "patience", "threshold", "threshold_mode", "cooldown")


def check_schedule(name: Any, options: Mapping[str, Any]) -> None:
    """Refuse an unknown schedule, or options that it does not take.

    Raises
    ------
    InputError
        Naming what is accepted.
    """
    _checks.choice("schedule", name, tuple(_OPTIONS))
    accepted = _PLATEAU if name == "plateau" else tuple(_OPTIONS[name])
    for option, value in options.items():
        if option not in accepted:
            raise InputError(f"schedule_options: {name} takes {', '.join(accepted) or 'none'}, got {option!r}")
        if name != "plateau":
            _checks.positive(f"schedule_options[{option!r}]", value, allow_zero=option == "final")
    if name == "step" and "every" in options:
        _checks.integer("schedule_options['every']", options["every"], minimum=1)
    if name == "one_cycle" and not options.get("peak", 0.3) < 1:
        raise InputError(f"schedule_options['peak']: expected a share below 1, got {options['peak']}")


def needs_length(schedule: str, warm_up: float) -> bool:
    """Tell whether the learning rate depends on how much of the run is behind."""
    return warm_up > 0 or schedule in ("cosine", "poly", "one_cycle")


def factor(schedule: str, options: Mapping[str, Any], warm_up: float, share: float, epoch: int) -> float:
    """Return what the learning rate is multiplied with.

    Parameters
    ----------
    schedule, options, warm_up
        Of `Config`; 'plateau' gives 1, its factor is that of `make_plateau`.
    share
        Share of the run that is behind, in [0, 1].
    epoch
        Epochs that are behind.

    Examples
    --------
    >>> [round(factor("cosine", {}, 0.2, share, 0), 6) for share in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if share < warm_up:
        return share / warm_up
    s = (share - warm_up) / (1 - warm_up)
    of = {**_OPTIONS[schedule], **options}
    if schedule == "cosine":
        return _half_cosine(1.0, of["final"], s)
    if schedule == "poly":
        return (1 - s) ** of["power"]
    if schedule == "one_cycle":
        if s < of["peak"]:
            return _half_cosine(of["start"], 1.0, s / of["peak"])
        return _half_cosine(1.0, of["final"], (s - of["peak"]) / (1 - of["peak"]))
    if schedule == "step":
        return of["factor"] ** (epoch // of["every"])
    return 1.0


def _half_cosine(begin: float, end: float, s: float) -> float:
    """Return what lies between `begin` (s = 0) and `end` (s = 1), level at both."""
    return end + (begin - end) * (1 + math.cos(math.pi * s)) / 2


def make_plateau(options: Mapping[str, Any]) -> torch.optim.lr_scheduler.ReduceLROnPlateau:
    """Return torch's scheduler on a learning rate of 1, which becomes the factor.

    Raises
    ------
    InputError
        If torch refuses the value of an option.
    """
    try:
        return torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([torch.zeros(1)], lr=1.0), **options)
    except (TypeError, ValueError) as error:
        raise InputError(f"schedule_options: {error}") from None
