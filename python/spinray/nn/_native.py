"""Networks whose forward pass runs in Rust: when it does, and how the call is made.

Python owns the weights; ``spinray._torch`` is a function of (spec, weights and buffers, inputs, training). It knows the
layers a network was made with. Whatever has been changed since (a layer replaced, set otherwise, frozen in evaluation
mode, parametrised, hooked) and whatever traces Python code (``torch.compile``, ``torch.func``) gets the plain PyTorch
twin.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import operator
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import torch

from .. import _checks
from ..config import _pinned_torch
from ._operators import native_operator
from .reference._architecture import Architecture

__all__ = ["Backend", "Native", "libtorch"]

Backend = Literal["auto", "libtorch", "torch"]


@functools.cache
def libtorch() -> Any:
    """Return the module ``spinray._torch``.

    Raises
    ------
    ImportError
        If this installation came without it, or torch is another version than it was built for.
    """
    pinned = _pinned_torch()
    if not f"{torch.__version__}.".startswith(pinned.removesuffix("*")):
        raise ImportError(f"spinray._torch needs torch {pinned}, found {torch.__version__}. Install torch=={pinned}")
    try:
        return importlib.import_module("spinray._torch")
    except ModuleNotFoundError as error:
        raise ImportError(
            "this installation of spinray came without spinray._torch: "
            f"install torch=={pinned} first, then spinray with pip's --no-build-isolation"
        ) from error


@functools.cache
def _libtorch_if_there() -> Any:
    """Return the module, or None after one warning that says why not."""
    try:
        return libtorch()
    except ImportError as error:
        warnings.warn(f"networks run in PyTorch instead of Rust: {error}", stacklevel=4)
        return None


class Native(Architecture):
    """Puts the Rust network before its twin: ``class UNet(Native, reference.UNet)``.

    Attributes
    ----------
    backend : str
        ``"auto"``: Rust where it is built, else PyTorch; ``"libtorch"``: Rust or an ImportError; ``"torch"``: PyTorch.
    """

    backend: Backend
    __signature__: inspect.Signature | None
    _kind: str
    _kernel: Any
    _layers: list[torch.nn.Module]
    _parts: list[torch.nn.Module | None]
    _settings: list[Any]
    _tables: _Tables | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give a network the twin's documentation and signature, with `backend` added; leave its subclasses alone."""
        super().__init_subclass__(**kwargs)
        if cls.__bases__[0] is not Native:
            if "__init__" in vars(cls):
                cls.__signature__ = None
            return
        cls._kind = cls.__name__
        twin = cls.__mro__[2]
        signature = inspect.signature(twin)
        backend = inspect.Parameter("backend", inspect.Parameter.KEYWORD_ONLY, default="auto", annotation="Backend")
        cls.__signature__ = signature.replace(parameters=[*signature.parameters.values(), backend])
        text = (
            "backend\n"
            '    ``"auto"``: Rust (LibTorch) where this installation has it, else PyTorch; ``"libtorch"``: Rust,\n'
            '    or an ImportError; ``"torch"``: PyTorch.'
        )
        before, heading, after = inspect.cleandoc(twin.__doc__ or "").partition("\n\nRaises\n")
        cls.__doc__ = f"{before}\n{text}{heading}{after}" if heading else before

    def __init__(self, *args: Any, backend: Backend = "auto", **kwargs: Any) -> None:
        self_backend = _checks.choice("backend", backend, ("auto", "libtorch", "torch"))
        super().__init__(*args, **kwargs)
        self.backend = self_backend
        self._kernel = None
        # Plain lists: copies and pickles keep them in step with the layers themselves.
        self._layers = list(self.modules())[1:]
        tables = _Tables(self, self._layers)
        self._parts, self._settings = tables.parts(), tables.settings()
        self._tables = None
        if backend == "libtorch":
            libtorch()

    def compute(self, *inputs: torch.Tensor) -> Any:
        """Do `forward` for input that has been checked, in Rust where that is possible."""
        if self.backend == "torch" or _is_watched() or not self.runs_natively():
            return super().compute(*inputs)
        module = _libtorch_if_there()
        if module is None:
            return super().compute(*inputs)
        tensors = self._tensors()
        if tensors is None:
            return super().compute(*inputs)
        if self._kernel is None:
            self._kernel = self._make_kernel(module)
        outputs = self._kernel(tensors, inputs, self.training)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _make_kernel(self, module: Any) -> Any:
        """Return the Rust network."""
        operators = [native_operator(module, A) for A in self.operators]
        return module.Network(self._kind, self.spec, operators)

    def _tensors(self) -> list[torch.Tensor] | None:
        """Return weights and buffers in the order of the state dict; None if the layers are not as they were made."""
        if self._tables is None:
            self._tables = _Tables(self, self._layers)
        tables = self._tables
        same = tables.all_in(self.training) and tables.parts() == self._parts and tables.settings() == self._settings
        return tables.tensors() if same else None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made anew when needed: the native object, and what looks into the layers."""
        return {**self.__dict__, "_kernel": None, "_tables": None}

    def extra_repr(self) -> str:
        """What ``repr`` adds to the layers."""
        return ", ".join(f"{name}={value!r}" for name, value in [*self.spec.items(), ("backend", self.backend)])


class _Tables:
    """Looks into a network's layers without a loop in Python: tiny networks wait for this.

    Parameters
    ----------
    network : torch.nn.Module
        Of which no reference is kept.
    layers : list of torch.nn.Module
        All below it, each before its own parts.
    """

    def __init__(self, network: torch.nn.Module, layers: list[torch.nn.Module]) -> None:
        every = [network, *layers]
        self._states = [layer.__dict__ for layer in layers]
        self._hooks = [getattr(layer, name) for layer in layers for name in _HOOKS]
        self._tensors = [table for layer in every for table in (layer._parameters, layer._buffers)]
        self._modules = [layer._modules for layer in every]
        # torch names what its layers compute with besides weights in a list made for TorchScript.
        named = [(getattr(layer, "__constants__", ()), layer.__dict__) for layer in layers]
        self._settings = [(operator.itemgetter(*names), state) for names, state in named if names]

    def parts(self) -> list[torch.nn.Module | None]:
        """Return the parts of the network and of each layer, as they are now."""
        return list(_values(self._modules))

    def settings(self) -> list[Any]:
        """Return what the layers compute with besides weights, as it is now."""
        return [get(state) for get, state in self._settings]

    def all_in(self, training: bool) -> bool:
        """Tell whether all layers are in that mode and none has a hook."""
        return not any(self._hooks) and set(map(_MODE, self._states)) <= {training}

    def tensors(self) -> list[torch.Tensor]:
        """Return all weights and buffers, in the order of the state dict."""
        return [value for value in _values(self._tensors) if value is not None]


_MODE = operator.itemgetter("training")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _values(tables: list[dict[str, Any]]) -> Iterator[Any]:
    return itertools.chain.from_iterable(map(dict.values, tables))


def _is_watched() -> bool:
    """Whether something follows each operation: a compiler, a transform, tangents, or hooks on what autograd saves.

    Such hooks may raise through the layers (checkpointing ends a recomputation so), which Rust would not pass on.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch.autograd.forward_ad._current_level >= 0
        or torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
    )
