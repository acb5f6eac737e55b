"""Operators inside ``torch.compile``: the whole graph in one piece, and never a wrong derivative."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
# E402 below: without torch the module is skipped before anything of it is needed.
import torch.autograd.forward_ad as forward_ad  # noqa: E402  after importorskip

from spinray.errors import InputError  # noqa: E402  after importorskip
from spinray.operators import LinearOperator, Matrix, vstack  # noqa: E402  after importorskip

# torch.compile warns about its own insides, and takes a warning turned error for a failure to compile.
pytestmark = pytest.mark.filterwarnings("ignore")

RNG = np.random.default_rng(0)
REAL = RNG.standard_normal((5, 6))
DENSE = torch.tensor(REAL)
A = Matrix(REAL)
C = Matrix(REAL + 1j * RNG.standard_normal((5, 6)))
S = vstack([A, 2 * A])


@pytest.fixture(autouse=True)
def _forget_compiled_code():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(f, **options):
    # aot_eager traces and differentiates as the default backend does, and spares the C++ compiler.
    return torch.compile(f, backend="aot_eager", **{"fullgraph": True, **options})


def random(*shape, **options):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1), **options)


def misfit_step(x):
    return x - 0.1 * A.adjoint(A(x) - 1.0)


def adjoint_property(x):
    return A.H(A(x).sin())


def normal_operator(x):
    return A.gram()(x) + (2 * A + A).H(torch.ones(5, dtype=torch.float64))


def stacked(x):
    return S.H(S(x).exp())


def complex_values(x):
    return C.adjoint((1j * C)(x)).abs()


def both_parts(x):
    return A(torch.complex(x, x.cos())).abs()


def mapped(x):
    return torch.func.vmap(A)(x)


@pytest.mark.parametrize(
    "f", [misfit_step, adjoint_property, normal_operator, stacked, complex_values, both_parts, mapped]
)
def test_values_and_gradients_are_those_of_eager_code(f):
    x = random(4, 6, requires_grad=True)
    ours, eager = compiled(f)(x), f(x)
    torch.testing.assert_close(ours, eager)
    weights = torch.linspace(1, 2, ours.numel(), dtype=ours.dtype).reshape(ours.shape)
    for each in (ours, eager):
        x.grad = None
        (weights * each.square()).sum().backward()
        if each is ours:
            gradient = x.grad.clone()
    torch.testing.assert_close(gradient, x.grad)


def test_the_default_backend_agrees():
    x = random(3, 6, requires_grad=True)
    try:
        y = torch.compile(misfit_step, fullgraph=True)(x)
    except torch._inductor.exc.InductorError as error:
        pytest.skip(f"no working C++ compiler: {error}")
    torch.testing.assert_close(y, misfit_step(x))


def test_batches_of_another_size_need_no_new_operator():
    f = compiled(misfit_step, dynamic=True)
    for batch in ((3,), (5,), (2, 4), ()):
        x = random(*batch, 6)
        torch.testing.assert_close(f(x), misfit_step(x))


@pytest.mark.parametrize("name", ["jvp", "jacfwd", "jacrev", "hessian", "nested"])
def test_torch_func_inside_is_right_or_refused(name):
    def squared(x):
        return A(x).square().sum()

    def exact(x):
        return (DENSE @ x).square().sum()

    transforms = {
        "jvp": lambda f: lambda x: torch.func.jvp(f, (x,), (torch.ones_like(x),))[1],
        "jacfwd": torch.func.jacfwd,
        "jacrev": torch.func.jacrev,
        "hessian": torch.func.hessian,
        "nested": lambda f: torch.func.jacfwd(torch.func.jacfwd(f)),
    }
    x, transform = random(6), transforms[name]
    with pytest.raises(Exception, match="leave fullgraph=True out"):
        compiled(transform(squared))(x)
    torch._dynamo.reset()
    # torch.library's own custom operators give zeros here.
    torch.testing.assert_close(compiled(transform(squared), fullgraph=False)(x), transform(exact)(x))


def test_forward_mode_inside_and_functions_of_compiled_functions():
    def derivative(f):
        def along(x):
            with forward_ad.dual_level():
                return forward_ad.unpack_dual(f(forward_ad.make_dual(x, torch.ones_like(x)))).tangent

        return along

    x, expected = random(6), REAL.sum(axis=1)
    np.testing.assert_allclose(compiled(derivative(A))(x), expected)
    f = compiled(lambda x: A(x), fullgraph=False)
    np.testing.assert_allclose(torch.func.jvp(f, (x,), (torch.ones_like(x),))[1], expected)
    np.testing.assert_allclose(torch.func.jacrev(f)(x), REAL)


def test_the_custom_operator_keeps_torchs_rules():
    x = random(4, 6, requires_grad=True)
    torch.library.opcheck(torch.ops.spinray.apply, (x, A._handle, False))
    torch.library.opcheck(torch.ops.spinray.apply, (random(5, requires_grad=True), A._handle, True))


def test_a_dead_operator_is_an_error_and_not_another_operator():
    handle = Matrix(np.eye(3))._handle
    with pytest.raises(InputError, match="no longer exists"):
        torch.ops.spinray.apply(torch.ones(3), handle, False)


def test_a_wrong_shape_is_an_error():
    with pytest.raises(Exception, match=r"x: expected shape \(6,\)"):
        compiled(lambda x: A(x))(random(7))


def test_the_kernel_is_called_when_the_graph_runs_and_not_when_it_is_traced():
    calls = []

    class Counting(LinearOperator):
        domain_shape = range_shape = (3,)

        def _forward(self, x):
            calls.append(x.copy())
            return 2 * x

        _adjoint = _forward

    operator = Counting()
    f = compiled(lambda x: operator(x) + 1)
    for x in (torch.ones(3), 5 * torch.ones(3)):
        torch.testing.assert_close(f(x), 2 * x + 1)
    assert [call.ravel().tolist() for call in calls] == [[1.0] * 3, [5.0] * 3]
