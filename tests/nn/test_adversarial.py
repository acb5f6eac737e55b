"""The critic of patches and the generator it judges."""

import pytest
import torch

from nn.receptive import extents
from spinray import nn
from spinray.errors import InputError


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_each_number_of_the_critic_sees_a_patch(layers, field):
    """Isola 2017: 16, 34 (with two layers) and 70 pixels."""
    torch.manual_seed(0)
    network = nn.PatchGAN(features=4, layers=layers).eval()
    size = 2 * field
    found = network(torch.zeros(1, 1, size, size)).shape[-1] // 2
    for low, high in extents(network, torch.randn(1, 1, size, size), (0, 0, found, found)):
        assert high - low + 1 == field


def test_neighbouring_numbers_of_the_critic_are_one_stride_apart():
    torch.manual_seed(0)
    network = nn.PatchGAN(features=4, layers=2).eval()
    x = torch.randn(1, 1, 80, 80)
    (first, _), (second, _) = extents(network, x, (0, 0, 8, 8)), extents(network, x, (0, 0, 9, 8))
    assert second[0] - first[0] == 4


def test_the_critic_lets_a_fifth_of_negative_values_pass():
    network = nn.PatchGAN(features=1, layers=1, norm=None).double()
    weights = dict(network.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            weight.fill_(0.0 if "bias" in name else 1.0)
    # Blocks of ones: interior sums are 16 at each layer, with the sign of the input.
    positive = network(torch.ones(1, 1, 32, 32).double())[0, 0, 7, 7]
    negative = network(-torch.ones(1, 1, 32, 32).double())[0, 0, 7, 7]
    assert float(positive.detach()) == pytest.approx(16 * 16 * 2 * 16, rel=1e-12)
    assert float((negative / positive).detach()) == pytest.approx(-0.2 * 0.2, rel=1e-12)


def test_the_critic_wants_an_image_of_one_patch_at_least():
    network = nn.PatchGAN(features=2, layers=3)
    assert network(torch.zeros(2, 1, 32, 24)).shape == (2, 1, 2, 1)
    with pytest.raises(InputError, match=r"x: expected sizes of at least 24 for PatchGAN, got \(32, 23\)"):
        network(torch.zeros(2, 1, 32, 23))


@pytest.mark.parametrize(("size", "padded"), [((16, 20), False), ((17, 18), True), ((5, 5), True)])
def test_the_generator_keeps_the_size_and_stays_within_one(size, padded):
    torch.manual_seed(0)
    network = nn.ResidualGenerator(features=4, blocks=2).eval()
    y = network(100 * torch.randn(2, 1, *size))
    assert y.shape == (2, 1, *size)
    assert float(y.detach().abs().max()) <= 1


def test_residual_blocks_of_silent_normalisation_change_nothing():
    torch.manual_seed(0)
    network = nn.ResidualGenerator(features=4, blocks=2, norm="batch").eval()
    for block in network.blocks:
        for weight in block.second[-1].parameters():
            torch.nn.init.zeros_(weight)
    x = torch.randn(1, 1, 12, 16)
    assert torch.allclose(network(x), network.tail(network.up(network.down(network.head(x)))), atol=1e-6)


def test_the_generator_mirrors_borders():
    """A constant image stays constant where zeros around it would make an edge."""
    torch.manual_seed(0)
    network = nn.ResidualGenerator(features=4, blocks=1, norm=None).double()
    h = network.head(torch.ones(1, 1, 16, 16).double())
    assert torch.allclose(h, h[..., :1, :1].expand_as(h), rtol=1e-12)
    with pytest.raises(InputError, match="sizes of at least 5 for ResidualGenerator"):
        network(torch.ones(1, 1, 4, 16).double())


def test_images_of_a_batch_do_not_mix_in_instance_normalisation_and_do_in_batch_normalisation():
    torch.manual_seed(0)
    x = torch.randn(2, 1, 16, 16)
    for norm, alone in (("instance", True), ("batch", False)):
        network = nn.ResidualGenerator(features=4, blocks=1, norm=norm)
        assert torch.allclose(network(x)[:1], network(x[:1]), atol=1e-5) is alone
