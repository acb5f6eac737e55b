"""The events a sequence is made of, and the operations that kernels run for each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ... import _checks
from ...errors import InputError
from . import _units

__all__ = ["RF", "Delay", "Event", "Inversion", "Readout", "ShapedRF", "Spoil", "T2Prep"]

# Codes of the operations; each takes two numbers.
PULSE, RELAX, SHIFT, CRUSH, INVERT, T2PREP, READ = range(7)

#: An operation: code, a, b.
Row: TypeAlias = tuple[int, float, float]


class Event:
    """One step of a sequence: `RF`, `ShapedRF`, `Delay`, `Readout`, `Spoil`, `Inversion` or `T2Prep`."""

    __slots__ = ()

    def _rows(self) -> Iterator[Row]:
        """Yield the operations (code, a, b) that kernels run for it."""
        raise NotImplementedError

    def _set(self, **fields: Any) -> None:
        """Put checked values into the frozen dataclass."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class RF(Event):
    """A hard pulse: instantaneous, the same for every frequency.

    Parameters
    ----------
    angle : float
        Flip angle in rad, in [-2 pi, 2 pi]; B1 multiplies it.
    phase : float, optional
        Phase in rad, in [-2 pi, 2 pi], of the transverse magnetisation it makes of M0.

    Raises
    ------
    InputError
        If a number is not finite or beyond a turn.
    DtypeError
        If an argument is not a real number.

    Examples
    --------
    >>> RF(angle=0.5)
    RF(angle=0.5, phase=0.0)
    """

    angle: float
    phase: float = 0.0

    def __post_init__(self) -> None:
        """Check the fields."""
        self._set(angle=_units.angle("angle", self.angle), phase=_units.angle("phase", self.phase))

    def _rows(self) -> Iterator[Row]:
        yield PULSE, self.angle, self.phase


@dataclass(frozen=True, eq=False)
class ShapedRF(Event):
    """A pulse of finite length, with a gradient that is constant meanwhile.

    Parameters
    ----------
    waveform : array_like, shape (n,)
        gamma B1 in rad/s, real or complex, constant over each step of `dt`; B1 multiplies it. Zeros make it a
        gradient alone: the rephaser of a slice.
    dt : float
        Length of a step in s.
    gradient : float, optional
        gamma G in rad/s per mm along the slice direction.
    phase : float, optional
        Phase in rad added to that of the waveform.

    Attributes
    ----------
    angle : float
        Flip angle in rad on resonance, ``sum(waveform) * dt`` (its modulus where the waveform is complex).
    duration : float
        ``n * dt`` in s.

    Raises
    ------
    InputError
        If the waveform is empty or not one-dimensional, a number is not finite, `dt` is not positive, the pulse is
        longer than 20 s, or the phase beyond a turn.
    DtypeError
        If an argument is not a number.

    Notes
    -----
    `mrf.bloch` integrates it; `mrf.epg` knows hard pulses alone and refuses it.

    Examples
    --------
    >>> import numpy as np
    >>> pulse = ShapedRF(np.full(100, np.pi / 2 / 1e-3), dt=1e-5)
    >>> round(pulse.angle, 6), pulse.duration
    (1.570796, 0.001)
    """

    waveform: Any
    dt: float
    gradient: float = 0.0
    phase: float = 0.0

    def __post_init__(self) -> None:
        """Check the fields and keep a read-only copy of the waveform in double."""
        given = _checks.finite("waveform", self.waveform)
        if given.ndim != 1 or given.size == 0:
            raise InputError(f"waveform: expected shape (n,) with at least one step, got {given.shape}")
        wide = np.array(self.waveform, np.complex128 if given.dtype.kind == "c" else np.float64)
        self._set(
            waveform=_units.read_only(wide),
            dt=_checks.positive("dt", self.dt),
            gradient=_checks.number("gradient", self.gradient),
            phase=_units.angle("phase", self.phase),
        )
        _units.time("dt", self.duration, what="a pulse of ")

    @property
    def duration(self) -> float:
        """Length of the pulse in s."""
        return self.waveform.size * self.dt

    @property
    def angle(self) -> float:
        """Flip angle in rad on resonance."""
        return self._hard()[0]

    def _hard(self) -> tuple[float, float]:
        """Return angle and phase of the hard pulse, in the middle, that does nearly the same on resonance."""
        turn = self.waveform.sum() * self.dt
        if self.waveform.dtype.kind == "f":
            return float(turn), self.phase
        return float(abs(turn)), self.phase + float(np.angle(turn))

    def _rows(self) -> Iterator[Row]:
        angle, phase = self._hard()
        if angle == 0:
            yield RELAX, self.duration, 0.0
            return
        yield RELAX, self.duration / 2, 0.0
        yield PULSE, angle, phase
        yield RELAX, self.duration / 2, 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ShapedRF):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        # A real waveform equals the complex one of the same numbers; adding 0 makes -0 the same as 0.
        return (self.waveform + 0j).tobytes(), self.dt, self.gradient, self.phase

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (np.array(self.waveform), self.dt, self.gradient, self.phase)


@dataclass(frozen=True, slots=True)
class Delay(Event):
    """Free precession and relaxation.

    Parameters
    ----------
    duration : float
        Time in s, >= 0.

    Raises
    ------
    InputError
        If the time is negative, not finite, or above 20 s.
    DtypeError
        If it is not a real number.

    Examples
    --------
    >>> Delay(0.01)
    Delay(duration=0.01)
    """

    duration: float

    def __post_init__(self) -> None:
        """Check the field."""
        self._set(duration=_units.time("duration", self.duration))

    def _rows(self) -> Iterator[Row]:
        yield RELAX, self.duration, 0.0


@dataclass(frozen=True, slots=True)
class Readout(Event):
    """Wait, then record one number.

    Parameters
    ----------
    te : float, optional
        Time in s from the event before to the sample, >= 0: after a pulse, the echo time.
    phase : float, optional
        Receiver phase p in rad, in [-2 pi, 2 pi]: F0 exp(-ip) is recorded.

    Raises
    ------
    InputError
        If the time is negative, not finite or above 20 s, or the phase beyond a turn.
    DtypeError
        If an argument is not a real number.

    Examples
    --------
    >>> Readout(te=0.002)
    Readout(te=0.002, phase=0.0)
    """

    te: float = 0.0
    phase: float = 0.0

    def __post_init__(self) -> None:
        """Check the fields."""
        self._set(te=_units.time("te", self.te), phase=_units.angle("phase", self.phase))

    def _rows(self) -> Iterator[Row]:
        yield RELAX, self.te, 0.0
        yield READ, self.phase, 0.0


@dataclass(frozen=True, slots=True)
class Spoil(Event):
    """A gradient that dephases the voxel.

    Parameters
    ----------
    n : int or math.inf, optional
        Dephasing over the voxel in units of 2 pi, not 0; negative unwinds. Infinity is a perfect spoiler: no
        transverse magnetisation is left that later pulses could refocus.
    duration : float, optional
        Time in s that the gradient is on, >= 0; spins relax, precess and diffuse meanwhile.

    Raises
    ------
    InputError
        If `n` is 0, or the time is negative, not finite or above 20 s.
    DtypeError
        If `n` is no integer, or the time not a real number.

    Examples
    --------
    >>> Spoil(n=2, duration=0.001)
    Spoil(n=2, duration=0.001)
    """

    n: int | float = 1
    duration: float = 0.0

    def __post_init__(self) -> None:
        """Check the fields."""
        n = self.n
        if not (isinstance(n, float) and n == math.inf):
            n = _checks.integer("n", n, hint="Whole turns of 2 pi per voxel; math.inf is a perfect spoiler")
        if n == 0:
            raise InputError("n: expected a number of turns other than 0, got 0. Use Delay(duration)")
        self._set(n=n, duration=_units.time("duration", self.duration))

    def _rows(self) -> Iterator[Row]:
        if self.n == math.inf:
            yield RELAX, self.duration, 0.0
            yield CRUSH, 0.0, 0.0
        else:
            yield SHIFT, float(self.n), self.duration


@dataclass(frozen=True, slots=True)
class Inversion(Event):
    """An inversion pulse, then a delay; transverse magnetisation is spoiled.

    Parameters
    ----------
    ti : float
        Time in s from the inversion to the next event, >= 0.
    efficiency : float, optional
        e in [0, 1] where Z becomes -e Z: 1 inverts, 0 saturates. B1 does not act on it.

    Raises
    ------
    InputError
        If the time is negative, not finite or above 20 s, or the efficiency outside [0, 1].
    DtypeError
        If an argument is not a real number.

    Examples
    --------
    >>> Inversion(ti=0.02)
    Inversion(ti=0.02, efficiency=1.0)
    """

    ti: float
    efficiency: float = 1.0

    def __post_init__(self) -> None:
        """Check the fields."""
        efficiency = _checks.positive("efficiency", self.efficiency, allow_zero=True)
        if efficiency > 1:
            raise InputError(f"efficiency: expected a number in [0, 1], got {self.efficiency}. Percent?")
        self._set(ti=_units.time("ti", self.ti), efficiency=efficiency)

    def _rows(self) -> Iterator[Row]:
        yield INVERT, self.efficiency, 0.0
        yield RELAX, self.ti, 0.0


@dataclass(frozen=True, slots=True)
class T2Prep(Event):
    """A T2 preparation: Z is tipped down, refocused, tipped back, and the rest spoiled.

    Parameters
    ----------
    te : float
        Time in s spent transverse, >= 0: Z becomes Z exp(-te / T2). Recovery meanwhile is neglected, and so are
        imperfect pulses.

    Raises
    ------
    InputError
        If the time is negative, not finite or above 20 s.
    DtypeError
        If it is not a real number.

    References
    ----------
    Brittain, Hu, Wright, Meyer, Macovski and Nishimura 1995, "Coronary angiography with magnetization-prepared T2
    contrast".

    Examples
    --------
    >>> T2Prep(te=0.04)
    T2Prep(te=0.04)
    """

    te: float

    def __post_init__(self) -> None:
        """Check the field."""
        self._set(te=_units.time("te", self.te))

    def _rows(self) -> Iterator[Row]:
        yield T2PREP, self.te, 0.0
