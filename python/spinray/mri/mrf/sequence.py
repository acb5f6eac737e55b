"""Pulse sequences: what is done to the spins, in order.

A `Sequence` is a tuple of events. Angles in rad, times in s. A pulse of angle a and phase p turns magnetisation along z
so that M0 gives F0 = sin(a) exp(ip) and Z = cos(a); during a time t with off-resonance f, F0 gains exp(2 pi i f t); a
readout records F0 exp(-i receiver phase). One unit of `Spoil` dephases a voxel by 2 pi.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ... import _checks
from ...errors import DtypeError, InputError
from . import _units
from .events import PULSE, READ, RELAX, RF, SHIFT, T2PREP, Delay, Event, Inversion, Readout, ShapedRF, Spoil

__all__ = ["Sequence"]

#: Phases this close (rad) to 0 or pi are.
_SAME_PHASE = 1e-9


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Sequence:
    """Events in the order they are played out.

    Build one event by event, or by `fisp`, `bssfp`, `spgr` and `mese`. Immutable and picklable; ``a + b`` plays one
    after the other, ``len`` counts events.

    Parameters
    ----------
    events : iterable of Event
        `RF`, `ShapedRF`, `Delay`, `Readout`, `Spoil`, `Inversion`, `T2Prep`, at least one, in any order.
    slice_profile : array_like, optional
        Relative flip angles at positions across the slice, shape (n,): every hard pulse is played at each of them
        and signals are averaged. None is an ideal slice.
    dephasing : float, optional
        Dephasing in rad/mm that one unit of `Spoil` makes, 2 pi / voxel size; diffusion needs it.

    Raises
    ------
    InputError
        If there is no event, the profile is empty, or a number is not finite.
    DtypeError
        If an entry is no event.

    Examples
    --------
    >>> import numpy as np
    >>> shot = [RF(np.pi / 6), Readout(te=0.002), Spoil(duration=0.01)]
    >>> seq = Sequence([Inversion(ti=0.02), *shot, *shot])
    >>> seq
    Sequence(7 events, 2 pulses, 2 echoes, 0.044 s)
    >>> seq.echo_times
    array([0.022, 0.034])
    """

    events: tuple[Event, ...]
    slice_profile: np.ndarray | None = None
    dephasing: float | None = None

    def __init__(
        self, events: Iterable[Event], slice_profile: ArrayLike | None = None, dephasing: float | None = None
    ) -> None:
        if isinstance(events, (Event, Sequence)) or not isinstance(events, Iterable):
            raise DtypeError(f"events: expected a list of events such as RF, got {type(events).__name__}")
        given = tuple(events)
        for index, event in enumerate(given):
            if not isinstance(event, Event):
                raise DtypeError(f"events[{index}]: expected an event such as RF, got {type(event).__name__}")
        if not given:
            raise InputError("events: expected at least one event, got none")
        profile = None
        if slice_profile is not None:
            profile = _units.read_only(_checks.doubles("slice_profile", slice_profile, shape=(None,)).copy())
        object.__setattr__(self, "events", given)
        object.__setattr__(self, "slice_profile", profile)
        object.__setattr__(self, "dephasing", None if dephasing is None else _checks.positive("dephasing", dephasing))
        object.__setattr__(self, "_program", _program(given))

    @classmethod
    def fisp(
        cls,
        flip_angles: ArrayLike,
        tr: ArrayLike,
        te: ArrayLike,
        inversion_time: float | None = None,
        rf_phase: ArrayLike = 0.0,
        *,
        inversion_efficiency: float = 1.0,
        slice_profile: ArrayLike | None = None,
        dephasing: float | None = None,
    ) -> Sequence:
        """Return a train of gradient-spoiled gradient echoes (FISP, unbalanced SSFP).

        Each TR is a pulse, a sample at `te`, and a gradient that dephases the voxel by 2 pi at its end.

        Parameters
        ----------
        flip_angles : array_like, shape (n,) or scalar
            Flip angles in rad.
        tr : array_like, shape (n,) or scalar
            Repetition times in s: from a pulse to the next.
        te : array_like, shape (n,) or scalar
            Echo times in s, 0 <= te <= tr.
        inversion_time : float, optional
            Time in s from an inversion to the first pulse, magnetisation spoiled in between. None: no inversion.
        rf_phase : array_like, shape (n,) or scalar, optional
            Phases of the pulses in rad, in [-2 pi, 2 pi]; the receiver follows.
        inversion_efficiency : float, optional
            See `Inversion`.
        slice_profile : array_like, optional
            See `Sequence`.
        dephasing : float, optional
            See `Sequence`.

        Returns
        -------
        Sequence
            With n echoes.

        Raises
        ------
        InputError
            If lengths differ, angles look like degrees or times like ms, or an echo comes after its TR.
        DtypeError
            If an argument holds no numbers.

        References
        ----------
        Jiang, Ma, Seiberlich, Gulani and Griswold 2015, "MR fingerprinting using fast imaging with steady state
        precession (FISP) with spiral readout".

        Examples
        --------
        >>> import numpy as np
        >>> Sequence.fisp(np.full(500, 0.5), tr=0.012, te=0.002, inversion_time=0.02)
        Sequence(1501 events, 500 pulses, 500 echoes, 6.02 s)
        """
        angles, trs, tes, phases = _train(flip_angles, tr, te, rf_phase)
        shots = zip(angles, trs, tes, phases, strict=True)
        events = (event for a, t, e, p in shots for event in (RF(a, p), Readout(e, p), Spoil(1, t - e)))
        start = _inversion(inversion_time, inversion_efficiency)
        return cls([*start, *events], slice_profile, dephasing)

    @classmethod
    def bssfp(
        cls,
        flip_angles: ArrayLike,
        tr: ArrayLike,
        te: ArrayLike | None = None,
        inversion_time: float | None = None,
        phase_increment: float = math.pi,
        *,
        inversion_efficiency: float = 1.0,
        slice_profile: ArrayLike | None = None,
    ) -> Sequence:
        """Return a train of balanced gradient echoes (bSSFP, TrueFISP).

        The phase of pulse i = 0, 1, ... is i times the increment: 0, pi, 0, ... unless told. The receiver follows.

        Parameters
        ----------
        flip_angles : array_like, shape (n,) or scalar
            Flip angles in rad.
        tr : array_like, shape (n,) or scalar
            Repetition times in s.
        te : array_like, shape (n,) or scalar, optional
            Echo times in s, 0 <= te <= tr; the middle of each TR unless given.
        inversion_time : float, optional
            Time in s from an inversion to the first pulse, magnetisation spoiled in between. None: no inversion.
        phase_increment : float, optional
            Increment of the phase in rad, in [-2 pi, 2 pi].
        inversion_efficiency : float, optional
            See `Inversion`.
        slice_profile : array_like, optional
            See `Sequence`.

        Returns
        -------
        Sequence
            With n echoes.

        Raises
        ------
        InputError
            If lengths differ, angles look like degrees or times like ms, or an echo comes after its TR.
        DtypeError
            If an argument holds no numbers.

        References
        ----------
        Ma, Gulani, Seiberlich, Liu, Sunshine, Duerk and Griswold 2013, "Magnetic resonance fingerprinting".

        Examples
        --------
        >>> import numpy as np
        >>> seq = Sequence.bssfp(np.full(4, 0.5), tr=0.01)
        >>> [event.phase for event in seq.events if isinstance(event, RF)] == [0.0, np.pi, 0.0, np.pi]
        True
        """
        if te is None:
            te = _units.times("tr", tr) / 2
        angles, trs, tes, _ = _train(flip_angles, tr, te, 0.0)
        phases = _turned(_units.angle("phase_increment", phase_increment), np.arange(len(angles)))
        shots = zip(angles, trs, tes, phases, strict=True)
        events = (event for a, t, e, p in shots for event in (RF(a, p), Readout(e, p), Delay(t - e)))
        return cls([*_inversion(inversion_time, inversion_efficiency), *events], slice_profile)

    @classmethod
    def spgr(
        cls,
        flip_angles: ArrayLike,
        tr: ArrayLike,
        te: ArrayLike,
        inversion_time: float | None = None,
        phase_increment: float = math.radians(117),
        *,
        inversion_efficiency: float = 1.0,
        slice_profile: ArrayLike | None = None,
        dephasing: float | None = None,
    ) -> Sequence:
        """Return a train of RF-spoiled gradient echoes (SPGR, FLASH).

        As `fisp`, and the phase of pulse i = 0, 1, ... is i (i + 1) / 2 times the increment. The receiver follows.

        Parameters
        ----------
        flip_angles : array_like, shape (n,) or scalar
            Flip angles in rad.
        tr : array_like, shape (n,) or scalar
            Repetition times in s.
        te : array_like, shape (n,) or scalar
            Echo times in s, 0 <= te <= tr.
        inversion_time : float, optional
            Time in s from an inversion to the first pulse, magnetisation spoiled in between. None: no inversion.
        phase_increment : float, optional
            Increment of the increment of the phase in rad, in [-2 pi, 2 pi]; 117 degrees unless given.
        inversion_efficiency : float, optional
            See `Inversion`.
        slice_profile : array_like, optional
            See `Sequence`.
        dephasing : float, optional
            See `Sequence`.

        Returns
        -------
        Sequence
            With n echoes.

        Raises
        ------
        InputError
            If lengths differ, angles look like degrees or times like ms, or an echo comes after its TR.
        DtypeError
            If an argument holds no numbers.

        References
        ----------
        Zur, Wood and Neuringer 1991, "Spoiling of transverse magnetization in steady-state sequences".

        Examples
        --------
        >>> import numpy as np
        >>> seq = Sequence.spgr(np.full(4, 0.2), tr=0.01, te=0.003)
        >>> np.rad2deg([event.phase for event in seq.events if isinstance(event, RF)]).round(6)
        array([  0., 117., 351., 342.])
        """
        n = len(_train(flip_angles, tr, te, 0.0)[0])
        counts = np.arange(n) * (np.arange(n) + 1) // 2
        phases = _turned(_units.angle("phase_increment", phase_increment), counts)
        return cls.fisp(
            flip_angles,
            tr,
            te,
            inversion_time,
            phases,
            inversion_efficiency=inversion_efficiency,
            slice_profile=slice_profile,
            dephasing=dephasing,
        )

    @classmethod
    def mese(
        cls,
        n_echoes: int,
        echo_spacing: float,
        refocusing_angles: ArrayLike = math.pi,
        *,
        excitation_angle: float = math.pi / 2,
        slice_profile: ArrayLike | None = None,
        dephasing: float | None = None,
    ) -> Sequence:
        """Return a multi spin echo train after Carr, Purcell, Meiboom and Gill.

        An excitation of phase 0, then refocusing pulses of phase pi/2 between crushers of 2 pi each; echoes at
        multiples of the spacing.

        Parameters
        ----------
        n_echoes : int
            Number of echoes.
        echo_spacing : float
            Time in s between echoes, and from the excitation to the first.
        refocusing_angles : array_like, shape (n_echoes,) or scalar, optional
            Flip angles of the refocusing pulses in rad.
        excitation_angle : float, optional
            Flip angle of the excitation in rad.
        slice_profile : array_like, optional
            See `Sequence`; it acts on all pulses.
        dephasing : float, optional
            See `Sequence`.

        Returns
        -------
        Sequence
            With n_echoes echoes.

        Raises
        ------
        InputError
            If there are not as many angles as echoes, angles look like degrees or the spacing like ms.
        DtypeError
            If an argument is not a number.

        References
        ----------
        Meiboom and Gill 1958, "Modified spin-echo method for measuring nuclear relaxation times"; Hennig 1988,
        "Multiecho imaging sequences with low refocusing flip angles".

        Examples
        --------
        >>> Sequence.mese(3, echo_spacing=0.01).echo_times
        array([0.01, 0.02, 0.03])
        """
        n = _checks.integer("n_echoes", n_echoes, minimum=1)
        half = _units.time("echo_spacing", echo_spacing, allow_zero=False) / 2
        angles = _units.angles("refocusing_angles", refocusing_angles)
        if angles.size not in (1, n):
            raise InputError(f"refocusing_angles: expected one angle or {n} of them, got {angles.size}")
        events: list[Event] = [RF(_units.angle("excitation_angle", excitation_angle))]
        for angle in np.broadcast_to(angles, n).tolist():
            events += [Spoil(1, half), RF(angle, math.pi / 2), Spoil(1, half), Readout()]
        return cls(events, slice_profile, dephasing)

    @property
    def n_echoes(self) -> int:
        """Number of samples."""
        return int(np.count_nonzero(self._ops()[0] == READ))

    @property
    def echo_times(self) -> np.ndarray:
        """Times in s of the samples from the start of the sequence, shape (n_echoes,)."""
        return self._clock()[self._ops()[0] == READ]

    @property
    def duration(self) -> float:
        """Length of the sequence in s."""
        return float(self._clock()[-1])

    @property
    def flip_angles(self) -> np.ndarray:
        """Angles in rad of the `RF` events in order, shape (n_pulses,); of no other events."""
        return np.array([event.angle for event in self.events if isinstance(event, RF)], np.float64)

    @property
    def is_real(self) -> bool:
        """Whether all phases of pulses and receiver are 0 or pi relative to each other: signals on resonance are real.

        Up to one phase common to all samples.
        """
        code, a, b = self._ops()
        phases = np.where(code == PULSE, b, a)[(code == PULSE) | (code == READ)]
        return phases.size == 0 or bool(np.abs(np.sin(phases - phases[0])).max() < _SAME_PHASE)

    def with_flip_angles(self, flip_angles: ArrayLike) -> Sequence:
        """Return this sequence with other angles in its `RF` events.

        Parameters
        ----------
        flip_angles : array_like, shape (n_pulses,)
            Angles in rad.

        Raises
        ------
        InputError
            If there are not as many angles as `RF` events, or they look like degrees.
        DtypeError
            If the entries are not real numbers.

        Examples
        --------
        >>> Sequence.mese(2, 0.01).with_flip_angles([1.5, 3.0, 2.0]).flip_angles
        array([1.5, 3. , 2. ])
        """
        angles = _units.angles("flip_angles", flip_angles)
        wanted = sum(isinstance(event, RF) for event in self.events)
        if angles.shape != (wanted,):
            raise InputError(f"flip_angles: expected one for each of {wanted} RF events, got shape {angles.shape}")
        left = iter(angles.tolist())
        events = [replace(event, angle=next(left)) if isinstance(event, RF) else event for event in self.events]
        return Sequence(events, self.slice_profile, self.dephasing)

    def _ops(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what kernels run, (code, a, b), float64 arrays of one length, read-only.

        0 pulse (angle, phase); 1 relax (duration, -); 2 shift (n, duration); 3 crush (-, -); 4 invert (efficiency, -);
        5 T2 preparation (te, -); 6 read (receiver phase, -). Relaxation over no time is left out.
        """
        program: tuple[np.ndarray, np.ndarray, np.ndarray] = self.__dict__["_program"]
        return program

    def _clock(self) -> np.ndarray:
        """Return the time in s after each operation."""
        code, a, b = self._ops()
        lengths = np.where(code == SHIFT, b, np.where((code == RELAX) | (code == T2PREP), a, 0.0))
        return np.cumsum(lengths) if code.size else np.zeros(1)

    def __len__(self) -> int:
        return len(self.events)

    def __add__(self, other: Any) -> Sequence:
        """Play one sequence after the other; where only one has a slice profile or dephasing, that holds for both."""
        if not isinstance(other, Sequence):
            return NotImplemented
        profile = other.slice_profile if self.slice_profile is None else self.slice_profile
        if not (profile is None or other.slice_profile is None or np.array_equal(profile, other.slice_profile)):
            raise InputError("other: expected the same slice_profile in both sequences, got another")
        dephasing = self.dephasing if self.dephasing is not None else other.dephasing
        if other.dephasing not in (None, dephasing):
            raise InputError(f"other: expected dephasing {dephasing} in both sequences, got {other.dephasing}")
        return Sequence(self.events + other.events, profile, dephasing)

    def _key(self) -> tuple[Any, ...]:
        profile = None if self.slice_profile is None else tuple(self.slice_profile.tolist())
        return self.events, profile, self.dephasing

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[Any, ...]:
        return Sequence, (self.events, self.slice_profile, self.dephasing)

    def __repr__(self) -> str:
        pulses = sum(isinstance(event, (RF, ShapedRF)) for event in self.events)
        counts = f"{len(self)} events, {pulses} pulses, {self.n_echoes} echoes, {self.duration:.4g} s"
        profile = "" if self.slice_profile is None else f", slice profile of {self.slice_profile.size}"
        dephasing = "" if self.dephasing is None else f", dephasing {self.dephasing:g} rad/mm"
        return f"Sequence({counts}{profile}{dephasing})"


def _program(events: tuple[Event, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the operations of events as three read-only arrays."""
    rows = [row for event in events for row in event._rows() if row[:2] != (RELAX, 0.0)]
    table = np.array(rows, np.float64).reshape(-1, 3)
    code, a, b = (_units.read_only(np.ascontiguousarray(column)) for column in table.T)
    return code, a, b


def _train(
    flip_angles: ArrayLike, tr: ArrayLike, te: ArrayLike, rf_phase: ArrayLike
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Return what each shot of a train takes: angle, TR, TE and phase, of one length."""
    given = {
        "flip_angles": _units.angles("flip_angles", flip_angles),
        "tr": _units.times("tr", tr),
        "te": _units.times("te", te, allow_zero=True),
        "rf_phase": _units.angles("rf_phase", rf_phase),
    }
    n = max(values.size for values in given.values())
    longest = next(name for name, values in given.items() if values.size == n)
    for name, values in given.items():
        if values.size not in (1, n):
            raise InputError(f"{name}: expected one number or {n} of them, as many as {longest}, got {values.size}")
    late = np.flatnonzero(np.broadcast_to(given["te"] > given["tr"], n))
    if late.size:
        e, t = (float(np.broadcast_to(given[name], n)[late[0]]) for name in ("te", "tr"))
        raise InputError(f"te: expected at most tr, got te = {e} s in tr = {t} s (shot {late[0]}). te in ms?")
    angles, trs, tes, phases = (np.broadcast_to(values, n).tolist() for values in given.values())
    return angles, trs, tes, phases


def _inversion(inversion_time: float | None, efficiency: float) -> list[Event]:
    if inversion_time is None:
        return []
    return [Inversion(_units.time("inversion_time", inversion_time), efficiency)]


def _turned(increment: float, counts: np.ndarray) -> list[float]:
    """Return multiples of a phase in [0, 2 pi); in turns, so that those of pi come out exactly."""
    turns = increment / (2 * math.pi)
    return (np.mod(turns * counts, 1.0) * (2 * math.pi)).tolist()
