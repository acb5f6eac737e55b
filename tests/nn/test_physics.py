"""Networks with physics: what they are before training, what they solve, their gradients and their errors."""

import copy
import pickle

import numpy as np
import pytest
import torch

import spinray
from spinray import Grid, ct, nn
from spinray.errors import DtypeError, InputError
from spinray.operators import Matrix

BACKENDS = ["libtorch", "torch"]
GRID = Grid((24, 20), 2.0)
HALF_TURN = np.linspace(0, np.pi, 40, endpoint=False)
FULL_TURN = np.linspace(0, 2 * np.pi, 60, endpoint=False)
FAN = {"n_cols": 45, "col_spacing": 2.5, "sod": 150.0, "sdd": 250.0}

SCANS = {
    "parallel": ct.ParallelBeam(GRID, HALF_TURN, 33, 2.0),
    "parallel, limited angle": ct.ParallelBeam(GRID, HALF_TURN[:27], 33, 2.0),
    "fan, full": ct.FanBeam(GRID, FULL_TURN, **FAN),
    "fan, short": ct.FanBeam(GRID, np.linspace(0, np.radians(205), 50), **FAN),
    "fan, curved detector": ct.FanBeam(GRID, np.linspace(0, np.radians(205), 50), **FAN, detector="curved"),
    "offset detector": ct.ParallelBeam(GRID, FULL_TURN, 25, 2.0, col_offset=9.0),
    "flipped grid": ct.ParallelBeam(
        Grid((24, 20), 2.0, direction=np.diag([-1.0, 1.0, 1.0]), origin=(-23, 19)), HALF_TURN, 33, 2.0
    ),
    "cone": ct.ConeBeam(Grid((6, 16, 16), 2.0), FULL_TURN, (9, 27), 2.5, sod=150, sdd=250),
}
SMALL = ct.ParallelBeam(Grid((5, 4), 2.0), np.linspace(0, np.pi, 4, endpoint=False), 6, 2.0)


def disc(A):
    """Measurements of a disc off the middle, (1, 1, ...)."""
    y, x = (a.ravel() for a in np.ix_(*A.grid.axis_aligned().axes()[-2:]))
    image = np.broadcast_to(0.02 * (np.hypot(y[:, None] - 3, x + 2) < 12), A.domain_shape)
    return torch.tensor(A(image), dtype=torch.float32)[None, None]


@pytest.mark.filterwarnings("ignore:the views span")  # the limited angle
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SCANS)
def test_an_untrained_fbp_network_is_fbp(name, backend):
    A = SCANS[name]
    y = disc(A).expand(2, -1, *A.range_shape)
    for options in ({}, {"filter": "hann", "cutoff": 0.7}):
        wanted = ct.fbp(A, y, **options)
        found = nn.FBPNet(A, **options, backend=backend)(y).detach()
        assert found.shape == (2, 1, *A.domain_shape)
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    positive = nn.FBPNet(A, relu=True, backend=backend)(y).detach()
    assert torch.allclose(positive, ct.fbp(A, y).clamp(min=0), atol=1e-5 * float(positive.max()))


@pytest.mark.filterwarnings("ignore:the views span")  # the limited angle
def test_the_back_projection_of_fbp_is_adjoint_and_linear():
    for A in SCANS.values():
        spinray.testing.assert_adjoint(ct.FilteredBackprojection(A, short_scan=False).steps().backprojection)


def test_weights_of_an_fbp_network_act_ray_by_ray_and_lag_by_lag():
    A = SCANS["fan, short"]
    network = nn.FBPNet(A).double()
    y = torch.rand(1, 1, *A.range_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        network.view_weights.copy_(torch.rand(network.view_weights.shape))
        network.row_weights.copy_(torch.rand(network.row_weights.shape))
        network.kernel.copy_(torch.rand(network.kernel.shape))
    weighted = (y * network.view_weights * network.row_weights)[0, 0].detach().numpy()
    kernel = network.kernel.detach().numpy()
    rows = np.array([np.convolve(row, kernel)[44:89] for row in weighted])
    wanted = network.backprojection(rows) * network.scale
    assert np.allclose(network(y)[0, 0].detach().numpy(), wanted, rtol=1e-9, atol=1e-12 * np.abs(wanted).max())


def small(name, backend="auto", **options):
    """A tiny network in double precision."""
    torch.manual_seed(1)
    start = ct.FilteredBackprojection(SMALL)
    makes = {
        "FBPNet": lambda: nn.FBPNet(SMALL, backend=backend),
        "LEARN": lambda: nn.LEARN(SMALL, steps=2, features=2, kernel=3, backend=backend, **options),
        "LearnedPrimalDual": lambda: nn.LearnedPrimalDual(
            SMALL, steps=2, memory=2, features=2, start=start, backend=backend, **options
        ),
        "MoDL": lambda: nn.MoDL(SMALL, steps=2, features=2, layers=2, cg_steps=3, backend=backend, **options),
    }
    network = makes[name]().double()
    with torch.no_grad():
        for parameter in network.parameters():  # away from zeros and kinks
            parameter += 0.1 * torch.randn_like(parameter)
    return network


NETWORKS = ["FBPNet", "LEARN", "LearnedPrimalDual", "MoDL"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_finite_differences(name, backend):
    network = small(name, backend)
    y = torch.rand(2, 1, *SMALL.range_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weights = list(network.parameters())
    torch.autograd.gradcheck(lambda y, *_: network(y), (y.requires_grad_(), *weights), fast_mode=True)


def test_learned_primal_dual_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in nn.LearnedPrimalDual(SMALL).parameters()) == 253_220  # "2.4e5", a quarter million


@pytest.mark.parametrize("backend", BACKENDS)
def test_learned_primal_dual_starts_from_its_start(backend):
    network = nn.LearnedPrimalDual(SMALL, start=ct.FilteredBackprojection(SMALL), steps=2, backend=backend)
    for iteration in network.iterations:
        torch.nn.init.zeros_(iteration.primal[-1].weight)
    y = torch.rand(1, 1, *SMALL.range_shape)
    assert torch.allclose(network(y), ct.fbp(SMALL, y), rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_learned_primal_dual_is_algorithm_3_of_the_paper(backend):
    network = small("LearnedPrimalDual", backend)
    y = torch.rand(2, 1, *SMALL.range_shape, dtype=torch.float64)
    norm = SMALL.norm()
    f1 = f2 = ct.fbp(SMALL, y) * norm
    h1 = h2 = torch.zeros_like(y)
    for iteration in network.iterations:
        dual = iteration.dual(torch.cat([h1, h2, SMALL(f2) / norm, y], 1))
        h1, h2 = h1 + dual[:, :1], h2 + dual[:, 1:]
        primal = iteration.primal(torch.cat([f1, f2, SMALL.adjoint(h1) / norm], 1))
        f1, f2 = f1 + primal[:, :1], f2 + primal[:, 1:]
    assert torch.allclose(network(y), f1 / norm, rtol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_learn_without_its_regulariser_is_gradient_descent(backend):
    A = SCANS["parallel"]
    network = nn.LEARN(A, steps=3, features=2, backend=backend)
    for iteration in network.iterations:
        torch.nn.init.zeros_(iteration.regulariser[-1].weight)
        torch.nn.init.constant_(iteration.rate, 0.7)
    y = disc(A)
    x, norm = ct.fbp(A, y), A.norm()
    for _ in range(3):
        x = x - 0.7 / norm**2 * A.adjoint(A(x) - y)
    assert (network(y) - x).abs().max() <= 1e-5 * x.abs().max()


def modl(cg_steps, weight=0.05, **options):
    network = nn.MoDL(SMALL, steps=1, features=2, layers=2, weight=weight, cg_steps=cg_steps, **options).double()
    torch.nn.init.zeros_(network.noise[-1].weight)
    torch.nn.init.constant_(network.log_weight, np.log(weight))  # in double
    torch.nn.init.constant_(network.noise[-1].bias, -0.3)  # the denoiser adds 0.3: z is not zero
    return network


def matrix():
    """SMALL, divided by its norm, as a matrix."""
    A = SMALL.as_scipy() @ np.eye(20)
    return A / SMALL.norm()


@pytest.mark.parametrize("backend", BACKENDS)
def test_modl_solves_the_normal_equations(backend):
    A = matrix()
    y = torch.rand(3, 1, *SMALL.range_shape, dtype=torch.float64)
    y[1] = 0  # solved at once where z is its own solution, which must not end in 0 / 0
    for weight in (0.05, 2.0):
        found = modl(60, weight, backend=backend)(y) * SMALL.norm()
        right = y.reshape(3, -1).numpy() @ A + weight * 0.3
        wanted = np.linalg.solve(A.T @ A + weight * np.eye(20), right.T).T
        assert np.allclose(found.detach().reshape(3, -1).numpy(), wanted, rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_through_converged_steps_are_those_of_the_implicit_function(backend):
    A, weight = matrix(), 0.05
    network = modl(60, backend=backend)
    y = torch.rand(2, 1, *SMALL.range_shape, dtype=torch.float64, requires_grad=True)
    g = torch.randn(2, 1, *SMALL.domain_shape, dtype=torch.float64)
    x = network(y) * SMALL.norm()
    (x * g).sum().backward()
    # x = M^-1 (A'y + w z), M = A'A + w:  dy = A v, dw = v . (z - x) with v = M^-1 g.
    v = np.linalg.solve(A.T @ A + weight * np.eye(20), g.reshape(2, -1).numpy().T).T
    assert np.allclose(y.grad.reshape(2, -1).numpy(), v @ A.T, rtol=1e-7)
    wanted = weight * float((v * (0.3 - x.detach().reshape(2, -1).numpy())).sum())
    assert float(network.log_weight.grad) == pytest.approx(wanted, rel=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_modl_of_nothing_is_finite(backend):
    network = nn.MoDL(SMALL, steps=2, features=2, layers=2, backend=backend)
    for layer in (network.noise[0], network.noise[-1]):
        torch.nn.init.zeros_(layer.bias)
    x = network(torch.zeros(1, 1, *SMALL.range_shape))
    assert not x.any()
    x.sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", NETWORKS[1:])
def test_recomputing_changes_no_gradient(name):
    y = torch.rand(2, 1, *SMALL.range_shape, dtype=torch.float64)
    gradients = []
    for recompute in (False, True):
        network = small(name, recompute=recompute)
        network(y).square().sum().backward()
        assert (network._kernel is None) == recompute
        gradients.append([p.grad for p in network.parameters()])
        with torch.no_grad():
            network(y)
        assert network._kernel is not None
    for stored, recomputed in zip(*gradients, strict=True):
        assert torch.allclose(stored, recomputed, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_copies_and_pickles_contain_the_operator(name):
    network = small(name)
    y = torch.rand(1, 1, *SMALL.range_shape, dtype=torch.float64)
    wanted = network(y)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(y), wanted)
        assert other.operator is not network.operator
    options = {} if name != "LearnedPrimalDual" else {"start": network.start}
    again = type(network)(network.operator, **network.spec, **options).double()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(y), wanted)


@pytest.mark.parametrize("name", NETWORKS)
def test_functorch_sees_the_twin(name):
    network = small(name)
    y = torch.rand(1, 1, *SMALL.range_shape, dtype=torch.float64)
    direction = torch.rand_like(y)
    _, derivative = torch.func.jvp(network, (y,), (direction,))
    step = 1e-6
    wanted = (network(y + step * direction) - network(y - step * direction)) / (2 * step)
    assert torch.allclose(derivative, wanted, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_networks_are_the_twin(name):
    network = small(name)
    y = torch.rand(1, 1, *SMALL.range_shape, dtype=torch.float64)
    compiled = torch.compile(network, backend="aot_eager")
    found, wanted = compiled(y), network(y)
    assert torch.allclose(found, wanted, rtol=1e-10)
    weights = list(network.parameters())
    pairs = zip(*(torch.autograd.grad(x.square().sum(), weights) for x in (found, wanted)), strict=True)
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in pairs)


def test_any_real_operator_will_do():
    matrix = Matrix(np.random.default_rng(1).standard_normal((12, 9)), (3, 3), (12,))
    for network in (nn.LEARN(matrix, steps=2), nn.LearnedPrimalDual(matrix, steps=2), nn.MoDL(matrix, steps=2)):
        twin = copy.deepcopy(network)
        twin.backend = "torch"
        y = torch.rand(2, 1, 12)
        assert network(y).shape == (2, 1, 3, 3)
        assert torch.allclose(network(y), twin(y), atol=1e-5)


def test_units_do_not_matter():
    y = torch.rand(1, 1, *SMALL.range_shape)
    for make in (nn.LearnedPrimalDual, nn.MoDL):
        torch.manual_seed(1)
        network = make(SMALL, steps=2)
        torch.manual_seed(1)
        scaled = make(1000 * SMALL, steps=2)
        wanted = network(y).detach()
        assert (1000 * scaled(y) - wanted).abs().max() <= 1e-3 * wanted.abs().max()


def test_errors_name_what_does_not_fit():
    network = nn.LearnedPrimalDual(SMALL, steps=1)
    with pytest.raises(InputError, match=r"y: expected shape \(batch, 1, 4, 6\) .* got \(1, 1, 4, 7\)"):
        network(torch.zeros(1, 1, 4, 7))
    with pytest.raises(InputError, match=r"y: expected shape"):
        nn.FBPNet(SMALL)(torch.zeros(1, 4, 6))
    with pytest.raises(DtypeError, match=r"y: is torch\.float64"):
        network(torch.zeros(1, 1, 4, 6, dtype=torch.float64))
    with pytest.raises(InputError, match=r"start: expected an operator \(4, 6\) -> \(5, 4\)"):
        nn.MoDL(SMALL, start=SMALL)
    with pytest.raises(DtypeError, match="A: expected a spinray LinearOperator, got ndarray"):
        nn.LEARN(np.eye(3))
    with pytest.raises(DtypeError, match="real operator"):
        nn.MoDL(1j * SMALL)
    with pytest.raises(InputError, match="norm above 0"):
        nn.MoDL(0 * SMALL)
    with pytest.raises(InputError, match="dimensions"):
        nn.MoDL(Matrix(np.eye(16), (2, 2, 2, 2), (16,)))
    with pytest.raises(DtypeError, match="ParallelBeam, FanBeam or ConeBeam"):
        nn.FBPNet(2 * SMALL)
    with pytest.raises(InputError, match="odd"):
        nn.LEARN(SMALL, kernel=4)
    with pytest.raises(InputError, match=r"state_dict: 'view_weights' has shape \(60, 45\)"):
        nn.FBPNet(SMALL).load_state_dict(nn.FBPNet(SCANS["fan, full"]).state_dict())
