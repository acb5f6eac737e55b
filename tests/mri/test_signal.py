"""The door of the signal model: shapes, precision, derivatives, torch, threads, bad input. Physics stands elsewhere."""

import logging
import pickle

import numpy as np
import pytest

import spinray
from spinray.errors import DtypeError, InputError
from spinray.mri import mrf


@pytest.fixture
def seq():
    return mrf.Sequence.fisp(np.linspace(0.1, 1.2, 80), tr=0.012, te=0.003, inversion_time=0.02)


def test_parameters_broadcast_and_precision_follows_arrays(seq):
    t1, t2 = np.float32([[1.0], [0.7]]), np.float32([0.05, 0.1, 0.2])
    signal = mrf.epg(seq, t1, t2)
    assert signal.shape == (2, 3, 80)
    assert signal.dtype == np.complex64
    double = mrf.epg(seq, t1.astype(float), t2, off_resonance=0.0)
    assert double.dtype == np.complex128
    np.testing.assert_allclose(signal, double, rtol=0, atol=2e-6 * abs(double).max())
    np.testing.assert_array_equal(signal[1, 2], mrf.epg(seq, np.float32(0.7), np.float32(0.2)))
    assert mrf.epg(seq, 1, 0.1).dtype == np.complex64
    assert mrf.epg(seq, t1[:0], t2).shape == (0, 3, 80)


def test_a_slice_profile_averages_over_angles(seq):
    profile = [1.0, 0.6, 0.2]
    thick = mrf.Sequence(seq.events, slice_profile=profile)
    expected = np.mean([mrf.epg(seq, 1.0, 0.1, np.float64(b)) for b in profile], axis=0)
    np.testing.assert_allclose(mrf.epg(thick, 1.0, 0.1, np.float64(1.0)), expected, rtol=0, atol=1e-14)


def test_derivatives_are_those_of_the_signal(seq):
    at = {"t1": 0.9, "t2": 0.08, "b1": 1.1, "off_resonance": 7.0}
    at = {name: np.float64(value) for name, value in at.items()}
    names = ("b1", "t2", "off_resonance", "t1")
    signal, jacobian = mrf.epg(seq, **at, derivatives=names)
    np.testing.assert_array_equal(signal, mrf.epg(seq, **at))
    for row, name in zip(jacobian, names, strict=True):
        h = 1e-5 * at[name]
        ends = [mrf.epg(seq, **(at | {name: at[name] + step})) for step in (h, -h)]
        difference = (ends[0] - ends[1]) / (2 * h)
        assert abs(row - difference).max() < 1e-7 * abs(difference).max()


def test_fewer_states_cost_at_most_what_is_logged(seq, caplog):
    exact = mrf.epg(seq, 2.0, 1.0)
    with caplog.at_level(logging.INFO, "spinray.mri"):
        near = mrf.epg(seq, 2.0, 1.0, n_states=5)
    (record,) = caplog.records
    states, bound = record.args
    assert states == 5
    assert 1e-4 < abs(near - exact).max() <= bound


@pytest.mark.parametrize("off_resonance", [0.0, 3.0])
def test_any_number_of_threads_gives_the_same_bits(seq, off_resonance):
    t1 = np.linspace(0.3, 3, 500, dtype=np.float32)
    before = spinray.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            spinray.set_num_threads(threads)
            results.append(mrf.epg(seq, t1, 0.1, off_resonance=off_resonance))
    finally:
        spinray.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(results[0], result)
    alone = [mrf.epg(seq, t, np.float32(0.1), off_resonance=off_resonance) for t in t1[:20]]
    np.testing.assert_array_equal(results[0][:20], alone)


def test_torch_differentiates_both_ways(seq):
    torch = pytest.importorskip("torch")
    t1, t2, frequency = (
        torch.tensor(values, dtype=torch.float64, requires_grad=True)
        for values in ([[1.0], [1.4]], [0.1, 0.05, 0.2], [3.0, 10.0, 0.0])
    )
    b1 = torch.tensor(1.1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *at: mrf.epg(seq, *at), (t1, t2, b1, frequency), check_forward_ad=True)
    at = t2.detach()
    forward, reverse = (jac(lambda t: mrf.epg(seq, 1.0, t).abs())(at) for jac in (torch.func.jacfwd, torch.func.jacrev))
    torch.testing.assert_close(forward, reverse)
    mapped = torch.func.vmap(lambda t: mrf.epg(seq, 1.0, t))(at)
    torch.testing.assert_close(mapped, mrf.epg(seq, 1.0, at))
    signal, jacobian = mrf.epg(seq, t1.float(), t2.detach().float(), derivatives=("t2",))
    assert signal.requires_grad
    assert not jacobian.requires_grad
    assert (signal.shape, signal.dtype, jacobian.shape) == ((2, 3, 80), torch.complex64, (2, 3, 1, 80))


def test_a_sequence_travels_between_processes(seq):
    np.testing.assert_array_equal(mrf.epg(pickle.loads(pickle.dumps(seq)), 1.0, 0.1), mrf.epg(seq, 1.0, 0.1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"t1": 900.0, "t2": 80.0}, InputError, "t1: .*Milliseconds"),
        ({"t1": 0.0}, InputError, "t1: "),
        ({"t2": -0.1}, InputError, "t2: "),
        ({"t2": [0.1, 1.5]}, InputError, r"t2: expected T2 <= T1, .* at index \(1,\)"),
        ({"t1": [1.0, np.nan]}, InputError, "t1: expected finite"),
        ({"b1": 100.0}, InputError, "b1: .*Percent"),
        ({"off_resonance": np.inf}, InputError, "off_resonance: expected finite"),
        ({"t1": [1.0, 2.0], "t2": [0.1] * 3}, InputError, "broadcast"),
        ({"t1": "1"}, DtypeError, "t1: "),
        ({"t1": 1j}, DtypeError, "t1: "),
        ({"n_states": 0}, InputError, "n_states: "),
        ({"derivatives": ("t1", "t1")}, InputError, "derivatives: expected each name once"),
        ({"derivatives": ("m0",)}, InputError, "derivatives: "),
        ({"diffusion": 1e-3}, InputError, "seq: has no dephasing"),
        ({"diffusion": -1e-3}, InputError, "diffusion: "),
        ({"seq": [mrf.RF(1.0)]}, InputError, "seq: expected a Sequence"),
    ],
)
def test_bad_input_is_named(seq, arguments, error, message):
    with pytest.raises(error, match=message):
        mrf.epg(**({"seq": seq, "t1": 1.0, "t2": 0.1} | arguments))
