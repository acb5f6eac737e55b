"""How to train: plain values, checked where they are written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .. import _checks
from ..errors import DtypeError, InputError
from ._optimisers import check_optimiser
from ._schedules import check_schedule

__all__ = ["Config"]

_PRECISIONS = ("full", "bfloat16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """How to train a network: optimiser, schedule, length of the run, and what keeps it from going wrong.

    At least one of `epochs`, `steps` and `seconds` says how long; the first that is reached ends the run.

    Parameters
    ----------
    optimiser : {'adam', 'adamw', 'sgd', 'rmsprop', 'lbfgs'}
        One of ``torch.optim``; Adam and AdamW in their fused form where the parameters allow it. L-BFGS evaluates each
        batch several times in one step, and layers that keep statistics see it as often.
    learning_rate : float
        The highest of the schedule.
    optimiser_options : mapping
        Further arguments of the optimiser, by torch's names: ``{"momentum": 0.9}``, ``{"betas": (0.9, 0.99)}``.
    weight_decay : float
        torch's: an L2 penalty of half this weight, or with 'adamw' a decay apart from the gradient.
    l1 : float
        Weight of the sum of the absolute values of all trainable parameters, added to the loss that is minimised; the
        losses of the history are without it.
    schedule : {'constant', 'cosine', 'step', 'plateau', 'one_cycle', 'poly'}
        How the learning rate goes over the run, see Notes.
    schedule_options : mapping
        Its arguments, see Notes.
    warm_up : float
        Share of the run, in [0, 1), over which the learning rate first grows from 0; the schedule follows it.
    epochs, steps : int, optional
        Passes through the data, and optimiser steps.
    seconds : float, optional
        Time budget, validation included. The step under way is finished, and the last validation comes on top.
    batch_size : int
        Samples of a batch, where `fit` forms them: of tensors and of a ``Dataset``.
    clip_norm : float, optional
        Gradients are scaled down to this Euclidean norm of all together.
    patience : int, optional
        Stop after this many epochs without a lower loss: of the validation data, or of the training data without them.
    min_delta : float
        What a loss must be lower by to count for `patience`.
    average : float, optional
        Decay d in [0, 1) of an exponential moving average of the parameters, a <- d a + (1 - d) p after each step,
        begun with the parameters after the first. Validation and the network returned then use the average.
    precision : {'full', 'bfloat16'}
        'bfloat16' trains under ``torch.autocast``.
    validation_precision : {'full', 'bfloat16'}
        The same for validation.
    seed : int
        Of the order of samples, and of all that draws from the generators of torch, NumPy and Python while training
        (dropout, augmentation). The caller's generators are left as they were.

    Raises
    ------
    InputError
        If a value is none of these, or no length is given.
    DtypeError
        If a value has an unusable type.

    Notes
    -----
    Let s in [0, 1] be the share of the run that is behind: of its steps, epochs or seconds, whichever is largest. The
    learning rate is multiplied with

    ========= ==================================================== ==========================================
    constant  1
    cosine    f + (1 - f) (1 + cos(pi s)) / 2                      ``final``: f = 0
    poly      (1 - s)^p                                            ``power``: p = 0.9
    one_cycle half cosines from a to 1 at s = m, then to f         ``start``: a = 0.04, ``peak``: m = 0.3,
                                                                   ``final``: f = 4e-6
    step      g^floor(epoch / e)                                   ``every``: e = 30 epochs, ``factor``: g = 0.1
    plateau   as ``torch.optim.lr_scheduler.ReduceLROnPlateau``    its ``factor``, ``patience``, ``threshold``,
                                                                   ``threshold_mode``, ``cooldown``
    ========= ==================================================== ==========================================

    Cosine: Loshchilov and Hutter 2017 (ICLR, eq. 5, one period); one-cycle: Smith and Topin 2019 (Proc. SPIE 11006);
    poly: Chen et al. 2018 (IEEE TPAMI 40, 834). Average of weights: Polyak and Juditsky 1992 (SIAM J. Control Optim.
    30, 838), exponential.

    Examples
    --------
    >>> from spinray.training import Config
    >>> Config(epochs=20, optimiser="adamw", learning_rate=2e-4, schedule="cosine", warm_up=0.05).batch_size
    32
    """

    optimiser: str = "adam"
    learning_rate: float = 1e-3
    optimiser_options: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    weight_decay: float = 0.0
    l1: float = 0.0
    schedule: str = "constant"
    schedule_options: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    warm_up: float = 0.0
    epochs: int | None = None
    steps: int | None = None
    seconds: float | None = None
    batch_size: int = 32
    clip_norm: float | None = None
    patience: int | None = None
    min_delta: float = 0.0
    average: float | None = None
    precision: str = "full"
    validation_precision: str = "full"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("optimiser_options", "schedule_options"):
            if not isinstance(given := getattr(self, name), Mapping):
                raise DtypeError(f"{name}: expected a dict, got {given!r}")
            self._keep(name, dict(given))
        self._keep("learning_rate", _checks.positive("learning_rate", self.learning_rate))
        for name in ("weight_decay", "l1", "min_delta"):
            self._keep(name, _checks.positive(name, getattr(self, name), allow_zero=True))
        for name in ("epochs", "steps", "patience"):
            if getattr(self, name) is not None:
                self._keep(name, _checks.integer(name, getattr(self, name), minimum=1))
        for name in ("seconds", "clip_norm"):
            if getattr(self, name) is not None:
                self._keep(name, _checks.positive(name, getattr(self, name)))
        self._keep("batch_size", _checks.integer("batch_size", self.batch_size, minimum=1))
        self._keep("seed", _checks.integer("seed", self.seed, minimum=0))
        self._keep("warm_up", _share("warm_up", self.warm_up))
        if self.average is not None:
            self._keep("average", _share("average", self.average))
        _checks.choice("precision", self.precision, _PRECISIONS)
        _checks.choice("validation_precision", self.validation_precision, _PRECISIONS)
        if self.epochs is None and self.steps is None and self.seconds is None:
            raise InputError("epochs: expected a number of epochs, steps or seconds, got none. Give epochs=20")
        check_optimiser(self.optimiser, self.optimiser_options, self.weight_decay)
        check_schedule(self.schedule, self.schedule_options)

    def _keep(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _share(name: str, value: Any) -> float:
    """Return a number in [0, 1)."""
    share = _checks.positive(name, value, allow_zero=True)
    if share >= 1:
        raise InputError(f"{name}: expected a number in [0, 1), got {value}")
    return share
