"""SRCNN, DnCNN, RED-CNN, the residual denoiser and the auto-encoder: what the papers say they are."""

import pytest
import torch

from nn.receptive import extents
from spinray import nn
from spinray.errors import InputError


def silence(layer):
    """Make a layer return zeros."""
    for weight in layer.parameters():
        torch.nn.init.zeros_(weight)


def test_srcnn_sees_as_far_as_its_kernels_reach():
    torch.manual_seed(0)
    assert extents(nn.SRCNN(features=(8, 4)), torch.randn(1, 1, 21, 25), (0, 0, 10, 12)) == [(4, 16), (6, 18)]


def test_srcnn_is_patches_then_features_then_image():
    torch.manual_seed(0)
    network, x = nn.SRCNN(2, features=(3, 5), kernels=(5, 3, 1)).double(), torch.randn(1, 2, 8, 8).double()
    first, second, third = network.layers
    conv = torch.nn.functional.conv2d
    h = conv(x, first.weight, first.bias, padding=2).clamp(min=0)
    h = conv(h, second.weight, second.bias, padding=1).clamp(min=0)
    assert torch.allclose(network(x), conv(h, third.weight, third.bias), rtol=1e-12)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("make", [nn.DnCNN, nn.ResNetDenoiser])
def test_a_denoiser_whose_last_layer_is_silent_returns_the_image(make, dim):
    network = make(2, features=4, dim=dim)
    silence(network.layers[-1] if make is nn.DnCNN else network.tail)
    x = torch.randn(1, 2, *((6, 7, 5)[:dim]))
    assert torch.equal(network(x), x)


def test_dncnn_subtracts_what_its_last_layer_says():
    network = nn.DnCNN(depth=4, features=4)
    torch.nn.init.zeros_(network.layers[-1].weight)
    torch.nn.init.constant_(network.layers[-1].bias, 0.25)
    x = torch.randn(1, 1, 6, 7)
    assert torch.equal(network(x), x - 0.25)


@pytest.mark.parametrize("depth", [2, 4, 6])
def test_dncnn_sees_twice_its_depth_and_one(depth):
    torch.manual_seed(0)
    network = nn.DnCNN(depth=depth, features=8).eval()
    assert extents(network, torch.randn(1, 1, 19, 21), (0, 0, 9, 10)) == [
        (9 - depth, 9 + depth),
        (10 - depth, 10 + depth),
    ]


def test_residual_blocks_of_silent_normalisation_pass_what_comes_in():
    network = nn.ResNetDenoiser(features=4, blocks=3)
    for block in network.blocks:
        silence(block.norm2)
    h = torch.randn(2, 4, 6, 6)
    assert torch.equal(network.blocks(h), h)
    x = torch.randn(2, 1, 6, 6)
    assert torch.equal(network(x), x + network.tail(torch.relu(network.head(x))))


def test_redcnn_adds_the_image_and_the_features_to_what_it_decodes():
    """With all but the last decoder silent, and that one too, what is left is the image's positive part."""
    network = nn.REDCNN(features=4)
    x = torch.randn(2, 1, 24, 22)
    silence(network.decoder[4])
    assert torch.equal(network(x), x.clamp(min=0))


def test_redcnn_is_the_chain_of_the_paper():
    torch.manual_seed(0)
    network, x = nn.REDCNN(features=3).double(), torch.rand(1, 1, 23, 25).double()
    e, d = network.encoder, network.decoder
    relu = torch.relu
    first = relu(e[0](x))
    second = relu(e[1](first))
    third = relu(e[2](second))
    fourth = relu(e[3](third))
    h = relu(d[0](relu(e[4](fourth))) + fourth)
    h = relu(d[2](relu(d[1](h))) + second)
    h = relu(d[4](relu(d[3](h))) + x)
    assert torch.allclose(network(x), h, rtol=1e-12)
    assert fourth.shape[2:] == (7, 9)


def test_redcnn_wants_images_it_can_shrink():
    with pytest.raises(InputError, match=r"sizes of at least 21 for REDCNN, got \(20, 64\)"):
        nn.REDCNN(features=2)(torch.zeros(1, 1, 20, 64))
    assert nn.REDCNN(features=2)(torch.zeros(1, 1, 21, 21)).shape == (1, 1, 21, 21)


@pytest.mark.parametrize("dim", [2, 3])
def test_an_auto_encoder_is_its_code_decoded(dim):
    torch.manual_seed(0)
    network = nn.ConvAutoencoder(2, features=4, levels=2, code=3, dim=dim)
    x = torch.randn(2, 2, *((8, 12, 4)[:dim]))
    code = network.encode(x)
    assert code.shape == (2, 3, *((2, 3, 1)[:dim]))
    assert torch.allclose(network(x), network.decode(code), atol=1e-6)


def test_each_code_sees_its_neighbourhood_only():
    torch.manual_seed(0)
    network = nn.ConvAutoencoder(features=8, levels=2)
    # A code on level 2 stands for 4 x 4 pixels, and convolutions reach 1 + 2 further.
    (rows, columns) = extents(network.encode, torch.randn(1, 1, 24, 24), (0, slice(None), 2, 3))
    assert (rows[0] >= 8 - 3, rows[1] <= 11 + 3) == (True, True)
    assert (columns[0] >= 12 - 3, columns[1] <= 15 + 3) == (True, True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.SRCNN(kernels=(9, 2, 5)), "kernels: expected odd"),
        (lambda: nn.SRCNN(features=(64,)), "features: expected 2"),
        (lambda: nn.DnCNN(depth=1), "depth: expected an integer >= 2"),
        (lambda: nn.DnCNN(dim=1), "dim: expected one of 2, 3"),
        (lambda: nn.REDCNN(0), "channels: expected an integer >= 1"),
        (lambda: nn.ResNetDenoiser(blocks=0), "blocks"),
        (lambda: nn.ConvAutoencoder(levels=0), "levels"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
