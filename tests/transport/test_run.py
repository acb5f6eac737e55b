"""When a simulation ends and what it calls the kernel with, seen by a kernel that only counts."""

import numpy as np
import pytest

from spinray import Grid, transport
from spinray.errors import InputError
from spinray.transport import _run

GRID = Grid((1, 1, 2))


class Kernel:
    """Every history deposits `each` of the scale in the first cell, every second one; none in the second cell."""

    each = 1.0
    #: Called with every call's (start, stop).
    seen: list

    def __init__(self, geometry, source, tallies, doppler, biasing):
        self.done, self.x = 0, 0
        Kernel.seen = []

    def simulate(self, seed, start, stop, progress):
        Kernel.seen.append((start, stop))
        for step in (1, 2):
            self.done += (stop - start) // 2 if step == 1 else (stop - start) - (stop - start) // 2
            progress(step, 2)

    def sums(self, tally):
        one = self.done // 2 * 2**32
        return [tuple(np.array([int(one * self.each**power), 0], np.uint64) for power in (1, 2))]

    def largest(self, tally):
        return max(int(sums.max()) for sums in self.sums(tally)[0])

    def scales(self, tally):
        return [60.0]

    def bound(self, tally):
        return max(self.each, 0.5)


class Part:
    grid, masses = GRID, np.ones(GRID.shape)

    def _kernel(self):
        return self


@pytest.fixture
def kernel(monkeypatch):
    for name, fake in (("Transport", Kernel), ("Geometry", Part), ("Source", Part)):
        monkeypatch.setattr(_run._core, name, fake, raising=False)
    monkeypatch.setattr(Kernel, "each", 1.0)
    return Kernel


def simulate(*arguments, **options):
    return transport.simulate(Part(), Part(), *arguments, **options)


def test_a_million_histories_unless_told_otherwise(kernel):
    assert simulate().n_histories == 1_000_000
    assert kernel.seen == [(0, 1_000_000)]
    simulate(histories=(5, 9))
    assert kernel.seen == [(5, 9)]


def test_the_number_of_histories_follows_from_the_uncertainty(kernel):
    # The relative variance of a history of one half chance is 1: the error is 1 / sqrt(n).
    result = simulate(until=transport.Until(uncertainty=1e-3))
    assert 1_000_000 <= result.n_histories < 1.1 * 1_000_000
    assert result["dose"].uncertainty() == pytest.approx(result.n_histories**-0.5, rel=1e-4)
    # Few looks, each with the whole that went before it.
    assert len(kernel.seen) < 8
    assert all(a[1] == b[0] for a, b in zip(kernel.seen[:-1], kernel.seen[1:], strict=True))


def test_the_number_of_histories_limits_what_uncertainty_wants(kernel):
    assert simulate(50_000, until=transport.Until(uncertainty=1e-3)).n_histories == 50_000
    assert simulate(histories=(7, 50), until=transport.Until(uncertainty=1e-3)).histories == {0: ((7, 50),)}


def test_a_source_that_reaches_nothing_ends_the_wait_for_certainty(kernel, monkeypatch):
    monkeypatch.setattr(kernel, "each", 0.0)
    with pytest.raises(InputError, match=r"^until: 'dose' scored nothing in .* histories.*reach the phantom"):
        simulate(until=transport.Until(uncertainty=0.01))
    assert kernel.seen[-1][1] < 10**9


def test_a_region_that_nothing_reaches_waits_no_longer_than_the_limit(kernel):
    region = np.array([[[False, True]]])
    result = simulate(10**6, until=transport.Until(uncertainty=0.01, region=region))
    assert result.n_histories == 10**6


def test_time_ends_a_call_and_the_histories_done_count(kernel, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(_run.time, "perf_counter", lambda: float(next(clock)))
    result = simulate(until=transport.Until(seconds=1.0))
    # Half of a call, which heard so when it reported.
    assert [result.n_histories] == [stop // 2 for _, stop in kernel.seen]
    assert result.seconds >= 1.0


@pytest.mark.parametrize(("on_interrupt", "seen"), [("raise", None), ("return", 500)])
def test_an_interrupted_kernel_leaves_what_it_has_done(kernel, monkeypatch, on_interrupt, seen):
    def interrupted(self, seed, start, stop, progress):
        self.done += 500
        raise KeyboardInterrupt

    monkeypatch.setattr(kernel, "simulate", interrupted)
    if seen is None:
        with pytest.raises(KeyboardInterrupt):
            simulate(1000, on_interrupt=on_interrupt)
    else:
        assert simulate(1000, on_interrupt=on_interrupt).histories == {0: ((0, seen),)}


def test_an_interrupt_before_anything_is_done_raises_in_any_case(kernel, monkeypatch):
    def interrupted(self, seed, start, stop, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(kernel, "simulate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(1000, on_interrupt="return")


def test_sums_are_looked_at_before_they_can_overflow(kernel):
    # Every second history deposits everything: sums reach 2^64 after 2^33 histories, could after 2^32.
    safe = 2**33 - 2**20
    assert simulate(safe).n_histories == safe
    assert kernel.seen[0][1] <= 2**32
    assert len(kernel.seen) < 40
    with pytest.raises(InputError, match=r"^n_histories: the sums of 'dose' would exceed 64 bits beyond 8,589,9"):
        simulate(2**33 + 2**20)


def test_the_bound_of_a_tally_counts(kernel, monkeypatch):
    monkeypatch.setattr(kernel, "each", 16.0)
    # Squares are 256 at most: half of the histories reach it.
    simulate(2**25 - 2**15)
    assert kernel.seen[0][1] <= 2**24
    with pytest.raises(InputError, match=r"^n_histories: the sums of 'dose' would exceed 64 bits"):
        simulate(2**26)
