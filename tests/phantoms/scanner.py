"""Scanners that are nothing but lists of rays."""

import numpy as np


class Rays:
    """One view per entry: origins and directions of shape (views, ..., 3); directions are brought to unit length."""

    def __init__(self, origins, directions):
        origins, directions = np.broadcast_arrays(np.asarray(origins, float), np.asarray(directions, float))
        self.origins = origins
        self.directions = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
        self.range_shape = origins.shape[:-1]

    def rays(self, view):
        return self.origins[view], self.directions[view]


def parallel(angles, columns, rows=None):
    """Parallel beams as in the design: column axis (cos t, sin t, 0), direction (-sin t, cos t, 0)."""
    t, u = np.asarray(angles)[:, None], np.asarray(columns)[None]
    origins = np.stack([u * np.cos(t), u * np.sin(t), np.zeros_like(t + u)], -1)
    directions = np.stack([-np.sin(t) + 0 * u, np.cos(t) + 0 * u, np.zeros_like(t + u)], -1)
    if rows is None:
        return Rays(origins, directions)
    origins = np.repeat(origins[:, None], len(rows), axis=1)
    origins[..., 2] = np.asarray(rows)[None, :, None]
    return Rays(origins, directions[:, None])


def integral(phantom, origin, direction):
    """The integral along one line, in double."""
    return phantom.project(Rays([origin], [direction]), dtype=np.float64).item()
