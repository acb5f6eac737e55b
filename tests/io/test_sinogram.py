"""Raw sinograms: HDF5 data exchange and the Helsinki MATLAB files, real ones and made ones, whole and damaged."""

import contextlib
import pickle

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from real_data import real_file
from spinray.errors import DtypeError, FileError
from spinray.io import RawSinogram, read_sinogram
from spinray.io._matlab import variables_of

RNG = np.random.default_rng(5)
DATA = RNG.integers(0, 60000, (6, 3, 8), dtype=np.uint16)
FLATS = RNG.normal(50000, 100, (4, 3, 8)).astype(np.float32)
DARKS = RNG.normal(100, 3, (2, 3, 8)).astype(np.float32)
THETA = np.linspace(0, 150, 6)


def write(path, arrays=None, **replaced):
    """A data exchange file; an array replaced by None is left out."""
    arrays = arrays or {"data": DATA, "data_white": FLATS, "data_dark": DARKS, "theta": THETA}
    with h5py.File(path, "w") as file:
        for name, array in {**arrays, **replaced}.items():
            if array is not None:
                file[f"exchange/{name}"] = array
    return path


def test_data_exchange_is_read(tmp_path):
    raw = read_sinogram(write(tmp_path / "scan.h5"))
    assert isinstance(raw, RawSinogram)
    assert (raw.data.dtype, raw.flats.dtype, raw.angles.dtype) == (np.float32, np.float32, np.float64)
    np.testing.assert_array_equal(raw.data, DATA)
    np.testing.assert_array_equal(raw.flats, FLATS)
    np.testing.assert_array_equal(raw.darks, DARKS)
    np.testing.assert_allclose(raw.angles, THETA * np.pi / 180, rtol=1e-15)
    assert not raw.is_log
    assert raw.meta["geometry"] == "parallel"


def test_other_names_one_row_and_missing_frames(tmp_path):
    arrays = {"data": DATA[:, 0].astype(float), "flats": FLATS[0, 0], "angles": THETA}
    raw = read_sinogram(write(tmp_path / "scan.nxs", arrays))
    assert raw.data.dtype == np.float64
    assert (raw.data.shape, raw.flats.shape, raw.darks) == ((6, 8), (1, 8), None)
    np.testing.assert_array_equal(raw.flats[0], FLATS[0, 0])


@pytest.mark.parametrize("units", ["radian", b"rad", "Radians"])
def test_angles_in_radians_stay(tmp_path, units):
    file = write(tmp_path / "scan.h5")
    with h5py.File(file, "a") as content:
        content["exchange/theta"].attrs["units"] = units
    np.testing.assert_array_equal(read_sinogram(file).angles, THETA)


@pytest.mark.parametrize("units", ["deg", b"degrees", "degree"])
def test_angles_in_degrees_are_turned(tmp_path, units):
    file = write(tmp_path / "scan.h5")
    with h5py.File(file, "a") as content:
        content["exchange/theta"].attrs["units"] = units
    np.testing.assert_allclose(read_sinogram(file).angles, np.radians(THETA))


def test_scalars_of_the_file_are_kept(tmp_path):
    file = write(tmp_path / "scan.h5")
    with h5py.File(file, "a") as content:
        content["measurement/energy"] = 25.5
        content["measurement/sample/name"] = "tooth"
    meta = read_sinogram(file).meta
    assert (meta["measurement/energy"], meta["measurement/sample/name"]) == (25.5, "tooth")


def test_it_is_frozen_and_picklable(tmp_path):
    raw = read_sinogram(write(tmp_path / "scan.h5"))
    with pytest.raises(AttributeError):
        raw.data = None
    with pytest.raises(TypeError):
        raw.meta["geometry"] = "fan"
    again = pickle.loads(pickle.dumps(raw))
    np.testing.assert_array_equal(again.data, raw.data)
    assert again.meta == raw.meta


@pytest.mark.parametrize("name", ["data", "theta"])
def test_a_missing_array_lists_what_is_there(tmp_path, name):
    message = rf"scan\.h5: /exchange/{name} .*missing.*There is: .*/exchange/data_dark \(2, 3, 8\)"
    with pytest.raises(FileError, match=message):
        read_sinogram(write(tmp_path / "scan.h5", **{name: None}))


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"theta": THETA[:-1]}, r"6 views, but angles of shape \(5,\)"),
        ({"theta": np.float64(3)}, "6 views, but angles"),
        ({"theta": np.array([b"a"] * 6)}, "theta should hold real numbers"),
        ({"data_white": FLATS[:, :, :-1]}, r"flats of shape \(4, 3, 7\) do not fit"),
        ({"data_dark": DARKS[:0]}, "darks"),
        ({"data": DATA[0, 0]}, "data should be"),
        ({"data": DATA[:, :0]}, "data should be"),
        ({"data": DATA * 1j}, "/exchange/data should hold real numbers"),
        ({"data": np.where(DATA[1, 2, 3] == DATA, np.nan, DATA)}, r"data: 1 of 144 entries .* index \(1, 2, 3\)"),
        ({"data_white": np.full_like(FLATS, np.inf)}, "flats: 96 of 96"),
        ({"theta": np.full(6, np.nan)}, "angles: 6 of 6"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, replaced, message):
    with pytest.raises(FileError, match=rf"scan\.h5: .*{message}"):
        read_sinogram(write(tmp_path / "scan.h5", **replaced))


def test_an_aborted_scan_is_refused_instead_of_filled_with_zeros(tmp_path):
    for chunks in [None, (1, 3, 8)]:
        with h5py.File(tmp_path / "scan.h5", "w") as file:
            data = file.create_dataset("exchange/data", (6, 3, 8), "u2", chunks=chunks)
            file["exchange/theta"] = THETA
            if chunks:
                data[:4] = DATA[:4]
        with pytest.raises(FileError, match="aborted"):
            read_sinogram(tmp_path / "scan.h5")
    # A file that claims terabytes costs none.
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("exchange/data", (1_000_000, 4096, 4096), "f4")
        file["exchange/theta"] = np.zeros(1_000_000)
    with pytest.raises(FileError, match="not all of which were written"):
        read_sinogram(tmp_path / "huge.h5")


def test_compressed_and_chunked_files_are_read(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("exchange/data", data=DATA, chunks=(4, 2, 5), compression="gzip")
        file["exchange/theta"] = THETA
    np.testing.assert_array_equal(read_sinogram(tmp_path / "scan.h5").data, DATA)


def test_another_order_of_axes_is_refused(tmp_path):
    file = write(tmp_path / "scan.h5")
    with h5py.File(file, "a") as content:
        content["exchange/data"].attrs["axes"] = "y:theta:x"
    with pytest.raises(FileError, match=r"y:theta:x.*Transpose"):
        read_sinogram(file)


def helsinki(path, sinogram, **parameters):
    scipy.io.savemat(path, {"CtDataLimited": {"type": "2d", "sinogram": sinogram, "parameters": parameters}})
    return path


GEOMETRY = {
    "distanceSourceOrigin": 410.66,
    "distanceSourceDetector": 553.74,
    "distanceUnit": "mm",
    "angles": np.array([0.0, 0.5, 1.0]),
    "pixelSize": 0.05,
    "pixelSizePost": 0.2,
}


def test_helsinki_files_are_line_integrals_with_geometry(tmp_path):
    sinogram = RNG.random((3, 7))
    raw = read_sinogram(helsinki(tmp_path / "a.mat", sinogram, **GEOMETRY))
    np.testing.assert_array_equal(raw.data, sinogram)
    np.testing.assert_allclose(raw.angles, np.radians([0.0, 0.5, 1.0]))
    assert (raw.is_log, raw.flats, raw.darks) == (True, None, None)
    geometry = {name: raw.meta[name] for name in ("geometry", "sod", "sdd", "col_spacing")}
    assert geometry == {"geometry": "fan", "sod": 410.66, "sdd": 553.74, "col_spacing": 0.2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"angles": None}, "parameters.angles is missing. There is: distanceSourceOrigin"),
        ({"angles": np.array([0.0, 1.0])}, "3 views, but angles"),
        ({"angles": "many"}, "parameters.angles should hold real numbers"),
        ({"distanceUnit": "cm"}, "distances in 'cm'"),
        ({"distanceSourceOrigin": -1.0}, "distanceSourceOrigin should be a positive number"),
        ({"pixelSizePost": "small"}, "pixelSizePost should be a positive number"),
    ],
)
def test_damaged_helsinki_parameters_are_named(tmp_path, change, message):
    parameters = {name: value for name, value in {**GEOMETRY, **change}.items() if value is not None}
    with pytest.raises(FileError, match=rf"a\.mat: .*{message}"):
        read_sinogram(helsinki(tmp_path / "a.mat", np.ones((3, 7)), **parameters))


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_variables_are_those_of_scipy(tmp_path, compressed):
    """Everything such structs hold: numbers of all types (stored narrower), text, nesting, cells, empty fields."""
    numbers = {
        f"of_{kind}": RNG.integers(0, 100, (2, 3, 4)).astype(kind) for kind in ["u1", "i2", "u4", "i8", "f4", "f8"]
    }
    struct = {
        **numbers,
        "text": "Heikkilä",
        "z": RNG.random((3, 2)) + 1j * RNG.random((3, 2)),
        "vector": RNG.random(5),
        "inner": {"n": 7, "deeper": {"x": 0.5}},
        "empty": np.empty((0, 0)),
    }
    scipy.io.savemat(tmp_path / "a.mat", {"s": struct, "other": 3.5}, do_compression=compressed)
    ours = variables_of((tmp_path / "a.mat").read_bytes())
    theirs = scipy.io.loadmat(tmp_path / "a.mat", simplify_cells=True)
    assert ours["other"] == 3.5
    assert set(ours["s"]) == set(theirs["s"])
    assert (ours["s"]["text"], ours["s"]["inner"]) == (theirs["s"]["text"], theirs["s"]["inner"])
    for name in [*numbers, "z", "vector"]:
        assert ours["s"][name].dtype == theirs["s"][name].dtype
        np.testing.assert_array_equal(ours["s"][name], theirs["s"][name])
    assert ours["s"]["empty"].size == 0


@pytest.mark.parametrize("name", ["ta", "tb"])
def test_real_matlab_variables_are_those_of_scipy(name):
    file = real_file(f"ct/htc2022_{name}_limited.mat")
    ours, theirs = variables_of(file.read_bytes())["CtDataLimited"], scipy.io.loadmat(file, simplify_cells=True)
    assert ours["parameters"].keys() == theirs["CtDataLimited"]["parameters"].keys()
    for field, value in theirs["CtDataLimited"]["parameters"].items():
        np.testing.assert_array_equal(ours["parameters"][field], value)
    np.testing.assert_array_equal(ours["sinogram"], theirs["CtDataLimited"]["sinogram"])


def test_other_matlab_files_list_what_is_there(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"image": np.ones((2, 2))})
    with pytest.raises(FileError, match=r"a\.mat: expected one struct with sinogram.*image \(ndarray\)"):
        read_sinogram(tmp_path / "a.mat")


def test_the_real_tooth():
    raw = read_sinogram(real_file("ct/tooth_sinogram.h5"))
    assert (raw.data.shape, raw.flats.shape, raw.darks.shape) == ((181, 2, 640), (10, 2, 640), (10, 2, 640))
    np.testing.assert_allclose(np.degrees(raw.angles[[0, -1]]), [0, 179.006], atol=1e-3)
    # Counts: dark below object below flat, in the mean over the detector.
    assert raw.darks.mean() < raw.data.mean() < raw.flats.mean()


@pytest.mark.parametrize("name", ["ta", "tb"])
def test_the_real_helsinki_disc(name):
    raw = read_sinogram(real_file(f"ct/htc2022_{name}_limited.mat"))
    assert raw.data.shape == (61, 560)
    assert raw.is_log
    np.testing.assert_allclose(np.degrees(np.diff(raw.angles)), 0.5)
    assert (raw.meta["sod"], raw.meta["sdd"], raw.meta["col_spacing"]) == (410.66, 553.74, 0.2)
    # The disc of 70 mm: its shadow is 70 mm magnified, and it absorbs a few mean free paths at most.
    shadow = (raw.data > 0.3).sum(axis=1) * 0.2
    assert np.median(shadow) == pytest.approx(70 * 553.74 / 410.66, rel=0.05)


@given(part=st.floats(0, 1, exclude_max=True), kind=st.sampled_from(["h5", "mat"]))
@settings(max_examples=60)
def test_truncated_files_are_refused_by_name(tmp_path_factory, part, kind):
    path = tmp_path_factory.mktemp("cut") / f"cut.{kind}"
    write(path) if kind == "h5" else helsinki(path, np.ones((3, 7)), **GEOMETRY)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(FileError, match=rf"cut\.{kind}"):
        read_sinogram(path)


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["h5", "mat"]))
@settings(max_examples=100)
def test_flipped_bits_give_an_error_or_a_sinogram(tmp_path_factory, seed, kind):
    path = tmp_path_factory.mktemp("flip") / f"flip.{kind}"
    write(path) if kind == "h5" else helsinki(path, np.ones((3, 7)), **GEOMETRY)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, len(content), 8):
        content[at] ^= 1 << rng.integers(8)
    path.write_bytes(content)
    # Any other exception fails the test.
    with contextlib.suppress(FileError):
        raw = read_sinogram(path)
        assert len(raw.angles) == len(raw.data)
        assert np.isfinite(raw.data).all()


def test_wrong_arguments_are_named(tmp_path):
    (tmp_path / "noise.h5").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(FileError, match=r"noise\.h5: neither HDF5"):
        read_sinogram(tmp_path / "noise.h5")
    with pytest.raises(FileError, match="no such file"):
        read_sinogram(tmp_path / "absent.h5")
    with pytest.raises(FileError, match="got a folder"):
        read_sinogram(tmp_path)
    with pytest.raises(DtypeError, match="path"):
        read_sinogram(5)
