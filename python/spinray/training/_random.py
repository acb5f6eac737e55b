"""The states of the random generators that networks and data sets draw from: torch's, NumPy's and Python's."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import InputError

__all__ = ["OF_ORDER", "OF_TRAINING", "OF_VALIDATION", "captured", "derived", "reinstate", "seeded"]

#: Second numbers of seeds, after the configuration's: one for each use.
OF_TRAINING, OF_ORDER, OF_VALIDATION = range(3)


def captured(own: Sequence[torch.Generator] = ()) -> dict[str, Any]:
    """Return all states, and those of further generators, as plain values and tensors."""
    name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002  data sets use the global one
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": (str(name), torch.from_numpy(np.asarray(keys, np.int64)), int(position), int(has_gauss), float(gauss)),
        "python": random.getstate(),
        "own": [generator.get_state() for generator in own],
    }


def reinstate(states: dict[str, Any], own: Sequence[torch.Generator] = ()) -> None:
    """Put all states back to what they were.

    Raises
    ------
    InputError
        If the states are those of more or fewer generators.
    """
    if len(own) != len(states["own"]):
        raise InputError(f"data: expected {len(states['own'])} generators of its own, as when saved, got {len(own)}")
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002  as above
    random.setstate(states["python"])
    for generator, state in zip(own, states["own"], strict=True):
        generator.set_state(state)


def derived(*numbers: int) -> int:
    """Return a seed made of several numbers, unrelated to that of any others.

    Examples
    --------
    >>> derived(0, 1) == derived(0, 1), derived(0, 1) == derived(1, 0), derived(0, 1) == derived(0, 1, 0)
    (True, False, False)
    """
    # As entropy, numbers would end in any number of zeros.
    sequence = np.random.SeedSequence(numbers[0], spawn_key=numbers[1:])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed all generators while the body runs, then put them back."""
    before = captured()
    torch.manual_seed(seed)
    np.random.seed(seed % (1 << 32))  # noqa: NPY002  as above
    random.seed(seed)
    try:
        yield
    finally:
        reinstate(before)
