"""The signal of a sequence by isochromats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ... import _checks, _core, _tensors
from ..._progress import progress_bar
from ...errors import InputError
from ...operators.linear import is_tensor
from .events import ShapedRF
from .sequence import Sequence
from .signal import NAMES, broadcast, is_number

__all__ = ["bloch"]

#: Code of the operation that plays a shaped pulse: its number and phase follow.
_SHAPED = 7
#: Positions across the slice where none are given, and over how many nominal thicknesses they lie.
_POSITIONS, _THICKNESSES = 128, 2.0
#: T2' in s below which lines are wider than any gas's.
_SHORTEST = 1e-9


def bloch(
    seq: Sequence,
    t1: ArrayLike,
    t2: ArrayLike,
    b1: ArrayLike = 1.0,
    off_resonance: ArrayLike = 0.0,
    n_isochromats: int = 1000,
    *,
    t2_prime: ArrayLike | None = None,
    positions: ArrayLike | None = None,
    progress: bool = False,
) -> Any:
    """Simulate the echoes of a sequence by the Bloch equations of many spins.

    The magnetisation of a voxel is one at rest, M0 = 1, and made of isochromats that `Spoil` dephases evenly over
    2 pi n. A signal is the mean of their transverse magnetisation at each readout, decay until then included, less the
    phase of the receiver. The same as `epg` as long as no configuration state reaches order `n_isochromats`, and more:
    shaped pulses with gradients, and T2*.

    Parameters
    ----------
    seq : Sequence
        What is done.
    t1, t2 : array_like or torch.Tensor
        Relaxation times in s, T2 <= T1; broadcast with the others.
    b1 : array_like or torch.Tensor, optional
        What multiplies the angle of every pulse, hard or shaped.
    off_resonance : array_like or torch.Tensor, optional
        Frequency in Hz.
    n_isochromats : int, optional
        Spins at each position.
    t2_prime : array_like or torch.Tensor, optional
        T2' in s, 1/T2* = 1/T2 + 1/T2'; infinite: none. Off-resonance is then spread like a Lorentzian of full width
        1 / (pi T2') Hz: each isochromat has the frequency in the middle of an equal share of it. Decays come out to
        about 1.5 n_isochromats^(-3/4) of M0: 0.008 of 1000.
    positions : array_like, shape (n,), optional
        Positions in mm across the slice, whose signals are averaged: shaped pulses see their gradient times it. None
        is the middle for sequences without gradients; else 128 of them, even over twice the nominal thickness of the
        thickest slice: the full width at half maximum of the pulse's spectrum. A perfect slice fills half of that.
    progress : bool
        Show a progress bar.

    Returns
    -------
    ndarray or torch.Tensor, shape (..., n_echoes)
        complex128 if an array or tensor of the arguments is in double, else complex64. Has no gradient.

    Raises
    ------
    InputError
        If times are not positive, look like ms, or T2 > T1; if shapes do not broadcast, entries are not finite, a
        tensor requires a gradient, `n_isochromats` < 1, the slice profile of a sequence with shaped pulses has not
        an entry for each position, T2' < 1e-9 s, or samples of a shaped pulse are too long.
    DtypeError
        If an argument does not hold real numbers.

    Notes
    -----
    A sample of a shaped pulse is an exact rotation about the effective field between two halves of its relaxation;
    all samples together are one affine map, made once for each pulse, atom and frequency.

    References
    ----------
    F. Bloch, "Nuclear induction", Phys. Rev. 1946. B. Hargreaves, S. Vasanawala, J. Pauly and D. Nishimura,
    "Characterization and reduction of the transient response in steady-state MR imaging", MRM 2001 (affine maps).

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.mri import mrf
    >>> seq = mrf.Sequence.fisp(np.full(50, np.pi / 12), tr=0.01, te=0.002)
    >>> signal = mrf.bloch(seq, 1.0, 0.1)
    >>> bool(abs(signal - mrf.epg(seq, 1.0, 0.1)).max() < 1e-5)
    True

    A slice of 5 mm, excited by a pulse of 1 kHz, rephased and read:

    >>> t = np.linspace(-4, 4, 800)
    >>> sinc = np.sinc(t) * np.hanning(800)
    >>> gradient = 2 * np.pi * 1000 / 5
    >>> excite = mrf.ShapedRF(sinc * np.pi / 2 / (sinc.sum() * 1e-5), dt=1e-5, gradient=gradient)
    >>> rephase = mrf.ShapedRF(np.zeros(400), dt=1e-5, gradient=-gradient)
    >>> seq = mrf.Sequence([excite, rephase, mrf.Readout()])
    >>> [round(abs(complex(mrf.bloch(seq, 1.0, 1.0, positions=[x])[0])), 1) for x in (0.0, 1.0, 5.0)]
    [1.0, 1.0, 0.0]
    """
    if not isinstance(seq, Sequence):
        raise InputError(f"seq: expected a Sequence, got {type(seq).__name__}")
    given = (t1, t2, b1, off_resonance)
    tensor = next((value for value in (*given, t2_prime) if is_tensor(value)), None)
    values = [_without_gradient(name, value) for name, value in zip(NAMES, given, strict=True)]
    table = _table(broadcast(values, None), t2_prime)
    across, profile = _slice(seq, positions)
    spins = (_checks.integer("n_isochromats", n_isochromats, minimum=1), across, profile)
    program, shapes = _program(seq)
    with progress_bar("bloch", enable=progress) as report:
        hook: Callable[[int, int], None] | None = report if progress else None
        numbers = _core.bloch(program, shapes, table.reshape(5, -1), spins, hook)
    signal = numbers.view(np.result_type(numbers.dtype, np.complex64))[..., 0]
    return _tensors.like(tensor, signal.reshape(*table.shape[1:], seq.n_echoes))


def _without_gradient(name: str, value: Any) -> Any:
    return _tensors.entries(name, value) if is_tensor(value) else value


def _table(values: list[np.ndarray], t2_prime: Any) -> np.ndarray:
    """Return the parameters of atoms, T2' last, shape (5, ...)."""
    value = math.inf if t2_prime is None else _without_gradient("t2_prime", t2_prime)
    last = _checks.array("t2_prime", value, allow_complex=False, dtype=np.float64 if is_number(value) else None)
    usable = last >= _SHORTEST
    if not usable.all():
        raise InputError(f"t2_prime: expected at least {_SHORTEST:g} s, or infinity, got {float(last[~usable][0])}")
    try:
        shape = np.broadcast_shapes(values[0].shape, last.shape)
    except ValueError:
        shapes = f"{last.shape} and {values[0].shape}"
        raise InputError(f"t2_prime: expected a shape that broadcasts with the others, got {shapes}") from None
    dtype = values[0].dtype if is_number(value) else np.result_type(values[0], last)
    return np.stack([np.broadcast_to(value, shape).astype(dtype) for value in (*values, last)])


def _program(seq: Sequence) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], list[tuple[np.ndarray, float, float]]]:
    """Return the operations, and the pulses that those of code 7 play: each (waveform as (n, 2), dt, gradient)."""
    rows: list[tuple[float, float, float]] = []
    numbers: dict[ShapedRF, int] = {}
    for event in seq.events:
        if isinstance(event, ShapedRF):
            plain = ShapedRF(event.waveform, event.dt, event.gradient)
            rows.append((_SHAPED, numbers.setdefault(plain, len(numbers)), event.phase))
        else:
            rows.extend(event._rows())
    code, a, b = (np.ascontiguousarray(column) for column in np.array(rows, np.float64).reshape(-1, 3).T)
    return (code, a, b), [(_parts(pulse.waveform), pulse.dt, pulse.gradient) for pulse in numbers]


def _parts(waveform: np.ndarray) -> np.ndarray:
    return np.stack([waveform.real, waveform.imag], axis=1)


def _slice(seq: Sequence, positions: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in mm and what multiplies the angle of hard pulses at each."""
    profile = seq.slice_profile
    if positions is not None:
        across = _checks.doubles("positions", positions, shape=(None,))
    else:
        thickness = max(_thicknesses(seq), default=0.0)
        steps = (np.arange(_POSITIONS) + 0.5) / _POSITIONS - 0.5
        across = _THICKNESSES * thickness * steps if thickness else np.zeros(1 if profile is None else profile.size)
    if profile is None:
        return across, np.ones(across.size)
    if profile.size != across.size:
        found = f"{profile.size} entries and {across.size} positions"
        raise InputError(f"positions: expected one for each entry of the sequence's slice_profile, got {found}")
    return across, profile.astype(np.float64)


def _thicknesses(seq: Sequence) -> Iterator[float]:
    """Yield the nominal thickness in mm of the slice of every pulse that has one."""
    for pulse in {event for event in seq.events if isinstance(event, ShapedRF)}:
        if pulse.gradient and pulse.waveform.any():
            # Zero filling resolves the spectrum of a pulse that fills its window.
            n = 1 << (16 * pulse.waveform.size - 1).bit_length()
            spectrum = np.abs(np.fft.fft(pulse.waveform, n))
            yield 2 * math.pi * np.count_nonzero(spectrum >= spectrum.max() / 2) / (n * pulse.dt) / abs(pulse.gradient)
