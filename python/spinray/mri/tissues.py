"""Relaxation times of healthy tissues at 1.5 T and 3 T, each with the publication it is from.

Values of different publications differ by more than their errors: in vivo and excised, by sequence and by region. They
are for simulation; none of them is a norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .. import _checks
from ..errors import DtypeError, InputError

__all__ = ["FIELDS", "TISSUES", "Relaxation", "Tissue", "relaxation", "tissue"]

#: Field strengths of the table in T.
FIELDS = (1.5, 3.0)


@dataclass(frozen=True)
class Relaxation:
    """Relaxation times at one field strength.

    Attributes
    ----------
    t1, t2 : float
        Relaxation times in s.
    t2_star : float or None
        T2* in s, where a source is known.
    """

    t1: float
    t2: float
    t2_star: float | None = None


@dataclass(frozen=True)
class Tissue:
    """One tissue.

    Attributes
    ----------
    name : str
        What `relaxation` calls it.
    at : mapping of float to Relaxation
        By field strength in T.
    source : str
        Publications of the values.
    proton_density : float or None
        Of free water 1, where a source is known.
    """

    name: str
    at: Mapping[float, Relaxation]
    source: str
    proton_density: float | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # The read-only view of the table cannot be pickled.
        return _restored, (self.name, dict(self.at), self.source, self.proton_density)


def _restored(name: str, at: dict[float, Relaxation], source: str, proton_density: float | None) -> Tissue:
    return Tissue(name, MappingProxyType(at), source, proton_density)


_STANISZ = (
    "Stanisz et al. 2005, 'T1, T2 relaxation and magnetization transfer in tissue at 3T', Magn Reson Med 54, 507 "
    "(excised, 37 degrees C)"
)
_BAZELAIRE = (
    "de Bazelaire et al. 2004, 'MR imaging relaxation times of abdominal and pelvic tissues measured in vivo at "
    "3.0 T', Radiology 230, 652"
)
_GOLD = (
    "Gold et al. 2004, 'Musculoskeletal MRI at 3.0 T: relaxation times and image contrast', Am J Roentgenol 183, 343 "
    "(in vivo)"
)
_GACH = "Gach et al. 2008, '2D & 3D Shepp-Logan phantom standards for MRI', Proc 19th Int Conf Systems Engineering, 521"
_PETERS = "T2*: Peters et al. 2007, 'T2* measurements in human brain at 1.5, 3 and 7 T', Magn Reson Imaging 25, 748"

# Tissue: T1 and T2 in ms at 1.5 T, the same at 3 T, T2* at both, proton density, source.
_Times = tuple[float, float]
_TABLE: tuple[tuple[str, _Times, _Times, _Times | None, float | None, str], ...] = (
    ("white matter", (884, 72), (1084, 69), (66.2, 53.2), 0.617, f"{_STANISZ}; {_PETERS}; proton density: {_GACH}"),
    ("grey matter", (1124, 95), (1820, 99), (84.0, 66.0), 0.745, f"{_STANISZ}; {_PETERS}; proton density: {_GACH}"),
    ("cerebrospinal fluid", (4200, 1990), (4200, 1990), None, 0.98, f"{_GACH} (at any field)"),
    ("blood", (1441, 290), (1932, 275), None, None, _STANISZ),
    ("optic nerve", (815, 77), (1083, 78), None, None, _STANISZ),
    ("spinal cord", (745, 74), (993, 78), None, None, _STANISZ),
    ("muscle", (1008, 44), (1412, 50), None, None, _STANISZ),
    ("heart", (1030, 40), (1471, 47), None, None, _STANISZ),
    ("kidney", (690, 55), (1194, 56), None, None, _STANISZ),
    ("cartilage", (1060, 42.1), (1240, 36.9), None, None, _GOLD),
    ("synovial fluid", (2850, 1210), (3620, 767), None, None, _GOLD),
    ("fat", (288, 165), (371, 133), None, None, f"{_GOLD}: subcutaneous"),
    ("marrow fat", (288, 165), (365, 133), None, None, _GOLD),
    ("liver", (586, 46), (809, 34), None, None, _BAZELAIRE),
    ("spleen", (1057, 79), (1328, 61), None, None, _BAZELAIRE),
    ("pancreas", (584, 46), (725, 43), None, None, _BAZELAIRE),
    ("kidney cortex", (966, 87), (1142, 76), None, None, _BAZELAIRE),
    ("kidney medulla", (1412, 85), (1545, 81), None, None, _BAZELAIRE),
    ("paravertebral muscle", (856, 27), (898, 29), None, None, _BAZELAIRE),
    ("bone marrow", (549, 49), (586, 49), None, None, f"{_BAZELAIRE}: fourth lumbar vertebra"),
    ("prostate", (1317, 88), (1597, 74), None, None, _BAZELAIRE),
)


def _entry(
    name: str, low: _Times, high: _Times, t2_star: _Times | None, proton_density: float | None, source: str
) -> Tissue:
    at = {
        field: Relaxation(t1 / 1e3, t2 / 1e3, None if t2_star is None else t2_star[index] / 1e3)
        for index, (field, (t1, t2)) in enumerate(zip(FIELDS, (low, high), strict=True))
    }
    return _restored(name, at, source, proton_density)


#: Every tissue by its name.
TISSUES: Mapping[str, Tissue] = MappingProxyType({row[0]: _entry(*row) for row in _TABLE})

_SHORT = {"wm": "white matter", "gm": "grey matter", "csf": "cerebrospinal fluid"}


def tissue(name: str) -> Tissue:
    """Return a tissue by its name.

    Parameters
    ----------
    name : str
        A key of `TISSUES`; upper case, underscores and American spelling will do, and so will wm, gm and csf.

    Raises
    ------
    InputError
        If the table has no such tissue.
    DtypeError
        If `name` is no string.

    Examples
    --------
    >>> tissue("white_matter").proton_density
    0.617
    """
    if not isinstance(name, str):
        raise DtypeError(f"name: expected the name of a tissue, got {type(name).__name__}")
    key = " ".join(name.lower().replace("_", " ").split()).replace("gray", "grey")
    found = TISSUES.get(_SHORT.get(key, key))
    if found is None:
        raise InputError(f"name: no tissue {name!r}. There are: {', '.join(TISSUES)}")
    return found


def relaxation(name: str, field: float = 3.0) -> tuple[float, float]:
    """Return T1 and T2 of a tissue.

    Parameters
    ----------
    name : str
        As for `tissue`.
    field : {3.0, 1.5}, optional
        Field strength in T.

    Returns
    -------
    t1, t2 : float
        Relaxation times in s; ``tissue(name).source`` tells where they are from.

    Raises
    ------
    InputError
        If the table has no such tissue or field strength.
    DtypeError
        If `name` is no string or `field` no number.

    Examples
    --------
    >>> relaxation("liver")
    (0.809, 0.034)
    >>> relaxation("CSF", field=1.5)
    (4.2, 1.99)
    """
    found = tissue(name).at.get(_checks.number("field", field))
    if found is None:
        raise InputError(f"field: expected one of {', '.join(map(str, FIELDS))} T, got {field}")
    return found.t1, found.t2
