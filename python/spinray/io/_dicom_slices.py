"""One DICOM file as CT slices: what its header says about each, and its pixels in HU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Slice", "has_dicom_mark", "header", "pixels_in_hu", "slices_of"]

#: CT, Enhanced CT and Legacy Converted Enhanced CT Image Storage.
CT_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")

#: What files are sorted by before their slices are looked at.
_SORTING = ("SOPClassUID", "Modality", "ImageType", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription")

#: Rescale types that mean Hounsfield units; US is "unspecified", the usual value of old CT.
_HOUNSFIELD = ("", "HU", "US", "HU_MOD")

#: Lowest number of the classical 12-bit scale, -1024 .. 3071 HU.
_LOWEST_HU = -1024.0
#: The lowest value of an image marks padding only if at least this share of the pixels, and this many, have exactly it.
_PADDING_SHARE, _PADDING_COUNT = 0.005, 10


@dataclass(frozen=True)
class Slice:
    """Place and scale of one image; vectors in the LPS frame of DICOM, lengths in mm."""

    file: Path
    frame: int
    position: np.ndarray
    """Centre of the first pixel, shape (3,)."""
    along_row: np.ndarray
    """Unit vector in which the column index grows, shape (3,)."""
    along_column: np.ndarray
    """Unit vector in which the row index grows, shape (3,)."""
    spacing: tuple[float, float]
    """Distance of pixels between rows and between columns."""
    thickness: float | None
    shape: tuple[int, int]
    slope: float
    intercept: float

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the image."""
        return np.cross(self.along_row, self.along_column)

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.file.name if self.frame == 0 else f"{self.file.name} frame {self.frame + 1}"


def has_dicom_mark(file: Path) -> bool:
    """Tell whether the file carries the mark of DICOM, "DICM" behind 128 arbitrary bytes.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    try:
        with open(file, "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError as error:
        raise FileError(f"{file}: cannot be read ({error})") from None


def header(file: Path) -> Dataset:
    """Return everything but the pixels of a file.

    Raises
    ------
    FileError
        If the file is no DICOM file, truncated or damaged.
    """
    dataset = _parsed(file, stop_before_pixels=True)
    try:
        # Elements are decoded when first looked at; what is damaged in those that sort files shows now.
        for keyword in _SORTING:
            dataset.get(keyword)
    except Exception as error:  # see _parsed
        raise FileError(f"{file}: damaged DICOM header ({type(error).__name__}: {error})") from None
    return dataset


def _parsed(file: Path, **options: Any) -> Dataset:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        dataset = pydicom.dcmread(file, **options)
        for element in dataset.file_meta:
            _ = element.value
    except InvalidDicomError:
        raise FileError(
            f"{file}: no DICOM file (the mark DICM is missing at byte 128). "
            "If it is one without its preamble, save it anew from pydicom.dcmread(file, force=True)"
        ) from None
    except Exception as error:  # pydicom lets through whatever its parsers meet: EOFError, struct.error, KeyError ...
        raise FileError(f"{file}: damaged or truncated DICOM file ({type(error).__name__}: {error})") from None
    return dataset


def slices_of(dataset: Dataset, file: Path) -> list[Slice]:
    """Return the slices a header describes: one, or one for each frame of an enhanced CT.

    Raises
    ------
    FileError
        If something needed is missing, damaged, or not in HU.
    """
    try:
        frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
        n = int(dataset.get("NumberOfFrames") or 1)
        if n > 1 and len(frames) != n:
            raise FileError(
                f"{file}: {n} frames, but PerFrameFunctionalGroupsSequence tells the place of {len(frames)} of them; "
                "only enhanced CT with a place for each frame can be read"
            )
        if not frames:
            return [_slice([dataset], file, 0)]
        shared = dataset.get("SharedFunctionalGroupsSequence") or []
        return [_slice([*_items(frame), *_items(*shared), dataset], file, k) for k, frame in enumerate(frames)]
    except FileError:
        raise
    except Exception as error:  # see _parsed
        raise FileError(f"{file}: damaged DICOM header ({type(error).__name__}: {error})") from None


def _items(*groups: Dataset) -> list[Dataset]:
    """Return the items of all functional groups (PlanePositionSequence ...), in which the attributes stand."""
    return [item for group in groups for element in group if element.VR == "SQ" for item in element.value]


def _slice(sources: list[Dataset], file: Path, frame: int) -> Slice:
    def numbers(keyword: str, count: int) -> np.ndarray:
        value = next((source[keyword].value for source in sources if keyword in source), None)
        if value is None or value == "":
            raise FileError(f"{file}: {keyword} is missing; the file is incomplete or no axial CT image")
        result = np.atleast_1d(np.asarray(value, np.float64))
        if result.shape != (count,) or not np.isfinite(result).all():
            raise FileError(f"{file}: {keyword} should be {count} finite numbers, it is {value}")
        return result

    def optional(keyword: str) -> float | None:
        try:
            value = float(numbers(keyword, 1)[0])
        except FileError:
            return None
        return value if value > 0 else None

    kind = str(next((source.RescaleType for source in sources if "RescaleType" in source), None) or "").strip()
    if kind not in _HOUNSFIELD:
        raise FileError(f"{file}: RescaleType is {kind!r}; expected Hounsfield units (HU)")
    slope, intercept = numbers("RescaleSlope", 1)[0], numbers("RescaleIntercept", 1)[0]
    if slope == 0:
        raise FileError(f"{file}: RescaleSlope is 0")
    between_rows, between_columns = numbers("PixelSpacing", 2)
    if min(between_rows, between_columns) <= 0:
        raise FileError(f"{file}: PixelSpacing should be positive, it is {between_rows, between_columns}")
    cosines = numbers("ImageOrientationPatient", 6).reshape(2, 3)
    if np.abs(cosines @ cosines.T - np.eye(2)).max() > 1e-3:
        raise FileError(f"{file}: ImageOrientationPatient should be two perpendicular unit vectors, it is {cosines}")
    rows, columns = (int(numbers(keyword, 1)[0]) for keyword in ("Rows", "Columns"))
    if min(rows, columns) < 1:
        raise FileError(f"{file}: Rows and Columns should be positive, they are {rows, columns}")
    along_row, along_column = cosines / np.linalg.norm(cosines, axis=1, keepdims=True)
    return Slice(
        file=file,
        frame=frame,
        position=numbers("ImagePositionPatient", 3),
        along_row=along_row,
        along_column=along_column,
        spacing=(float(between_rows), float(between_columns)),
        thickness=optional("SpacingBetweenSlices") or optional("SliceThickness"),
        shape=(rows, columns),
        slope=float(slope),
        intercept=float(intercept),
    )


def pixels_in_hu(file: Path, slices: list[Slice], padding: float | None) -> list[np.ndarray]:
    """Return the pixels of the given slices of a file in HU: float32, shape (rows, columns) each.

    Raises
    ------
    FileError
        If the pixels are missing, truncated, damaged, compressed in a way nobody here can read, or colours.
    """
    dataset = _parsed(file)
    if "PixelData" not in dataset:
        raise FileError(f"{file}: holds no pixels; the file is truncated or not an image")
    if dataset.get("SamplesPerPixel", 1) != 1:
        raise FileError(f"{file}: holds colours ({dataset.get('PhotometricInterpretation')}), not Hounsfield units")
    try:
        stored = np.asarray(dataset.pixel_array)
        marked = _marked_as_padding(dataset, stored)
        values = _without_unused_bits(dataset, stored)
    except Exception as error:  # see _parsed
        raise FileError(f"{file}: {_why_undecodable(dataset, error)}") from None
    values, marked = (array.reshape(-1, *array.shape[-2:]) for array in (values, marked))
    images = []
    for one in slices:
        if one.frame >= len(values) or values.shape[1:] != one.shape:
            raise FileError(f"{file}: {one.shape} pixels are announced, {values.shape[1:]} are there")
        image = (values[one.frame] * one.slope + one.intercept).astype(np.float32)
        if padding is not None:
            _fill_padding(image, marked[one.frame], padding)
        images.append(image)
    return images


def _why_undecodable(dataset: Dataset, error: Exception) -> str:
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    try:
        readable = syntax is None or get_decoder(syntax).is_available
    except NotImplementedError:
        readable = False
    if readable:
        return f"damaged or truncated pixels ({type(error).__name__}: {error})"
    return (
        f"its pixels are compressed ({syntax.name}) and no decoder for that is installed. "
        "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
    )


def _as_stored(dataset: Dataset, value: Any) -> int:
    """Return a padding value as a pixel would hold it: its sign is often written wrongly."""
    bits = int(dataset.BitsAllocated)
    number = int.from_bytes(value, "little") if isinstance(value, bytes) else int(value)
    number %= 1 << bits
    return number - (1 << bits) if dataset.PixelRepresentation == 1 and number >= 1 << (bits - 1) else number


def _marked_as_padding(dataset: Dataset, stored: np.ndarray) -> np.ndarray:
    """Tell which pixels have PixelPaddingValue, or lie between it and PixelPaddingRangeLimit."""
    value = dataset.get("PixelPaddingValue")
    if value is None or value == "":
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    first = _as_stored(dataset, value)
    last = first if limit is None or limit == "" else _as_stored(dataset, limit)
    return (stored >= min(first, last)) & (stored <= max(first, last))


def _without_unused_bits(dataset: Dataset, stored: np.ndarray) -> np.ndarray:
    """Return the pixels as float64, without what old files keep in the bits above BitsStored (overlays)."""
    allocated, used = int(dataset.BitsAllocated), int(dataset.get("BitsStored", dataset.BitsAllocated))
    if stored.dtype.kind not in "iu" or not 0 < used < allocated:
        return stored.astype(np.float64)
    numbers = stored.astype(np.int64) & ((1 << used) - 1)
    if dataset.PixelRepresentation == 1:
        numbers -= (numbers >> (used - 1)) << used
    return numbers.astype(np.float64)


def _fill_padding(image: np.ndarray, marked: np.ndarray, padding: float) -> None:
    """Set what lies outside the reconstructed circle to `padding`, in place."""
    image[marked] = padding
    # Not every scanner names its padding. A value below the scale that very many pixels share is no noise.
    lowest = image.min()
    unnamed = image == lowest
    if lowest < _LOWEST_HU and np.count_nonzero(unnamed) >= max(_PADDING_SHARE * image.size, _PADDING_COUNT):
        image[unnamed] = padding
