"""Joseph weights against ASTRA's, entry by entry: its `linear` projector is the same model, edges included.

ASTRA computes its weights in single precision from single-precision rays: it agrees with double precision to
5e-6 on these grids, and a weight that is really different differs by 1e-2 or more. Its pixels must be square and
its rows run against y; everything else (angles, columns, offsets, units) is spinray's. Rays of any fan are given
to it as parallel views of one column each.
"""

import numpy as np
import pytest

import spinray

astra = pytest.importorskip("astra", reason="the peer astra-toolbox is not installed")

SHAPE, SPACING = (9, 12), 1.3
ANGLES = np.random.default_rng(0).uniform(-np.pi, 3 * np.pi, 23)
TOLERANCE = 2e-5


def astra_weights(vectors: np.ndarray, n_cols: int) -> np.ndarray:
    """Weights (view, column, y, x) of views (ray direction, detector centre, column step), each (x, y)."""
    (ny, nx), half = SHAPE, SPACING / 2
    volume = astra.create_vol_geom(ny, nx, -nx * half, nx * half, -ny * half, ny * half)
    projector = astra.create_projector("linear", astra.create_proj_geom("parallel_vec", n_cols, vectors), volume)
    matrix = astra.projector.matrix(projector)
    try:
        return astra.matrix.get(matrix).toarray().reshape(len(vectors), n_cols, ny, nx)[:, :, ::-1]
    finally:
        astra.matrix.delete(matrix)
        astra.projector.delete(projector)


def forward_weights(operator) -> np.ndarray:
    """The same of a spinray operator, from the projections of all unit images."""
    images = np.eye(np.prod(SHAPE)).reshape(-1, *SHAPE)
    return np.moveaxis(operator(images), 0, -1).reshape(*operator.range_shape, *SHAPE)


def adjoint_weights(operator) -> np.ndarray:
    """The same from the back-projections of all unit sinograms."""
    sinograms = np.eye(np.prod(operator.range_shape)).reshape(-1, *operator.range_shape)
    return operator.adjoint(sinograms).reshape(*operator.range_shape, *SHAPE)


def across(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


def along(angle: float) -> np.ndarray:
    return np.array([-np.sin(angle), np.cos(angle)])


def fan_vectors(
    n_cols: int, col_spacing: float, sod: float, sdd: float, detector: str, col_offset: float
) -> np.ndarray:
    """One view per ray: (source to pixel, pixel, any step)."""
    vectors = []
    position = (np.arange(n_cols) - (n_cols - 1) / 2) * col_spacing + col_offset
    for angle in ANGLES:
        u, d = across(angle), along(angle)
        for p in position:
            arm = sdd * d + p * u if detector == "flat" else sdd * (np.cos(p / sdd) * d + np.sin(p / sdd) * u)
            vectors.append([*arm, *(arm - sod * d), *u])
    return np.array(vectors)


@pytest.mark.parametrize("weights_of", [forward_weights, adjoint_weights])
@pytest.mark.parametrize("col_offset", [0.0, 2.41])
def test_parallel_weights_are_those_of_astra(weights_of, col_offset):
    n_cols, col_spacing = 21, 0.9
    operator = spinray.ct.ParallelBeam(spinray.Grid(SHAPE, SPACING), ANGLES, n_cols, col_spacing, col_offset=col_offset)
    vectors = np.array([[*along(t), *(col_offset * across(t)), *(col_spacing * across(t))] for t in ANGLES])
    np.testing.assert_allclose(weights_of(operator), astra_weights(vectors, n_cols), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("weights_of", [forward_weights, adjoint_weights])
@pytest.mark.parametrize("detector", ["flat", "curved"])
@pytest.mark.parametrize("col_offset", [0.0, -3.3])
def test_fan_weights_are_those_of_astra(weights_of, detector, col_offset):
    n_cols, col_spacing, sod, sdd = 15, 2.1, 19.0, 31.0
    operator = spinray.ct.FanBeam(
        spinray.Grid(SHAPE, SPACING), ANGLES, n_cols, col_spacing, sod, sdd, detector=detector, col_offset=col_offset
    )
    expected = astra_weights(fan_vectors(n_cols, col_spacing, sod, sdd, detector, col_offset), 1)
    expected = expected.reshape(len(ANGLES), n_cols, *SHAPE)
    np.testing.assert_allclose(weights_of(operator), expected, rtol=0, atol=TOLERANCE)
