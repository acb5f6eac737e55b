"""Filtered back-projection for every circular scan: FBP, fan-beam FBP or FDK, by geometry."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.fft

from spinray import _checks, _core
from spinray.ct import redundancy
from spinray.ct.geometry import CircularScan
from spinray.errors import DtypeError, InputError
from spinray.operators import LinearOperator
from spinray.operators.linear import current_progress

__all__ = ["FilteredBackprojection", "fbp"]

#: Windows over the frequency as a fraction f of the cutoff, 0 <= f <= 1.
_WINDOWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ram-lak": np.ones_like,
    "shepp-logan": lambda f: np.sinc(f / 2),
    "cosine": lambda f: np.cos(np.pi / 2 * f),
    "hamming": lambda f: 0.54 + 0.46 * np.cos(np.pi * f),
    "hann": lambda f: 0.5 + 0.5 * np.cos(np.pi * f),
}


def fbp(
    A: CircularScan,
    y: Any,
    filter: str = "ram-lak",
    cutoff: float = 1.0,
    short_scan: str | bool = "auto",
    *,
    progress: bool = False,
) -> Any:
    """Reconstruct projections by filtered back-projection.

    FBP for parallel beams, fan-beam FBP for fans and FDK (Feldkamp, Davis, Kress) for cones: each view is weighted
    by its own angular interval and by how often its rays were measured, convolved with the ramp filter along the
    rows, and back-projected voxel by voxel with linear interpolation.

    Parameters
    ----------
    A : ParallelBeam, FanBeam or ConeBeam
        The scan.
    y : array_like or torch.Tensor, shape (..., *A.range_shape)
        Line integrals.
    filter : {"ram-lak", "shepp-logan", "cosine", "hamming", "hann"}
        Window on the ramp filter.
    cutoff : float
        Highest frequency kept, as a fraction of the detector's Nyquist frequency, in (0, 1].
    short_scan : {"auto", True, False}
        Divergent beams: Parker's weights for arcs below 360 degrees ("auto"), always, or never (every ray then counts
        half, as on a full scan).
    progress : bool
        Show a progress bar.

    Returns
    -------
    numpy.ndarray or torch.Tensor, shape (..., *A.domain_shape)
        The image in the units of `y` per mm, zero or inaccurate where rays are missing. Differentiable: the gradient
        is the exact adjoint.

    Raises
    ------
    InputError
        If `y` is not finite or has the wrong shape; for an unknown filter; if the source's orbit cuts the grid; if an
        offset detector sees one side only and the scan is too short for the rays it misses.

    Warns
    -----
    UserWarning
        If the arc is too short to measure every ray (less than 180 degrees, plus the fan angle for divergent beams),
        or an offset detector leaves the outside of the grid incomplete.

    Notes
    -----
    Kak & Slaney, Principles of Computerized Tomographic Imaging (1988), chapter 3; L. A. Feldkamp et al., J. Opt. Soc.
    Am. A 1, 612 (1984); D. L. Parker, Med. Phys. 9, 254 (1982); G. Wang, Med. Phys. 29, 1634 (2002) for offset
    detectors on full scans. `FilteredBackprojection` is the same as an operator.

    Examples
    --------
    >>> import numpy as np, spinray
    >>> grid = spinray.Grid((128, 128))
    >>> A = spinray.ct.ParallelBeam(grid, np.linspace(0, np.pi, 200, endpoint=False), n_cols=185)
    >>> y, x = grid.axes()
    >>> disc = (np.hypot(*np.meshgrid(x, y)) < 40) * 0.02  # 1/mm
    >>> image = spinray.ct.fbp(A, A(disc), filter="hann")
    >>> round(float(image[54:74, 54:74].mean()), 4)
    0.02
    """
    if not isinstance(A, CircularScan):
        raise DtypeError(f"A: expected a ParallelBeam, FanBeam or ConeBeam, got {type(A).__name__}")
    return FilteredBackprojection(A, filter, cutoff, short_scan)(y, progress=progress)


class Steps(NamedTuple):
    """Filtered back-projection taken apart, see `FilteredBackprojection.steps`.

    Attributes
    ----------
    margins : tuple of int
        Columns of zeros put before the first and after the last one of an offset detector; the rest counts them.
    view_weights : numpy.ndarray, shape (n_views, n_cols)
        Angular interval of each view times the share of each ray, rad.
    row_weights : numpy.ndarray, shape (n_rows, n_cols)
        Obliquity of the rays.
    kernel : numpy.ndarray, shape (2 n_cols - 1,)
        What weighted rows are convolved with; its middle is lag 0.
    backprojection : LinearOperator
        What becomes of filtered rows.
    """

    margins: tuple[int, int]
    view_weights: np.ndarray
    row_weights: np.ndarray
    kernel: np.ndarray
    backprojection: Backprojection


class Backprojection(LinearOperator):
    """Voxel-driven back-projection with linear interpolation and the distance weights of `fbp`: its last step.

    Not the adjoint of `A`, which is ray-driven. See `FilteredBackprojection.steps`.
    """

    _input_name = "y"

    def __init__(self, A: CircularScan) -> None:
        self.A = A
        self.domain_shape, self.range_shape = A.range_shape, A.domain_shape

    @functools.cached_property
    def _native(self) -> _core.Backprojection:
        return _core.Backprojection(self.A._native)

    def _capsule(self) -> Any:
        return self._native.capsule() if self.A.grid.axis_aligned() is self.A.grid else None

    def _forward(self, x: np.ndarray) -> np.ndarray:
        image = self._native.forward(x, current_progress())
        grid = self.A.grid
        return grid.from_aligned(image.reshape(-1, *grid.axis_aligned().shape))

    def _adjoint(self, y: np.ndarray) -> np.ndarray:
        aligned = np.ascontiguousarray(self.A.grid.to_aligned(y))
        return self._native.adjoint(aligned, current_progress()).reshape(-1, *self.domain_shape)


class FilteredBackprojection(LinearOperator):
    """The operator behind `fbp`, from projections to images, with its exact adjoint.

    Parameters
    ----------
    A, filter, cutoff, short_scan
        As in `fbp`, where warnings and errors are described.

    Examples
    --------
    >>> import numpy as np, spinray
    >>> A = spinray.ct.ParallelBeam(spinray.Grid((32, 32)), np.linspace(0, np.pi, 60, endpoint=False), n_cols=47)
    >>> R = spinray.ct.FilteredBackprojection(A)
    >>> R
    FilteredBackprojection((60, 47) -> (32, 32))
    >>> spinray.testing.assert_adjoint(R)
    """

    _input_name = "y"

    def __init__(
        self, A: CircularScan, filter: str = "ram-lak", cutoff: float = 1.0, short_scan: str | bool = "auto"
    ) -> None:
        self.A = A
        self.filter = _checks.choice("filter", filter, tuple(_WINDOWS))
        self.cutoff = _checks.positive("cutoff", cutoff)
        if self.cutoff > 1:
            raise InputError(f"cutoff: expected a fraction of the Nyquist frequency, at most 1, got {cutoff}")
        self.short_scan = _checks.choice("short_scan", short_scan, ("auto", True, False))
        self.domain_shape, self.range_shape = A.range_shape, A.domain_shape
        self._require_room()
        weights, warning = redundancy.view_weights(A, self.short_scan)
        # Filtered values reach beyond the shorter side of an offset detector, and pixels there need them.
        self._margins = redundancy.missing_columns(A)
        self._view_weights = np.pad(weights, ((0, 0), self._margins))
        self._scan = A._with_margins(*self._margins)
        if warning:
            warnings.warn(warning, UserWarning, stacklevel=3)

    def _require_room(self) -> None:
        """Refuse a source that comes nearer to the axis than the corners of the grid: its weights would blow up."""
        if self.A.sod is None:
            return
        y, x = self.A.grid.axis_aligned().axes()[-2:]
        reach = max(math.hypot(a, b) for a in (x[0], x[-1]) for b in (y[0], y[-1]))
        if reach >= self.A.sod:
            problem = f"the source's orbit must enclose the grid, whose corners are {reach:g} mm from the axis"
            raise InputError(f"sod: {problem}, got {self.A.sod:g} mm. Shrink the grid")

    @functools.cached_property
    def _native(self) -> _core.Backprojection:
        response, length = self._response()
        weights = self._view_weights, self._obliquity()
        return _core.Backprojection(self._scan._native, *weights, response, length)

    def _capsule(self) -> Any:
        return None if any(self._margins) or self.A.grid.axis_aligned() is not self.A.grid else self._native.capsule()

    def steps(self) -> Steps:
        """Return what the operator does, step by step: weights, filter, back-projection.

        Examples
        --------
        >>> import numpy as np, spinray
        >>> A = spinray.ct.ParallelBeam(spinray.Grid((32, 32)), np.linspace(0, np.pi, 60, endpoint=False), n_cols=47)
        >>> steps = spinray.ct.FilteredBackprojection(A).steps()
        >>> steps.view_weights.shape, steps.kernel.shape, steps.backprojection
        ((60, 47), (93,), Backprojection((60, 47) -> (32, 32)))
        """
        response, length = self._response()
        n = self._scan.detector_shape[1]
        kernel = np.roll(scipy.fft.irfft(response, length), n - 1)[: 2 * n - 1]
        return Steps(self._margins, self._view_weights, self._obliquity(), kernel, Backprojection(self._scan))

    def _obliquity(self) -> np.ndarray:
        """Weights per (row, column): the cosine of a ray's angle with the central ray."""
        A = self._scan
        if A.sod is None or A.sdd is None:
            return np.ones(A.detector_shape)
        rows, columns = A.rows[:, None], A.columns[None, :]
        if A.detector == "curved":
            # The filter works in angle there, which leaves 1 / sod.
            return np.cos(columns / A.sdd) * A.sdd / np.hypot(A.sdd, rows) / A.sod
        return A.sdd / np.sqrt(A.sdd**2 + columns**2 + rows**2)

    def _response(self) -> tuple[np.ndarray, int]:
        """Return the frequency response of the windowed ramp filter, and the length of the transform.

        The ramp is sampled in space, band-limited (Kak & Slaney eq. 3.3.29), long enough that nothing wraps around.
        """
        A = self._scan
        n_cols, spacing = A.detector_shape[1], A.detector_spacing[1]
        length = scipy.fft.next_fast_len(2 * n_cols - 1, real=True)
        n = np.minimum(np.arange(length), length - np.arange(length))
        if A.sod is not None and A.sdd is not None:
            spacing = spacing / A.sdd if A.detector == "curved" else spacing * A.sod / A.sdd
        kernel = np.zeros(length)
        kernel[0] = 0.25
        odd = n % 2 == 1
        kernel[odd] = -1 / (np.pi * n[odd]) ** 2
        if A.detector == "curved" and A.sod is not None:
            # Lags beyond the fan occur in the padding only; a half turn away the factor would blow up.
            angle = np.where(n < n_cols, n * spacing, 0.0)
            kernel /= np.sinc(angle / np.pi) ** 2
        ramp = scipy.fft.rfft(kernel).real / spacing
        frequency = np.arange(length // 2 + 1) / (length / 2) / self.cutoff
        return np.where(frequency <= 1, ramp * _WINDOWS[self.filter](frequency), 0.0), length

    def _forward(self, x: np.ndarray) -> np.ndarray:
        _checks.finite("y", x)
        if any(self._margins):
            x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [self._margins])
        image = self._native.forward(x, current_progress())
        grid = self.A.grid
        return grid.from_aligned(image.reshape(-1, *grid.axis_aligned().shape))

    def _adjoint(self, y: np.ndarray) -> np.ndarray:
        aligned = np.ascontiguousarray(self.A.grid.to_aligned(y))
        y = self._native.adjoint(aligned, current_progress())
        before, n_cols = self._margins[0], self.A.detector_shape[1]
        return np.ascontiguousarray(y[..., before : before + n_cols]).reshape(-1, *self.domain_shape)
