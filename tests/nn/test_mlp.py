"""Fully connected networks, real and complex, and the network of signals."""

import math

import pytest
import torch

from spinray import nn
from spinray.errors import DtypeError, InputError
from spinray.nn.reference.complex_mlp import cardioid


def test_an_mlp_is_matrices_with_an_activation_between_them():
    torch.manual_seed(0)
    network = nn.MLP(3, 2, hidden=(4,), activation="tanh", output_activation="sigmoid").double()
    first, second = (layer for layer in network.layers if isinstance(layer, torch.nn.Linear))
    x = torch.randn(5, 3).double()
    wanted = torch.sigmoid(torch.tanh(x @ first.weight.T + first.bias) @ second.weight.T + second.bias)
    assert torch.allclose(network(x), wanted, rtol=1e-12)


def test_without_hidden_layers_it_is_linear():
    network = nn.MLP(3, 2, hidden=()).double()
    x, y = torch.randn(2, 7, 3).double()
    zero = network(torch.zeros(7, 3).double())
    assert torch.allclose(network(2 * x - y) - zero, 2 * (network(x) - zero) - (network(y) - zero), atol=1e-12)


def test_leading_dimensions_are_a_batch():
    network, x = nn.MLP(3, 2, hidden=(8,)), torch.randn(4, 5, 3)
    assert torch.allclose(network(x).reshape(20, 2), network(x.reshape(20, 3)), atol=1e-6)
    assert network(x[0, 0]).shape == (2,)


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_dropout_sets_its_share_to_zero_and_keeps_the_mean(backend):
    n, share = 40_000, 0.3
    network = nn.MLP(1, 1, hidden=(n,), activation="softplus", dropout=share, backend=backend)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        network.layers[-1].weight.fill_(1 / n)
    torch.manual_seed(0)
    found, whole = float(network(torch.ones(1, 1)).detach()), float(network.eval()(torch.ones(1, 1)).detach())
    assert whole == pytest.approx(math.log(2), rel=1e-5)
    # Binomial: five standard deviations of the mean of n values 0 or 1 / (1 - share).
    assert abs(found / whole - 1) < 5 * math.sqrt(share / (1 - share) / n)
    network.train()
    values = torch.stack([network(torch.ones(1, 1)) for _ in range(3)])
    assert len(values.unique()) == 3


def test_each_hidden_value_is_dropped_by_itself():
    network = nn.MLP(1, 2000, hidden=(2000,), activation="softplus", dropout=0.25)
    with torch.no_grad():
        network.layers[-1].weight.copy_(torch.eye(2000))
        network.layers[-1].bias.zero_()
    torch.manual_seed(0)
    dropped = float((network(torch.ones(1, 1)) == 0).float().mean())
    assert abs(dropped - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 2000)


def test_the_cardioid_keeps_the_phase_and_is_the_relu_of_real_numbers():
    torch.manual_seed(0)
    z = torch.randn(1000, dtype=torch.complex128)
    y = cardioid(z)
    assert torch.allclose(y.angle(), z.angle(), atol=1e-12)
    assert torch.allclose(y.abs(), z.abs() * torch.cos(z.angle() / 2) ** 2, rtol=1e-12)
    assert torch.allclose(cardioid(z.conj()), y.conj(), rtol=1e-12)
    assert torch.allclose(cardioid(3 * z), 3 * y, rtol=1e-12)
    real = torch.linspace(-2, 2, 9, dtype=torch.float64)
    assert torch.allclose(cardioid(real.to(torch.complex128)).real, torch.relu(real))
    assert torch.allclose(cardioid(1j * real), 0.5j * real)


def test_the_cardioid_and_its_gradient_are_finite_at_zero():
    z = torch.zeros(2, dtype=torch.complex64, requires_grad=True)
    y = cardioid(z)
    (gradient,) = torch.autograd.grad(torch.view_as_real(y).sum(), z)
    assert torch.equal(y.detach(), torch.zeros(2, dtype=torch.complex64))
    assert torch.isfinite(torch.view_as_real(gradient)).all()


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_a_complex_mlp_is_complex_matrices_with_cardioids_between_them(backend):
    torch.manual_seed(0)
    network = nn.ComplexMLP(3, 2, hidden=(4,), backend=backend).double()
    w1, b1, w2, b2 = (torch.view_as_complex(weight.detach()) for weight in network.parameters())
    torch.nn.init.normal_(network.layers[0].bias)
    x = torch.randn(5, 3, dtype=torch.complex128)
    h = x @ w1.T + b1
    h = h * (1 + torch.cos(h.angle())) / 2
    assert torch.allclose(network(x), h @ w2.T + b2, rtol=1e-12)


def test_complex_weights_start_with_the_variance_that_keeps_signals_of_one_size():
    torch.manual_seed(0)
    weight = torch.view_as_complex(nn.ComplexMLP(200, 300, hidden=()).layers[0].weight.detach())
    assert float(weight.abs().square().mean()) == pytest.approx(2 / 200, rel=0.02)
    # Circular: the square averages to zero.
    assert abs(complex(weight.square().mean())) < 0.02 * 2 / 200


def test_the_complex_mlp_wants_complex_numbers_of_its_precision():
    network = nn.ComplexMLP(3, 2, hidden=(4,))
    with pytest.raises(DtypeError, match=r"x: expected complex numbers, got torch.float32"):
        network(torch.zeros(5, 3))
    with pytest.raises(DtypeError, match="float64"):
        network(torch.zeros(5, 3, dtype=torch.complex128))
    with pytest.raises(InputError, match=r"expected shape \(..., 3\) for ComplexMLP, got \(5, 4\)"):
        network(torch.zeros(5, 4, dtype=torch.complex64))


def test_an_mlp_wants_vectors_of_its_length():
    with pytest.raises(InputError, match=r"expected shape \(..., 3\) for MLP, got \(5, 4\)"):
        nn.MLP(3, 2)(torch.zeros(5, 4))
    with pytest.raises(InputError, match=r"got \(\)"):
        nn.MLP(3, 2)(torch.tensor(1.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": 1.0}, "dropout: expected a probability below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout: expected a number >= 0"),
        ({"activation": "gelu"}, "activation: expected one of 'relu'"),
        ({"output_activation": "softmax"}, "output_activation"),
        ({"hidden": (3, 0)}, r"hidden\[1\]"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(InputError, match=message):
        nn.MLP(3, 2, **options)


def test_a_signal_network_takes_signals_of_any_length_and_knows_where_an_event_is():
    torch.manual_seed(0)
    network = nn.SignalCNN(2, 3, features=(4, 8), bins=4).eval()
    early, late = torch.zeros(2, 1, 2, 64)
    early[..., 8], late[..., 40] = 1, 1
    assert not torch.allclose(network(early), network(late))
    assert network(torch.zeros(5, 2, 4)).shape == network(torch.zeros(5, 2, 1001)).shape == (5, 3)
    with pytest.raises(InputError, match=r"sizes of at least 4 for SignalCNN, got \(3,\)"):
        network(torch.zeros(5, 2, 3))


def test_with_one_bin_a_signal_network_is_blind_to_shifts_by_what_it_pools():
    torch.manual_seed(0)
    network = nn.SignalCNN(1, 2, features=(4, 8), kernel=3, bins=1).double().eval()
    signal = torch.zeros(1, 1, 64).double()
    signal[..., 20:30] = torch.randn(10)
    assert torch.allclose(network(signal), network(signal.roll(4, -1)), rtol=1e-12)
    assert not torch.allclose(network(signal), network(signal.roll(1, -1)), rtol=1e-6)


def test_what_is_left_of_a_signal_is_averaged_over_equal_parts():
    torch.manual_seed(0)
    network, x = nn.SignalCNN(1, 2, features=(3,), kernel=1, bins=4).double().eval(), torch.randn(2, 1, 32).double()
    weight = network.layers[0].weight[:, :, 0] / (1 + 1e-5) ** 0.5  # normalisation as it starts
    h = (weight @ x).clamp(min=0).unflatten(2, (16, 2)).amax(3)
    wanted = network.head(h.unflatten(2, (4, 4)).mean(3).flatten(1))
    assert torch.allclose(network(x), wanted, rtol=1e-10)


def test_a_signal_network_refuses_even_kernels_and_no_layers():
    with pytest.raises(InputError, match="kernel: expected an odd width"):
        nn.SignalCNN(kernel=4)
    with pytest.raises(InputError, match="features: expected at least one"):
        nn.SignalCNN(features=())
