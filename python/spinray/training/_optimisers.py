"""The optimisers of torch by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from .. import _checks
from ..errors import InputError

if TYPE_CHECKING:
    from .config import Config

__all__ = ["check_optimiser", "make_optimiser"]

_CLASSES: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "lbfgs": torch.optim.LBFGS,
}


def check_optimiser(name: Any, options: Mapping[str, Any], weight_decay: float) -> None:
    """Refuse an optimiser that there is not; what values it takes is torch's to say, in `make_optimiser`.

    Raises
    ------
    InputError
        If there is none of that name, or it takes no such option or weight decay.
    """
    kind = _CLASSES[_checks.choice("optimiser", name, tuple(_CLASSES))]
    accepted = [argument for argument in inspect.signature(kind).parameters if argument not in _OWN]
    for option in options:
        if option not in accepted:
            raise InputError(f"optimiser_options: {name} takes {', '.join(accepted)}, got {option!r}")
    if name == "lbfgs" and weight_decay:
        raise InputError(f"weight_decay: lbfgs takes none, got {weight_decay}. Add the penalty to the loss")


#: Arguments that have a field of their own, or are decided here.
_OWN = ("params", "lr", "weight_decay", "fused")


def make_optimiser(config: Config, parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimiser of a configuration for some parameters.

    Raises
    ------
    InputError
        If torch refuses the value of an option.
    """
    options: dict[str, Any] = {"lr": config.learning_rate, **config.optimiser_options}
    if config.optimiser != "lbfgs":
        options["weight_decay"] = config.weight_decay
    if config.optimiser in ("adam", "adamw") and not {"foreach", "capturable", "differentiable"} & options.keys():
        options["fused"] = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)
    try:
        return _CLASSES[config.optimiser](parameters, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"optimiser_options: {error}, got {dict(config.optimiser_options)}") from None
