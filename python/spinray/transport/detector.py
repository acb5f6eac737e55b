"""Images of a detector: what reaches each pixel, by what happened to it."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from .. import _checks, _core, ct
from ..errors import DtypeError, InputError
from . import _plot
from ._precision import frozen, rms_relative_error, std_error
from ._sums import ONE, Cells, Sums
from ._tally import Counted, Counter, check_name
from .materials import ENERGIES

__all__ = ["Detector", "DetectorImage", "DetectorResult"]

#: Of forced detection, how many collisions are followed: about 2 takes the least time to a given error.
_EFFORT = 2.0
#: Pixels of forced detection, unless given: enough for scatter, which is smooth.
_COARSE = (16, 16)
#: Full width at half maximum of a normal distribution over its standard deviation.
_FULL_WIDTH = 2.0 * math.sqrt(2.0 * math.log(2.0))
#: Classes of scattered photons, in the order of the kernel's.
_CLASSES = ("compton", "rayleigh", "multiple", "scatter")


@dataclasses.dataclass(frozen=True, init=False)
class Detector(Counter):
    """What reaches each pixel of a detector: primary photons, and scatter by kind. The detector of one view of a scan.

    `rectangle` puts one anywhere. A detector lies outside the phantom and the air around it, absorbs what it sees, and
    sees what comes from its front at any angle.

    Parameters
    ----------
    ct_operator : spinray.ct.ConeBeam
        The scan.
    view : int
        Its view, which should be the source's too: ``transport.ConeBeam(A, spectrum, view)``.
    shape : (int, int), optional
        Rows and columns that its area is cut into: the scan's own, or (16, 16) for forced detection.
    response : {"energy", "counting"}
        What a photon adds to its pixel: its energy in keV, or a count.
    thresholds : sequence of float, optional
        Of counting, growing, in keV: a channel from each threshold to the next, and one above the last. Every photon
        counts unless given.
    resolution : float
        Of thresholds, full width at half maximum in keV: photons are measured with a normal error.
    estimator : {"analogue", "forced"}
        "analogue" scores photons that arrive. "forced" scores in every pixel, at every collision, what is expected to
        arrive from there (Williamson 1987, Med. Phys. 14, 567; onto a few large pixels: Poludniowski et al. 2009, Phys.
        Med. Biol. 54, 3847): the same means, from some thousand times fewer histories on 16 x 16 pixels. It leaves
        out Doppler broadening on the way to the detector.
    name : str
        What the result calls it.

    Attributes
    ----------
    centre : tuple of float
        (x, y, z) in mm.
    axes : tuple of 3 tuples of float
        Unit vectors along a row, along a column, and away from the source.
    shape : (int, int)
        Rows, columns.
    pitch : (float, float)
        Of rows, of columns, in mm; arc length if curved.
    radius : float or None
        Of a curved detector, in mm.

    Raises
    ------
    InputError
        If the scan has no such view, its beam is parallel or a fan, the shape has no pixels, thresholds do not grow, or
        there is no such response or estimator. `simulate` refuses a detector that lies in the phantom or has it at its
        back.
    DtypeError
        If it is no scan, or numbers are none.

    Examples
    --------
    >>> import numpy as np, spinray
    >>> from spinray import transport
    >>> grid = spinray.Grid((8, 8, 8), 20.0)
    >>> A = spinray.ct.ConeBeam(grid, [0.0], (64, 64), 6.0, sod=1000, sdd=1500)
    >>> water = transport.VoxelPhantom(grid, ["water"], np.zeros(grid.shape, int))
    >>> detector = transport.Detector(A, estimator="forced")
    >>> image = transport.simulate(water, transport.ConeBeam(A, 60.0, 0), 2000, [detector])["detector"]
    >>> image.scatter.mean.shape, image.units
    ((16, 16), 'keV per history')
    >>> float((image.scatter.mean.sum() / image.primary.mean.sum()).round(3))  # most primary photons go past the cube
    0.015
    """

    centre: tuple[float, ...]
    axes: tuple[tuple[float, ...], ...]
    shape: tuple[int, ...]
    pitch: tuple[float, ...]
    radius: float | None
    response: str
    thresholds: tuple[float, ...] | None
    resolution: float
    estimator: str
    name: str

    def __init__(
        self,
        ct_operator: Any,
        view: int = 0,
        shape: tuple[int, int] | None = None,
        response: str = "energy",
        thresholds: Any = None,
        resolution: float = 0.0,
        estimator: str = "analogue",
        name: str = "detector",
    ) -> None:
        where = _where(ct_operator, view)
        count = _checks.shape("shape", _default(shape, ct_operator, estimator), ndim=2)
        pitch = np.multiply(ct_operator.detector_shape, ct_operator.detector_spacing) / count
        self._set(*where, count, pitch, response, thresholds, resolution, estimator, name)

    @classmethod
    def rectangle(
        cls,
        centre: Any,
        first: Any,
        second: Any,
        shape: tuple[int, int] = (1, 1),
        response: str = "energy",
        thresholds: Any = None,
        resolution: float = 0.0,
        estimator: str = "analogue",
        name: str = "detector",
    ) -> Detector:
        """Return a flat detector anywhere.

        Parameters
        ----------
        centre : (float, float, float)
            Middle of the rectangle (x, y, z) in mm.
        first, second : (float, float, float)
            Its edges in mm, along a row and along a column, perpendicular to each other. It sees photons that go
            through it towards the side of first x second.
        shape : (int, int)
            Rows and columns.
        response, thresholds, resolution, estimator, name
            As for the class.

        Raises
        ------
        InputError
            If the edges are zero or not perpendicular; as for the class.

        Examples
        --------
        >>> panel = Detector.rectangle((0, 0, 500), first=(200, 0, 0), second=(0, 100, 0), shape=(10, 20))
        >>> panel.pitch, panel.axes[2]
        ((10.0, 10.0), (0.0, 0.0, 1.0))
        """
        middle, *edges = (
            _checks.doubles(edge, value, shape=(3,), hint="(x, y, z) in mm")
            for edge, value in (("centre", centre), ("first", first), ("second", second))
        )
        width, height = (float(np.linalg.norm(edge)) for edge in edges)
        if not min(width, height) > 0:
            raise InputError(f"second: expected edges that are not zero, got {first!r} and {second!r}")
        if abs(edges[0] @ edges[1]) > 1e-9 * width * height:
            raise InputError(f"second: expected an edge perpendicular to the first, got {first!r} and {second!r}")
        along, up = edges[0] / width, edges[1] / height
        axes = np.array([along, up, np.cross(along, up)]) + 0.0
        count = _checks.shape("shape", shape, ndim=2)
        detector = cls.__new__(cls)
        pitch = height / count[0], width / count[1]
        detector._set(middle, axes, None, count, pitch, response, thresholds, resolution, estimator, name)
        return detector

    def _set(
        self,
        centre: Any,
        axes: Any,
        radius: float | None,
        shape: Any,
        pitch: Any,
        response: str,
        thresholds: Any,
        resolution: float,
        estimator: str,
        name: str,
    ) -> None:
        """Set all fields, checked."""
        check_name(name)
        _checks.choice("response", response, ("energy", "counting"))
        _checks.choice("estimator", estimator, ("analogue", "forced"))
        fields = {
            "centre": tuple(map(float, centre)),
            "axes": tuple(tuple(map(float, axis)) for axis in axes),
            "shape": tuple(shape),
            "pitch": tuple(map(float, pitch)),
            "radius": radius,
            "response": response,
            "thresholds": _thresholds(thresholds, response),
            "resolution": _resolution(resolution, thresholds),
            "estimator": estimator,
            "name": name,
        }
        for field, value in fields.items():
            object.__setattr__(self, field, value)
        _ = self._native()  # refuses what it cannot be

    @classmethod
    def _restored(cls, fields: dict[str, Any]) -> Detector:
        detector = cls.__new__(cls)
        detector._set(**fields)
        return detector

    def sensitivity(self, energies: Any) -> np.ndarray:
        """Return what a photon adds to each channel of its pixel.

        Parameters
        ----------
        energies : array_like, shape (n,)
            In keV.

        Returns
        -------
        numpy.ndarray, shape (n_channels, n)
            In keV, or the part of a count.

        Examples
        --------
        >>> panel = Detector.rectangle((0, 0, 9), (1, 0, 0), (0, 1, 0), response="counting", thresholds=[20, 60])
        >>> panel.sensitivity([10.0, 30.0, 80.0])
        array([[0., 1., 0.],
               [0., 0., 1.]])
        """
        from scipy.special import ndtr

        energy = _checks.doubles("energies", energies, shape=(None,), hint="In keV")
        if self.response == "energy":
            return energy[None]
        if self.thresholds is None:
            return np.ones((1, len(energy)))
        beyond = energy - np.array(self.thresholds)[:, None]
        above = ndtr(beyond * _FULL_WIDTH / self.resolution) if self.resolution else 1.0 * (beyond >= 0)
        below = np.vstack([above[1:], np.zeros_like(energy)])
        return np.asarray(above - below)

    @property
    def _image(self) -> tuple[int, ...]:
        """Shape of an image: channels, if there are thresholds, then rows and columns."""
        return self.shape if self.thresholds is None else (len(self.thresholds), *self.shape)

    def _kernel(self, cells: Cells) -> Any:
        return self._native()

    def _native(self) -> Any:
        effort = _EFFORT if self.estimator == "forced" else None
        where = self.centre, self.axes, self.shape, self.pitch, self.radius
        thresholds = None if self.response == "energy" else list(self.thresholds or (0.0,))
        return _core.image_tally(*where, thresholds, self.resolution, effort)

    def _shapes(self, cells: Cells) -> tuple[tuple[int, ...], ...]:
        return self._image, (len(_CLASSES), *self._image)

    def _region_shape(self, cells: Cells) -> tuple[int, ...]:
        return self._image

    def _result(self, scored: Counted, cells: Cells, n_histories: int) -> DetectorResult:
        primary, scatter = scored.sums
        return DetectorResult(self, primary, scatter, n_histories)


@dataclasses.dataclass(frozen=True, eq=False)
class DetectorImage:
    """Means and standard errors of the pixels, arrays of one shape: (rows, columns), or (channels, rows, columns)."""

    mean: np.ndarray
    std_error: np.ndarray

    @property
    def relative_error(self) -> np.ndarray:
        """Standard error over mean; infinite where nothing was scored."""
        error = np.full(self.mean.shape, math.inf)
        return np.divide(self.std_error, self.mean, out=error, where=self.mean > 0)


class DetectorResult:
    """What reached a detector, per history: images of primary photons and of scattered ones by kind.

    Comes from a `Result`, as ``result["detector"]``. Each image has `mean` and `std_error` of shape (rows, columns),
    or (channels, rows, columns) if the detector has thresholds: float64, read-only, computed when first asked for. Rows
    grow along the detector's second axis, columns along its first.

    Attributes
    ----------
    primary : DetectorImage
        Photons that nothing has happened to.
    compton : DetectorImage
        Compton scattered once, and nothing else.
    rayleigh : DetectorImage
        Rayleigh scattered, and nothing else.
    multiple : DetectorImage
        All others: Compton scattered more than once, or emitted in the phantom.
    scatter : DetectorImage
        The sum of the last three.
    total : DetectorImage
        With primary photons. By forced detection its standard error takes primary and scatter for independent.
    scatter_to_primary : numpy.ndarray
        Ratio of the means; infinite where no primary photon arrives.
    units : str
        "keV per history" or "counts per history".
    detector : Detector
    n_histories : int
    """

    def __init__(self, detector: Detector, primary: Sums, scatter: Sums, n_histories: int) -> None:
        self.detector = detector
        self.n_histories = n_histories
        self.units = f"{'keV' if detector.response == 'energy' else 'counts'} per history"
        self._primary, self._scatter = primary, scatter

    def _image(self, scale: float | np.ndarray, first: np.ndarray, second: np.ndarray) -> DetectorImage:
        mean = first / self.n_histories * (scale / ONE)
        return DetectorImage(frozen(mean), frozen(std_error(first, second, self.n_histories) * scale))

    def _class(self, name: str) -> DetectorImage:
        return self._image(self._scatter.scale, *self._sums_of(name))

    def _sums_of(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        k = _CLASSES.index(name)
        return self._scatter.first[k], self._scatter.second[k]

    @functools.cached_property
    def primary(self) -> DetectorImage:  # noqa: D102  see the class
        return self._image(self._primary.scale, self._primary.first, self._primary.second)

    @functools.cached_property
    def compton(self) -> DetectorImage:  # noqa: D102  see the class
        return self._class("compton")

    @functools.cached_property
    def rayleigh(self) -> DetectorImage:  # noqa: D102  see the class
        return self._class("rayleigh")

    @functools.cached_property
    def multiple(self) -> DetectorImage:  # noqa: D102  see the class
        return self._class("multiple")

    @functools.cached_property
    def scatter(self) -> DetectorImage:  # noqa: D102  see the class
        return self._class("scatter")

    @functools.cached_property
    def total(self) -> DetectorImage:  # noqa: D102  see the class
        if self.detector.estimator == "analogue" and self._primary.scale == self._scatter.scale:
            # No history scores in both, unless photons are forced to collide: then the scales differ. As floats: the
            # two together might not fit.
            first, second = self._sums_of("scatter")
            both = first + self._primary.first.astype(float), second + self._primary.second.astype(float)
            return self._image(self._primary.scale, *both)
        mean = self.primary.mean + self.scatter.mean
        return DetectorImage(frozen(mean), frozen(np.hypot(self.primary.std_error, self.scatter.std_error)))

    @property
    def scatter_to_primary(self) -> np.ndarray:
        """Ratio of the means."""
        ratio = np.full(self.primary.mean.shape, math.inf)
        return np.divide(self.scatter.mean, self.primary.mean, out=ratio, where=self.primary.mean > 0)

    def uncertainty(self, above: float = 0.5, region: Any = None) -> float:
        """Return one number for the statistical uncertainty of scatter: the rms of its relative standard errors.

        Parameters
        ----------
        above
            Of the pixels with more than this share of the largest scatter.
        region : array_like of bool, optional
            Of these pixels instead, of an image's shape.

        Returns
        -------
        float
            0.02 for 2 %; infinite if nothing was scored, or nothing in a pixel of the region.

        Raises
        ------
        InputError
            If `above` is not in [0, 1), or the region has another shape, or no pixel.
        DtypeError
            If the region is not of booleans.
        """
        sums = Sums(self._scatter.scale, *self._sums_of("scatter"))
        return rms_relative_error(sums, self.n_histories, above, region, None)

    def plot(self, channel: int = 0, axes: Any = None) -> Any:
        """Draw primary photons, scatter and their ratio side by side.

        Parameters
        ----------
        channel
            Of a detector that counts.
        axes : sequence of three matplotlib.axes.Axes, optional
            Where to draw; new ones in a new figure unless given.

        Returns
        -------
        numpy.ndarray of three matplotlib.axes.Axes

        Raises
        ------
        InputError
            If there is no such channel, or the number of axes is wrong.
        """
        return _plot.images(self, channel, axes)

    def __getstate__(self) -> dict[str, Any]:
        # Without what was computed.
        return {name: value for name, value in vars(self).items() if not hasattr(type(self), name)}

    def __repr__(self) -> str:
        return f"DetectorResult({self.detector._image}, {self.units}, {self.n_histories:,} histories)"


def _where(ct_operator: Any, view: Any) -> tuple[Any, Any, float | None]:
    """Return centre, axes and radius of the detector of a view."""
    if isinstance(ct_operator, (ct.ParallelBeam, ct.FanBeam)):
        lacks = "how far away its detector is" if isinstance(ct_operator, ct.ParallelBeam) else "the height of its rows"
        fix = "Use a ct.ConeBeam, of one row perhaps, or Detector.rectangle"
        raise InputError(f"ct_operator: expected a scan that says {lacks}, got {ct_operator!r}. {fix}")
    if not isinstance(ct_operator, ct.ConeBeam):
        problem = f"expected a spinray.ct.ConeBeam, got {type(ct_operator).__name__}"
        raise DtypeError(f"ct_operator: {problem}. Detector.rectangle takes a place")
    angle = float(ct_operator[_checks.integer("view", view)].angles[0])
    sine, cosine = math.sin(angle), math.cos(angle)
    along, up, ray = np.array([(cosine, sine, 0.0), (0.0, 0.0, 1.0), (-sine, cosine, 0.0)])
    row, column = ct_operator.detector_offset
    sod, sdd = ct_operator.sod, ct_operator.sdd
    assert sod is not None
    assert sdd is not None
    if ct_operator.detector == "flat":
        return (sdd - sod) * ray + column * along + row * up, (along, up, ray), None
    # A piece of a cylinder about the focal spot, seen from its own middle.
    turn = column / sdd
    middle = math.cos(turn) * ray + math.sin(turn) * along
    across = math.cos(turn) * along - math.sin(turn) * ray
    return sdd * middle - sod * ray + row * up, (across, up, middle), sdd


def _default(shape: Any, ct_operator: Any, estimator: str) -> Any:
    if shape is not None:
        return shape
    return _COARSE if estimator == "forced" else ct_operator.detector_shape


def _thresholds(thresholds: Any, response: str) -> tuple[float, ...] | None:
    """Return growing energies."""
    if thresholds is None:
        return None
    if response == "energy":
        raise InputError(f"thresholds: expected none with response='energy', got {thresholds!r}. Try 'counting'")
    given = np.atleast_1d(_checks.doubles("thresholds", thresholds, hint="In keV"))
    least, most = 0.0, ENERGIES[1]
    if given.ndim != 1 or not given.size or (np.diff(given) <= 0).any() or given[0] < least or given[-1] > most:
        raise InputError(f"thresholds: expected growing energies of {least:g} to {most:g} keV, got {thresholds!r}")
    return tuple(given.tolist())


def _resolution(resolution: Any, thresholds: Any) -> float:
    width = _checks.positive("resolution", resolution, allow_zero=True, hint="In keV")
    if width and thresholds is None:
        raise InputError(f"resolution: expected 0 without thresholds, got {width:g}. Try thresholds=[20.0]")
    return width
