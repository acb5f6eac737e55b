"""How well a sequence can tell relaxation times, and flip angles that do it better.

The Cramer-Rao lower bound is the least standard deviation of any unbiased estimate. With samples m0 s(T1, T2) and
complex white noise it follows from the derivatives of the signal, which `epg` computes beside it; its gradient by all
flip angles is one sweep back through the simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Sequence as Listing
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from ... import _checks, _core, _tensors
from ..._progress import progress_bar
from ...errors import DtypeError, InputError
from . import _units
from . import signal as _signal
from .events import PULSE
from .sequence import Sequence

__all__ = ["DesignResult", "crlb", "optimise_flip_angles"]

#: What can be estimated beside m0.
_NAMES = ("t1", "t2", "b1")
#: A derivative whose part of its own is smaller, relative to itself, is a combination of the others.
_SINGULAR = 1e-9
#: A relative change of a parameter that changes signals by less than this times `_SINGULAR` of it is rounding.
_FAINT = 1e-3
#: Numbers in the derivatives of the atoms treated at once.
_AT_ONCE = 1 << 20
#: An eigenvalue of the information this much smaller than the energy of derivatives is rounding.
_ROUNDING = 1e-14
#: A search that gains less than this share is not begun again.
_STALLED = 1e-4
#: Logarithm of the function where it is infinite: a line search turns back.
_FORBIDDEN = 1e3


def crlb(
    seq: Sequence,
    t1: ArrayLike,
    t2: ArrayLike,
    *,
    m0: ArrayLike = 1.0,
    b1: ArrayLike = 1.0,
    sigma: ArrayLike = 1.0,
    parameters: Listing[str] = ("t1", "t2"),
) -> np.ndarray:
    """Return the Cramer-Rao lower bounds: the least standard deviations of unbiased estimates.

    The samples are m0 s + noise, with s the signal of `epg` on resonance and m0 an unknown complex number.

    Parameters
    ----------
    seq : Sequence
        What is done.
    t1, t2 : array_like
        Relaxation times in s, T2 <= T1; broadcast with the others.
    m0 : array_like, optional
        Magnetisation, may be complex. The bounds are proportional to ``sigma / abs(m0)``, and infinite where it is 0.
    b1 : array_like, optional
        What multiplies the angle of every pulse.
    sigma : array_like, optional
        Standard deviation of the noise in the real part of a sample, and in the imaginary part.
    parameters : sequence of {"t1", "t2", "b1"}, optional
        What is estimated, beside m0; the others are known.

    Returns
    -------
    numpy.ndarray, shape (..., n_parameters)
        float64, in the order of `parameters`: s, s, and per unit of B1. Infinite where the samples do not determine a
        parameter: its derivative vanishes, or is a combination of those of m0 and the other parameters.

    Raises
    ------
    InputError
        If an argument is not as for `epg`, parameters are unknown, repeated or none, `sigma` is not positive, or the
        sequence has no readout.
    DtypeError
        If an argument does not hold numbers.

    References
    ----------
    S. Kay, "Fundamentals of statistical signal processing: estimation theory", 1993, ch. 3 and 15; B. Zhao et al.,
    "Optimal experiment design for magnetic resonance fingerprinting: Cramer-Rao bound meets spin dynamics", IEEE TMI
    2019.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.mri import mrf
    >>> seq = mrf.Sequence.fisp(np.full(200, np.pi / 6), tr=0.012, te=0.003, inversion_time=0.02)
    >>> mrf.crlb(seq, t1=0.8, t2=0.08, sigma=0.01).round(4)
    array([0.009, 0.003])
    """
    names = _parameters(parameters)
    atoms, scale = _atoms(seq, t1, t2, b1, m0, sigma)
    flat = [values.ravel() for values in atoms]
    result = np.empty((flat[0].size, len(names)))
    step = max(1, _AT_ONCE // (seq.n_echoes * (1 + len(names))))
    for first in range(0, len(result), step):
        part = slice(first, first + step)
        result[part] = _bounds(_signal.columns(seq), [values[part] for values in flat], names)
    return result.reshape(*scale.shape, len(names)) * scale[..., None]


def _parameters(parameters: Any) -> tuple[str, ...]:
    if isinstance(parameters, str):
        parameters = (parameters,)
    names = tuple(_checks.choice("parameters", name, _NAMES) for name in parameters)
    if not names or len(set(names)) < len(names):
        raise InputError(f"parameters: expected some of {_NAMES}, each once, got {names}")
    return names


def _atoms(
    seq: Any, t1: Any, t2: Any, b1: Any, m0: Any, sigma: Any
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Return T1, T2 and B1 of one shape in double, and sigma / |m0| of that shape."""
    _signal.check_sequence(seq)
    if seq.n_echoes == 0:
        raise InputError("seq: has no Readout, so that nothing can be estimated. Add Readout events")
    given = (("t1", t1), ("t2", t2), ("b1", b1))
    doubles = [_checks.doubles(name, _tensors.entries(name, value)) for name, value in given]
    density = np.abs(_checks.finite("m0", _tensors.entries("m0", m0)).astype(np.complex128))
    noise = _checks.doubles("sigma", sigma)
    if noise.size and noise.min() <= 0:
        raise InputError(f"sigma: expected positive standard deviations, got {noise.min()}")
    try:
        *same, noise, density = np.broadcast_arrays(*doubles, noise, density)
    except ValueError:
        shapes = ", ".join(str(value.shape) for value in (*doubles, density, noise))
        wanted = "t1, t2, b1, m0 and sigma that broadcast together"
        raise InputError(f"t1: expected {wanted}, got shapes {shapes}") from None
    values = _signal.broadcast([*same, 0.0], None)
    with np.errstate(divide="ignore"):
        return (values[0], values[1], values[2]), noise / density


def _scale(atoms: Listing[np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """Return what bounds are relative to, (n, n_parameters): the times, and for B1 the nominal one."""
    t1, t2, b1 = atoms
    values = {"t1": t1, "t2": t2, "b1": np.ones_like(b1)}
    return np.stack([values[name] for name in names], axis=-1)


def _derived(
    columns: tuple[Any, ...], atoms: Listing[np.ndarray], names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return signals (n, n_echoes) and derivatives by relative changes (n, n_parameters, n_echoes), complex128."""
    table, _ = _core.epg(columns, [*atoms, None, None], list(names), None, True, None)
    numbers = table.view(np.complex128)[..., 0]
    return numbers[:, 0], numbers[:, 1:] * _scale(atoms, names)[..., None]


def _without(signal: np.ndarray, jacobian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return derivatives less their projections on the signal, which an unknown m0 cannot tell from it, and those."""
    energy = np.maximum(np.einsum("ne,ne->n", signal.conj(), signal).real, np.finfo(np.float64).tiny)
    share = np.einsum("ne,npe->np", signal.conj(), jacobian) / energy[:, None]
    return jacobian - share[..., None] * signal[:, None], share


def _bounds(columns: tuple[Any, ...], atoms: Listing[np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """Return bounds (n, n_parameters) for sigma = m0 = 1."""
    signal, jacobian = _derived(columns, atoms, names)
    norms = np.maximum(np.linalg.norm(jacobian, axis=-1), _FAINT * np.linalg.norm(signal, axis=-1, keepdims=True))
    own = _without(signal, jacobian)[0] / np.maximum(norms, np.finfo(np.float64).tiny)[..., None]
    own[np.linalg.norm(own, axis=-1) <= _SINGULAR] = 0.0
    vectors = np.concatenate([own.real, own.imag], axis=-1).swapaxes(1, 2)
    left = np.empty_like(norms)
    for p in range(len(names)):
        mine, others = vectors[..., p : p + 1], np.delete(vectors, p, axis=2)
        rest = mine - others @ (np.linalg.pinv(others, rcond=_SINGULAR) @ mine)
        left[:, p] = np.linalg.norm(rest[..., 0], axis=1)
    scale = _scale(atoms, names)
    return np.divide(scale, left * norms, where=left > _SINGULAR, out=np.full_like(norms, np.inf))


@dataclass(frozen=True)
class DesignResult:
    """How an optimisation got to its flip angles.

    Attributes
    ----------
    n_iter : int
        Iterations done: fewer than asked for where nothing was left to improve.
    history : numpy.ndarray, shape (n_iter + 1,)
        What is minimised, for sigma = m0 = 1: at the start, moved within the bounds, and after each iteration.
    crlb_before, crlb_after : numpy.ndarray, shape (n_tissues, n_parameters)
        Bounds of the given and of the optimised sequence, for sigma = m0 = 1: see `crlb`.
    """

    n_iter: int
    history: np.ndarray
    crlb_before: np.ndarray
    crlb_after: np.ndarray


@overload
def optimise_flip_angles(
    seq: Sequence,
    tissues: ArrayLike,
    weights: ArrayLike | None = None,
    bounds: tuple[ArrayLike, ArrayLike] = ...,
    *,
    b1: float = ...,
    parameters: Listing[str] = ...,
    smoothness: float | None = None,
    n_iter: int = ...,
    callback: Callable[[int, np.ndarray], object] | None = None,
    progress: bool = False,
    return_info: Literal[False] = False,
) -> Sequence: ...


@overload
def optimise_flip_angles(
    seq: Sequence,
    tissues: ArrayLike,
    weights: ArrayLike | None = None,
    bounds: tuple[ArrayLike, ArrayLike] = ...,
    *,
    b1: float = ...,
    parameters: Listing[str] = ...,
    smoothness: float | None = None,
    n_iter: int = ...,
    callback: Callable[[int, np.ndarray], object] | None = None,
    progress: bool = False,
    return_info: Literal[True],
) -> tuple[Sequence, DesignResult]: ...


def optimise_flip_angles(
    seq: Sequence,
    tissues: ArrayLike,
    weights: ArrayLike | None = None,
    bounds: tuple[ArrayLike, ArrayLike] = (0.0, math.pi),
    *,
    b1: float = 1.0,
    parameters: Listing[str] = ("t1", "t2"),
    smoothness: float | None = None,
    n_iter: int = 200,
    callback: Callable[[int, np.ndarray], object] | None = None,
    progress: bool = False,
    return_info: bool = False,
) -> Any:
    """Return the sequence with flip angles that estimate T1 and T2 of some tissues best.

    Minimises the sum over tissues and parameters p of weight (crlb(p) / p)^2 (for B1 of weight crlb^2), from the flip
    angles of `seq` on, by L-BFGS-B on its logarithm with the exact gradient. The function has many minima: another
    start leads to another one. Noise and m0, which scale all bounds alike, play no part. Deterministic.

    Parameters
    ----------
    seq : Sequence
        Its `RF` angles are the start, angles outside the bounds moved to them; all else stays as it is.
    tissues : array_like, shape (n_tissues, 2)
        T1 and T2 in s of each.
    weights : array_like, shape (n_tissues,) or (n_tissues, n_parameters), optional
        Of the squares; not negative, not all 0. By tissue they hold for T1 and T2 alike and leave out B1, if that is
        not all. None makes all squares 1 at the start, so that each bound counts by how it improves; with equal
        weights, the criterion of Zhao et al., those hardest to measure count most, such as T2 of a fluid.
    bounds : (array_like, array_like), optional
        Smallest and largest angle in rad: two numbers, or two arrays (n_pulses,). Equal ones fix an angle.
    b1 : float, optional
        What multiplies all angles.
    parameters : sequence of {"t1", "t2", "b1"}, optional
        What is unknown, beside m0.
    smoothness : float, optional
        The most, in rad, by which neighbouring angles may differ, kept exactly; the start is smoothed to keep it. None
        is no limit: the best trains then jump, and small errors of the model hurt them more.
    n_iter : int, optional
        Iterations at most.
    callback : callable, optional
        Called as ``callback(iteration, flip_angles)`` with a copy.
    progress : bool, optional
        Show a progress bar.
    return_info : bool, optional
        Return a `DesignResult` as well.

    Returns
    -------
    Sequence
        `seq` with new flip angles.
    DesignResult
        Only with `return_info`.

    Raises
    ------
    InputError
        If shapes do not fit, numbers are not finite or out of range, bounds are crossed or further apart between
        neighbours than `smoothness` allows, or the start does not determine the parameters of a tissue with a weight.
    DtypeError
        If an argument has an unusable type.

    References
    ----------
    B. Zhao et al., "Optimal experiment design for magnetic resonance fingerprinting: Cramer-Rao bound meets spin
    dynamics", IEEE TMI 2019; R. Byrd, P. Lu, J. Nocedal and C. Zhu, "A limited memory algorithm for bound constrained
    optimization", 1995.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.mri import mrf
    >>> seq = mrf.Sequence.fisp(np.full(100, np.pi / 6), tr=0.012, te=0.003)
    >>> better = mrf.optimise_flip_angles(seq, [(0.8, 0.08), (1.4, 0.1)], bounds=(0.1, 1.2), n_iter=30)
    >>> bool(np.all(mrf.crlb(better, 0.8, 0.08) < mrf.crlb(seq, 0.8, 0.08) / 2))
    True
    """
    if callback is not None and not callable(callback):
        raise DtypeError(f"callback: expected a function of (iteration, flip_angles), got {callback!r}")
    n_iter = _checks.integer("n_iter", n_iter, minimum=1)
    names = _parameters(parameters)
    t1, t2 = _tissues(tissues)
    atoms, _ = _atoms(seq, t1, t2, _checks.number("b1", b1), 1.0, 1.0)
    train = _Train.of(seq, bounds, smoothness)
    first = seq.with_flip_angles(train.flip_angles(train.start)[0])

    def limit(s: Sequence) -> np.ndarray:
        return crlb(s, atoms[0], atoms[1], b1=atoms[2], parameters=names)

    problem = _Problem(_signal.columns(seq), atoms, names, np.ones((len(t1), len(names))))
    problem = problem.weighted(_weights(weights, limit(first) / _scale(atoms, names), names))
    with progress_bar("optimise_flip_angles", n_iter, enable=progress) as report:

        def tell(iteration: int, flip_angles: np.ndarray) -> None:
            report(iteration, n_iter)
            if callback is not None:
                callback(iteration, flip_angles.copy())

        flip_angles, history = _descend(problem, train, n_iter, tell)
    better = seq.with_flip_angles(flip_angles)
    if not return_info:
        return better
    return better, DesignResult(len(history) - 1, np.array(history), limit(seq), limit(better))


def _tissues(tissues: Any) -> np.ndarray:
    """Return T1 and T2 of tissues, two rows."""
    pairs = _checks.doubles("tissues", tissues, hint="One (T1, T2) in s for each")
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.size == 0:
        raise InputError(f"tissues: expected shape (n, 2), one (T1, T2) in s for each, got {pairs.shape}")
    return pairs.T


def _undetermined(names: tuple[str, ...]) -> InputError:
    problem = f"does not determine {', '.join(names)} of all tissues at its first flip angles"
    return InputError(f"seq: {problem}. Start from others, within the bounds")


def _weights(weights: Any, relative: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return one weight for each tissue and parameter, whose relative bounds (n_tissues, n_parameters) are those."""
    estimated = np.array([name != "b1" or len(names) == 1 for name in names], np.float64)
    if weights is None:
        if not np.isfinite(relative).all():
            raise _undetermined(names)
        return estimated / relative**2
    given = _checks.doubles("weights", weights)
    if given.shape == relative.shape[:1]:
        given = given[:, None] * estimated
    if given.shape != relative.shape:
        wanted = f"({len(relative)},) or {relative.shape}, one for each tissue or each (tissue, parameter)"
        raise InputError(f"weights: expected shape {wanted}, got {given.shape}")
    if given.min() < 0 or given.max() <= 0:
        raise InputError(f"weights: expected numbers >= 0, some of them above 0 for t1 or t2, got {given.tolist()}")
    return given


@dataclass(frozen=True)
class _Problem:
    """What is minimised: the weighted sum of squared relative bounds, as a function of the flip angles."""

    columns: tuple[Any, ...]
    atoms: tuple[np.ndarray, np.ndarray, np.ndarray]
    names: tuple[str, ...]
    weights: np.ndarray

    def weighted(self, weights: np.ndarray) -> _Problem:
        """Return the problem with these weights, of the tissues that have any."""
        kept = (weights > 0).any(axis=1)
        t1, t2, b1 = (values[kept] for values in self.atoms)
        return replace(self, atoms=(t1, t2, b1), weights=weights[kept])

    def __call__(self, flip_angles: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the sum and its gradient (n_pulses,); infinity and zeros where parameters are not determined."""
        code, a, *rest = self.columns
        angles = a.copy()
        angles[code == PULSE] = flip_angles
        columns = (code, angles, *rest)
        signal, jacobian = _derived(columns, self.atoms, self.names)
        own, share = _without(signal, jacobian)
        fisher = np.einsum("npe,nqe->npq", own.conj(), own).real
        inverse = _inverse(fisher, np.einsum("npe,npe->np", jacobian.conj(), jacobian).real)
        if inverse is None:
            return math.inf, np.zeros_like(flip_angles)
        value = float(np.einsum("np,npp->", self.weights, inverse))
        # d value = -trace(G d fisher), G = inverse weights inverse.
        slope = -2.0 * np.einsum("npq,nqe->npe", inverse @ (self.weights[..., None] * inverse), own)
        cotangents = np.empty((len(signal), 1 + len(self.names), signal.shape[1]), np.complex128)
        cotangents[:, 0] = -np.einsum("npe,np->ne", slope, share.conj())
        cotangents[:, 1:] = slope * _scale(self.atoms, self.names)[..., None]
        table = cotangents.view(np.float64).reshape(*cotangents.shape, 2)
        gradient = _core.epg_flip_gradient(columns, list(self.atoms), list(self.names), table)
        return value, gradient.sum(axis=0)


def _inverse(fisher: np.ndarray, energy: np.ndarray) -> np.ndarray | None:
    """Return the inverses of information matrices (n, p, p), None if one is singular beside derivatives of `energy`."""
    unit = 1.0 / np.sqrt(np.maximum(energy, np.finfo(np.float64).tiny))
    scaled = fisher * unit[:, :, None] * unit[:, None, :]
    if np.linalg.eigvalsh(scaled).min() <= _ROUNDING:
        return None
    return np.linalg.inv(scaled) * unit[:, :, None] * unit[:, None, :]


@dataclass(frozen=True)
class _Train:
    """Flip angles in the coordinates of a search in a box.

    They are the angles themselves, or their differences in units of the largest that is allowed. The sum of differences
    is clipped to the bounds, narrowed so that they too keep the largest difference: then so does what is clipped.
    """

    limits: tuple[np.ndarray, np.ndarray]
    step: float | None
    start: np.ndarray
    box: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, seq: Sequence, bounds: Any, smoothness: Any) -> _Train:
        """Return the train of a sequence, moved to where it keeps bounds and smoothness."""
        given = seq.flip_angles
        if given.size == 0:
            raise InputError("seq: has no RF events, so that there is nothing to optimise")
        limits = _limits(bounds, given.size)
        if smoothness is None:
            return cls(limits, None, np.clip(given, *limits), limits)
        step = _checks.positive("smoothness", smoothness)
        low, high = limits = _narrowed(limits, step)
        clipped = np.clip(given, low, high)
        near = 0.5 * (_below(clipped, step) - _below(-clipped, step))
        box = (np.full(given.size, -1.0), np.full(given.size, 1.0))
        box[0][0], box[1][0] = low[0] / step, high[0] / step
        return cls(limits, step, np.clip(np.diff(near, prepend=0.0) / step, *box), box)

    def flip_angles(self, x: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Return the angles at coordinates, and what takes a gradient by angles to one by coordinates."""
        if self.step is None:
            return x, lambda gradient: gradient
        step, (low, high) = self.step, self.limits
        free = np.cumsum(x) * step
        inside = (free >= low) & (free <= high)
        return np.clip(free, low, high), lambda gradient: np.cumsum((gradient * inside)[::-1])[::-1] * step


def _limits(bounds: Any, n_pulses: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest angle of each pulse."""
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise InputError(f"bounds: expected (smallest, largest) angle in rad, got {bounds!r}") from None
    limits = []
    for name, value in (("bounds[0]", low), ("bounds[1]", high)):
        angles = _units.angles(name, value)
        if angles.shape not in ((1,), (n_pulses,)):
            raise InputError(f"{name}: expected one angle or {n_pulses}, one for each RF event, got {angles.size}")
        limits.append(np.broadcast_to(angles, n_pulses))
    if (limits[0] > limits[1]).any():
        pulse = int(np.argmax(limits[0] > limits[1]))
        found = f"{limits[0][pulse]} and {limits[1][pulse]} rad for pulse {pulse}"
        raise InputError(f"bounds: expected the smallest angle not above the largest, got {found}")
    return limits[0], limits[1]


def _below(x: np.ndarray, step: float) -> np.ndarray:
    """Return the largest train below another whose neighbours differ by at most a step."""
    ramp = step * np.arange(x.size)
    forward = np.minimum.accumulate(x - ramp) + ramp
    return np.minimum.accumulate((forward + ramp)[::-1])[::-1] - ramp


def _narrowed(limits: tuple[np.ndarray, np.ndarray], step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what bounds leave to trains whose neighbours differ by at most a step."""
    low, high = -_below(-limits[0], step), _below(limits[1], step)
    crossed = low > high + 1e-12
    if crossed.any():
        pulse = int(np.argmax(crossed))
        raise InputError(f"smoothness: no train with steps of {step} rad keeps the bounds, first at pulse {pulse}")
    return np.minimum(low, high), high


def _descend(
    problem: _Problem, train: _Train, n_iter: int, tell: Callable[[int, np.ndarray], None]
) -> tuple[np.ndarray, list[float]]:
    """Return the best flip angles found, and the values on the way."""
    from scipy.optimize import Bounds, minimize

    # Of the last evaluation, which is that of the point an iteration ends with.
    latest = (train.start, 0.0)

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal latest
        flip_angles, back = train.flip_angles(x)
        value, gradient = problem(flip_angles)
        latest = (flip_angles, value)
        if not math.isfinite(value):
            return _FORBIDDEN, gradient
        return math.log(value), back(gradient / value)

    def after(x: np.ndarray) -> None:
        history.append(latest[1])
        tell(len(history) - 1, latest[0])

    function(train.start)
    history = [latest[1]]
    if not math.isfinite(history[0]):
        raise _undetermined(problem.names)
    x, box, before = train.start, Bounds(*train.box), math.inf
    # A search that ends at a kink, where angles reach a bound, goes on from there with a fresh memory.
    while len(history) <= n_iter and history[-1] < (1.0 - _STALLED) * before:
        before, left = history[-1], n_iter + 1 - len(history)
        options = {"maxiter": left, "maxfun": 20 * left, "maxcor": 20, "ftol": 1e-10, "gtol": 1e-8}
        x = minimize(function, x, jac=True, method="L-BFGS-B", bounds=box, callback=after, options=options).x
    return train.flip_angles(x)[0], history
