"""What every network has: a spec to build it anew, checks of what comes in, weights that load or say why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ...errors import DtypeError, InputError
from ...operators import LinearOperator

__all__ = ["Architecture", "convolution", "crop", "pad_to_multiple"]


class Architecture(torch.nn.Module):
    """Base of the networks: a module that knows the arguments it was made with.

    A network registers its submodules in the order in which they are used and defines ``compute``; one that takes
    other input than one image also defines ``check``.

    Attributes
    ----------
    spec : dict
        Arguments of the constructor, plain values: ``type(network)(**network.spec)`` has the same layers. Networks
        with an operator take it besides, and the unrolled ones their start:
        ``type(network)(network.operator, start=network.start, **network.spec)``.
    """

    #: What `forward` does for input that has been checked.
    compute: Callable[..., Any]
    #: Channels and space dimensions of the input that `check` expects.
    _input: tuple[int, int]
    #: Least size along each space dimension of that input.
    _least: int = 1

    def __init__(self, **spec: Any) -> None:
        super().__init__()
        self.spec = spec

    @property
    def operators(self) -> tuple[LinearOperator, ...]:
        """What the network in Rust computes with besides its weights."""
        return ()

    def runs_natively(self) -> bool:
        """Tell whether the network in Rust can stand in for this call."""
        return True

    def forward(self, x: torch.Tensor) -> Any:
        """Check the input and return what the network makes of it."""
        self.check(x)
        return self.compute(x)

    def check(self, *inputs: torch.Tensor) -> None:
        """Raise unless the input is one tensor of shape (batch, channels, ...) in the precision of the weights.

        Raises
        ------
        InputError
            If the number of inputs, of dimensions or of channels is another one, or the image is too small.
        DtypeError
            If the input is no tensor, or its dtype or device is not that of the weights.
        """
        self._check_tensors(inputs, "x")
        (x,) = inputs
        channels, dim = self._input
        if x.ndim != dim + 2 or x.shape[1] != channels:
            axes = ", ".join(("samples",) if dim == 1 else ("z", "y", "x")[3 - dim :])
            raise InputError(f"x: expected shape (batch, {channels}, {axes}) for {self._name}, got {tuple(x.shape)}")
        if any(size < self._least for size in x.shape[2:]):
            raise InputError(f"x: expected sizes of at least {self._least} for {self._name}, got {tuple(x.shape[2:])}")
        self._check_kind("x", x)

    def _check_tensors(self, inputs: tuple[Any, ...], *names: str) -> None:
        """Raise unless there is one tensor for each name."""
        if len(inputs) != len(names):
            raise InputError(f"{self._name}: expected {len(names)} input{'s' * (len(names) > 1)}, got {len(inputs)}")
        for name, x in zip(names, inputs, strict=True):
            check_tensor(name, x)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check_kind(self, name: str, x: torch.Tensor) -> None:
        """Raise unless `x` has the dtype (autocast aside) and the device of the weights."""
        weight = next(self.parameters())
        if x.device != weight.device:
            raise DtypeError(f"{name}: is on {x.device}, the network on {weight.device}. Use {name}.to(...) of one")
        if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
            raise DtypeError(f"{name}: is {x.dtype}, the network {weight.dtype}. Use {name}.to({weight.dtype})")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights as `torch.nn.Module.load_state_dict` does.

        Raises
        ------
        InputError
            If `strict` and the weights are those of another network; names the first entry that differs.
        """
        if strict:
            check_entries(self, state_dict)
        return super().load_state_dict(state_dict, strict, assign)


def check_tensor(name: str, x: object) -> None:
    """Raise DtypeError unless `x` is a tensor."""
    if not isinstance(x, torch.Tensor):
        raise DtypeError(f"{name}: expected a torch tensor, got {type(x).__name__}")


def check_entries(network: torch.nn.Module, state_dict: Mapping[str, Any]) -> None:
    """Raise InputError, with the first entry that differs, unless names and shapes are those of `network`."""
    own = network.state_dict()
    for name, value in own.items():
        if name not in state_dict:
            raise InputError(f"state_dict: has no {name!r}, which {type(network).__name__} needs")
        given = getattr(state_dict[name], "shape", None)
        if isinstance(value, torch.Tensor) and given != value.shape:
            wanted, found = tuple(value.shape), None if given is None else tuple(given)
            raise InputError(f"state_dict: {name!r} has shape {found}, {type(network).__name__} needs {wanted}")
    for name in state_dict:
        if name not in own:
            raise InputError(f"state_dict: {name!r} is no entry of {type(network).__name__}")


def convolution(dim: int, transposed: bool = False) -> Any:
    """Return torch's convolution layer of that many space dimensions."""
    name = "ConvTranspose" if transposed else "Conv"
    return getattr(torch.nn, f"{name}{dim}d")


def pad_to_multiple(x: torch.Tensor, factor: int) -> torch.Tensor:
    """Repeat the last rows, columns (and slices) until each size is a multiple of `factor`."""
    excess = [-size % factor for size in x.shape[2:]]
    if not any(excess):
        return x
    # torch counts from the last dimension.
    return torch.nn.functional.pad(x, [n for size in reversed(excess) for n in (0, size)], mode="replicate")


def crop(y: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Return the part of `y` that lies over an image of that size (its space dimensions)."""
    for axis, n in enumerate(size, start=2):
        # A part that is the whole would still cost a copy in the backward pass.
        y = y if y.shape[axis] == n else y.narrow(axis, 0, n)
    return y
