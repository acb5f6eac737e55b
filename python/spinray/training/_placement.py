"""Batches as a network and a loss take them: pairs, of the network's precision, on its device."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from ..errors import DtypeError, InputError
from ._batches import tensors_of

__all__ = ["Placement", "criterion", "size_of"]


class Placement:
    """What a network wants of its data."""

    def __init__(self, network: torch.nn.Module) -> None:
        parameters = list(network.parameters())
        self._devices = sorted({p.device for p in parameters}, key=str)
        self._precisions = {p.dtype.to_real() for p in parameters if p.dtype.is_floating_point or p.dtype.is_complex}

    def of(self, name: str, batch: Any) -> tuple[tuple[Any, ...], Any]:
        """Return the inputs, as arguments of the network, and the target of a batch of the argument `name`.

        Tensors in the memory of the CPU go to the device of the network, if that has one.

        Raises
        ------
        DtypeError
            If the batch is no pair, or of another precision than the network.
        InputError
            If it is on another device.
        """
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            got = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, (tuple, list)) else _kind(batch)
            raise DtypeError(f"{name}: expected batches that are pairs (inputs, targets), got {got}")
        inputs, target = (
            self._placed(f"{name}: {what}", part) for what, part in zip(("inputs", "targets"), batch, strict=True)
        )
        return (inputs if isinstance(inputs, tuple) else (inputs,)), target

    def _placed(self, what: str, part: Any) -> Any:
        if isinstance(part, (tuple, list)):
            return tuple(self._placed(what, one) for one in part)
        if not isinstance(part, torch.Tensor):
            return part
        if part.dtype.is_floating_point or part.dtype.is_complex:
            precision = part.dtype.to_real()
            if precision not in self._precisions:
                own = ", ".join(sorted(map(str, self._precisions)))
                raise DtypeError(
                    f"{what} are {part.dtype}, the network's parameters {own}. Convert one: "
                    f"tensor.to({own}), or network.to({precision})"
                )
        if part.device in self._devices:
            return part
        if part.device.type == "cpu" and len(self._devices) == 1:
            return part.to(self._devices[0], non_blocking=True)
        own = ", ".join(map(str, self._devices))
        raise InputError(f"{what} are on {part.device}, the network on {own}. Move one: tensor.to('{own}')")


def _kind(batch: Any) -> str:
    if isinstance(batch, dict):
        return f"dict with {', '.join(map(repr, batch))}. Give ((b['x'], b['y']) for b in ...) by a class of your own"
    return type(batch).__name__


def criterion(function: Callable[..., Any]) -> Callable[[Any, Any, Any], Any]:
    """Return a loss or metric as a function of (output, target, inputs).

    One that has a parameter named ``inputs``, after those for output and target, is given the network's inputs by it.
    """
    called = function.forward if isinstance(function, torch.nn.Module) else function
    try:
        names = list(inspect.signature(called).parameters)
    except (TypeError, ValueError):  # built into the interpreter
        names = []
    if "inputs" not in names[2:]:
        return lambda output, target, inputs: function(output, target)
    return lambda output, target, inputs: function(output, target, inputs=inputs[0] if len(inputs) == 1 else inputs)


def size_of(inputs: tuple[Any, ...]) -> int:
    """Return the number of samples of a batch.

    Examples
    --------
    >>> size_of((torch.zeros(3, 2),))
    3
    """
    for leaf in tensors_of(inputs):
        if isinstance(leaf, torch.Tensor) and leaf.ndim:
            return len(leaf)
    return 1
