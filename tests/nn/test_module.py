"""Networks have the manners of any torch module, whether Rust or PyTorch computes them."""

import copy
import inspect
import io
import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations, prune

from nn.networks import CASES, SCAN
from spinray import nn
from spinray.errors import DtypeError, InputError
from spinray.nn import _native

#: One of each manner: batch normalisation and skips, dropout, complex numbers, several inputs and outputs.
NAMES = ["unet", "mlp", "complex mlp", "voxelmorph"]

#: Networks with physics, whose spec holds operators.
WITH_OPERATORS = {"fbp", "learn", "primal-dual", "modl"}


def made(name, dtype=torch.float64, **options):
    """A network of the shared cases, in double, and its inputs."""
    case = CASES[name]
    return case.network(**options).to(dtype), case.inputs(dtype)


def error(network, inputs):
    """Mean square of the outputs' distance from one."""
    outputs = network(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return sum((y - 1).abs().square().mean() for y in outputs)


def train(network, inputs, optimiser, steps=8, schedule=None):
    """Losses of some steps; the same random numbers in each run."""
    torch.manual_seed(5)
    losses = []
    for _ in range(steps):
        loss = error(network, inputs)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if schedule is not None:
            schedule.step()
        losses.append(float(loss.detach()))
    return losses


def adam(network):
    return torch.optim.Adam(network.parameters(), 1e-2)


def equal(a, b, bound=1e-9):
    """Whether two modules have the same weights and buffers."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.allclose(x, y, rtol=bound, atol=bound) for x, y in pairs)


def ran_in_rust(network, *inputs):
    """Outputs, after which it is known that Rust made them, and not the layers one by one."""
    seen = []
    inner = next(layer for layer in network.modules() if not list(layer.children()))
    original = type(inner).forward
    type(inner).forward = lambda self, *args: seen.append(self) or original(self, *args)
    try:
        outputs = network(*inputs)
    finally:
        type(inner).forward = original
    return outputs, not seen


OPTIMISERS = {
    "SGD": lambda w: torch.optim.SGD(w, 1e-2, momentum=0.9, nesterov=True),
    "Adam": lambda w: torch.optim.Adam(w, 1e-2),
    "fused AdamW": lambda w: torch.optim.AdamW(w, 1e-2, fused=True),
    "RMSprop": lambda w: torch.optim.RMSprop(w, 1e-3),
}


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("name", ["unet", "mlp", "complex mlp"])
def test_optimisers_train_and_take_the_twin_s_steps(name, optimiser):
    rust, inputs = made(name, backend="libtorch")
    twin = made(name, backend="torch")[0]
    losses = train(rust, inputs, OPTIMISERS[optimiser](rust.parameters()))
    assert losses[-1] < 0.9 * losses[0]
    assert train(twin, inputs, OPTIMISERS[optimiser](twin.parameters())) == pytest.approx(losses, rel=1e-6)
    assert equal(rust, twin, 1e-5)


@pytest.mark.parametrize("name", ["mlp linear", "unet"])
def test_schedules_and_lbfgs_work(name):
    network, inputs = made(name)
    optimiser = adam(network)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 8)
    train(network, inputs, optimiser, 8, schedule)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)
    optimiser = torch.optim.LBFGS(network.parameters(), max_iter=30, line_search_fn="strong_wolfe")
    before = float(error(network, inputs).detach())

    def closure():
        optimiser.zero_grad()
        loss = error(network, inputs)
        loss.backward()
        return loss

    optimiser.step(closure)
    assert float(error(network, inputs).detach()) < 0.5 * before


@pytest.mark.parametrize("name", [name for name in CASES if name.split()[0] not in WITH_OPERATORS])
def test_the_spec_is_plain_and_makes_the_same_layers(name):
    network = CASES[name].network()
    again = type(network)(**json.loads(json.dumps(network.spec)))
    assert again.spec == network.spec
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in network.state_dict().items()}
    again.load_state_dict(network.state_dict())
    assert equal(again, network, 0)


@pytest.mark.parametrize("name", NAMES)
def test_state_dicts_travel_by_file_between_rust_and_twin(name):
    network, inputs = made(name, backend="libtorch")
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = made(name, backend="torch")[0]
    for weight in other.parameters():
        torch.nn.init.zeros_(weight)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert equal(network, other, 0)
    assert torch.allclose(error(network.eval(), inputs), error(other.eval(), inputs), rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_safetensors_keep_the_weights(name, tmp_path):
    files = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    network, inputs = made(name)
    other = made(name)[0]
    train(network, inputs, adam(network), 1)
    assert not equal(network, other)
    files.save_file(network.state_dict(), str(tmp_path / "weights.safetensors"))
    other.load_state_dict(files.load_file(str(tmp_path / "weights.safetensors")))
    assert equal(network, other, 0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
@pytest.mark.parametrize("name", NAMES)
def test_copies_train_by_themselves_and_alike(name, copied):
    network, inputs = made(name, backend="libtorch")
    train(network, inputs, adam(network), 1)  # the native object exists
    twin, clone = copy.deepcopy(network), copied(network)
    train(clone, inputs, adam(clone))
    assert equal(network, twin, 0)
    assert not equal(clone, network)
    train(network, inputs, adam(network))
    assert equal(clone, network, 0)
    assert type(clone) is type(network)
    _, rust = ran_in_rust(clone.eval(), *inputs)
    assert rust


@pytest.mark.parametrize("name", NAMES)
def test_precision_follows_the_weights(name):
    network, inputs = made(name, torch.float32)
    for dtype in (torch.float64, torch.float32):
        network = network.double() if dtype is torch.float64 else network.float()
        outputs = network(*CASES[name].inputs(dtype))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        assert {y.real.dtype for y in outputs} == {dtype}
    assert network.to("cpu") is network
    assert {weight.device.type for weight in network.to("meta").parameters()} == {"meta"}
    with pytest.raises(DtypeError, match="is on cpu, the network on meta"):
        network(*inputs)


@pytest.mark.parametrize("name", NAMES)
def test_moving_averages_of_the_weights(name):
    network, inputs = made(name)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5), use_buffers=True
    )
    key, weight = next(iter(network.named_parameters()))
    average.update_parameters(network)
    first = weight.detach().clone()
    train(network, inputs, adam(network), 2)
    average.update_parameters(network)
    assert torch.allclose(average.module.get_parameter(key), (first + weight.detach()) / 2)
    assert torch.isfinite(error(average.eval(), inputs).detach())


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_gives_the_same_gradients(name):
    network, inputs = made(name)
    inputs = tuple(x.requires_grad_() for x in inputs)
    gradients = []
    for call in (network, lambda *x: torch.utils.checkpoint.checkpoint(network, *x, use_reentrant=False)):
        again = copy.deepcopy(network)
        torch.manual_seed(0)
        gradients.append(torch.autograd.grad(error(call, inputs), [*inputs, *network.parameters()]))
        network.load_state_dict(again.state_dict())  # running statistics
    for found, wanted in zip(*gradients, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_no_graph_is_recorded_without_gradients(name):
    network, inputs = made(name, backend="libtorch")
    with torch.no_grad():
        assert not error(network, inputs).requires_grad
    with torch.inference_mode():
        assert error(network, inputs).is_inference()
    assert error(network, inputs).requires_grad


@pytest.mark.parametrize("backend", ["libtorch", "torch"])
@pytest.mark.parametrize("name", ["unet", "mlp", "voxelmorph"])
def test_half_precision_trains(name, backend):
    network, inputs = made(name, torch.float32, backend=backend)
    optimiser, losses = adam(network), []
    for _ in range(8):
        with torch.autocast("cpu", torch.bfloat16):
            loss = error(network, inputs)
        optimiser.zero_grad()
        loss.backward()
        assert {weight.grad.dtype for weight in network.parameters()} == {torch.float32}
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("name", "backend"),
    [("unet", "eager"), ("voxelmorph", "eager"), ("mlp drone", "aot_eager"), ("srcnn", "aot_eager")],
)
def test_compile_sees_one_graph_of_the_twin(name, backend):
    """Code for the graph is then torch's affair: generating it takes long."""
    network, inputs = made(name, torch.float32)
    network.eval()
    compiled = torch.compile(network, backend=backend, fullgraph=True)
    found, wanted = error(compiled, inputs), error(network, inputs)
    assert torch.allclose(found, wanted, rtol=1e-4)
    gradients = [torch.autograd.grad(loss, list(network.parameters())) for loss in (found, wanted)]
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["unet", "mlp", "voxelmorph"])
def test_export_gives_the_network_s_outputs(name):
    network, inputs = made(name, torch.float32)
    network.eval()
    program = torch.export.export(network, inputs)
    assert torch.allclose(error(program.module(), inputs), error(network, inputs), rtol=1e-4)
    assert set(program.state_dict) == set(network.state_dict())


def test_functional_calls_take_other_weights():
    network, inputs = made("unet", backend="libtorch")
    other = {key: 0.5 * value if value.is_floating_point() else value for key, value in network.state_dict().items()}
    wanted = copy.deepcopy(network)
    wanted.load_state_dict(other)
    found, rust = ran_in_rust(lambda_module(network, other), *inputs)
    assert torch.allclose(found, wanted(*inputs), rtol=1e-10)
    assert rust


class lambda_module(torch.nn.Module):
    """A network called with weights that are not its own."""

    def __init__(self, network, weights):
        super().__init__()
        self.network, self.weights = network, weights

    def forward(self, *inputs):
        return torch.func.functional_call(self.network, self.weights, inputs)


@pytest.mark.parametrize("name", ["unet", "srcnn", "mlp drone"])
def test_transforms_of_functions(name):
    network, (x,) = made(name)
    network.eval()
    found = torch.func.vmap(lambda image: network(image[None])[0])(x)
    assert torch.allclose(found, network(x), rtol=1e-8, atol=1e-12)
    weights = dict(network.named_parameters())

    def loss(weights, image):
        return torch.func.functional_call(network, weights, (image[None],)).square().sum()

    per_sample = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, x)
    network.zero_grad()
    network(x).square().sum().backward()
    for key, weight in weights.items():
        assert torch.allclose(per_sample[key].sum(0), weight.grad, rtol=1e-8, atol=1e-10), key


@pytest.mark.parametrize("name", ["unet", "learn"])
def test_tangents_go_forward(name):
    network, (x,) = made(name)
    network.eval()
    direction = torch.randn_like(x)
    with torch.autograd.forward_ad.dual_level():
        y = network(torch.autograd.forward_ad.make_dual(x, direction))
        found = torch.autograd.forward_ad.unpack_dual(y).tangent
    assert torch.allclose(found, torch.func.jvp(network, (x,), (direction,))[1], rtol=1e-10, atol=1e-14)
    step = 1e-6 * direction
    assert torch.allclose(found, (network(x + step) - network(x - step)) / 2e-6, rtol=1e-4, atol=1e-7)
    _, rust = ran_in_rust(network, x)
    assert rust


def test_jacobians_of_functions():
    network, (x,) = made("mlp drone")
    jacobian = torch.func.jacrev(network)(x[0])
    assert torch.allclose(jacobian, torch.func.jacfwd(network)(x[0]), rtol=1e-10)
    assert torch.allclose(jacobian, torch.autograd.functional.jacobian(network, x[0]), rtol=1e-10)
    assert jacobian.abs().max() > 0


@pytest.mark.parametrize("name", ["patchgan 3d", "mlp drone", "unet"])
def test_gradients_of_gradients(name):
    """The penalty of a Wasserstein critic."""
    rust, inputs = made(name, backend="libtorch")
    twin = made(name, backend="torch")[0]
    penalties = []
    for network in (rust.eval(), twin.eval()):
        (x,) = (x.clone().requires_grad_() for x in inputs)
        (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        ((slope.flatten(1).norm(dim=1) - 1).square().mean()).backward()
        penalties.append([weight.grad for weight in network.parameters()])
    for found, wanted in zip(*penalties, strict=True):
        assert (found is None) is (wanted is None)
        assert found is None or torch.allclose(found, wanted, rtol=1e-8, atol=1e-12)


def test_weights_are_stored_as_torch_s_own_functions_expect():
    network = nn.UNet(features=2, levels=1)
    vector = torch.nn.utils.parameters_to_vector(network.parameters())
    torch.nn.utils.vector_to_parameters(2 * vector, network.parameters())
    assert torch.equal(torch.nn.utils.parameters_to_vector(network.parameters()), 2 * vector)


def changed_is_the_twin(network, inputs):
    """Check that a changed network computes what its layers compute."""
    found, rust = ran_in_rust(network, *inputs)
    assert not rust
    before, network.backend = network.backend, "torch"
    assert torch.allclose(found, network(*inputs), rtol=1e-12)
    network.backend = before
    return found


def test_hooks_on_layers_fire():
    network, inputs = made("unet")
    plain = copy.deepcopy(network)(*inputs)
    seen = []
    handle = network.head.register_forward_hook(lambda module, inputs, output: seen.append(output.shape) or 2 * output)
    assert torch.allclose(network(*inputs), 2 * plain, rtol=1e-10)
    assert len(seen) == 1
    handle.remove()
    _, rust = ran_in_rust(network, *inputs)
    assert rust
    assert len(seen) == 1


def test_backward_hooks_on_layers_fire():
    network, inputs = made("unet")
    seen = []
    layers = [layer for layer in network.modules() if type(layer) not in (type(network), torch.nn.ModuleList)]
    for layer in layers:
        layer.register_full_backward_hook(lambda module, given, taken: seen.append(module))
    error(network, tuple(x.requires_grad_() for x in inputs)).backward()
    assert set(seen) == set(layers)


def test_hooks_on_the_network_itself_fire_with_rust():
    network, inputs = made("unet")
    seen = []
    network.register_forward_hook(lambda module, inputs, output: seen.append("forward"))
    network.register_full_backward_hook(lambda module, given, taken: seen.append("backward"))
    y, rust = ran_in_rust(network, *(x.requires_grad_() for x in inputs))
    y.sum().backward()
    assert rust
    assert seen == ["forward", "backward"]


def test_normalisation_can_be_frozen_in_training():
    network, inputs = made("unet")
    train(network, inputs, adam(network), 2)
    frozen = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for layer in frozen:
        layer.eval()
    before = [layer.running_mean.clone() for layer in frozen]
    found = changed_is_the_twin(network, inputs)
    assert torch.allclose(found, network.eval()(*inputs), rtol=1e-10)
    assert all(torch.equal(a, b.running_mean) for a, b in zip(before, frozen, strict=True))


def test_a_replaced_layer_is_used():
    network, inputs = made("unet")
    network.head = torch.nn.Sequential(network.head, torch.nn.Sigmoid())
    y = changed_is_the_twin(network, inputs)
    assert ((y > 0) & (y < 1)).all()


@pytest.mark.parametrize(
    "change",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    ],
    ids=["weight norm", "spectral norm", "prune"],
)
def test_parametrised_and_pruned_weights(change):
    network, inputs = made("unet")
    network.eval()  # spectral norm takes a step of its power iteration in training
    plain = network(*inputs)
    change(network.encoder[0][3])
    y = changed_is_the_twin(network, inputs)
    # Weight norm changes nothing until it is trained.
    assert torch.allclose(y, plain, rtol=1e-8) is (change is parametrizations.weight_norm)
    y.sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize(
    ("name", "kind", "setting", "value"),
    [
        ("mlp", torch.nn.Dropout, "p", 0.0),
        ("unet", torch.nn.BatchNorm2d, "eps", 1.0),
        ("unet", torch.nn.BatchNorm2d, "momentum", None),
        ("unet", torch.nn.Conv2d, "padding_mode", "circular"),
    ],
)
def test_layers_set_otherwise_compute_so(name, kind, setting, value):
    network, inputs = made(name)
    _, rust = ran_in_rust(network, *inputs)
    assert rust
    for layer in network.modules():
        if isinstance(layer, kind):
            setattr(layer, setting, value)
    changed_is_the_twin(network, inputs)


def test_running_statistics_taken_anew_are_the_twin_s():
    """``update_bn`` sets the momentum to None for the time it takes: the mean over all batches."""
    found = []
    for backend in ("libtorch", "torch"):
        network, (x,) = made("unet", backend=backend)
        torch.optim.swa_utils.update_bn([x, 3 * x + 1, -x], network)
        found.append(network)
        _, rust = ran_in_rust(network, x)
        assert rust is (backend == "libtorch")
    assert equal(*found, 1e-12)


def test_frozen_weights_stay():
    network, inputs = made("unet", backend="libtorch")
    network.encoder.requires_grad_(False)
    before = [weight.clone() for weight in network.encoder.parameters()]
    train(network, inputs, torch.optim.Adam([w for w in network.parameters() if w.requires_grad], 1e-2), 2)
    assert all(torch.equal(a, b) for a, b in zip(before, network.encoder.parameters(), strict=True))
    assert all(weight.grad is None for weight in network.encoder.parameters())


class Denoised(torch.utils.data.Dataset):
    """Images a network has been applied to, where the loader's process is."""

    def __init__(self, network, images):
        self.network, self.images = network, images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        with torch.no_grad():
            return self.network(self.images[index : index + 1])[0]


def test_workers_of_a_loader_use_networks():
    network, (x,) = made("unet")
    network.eval()
    with torch.no_grad():
        wanted = network(x)  # the native object exists, and stays behind
    dataset = Denoised(network, x)
    loader = torch.utils.data.DataLoader(dataset, num_workers=1, multiprocessing_context="fork")
    assert torch.allclose(torch.cat(list(loader)), wanted, rtol=1e-10)
    again = pickle.loads(pickle.dumps(dataset))  # what other ways to start a worker do
    assert torch.allclose(again[0], wanted[0], rtol=1e-10)


@pytest.fixture
def fresh_module():
    """Forget which native module there is, before and after."""
    caches = (_native.libtorch, _native._libtorch_if_there)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_without_the_native_module_libtorch_says_how_to_get_it(fresh_module, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(_native.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"came without spinray\._torch: install torch==2\.\d+\.\* first"):
        nn.MLP(3, 2, backend="libtorch")


def test_with_another_torch_libtorch_says_which_to_install(fresh_module, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    with pytest.raises(ImportError, match=r"needs torch 2\.\d+\.\*, found 2\.99\.0\. Install torch==2\.\d+\.\*"):
        nn.MLP(3, 2, backend="libtorch")


def test_with_another_torch_networks_run_in_pytorch_after_one_warning(fresh_module, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in ("unet", "mlp drone", "unet"):
            network, inputs = made(name)
            changed_is_the_twin(network, inputs)
            network(*inputs)
    (warning,) = caught
    assert "networks run in PyTorch instead of Rust: spinray._torch needs torch" in str(warning.message)


def test_a_network_says_what_it_is():
    text = repr(nn.UNet(features=4, levels=1))
    assert text.startswith("UNet(")
    assert "features=4, levels=1" in text
    assert "backend='auto'" in text


def test_documentation_and_signature_are_the_twin_s_and_the_backend():
    assert nn.MLP.__doc__.startswith("Multi-layer perceptron")
    assert '\nbackend\n    ``"auto"``: Rust' in nn.MLP.__doc__
    assert "\n\nRaises\n------\n" in nn.MLP.__doc__
    names = list(inspect.signature(nn.MLP).parameters)
    assert names == [*inspect.signature(nn.reference.MLP).parameters, "backend"]


@pytest.mark.parametrize("backend", ["libtorch", "torch"])
@pytest.mark.parametrize(
    ("shape", "dtype", "wanted", "message"),
    [
        ((1, 3, 16, 16), torch.float32, InputError, r"x: expected shape \(batch, 2, y, x\) for UNet, got \(1, 3, 16"),
        ((2, 16, 16), torch.float32, InputError, r"expected shape \(batch, 2, y, x\) for UNet, got \(2, 16, 16\)"),
        ((1, 2, 4, 16, 16), torch.float32, InputError, r"got \(1, 2, 4, 16, 16\)"),
        ((1, 2, 0, 16), torch.float32, InputError, r"x: expected sizes of at least 1 for UNet, got \(0, 16\)"),
        ((1, 2, 16, 16), torch.float64, DtypeError, r"x: is torch\.float64, the network torch\.float32\. Use x\.to"),
        ((1, 2, 16, 16), torch.int64, DtypeError, r"x: is torch\.int64"),
    ],
)
def test_bad_input_is_named(shape, dtype, wanted, message, backend):
    network = nn.UNet(2, 1, features=2, levels=1, backend=backend)
    with pytest.raises(wanted, match=message) as caught:
        network(torch.zeros(shape, dtype=dtype))
    assert "\n" not in str(caught.value)
    with pytest.raises(DtypeError, match="x: is on meta, the network on cpu"):
        network(torch.zeros((1, 2, 16, 16), device="meta"))
    with pytest.raises((InputError, TypeError), match=r"2 inputs|positional"):
        network(torch.zeros(1, 2, 16, 16), torch.zeros(1, 2, 16, 16))


@pytest.mark.parametrize("name", ["unet", "mlp", "complex mlp", "automap", "voxelmorph", "fbp", "learn"])
def test_input_that_is_no_tensor_is_named(name):
    network, inputs = made(name)
    first = next(iter(inspect.signature(network.forward).parameters))
    for other, kind in ((inputs[0].numpy(), "ndarray"), (inputs[0].tolist(), "list"), (None, "NoneType")):
        with pytest.raises(DtypeError, match=f"^{first}: expected a torch tensor, got {kind}$"):
            network(other, *inputs[1:])


def numpy_s(value):
    """A plain value as numpy has it, integers of 8 bits."""
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.int8(value)
    return tuple(map(numpy_s, value)) if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", [name for name in CASES if name.split()[0] not in WITH_OPERATORS])
def test_numpy_s_integers_and_booleans_are_plain_ones(name):
    network, inputs = made(name)
    given = {key: value if key == "dim" else numpy_s(value) for key, value in network.spec.items()}
    again = type(network)(**given).double()
    assert json.dumps(again.spec) == json.dumps(network.spec)
    again.load_state_dict(network.state_dict())
    assert torch.allclose(error(again.eval(), inputs), error(network.eval(), inputs), rtol=1e-12)


def test_widths_do_not_overflow_the_integers_they_are_given_in():
    assert nn.UNet(features=np.int8(16), levels=3).encoder[-1][0].out_channels == 128


@pytest.mark.parametrize("value", [1, 0, "yes", None])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (nn.UNet, "residual"),
        (nn.UNet, "attention"),
        (lambda **k: nn.FBPNet(SCAN, **k), "relu"),
        (lambda **k: nn.LEARN(SCAN, **k), "recompute"),
        (lambda **k: nn.LearnedPrimalDual(SCAN, **k), "recompute"),
        (lambda **k: nn.MoDL(SCAN, **k), "recompute"),
    ],
)
def test_booleans_are_booleans(make, name, value):
    with pytest.raises(DtypeError, match=f"{name}: expected True or False, got {value!r}"):
        make(**{name: value})


def test_what_libtorch_refuses_is_one_line():
    network = nn.UNet(features=2, levels=1, backend="libtorch")
    network.head.weight = torch.nn.Parameter(torch.zeros(1, 3, 1, 1))
    with pytest.raises(RuntimeError, match="channels") as caught:
        network(torch.zeros(1, 1, 8, 8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", ["libtorch", "torch"])
@pytest.mark.parametrize("name", ["srcnn", "unet", "mlp drone", "complex mlp"])
def test_nan_comes_out_where_it_went_in(name, backend):
    network, (x,) = made(name, backend=backend)
    x[0] = float("nan")
    y = network.eval()(x)
    assert torch.isnan(y[0]).any()
    assert not torch.isnan(y[1:]).any()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda: nn.DnCNN(depth=4, features=4),
            r"'layers.8.weight' has shape \(1, 4, 3, 3\)",
        ),
        (lambda: nn.DnCNN(depth=2, features=4), r"'layers.2.weight' has shape \(1, 4, 3, 3\)"),
        (lambda: nn.DnCNN(depth=5, features=8), r"'layers.0.weight' has shape \(8, 1, 3, 3\), DnCNN needs \(4, 1, 3"),
        (lambda: nn.SRCNN(features=(4, 4), kernels=(3, 3, 3)), r"'layers.2.weight' has shape \(1, 4, 3, 3\)"),
        (lambda: torch.nn.Sequential(torch.nn.Linear(2, 2)), "has no 'layers.0.weight', which DnCNN needs"),
    ],
)
def test_weights_of_another_network_name_the_first_entry_that_differs(other, message):
    network = nn.DnCNN(depth=5, features=4)
    before = copy.deepcopy(network)
    with pytest.raises(InputError, match=message):
        network.load_state_dict(other().state_dict())
    assert equal(network, before, 0)
    more = {**network.state_dict(), "layers.99.weight": torch.zeros(1)}
    with pytest.raises(InputError, match=r"state_dict: 'layers\.99\.weight' is no entry of DnCNN"):
        network.load_state_dict(more)
    assert network.load_state_dict(more, strict=False).unexpected_keys == ["layers.99.weight"]
