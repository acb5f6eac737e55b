"""Raw X-ray measurements: HDF5 data exchange files, and the MATLAB files of the Helsinki tomography challenges."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileError
from ._files import existing_file, refuse_non_finite
from ._matlab import MARK, variables_of

if TYPE_CHECKING:
    import h5py

__all__ = ["RawSinogram", "read_sinogram"]

#: Where files keep each array; the first name is that of the Data Exchange definition.
_DATA = ("exchange/data",)
_FLATS = ("exchange/data_white", "exchange/flats", "exchange/flat")
_DARKS = ("exchange/data_dark", "exchange/darks", "exchange/dark")
_ANGLES = ("exchange/theta", "exchange/angles", "exchange/angle")


@dataclass(frozen=True)
class RawSinogram:
    """A measurement as the scanner wrote it.

    Attributes
    ----------
    data : ndarray, shape (view, row, column) or (view, column)
        Detector counts, or line integrals (see `is_log`); float32, float64 where the file has double.
    angles : ndarray, shape (view,)
        Radians, float64.
    flats, darks : ndarray or None, shape (n, row, column) or (n, column)
        Frames without object and without beam, for `spinray.ct.normalise`.
    is_log : bool
        Whether `data` are line integrals (flat-field corrected, minus logarithm) instead of counts.
    meta : mapping
        What else the file tells. Geometry, where given, in mm under the names of `spinray.ct`: ``sod``, ``sdd``,
        ``col_spacing``; ``geometry`` is "parallel" or "fan"; the rest under the file's own names.
    """

    data: np.ndarray
    angles: np.ndarray
    flats: np.ndarray | None = None
    darks: np.ndarray | None = None
    is_log: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only mapping cannot be pickled.
        return type(self), (self.data, self.angles, self.flats, self.darks, self.is_log, dict(self.meta))

    def __repr__(self) -> str:
        frames = ", ".join(
            f"{name}={'none' if array is None else array.shape}"
            for name, array in (("flats", self.flats), ("darks", self.darks))
        )
        kind = "line integrals" if self.is_log else "counts"
        return f"RawSinogram(data={self.data.shape} {self.data.dtype} {kind}, {frames}, {self._arc()})"

    def _arc(self) -> str:
        first, last = np.degrees(self.angles[[0, -1]])
        return f"angles {first:.6g} to {last:.6g} degrees"


def read_sinogram(path: Any) -> RawSinogram:
    """Read a raw X-ray measurement.

    Two kinds of file are known, told apart by their content:

    HDF5 "data exchange" (synchrotron beamlines, TomoPy)
        ``/exchange/data`` (view, row, column) or (view, column), ``/exchange/data_white`` and ``/exchange/data_dark``
        (optional; also ``flats``, ``darks``), ``/exchange/theta`` (also ``angles``) in degrees unless its attribute
        ``units`` says radians.
    MATLAB of the Helsinki tomography data sets
        A struct with ``sinogram`` (view, column), already log-converted, and ``parameters`` with the angles in degrees
        and the distances of a fan beam.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    RawSinogram
        Integers become float32, double stays double.

    Raises
    ------
    FileError
        If the file is missing, damaged or of another kind; if an array is missing (the message lists what is there),
        unfinished, of the wrong shape, or holds values that are not finite.

    References
    ----------
    .. [1] F. De Carlo et al., "Scientific data exchange: a schema for HDF5-based storage of raw and analyzed data",
       J. Synchrotron Rad. 21, 1224 (2014).
    .. [2] A. Meaney, F. Silva de Moura, S. Siltanen, "Helsinki Tomography Challenge 2022" (2022).

    Examples
    --------
    >>> import h5py, numpy as np, tempfile, spinray
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with h5py.File(f"{folder}/scan.h5", "w") as file:
    ...         file["exchange/data"] = np.ones((4, 2, 8), np.uint16)
    ...         file["exchange/theta"] = [0.0, 45.0, 90.0, 135.0]
    ...     spinray.io.read_sinogram(f"{folder}/scan.h5")
    RawSinogram(data=(4, 2, 8) float32 counts, flats=none, darks=none, angles 0 to 135 degrees)
    """
    file = existing_file(path, "an HDF5 or MATLAB file")
    import h5py

    if _is_matlab(file):
        sinogram = _read_matlab(file)
    elif h5py.is_hdf5(file):
        sinogram = _read_hdf5(file)
    else:
        raise FileError(f"{file}: neither HDF5 (/exchange) nor MATLAB of version 5 to 7, or its beginning is damaged")
    _check(file, sinogram)
    return sinogram


def _is_matlab(file: Path) -> bool:
    try:
        with open(file, "rb") as stream:
            return stream.read(len(MARK)) == MARK
    except OSError as error:
        raise FileError(f"{file}: cannot be read ({error})") from None


def _check(file: Path, sinogram: RawSinogram) -> None:
    data, angles = sinogram.data, sinogram.angles
    if data.ndim not in (2, 3) or data.size == 0:
        raise FileError(f"{file}: data should be (view, row, column) or (view, column), its shape is {data.shape}")
    if angles.shape != data.shape[:1]:
        raise FileError(f"{file}: {data.shape[0]} views, but angles of shape {angles.shape}")
    for name, frames in (("flats", sinogram.flats), ("darks", sinogram.darks)):
        if frames is not None and (frames.ndim != data.ndim or frames.shape[1:] != data.shape[1:] or frames.size == 0):
            raise FileError(f"{file}: {name} of shape {frames.shape} do not fit views of shape {data.shape[1:]}")
    fix = "Repair them before reconstructing; a ring or a streak would come of each"
    for name, array in (("data", data), ("flats", sinogram.flats), ("darks", sinogram.darks), ("angles", angles)):
        if array is not None:
            refuse_non_finite(f"{file}: {name}", array, fix)


def _as_float(file: Path, name: str, array: Any) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "iuf":
        raise FileError(f"{file}: {name} should hold real numbers, it has dtype {array.dtype}")
    dtype = np.float64 if array.dtype.kind == "f" and array.dtype.itemsize >= 8 else np.float32
    return np.require(array, dtype, "C")


def _read_hdf5(file: Path) -> RawSinogram:
    import h5py

    try:
        with h5py.File(file, "r") as content:
            names = _datasets(content)
            data = _frames(file, content, _required(file, names, _DATA))
            angles_name = _required(file, names, _ANGLES)
            angles = _radians(file, angles_name, _dataset(file, content, angles_name))
            flats, darks = (
                _frames(file, content, name, single=data.ndim - 1) if name else None
                for name in (_first(names, _FLATS), _first(names, _DARKS))
            )
            meta = _small_values(content, names)
    except FileError:
        raise
    except MemoryError:
        raise FileError(f"{file}: does not fit into memory") from None
    except Exception as error:  # h5py raises what its C library's errors map to: OSError, KeyError ...
        raise FileError(f"{file}: damaged or truncated HDF5 file ({type(error).__name__}: {error})") from None
    return RawSinogram(data, angles, flats, darks, is_log=False, meta={"geometry": "parallel", **meta})


def _datasets(content: h5py.File) -> dict[str, tuple[int, ...]]:
    import h5py

    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item.shape

    content.visititems(note)
    return found


def _first(names: Mapping[str, tuple[int, ...]], wanted: tuple[str, ...]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _required(file: Path, names: Mapping[str, tuple[int, ...]], wanted: tuple[str, ...]) -> str:
    name = _first(names, wanted)
    if name is None:
        there = ", ".join(f"/{key} {shape}" for key, shape in list(names.items())[:20]) or "no arrays at all"
        raise FileError(f"{file}: /{' or /'.join(wanted)} is missing. There is: {there}")
    return name


def _dataset(file: Path, content: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset all of whose values were really written: HDF5 fills up what is missing with zeros."""
    import h5py

    dataset = content[name]
    chunks = dataset.chunks
    if dataset.size and dataset.dtype.kind in "iuf":
        if chunks is None:
            unfinished = dataset.id.get_space_status() != h5py.h5d.SPACE_STATUS_ALLOCATED and not dataset.external
            unfinished = unfinished and dataset.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
        else:
            promised = math.prod(-(-n // c) for n, c in zip(dataset.shape, chunks, strict=True))
            unfinished = dataset.id.get_num_chunks() < promised
        if unfinished and not dataset.is_virtual:
            raise FileError(
                f"{file}: /{name} promises {dataset.shape} values, not all of which were written. "
                "Was the scan aborted? Cut the file to the views that are there"
            )
    return dataset


def _frames(file: Path, content: h5py.File, name: str, single: int | None = None) -> np.ndarray:
    """Return an array of frames; `single` is the number of dimensions of one frame that stands alone."""
    dataset = _dataset(file, content, name)
    axes = dataset.attrs.get("axes")
    axes = axes.decode() if isinstance(axes, bytes) else axes
    if isinstance(axes, str) and dataset.ndim == 3 and not axes.startswith("theta") and "theta" in axes:
        raise FileError(f"{file}: /{name} has axes {axes!r}; expected theta:y:x. Transpose it to (view, row, column)")
    array = _as_float(file, f"/{name}", dataset[()])
    return array[np.newaxis] if array.ndim == single else array


def _radians(file: Path, name: str, dataset: h5py.Dataset) -> np.ndarray:
    values = dataset[()]
    if np.asarray(values).dtype.kind not in "iuf":
        raise FileError(f"{file}: /{name} should hold real numbers, it has dtype {dataset.dtype}")
    angles = np.asarray(values, np.float64)
    units = dataset.attrs.get("units", "degrees")
    units = units.decode() if isinstance(units, bytes) else str(units)
    return angles if units.strip().lower().startswith("rad") else np.deg2rad(angles)


def _small_values(content: h5py.File, names: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return every scalar of the file under its full name, text as str."""
    values = {}
    for name, shape in names.items():
        if shape == () or shape == (1,):
            value = content[name][()]
            value = value.item() if isinstance(value, (np.ndarray, np.generic)) and value.size == 1 else value
            values[name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return values


def _read_matlab(file: Path) -> RawSinogram:
    try:
        variables = variables_of(file.read_bytes())
    except MemoryError:
        raise FileError(f"{file}: does not fit into memory") from None
    except (OSError, ValueError, RecursionError, zlib.error) as error:
        raise FileError(f"{file}: damaged or truncated MATLAB file ({error})") from None
    structs = [value for value in variables.values() if isinstance(value, dict) and "sinogram" in value]
    if len(structs) != 1 or not isinstance(structs[0].get("parameters"), dict):
        there = ", ".join(f"{name} ({type(value).__name__})" for name, value in variables.items()) or "nothing"
        raise FileError(f"{file}: expected one struct with sinogram and parameters. There is: {there}")
    parameters = structs[0]["parameters"]
    if "angles" not in parameters:
        raise FileError(f"{file}: parameters.angles is missing. There is: {', '.join(parameters)}")
    try:
        angles = np.deg2rad(np.atleast_1d(np.asarray(parameters["angles"], np.float64)))
    except (TypeError, ValueError):
        raise FileError(f"{file}: parameters.angles should hold real numbers") from None
    data = _as_float(file, "sinogram", structs[0]["sinogram"])
    return RawSinogram(data, angles, is_log=True, meta={**parameters, **_fan_geometry(file, parameters)})


def _fan_geometry(file: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the distances under spinray's names, as far as they are told."""
    unit = parameters.get("distanceUnit", "mm")
    if unit != "mm":
        raise FileError(f"{file}: distances in {unit!r}; expected mm")
    names = {"sod": "distanceSourceOrigin", "sdd": "distanceSourceDetector"}
    names["col_spacing"] = "pixelSizePost" if "pixelSizePost" in parameters else "pixelSize"
    geometry: dict[str, Any] = {"geometry": "fan"}
    for ours, theirs in names.items():
        if theirs in parameters:
            value = parameters[theirs]
            if not isinstance(value, (int, float, np.number)) or not 0 < float(value) < math.inf:
                raise FileError(f"{file}: parameters.{theirs} should be a positive number, it is {value!r}")
            geometry[ours] = float(value)
    return geometry
