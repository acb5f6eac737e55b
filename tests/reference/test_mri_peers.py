"""Signals against torchsim and blochsim, which compute in single precision: times in ms there, angles in degrees.

Both have the x axis where spinray has y, and precess the other way round: their balanced signals are conjugated.
"""

import importlib
import math

import numpy as np
import pytest

from spinray.mri import mrf

torch = pytest.importorskip("torch", reason="the peers need torch")

# Of torch's own on import
pytestmark = pytest.mark.filterwarnings("ignore")

N = 200
ANGLES = np.deg2rad(10 + 50 * abs(np.sin(np.pi * np.arange(N) / 100)))
T1, T2 = np.float32([0.5, 1.0, 2.0]), np.float32([0.05, 0.1, 0.3])
TISSUE = {"T1": torch.tensor(1e3 * T1), "T2": torch.tensor(1e3 * T2)}
# rounding of two kernels in single precision, of signals up to 0.4
TOLERANCE = 3e-6


def degrees(angles: np.ndarray):
    return torch.tensor(np.rad2deg(angles), dtype=torch.float32)


@pytest.fixture(params=["torchsim", "blochsim"])
def peer(request):
    """The simulators of a peer."""
    pytest.importorskip(request.param, reason=f"the peer {request.param} is not installed")
    return importlib.import_module(f"{request.param}.simulators")


def unbalanced(peer, phases: np.ndarray | float = 0.0):
    """Its FISP train, every order kept."""
    return peer.MRFSimulator(
        flip=degrees(ANGLES), TR=12.0, TI=20.0, phases=degrees(np.broadcast_to(phases, N)), states=N
    )


def test_fisp_train(peer):
    expected = unbalanced(peer).simulate(**TISSUE).numpy()
    seq = mrf.Sequence.fisp(ANGLES, 0.012, 0.0, inversion_time=0.02)
    assert np.abs(mrf.epg(seq, T1, T2) - expected).max() < TOLERANCE
    assert np.abs(mrf.bloch(seq, T1, T2) - expected).max() < TOLERANCE


def test_spoiled_train(peer):
    counts = np.arange(N)
    phases = np.deg2rad(117.0 * counts * (counts + 1) / 2 % 360)
    expected = unbalanced(peer, phases).simulate(**TISSUE).numpy()
    found = mrf.epg(mrf.Sequence.spgr(ANGLES, 0.012, 0.0, inversion_time=0.02), T1, T2)
    assert np.abs(found - expected).max() < TOLERANCE


def test_derivatives(peer):
    tissue = {**TISSUE, "B1": torch.tensor([0.9, 1.0, 1.1])}
    _, expected = unbalanced(peer).jacobian(("T1", "T2", "B1"), **tissue)
    expected = expected.numpy() * np.array([1e3, 1e3, 1.0])[:, None]
    seq = mrf.Sequence.fisp(ANGLES, 0.012, 0.0, inversion_time=0.02)
    _, found = mrf.epg(seq, T1, T2, np.float32([0.9, 1.0, 1.1]), derivatives=("t1", "t2", "b1"))
    for k in range(3):
        assert np.abs(found[:, k] - expected[:, k]).max() < 2e-5 * np.abs(expected[:, k]).max()


def balanced(peer, pulse: float) -> np.ndarray:
    """Its balanced train with pulses of so many ms, at three frequencies."""
    train = peer.TrueFISPSimulator(
        flip=degrees(ANGLES), TR=8.0, TE=3.0, nshots=N, pulse_duration=pulse, half_alpha=False
    )
    signal = train.simulate(**TISSUE, B0=torch.tensor([0.0, 25.0, -40.0])).numpy()
    return -1j * signal.conj()


def test_balanced_train(peer):
    seq = mrf.Sequence.bssfp(ANGLES, 0.008, 0.003)
    found = mrf.epg(seq, T1, T2, off_resonance=np.float32([0.0, 25.0, -40.0]))
    assert np.abs(found - balanced(peer, 0.0)).max() < TOLERANCE


def test_balanced_train_of_shaped_pulses(peer):
    """Windowed sinc pulses of 1 ms: relaxation and off-resonance act while they last, an effect of 0.006."""
    crossings = ((np.arange(100) + 0.5) / 100 - 0.5) * 4
    shape = (0.54 + 0.46 * np.cos(np.pi * crossings / 2)) * np.sinc(crossings)
    shape /= shape.sum() * 1e-5
    events: list[mrf.Event] = []
    for shot, angle in enumerate(ANGLES):
        phase = math.pi * (shot % 2)
        pulse = mrf.ShapedRF(angle * shape, 1e-5, phase=phase)
        events += [pulse, mrf.Readout(0.0025, phase), mrf.Delay(0.0045)]
    frequencies = np.float64([0.0, 25.0, -40.0])
    found = mrf.bloch(mrf.Sequence(events), T1, T2, off_resonance=frequencies, n_isochromats=1)
    # 100 rotations a pulse in their single precision
    assert np.abs(found - balanced(peer, 1.0)).max() < 5e-5
    assert np.abs(found - balanced(peer, 0.0)).max() > 5e-3


def test_spin_echo_train_of_low_refocusing_angles(peer):
    angles = np.deg2rad(np.linspace(160, 60, 32))
    train = peer.FSESimulator(flip=degrees(angles), ESP=9.0, phases=90.0, exc_phase=0.0, states=100)
    expected = np.abs(train.simulate(**TISSUE).numpy())
    found = mrf.epg(mrf.Sequence.mese(32, 0.009, angles), T1, T2)
    assert np.abs(found.imag).max() < TOLERANCE
    assert np.abs(np.abs(found) - expected).max() < TOLERANCE
