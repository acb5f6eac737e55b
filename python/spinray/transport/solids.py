"""Phantoms of solids: boxes, cylinders, spheres and stacks of slabs, by priority."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks, _core
from ..errors import DtypeError, InputError
from ..grid import Grid, require_axis_aligned
from .materials import Material
from .phantom import as_material

__all__ = ["Box", "Cylinder", "SlabStack", "SolidPhantom", "Sphere"]

_AXES = ("x", "y", "z")


class Solid:
    """A homogeneous body. Immutable; `Box`, `Cylinder` and `Sphere` are the ones there are."""

    material: Material | None
    density: float
    priority: int
    name: str | None

    def __init__(self, material: Any, density: float | None, priority: int, name: str | None) -> None:
        self.material = as_material("material", material)
        if density is not None and self.material is None:
            raise InputError(f"density: expected None for vacuum, got {density!r}")
        own = 0.0 if self.material is None else self.material.density
        self.density = own if density is None else _checks.positive("density", density, hint="In g/cm3")
        self.priority = _checks.integer("priority", priority)
        if abs(self.priority) > 1 << 30:
            raise InputError(f"priority: expected an integer within 2^30, got {priority}")
        if name is not None and not isinstance(name, str):
            raise DtypeError(f"name: expected a string, got {type(name).__name__}")
        self.name = name

    def _shape(self) -> tuple[str, list[float]]:
        """Give kind and numbers of the shape, as the kernels take them."""
        raise NotImplementedError

    @property
    def volume(self) -> float:
        """Volume in mm3, the parts that others hide included."""
        raise NotImplementedError

    def _parts(self) -> tuple[Solid, ...]:
        return (self,)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self):
            raise AttributeError(f"{type(self).__name__} is immutable: make another one instead of setting {name}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        matter = "vacuum" if self.material is None else f"{self.material.name}, {self.density:g} g/cm3"
        kind, numbers = self._shape()
        listed = ", ".join(f"{number:g}" for number in numbers)
        return f"<{kind} ({listed}) of {matter}, priority {self.priority}>"


class Box(Solid):
    """A box aligned with the axes; it holds its lower faces and not its upper ones.

    Parameters
    ----------
    material : Material or str
        What it is made of; "vacuum" for a hole.
    size : float or (float, float, float)
        Lengths along (x, y, z) in mm.
    centre : (float, float, float)
        In mm.
    density : float, optional
        In g/cm3, if not the material's own.
    priority : int
        Where solids overlap, the highest decides; the later one among equals.
    name : str, optional
        What its results are called.

    Raises
    ------
    InputError
        If a length is not positive, a number not finite, or the material unknown.

    Examples
    --------
    >>> Box("water", (300, 300, 200)).volume
    18000000.0
    >>> Box.between((0, 0, 0), (1, 2, 3), "PMMA").volume
    6.0
    """

    def __init__(
        self,
        material: str | Material | None,
        size: Any,
        centre: Sequence[float] = (0.0, 0.0, 0.0),
        *,
        density: float | None = None,
        priority: int = 0,
        name: str | None = None,
    ) -> None:
        lengths = np.array(_checks.per_axis("size", size, 3, above_zero=True))
        middle = _vector("centre", centre)
        super().__init__(material, density, priority, name)
        self.low: tuple[float, ...] = tuple((middle - lengths / 2).tolist())
        self.high: tuple[float, ...] = tuple((middle + lengths / 2).tolist())

    @classmethod
    def between(
        cls,
        low: Sequence[float],
        high: Sequence[float],
        material: str | Material | None,
        *,
        density: float | None = None,
        priority: int = 0,
        name: str | None = None,
    ) -> Box:
        """Return the box between two corners (x, y, z) in mm: exact, so that boxes share faces to the bit."""
        lower, upper = _vector("low", low), _vector("high", high)
        if not (lower < upper).all():
            raise InputError(f"high: expected more than low along x, y and z, got {low!r}, {high!r}")
        box = cls.__new__(cls)
        Solid.__init__(box, material, density, priority, name)
        box.low, box.high = tuple(lower.tolist()), tuple(upper.tolist())
        return box

    @property
    def volume(self) -> float:
        """Volume in mm3, the parts that others hide included."""
        return math.prod(b - a for a, b in zip(self.low, self.high, strict=True))

    def _shape(self) -> tuple[str, list[float]]:
        return "box", [*self.low, *self.high]


class Cylinder(Solid):
    """A right circular cylinder.

    Parameters
    ----------
    material : Material or str
        What it is made of; "vacuum" for a hole.
    radius, height : float
        In mm.
    centre : (float, float, float)
        Its middle in mm.
    axis : {"x", "y", "z"} or (float, float, float)
        The direction of its length.
    density, priority, name
        As for `Box`.

    Raises
    ------
    InputError
        If a length is not positive, a number not finite, the axis zero, or the material unknown.

    Examples
    --------
    >>> round(Cylinder("PMMA", 160, 150, axis="z").volume / 1e6, 3)  # litres
    12.064
    """

    def __init__(
        self,
        material: str | Material | None,
        radius: float,
        height: float,
        centre: Sequence[float] = (0.0, 0.0, 0.0),
        axis: Any = "z",
        *,
        density: float | None = None,
        priority: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(material, density, priority, name)
        self.radius = _checks.positive("radius", radius)
        self.height = _checks.positive("height", height)
        self.centre: tuple[float, ...] = tuple(_vector("centre", centre).tolist())
        self.axis: tuple[float, ...] = tuple(direction("axis", axis).tolist())

    @property
    def volume(self) -> float:
        """Volume in mm3, the parts that others hide included."""
        return math.pi * self.radius**2 * self.height

    def _shape(self) -> tuple[str, list[float]]:
        return "cylinder", [*self.centre, *self.axis, self.radius, self.height / 2]


class Sphere(Solid):
    """A ball.

    Parameters
    ----------
    material : Material or str
        What it is made of; "vacuum" for a hole.
    radius : float
        In mm.
    centre : (float, float, float)
        In mm.
    density, priority, name
        As for `Box`.

    Raises
    ------
    InputError
        If the radius is not positive, a number not finite, or the material unknown.

    Examples
    --------
    >>> round(Sphere("water", 10.0).volume, 1)
    4188.8
    """

    def __init__(
        self,
        material: str | Material | None,
        radius: float,
        centre: Sequence[float] = (0.0, 0.0, 0.0),
        *,
        density: float | None = None,
        priority: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(material, density, priority, name)
        self.radius = _checks.positive("radius", radius)
        self.centre: tuple[float, ...] = tuple(_vector("centre", centre).tolist())

    @property
    def volume(self) -> float:
        """Volume in mm3, the parts that others hide included."""
        return 4 / 3 * math.pi * self.radius**3

    def _shape(self) -> tuple[str, list[float]]:
        return "sphere", [*self.centre, self.radius]


class SlabStack:
    """Slabs one behind the other, such as the layers of a detector: boxes that share faces to the bit.

    Parameters
    ----------
    materials : sequence of (str or Material)
        Of each slab.
    thicknesses : sequence of float
        In mm.
    size : float or (float, float)
        Lengths across the stack in mm, along the first and the second of the other two axes.
    start : float
        Where the first slab begins along `axis`, in mm.
    centre : (float, float)
        Middle of the stack across it, in mm.
    axis : {"x", "y", "z"}
        Along which the slabs follow each other.
    priority : int
        As for `Box`, of all slabs.
    names : sequence of str, optional
        What the results of each are called.

    Attributes
    ----------
    slabs : tuple of Box

    Raises
    ------
    InputError
        If a thickness or length is not positive, or their numbers differ.

    Examples
    --------
    >>> stack = SlabStack(["Al", "CsI"], [1.0, 0.6], size=100.0)
    >>> [slab.high[2] for slab in stack.slabs]
    [1.0, 1.6]
    """

    def __init__(
        self,
        materials: Sequence[str | Material | None],
        thicknesses: Sequence[float],
        size: Any,
        start: float = 0.0,
        centre: Any = (0.0, 0.0),
        axis: str = "z",
        *,
        priority: int = 0,
        names: Sequence[str] | None = None,
    ) -> None:
        for name, given in (("materials", materials), ("thicknesses", thicknesses)):
            if isinstance(given, str) or not isinstance(given, (Sequence, np.ndarray)):
                raise DtypeError(f"{name}: expected a list, one entry for each slab, got {given!r}")
        steps = [_checks.positive(f"thicknesses[{i}]", step) for i, step in enumerate(thicknesses)]
        labels = [None] * len(steps) if names is None else list(names)
        if not steps or len({len(materials), len(steps), len(labels)}) > 1:
            counts = f"{len(steps)} thicknesses, {len(materials)} materials, {len(labels)} names"
            raise InputError(f"thicknesses: expected one for each material and name, got {counts}")
        width = np.array(_checks.per_axis("size", size, 2, above_zero=True))
        middle = np.array(_checks.per_axis("centre", centre, 2))
        along = _AXES.index(_checks.choice("axis", axis, _AXES))
        faces = _checks.number("start", start) + np.concatenate([[0.0], np.cumsum(steps)])
        low, high = np.insert(middle - width / 2, along, 0.0), np.insert(middle + width / 2, along, 0.0)

        def slab(i: int) -> Box:
            low[along], high[along] = faces[i], faces[i + 1]
            return Box.between(low.tolist(), high.tolist(), materials[i], priority=priority, name=labels[i])

        self.slabs: tuple[Box, ...] = tuple(slab(i) for i in range(len(steps)))

    def _parts(self) -> tuple[Solid, ...]:
        return self.slabs

    def __repr__(self) -> str:
        return f"SlabStack({len(self.slabs)} slabs)"


class SolidPhantom:
    """Solids in a world of one material; where they overlap, the highest priority decides.

    Immutable and picklable. Every solid is a scoring region, and so is the world between them.

    Parameters
    ----------
    solids : sequence of Box, Cylinder, Sphere or SlabStack
        Among equal priorities the later one decides.
    world : str or Material
        What lies between them: "vacuum", "air", ...
    bounds : ((float, float, float), (float, float, float)), optional
        Lower and upper corner (x, y, z) in mm of the world; the box around all solids unless given. Beyond it there is
        nothing.
    mesh : Grid, optional
        3-D grid of boxes that score instead of the solids they lie in, such as a report's volumes of interest.

    Attributes
    ----------
    solids : tuple of Box, Cylinder and Sphere
        The slabs of stacks one by one.
    names : tuple of str
        Of the solids, then "world".
    world : Material or None
        None for vacuum.
    bounds : tuple
        Lower and upper corner in mm.
    mesh : Grid or None

    Raises
    ------
    InputError
        If there is neither a solid nor bounds, two names agree, a material is unknown, or the mesh is not 3-D.
    DtypeError
        If an entry is no solid.

    Notes
    -----
    Volumes and masses are closed forms where solids are nested or apart, else integrals over 1024 x 1024 lines along z
    (some 1e-4 of the volume); with a mesh, 16 x 16 lines in each of its boxes. Some dozens of solids are quick.

    Examples
    --------
    >>> phantom = SolidPhantom([Box("PMMA", 100, name="block"), Sphere("Al", 10, priority=1, name="ball")])
    >>> phantom.names
    ('block', 'ball', 'world')
    >>> phantom.masses.round(1)  # g
    array([1185. ,   11.3,    0. ])
    """

    def __init__(
        self,
        solids: Sequence[Solid | SlabStack],
        world: str | Material | None = "vacuum",
        bounds: Any = None,
        mesh: Grid | None = None,
    ) -> None:
        if not isinstance(solids, Sequence):
            raise DtypeError(f"solids: expected a list such as [transport.Box(...)], got {type(solids).__name__}")
        for i, solid in enumerate(solids):
            if not isinstance(solid, (Solid, SlabStack)):
                wanted = "a Box, Cylinder, Sphere or SlabStack"
                raise DtypeError(f"solids[{i}]: expected {wanted}, got {type(solid).__name__}")
        self.solids: tuple[Solid, ...] = tuple(part for solid in solids for part in solid._parts())
        self.names: tuple[str, ...] = (*_names(self.solids), "world")
        self.world = as_material("world", world)
        if not self.solids and bounds is None:
            raise InputError("solids: expected at least one, or bounds, got neither")
        self._given_bounds = None if bounds is None else _corners(bounds)
        if mesh is not None and (not isinstance(mesh, Grid) or mesh.ndim != 3):
            raise InputError(f"mesh: expected a 3-D spinray.Grid, got {mesh!r}")
        self.mesh = None if mesh is None else require_axis_aligned(mesh, "mesh")
        _ = self._native

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Lower and upper corner (x, y, z) of the world in mm."""
        low, high = self._native.bounds
        return tuple(low), tuple(high)

    @functools.cached_property
    def _contents(self) -> tuple[np.ndarray, np.ndarray]:
        """Volumes and masses of all cells."""
        return self._native.volumes(), self._native.masses()

    @property
    def volumes(self) -> np.ndarray:
        """Volume in mm3 of what can be seen of each of `names`, float64; without what the mesh covers."""
        return self._contents[0][: len(self.names)].copy()

    @property
    def masses(self) -> np.ndarray:
        """Mass in g of what can be seen of each of `names`, float64; without what the mesh covers."""
        return self._contents[1][: len(self.names)].copy()

    @property
    def mesh_masses(self) -> np.ndarray | None:
        """Mass in g of each box of the mesh, float64 of shape (z, y, x); None without one."""
        return None if self.mesh is None else self._contents[1][len(self.names) :].reshape(self.mesh.shape)

    @functools.cached_property
    def _native(self) -> _core.Geometry:
        # The kernels know no vacuum: it is any material without density.
        matter = [solid.material for solid in self.solids] + [self.world]
        table = list(dict.fromkeys(m for m in matter if m is not None)) or [Material("air")]
        index = [0 if m is None else table.index(m) for m in matter]
        rows = [
            (*solid._shape(), i, solid.density, solid.priority)
            for solid, i in zip(self.solids, index[:-1], strict=True)
        ]
        mesh = None
        if self.mesh is not None:
            spacing, origin = np.array(self.mesh.spacing[::-1]), np.array(self.mesh.origin[::-1])
            mesh = (self.mesh.shape[::-1], (origin - spacing / 2).tolist(), spacing.tolist())
        world = (index[-1], 0.0 if self.world is None else self.world.density)
        return _core.solid_geometry(rows, [m._kernel() for m in table], world, self._given_bounds, mesh)

    def _kernel(self) -> _core.Geometry:
        """Give the kernels' geometry: cells are the solids, the world, and the boxes of the mesh in (z, y, x) order."""
        return self._native

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_native", "_contents")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self):
            raise AttributeError(f"SolidPhantom is immutable: make another one instead of setting {name}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        world = "vacuum" if self.world is None else self.world.name
        return f"SolidPhantom({', '.join(self.names[:-1])}; in {world})"


def direction(name: str, value: Any) -> np.ndarray:
    """Return a direction from "x", "y", "z" or a vector."""
    if isinstance(value, str):
        return np.eye(3)[_AXES.index(_checks.choice(name, value, _AXES))]
    vector = _vector(name, value)
    if not np.linalg.norm(vector) > 0:
        raise InputError(f"{name}: expected a vector that is not zero, got {value!r}")
    return vector


def _vector(name: str, value: Any) -> np.ndarray:
    return _checks.doubles(name, value, shape=(3,), hint="(x, y, z) in mm").copy()


def _corners(bounds: Any) -> tuple[list[float], list[float]]:
    given = _checks.doubles("bounds", bounds, shape=(2, 3), hint="Lower and upper corner (x, y, z) in mm")
    if not (given[0] < given[1]).all():
        raise InputError(f"bounds: expected low < high along x, y and z, got {given.tolist()}")
    return given[0].tolist(), given[1].tolist()


def _names(solids: Sequence[Solid]) -> list[str]:
    """Return given names, or kind and number."""
    names: list[str] = []
    for i, solid in enumerate(solids):
        name = solid.name or f"{type(solid).__name__.lower()} {i}"
        if name in names or name == "world":
            raise InputError(f"name: expected another for each solid (and not 'world'), got {name!r} for solid {i}")
        names.append(name)
    return names
