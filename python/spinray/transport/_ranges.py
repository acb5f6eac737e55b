"""Which histories a result stands for: for each seed, ranges [start, stop) in order, apart from one another."""

from __future__ import annotations

from typing import Any

from .. import _checks
from ..errors import DtypeError, InputError

__all__ = ["Histories", "check_histories", "check_range", "check_seed", "count", "merged"]

#: {seed: ((start, stop), ...)}
Histories = dict[int, tuple[tuple[int, int], ...]]

#: Histories are numbered below this.
END = 2**63


def check_seed(seed: Any) -> int:
    """Return a seed, an integer of 64 bits."""
    value = _checks.integer("seed", seed, minimum=0)
    if value >= 2**64:
        raise InputError(f"seed: expected an integer below 2**64, got {value}")
    return value


def check_range(histories: Any) -> tuple[int, int]:
    """Return a range (start, stop) of histories.

    Raises
    ------
    InputError
        If it is empty, runs backwards or out of bounds.
    DtypeError
        If it is no pair of integers.

    Examples
    --------
    >>> check_range(range(100, 200))
    (100, 200)
    """
    fix = "Pass (start, stop), stop not included"
    if isinstance(histories, range):
        if histories.step != 1:
            raise InputError(f"histories: expected every history from start to stop, got {histories}")
        histories = (histories.start, histories.stop)
    if not isinstance(histories, (tuple, list)):
        raise DtypeError(f"histories: expected (start, stop), got {type(histories).__name__}. {fix}")
    if len(histories) != 2:
        raise InputError(f"histories: expected (start, stop), got {len(histories)} entries. {fix}")
    start = _checks.integer("histories[0]", histories[0], minimum=0)
    stop = _checks.integer("histories[1]", histories[1], minimum=0)
    if not start < stop <= END:
        raise InputError(f"histories: expected start < stop <= 2**63, got ({start}, {stop}). {fix}")
    return start, stop


def check_histories(histories: Any) -> Histories:
    """Return histories in order, each but once: what a file may not get wrong."""
    found: Histories = {}
    for seed, ranges in dict(histories).items():
        for pair in ranges:
            found = merged(found, {check_seed(seed): (check_range(pair),)})
    return found


def merged(a: Histories, b: Histories) -> Histories:
    """Return the histories of two results together; ranges that touch become one.

    Raises
    ------
    InputError
        If both have the same history.

    Examples
    --------
    >>> merged({0: ((0, 10),)}, {0: ((10, 30), (40, 50)), 7: ((0, 5),)})
    {0: ((0, 30), (40, 50)), 7: ((0, 5),)}
    """
    return {seed: _joined(seed, a.get(seed, ()) + b.get(seed, ())) for seed in sorted({*a, *b})}


def _joined(seed: int, ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Return ranges of one seed in order, those that touch as one."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start < joined[-1][1]:
            twice = f"[{start}, {min(stop, joined[-1][1])}) of seed {seed}"
            fix = "The same random numbers again add nothing: take another seed=, or other histories=(start, stop)"
            raise InputError(f"results: expected different histories, got {twice} in both. {fix}")
        if joined and start == joined[-1][1]:
            start = joined.pop()[0]
        joined.append((start, stop))
    return tuple(joined)


def count(histories: Histories) -> int:
    """Return how many histories these are.

    Examples
    --------
    >>> count({0: ((0, 30), (40, 50)), 7: ((0, 5),)})
    45
    """
    return sum(stop - start for ranges in histories.values() for start, stop in ranges)
