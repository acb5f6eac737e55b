"""Signals against the closed forms of the field, by extended phase graphs and by isochromats alike.

In double, the bounds are a few roundings above what two ways to write the same expression differ by.
"""

import cmath
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinray.mri import mrf

T1, T2 = 0.8, 0.07
EXACT = 1e-11


def by_graphs(seq: mrf.Sequence, t1: float = T1, t2: float = T2, **more) -> np.ndarray:
    return mrf.epg(seq, np.float64(t1), np.float64(t2), **more)


def by_isochromats(seq: mrf.Sequence, t1: float = T1, t2: float = T2, **more) -> np.ndarray:
    return mrf.bloch(seq, np.float64(t1), np.float64(t2), n_isochromats=1024, **more)


both = pytest.mark.parametrize("model", [by_graphs, by_isochromats])
anglewise = pytest.mark.parametrize("degrees", [5, 20, 50, 90, 130])


def last_of_train(shot: list[mrf.Event], read: list[mrf.Event], count: int) -> mrf.Sequence:
    """So many shots, and one more with the readouts."""
    return mrf.Sequence([*(shot * count), *read])


# Steady states


def spoiled_train(angle: float, tr: float, te: float) -> mrf.Sequence:
    shot = [mrf.RF(angle), mrf.Spoil(math.inf, tr)]
    return last_of_train(shot, [mrf.RF(angle), mrf.Readout(te)], 1500)


@both
@anglewise
def test_ideally_spoiled_steady_state(model, degrees):
    angle, tr, te = math.radians(degrees), 0.02, 0.004
    e1 = math.exp(-tr / T1)
    expected = math.sin(angle) * (1 - e1) / (1 - math.cos(angle) * e1) * math.exp(-te / T2)
    assert model(spoiled_train(angle, tr, te))[-1] == pytest.approx(expected, abs=EXACT)


@both
def test_no_angle_gives_more_than_that_of_ernst(model):
    tr = 0.03
    ernst = math.acos(math.exp(-tr / T1))
    signals = [abs(model(spoiled_train(ernst + step, tr, 0.0))[-1]) for step in (-0.02, 0.0, 0.02)]
    assert max(signals) == signals[1]
    e1 = math.exp(-tr / T1)
    assert signals[1] == pytest.approx(math.sqrt((1 - e1) / (1 + e1)), abs=EXACT)


def balanced(angle: float, tr: float, phase: np.ndarray | float) -> np.ndarray:
    """Steady state just after pulses of phase 0 between which spins turn by `phase` (Freeman and Hill 1971)."""
    e1, e2, c = math.exp(-tr / T1), math.exp(-tr / T2), math.cos(angle)
    varying = e2 * (1 - e1) * (1 + c) * np.cos(phase)
    constant = 1 - e1 * c - (e1 - c) * e2**2
    return math.sin(angle) * (1 - e1) * (1 - e2 * np.exp(-1j * phase)) / (constant - varying)


def alternating(angle: float, tr: float) -> mrf.Sequence:
    return mrf.Sequence.bssfp(np.full(2500, angle), tr, te=0.0)


@both
@anglewise
def test_balanced_steady_state_on_resonance(model, degrees):
    angle, tr = math.radians(degrees), 0.01
    e1, e2 = math.exp(-tr / T1), math.exp(-tr / T2)
    expected = math.sin(angle) * (1 - e1) / (1 - (e1 - e2) * math.cos(angle) - e1 * e2)
    assert model(alternating(angle, tr))[-1] == pytest.approx(expected, abs=1e-8)
    assert balanced(angle, tr, math.pi) == pytest.approx(expected, abs=EXACT)


@both
@anglewise
def test_balanced_steady_state_off_resonance(model, degrees):
    angle, tr = math.radians(degrees), 0.01
    frequencies = np.linspace(-130.0, 130.0, 53)
    found = model(alternating(angle, tr), off_resonance=frequencies)[:, -1]
    expected = balanced(angle, tr, 2 * np.pi * frequencies * tr - np.pi)
    assert np.abs(found - expected).max() < 1e-8


@both
def test_balanced_echo_is_refocused_in_the_middle(model):
    """Between bands all frequencies have the same phase at TR / 2 (Scheffler and Hennig 2003)."""
    seq = mrf.Sequence.bssfp(np.full(1000, 0.6), 0.008)
    frequencies = np.linspace(-40.0, 40.0, 9)
    echoes = model(seq, off_resonance=frequencies)[:, -1]
    assert np.abs(np.angle(echoes)).max() < 0.1
    free = echoes * np.exp(-2j * np.pi * frequencies * 0.004)
    assert np.abs(np.angle(free)).max() > 0.8


@both
def test_bands_are_half_a_turn_apart(model):
    tr = 0.01
    frequencies = np.linspace(-100.0, 100.0, 41)
    profile = np.abs(model(alternating(0.5, tr), off_resonance=frequencies)[:, -1])
    dark = frequencies[profile < 0.3 * profile[frequencies == 0]]
    assert set(np.round(np.abs(dark))) == {1 / (2 * tr)}


def unbalanced(angle: float, tr: float) -> tuple[float, float]:
    """Sizes of FID and echo of unbalanced SSFP (Gyngell 1988; Haenicke and Vogel 2003)."""
    e1, e2, c = math.exp(-tr / T1), math.exp(-tr / T2), math.cos(angle)
    p = 1 - e1 * c - e2**2 * (e1 - c)
    q = e2 * (1 - e1) * (1 + c)
    r = (1 - e2**2) / math.sqrt(p * p - q * q)
    half = math.tan(angle / 2)
    return half * (1 - (e1 - c) * r), half * (1 - (1 - e1 * c) * r)


@both
@anglewise
def test_fid_and_echo_of_unbalanced_steady_state(model, degrees):
    """The echo before a pulse (PSIF) has the phase that refocusing gives: opposite to the FID (FISP)."""
    angle, tr, te = math.radians(degrees), 0.012, 0.003
    late = [mrf.Spoil(1, tr - te), mrf.Readout()]
    seq = last_of_train([mrf.RF(angle), mrf.Spoil(1, tr)], [mrf.RF(angle), mrf.Readout(te), *late], 700)
    fid, echo = unbalanced(angle, tr)
    found = model(seq)
    # 700 orders of 1024 isochromats, and a steady state 8.4 s after the start.
    assert found[0] == pytest.approx(fid * math.exp(-te / T2), abs=1e-4 * fid)
    assert found[1] == pytest.approx(-echo, abs=1e-4 * fid)


def test_fid_is_the_mean_of_the_balanced_profile():
    """The closed form above, from the other one: dephasing by a turn averages over all phases."""
    phases = 2 * np.pi * np.arange(20_000) / 20_000
    profile = balanced(0.7, 0.012, phases)
    fid, echo = unbalanced(0.7, 0.012)
    assert profile.mean() == pytest.approx(fid, abs=1e-12)
    before = (profile * np.exp(1j * phases)).mean() * math.exp(-0.012 / T2)
    assert before == pytest.approx(-echo, abs=1e-12)


# Echoes


def cpmg_echoes(angle: float, spacing: float, count: int) -> np.ndarray:
    """Echoes of a CPMG train, from their generating function (Lukzen and Savelov 2007) on the unit circle."""
    k1, k2, c = math.exp(-spacing / T1), math.exp(-spacing / T2), math.cos(angle)
    z = np.exp(2j * np.pi * np.arange(8192) / 8192)

    def root(linear: float, square: float) -> np.ndarray:
        """Square root of 1 + linear z + square z^2 on the branch that is 1 at z = 0."""
        poles = np.roots([1.0, linear, square])
        return np.sqrt(1 - poles[0] * z) * np.sqrt(1 - poles[1] * z)

    above = np.sqrt(1 + k2 * z) * root(-(k1 + k2) * c, k1 * k2)
    below = np.sqrt(1 - k2 * z) * root(-(k1 - k2) * c, -k1 * k2)
    return (np.fft.fft((1 + above / below) / 2) / z.size).real[1 : count + 1]


@both
@pytest.mark.parametrize("degrees", [180, 165, 120, 90, 60, 25])
def test_cpmg_train_of_any_refocusing_angle(model, degrees):
    seq = mrf.Sequence.mese(60, 0.009, math.radians(degrees))
    found = model(seq)
    assert np.abs(found - cpmg_echoes(math.radians(degrees), 0.009, 60)).max() < EXACT


@both
def test_train_of_full_refocusing_decays_with_t2(model):
    seq = mrf.Sequence.mese(40, 0.01)
    assert np.abs(model(seq) - np.exp(-seq.echo_times / T2)).max() < EXACT


@both
@pytest.mark.parametrize("seed", range(4))
def test_five_echoes_of_three_pulses(model, seed):
    """Hahn 1950; stimulated echo and all others, with phases and relaxation."""
    (a1, p1), (a2, p2), (a3, p3) = np.random.default_rng(seed).uniform(0.3, 2.6, (3, 2)).tolist()
    t = 0.01
    wait = mrf.Spoil(1, t)
    step = [wait, mrf.Readout()]
    seq = mrf.Sequence([mrf.RF(a1, p1), wait, mrf.RF(a2, p2), *step, wait, wait, mrf.RF(a3, p3), *(step * 4)])
    e1, e2 = math.exp(-t / T1), math.exp(-t / T2)
    flip2, flip3 = math.sin(a2 / 2) ** 2, math.sin(a3 / 2) ** 2
    recovered = 1 - (1 - math.cos(a1)) * e1
    expected = [
        -math.sin(a1) * flip2 * e2**2 * cmath.exp(1j * (2 * p2 - p1)),  # spin echo of pulses 1 and 2
        -math.sin(a1) * math.sin(a2) * math.sin(a3) / 2 * e2**2 * e1**3 * cmath.exp(1j * (p3 + p2 - p1)),  # stimulated
        math.sin(a1) * flip2 * flip3 * e2**6 * cmath.exp(1j * (2 * p3 - 2 * p2 + p1)),  # the first one, refocused
        -recovered * math.sin(a2) * flip3 * e2**6 * cmath.exp(1j * (2 * p3 - p2)),  # spin echo of pulses 2 and 3
        -math.sin(a1) * math.cos(a2 / 2) ** 2 * flip3 * e2**8 * cmath.exp(1j * (2 * p3 - p1)),  # of pulses 1 and 3
    ]
    assert np.abs(model(seq) - expected).max() < EXACT


@both
def test_hyperecho_brings_back_all_magnetisation(model, rng):
    """Hennig and Scheffler 2001: pulses mirrored about one of half a turn, with opposite angles and phases."""
    pulses = rng.uniform(-2.5, 2.5, (8, 2)).tolist()
    turns = rng.integers(1, 4, 8).tolist()
    before = [event for (a, p), n in zip(pulses, turns, strict=True) for event in (mrf.Spoil(n), mrf.RF(a, p))]
    mirrored = zip(reversed(pulses), reversed(turns), strict=True)
    after = [event for (a, p), n in mirrored for event in (mrf.RF(-a, -p), mrf.Spoil(n))]
    seq = mrf.Sequence([mrf.RF(math.pi / 2, 0.4), *before, mrf.Readout(), mrf.RF(math.pi), *after, mrf.Readout()])
    middle, hyperecho = model(seq)
    assert abs(middle) < 0.5
    assert hyperecho == pytest.approx(-cmath.exp(-0.4j), abs=EXACT)


# Preparations


@both
@pytest.mark.parametrize("efficiency", [1.0, 0.9, 0.0])
def test_inversion_recovery(model, efficiency):
    for ti in (0.0, 0.1, T1 * math.log(2), 3.0):
        seq = mrf.Sequence([mrf.RF(0.3), mrf.Inversion(ti, efficiency), mrf.RF(math.pi / 2), mrf.Readout(0.002)])
        e1 = math.exp(-ti / T1)
        expected = (1 - e1 - efficiency * math.cos(0.3) * e1) * math.exp(-0.002 / T2)
        assert model(seq)[0] == pytest.approx(expected, abs=EXACT)


@both
def test_t2_preparation(model):
    seq = mrf.Sequence([mrf.RF(0.5), mrf.T2Prep(0.05), mrf.RF(math.pi / 2, 1.0), mrf.Readout(0.0, 1.0)])
    assert model(seq)[0] == pytest.approx(math.cos(0.5) * math.exp(-0.05 / T2), abs=EXACT)


@both
def test_off_resonance_turns_forwards_and_b1_multiplies_angles(model):
    seq = mrf.Sequence([mrf.RF(0.7, 0.2), mrf.Readout(0.004, 0.3)])
    found = model(seq, b1=np.array([0.8, 1.3]), off_resonance=31.0)[:, 0]
    phase = 0.2 + 2 * math.pi * 31 * 0.004 - 0.3
    expected = np.sin(0.7 * np.array([0.8, 1.3])) * cmath.exp(1j * phase - 0.004 / T2)
    assert np.abs(found - expected).max() < EXACT


# Diffusion


@pytest.mark.parametrize("n", [1, 3])
def test_spin_echo_is_weighted_as_stejskal_and_tanner_say(n):
    d, dephasing, length, gap = 2.1e-3, 30.0, 0.008, 0.015
    lobe = mrf.Spoil(n, length)
    refocus = [mrf.Delay(gap / 2), mrf.RF(math.pi, math.pi / 2), mrf.Delay(gap / 2)]
    seq = mrf.Sequence([mrf.RF(math.pi / 2), lobe, *refocus, lobe, mrf.Readout()], dephasing=dephasing)
    b = (n * dephasing) ** 2 * (length + gap - length / 3)
    expected = math.exp(-(2 * length + gap) / T2 - b * d)
    assert by_graphs(seq, diffusion=d)[0] == pytest.approx(expected, abs=EXACT)


def test_stimulated_echo_is_weighted_as_stejskal_and_tanner_say():
    d, dephasing, length, mixing = 1.3e-3, 40.0, 0.005, 0.2
    lobe, tip = mrf.Spoil(1, length), mrf.RF(math.pi / 2)
    events = [tip, lobe, tip, mrf.Spoil(math.inf, mixing), tip, lobe, mrf.Readout()]
    b = dephasing**2 * (length + mixing - length / 3)
    expected = -0.5 * math.exp(-2 * length / T2 - mixing / T1 - b * d)
    assert by_graphs(mrf.Sequence(events, dephasing=dephasing), diffusion=d)[0] == pytest.approx(expected, abs=EXACT)


def test_gradients_of_opposite_sign_weight_like_a_bipolar_pair():
    d, dephasing, length = 1e-3, 60.0, 0.01
    events = [mrf.RF(1.0), mrf.Spoil(1, length), mrf.Spoil(-1, length), mrf.Readout()]
    b = dephasing**2 * 2 * length / 3
    found = by_graphs(mrf.Sequence(events, dephasing=dephasing), diffusion=d)[0]
    assert found == pytest.approx(math.sin(1.0) * math.exp(-2 * length / T2 - b * d), abs=EXACT)


# Each model against the other, and against the definition


def trains(count: int) -> dict[str, mrf.Sequence]:
    angles = np.deg2rad(10 + 60 * abs(np.sin(np.arange(count) / 30)))
    tr = 0.011 + 0.002 * np.sin(np.arange(count))
    return {
        "fisp": mrf.Sequence.fisp(angles, tr, 0.003, inversion_time=0.02),
        "bssfp": mrf.Sequence.bssfp(angles, tr, inversion_time=0.02),
        "spgr": mrf.Sequence.spgr(angles, tr, 0.003, slice_profile=[1.0, 0.9, 0.4]),
        "mese": mrf.Sequence.mese(count // 4, 0.01, 2.0),
    }


@pytest.mark.parametrize("name", ["fisp", "bssfp", "spgr", "mese"])
def test_isochromats_are_states(name):
    seq = trains(400)[name]
    t1, t2 = np.array([0.3, 1.2, 4.0]), np.array([0.03, 0.1, 0.5])
    more = {"b1": np.array([1.0, 0.8, 1.2]), "off_resonance": np.array([0.0, 13.0, -40.0])}
    for dtype, bound in ((np.float32, 1e-5), (np.float64, 1e-12)):
        values = {key: value.astype(dtype) for key, value in {"t1": t1, "t2": t2, **more}.items()}
        graphs, spins = mrf.epg(seq, **values), mrf.bloch(seq, **values, n_isochromats=1000)
        assert graphs.dtype == spins.dtype == np.result_type(dtype, np.complex64)
        assert np.abs(graphs - spins).max() < bound


def plain_epg(seq: mrf.Sequence, t1: float, t2: float, b1: float, frequency: float) -> np.ndarray:
    """Weigel 2015 as written, F at orders -K to K, Z likewise."""
    most = 1 + sum(abs(event.n) for event in seq.events if isinstance(event, mrf.Spoil) and event.n != math.inf)
    f, z = np.zeros((2, 2 * most + 1), complex)
    z[most] = 1
    echoes = []

    def wait(time: float) -> None:
        nonlocal f, z
        f = f * np.exp(-time / t2 + 2j * np.pi * frequency * time)
        z = z * np.exp(-time / t1)
        z[most] += 1 - np.exp(-time / t1)

    for event in seq.events:
        if isinstance(event, mrf.RF):
            a, turn = b1 * event.angle, cmath.exp(1j * event.phase)
            minus = f[::-1].conj()  # F- at k is the conjugate of F+ at -k
            flipped = math.cos(a / 2) ** 2 * f - turn**2 * math.sin(a / 2) ** 2 * minus + turn * math.sin(a) * z
            z = math.cos(a) * z - math.sin(a) / 2 * (f / turn + minus * turn)
            f = flipped
        elif isinstance(event, mrf.Readout):
            wait(event.te)
            echoes.append(f[most] * cmath.exp(-1j * event.phase))
        elif isinstance(event, mrf.Delay):
            wait(event.duration)
        elif isinstance(event, mrf.Spoil):
            wait(event.duration)
            f = np.zeros_like(f) if event.n == math.inf else np.roll(f, event.n)
        elif isinstance(event, mrf.Inversion):
            f, z = 0 * f, -event.efficiency * z
            wait(event.ti)
        elif isinstance(event, mrf.T2Prep):
            f, z = 0 * f, math.exp(-event.te / t2) * z
    return np.array(echoes)


phases = st.one_of(st.sampled_from([0.0, math.pi]), st.floats(-6.0, 6.0))
durations = st.floats(0.0, 0.02)
orders = st.one_of(st.just(1), st.sampled_from([-2, -1, 2, 3, math.inf]))
events = st.one_of(
    st.builds(mrf.RF, st.floats(-3.1, 3.1), phases),
    st.builds(mrf.RF, st.floats(-3.1, 3.1)),
    st.builds(mrf.Spoil, orders, durations),
    st.builds(mrf.Spoil, st.just(1), durations),
    st.builds(mrf.Readout, durations, phases),
    st.builds(mrf.Readout, durations),
    st.builds(mrf.Delay, st.floats(0.0, 0.2)),
    st.builds(mrf.Inversion, st.floats(0.0, 0.5), st.floats(0.0, 1.0)),
    st.builds(mrf.T2Prep, st.floats(0.0, 0.1)),
)


@given(
    middle=st.lists(events, min_size=1, max_size=60),
    excitation=st.floats(0.3, 2.8),
    t1=st.floats(0.1, 4.0),
    ratio=st.floats(0.02, 1.0),
    b1=st.floats(0.5, 1.5),
    frequency=st.one_of(st.just(0.0), st.floats(-300.0, 300.0)),
)
def test_single_precision_is_the_definition_in_double(middle, excitation, t1, ratio, b1, frequency):
    """To 1e-5 of the largest echo, of which the first one makes sure that it is large."""
    seq = mrf.Sequence([mrf.RF(excitation), mrf.Readout(), *middle, mrf.Readout()])
    # The kernel is given rounded parameters: what it computes of them is what is tested.
    values = [float(np.float32(value)) for value in (t1, t1 * ratio, b1, frequency)]
    expected = plain_epg(seq, *values)
    single = mrf.epg(seq, *values)
    assert single.dtype == np.complex64
    assert np.abs(single - expected).max() < 1e-5 * np.abs(expected).max()
    double = mrf.epg(seq, *(np.float64(value) for value in values))
    assert np.abs(double - expected).max() < 1e-12
    spins = mrf.bloch(seq, *(np.float64(value) for value in values), n_isochromats=200)
    assert np.abs(spins - expected).max() < 1e-12


@pytest.mark.parametrize("degrees", [80, 115, 150, 180])
def test_rounding_does_not_add_up_over_long_echo_trains(degrees):
    """Slow relaxation, and the same angle 100 times: what a rotation gets wrong, it gets wrong each time."""
    seq = mrf.Sequence.mese(100, 0.01, math.radians(degrees))
    b1 = np.linspace(0.7, 1.3, 64, dtype=np.float32)
    exact = mrf.epg(seq, np.float64(4.0), 2.0, b1)
    assert np.abs(mrf.epg(seq, 4.0, 2.0, b1) - exact).max() < 1e-5
    assert np.abs(mrf.bloch(seq, 4.0, 2.0, b1) - exact).max() < 1e-5


@pytest.mark.parametrize("name", ["fisp", "bssfp", "spgr", "mese"])
@pytest.mark.parametrize("frequency", [0.0, 21.0])
def test_derivatives_are_the_limits_of_differences(name, frequency):
    seq = trains(80)[name]
    point = {"t1": 0.9, "t2": 0.08, "b1": 0.9, "off_resonance": frequency}
    steps = {"t1": 1e-4, "t2": 1e-5, "b1": 1e-4, "off_resonance": 1e-2}
    wide = {key: np.float64(value) for key, value in point.items()}
    signal, jacobian = mrf.epg(seq, **wide, derivatives=tuple(point))
    assert np.abs(signal - mrf.epg(seq, **wide)).max() < 1e-14
    for row, (key, step) in zip(jacobian, steps.items(), strict=True):
        around = [mrf.epg(seq, **{**wide, key: wide[key] + side * step}) for side in (-2, -1, 1, 2)]
        # of fourth order in the step
        difference = (around[0] - 8 * around[1] + 8 * around[2] - around[3]) / (12 * step)
        assert np.abs(row - difference).max() < 1e-8 * max(np.abs(row).max(), 1e-5), key


def test_derivative_by_t1_of_an_inversion_recovery():
    seq = mrf.Sequence([mrf.Inversion(0.3), mrf.RF(math.pi / 2), mrf.Readout(0.01)])
    _, jacobian = mrf.epg(seq, np.float64(T1), np.float64(T2), derivatives=("t2", "t1"))
    z, decay = 1 - 2 * math.exp(-0.3 / T1), math.exp(-0.01 / T2)
    expected = [z * decay * 0.01 / T2**2, -2 * 0.3 / T1**2 * math.exp(-0.3 / T1) * decay]
    assert np.abs(jacobian[:, 0] - expected).max() < EXACT


@pytest.mark.parametrize("name", ["fisp", "bssfp", "spgr", "mese"])
def test_states_that_no_echo_sees_change_nothing(name):
    seq = trains(120)[name]
    exact = by_graphs(seq)
    assert np.array_equal(by_graphs(seq, n_states=1000), exact)
    assert np.abs(plain_states(seq) - exact).max() < 1e-13
    if name != "bssfp":
        assert np.abs(by_graphs(seq, n_states=2) - exact).max() > 1e-4


def plain_states(seq: mrf.Sequence) -> np.ndarray:
    """All states of the definition, averaged over the slice profile."""
    profile = [1.0] if seq.slice_profile is None else seq.slice_profile
    return np.mean([plain_epg(seq, T1, T2, b1, 0.0) for b1 in profile], axis=0)
