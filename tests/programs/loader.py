"""Project in the workers of a DataLoader: `python loader.py fork|spawn|forkserver used|unused`; prints what they say.

"used": the thread pool of this process is running when the workers start, and its small calls stay in their thread.
"""

import json
import multiprocessing
import sys

import numpy as np
import torch

import spinray

N_ITEMS = 6


class Projections(torch.utils.data.Dataset):
    """Item i is a projected image, the threads the kernel had, and whether a worker computed it."""

    def __init__(self):
        grid = spinray.Grid((96, 96))
        self.scan = spinray.ct.ParallelBeam(grid, np.linspace(0.0, np.pi, 90, endpoint=False), n_cols=140)
        self.small_scan = spinray.ct.ParallelBeam(spinray.Grid((8, 8)), self.scan.angles, n_cols=12)

    def __len__(self):
        return N_ITEMS

    def __getitem__(self, item):
        image = torch.from_numpy(np.random.default_rng(item).random(self.scan.domain_shape, np.float32))
        in_worker = multiprocessing.parent_process() is not None
        for _ in range(100):
            small = self.small_scan(image[:8, :8])
        return torch.cat([self.scan(image).ravel(), small.ravel()]), spinray.get_num_threads(), in_worker


def main(context, state):
    data = Projections()
    if state == "used":
        spinray.set_num_threads(2)
        data[0]
    loader = torch.utils.data.DataLoader(data, num_workers=2, multiprocessing_context=context)
    rows = [(sinogram[0], int(threads), bool(in_worker)) for sinogram, threads, in_worker in loader]
    same = [torch.equal(sinogram, data[item][0]) for item, (sinogram, _, _) in enumerate(rows)]
    print(json.dumps({"same": same, "threads": [row[1] for row in rows], "in_worker": [row[2] for row in rows]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
