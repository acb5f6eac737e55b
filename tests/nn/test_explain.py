"""Explanations: what they are of linear networks, completeness, modes, bad input; by captum, where installed."""

import importlib.util
import sys

import pytest
import torch
from torch import nn

from spinray.errors import DtypeError, InputError
from spinray.nn import UNet
from spinray.nn.explain import grad_cam, integrated_gradients, occlusion, saliency

needs_captum = pytest.mark.skipif(
    importlib.util.find_spec("captum") is None, reason='captum is not installed: pip install "spinray[explain]"'
)
SHAPES = [(2, 2, 6, 5), (2, 1, 4, 3, 5)]


def random(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def linear(shape, classes=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(random(*shape)[0].numel(), classes)).double()


def weights(network, shape, target):
    return network[1].weight[target].reshape(1, *shape[1:]).detach()


@needs_captum
@pytest.mark.parametrize("shape", SHAPES)
def test_a_linear_network_is_explained_by_its_weights(shape):
    network, x = linear(shape), random(*shape)
    w = weights(network, shape, 1)
    torch.testing.assert_close(saliency(network, x, 1), w.abs().expand(shape))
    torch.testing.assert_close(integrated_gradients(network, x, 1, baseline=0.5), w * (x - 0.5))
    baseline = random(*shape, seed=1)
    torch.testing.assert_close(integrated_gradients(network, x, 1, baseline=baseline), w * (x - baseline))
    # A window of one voxel takes its share over all channels.
    share = (w * (x - 0.5)).sum(1, keepdim=True).expand(shape)
    torch.testing.assert_close(occlusion(network, x, 1, window=1, baseline=0.5), share, rtol=1e-5, atol=1e-6)


@needs_captum
def test_integrated_gradients_are_complete():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Softplus(), nn.Conv2d(4, 2, 3), nn.Tanh(), nn.Flatten()).double()
    network.append(nn.Linear(2 * 16, 3).double())
    x, baseline = random(3, 1, 8, 8), 0.1 * random(3, 1, 8, 8, seed=1)
    parts = integrated_gradients(network, x, 2, baseline=baseline)
    change = network(x)[:, 2] - network(baseline)[:, 2]
    torch.testing.assert_close(parts.sum((1, 2, 3)), change, rtol=1e-6, atol=1e-9)
    rough = integrated_gradients(network, x, 2, baseline=baseline, n_steps=2)
    assert (rough.sum((1, 2, 3)) - change).abs().max() > 1e-6


@needs_captum
@pytest.mark.parametrize("shape", [(2, 1, 8, 12), (2, 1, 4, 6, 8)])
def test_grad_cam_of_an_average_of_features_is_the_closed_form(shape):
    dim = len(shape) - 2
    conv, pool = (nn.Conv2d, nn.AvgPool2d) if dim == 2 else (nn.Conv3d, nn.AvgPool3d)
    torch.manual_seed(0)
    features = nn.Sequential(conv(1, 4, 1), pool(2)).double()
    network = nn.Sequential(features, nn.Flatten(2)).double()
    head = nn.Linear(4, 3).double()

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.head, self.drop = network, head, nn.Dropout(0.5)

        def forward(self, x):
            return self.head(self.drop(self.features(x).mean(2)))

    x = 20 * random(*shape)
    found = grad_cam(Classifier(), x, features, 1)
    maps = features(x)
    weight = head.weight[1].reshape(1, 4, *[1] * dim) / maps[0, 0].numel()
    signed = (weight * maps).sum(1, keepdim=True)
    assert (signed < 0).any()
    expected = signed.relu()
    mode = "bilinear" if dim == 2 else "trilinear"
    torch.testing.assert_close(found, nn.functional.interpolate(expected, shape[2:], mode=mode).detach())
    assert found.shape == shape
    assert found.max() > 0


@needs_captum
def test_occlusion_finds_what_the_network_looks_at():
    class Corner(nn.Module):
        def forward(self, x):
            return x[:, 0, :3, :3].sum((1, 2))

    found = occlusion(Corner(), torch.ones(1, 1, 9, 9), window=3, stride=3)
    expected = torch.zeros(1, 1, 9, 9)
    expected[..., :3, :3] = 9
    assert torch.equal(found, expected)


@needs_captum
def test_a_u_net_is_explained_in_rust_and_through_its_hooks():
    torch.manual_seed(0)
    network = UNet(1, 2, features=4, levels=2).double()
    x = torch.rand(1, 1, 16, 16).double()
    target = (1, 5, 9)
    (expected,) = torch.autograd.grad(network.eval()(x.requires_grad_())[0, 1, 5, 9], x)
    network.train()
    torch.testing.assert_close(saliency(network, x, target), expected.abs())
    layer = network.encoder[1][0]  # half the size of the image
    found = grad_cam(network, x, layer, target)
    assert not found.requires_grad
    assert network.training
    seen = []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    y = network.eval()(x)
    handle.remove()
    (slopes,) = torch.autograd.grad(y[0, 1, 5, 9], seen)
    signed = (slopes.mean((2, 3), keepdim=True) * seen[0]).sum(1, keepdim=True)
    assert (signed < 0).any()
    expected = nn.functional.interpolate(signed.relu(), (16, 16), mode="bilinear").detach()
    assert expected.max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.max()))


@needs_captum
def test_the_input_is_left_alone():
    x = random(*SHAPES[0])
    before = x.clone()
    for explain in (saliency, integrated_gradients):
        explain(linear(SHAPES[0]), x, 0)
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert x.grad is None


def test_without_captum_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    network, x = linear(SHAPES[0]), random(*SHAPES[0])
    calls = [
        lambda: saliency(network, x, 0),
        lambda: integrated_gradients(network, x, 0),
        lambda: grad_cam(network, x, network[1], 0),
        lambda: occlusion(network, x, 0, window=2),
    ]
    for call in calls:
        with pytest.raises(ImportError, match=r'by captum: pip install "spinray\[explain\]"'):
            call()


@needs_captum
def test_bad_input_is_refused():
    network, x = linear(SHAPES[0]), random(*SHAPES[0])
    with pytest.raises(DtypeError, match=r"image: expected a torch tensor of real floating-point .*torch\.int64"):
        saliency(network, x.long(), 0)
    with pytest.raises(InputError, match=r"image: expected shape .* got \(6, 5\)"):
        integrated_gradients(network, x[0, 0], 0)
    with pytest.raises(InputError, match="n_steps: expected an integer >= 1"):
        integrated_gradients(network, x, 0, n_steps=0)
    with pytest.raises(InputError, match="layer: expected a layer of the network, got Linear"):
        grad_cam(network, x, nn.Linear(2, 2), 0)
    with pytest.raises(InputError, match=r"window: expected at most the image's size \(6, 5\), got 6"):
        occlusion(network, x, 0, window=6)
    with pytest.raises(InputError, match="stride: expected at most the window 2"):
        occlusion(network, x, 0, window=2, stride=3)
