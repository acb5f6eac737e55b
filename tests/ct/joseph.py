"""The Joseph model ray by ray, from its definition: a slow NumPy reference for the kernels.

A ray is sampled where it crosses each row of voxels (each column, if that is how it is crossed more squarely in the
plane of the orbit), linearly interpolated across, and the sum is multiplied by the length between two crossings. The
image is 0 at the voxel centres beyond the grid. P. M. Joseph, IEEE Trans. Med. Imaging 1, 192 (1982).
"""

import numpy as np


def joseph(A, x):
    """Line integrals of one image, shape A.domain_shape, float64; `A` offers grid, sod and rays(view)."""
    return np.stack([_view(A, np.asarray(x, float), view) for view in range(len(A))])


def _view(A, x, view):
    origins, directions = A.rays(view)
    grid = A.grid
    volume = x if grid.ndim == 3 else x[np.newaxis]
    spacing = np.array((1.0,) * (3 - grid.ndim) + grid.spacing)[::-1]
    origin = np.array((0.0,) * (3 - grid.ndim) + grid.origin)[::-1]
    # Index coordinates (i, j, k) along (x, y, z), and their change per mm.
    start, step = (origins.reshape(-1, 3) - origin) / spacing, directions.reshape(-1, 3) / spacing
    along_y = np.abs(step[:, 1]) >= np.abs(step[:, 0])
    sums = np.empty(len(start))
    for rays, drive, across in ((along_y, 1, 0), (~along_y, 0, 1)):
        sums[rays] = _driven(volume, start[rays], step[rays], drive, across, A.sod is not None)
    return sums.reshape(origins.shape[:-1])


def _driven(volume, start, step, drive, across, has_source):
    """Integrals along rays sampled on the slabs of one axis, 0 for x and 1 for y."""
    slabs = volume.transpose(1, 2, 0) if drive == 1 else volume.transpose(2, 1, 0)
    way = (np.arange(len(slabs)) - start[:, drive, None]) / step[:, drive, None]
    reached = way > 0 if has_source else np.ones_like(way, bool)
    way = np.where(reached, way, 0.0)
    i, k = (start[:, axis, None] + way * step[:, axis, None] for axis in (across, 2))
    total = np.zeros_like(way)
    for di in (0, 1):
        for dk in (0, 1):
            near_i, near_k = np.floor(i) + di, np.floor(k) + dk
            inside = reached & (near_i >= 0) & (near_i < slabs.shape[1]) & (near_k >= 0) & (near_k < slabs.shape[2])
            weight = (1 - np.abs(i - near_i)) * (1 - np.abs(k - near_k))
            at = (np.arange(len(slabs))[None], *(np.where(inside, n, 0).astype(int) for n in (near_i, near_k)))
            total += np.where(inside, weight * slabs[at], 0.0)
    return total.sum(axis=1) / np.abs(step[:, drive])
