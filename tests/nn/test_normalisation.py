"""Normalisation of too few values is refused, and leaves no trace."""

import pytest
import torch

from spinray import nn

BACKENDS = ["libtorch", "torch"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_last_batch_of_one_image_leaves_the_running_statistics_alone(backend):
    network = nn.ResNet18(1, 2, backend=backend)
    network(torch.randn(2, 1, 32, 32))
    with pytest.raises(ValueError, match="xpected more than"):
        network(torch.randn(1, 1, 32, 32))
    assert all(torch.isfinite(buffer).all() for buffer in network.buffers())
    assert torch.isfinite(network.eval()(torch.randn(1, 1, 32, 32))).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", ["instance", "group"])
def test_a_single_value_has_no_deviation(norm, training, backend):
    network = nn.UNet(features=4, levels=2, norm=norm, backend=backend).train(training)
    assert torch.isfinite(network(torch.randn(1, 1, 8, 8))).all()
    narrow = nn.UNet(features=1, levels=3, norm=norm, backend=backend).train(training)
    with pytest.raises(ValueError, match="xpected more than"):
        narrow(torch.randn(1, 1, 8, 8))
