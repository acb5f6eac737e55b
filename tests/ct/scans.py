"""Scans that the tests of this folder share."""

import numpy as np
from hypothesis import strategies as st

from spinray import Grid, ct

ANGLES = np.array([0.13, 1.2, 2.9, 4.4, 5.9])


def every_scan(fineness=1):
    """One scan of each class, kind of detector and dimension with every offset set, `fineness` times as fine."""
    n = fineness
    plane = Grid((6 * n, 5 * n), (1.1 / n, 0.8 / n), (-3.0, -1.5))
    space = Grid((3 * n, 6 * n, 5 * n), (1.3 / n, 1.1 / n, 0.8 / n), (-1.4, -3.0, -1.5))
    rows = {"n_rows": 4 * n, "row_spacing": 1.2 / n, "row_offset": 0.3}
    cone = ((4 * n, 7 * n), (1.6 / n, 1.4 / n), 30.0, 45.0)
    return {
        "parallel": ct.ParallelBeam(plane, ANGLES, 9 * n, 0.9 / n, col_offset=0.6),
        "parallel stack": ct.ParallelBeam(space, ANGLES, 8 * n, 0.9 / n, col_offset=0.6),
        "parallel rows": ct.ParallelBeam(space, ANGLES, 8 * n, 0.9 / n, col_offset=0.6, **rows),
        "fan flat": ct.FanBeam(plane, ANGLES, 9 * n, 1.4 / n, 30.0, 45.0, col_offset=-0.7),
        "fan curved": ct.FanBeam(plane, ANGLES, 9 * n, 1.4 / n, 30.0, 45.0, "curved", -0.7),
        "fan sdd = sod": ct.FanBeam(plane, ANGLES, 9 * n, 0.9 / n, 30.0, 30.0),
        "cone flat": ct.ConeBeam(space, ANGLES, *cone, "flat", (0.4, -0.7)),
        "cone curved": ct.ConeBeam(space, ANGLES, *cone, "curved", (0.4, -0.7)),
        "cone sdd = sod": ct.ConeBeam(space, ANGLES, (5 * n, 7 * n), 0.9 / n, 30.0, 30.0),
    }


EVERY_SCAN = every_scan()


@st.composite
def scans(draw, whole=False):
    """Any scan of a small grid: odd or even, oblong voxels or not, centred or not, a detector of any size.

    The rays may graze or miss the object. A `whole` scan has some more voxels and views, and most of its object in
    front of the detector.
    """
    ndim = draw(st.sampled_from([2, 3]))
    shape = tuple(draw(st.integers(*((12, 40 if ndim == 2 else 20) if whole else (1, 9)))) for _ in range(ndim))
    spacing = tuple(draw(st.floats(0.3, 3.0)) * (0.4 if whole else 1.0) for _ in range(ndim))
    # Small shifts keep rays away from ties, where rounding chooses between two neighbours.
    shift = [draw(st.floats(-1.0, 1.0)) * (3.0 if whole else 10.0) + 0.0137 for _ in range(ndim)]
    grid = Grid(shape, spacing, [m - (n - 1) / 2 * s for m, n, s in zip(shift, shape, spacing, strict=True)])
    n_views = draw(st.integers(6, 20) if whole else st.integers(1, 4))
    angles = [draw(st.floats(-7.0, 7.0)) + 0.00173 for _ in range(n_views)]
    offset, row_offset = (draw(st.floats(-1.0, 1.0)) * 6.0 for _ in range(2))
    n_cols, n_rows = draw(st.integers(20 if whole else 1, 40)), draw(st.integers(10 if whole else 1, 20))
    col_spacing, row_spacing = (draw(st.floats(0.8 if whole else 0.1, 4.0)) for _ in range(2))
    kind = draw(st.sampled_from(["parallel", "stack", "flat", "curved"]))
    if kind in ("parallel", "stack"):
        by_slices = ndim == 2 or kind == "stack"
        rows = {} if by_slices else {"n_rows": n_rows, "row_spacing": row_spacing, "row_offset": row_offset}
        return ct.ParallelBeam(grid, angles, n_cols, col_spacing, col_offset=offset, **rows)
    sod = draw(st.floats(55.0, 200.0))
    sdd = sod * draw(st.sampled_from([1.0, 1.2, 3.0]))
    if ndim == 2:
        return ct.FanBeam(grid, angles, n_cols, col_spacing, sod, sdd, kind, offset)
    spacings, offsets = (row_spacing, col_spacing), (row_offset, offset)
    return ct.ConeBeam(grid, angles, (n_rows, n_cols), spacings, sod, sdd, kind, offsets)
