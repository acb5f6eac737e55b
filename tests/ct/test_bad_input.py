"""What scans do with input that is wrong, odd or huge: a clear error that names the argument, or the right answer."""

import re

import numpy as np
import pytest

from ct.joseph import joseph
from ct.scans import EVERY_SCAN
from spinray import Grid, ct
from spinray.errors import DtypeError, InputError
from spinray.grid import Volume
from spinray.testing import assert_adjoint

PLANE, SPACE = Grid((8, 9)), Grid((4, 8, 9))
OBLIQUE = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])


def parallel(grid=PLANE, angles=(0.0, 1.0), n_cols=12, **options):
    return ct.ParallelBeam(grid, angles, n_cols, **options)


def fan(grid=PLANE, angles=(0.0, 1.0), n_cols=12, col_spacing=1.0, sod=30.0, sdd=45.0, **options):
    return ct.FanBeam(grid, angles, n_cols, col_spacing, sod, sdd, **options)


def cone(grid=SPACE, angles=(0.0, 1.0), detector_shape=(6, 12), spacing=1.0, sod=30.0, sdd=45.0, **options):
    return ct.ConeBeam(grid, angles, detector_shape, spacing, sod, sdd, **options)


NAN, INF = float("nan"), float("inf")
WRONG_NUMBERS = {
    "angles": ([], [NAN, 0.0], [0.0, INF], [[0.0, 1.0]], 0.5, ["a", "b"], [None], "all", None, [1j], [object()]),
    "n_cols": (0, -3, 2.0, "12", None, True, NAN, [12]),
    "col_spacing": (0.0, -1.0, NAN, INF, "1", None, [1.0, 2.0], 1j),
    "col_offset": (NAN, INF, "left", None, [0.0]),
    "sod": (0.0, -5.0, NAN, INF, "far", None),
    "sdd": (0.0, -5.0, NAN, INF, "far", None),
    "detector": ("round", "", None, 1, "FLAT"),
}


@pytest.mark.parametrize(
    ("build", "name", "value"),
    [
        (build, name, value)
        for build, names in (
            (parallel, ("angles", "n_cols", "col_spacing", "col_offset")),
            (fan, tuple(WRONG_NUMBERS)),
            (cone, ("angles", "sod", "sdd", "detector")),
        )
        for name in names
        for value in WRONG_NUMBERS[name]
    ],
    ids=lambda part: part.__name__ if callable(part) else repr(part),
)
def test_wrong_numbers_are_refused_by_name(build, name, value):
    with pytest.raises((ValueError, TypeError), match=f"^{name}") as caught:
        build(**{name: value})
    assert isinstance(caught.value, (InputError, DtypeError))
    assert re.search("expected|must", str(caught.value))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector_shape": (0, 12)}, r"detector_shape\[0\]: expected an integer >= 1"),
        ({"detector_shape": (6, -1)}, r"detector_shape\[1\]: expected an integer >= 1"),
        ({"detector_shape": 12}, "detector_shape: expected"),
        ({"detector_shape": (6, 12, 2)}, "detector_shape: expected 2 integers"),
        ({"detector_shape": (6.0, 12)}, r"detector_shape\[0\]: expected an integer"),
        ({"spacing": 0.0}, "detector_spacing: expected a positive number"),
        ({"spacing": (1.0, -1.0)}, r"detector_spacing\[1\]: expected a positive number"),
        ({"spacing": (1.0, 1.0, 1.0)}, "detector_spacing: expected one number or 2"),
        ({"spacing": (NAN, 1.0)}, r"detector_spacing\[0\]: expected a finite number"),
        ({"detector_offset": (0.0, INF)}, r"detector_offset\[1\]: expected a finite number"),
        ({"detector_offset": "middle"}, "detector_offset: expected"),
    ],
    ids=repr,
)
def test_wrong_detectors_of_cones_are_refused_by_name(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        cone(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_rows": 4}, "n_rows: a 2-D grid is seen by a single row, got 4"),
        ({"row_spacing": 1.0}, "row_spacing: a 2-D grid"),
        ({"row_offset": 1.0}, "row_offset: a 2-D grid"),
        ({"grid": SPACE, "n_rows": 0}, "n_rows: expected an integer >= 1"),
        ({"grid": SPACE, "n_rows": -2}, "n_rows: expected an integer >= 1"),
        ({"grid": SPACE, "n_rows": 2.5}, "n_rows: expected an integer"),
        ({"grid": SPACE, "row_spacing": 0}, "row_spacing: expected a positive number"),
        ({"grid": SPACE, "row_offset": NAN}, "row_offset: expected a finite number"),
    ],
    ids=repr,
)
def test_wrong_rows_are_refused_by_name(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        parallel(**options)


def test_grids_of_the_wrong_dimension_are_refused_with_the_class_to_use():
    with pytest.raises(InputError, match=r"grid: FanBeam needs a 2-D grid, got shape \(4, 8, 9\). Use ConeBeam"):
        fan(grid=SPACE)
    with pytest.raises(InputError, match=r"grid: ConeBeam needs a 3-D grid, got shape \(8, 9\). Use FanBeam"):
        cone(grid=PLANE)


@pytest.mark.parametrize("build", [parallel, fan, cone])
def test_oblique_grids_are_refused_with_the_cure(build):
    shape = (4, 8, 9) if build is cone else (8, 9)
    with pytest.raises(InputError, match=r"grid: .*oblique.*volume.resample"):
        build(grid=Grid(shape, direction=OBLIQUE))


@pytest.mark.parametrize("build", [parallel, fan, cone])
@pytest.mark.parametrize("grid", [(8, 9), None, np.zeros((8, 9)), Volume(np.zeros((4, 8, 9)), np.eye(4))])
def test_what_is_no_grid_is_refused(build, grid):
    with pytest.raises(DtypeError, match="grid: expected a spinray"):
        build(grid=grid)


@pytest.mark.parametrize("build", [fan, cone])
def test_a_detector_nearer_than_the_axis_is_refused_and_one_on_it_is_not(build):
    with pytest.raises(InputError, match="sdd: must be at least sod"):
        build(sod=45.0, sdd=30.0)
    with pytest.raises(InputError, match="sdd"):
        build(sod=45.0, sdd=np.nextafter(45.0, 0))
    A = build(sod=45.0, sdd=45.0)
    assert A(np.ones(A.domain_shape)).max() > 8
    assert_adjoint(A, dtype=np.float64)


@pytest.mark.parametrize("build", [fan, cone])
def test_a_source_inside_the_box_is_refused(build):
    with pytest.raises(InputError, match=r"sod: .*inside the grid's box at view 0"):
        build(sod=3.0)
    # On the face of the box, which counts as inside; just outside; inside in one view out of two.
    with pytest.raises(ValueError, match="sod"):
        build(angles=[0.0], sod=4.0)
    build(angles=[0.0], sod=4.0 + 1e-9)
    with pytest.raises(ValueError, match=r"sod: .*view 1"):
        build(angles=[0.0, np.pi / 2], sod=4.2)


# Data.


@pytest.mark.parametrize("name", EVERY_SCAN)
def test_wrong_shapes_are_refused_with_the_expected_one(name):
    A = EVERY_SCAN[name]
    for operator, letter in ((A, "x"), (A.H, "y")):
        right = operator.domain_shape
        for wrong in (right[:-1], (*right[:-1], right[-1] + 1), (right[-1] + 3, *right[1:]), (*right, 1), ()):
            message = rf"{letter}: expected shape {re.escape(str(right))}.*got {re.escape(str(wrong))}"
            with pytest.raises(InputError, match=message):
                operator(np.zeros(wrong))


@pytest.mark.parametrize("name", ["parallel", "cone flat"])
def test_wrong_dtypes_are_refused_and_every_number_is_accepted(name):
    A = EVERY_SCAN[name]
    shape = A.domain_shape
    dates = np.full(shape, "2020-01-01", "datetime64[D]")
    for bad in (np.full(shape, "1.0"), np.full(shape, None), dates, "image", np.zeros(shape, "f4,f4")):
        with pytest.raises(DtypeError, match="x: expected an array of numbers"):
            A(bad)
    with pytest.raises((DtypeError, InputError), match="x"):
        A(None)
    with pytest.raises(InputError, match="x: expected an array of numbers"):
        A([[1.0], [1.0, 2.0]])
    expected = A(np.ones(shape))
    for dtype in (np.float32, np.float16, np.int8, np.uint16, np.int64, bool):
        y = A(np.ones(shape, dtype))
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * expected.max())
    for dtype in (np.float64, ">f8"):
        y = A(np.ones(shape, dtype))
        assert y.dtype == np.float64
        np.testing.assert_array_equal(y, expected)
    for dtype in (np.complex64, np.complex128):
        y = A(1j * np.ones(shape, dtype))
        assert y.dtype == dtype
        np.testing.assert_allclose(y.imag, expected, rtol=0, atol=1e-5 * expected.max())
        assert not y.real.any()


@pytest.mark.parametrize("name", EVERY_SCAN)
def test_strides_of_every_kind_give_the_same(name, rng):
    A = EVERY_SCAN[name]
    for operator in (A, A.H):
        x = rng.standard_normal((2, *operator.domain_shape))
        expected = operator(x)
        flipped = np.ascontiguousarray(x[..., ::-1])[..., ::-1]
        turned = np.ascontiguousarray(x[..., ::-1, :])[..., ::-1, :]
        spread = np.repeat(np.repeat(x, 3, axis=-1), 2, axis=0)[::2, ..., ::3]
        transposed = np.ascontiguousarray(np.moveaxis(x, -1, 0))
        unaligned = np.frombuffer(b"x" + x.tobytes(), np.uint8)[1:].view(np.float64).reshape(x.shape)
        for odd in (flipped, turned, spread, np.asfortranarray(x), np.moveaxis(transposed, 0, -1), unaligned):
            assert not odd.flags.c_contiguous or not odd.flags.aligned
            np.testing.assert_array_equal(operator(odd), expected)
        same = np.broadcast_to(x[0], x.shape)
        np.testing.assert_array_equal(operator(same)[1], operator(same)[0])
        frozen = x.copy()
        frozen.setflags(write=False)
        np.testing.assert_array_equal(operator(frozen), expected)
        np.testing.assert_array_equal(operator(x.tolist()), expected)


@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 9])
@pytest.mark.parametrize("name", EVERY_SCAN)
def test_numbers_that_are_not_finite_are_propagated_and_stay_where_they_belong(name, n, dtype, bad):
    """Every ray that crosses the voxel shows it; rays a voxel away from it do not, nor do other images of the batch."""
    A = EVERY_SCAN[name]
    x = np.ones((n, *A.domain_shape), dtype)
    voxel = tuple(s // 2 for s in A.domain_shape)
    x[0][voxel] = bad
    alone = np.zeros(A.domain_shape)
    alone[voxel] = 1.0
    y = A(x)
    crossing = joseph(A, alone) > 1e-6
    assert crossing.any()
    assert not np.isfinite(y[0][crossing]).any()
    near = np.zeros(A.domain_shape)
    near[tuple(slice(max(0, v - 2), v + 3) for v in voxel)] = 1.0
    assert np.isfinite(y[0][joseph(A, near) == 0]).all()
    if n > 1:
        assert np.isfinite(y[1:]).all()
    back = np.ones((n, *A.range_shape), dtype)
    back[0].flat[back[0].size // 2] = bad
    image = A.adjoint(back)
    row = np.zeros(A.range_shape)
    row.flat[row.size // 2] = 1.0
    seen = A.adjoint(row) > 1e-6
    assert not np.isfinite(image[0][seen]).any()
    if n > 1:
        assert np.isfinite(image[1:]).all()


# Odd and huge values.


def assert_is_joseph(A, dtype=np.float64, tolerance=1e-9):
    image = np.random.default_rng(0).random(A.domain_shape)
    expected = joseph(A, image)
    found = A(image.astype(dtype))
    assert np.isfinite(found).all(), A
    scale = max(np.abs(expected).max(), 1e-300)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale, err_msg=repr(A))
    back = A.adjoint(np.ones(A.range_shape, dtype))
    assert np.isfinite(back).all(), A
    assert abs((back * image).sum() - expected.sum()) <= 1e3 * tolerance * max(np.abs(expected).sum(), 1e-300)
    return found


def test_a_source_close_to_a_face_of_the_box_sees_what_it_should():
    """The rays fan out over 170 degrees, and those of a cone rise steeply."""
    for gap in (0.5, 1e-2, 1e-6):
        for detector in ("flat", "curved"):
            spacing = 0.9 if detector == "flat" else 0.11
            A = fan(
                angles=[0.3, 0.0, -0.4], n_cols=25, col_spacing=spacing, sod=6.0 + gap, sdd=6.0 + gap, detector=detector
            )
            assert_is_joseph(A)
            A = fan(
                angles=[0.0, np.pi], n_cols=25, col_spacing=spacing, sod=4.0 + gap, sdd=4.0 + gap, detector=detector
            )
            assert_is_joseph(A)
            A = cone(
                angles=[0.0, np.pi],
                detector_shape=(9, 25),
                spacing=(0.7, spacing),
                sod=4.0 + gap,
                sdd=4.0 + gap,
                detector=detector,
            )
            assert_is_joseph(A)


def test_a_source_beside_an_off_centre_grid_sees_only_what_lies_in_front():
    for origin in ((10.0, 3.0), (-30.0, -2.0), (2.0, 40.0)):
        grid = Grid((8, 9), 1.0, origin)
        angles = np.linspace(0.05, 6.1, 11)
        A = ct.FanBeam(grid, angles, 201, 1.0, 9.0, 12.0)
        y = assert_is_joseph(A)
        assert (y != 0).any()
        volume = Grid((4, 8, 9), 1.0, (-2.0, *origin))
        assert_is_joseph(ct.ConeBeam(volume, angles, (5, 101), (1.0, 2.0), 9.0, 12.0, "flat"))
        assert_is_joseph(ct.FanBeam(grid, angles, 75, 0.45, 9.0, 12.0, "curved"))


def test_a_curved_detector_may_reach_a_quarter_of_a_turn_and_no_further():
    """Columns further off the middle look backwards, away from the axis."""
    limit = 10.0 * np.pi / 59
    for build in (
        fan,
        lambda **options: cone(
            detector_shape=(3, options.pop("n_cols")), spacing=options.pop("col_spacing"), **options
        ),
    ):
        options = {"n_cols": 60, "sod": 9.0, "sdd": 10.0, "detector": "curved", "angles": [0.1, 2.2]}
        A = build(col_spacing=limit * 0.999, **options)
        assert_is_joseph(A)
        assert_adjoint(A, dtype=np.float64)
        with pytest.raises(InputError, match=r"detector: .*within 90 degrees .* got columns 90\.09"):
            build(col_spacing=limit * 1.001, **options)


def test_a_detector_of_one_element_is_a_ray():
    image = np.random.default_rng(1).random((4, 8, 9))
    for A in (
        parallel(angles=[0.0], n_cols=1),
        fan(angles=[0.0], n_cols=1),
        fan(angles=[0.0], n_cols=1, detector="curved"),
    ):
        np.testing.assert_allclose(A(image[0]), [[image[0, :, 4].sum()]], rtol=1e-12)
    for A in (
        parallel(grid=SPACE, angles=[0.0], n_cols=1, n_rows=1, row_offset=0.5),
        cone(grid=Grid((5, 8, 9)), angles=[0.0], detector_shape=(1, 1)),
    ):
        volume = image if A.grid.shape[0] == 4 else np.concatenate([image[:2], image[2:][::-1], image[:1]])
        np.testing.assert_allclose(A(volume), [[[volume[2, :, 4].sum()]]], rtol=1e-12)


def test_angles_of_many_turns_are_angles():
    turns = 2 * np.pi * 159155
    for build in (parallel, fan, cone):
        near, far = build(angles=[0.3, 1.1]), build(angles=[0.3 + turns, 1.1 - turns])
        x = np.random.default_rng(0).random(near.domain_shape)
        # Radians near a million are doubles 1e-10 apart.
        np.testing.assert_allclose(far(x), near(x), rtol=0, atol=1e-7)
        assert_is_joseph(build(angles=[1e6, -1e6, 12345678.9]))
        assert np.isfinite(build(angles=[1e300, -1e300])(x)).all()


@pytest.mark.parametrize("unit", [1e-6, 1e6, 1e-100, 1e100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_unit_of_length_does_not_matter(unit, dtype):
    """Everything in nanometres or kilometres: the same integrals, in that unit."""
    angles = [0.3, 1.9, 4.0]
    for build in (
        lambda u: parallel(grid=Grid((8, 9), u), angles=angles, col_spacing=0.9 * u, col_offset=0.2 * u),
        lambda u: fan(grid=Grid((8, 9), u), angles=angles, col_spacing=0.9 * u, sod=30 * u, sdd=45 * u),
        lambda u: cone(grid=Grid((4, 8, 9), u), angles=angles, spacing=0.9 * u, sod=30 * u, sdd=45 * u),
    ):
        A = build(1.0)
        x = np.random.default_rng(0).random(A.domain_shape).astype(dtype)
        if dtype == np.float32 and not 1e-30 < unit < 1e30:
            continue  # beyond the range of single precision
        tolerance = 1e-10 if dtype == np.float64 else 1e-5
        np.testing.assert_allclose(build(unit)(x) / unit, A(x), rtol=0, atol=tolerance * A(x).max())


@pytest.mark.parametrize("fine", [1e-6, 1e-3, 1e3, 1e6])
def test_a_detector_far_finer_or_coarser_than_the_voxels_is_no_trouble(fine):
    for dtype, tolerance in ((np.float64, 1e-8), (np.float32, 1e-4)):
        if dtype == np.float32 and fine > 1e3:
            continue  # single precision does not hold positions a million voxels away to a voxel
        for offset in (0.0, 0.37):
            assert_is_joseph(parallel(n_cols=19, col_spacing=fine, col_offset=offset), dtype, tolerance)
            assert_is_joseph(fan(n_cols=19, col_spacing=fine, col_offset=offset), dtype, tolerance)
            small = min(fine, 7.0)
            assert_is_joseph(fan(n_cols=19, col_spacing=small, detector="curved", col_offset=offset), dtype, tolerance)
            for spacing in ((fine, 1.0), (1.0, fine), (fine, fine)):
                assert_is_joseph(cone(spacing=spacing, detector_offset=(0.1, offset)), dtype, tolerance)
            A = parallel(grid=SPACE, n_rows=5, row_spacing=fine, row_offset=0.2)
            assert_is_joseph(A, dtype, tolerance)


@pytest.mark.parametrize("spacing", [(1e-6, 1.0), (1.0, 1e-6), (1e6, 1.0), (1.0, 1e6)])
def test_pixels_thin_as_a_hair_are_no_trouble(spacing):
    for dtype, tolerance in ((np.float64, 1e-7), (np.float32, 1e-3)):
        grid = Grid((8, 9), spacing)
        far = 1e8
        for angles in ([0.7, 2.0], [0.0], [np.pi / 2]):
            assert_is_joseph(parallel(grid=grid, angles=angles), dtype, tolerance)
            assert_is_joseph(fan(grid=grid, angles=angles, sod=far, sdd=far), dtype, tolerance)


def test_far_away_grids_and_detectors_are_no_trouble():
    away = Grid((8, 9), 1.0, (1e7, -3e7))
    assert not parallel(grid=away)(np.ones((8, 9))).any()
    assert not parallel(col_offset=1e9)(np.ones((8, 9))).any()
    assert not fan(col_offset=1e9)(np.ones((8, 9))).any()
    # The image a grid far away from the axis gives is found again by a detector there.
    t = 0.3
    x, y = -3e7 + 4.0, 1e7 + 3.5
    A = parallel(grid=away, angles=[t], n_cols=31, col_offset=x * np.cos(t) + y * np.sin(t))
    near = parallel(angles=[t], n_cols=31)
    image = np.random.default_rng(0).random((8, 9))
    np.testing.assert_allclose(A(image), near(image), rtol=0, atol=1e-6)
    distant = fan(angles=[t], n_cols=31, sod=1e9, sdd=1e9)
    np.testing.assert_allclose(distant(image), near(image), rtol=0, atol=1e-5)


def test_sizes_that_fit_no_memory_are_refused_without_harm():
    """A petabyte of projections is a MemoryError; numbers that no machine can count are refused by name."""
    A = parallel(angles=np.zeros(3), n_cols=10**15)
    with pytest.raises(MemoryError):
        A(np.ones((8, 9)))
    assert parallel()(np.ones((8, 9))).any()
    for n in (10**18, 10**30):
        with pytest.raises(InputError, match=f"detector: expected sizes that fit into memory, got 2 x 1 x {n} values"):
            parallel(n_cols=n)
        with pytest.raises(InputError, match="detector: expected sizes"):
            cone(detector_shape=(n, n))
        with pytest.raises(InputError, match="grid: expected sizes"):
            fan(grid=Grid((n, 2)), sod=1e30, sdd=1e30)
