"""Numbers of parameters: those the papers, or the authors' programs, state; else counted layer by layer."""

import pytest
import torch

from spinray import nn


def conv(kernel, before, after, bias=True):
    return kernel * before * after + bias * after


PUBLISHED = {
    # Ronneberger 2015 with batch normalisation: 31.0 million.
    "UNet": (lambda: nn.UNet(), 31_036_481),
    # torchvision's documentation of resnet18.
    "ResNet18": (lambda: nn.ResNet18(), 11_689_512),
    # Dong 2016, table 1, counts weights without biases: 8032 and 57184.
    "SRCNN 9-1-5": (lambda: nn.SRCNN(), 8032 + 64 + 32 + 1),
    "SRCNN 9-5-5": (lambda: nn.SRCNN(kernels=(9, 5, 5)), 57184 + 64 + 32 + 1),
    # Zhang 2017: 0.56 million.
    "DnCNN": (lambda: nn.DnCNN(), conv(9, 1, 64) + 15 * (conv(9, 64, 64, False) + 2 * 64) + conv(9, 64, 1)),
    # Chen 2017: five layers of 5 x 5 x 96 each way, 1.85 million.
    "REDCNN": (lambda: nn.REDCNN(), conv(25, 1, 96) + 8 * conv(25, 96, 96) + conv(25, 96, 1)),
    # The pix2pix program prints 2.769 M for the critic of three and three channels, 11.383 M for the generator.
    "PatchGAN": (lambda: nn.PatchGAN(6), 2_768_705),
    "ResidualGenerator": (lambda: nn.ResidualGenerator(3, 3), 11_383_427),
    # Zhu 2018: about 800 million at 128 x 128.
    "AUTOMAP": (
        lambda: nn.AUTOMAP(2 * 128**2, (128, 128)),
        2 * 128**4 + 128**2 + 128**4 + 128**2 + conv(25, 1, 64) + conv(25, 64, 64) + conv(49, 64, 1),
    ),
    # Chen 2022 (TransMorph), table of rivals, for the second of the VoxelMorph networks.
    "VoxelMorph": (lambda: nn.VoxelMorph((160, 192, 224)), 301_411),
    "ResNetDenoiser": (
        lambda: nn.ResNetDenoiser(dim=3),
        conv(27, 1, 32) + 10 * (conv(27, 32, 32, False) + 64) + conv(27, 32, 1),
    ),
    # Milletari 2016, figure 2: convolutions 1, 2, 3, 3, 3 down and 3, 3, 2, 1 up, each with a PReLU for each channel.
    "VNet": (
        lambda: nn.VNet(),
        sum(n * (conv(125, c, c) + c) for n, c in [(2, 32), (3, 64), (3, 128), (3, 256)])
        + (conv(125, 1, 16) + 16)
        + sum(conv(8, c, 2 * c) + 2 * c for c in (16, 32, 64, 128))
        + sum(n * (conv(125, c, c) + c) for n, c in [(3, 256), (3, 128), (2, 64), (1, 32)])
        + sum(conv(8, a, b) + b for a, b in [(256, 128), (256, 64), (128, 32), (64, 16)])
        + conv(1, 32, 2),
    ),
    "ConvAutoencoder": (
        lambda: nn.ConvAutoencoder(),
        conv(9, 1, 16)
        + conv(9, 16, 32)
        + conv(9, 32, 64)
        + conv(1, 64, 8)
        + conv(4, 8, 64)
        + conv(4, 64, 32)
        + conv(4, 32, 16)
        + conv(9, 16, 1),
    ),
    # Cohen 2018 (DRONE) for 25 frames.
    "MLP": (lambda: nn.MLP(25, 2), 25 * 300 + 300 + 300 * 300 + 300 + 300 * 2 + 2),
    # Twice as many real numbers as complex ones.
    "ComplexMLP": (lambda: nn.ComplexMLP(25, 2), 2 * (25 * 128 + 128 + 128 * 128 + 128 + 128 * 2 + 2)),
    "SignalCNN": (
        lambda: nn.SignalCNN(2, 3),
        conv(7, 2, 16, False) + conv(7, 16, 32, False) + conv(7, 32, 64, False) + 2 * (16 + 32 + 64) + 64 * 8 * 3 + 3,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_number_of_parameters(name):
    make, wanted = PUBLISHED[name]
    with torch.device("meta"):
        assert sum(weight.numel() for weight in make().parameters()) == wanted


def test_deep_pet_has_more_than_60_million():
    with torch.device("meta"):
        network = nn.DeepPET((288, 269), (128, 128))
        assert 60e6 < sum(weight.numel() for weight in network.parameters()) < 65e6
        # The bottom of Häggström 2019.
        assert network.eval().encoder(torch.zeros(1, 1, 288, 269)).shape == (1, 1024, 18, 17)
