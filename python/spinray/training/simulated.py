"""Training samples made while the network trains."""

from __future__ import annotations

import copy
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch.utils.data import Dataset, default_collate

from .. import _checks
from ..errors import DtypeError, InputError

__all__ = ["Simulated"]

_MOST_SEED = 1 << 64
#: Epochs of an endless stream are that many samples apart: a second iteration goes on with samples of its own.
_ENDLESS = 1 << 40


class Simulated(Dataset[Any]):
    """Samples of a recipe, made by background threads while the network trains.

    Iterating gives batches in order; the next ones are made meanwhile. Sample i is ``recipe(seed, i)`` whoever makes
    it, so its bits depend neither on the threads nor on how far they are ahead. Epoch e holds the samples e n to
    e n + n - 1: nothing is seen twice. Indexing, ``data[i]``, makes the i-th sample of the epoch in the caller's
    thread, which is what the workers of a `torch.utils.data.DataLoader` do.

    Parameters
    ----------
    recipe : function
        ``recipe(seed, index)`` returns one sample, usually (inputs, targets), of tensors, NumPy arrays or numbers. A
        pure function: all that is random in it comes from its two arguments. It may be called by several threads at
        once. Kernels of spinray and NumPy's arithmetic let the network go on meanwhile; loops in Python do not.
    n : int, optional
        Samples of an epoch; without it an iteration never ends.
    seed : int
        First argument of the recipe, in [0, 2**64).
    batch_size : int, optional
        Samples stacked along a new first axis, the last batch of an epoch perhaps fewer. Without it samples come as
        the recipe makes them, which may be batches already.
    threads : int
        Threads that make samples. One is right where the recipe's kernels are parallel themselves.
    ahead : int
        Batches that are ready or in the making, at most. More are begun once half of them have been taken.
    fresh : bool
        Whether every epoch has new samples, or all have those of epoch 0 (validation).

    Attributes
    ----------
    epoch : int
        Epoch that the next iteration and indexing give; see `set_epoch`.
    waited : float
        Seconds that iterations have waited for samples so far.

    Raises
    ------
    InputError
        If a count is below 1 or the seed out of range.
    DtypeError
        If the recipe cannot be called, or an argument is no integer.

    Notes
    -----
    An exception in the recipe is raised by the iteration at the batch it belongs to. Leaving an iteration early (break,
    an exception, Ctrl-C) lets the samples in the making finish and drops them. After a fork the child makes its
    samples by threads of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.training import Simulated
    >>> def recipe(seed, index):
    ...     clean = np.random.default_rng([seed, index]).normal(size=3)
    ...     return clean + 0.1, clean
    >>> data = Simulated(recipe, n=4, seed=1, batch_size=2)
    >>> for inputs, targets in data:
    ...     print(tuple(inputs.shape), round((inputs - targets).mean().item(), 3))
    (2, 3) 0.1
    (2, 3) 0.1
    """

    def __init__(
        self,
        recipe: Callable[[int, int], Any],
        n: int | None = None,
        seed: int = 0,
        *,
        batch_size: int | None = None,
        threads: int = 1,
        ahead: int = 16,
        fresh: bool = True,
    ) -> None:
        if not callable(recipe):
            raise DtypeError(f"recipe: expected a function recipe(seed, index), got {type(recipe).__name__}")
        self.recipe = recipe
        self.n = None if n is None else _checks.integer("n", n, minimum=1)
        self.seed = _checks.integer("seed", seed, minimum=0)
        if self.seed >= _MOST_SEED:
            raise InputError(f"seed: expected an integer below 2**64, got {seed}")
        self.batch_size = None if batch_size is None else _checks.integer("batch_size", batch_size, minimum=1)
        self.threads = _checks.integer("threads", threads, minimum=1)
        self.ahead = _checks.integer("ahead", ahead, minimum=1)
        self.fresh = fresh
        self.waited = 0.0
        # In shared memory, where workers of a DataLoader that live on see it change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._rank, self._world = 0, 1

    @property
    def epoch(self) -> int:  # noqa: D102  see the class
        return int(self._epoch)

    def __len__(self) -> int:
        """Return the number of samples of an epoch."""
        if self.n is None:
            raise DtypeError("n: this stream of samples is endless and has no length. Use Simulated(recipe, n)")
        return self.n

    def __getitem__(self, index: int) -> Any:
        """Return sample `index` of the epoch, made here and now."""
        position = _checks.integer("index", index)
        if self.n is not None and not -self.n <= position < self.n:
            raise IndexError(f"index: expected one of {self.n} samples, got {position}")
        if self.n is not None:
            position %= self.n
        return _tensors(self.recipe(self.seed, self._first(self.epoch) + position))

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration gives, in loops of your own; `spinray.training.fit` says it by itself."""
        self._epoch.fill_(_checks.integer("epoch", epoch, minimum=0))

    def part(self, rank: int, world: int) -> Simulated:
        """Return what one of several processes that train together makes: of each batch, every `world`-th sample.

        Samples that are batches already are dealt out one by one.

        Parameters
        ----------
        rank, world : int
            Number of the process, from 0, and of all; `spinray.training.fit` finds them by itself.

        Raises
        ------
        InputError
            If the batches cannot be divided among so many, or there is none of that number.

        Examples
        --------
        >>> from spinray.training import Simulated
        >>> data = Simulated(lambda seed, index: index, n=8, batch_size=4)
        >>> [batch.tolist() for batch in data.part(1, 2)]
        [[1, 3], [5, 7]]
        """
        world = _checks.integer("world", world, minimum=1)
        if not 0 <= _checks.integer("rank", rank) < world:
            raise InputError(f"rank: expected 0 to {world - 1}, got {rank}")
        if self.batch_size is not None and self.batch_size % world:
            raise InputError(f"batch_size: expected a multiple of the {world} processes, got {self.batch_size}")
        part = self if world == 1 else copy.copy(self)
        part._rank, part._world = rank, world
        if part.n_batches == 0:
            raise InputError(f"n: expected a sample for each of {world} processes, got {self.n}")
        return part

    def __iter__(self) -> Iterator[Any]:
        """Give the batches of an epoch in order."""
        epoch = self.epoch
        self.set_epoch(epoch + 1)
        return self.batches(epoch)

    @property
    def n_batches(self) -> int | None:
        """Batches of an epoch; None if it never ends."""
        if self.n is None:
            return None
        whole, left = divmod(self.n, self.batch_size or self._world)
        return whole + (left >= self._world)

    def batches(self, epoch: int, first: int = 0) -> Iterator[Any]:
        """Give the batches of an epoch from number `first` on; those before are not made."""
        return _Ahead(self, itertools.islice(self._indices(self._first(epoch)), first, None))

    def _first(self, epoch: int) -> int:
        """Return the index of the first sample of an epoch."""
        return epoch * (self.n or _ENDLESS) if self.fresh else 0

    def _make(self, indices: range) -> Any:
        """Make one batch, or one sample where they are not stacked."""
        samples = [_tensors(self.recipe(self.seed, index)) for index in indices]
        return samples[0] if self.batch_size is None else default_collate(samples)

    def _indices(self, first: int) -> Iterator[range]:
        """Give the sample numbers of each batch of an epoch, those of this process."""
        size = self.batch_size or self._world
        for k in itertools.count() if self.n_batches is None else range(self.n_batches):
            start = first + k * size
            count = size if self.n is None else min(size, self.n - k * size)
            yield range(start + self._rank, start + count // self._world * self._world, self._world)


class _Ahead:
    """One iteration: batches in order, a few of them in the making."""

    def __init__(self, data: Simulated, to_do: Iterator[range]) -> None:
        self._data = data
        self._to_do = to_do
        self._pending: deque[tuple[range, Future[Any]]] = deque()
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._pool = ThreadPoolExecutor(self._data.threads, thread_name_prefix="spinray-simulated")

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if os.getpid() != self._pid:
            self._begin_anew_after_fork()
        # Many at once: each submission wakes a thread, which may take this one's processor for a while.
        ahead = self._data.ahead
        if len(self._pending) <= max(ahead // 2, min(self._data.threads, ahead - 1)):
            for indices in itertools.islice(self._to_do, ahead - len(self._pending)):
                self._pending.append((indices, self._pool.submit(self._data._make, indices)))
        if not self._pending:
            self._stop()
            raise StopIteration
        start = time.perf_counter()
        try:
            _, future = self._pending.popleft()
            batch = future.result()
        except BaseException:
            self._stop()
            raise
        self._data.waited += time.perf_counter() - start
        return batch

    def _begin_anew_after_fork(self) -> None:
        """Start threads of one's own: those of the parent are not here, and what they were making never comes."""
        self._start()
        self._pending = deque((indices, self._pool.submit(self._data._make, indices)) for indices, _ in self._pending)

    def _stop(self) -> None:
        self._to_do = iter(())
        self._pending.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __del__(self) -> None:
        if self._pid == os.getpid():
            self._pool.shutdown(wait=False, cancel_futures=True)


def _tensors(sample: Any) -> Any:
    """Return a sample with its arrays as tensors; tuples, lists and dicts are followed."""
    if isinstance(sample, (tuple, list)):
        return tuple(_tensors(part) for part in sample)
    if isinstance(sample, dict):
        return {name: _tensors(part) for name, part in sample.items()}
    return sample if isinstance(sample, torch.Tensor) else torch.as_tensor(sample)
