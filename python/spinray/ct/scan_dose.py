"""Dose of a scan, by Monte Carlo transport of its photons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _checks, transport
from ..errors import DtypeError, InputError
from .geometry import ConeBeam, FanBeam

if TYPE_CHECKING:
    from ..transport import Bowtie, DoseResult, SolidPhantom, Spectrum, Until, VoxelPhantom

__all__ = ["dose"]


def dose(
    A: FanBeam | ConeBeam,
    phantom: VoxelPhantom | SolidPhantom,
    spectrum: Spectrum,
    mas: float,
    *,
    thickness: float | None = None,
    bowtie: Bowtie | None = None,
    n_histories: int | None = None,
    until: Until | None = None,
    seed: int = 0,
    progress: bool = False,
) -> DoseResult:
    """Return the dose that a scan leaves in a phantom.

    Photons come from all views of the scan alike. Dose is scored by the track-length estimator: kerma, which is dose
    where electrons stop near where they start.

    Parameters
    ----------
    A : FanBeam or ConeBeam
        The scan: one rotation, or the views of a part of one. Its own grid plays no part.
    phantom : transport.VoxelPhantom or transport.SolidPhantom
        What is scanned, in the scan's coordinates.
    spectrum : transport.Spectrum
        Of the tube, behind all filters but the bowtie.
    mas : float
        Tube current times time of all views together, in mAs.
    thickness : float, optional
        Of a fan beam at the rotation axis, along z, in mm; a cone beam has its rows.
    bowtie : transport.Bowtie, optional
        A filter that is thicker towards the edges of the fan.
    n_histories, until, seed, progress
        As for `transport.simulate`.

    Returns
    -------
    transport.DoseResult
        In Gy. Standard errors are those of the simulation.

    Raises
    ------
    InputError
        If a fan beam comes without thickness or a cone beam with one, the spectrum is no tube's, or the beam does not
        hit the phantom.
    DtypeError
        If an argument is of another type.

    Examples
    --------
    >>> import numpy as np, spinray
    >>> from spinray import ct, transport
    >>> grid = spinray.Grid((8, 20, 20), spacing=10.0)
    >>> body = transport.VoxelPhantom(grid, ["water"], np.zeros(grid.shape, int))
    >>> A = ct.FanBeam(spinray.Grid((8, 8)), np.linspace(0, 2 * np.pi, 72, endpoint=False), 256, 4.0, 540, 950)
    >>> tube = transport.Spectrum.tube(120, {"Al": 7.0})
    >>> found = ct.dose(A, body, tube, mas=100, thickness=10.0, n_histories=20_000)
    >>> found.units, found.grid.shape
    ('Gy', (8, 20, 20))
    """
    source: Any
    if isinstance(A, FanBeam):
        if thickness is None:
            raise InputError("thickness: expected that of the fan beam along z in mm, got None. thickness=10.0")
        source = transport.FanBeam(A, spectrum, thickness=_checks.positive("thickness", thickness), bowtie=bowtie)
    elif isinstance(A, ConeBeam):
        if thickness is not None:
            raise InputError(f"thickness: expected None for a cone beam, which has rows, got {thickness!r}")
        source = transport.ConeBeam(A, spectrum, bowtie=bowtie)
    else:
        raise DtypeError(f"A: expected a ct.FanBeam or ct.ConeBeam, got {type(A).__name__}")
    if source.photons_per_mas is None:
        raise InputError("spectrum: expected a tube's, got one without photons_per_mas. transport.Spectrum.tube(...)")
    photons = _checks.positive("mas", mas, hint="In mAs") * source.photons_per_mas
    tally = transport.Dose("track_length")
    result = transport.simulate(phantom, source, n_histories, [tally], until=until, seed=seed, progress=progress)
    return result["dose"].scaled(photons)
