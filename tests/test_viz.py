"""Figures show every pixel where it lies, in the window asked for, the patient's right on the left."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import spinray
from spinray import ct, viz


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def spot_at(x, y, z=0.0, shape=(8, 10, 12), direction=None):
    """A volume that is 1 at one world point (mm) and 0 elsewhere."""
    grid = spinray.Grid(shape, (5.0, 2.0, 1.0), direction=direction)
    index = np.linalg.solve(grid.affine, [x, y, z, 1.0])[:3][::-1]
    data = np.zeros(shape, np.float32)
    data[tuple(np.rint(index).astype(int))] = 1
    return spinray.Volume(data, grid.affine)


def place_of_spot(ax):
    """Where the brightest pixel of an image is drawn, in data coordinates and as a fraction of the axes."""
    (image,) = ax.get_images()
    row, column = np.unravel_index(np.argmax(image.get_array()), image.get_array().shape)
    left, right, bottom, top = image.get_extent()
    rows, columns = image.get_array().shape
    assert image.origin == "lower"
    x = left + (column + 0.5) * (right - left) / columns
    y = bottom + (row + 0.5) * (top - bottom) / rows
    return (x, y), tuple(ax.transAxes.inverted().transform(ax.transData.transform((x, y))))


def test_pixels_lie_at_their_millimetres():
    grid = spinray.Grid((4, 6), (2.0, 3.0), origin=(10.0, -30.0))
    image = np.zeros(grid.shape)
    image[1, 4] = 1
    ax = viz.show(image, grid=grid)
    (x, y), (across, up) = place_of_spot(ax)
    assert (x, y) == pytest.approx((-18.0, 12.0))
    assert across > 0.5  # +x to the right
    assert up < 0.5  # +y upwards


def test_an_array_without_grid_is_drawn_in_pixels():
    ax = viz.show(np.eye(5))
    assert ax.get_images()[0].get_extent() == [-2.5, 2.5, -2.5, 2.5]
    assert ax.get_xlabel() == "x [pixels]"


@pytest.mark.parametrize("direction", [None, np.diag([-1.0, -1.0, 1.0]), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]])
def test_the_patients_right_front_and_head_stand_where_radiologists_look_for_them(direction):
    """However the voxels are stored: right (+x) on the left, front (+y) up or left, head (+z) up."""
    volume = spot_at(2.5, 3.0, 7.5, direction=direction)
    index = np.unravel_index(np.argmax(volume.data), volume.data.shape)
    at = tuple(float(c) for c in (volume.affine @ [*index[::-1], 1])[:3])
    axial, coronal, sagittal = viz.show(volume, at=at)
    beyond = [coordinate > 0 for coordinate in at]
    for ax, (horizontal, vertical) in ((axial, (0, 1)), (coronal, (0, 2)), (sagittal, (1, 2))):
        (x, y), (across, up) = place_of_spot(ax)
        assert (x, y) == pytest.approx((at[horizontal], at[vertical]))
        assert (across < 0.5) == beyond[horizontal]
        assert (up > 0.5) == beyond[vertical]
    letters = [{text.get_text(): text.get_position() for text in ax.texts} for ax in (axial, coronal, sagittal)]
    assert letters[0]["R"][0] < letters[0]["L"][0]
    assert letters[0]["A"][1] > letters[0]["P"][1]
    assert letters[1]["S"][1] > letters[1]["I"][1]
    assert letters[2]["A"][0] < letters[2]["P"][0]


def test_an_oblique_volume_is_resampled():
    c, s = np.cos(0.3), np.sin(0.3)
    volume = spot_at(1.0, 1.0, direction=[[c, -s, 0], [s, c, 0], [0, 0, 1]])
    assert len(viz.show(volume)) == 3


def test_the_window_is_level_and_width():
    image = np.linspace(-1000, 1000, 100).reshape(10, 10)
    assert viz.show(image, window=(40, 400)).get_images()[0].get_clim() == (-160, 240)


def test_without_a_window_one_hot_pixel_darkens_nothing():
    image = np.linspace(0, 1, 10_000).reshape(100, 100)
    image[50, 50] = 1e6
    low, high = viz.show(image).get_images()[0].get_clim()
    assert 0 <= low < 0.01
    assert 0.99 < high < 1.01


def test_constant_images_and_tensors_are_drawn():
    viz.show(np.full((4, 4), 3.0))
    torch = pytest.importorskip("torch")
    viz.show(torch.ones(4, 4, requires_grad=True))


def test_a_stack_shows_evenly_spaced_images():
    axes = viz.show(np.arange(30)[:, None, None] * np.ones((30, 4, 4)))
    shown = [int(ax.get_images()[0].get_array()[0, 0]) for ax in axes.flat if ax.get_images()]
    assert len(shown) == 12
    assert shown[0] == 0
    assert shown[-1] == 29
    assert set(np.diff(shown)) <= {2, 3}


def test_compare_has_one_window_and_true_errors():
    truth = np.zeros((6, 6))
    figure, axes = viz.compare([truth, truth + 2, truth - 1], ["a", "b", "c"], window=(0, 10), unit="HU")
    assert axes.shape == (2, 3)
    assert {ax.get_images()[0].get_clim() for ax in axes[0]} == {(-5, 5)}
    assert axes[1, 1].get_title() == "RMSE 2 HU"
    assert axes[1, 2].get_title() == "RMSE 1 HU"
    assert (axes[1, 2].get_images()[0].get_array() == -1).all()
    assert {ax.get_images()[0].get_clim() for ax in axes[1, 1:]} == {(-4, 4)}
    assert not axes[1, 0].get_images()
    figure.canvas.draw()


def test_compare_zooms_and_mirrors_patients():
    volume = spinray.Volume(np.random.default_rng(0).random((8, 8)), spinray.Grid((8, 8), 2.0).affine)
    _, axes = viz.compare([volume, volume], ["a", "b"], reference=None, zoom=(-4, 4, -2, 6))
    assert axes[0, 1].get_xlim() == (4, -4)
    assert axes[0, 1].get_ylim() == (-2, 6)


def test_a_sinogram_has_degrees_and_millimetres():
    A = ct.ParallelBeam(spinray.Grid((16, 16)), np.radians(np.arange(0, 180, 2)), 20, col_spacing=1.5, col_offset=3.0)
    ax = viz.show_sinogram(A(np.ones((16, 16))), A)
    left, right, bottom, top = ax.get_images()[0].get_extent()
    assert (left, right) == pytest.approx((3 - 15, 3 + 15))
    assert (bottom, top) == pytest.approx((179, -1))
    irregular = A[[0, 1, 30]]
    assert viz.show_sinogram(irregular(np.ones((16, 16))), irregular).get_ylabel() == "view"


def test_a_stack_of_sinograms_shows_a_row():
    data = np.arange(3)[None, :, None] * np.ones((5, 3, 7))
    assert (viz.show_sinogram(data).get_images()[0].get_array() == 1).all()
    assert (viz.show_sinogram(data, row=2).get_images()[0].get_array() == 2).all()


def scans():
    grid = spinray.Grid((32, 32), 2.0)
    angles = np.linspace(0.4, 0.4 + 2 * np.pi, 7, endpoint=False)
    return [
        ct.ParallelBeam(grid, angles, 48, 2.0, col_offset=5.0),
        ct.FanBeam(grid, angles, 48, 3.0, sod=150, sdd=220, col_offset=-4.0),
        ct.FanBeam(grid, angles, 48, 3.0, sod=150, sdd=220, detector="curved"),
        ct.ConeBeam(spinray.Grid((8, 32, 32), 2.0), angles, (12, 48), 3.0, sod=150, sdd=220, detector="curved"),
    ]


@pytest.mark.parametrize("A", scans(), ids=repr)
def test_the_drawn_rays_are_the_scans_own(A):
    ax = A.plot_geometry()
    lines = {line.get_label(): np.array(line.get_data()).T for line in ax.get_lines()}
    origins, directions = (part.reshape(-1, A.detector_shape[1], 3)[0, :, :2] for part in A.rays(0))
    detector = lines["detector, first view"]
    assert len(detector) == A.detector_shape[1]
    # Every column's ray, or its shadow in the plane, meets the detector where it is drawn.
    away = detector - origins
    cross = away[:, 0] * directions[:, 1] - away[:, 1] * directions[:, 0]
    assert np.abs(cross).max() < 1e-9
    if A.sod is not None:
        distance = np.hypot(*away.T)
        middle = np.interp(0.0, A.columns, distance)
        assert middle == pytest.approx(A.sdd, rel=1e-3)


def test_plot_geometry_draws_into_given_axes():
    ax = plt.subplots()[1]
    assert scans()[0].plot_geometry(ax) is ax


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: viz.show(np.zeros(3)), ValueError, "image"),
        (lambda: viz.show(np.zeros((2, 2, 2, 2))), ValueError, "image"),
        (lambda: viz.show(np.zeros((0, 3))), ValueError, "image"),
        (lambda: viz.show(np.zeros((3, 3), complex)), TypeError, "image"),
        (lambda: viz.show([["a"]]), TypeError, "image"),
        (lambda: viz.show(np.zeros((3, 3)), window=(0, 0)), ValueError, "window"),
        (lambda: viz.show(np.zeros((3, 3)), window=4), ValueError, "window"),
        (lambda: viz.show(np.zeros((3, 3)), grid=spinray.Grid((4, 4))), ValueError, "grid"),
        (lambda: viz.show(np.zeros((3, 3)), at=(0, 0, 0)), ValueError, "at"),
        (lambda: viz.show(spot_at(0.5, 1.0), at=(0, 0, 90)), ValueError, "at"),
        (lambda: viz.compare([np.zeros((3, 3))], []), ValueError, "titles"),
        (lambda: viz.compare([], []), ValueError, "titles"),
        (lambda: viz.compare([np.zeros((3, 3)), np.zeros((4, 3))], ["a", "b"]), ValueError, "images"),
        (lambda: viz.compare([np.zeros((3, 3))], ["a"], reference=1), ValueError, "reference"),
        (lambda: viz.show_sinogram(np.zeros((3, 3)), scans()[0]), ValueError, "sinogram"),
        (lambda: viz.show_sinogram(np.zeros((3, 3)), "fan"), TypeError, "A:"),
        (lambda: viz.show_sinogram(np.zeros((3, 2, 3)), row=2), ValueError, "row"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
