"""The signal of a sequence by extended phase graphs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Sequence as Listing
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ... import _checks, _core
from ..._progress import progress_bar
from ...errors import InputError
from ...operators.linear import is_tensor
from . import _units
from .events import ShapedRF
from .sequence import Sequence

__all__ = ["epg"]

_log = logging.getLogger("spinray.mri")

#: What signals depend on and can be derived by, in the order of the kernel.
NAMES = ("t1", "t2", "b1", "off_resonance")
#: Relative B1 above it was meant in percent.
_MOST_B1 = 10.0


def epg(
    seq: Sequence,
    t1: ArrayLike,
    t2: ArrayLike,
    b1: ArrayLike = 1.0,
    off_resonance: ArrayLike = 0.0,
    *,
    diffusion: ArrayLike | None = None,
    n_states: int | None = None,
    derivatives: Listing[str] = (),
    progress: bool = False,
) -> Any:
    """Simulate the echoes of a sequence by extended phase graphs.

    The magnetisation of a voxel is one at rest, M0 = 1. It is followed as configuration states: transverse F_k and
    longitudinal Z_k, dephased by k times the unit of `Spoil`. A pulse of angle a and phase p makes sin(a) exp(ip) of
    M0; the signal is F_0 at each readout, decay until then included, less the phase of the receiver. All states that
    can reach an echo are followed, and no others.

    Parameters
    ----------
    seq : Sequence
        What is done.
    t1, t2 : array_like or torch.Tensor
        Relaxation times in s, T2 <= T1; broadcast with the others.
    b1 : array_like or torch.Tensor, optional
        What multiplies the angle of every pulse.
    off_resonance : array_like or torch.Tensor, optional
        Frequency in Hz.
    diffusion : array_like, optional
        Isotropic diffusion coefficient in mm^2/s; needs the `dephasing` of the sequence.
    n_states : int, optional
        Leave out states with k >= n_states. The most that this costs any echo is logged (level INFO, logger
        "spinray.mri").
    derivatives : sequence of {"t1", "t2", "b1", "off_resonance"}, optional
        Return the derivatives by these as well, computed in the same pass.
    progress : bool
        Show a progress bar.

    Returns
    -------
    signal : ndarray or torch.Tensor, shape (..., n_echoes)
        complex128 if an array or tensor of the arguments is in double, else complex64. A tensor, with gradients to
        t1, t2, b1 and off_resonance, if one of these is.
    jacobian : ndarray or torch.Tensor, shape (..., n_derivatives, n_echoes)
        Only with `derivatives`: per s, per unit of B1, per Hz. Has no gradient.

    Raises
    ------
    InputError
        If times are not positive, look like ms, or T2 > T1; if shapes do not broadcast, entries are not finite, a
        derivative is unknown, `n_states` < 1, the sequence has a shaped pulse (see `bloch`), or diffusion is given to a
        sequence without `dephasing`.
    DtypeError
        If an argument does not hold real numbers.

    References
    ----------
    M. Weigel, "Extended phase graphs: dephasing, RF pulses, and echoes - pure and simple", JMRI 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.mri import mrf
    >>> seq = mrf.Sequence.fisp(np.full(100, np.pi / 12), tr=0.01, te=0.002)
    >>> signal = mrf.epg(seq, t1=np.float32([1.0, 1.5]), t2=np.float32([0.08, 0.1]))
    >>> signal.shape, signal.dtype
    ((2, 100), dtype('complex64'))
    >>> signal, jacobian = mrf.epg(seq, 1.0, 0.1, derivatives=("t1", "t2"))
    >>> jacobian.shape
    (2, 100)
    """
    check_sequence(seq)
    wanted = tuple(_checks.choice("derivatives", name, NAMES) for name in derivatives)
    if len(set(wanted)) < len(wanted):
        raise InputError(f"derivatives: expected each name once, got {wanted}")
    states = None if n_states is None else _checks.integer("n_states", n_states, minimum=1)
    given = (t1, t2, b1, off_resonance)
    if any(is_tensor(value) for value in given):
        from . import signal_torch

        return signal_torch.epg(seq, given, diffusion, states, wanted, progress)
    values = broadcast(given, diffusion)
    signal, jacobian = simulate(seq, values, states, wanted, progress)
    return (signal, jacobian) if wanted else signal


def check_sequence(seq: Any) -> None:
    """Refuse what is no sequence, or has pulses that only isochromats follow."""
    if not isinstance(seq, Sequence):
        raise InputError(f"seq: expected a Sequence, got {type(seq).__name__}")
    if any(isinstance(event, ShapedRF) for event in seq.events):
        raise InputError("seq: has shaped pulses, which states of whole orders do not describe. Use mrf.bloch")


def columns(seq: Sequence) -> tuple[Any, ...]:
    """Return the sequence as kernels take it."""
    profile = np.ones(1) if seq.slice_profile is None else seq.slice_profile
    return (*seq._ops(), profile, seq.dephasing or 0.0)


def is_number(value: Any) -> bool:
    """Whether a parameter is a plain number, which takes the precision of the arrays beside it."""
    return isinstance(value, (int, float)) and not isinstance(value, np.generic)


def checked(name: str, value: Any) -> np.ndarray:
    """Return one parameter of atoms, any shape: a number in single precision, an array in its own."""
    result = _checks.array(name, value, allow_complex=False, dtype=np.float32 if is_number(value) else None)
    if result.size == 0:
        return result
    result = _checks.finite(name, result)
    low, high = float(result.min()), float(result.max())
    if name in ("t1", "t2"):
        for extreme in (low, high):
            _units.time(name, extreme, allow_zero=False)
    elif name == "b1" and not 0 <= low <= high <= _MOST_B1:
        bad = low if low < 0 else high
        raise InputError(f"b1: expected relative values in [0, {_MOST_B1:g}], 1 as prescribed, got {bad}. Percent?")
    elif name == "diffusion" and low < 0:
        raise InputError(f"diffusion: expected coefficients in mm^2/s of at least 0, got {low}")
    return result


def broadcast(given: Listing[Any], diffusion: Any) -> list[np.ndarray]:
    """Return t1, t2, b1, off_resonance and perhaps diffusion, of one shape and precision."""
    names = NAMES if diffusion is None else (*NAMES, "diffusion")
    values = given if diffusion is None else (*given, diffusion)
    arrays = [checked(name, value) for name, value in zip(names, values, strict=True)]
    dtype = np.result_type(*arrays)
    # Numbers beside arrays in double do not go by way of single precision.
    arrays = [
        np.asarray(value, dtype) if is_number(value) else array for value, array in zip(values, arrays, strict=True)
    ]
    try:
        same = np.broadcast_arrays(*arrays)
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(names, arrays, strict=True))
        raise InputError(f"t1: expected parameters that broadcast together, got {shapes}") from None
    if (same[1] > same[0]).any():
        first = tuple(int(i) for i in np.argwhere(same[1] > same[0])[0])
        found = f"T1 = {float(same[0][first])} s, T2 = {float(same[1][first])} s"
        raise InputError(f"t2: expected T2 <= T1, got {found}" + (f" at index {first}" if first else ""))
    return [np.ascontiguousarray(array, dtype).reshape(array.shape) for array in same]


def simulate(
    seq: Sequence, values: list[np.ndarray], n_states: int | None, derivatives: tuple[str, ...], progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return signals (..., n_echoes) and derivatives (..., n_derivatives, n_echoes) of checked parameters."""
    shape = values[0].shape
    table: list[np.ndarray | None] = [value.ravel() for value in values]
    if len(table) == len(NAMES):
        table.append(None)
    elif seq.dephasing is None:
        raise InputError(
            "seq: has no dephasing, which diffusion needs. Pass dephasing= (rad/mm per unit of Spoil) to it"
        )
    # On resonance the states of many sequences are real.
    if not values[3].any() and "off_resonance" not in derivatives:
        table[3] = None
    with progress_bar("epg", enable=progress) as report:
        hook: Callable[[int, int], None] | None = report if progress else None
        result, bound = _core.epg(columns(seq), table, list(derivatives), n_states, True, hook)
    if n_states is not None:
        _log.info("with %d states, echoes are off by at most %.3g of M0", n_states, bound)
    numbers = result.view(np.result_type(result.dtype, np.complex64))[..., 0]
    signal = np.ascontiguousarray(numbers[:, 0]).reshape(*shape, seq.n_echoes)
    return signal, numbers[:, 1:].reshape(*shape, len(derivatives), seq.n_echoes)
