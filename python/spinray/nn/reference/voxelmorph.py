"""VoxelMorph: registration of two images, with the spatial transformer it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ... import _checks
from ...errors import DtypeError, InputError
from ._architecture import Architecture, check_tensor, convolution, crop, pad_to_multiple
from ._layers import leaky_relu

__all__ = ["VoxelMorph", "exponential", "warp"]

_SLOPE = 0.2


class VoxelMorph(Architecture):
    """Unsupervised registration: a U-Net finds the velocity field that moves one image onto the other.

    ``network(moving, fixed)`` takes two images of shape (batch, 1, *shape) and returns

    - the moving image, warped onto the fixed one (see `warp`),
    - the displacement in pixels, shape (batch, dim, *shape), components in the order of the axes,
    - the velocity, of the same shape: the displacement is its `exponential` [2]_, or itself with ``steps=0`` [1]_.

    Sizes that are no multiple of ``2**len(encoder)`` are padded by their last row and column within the U-Net.
    At the start the velocity is near zero and the moving image comes back as it is. 301,411 parameters in 3-D.

    Parameters
    ----------
    shape
        Size of the images, (y, x) or (z, y, x).
    encoder
        Channels after each convolution of stride 2 on the way down.
    decoder
        Channels after the convolutions on the way up, as many as in `encoder`, then of those at full size.
    steps
        Squarings in the integration of the velocity; 0 takes the velocity for the displacement.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    .. [1] G. Balakrishnan, A. Zhao, M. R. Sabuncu, J. Guttag, A. V. Dalca, "VoxelMorph: a learning framework for
       deformable medical image registration", IEEE Trans. Med. Imaging 38 (2019) 1788.
    .. [2] A. V. Dalca, G. Balakrishnan, J. Guttag, M. R. Sabuncu, "Unsupervised learning for fast probabilistic
       diffeomorphic registration", MICCAI 2018; here integrated at full size.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import VoxelMorph
    >>> network = VoxelMorph((64, 60))
    >>> moved, displacement, velocity = network(torch.zeros(1, 1, 64, 60), torch.zeros(1, 1, 64, 60))
    >>> moved.shape, displacement.shape
    (torch.Size([1, 1, 64, 60]), torch.Size([1, 2, 64, 60]))
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        encoder: Sequence[int] = (16, 32, 32, 32),
        decoder: Sequence[int] = (32, 32, 32, 32, 32, 16, 16),
        steps: int = 7,
    ) -> None:
        super().__init__(
            shape=_checks.shape("shape", shape, ndim=(2, 3)),
            encoder=_checks.shape("encoder", encoder),
            decoder=_checks.shape("decoder", decoder),
            steps=_checks.integer("steps", steps, minimum=0),
        )
        shape, encoder, decoder, _ = self.spec.values()
        levels = len(encoder)
        if not 1 <= levels <= len(decoder):
            raise InputError(f"decoder: expected at least {max(levels, 1)} entries, one for each of encoder")
        dim = len(shape)
        self._input = (1, dim)
        conv = convolution(dim)
        skips = [2, *encoder]
        self.encoder = nn.ModuleList(
            conv(before, width, 3, 2, 1) for before, width in zip(skips, encoder, strict=False)
        )
        self.decoder = nn.ModuleList()
        before = skips.pop()
        for i, width in enumerate(decoder):
            self.decoder.append(conv(before, width, 3, padding=1))
            before = width + (skips.pop() if i < levels else 0)
        self.flow = conv(before, dim, 3, padding=1)
        nn.init.normal_(self.flow.weight, std=1e-5)
        nn.init.zeros_(self.flow.bias)

    def forward(  # type: ignore[override]  # two images instead of one
        self, moving: torch.Tensor, fixed: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the moving image warped onto the fixed one, the displacement and the velocity."""
        self.check(moving, fixed)
        return self.compute(moving, fixed)

    def check(self, *inputs: torch.Tensor) -> None:
        """Raise unless the inputs are two tensors of shape (batch, 1, *shape) in the precision of the weights.

        Raises
        ------
        InputError
            If the number of inputs or a shape is another one.
        DtypeError
            If a tensor's dtype or device is not that of the weights.
        """
        self._check_tensors(inputs, "moving", "fixed")
        batch = len(inputs[0]) if inputs[0].ndim else 0
        for name, x in zip(("moving", "fixed"), inputs, strict=True):
            wanted = (batch, 1, *self.spec["shape"])
            if tuple(x.shape) != wanted:
                raise InputError(f"{name}: expected shape {wanted} for {self._name}, got {tuple(x.shape)}")
            self._check_kind(name, x)

    def compute(self, moving: torch.Tensor, fixed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Do `forward` for input that has been checked."""
        pair = torch.cat([moving, fixed], 1)
        velocity = self._velocity(pad_to_multiple(pair, 1 << len(self.encoder)))
        # Half precision is not enough for places in an image.
        velocity = crop(velocity, moving.shape[2:]).to(moving.dtype)
        displacement = _exponential(velocity, self.spec["steps"])
        return _sample(moving, displacement, "zeros"), displacement, velocity

    def _velocity(self, pair: torch.Tensor) -> torch.Tensor:
        skips = [pair]
        for layer in self.encoder:
            skips.append(leaky_relu(layer(skips[-1]), _SLOPE))
        h = skips.pop()
        for layer in self.decoder:
            h = leaky_relu(layer(h), _SLOPE)
            if skips:
                skip = skips.pop()
                h = torch.cat([nn.functional.interpolate(h, skip.shape[2:]), skip], 1)
        return self.flow(h)


def warp(image: torch.Tensor, displacement: torch.Tensor) -> torch.Tensor:
    """Return the image whose value at index i is that of `image` at i + displacement: linear between pixels, 0 outside.

    Parameters
    ----------
    image
        Shape (batch, channels, y, x) or (batch, channels, z, y, x).
    displacement
        In pixels, shape (batch, dim, ...) of the image's size, components in the order of the axes.

    Raises
    ------
    InputError
        If the shapes do not fit.
    DtypeError
        If one is no tensor, or they differ in dtype or device.

    References
    ----------
    .. [1] M. Jaderberg, K. Simonyan, A. Zisserman, K. Kavukcuoglu, "Spatial transformer networks", NeurIPS 2015.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import warp
    >>> ramp = torch.arange(4.0).expand(1, 1, 3, 4)
    >>> right = torch.zeros(1, 2, 3, 4)
    >>> right[:, 1] = 0.5
    >>> warp(ramp, right)[0, 0, 0]
    tensor([0.5000, 1.5000, 2.5000, 1.5000])
    """
    check_tensor("image", image)
    _check_field("displacement", displacement)
    if image.ndim != displacement.ndim or image.shape[2:] != displacement.shape[2:] or len(image) != len(displacement):
        wanted = (len(displacement), "channels", *displacement.shape[2:])
        raise InputError(f"image: expected shape ({', '.join(map(str, wanted))}), got {tuple(image.shape)}")
    if image.dtype != displacement.dtype and not torch.is_autocast_enabled(image.device.type):
        raise DtypeError(f"displacement: is {displacement.dtype}, the image {image.dtype}. Use displacement.to(image)")
    if image.device != displacement.device:
        raise DtypeError(f"displacement: is on {displacement.device}, the image on {image.device}. Use .to(...) of one")
    return _sample(image, displacement, "zeros")


def exponential(velocity: torch.Tensor, steps: int = 7) -> torch.Tensor:
    """Return the displacement after unit time along a stationary velocity field, by scaling and squaring.

    The displacement after time ``2**-steps`` is taken to be that fraction of the velocity, then composed with itself
    `steps` times. Beyond the border the field continues as it is there. ``exponential(-v)`` undoes ``exponential(v)``.

    Parameters
    ----------
    velocity
        In pixels, shape (batch, dim, ...), components in the order of the axes.
    steps
        Number of squarings.

    Raises
    ------
    InputError
        If the shape is another one, or `steps` negative.
    DtypeError
        If it is no tensor, or `steps` no integer.

    References
    ----------
    .. [1] V. Arsigny, O. Commowick, X. Pennec, N. Ayache, "A log-Euclidean framework for statistics on
       diffeomorphisms", MICCAI 2006.

    Examples
    --------
    >>> import torch
    >>> from spinray.nn import exponential
    >>> exponential(torch.full((1, 2, 8, 8), 1.5)).unique()
    tensor([1.5000])
    """
    _check_field("velocity", velocity)
    return _exponential(velocity, _checks.integer("steps", steps, minimum=0))


def _check_field(name: str, field: torch.Tensor) -> None:
    check_tensor(name, field)
    if field.ndim not in (4, 5) or field.shape[1] != field.ndim - 2:
        raise InputError(f"{name}: expected shape (batch, 2, y, x) or (batch, 3, z, y, x), got {tuple(field.shape)}")


def _exponential(velocity: torch.Tensor, steps: int) -> torch.Tensor:
    displacement = velocity * 0.5**steps
    for _ in range(steps):
        displacement = displacement + _sample(displacement, displacement, "border")
    return displacement


def _sample(image: torch.Tensor, displacement: torch.Tensor, outside: str) -> torch.Tensor:
    """Return `image` at the displaced places; `outside` is zero, or the nearest value on the border."""
    points = []
    for axis, n in enumerate(image.shape[2:]):
        places = torch.arange(n, dtype=displacement.dtype, device=displacement.device)
        places = places.reshape([-1 if i == axis else 1 for i in range(image.ndim - 2)])
        # From -1 at the first centre to 1 at the last.
        points.append((places + displacement[:, axis]) * (2 / max(n - 1, 1)) - 1)
    # torch wants x first.
    return nn.functional.grid_sample(image, torch.stack(points[::-1], -1), padding_mode=outside, align_corners=True)
