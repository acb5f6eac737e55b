"""Phantoms of voxels: a material, and perhaps a density, in each."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import _checks, _core
from ..errors import DtypeError, InputError
from ..grid import Grid, Volume, require_axis_aligned
from .materials import Material, hounsfield_to_materials

__all__ = ["VoxelPhantom"]

_OUTSIDE = ("vacuum", "air")
#: More than any matter has, in g/cm3.
_DENSEST = 23.0


class VoxelPhantom:
    """A grid of voxels, each of one material and one density, in vacuum or air.

    Immutable and picklable.

    Parameters
    ----------
    grid : Grid
        3-D (z, y, x), aligned with the axes (flipped or permuted axes are allowed).
    materials : sequence, or mapping of int, of (str or Material)
        What the labels stand for: label i is the i-th of a sequence, or the entry of a mapping. "vacuum" is one, too.
    labels : array_like of int, shape (z, y, x)
        Material of each voxel.
    density : array_like, shape (z, y, x), or float, optional
        Densities in g/cm3; those of the materials unless given.
    outside : {"vacuum", "air"}
        What surrounds the grid.
    margin : float
        How far the air reaches beyond the grid in mm. What lies further out is vacuum: choose it so that it covers
        the source and the detector.

    Attributes
    ----------
    grid : Grid
        As given.
    materials : tuple of Material or None
        None for vacuum.
    labels : numpy.ndarray of uint8 or uint16, shape (z, y, x)
        Index into `materials`; read-only.
    density : numpy.ndarray of float32, shape (z, y, x), or None
        As given, in g/cm3; read-only.
    outside : str
        "vacuum" or "air".
    margin : float
        In mm.

    Raises
    ------
    InputError
        If the grid is not 3-D or is oblique, a label has no material, a density is negative or not finite, a material
        is unknown (close names are listed), or shapes differ.
    DtypeError
        If labels are not integers.

    Notes
    -----
    A point on the face between two voxels belongs to the one of larger index.

    Examples
    --------
    >>> import numpy as np
    >>> from spinray.grid import Grid
    >>> labels = np.zeros((10, 10, 10), int)
    >>> labels[:, 4:6, 4:6] = 1
    >>> phantom = VoxelPhantom(Grid((10, 10, 10), 3.0), ["water", "cortical bone"], labels)
    >>> float(phantom.masses.sum().round(2))  # g
    27.99
    """

    def __init__(
        self,
        grid: Grid,
        materials: Sequence[str | Material] | Mapping[int, str | Material],
        labels: Any,
        density: Any = None,
        outside: str = "vacuum",
        margin: float = 1000.0,
    ) -> None:
        require_axis_aligned(grid)
        if grid.ndim != 3:
            raise InputError(f"grid: expected a 3-D grid (z, y, x), got shape {grid.shape}")
        self.grid = grid
        self.materials, index = _materials(materials)
        self.labels = _labels(labels, grid.shape, index)
        self.density = _density(density, grid.shape)
        self.outside: str = _checks.choice("outside", outside, _OUTSIDE)
        self.margin = _checks.positive("margin", margin, hint="In mm")

    @classmethod
    def from_hu(cls, volume: Volume, outside: str = "vacuum", margin: float = 1000.0) -> VoxelPhantom:
        """Return the phantom of a CT image, by `hounsfield_to_materials`.

        Parameters
        ----------
        volume : Volume, shape (z, y, x)
            CT numbers in HU.
        outside, margin
            As for the class.

        Raises
        ------
        InputError
            If a CT number is NaN, infinite or above 20000 HU, or the image has another number of dimensions.

        Examples
        --------
        >>> import numpy as np
        >>> from spinray.grid import Grid, Volume
        >>> image = Volume(np.full((4, 4, 4), 50.0), Grid((4, 4, 4)).affine)
        >>> phantom = VoxelPhantom.from_hu(image)
        >>> [phantom.materials[label].name for label in np.unique(phantom.labels)]
        ['tissue 19 to 80 HU']
        """
        if not isinstance(volume, Volume):
            fix = "Volume(hu, grid.affine) places an array"
            raise DtypeError(f"volume: expected a spinray.Volume, got {type(volume).__name__}. {fix}")
        if volume.data.ndim != 3:
            raise InputError(f"volume: expected shape (z, y, x), got {volume.data.shape}")
        labels, density, materials = hounsfield_to_materials(volume.data)
        return cls(volume.grid, materials, labels, density, outside, margin)

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in mm3."""
        return float(np.prod(self.grid.spacing))

    @functools.cached_property
    def densities(self) -> np.ndarray:
        """Density of each voxel in g/cm3, float32 of shape (z, y, x); read-only."""
        own = [0.0 if m is None else m.density for m in self.materials]
        density = np.array(own, np.float32)[self.labels] if self.density is None else self.density
        if None in self.materials:
            vacuum = [m is None for m in self.materials]
            density = np.where(np.array(vacuum)[self.labels], np.float32(0), density)
        density.setflags(write=False)
        return density

    @property
    def masses(self) -> np.ndarray:
        """Mass of each voxel in g, float64 of shape (z, y, x)."""
        return self.densities.astype(np.float64) * (1e-3 * self.voxel_volume)

    def attenuation(self, energy: float, kind: str = "total") -> np.ndarray:
        """Return the linear attenuation of each voxel.

        Parameters
        ----------
        energy : float
            Photon energy in keV.
        kind : str
            As for `Material.attenuation`.

        Returns
        -------
        numpy.ndarray of float32, shape (z, y, x)
            In 1/mm, on `grid`.

        Raises
        ------
        InputError
            If the energy is outside 1 to 3000 keV.

        Examples
        --------
        >>> import numpy as np
        >>> from spinray.grid import Grid
        >>> phantom = VoxelPhantom(Grid((1, 1, 2)), ["water", "Al"], [[[0, 1]]])
        >>> phantom.attenuation(60).round(4)
        array([[[0.0206, 0.075 ]]], dtype=float32)
        """
        at = _checks.number("energy", energy)
        per_mass = [0.0 if m is None else m.mass_attenuation(at, kind) / 10 for m in self.materials]
        return np.asarray(np.array(per_mass)[self.labels] * self.densities, np.float32)

    @functools.cached_property
    def _native(self) -> _core.Geometry:
        aligned = self.grid.axis_aligned()
        # The kernels know no vacuum: it is any material without density.
        mixtures = [(m or Material("air"))._kernel() for m in self.materials]
        needs_density = self.density is not None or None in self.materials
        surround = None
        if self.outside == "air":
            mixtures.append(Material("air")._kernel())
            surround = (len(mixtures) - 1, self.margin)
        return _core.voxel_geometry(
            aligned.shape,
            aligned.spacing,
            aligned.origin,
            mixtures,
            np.ascontiguousarray(self.grid.to_aligned(self.labels)),
            np.ascontiguousarray(self.grid.to_aligned(self.densities)) if needs_density else None,
            surround,
        )

    def _kernel(self) -> _core.Geometry:
        """Give the kernels' geometry: voxels in the order of ``grid.axis_aligned()``, then the air around, if any."""
        return self._native

    def __getstate__(self) -> dict[str, Any]:
        cached = ("_native", "densities")
        return {name: value for name, value in vars(self).items() if name not in cached}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for array in (self.labels, self.density):
            if array is not None:
                array.setflags(write=False)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self):
            raise AttributeError(f"VoxelPhantom is immutable: make another one instead of setting {name}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        names = ["vacuum" if m is None else m.name for m in self.materials]
        listed = ", ".join(names[:4]) + (f", ... ({len(names)} in all)" if len(names) > 4 else "")
        return f"VoxelPhantom({self.grid!r}, materials: {listed}; in {self.outside})"


def as_material(name: str, value: Any) -> Material | None:
    """Return a material from one or its name; None for "vacuum"."""
    if value is None or (isinstance(value, str) and value.casefold() == "vacuum"):
        return None
    if isinstance(value, Material):
        return value
    if isinstance(value, str):
        return Material(value)
    raise DtypeError(f"{name}: expected a Material or its name, got {type(value).__name__}")


def _materials(materials: Any) -> tuple[tuple[Material | None, ...], np.ndarray]:
    """Return the materials, and the labels they are given for."""
    if isinstance(materials, Mapping):
        index = [_checks.integer(f"materials[{label!r}]", label, minimum=0) for label in materials]
        values = list(materials.values())
    elif isinstance(materials, (str, Material)) or not isinstance(materials, Sequence):
        raise DtypeError(f"materials: expected a list of materials or names, got {materials!r}. Such as ['water']")
    else:
        index, values = list(range(len(materials))), list(materials)
    if not values:
        raise InputError("materials: expected at least one, got none")
    if max(index) >= 1 << 16:
        raise InputError(f"materials: expected labels below {1 << 16}, got {max(index)}")
    return tuple(as_material(f"materials[{i}]", value) for i, value in zip(index, values, strict=True)), np.array(index)


def _labels(labels: Any, shape: tuple[int, ...], index: np.ndarray) -> np.ndarray:
    """Return labels as indices of materials, in the smallest type."""
    try:
        given = np.asarray(labels)
    except ValueError as error:
        raise InputError(f"labels: expected an array of integers, got {type(labels).__name__} ({error})") from None
    if given.dtype.kind not in "iub":
        raise DtypeError(f"labels: expected integers, got dtype {given.dtype}. Try labels.astype(int)")
    if given.shape != shape:
        raise InputError(f"labels: expected the shape of the grid, {shape}, got {given.shape}")
    size = int(index.max()) + 1
    position = np.full(size, -1)
    position[index] = np.arange(len(index))
    complete = np.array_equal(position, np.arange(size))
    # True needs a number to index with.
    given = given.astype(np.uint8) if given.dtype == bool else given
    if given.min() < 0 or given.max() >= size:
        without = (given < 0) | (given >= size)
    else:
        without = np.zeros(1, bool) if complete else position[given] < 0
    if without.any():
        known = f"0 to {size - 1}" if len(index) == size else ", ".join(map(str, sorted(index.tolist())))
        found = np.unique(given[without]).tolist()
        raise InputError(f"labels: expected labels with a material ({known}), got {found[:5]} without one")
    smallest = np.uint8 if len(index) <= 256 else np.uint16
    result: np.ndarray = given.astype(smallest) if complete else position.astype(smallest)[given]
    result.setflags(write=False)
    return result


def _density(density: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    if density is None:
        return None
    hint = "In g/cm3: water has 1"
    given = _checks.finite("density", _checks.array("density", density, allow_complex=False, dtype=np.float32), hint)
    if given.ndim == 0:
        given = np.full(shape, given, np.float32)
    if given.shape != shape:
        raise InputError(f"density: expected the shape of the grid, {shape}, got {given.shape}")
    if float(given.min()) < 0:
        first = tuple(int(i) for i in np.unravel_index(int(np.argmin(given)), shape))
        problem = f"expected numbers >= 0 (g/cm3), got {given.min():g} at {first}"
        raise InputError(f"density: {problem}. CT numbers? VoxelPhantom.from_hu takes them")
    if float(given.max()) > _DENSEST:
        raise InputError(f"density: expected g/cm3 up to {_DENSEST:g}, got {given.max():g}. kg/m3? divide by 1000")
    result = given.copy()
    result.setflags(write=False)
    return result
