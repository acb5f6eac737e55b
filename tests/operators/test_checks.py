"""Validators of arguments: what they accept, and that what they refuse is named."""

import numpy as np
import pytest

from spinray import _checks
from spinray.errors import DtypeError, FileError, InputError, SpinrayError


def test_errors_are_the_built_in_ones_as_well():
    assert issubclass(InputError, ValueError)
    assert issubclass(DtypeError, TypeError)
    assert issubclass(FileError, OSError)
    assert all(issubclass(error, SpinrayError) for error in (InputError, DtypeError, FileError))


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2), np.array(2.0)])
def test_a_number_of_any_kind_is_a_float(value):
    result = _checks.positive("sod", value)
    assert result == 2.0
    assert type(result) is float


@pytest.mark.parametrize("value", ["2", None, True, [2.0], 1j, np.array([2.0])])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(DtypeError, match=r"^sod: expected a real number, got "):
        _checks.number("sod", value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 10**400])
def test_a_number_is_finite(value):
    with pytest.raises(InputError, match=r"^sod: expected a finite number, got .*Radians"):
        _checks.number("sod", value, hint="Radians?")


@pytest.mark.parametrize("value", [0.0, -1])
def test_zero_and_below_are_not_positive(value):
    with pytest.raises(InputError, match=f"^pitch: expected a positive number, got {value}"):
        _checks.positive("pitch", value)


def test_zero_is_accepted_where_asked_for():
    assert _checks.positive("weight", 0, allow_zero=True) == 0.0
    with pytest.raises(InputError, match="weight: expected a number >= 0"):
        _checks.positive("weight", -1e-9, allow_zero=True)


def test_integers():
    assert _checks.integer("n", np.int64(3), minimum=3) == 3
    with pytest.raises(InputError, match="n: expected an integer >= 3, got 2"):
        _checks.integer("n", 2, minimum=3)
    for value in (3.0, "3", True, None):
        with pytest.raises(DtypeError, match="n: expected an integer, got"):
            _checks.integer("n", value)


def test_shapes():
    assert _checks.shape("shape", np.array([2, 3]), ndim=(2, 3)) == (2, 3)
    with pytest.raises(InputError, match=r"shape: expected 2 or 3 integers, got 1"):
        _checks.shape("shape", (2,), ndim=(2, 3))
    with pytest.raises(InputError, match=r"shape\[1\]: expected an integer >= 1, got 0"):
        _checks.shape("shape", (2, 0))
    for value in (4, "44", None):
        with pytest.raises(DtypeError, match="shape: expected a tuple of integers"):
            _checks.shape("shape", value)


def test_a_number_or_one_per_axis():
    assert _checks.per_axis("spacing", 2, 3) == (2.0, 2.0, 2.0)
    assert _checks.per_axis("spacing", np.array(2.0), 2) == (2.0, 2.0)
    assert _checks.per_axis("origin", [1, -2.5], 2) == (1.0, -2.5)
    with pytest.raises(InputError, match=r"spacing: expected one number or 3 of them \(index order\), got 2"):
        _checks.per_axis("spacing", (1.0, 2.0), 3)
    with pytest.raises(InputError, match=r"spacing\[1\]: expected a positive number, got 0"):
        _checks.per_axis("spacing", (1.0, 0.0), 2, above_zero=True)
    with pytest.raises(DtypeError, match="spacing"):
        _checks.per_axis("spacing", "11", 2)


def test_choices():
    assert _checks.choice("short_scan", True, ("auto", True, False)) is True
    assert _checks.choice("filter", np.str_("hann"), ("hann", "hamming")) == "hann"
    for value in (1, "Auto", None, np.array([1, 2])):
        with pytest.raises(InputError, match="short_scan: expected one of 'auto', True, False, got"):
            _checks.choice("short_scan", value, ("auto", True, False))


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        ("float64", "float64"), (">f8", "float64"), ("longdouble", "float64"), ("complex128", "complex128"),
        ("float32", "float32"), (">f4", "float32"), ("float16", "float32"), ("complex64", "complex64"),
        ("bool", "float32"), ("uint8", "float32"), ("int64", "float32"), (">u2", "float32"),
    ],
)  # fmt: skip
def test_double_stays_double_and_the_rest_becomes_single(given, computed):
    values = np.array([[0, 1], [1, 0]], dtype=given)
    result = _checks.array("x", values)
    assert result.dtype == np.dtype(computed)
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, values)


@pytest.mark.parametrize("value", ["text", [None], [{}], np.array(["1"]), np.array([object()]), np.zeros(2, "M8[s]")])
def test_what_holds_no_numbers_is_a_type_error(value):
    with pytest.raises(DtypeError, match="x: expected an array of numbers, got dtype"):
        _checks.array("x", value)


def test_ragged_sequences_are_refused():
    with pytest.raises(InputError, match="x: expected an array of numbers"):
        _checks.array("x", [[1.0], [1.0, 2.0]])


def test_complex_is_refused_where_it_makes_no_sense():
    with pytest.raises(DtypeError, match=r"angles: expected real numbers, got dtype complex128\. Pass angles\.real"):
        _checks.array("angles", [1j], allow_complex=False)


def test_a_contiguous_array_of_the_right_dtype_is_not_copied():
    values = np.zeros((2, 3), np.float32)
    assert _checks.array("x", values) is values


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_entries_are_counted_and_located(bad):
    values = np.zeros((3, 4))
    values[1, 2] = values[2, 0] = bad
    with pytest.raises(InputError, match=r"y: expected finite numbers, got 2 of 12 .* index \(1, 2\)\. Mask"):
        _checks.finite("y", values, hint="Mask them")


def test_opposite_infinities_do_not_cancel():
    with pytest.raises(InputError, match="got 2 of 2"):
        _checks.finite("y", [np.inf, -np.inf])


def test_a_sum_that_overflows_is_not_mistaken_for_infinity():
    values = np.full(4, 3e38, np.float32)
    assert _checks.finite("y", values) is values


def test_geometry_is_in_double():
    exact = 2**53 - 1
    result = _checks.doubles("angles", [exact, 0], shape=(None,))
    assert result.dtype == np.float64
    assert int(result[0]) == exact
    assert _checks.doubles("angles", np.float32([0.5])).dtype == np.float64


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([], InputError, "angles: expected at least one number, got none"),
        ([[0.0, 1.0]], InputError, r"angles: expected shape \(n,\), got \(1, 2\)"),
        (0.0, InputError, r"angles: expected shape \(n,\), got \(\)"),
        ([0.0, np.nan], InputError, "angles: expected finite numbers, got 1 of 2"),
        ([1j], DtypeError, "angles: expected real numbers"),
        (["0"], DtypeError, "angles: expected an array of numbers"),
    ],
)
def test_what_is_no_geometry_is_refused(value, error, message):
    with pytest.raises(error, match=message):
        _checks.doubles("angles", value, shape=(None,))


def test_geometry_of_a_fixed_shape():
    assert _checks.doubles("direction", np.eye(3), shape=(3, 3)).shape == (3, 3)
    with pytest.raises(InputError, match=r"rays: expected shape \(n, 3\), got \(3, 2\)"):
        _checks.doubles("rays", np.zeros((3, 2)), shape=(None, 3))
