"""Where batches come from: tensors, a Dataset, a DataLoader, or anything that can be iterated once an epoch.

All become an object with ``batches(epoch, first)``, which gives the batches of an epoch from number `first` on, and
``n_batches``, how many an epoch has, or None. Data that have both already are taken as they are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ..errors import DtypeError, InputError
from ._processes import Processes
from ._random import OF_ORDER, derived
from .simulated import Simulated

__all__ = ["Batches", "batches_of", "generators_of", "n_samples", "tensors_of"]

#: Bytes of batches that are gathered at once; always one batch.
_GATHERED = 1 << 20


class Batches(Protocol):
    """Batches, epoch by epoch."""

    @property
    def n_batches(self) -> int | None:
        """How many an epoch has, where known."""

    def batches(self, epoch: int, first: int) -> Iterator[Any]:
        """Give those of an epoch (from 0), from number `first` on."""


def batches_of(name: str, data: Any, batch_size: int, seed: int | None, processes: Processes) -> Batches:
    """Return the batches of any kind of data.

    Parameters
    ----------
    name
        Of the argument, for errors.
    data
        A tuple (inputs, targets) of tensors or of tuples of them, or a map-style Dataset: batches are formed here. Any
        other iterable gives batches.
    batch_size
        Of those formed here.
    seed
        Of the order of the samples; None keeps them in order.
    processes
        Which process of how many this is; batches formed here are divided among them.

    Raises
    ------
    InputError
        If there are no samples, or tensors differ in their number.
    DtypeError
        If the data are nothing of the kind.
    """
    if isinstance(data, IterableDataset):
        raise DtypeError(
            f"{name}: expected batches, got {type(data).__name__}, an IterableDataset, which may give single samples. "
            "Wrap it in a DataLoader(dataset, batch_size=32), or batch_size=None if it gives batches"
        )
    if isinstance(data, Simulated):
        return data.part(processes.rank, processes.world)
    if hasattr(data, "batches") and hasattr(data, "n_batches"):
        return data
    if isinstance(data, tuple):
        if len(data) != 2:
            raise InputError(f"{name}: expected a pair (inputs, targets), got a tuple of {len(data)}")
        return _Formed(name, data, n_samples(name, data), batch_size, seed, processes)
    if isinstance(data, Dataset) and not hasattr(data, "__iter__"):
        return _Formed(name, data, n_samples(name, data), batch_size, seed, processes)
    if isinstance(data, Iterable) and not isinstance(data, torch.Tensor):
        return _Given(data)
    raise DtypeError(
        f"{name}: expected (inputs, targets), a Dataset, a DataLoader or another iterable of batches, "
        f"got {type(data).__name__}"
    )


def n_samples(name: str, data: Any) -> int:
    """Return the number of samples of tensors or of a Dataset.

    Raises
    ------
    InputError
        If there are none, or the tensors differ.
    DtypeError
        If a tuple holds anything else than tensors.
    """
    if not isinstance(data, tuple):
        counts = {len(data)}
    else:
        tensors = tensors_of(data)
        if not tensors or any(not isinstance(t, torch.Tensor) or t.ndim == 0 for t in tensors):
            got = ", ".join(type(t).__name__ for t in tensors) or "none"
            raise DtypeError(f"{name}: expected tensors with an axis of samples, got {got}. Try torch.as_tensor")
        counts = {len(t) for t in tensors}
    if len(counts) != 1:
        raise InputError(f"{name}: expected tensors of as many samples, got {[len(t) for t in tensors_of(data)]}")
    (count,) = counts
    if count < 1:
        raise InputError(f"{name}: expected at least one sample, got none")
    return count


def tensors_of(nested: Any) -> list[Any]:
    """Return the leaves of nested tuples and lists.

    Examples
    --------
    >>> tensors_of((1, [2, (3,)]))
    [1, 2, 3]
    """
    if isinstance(nested, (tuple, list)):
        return [leaf for part in nested for leaf in tensors_of(part)]
    return [nested]


def _nested_like(nested: Any, leaves: Iterator[Any]) -> Any:
    """Return the same nesting of other leaves."""
    if isinstance(nested, (tuple, list)):
        return tuple(_nested_like(part, leaves) for part in nested)
    return next(leaves)


def _gathered(t: torch.Tensor, batches: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    """Return batches of a tensor, given the numbers of the samples in each."""
    if len(batches) == 1:
        return [t[batches[0]]]
    samples = t.index_select(0, torch.cat(tuple(batches)).to(t.device))
    # Views of torch's `split` must not be changed in place; nobody else sees `samples`.
    return torch.unsafe_split_with_sizes(samples, [len(indices) for indices in batches])


class _Formed:
    """Batches formed here, of shuffled samples: batch k of an epoch is known without those before it."""

    def __init__(self, name: str, data: Any, count: int, size: int, seed: int | None, processes: Processes) -> None:
        if size % processes.world:
            raise InputError(f"batch_size: expected a multiple of the {processes.world} processes, got {size}")
        self._data, self._count, self._size, self._seed, self._processes = data, count, size, seed, processes
        self.n_batches = math.ceil(count / size)
        if count % size and count % size < processes.world:
            self.n_batches -= 1  # too few for each process to have one
        if not self.n_batches:
            raise InputError(f"{name}: expected a sample for each of {processes.world} processes, got {count}")

    def batches(self, epoch: int, first: int) -> Iterator[Any]:
        _tell(epoch, self._data)
        order = torch.arange(self._count)
        if self._seed is not None:
            chance = torch.Generator().manual_seed(derived(self._seed, OF_ORDER, epoch))
            order = torch.randperm(self._count, generator=chance)
        chosen = [self._part(batch) for batch in order.split(self._size)[: self.n_batches]]
        if isinstance(self._data, tuple):
            return self._of_tensors(chosen, first)
        # A generator of its own: the loader draws a seed for workers, and has none.
        lists = [indices.tolist() for indices in chosen[first:]]
        return iter(DataLoader(self._data, batch_sampler=lists, generator=torch.Generator()))

    def _of_tensors(self, chosen: list[torch.Tensor], first: int) -> Iterator[Any]:
        """Give batches of tensors. Small ones are gathered many at once: a call takes longer than its copying."""
        tensors, at_once = tensors_of(self._data), 1
        # Batches that need gradients are nodes of their own in the graph; layouts other than the usual one are kept.
        if all(t.is_contiguous() and not t.requires_grad for t in tensors):
            at_once = max(1, _GATHERED * self._count // max(1, self._size * sum(t.nbytes for t in tensors)))
        # The same ones together wherever one begins: a batch's place in memory may decide its last bits.
        for k in range(first - first % at_once, len(chosen), at_once):
            together = chosen[k : k + at_once]
            parts = [_gathered(t, together) for t in tensors]
            for batch in list(zip(*parts, strict=True))[max(0, first - k) :]:
                yield _nested_like(self._data, iter(batch))

    def _part(self, batch: torch.Tensor) -> torch.Tensor:
        world = self._processes.world
        return batch[: len(batch) // world * world][self._processes.rank :: world]


class _Given:
    """Batches that come from outside, again from the beginning of the epoch where some are skipped."""

    def __init__(self, data: Any) -> None:
        self._data = data

    @property
    def n_batches(self) -> int | None:
        # The length of a Dataset that gives batches may be that of its samples.
        if isinstance(self._data, Dataset) or not isinstance(self._data, Sized):
            return None
        try:
            return len(self._data)
        except TypeError:  # a DataLoader of a stream
            return None

    def batches(self, epoch: int, first: int) -> Iterator[Any]:
        _tell(epoch, *_parts(self._data))
        iterator = iter(self._data)
        # Now, not when the next one is asked for: the generators are those of the beginning of the epoch.
        for _ in itertools.islice(iterator, first):
            pass
        return iterator


def _tell(epoch: int, *parts: Any) -> None:
    """Say which epoch it is to those that want to know, and to the data sets within them."""
    for part in parts:
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)
        within = (getattr(part, "dataset", None), getattr(part, "data", None), *getattr(part, "datasets", ()))
        _tell(epoch, *(one for one in within if isinstance(one, Dataset)))


def _parts(data: Any) -> list[Any]:
    """Return what of a DataLoader may have an epoch or a generator: itself and its samplers, each once."""
    batch_sampler = getattr(data, "batch_sampler", None)
    parts = (data, getattr(data, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None))
    return list({id(part): part for part in parts}.values())


def generators_of(data: Any) -> list[torch.Generator]:
    """Return the generators that the order of `data` comes from, each once; the global ones are not among them."""
    found = (getattr(part, "generator", None) for part in _parts(data))
    return list({id(one): one for one in found if isinstance(one, torch.Generator)}.values())
