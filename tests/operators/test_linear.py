"""Operators on NumPy arrays: dtypes, shapes, batches, volumes, copies."""

import copy
import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinray.errors import DtypeError, InputError
from spinray.grid import Grid, Volume
from spinray.operators import Identity, LinearOperator, Matrix
from spinray.operators import linear as linear_module

RNG = np.random.default_rng(0)
DENSE = RNG.standard_normal((5, 6))
A = Matrix(DENSE, domain_shape=(2, 3))


class Gain(LinearOperator):
    """Multiplies a grid's values; keeps something native between calls."""

    def __init__(self, grid, gain=2.0):
        self.grid, self.gain = grid, gain
        self.domain_shape = self.range_shape = grid.shape

    def _forward(self, x):
        if not hasattr(self, "_native"):
            self._native = lambda values: values * self.gain  # cannot be pickled, like a native object
        return self._native(x)

    _adjoint = _forward


@pytest.mark.parametrize(
    ("given", "returned"),
    [
        ("float32", "float32"), ("float64", "float64"), (">f8", "float64"), ("float16", "float32"), ("bool", "float32"),
        ("int64", "float32"), ("uint8", "float32"), ("complex64", "complex64"), ("complex128", "complex128"),
    ],
)  # fmt: skip
def test_output_dtype_follows_the_input(given, returned):
    x = RNG.integers(0, 2, (2, 3)).astype(given)
    y = A(x)
    assert y.dtype == np.dtype(returned)
    np.testing.assert_allclose(y, DENSE @ x.astype(complex).ravel(), rtol=1e-5, atol=1e-5)
    assert A.adjoint(np.ones(5, given)).dtype == np.dtype(returned)


def test_double_is_computed_in_double():
    x = RNG.standard_normal((2, 3))
    np.testing.assert_allclose(A(x), DENSE @ x.ravel(), rtol=1e-14)


@pytest.mark.parametrize("x", ["abc", np.array([["a"] * 3] * 2), np.full((2, 3), None), None])
def test_strings_and_objects_are_refused(x):
    with pytest.raises(DtypeError, match="x: expected an array of numbers"):
        A(x)


@given(st.sampled_from([slice(None, None, -1), slice(None, None, 2), slice(None, None, -2)]), st.booleans())
def test_strides_of_any_sign_are_accepted(step, transposed):
    base = np.arange(24.0).reshape(4, 6) if not transposed else np.arange(24.0).reshape(6, 4).T
    x = base[step][:2, ::-2]
    np.testing.assert_array_equal(A(x), A(x.copy()))


@pytest.mark.parametrize("batch", [(), (1,), (4,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_leading_dimensions_are_a_batch(batch, dtype):
    x = RNG.standard_normal((*batch, 2, 3)).astype(dtype)
    y = A(x)
    assert y.shape == (*batch, 5)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, x.reshape(*batch, 6) @ DENSE.T, rtol=1e-13)
    assert A.adjoint(y).shape == x.shape


@pytest.mark.parametrize("shape", [(6,), (3, 2), (2, 3, 1), (), (3,)])
def test_a_wrong_shape_names_both_shapes(shape):
    with pytest.raises(InputError) as error:
        A(np.zeros(shape))
    assert "x: expected shape (2, 3) or (..., 2, 3)" in str(error.value)
    assert f"got {shape}" in str(error.value)
    with pytest.raises(InputError, match=r"y: expected shape \(5,\) .*got \(4,\)"):
        A.adjoint(np.zeros(4))


def test_nan_and_infinity_are_propagated():
    x = np.ones((2, 3))
    x[0, 1] = np.nan
    assert np.isnan(Matrix(np.ones((5, 6)), (2, 3))(x)).all()
    x[0, 1] = np.inf
    assert np.isinf(Matrix(np.ones((5, 6)), (2, 3))(x)).all()


def test_a_real_operator_acts_on_both_parts_of_a_complex_array():
    z = RNG.standard_normal((3, 2, 3)) + 1j * RNG.standard_normal((3, 2, 3))
    np.testing.assert_array_equal(A(z), A(z.real) + 1j * A(z.imag))


def test_a_complex_operator_promotes_real_arrays():
    C = Matrix(DENSE + 1j * DENSE[::-1])
    x = RNG.standard_normal(6)
    assert C(x).dtype == np.complex128
    assert C(x.astype(np.float32)).dtype == np.complex64
    assert C(np.ones(6, int)).dtype == np.complex64
    np.testing.assert_allclose(C(x), (DENSE + 1j * DENSE[::-1]) @ x)


def test_the_input_is_neither_changed_nor_shared():
    x = np.ones((2, 3))
    y = Identity((2, 3))(x)
    y += 1
    np.testing.assert_array_equal(x, 1)


def test_a_method_that_returns_nonsense_is_named():
    class Wrong(Identity):
        def _forward(self, x):
            return x[:, :1].astype(np.float16)

    with pytest.raises(InputError, match=r"_forward returned float16 of shape \(1, 1\), expected float64 of shape"):
        Wrong((3,))(np.ones(3))


def test_an_operator_without_adjoint_says_so():
    class Half(LinearOperator):
        domain_shape = range_shape = (3,)

        def _forward(self, x):
            return x.copy()

    with pytest.raises(NotImplementedError, match="Half defines no _adjoint"):
        Half().adjoint(np.ones(3))


# Volumes


def test_a_volume_on_the_operators_grid_is_taken_for_its_data():
    grid = Grid((2, 3), spacing=0.5)
    data = RNG.standard_normal((2, 3))
    np.testing.assert_array_equal(Gain(grid)(Volume(data, grid.affine)), 2 * data)


def test_a_flipped_volume_is_reordered_to_the_operators_grid():
    grid = Grid((2, 3, 4), spacing=(3.0, 1.0, 2.0))
    data = RNG.standard_normal((5, 2, 3, 4))
    affine = grid.affine
    affine[0, 0], affine[0, 3] = -affine[0, 0], affine[0, 3] + 3 * affine[0, 0]
    np.testing.assert_array_equal(Gain(grid)(Volume(data[..., ::-1], affine)), 2 * data)


def test_a_volume_elsewhere_is_refused_with_the_fix():
    grid = Grid((2, 3), spacing=0.5)
    elsewhere = Volume(np.zeros((2, 3)), Grid((2, 3), spacing=0.6).affine)
    with pytest.raises(InputError, match=r"volume: expected the voxels of Grid.*volume\.resample\(grid\)"):
        Gain(grid)(elsewhere)
    with pytest.raises(InputError, match="expected the voxels"):
        (Gain(grid).H @ (2 * Gain(grid)))(elsewhere)


def test_an_operator_without_grid_refuses_volumes():
    with pytest.raises(DtypeError, match=r"x: Matrix knows no grid .* Pass volume\.data"):
        A(Volume(np.zeros((2, 3)), np.eye(4)))


def test_expressions_know_the_grid_of_what_sees_the_input():
    grid = Grid((2, 3))
    G, M = Gain(grid), Matrix(np.ones((4, 6)), (2, 3))
    volume = Volume(np.ones((2, 3)), grid.affine)
    for expression in (3 * G, G + G, M @ G, G.gram()):
        np.testing.assert_array_equal(expression(volume), expression(volume.data))


# Copies


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
@pytest.mark.parametrize(
    "make", [lambda g: g, lambda g: g.H, lambda g: (2 * g).gram() + g, lambda g: Matrix(np.eye(6))]
)
def test_operators_can_be_copied_after_use(duplicate, make):
    original = make(Gain(Grid((2, 3))))
    x = RNG.standard_normal(original.domain_shape)
    expected = original(x)
    other = duplicate(original)
    assert other is not original
    np.testing.assert_array_equal(other(x), expected)


def test_a_copy_has_its_own_handle_and_no_native_object():
    G = Gain(Grid((2, 3)))
    G(np.ones((2, 3)))
    other = copy.copy(G)
    assert other._handle != G._handle
    assert "_native" not in other.__dict__
    assert linear_module._alive[other._handle] is other


def test_dead_operators_leave_the_table():
    G = Gain(Grid((2, 3)))
    handle = G._handle
    assert linear_module._alive[handle] is G
    del G
    gc.collect()
    assert handle not in linear_module._alive


def test_handles_differ_between_processes():
    code = "from spinray.operators import Identity; print(Identity((2,))._handle)"
    handles = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout for _ in range(2)]
    assert handles[0] != handles[1]


# Progress


def test_progress_is_handed_to_the_kernel_only_when_asked_for(capsys):
    seen = []

    class Counting(Identity):
        def _forward(self, x):
            report = linear_module.current_progress()
            seen.append(report)
            if report is not None:
                report(3, 3)
            return x.copy()

    C = Counting((2,))
    C(np.ones(2), progress=True)
    (2 * C)(np.ones(2), progress=True)
    assert all(callable(report) for report in seen)
    assert "3/3" in capsys.readouterr().err
    seen.clear()
    C(np.ones(2))
    assert seen == [None]
    assert capsys.readouterr().err == ""


def test_operators_import_neither_torch_nor_scipy():
    code = (
        "import sys, numpy as np; from spinray.operators import Matrix; Matrix(np.eye(3)).gram()(np.ones(3));"
        "assert 'torch' not in sys.modules and 'scipy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
