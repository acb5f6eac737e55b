"""The algebra of operators is that of their matrices."""

import fractions
import operator

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from hypothesis import given
from hypothesis import strategies as st

from spinray.errors import DtypeError, InputError
from spinray.operators import Identity, Matrix, vstack
from spinray.testing import assert_adjoint


def dense(A):
    """The matrix of an operator, from its action on unit vectors."""
    n = int(np.prod(A.domain_shape))
    unit = np.eye(n, dtype=np.complex128 if A.is_complex else np.float64)
    return A(unit.reshape(n, *A.domain_shape)).reshape(n, -1).T


@st.composite
def matrices(draw, m=None, n=None, salt=0):
    """A random matrix; those of different salts never cancel, which would leave rounding errors alone to compare."""
    m = m or draw(st.integers(1, 5))
    n = n or draw(st.integers(1, 5))
    rng = np.random.default_rng([draw(st.integers(0, 2**32)), salt])
    values = rng.standard_normal((m, n))
    if draw(st.booleans()):
        values = values + 1j * rng.standard_normal((m, n))
    return scipy.sparse.csr_array(values) if draw(st.booleans()) else values


def entries(matrix):
    return matrix.toarray() if scipy.sparse.issparse(matrix) else matrix


@given(st.data())
def test_expressions_act_as_their_matrices(data):
    m, n, k = (data.draw(st.integers(1, 5)) for _ in range(3))
    a, b, c = (data.draw(matrices(*shape, salt)) for salt, shape in enumerate([(m, n), (m, n), (n, k)]))
    A, B, C = Matrix(a), Matrix(b), Matrix(c)
    a, b, c = entries(a), entries(b), entries(c)
    factor = data.draw(st.sampled_from([2, -0.5, 1j, 2.0 - 1j, np.float32(3), np.complex64(1j)]))
    cases = [
        (A + B, a + b), (A - B, a - b), (A @ C, a @ c), (factor * A, factor * a), (A * factor, factor * a),
        (A / factor, a / factor), (-A, -a), (A.H, a.conj().T), (A.gram(), a.conj().T @ a), (sum([A, B, A]), a + b + a),
        ((A @ C).H, (a @ c).conj().T), ((factor * (A - 2 * B)) @ C, factor * (a - 2 * b) @ c),
        (vstack([A, B]), np.vstack([a, b])), (vstack([A, factor * B, A]).H, np.vstack([a, factor * b, a]).conj().T),
    ]  # fmt: skip
    for expression, matrix in cases:
        np.testing.assert_allclose(dense(expression), matrix, rtol=1e-12, atol=1e-12)
        assert_adjoint(expression, dtype=np.float64)


def test_the_adjoint_of_the_adjoint_is_the_operator_itself():
    A = Matrix(np.ones((2, 3)))
    for expression in (A, 2 * A, A.gram(), vstack([A, A])):
        assert expression.H.H is expression
        assert (expression.H.domain_shape, expression.H.range_shape) == (
            expression.range_shape,
            expression.domain_shape,
        )


def test_at_applies_to_arrays():
    A = Matrix(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(A @ np.ones(3), A(np.ones(3)))
    np.testing.assert_array_equal(A @ [1.0, 0.0, 0.0], [0.0, 3.0])


@pytest.mark.parametrize(
    "factor", [2, 2.0, True, np.float64(2), np.float32(2), np.array(2.0), fractions.Fraction(4, 2)]
)
def test_any_real_number_scales_and_keeps_single_precision(factor):
    A = Matrix(np.eye(3))
    for scaled in (factor * A, A * factor):
        assert not scaled.is_complex
        y = scaled(np.ones(3, np.float32))
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, float(factor))


@pytest.mark.parametrize("combine", [operator.add, operator.sub, operator.mul, operator.truediv])
@pytest.mark.parametrize("other", ["2", None, np.ones(3), [1.0]])
def test_other_things_are_no_operands(combine, other):
    with pytest.raises(TypeError):
        combine(Matrix(np.eye(3)), other)


def test_an_array_on_the_left_is_a_type_error_and_not_an_array_of_operators():
    with pytest.raises(TypeError):
        np.ones(3) * Matrix(np.eye(3))
    with pytest.raises(TypeError):
        np.ones(3) @ Matrix(np.eye(3))


def test_shapes_that_do_not_fit_are_refused():
    A, B = Matrix(np.ones((2, 3))), Matrix(np.ones((4, 3)))
    with pytest.raises(InputError, match=r"A @ B: expected B's range to be A's domain.*\(4,\) is not \(3,\)"):
        A @ B
    with pytest.raises(InputError, match=r"A \+ B: expected operators of the same shapes"):
        A + B
    with pytest.raises(InputError, match=r"divisor: expected a number other than 0"):
        A / 0
    with pytest.raises(InputError, match="operators: expected operators on one domain"):
        vstack([A, A.H])
    with pytest.raises(InputError, match="operators: expected at least one"):
        vstack([])
    with pytest.raises(DtypeError, match="operators: expected LinearOperators, got ndarray"):
        vstack([A, np.eye(3)])


def test_stacked_views_are_joined_along_the_views():
    views = [Matrix(np.random.default_rng(i).standard_normal((n * 4, 6)), (2, 3), (n, 4)) for i, n in enumerate((2, 1))]
    S = vstack(views)
    assert S.range_shape == (3, 4)
    x = np.random.default_rng(5).standard_normal((7, 2, 3))
    np.testing.assert_array_equal(S(x), np.concatenate([view(x) for view in views], axis=1))
    assert_adjoint(S)


def test_stacked_outputs_of_other_shapes_are_flattened():
    S = vstack([Matrix(np.ones((4, 6)), (2, 3), (2, 2)), Identity((2, 3))])
    assert S.range_shape == (10,)
    assert_adjoint(S)


# Matrix


def test_a_matrix_between_arrays_flattens_in_c_order():
    matrix = np.arange(24.0).reshape(4, 6)
    A = Matrix(matrix, domain_shape=(2, 3), range_shape=(2, 2))
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(A(x), (matrix @ x.ravel()).reshape(2, 2))


@pytest.mark.parametrize(
    "make",
    [scipy.sparse.csr_matrix, scipy.sparse.coo_array, scipy.sparse.csc_array, np.asfortranarray, np.ndarray.tolist],
)
def test_matrices_of_every_kind(make):
    matrix = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]])
    A = Matrix(make(matrix))
    np.testing.assert_array_equal(dense(A), matrix)
    assert A(np.ones(3, np.float32)).dtype == np.float32
    assert_adjoint(A)


def test_matrices_that_are_none():
    with pytest.raises(InputError, match=r"matrix: expected two dimensions \(m, n\), got shape \(3,\)"):
        Matrix(np.ones(3))
    with pytest.raises(InputError, match=r"domain_shape: expected a shape of 6 entries, got \(2, 2\) with 4"):
        Matrix(np.ones((4, 6)), domain_shape=(2, 2))
    with pytest.raises(DtypeError, match="matrix"):
        Matrix(np.full((2, 2), "a"))


# Norm


@given(st.integers(0, 100), st.booleans())
def test_the_norm_is_the_largest_singular_value(seed, is_complex):
    rng = np.random.default_rng(seed)
    left, right = (
        np.linalg.qr(rng.standard_normal((8, 8)) + 1j * is_complex * rng.standard_normal((8, 8)))[0] for _ in "ab"
    )
    matrix = (left * np.geomspace(5.0, 0.1, 8)) @ right
    A = Matrix(matrix if is_complex else matrix.real)
    exact = np.linalg.norm(matrix if is_complex else matrix.real, 2)
    estimate = A.norm()
    assert 0.999 * exact <= estimate <= exact * (1 + 1e-6)
    assert A.norm(tolerance=1e-12, n_iter=1000, dtype=np.float64) == pytest.approx(exact, rel=1e-9)


def test_the_norm_is_the_same_every_time_and_scales():
    A = Matrix(np.random.default_rng(1).standard_normal((6, 5)))
    assert A.norm() == A.norm()
    assert (3 * A).norm() == pytest.approx(3 * A.norm(), rel=1e-5)
    assert A.norm(seed=1, tolerance=1e-9, dtype="float64") == pytest.approx(A.norm(), rel=1e-3)


def test_norms_at_the_edge():
    assert Identity((4,)).norm() == pytest.approx(1)
    assert Matrix(np.zeros((3, 2))).norm() == 0
    assert np.isnan(Matrix([[np.nan]]).norm())
    # The constant, near which the iteration starts, is in the null space.
    assert Matrix([[1.0, -1.0]]).norm() == pytest.approx(2**0.5)


def test_norm_arguments():
    A = Identity((2,))
    with pytest.raises(InputError, match="tolerance"):
        A.norm(tolerance=0)
    with pytest.raises(InputError, match="n_iter"):
        A.norm(n_iter=0)
    with pytest.raises(DtypeError, match="dtype: expected float32 or float64"):
        A.norm(dtype=int)


# SciPy


def test_the_scipy_view_multiplies_and_solves():
    rng = np.random.default_rng(2)
    matrix = rng.standard_normal((8, 6))
    view = Matrix(matrix, (2, 3), (4, 2)).as_scipy()
    assert view.shape == (8, 6)
    assert view.dtype == np.float64
    x, y = rng.standard_normal(6), rng.standard_normal(8)
    np.testing.assert_allclose(view @ x, matrix @ x)
    np.testing.assert_allclose(view.rmatvec(y), matrix.T @ y)
    columns, rows = rng.standard_normal((6, 3)), rng.standard_normal((8, 2))
    np.testing.assert_allclose(view @ columns, matrix @ columns)
    np.testing.assert_allclose(view.H @ rows, matrix.T @ rows)
    solution = scipy.sparse.linalg.lsqr(view, y, atol=1e-14, btol=1e-14)[0]
    np.testing.assert_allclose(solution, np.linalg.lstsq(matrix, y, rcond=None)[0], rtol=1e-8)


def test_the_scipy_view_of_a_complex_operator():
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4))
    view = Matrix(matrix).as_scipy()
    assert view.dtype == np.complex128
    y = rng.standard_normal(4)
    np.testing.assert_allclose(view.H @ y, matrix.conj().T @ y)
    assert scipy.sparse.linalg.svds(view, k=1, return_singular_vectors=False)[0] == pytest.approx(
        np.linalg.norm(matrix, 2)
    )


def test_the_scipy_view_keeps_single_precision():
    view = Matrix(np.eye(3)).as_scipy(np.float32)
    assert view.dtype == np.float32
    assert (view @ np.ones(3, np.float32)).dtype == np.float32
