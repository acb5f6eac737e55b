"""CT series in DICOM, through pydicom."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks
from ..errors import DtypeError, FileError, InputError
from ..grid import Volume
from ._dicom_slices import CT_CLASSES, Slice, has_dicom_mark, header, pixels_in_hu, slices_of
from ._files import as_path, refuse_non_finite
from ._stack import AIR_HU, in_order, interpolated, regular_step, to_ras

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["read_dicom"]

_log = logging.getLogger("spinray.io")

#: Media Storage Directory Storage, the table of contents of a disc.
_DICOMDIR = "1.2.840.10008.1.3.10"
#: Files named like this must be DICOM; others in the folder may be anything.
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


def read_dicom(
    path: Any,
    *,
    series: str | int | None = None,
    padding: float | None = AIR_HU,
    spacing_tolerance: float = 0.05,
    resample: float | None = None,
) -> Volume:
    """Read a CT series, or one CT image, in Hounsfield units.

    Parameters
    ----------
    path : str or path-like
        Folder of one series (subfolders are not searched), or one file.
    series : str or int, optional
        Which series of the folder: its SeriesInstanceUID, or its SeriesNumber. Needed only if there are several.
    padding : float or None, default -1000.0
        HU given to pixels outside the reconstructed circle: those marked by PixelPaddingValue (and its range), and
        those of the lowest value of a slice if that is below -1024 HU and half a percent of the slice has exactly it
        (scanners write -1500, -2000, -3024 ... there). None keeps the stored values.
    spacing_tolerance : float, default 0.05
        How far slices may lie from regular positions, as a part of their distance.
    resample : float, optional
        Distance in mm to which unevenly spaced slices, or those of a tilted gantry, are linearly interpolated along
        their normal. Unless given, they are refused.

    Returns
    -------
    Volume
        ``data`` float32, HU, shape (z, y, x), slices sorted along the normal of the images (for an axial series from
        feet to head); ``affine`` in mm, RAS+: DICOM's LPS is converted, oblique orientations are kept. A single slice
        is as thick as SpacingBetweenSlices or SliceThickness say.

    Raises
    ------
    FileError
        If there is no CT image, a file is damaged or truncated or compressed in an unknown way, or the slices do not
        make a regular volume: different sizes or orientations, equal positions, uneven or shifted slices.
    InputError
        If there are several series and `series` chooses none of them.

    Notes
    -----
    CT, Enhanced CT (multi-frame) and Legacy Converted Enhanced CT are read; other objects in a folder, and
    localisers, are passed over. Rescale slope and intercept are applied slice by slice in double precision.

    References
    ----------
    .. [1] DICOM PS3.3, C.7.6.2 (image plane), C.8.2.1 (CT image), C.7.5.1.1.2 (pixel padding).

    Examples
    --------
    >>> import spinray
    >>> spinray.io.read_dicom(spinray.data.sample("ct_small"))
    Volume(shape=(1, 128, 128), dtype=float32, spacing (x, y, z)=(0.661468, 0.661468, 5) mm)
    """
    where = as_path(path)
    fill = None if padding is None else _checks.number("padding", padding)
    tolerance = _checks.positive("spacing_tolerance", spacing_tolerance, allow_zero=True)
    distance = None if resample is None else _checks.positive("resample", resample)
    chosen = _chosen_series(_ct_headers(where), series, where)
    slices = in_order([one for file, dataset in chosen for one in slices_of(dataset, file)], where)
    reader = _Pixels(slices, fill)
    if distance is not None and len(slices) > 1:
        data, origin, step = interpolated(slices, reader, distance, AIR_HU if fill is None else fill)
    else:
        origin, step = slices[0].position, regular_step(slices, tolerance, where)
        if slices[0].thickness is None and len(slices) == 1:
            _log.warning("%s: no slice thickness, 1 mm is assumed", where)
        data = _stacked(slices, reader)
    refuse_non_finite(str(where), data, "Is its RescaleSlope or RescaleIntercept damaged?")
    try:
        return Volume(data, to_ras(slices[0], origin, step))
    except InputError as error:
        raise FileError(f"{where}: {error}") from None


class _Pixels:
    """The images of slices in HU, each file read when its first slice is asked for."""

    def __init__(self, slices: list[Slice], padding: float | None) -> None:
        self._slices = slices
        self._padding = padding
        self._waiting: dict[int, np.ndarray] = {}
        self._of_file: dict[Path, list[int]] = {}
        for k, one in enumerate(slices):
            self._of_file.setdefault(one.file, []).append(k)

    def __call__(self, k: int) -> np.ndarray:
        if k not in self._waiting:
            file = self._slices[k].file
            same = self._of_file[file]
            images = pixels_in_hu(file, [self._slices[i] for i in same], self._padding)
            self._waiting.update(zip(same, images, strict=True))
        return self._waiting.pop(k)


def _stacked(slices: list[Slice], image: _Pixels) -> np.ndarray:
    # The first image proves that its header tells its size truly, before all of the memory is asked for.
    first = image(0)
    data = np.empty((len(slices), *first.shape), np.float32)
    data[0] = first
    for k in range(1, len(slices)):
        data[k] = image(k)
    return data


def _ct_headers(where: Path) -> list[tuple[Path, Dataset]]:
    """Return the CT images of a folder, or the one file, with their headers.

    Raises
    ------
    FileError
        If there are none; the message tells what there is instead.
    """
    if where.is_file():
        files = [where]
    elif where.is_dir():
        files = [file for file in sorted(where.iterdir()) if _is_candidate(file)]
    else:
        raise FileError(f"{where}: no such file or folder (working folder {Path.cwd()})")
    if not files:
        folders = [folder.name for folder in sorted(where.iterdir()) if folder.is_dir()]
        hint = f". It has the folders {', '.join(folders[:5])}; name one" if folders else ""
        raise FileError(f"{where}: no DICOM files in this folder{hint}")
    found = [(file, header(file)) for file in files]
    images = [(file, dataset) for file, dataset in found if _is_ct_image(file, dataset)]
    if not images:
        kinds = {_kind(dataset): file.name for file, dataset in reversed(found)}
        listing = ", ".join(f"{kind} in {name}" for kind, name in sorted(kinds.items()))
        raise FileError(f"{where}: no CT image, but {listing}. Only CT has Hounsfield units")
    if len(images) < len(found):
        _log.info("%s: %d objects that are not CT images are passed over", where, len(found) - len(images))
    return images


def _is_candidate(file: Path) -> bool:
    if not file.is_file() or file.name.startswith("."):
        return False
    if has_dicom_mark(file):
        return True
    if file.suffix.lower() in _DICOM_SUFFIXES:
        raise FileError(f"{file}: named like DICOM, but the mark DICM is missing at byte 128: damaged or no DICOM file")
    return False


def _is_ct_image(file: Path, dataset: Dataset) -> bool:
    # What an object is stands in it twice, so that a truncated CT image does not pass for another object.
    announced, own = dataset.file_meta.get("MediaStorageSOPClassUID"), dataset.get("SOPClassUID")
    if announced in CT_CLASSES or own in CT_CLASSES:
        return "LOCALIZER" not in (dataset.get("ImageType") or [])
    if not own and announced != _DICOMDIR:
        raise FileError(f"{file}: does not tell what it is (SOPClassUID); damaged or truncated")
    return False


def _kind(dataset: Dataset) -> str:
    uid = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
    name = "localiser" if uid in CT_CLASSES else getattr(uid, "name", "object of unknown class")
    return f"{dataset.get('Modality') or 'no modality'} ({name})"


def _chosen_series(
    images: list[tuple[Path, Dataset]], series: str | int | None, where: Path
) -> list[tuple[Path, Dataset]]:
    if series is not None and (isinstance(series, bool) or not isinstance(series, (str, int, np.integer))):
        raise DtypeError(f"series: expected a SeriesInstanceUID or a SeriesNumber, got {type(series).__name__}")
    groups: dict[str, list[tuple[Path, Dataset]]] = {}
    for file, dataset in images:
        groups.setdefault(str(dataset.get("SeriesInstanceUID")), []).append((file, dataset))
    if series is None and len(groups) == 1:
        return images
    number_of = {uid: _series_number(group[0][1]) for uid, group in groups.items()}
    chosen = [uid for uid in groups if series is not None and series in (uid, number_of[uid])]
    if len(chosen) == 1:
        return groups[chosen[0]]
    listing = "; ".join(
        f"{len(group)} images of number {number_of[uid]}, "
        f"{str(group[0][1].get('SeriesDescription') or 'no description')!r}, series={uid!r}"
        for uid, group in groups.items()
    )
    if series is None:
        problem = f"{len(groups)} series"
    else:
        problem = f"{len(chosen) or 'no'} series of this {'number' if chosen else 'number or UID'}: {series!r}"
    raise InputError(f"series: {where} holds {problem}. Choose one of: {listing}")


def _series_number(dataset: Dataset) -> int | None:
    try:
        return int(dataset.SeriesNumber)
    except (AttributeError, TypeError, ValueError):
        return None
