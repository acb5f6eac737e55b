"""Filtered back-projection against what was projected: the absolute scale in every geometry, and its adjoint."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion

from ct.scans import EVERY_SCAN, scans
from spinray import Grid, ct
from spinray.errors import InputError
from spinray.phantoms import Ellipse, Ellipsoid, Phantom
from spinray.testing import assert_adjoint, assert_deterministic, assert_gradient

FILTERS = ["ram-lak", "shepp-logan", "cosine", "hamming", "hann"]
GRID = Grid((200, 200), 1.0)
BODY = Phantom(
    [
        Ellipse((80, 70), centre=(5, -4), value=0.02),
        Ellipse(20, centre=(-30, 10), value=0.01),
        Ellipse((15, 25), centre=(35, -10), angle=0.4, value=-0.008),
    ]
)
N_VIEWS = 480
TURN = np.linspace(0, 2 * np.pi, N_VIEWS, endpoint=False)
FAN = np.arctan(150 * 1.5 / 600)
#: 180 degrees and the fan.
SHORT = np.linspace(0.3, 0.3 + np.pi + 2 * FAN, 300)


def flat_regions(image, depth=5, smallest=200):
    """Masks of the regions of equal value in a slice, `depth` pixels inside their edges, by value."""
    regions = {value: binary_erosion(np.abs(image - value) < 1e-9, iterations=depth) for value in np.unique(image)}
    return {value: mask for value, mask in regions.items() if np.count_nonzero(mask) > smallest}


REGIONS = flat_regions(BODY.voxelise(GRID, dtype=np.float64))


def scale_errors(image, regions=REGIONS):
    """Relative error of the mean of each region; of air in units of the body's value."""
    return {
        f"{value:.3g}": float((image[mask].mean() - value) / (value if abs(value) > 1e-9 else 0.02))
        for value, mask in regions.items()
    }


def assert_scale(A, *, phantom=BODY, regions=REGIONS, limit=0.005, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = ct.fbp(A, phantom.project(A, dtype=np.float64), **options)
    errors = scale_errors(image, regions)
    print(A, options, {value: f"{error:+.3%}" for value, error in errors.items()})
    assert len(errors) >= 3
    assert all(abs(error) <= limit for error in errors.values()), errors
    return image


def fan(detector, angles=TURN, n_cols=300, col_offset=0.0, sdd=600):
    return ct.FanBeam(GRID, angles, n_cols, 1.5 * sdd / 600, 400, sdd, detector, col_offset)


def test_the_regions_are_those_of_the_phantom():
    assert [round(value, 6) for value in REGIONS] == [0.0, 0.012, 0.02, 0.03]


@pytest.mark.parametrize("filter", FILTERS)
def test_every_filter_keeps_the_scale(filter):
    assert_scale(ct.ParallelBeam(GRID, TURN[: N_VIEWS // 2], 300), filter=filter)
    assert_scale(fan("flat"), filter=filter)
    assert_scale(fan("curved"), filter=filter)


@pytest.mark.parametrize("cutoff", [0.4, 0.8])
def test_a_cutoff_keeps_the_scale(cutoff):
    assert_scale(ct.ParallelBeam(GRID, TURN[: N_VIEWS // 2], 300), cutoff=cutoff, filter="hann")


def test_parallel_beams_over_one_and_two_half_turns_agree():
    half = assert_scale(ct.ParallelBeam(GRID, TURN[: N_VIEWS // 2], 300))
    full = assert_scale(ct.ParallelBeam(GRID, TURN, 300))
    np.testing.assert_allclose(half, full, atol=1e-6)


@pytest.mark.parametrize("spacing", [0.6, 1.3])
def test_detector_spacing_and_pixel_size_do_not_change_the_scale(spacing):
    assert_scale(ct.ParallelBeam(GRID, TURN[: N_VIEWS // 2], round(300 / spacing), spacing), filter="hann")
    grid = Grid((160, 250), (1.25, 0.8))
    A = ct.ParallelBeam(grid, TURN[: N_VIEWS // 2], round(300 / spacing), spacing)
    assert_scale(A, regions=flat_regions(BODY.voxelise(grid, dtype=np.float64)), filter="hann")


@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_fan_beams_keep_the_scale(detector):
    assert_scale(fan(detector))
    assert_scale(fan(detector, angles=SHORT))
    assert_scale(fan(detector, angles=SHORT), short_scan=True)
    assert_scale(fan(detector, sdd=400))
    # More than the short scan and less than the full one.
    assert_scale(fan(detector, angles=np.linspace(0, 1.6 * np.pi, 400)))


@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_a_turn_to_the_right_is_as_good_as_one_to_the_left(detector):
    left = assert_scale(fan(detector, angles=SHORT))
    right = assert_scale(fan(detector, angles=SHORT[::-1]))
    np.testing.assert_allclose(left, right, atol=1e-6)
    # A scan with the views in any order is the same scan.
    shuffle = np.random.default_rng(0).permutation(len(SHORT))
    np.testing.assert_allclose(assert_scale(fan(detector, angles=SHORT)[shuffle]), left, atol=1e-6)


@pytest.mark.parametrize("col_offset", [55.0, -55.0, 0.375])
def test_an_offset_detector_keeps_the_scale_on_a_full_scan(col_offset):
    """Wang's weights: the detector reaches 165 mm to one side and 55 mm to the other; and a quarter of a column."""
    for detector in ("flat", "curved"):
        assert_scale(fan(detector, n_cols=220 if abs(col_offset) > 1 else 300, col_offset=1.5 * col_offset))
    A = ct.ParallelBeam(GRID, TURN, 220 if abs(col_offset) > 1 else 300, 1.0, col_offset=col_offset)
    assert_scale(A)


@pytest.mark.parametrize("name", ["parallel", "flat", "curved"])
def test_uneven_views_weigh_their_own_intervals(name):
    """Angles off by up to 0.45 of a step, then views crowded into a part of the turn: equal weights are percent off."""
    rng = np.random.default_rng(5)
    turn = np.pi if name == "parallel" else 2 * np.pi
    step = turn / N_VIEWS
    jittered = np.arange(N_VIEWS) * step + rng.uniform(-0.45, 0.45, N_VIEWS) * step
    crowded = turn * np.linspace(0, 1, N_VIEWS, endpoint=False) ** 1.3
    for angles in (jittered, crowded, rng.permutation(jittered) + 2 * np.pi * rng.integers(-2, 3, N_VIEWS)):
        A = ct.ParallelBeam(GRID, angles, 300) if name == "parallel" else fan(name, angles=angles)
        assert_scale(A)
        if name != "parallel":
            assert_scale(fan(name, angles=angles, n_cols=220, col_offset=1.5 * 55.0))


def test_repeated_views_share_their_interval():
    angles = np.concatenate([TURN, TURN[:150]])
    assert_scale(fan("flat", angles=angles), short_scan=False)


@pytest.mark.parametrize("col_offset", [70.0, -70.0])
def test_a_half_detector_is_refused_on_a_short_scan(col_offset):
    for detector in ("flat", "curved"):
        A = fan(detector, angles=SHORT, n_cols=220, col_offset=1.5 * col_offset)
        with pytest.raises(ValueError, match=r"col_offset: .*full 360 degree scan"):
            ct.fbp(A, np.zeros(A.range_shape))
        A = fan(detector, n_cols=220, col_offset=1.5 * col_offset)
        with pytest.raises(ValueError, match="col_offset"):
            ct.fbp(A, np.zeros(A.range_shape), short_scan=True)
    A = ct.ParallelBeam(GRID, TURN[: N_VIEWS // 2], 220, col_offset=col_offset)
    with pytest.raises(ValueError, match=r"col_offset: .*full 360 degree scan"):
        ct.fbp(A, np.zeros(A.range_shape))


def test_a_detector_beside_the_axis_is_refused():
    A = ct.ParallelBeam(GRID, TURN, 100, col_offset=80.0)
    with pytest.raises(ValueError, match="col_offset: the detector must reach across the rotation axis"):
        ct.fbp(A, np.zeros(A.range_shape))


def test_arcs_that_miss_rays_warn_and_reconstruct():
    for A, needed in (
        (ct.ParallelBeam(GRID, np.linspace(0, 2.4, 200), 300), "180 degrees"),
        (fan("flat", angles=np.linspace(0, 3.0, 200)), "180 plus the fan"),
        (fan("curved", angles=np.linspace(0, 3.0, 200)), "180 plus the fan"),
    ):
        with pytest.warns(UserWarning, match=needed):
            image = ct.fbp(A, BODY.project(A))
        # Something like the body, of which a quarter of the parallel views is missing.
        middle = REGIONS[max(v for v in REGIONS if v < 0.025)]
        assert image[middle].mean() == pytest.approx(0.02, rel=0.25)


def test_one_view_is_reconstructed_with_a_warning():
    A = ct.ParallelBeam(GRID, [0.3], 300)
    with pytest.warns(UserWarning, match="180 degrees"):
        image = ct.fbp(A, BODY.project(A))
    assert np.isfinite(image).all()


# In space.

SPACE = Grid((9, 72, 72), (2.0, 1.0, 1.0))
HEAD = Phantom(
    [
        Ellipsoid((30, 26, 40), centre=(2, -1, 0), value=0.02),
        Ellipsoid((10, 9, 20), centre=(-8, 4, 0), value=0.01),
        Ellipsoid((7, 8, 20), centre=(14, -3, 0), value=-0.008),
    ]
)


def cone(detector="flat", angles=TURN[::2], n_cols=120, offset=(0.0, 0.0), sdd=450, n_rows=41):
    spacing = sdd / 300
    return ct.ConeBeam(SPACE, angles, (n_rows, n_cols), spacing, 300, sdd, detector, offset)


MIDDLE = flat_regions(HEAD.voxelise(SPACE, dtype=np.float64)[4], depth=3, smallest=60)


@pytest.mark.parametrize("detector", ["flat", "curved"])
@pytest.mark.parametrize("filter", ["ram-lak", "hann"])
def test_the_middle_plane_of_a_cone_keeps_the_scale(detector, filter):
    fan_angle = 60 * 1.5 / 450
    short = np.linspace(1.0, 1.0 + np.pi + 2 * np.arctan(fan_angle) + 0.05, 200)
    for A in (
        cone(detector),
        cone(detector, angles=short),
        cone(detector, n_cols=86, offset=(0.0, 25.5)),
        cone(detector, sdd=300),
        # A shift of the rows moves the rays, not the plane of the orbit.
        cone(detector, offset=(4.5, 0.0)),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image = ct.fbp(A, HEAD.project(A, dtype=np.float64), filter=filter)
        errors = scale_errors(image[4], MIDDLE)
        print(A, filter, {value: f"{error:+.3%}" for value, error in errors.items()})
        assert len(errors) >= 3
        assert all(abs(error) <= 0.005 for error in errors.values()), (A, errors)


def test_a_long_object_keeps_its_scale_near_the_middle_plane():
    """FDK is exact for objects constant along z: every slice of a long rod, off the middle plane too."""
    rod = Phantom([Ellipsoid((25, 22, 4000), value=0.02), Ellipsoid((8, 8, 4000), centre=(5, 5, 0), value=0.01)])
    A = cone()
    image = ct.fbp(A, rod.project(A, dtype=np.float64), filter="hann")
    inner = binary_erosion(rod.voxelise(SPACE)[4] > 0.0299, iterations=3)
    for k in range(9):
        assert image[k][inner].mean() == pytest.approx(0.03, rel=0.01), k


def test_a_parallel_stack_is_reconstructed_slice_by_slice(rng):
    grid = Grid((5, 40, 44))
    angles = TURN[: N_VIEWS // 2 : 4]
    stack = ct.ParallelBeam(grid, angles, 70)
    slices = ct.ParallelBeam(Grid((40, 44)), angles, 70)
    y = rng.standard_normal(stack.range_shape)
    expected = np.stack([ct.fbp(slices, y[:, k]) for k in range(5)])
    np.testing.assert_allclose(ct.fbp(stack, y), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_a_flipped_grid_gets_its_image_in_its_own_order(rng):
    flipped = Grid((5, 12, 14), 1.0, direction=np.diag([-1.0, -1.0, 1.0]))
    for build in (
        lambda grid: ct.ParallelBeam(grid, TURN[::16], 30),
        lambda grid: ct.ConeBeam(grid, TURN[::16], (9, 30), 1.3, 60, 80),
    ):
        A, B = build(flipped), build(flipped.axis_aligned())
        y = rng.standard_normal(A.range_shape)
        np.testing.assert_array_equal(ct.fbp(A, y), ct.fbp(B, y)[:, ::-1, ::-1])


# The operator.

ARC = np.linspace(0, 2 * np.pi, 7, endpoint=False)
OPERATORS = {
    "parallel": ct.ParallelBeam(Grid((5, 6), (1.1, 0.9)), ARC / 2, 9, 1.2),
    "parallel offset": ct.ParallelBeam(Grid((5, 6), (1.1, 0.9)), ARC, 9, 1.2, col_offset=2.0),
    "parallel stack": ct.ParallelBeam(Grid((3, 5, 4)), ARC / 2, 8),
    "fan flat": ct.FanBeam(Grid((5, 6), (1.1, 0.9)), ARC, 9, 1.6, 30, 45),
    "fan curved offset": ct.FanBeam(Grid((5, 6), (1.1, 0.9)), ARC, 9, 1.6, 30, 45, "curved", 2.0),
    "cone flat": ct.ConeBeam(Grid((3, 5, 4), (1.3, 1.0, 1.0)), ARC, (4, 9), 1.5, 30, 45),
    "cone curved offset": ct.ConeBeam(Grid((3, 5, 4)), ARC, (4, 9), 1.5, 30, 45, "curved", (0.4, -2.0)),
}
SHORT_OPERATOR = ct.FanBeam(Grid((5, 6)), np.linspace(0, 4.1, 7), 9, 1.6, 30, 45)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_adjoint_of_fbp_is_exact(name):
    R = ct.FilteredBackprojection(OPERATORS[name], "shepp-logan", 0.9)
    assert_adjoint(R, dtype=np.float64)
    # Few rays: see the projectors.
    assert_adjoint(R, tolerance=1e-5)


@settings(max_examples=150)
@given(scans(), st.sampled_from(["auto", False]), st.integers(0, 1000))
def test_the_adjoint_of_fbp_is_exact_for_every_scan_that_can_be_reconstructed(A, short_scan, seed):
    """Objects beside the detector, detectors of one element, single views: whatever is not refused is linear."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            R = ct.FilteredBackprojection(A, short_scan=short_scan)
        except InputError as error:
            assert str(error).startswith(("col_offset", "sod"))
            return
    assert_adjoint(R, dtype=np.float64, seed=seed)
    y = np.random.default_rng(seed).standard_normal((2, *A.range_shape))
    exact = R(y)
    # Values near the far end of the ramp beside the detector are what rounding leaves of them.
    limit = 1e-4 * np.abs(exact).max() + 1e-5 * np.abs(y).max() * len(A) / A.detector_spacing[1]
    np.testing.assert_allclose(R(y.astype(np.float32)), exact, rtol=0, atol=limit)


def test_the_adjoint_of_fbp_is_exact_in_single_precision():
    for A in (
        ct.ParallelBeam(Grid((90, 80)), TURN[:240:4], 130),
        ct.FanBeam(Grid((90, 80)), TURN[::6], 130, 1.5, 200, 300, "curved", 20.0),
        ct.FanBeam(Grid((90, 80)), np.linspace(0, 4.2, 70), 130, 1.5, 200, 300),
        ct.ConeBeam(Grid((20, 40, 36)), TURN[::8], (30, 64), 1.5, 200, 300),
    ):
        assert_adjoint(ct.FilteredBackprojection(A))


@pytest.mark.parametrize("name", [*OPERATORS, "short"])
def test_fbp_passes_gradcheck(name):
    pytest.importorskip("torch")
    A = OPERATORS.get(name, SHORT_OPERATOR)
    assert_gradient(ct.FilteredBackprojection(A, "hann"))

    def reconstruct(y):
        return ct.fbp(A, y, "hann")

    if name in ("parallel", "short"):
        assert_gradient(reconstruct, A.range_shape)


@pytest.mark.parametrize("name", OPERATORS)
def test_one_and_two_threads_give_the_same_bits(name):
    assert_deterministic(ct.FilteredBackprojection(OPERATORS[name]))


def test_more_threads_give_the_same_bits_on_real_sizes():
    assert_deterministic(ct.FilteredBackprojection(fan("flat", angles=TURN[::8])))
    assert_deterministic(ct.FilteredBackprojection(cone(angles=TURN[::16])))


@pytest.mark.parametrize("name", OPERATORS)
def test_a_batch_is_a_loop(name, rng):
    A = OPERATORS[name]
    y = rng.standard_normal((2, 5, *A.range_shape))
    images = ct.fbp(A, y)
    assert images.shape == (2, 5, *A.domain_shape)
    for i in np.ndindex(2, 5):
        np.testing.assert_allclose(images[i], ct.fbp(A, y[i]), rtol=0, atol=1e-12 * np.abs(images).max())


def test_dtypes_and_tensors_go_through(rng):
    torch = pytest.importorskip("torch")
    A = OPERATORS["cone flat"]
    y = rng.standard_normal(A.range_shape)
    exact = ct.fbp(A, y)
    assert exact.dtype == np.float64
    single = ct.fbp(A, y.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, exact, rtol=0, atol=1e-5 * np.abs(exact).max())
    assert ct.fbp(A, (10 * y).astype(np.int16)).dtype == np.float32
    assert ct.fbp(A, y.astype(np.float16)).dtype == np.float32
    np.testing.assert_allclose(ct.fbp(A, y + 2j * y), exact + 2j * exact, atol=1e-12)
    tensor = ct.fbp(A, torch.tensor(y))
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), exact)
    for odd in (y[::-1][::-1], np.asfortranarray(y), y.astype(">f8"), np.repeat(y, 2, axis=-1)[..., ::2]):
        np.testing.assert_array_equal(ct.fbp(A, odd), exact)


def test_a_subset_of_views_is_reconstructed_with_its_own_intervals():
    A = fan("flat", angles=np.linspace(0, 2 * np.pi, 2 * N_VIEWS, endpoint=False))
    y = BODY.project(A)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = ct.fbp(A[::2], y[::2])
        np.testing.assert_array_equal(image, ct.fbp(fan("flat", angles=A.angles[::2]), y[::2]))
    assert all(abs(error) <= 0.005 for error in scale_errors(image).values())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda R: pickle.loads(pickle.dumps(R))])
def test_copies_of_the_operator_compute_the_same(copied, rng):
    R = ct.FilteredBackprojection(OPERATORS["fan curved offset"], "cosine", 0.8)
    y = rng.standard_normal(R.domain_shape)
    np.testing.assert_array_equal(copied(R)(y), R(y))


# Bad input.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filter": "ramp"}, "filter: expected one of 'ram-lak', 'shepp-logan'"),
        ({"filter": None}, "filter: expected one of"),
        ({"cutoff": 0.0}, "cutoff: expected a positive number"),
        ({"cutoff": 1.5}, "cutoff: .*at most 1"),
        ({"cutoff": np.nan}, "cutoff: expected a finite number"),
        ({"cutoff": "0.5"}, "cutoff: expected a real number"),
        ({"short_scan": "yes"}, "short_scan: expected one of 'auto', True, False"),
        ({"short_scan": 1}, "short_scan: expected one of"),
    ],
    ids=repr,
)
def test_unknown_options_are_refused(options, message):
    A = EVERY_SCAN["fan flat"]
    with pytest.raises((ValueError, TypeError), match=message):
        ct.fbp(A, np.zeros(A.range_shape), **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["parallel", "cone flat"])
def test_data_that_are_not_finite_are_refused(name, bad):
    torch = pytest.importorskip("torch")
    A = OPERATORS[name]
    for dtype in (np.float32, np.float64, np.complex64):
        y = np.zeros(A.range_shape, dtype)
        y[(2, *(1,) * (y.ndim - 1))] = bad
        with pytest.raises(ValueError, match="y: expected finite numbers"):
            ct.fbp(A, y)
        with pytest.raises(ValueError, match="y: expected finite numbers"):
            ct.fbp(A, torch.tensor(y))


def test_wrong_shapes_dtypes_and_operators_are_refused():
    A = OPERATORS["fan flat"]
    for y in (np.zeros((7, 8)), np.zeros((9, 7)), np.zeros(9), 1.0, np.zeros((7, 9, 1))):
        with pytest.raises(ValueError, match=r"y: expected shape \(7, 9\)"):
            ct.fbp(A, y)
    for y in (np.full((7, 9), "a"), np.full((7, 9), None), None, "sinogram"):
        with pytest.raises((ValueError, TypeError), match="y: expected"):
            ct.fbp(A, y)
    for operator in (A.H, 2.0 * A, None, np.eye(3)):
        with pytest.raises(TypeError, match="A: expected a ParallelBeam, FanBeam or ConeBeam"):
            ct.fbp(operator, np.zeros((7, 9)))


def test_a_grid_that_the_orbit_cuts_is_refused():
    # The source passes beside the faces of the box, and would run through its corners.
    A = ct.FanBeam(Grid((20, 20)), [0.0], 30, 1.0, 12.0, 30.0)
    with pytest.raises(ValueError, match="sod: the source's orbit must enclose the grid"):
        ct.fbp(A, np.zeros(A.range_shape))


@pytest.mark.filterwarnings("ignore:the views span 0 degrees")  # they do
@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_a_single_view_of_a_fan_is_smeared_back(detector):
    A = ct.FanBeam(Grid((9, 9)), [0.3], 20, 1.0, 55, 80, detector)
    image = ct.fbp(A, A(np.ones(A.domain_shape)))
    assert np.isfinite(image).all()
    assert image[4, 4] > 0
