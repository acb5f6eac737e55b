"""Validators of arguments: each returns the value in the form kernels want, or raises naming the argument.

Every message reads ``name: expected ..., got ...`` and ends with the likely fix where there is one.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import _core
from .errors import DtypeError, InputError

__all__ = [
    "array",
    "choice",
    "doubles",
    "finite",
    "integer",
    "not_finite",
    "number",
    "per_axis",
    "positive",
    "shape",
    "working_dtype",
]


def _got(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _with_hint(message: str, hint: str) -> str:
    return f"{message}. {hint}" if hint else message


def number(name: str, value: Any, hint: str = "") -> float:
    """Return a finite real number as a float.

    Examples
    --------
    >>> number("sod", 500)
    500.0
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise DtypeError(_with_hint(f"{name}: expected a real number, got {_got(value)}", hint))
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise InputError(_with_hint(f"{name}: expected a finite number, got {_got(value)}", hint))
    return result


def positive(name: str, value: Any, *, allow_zero: bool = False, hint: str = "") -> float:
    """Return a finite number > 0 (>= 0 with `allow_zero`) as a float.

    Examples
    --------
    >>> positive("col_spacing", 0.0)
    Traceback (most recent call last):
        ...
    spinray.errors.InputError: col_spacing: expected a positive number, got 0.0
    """
    result = number(name, value, hint)
    if result < 0 or (result == 0 and not allow_zero):
        wanted = "a number >= 0" if allow_zero else "a positive number"
        raise InputError(_with_hint(f"{name}: expected {wanted}, got {_got(value)}", hint))
    return result


def integer(name: str, value: Any, minimum: int | None = None, hint: str = "") -> int:
    """Return an integer, at least `minimum`; floats and booleans are refused.

    Examples
    --------
    >>> integer("n_cols", np.int64(729), minimum=1)
    729
    """
    if isinstance(value, (bool, np.bool_)):
        raise DtypeError(_with_hint(f"{name}: expected an integer, got {_got(value)}", hint))
    try:
        result = operator.index(value)
    except TypeError:
        raise DtypeError(_with_hint(f"{name}: expected an integer, got {_got(value)}", hint)) from None
    if minimum is not None and result < minimum:
        raise InputError(_with_hint(f"{name}: expected an integer >= {minimum}, got {result}", hint))
    return result


def shape(name: str, value: Any, ndim: int | Sequence[int] | None = None) -> tuple[int, ...]:
    """Return a tuple of integers >= 1, of length `ndim` (or one of several lengths) where given.

    Examples
    --------
    >>> shape("shape", [4, 5], ndim=(2, 3))
    (4, 5)
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise DtypeError(f"{name}: expected a tuple of integers, got {_got(value)}")
    result = tuple(integer(f"{name}[{axis}]", n, minimum=1) for axis, n in enumerate(value))
    accepted = (ndim,) if isinstance(ndim, int) else ndim
    if accepted is not None and len(result) not in accepted:
        wanted = " or ".join(str(n) for n in accepted)
        raise InputError(f"{name}: expected {wanted} integers, got {len(result)}: {result}")
    return result


def per_axis(name: str, value: Any, ndim: int, *, above_zero: bool = False) -> tuple[float, ...]:
    """Return one finite float per axis, from a scalar (the same for all) or a sequence of `ndim` numbers.

    Examples
    --------
    >>> per_axis("spacing", 0.5, 3, above_zero=True)
    (0.5, 0.5, 0.5)
    """
    check = positive if above_zero else number
    if isinstance(value, (str, bytes)):
        raise DtypeError(f"{name}: expected a number or one per axis, got {_got(value)}")
    if not isinstance(value, Iterable) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return (check(name, value),) * ndim
    values = list(value)
    if len(values) != ndim:
        wanted = f"one number or {ndim} of them (index order)"
        raise InputError(f"{name}: expected {wanted}, got {len(values)}: {_got(value)}")
    return tuple(check(f"{name}[{axis}]", entry) for axis, entry in enumerate(values))


def choice(name: str, value: Any, options: Sequence[Any]) -> Any:
    """Return `value`, if it is one of `options`.

    Examples
    --------
    >>> choice("detector", "round", ("flat", "curved"))
    Traceback (most recent call last):
        ...
    spinray.errors.InputError: detector: expected one of 'flat', 'curved', got 'round'
    """
    for option in options:
        # bool is an int: True must not pass for 1.
        if isinstance(value, type(option)) and isinstance(value, bool) == isinstance(option, bool) and value == option:
            return option
    raise InputError(f"{name}: expected one of {', '.join(map(repr, options))}, got {_got(value)}")


def working_dtype(name: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype an input is computed in: double stays double, every other number becomes single.

    Raises
    ------
    DtypeError
        For strings, objects, dates and records.

    Examples
    --------
    >>> working_dtype("x", np.dtype("int16")), working_dtype("x", np.dtype(">f8"))
    (dtype('float32'), dtype('float64'))
    """
    if dtype.kind == "c":
        return np.dtype(np.complex64 if dtype.itemsize <= 8 else np.complex128)
    if dtype.kind == "f":
        return np.dtype(np.float32 if dtype.itemsize <= 4 else np.float64)
    if dtype.kind in "iub":
        return np.dtype(np.float32)
    raise DtypeError(f"{name}: expected an array of numbers, got dtype {dtype}")


def array(name: str, value: Any, *, allow_complex: bool = True, dtype: Any = None) -> np.ndarray:
    """Return `value` as a C-contiguous array of its working dtype (see `working_dtype`), copied only where needed.

    Given a `dtype`, that is the one returned.

    Strides of any sign, byte orders and sequences of numbers are accepted.

    Raises
    ------
    DtypeError
        If the entries are not numbers, or complex where `allow_complex` is false.
    InputError
        If nested sequences have different lengths.
    """
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name}: expected an array of numbers, got {_got(value)} ({error})") from None
    working = working_dtype(name, given.dtype)
    if working.kind == "c" and not allow_complex:
        raise DtypeError(f"{name}: expected real numbers, got dtype {given.dtype}. Pass {name}.real, or abs({name})")
    if dtype is not None:
        working = np.dtype(dtype)
    # Not ascontiguousarray, which turns a scalar into a vector.
    return np.require(given, working, ["C", "A"]) if given.ndim else given.astype(working)


def finite(name: str, value: Any, hint: str = "") -> np.ndarray:
    """Return `value` as by `array`, refused if any entry is NaN or infinite.

    Examples
    --------
    >>> finite("y", [[1.0, float("nan")]])
    Traceback (most recent call last):
        ...
    spinray.errors.InputError: y: expected finite numbers, got 1 of 2 entries NaN or infinite, first at index (0, 1)
    """
    result = array(name, value)
    if _core.all_finite(np.atleast_1d(result).view(result.real.dtype)):
        return result
    raise InputError(_with_hint(f"{name}: expected finite numbers, got {not_finite(result)}", hint))


def not_finite(values: np.ndarray) -> str:
    """Say which entries are NaN or infinite, of an array with such entries.

    Examples
    --------
    >>> not_finite(np.array([1.0, np.inf]))
    '1 of 2 entries NaN or infinite, first at index (1,)'
    """
    bad = ~np.isfinite(values)
    first = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
    return f"{np.count_nonzero(bad)} of {bad.size} entries NaN or infinite, first at index {first}"


def doubles(name: str, value: Any, shape: tuple[int | None, ...] | None = None, hint: str = "") -> np.ndarray:
    """Return finite real numbers in double, for geometry; None in `shape` stands for any length of at least one.

    Examples
    --------
    >>> doubles("angles", range(3), shape=(None,))
    array([0., 1., 2.])
    >>> doubles("angles", [], shape=(None,))
    Traceback (most recent call last):
        ...
    spinray.errors.InputError: angles: expected at least one number, got none
    """
    # Not by way of single precision, as `array` takes integers.
    given = finite(name, array(name, value, allow_complex=False, dtype=np.float64), hint)
    if shape is not None:
        fits = given.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, given.shape, strict=True))
        if not fits:
            wanted = f"({', '.join('n' if n is None else str(n) for n in shape)}{',' * (len(shape) == 1)})"
            raise InputError(_with_hint(f"{name}: expected shape {wanted}, got {given.shape}", hint))
        if given.size == 0:
            raise InputError(_with_hint(f"{name}: expected at least one number, got none", hint))
    return given
