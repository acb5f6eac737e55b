"""Schedules: the documented shapes, limits and seeds."""

import numpy as np
import pytest

from spinray.errors import DtypeError, InputError
from spinray.mri import mrf


def test_lobes_follow_their_formula():
    angles, tr = mrf.jiang2015(600, [0.4, 1.0, 0.7], minimum=0.1, tr=0.012)
    i = np.arange(200)
    for lobe, maximum in enumerate((0.4, 1.0, 0.7)):
        expected = 0.1 + (maximum - 0.1) * np.sin(np.pi * (i + 0.5) / 200)
        np.testing.assert_allclose(angles[200 * lobe : 200 * lobe + 200], expected, rtol=1e-12)
    np.testing.assert_array_equal(tr, np.full(600, 0.012))


@pytest.mark.parametrize("n", [5, 7, 400, 1000])
def test_a_default_train_is_smooth_and_of_the_length_asked_for(n):
    angles, tr = mrf.jiang2015(n)
    assert angles.shape == tr.shape == (n,)
    assert angles.dtype == tr.dtype == np.float64
    assert angles.min() >= np.deg2rad(5)
    assert angles.max() <= np.deg2rad(70) + 1e-12
    assert tr.min() == pytest.approx(0.0115)
    assert tr.max() == pytest.approx(0.0145)
    if n >= 400:
        assert np.rad2deg(np.abs(np.diff(angles)).max()) < 3  # lobes of at least 80 pulses
        assert np.count_nonzero((angles[1:-1] > angles[:-2]) & (angles[1:-1] >= angles[2:])) == 5


def test_repetition_times_wander_without_jumps():
    tr = mrf.jiang2015(1000, seed=3)[1]
    steps = np.abs(np.diff(tr))
    assert steps.max() < 0.05 * np.ptp(tr)  # independent noise would jump over most of the range
    assert np.abs(np.diff(tr, 2)).max() < 0.3 * steps.max()  # nor are there kinks at the knots
    assert np.count_nonzero(np.diff(np.sign(np.diff(tr)))) > 20  # and it is no ramp
    assert 0.012 < tr.mean() < 0.014


def test_noisy_lobes_follow_their_formula():
    angles, _ = mrf.ma2013(1000, noise=0.0)
    lobe = np.deg2rad(10) + np.deg2rad(50) * np.sin(np.pi * (np.arange(240) + 0.5) / 240)
    for index, factor in enumerate((1, 0.5, 1, 0.5)):
        part = angles[250 * index : 250 * index + 250]
        np.testing.assert_allclose(part[:240], factor * lobe, rtol=1e-12)
        np.testing.assert_array_equal(part[240:], 0.0)


def test_noise_has_its_spread_and_repeats_at_half_the_angle():
    angles, tr = mrf.ma2013(2000, seed=5)
    smooth, _ = mrf.ma2013(2000, noise=0.0)
    first = (angles - smooth).reshape(8, 250)[::2, :240]
    assert np.rad2deg(first.std()) == pytest.approx(5.0, rel=0.05)
    assert np.rad2deg(np.abs(first).max()) <= 5 * np.sqrt(3) + 1e-9  # uniform, not normal
    assert abs(np.rad2deg(first.mean())) < 0.5
    np.testing.assert_allclose(angles.reshape(8, 250)[1::2], angles.reshape(8, 250)[::2] / 2, rtol=1e-12)
    assert not np.array_equal(first[0], first[1])
    assert (tr.min(), tr.max()) == (pytest.approx(0.0105), pytest.approx(0.014))
    assert angles.min() >= 0


@pytest.mark.parametrize("make", [mrf.jiang2015, mrf.ma2013])
def test_a_seed_is_a_train(make):
    angles, tr = make(777, seed=11)
    again, tr_again = make(777, seed=11)
    np.testing.assert_array_equal(angles, again)
    np.testing.assert_array_equal(tr, tr_again)
    assert not np.array_equal(tr, make(777, seed=12)[1])


def test_a_shorter_train_is_the_start_of_a_longer_one():
    np.testing.assert_array_equal(mrf.ma2013(130)[0], mrf.ma2013(1000)[0][:130])


@pytest.mark.parametrize("make", [mrf.jiang2015, mrf.ma2013])
def test_bad_arguments_are_named(make):
    for arguments, message in (
        ({"n_pulses": 0}, "n_pulses"),
        ({"minimum": 10.0}, "minimum: .*Degrees"),
        ({"minimum": -0.1}, "minimum: .*>= 0"),
        ({"tr": 25.0}, "tr: .*Milliseconds"),
        ({"tr": (0.02, 0.01)}, "tr: .*smallest, largest"),
        ({"tr": (0.01, 0.02, 0.03)}, "tr: "),
        ({"seed": -1}, "seed"),
        ({"seed": 1 << 64}, "seed"),
    ):
        with pytest.raises(InputError, match=f"^{message}"):
            make(**arguments)
    with pytest.raises(DtypeError, match="n_pulses"):
        make(10.5)


def test_bad_lobes_are_named():
    with pytest.raises(InputError, match=r"n_pulses: .*5 lobes, got 4"):
        mrf.jiang2015(4)
    with pytest.raises(InputError, match=r"maxima: .*Degrees"):
        mrf.jiang2015(100, [30.0])
    with pytest.raises(InputError, match=r"maxima: .*at least one"):
        mrf.jiang2015(100, [])
    with pytest.raises(InputError, match="pause"):
        mrf.ma2013(period=10, pause=10)
    with pytest.raises(InputError, match=r"noise: .*Degrees"):
        mrf.ma2013(noise=9.0)
