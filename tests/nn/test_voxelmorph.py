"""VoxelMorph, and the spatial transformer it is made of."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from spinray import nn
from spinray.errors import DtypeError, InputError


def smooth_field(shape, size, seed=0):
    """A velocity of that size in pixels that changes over some pixels, and is zero on the border."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((len(shape), *shape))
    field = ndimage.gaussian_filter(noise, (0, *(6 for _ in shape)), mode="constant")
    for axis, n in enumerate(shape):
        ramp = np.clip(np.minimum(np.arange(n), n - 1 - np.arange(n)) / 8, 0, 1)
        field *= (ramp**2 * (3 - 2 * ramp)).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return torch.from_numpy(size * field / np.abs(field).max())[None]


def composed(first, second):
    """Displacement of going along `first`, then along `second`."""
    shape = first.shape[2:]
    start = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"))
    places = start + first[0].numpy()
    moved = [ndimage.map_coordinates(component.numpy(), places, order=1, mode="nearest") for component in second[0]]
    return first + torch.from_numpy(np.stack(moved))[None]


@pytest.mark.parametrize("shape", [(9, 14), (6, 7, 5)])
def test_no_displacement_is_the_identity(shape):
    image = torch.randn(2, 3, *shape).double()
    assert torch.allclose(nn.warp(image, torch.zeros(2, len(shape), *shape).double()), image, atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("by", [2, -1])
def test_a_constant_displacement_is_a_translation(axis, by):
    shape = (6, 7, 5)
    image = torch.randn(1, 2, *shape).double()
    field = torch.zeros(1, 3, *shape).double()
    field[:, axis] = by
    wanted = image.roll(-by, axis + 2)
    outside = [slice(None)] * 5
    outside[axis + 2] = slice(-by, None) if by > 0 else slice(0, -by)
    wanted[tuple(outside)] = 0
    assert torch.allclose(nn.warp(image, field), wanted, atol=1e-12)


def test_between_pixels_the_image_is_linear_and_falls_to_zero_outside():
    shape = (9, 8)
    torch.manual_seed(0)
    image, field = torch.randn(1, 1, *shape).double(), 2 * torch.randn(1, 2, *shape).double()
    places = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")) + field[0].numpy()
    wanted = ndimage.map_coordinates(np.pad(image[0, 0].numpy(), 1), places + 1, order=1, mode="constant")
    assert np.allclose(nn.warp(image, field)[0, 0].numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("shape", [(9, 14), (6, 7, 5)])
def test_the_flow_of_a_constant_velocity_is_that_velocity(shape):
    velocity = torch.full((1, len(shape), *shape), 0.7).double()
    assert torch.allclose(nn.exponential(velocity), velocity, rtol=1e-12)
    assert torch.equal(nn.exponential(velocity, steps=0), velocity)


def test_the_flow_of_a_linear_velocity_is_exponential():
    """dx/dt = a (x - c): x(1) - c = exp(a) (x(0) - c)."""
    n, a = 65, -0.4
    distance = (torch.arange(n) - (n - 1) / 2).double()
    velocity = torch.stack(torch.meshgrid(a * distance, a * distance, indexing="ij"))[None]
    wanted = (math.exp(a) - 1) / a * velocity
    # Euler's first step errs by a**2 / 2 * 2**-steps of the distance.
    for steps in (7, 10):
        error = float((nn.exponential(velocity, steps) - wanted).abs().max())
        assert error <= 1.05 * a**2 / 2 * math.exp(a) * 32 * 2.0**-steps
    assert error < 1e-2


@pytest.mark.parametrize("shape", [(40, 44), (24, 26, 22)])
def test_the_opposite_velocity_undoes_the_flow(shape):
    velocity = smooth_field(shape, 1.5)
    there, back = nn.exponential(velocity), nn.exponential(-velocity)
    # What linear interpolation leaves; taking the velocity for the displacement leaves more.
    assert float(composed(there, back).abs().max()) <= 0.05
    assert float(composed(velocity, -velocity).abs().max()) >= 0.3


def test_a_flow_folds_nowhere_where_the_displacement_does():
    velocity = smooth_field((40, 44), 12.0)

    def least_jacobian(displacement):
        (ydy, ydx), (xdy, xdx) = (np.gradient(component.numpy()) for component in displacement[0])
        return float(((1 + ydy) * (1 + xdx) - ydx * xdy).min())

    assert least_jacobian(velocity) < -0.3
    assert least_jacobian(nn.exponential(velocity)) > 0


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("shape", [(18, 21), (9, 8, 12)])
def test_a_network_without_flow_returns_the_moving_image(shape, backend):
    network = nn.VoxelMorph(shape, encoder=(4, 4), decoder=(4, 4, 4), backend=backend)
    torch.nn.init.zeros_(network.flow.weight)
    moving, fixed = torch.randn(2, 2, 1, *shape)
    moved, displacement, velocity = network(moving, fixed)
    assert torch.allclose(moved, moving, atol=1e-5)
    assert not displacement.any()
    assert displacement.shape == velocity.shape == (2, len(shape), *shape)


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_a_network_with_constant_flow_translates(backend):
    network = nn.VoxelMorph((16, 20), encoder=(4, 4), decoder=(4, 4, 4), backend=backend)
    torch.nn.init.zeros_(network.flow.weight)
    with torch.no_grad():
        network.flow.bias.copy_(torch.tensor([0.0, 3.0]))
    moving, fixed = torch.randn(2, 1, 1, 16, 20)
    moved, displacement, _ = network(moving, fixed)
    assert torch.allclose(moved[..., :17], moving[..., 3:], atol=1e-4)
    assert torch.allclose(displacement[:, 1], torch.tensor(3.0))


def test_the_displacement_is_the_exponential_of_the_velocity_and_moves_the_image():
    torch.manual_seed(0)
    network = nn.VoxelMorph((16, 20), encoder=(4, 4), decoder=(4, 4, 4)).double()
    torch.nn.init.normal_(network.flow.weight, std=1.0)
    moving, fixed = torch.randn(2, 1, 1, 16, 20).double()
    moved, displacement, velocity = network(moving, fixed)
    assert float(velocity.detach().abs().max()) > 0.5
    assert torch.allclose(displacement, nn.exponential(velocity), atol=1e-12)
    assert torch.allclose(moved, nn.warp(moving, displacement), atol=1e-12)


def test_at_the_start_the_moving_image_comes_back_nearly_as_it_is():
    torch.manual_seed(0)
    moving, fixed = torch.rand(2, 1, 1, 16, 20)
    moved, displacement, _ = nn.VoxelMorph((16, 20))(moving, fixed)
    assert 0 < float(displacement.detach().abs().max()) < 1e-3
    assert torch.allclose(moved, moving, atol=1e-2)


def test_a_network_learns_to_move_a_blob():
    torch.manual_seed(0)
    axes = torch.arange(16.0)

    def blob(y, x):
        return torch.exp(-((axes[:, None] - y) ** 2 + (axes - x) ** 2) / 12)[None, None]

    moving, fixed = blob(7, 6), blob(8, 8.5)
    network = nn.VoxelMorph((16, 16), encoder=(8, 8), decoder=(8, 8, 8), steps=4)
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    errors = []
    for _ in range(60):
        error = (network(moving, fixed)[0] - fixed).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.05 * errors[0]


def test_bad_input_is_named():
    network = nn.VoxelMorph((16, 20), encoder=(4,), decoder=(4,))
    x = torch.zeros(1, 1, 16, 20)
    with pytest.raises(
        InputError, match=r"fixed: expected shape \(1, 1, 16, 20\) for VoxelMorph, got \(1, 1, 16, 16\)"
    ):
        network(x, x[..., :16])
    with pytest.raises(DtypeError, match=r"fixed: is torch\.float64"):
        network(x, x.double())
    with pytest.raises(InputError, match="decoder: expected at least 2 entries"):
        nn.VoxelMorph((16, 20), encoder=(4, 4), decoder=(4,))
    with pytest.raises(InputError, match="displacement: expected shape"):
        nn.warp(x, torch.zeros(1, 3, 16, 20))
    with pytest.raises(InputError, match=r"image: expected shape \(1, channels, 16, 16\)"):
        nn.warp(x, torch.zeros(1, 2, 16, 16))
    with pytest.raises(DtypeError, match="image: expected a torch tensor, got ndarray"):
        nn.warp(x.numpy(), torch.zeros(1, 2, 16, 20))
    with pytest.raises(DtypeError, match="displacement: expected a torch tensor, got list"):
        nn.warp(x, [0.0])
    with pytest.raises(DtypeError, match=r"displacement: is torch\.float64, the image torch\.float32"):
        nn.warp(x, torch.zeros(1, 2, 16, 20, dtype=torch.float64))
    with pytest.raises(DtypeError, match="velocity: expected a torch tensor, got ndarray"):
        nn.exponential(np.zeros((1, 2, 4, 4)))
    with pytest.raises(InputError, match="velocity: expected shape"):
        nn.exponential(x)
    with pytest.raises(InputError, match="steps"):
        nn.exponential(torch.zeros(1, 2, 4, 4), steps=-1)
