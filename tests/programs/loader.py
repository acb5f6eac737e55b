"""Run kernels in the workers of a DataLoader: `python loader.py fork|spawn used|unused`; prints what they report.

"used": the thread pool of this process is running when the workers start.
"""

import json
import multiprocessing
import sys

import numpy as np
import torch

import spinray
from spinray import _core

N_ITEMS, LENGTH = 6, 100_000


def draw(item):
    """One kernel call whose result depends on the item alone."""
    return _core.poisson(np.full(LENGTH, 3.0), 1, item * LENGTH)


class Draws(torch.utils.data.Dataset):
    """Item i is (sum of its draws, threads the kernels used, whether a worker computed it)."""

    def __len__(self):
        return N_ITEMS

    def __getitem__(self, item):
        total = draw(item).sum()
        in_worker = multiprocessing.parent_process() is not None
        return torch.tensor([total, spinray.get_num_threads(), in_worker], dtype=torch.float64)


def main(context, state):
    if state == "used":
        spinray.set_num_threads(2)
        draw(0)
    loader = torch.utils.data.DataLoader(Draws(), num_workers=2, multiprocessing_context=context)
    rows = torch.cat(list(loader)).tolist()
    print(json.dumps({"rows": rows, "here": [draw(item).sum() for item in range(N_ITEMS)]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
