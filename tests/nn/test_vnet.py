"""V-Net: stages and skips of the paper's figure 2."""

import pytest
import torch

from spinray import nn
from spinray.errors import InputError


def test_a_stage_adds_its_input_before_the_last_prelu():
    torch.manual_seed(0)
    network = nn.VNet(features=4, levels=2, dim=2)
    stage = network.encoder[2][-1]
    for weight in stage.layers[-1].parameters():
        torch.nn.init.zeros_(weight)
    h = torch.randn(1, 16, 4, 4)
    # torch's PReLU starts with a slope of a quarter.
    assert torch.equal(stage(h), torch.where(h > 0, h, 0.25 * h))


def test_the_first_stage_adds_copies_of_the_channels():
    network = nn.VNet(2, features=4, levels=1, dim=2)
    stage = network.encoder[0]
    for weight in stage.layers[-1].parameters():
        torch.nn.init.zeros_(weight)
    x = torch.rand(1, 2, 4, 4)
    assert torch.equal(stage(x), x.repeat(1, 2, 1, 1))
    with pytest.raises(InputError, match="in_channels: expected a divisor of features = 16, got 3"):
        nn.VNet(3)


def test_stages_have_one_two_and_three_convolutions():
    network = nn.VNet(features=2)
    convolutions = [sum(m.kernel_size == (5, 5, 5) for m in stage.modules() if hasattr(m, "kernel_size"))
                    for stage in (*network.encoder, *network.decoder)]  # fmt: skip
    assert convolutions == [1, 2, 3, 3, 3, 3, 3, 2, 1]


def test_skips_reach_the_output():
    """With silent ways up, the last stage sees the first level alone."""
    torch.manual_seed(0)
    network = nn.VNet(features=4, levels=2, dim=2).double()
    up, stage = network.decoder[-1]
    for weight in up[0].parameters():
        torch.nn.init.zeros_(weight)
    x = torch.randn(1, 1, 8, 8).double()
    first = network.encoder[0](x)
    wanted = network.head(stage(torch.cat([torch.zeros_like(first), first], 1)))
    assert torch.allclose(network(x), wanted, rtol=1e-12)


def test_sizes_that_are_no_multiple_are_padded_by_their_borders():
    torch.manual_seed(0)
    network = nn.VNet(features=2, levels=2).double()
    x = torch.randn(1, 1, 5, 8, 6).double()
    padded = torch.cat([x, *[x[:, :, -1:]] * 3], 2)
    padded = torch.cat([padded, *[padded[..., -1:]] * 2], -1)
    assert torch.allclose(network(x), network(padded)[:, :, :5, :, :6], rtol=1e-12)
