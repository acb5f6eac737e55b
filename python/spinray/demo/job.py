"""The main job from an input to the sections of its report."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from .axis import shift_axis
from .dose import dose_slice
from .fingerprint import fingerprint_brain
from .head import scan_head
from .inputs import Measurement, load, sample
from .learned import learn_slice
from .measurements import reconstruct_measurement
from .peer import compare_fbp
from .section import Section
from .slices import scan_slice

__all__ = ["run"]


def run(path: str | None = None, train: float = 60.0) -> Iterator[Section]:
    """Do the main job part by part; progress bars show on standard error.

    Parameters
    ----------
    path : str, optional
        DICOM file or folder, NIfTI file or raw sinogram; a real slice from pydicom's test files unless given.
    train : float
        Seconds that a network learns for.

    Yields
    ------
    Section
        Parts of the report as they are ready.

    Raises
    ------
    InputError, FileError
        If the input cannot be used.
    """
    given = load(path)
    if isinstance(given, Measurement):
        yield from reconstruct_measurement(given)
        given = sample()
    else:
        yield scan_slice(given)
    yield scan_head()
    if importlib.util.find_spec("torch") is not None:
        yield shift_axis(given)
        yield learn_slice(given, train)
    else:
        words = "Left out: gradients and networks need torch, which is not installed (pip install torch)."
        yield Section("A shifted axis, found by its gradient; learned reconstruction", [words])
    yield fingerprint_brain()
    yield dose_slice(given)
    yield compare_fbp(given.hu)
