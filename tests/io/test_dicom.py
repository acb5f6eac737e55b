"""CT in DICOM: every voxel at its place in the world, in HU; whatever makes no volume is refused with the fix."""

import contextlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spinray
from real_data import real_file
from spinray.errors import DtypeError, FileError, InputError
from spinray.io import read_dicom

pydicom = pytest.importorskip("pydicom")
# Damaged files make pydicom warn before it fails.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def dataset(pixels, position=(0, 0, 0), cosines=(1, 0, 0, 0, 1, 0), spacing=(1, 1), sop_class=CT, **fields):
    """A CT image with the given stored values; fields replace or add attributes, None removes one."""
    pixels = np.asarray(pixels)
    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = sop_class
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = pydicom.uid.generate_uid()
    attributes = {
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SeriesInstanceUID": "1.2.3",
        "SeriesNumber": 7,
        "ImagePositionPatient": [float(f"{x:.10g}") for x in position],
        "ImageOrientationPatient": [float(f"{x:.10g}") for x in cosines],
        "PixelSpacing": list(spacing),
        "SliceThickness": 2.5,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
    }
    for name, value in {**attributes, **fields}.items():
        if value is not None:
            setattr(image, name, value)
    return image


def save(image, path):
    image.save_as(path, enforce_file_format=True)
    return path


def numbers(shape=(4, 5), seed=0):
    return np.random.default_rng(seed).integers(-1000, 2000, shape, dtype=np.int16)


def rotation(angles):
    a, b, c = angles
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


@given(
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    spacing=st.tuples(st.floats(0.3, 2), st.floats(0.3, 2)),
    distance=st.floats(0.5, 10),
    start=st.tuples(*[st.floats(-400, 400)] * 3),
    order=st.permutations(range(4)),
)
@settings(max_examples=40)
def test_every_voxel_lies_where_dicom_says(tmp_path_factory, angles, spacing, distance, start, order):
    folder = tmp_path_factory.mktemp("oblique")
    row, column, normal = rotation(angles).T
    stack = numbers((4, 3, 5))
    for name, k in enumerate(order):
        position = np.array(start) + k * distance * normal
        save(dataset(stack[k], position, [*row, *column], spacing), folder / f"{name}.dcm")
    volume = read_dicom(folder)
    assert volume.data.dtype == np.float32
    np.testing.assert_array_equal(volume.data, stack)
    # DICOM PS3.3 C.7.6.2.1.1 for the pixel of column i and row j; LPS turned into RAS.
    for k, j, i in [(0, 0, 0), (3, 2, 4), (1, 0, 4), (2, 2, 0)]:
        lps = np.array(start) + k * distance * normal + i * spacing[1] * row + j * spacing[0] * column
        np.testing.assert_allclose((volume.affine @ [i, j, k, 1])[:3], LPS_TO_RAS @ lps, atol=1e-5)


def test_the_patient_axes_come_out_right_side_round(tmp_path):
    """Of a usual axial series columns grow to the patient's left (-x in RAS), rows to the back (-y)."""
    stack = numbers((3, 4, 5))
    for k in range(3):
        save(dataset(stack[k], (-10, -20, 5.0 * k)), tmp_path / f"{9 - k}")
    volume = read_dicom(tmp_path)
    np.testing.assert_array_equal(volume.affine, [[-1, 0, 0, 10], [0, -1, 0, 20], [0, 0, 5, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(volume.grid.to_aligned(volume.data), stack[:, ::-1, ::-1])
    assert volume.grid.axis_aligned().spacing == (5, 1, 1)


def test_slope_and_intercept_of_each_slice(tmp_path):
    stack = numbers((2, 4, 5))
    save(dataset(stack[0], RescaleSlope="0.5", RescaleIntercept="-1024"), tmp_path / "0.dcm")
    save(dataset(stack[1], (0, 0, 3), RescaleSlope="2", RescaleIntercept="10"), tmp_path / "1.dcm")
    np.testing.assert_array_equal(read_dicom(tmp_path).data, np.stack([stack[0] * 0.5 - 1024, stack[1] * 2.0 + 10]))


@pytest.mark.parametrize(
    "fields",
    [
        {"PixelPaddingValue": -2000},
        {"PixelPaddingValue": -2010, "PixelPaddingRangeLimit": -1990},
        {"PixelPaddingValue": -1990, "PixelPaddingRangeLimit": -2010},
    ],
)
@pytest.mark.parametrize("count", [1, 30])
def test_named_padding_becomes_air(tmp_path, fields, count):
    pixels = np.abs(numbers((8, 10)))
    pixels.ravel()[:count] = -2000
    file = save(dataset(pixels, RescaleIntercept=-1024, **fields), tmp_path / "a.dcm")
    expected = pixels - 1024.0
    np.testing.assert_array_equal(read_dicom(file, padding=None).data[0], expected)
    expected.ravel()[:count] = -1000
    np.testing.assert_array_equal(read_dicom(file).data[0], expected)
    expected.ravel()[:count] = -777
    np.testing.assert_array_equal(read_dicom(file, padding=-777).data[0], expected)


def test_padding_whose_sign_was_written_wrongly(tmp_path):
    pixels = np.abs(numbers((8, 10)))
    pixels[0] = -2000
    image = dataset(pixels)
    image.add_new("PixelPaddingValue", "US", 63536)  # -2000 as the bits of an unsigned number
    assert read_dicom(save(image, tmp_path / "a.dcm")).data[0, 0].tolist() == [-1000] * 10


def test_unnamed_padding_becomes_air_but_noise_stays(tmp_path):
    rng = np.random.default_rng(1)
    pixels = rng.normal(-1000, 60, (40, 50)).astype(np.int16)
    file = save(dataset(pixels), tmp_path / "noise.dcm")
    np.testing.assert_array_equal(read_dicom(file).data[0], pixels)
    pixels[:3] = -3024
    file = save(dataset(pixels), tmp_path / "circle.dcm")
    np.testing.assert_array_equal(read_dicom(file).data[0], np.where(pixels == -3024, -1000, pixels))
    np.testing.assert_array_equal(read_dicom(file, padding=None).data[0], pixels)


@pytest.mark.parametrize("kind", ["i2", "u2"])
def test_bits_above_those_stored_are_no_pixels(tmp_path, kind):
    """Old files keep overlays there: 12 bits of 16 are the value."""
    values = np.array([[0, 1, 2047, 700], [-1, -2048, -500, 3]] if kind == "i2" else [[0, 1, 4095, 7], [9, 8, 7, 6]])
    stored = ((values & 0xFFF) | (np.arange(8).reshape(2, 4) % 2) << 13).astype("u2").view(kind)
    file = save(dataset(stored, BitsStored=12, HighBit=11), tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_dicom(file, padding=None).data[0], values)


def test_one_slice_is_as_thick_as_it_says(tmp_path):
    assert read_dicom(save(dataset(numbers()), tmp_path / "a.dcm")).grid.spacing == (2.5, 1, 1)
    both = dataset(numbers(), SpacingBetweenSlices=4)
    assert read_dicom(save(both, tmp_path / "b.dcm")).grid.spacing == (4, 1, 1)
    none = dataset(numbers(), SliceThickness=None)
    assert read_dicom(save(none, tmp_path / "c.dcm")).grid.spacing == (1, 1, 1)


def linear(points):
    """HU that rise linearly over the patient, points in LPS, shape (..., 3)."""
    return points @ np.array([3.0, -2.0, 5.0]) + 100


def write_linear(folder, heights, tilt=0.0, values=linear):
    """Slices at the heights along z, tilted about x, of the linear (or another) object."""
    shape, spacing = (12, 10), (1.5, 2.0)
    row, column = np.array([1.0, 0, 0]), np.array([0, np.cos(tilt), -np.sin(tilt)])
    j, i = np.indices(shape)
    for k, height in enumerate(heights):
        start = np.array([-9.0, -8.0, height])
        points = start + i[..., None] * spacing[1] * row + j[..., None] * spacing[0] * column
        stored = np.rint(values(points) * 16).astype(np.int16)
        save(dataset(stored, start, [*row, *column], spacing, RescaleSlope=0.0625), folder / f"{k:02}.dcm")


def lps_of(volume):
    k, j, i = np.indices(volume.data.shape)
    indices = np.stack([i, j, k, np.ones_like(i)], axis=-1)
    return (indices @ volume.affine.T)[..., :3] @ LPS_TO_RAS


UNEVEN = [0.0, 2.0, 4.0, 7.0, 10.0, 13.0]


def test_uneven_slices_are_refused_and_each_fix_works(tmp_path):
    write_linear(tmp_path, UNEVEN)
    with pytest.raises(FileError, match=r"unevenly spaced.*2 to 3 mm apart") as caught:
        read_dicom(tmp_path)
    distance = float(re.search(r"resample=([\d.]+)", str(caught.value))[1])
    tolerance = float(re.search(r"spacing_tolerance=([\d.]+)", str(caught.value))[1])
    assert distance == 2
    volume = read_dicom(tmp_path, resample=distance)
    assert volume.data.shape == (7, 12, 10)
    np.testing.assert_allclose(volume.grid.spacing, (2, 1.5, 2))
    np.testing.assert_allclose(volume.data, linear(lps_of(volume)), atol=0.05)
    taken = read_dicom(tmp_path, spacing_tolerance=tolerance)
    assert taken.data.shape == (6, 12, 10)
    np.testing.assert_allclose(taken.grid.spacing[0], 13 / 5)
    with pytest.raises(FileError, match="unevenly"):
        read_dicom(tmp_path, spacing_tolerance=0.9 * tolerance)


def test_a_missing_slice_is_named(tmp_path):
    write_linear(tmp_path, [0, 2, 4, 8, 10])
    with pytest.raises(FileError, match=r"missing between 02\.dcm and 03\.dcm"):
        read_dicom(tmp_path)


def test_rounded_positions_are_regular(tmp_path):
    write_linear(tmp_path, [0, 0.6, 1.3, 1.9, 2.5, 3.1])  # 0.625 mm, written with one decimal
    with pytest.raises(FileError, match="unevenly"):
        read_dicom(tmp_path)
    assert read_dicom(tmp_path, spacing_tolerance=0.1).data.shape[0] == 6
    write_linear(tmp_path, [0, 0.63, 1.25, 1.88, 2.5, 3.13])
    np.testing.assert_allclose(read_dicom(tmp_path).grid.spacing[0], 0.626)


@pytest.mark.parametrize("heights", [np.arange(0, 30, 3.0), [0.0, 3.0, 6.0, 11.0, 16.0, 21.0]])
def test_a_tilted_gantry_is_straightened(tmp_path, heights):
    tilt = np.radians(18.5)
    for name, values in [("linear", linear), ("constant", lambda points: np.full(points.shape[:-1], 100.0))]:
        (tmp_path / name).mkdir()
        write_linear(tmp_path / name, heights, tilt, values=values)
    with pytest.raises(FileError, match=r"resample="):
        read_dicom(tmp_path / "linear")
    volume = read_dicom(tmp_path / "linear", resample=1.5)
    assert volume.grid.is_oblique
    # Rows are added for the slices' shift against each other of height * sin(tilt).
    assert volume.data.shape[1:] == (12 + np.ceil(heights[-1] * np.sin(tilt) / 1.5), 10)
    # Where a constant body stays constant, no air was mixed in from beyond the images.
    inside = read_dicom(tmp_path / "constant", resample=1.5).data == 100
    assert inside.mean() > 0.4
    np.testing.assert_allclose(volume.data[inside], linear(lps_of(volume))[inside], atol=0.1)


def test_a_tilted_regular_series_names_the_fix(tmp_path):
    write_linear(tmp_path, np.arange(0, 30, 3.0), np.radians(10))
    with pytest.raises(FileError, match=r"10\.0 degrees off their normal") as caught:
        read_dicom(tmp_path)
    distance = float(re.search(r"resample=([\d.]+)", str(caught.value))[1])
    assert distance == pytest.approx(3 * np.cos(np.radians(10)), rel=1e-3)
    assert read_dicom(tmp_path, resample=distance).data.shape[0] == 10


def test_equal_positions_are_refused(tmp_path):
    write_linear(tmp_path, [0, 2, 4])
    shutil.copy(tmp_path / "01.dcm", tmp_path / "copy.dcm")
    with pytest.raises(FileError, match=r"01\.dcm and copy\.dcm lie at the same position"):
        read_dicom(tmp_path)
    for k in (0, 2):
        shutil.copy(tmp_path / "01.dcm", tmp_path / f"0{k}.dcm")
    with pytest.raises(FileError, match="same position"):
        read_dicom(tmp_path, resample=1.0)


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("size", {"pixels": np.zeros((4, 6), np.int16)}),
        ("PixelSpacing", {"spacing": (1, 1.1)}),
        ("ImageOrientationPatient", {"cosines": (0, 1, 0, 0, 0, -1)}),
    ],
)
def test_slices_that_do_not_fit_are_named(tmp_path, what, other):
    save(dataset(numbers()), tmp_path / "a.dcm")
    save(dataset(**{"pixels": numbers(), "position": (0, 0, 2), **other}), tmp_path / "b.dcm")
    with pytest.raises(FileError, match=rf"a\.dcm and b\.dcm differ in {what}"):
        read_dicom(tmp_path)


def test_one_of_two_series_is_chosen_by_uid_or_number(tmp_path):
    first, second = numbers(), numbers(seed=1)
    save(dataset(first, SeriesDescription="soft"), tmp_path / "a.dcm")
    save(dataset(second, SeriesInstanceUID="1.2.4", SeriesNumber=8, SeriesDescription="bone"), tmp_path / "b.dcm")
    with pytest.raises(InputError, match=r"series: .* holds 2 series.*number 7, 'soft', series='1\.2\.3'.*'bone'"):
        read_dicom(tmp_path)
    for series, expected in [("1.2.3", first), (7, first), ("1.2.4", second), (8, second)]:
        np.testing.assert_array_equal(read_dicom(tmp_path, series=series).data[0], expected)
    with pytest.raises(InputError, match=r"no series .*9\. Choose one of"):
        read_dicom(tmp_path, series=9)
    save(dataset(second, SeriesInstanceUID="1.2.5", SeriesNumber=8), tmp_path / "c.dcm")
    with pytest.raises(InputError, match="2 series of this number: 8"):
        read_dicom(tmp_path, series=8)
    for series in [1.5, True, ["1.2.3"]]:
        with pytest.raises(DtypeError, match="series"):
            read_dicom(tmp_path, series=series)


def test_what_is_no_ct_image_is_passed_over(tmp_path):
    pixels = numbers()
    save(dataset(pixels), tmp_path / "IM0001")
    save(dataset(pixels, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesInstanceUID="9"), tmp_path / "scout.dcm")
    structures = "1.2.840.10008.5.1.4.1.1.481.3"
    save(dataset(pixels, sop_class=structures, Modality="RTSTRUCT", SeriesInstanceUID="8"), tmp_path / "rs.dcm")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.dcm").write_text("not an image")
    (tmp_path / "folder").mkdir()
    np.testing.assert_array_equal(read_dicom(tmp_path).data[0], pixels)
    (tmp_path / "IM0001").unlink()
    with pytest.raises(FileError, match=r"no CT image, but CT \(localiser\) in scout\.dcm, RTSTRUCT \(RT"):
        read_dicom(tmp_path)


def test_other_modalities_are_refused():
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    for name, kind in [("MR_small.dcm", "MR"), ("rtplan.dcm", "RTPLAN"), ("rtdose.dcm", "RTDOSE")]:
        if (folder / name).is_file():
            with pytest.raises(FileError, match=rf"{name}: no CT image, but {kind}"):
                read_dicom(folder / name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"RescaleIntercept": None}, "RescaleIntercept is missing"),
        ({"RescaleSlope": 0}, "RescaleSlope is 0"),
        ({"RescaleType": "ED"}, "RescaleType is 'ED'"),
        ({"PixelSpacing": None}, "PixelSpacing is missing"),
        ({"PixelSpacing": [0, 1]}, "PixelSpacing should be positive"),
        ({"ImagePositionPatient": None}, "ImagePositionPatient is missing"),
        ({"ImagePositionPatient": [1, 2]}, "ImagePositionPatient should be 3 finite numbers"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular unit vectors"),
        ({"PixelData": None}, "holds no pixels"),
        ({"Rows": 40}, "damaged or truncated pixels"),
        ({"Rows": 0}, "Rows"),
        ({"Rows": 65535, "Columns": 65535}, "damaged or truncated pixels"),
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"BitsAllocated": 12}, "damaged or truncated pixels"),
    ],
)
def test_damaged_headers_name_file_and_attribute(tmp_path, fields, message):
    file = save(dataset(numbers(), **fields), tmp_path / "broken.dcm")
    with pytest.raises(FileError, match=rf"broken\.dcm: .*{message}"):
        read_dicom(file)


def enhanced(stack, heights):
    """A multi-frame CT whose frames lie at the heights; pixel spacing shared, positions and scale one by one."""
    image = dataset(stack, sop_class=ENHANCED_CT, NumberOfFrames=len(stack))
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(image, name)

    def group(**attributes):
        item = pydicom.Dataset()
        for name, value in attributes.items():
            setattr(item, name, value)
        return pydicom.Sequence([item])

    image.SharedFunctionalGroupsSequence = group(
        PixelMeasuresSequence=group(PixelSpacing=[0.5, 0.25], SliceThickness=2),
        PlaneOrientationSequence=group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
    )
    image.PerFrameFunctionalGroupsSequence = pydicom.Sequence(
        [
            group(
                PlanePositionSequence=group(ImagePositionPatient=[1, 2, height]),
                PixelValueTransformationSequence=group(RescaleSlope=1, RescaleIntercept=-k, RescaleType="HU"),
            )[0]
            for k, height in enumerate(heights)
        ]
    )
    return image


def test_enhanced_ct_is_a_stack_in_one_file(tmp_path):
    stack = numbers((3, 4, 5))
    volume = read_dicom(save(enhanced(stack, [6.0, 2.0, 4.0]), tmp_path / "multi.dcm"))
    np.testing.assert_array_equal(volume.data, np.stack([stack[1] - 1.0, stack[2] - 2.0, stack[0]]))
    np.testing.assert_array_equal(volume.affine, [[-0.25, 0, 0, -1], [0, -0.5, 0, -2], [0, 0, 2, 2], [0, 0, 0, 1]])


def test_run_length_compression_is_read(tmp_path):
    image = dataset(numbers((16, 16)))
    expected = image.pixel_array.copy()
    image.compress(pydicom.uid.RLELossless)
    np.testing.assert_array_equal(read_dicom(save(image, tmp_path / "rle.dcm")).data[0], expected)


def test_an_unreadable_compression_names_the_fix(tmp_path):
    uid = pydicom.uid.JPEGLosslessSV1
    if pydicom.pixels.get_decoder(uid).is_available:
        pytest.skip("a decoder for JPEG Lossless is installed")
    image = dataset(numbers((16, 16)))
    image.compress(pydicom.uid.RLELossless)
    image.file_meta.TransferSyntaxUID = uid
    with pytest.raises(FileError, match=r"a\.dcm: its pixels are compressed \(JPEG Lossless.*pip install pylibjpeg"):
        read_dicom(save(image, tmp_path / "a.dcm"))


@given(st.floats(0, 1, exclude_max=True))
@settings(max_examples=120)
def test_truncated_files_are_refused_by_name(tmp_path_factory, part):
    content = spinray.data.sample("ct_small").read_bytes()
    # Behind the pixels there are 134 bytes of padding, which nobody misses.
    file = tmp_path_factory.mktemp("cut") / "cut.dcm"
    file.write_bytes(content[: int(part * (len(content) - 140))])
    with pytest.raises(FileError, match=r"cut\.dcm: "):
        read_dicom(file)


@given(st.integers(0, 2**32), st.integers(1, 30), st.booleans())
@settings(max_examples=150)
def test_flipped_bits_give_an_error_or_a_volume(tmp_path_factory, seed, flips, header_only):
    content = bytearray(spinray.data.sample("ct_small").read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, 6500 if header_only else len(content), flips):
        content[at] ^= 1 << rng.integers(8)
    file = tmp_path_factory.mktemp("flip") / "flip.dcm"
    file.write_bytes(content)
    # Any other exception fails the test.
    with contextlib.suppress(FileError):
        volume = read_dicom(file)
        assert volume.data.ndim == 3
        assert np.isfinite(volume.data).all()


@given(st.binary(max_size=2000), st.booleans())
@settings(max_examples=50)
def test_random_bytes_are_refused_by_name(tmp_path_factory, content, marked):
    folder = tmp_path_factory.mktemp("random")
    (folder / "noise.dcm").write_bytes(bytes(128) + b"DICM" + content if marked else content)
    for path in (folder, folder / "noise.dcm"):
        with pytest.raises(FileError, match=r"noise\.dcm"):
            read_dicom(path)


def test_a_damaged_file_in_a_folder_fails_the_whole(tmp_path):
    """Wherever the last slice was cut off: a volume without it would look whole."""
    write_linear(tmp_path, [0, 2, 4])
    content = (tmp_path / "02.dcm").read_bytes()
    for keep in [0, 100, 131, 132, *range(133, len(content), 4)]:
        (tmp_path / "02.dcm").write_bytes(content[:keep])
        with pytest.raises((FileError, InputError), match=r"02\.dcm|series"):
            read_dicom(tmp_path)


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(FileError, match="no such file or folder"):
        read_dicom(tmp_path / "absent")
    with pytest.raises(FileError, match="no DICOM files"):
        read_dicom(tmp_path)
    (tmp_path / "series1").mkdir()
    with pytest.raises(FileError, match="folders series1"):
        read_dicom(tmp_path)
    file = spinray.data.sample("ct_small")
    with pytest.raises(DtypeError, match="path"):
        read_dicom([file])
    for name, value in [("padding", np.nan), ("spacing_tolerance", -1), ("resample", 0)]:
        with pytest.raises(InputError, match=name):
            read_dicom(file, **{name: value})


def test_the_slice_that_ships_with_pydicom():
    file = spinray.data.sample("ct_small")
    volume = read_dicom(file)
    stored = pydicom.dcmread(file).pixel_array
    np.testing.assert_array_equal(volume.data[0], np.where(stored == -2000, -1000, stored - 1024.0))
    np.testing.assert_allclose(volume.affine[:3, 3], [158.135803, 179.035797, -75.699997])
    assert volume.grid.spacing == (5.0, 0.661468, 0.661468)


def test_real_abdomen_matches_its_liver_label(tmp_path):
    for k in (1, 2, 3):
        shutil.copy(real_file(f"ct/abdomen_0{k}.dcm"), tmp_path)
    volume = read_dicom(tmp_path)
    assert volume.data.shape == (3, 512, 512)
    assert volume.grid.spacing == pytest.approx((1.0, 0.810547, 0.810547))
    # Numbered from head to feet; the volume grows from feet to head.
    np.testing.assert_allclose(volume.affine[2], [0, 0, 1.0, -128.690002])
    assert volume.data[:, 0, 0].tolist() == [-1000] * 3
    assert volume.data.min() >= -1024
    kept = read_dicom(tmp_path, padding=None).data
    assert kept.min() == -3024
    np.testing.assert_array_equal(np.where(kept == -3024, -1000, kept), volume.data)
    label = liver_label(real_file("ct/abdomen_liver_label.nrrd"))
    liver = volume.data[label > 0]
    # Liver without contrast agent; the wrong order of slices, or a flip, puts part of the label over fat and lung.
    assert 40 < np.median(liver) < 60
    for wrong in (volume.data[::-1], volume.data[:, ::-1], volume.data[:, :, ::-1]):
        assert wrong[label > 0].std() > 1.25 * liver.std()


def liver_label(file):
    """The label as (z, y, x) in the order of the volume, from a gzipped NRRD in LPS."""
    import gzip

    head, _, body = file.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    assert fields["encoding"] == "gzip"
    shape = [int(n) for n in fields["sizes"].split()]
    return np.frombuffer(gzip.decompress(body), np.int16).reshape(shape[::-1])


def test_real_neck_has_no_padding_to_fill():
    file = real_file("ct/neck_dicompyler.dcm")
    np.testing.assert_array_equal(read_dicom(file).data[0], pydicom.dcmread(file).pixel_array)


def test_real_tilted_uneven_head(tmp_path):
    head = np.load(real_file("ct/head_ge_tilted.npz"))
    cosines, spacing = head["image_orientation"].astype(float), head["pixel_spacing_mm"].astype(float)
    for k, (pixels, position) in enumerate(zip(head["hu"], head["slice_position_mm"].astype(float), strict=True)):
        save(dataset(pixels, position, cosines, spacing), tmp_path / f"{k:02}.dcm")
    with pytest.raises(FileError, match=r"unevenly spaced slices.* 1\.081 to 6\.999 mm apart"):
        read_dicom(tmp_path)
    volume = read_dicom(tmp_path, resample=4.0)
    normal = np.cross(cosines[:3], cosines[3:])
    np.testing.assert_allclose(LPS_TO_RAS @ volume.affine[:3, 2], 4.0 * normal, atol=1e-5)
    assert np.degrees(np.arccos(normal[2])) == pytest.approx(18.5, abs=0.01)
    # The first slice is not moved: its place in the new grid holds it unchanged.
    first = np.where(head["hu"][0] == -1500, -1000, head["hu"][0])
    start = np.linalg.solve(volume.affine, [*(LPS_TO_RAS @ head["slice_position_mm"][0]), 1])[:3]
    i, j, k = np.rint(start).astype(int)
    np.testing.assert_allclose(start, [i, j, k], atol=1e-3)
    assert (i, k) == (0, 0)
    np.testing.assert_array_equal(volume.data[0, j : j + 512, :512], first)
    assert volume.data.min() >= -1024
    # Bone keeps its share of the space when the volume is turned upright.
    upright = volume.resample(volume.grid.axis_aligned(), fill=-1000)
    assert not upright.grid.is_oblique
    bone = [(v.data > 300).sum() * np.prod(v.grid.spacing) for v in (volume, upright)]
    assert bone[1] == pytest.approx(bone[0], rel=0.1)
