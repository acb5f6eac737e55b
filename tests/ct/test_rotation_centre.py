"""The rotation axis, found where it was put: analytic sinograms, then the real tooth."""

import logging

import numpy as np
import pytest

from phantoms.scanner import parallel
from real_data import real_file
from spinray.ct.measurement import add_noise, find_rotation_centre, normalise
from spinray.phantoms import Ellipse, Phantom, shepp_logan

N_COLS = 256
OBJECTS = {
    "head": shepp_logan(2, field_of_view=200.0, attenuation=0.02),
    "two discs off the axis": Phantom(
        [Ellipse((40, 20), centre=(25, 10), angle=0.4, value=0.02), Ellipse(10.0, centre=(-40, -20), value=0.03)]
    ),
}


def scan(name, centre, angles, i0=1e4, zoom=1.0):
    """A sinogram of 256 columns, its axis at column `centre`, with `i0` photons a reading."""
    columns = (np.arange(N_COLS) - centre) / zoom
    p = OBJECTS[name].project(parallel(angles, columns))
    return add_noise(p, i0, seed=4) if i0 else p


def half_turn(n):
    return np.arange(n) * np.pi / n


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("centre", [127.5, 120.3, 140.77, 100.2])
@pytest.mark.parametrize("i0", [None, 1e4])
def test_half_a_turn_that_ends_just_before_180_degrees(name, centre, i0):
    angles = half_turn(180)
    assert abs(find_rotation_centre(scan(name, centre, angles, i0), angles) - centre) < 0.1


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("centre", [127.5, 120.3, 140.77, 95.2])
def test_a_full_turn(name, centre):
    angles = np.arange(360) * np.pi / 180
    assert abs(find_rotation_centre(scan(name, centre, angles), angles) - centre) < 0.03


@pytest.mark.parametrize(
    "angles",
    [
        np.linspace(0, np.pi, 181),
        half_turn(180) * 0.99,
        2.0 - half_turn(180),
        np.random.default_rng(0).permutation(half_turn(180)) + 5.0,
        half_turn(180) + np.random.default_rng(0).uniform(-0.004, 0.004, 180),
        np.arange(181) * 2 * np.pi / 181,
        np.linspace(0, 2 * np.pi, 181),
        np.arange(200) * np.radians(1.2),
        np.mod(np.arange(400) * 2.39996, 2 * np.pi),
    ],
    ids=[
        "both ends",
        "178 degrees",
        "backwards",
        "shuffled",
        "uneven",
        "odd turn",
        "closed turn",
        "240 degrees",
        "golden",
    ],
)
def test_any_order_and_spacing_of_views(angles):
    centre = 120.3
    wrapped = np.mod(angles, 2 * np.pi)
    assert abs(find_rotation_centre(scan("head", centre, wrapped), angles) - centre) < 0.1


@pytest.mark.parametrize(("turn", "bound"), [(1, 0.2), (2, 0.05)])
def test_an_object_wider_than_the_detector(turn, bound):
    angles = np.arange(180 * turn) * np.pi / 180
    for centre in (120.3, 140.77):
        assert abs(find_rotation_centre(scan("head", centre, angles, zoom=2.0), angles) - centre) < bound


def test_an_axis_near_the_edge_of_a_full_turn():
    """A half-beam scan: the detector sees little beyond the axis."""
    angles, centre = np.arange(720) * np.pi / 360, 40.6
    assert abs(find_rotation_centre(scan("head", centre, angles), angles, search=(20.0, 200.0)) - centre) < 0.1


def test_mirrored_columns_mirror_the_centre():
    angles = half_turn(180)
    sinogram = scan("head", 120.3, angles)
    found, mirrored = (find_rotation_centre(p, angles) for p in (sinogram, sinogram[:, ::-1]))
    assert found + mirrored == pytest.approx(N_COLS - 1, abs=0.02)


def test_the_column_offset_is_the_one_the_design_names():
    """Column j lies at (j - (n - 1) / 2) * spacing + col_offset; the axis is at position zero."""
    angles, spacing, offset = half_turn(180), 0.5, 6.0
    columns = (np.arange(N_COLS) - (N_COLS - 1) / 2) * spacing + offset
    sinogram = Phantom([Ellipse((30, 10), centre=(10, 5), value=0.02)]).project(parallel(angles, columns))
    centre = find_rotation_centre(sinogram, angles)
    assert ((N_COLS - 1) / 2 - centre) * spacing == pytest.approx(offset, abs=0.05)


def test_rows_are_taken_together():
    angles = half_turn(180)
    stack = np.stack([scan("head", 120.3, angles, i0=2e3) for _ in range(3)], axis=1)
    assert abs(find_rotation_centre(stack, angles) - 120.3) < 0.1


def test_stripes_of_bad_columns_do_not_mislead():
    angles = half_turn(180)
    sinogram = scan("head", 120.3, angles)
    sinogram[:, [40, 97, 128, 180]] += 0.1
    assert abs(find_rotation_centre(sinogram, angles) - 120.3) < 0.15


def test_tensors_are_taken():
    torch = pytest.importorskip("torch")
    angles = half_turn(180)
    sinogram = scan("head", 120.3, angles)
    assert find_rotation_centre(torch.from_numpy(sinogram), angles) == find_rotation_centre(sinogram, angles)


def test_the_real_tooth():
    h5py = pytest.importorskip("h5py")
    with h5py.File(real_file("ct/tooth_sinogram.h5")) as file:
        data, flats, darks, degrees = (file[f"exchange/{k}"][:] for k in ("data", "data_white", "data_dark", "theta"))
    p, angles = normalise(data, flats, darks), np.deg2rad(degrees)
    found = [find_rotation_centre(part, angles) for part in (p, p[:, 0], p[:, 1])]
    # 295.5 is known from mirroring the first view against the last, which is one step short of the opposite view.
    assert np.abs(np.array(found) - 295.5).max() < 0.5
    assert np.ptp(found) < 0.05


def test_noise_alone_is_reported(caplog):
    noise = np.random.default_rng(0).normal(size=(180, 128))
    with caplog.at_level(logging.WARNING, logger="spinray"):
        find_rotation_centre(noise, half_turn(180))
    assert "no clear symmetry" in caplog.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sinogram": np.ones(180)}, "sinogram"),
        ({"sinogram": np.ones((180, 64))}, "sinogram"),
        ({"sinogram": np.full((180, 64), np.nan)}, "sinogram"),
        ({"sinogram": np.eye(8)}, "angles"),
        ({"angles": half_turn(90)}, "angles"),
        ({"angles": np.rad2deg(half_turn(180))}, "Degrees"),
        ({"angles": 0.5 * half_turn(180)}, "170 degrees"),
        ({"angles": np.full(180, np.nan)}, "angles"),
        ({"search": (10.0, 5.0)}, "search"),
        ({"search": (-10.0, 5.0)}, "search"),
        ({"search": 5.0}, "search"),
    ],
)
def test_unusable_scans_are_refused(change, words):
    sinogram = np.random.default_rng(0).uniform(size=(180, 64))
    with pytest.raises((ValueError, TypeError), match=words):
        find_rotation_centre(**({"sinogram": sinogram, "angles": half_turn(180)} | change))
