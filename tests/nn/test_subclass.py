"""Networks can be subclassed like any torch module."""

import inspect
import pickle

import torch

from nn.test_module import made, ran_in_rust
from spinray import nn


class Small(nn.UNet):
    """A network with a plan of its own."""

    def __init__(self, features=4):
        super().__init__(2, 3, features=features, levels=2)


class Doubled(nn.UNet):
    """A network that computes otherwise."""

    def compute(self, *inputs):
        return 2 * nn.reference.UNet.compute(self, *inputs)


def test_a_network_can_be_subclassed():
    network, inputs = made("unet")
    small = Small().double()
    small.load_state_dict(network.state_dict())
    found, rust = ran_in_rust(small, *inputs)
    assert rust
    assert torch.allclose(found, network(*inputs), rtol=1e-12)
    again = pickle.loads(pickle.dumps(small))
    assert type(again) is Small
    assert torch.equal(again.eval()(*inputs), small.eval()(*inputs))
    assert list(inspect.signature(Small).parameters) == ["features"]
    assert Small.__doc__ == "A network with a plan of its own."
    assert inspect.signature(Doubled) == inspect.signature(nn.UNet)


def test_a_subclass_can_compute_otherwise():
    network, inputs = made("unet")
    doubled = Doubled(**network.spec).double()
    doubled.load_state_dict(network.state_dict())
    found, rust = ran_in_rust(doubled, *inputs)
    assert not rust
    assert torch.allclose(found, 2 * network(*inputs), rtol=1e-10)
