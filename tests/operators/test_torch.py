"""Operators on torch tensors: values, and derivatives of every order and mode."""

import copy
import logging

import numpy as np
import pytest

torch = pytest.importorskip("torch")

# E402 below: without torch the module is skipped before anything of it is needed.
from spinray.errors import DtypeError, InputError  # noqa: E402  after importorskip
from spinray.grid import Grid, Volume  # noqa: E402  after importorskip
from spinray.operators import Identity, Matrix, torch_bridge, vstack  # noqa: E402  after importorskip
from spinray.testing import assert_gradient  # noqa: E402  after importorskip

RNG = np.random.default_rng(0)
REAL = RNG.standard_normal((5, 6))
COMPLEX = REAL + 1j * RNG.standard_normal((5, 6))
A, C = Matrix(REAL, domain_shape=(2, 3)), Matrix(COMPLEX, domain_shape=(2, 3))
DENSE, DENSE_COMPLEX = torch.tensor(REAL), torch.tensor(COMPLEX)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.A, self.scale = A, torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.A.adjoint(self.scale * self.A(x))


def random(*shape, dtype=torch.float64, **options):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(1), **options)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.complex64, torch.complex128])
def test_a_tensor_gives_a_tensor_with_numpys_values(dtype):
    x = random(4, 2, 3, dtype=dtype)
    y = A(x)
    assert isinstance(y, torch.Tensor)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), A(x.numpy()))
    np.testing.assert_array_equal((A @ x).numpy(), y.numpy())
    np.testing.assert_array_equal(A.adjoint(y).numpy(), A.adjoint(y.numpy()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_other_numbers_become_single(dtype):
    assert A(torch.ones(2, 3).to(dtype)).dtype == torch.float32
    assert C(torch.ones(2, 3).to(dtype)).dtype == torch.complex64


def test_views_of_every_kind_are_accepted():
    base = random(3, 2)
    np.testing.assert_array_equal(A(base.T).numpy(), A(base.numpy().T))
    z = random(2, 3, dtype=torch.complex128)
    np.testing.assert_array_equal(C(z.conj()).numpy(), C(z.numpy().conj()))
    np.testing.assert_array_equal(A(z.conj().imag).numpy(), A(-z.numpy().imag))
    np.testing.assert_array_equal(A(base[:1, :1].expand(2, 3)).numpy(), A(np.full((2, 3), base[0, 0].item())))


def test_the_result_does_not_share_memory_with_the_input():
    x = random(2, 3)
    before = x.clone()
    Identity((2, 3))(x).add_(1)
    assert torch.equal(x, before)


def test_a_wrong_shape_names_both_shapes():
    with pytest.raises(InputError, match=r"x: expected shape \(2, 3\) or \(\.\.\., 2, 3\) .*got \(6,\)"):
        A(torch.ones(6))


@pytest.mark.parametrize("operator", [A, C, A.H, C.H, 2 * A, (2j * C).gram(), vstack([A, C])])
def test_derivatives_of_every_order_and_mode(operator):
    assert_gradient(operator)


def test_jacobians_are_the_matrix():
    x = random(2, 3)
    for jacobian in (torch.func.jacfwd, torch.func.jacrev):
        assert torch.equal(jacobian(A)(x).reshape(5, 6), DENSE)
    assert torch.equal(torch.autograd.functional.jacobian(A, x).reshape(5, 6), DENSE)


def test_every_hessian_is_the_normal_matrix():
    def misfit(x):
        return 0.5 * A(x).square().sum()

    x, expected = random(2, 3), DENSE.T @ DENSE
    fwd, rev = torch.func.jacfwd, torch.func.jacrev
    for outer, inner in ((fwd, fwd), (fwd, rev), (rev, fwd), (rev, rev)):
        torch.testing.assert_close(outer(inner(misfit))(x).reshape(6, 6), expected)


def test_the_gradient_of_a_complex_misfit_is_torchs():
    z = random(2, 3, dtype=torch.complex128, requires_grad=True)
    (ours,) = torch.autograd.grad(C(z).abs().square().sum(), z)
    (theirs,) = torch.autograd.grad((DENSE_COMPLEX @ z.ravel()).abs().square().sum(), z)
    torch.testing.assert_close(ours, theirs)


def test_a_real_tensor_under_a_complex_operator_has_a_real_gradient():
    x = random(2, 3, requires_grad=True)
    (ours,) = torch.autograd.grad(C(x).abs().square().sum(), x)
    (theirs,) = torch.autograd.grad((DENSE_COMPLEX @ x.ravel().to(torch.complex128)).abs().square().sum(), x)
    assert ours.dtype == torch.float64
    torch.testing.assert_close(ours, theirs)


def test_the_gradient_keeps_the_dtype_of_the_input():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x = torch.ones(2, 3, dtype=dtype, requires_grad=True)
        A(x).sum().backward()
        assert x.grad.dtype == dtype


def test_vmap_over_any_dimension_and_nested():
    x = random(2, 7, 3, 4)
    expected = torch.einsum("mn,bcn->bcm", DENSE, x.permute(1, 3, 0, 2).reshape(7, 4, 6))
    torch.testing.assert_close(torch.func.vmap(torch.func.vmap(A, in_dims=2), in_dims=1)(x), expected)
    torch.testing.assert_close(torch.func.vmap(A, in_dims=1, out_dims=1)(x[..., 0]), expected[:, 0].T)
    per_sample = torch.func.vmap(torch.func.grad(lambda x: A(x).square().sum()))(x.permute(1, 3, 0, 2)[:, 0])
    torch.testing.assert_close(per_sample.reshape(7, 6), 2 * expected[:, 0] @ DENSE)


def test_no_graph_is_recorded_when_none_is_wanted():
    x = random(2, 3, requires_grad=True)
    with torch.no_grad():
        assert not A(x).requires_grad
    with torch.inference_mode():
        assert A(x).is_inference()
    assert A(x).requires_grad


def test_a_graph_keeps_its_operator_alive():
    x = random(3, requires_grad=True)
    y = (2 * Matrix(np.diag([1.0, 2.0, 3.0])))(x).sum()
    y.backward()
    torch.testing.assert_close(x.grad, torch.tensor([2.0, 4.0, 6.0], dtype=torch.float64))


def test_descent_through_an_operator_solves():
    x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    overdetermined = Matrix(np.vstack([REAL, np.eye(6)]), (2, 3))
    wanted = random(2, 3)
    y = overdetermined(wanted)
    optimiser = torch.optim.LBFGS([x], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def closure():
        optimiser.zero_grad()
        loss = (overdetermined(x) - y).square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    torch.testing.assert_close(x.detach(), wanted, rtol=1e-5, atol=1e-5)


def test_an_operator_inside_a_module_is_copied_and_saved_with_it(tmp_path):
    net = copy.deepcopy(Net()).double()
    x = random(2, 3)
    torch.testing.assert_close(net(x).ravel(), 2 * DENSE.T @ DENSE @ x.ravel())
    torch.save(net, tmp_path / "net.pt")
    assert torch.equal(torch.load(tmp_path / "net.pt", weights_only=False)(x), net(x))


def test_a_transfer_is_logged_once(caplog):
    torch_bridge._log_transfer.cache_clear()
    with caplog.at_level(logging.INFO, logger="spinray"):
        torch_bridge._log_transfer("cuda")
        torch_bridge._log_transfer("cuda")
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["operators compute on the CPU"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_tensor_on_a_gpu_gives_one_there(caplog):
    torch_bridge._log_transfer.cache_clear()
    x = random(2, 3).cuda().requires_grad_()
    with caplog.at_level(logging.INFO, logger="spinray"):
        y = A(x)
    assert y.device == x.device
    assert len(caplog.records) == 1
    torch.testing.assert_close(y.cpu(), A(x.detach().cpu()))
    y.sum().backward()
    torch.testing.assert_close(x.grad.cpu(), A.adjoint(torch.ones(5, dtype=torch.float64)))
    assert torch.func.jacfwd(A)(x).device == x.device


def test_a_volume_is_not_a_tensor():
    with pytest.raises(DtypeError, match="knows no grid"):
        A(Volume(np.zeros((2, 3)), Grid((2, 3)).affine))
