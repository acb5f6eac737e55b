"""Design: bounds that estimates attain, their exact gradient by flip angles, and trains that improve them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spinray
from spinray import _core
from spinray.errors import DtypeError, InputError
from spinray.mri import mrf
from spinray.mri.mrf import design
from spinray.mri.mrf.signal import columns

WHITE, GREY = (1.08, 0.07), (1.82, 0.1)


def fisp(n=80, angle=0.5, inversion_time=0.02, **more):
    return mrf.Sequence.fisp(np.full(n, angle), tr=0.012, te=0.003, inversion_time=inversion_time, **more)


@st.composite
def sequences(draw):
    """Any of the published kinds, at angles that are nothing special, perhaps prepared."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(3, 12))
    angles = random.uniform(-0.5, 2.5, n)
    angles[draw(st.integers(0, n - 1))] = 0.0
    profile = draw(st.sampled_from([None, [1.0, 0.7, 0.2]]))
    kind = draw(st.sampled_from(["fisp", "bssfp", "spgr", "mese"]))
    more = {"slice_profile": profile}
    if kind == "mese":
        seq = mrf.Sequence.mese(n, 0.011, angles + 1.0, excitation_angle=random.uniform(0.5, 2.0), **more)
    elif kind == "bssfp":
        seq = mrf.Sequence.bssfp(angles, random.uniform(0.005, 0.02, n), inversion_time=0.03, **more)
    else:
        make = mrf.Sequence.fisp if kind == "fisp" else mrf.Sequence.spgr
        seq = make(angles, random.uniform(0.005, 0.02, n), 0.004, **more)
    prepared = draw(st.sampled_from(["", "inversion", "t2", "unwound", "spoiled"]))
    start = {
        "inversion": [mrf.RF(0.4, 0.3), mrf.Inversion(0.1, 0.9)],
        "t2": [mrf.RF(1.2), mrf.Delay(0.01), mrf.T2Prep(0.04)],
        "unwound": [mrf.RF(0.7, 0.2), mrf.Spoil(3, 0.004), mrf.RF(1.9, 0.5), mrf.Spoil(-2, 0.004)],
        "spoiled": [mrf.RF(0.7, 0.2), mrf.Spoil(1, 0.004), mrf.Spoil(math.inf, 0.001)],
    }
    return mrf.Sequence(start[prepared], slice_profile=profile) + seq if prepared else seq


def central_difference(function, x, h):
    return np.array([(function(x + e) - function(x - e)) / (2 * h) for e in h * np.eye(x.size)])


@settings(max_examples=60)
@given(sequences(), st.sampled_from([(), ("t1",), ("t2", "t1"), ("b1", "t1", "t2")]), st.integers(0, 2**32))
def test_the_gradient_by_flip_angles_is_exact(seq, names, seed):
    """Against central differences of the forward kernel, which shares no code with the reverse sweep."""
    random = np.random.default_rng(seed)
    t1, t2, b1 = np.array([0.9, 0.4]), np.array([0.08, 0.2]), np.array([1.1, 0.8])
    shape = (2, 1 + len(names), seq.n_echoes)
    c = random.normal(size=shape) + 1j * random.normal(size=shape)

    def value(flip_angles):
        result = mrf.epg(seq.with_flip_angles(flip_angles), t1, t2, b1, derivatives=names)
        y = np.concatenate([result[0][:, None], result[1]], axis=1) if names else result[:, None]
        return np.einsum("apq,apq->a", c.conj(), y).real

    table = c.view(np.float64).reshape(*shape, 2)
    found = _core.epg_flip_gradient(columns(seq), [t1, t2, b1], list(names), table)
    expected = central_difference(value, seq.flip_angles, 1e-4).T
    # The differences themselves are good to their curvature, h^2, of the largest slope.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * max(1.0, abs(expected).max()))


def test_the_gradient_is_the_same_for_any_number_of_threads(keep_threads):
    seq, c = fisp(), np.ones((9, 3, 80, 2))
    atoms = [np.linspace(0.5, 2.0, 9), np.linspace(0.04, 0.2, 9), np.linspace(0.8, 1.2, 9)]
    results = []
    for threads in (1, 3):
        spinray.set_num_threads(threads)
        results.append(_core.epg_flip_gradient(columns(seq), atoms, ["t1", "t2"], c))
    np.testing.assert_array_equal(*results)


def full_information(seq, t1, t2, b1, m0, sigma, names, h=1e-6):
    """Return the Fisher matrix of the named parameters, Re m0 and Im m0, from differences of stacked real samples."""

    def samples(x):
        at = {"t1": t1, "t2": t2, "b1": b1} | dict(zip(names, x, strict=False))
        y = (x[-2] + 1j * x[-1]) * mrf.epg(seq, *(np.float64(at[name]) for name in ("t1", "t2", "b1")))
        return np.concatenate([y.real, y.imag])

    given = {"t1": t1, "t2": t2, "b1": b1}
    slopes = central_difference(samples, np.array([*(given[name] for name in names), m0.real, m0.imag]), h)
    return slopes @ slopes.T / sigma**2


@pytest.mark.parametrize("names", [("t1", "t2"), ("t2",), ("b1", "t2", "t1")])
def test_bounds_are_those_of_the_full_information_matrix(names):
    seq, m0, sigma = mrf.Sequence.spgr(np.linspace(0.1, 1.3, 40), 0.02, 0.004, 0.05), 0.7 - 1.1j, 0.03
    full = full_information(seq, 0.9, 0.08, 1.1, m0, sigma, names)
    expected = np.sqrt(np.diag(np.linalg.inv(full)))[: len(names)]
    found = mrf.crlb(seq, 0.9, 0.08, b1=1.1, m0=m0, sigma=sigma, parameters=names)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_bound_of_a_decay_has_its_closed_form():
    """Ideal refocusing leaves exp(-t/T2), whose derivative is t/T2^2 times it."""
    t2, sigma = 0.08, 0.02
    seq = mrf.Sequence.mese(12, 0.01)
    s = np.exp(-seq.echo_times / t2)
    d = seq.echo_times / t2**2 * s
    expected = sigma / math.sqrt(d @ d - (d @ s) ** 2 / (s @ s))
    assert mrf.crlb(seq, 1.0, t2, sigma=sigma, parameters="t2") == pytest.approx([expected], rel=1e-9)


def test_bounds_broadcast_and_scale_with_the_noise():
    seq = fisp()
    t1, t2 = np.array([[0.8], [1.5]]), np.array([0.05, 0.1, 0.2])
    one = mrf.crlb(seq, t1, t2)
    assert one.shape == (2, 3, 2)
    np.testing.assert_allclose(one[1, 2], mrf.crlb(seq, 1.5, 0.2), rtol=1e-12)
    np.testing.assert_allclose(mrf.crlb(seq, t1, t2, m0=0.3 + 0.4j, sigma=0.1), 0.2 * one, rtol=1e-12)
    np.testing.assert_array_equal(mrf.crlb(seq, 0.8, [0.05, 0.1], m0=[0.0, 1.0])[0], np.inf)
    np.testing.assert_allclose(mrf.crlb(seq, 0.8, 0.05, parameters=("t2", "t1")), one[0, 0, ::-1], rtol=1e-12)
    assert mrf.crlb(seq, t1[:0], t2).shape == (0, 3, 2)


def test_more_unknowns_cannot_help():
    known, unknown = (mrf.crlb(fisp(), 0.8, 0.08, parameters=p) for p in (("t1", "t2"), ("t1", "t2", "b1")))
    assert (known < unknown[:2]).all()


def test_many_atoms_are_treated_in_pieces(monkeypatch):
    t1 = np.linspace(0.5, 2.0, 50)
    whole = mrf.crlb(fisp(), t1, 0.1)
    monkeypatch.setattr(design, "_AT_ONCE", 1000)
    np.testing.assert_allclose(mrf.crlb(fisp(), t1, 0.1), whole, rtol=1e-12)


@pytest.mark.parametrize(
    ("seq", "names", "infinite"),
    [
        (mrf.Sequence.mese(1, 0.01), ("t2",), [True]),  # as if m0 were less
        (mrf.Sequence.mese(8, 0.01), ("t1", "t2"), [True, False]),  # refocused entirely: T1 does nothing
        (mrf.Sequence.mese(8, 0.01), ("t2", "b1"), [False, True]),  # at its best B1 matters to second order
        (fisp(2), ("t1", "t2"), [False, True]),  # no echo yet of what was transverse
        (mrf.Sequence.bssfp([0.5, 0.6], 0.01), ("t1", "t2"), [True, True]),  # two samples, of which m0 takes one
        (mrf.Sequence.bssfp([0.5, 0.6, 0.7], 0.01), ("t1", "t2"), [False, False]),
        (fisp(8, angle=0.0), ("t1", "t2"), [True, True]),  # no signal
        (mrf.Sequence([mrf.RF(0.5), mrf.Readout(0.002), mrf.Readout(0.01)]), ("t2", "t1"), [False, True]),
    ],
)
def test_what_samples_do_not_determine_has_an_infinite_bound(seq, names, infinite):
    bounds = mrf.crlb(seq, 1.0, 0.1, parameters=names)
    assert (bounds > 0).all()
    np.testing.assert_array_equal(np.isinf(bounds), infinite)


def test_least_squares_estimates_attain_the_bounds():
    """4000 noisy signals, fitted by Gauss-Newton: unbiased, and scattered by the bound to its statistical error."""
    n, truth, m0, sigma = 4000, np.array([0.9, 0.08]), 0.8 - 0.6j, 2e-3
    seq = mrf.Sequence.fisp(mrf.jiang2015(60)[0], 0.012, 0.003, inversion_time=0.02)
    random = np.random.default_rng(5)
    noise = sigma * (random.normal(size=(n, 60)) + 1j * random.normal(size=(n, 60)))
    y = m0 * mrf.epg(seq, np.float64(truth[0]), truth[1]) + noise
    x = np.tile(truth, (n, 1))
    for _ in range(6):
        signal, jacobian = mrf.epg(seq, x[:, 0], x[:, 1], derivatives=("t1", "t2"))
        scale = np.einsum("ne,ne->n", signal.conj(), y) / np.einsum("ne,ne->n", signal.conj(), signal).real
        table = np.concatenate([scale[:, None, None] * jacobian, signal[:, None], 1j * signal[:, None]], axis=1)
        slopes = np.concatenate([table.real, table.imag], axis=-1)
        rest = y - scale[:, None] * signal
        right = slopes @ np.concatenate([rest.real, rest.imag], axis=-1)[..., None]
        change = np.linalg.solve(slopes @ slopes.swapaxes(1, 2), right)[:, :2, 0]
        x += change
    assert abs(change).max() < 1e-8
    bound = mrf.crlb(seq, *truth, m0=m0, sigma=sigma)
    # The standard deviation of 4000 normal numbers is known to 1.1 %, their mean to 1.6 % of it.
    np.testing.assert_allclose(x.std(axis=0), bound, rtol=0.045)
    assert (abs(x.mean(axis=0) - truth) < 0.1 * bound).all()


@pytest.mark.parametrize("names", [("t1", "t2"), ("t2", "b1", "t1")])
def test_what_is_minimised_is_the_sum_of_squares_and_its_gradient_exact(names):
    """Chained through the inverse of the information, a nuisance m0 of complex signals included."""
    seq = mrf.Sequence.spgr(np.linspace(0.2, 1.0, 25), 0.02, 0.004, 0.05)
    pairs = np.array([WHITE, GREY])
    weights = np.random.default_rng(0).uniform(0.5, 2.0, (2, len(names)))
    b1 = np.array([1.1, 0.9])
    problem = design._Problem(columns(seq), (pairs[:, 0].copy(), pairs[:, 1].copy(), b1), names, weights)
    value, gradient = problem(seq.flip_angles)
    relative = mrf.crlb(seq, *pairs.T, b1=b1, parameters=names)
    relative /= np.stack([{"t1": pairs[:, 0], "t2": pairs[:, 1], "b1": np.ones(2)}[name] for name in names], axis=-1)
    assert value == pytest.approx((weights * relative**2).sum(), rel=1e-9)
    expected = central_difference(lambda x: problem(x)[0], seq.flip_angles, 1e-5)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-6 * abs(expected).max())


def test_optimised_angles_lower_every_bound():
    seq = fisp(100, inversion_time=None)
    tissues = [WHITE, GREY]
    seen = []

    def callback(iteration, flip_angles):
        seen.append(iteration)
        flip_angles[:] = 0.0  # a copy

    better, info = mrf.optimise_flip_angles(
        seq, tissues, bounds=(0.1, 1.2), n_iter=40, callback=callback, return_info=True
    )
    assert (info.crlb_after < 0.7 * info.crlb_before).all()
    np.testing.assert_array_equal(info.crlb_after, mrf.crlb(better, *np.transpose(tissues)))
    np.testing.assert_array_equal(info.crlb_before, mrf.crlb(seq, *np.transpose(tissues)))
    assert (better.flip_angles >= 0.1).all()
    assert (better.flip_angles <= 1.2).all()
    assert better.events[1::3] == seq.events[1::3]
    assert seen == list(range(1, info.n_iter + 1))
    assert len(info.history) == info.n_iter + 1
    assert (np.diff(info.history) < 0).all()
    assert info.history[0] == pytest.approx(4.0)
    assert info.history[-1] == pytest.approx(((info.crlb_after / info.crlb_before) ** 2).sum())
    assert mrf.optimise_flip_angles(seq, tissues, bounds=(0.1, 1.2), n_iter=40) == better


def test_weights_say_what_matters():
    seq = fisp(60, inversion_time=None)
    only = [
        mrf.optimise_flip_angles(seq, [WHITE, GREY], weights, bounds=(0.0, 1.5), n_iter=40)
        for weights in ([[1, 0], [0, 0]], [[0, 0], [0, 1]])
    ]
    t1_of_white = [mrf.crlb(train, *WHITE)[0] for train in only]
    t2_of_grey = [mrf.crlb(train, *GREY)[1] for train in only]
    assert t1_of_white[0] < 0.8 * t1_of_white[1]
    assert t2_of_grey[1] < 0.8 * t2_of_grey[0]
    alone = mrf.optimise_flip_angles(seq, [GREY], [[0, 1]], bounds=(0.0, 1.5), n_iter=40)
    assert alone == only[1]


def test_smooth_trains_keep_the_step_and_the_bounds():
    seq = mrf.Sequence.fisp(np.tile([0.1, 0.9], 40), 0.012, 0.003)
    low, high = np.full(80, 0.2), np.full(80, 1.0)
    low[40] = high[40] = 0.5
    step = 0.04
    smooth, info = mrf.optimise_flip_angles(
        seq, [GREY], bounds=(low, high), smoothness=step, n_iter=40, return_info=True
    )
    angles = smooth.flip_angles
    assert abs(np.diff(angles)).max() <= step + 1e-12
    assert (angles >= low - 1e-12).all()
    assert (angles <= high + 1e-12).all()
    assert angles[40] == pytest.approx(0.5, abs=1e-12)
    assert info.history[-1] < 0.7 * info.history[0]
    rough = mrf.optimise_flip_angles(seq, [GREY], bounds=(low, high), n_iter=40)
    assert abs(np.diff(rough.flip_angles)).max() > 5 * step


def test_unknown_b1_is_optimised_for():
    seq = fisp(60)
    first, better = (
        seq,
        mrf.optimise_flip_angles(seq, [WHITE], bounds=(0.0, 1.5), b1=0.9, parameters=("t1", "t2", "b1"), n_iter=30),
    )
    before, after = (mrf.crlb(s, *WHITE, b1=0.9, parameters=("t1", "t2", "b1")) for s in (first, better))
    assert ((after / before)[:2] ** 2).sum() < 1.5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"parameters": ("t1", "t3")}, InputError, "parameters: expected one of 't1'"),
        ({"parameters": ("t1", "t1")}, InputError, "parameters: .*each once"),
        ({"parameters": ()}, InputError, "parameters"),
        ({"sigma": 0.0}, InputError, "sigma: expected positive"),
        ({"sigma": [1.0, np.nan]}, InputError, "sigma: expected finite"),
        ({"m0": np.inf}, InputError, "m0: expected finite"),
        ({"t1": 800.0}, InputError, "t1: .*Milliseconds"),
        ({"t2": 2.0}, InputError, "t2: expected T2 <= T1"),
        ({"t1": 1j}, DtypeError, "t1: expected real"),
        ({"t1": [1.0, 2.0], "m0": [1.0, 2.0, 3.0]}, InputError, "broadcast"),
        ({"sigma": [1.0, 2.0], "m0": [1.0, 2.0, 3.0]}, InputError, "broadcast"),
        ({"b1": -1.0}, InputError, "b1"),
        ({"seq": [mrf.RF(0.1)]}, InputError, "seq: expected a Sequence"),
        ({"seq": mrf.Sequence([mrf.RF(0.1)])}, InputError, "seq: has no Readout"),
        ({"seq": mrf.Sequence([mrf.ShapedRF([1.0], 1e-3), mrf.Readout()])}, InputError, "shaped"),
    ],
)
def test_crlb_refuses_what_it_cannot_use(arguments, error, message):
    given = {"seq": fisp(10), "t1": 1.0, "t2": 0.1} | arguments
    with pytest.raises(error, match=message):
        mrf.crlb(**given)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seq": fisp(2)}, InputError, "seq: does not determine t1, t2"),
        ({"seq": fisp(20, angle=0.0)}, InputError, "seq: does not determine"),
        ({"seq": fisp(20, angle=0.0), "weights": [1.0]}, InputError, "seq: does not determine"),
        ({"seq": mrf.Sequence([mrf.Inversion(0.1), mrf.Readout()])}, InputError, "seq: has no RF"),
        ({"seq": mrf.Sequence([mrf.RF(0.1)])}, InputError, "seq: has no Readout"),
        ({"tissues": (1.0, 0.1)}, InputError, "tissues: expected shape"),
        ({"tissues": []}, InputError, "tissues"),
        ({"tissues": [(0.1, 1.0)]}, InputError, "t2: expected T2 <= T1"),
        ({"weights": [1.0, 2.0]}, InputError, "weights: expected shape"),
        ({"weights": [-1.0]}, InputError, "weights: expected numbers >= 0"),
        ({"weights": [0.0]}, InputError, "weights: .*above 0"),
        ({"bounds": 1.0}, InputError, "bounds: expected"),
        ({"bounds": (1.0, 0.5)}, InputError, "bounds: .*not above the largest"),
        ({"bounds": (5.0, 70.0)}, InputError, "Degrees"),
        ({"bounds": (0.0, [1.0, 1.1])}, InputError, "bounds.1.: expected one angle or 20"),
        ({"smoothness": 0.0}, InputError, "smoothness: expected a positive"),
        ({"bounds": (0.0, np.r_[np.zeros(19), 1.0]), "smoothness": math.nan}, InputError, "smoothness"),
        ({"bounds": (np.r_[0.0, np.ones(19)], np.r_[0.0, np.ones(19)]), "smoothness": 0.1}, InputError, "smoothness"),
        ({"n_iter": 0}, InputError, "n_iter"),
        ({"callback": 3}, DtypeError, "callback"),
        ({"b1": np.ones(2)}, DtypeError, "b1: expected a real number"),
    ],
)
def test_optimisation_refuses_what_it_cannot_use(arguments, error, message):
    given = {"seq": fisp(20), "tissues": [WHITE], "n_iter": 2} | arguments
    with pytest.raises(error, match=message):
        mrf.optimise_flip_angles(**given)
