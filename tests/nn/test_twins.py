"""Rust and PyTorch compute the same: outputs, gradients, running statistics, random numbers."""

import copy

import pytest
import torch

from nn.networks import CASES
from spinray import nn
from spinray.nn import _native


def run(network, inputs, seed=3):
    """Outputs, gradients of inputs and weights for a random direction of the outputs, and the buffers after it."""
    inputs = tuple(x.clone().requires_grad_() for x in inputs)
    torch.manual_seed(seed)
    outputs = network(*inputs)
    outputs = reals(outputs)
    generator = torch.Generator().manual_seed(4)
    total = sum((y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in outputs)
    gradients = torch.autograd.grad(total, [*inputs, *network.parameters()], allow_unused=True)
    names = [*(f"input {i}" for i in range(len(inputs))), *(name for name, _ in network.named_parameters())]
    return outputs, dict(zip(names, gradients, strict=True)), dict(network.named_buffers())


def reals(outputs):
    """A tuple of the outputs, complex ones as pairs of real numbers."""
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return tuple(torch.view_as_real(y) if y.is_complex() else y for y in outputs)


def difference(found, wanted, largest=None):
    """Largest difference over the largest value."""
    return float((found - wanted).detach().abs().max() / (largest or wanted.detach().abs().max()))


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=["single", "double"])
@pytest.mark.parametrize("name", CASES)
def test_rust_and_the_twin_agree(name, dtype, bound, training):
    case = CASES[name]
    rust = case.network(backend="libtorch").to(dtype).train(training)
    twin = copy.deepcopy(rust)
    twin.backend = "torch"
    outputs, gradients, buffers = run(rust, case.inputs(dtype))
    wanted_outputs, wanted_gradients, wanted_buffers = run(twin, case.inputs(dtype))
    assert rust._kernel is not None
    assert twin._kernel is None
    for found, wanted in zip(outputs, wanted_outputs, strict=True):
        assert found.dtype == wanted.dtype
        assert found.stride() == wanted.stride()
        assert difference(found, wanted) <= bound
    # A bias before a normalisation has a gradient of rounding errors alone: the largest of all is the measure.
    largest = max(float(g.abs().max()) for g in wanted_gradients.values() if g is not None)
    for key, wanted in wanted_gradients.items():
        if wanted is None:
            assert gradients[key] is None, key
        else:
            assert difference(gradients[key], wanted, largest) <= bound, key
    for key, wanted in wanted_buffers.items():
        assert torch.allclose(buffers[key], wanted, rtol=bound, atol=bound), key


@pytest.mark.parametrize("name", CASES)
def test_the_reference_has_the_same_names_in_the_state_dict(name):
    network = CASES[name].network()
    operators = [network.operator] if hasattr(network, "operator") else []
    start = {"start": network.start} if hasattr(network, "start") else {}
    twin = getattr(nn.reference, type(network).__name__)(*operators, **start, **network.spec)
    assert not isinstance(twin, _native.Native)
    shapes = [[(key, value.shape) for key, value in each.state_dict().items()] for each in (network, twin)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", CASES)
def test_the_same_seed_gives_the_same_weights_and_half_precision_works_under_autocast(name):
    case = CASES[name]
    network, again = case.network(), case.network()
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    again.backend = "torch"
    network.eval(), again.eval()
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = network(*case.inputs()), again(*case.inputs())
    for a, b in zip(reals(found), reals(wanted), strict=True):
        assert a.dtype == b.dtype
        assert difference(a.float(), b.float()) <= 0.05  # a bf16 number has 8 bits


def test_every_network_has_a_case():
    made = {type(case.network()).__name__ for case in CASES.values()}
    assert made == set(nn.__all__) - {
        "losses",
        "reference",
        "explain",
        "uncertainty",
        "exponential",
        "from_monai",
        "warp",
    }
