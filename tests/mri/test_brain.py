"""Brains: published values in the places where they belong, from every source."""

import math
import sys

import numpy as np
import pytest

from real_data import real_file
from spinray.data import samples
from spinray.errors import DtypeError, FileError, InputError
from spinray.io import read_nifti
from spinray.mri import tissues
from spinray.phantoms import brain


@pytest.fixture
def empty_machine(monkeypatch, tmp_path):
    """No data folder, no nilearn, an empty cache."""
    import pooch

    monkeypatch.delenv("SPINRAY_DATA", raising=False)
    monkeypatch.setattr(samples, "_in_package", lambda path: None)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    return tmp_path


@pytest.fixture
def data_folder(monkeypatch):
    """The folder of the real files, or the test is skipped."""
    folder = real_file("mri/mni152_gm.nii.gz").parents[1]
    monkeypatch.setenv("SPINRAY_DATA", str(folder))
    return folder


def at(maps, x, y, z=None):
    """(T1, T2, m0, tissue) in the voxel nearest to a place in mm."""
    place = (y, x) if z is None else (z, y, x)
    index = tuple(int(np.argmin(np.abs(axis - c))) for axis, c in zip(maps.grid.axes(), place, strict=True))
    label = int(maps.labels[index])
    return maps.t1[index], maps.t2[index], maps.m0[index], maps.tissues[label - 1] if label else None


def check_consistent(maps):
    for values in (maps.t1, maps.t2, maps.m0):
        assert values.shape == maps.labels.shape == maps.mask.shape == maps.grid.shape
        assert values.dtype == np.float32
        assert values.flags.c_contiguous
        assert not values[~maps.mask].any()
        assert (values[maps.mask] > 0).all()
    np.testing.assert_array_equal(maps.mask, maps.labels > 0)
    assert set(np.unique(maps.labels)) <= set(range(len(maps.tissues) + 1))
    assert (maps.t2 <= maps.t1).all()
    assert maps.t1.max() < 5
    for label in range(1, len(maps.tissues) + 1):
        assert len(np.unique(maps.t1[maps.labels == label])) <= 1


# Gach 2008 at the centre of some ellipsoids, places in units of half the field of view: T1 = A B0^C and T2 in s, m0.
GACH = [
    ((0.0, 0.94, 0.0), 0.324, 0.137, 0.07, 0.8, "scalp"),
    ((0.0, 0.9, 0.0), 0.533, 0.088, 0.05, 0.12, "bone marrow"),
    ((0.0, -0.6, 0.2), 0.857, 0.376, 0.1, 0.745, "grey matter"),
    ((-0.22, 0.0, -0.25), 4.2, 0.0, 1.99, 0.98, "cerebrospinal fluid"),
    ((0.22, 0.0, -0.25), 4.2, 0.0, 1.99, 0.98, "cerebrospinal fluid"),
    ((0.0, 0.35, -0.25), 0.583, 0.382, 0.08, 0.617, "white matter"),
    ((0.0, 0.1, -0.25), 0.926, 0.217, 0.1, 0.95, "tumour"),
    ((0.06, -0.105, 0.0625), 0.926, 0.217, 0.1, 0.93, "tumour"),
    ((0.0, 0.1, 0.625), 4.2, 0.0, 1.99, 0.98, "cerebrospinal fluid"),
]


@pytest.mark.parametrize("field", [1.5, 3.0, 7.0])
def test_the_head_takes_the_published_values(field):
    maps = brain("shepp-logan", (128, 128, 128), field)
    check_consistent(maps)
    assert maps.field == field
    for place, a, c, t2, m0, tissue in GACH:
        *found, name = at(maps, *(128.0 * k for k in place))
        assert name == tissue
        assert found == pytest.approx([a * field**c, t2, m0], rel=1e-6)


def test_the_ventricles_lean_as_in_the_picture():
    """The left one from the lower right to the upper left, the right one the other way: as in the Shepp-Logan head."""
    maps = brain("shepp-logan", (256, 256))
    fluid = 1 + maps.tissues.index("cerebrospinal fluid")
    y, x = np.meshgrid(*maps.grid.axes(), indexing="ij")
    for side in (-1, 1):
        inside = (maps.labels == fluid) & (np.hypot(x - side * 28.0, y) < 55) & (side * x > 0)
        covariance = np.cov(x[inside], y[inside])[0, 1]
        assert side * covariance > 0


def test_a_slice_is_the_plane_of_the_volume():
    volume = brain("shepp-logan", (64, 96, 96))
    heights = volume.grid.axes()[0]
    for index in (5, 23, 40):
        plane = brain("shepp-logan", (96, 96), z=float(heights[index]))
        np.testing.assert_array_equal(plane.labels, volume.labels[index])
        np.testing.assert_array_equal(plane.m0, volume.m0[index])
    assert brain("shepp-logan", (32, 32), z=127.0).mask.sum() == 0


def test_volumes_of_ellipsoids_are_right():
    maps = brain("shepp-logan", (128, 128, 128))
    voxel = math.prod(maps.grid.spacing)
    head = 4 / 3 * math.pi * 0.72 * 0.95 * 0.93 * 128**3
    assert maps.mask.sum() * voxel == pytest.approx(head, rel=3e-3)
    scalp = maps.labels == 1 + maps.tissues.index("scalp")
    inner = 4 / 3 * math.pi * 0.69 * 0.92 * 0.9 * 128**3
    assert scalp.sum() * voxel == pytest.approx(head - inner, rel=2e-2)


@pytest.mark.parametrize("shape", [(64, 64), (60, 80), (80, 60), (10, 60, 80)])
def test_voxels_are_square_and_hold_the_head(shape):
    maps = brain("shepp-logan", shape)
    assert maps.grid.shape == shape
    assert maps.grid.spacing[-1] == maps.grid.spacing[-2] == 256 / min(shape[-2:])
    area = maps.mask[..., :, :].reshape(-1, *shape[-2:])[len(maps.mask.reshape(-1, *shape[-2:])) // 2].sum()
    half_axes = math.pi * 0.72 * 0.95 * 128**2
    shrunk = 1 - (0.25 / 0.93) ** 2 if len(shape) == 2 else 1 - (maps.grid.axes()[0][5] / (0.93 * 128)) ** 2
    assert area * maps.grid.spacing[-1] ** 2 == pytest.approx(half_axes * shrunk, rel=2e-2)


def test_the_template_has_tissues_where_brains_have_them(data_folder):
    maps = brain("mni")
    check_consistent(maps)
    assert (maps.source, maps.field, maps.grid.shape) == ("mni", 3.0, (233, 197))
    # MNI space at z = 20 mm: a lateral ventricle, frontal white matter, the head of the caudate.
    for place, name in (((7.0, 5.0), "cerebrospinal fluid"), ((25.0, 25.0), "white matter"), ((15.0, 5.0), "grey")):
        found = at(maps, *place)
        assert found[3].startswith(name)
        t1, t2 = tissues.relaxation(found[3])
        assert found[:3] == pytest.approx([t1, t2, tissues.tissue(found[3]).proton_density], rel=1e-6)
    grey, white = (read_nifti(data_folder / f"mri/mni152_{k}.nii.gz").data[92].astype(int) for k in ("gm", "wm"))
    chances = np.array([255 - grey - white, grey, white])
    clear = maps.mask & (np.sort(chances, axis=0)[2] > np.sort(chances, axis=0)[1])
    np.testing.assert_array_equal(maps.labels[clear], 1 + chances.argmax(axis=0)[clear])
    assert clear.sum() > 0.99 * maps.mask.sum()
    low = brain("mni", (100, 80), field=1.5)
    check_consistent(low)
    assert at(low, 25.0, 25.0)[0] == pytest.approx(0.884)
    area, coarse = (m.mask.sum() * math.prod(m.grid.spacing) for m in (maps, low))
    assert coarse == pytest.approx(area, rel=1e-2)


def test_the_volume_of_the_template_is_a_brains(data_folder):
    maps = brain("mni", (63, 78, 66))
    check_consistent(maps)
    litres = maps.mask.sum() * math.prod(maps.grid.spacing) / 1e6
    assert 1.6 < litres < 2.1  # the template is larger than a brain of its people
    assert at(maps, 25.0, 25.0, 20.0)[3] == "white matter"
    height = float(maps.grid.axes()[0][30])
    plane = brain("mni", (78, 66), z=height)
    np.testing.assert_array_equal(plane.labels, maps.labels[30])


def test_the_classes_of_the_file_keep_their_values(data_folder):
    maps = brain("maps")
    check_consistent(maps)
    assert (maps.source, maps.field, maps.grid.shape) == ("maps", 1.5, (216, 180))
    with np.load(data_folder / "mri/brain_tissue_maps.npz") as content:
        np.testing.assert_allclose(maps.t1, content["t1_ms"] / 1e3, rtol=1e-4)
        np.testing.assert_allclose(maps.t2, content["t2_ms"] / 1e3, rtol=1e-4)
        np.testing.assert_allclose(maps.m0, content["m0"], rtol=1e-4)
    high = brain("maps", field=3.0)
    np.testing.assert_array_equal(high.labels, maps.labels)
    np.testing.assert_array_equal(high.m0, maps.m0)
    white = maps.labels == 1 + maps.tissues.index("white matter")
    assert high.t1[white].max() == pytest.approx(1.084)
    small = brain("maps", (54, 54))
    assert small.mask.mean() * 54 * 54 * 16 == pytest.approx(maps.mask.sum(), rel=2e-2)
    np.testing.assert_array_equal(small.labels[:, :4], 0)  # 18 mm at either side of the slice


def test_auto_takes_what_is_there(data_folder, monkeypatch, empty_machine):
    assert brain(shape=(64, 64)).source == "shepp-logan"
    only_maps = empty_machine / "mri"
    only_maps.mkdir()
    (only_maps / "brain_tissue_maps.npz").write_bytes((data_folder / "mri/brain_tissue_maps.npz").read_bytes())
    monkeypatch.setenv("SPINRAY_DATA", str(empty_machine))
    assert brain(shape=(64, 64)).source == "maps"
    assert brain(shape=(8, 64, 64)).source == "shepp-logan"
    assert brain(shape=(64, 64), z=0.0).source == "shepp-logan"
    monkeypatch.setenv("SPINRAY_DATA", str(data_folder))
    assert brain(shape=(64, 64)).source == "mni"


def test_without_files_the_error_says_what_to_do(empty_machine):
    with pytest.raises(FileError, match=r"mni152_t1.*SPINRAY_DATA.*nilearn.*shepp-logan"):
        brain("mni")
    with pytest.raises(FileError, match=r"brain_tissue_maps.*SPINRAY_DATA.*shepp-logan"):
        brain("maps")
    assert brain().grid.shape == (256, 256)


def test_nilearn_brings_the_template(data_folder, empty_machine, monkeypatch):
    """Its files are those of the samples, found by their place in the package."""

    def shipped(path):
        kind = path.split("_")[2]
        assert path == f"nilearn/datasets/data/mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
        return data_folder / f"mri/mni152_{kind}.nii.gz"

    monkeypatch.setattr(samples, "_in_package", shipped)
    assert brain("mni", (64, 64)).source == "mni"


def test_another_file_is_refused(empty_machine, monkeypatch):
    module = sys.modules["spinray.phantoms.brain"]  # the function hides it
    file = empty_machine / "maps.npz"
    monkeypatch.setattr(module, "_sample", lambda name: file)
    np.savez(file, m0=np.ones((4, 4)), t1_ms=np.full((4, 4), 777.0))
    with pytest.raises(FileError, match="t2_ms"):
        brain("maps")
    np.savez(file, m0=np.ones((4, 4)), t1_ms=np.full((4, 4), 777.0), t2_ms=np.full((4, 4), 70.0))
    with pytest.raises(FileError, match="other than"):
        brain("maps")
    file.write_bytes(b"not a file of numpy")
    with pytest.raises(FileError, match=r"maps\.npz"):
        brain("maps")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "colin27"}, "source: .*'shepp-logan'"),
        ({"source": "shepp-logan", "shape": (8,)}, "shape: "),
        ({"source": "shepp-logan", "shape": (0, 8)}, "shape"),
        ({"source": "shepp-logan", "field": 0.0}, "field: "),
        ({"source": "shepp-logan", "field": math.nan}, "field: "),
        ({"source": "mni", "field": 7.0}, "field: .*1.5, 3.0 T"),
        ({"source": "maps", "field": 7.0}, "field: .*1.5, 3.0 T"),
        ({"source": "maps", "shape": (8, 8, 8)}, "source: .*one slice"),
        ({"source": "maps", "z": 0.0}, "source: .*one slice"),
        ({"source": "shepp-logan", "shape": (8, 8, 8), "z": 0.0}, "z: "),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=f"^{message}"):
        brain(**arguments)


def test_bad_types_are_named():
    with pytest.raises(DtypeError, match="shape"):
        brain("shepp-logan", 64)
    with pytest.raises(DtypeError, match="field"):
        brain("shepp-logan", field="3T")
