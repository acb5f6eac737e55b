"""Augmentation: samples moved, bent, brightened and made noisy at random, images and labels alike.

`Augment` composes transformations; `Augmented` is a Dataset of augmented samples. What happens to a sample is a
function of (seed, epoch, index) alone: not of the order in which samples are asked for, nor of workers or threads.

Everything is computed by torch, on tensors of the CPU. MONAI's dictionary transforms do many more things, and can be
used inside a Dataset instead; their random state is their own.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .. import _checks
from ..errors import DtypeError, InputError
from ._random import derived

__all__ = [
    "Augment",
    "Augmented",
    "Elastic",
    "Flip",
    "GaussianNoise",
    "Intensity",
    "Part",
    "RightAngles",
    "Rotate",
    "SaltAndPepper",
]


class Part(NamedTuple):
    """One tensor of a sample, as transformations see it.

    Integers and booleans are labels: they are moved without interpolation, and their values stay.
    """

    #: Shape (channels, y, x) or (channels, z, y, x).
    values: Tensor
    is_target: bool


Transform = Callable[[list[Part], torch.Generator], list[Part]]


class Augment:
    """Transformations applied one after another, the same to all images of a sample.

    Parameters
    ----------
    *transforms
        `Flip`, `RightAngles`, `Rotate`, `Elastic`, `Intensity`, `SaltAndPepper`, `GaussianNoise`, or functions of a
        list of `Part` and a ``torch.Generator`` that return such a list.
    seed : int
        What happens to a sample depends on it, the epoch and the index of the sample only.

    Notes
    -----
    ``augment(sample, index=i, epoch=e)`` takes a tensor or a pair (inputs, targets), each a tensor or a tuple of
    them, and returns the same. Images have the shape (channels, y, x) or (channels, z, y, x), without a batch axis; the
    first input says which, and all have its size. Maps without a channel axis (labels) are moved with them; numbers and
    vectors (a class, two relaxation times) are left alone.

    Each transformation that interpolates blurs a little; outside of the image is zero, as everywhere here.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import Augment, Flip, GaussianNoise, Rotate
    >>> augment = Augment(Flip(), Rotate(0.3), GaussianNoise(0.1), seed=1)
    >>> image, labels = torch.rand(1, 16, 16), torch.arange(256).reshape(16, 16)
    >>> moved, moved_labels = augment((image, labels), index=7)
    >>> torch.equal(augment((image, labels), index=7)[0], moved)
    True
    """

    def __init__(self, *transforms: Transform, seed: int = 0) -> None:
        for number, transform in enumerate(transforms):
            if not callable(transform):
                raise DtypeError(f"transforms[{number}]: expected a transformation, got {type(transform).__name__}")
        self.transforms, self.seed = transforms, _checks.integer("seed", seed, minimum=0)

    def __repr__(self) -> str:
        return f"Augment({', '.join(map(repr, self.transforms))}, seed={self.seed})"

    def __call__(self, sample: Any, *, index: int, epoch: int = 0) -> Any:
        """Return the sample augmented.

        Parameters
        ----------
        sample : torch.Tensor or (inputs, targets)
            One sample, see above; left as it is.
        index : int
            Its number in the data.
        epoch : int
            Number of the pass through the data: another one augments otherwise.

        Raises
        ------
        InputError
            If the first input is no image, or another tensor has another size.
        DtypeError
            If there is anything else than tensors, or a complex image.
        """
        index, epoch = _checks.integer("index", index, minimum=0), _checks.integer("epoch", epoch, minimum=0)
        chance = torch.Generator().manual_seed(derived(self.seed, epoch, index))
        is_pair = isinstance(sample, (tuple, list)) and len(sample) == 2
        inputs, targets = sample if is_pair else (sample, ())
        tensors = [
            (tensor, is_target) for is_target in (False, True) for tensor in _leaves((inputs, targets)[is_target])
        ]
        size = _size(tensors[0][0] if tensors else sample)
        places = [place for place, (tensor, _) in enumerate(tensors) if _is_image(place, tensor, size)]
        parts = [Part(tensors[place][0].reshape(-1, *size), tensors[place][1]) for place in places]
        for transform in self.transforms:
            parts = transform(parts, chance)
        results = [tensor for tensor, _ in tensors]
        for place, part in zip(places, parts, strict=True):
            results[place] = part.values.reshape(results[place].shape)
        left = iter(results)
        return (_nested_like(inputs, left), _nested_like(targets, left)) if is_pair else _nested_like(sample, left)


class Augmented(Dataset[Any]):
    """A Dataset whose samples are augmented, otherwise in every epoch.

    Parameters
    ----------
    data : torch.utils.data.Dataset
        Gives tensors or pairs (inputs, targets) by index.
    augment : Augment
        What to do with them.

    Notes
    -----
    ``set_epoch(e)`` says which epoch it is, 0 until then; `spinray.training.fit` says it by itself. Workers of a
    DataLoader hear of it, persistent ones too.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import Augment, Augmented, Flip
    >>> images = torch.utils.data.TensorDataset(torch.rand(4, 1, 8, 8), torch.rand(4, 1, 8, 8))
    >>> data = Augmented(images, Augment(Flip()))
    >>> len(data), data[3][0].shape
    (4, torch.Size([1, 8, 8]))
    """

    def __init__(self, data: Dataset[Any], augment: Augment) -> None:
        if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
            raise DtypeError(f"data: expected a Dataset with a length, got {type(data).__name__}")
        if not isinstance(augment, Augment):
            raise DtypeError(f"augment: expected an Augment, got {type(augment).__name__}. Use Augment(transform)")
        self.data, self.augment = data, augment
        # In shared memory, where workers that live on see it change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Augment as in that epoch, from now on."""
        self._epoch.fill_(_checks.integer("epoch", epoch, minimum=0))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: expected -{len(self)} to {len(self) - 1}, got {index}")
        index = int(index) % len(self)
        return self.augment(self.data[index], index=index, epoch=int(self._epoch))


# Transformations of places.


@dataclasses.dataclass(frozen=True)
class Flip:
    """Turn over along each of some axes, or not, with even chances.

    Parameters
    ----------
    axes : tuple of int
        Axes counted from the end: -1 is x, -2 is y, -3 is z.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import Augment, Flip
    >>> row = torch.tensor([[[1.0, 2.0]]])
    >>> [Augment(Flip())(row, index=index).tolist() for index in (1, 2)]
    [[[[2.0, 1.0]]], [[[1.0, 2.0]]]]
    """

    axes: tuple[int, ...] = (-1,)

    def __post_init__(self) -> None:
        for number, axis in enumerate(self.axes):
            _checks.choice(f"axes[{number}]", axis, (-1, -2, -3))

    def __call__(self, parts: list[Part], chance: torch.Generator) -> list[Part]:
        """Return the parts flipped."""
        _check_axes("axes", self.axes, parts)
        turned = [axis for axis in self.axes if _draw(chance) < 0.5]
        return [part._replace(values=part.values.flip(turned)) for part in parts]


@dataclasses.dataclass(frozen=True)
class RightAngles:
    """Rotate by 0, 90, 180 or 270 degrees, with even chances; exactly.

    Parameters
    ----------
    planes : tuple of (int, int)
        Pairs of axes counted from the end, each rotated in turn: ((-2, -1),), about z, unless given.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import Augment, RightAngles
    >>> labels = torch.tensor([[[1, 2], [3, 4]]])
    >>> Augment(RightAngles())(labels, index=2)
    tensor([[[4, 3],
             [2, 1]]])
    """

    planes: tuple[tuple[int, int], ...] = ((-2, -1),)

    def __post_init__(self) -> None:
        _check_planes(self.planes)

    def __call__(self, parts: list[Part], chance: torch.Generator) -> list[Part]:
        """Return the parts rotated."""
        for plane in self.planes:
            _check_axes("planes", plane, parts)
            shape = parts[0].values.shape
            if shape[plane[0]] != shape[plane[1]]:
                raise InputError(
                    f"planes: expected images as long along both of {plane}, got {tuple(shape[1:])}. Use Flip"
                )
            turns = int(_draw(chance) * 4)
            parts = [part._replace(values=part.values.rot90(turns, plane)) for part in parts]
        return parts


@dataclasses.dataclass(frozen=True)
class Rotate:
    """Rotate about the middle of the image by an angle drawn evenly from -angle to angle.

    Linear interpolation between voxels, which are taken as square; labels from the nearest voxel.

    Parameters
    ----------
    angle : float
        Largest angle in rad, >= 0.
    planes : tuple of (int, int)
        Pairs of axes counted from the end, each rotated in turn by an angle of its own: ((-2, -1),), about z, unless
        given.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import Augment, Rotate
    >>> augment = Augment(Rotate(0.3, planes=((-2, -1), (-3, -1))))
    >>> augment(torch.rand(1, 8, 16, 16), index=0).shape
    torch.Size([1, 8, 16, 16])
    """

    angle: float
    planes: tuple[tuple[int, int], ...] = ((-2, -1),)

    def __post_init__(self) -> None:
        if _checks.positive("angle", self.angle, allow_zero=True) > 2 * math.pi:
            raise InputError(f"angle: expected at most 2 pi rad, got {self.angle}. Degrees? Use math.radians")
        _check_planes(self.planes)

    def __call__(self, parts: list[Part], chance: torch.Generator) -> list[Part]:
        """Return the parts rotated."""
        angles = [self.angle * (2 * _draw(chance) - 1) for _ in self.planes]
        if not any(angles):
            return parts
        size = parts[0].values.shape[1:]
        places = [axis - (len(axis) - 1) / 2 for axis in map(_indices, size)]
        where = list(torch.meshgrid(*places, indexing="ij"))
        for plane, angle in zip(self.planes, angles, strict=True):
            _check_axes("planes", plane, parts)
            a, b = where[plane[0]], where[plane[1]]
            cos, sin = math.cos(angle), math.sin(angle)
            where[plane[0]], where[plane[1]] = cos * a + sin * b, cos * b - sin * a
        return _sampled(parts, [w + (n - 1) / 2 for w, n in zip(where, size, strict=True)])


@dataclasses.dataclass(frozen=True)
class Elastic:
    """Bend by a smooth field of displacements: cubic B-splines [1]_ with random coefficients.

    Parameters
    ----------
    displacement : float
        Largest displacement of a control point along each axis in voxels, >= 0, drawn evenly from minus to plus it. At
        most 0.4 of `spacing`: then nothing folds, in 2-D and 3-D [2]_.
    spacing : float
        Distance between control points in voxels.

    References
    ----------
    .. [1] D. Rueckert et al. (1999), Nonrigid registration using free-form deformations. IEEE Trans. Med. Imaging
       18:712-721.
    .. [2] Y. Choi, S. Lee (2000), Injectivity conditions of 2D and 3D uniform cubic B-spline functions. Graph.
       Models 62:411-427.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import Augment, Elastic
    >>> augment = Augment(Elastic(displacement=3.0, spacing=8.0))
    >>> augment(torch.rand(1, 32, 32), index=0).shape
    torch.Size([1, 32, 32])
    """

    displacement: float
    spacing: float

    def __post_init__(self) -> None:
        spacing = _checks.positive("spacing", self.spacing)
        if _checks.positive("displacement", self.displacement, allow_zero=True) > 0.4 * spacing:
            raise InputError(
                f"displacement: expected at most 0.4 of the spacing, {0.4 * spacing:g}, got {self.displacement}. "
                "Larger ones may fold"
            )

    def __call__(self, parts: list[Part], chance: torch.Generator) -> list[Part]:
        """Return the parts bent."""
        if self.displacement == 0:
            return parts
        size = parts[0].values.shape[1:]
        count = [math.floor((n - 1) / self.spacing) + 4 for n in size]
        draws = torch.rand(len(size), *count, dtype=torch.float64, generator=chance)
        field = self.displacement * (2 * draws - 1)
        for axis in reversed(range(len(size))):  # whole rows are then copied when the field is large
            field = self._refined(field, axis + 1, size[axis])
        places = torch.meshgrid(*map(_indices, size), indexing="ij")
        return _sampled(parts, [place + shift for place, shift in zip(places, field, strict=True)])

    def _refined(self, field: Tensor, axis: int, n: int) -> Tensor:
        """Return the spline along one axis at n voxels; sums in a fixed order, so that bits depend on no thread."""
        position = _indices(n) / self.spacing
        first = position.floor()
        u = position - first
        basis = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
        shape = [-1 if a == axis else 1 for a in range(field.ndim)]
        terms = (
            (weight / 6).reshape(shape) * field.index_select(axis, first.long() + k) for k, weight in enumerate(basis)
        )
        return sum(terms, torch.zeros((), dtype=torch.float64))


# Transformations of values.


@dataclasses.dataclass(frozen=True)
class Intensity:
    """Change contrast and brightness: ``factor low + factor (high - low) ((x - low) / (high - low))^power + added``.

    Parameters
    ----------
    scale : float
        The factor is drawn evenly from 1 - scale to 1 + scale; in [0, 1).
    shift : float
        What is added is drawn evenly from -shift to shift, in the image's unit.
    gamma : float
        The logarithm of the power is drawn evenly from -log(1 + gamma) to log(1 + gamma); >= 0. `low` and `high` are
        the smallest and largest value of all that is changed.
    targets : bool
        Whether targets that are no labels change with the inputs, by the same numbers: for denoising, where they are
        the same quantity.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import Augment, Intensity
    >>> noisy, clean = Augment(Intensity(scale=0.2, targets=True))((torch.ones(1, 2, 2), torch.ones(1, 2, 2)), index=0)
    >>> torch.equal(noisy, clean), 0.8 <= float(clean.mean()) <= 1.2
    (True, True)
    """

    scale: float = 0.0
    shift: float = 0.0
    gamma: float = 0.0
    targets: bool = False

    def __post_init__(self) -> None:
        for name in ("scale", "shift", "gamma"):
            _checks.positive(name, getattr(self, name), allow_zero=True)
        if self.scale >= 1:
            raise InputError(f"scale: expected a number in [0, 1), got {self.scale}")

    def __call__(self, parts: list[Part], chance: torch.Generator) -> list[Part]:
        """Return the parts with other values."""
        factor = 1 + self.scale * (2 * _draw(chance) - 1)
        added = self.shift * (2 * _draw(chance) - 1)
        power = (1 + self.gamma) ** (2 * _draw(chance) - 1)
        changed = [part.values for part in parts if self._changes(part)]
        if not changed:
            return parts
        low = min(float(values.min()) for values in changed)
        span = max(float(values.max()) for values in changed) - low

        def change(values: Tensor) -> Tensor:
            if power != 1 and span > 0:
                share = ((values - low) / span).clamp(0, 1)
                # By NumPy: the last bit of torch's powers depends on how it divides the image among threads.
                values = low + span * torch.from_numpy(np.power(share.numpy(), power))
            return factor * values + added if factor != 1 or added else values

        return [part._replace(values=change(part.values)) if self._changes(part) else part for part in parts]

    def _changes(self, part: Part) -> bool:
        return part.values.is_floating_point() and (self.targets or not part.is_target)


@dataclasses.dataclass(frozen=True)
class SaltAndPepper:
    """Set some voxels of each input to its smallest or its largest value, with even chances.

    Parameters
    ----------
    share : float
        Largest share of voxels, in [0, 1]; the share is drawn evenly from 0 to it.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import Augment, SaltAndPepper
    >>> ramp = torch.arange(100.0).reshape(1, 10, 10)
    >>> changed = Augment(SaltAndPepper(0.5))(ramp, index=0) != ramp
    >>> bool(changed.any()), bool(changed.all())
    (True, False)
    """

    share: float

    def __post_init__(self) -> None:
        if _checks.positive("share", self.share, allow_zero=True) > 1:
            raise InputError(f"share: expected a number in [0, 1], got {self.share}. Per cent? Divide by 100")

    def __call__(self, parts: list[Part], chance: torch.Generator) -> list[Part]:
        """Return the parts with grains."""
        share = self.share * _draw(chance)
        return [self._grained(part, share, chance) if _is_noisy(part) else part for part in parts]

    def _grained(self, part: Part, share: float, chance: torch.Generator) -> Part:
        draws = torch.rand(part.values.shape, dtype=torch.float64, generator=chance)
        pepper = torch.where(draws < share / 2, part.values.min(), part.values)
        return part._replace(values=torch.where(draws >= 1 - share / 2, part.values.max(), pepper))


@dataclasses.dataclass(frozen=True)
class GaussianNoise:
    """Add white noise to each input.

    Parameters
    ----------
    sigma : float
        Largest standard deviation in the image's unit, >= 0; it is drawn evenly from 0 to it.

    Examples
    --------
    >>> import torch
    >>> from spinray.training import Augment, GaussianNoise
    >>> 0 < float(Augment(GaussianNoise(0.1))(torch.zeros(1, 64, 64), index=0).std()) < 0.11
    True
    """

    sigma: float

    def __post_init__(self) -> None:
        _checks.positive("sigma", self.sigma, allow_zero=True)

    def __call__(self, parts: list[Part], chance: torch.Generator) -> list[Part]:
        """Return the parts with noise."""
        sigma = self.sigma * _draw(chance)
        return [self._noisy(part, sigma, chance) if _is_noisy(part) and sigma else part for part in parts]

    def _noisy(self, part: Part, sigma: float, chance: torch.Generator) -> Part:
        noise = torch.randn(part.values.shape, dtype=torch.float64, generator=chance)
        return part._replace(values=part.values + (sigma * noise).to(part.values.dtype))


# Behind them.


def _draw(chance: torch.Generator) -> float:
    """Return a number from [0, 1)."""
    return float(torch.rand((), dtype=torch.float64, generator=chance))


def _is_noisy(part: Part) -> bool:
    return part.values.is_floating_point() and not part.is_target


def _indices(n: int) -> Tensor:
    return torch.arange(n, dtype=torch.float64)


def _sampled(parts: list[Part], where: Sequence[Tensor]) -> list[Part]:
    """Return the parts at places `where`, one array of indices for each axis; zero outside."""
    size = parts[0].values.shape[1:]
    # torch counts from -1 at the first voxel to 1 at the last, x first.
    scaled = [2 * w / max(n - 1, 1) - 1 for w, n in zip(where, size, strict=True)]
    grid = torch.stack(scaled[::-1], dim=-1)[None]
    return [part._replace(values=_interpolated(part.values, grid)) for part in parts]


def _interpolated(values: Tensor, grid: Tensor) -> Tensor:
    is_label = not values.is_floating_point()
    # Labels in double, which holds them exactly.
    given = values.double() if is_label else values
    moved = torch.nn.functional.grid_sample(
        given[None], grid.to(given.dtype), mode="nearest" if is_label else "bilinear", align_corners=True
    )
    return moved[0].to(values.dtype)


def _leaves(nested: Any) -> list[Any]:
    if isinstance(nested, (tuple, list)):
        return list(itertools.chain.from_iterable(map(_leaves, nested)))
    return [nested]


def _nested_like(nested: Any, leaves: Any) -> Any:
    """Return tuples nested like `nested`, of the next leaves."""
    if isinstance(nested, (tuple, list)):
        return tuple(_nested_like(part, leaves) for part in nested)
    return next(leaves)


def _size(first: Any) -> tuple[int, ...]:
    """Return the size of the image that comes first."""
    if not isinstance(first, Tensor):
        raise DtypeError(f"sample: expected tensors, got {type(first).__name__}. Try torch.as_tensor")
    if first.ndim not in (3, 4) or 0 in first.shape:
        raise InputError(
            f"sample: expected a first image of shape (channels, y, x) or (channels, z, y, x), got {tuple(first.shape)}"
        )
    return tuple(first.shape[1:])


def _is_image(place: int, tensor: Any, size: tuple[int, ...]) -> bool:
    """Tell whether tensor number `place` of a sample is an image or map, rather than numbers."""
    if not isinstance(tensor, Tensor):
        raise DtypeError(f"sample: expected tensors, got {type(tensor).__name__} as number {place}")
    if tensor.ndim < 2:
        return False
    if tensor.ndim not in (len(size), len(size) + 1) or tensor.shape[-len(size) :] != size:
        raise InputError(
            f"sample: expected images as large as the first, {size}, got shape {tuple(tensor.shape)} as number {place}"
        )
    if tensor.is_complex():
        raise DtypeError(
            f"sample: expected real numbers, got {tensor.dtype} as number {place}. Real and imaginary part are channels"
        )
    return True


def _check_planes(planes: Any) -> None:
    for number, plane in enumerate(planes):
        if not isinstance(plane, tuple) or len(plane) != 2 or plane[0] == plane[1]:
            raise InputError(f"planes[{number}]: expected two axes, as (-2, -1), got {plane!r}")
        for axis in plane:
            _checks.choice(f"planes[{number}]", axis, (-1, -2, -3))


def _check_axes(name: str, axes: Sequence[int], parts: list[Part]) -> None:
    ndim = parts[0].values.ndim - 1
    if any(axis < -ndim for axis in axes):
        raise InputError(f"{name}: expected axes of an image with {ndim}, got {tuple(axes)}")
