"""Sources of photons: pencils, points, the beams of CT scans, volumes of activity.

Tallies are per photon that a source emits: into its cone or onto its detector, not into all directions.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks, _core, ct
from ..errors import DtypeError, InputError
from ..grid import Grid, require_axis_aligned
from .materials import Material
from .phantom import as_material
from .solids import direction as _direction
from .spectrum import Spectrum, as_spectrum

__all__ = [
    "Bowtie",
    "ConeBeam",
    "FanBeam",
    "ParallelBeam",
    "PencilBeam",
    "PointSource",
    "Rays",
    "RectangularBeam",
    "VolumeSource",
]

_PROFILES = ("square", "disc", "gaussian")


class Source:
    """What every source knows. Immutable and picklable.

    Attributes
    ----------
    spectrum : Spectrum
        Energies of its photons.
    """

    spectrum: Spectrum

    @functools.cached_property
    def _native(self) -> _core.Source:
        return self._build()

    def _build(self) -> _core.Source:
        raise NotImplementedError

    def _kernel(self) -> _core.Source:
        """Give the kernels' source."""
        return self._native

    @property
    def max_energy(self) -> float:
        """The largest energy in keV."""
        return self._native.max_energy

    @property
    def solid_angle(self) -> float:
        """Solid angle in sr that its photons fill: 4 pi if isotropic, 0 if parallel."""
        return self._native.solid_angle

    @property
    def photons_per_mas(self) -> float | None:
        """Photons that a tube with this spectrum sends into the beam per mAs; None if it is no tube, or parallel."""
        per_sr = self.spectrum.photons_per_mas
        if per_sr is None or not self.solid_angle:
            return None
        return per_sr * self.solid_angle * self._native.transmission

    def sample(self, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the photons of the first histories, as `simulate` would start them.

        Parameters
        ----------
        n : int
            Number of histories.
        seed : int
            As for `simulate`.

        Returns
        -------
        positions, directions : numpy.ndarray, shape (n, 3)
            (x, y, z) in mm, and unit vectors.
        energies : numpy.ndarray, shape (n,)
            In keV.

        Examples
        --------
        >>> PencilBeam((0, 0, -100), "z", 60).sample(1)
        (array([[   0.,    0., -100.]]), array([[0., 0., 1.]]), array([60.]))
        """
        count = _checks.integer("n", n, minimum=1)
        start = _checks.integer("seed", seed, minimum=0)
        if start >= 1 << 64:
            raise InputError(f"seed: expected an integer below 2^64, got {seed}")
        rows = self._native.sample(count, start)
        return rows[:, :3], rows[:, 3:6], rows[:, 6]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_native"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self):
            raise AttributeError(f"{type(self).__name__} is immutable: make another one instead of setting {name}")
        super().__setattr__(name, value)


class PencilBeam(Source):
    """Parallel photons along a line, or over a square, a disc or a Gaussian spot about it.

    Parameters
    ----------
    position : (float, float, float)
        A point of the beam's axis (x, y, z) in mm, where photons start.
    direction : {"x", "y", "z"} or (float, float, float)
        Where they go.
    energy : float, Spectrum or mapping
        Energy in keV, a spectrum, or photon numbers by energy in keV.
    width : float or (float, float)
        Across the beam in mm: edges of the square, diameter of the disc, or full width at half maximum of the
        Gaussian. Two of them are along two axes across the beam: x and y for a beam along z, z and x along y, z and y
        along x.
    profile : {"square", "disc", "gaussian"}
        How photons fill the width.

    Raises
    ------
    InputError
        If a number is not finite, the direction zero, the width negative, or an energy outside 1 to 3000 keV.

    Examples
    --------
    >>> PencilBeam((0, 0, -150), "z", 60)
    PencilBeam((0, 0, -150), along (0, 0, 1), Spectrum(60 keV))
    """

    def __init__(
        self,
        position: Sequence[float],
        direction: Any,
        energy: Any,
        width: Any = 0.0,
        profile: str = "square",
    ) -> None:
        self.position = _point("position", position)
        self.direction = tuple(_direction("direction", direction).tolist())
        self.spectrum = as_spectrum("energy", energy)
        self.width = _checks.per_axis("width", width, 2)
        if min(self.width) < 0:
            raise InputError(f"width: expected numbers >= 0 (mm), got {width!r}")
        self.profile: str = _checks.choice("profile", profile, _PROFILES)

    def _build(self) -> _core.Source:
        along = [float(x) for x in self.direction]
        return _core.pencil_source(self.spectrum._kernel(), self.position, along, self.width, self.profile)

    def __repr__(self) -> str:
        width = f", {self.profile} {self.width[0]:g} x {self.width[1]:g} mm" if any(self.width) else ""
        return f"PencilBeam({_listed(self.position)}, along {_listed(self.direction)}{width}, {self.spectrum!r})"


class PointSource(Source):
    """Photons from a point, uniform over all directions or over a cone.

    Parameters
    ----------
    position : (float, float, float)
        (x, y, z) in mm.
    energy : float, Spectrum or mapping
        Energy in keV, a spectrum, or photon numbers by energy in keV.
    direction : {"x", "y", "z"} or (float, float, float), optional
        Axis of the cone.
    opening : float, optional
        Angle of the cone from edge to edge in rad, up to 2 pi.

    Raises
    ------
    InputError
        If only one of `direction` and `opening` is given, the opening is not in (0, 2 pi], a number not finite, or an
        energy outside 1 to 3000 keV.

    Examples
    --------
    >>> round(PointSource((0, 0, 0), 140.5).solid_angle, 3)  # sr
    12.566
    >>> round(PointSource((0, 0, 0), 140.5, direction="z", opening=0.2).solid_angle, 5)
    0.03139
    """

    def __init__(
        self,
        position: Sequence[float],
        energy: Any,
        direction: Any = None,
        opening: float | None = None,
    ) -> None:
        self.position = _point("position", position)
        self.spectrum = as_spectrum("energy", energy)
        if (direction is None) != (opening is None):
            missing = "direction" if direction is None else "opening"
            raise InputError(f"{missing}: expected one, as a cone needs direction and opening, got None")
        self.direction = None if direction is None else tuple(_direction("direction", direction).tolist())
        self.opening = None if opening is None else _checks.positive("opening", opening, hint="In rad")
        if self.opening is not None and self.opening > 2 * math.pi:
            raise InputError(f"opening: expected radians in (0, 2 pi], got {opening!r}. Degrees?")

    def _build(self) -> _core.Source:
        cone = None if self.direction is None or self.opening is None else (self.direction, self.opening)
        return _core.point_source(self.spectrum._kernel(), self.position, cone)

    def __repr__(self) -> str:
        cone = "" if self.direction is None else f", {self.opening:g} rad about {_listed(self.direction)}"
        return f"PointSource({_listed(self.position)}{cone}, {self.spectrum!r})"


class Rays(Source):
    """Photons along given rays, each as likely as any other.

    What a source can be when photons were drawn elsewhere: a phase space, or the second photon of an annihilation once
    it is known where the first one went.

    Parameters
    ----------
    positions : array_like, shape (n, 3)
        Where photons start, (x, y, z) in mm.
    directions : array_like, shape (n, 3)
        Where they go; of any length.
    energy : float, Spectrum or mapping
        Energy in keV, a spectrum, or photon numbers by energy in keV: the same for all rays.

    Raises
    ------
    InputError
        If shapes differ, a number is not finite, a direction is zero, or an energy is outside 1 to 3000 keV.
    DtypeError
        If entries are not numbers.

    Examples
    --------
    >>> pair = Rays([[0, 0, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, -1]], 511.0)
    >>> which = pair.drawn(1000)
    >>> bool((pair.directions[which] == pair.sample(1000)[1]).all()), bool(400 < which.sum() < 600)
    (True, True)
    """

    def __init__(self, positions: Any, directions: Any, energy: Any) -> None:
        starts = _checks.doubles("positions", positions, shape=(None, 3), hint="(x, y, z) in mm")
        ways = _checks.doubles("directions", directions, shape=(None, 3), hint="(x, y, z)")
        if starts.shape != ways.shape:
            raise InputError(f"directions: expected one for each of {len(starts)} positions, got {len(ways)}")
        lengths = np.linalg.norm(ways, axis=1)
        if not lengths.min() > 0:
            raise InputError(f"directions: expected vectors that are not zero, got one at index {lengths.argmin()}")
        self.positions = _frozen(starts + 0.0)
        self.directions = _frozen(ways / lengths[:, None] + 0.0)
        self.spectrum = as_spectrum("energy", energy)

    def drawn(self, n: int, seed: int = 0) -> np.ndarray:
        """Return which ray each of the first histories takes.

        Parameters
        ----------
        n : int
            Number of histories.
        seed : int
            As for `simulate`.

        Returns
        -------
        numpy.ndarray of int64, shape (n,)
            Index into `positions`; of rays that are the same, the first.
        """
        positions, directions, _ = self.sample(n, seed)
        known = _rows(self.positions, self.directions)
        order = np.argsort(known, kind="stable")
        return order[np.searchsorted(known[order], _rows(positions, directions))]

    def _build(self) -> _core.Source:
        # Axes across the ray do not matter: it has no width.
        across = np.cross(self.directions, np.eye(3)[np.abs(self.directions).argmin(axis=1)])
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        axes = np.stack([across, np.cross(self.directions, across), self.directions], axis=1)
        rays = zip(self.positions.tolist(), axes.tolist(), strict=True)
        return _core.parallel_source(self.spectrum._kernel(), [(start, frame, [0.0, 0.0]) for start, frame in rays])

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for array in (self.positions, self.directions):
            array.setflags(write=False)

    def __repr__(self) -> str:
        return f"Rays({len(self.positions)} rays, {self.spectrum!r})"


class RectangularBeam(Source):
    """Photons from a point, collimated to a rectangle: uniform over the solid angle that the rectangle fills.

    Parameters
    ----------
    position : (float, float, float)
        Focal spot (x, y, z) in mm.
    centre : (float, float, float)
        Middle of the rectangle in mm; it may lie in, before or behind the phantom.
    first, second : (float, float, float)
        Its edges in mm, perpendicular to each other.
    energy : float, Spectrum or mapping
        Energy in keV, a spectrum, or photon numbers by energy in keV.

    Raises
    ------
    InputError
        If the edges are not perpendicular, the focal spot lies in the plane of the rectangle, a number is not finite,
        or an energy is outside 1 to 3000 keV.

    Examples
    --------
    >>> beam = RectangularBeam((0, 0, -1000), (0, 0, 0), (200, 0, 0), (0, 100, 0), 60)
    >>> round(beam.solid_angle, 5)
    0.01988
    """

    def __init__(self, position: Any, centre: Any, first: Any, second: Any, energy: Any) -> None:
        self.position = _point("position", position)
        self.centre = _point("centre", centre)
        self.first, self.second = _point("first", first), _point("second", second)
        self.spectrum = as_spectrum("energy", energy)
        a, b = np.array(self.first), np.array(self.second)
        sizes = np.linalg.norm(a), np.linalg.norm(b)
        if not min(sizes) > 0:
            raise InputError(f"second: expected edges that are not zero, got {first!r} and {second!r}")
        if abs(a @ b) > 1e-9 * sizes[0] * sizes[1]:
            raise InputError(f"second: expected an edge perpendicular to the first, got {first!r} and {second!r}")
        u, v = a / sizes[0], b / sizes[1]
        w, way = np.cross(u, v), np.array(self.centre) - np.array(self.position)
        distance = float(way @ w)
        if abs(distance) <= 1e-9 * float(np.linalg.norm(way)):
            raise InputError(f"position: expected a focal spot off the rectangle's plane, got {position!r}")
        w = w * math.copysign(1.0, distance)
        columns, rows = _around(float(way @ u), float(sizes[0])), _around(float(way @ v), float(sizes[1]))
        self._detector = (self.position, np.array([u, v, w]).tolist(), abs(distance), columns, rows)

    def _build(self) -> _core.Source:
        return _core.field_source(self.spectrum._kernel(), [self._detector], False)

    def __repr__(self) -> str:
        return f"RectangularBeam({_listed(self.position)}, onto {_listed(self.centre)}, {self.spectrum!r})"


class _ScanSource(Source):
    """The beam of some views of a CT scan, each as likely as any other.

    Attributes
    ----------
    angles : tuple of float
        Of the views, rad.
    """

    angles: tuple[float, ...]

    def __init__(self, operator: Any, kind: type, spectrum: Any, view: Any) -> None:
        _require(operator, kind)
        self.spectrum = as_spectrum("spectrum", spectrum)
        self.angles = tuple((operator if view is None else operator[view]).angles.tolist())
        self._columns = _edges(operator.columns, operator.detector_spacing[1])
        self._rows: list[float]

    def _axes(self, angle: float) -> list[list[float]]:
        """Return unit vectors along the detector's rows, along its columns, and along the central ray."""
        c, s = math.cos(angle), math.sin(angle)
        return [[c, s, 0.0], [0.0, 0.0, 1.0], [-s, c, 0.0]]

    def __repr__(self) -> str:
        views = f"view at {self.angles[0]:.4g} rad" if len(self.angles) == 1 else f"{len(self.angles)} views"
        return f"{type(self).__name__}({views}, {self.spectrum!r})"


class Bowtie:
    """A filter in front of the focal spot that is thicker towards the edges of the fan. Immutable and picklable.

    Parameters
    ----------
    material : Material or str
        What it is made of.
    angles : array_like, shape (n,)
        Fan angles in rad, growing, from the central ray towards the detector's last column.
    thickness : array_like, shape (n,)
        Thickness at each in mm; linear between the angles and constant beyond them.

    Raises
    ------
    InputError
        If the angles do not grow or exceed pi/2, a thickness is negative, or the material unknown.

    Notes
    -----
    Photons are kept with the narrow-beam transmission along their ray; what the filter scatters is lost. Tallies are
    per photon behind the filter.

    Examples
    --------
    >>> Bowtie("Al", [-0.4, 0.0, 0.4], [25.0, 1.0, 25.0])
    Bowtie(aluminium, 1 to 25 mm)
    """

    def __init__(self, material: str | Material, angles: Any, thickness: Any) -> None:
        matter = as_material("material", material)
        if matter is None:
            raise InputError("material: expected one, got vacuum")
        self.material = matter
        self.angles = _frozen(_checks.doubles("angles", angles, shape=(None,), hint="In rad"))
        self.thickness = _frozen(_checks.doubles("thickness", thickness, shape=(None,), hint="In mm"))
        if self.angles.shape != self.thickness.shape:
            counts = f"{len(self.thickness)} for {len(self.angles)} angles"
            raise InputError(f"thickness: expected one for each angle, got {counts}")
        if (np.diff(self.angles) <= 0).any() or np.abs(self.angles).max() > math.pi / 2:
            raise InputError(f"angles: expected growing radians within pi/2, got {self.angles.tolist()}. Degrees?")
        if self.thickness.min() < 0:
            raise InputError(f"thickness: expected numbers >= 0 (mm), got {self.thickness.min()}")

    def _kernel(self) -> tuple[Any, list[float], list[float]]:
        """Give what the kernels take for a bowtie."""
        return self.material._kernel(), self.angles.tolist(), self.thickness.tolist()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self):
            raise AttributeError(f"Bowtie is immutable: make another one instead of setting {name}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"Bowtie({self.material.name}, {self.thickness.min():g} to {self.thickness.max():g} mm)"


class _DivergentSource(_ScanSource):
    """From a focal spot onto a flat or curved detector, uniform in solid angle."""

    def __init__(self, operator: Any, kind: type, spectrum: Any, view: Any, bowtie: Bowtie | None) -> None:
        super().__init__(operator, kind, spectrum, view)
        if bowtie is not None and not isinstance(bowtie, Bowtie):
            raise DtypeError(f"bowtie: expected a transport.Bowtie, got {type(bowtie).__name__}")
        self.bowtie = bowtie
        self.sod, self.sdd = float(operator.sod), float(operator.sdd)
        self.detector: str = operator.detector

    @property
    def width(self) -> float:
        """Width of the beam along z at the rotation axis, in mm."""
        return (self._rows[1] - self._rows[0]) * self.sod / self.sdd

    def _build(self) -> _core.Source:
        detectors = []
        for angle in self.angles:
            axes = self._axes(angle)
            focus = [-self.sod * x for x in axes[2]]
            detectors.append((focus, axes, self.sdd, self._columns, self._rows))
        bowtie = None if self.bowtie is None else self.bowtie._kernel()
        return _core.field_source(self.spectrum._kernel(), detectors, self.detector == "curved", bowtie)


class ConeBeam(_DivergentSource):
    """The cone beam of a CT scan: an isotropic focal spot, collimated to the detector.

    Parameters
    ----------
    ct_operator : spinray.ct.ConeBeam
        The scan: its source positions and its detector, to the outer edges of its elements.
    spectrum : Spectrum, float or mapping
        A spectrum, an energy in keV, or photon numbers by energy in keV.
    view : int, slice or sequence of int, optional
        Views that photons come from, each as likely as any other; all unless given.
    bowtie : Bowtie, optional
        A filter between focal spot and phantom.

    Raises
    ------
    InputError
        If the scan has no such view, the bowtie lets nothing through, or an energy is outside 1 to 3000 keV.
    DtypeError
        If it is another kind of scan.

    Notes
    -----
    Photons are uniform in the solid angle of the detector, not over its area: the fluence falls as cos^3 towards the
    edges of a flat detector, as that of a small focal spot does.

    Examples
    --------
    >>> import spinray
    >>> A = spinray.ct.ConeBeam(spinray.Grid((8, 8, 8)), [0.0, 1.0], (64, 64), 4.0, sod=1000, sdd=1500)
    >>> ConeBeam(A, Spectrum.tube(100, {"Al": 6.0}), view=1)
    ConeBeam(view at 1 rad, Spectrum(99 bins of 1 keV, 1.5 to 99.5 keV, mean 54.33 keV))
    """

    def __init__(self, ct_operator: Any, spectrum: Any, view: Any = None, bowtie: Bowtie | None = None) -> None:
        super().__init__(ct_operator, ct.ConeBeam, spectrum, view, bowtie)
        self._rows = _edges(ct_operator.rows, ct_operator.detector_spacing[0])
        _ = self._native  # refuses a bowtie that lets nothing through


class FanBeam(_DivergentSource):
    """The fan beam of a CT scan: an isotropic focal spot, collimated to a detector row of some thickness.

    Parameters
    ----------
    ct_operator : spinray.ct.FanBeam
        The scan, in the plane z = 0.
    spectrum : Spectrum, float or mapping
        A spectrum, an energy in keV, or photon numbers by energy in keV.
    view : int, slice or sequence of int, optional
        Views that photons come from, each as likely as any other; all unless given: a whole rotation.
    thickness : float
        Of the fan at the rotation axis, along z, in mm; 0 for photons in the plane.
    bowtie : Bowtie, optional
        A filter between focal spot and phantom.

    Raises
    ------
    InputError, DtypeError
        As `ConeBeam`; if the thickness is negative.

    Examples
    --------
    >>> import numpy as np, spinray
    >>> angles = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    >>> A = spinray.ct.FanBeam(spinray.Grid((8, 8)), angles, 512, 2.0, sod=600, sdd=1100)
    >>> FanBeam(A, 60, thickness=10.0)
    FanBeam(360 views, Spectrum(60 keV))
    """

    def __init__(
        self,
        ct_operator: Any,
        spectrum: Any,
        view: Any = None,
        thickness: float = 1.0,
        bowtie: Bowtie | None = None,
    ) -> None:
        super().__init__(ct_operator, ct.FanBeam, spectrum, view, bowtie)
        self.thickness = _checks.positive("thickness", thickness, allow_zero=True, hint="In mm")
        self._rows = _around(0.0, self.thickness * self.sdd / self.sod)
        _ = self._native  # refuses a bowtie that lets nothing through


class ParallelBeam(_ScanSource):
    """The parallel beam of a CT scan: photons uniform over the detector, along its normal.

    Parameters
    ----------
    ct_operator : spinray.ct.ParallelBeam
        The scan. Photons start just outside of the cylinder about z that holds its grid.
    spectrum : Spectrum, float or mapping
        A spectrum, an energy in keV, or photon numbers by energy in keV.
    view : int, slice or sequence of int, optional
        Views that photons come from, each as likely as any other; all unless given.
    thickness : float, optional
        Height of the beam along z in mm for a scan in the plane z = 0; 1 unless given. A scan of a volume has rows.

    Raises
    ------
    InputError, DtypeError
        As `ConeBeam`; if a thickness is given for a scan of a volume.

    Examples
    --------
    >>> import spinray
    >>> A = spinray.ct.ParallelBeam(spinray.Grid((8, 8, 8)), [0.0], n_cols=12)
    >>> ParallelBeam(A, 60).sample(1)[1]
    array([[-0.,  1.,  0.]])
    """

    def __init__(self, ct_operator: Any, spectrum: Any, view: Any = None, thickness: float | None = None) -> None:
        super().__init__(ct_operator, ct.ParallelBeam, spectrum, view)
        grid = ct_operator.grid.axis_aligned()
        if grid.ndim == 2:
            self._rows = _around(
                0.0, _checks.positive("thickness", 1.0 if thickness is None else thickness, hint="In mm")
            )
        elif thickness is None:
            self._rows = _edges(ct_operator.rows, ct_operator.detector_spacing[0])
        else:
            raise InputError(f"thickness: expected None for a scan of a volume, which has rows, got {thickness!r}")
        n, steps, start = (np.array(x[-2:]) for x in (grid.shape, grid.spacing, grid.origin))
        corners = np.maximum(np.abs(start - steps / 2), np.abs(start + (n - 0.5) * steps))
        self.distance = float(np.linalg.norm(corners)) + 1.0

    def _build(self) -> _core.Source:
        middle = [sum(edges) / 2 for edges in (self._columns, self._rows)]
        size = [edges[1] - edges[0] for edges in (self._columns, self._rows)]
        sheets = []
        for angle in self.angles:
            u, v, d = np.array(self._axes(angle))
            position = middle[0] * u + middle[1] * v - self.distance * d
            sheets.append((position.tolist(), [u.tolist(), v.tolist(), d.tolist()], size))
        return _core.parallel_source(self.spectrum._kernel(), sheets)


class VolumeSource(Source):
    """Activity in voxels: photons start uniformly within a voxel, into all directions.

    Parameters
    ----------
    grid : Grid
        3-D (z, y, x), aligned with the axes; it need not be the phantom's.
    activity : array_like, shape (z, y, x)
        In any unit, not negative.
    energy : float, Spectrum or mapping
        Energy in keV, a spectrum, or photon numbers per decay by energy in keV: ``{171.3: 0.91, 245.4: 0.94}``.

    Raises
    ------
    InputError
        If an activity is negative, not finite, or all are 0, shapes differ, the grid is not 3-D or is oblique, or an
        energy is outside 1 to 3000 keV.

    Notes
    -----
    Photons of one decay are drawn independently, without coincidence or angular correlation. Tallies are per photon.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.grid import Grid
    >>> activity = np.zeros((4, 4, 4))
    >>> activity[2, 2, 2] = 1.0
    >>> source = VolumeSource(Grid((4, 4, 4), 2.0), activity, {171.3: 0.91, 245.4: 0.94})
    >>> positions, directions, energies = source.sample(100)
    >>> bool((positions.min(axis=0) >= 0).all() and (positions.max(axis=0) <= 2).all())
    True
    """

    def __init__(self, grid: Grid, activity: Any, energy: Any) -> None:
        require_axis_aligned(grid)
        if grid.ndim != 3:
            raise InputError(f"grid: expected a 3-D grid (z, y, x), got shape {grid.shape}")
        self.grid = grid
        self.spectrum = as_spectrum("energy", energy)
        given = _checks.finite("activity", _checks.array("activity", activity, allow_complex=False))
        if given.shape != grid.shape:
            raise InputError(f"activity: expected the shape of the grid, {grid.shape}, got {given.shape}")
        if given.min() < 0 or not given.max() > 0:
            raise InputError(f"activity: expected numbers >= 0, one of them positive, got {given.min():g} as the least")
        # Scaled, so that no unit is too large for single precision.
        self.activity: np.ndarray = (given / given.max()).astype(np.float32)
        self.activity.setflags(write=False)

    def _build(self) -> _core.Source:
        aligned = self.grid.axis_aligned()
        activity = np.ascontiguousarray(self.grid.to_aligned(self.activity))
        return _core.volume_source(self.spectrum._kernel(), aligned.shape, aligned.spacing, aligned.origin, activity)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.activity.setflags(write=False)

    def __repr__(self) -> str:
        return f"VolumeSource({self.grid!r}, {self.spectrum!r})"


def _require(operator: object, kind: type) -> None:
    if not isinstance(operator, kind):
        raise DtypeError(f"ct_operator: expected a spinray.ct.{kind.__name__}, got {type(operator).__name__}")


def _point(name: str, value: Any) -> tuple[float, ...]:
    return tuple(_checks.doubles(name, value, shape=(3,), hint="(x, y, z) in mm").tolist())


def _rows(positions: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return rays as one record each, which compare as numbers do."""
    return np.ascontiguousarray(np.hstack([positions, directions])).view([("", np.float64)] * 6)[:, 0]


def _frozen(array: np.ndarray) -> np.ndarray:
    result = array.copy()
    result.setflags(write=False)
    return result


def _edges(middles: np.ndarray, spacing: float) -> list[float]:
    """Return the outer edges of elements from their middles."""
    return [float(middles[0]) - spacing / 2, float(middles[-1]) + spacing / 2]


def _around(middle: float, size: float) -> list[float]:
    return [middle - size / 2, middle + size / 2]


def _listed(vector: Sequence[float]) -> str:
    return f"({', '.join(f'{x:g}' for x in vector)})"
