"""The signal of a sequence as a function of torch tensors, with its derivatives."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from .sequence import Sequence
from .signal import NAMES, broadcast, simulate

__all__ = ["epg"]


def epg(
    seq: Sequence,
    given: Listing[Any],
    diffusion: Any,
    n_states: int | None,
    derivatives: tuple[str, ...],
    progress: bool,
) -> Any:
    """Simulate for parameters of which at least one is a tensor; see `spinray.mri.mrf.epg`."""
    device = next(value.device for value in given if isinstance(value, Tensor))
    tensors = [_tensor(value, device) for value in given]
    dtype = torch.float32
    for value, tensor in zip(given, tensors, strict=True):
        weak = isinstance(value, (int, float)) and not isinstance(value, np.generic)
        dtype = dtype if weak else torch.promote_types(dtype, tensor.dtype)
    if not dtype.is_floating_point:
        raise InputError(f"t1: expected real numbers, got {dtype}")
    try:
        same = torch.broadcast_tensors(*(tensor.to(dtype) for tensor in tensors))
    except RuntimeError:
        shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in zip(NAMES, tensors, strict=True))
        raise InputError(f"t1: expected parameters that broadcast together, got {shapes}") from None
    options = (seq, diffusion, n_states, progress)
    signal: Tensor = _Signal.apply(*same, options)
    if not derivatives:
        return signal
    with torch.no_grad():
        return signal, _Jacobian.apply(*same, options, derivatives)


def _tensor(value: Any, device: torch.device) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return torch.as_tensor(np.asarray(value), device=device)


def _run(tensors: Listing[Tensor], options: tuple[Any, ...], derivatives: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    seq, diffusion, n_states, progress = options
    values = broadcast([tensor.numpy(force=True) for tensor in tensors], diffusion)
    device = tensors[0].device
    signal, jacobian = simulate(seq, values, n_states, derivatives, progress)
    return torch.from_numpy(signal).to(device), torch.from_numpy(jacobian).to(device)


class _Signal(torch.autograd.Function):
    """t1, t2, b1, off-resonance of one shape -> signal."""

    @staticmethod
    def forward(t1: Tensor, t2: Tensor, b1: Tensor, off_resonance: Tensor, options: tuple[Any, ...]) -> Tensor:
        return _run((t1, t2, b1, off_resonance), options, ())[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:4])
        ctx.save_for_forward(*inputs[:4])
        ctx.options = inputs[4]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        names = tuple(name for name, needed in zip(NAMES, ctx.needs_input_grad, strict=False) if needed)
        jacobian = _Jacobian.apply(*ctx.saved_tensors, ctx.options, names)
        # L changes by Re(conj(g) ds).
        parts = (gradient.conj().unsqueeze(-2) * jacobian).real.sum(-1)
        left = iter(parts.unbind(-1))
        return (*(next(left) if needed else None for needed in ctx.needs_input_grad[:4]), None)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        moved = [(name, t) for name, t in zip(NAMES, tangents, strict=False) if t is not None]
        jacobian = _Jacobian.apply(*ctx.saved_tensors, ctx.options, tuple(name for name, _ in moved))
        return (torch.stack([t for _, t in moved], -1).unsqueeze(-1) * jacobian).sum(-2)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        return _Signal.apply(*_mapped(info, in_dims, inputs[:4]), inputs[4]), 0


class _Jacobian(torch.autograd.Function):
    """The same parameters -> derivatives of the signal by some of them; has none itself."""

    @staticmethod
    def forward(
        t1: Tensor, t2: Tensor, b1: Tensor, off_resonance: Tensor, options: tuple[Any, ...], names: tuple[str, ...]
    ) -> Tensor:
        return _run((t1, t2, b1, off_resonance), options, names)[1]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, ...]:
        return (None,) * 6

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        return _Jacobian.apply(*_mapped(info, in_dims, inputs[:4]), *inputs[4:]), 0


def _mapped(info: Any, in_dims: tuple[Any, ...], tensors: Listing[Tensor]) -> list[Tensor]:
    """Make the mapped dimension the first of all: one call of the kernel."""
    moved = [
        t.movedim(d, 0) if d is not None else t.expand(info.batch_size, *t.shape)
        for t, d in zip(tensors, in_dims, strict=False)
    ]
    return list(torch.broadcast_tensors(*moved))
