"""The dose that a scan leaves in the slice and the scatter it measures, by photon Monte Carlo, with uncertainties."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import ct, transport, viz
from ..grid import Grid, Volume
from .acquisition import scanner
from .axis import averaged
from .inputs import Slice
from .section import Picture, Section, Table

if TYPE_CHECKING:
    from ..transport import DoseResult, Spectrum, VoxelPhantom

__all__ = ["dose_slice"]

#: The slice is repeated along z: scatter needs a volume. Slices and their thickness in mm, which is the fan's.
_SLICES, _THICKNESS = 13, 10.0
#: Larger slices are averaged down to this many pixels: few photons interact in a small voxel.
_MOST_PIXELS = 128
_KV, _ALUMINIUM, _MAS, _VIEWS = 120.0, 7.0, 100.0, 360
_HISTORIES, _SECONDS = 1_000_000, 7.0
#: Thicknesses of beams whose scatter is shown in mm, and photons for each.
_BEAMS, _SCATTERED = (10.0, 100.0), 200_000
_TISSUE, _BONE = -500.0, 300.0
_WINDOW = (40.0, 700.0)


def dose_slice(given: Slice) -> Section:
    """Rotate a tube about the slice once, and say what dose that leaves and how much of a reading is scatter."""
    block = -(-max(given.grid.shape) // _MOST_PIXELS)
    hu, plane = averaged(given.hu, given.grid, block)
    volume = Volume(
        np.broadcast_to(hu, (_SLICES, *hu.shape)).copy(),
        Grid((_SLICES, *hu.shape), (_THICKNESS, *plane.spacing)).affine,
    )
    tube = transport.Spectrum.tube(_KV, {"Al": _ALUMINIUM})
    A, phantom = scanner(plane, _VIEWS), transport.VoxelPhantom.from_hu(volume)
    found = ct.dose(
        A,
        phantom,
        tube,
        _MAS,
        thickness=_THICKNESS,
        n_histories=_HISTORIES,
        until=transport.Until(seconds=_SECONDS),
        progress=True,
    )
    head = ("where", "mean dose [mGy]", "standard error of a voxel [%]")
    section = Section("Dose and scatter of the scan", tables=[Table(head, tuple(_rows(found, volume)))])
    beams = [(f"{thickness:g} mm", *_scatter_fraction(A, phantom, tube, thickness)) for thickness in _BEAMS]
    rows = tuple((name, f"{100 * share:.1f}", f"{100 * error:.1f}") for name, share, error in beams)
    section.tables.append(Table(("beam at the axis", "scatter fraction [%]", "standard error [%]"), rows))
    section.pictures = [_picture(found, volume)]
    n_rows, n_columns = hu.shape
    section.paragraphs = [
        f"One rotation of a tube of {_KV:g} kV behind {_ALUMINIUM:g} mm of aluminium, {_MAS:g} mAs, as a fan "
        f"{_THICKNESS:g} mm thick at the axis. The slice stands {_SLICES} times behind itself: {_SLICES} × {n_rows} × "
        f"{n_columns} voxels, whose materials and densities follow from their CT numbers. {found.n_histories:,} "
        "photons were tracked, with photoelectric absorption and its fluorescence, Compton and Rayleigh scattering; "
        "what each flight leaves on its way is scored in every voxel it crosses.",
        "Standard errors come from the single photons' scores: how far a voxel's mean may be off. Away from the fan "
        "there is only what was scattered there.",
        "The scatter fraction is the scattered share of the energy that one view brings to the middle half of the "
        f"detector, as high as the beam, from {_SCATTERED:,} photons: a thin fan keeps scatter off the detector.",
    ]
    return section


def _rows(found: DoseResult, volume: Volume) -> list[tuple[str, str, str]]:
    hu, z = volume.data, volume.grid.axes()[0][:, None, None]
    tissue, bone = (hu > _TISSUE) & (hu <= _BONE), hu > _BONE
    places = {
        "soft tissue in the fan": tissue & (z == 0),
        "bone in the fan": bone & (z == 0),
        f"soft tissue {_THICKNESS:g} mm from its middle": tissue & (abs(z) == _THICKNESS),
        f"soft tissue {3 * _THICKNESS:g} mm from it": tissue & (abs(z) == 3 * _THICKNESS),
    }
    return [
        (name, f"{1e3 * found.mean[where].mean():.2f}", f"{100 * found.uncertainty(region=where):.1f}")
        for name, where in places.items()
        if where.any()
    ]


def _scatter_fraction(A: ct.FanBeam, phantom: VoxelPhantom, tube: Spectrum, thickness: float) -> tuple[float, float]:
    """Return the scattered share of the energy that reaches the detector's middle in the first view, and its error."""
    source = transport.FanBeam(A, tube, view=0, thickness=thickness)
    photons = transport.simulate(phantom, source, _SCATTERED, [transport.PhaseSpace()])["phase space"]
    # Where flights meet the arc about the focal spot, which is at (0, -sod, 0).
    way, along = photons.position + np.array([0.0, source.sod, 0.0]), photons.direction
    a, b = (along[:, :2] ** 2).sum(1), (way * along)[:, :2].sum(1)
    path = (np.sqrt(b**2 + a * (source.sdd**2 - (way[:, :2] ** 2).sum(1))) - b) / a
    x, y, z = (way + path[:, None] * along).T
    high = abs(z) < thickness / 2 * source.sdd / source.sod
    there = high & (abs(np.arctan2(x, y)) < abs(A.columns).max() / source.sdd / 2)
    energy, scattered = photons.energy[there], ~photons.primary[there]
    share = energy[scattered].sum() / energy.sum()
    return float(share), float(np.sqrt((energy**2 * (scattered - share) ** 2).sum()) / energy.sum())


def _picture(found: DoseResult, volume: Volume) -> Picture:
    import matplotlib.pyplot as plt

    middle = _SLICES // 2
    grid, body = volume.grid, volume.data > _TISSUE
    plane = Grid(grid.shape[1:], grid.spacing[1:])
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.9), layout="constrained")
    viz.show(Volume(volume.data[middle], plane.affine), window=_WINDOW, title="CT numbers", unit="HU", ax=axes[0])
    shown = {
        "dose [mGy]": (1e3 * found.mean[middle], "inferno"),
        "standard error [%]": (100 * found.relative_error[middle], "viridis"),
    }
    for ax, (title, (values, cmap)) in zip(axes[1:], shown.items(), strict=True):
        inside = np.where(body[middle], values, 0.0)
        most = float(np.quantile(inside[body[middle]], 0.995))
        viz.show(Volume(inside, plane.affine), window=(most / 2, most), title=title, cmap=cmap, ax=ax)
    return Picture(
        "dose",
        figure,
        "The slice in the fan: CT numbers, dose of one rotation, and its standard error; air is left out.",
    )
