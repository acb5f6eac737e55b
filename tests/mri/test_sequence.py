"""Sequences: what kernels are told to run, and refusal of what cannot be meant."""

import copy
import math
import pickle

import numpy as np
import pytest

import spinray
from spinray.errors import DtypeError, InputError
from spinray.mri import mrf

PULSE, RELAX, SHIFT, CRUSH, INVERT, T2PREP, READ = range(7)


def ops(seq):
    return list(zip(*(column.tolist() for column in seq._ops()), strict=True))


def test_the_room_opens_with_spinray():
    assert spinray.mri.mrf.Sequence is mrf.Sequence
    assert "mri" in dir(spinray)
    with pytest.raises(AttributeError, match="nothing"):
        _ = spinray.mri.nothing


def test_every_event_becomes_its_operations():
    events = [
        mrf.Inversion(0.02, efficiency=0.9),
        mrf.T2Prep(0.04),
        mrf.RF(0.5, 0.1),
        mrf.Delay(0.003),
        mrf.Readout(0.002, phase=0.2),
        mrf.Spoil(-2, 0.001),
        mrf.Spoil(math.inf, 0.004),
    ]
    expected = [
        (INVERT, 0.9, 0),
        (RELAX, 0.02, 0),
        (T2PREP, 0.04, 0),
        (PULSE, 0.5, 0.1),
        (RELAX, 0.003, 0),
        (RELAX, 0.002, 0),
        (READ, 0.2, 0),
        (SHIFT, -2, 0.001),
        (RELAX, 0.004, 0),
        (CRUSH, 0, 0),
    ]
    assert ops(mrf.Sequence(events)) == expected


def test_relaxation_over_no_time_is_left_out_and_nothing_else():
    seq = mrf.Sequence([mrf.Inversion(0), mrf.T2Prep(0), mrf.Delay(0), mrf.RF(0), mrf.Readout(), mrf.Spoil()])
    assert [row[0] for row in ops(seq)] == [INVERT, T2PREP, PULSE, READ, SHIFT]
    assert all(column.dtype == np.float64 and column.flags.c_contiguous for column in seq._ops())
    nothing = mrf.Sequence([mrf.Delay(0)])
    assert [column.size for column in nothing._ops()] == [0, 0, 0]
    assert nothing.duration == 0 == nothing.n_echoes == nothing.echo_times.size
    assert nothing.is_real


def test_a_fisp_shot_is_pulse_echo_spoiler():
    seq = mrf.Sequence.fisp([0.1, 0.2], tr=[0.012, 0.013], te=0.002, inversion_time=0.02, rf_phase=0.3)
    expected = [(INVERT, 1, 0), (RELAX, 0.02, 0)]
    for angle, tr in ((0.1, 0.012), (0.2, 0.013)):
        expected += [(PULSE, angle, 0.3), (RELAX, 0.002, 0), (READ, 0.3, 0), (SHIFT, 1, tr - 0.002)]
    assert ops(seq) == expected
    np.testing.assert_allclose(seq.echo_times, [0.022, 0.034], rtol=1e-15)
    assert seq.duration == pytest.approx(0.045)
    assert (len(seq), seq.n_echoes, seq.is_real) == (7, 2, True)


def test_a_bssfp_train_is_balanced_and_alternates():
    seq = mrf.Sequence.bssfp(np.full(1001, 0.5), tr=0.01)
    code, a, b = seq._ops()
    assert not np.isin(code, (SHIFT, CRUSH)).any()
    np.testing.assert_array_equal(b[code == PULSE], np.pi * (np.arange(1001) % 2))
    np.testing.assert_array_equal(a[code == READ], b[code == PULSE])
    np.testing.assert_allclose(seq.echo_times, 0.005 + 0.01 * np.arange(1001), rtol=1e-12)
    assert seq.is_real
    cycled = mrf.Sequence.bssfp(np.full(5, 0.5), tr=0.01, te=0.001, phase_increment=math.pi / 2)
    assert not cycled.is_real
    np.testing.assert_allclose(cycled.echo_times, 0.001 + 0.01 * np.arange(5), rtol=1e-12)


def test_rf_spoiling_is_quadratic_and_the_receiver_follows():
    seq = mrf.Sequence.spgr(np.full(1000, 0.2), tr=0.01, te=0.003)
    code, a, b = seq._ops()
    n = np.arange(1000)
    np.testing.assert_allclose(b[code == PULSE], np.deg2rad(117 * (n * (n + 1) // 2) % 360), atol=1e-10)
    np.testing.assert_array_equal(a[code == READ], b[code == PULSE])
    assert np.count_nonzero(code == SHIFT) == 1000
    assert not seq.is_real


def test_a_spin_echo_train_meets_meiboom_and_gill():
    seq = mrf.Sequence.mese(3, 0.01, refocusing_angles=[3.0, 2.0, 1.0])
    expected = [(PULSE, math.pi / 2, 0)]
    for angle in (3.0, 2.0, 1.0):
        expected += [(SHIFT, 1, 0.005), (PULSE, angle, math.pi / 2), (SHIFT, 1, 0.005), (READ, 0, 0)]
    assert ops(seq) == expected
    np.testing.assert_allclose(seq.echo_times, [0.01, 0.02, 0.03])
    assert not seq.is_real


def test_scalars_and_arrays_share_one_length():
    seq = mrf.Sequence.fisp(0.2, tr=[0.01, 0.011, 0.012], te=0.001)
    np.testing.assert_array_equal(seq.flip_angles, [0.2, 0.2, 0.2])
    assert seq == mrf.Sequence.fisp([0.2] * 3, [0.01, 0.011, 0.012], [0.001] * 3, rf_phase=[0.0] * 3)
    assert mrf.Sequence.bssfp(0.2, tr=0.01).n_echoes == 1


def test_real_means_phases_opposite_or_alike():
    def with_phases(*phases):
        return mrf.Sequence([mrf.RF(0.5, phases[0]), mrf.RF(0.5, phases[1]), mrf.Readout(phase=phases[2])])

    assert with_phases(0.3, 0.3 - math.pi, 0.3 + math.pi).is_real
    assert not with_phases(0.3, 0.3, 0.0).is_real
    assert not with_phases(0.0, 0.01, 0.0).is_real


def test_a_shaped_pulse_is_a_hard_one_in_its_middle():
    shape = np.hanning(200) * 500
    pulse = mrf.ShapedRF(shape, 1e-5, gradient=300.0, phase=0.2)
    assert pulse.duration == pytest.approx(2e-3)
    assert pulse.angle == pytest.approx(shape.sum() * 1e-5)
    assert ops(mrf.Sequence([pulse])) == [(RELAX, 1e-3, 0), (PULSE, pulse.angle, 0.2), (RELAX, 1e-3, 0)]
    turned = mrf.ShapedRF(shape * np.exp(0.5j), 1e-5)
    (_, angle, phase) = ops(mrf.Sequence([turned]))[1]
    assert (angle, phase) == (pytest.approx(pulse.angle), pytest.approx(0.5))
    assert mrf.ShapedRF(-shape, 1e-5).angle == pytest.approx(-pulse.angle)
    assert ops(mrf.Sequence([mrf.ShapedRF(np.zeros(100), 1e-5, gradient=-300.0)])) == [(RELAX, 1e-3, 0)]


def test_other_flip_angles_change_nothing_else():
    seq = mrf.Sequence.fisp([0.1, 0.2], 0.01, 0.002, 0.02, rf_phase=0.3, slice_profile=[0.5, 1.0], dephasing=2.0)
    other = seq.with_flip_angles([0.4, 0.5])
    assert other == mrf.Sequence.fisp(
        [0.4, 0.5], 0.01, 0.002, 0.02, rf_phase=0.3, slice_profile=[0.5, 1.0], dephasing=2.0
    )
    np.testing.assert_array_equal(seq.flip_angles, [0.1, 0.2])
    shaped = mrf.Sequence([mrf.ShapedRF([1.0], 1e-3), mrf.RF(0.1)]).with_flip_angles([0.7])
    assert shaped.events == (mrf.ShapedRF([1.0], 1e-3), mrf.RF(0.7))
    for bad in ([0.4], 0.4):
        with pytest.raises(InputError, match="flip_angles: expected one for each of 2"):
            seq.with_flip_angles(bad)
    with pytest.raises(InputError, match="Degrees"):
        seq.with_flip_angles([40.0, 50.0])


def test_sequences_are_values():
    seq = mrf.Sequence([mrf.ShapedRF(np.array([1.0, 2.0j]), 1e-3), mrf.Readout(0.001)], [0.9, 1.0], 3.0)
    for same in (pickle.loads(pickle.dumps(seq)), copy.deepcopy(seq)):
        assert same == seq
        assert hash(same) == hash(seq)
        assert ops(same) == ops(seq)
        with pytest.raises(ValueError, match="read-only"):
            same.slice_profile[0] = 0.0
        with pytest.raises(ValueError, match="read-only"):
            same.events[0].waveform[0] = 0.0
    assert seq != mrf.Sequence(seq.events, [0.9, 1.0])
    assert seq != mrf.Sequence(seq.events, [0.9, 0.9], 3.0)
    assert seq != mrf.Sequence([mrf.ShapedRF([1.0, 2.0], 1e-3), mrf.Readout(0.001)], [0.9, 1.0], 3.0)
    assert seq != "sequence"
    assert mrf.ShapedRF([1.0, 2.0], 1e-3) == mrf.ShapedRF([1, 2], 1e-3)
    with pytest.raises(AttributeError):
        seq.events = ()
    with pytest.raises(AttributeError):
        seq.events[1].te = 0.0
    assert "slice profile of 2" in repr(seq)
    assert "3 rad/mm" in repr(seq)


def test_the_caller_keeps_his_arrays():
    profile, waveform = np.ones(3), np.ones(4)
    seq = mrf.Sequence([mrf.ShapedRF(waveform, 1e-3)], profile)
    profile[0] = waveform[0] = 7.0
    assert seq.slice_profile[0] == seq.events[0].waveform[0] == 1.0


def test_sequences_follow_each_other():
    first, second = mrf.Sequence([mrf.Inversion(0.1)]), mrf.Sequence.fisp([0.1, 0.2], 0.01, 0.002, dephasing=2.0)
    both = first + second
    assert both == mrf.Sequence.fisp([0.1, 0.2], 0.01, 0.002, inversion_time=0.1, dephasing=2.0)
    np.testing.assert_allclose(both.echo_times, second.echo_times + 0.1)
    assert both.duration == pytest.approx(first.duration + second.duration)
    with_profile = mrf.Sequence([mrf.RF(0.1)], slice_profile=[0.5, 1.0])
    np.testing.assert_array_equal((first + with_profile).slice_profile, [0.5, 1.0])
    np.testing.assert_array_equal((with_profile + first).slice_profile, [0.5, 1.0])
    assert len(with_profile + with_profile) == 2
    with pytest.raises(InputError, match="slice_profile"):
        with_profile + mrf.Sequence([mrf.RF(0.1)], slice_profile=[0.5, 0.9])
    with pytest.raises(InputError, match="dephasing"):
        second + mrf.Sequence([mrf.RF(0.1)], dephasing=1.0)
    with pytest.raises(TypeError):
        first + mrf.RF(0.1)


NAN, INF = math.nan, math.inf
BAD_EVENTS = [
    (lambda: mrf.RF(30.0), "angle: .*Degrees"),
    (lambda: mrf.RF(NAN), "angle: .*finite"),
    (lambda: mrf.RF(0.5, 180.0), "phase: .*Degrees"),
    (lambda: mrf.Delay(-0.1), "duration: "),
    (lambda: mrf.Delay(50.0), "duration: .*Milliseconds"),
    (lambda: mrf.Delay(INF), "duration: .*finite"),
    (lambda: mrf.Readout(-1e-3), "te: "),
    (lambda: mrf.Readout(80.0), "te: .*Milliseconds"),
    (lambda: mrf.Readout(phase=90.0), "phase: .*Degrees"),
    (lambda: mrf.Spoil(0), "n: .*Delay"),
    (lambda: mrf.Spoil(1, -1.0), "duration: "),
    (lambda: mrf.Inversion(-1.0), "ti: "),
    (lambda: mrf.Inversion(2500.0), "ti: .*Milliseconds"),
    (lambda: mrf.Inversion(0.1, 96.0), "efficiency: .*Percent"),
    (lambda: mrf.Inversion(0.1, -0.5), "efficiency: "),
    (lambda: mrf.T2Prep(40.0), "te: .*Milliseconds"),
    (lambda: mrf.ShapedRF([], 1e-3), "waveform: "),
    (lambda: mrf.ShapedRF([[1.0]], 1e-3), "waveform: "),
    (lambda: mrf.ShapedRF([NAN], 1e-3), "waveform: .*finite"),
    (lambda: mrf.ShapedRF([1.0], 0.0), "dt: "),
    (lambda: mrf.ShapedRF([1.0] * 100, 1.0), "dt: .*Milliseconds"),
    (lambda: mrf.ShapedRF([1.0], 1e-3, gradient=INF), "gradient: "),
    (lambda: mrf.Sequence([]), "events: .*at least one"),
    (lambda: mrf.Sequence([mrf.RF(0.1)], slice_profile=[]), "slice_profile: "),
    (lambda: mrf.Sequence([mrf.RF(0.1)], slice_profile=[NAN]), "slice_profile: "),
    (lambda: mrf.Sequence([mrf.RF(0.1)], dephasing=0.0), "dephasing: "),
    (lambda: mrf.Sequence.fisp([30.0, 40.0], 0.01, 0.002), "flip_angles: .*Degrees"),
    (lambda: mrf.Sequence.fisp([0.1, NAN], 0.01, 0.002), "flip_angles: .*finite"),
    (lambda: mrf.Sequence.fisp([], 0.01, 0.002), "flip_angles: .*at least one"),
    (lambda: mrf.Sequence.fisp([[0.1]], 0.01, 0.002), "flip_angles: "),
    (lambda: mrf.Sequence.fisp(0.1, 0.0, 0.0), "tr: "),
    (lambda: mrf.Sequence.fisp(0.1, 0.01, -0.001), "te: "),
    (lambda: mrf.Sequence.fisp(0.1, 25.0, 0.001), "tr: .*Milliseconds"),
    (lambda: mrf.Sequence.fisp([0.1, 0.1], [0.01, 0.002], 0.004), r"te: .*0.002 s \(shot 1\)"),
    (lambda: mrf.Sequence.fisp([0.1, 0.1], [0.01] * 3, 0.004), "flip_angles: .*3 of them, as many as tr, got 2"),
    (lambda: mrf.Sequence.fisp([0.1, 0.1], 0.01, 0.004, rf_phase=[0.0] * 3), "flip_angles: .*as many as rf_phase"),
    (lambda: mrf.Sequence.fisp(0.1, 0.01, 0.004, inversion_time=20.5), "inversion_time: .*Milliseconds"),
    (lambda: mrf.Sequence.fisp(0.1, 0.01, 0.004, inversion_time=0.02, inversion_efficiency=2.0), "efficiency: "),
    (lambda: mrf.Sequence.bssfp(0.1, 25.0), "tr: .*Milliseconds"),
    (lambda: mrf.Sequence.bssfp(0.1, 0.01, phase_increment=180.0), "phase_increment: .*Degrees"),
    (lambda: mrf.Sequence.spgr(0.1, 0.01, 0.002, phase_increment=117.0), "phase_increment: .*Degrees"),
    (lambda: mrf.Sequence.mese(0, 0.01), "n_echoes: "),
    (lambda: mrf.Sequence.mese(4, 0.0), "echo_spacing: "),
    (lambda: mrf.Sequence.mese(4, 0.01, [1.0, 2.0]), "refocusing_angles: .*4 of them"),
    (lambda: mrf.Sequence.mese(4, 0.01, excitation_angle=90.0), "excitation_angle: .*Degrees"),
]


@pytest.mark.parametrize(("build", "message"), BAD_EVENTS)
def test_bad_values_are_named(build, message):
    with pytest.raises(InputError, match=f"^{message}"):
        build()


BAD_TYPES = [
    (lambda: mrf.RF("30"), "angle"),
    (lambda: mrf.RF(True), "angle"),
    (lambda: mrf.Delay(None), "duration"),
    (lambda: mrf.Spoil(1.5), "n: .*math.inf"),
    (lambda: mrf.ShapedRF(["a"], 1e-3), "waveform"),
    (lambda: mrf.Sequence(mrf.RF(0.1)), "events"),
    (lambda: mrf.Sequence(7), "events"),
    (lambda: mrf.Sequence([mrf.RF(0.1), 0.2]), r"events\[1\]"),
    (lambda: mrf.Sequence([mrf.Sequence([mrf.RF(0.1)])]), r"events\[0\]"),
    (lambda: mrf.Sequence.fisp("0.1", 0.01, 0.002), "flip_angles"),
    (lambda: mrf.Sequence.fisp([0.1j], 0.01, 0.002), "flip_angles"),
    (lambda: mrf.Sequence.mese(2.5, 0.01), "n_echoes"),
]


@pytest.mark.parametrize(("build", "message"), BAD_TYPES)
def test_bad_types_are_named(build, message):
    with pytest.raises(DtypeError, match=f"^{message}"):
        build()
