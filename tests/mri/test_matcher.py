"""`_core.Matcher` gives brute force's answer: the same atom, or one whose score is equal to rounding."""

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import strategies as st

import spinray
from spinray import _core
from spinray.errors import InputError

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)


def scores(atoms, signals):
    """Return |<a, y>| / |a| in double, shape (signals, atoms)."""
    atoms, signals = atoms.astype(np.complex128), signals.astype(np.complex128)
    return np.abs(signals @ atoms.conj().T) / np.linalg.norm(atoms, axis=1)


def assert_brute_force(atoms, signals, found, top_k=1):
    """Hold index, score and product to those of every atom, scored in double."""
    index, score, product, scored = found
    tolerance = 1e-6 if atoms.real.dtype == np.float32 else 1e-13
    expected = scores(atoms, signals)
    assert index.shape == score.shape == product.shape == (len(signals), top_k)
    assert index.dtype == np.int64
    assert score.dtype == atoms.real.dtype
    assert product.dtype == np.result_type(atoms, np.complex64)
    size = np.linalg.norm(signals.astype(np.complex128), axis=1)
    there = size > 0
    best = -np.sort(-expected, axis=1)[:, :top_k]
    chosen = np.take_along_axis(expected, np.maximum(index, 0), axis=1)
    allowed = tolerance * size[:, None]
    assert np.all(np.abs(chosen - best) <= allowed)
    assert np.all(np.abs(score - chosen)[there] <= allowed[there])
    a = atoms.astype(np.complex128)[index]
    scale = np.einsum("mkl,ml->mk", a.conj(), signals.astype(np.complex128)) / np.sum(np.abs(a) ** 2, axis=2)
    wanted = np.where(there[:, None], scale, 0)
    assert np.all(np.abs(product - wanted) <= tolerance * (np.abs(wanted) + size[:, None] / np.linalg.norm(a, axis=2)))
    assert np.all(index[~there] == -1)
    assert np.all(score[~there] == 0)
    assert np.all(np.diff(score, axis=1) <= 0)
    assert all(len(set(row)) == top_k for row in index[there])
    assert 0 <= scored <= 1


def noise(rng, shape, dtype):
    """Return normal numbers of a dtype."""
    values = rng.standard_normal(shape)
    return (values + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else values).astype(dtype)


def recovery(length, side):
    """Return inversion recoveries with an echo, (side^2, length), of T1 and T2 on a grid."""
    i = np.arange(length)
    ti, te = 0.05 + 4 * i / length, 0.01 + 0.19 * (7 * i % length) / length
    t1, t2 = np.meshgrid(np.geomspace(0.2, 4, side), np.geomspace(0.02, 0.4, side), indexing="ij")
    return (1 - 2 * np.exp(-ti / t1.reshape(-1, 1))) * np.exp(-te / t2.reshape(-1, 1))


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(st.integers(1, 90), st.integers(1, 50)),
    small=st.booleans(),
    top_k=st.integers(1, 4),
    data=st.data(),
)
def test_any_small_dictionary_gives_brute_force(dtype, shape, small, top_k, data):
    real = np.dtype(dtype).type(0).real.dtype
    # Few different numbers make ties, repeated atoms and signals of zeros.
    numbers = st.integers(-1, 1) if small else st.floats(-8, 8, width=16)
    draw = hnp.arrays(real, (2, shape[0] + 7, shape[1]), elements=numbers)
    parts = data.draw(draw)
    table = (parts[0] + 1j * parts[1]).astype(dtype) if np.dtype(dtype).kind == "c" else parts[0]
    atoms, signals = table[7:], table[:7]
    # Norms whose squares underflow belong to nobody's dictionary.
    atoms = atoms[np.linalg.norm(atoms, axis=1) > 0]
    hypothesis.assume(len(atoms))
    top_k = min(top_k, len(atoms))
    found = _core.Matcher(atoms).match(signals, top_k)
    assert_brute_force(atoms, signals, found, top_k)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [5, 12, 40, 41, 200])
def test_smooth_dictionaries_are_pruned_and_exact(rng, dtype, length):
    atoms = recovery(length, 60).astype(dtype)
    pairs = np.result_type(dtype, np.complex64)
    if np.dtype(dtype).kind == "c":
        atoms *= np.exp(2j * np.pi * rng.random((len(atoms), 1))).astype(dtype)
        atoms *= np.exp(0.3j * np.arange(length)).astype(dtype)
    signals = (2.5 - 1j) * atoms[rng.integers(0, len(atoms), 300)]
    size = np.linalg.norm(signals, axis=1, keepdims=True) / np.sqrt(2 * length)
    signals = (signals + rng.uniform(0, 0.1, (300, 1)) * size * noise(rng, signals.shape, pairs)).astype(pairs)
    signals[::50] = 0
    found = _core.Matcher(atoms).match(signals, 3)
    assert_brute_force(atoms, signals, found, 3)
    assert found[3] < 0.15


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [12, 100])
def test_random_dictionaries_are_scored_in_full(rng, dtype, length):
    atoms = noise(rng, (3000, length), dtype)
    signals = noise(rng, (70, length), np.result_type(dtype, np.complex64))
    found = _core.Matcher(atoms).match(signals, 2)
    assert_brute_force(atoms, signals, found, 2)
    assert found[3] == 1


def test_long_atoms_are_told_apart_by_what_a_few_dimensions_leave_out(rng):
    # Atoms are nearly alike, and what sets them apart lies in 69 dimensions: more than the first look takes in.
    atoms = np.zeros((3000, 70), np.float32)
    atoms[:, 0] = 1
    atoms[:, 1:] = 1e-2 * rng.standard_normal((3000, 69))
    signals = (1j * atoms[rng.integers(0, 3000, 200)] + 1e-4 * noise(rng, (200, 70), np.complex64)).astype(np.complex64)
    assert_brute_force(atoms, signals, _core.Matcher(atoms).match(signals, 2), 2)


@pytest.mark.parametrize("length", [12, 100])
def test_equal_atoms_give_the_lowest_index(rng, length):
    atoms = np.tile(recovery(length, 20).astype(np.float32), (3, 1))
    index = _core.Matcher(atoms).match(atoms[rng.permutation(len(atoms))[:200]], 3)[0]
    np.testing.assert_array_equal(index[:, 1:] - index[:, :1], np.tile([400, 800], (200, 1)))


def test_rank_deficient_dictionaries_give_brute_force(rng):
    for length in (12, 100):
        atoms = (rng.standard_normal((2000, 2)) @ rng.standard_normal((2, length))).astype(np.float32)
        signals = noise(rng, (100, length), np.complex64)
        assert_brute_force(atoms, signals, _core.Matcher(atoms).match(signals))


@pytest.mark.usefixtures("keep_threads")
@pytest.mark.parametrize(
    "atoms", [recovery(12, 70), recovery(100, 40), np.random.default_rng(3).normal(size=(2000, 12))]
)
def test_bits_do_not_depend_on_threads(rng, atoms):
    signals = atoms[rng.integers(0, len(atoms), 1000)] + 0.05 * rng.standard_normal((1000, atoms.shape[1]))
    results = []
    for threads in (1, 4):
        spinray.set_num_threads(threads)
        results.append(_core.Matcher(atoms.astype(np.float32)).match(signals.astype(np.float32), 2))
    for one, four in zip(*results, strict=True):
        np.testing.assert_array_equal(one, four)


def test_progress_counts_to_its_end(rng):
    atoms, reports = noise(rng, (2000, 12), np.float32), []
    _core.Matcher(atoms).match(atoms, progress=lambda done, total: reports.append((done, total)))
    assert reports[-1][0] == reports[-1][1] > 1


def test_a_failing_report_stops_the_match(rng):
    atoms = noise(rng, (100_000, 12), np.float32)
    signals = noise(rng, (100_000, 12), np.complex64)

    def report(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _core.Matcher(atoms).match(signals, progress=report)


def test_bad_input_is_named(rng):
    atoms = noise(rng, (10, 4), np.float32)
    zero, broken = atoms.copy(), atoms.copy()
    zero[3], broken[2, 1] = 0, np.nan
    for bad, error, words in [
        (zero, InputError, "atom 3 is zero"),
        (broken, InputError, "atoms: row 2 holds NaN"),
        (atoms[0], InputError, r"expected shape \(n, length\)"),
        (atoms[:0], InputError, "atoms: 0 given"),
        (atoms.astype(np.int64), TypeError, "complex128, got int64"),
        (atoms[:, ::2], TypeError, "C-contiguous"),
        ([[1.0]], TypeError, "got list"),
    ]:
        with pytest.raises(error, match=words):
            _core.Matcher(bad)
    matcher = _core.Matcher(atoms)
    for bad, error, words in [
        (broken, InputError, "signals: row 2 holds NaN"),
        (atoms[:, :3].copy(), InputError, "signals: 3 numbers each; the dictionary's atoms have 4"),
        (atoms.astype(np.float64), TypeError, "precision of the atoms, got float64"),
    ]:
        with pytest.raises(error, match=words):
            matcher.match(bad)
    for top_k in (0, 11, 10**12):
        with pytest.raises(InputError, match=f"top_k: {top_k} given; 1 to 10"):
            matcher.match(atoms, top_k)
    assert matcher.match(atoms[:0])[0].shape == (0, 1)


@pytest.mark.parametrize("length", [30, 47, 1000])
def test_scores_are_as_precise_as_their_type(length):
    atoms = np.full((3, length), 3 + 3j, np.complex64)
    _, score, product, _ = _core.Matcher(atoms).match(2 * atoms)
    np.testing.assert_allclose(score, 2 * np.sqrt(18 * length), rtol=1e-7)
    np.testing.assert_allclose(product, 2, rtol=1e-7)
