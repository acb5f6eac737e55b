"""What isochromats do that configuration states do not: shaped pulses, slices, T2*."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spinray.errors import DtypeError, InputError
from spinray.mri import mrf
from spinray.testing import assert_deterministic

SLOW = np.float64(20.0)  # relaxes by 1e-4 in 2 ms
READ = mrf.Readout()


def longitudinal(pulse: mrf.ShapedRF, **more) -> np.ndarray:
    """Z after a pulse, by a perfect spoiler and a pulse of 90 degrees."""
    seq = mrf.Sequence([pulse, mrf.Spoil(math.inf), mrf.RF(math.pi / 2), READ])
    return mrf.bloch(seq, SLOW, SLOW, n_isochromats=1, **more)[..., 0]


# Shaped pulses


def test_short_pulse_is_a_hard_one():
    shaped = mrf.ShapedRF(np.full(10, 0.8 / 1e-9), dt=1e-10, phase=0.3)
    hard = mrf.RF(0.8, 0.3)
    rest = [mrf.Spoil(1, 0.01), READ, mrf.RF(0.5), mrf.Readout(0.001), mrf.Spoil(1, 0.01)]
    for b1 in (1.0, 0.7):
        signals = [
            mrf.bloch(mrf.Sequence([pulse, READ, *rest] * 4), np.float64(1.0), 0.1, b1) for pulse in (shaped, hard)
        ]
        assert np.abs(signals[0] - signals[1]).max() < 1e-7


def test_waveform_phase_and_pulse_phase_add():
    waveform = 900.0 * np.hanning(50) * np.exp(0.4j)
    turned = mrf.ShapedRF(waveform, 1e-5, phase=0.5)
    plain = mrf.ShapedRF(abs(waveform), 1e-5, phase=0.9)
    signals = [mrf.bloch(mrf.Sequence([pulse, READ]), SLOW, SLOW, off_resonance=70.0) for pulse in (turned, plain)]
    assert signals[0] == pytest.approx(signals[1], abs=1e-13)


def test_pulse_is_the_solution_of_the_bloch_equations(rng):
    """Random amplitude, phase and gradient, with relaxation on the scale of the pulse."""
    n, length, gradient, t1, t2 = 12, 0.01, 300.0, 0.03, 0.012
    coarse = 600.0 * (rng.normal(size=n) + 1j * rng.normal(size=n))
    positions, frequency, b1 = np.array([-1.0, 0.0, 2.5]), 40.0, 1.2
    pulse = mrf.ShapedRF(np.repeat(coarse, 400), length / n / 400, gradient, phase=0.7)
    seq = mrf.Sequence([mrf.RF(0.5, 1.0), pulse, READ])
    for x in positions:
        omega = 2 * np.pi * frequency + gradient * x
        m = np.array([np.sin(0.5 * b1) * np.exp(1j), np.cos(0.5 * b1)], complex)
        for sample in coarse:
            w = b1 * sample * np.exp(0.7j)

            def slope(_, m, w=w, omega=omega):
                f, z = m
                return [1j * omega * f + w * z.real - f / t2, -(np.conj(w) * f).real + (1 - z.real) / t1]

            m = solve_ivp(slope, (0, length / n), m, rtol=1e-10, atol=1e-12).y[:, -1]
        found = mrf.bloch(seq, np.float64(t1), t2, b1, frequency, 3, positions=[x])[0]
        assert found == pytest.approx(m[0], abs=1e-6)


def test_a_split_pulse_is_the_same_pulse():
    """Maps compose; and relaxation within them is that of the samples."""
    waveform = 500.0 * np.hanning(64)
    whole = [mrf.ShapedRF(waveform, 1e-5, 200.0)]
    halves = [mrf.ShapedRF(part, 1e-5, 200.0) for part in np.split(waveform, 2)]
    signals = [
        mrf.bloch(mrf.Sequence([*pulses, READ]), np.float64(0.01), 0.002, positions=[0.7]) for pulses in (whole, halves)
    ]
    assert signals[0] == pytest.approx(signals[1], abs=1e-14)


def test_constant_pulse_off_resonance_has_the_profile_of_rabi():
    w, length = 1500.0, 1e-3
    frequencies = np.linspace(-2000, 2000, 41)
    total = np.hypot(w, 2 * np.pi * frequencies)
    expected = 1 - 2 * (w / total * np.sin(total * length / 2)) ** 2
    for samples in (1, 100):
        pulse = mrf.ShapedRF(np.full(samples, w), length / samples)
        assert np.abs(longitudinal(pulse, off_resonance=frequencies) - expected).max() < 2e-4


@pytest.mark.parametrize("turns", [0.5, 1.0, 1.7])
def test_hyperbolic_secant_inverts_as_rosen_and_zener_say(turns):
    """Z = 1 - 2 sin^2(A / 2) sech^2(pi D / 2 beta) for the flip angle A = `turns` pi and the offset D = G x."""
    beta, gradient, dt = 4000.0, 900.0, 2e-6
    t = np.arange(-6e-3, 6e-3, dt)
    positions = np.linspace(-8.0, 8.0, 17)
    pulse = mrf.ShapedRF(turns * beta / np.cosh(beta * t), dt, gradient)
    found = np.array([longitudinal(pulse, positions=[x]) for x in positions])
    offset = np.pi * gradient * positions / (2 * beta)
    expected = 1 - 2 * np.sin(turns * np.pi / 2) ** 2 / np.cosh(offset) ** 2
    assert np.abs(found - expected).max() < 2e-3  # 12 ms of relaxation


def test_small_angles_make_the_spectrum_of_the_pulse():
    """And a rephasing lobe of half the area makes its phase flat across the slice (Pauly 1989)."""
    n, dt, gradient = 400, 1e-5, 2 * np.pi * 500.0
    t = (np.arange(n) - (n - 1) / 2) * dt
    shape = np.sinc(2000 * t) * np.hanning(n)
    waveform = 0.01 * shape / shape.sum() / dt
    rephase = mrf.ShapedRF(np.zeros(n // 2), dt, -gradient)
    seq = mrf.Sequence([mrf.ShapedRF(waveform, dt, gradient), rephase, READ])
    for x in np.linspace(-3.0, 3.0, 13):
        expected = (waveform * np.exp(-1j * gradient * x * t)).sum() * dt
        found = mrf.bloch(seq, SLOW, SLOW, positions=[x])[0]
        assert abs(found - expected) < 1e-2 * 0.01
        assert abs(found.imag) < 1e-4 * 0.01


def test_gradient_dephases_forwards_along_the_slice():
    gradient, length = 700.0, 1e-3
    lobe = mrf.ShapedRF(np.zeros(5), length / 5, gradient)
    seq = mrf.Sequence([mrf.RF(math.pi / 2), lobe, READ])
    for x in (-2.0, 0.5, 1.0):
        expected = np.exp(1j * gradient * length * x - length / 0.1)
        assert mrf.bloch(seq, np.float64(1.0), 0.1, positions=[x])[0] == pytest.approx(expected, abs=1e-12)


def test_b1_and_off_resonance_reach_shaped_pulses():
    pulse = mrf.ShapedRF(np.full(20, 500.0), 1e-5, 400.0)
    stronger = mrf.ShapedRF(np.full(20, 600.0), 1e-5, 400.0)
    shift = 400.0 / (2 * np.pi)  # a millimetre
    found = mrf.bloch(mrf.Sequence([pulse, READ]), SLOW, SLOW, 1.2, shift, positions=[0.5])
    expected = mrf.bloch(mrf.Sequence([stronger, READ]), SLOW, SLOW, positions=[1.5])
    assert found == pytest.approx(expected, abs=1e-12)


# Slices


def excitation(thickness: float = 5.0, angle: float = math.pi / 2) -> list[mrf.Event]:
    sinc = np.sinc(np.linspace(-4, 4, 512)) * np.hanning(512)
    gradient = 2 * np.pi * 1000 / thickness
    dt = 8e-3 / 512
    pulse = mrf.ShapedRF(sinc * angle / (sinc.sum() * dt), dt, gradient)
    return [pulse, mrf.ShapedRF(np.zeros(256), dt, -gradient)]


def test_signal_is_the_mean_over_positions():
    seq = mrf.Sequence([*excitation(), mrf.Readout(0.001), mrf.Spoil(1, 0.01), *excitation(), READ])
    positions = np.linspace(-6.0, 6.0, 37)
    each = [mrf.bloch(seq, np.float64(1.0), 0.1, n_isochromats=64, positions=[x]) for x in positions]
    together = mrf.bloch(seq, np.float64(1.0), 0.1, n_isochromats=64, positions=positions)
    assert np.abs(together - np.mean(each, axis=0)).max() < 1e-13


@pytest.mark.parametrize("thickness", [1.0, 5.0])
def test_slice_fills_half_of_the_positions_that_are_chosen_for_it(thickness):
    seq = mrf.Sequence([*excitation(thickness, math.radians(10)), READ])
    found = mrf.bloch(seq, SLOW, SLOW)[0]
    assert abs(found) == pytest.approx(math.sin(math.radians(10)) / 2, rel=0.02)


def test_slice_profile_multiplies_hard_pulses():
    profile = np.array([1.0, 0.8, 0.3])
    train = mrf.Sequence.fisp(np.full(20, 0.6), 0.01, 0.002, slice_profile=profile)
    bare = mrf.Sequence(train.events)
    expected = np.mean([mrf.bloch(bare, np.float64(1.0), 0.1, b1) for b1 in profile], axis=0)
    assert np.abs(mrf.bloch(train, np.float64(1.0), 0.1) - expected).max() < 1e-13
    # Beside shaped pulses it belongs to the positions.
    mixed = mrf.Sequence([mrf.RF(0.5), mrf.ShapedRF(np.zeros(4), 1e-4, 300.0), READ], slice_profile=profile)
    positions = np.array([0.0, 1.0, 3.0])
    expected = np.mean(np.sin(0.5 * profile) * np.exp(300.0j * 4e-4 * positions)) * math.exp(-4e-4 / 0.1)
    found = mrf.bloch(mixed, np.float64(1.0), 0.1, positions=positions)[0]
    assert found == pytest.approx(expected, abs=1e-12)


# T2*


def test_free_induction_decays_with_t2_star_and_an_echo_with_t2():
    t2, t2_prime, step = 0.08, 0.03, 0.001
    fid = [mrf.Readout(step)] * 40
    seq = mrf.Sequence([mrf.RF(math.pi / 2), *fid, mrf.RF(math.pi, math.pi / 2), mrf.Readout(40 * step)])
    found = mrf.bloch(seq, np.float64(1.0), t2, t2_prime=t2_prime)
    times = seq.echo_times[:40]
    assert np.abs(found[:40] - np.exp(-times * (1 / t2 + 1 / t2_prime))).max() < 0.01
    assert found[40] == pytest.approx(math.exp(-80 * step / t2), abs=1e-10)
    finer = mrf.bloch(seq, np.float64(1.0), t2, n_isochromats=20_000, t2_prime=t2_prime)
    assert np.abs(finer[:40] - np.exp(-times * (1 / t2 + 1 / t2_prime))).max() < 0.001


def test_lorentzian_and_spoiling_are_independent():
    """A train is the mean of trains at single frequencies, each exact by configuration states."""
    seq = mrf.Sequence.spgr(np.full(25, 0.5), 0.008, 0.003)
    t2_prime, n = 0.04, 20_000
    spread = np.tan(np.pi * ((np.arange(n) + 0.5) / n - 0.5)) / (2 * np.pi * t2_prime)
    expected = mrf.epg(seq, np.float64(1.0), 0.1, off_resonance=spread + 12.0).mean(axis=0)
    found = mrf.bloch(seq, np.float64(1.0), 0.1, off_resonance=12.0, n_isochromats=4000, t2_prime=t2_prime)
    assert np.abs(found - expected).max() < 0.005
    assert np.abs(mrf.epg(seq, np.float64(1.0), 0.1, off_resonance=12.0) - expected).max() > 0.02


def test_infinite_t2_prime_is_none():
    seq = mrf.Sequence.fisp(np.full(10, 0.5), 0.008, 0.003)
    both = mrf.bloch(seq, 1.0, 0.1, t2_prime=np.float32([np.inf, 0.05]))
    assert both.shape == (2, 10)
    assert np.array_equal(both[0], mrf.bloch(seq, 1.0, 0.1))
    assert np.array_equal(both[1], mrf.bloch(seq, 1.0, 0.1, t2_prime=0.05))


def test_frequencies_of_a_lorentzian_reach_shaped_pulses():
    """A selective pulse excites less of a broad line."""
    selective = mrf.ShapedRF(np.full(100, np.pi / 2 / 0.05), 0.0005)
    seq = mrf.Sequence([selective, READ])
    signals = [abs(mrf.bloch(seq, SLOW, SLOW, t2_prime=t2_prime)[0]) for t2_prime in (10.0, 0.1, 0.01)]
    assert signals[0] > 0.98 > 0.8 > signals[1] > signals[2]


# The rules of all signal models


def test_parameters_broadcast_and_keep_their_precision():
    seq = mrf.Sequence.fisp(np.full(6, 0.5), 0.01, 0.002)
    found = mrf.bloch(seq, np.float32([[0.5], [1.0]]), np.float32([0.05, 0.1, 0.2]), 0.9)
    assert found.shape == (2, 3, 6)
    assert found.dtype == np.complex64
    assert np.array_equal(found[1, 2], mrf.bloch(seq, 1.0, 0.2, 0.9))
    assert mrf.bloch(seq, 1.0, 0.1, t2_prime=np.array([0.1])).dtype == np.complex128
    assert mrf.bloch(seq, 1.0, 0.1).dtype == np.complex64
    assert mrf.bloch(seq, np.empty(0), 0.1).shape == (0, 6)
    assert mrf.bloch(mrf.Sequence([mrf.RF(0.5)]), 1.0, 0.1).shape == (0,)


def test_tensors_come_back_as_tensors():
    torch = pytest.importorskip("torch")
    seq = mrf.Sequence.fisp(np.full(6, 0.5), 0.01, 0.002)
    t1 = torch.tensor([0.5, 1.0])
    found = mrf.bloch(seq, t1, 0.1)
    assert isinstance(found, torch.Tensor)
    assert np.array_equal(found.numpy(), mrf.bloch(seq, t1.numpy(), 0.1))
    with pytest.raises(InputError, match=r"t1: requires a gradient.*detach"):
        mrf.bloch(seq, t1.requires_grad_(), 0.1)


def test_same_bits_for_any_number_of_threads():
    seq = mrf.Sequence([*excitation(), mrf.Readout(0.001), mrf.Spoil(1, 0.01)] * 3)
    t1, t2_prime = np.float32([0.5, 1.0, 2.0]), np.float32([0.05, 0.1, np.inf])
    assert_deterministic(lambda: mrf.bloch(seq, t1, 0.1, n_isochromats=50, t2_prime=t2_prime), threads=(1, 2, 5))


def test_progress_is_shown(capsys):
    mrf.bloch(mrf.Sequence.fisp(np.full(6, 0.5), 0.01, 0.002), np.full(50, 1.0), 0.1, progress=True)
    assert "bloch" in capsys.readouterr().err


SEQ = mrf.Sequence.fisp(np.full(6, 0.5), 0.01, 0.002)
PROFILED = mrf.Sequence(SEQ.events, slice_profile=[1.0, 0.5])
COARSE = mrf.Sequence([mrf.ShapedRF([1e5], 0.01), READ])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seq": "fisp"}, "seq: expected a Sequence"),
        ({"t1": 800.0}, r"t1: .*Milliseconds"),
        ({"t1": -1.0}, "t1: expected a positive"),
        ({"t2": 2.0}, r"t2: expected T2 <= T1"),
        ({"t1": np.array([1.0, np.nan])}, "t1: expected finite"),
        ({"t1": np.ones(2), "b1": np.ones(3)}, "t1: expected parameters that broadcast"),
        ({"b1": 90.0}, "b1: .*Percent"),
        ({"n_isochromats": 0}, "n_isochromats: expected an integer >= 1"),
        ({"n_isochromats": 1 << 30}, "n_isochromats: expected 1 to"),
        ({"t2_prime": 0.0}, "t2_prime: expected at least"),
        ({"t2_prime": np.nan}, "t2_prime: expected at least"),
        ({"t1": np.ones(2), "t2_prime": np.ones(3)}, "t2_prime: expected a shape that broadcasts"),
        ({"positions": []}, "positions: expected at least one"),
        ({"positions": [np.inf]}, "positions: expected finite"),
        ({"seq": PROFILED, "positions": [1.0]}, "positions: expected one for each entry .* 2 entries and 1 positions"),
        ({"seq": COARSE}, "dt: spins turn by 1000 rad within one sample"),
    ],
)
def test_unusable_input_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        mrf.bloch(**{"seq": SEQ, "t1": 1.0, "t2": 0.1, **arguments})


def test_numbers_are_asked_for():
    with pytest.raises(DtypeError, match="n_isochromats: expected an integer"):
        mrf.bloch(SEQ, 1.0, 0.1, n_isochromats=10.5)
    with pytest.raises(DtypeError, match="t2_prime: expected"):
        mrf.bloch(SEQ, 1.0, 0.1, t2_prime="long")
