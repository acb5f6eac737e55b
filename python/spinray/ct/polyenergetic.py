"""What a tube's spectrum makes of a scan: transmission by ray tracing, scans with scatter and noise, beam hardening.

Readings are parts of the open beam: what a pixel reads over what it reads with nothing in the beam. The primary photons
of a spectrum w with a detector of sensitivity D leave of it

    T = sum_E w(E) D(E) exp(-integral mu(E) dl) / sum_E w(E) D(E).

mu of all materials at all energies is a product of few maps and few curves (Alvarez and Macovski 1976, Phys. Med. Biol.
21, 733, for two of them), so that few projections make the line integrals of all energies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks, transport
from ..errors import DtypeError, InputError
from ..grid import Grid
from .geometry import CircularScan, ConeBeam, FanBeam, ParallelBeam
from .measurement import add_noise

if TYPE_CHECKING:
    from .scattering import Scatter

__all__ = ["as_cone", "correct_beam_hardening", "open_beam", "scan", "transmission"]

#: How far products of maps and curves may be off any mu, relatively.
_TOLERANCE = 1e-4
#: Pixels treated at once: bounds the memory of their energies to some 50 MB.
_AT_ONCE = 1 << 16
#: Entries of the table of a beam's hardening.
_ENTRIES = 4096
#: No reading is below this part of the open beam.
_LEAST = 1e-12


def transmission(
    A: CircularScan,
    phantom: Any,
    spectrum: Any,
    response: str = "energy",
    thresholds: Any = None,
    resolution: float = 0.0,
) -> np.ndarray:
    """Return the part of the open beam that reaches each pixel without scatter.

    Parameters
    ----------
    A : ParallelBeam, FanBeam or ConeBeam
        The scan. Its grid does not matter; one of an image sees the plane z = 0.
    phantom : transport.VoxelPhantom
        What is scanned.
    spectrum : transport.Spectrum, float or mapping
        A spectrum, an energy in keV, or photon numbers by energy in keV.
    response, thresholds, resolution
        Of the detector, as for `transport.Detector`.

    Returns
    -------
    numpy.ndarray of float32, shape A.range_shape, or (n_channels, *A.range_shape) with thresholds
        1 where nothing is in the way.

    Raises
    ------
    InputError
        If the source lies within the phantom's grid; as `transport.Detector` and `transport.Spectrum`.
    DtypeError
        If `A` is no scan, or the phantom not of voxels.

    Examples
    --------
    >>> import numpy as np, spinray
    >>> from spinray import transport
    >>> grid = spinray.Grid((8, 8, 8), 20.0)
    >>> water = transport.VoxelPhantom(grid, ["water"], np.zeros(grid.shape, int))
    >>> A = spinray.ct.ConeBeam(grid, [0.0], (5, 5), 40.0, sod=1000, sdd=1500)
    >>> T = spinray.ct.transmission(A, water, transport.Spectrum.tube(100, {"Al": 6.0}))
    >>> round(float(T[0, 2, 2]), 3)
    0.034
    """
    if not isinstance(phantom, transport.VoxelPhantom):
        raise DtypeError(f"phantom: expected a transport.VoxelPhantom, got {type(phantom).__name__}")
    energies, signal = open_beam(spectrum, response, thresholds, resolution)
    maps, curves = _separated(phantom, energies)
    lines = _of_volume(A, phantom.grid)(maps).reshape(len(maps), -1)
    curves, share = curves.astype(np.float32), (signal / signal.sum(axis=1, keepdims=True)).astype(np.float32)
    left = np.empty((len(share), lines.shape[1]), np.float32)
    for first in range(0, lines.shape[1], _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        left[:, part] = share @ np.exp(-(curves.T @ lines[:, part]))
    return left.reshape(A.range_shape if thresholds is None else (len(left), *A.range_shape))


def scan(
    A: CircularScan,
    phantom: Any,
    spectrum: Any,
    scatter: Scatter | None = None,
    i0: float | None = None,
    seed: int = 0,
    **response: Any,
) -> np.ndarray:
    """Return a scan as it is measured: line integrals of a spectrum, with scatter and noise if wanted.

    Parameters
    ----------
    A, phantom, spectrum
        As for `transmission`.
    scatter : Scatter, optional
        What `ct.scatter` of the same scan returned.
    i0 : float, optional
        Photons that reach a pixel with nothing in the beam, for noise (`add_noise`).
    seed : int
        Of the noise.
    **response
        `response`, `thresholds` and `resolution`, as for `transmission`.

    Returns
    -------
    numpy.ndarray of float32, shape A.range_shape, or (n_channels, *A.range_shape) with thresholds
        -log of the part of the open beam that is read, which `fbp` reconstructs.

    Raises
    ------
    InputError, DtypeError
        As `transmission` and `add_noise`; if scatter is that of a scan or a detector of another shape.

    Examples
    --------
    >>> import numpy as np, spinray
    >>> from spinray import transport
    >>> grid = spinray.Grid((8, 8, 8), 20.0)
    >>> water = transport.VoxelPhantom(grid, ["water"], np.zeros(grid.shape, int))
    >>> A = spinray.ct.ConeBeam(grid, [0.0], (20, 20), 20.0, sod=1000, sdd=1500)
    >>> scatter = spinray.ct.scatter(A, water, 60.0, n_histories=2000)
    >>> clean, real = (spinray.ct.scan(A, water, 60.0, s)[0, 10, 10] for s in (None, scatter))
    >>> bool(2.9 < real < clean < 3.4)
    True
    """
    reading = transmission(A, phantom, spectrum, **response)
    if scatter is not None:
        if np.shape(scatter.sinogram) != reading.shape:
            problem = f"expected that of a scan of shape {reading.shape}, got {np.shape(scatter.sinogram)}"
            raise InputError(f"scatter: {problem}. Pass the same A and response to both")
        reading = reading + scatter.sinogram
    line_integrals = -np.log(np.maximum(reading, _LEAST))
    return line_integrals if i0 is None else add_noise(line_integrals, i0, seed)


def correct_beam_hardening(y: Any, spectrum: Any, material: Any = "water", response: str = "energy") -> np.ndarray:
    """Return the thickness of a material that attenuates as much as was measured.

    Line integrals of a spectrum grow less than in proportion to thickness, since soft photons are absorbed first: a
    cup in the image. Thickness does not, as far as the object is like the material.

    Parameters
    ----------
    y : array_like
        Line integrals, any shape.
    spectrum : transport.Spectrum, float or mapping
        Of the scan.
    material : transport.Material or str
        What to count in: ``1000 * (fbp(A, thickness) - 1)`` are CT numbers for water.
    response : {"energy", "counting"}
        What the detector adds up.

    Returns
    -------
    numpy.ndarray of float32, shape of `y`
        In mm; negative where more than the open beam was measured.

    Raises
    ------
    InputError
        If `y` is not finite, or the material is unknown.

    Notes
    -----
    Water correction by a table, linear between thicknesses: Herman 1979, "Correction for beam hardening in computed
    tomography", Phys. Med. Biol. 24, 81.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray import transport
    >>> correct_beam_hardening(transport.Material("water").attenuation(60.0) * np.array([50.0, 100.0]), 60.0)
    array([ 50., 100.], dtype=float32)
    """
    measured = _checks.finite("y", _checks.array("y", y, allow_complex=False))
    matter = material if isinstance(material, transport.Material) else transport.Material(material)
    energies, signal = open_beam(spectrum, response, None, 0.0)
    mu, weight = matter.attenuation(energies), signal[0] / signal[0].sum()
    # The slowest growth there is reaches every reading.
    thickness = np.linspace(0.0, float(measured.max(initial=1e-6)) / mu.min(), _ENTRIES)
    found = np.interp(measured, -np.log(np.exp(-thickness[:, None] * mu) @ weight), thickness)
    # Below nothing, on as it begins.
    return np.where(measured < 0, measured / (mu @ weight), found).astype(np.float32)


def open_beam(spectrum: Any, response: str, thresholds: Any, resolution: float) -> tuple[np.ndarray, np.ndarray]:
    """Return energies in keV, shape (n,), and what photons of each add to every channel, shape (n_channels, n)."""
    # Not at the top: scans of data need no spectra.
    from ..transport.spectrum import as_spectrum

    beam = as_spectrum("spectrum", spectrum)
    pixel = transport.Detector.rectangle((0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1), response, thresholds, resolution)
    lit = beam.weights > 0
    signal = pixel.sensitivity(beam.energies[lit]) * beam.weights[lit]
    if not (signal.sum(axis=1) > 0).all():
        raise InputError(f"thresholds: expected channels that photons of the spectrum reach, got {thresholds!r}")
    return beam.energies[lit], signal


def as_cone(A: CircularScan, grid: Grid, thickness: float = 1.0) -> ConeBeam:
    """Return a divergent scan as one of a volume; that of an image has one row, so thick at the axis, about z = 0."""
    if not isinstance(A, (FanBeam, ConeBeam)):
        raise DtypeError(f"A: expected a ParallelBeam, FanBeam or ConeBeam, got {type(A).__name__}")
    assert A.sod is not None
    assert A.sdd is not None
    shape, spacing, offset = A.detector_shape, A.detector_spacing, A.detector_offset
    if isinstance(A, FanBeam):
        spacing = thickness * A.sdd / A.sod, spacing[1]
    return ConeBeam(grid, A.angles, shape, spacing, A.sod, A.sdd, A.detector, offset)


def _of_volume(A: CircularScan, grid: Grid) -> CircularScan:
    """Return the same scan of a volume."""
    if not isinstance(A, ParallelBeam):
        return as_cone(A, grid)
    (n_rows, n_cols), (row, column), offset = A.detector_shape, A.detector_spacing, A.detector_offset
    return ParallelBeam(grid, A.angles, n_cols, column, n_rows, row, offset[1], offset[0])


def _separated(phantom: Any, energies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return maps (n, z, y, x) and curves (n, n_energies) whose products add up to mu in 1/mm."""
    empty = np.zeros(len(energies))
    per_mass = np.array([empty if m is None else m.mass_attenuation(energies) / 10 for m in phantom.materials])
    scale = per_mass.max(axis=0) if per_mass.any() else 1.0
    left, sizes, curves = np.linalg.svd(per_mass / scale, full_matrices=False)
    for n in range(1, len(sizes) + 1):
        found = (left[:, :n] * sizes[:n]) @ curves[:n] * scale
        if (np.abs(found - per_mass) <= _TOLERANCE * per_mass + 1e-12).all():
            break
    shares = (left[:, :n] * sizes[:n]).T.astype(np.float32)
    return np.stack([share[phantom.labels] * phantom.densities for share in shares]), curves[:n] * scale
