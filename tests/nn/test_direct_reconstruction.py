"""AUTOMAP and DeepPET: from measurements to the image without a model of the scanner."""

import pytest
import torch

from spinray import nn
from spinray.errors import InputError


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_automap_is_two_matrices_and_three_convolutions(backend):
    torch.manual_seed(0)
    network = nn.AUTOMAP(10, (4, 5), features=3, backend=backend).double()
    x = torch.randn(2, 10).double()
    weights = list(network.parameters())
    h = torch.tanh(x @ weights[0].T + weights[1])
    h = torch.tanh(h @ weights[2].T + weights[3]).reshape(2, 1, 4, 5)
    conv = torch.nn.functional.conv2d
    h = conv(h, weights[4], weights[5], padding=2).clamp(min=0)
    h = conv(h, weights[6], weights[7], padding=2).clamp(min=0)
    # A transposed convolution that keeps the size is a convolution with the mirrored kernel.
    wanted = conv(h, weights[8].flip(2, 3).transpose(0, 1), weights[9], padding=3)
    assert torch.allclose(network(x), wanted, rtol=1e-10)


def test_automap_can_be_the_inverse_of_a_fourier_transform():
    """Small values pass tanh as they are: with the weights of the inverse transform the image comes out."""
    shape, n = (6, 8), 48
    network = nn.AUTOMAP(2 * n, shape, features=1).double()
    inverse = torch.fft.ifft2(torch.eye(n).reshape(n, *shape)).reshape(n, n)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        network.dense1.weight.copy_(torch.cat([inverse.real, -inverse.imag], 0).T)
        network.dense2.weight.copy_(torch.eye(n))
        for conv in (network.conv1, network.conv2, network.deconv):
            middle = conv.kernel_size[0] // 2
            conv.weight[0, 0, middle, middle] = 1
    image = 1e-4 * torch.rand(1, 1, *shape).double()
    measured = torch.fft.fft2(image).reshape(1, n)
    assert torch.allclose(network(torch.cat([measured.real, measured.imag], 1)), image, rtol=1e-6)


def test_automap_wants_its_number_of_measurements():
    with pytest.raises(InputError, match=r"x: expected shape \(batch, 10\) for AUTOMAP, got \(2, 9\)"):
        nn.AUTOMAP(10, (4, 5))(torch.zeros(2, 9))


def test_deep_pet_enlarges_by_equal_factors():
    network = nn.DeepPET((40, 36), (64, 60), features=2, levels=3).eval()
    seen = []
    for stage in network.decoder:
        stage.register_forward_hook(lambda module, inputs, output: seen.append(tuple(inputs[0].shape[2:])))
    assert network(torch.randn(1, 1, 40, 36)).shape == (1, 1, 64, 60)
    # From 5 x 5 to 64 x 60 in three steps.
    assert seen == [(12, 11), (27, 26), (64, 60)]


def test_deep_pet_kernels_narrow_from_seven_to_three():
    network = nn.DeepPET((40, 36), (64, 60), features=2)
    first = [next(m for m in stage.modules() if isinstance(m, torch.nn.Conv2d)) for stage in network.encoder]
    assert [conv.kernel_size[0] for conv in first] == [7, 7, 5, 5, 3, 3]
    assert [conv.stride[0] for conv in first] == [1, 2, 2, 2, 2, 1]
    assert [conv.out_channels for conv in first] == [2, 4, 8, 16, 32, 64]


def test_deep_pet_wants_its_sinograms():
    with pytest.raises(InputError, match=r"expected sinograms of \(40, 36\) \(views, bins\) for DeepPET"):
        nn.DeepPET((40, 36), (64, 60), features=1)(torch.zeros(1, 1, 36, 40))
