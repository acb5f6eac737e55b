"""The CT dose index: the standard phantoms of acrylic, and what a pencil chamber in them reads."""

from __future__ import annotations

import dataclasses
import math

from .. import _checks
from ..errors import DtypeError, InputError
from .dose import Dose
from .simulation import simulate
from .solids import Cylinder, SolidPhantom
from .sources import ConeBeam, FanBeam

__all__ = ["DoseIndex", "ctdi", "ctdi_phantom"]

#: Diameters of the phantoms in mm.
_DIAMETERS = {"head": 160.0, "body": 320.0}
_LENGTH, _HOLE, _DEPTH, _CHAMBER = 150.0, 13.1, 10.0, 100.0
#: Where the holes are, (x, y) in units of the distance of the outer ones from the axis.
_HOLES = {"centre": (0, 0), "right": (1, 0), "top": (0, 1), "left": (-1, 0), "bottom": (0, -1)}


def ctdi_phantom(kind: str, chamber: str = "centre") -> SolidPhantom:
    """Return a CT dosimetry phantom with a pencil chamber in one of its holes.

    A cylinder of acrylic along z, 150 mm long, with five holes of 13.1 mm diameter: one on the axis, four with their
    axes 10 mm below the surface. The chamber is 100 mm of air in one of them; plugs of acrylic fill the others.

    Parameters
    ----------
    kind : {"head", "body"}
        160 mm or 320 mm across.
    chamber : {"centre", "right", "top", "left", "bottom"}
        The hole the chamber is in: on the axis, or towards +x, +y, -x, -y.

    Returns
    -------
    SolidPhantom
        Of the solids "phantom" and "chamber", in vacuum.

    Raises
    ------
    InputError
        If there is no such phantom or hole.

    References
    ----------
    IEC 60601-2-44; AAPM report 96 (2008), "The measurement, reporting, and management of radiation dose in CT".

    Examples
    --------
    >>> phantom = ctdi_phantom("head")
    >>> phantom.names
    ('phantom', 'chamber', 'world')
    >>> float(phantom.volumes[1].round())  # mm3
    13478.0
    """
    radius = _DIAMETERS[_checks.choice("kind", kind, tuple(_DIAMETERS))] / 2
    x, y = _HOLES[_checks.choice("chamber", chamber, tuple(_HOLES))]
    out = radius - _DEPTH
    acrylic = Cylinder("PMMA", radius, _LENGTH, name="phantom")
    return SolidPhantom(
        [acrylic, Cylinder("air", _HOLE / 2, _CHAMBER, (x * out, y * out, 0.0), priority=1, name="chamber")]
    )


@dataclasses.dataclass(frozen=True)
class DoseIndex:
    """CTDI100 of one rotation, as `ctdi` finds it.

    Attributes
    ----------
    centre, periphery, weighted : float
        CTDI100 on the axis, its mean over the four outer holes, and CTDIw, a third of the one and two of the other, in
        Gy.
    centre_std_error, periphery_std_error, weighted_std_error : float
        Their standard errors in Gy.
    width : float
        What the integral over z was divided by: the beam's nominal width at the axis in mm.
    """

    centre: float
    periphery: float
    centre_std_error: float
    periphery_std_error: float
    width: float

    @property
    def weighted(self) -> float:  # noqa: D102  see the class
        return self.centre / 3 + 2 * self.periphery / 3

    @property
    def weighted_std_error(self) -> float:  # noqa: D102  see the class
        return math.hypot(self.centre_std_error / 3, 2 * self.periphery_std_error / 3)


def ctdi(
    source: FanBeam | ConeBeam,
    kind: str,
    mas: float = 100.0,
    n_histories: int = 2_000_000,
    *,
    seed: int = 0,
    progress: bool = False,
) -> DoseIndex:
    """Return the CT dose index of a rotation about a dosimetry phantom.

    CTDI100 = 1 / (N T) times the integral of air kerma over the 100 mm of a pencil chamber, with N T the beam's nominal
    width at the axis: the mean kerma in the chamber times 100 mm / (N T).

    Parameters
    ----------
    source : FanBeam or ConeBeam
        The rotation: a tube's beam from all views of a scan, with a bowtie if there is one.
    kind : {"head", "body"}
        The phantom: `ctdi_phantom`.
    mas : float
        Tube current times time of the rotation in mAs.
    n_histories : int
        For each of the five positions of the chamber: two million leave some 1 % in CTDIw.
    seed : int
        As for `simulate`.
    progress : bool
        Whether to show progress bars.

    Returns
    -------
    DoseIndex
        In Gy.

    Raises
    ------
    InputError
        If the source's spectrum is no tube's, the beam has no width, a number is out of range, or there is no such
        phantom.
    DtypeError
        If it is another kind of source.

    Notes
    -----
    For beams up to 40 mm wide; for wider ones the third edition of the IEC's standard scales a narrow beam's by
    measurements free in air. Kerma is that of the track-length estimator. What a bowtie or a collimator scatters, the
    focal spot's size and the couch are left out.

    References
    ----------
    IEC 60601-2-44; AAPM report 96 (2008), "The measurement, reporting, and management of radiation dose in CT".

    Examples
    --------
    >>> import numpy as np, spinray
    >>> from spinray import transport
    >>> angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    >>> A = spinray.ct.FanBeam(spinray.Grid((8, 8)), angles, 512, 2.0, sod=540, sdd=950)
    >>> tube = transport.Spectrum.tube(120, {"Al": 7.0})
    >>> found = transport.ctdi(transport.FanBeam(A, tube, thickness=10.0), "body", n_histories=20_000)
    >>> 1.5 < found.periphery / found.centre < 3
    True
    """
    if not isinstance(source, (FanBeam, ConeBeam)):
        raise DtypeError(f"source: expected a transport.FanBeam or ConeBeam, got {type(source).__name__}")
    if not source.width > 0:
        raise InputError(f"source: expected a beam of some thickness along z, got {source.width:g} mm")
    photons = source.photons_per_mas
    if photons is None:
        raise InputError("source: expected a tube's spectrum, got one without photons_per_mas. Spectrum.tube(...)")
    exposure = _checks.positive("mas", mas, hint="In mAs") * photons
    found = {}
    count = _checks.integer("n_histories", n_histories, minimum=2)
    for k, hole in enumerate(_HOLES):
        phantom, which = ctdi_phantom(kind, hole), (k * count, (k + 1) * count)  # independent of each other
        tally = Dose("track_length")
        dose = simulate(phantom, source, tallies=[tally], histories=which, seed=seed, progress=progress)["dose"]
        dose = dose.scaled(exposure)
        found[hole] = [array[1] * _CHAMBER / source.width for array in (dose.mean, dose.std_error)]
    (centre, error), *outer = found.values()
    mean, spread = sum(value for value, _ in outer) / 4, math.hypot(*(e for _, e in outer)) / 4
    return DoseIndex(float(centre), float(mean), float(error), float(spread), source.width)
