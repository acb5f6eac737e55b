"""Weights of MONAI's BasicUNet in our U-Net."""

import pytest
import torch

from spinray import nn
from spinray.errors import InputError

WIDTHS = (4, 4, 8, 16, 32)


def basic_unet(**options):
    nets = pytest.importorskip("monai.networks.nets", reason="MONAI is not installed")
    torch.manual_seed(0)
    return nets.BasicUNet(in_channels=2, out_channels=3, features=(*WIDTHS, 4), **options).double()


@pytest.mark.parametrize(("dim", "size"), [(2, (32, 48)), (3, (16, 32, 16))])
def test_the_default_network_gives_the_same_output(dim, size):
    theirs = basic_unet(spatial_dims=dim)
    ours = nn.UNet(2, 3, features=WIDTHS, norm="instance", slope=0.1, dim=dim).double()
    ours.load_state_dict(nn.from_monai(theirs.state_dict()))
    x = torch.randn(2, 2, *size).double()
    assert torch.allclose(ours(x), theirs(x), rtol=1e-9, atol=1e-9)


def test_batch_normalisation_takes_the_biases_into_its_means():
    theirs = basic_unet(spatial_dims=2, norm="batch", act="relu")
    x = torch.randn(2, 2, 32, 32).double()
    for _ in range(3):
        theirs(x)
    ours = nn.UNet(2, 3, features=WIDTHS).double().eval()
    ours.load_state_dict(nn.from_monai(theirs.state_dict()))
    assert torch.allclose(ours(x), theirs.eval()(x), rtol=1e-9, atol=1e-9)


def test_the_published_plan_has_as_many_weights_less_the_biases():
    nets = pytest.importorskip("monai.networks.nets", reason="MONAI is not installed")
    with torch.device("meta"):
        theirs = nets.BasicUNet().state_dict()
        ours = nn.UNet(1, 2, features=(32, 32, 64, 128, 256), norm="instance", slope=0.1, dim=3).state_dict()
    found = nn.from_monai(theirs)
    assert {name: value.shape for name, value in found.items()} == {name: value.shape for name, value in ours.items()}


def test_other_weights_are_refused():
    with pytest.raises(InputError, match=r"weights: 'encoder\.0\.0\.weight' is no entry of MONAI's BasicUNet"):
        nn.from_monai(nn.UNet(features=2, levels=1).state_dict())


def test_as_many_widths_as_levels_are_needed():
    with pytest.raises(InputError, match="features: expected an integer, or 3 for 2 levels"):
        nn.UNet(features=(4, 8), levels=2)
    with pytest.raises(InputError, match="slope"):
        nn.UNet(slope=-0.1)
