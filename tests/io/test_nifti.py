"""NIfTI-1 against nibabel in both directions; damage and hostility beyond what the Rust tests fuzz."""

import gzip
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spinray
from real_data import real_file
from spinray.errors import DtypeError, FileError, InputError
from spinray.io import read_nifti, write_nifti

nibabel = pytest.importorskip("nibabel")

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8", "c16"]
# A rotation with voxels of 1, 1 and 2.5 mm: every entry of the affine counts.
OBLIQUE = np.array([[-0.8, 0.36, 1.2, 12.5], [0.6, 0.48, 1.6, -80.25], [0.0, -0.8, 1.5, 7.125], [0.0, 0.0, 0.0, 1.0]])


def values(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    array = rng.normal(size=shape).astype(dtype)
    return array + 1j * rng.normal(size=shape).astype(array.real.dtype) if np.dtype(dtype).kind == "c" else array


def nibabel_image(data, affine=OBLIQUE):
    """An image of nibabel that holds data indexed (x, y, z, ...)."""
    return nibabel.Nifti1Image(data, affine, dtype=data.dtype)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nibabel_reads_what_we_write(tmp_path, dtype, suffix):
    data = values((3, 4, 5), dtype)
    write_nifti(tmp_path / f"a.b{suffix}", spinray.Volume(data, OBLIQUE))
    image = nibabel.load(tmp_path / f"a.b{suffix}")
    assert image.get_data_dtype() == np.dtype(dtype)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), data.T)
    np.testing.assert_allclose(image.affine, OBLIQUE, atol=2e-5)
    np.testing.assert_allclose(image.get_qform(), OBLIQUE, atol=1e-4)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert list(tmp_path.iterdir()) == [tmp_path / f"a.b{suffix}"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".img"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_we_read_what_nibabel_writes(tmp_path, dtype, order, suffix):
    data = values((5, 4, 3), dtype).astype(np.dtype(dtype).newbyteorder(order))
    kind = nibabel.Nifti1Pair if suffix == ".img" else nibabel.Nifti1Image
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(dtype)
    nibabel.save(kind(data, OBLIQUE, header), tmp_path / f"a{suffix}")
    volume = read_nifti(tmp_path / f"a{suffix}")
    assert volume.data.dtype == np.dtype(dtype)
    assert volume.data.flags.c_contiguous
    np.testing.assert_array_equal(volume.data, data.T)
    np.testing.assert_allclose(volume.affine, nibabel.load(tmp_path / f"a{suffix}").affine, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (1, 1, 6), (5, 4, 3, 1), (5, 4, 3, 2)])
def test_two_to_four_dimensions(tmp_path, shape):
    data = values(shape, "i2")
    nibabel.save(nibabel_image(data, np.diag([2.0, 3.0, 4.0, 1.0])), tmp_path / "a.nii")
    volume = read_nifti(tmp_path / "a.nii")
    np.testing.assert_array_equal(volume.data, data.T)
    write_nifti(tmp_path / "b.nii.gz", volume)
    np.testing.assert_array_equal(np.asanyarray(nibabel.load(tmp_path / "b.nii.gz").dataobj), data)


@pytest.mark.parametrize(
    ("dtype", "becomes"),
    [("u1", "f4"), ("i2", "f4"), ("u2", "f4"), ("i4", "f8"), ("u4", "f8"), ("i8", "f8"), ("f4", "f4"), ("f8", "f8")],
)
def test_scaling_as_nibabel(tmp_path, dtype, becomes):
    data = np.arange(-30, 30).reshape(5, 4, 3) if np.dtype(dtype).kind != "u" else np.arange(60).reshape(5, 4, 3)
    image = nibabel_image(data.astype(dtype))
    image.header.set_slope_inter(0.1, -1024.0)
    # nibabel would rescale on saving; the stored numbers are put in place by hand.
    content = bytearray(image.header.binaryblock) + bytes(4)
    content[108:112] = np.float32(352).tobytes()
    (tmp_path / "a.nii").write_bytes(bytes(content) + data.astype(dtype).tobytes("F"))
    expected = nibabel.load(tmp_path / "a.nii").get_fdata()
    assert expected.min() < -1000
    volume = read_nifti(tmp_path / "a.nii")
    assert volume.data.dtype == np.dtype(becomes)
    np.testing.assert_array_equal(volume.data, expected.T.astype(becomes))


def scanner_header(**fields):
    header = nibabel.Nifti1Header()
    header.set_data_shape((3, 4, 5))
    header.set_data_dtype(np.uint8)
    for name, value in fields.items():
        header[name] = value
    return header


def save(path, header, voxels=60):
    header["vox_offset"] = 352
    path.write_bytes(header.binaryblock + bytes(4) + bytes(voxels))


@given(
    quaternion=st.tuples(*[st.floats(-0.57, 0.57)] * 3),
    zooms=st.tuples(*[st.floats(0.25, 8.0)] * 3),
    offset=st.tuples(*[st.floats(-500, 500)] * 3),
    qfac=st.sampled_from([-1.0, 0.0, 1.0]),
    codes=st.sampled_from([(0, 0), (1, 0), (0, 3), (2, 4)]),
)
@settings(max_examples=60, deadline=None)
def test_affine_by_the_precedence_of_nibabel(tmp_path_factory, quaternion, zooms, offset, qfac, codes):
    path = tmp_path_factory.mktemp("affine") / "a.nii"
    header = scanner_header(qform_code=codes[0], sform_code=codes[1], pixdim=[qfac, *zooms, 1, 1, 1, 1])
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = quaternion
    header["qoffset_x"], header["qoffset_y"], header["qoffset_z"] = offset
    header["srow_x"], header["srow_y"], header["srow_z"] = OBLIQUE[:3]
    save(path, header)
    np.testing.assert_allclose(read_nifti(path).affine, nibabel.load(path).affine, atol=1e-4)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e3), ("mm", 1.0), ("micron", 1e-3), ("unknown", 1.0)])
def test_lengths_become_millimetres(tmp_path, unit, factor):
    header = scanner_header(sform_code=1, pixdim=[1, 2, 3, 4, 1, 1, 1, 1])
    header.set_sform(np.diag([2.0, 3.0, 4.0, 1.0]), 1)
    header.set_xyzt_units(unit, "sec")
    save(tmp_path / "a.nii", header)
    np.testing.assert_allclose(read_nifti(tmp_path / "a.nii").grid.spacing, np.array([4, 3, 2]) * factor, rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["mri/stroke_t1.nii.gz", "mri/stroke_flair.nii.gz", "mri/head_t1_seg3d.nii.gz", "mri/mni152_t1.nii.gz"]
)
def test_real_heads_both_ways(tmp_path, name):
    file = real_file(name)
    image, volume = nibabel.load(file), read_nifti(file)
    assert volume.data.dtype == (np.uint8 if (image.dataobj.slope, image.dataobj.inter) == (1, 0) else np.float32)
    np.testing.assert_array_equal(volume.data, np.asanyarray(image.dataobj).T.astype(volume.data.dtype))
    np.testing.assert_allclose(volume.affine, image.affine, atol=1e-6)
    write_nifti(tmp_path / "copy.nii.gz", volume)
    again = nibabel.load(tmp_path / "copy.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(again.dataobj), volume.data.T)
    np.testing.assert_allclose(again.affine, image.affine, atol=1e-5)


def test_header_extensions_are_passed_over(tmp_path):
    data = values((5, 4, 3), "i2")
    image = nibabel_image(data)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"scanned on a Sunday" * 20))
    nibabel.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii.gz").data, data.T)


def test_any_strides_byte_order_and_small_types_are_written(tmp_path):
    base = values((6, 8, 10), "i2")
    views = [base[::-1, ::2, ::-3], base.T, base.astype(">i2"), np.asfortranarray(base)]
    for data in [*views, base > 0, (base / 2**12).astype(np.float16)]:
        write_nifti(tmp_path / "a.nii", spinray.Volume(data, np.eye(4)))
        np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii").data, data)


def test_nan_is_refused_or_replaced(tmp_path):
    data = np.ones((5, 4, 3), np.float32)
    data[1, 2, 0], data[0, 0, 0] = np.nan, np.inf
    nibabel.save(nibabel_image(data), tmp_path / "a.nii")
    with pytest.raises(FileError, match=r"a\.nii: 2 of 60 entries NaN or infinite, first at index \(0, 0, 0\)"):
        read_nifti(tmp_path / "a.nii")
    filled = read_nifti(tmp_path / "a.nii", nonfinite=-7).data.T
    assert filled[1, 2, 0] == filled[0, 0, 0] == -7
    assert filled.sum() == 58 - 14


def test_large_finite_sums_are_not_taken_for_infinity(tmp_path):
    data = np.full((5, 4, 3), 3e38, np.float32)
    write_nifti(tmp_path / "a.nii", spinray.Volume(data, np.eye(4)))
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii").data, data)


def test_a_sheared_image_is_refused_by_name(tmp_path):
    sheared = np.array([[1, 0, 0, 0], [0, 1, 0.3, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]])
    nibabel.save(nibabel_image(values((5, 4, 3), "i2"), sheared), tmp_path / "tilted.nii")
    with pytest.raises(FileError, match=r"tilted\.nii: affine: .*sheared"):
        read_nifti(tmp_path / "tilted.nii")


def test_a_lying_header_costs_no_memory(tmp_path):
    """Under a limit on memory, files that promise more are found too short, not too large."""
    pytest.importorskip("resource")
    save(tmp_path / "a.nii", scanner_header(dim=[4, 32767, 32767, 32767, 10, 1, 1, 1]))
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    # 2 MB of zeros in 2 kB: by its size the gzip file could hold the 2 GB promised for each.
    header = scanner_header(dim=[3, 2000, 1000, 1000, 1, 1, 1, 1])
    save(tmp_path / "c.nii", header, 2_000_000)
    save(tmp_path / "d.nii", header, 2_000_000)
    (tmp_path / "d.nii.gz").write_bytes(gzip.compress((tmp_path / "d.nii").read_bytes()) + gzip.compress(b"") * 100_000)
    program = """
import resource, sys
import spinray
spinray.io.read_nifti, spinray._core.num_threads()
used = 4096 * int(open("/proc/self/statm").read().split()[0]) if sys.platform == "linux" else 0
if used:
    resource.setrlimit(resource.RLIMIT_AS, (used + 500_000_000, resource.RLIM_INFINITY))
for path in sys.argv[1:]:
    try:
        spinray.io.read_nifti(path)
    except spinray.errors.FileError as error:
        print(error)
"""
    files = [str(tmp_path / name) for name in ("a.nii", "b.nii.gz", "c.nii", "d.nii.gz")]
    done = subprocess.run([sys.executable, "-c", program, *files], capture_output=True, text=True, check=True)
    messages = done.stdout.splitlines()
    assert len(messages) == 4
    assert all("truncated" in message for message in messages), messages


@pytest.mark.parametrize("keep", [0, 1, 2, 100, 347, 348, 351, 352, 400, -1])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated_files_name_themselves(tmp_path, keep, suffix):
    write_nifti(tmp_path / f"whole{suffix}", spinray.Volume(values((6, 7, 8), "i2"), np.eye(4)))
    content = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(content[:keep])
    with pytest.raises(FileError, match=f"cut{suffix}: "):
        read_nifti(tmp_path / f"cut{suffix}")


@given(st.binary(max_size=600))
@settings(max_examples=50, deadline=None)
def test_random_bytes_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("random") / "noise.nii"
    path.write_bytes(content)
    with pytest.raises(FileError, match="noise"):
        read_nifti(path)


def test_wrong_arguments_are_named(tmp_path):
    volume = spinray.Volume(np.ones((2, 3, 4)), np.eye(4))
    with pytest.raises(FileError, match="no such file"):
        read_nifti(tmp_path / "absent.nii")
    with pytest.raises(FileError, match="read_dicom"):
        read_nifti(tmp_path)
    for path in [7, None, b"a.nii", "a\0.nii"]:
        with pytest.raises(DtypeError, match="path"):
            read_nifti(path)
    with pytest.raises(InputError, match=r"\.nii\.gz"):
        write_nifti(tmp_path / "a.png", volume)
    with pytest.raises(DtypeError, match="volume"):
        write_nifti(tmp_path / "a.nii", volume.data)
    with pytest.raises(FileError, match="folder"):
        write_nifti(tmp_path / "absent" / "a.nii", volume)
    with pytest.raises(InputError, match="32767"):
        write_nifti(tmp_path / "a.nii", spinray.Volume(np.ones((1, 40000)), np.eye(4)))
    with pytest.raises(InputError, match="affine"):
        write_nifti(tmp_path / "a.nii", spinray.Volume(np.ones((2, 2)), np.diag([1e39, 1e39, 1e39, 1.0])))
    assert not list(tmp_path.iterdir())


def test_relative_names_are_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_nifti("a.nii", spinray.Volume(np.ones((2, 3, 4)), np.eye(4)))
    assert os.listdir() == ["a.nii"]
    assert read_nifti("a.nii").data.shape == (2, 3, 4)
