"""Linear operators inside Rust networks: values, gradients of every order, lifetime, errors, threads."""

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
import torch

from spinray import Grid, ct
from spinray.nn._native import libtorch
from spinray.nn._operators import native_operator
from spinray.operators import LinearOperator, Matrix

GRID = Grid((6, 5), 2.0)
ANGLES = np.linspace(0, np.pi, 4, endpoint=False)
SCAN = ct.ParallelBeam(GRID, ANGLES, 7, 2.0)
CONE = ct.ConeBeam(Grid((2, 4, 3)), ANGLES, (2, 5), 2.0, sod=40, sdd=60)
OFFSET = ct.ParallelBeam(GRID, 2 * ANGLES, 7, 2.0, col_offset=2.0)
FLIPPED = ct.ParallelBeam(Grid((6, 5), 2.0, direction=np.diag([-1.0, 1.0, 1.0]), origin=(0, 8)), ANGLES, 7, 2.0)
FBP = ct.FilteredBackprojection(SCAN)

#: Operators whose kernel is called without Python, and others.
KERNELS = {
    "parallel": SCAN,
    "cone": CONE,
    "fbp": FBP,
    "back-projection": FBP.steps().backprojection,
    "scaled": -3 * SCAN,
}
BRIDGED = {
    "composition": FBP @ SCAN,
    "scaled sum": 2 * (SCAN + SCAN),
    "matrix": Matrix([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]]),
    "flipped": FLIPPED,
    "offset fbp": ct.FilteredBackprojection(OFFSET),
    "adjoint": SCAN.H,
}


def native(A):
    return native_operator(libtorch(), A)


def noise(shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("name", [*KERNELS, *BRIDGED])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_those_of_the_operator(name, dtype):
    A = {**KERNELS, **BRIDGED}[name]
    operator = native(A)
    for batch in ((), (1,), (2, 3), (0,)):
        x, y = noise((*batch, *A.domain_shape), dtype), noise((*batch, *A.range_shape), dtype)
        # A strided input is that of its entries.
        strided = x.transpose(0, -1).contiguous().transpose(0, -1)
        assert torch.equal(operator(strided), A(x))
        assert torch.equal(operator(y, adjoint=True), A.adjoint(y))
        assert operator(x).dtype == dtype


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_is_called_without_python(name, monkeypatch):
    A = KERNELS[name]
    operator, x = native(A), noise(A.domain_shape)
    wanted = A(x)

    def refuse(*arguments):
        raise AssertionError("called through Python")

    monkeypatch.setattr(LinearOperator, "_apply", refuse)
    assert torch.equal(operator(x), wanted)


@pytest.mark.parametrize("name", [*KERNELS, *BRIDGED])
def test_gradients_of_the_first_and_second_order_are_exact(name):
    A = {**KERNELS, **BRIDGED}[name]
    operator = native(A)
    x = noise((2, *A.domain_shape)).requires_grad_()
    y = noise((2, *A.range_shape)).requires_grad_()
    (gradient,) = torch.autograd.grad((operator(x) * y).sum(), x)
    assert torch.equal(gradient, A.adjoint(y))
    # A nonlinear function on top gives the second derivative something to see.
    assert torch.autograd.gradgradcheck(lambda x: operator(x).square().sum(), x)
    assert torch.autograd.gradcheck(lambda y: operator(y, adjoint=True).sin(), y)


def test_a_complex_operator_goes_through_python():
    A = Matrix(np.array([[1.0 + 2.0j, 0.5], [1.0j, -1.0]]))
    operator = native(A)
    x = noise(2, torch.complex128).requires_grad_()
    assert torch.equal(operator(x), A(x))
    assert torch.autograd.gradcheck(operator, x)
    twice = native(2j * SCAN)
    assert torch.equal(twice(noise(SCAN.domain_shape)), (2j * SCAN)(noise(SCAN.domain_shape)))


@pytest.mark.parametrize("make", [lambda: ct.ParallelBeam(GRID, ANGLES, 7, 2.0), lambda: Matrix(np.eye(4))])
def test_a_graph_outlives_operator_and_handle(make):
    for _ in range(3):
        A = make()
        alive = weakref.ref(A)
        x = noise(A.domain_shape).requires_grad_()
        wanted = A.gram()(x.detach())
        operator = native(A)
        y = operator(x)
        del A, operator
        gc.collect()
        torch.rand(1000)  # whatever was freed may be written to
        assert torch.allclose(torch.autograd.grad(y.square().sum() / 2, x)[0], wanted, rtol=1e-12)
        del y
        assert alive() is None


def test_kernels_are_released_with_their_last_user():
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs /proc")

    def use():
        # The angles alone are 2 MB.
        A = ct.ParallelBeam(Grid((2, 2)), np.linspace(0, 3, 250_000), 1)
        operator = native(A)
        capsule = A._capsule()
        del A
        return operator, capsule

    use()
    before = resident()
    for _ in range(50):
        use()
    assert resident() - before < 30e6


class Failing(LinearOperator):
    """Raises in one direction."""

    def __init__(self, adjoint, error):
        self.domain_shape = self.range_shape = (3,)
        self.fails, self.error = adjoint, error

    def _do(self, x, adjoint):
        if adjoint == self.fails:
            raise self.error
        return x.copy()

    def _forward(self, x):
        return self._do(x, False)

    def _adjoint(self, y):
        return self._do(y, True)


def test_exceptions_of_a_python_operator_arrive():
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(ZeroDivisionError, match="no luck"):
        native(Failing(False, ZeroDivisionError("no luck")))(x)
    with pytest.raises(KeyboardInterrupt):
        native(Failing(False, KeyboardInterrupt()))(x)
    failing = native(Failing(True, ZeroDivisionError("no luck")))
    y = failing(x)
    with pytest.raises(RuntimeError, match="no luck"):
        y.sum().backward()
    # What came through torch's backward pass is not raised again by another operator.
    with pytest.raises(ValueError, match="expected shape"):
        native(SCAN)(x)


def test_an_interrupt_in_a_backward_pass_is_not_lost_in_torchs_error():
    y = native(Failing(True, KeyboardInterrupt()))(torch.ones(3, requires_grad=True))
    with pytest.raises(KeyboardInterrupt):
        try:
            y.sum().backward()
        except RuntimeError:
            sum(range(1000))  # the interpreter raises it here


ONCE_FAILED = """
import torch
from spinray import nn
from spinray.operators import LinearOperator

class FailsOnce(LinearOperator):
    domain_shape = range_shape = (6, 6)
    fails = False

    def _forward(self, x):
        return 2 * x

    def _adjoint(self, y):
        if self.fails:
            self.fails = False
            raise MemoryError("once")
        return 2 * y

operator = FailsOnce()
network = nn.LEARN(operator, steps=2, features=2, backend="libtorch")

def train(fails):
    loss = network(torch.ones(1, 1, 6, 6)).sum()
    operator.fails = fails
    loss.backward()

try:
    train(True)
except RuntimeError as error:
    print(error)
train(False)
train(False)
print("trained")
"""


def test_a_training_goes_on_after_an_exception_in_a_backward_pass():
    """The exception holds the graph, whose end comes when torch has let go of the GIL: in a process of its own."""
    done = subprocess.run([sys.executable, "-c", ONCE_FAILED], capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["MemoryError: once", "trained"], done.stderr


class Differentiated(LinearOperator):
    """Its adjoint is torch's derivative of its forward."""

    domain_shape = range_shape = (3,)

    def _forward(self, x):
        return 3 * x

    def _adjoint(self, y):
        with torch.enable_grad():
            x = torch.zeros(y.shape, dtype=torch.float64, requires_grad=True)
            (gradient,) = torch.autograd.grad(3 * x, x, torch.from_numpy(y.astype(np.float64)))
        return gradient.numpy().astype(y.dtype)


def test_an_operator_may_differentiate_inside():
    x = torch.arange(3.0, requires_grad=True)
    (native(Differentiated())(x) ** 2).sum().backward()
    assert torch.equal(x.grad, 18 * x.detach())


def test_bad_input_is_refused_in_one_line():
    operator = native(SCAN)
    with pytest.raises(ValueError, match=r"expected shape \(\.\.\., 6, 5\), got \(5, 6\)") as error:
        operator(torch.ones(5, 6))
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"expected shape \(\.\.\., 4, 7\)"):
        operator(torch.ones(6, 5), adjoint=True)
    with pytest.raises(ValueError, match="float32 or float64"):
        operator(torch.ones(6, 5, dtype=torch.complex64))
    with pytest.raises(TypeError, match="tensor"):
        operator(np.ones((6, 5)))


def test_backward_in_another_thread():
    for A in (SCAN, FBP @ SCAN):
        operator, x = native(A), noise(A.domain_shape).requires_grad_()
        y = operator(x).square().sum() / 2
        threads = [threading.Thread(target=y.backward, kwargs={"retain_graph": True}) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert torch.allclose(x.grad, 3 * A.gram()(x.detach()), rtol=1e-12)


def test_half_precision_is_computed_in_single():
    operator = native(SCAN)
    x = noise(SCAN.domain_shape, torch.float32).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = operator(x)
    assert y.dtype == torch.float32
    assert torch.equal(y, SCAN(x.float()))
    y.sum().backward()
    assert x.grad.dtype == torch.bfloat16


def test_no_graph_without_gradients():
    operator, x = native(SCAN), noise(SCAN.domain_shape).requires_grad_()
    with torch.no_grad():
        assert operator(x).grad_fn is None
    assert operator(x.detach()).grad_fn is None


def test_ctrl_c_stops_a_kernel():
    A = ct.ConeBeam(Grid((128, 128, 128)), np.linspace(0, 6, 400), (200, 200), 1.0, sod=400, sdd=600)
    operator, x = native(A), torch.ones(8, *A.domain_shape)
    alarm = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        alarm.start()
        operator(x)
    alarm.join()
    assert torch.equal(native(SCAN)(torch.ones(6, 5)), SCAN(torch.ones(6, 5)))
