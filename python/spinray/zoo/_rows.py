"""The rows by id."""

from __future__ import annotations

import functools
from typing import Any

from .. import _checks
from . import (
    complex_fingerprinting,
    fingerprinting,
    intercrystal,
    limited_angle,
    low_dose,
    noise_to_noise,
    scatter_estimation,
    sparse_view,
)
from ._report import Report

__all__ = ["row", "rows", "run"]

#: Modules with rows.
_FAMILIES = (
    limited_angle,
    sparse_view,
    low_dose,
    noise_to_noise,
    fingerprinting,
    complex_fingerprinting,
    intercrystal,
    scatter_estimation,
)


@functools.cache
def rows() -> dict[str, Any]:
    """Return all rows by id, in the order of the catalogue.

    Examples
    --------
    >>> from spinray import zoo
    >>> zoo.rows()["I3"].title
    'FBPConvNet'
    """
    return {row.id: row for family in _FAMILIES for row in family.rows()} | {"low_dose": low_dose.LowDoseContest()}


def row(id: str) -> Any:
    """Return a row.

    Parameters
    ----------
    id : str
        One of `rows`.

    Raises
    ------
    InputError
        If there is none of that id.
    """
    return rows()[_checks.choice("id", id, tuple(rows()))]


def run(id: str, *, effort: float = 1.0, progress: bool = False) -> Report:
    """Train a row's network, tune its rival, and report.

    Parameters
    ----------
    id : str
        One of `rows`.
    effort : float
        Fraction of the training: bars are for 1, anything less is a rehearsal.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Report
        Printing it gives a table, `Report.plot` the figure.

    Raises
    ------
    InputError
        If there is no row of that id, or `effort` is not positive.
    """
    report: Report = row(id).run(effort=effort, progress=progress)
    return report
