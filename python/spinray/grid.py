"""`Grid`: where the voxels of an array lie in the world; `Volume`: an array with its place.

Arrays are ``(z, y, x)`` or ``(y, x)``, and so is everything a grid says about its axes. Affines and directions are
NIfTI's and ITK's: they act on (i, j, k) = (x, y, z) indices and give x, y, z in mm, RAS+ for patient data.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _checks
from .errors import DtypeError, InputError

if TYPE_CHECKING:
    import nibabel

__all__ = ["Grid", "Volume", "require_axis_aligned"]

#: Columns of an affine further from orthogonal than this (cosine of the angle) are a shear. Files store affines
#: in single precision and qform quaternions lose half of it, so less would refuse sound files.
_SHEAR = 1e-3
#: Directions this close to a signed permutation are one: less than a twentieth of a voxel over 500.
_SNAP = 1e-4
#: Voxel centres that agree within this fraction of a voxel are the same.
_SAME_VOXEL = 1e-3


@dataclass(frozen=True, init=False, repr=False)
class Grid:
    """A regular grid of voxels in the world, 2-D or 3-D.

    Parameters
    ----------
    shape : tuple of int
        Number of voxels, ``(z, y, x)`` or ``(y, x)``.
    spacing : float or tuple of float, default 1.0
        Distance of voxel centres in mm, one for all axes or in the order of `shape`.
    origin : float or tuple of float, optional
        Centre of the first voxel in mm, in the order of `shape`; unless given, the grid is centred on the isocentre:
        ``-(n - 1) / 2 * spacing``.
    direction : array_like, shape (3, 3), optional
        Columns are the unit vectors, in (x, y, z), along which the indices (i, j, k) = (x, y, z) grow. The identity
        unless given: the centre of voxel i then lies at ``origin + i * spacing`` along every axis. For a 2-D grid,
        shape (2, 2) will do.

    Raises
    ------
    InputError
        If the shape is not 2-D or 3-D, a spacing is not positive, a number is not finite, or the direction is
        sheared or singular.
    DtypeError
        If an entry is not a number.

    Notes
    -----
    Grids are immutable, compare and hash by value, and can be pickled.

    Examples
    --------
    >>> from spinray.grid import Grid
    >>> grid = Grid((2, 3, 4), spacing=(5.0, 1.0, 1.0))
    >>> grid.origin
    (-2.5, -1.0, -1.5)
    >>> grid.axes()[0]
    array([-2.5,  2.5])
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[tuple[float, ...], ...]

    def __init__(self, shape: Any, spacing: Any = 1.0, origin: Any = None, direction: Any = None) -> None:
        n = _checks.shape("shape", shape, ndim=(2, 3))
        steps = _checks.per_axis("spacing", spacing, len(n), above_zero=True)
        matrix = np.eye(3) if direction is None else _direction(direction, len(n))
        if origin is None:
            start = tuple(float(c) for c in _first_centre(n, steps, matrix))
        else:
            start = _checks.per_axis("origin", origin, len(n))
        for name, value in (("shape", n), ("spacing", steps), ("origin", start)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "direction", tuple(tuple(float(entry) for entry in row) for row in matrix))

    @classmethod
    def from_affine(cls, shape: Any, affine: Any) -> Grid:
        """Return the grid of an array of that shape with a NIfTI affine.

        Parameters
        ----------
        shape : tuple of int
            ``(z, y, x)`` or ``(y, x)``.
        affine : array_like, shape (4, 4)
            Maps (i, j, k, 1) = (x, y, z, 1) indices to world coordinates in mm.

        Raises
        ------
        InputError
            If the affine is singular or sheared, or a 2-D slice does not lie in the x-y plane.

        Examples
        --------
        >>> import numpy as np
        >>> Grid.from_affine((4, 5, 6), np.diag([2.0, 2.0, 3.0, 1.0])).spacing
        (3.0, 2.0, 2.0)
        """
        n = _checks.shape("shape", shape, ndim=(2, 3))
        matrix = _affine(affine)
        steps, columns = _steps_and_directions(matrix[:3, : len(n)])
        direction = np.eye(3)
        direction[: len(n), : len(n)] = columns[: len(n)]
        if len(n) == 2 and np.abs(columns[2]).max() > _SHEAR:
            raise InputError(
                "affine: expected a 2-D image in the x-y plane, got a slice along z. "
                "Describe it by Grid(shape, spacing) in its own plane"
            )
        return cls(n, steps[::-1], matrix[: len(n), 3][::-1], direction)

    @property
    def ndim(self) -> int:
        """Number of axes, 2 or 3."""
        return len(self.shape)

    @property
    def affine(self) -> np.ndarray:
        """The NIfTI affine, shape (4, 4): (i, j, k, 1) = (x, y, z, 1) indices to mm. A 2-D grid lies at z = 0."""
        affine = np.eye(4)
        steps = np.ones(3)
        steps[: self.ndim] = self.spacing[::-1]
        affine[:3, :3] = np.asarray(self.direction) * steps
        affine[: self.ndim, 3] = self.origin[::-1]
        return affine

    @property
    def is_oblique(self) -> bool:
        """Whether an axis of the array is along none of x, y and z; flipped and permuted axes are not oblique."""
        return not _is_signed_permutation(np.asarray(self.direction))

    @property
    def _is_canonical(self) -> bool:
        """Whether the indices grow with +x, +y and +z."""
        return np.array_equal(self.direction, np.eye(3))

    def axes(self) -> tuple[np.ndarray, ...]:
        """Return the voxel centres along each axis in mm, in the order of `shape`.

        Raises
        ------
        InputError
            If the axes are oblique, flipped or permuted.

        Examples
        --------
        >>> y, x = Grid((2, 3)).axes()
        >>> y, x
        (array([-0.5,  0.5]), array([-1.,  0.,  1.]))
        """
        if not self._is_canonical:
            raise InputError(f"grid: expected indices that grow with +x, +y, +z, got {self!r}. Use grid.axis_aligned()")
        layout = zip(self.shape, self.spacing, self.origin, strict=True)
        return tuple(start + step * np.arange(n) for n, step, start in layout)

    def centred(self) -> Grid:
        """Return this grid moved to have its centre at the isocentre.

        Examples
        --------
        >>> Grid((3, 3), origin=(10.0, 20.0)).centred().origin
        (-1.0, -1.0)
        """
        return Grid(self.shape, self.spacing, None, self.direction)

    def axis_aligned(self) -> Grid:
        """Return the grid, its indices growing with +x, +y and +z, that holds the same voxels.

        Of an oblique grid: the smallest such grid that covers it, with the spacing of the nearest axes;
        `Volume.resample` brings the data there. Of a flipped or permuted one: the same voxels in another order, see
        `to_aligned`.

        Examples
        --------
        >>> import numpy as np
        >>> flipped = Grid((4, 5, 6), direction=np.diag([-1.0, 1.0, 1.0]), origin=(0.0, 0.0, 5.0))
        >>> flipped.axis_aligned()
        Grid(shape=(4, 5, 6), spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0))
        """
        if self._is_canonical:
            return self
        d = self.ndim
        direction = np.asarray(self.direction)[:d, :d]
        n, steps = np.array(self.shape[::-1]), np.array(self.spacing[::-1])
        centre = np.array(self.origin[::-1]) + direction @ ((n - 1) / 2 * steps)
        nearest = _nearest_axes(direction)
        new_steps = steps[nearest]
        if self.is_oblique:
            extent = np.abs(direction) @ (n * steps)
            new_n = np.maximum(np.ceil(extent / new_steps - _SAME_VOXEL), 1).astype(int)
        else:
            new_n = n[nearest]
        origin = centre - (new_n - 1) / 2 * new_steps
        return Grid(new_n[::-1].tolist(), new_steps[::-1].tolist(), origin[::-1].tolist())

    def to_aligned(self, array: np.ndarray) -> np.ndarray:
        """Return data of this grid, shape (..., *shape), in the voxel order of `axis_aligned`; a view.

        Raises
        ------
        InputError
            If the grid is oblique, which only `Volume.resample` can cure.
        """
        if self._is_canonical:
            return array
        return _reordered(array, self._order_in(require_axis_aligned(self)))

    def from_aligned(self, array: np.ndarray) -> np.ndarray:
        """Return data of ``axis_aligned()`` in the voxel order of this grid; a view. The inverse of `to_aligned`."""
        if self._is_canonical:
            return array
        return _reordered(array, require_axis_aligned(self)._order_in(self))

    def matches(self, other: Grid) -> bool:
        """Tell whether both grids have the same voxels in the same order, up to a thousandth of a voxel."""
        order = self._order_in(other)
        return order == tuple((axis, False) for axis in range(self.ndim))

    def _order_in(self, other: Grid) -> tuple[tuple[int, bool], ...] | None:
        """For each array axis of `other`, the array axis of this grid along it and whether it runs backwards.

        None where the two grids have not the same voxels.
        """
        d = self.ndim
        if other.ndim != d:
            return None
        mapped = np.linalg.solve(other.affine, self.affine)
        rotation, shift = mapped[:d, :d], mapped[:d, 3]
        order = np.rint(rotation)
        if not _is_signed_permutation(order):
            return None
        last = np.array(self.shape[::-1]) - 1
        other_last = np.array(other.shape[::-1]) - 1
        wanted = np.where(order.sum(axis=1) < 0, other_last, 0)
        error = np.abs(rotation - order) @ last + np.abs(shift - wanted)
        if not np.array_equal(np.abs(order) @ last, other_last) or error.max() > _SAME_VOXEL:
            return None
        # From (x, y, z) to array order on both sides.
        order = order[::-1, ::-1]
        return tuple((int(np.argmax(np.abs(row))), bool(row.sum() < 0)) for row in order)

    def __repr__(self) -> str:
        direction = "" if self._is_canonical else f", direction={self.direction}"
        return f"Grid(shape={self.shape}, spacing={self.spacing}, origin={self.origin}{direction})"


def require_axis_aligned(grid: Any, name: str = "grid") -> Grid:
    """Return ``grid.axis_aligned()``, for scanner models, which know no oblique grids.

    Raises
    ------
    InputError
        If the grid is oblique; the message says how to resample.
    DtypeError
        If it is no grid.

    Examples
    --------
    >>> require_axis_aligned(Grid((8, 8))).shape
    (8, 8)
    """
    if not isinstance(grid, Grid):
        fix = " Pass volume.grid" if isinstance(grid, Volume) else ""
        raise DtypeError(f"{name}: expected a spinray.Grid, got {type(grid).__name__}.{fix}")
    if grid.is_oblique:
        raise InputError(
            f"{name}: expected axes along x, y and z, got the oblique {grid!r}. "
            f"Resample first: aligned = {name}.axis_aligned(); volume.resample(aligned)"
        )
    return grid.axis_aligned()


class Volume:
    """An array with its place in the world: an image, a volume or a time series of volumes.

    Parameters
    ----------
    data : array_like, shape (y, x), (z, y, x) or (t, z, y, x)
        Numbers of any dtype; kept as they are, without a copy.
    affine : array_like, shape (4, 4)
        NIfTI's: maps (i, j, k, 1) = (x, y, z, 1) indices to x, y, z in mm, RAS+ for patient data. ``grid.affine``
        places data on a grid.

    Raises
    ------
    InputError
        If `data` has another number of dimensions or is empty, or the affine is singular or sheared.
    DtypeError
        If the entries are not numbers.

    Notes
    -----
    NumPy functions take a volume for its data; operators with a grid also check that it lies on that grid.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.grid import Grid, Volume
    >>> volume = Volume(np.ones((2, 3, 4)), Grid((2, 3, 4), spacing=2.0).affine)
    >>> volume.grid.spacing
    (2.0, 2.0, 2.0)
    >>> volume.to_nibabel().shape
    (4, 3, 2)
    """

    def __init__(self, data: Any, affine: Any) -> None:
        self.data: np.ndarray = np.asarray(data)
        _checks.working_dtype("data", self.data.dtype)
        if self.data.ndim not in (2, 3, 4) or self.data.size == 0:
            wanted = "shape (y, x), (z, y, x) or (t, z, y, x)"
            raise InputError(f"data: expected {wanted} with at least one voxel, got {self.data.shape}")
        self.affine: np.ndarray = _affine(affine)
        _steps_and_directions(self.affine[:3, : min(self.data.ndim, 3)])

    @property
    def grid(self) -> Grid:
        """The grid of the last three axes (two for a 2-D image)."""
        return Grid.from_affine(self.data.shape[-3:], self.affine)

    def values_on(self, grid: Grid) -> np.ndarray:
        """Return the data in the voxel order of `grid`, which must have the same voxels; a view.

        Parameters
        ----------
        grid
            This volume's grid, or one that has its axes flipped or permuted.

        Returns
        -------
        numpy.ndarray, shape (..., *grid.shape)

        Raises
        ------
        InputError
            If the voxels differ.
        """
        order = self.grid._order_in(grid)
        if order is None:
            raise InputError(
                f"volume: expected the voxels of {grid!r}, got {self.grid!r}. "
                "Use volume.resample(grid), or build the operator on volume.grid"
            )
        return _reordered(self.data, order)

    def resample(self, grid: Any, fill: float = 0.0) -> Volume:
        """Return this volume on another grid, by linear interpolation.

        Parameters
        ----------
        grid : Grid
            Where to sample; of the same number of dimensions.
        fill
            Value outside the grid of this volume. Between the outermost voxel centres and the next, missing ones
            the volume falls off linearly to it. Use -1000 for images in HU.

        Returns
        -------
        Volume
            On `grid`; float64 if this volume is, else float32. Where the voxels are the same (in any order), so are
            the values. A coarser grid samples without averaging.

        Raises
        ------
        InputError
            If the numbers of dimensions differ.

        Examples
        --------
        >>> import numpy as np
        >>> line = Volume(np.array([[0.0, 2.0, 4.0]]), Grid((1, 3)).affine)
        >>> line.resample(Grid((1, 5), spacing=0.5)).data
        array([[0., 1., 2., 3., 4.]])
        """
        from scipy import ndimage

        source = self.grid
        if not isinstance(grid, Grid):
            raise DtypeError(f"grid: expected a spinray.Grid, got {type(grid).__name__}")
        if grid.ndim != source.ndim:
            raise InputError(f"grid: expected {source.ndim} dimensions like the volume's grid, got {grid!r}")
        fill = _checks.number("fill", fill)
        data = _checks.array("data", self.data)
        order = source._order_in(grid)
        if order is not None:
            return Volume(np.array(_reordered(data, order), order="C"), grid.affine)
        mapped = np.linalg.solve(source.affine, grid.affine)
        d = grid.ndim
        rotation, shift = mapped[:d, :d][::-1, ::-1], mapped[:d, 3][::-1]
        frames = data.reshape(-1, *source.shape)
        result = np.empty((len(frames), *grid.shape), data.dtype)
        for frame, out in zip(frames, result, strict=True):
            # "constant" would jump to the fill value at the outermost centres; "grid-constant" ramps.
            ndimage.affine_transform(frame, rotation, shift, output=out, order=1, mode="grid-constant", cval=fill)
        return Volume(result.reshape(*data.shape[:-d], *grid.shape), grid.affine)

    def to_nibabel(self) -> nibabel.Nifti1Image:
        """Return a NIfTI image in memory; its data are a transposed view, (x, y, z) or (x, y, z, t).

        Raises
        ------
        ImportError
            If nibabel is not installed.
        """
        import nibabel

        data = self.data
        if data.dtype == bool:
            data = data.astype(np.uint8)
        elif data.dtype == np.float16:
            data = data.astype(np.float32)
        # The dtype is named since nibabel refuses 64-bit integers that nobody asked for.
        image = nibabel.Nifti1Image(data.T, self.affine, dtype=data.dtype)
        image.header.set_xyzt_units("mm", "sec")
        return image

    def to_monai(self) -> Any:
        """Return a ``monai.data.MetaTensor`` of shape (1, x, y, z), or (t, x, y, z), with its affine.

        Raises
        ------
        ImportError
            If MONAI is not installed.
        """
        try:
            from monai.data import MetaTensor
        except ImportError as error:
            raise ImportError("Volume.to_monai needs MONAI: pip install monai") from error
        import torch

        data = self.data.T
        data = np.moveaxis(data, -1, 0) if self.data.ndim == 4 else data[np.newaxis]
        # torch knows no foreign byte order; the copy also spares the volume from in-place transforms.
        native = np.array(data, dtype=data.dtype.newbyteorder("="), order="C")
        return MetaTensor(torch.from_numpy(native), affine=torch.from_numpy(self.affine.copy()))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy:
            return np.array(self.data, dtype=dtype)
        return np.asarray(self.data, dtype=dtype)

    def __repr__(self) -> str:
        spacing = ", ".join(f"{step:g}" for step in np.linalg.norm(self.affine[:3, :3], axis=0))
        return f"Volume(shape={self.data.shape}, dtype={self.data.dtype}, spacing (x, y, z)=({spacing}) mm)"


def _affine(affine: Any) -> np.ndarray:
    """Return a checked copy of a 4x4 affine in double."""
    matrix = _checks.doubles("affine", affine).copy()
    if matrix.shape != (4, 4):
        raise InputError(f"affine: expected shape (4, 4), got {matrix.shape}")
    if not np.allclose(matrix[3], [0, 0, 0, 1], rtol=0, atol=1e-6):
        raise InputError(f"affine: expected the last row 0 0 0 1, got {matrix[3]}. Transposed?")
    return matrix


def _steps_and_directions(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lengths of the columns of an affine, and the orthonormal ones next to them, shape (3, n)."""
    steps = np.linalg.norm(columns, axis=0)
    if not steps.min() > 0:
        raise InputError(f"affine: expected three independent axes, got a singular one: spacings (x, y, z) {steps}")
    return steps, _orthonormal("affine", columns / steps)


def _direction(direction: Any, ndim: int) -> np.ndarray:
    """Return a checked 3x3 direction."""
    given = _checks.doubles("direction", direction)
    if ndim == 2 and given.shape == (2, 2):
        given = np.block([[given, np.zeros((2, 1))], [np.zeros((1, 2)), np.ones((1, 1))]])
    if given.shape != (3, 3):
        raise InputError(f"direction: expected shape (3, 3), got {given.shape}")
    if np.abs(np.linalg.norm(given, axis=0) - 1).max() > _SHEAR:
        lengths = np.linalg.norm(given, axis=0)
        raise InputError(f"direction: expected unit columns, got lengths {lengths}. Pass the voxel size as spacing")
    matrix = _orthonormal("direction", given)
    if ndim == 2 and not np.array_equal(matrix[2], [0, 0, 1]):
        raise InputError(f"direction: a 2-D grid can only be turned within the x-y plane, got {given.tolist()}")
    return matrix


def _orthonormal(name: str, columns: np.ndarray) -> np.ndarray:
    """Return the nearest matrix of orthonormal columns, exact zeros and ones where that is what is meant."""
    products = columns.T @ columns
    cosine = np.abs(products - np.diag(np.diag(products))).max()
    if np.linalg.svd(columns, compute_uv=False).min() < _SHEAR:
        raise InputError(f"{name}: expected independent axes, got a singular matrix {columns.tolist()}")
    if cosine > _SHEAR:
        angle = math.degrees(math.acos(min(cosine, 1.0)))
        raise InputError(
            f"{name}: expected perpendicular axes, got a sheared one ({angle:.2f} degrees between two axes). "
            "Gantry tilt? Resample the series to perpendicular axes first"
        )
    # Rounding in files is removed: the nearest orthonormal columns (polar decomposition), then exact axes.
    u, _, vh = np.linalg.svd(columns, full_matrices=False)
    nearest = u @ vh
    whole = np.rint(nearest)
    return whole + 0.0 if np.abs(nearest - whole).max() < _SNAP else nearest


def _first_centre(n: tuple[int, ...], steps: tuple[float, ...], direction: np.ndarray) -> np.ndarray:
    """Return the centre of the first voxel, in array order, of a grid centred on the isocentre."""
    d = len(n)
    half = (np.array(n[::-1]) - 1) / 2 * np.array(steps[::-1])
    return (0.0 - direction[:d, :d] @ half)[::-1]


def _is_signed_permutation(matrix: np.ndarray) -> bool:
    size = np.abs(matrix)
    return bool(np.isin(size, (0, 1)).all() and (size.sum(axis=0) == 1).all() and (size.sum(axis=1) == 1).all())


def _nearest_axes(direction: np.ndarray) -> list[int]:
    """Return, for x, y (and z), the index axis nearest to it, each used once."""
    size = np.abs(direction)
    orders = itertools.permutations(range(len(size)))
    return list(max(orders, key=lambda order: sum(size[world, axis] for world, axis in enumerate(order))))


def _reordered(array: np.ndarray, order: tuple[tuple[int, bool], ...] | None) -> np.ndarray:
    """Return a view with the trailing axes permuted and flipped as `Grid._order_in` says."""
    if order is None:
        raise InputError("grid: expected the same voxels")
    lead = array.ndim - len(order)
    view = array.transpose(*range(lead), *(lead + axis for axis, _ in order))
    index = (..., *(slice(None, None, -1) if backwards else slice(None) for _, backwards in order))
    return view[index]
