"""Dictionaries and matching with input that is wrong: a clear error that names the argument, and the likely fix."""

import numpy as np
import pytest

from spinray.errors import DtypeError, InputError
from spinray.mri import mrf

NAN, INF = float("nan"), float("inf")
SEQ = mrf.Sequence.fisp(np.linspace(0.2, 1.0, 12), tr=0.012, te=0.003, inversion_time=0.02)
SHAPED = mrf.Sequence([mrf.ShapedRF([700.0], 1e-3), mrf.Readout(0.002)])
SILENT = mrf.Sequence([mrf.RF(0.3), mrf.Delay(0.1)])
T1, T2 = [0.5, 1.0, 1.5], [0.05, 0.1]


def simulate(seq=SEQ, t1=T1, t2=T2, **options):
    return mrf.Dictionary.simulate(seq, t1, t2, **options)


@pytest.fixture(scope="module")
def D():
    return simulate()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t1": [0.5, -1.0]}, "t1: .*-1"),
        ({"t1": [0.0, 1.0]}, "t1: .*positive.* 0"),
        ({"t2": [-0.1]}, "t2: .*-0.1"),
        ({"t1": [800.0, 1200.0], "t2": [50.0, 80.0]}, "t1: .*20 s.*Milliseconds"),
        ({"t1": [800.0]}, "t1: .*20 s.*Milliseconds"),
        ({"t2": [80.0]}, "t2: .*20 s.*Milliseconds"),
        ({"t1": [0.5, NAN]}, "t1: expected finite"),
        ({"t2": [INF]}, "t2: expected finite"),
        ({"t1": []}, "t1: expected at least one"),
        ({"t1": [[0.5, 1.0]]}, "t1: expected shape"),
        ({"t1": ["long"]}, "t1: expected"),
        ({"t1": [1j]}, "t1: expected real"),
        ({"t1": None}, "t1, t2: expected arrays"),
        ({"t2": None}, "t1, t2: expected arrays"),
        ({"t1": T2, "t2": T1}, "t2: .*T2 > T1 for all 6.*swapped"),
        ({"b1": [90.0, 110.0]}, "b1: .*Percent"),
        ({"b1": [-0.1]}, "b1: "),
        ({"b1": [0.0]}, "signals: .*zero.*b1 = 0.*Leave these atoms out"),
        ({"b1": [NAN]}, "b1: expected finite"),
        ({"off_resonance": [INF]}, "off_resonance: expected finite"),
        ({"rank": 0}, "rank: expected an integer >= 1"),
        ({"rank": 13}, "rank: expected at most 12, the length of the signals, got 13"),
        ({"rank": 2.5}, "rank: expected an integer"),
        ({"energy": 0.0}, "energy: expected"),
        ({"energy": 1.0}, r"energy: expected a share .* in \(0, 1\)"),
        ({"energy": 99.9}, r"energy: expected a share .* in \(0, 1\)"),
        ({"rank": 3, "energy": 0.9}, "rank, energy: expected one of them"),
        ({"n_states": 0}, "n_states: expected an integer >= 1"),
        ({"n_states": 1.5}, "n_states: expected an integer"),
        ({"dtype": np.float16}, "dtype: expected float32 or float64"),
        ({"dtype": np.complex64}, "dtype: expected float32 or float64"),
        ({"seq": "fisp"}, "seq: expected a Sequence"),
        ({"seq": SHAPED}, "seq: .*shaped.*bloch"),
        ({"seq": SILENT}, "seq: expected a sequence with readouts"),
        ({"atoms": [[1.0, 0.1]]}, "atoms: expected either"),
    ],
    ids=str,
)
def test_atoms_that_cannot_be_simulated_are_refused(change, message):
    with pytest.raises((InputError, DtypeError), match=f"^{message}"):
        simulate(**change)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        ([1.0, 0.1], "atoms: expected shape"),
        ([[1.0]], "atoms: expected shape"),
        ([[1.0, 0.1, 1.0, 0.0, 0.0]], "atoms: expected shape"),
        (np.zeros((0, 2)), "atoms: expected shape"),
        ([[1.0, NAN]], "atoms: expected finite"),
        ([[1000.0, 100.0]], "t1: .*Milliseconds"),
        ([[0.1, 1.0]], "t2: .*swapped"),
        ([[1.0, 0.1], [1.0]], "atoms: expected an array"),
        ({"t1": [1.0]}, "atoms: expected arrays for 't1', 't2'"),
        ({"t1": [1.0], "t2": [0.1], "T2*": [0.1]}, r"atoms: expected arrays .* got 't1', 't2', 'T2\*'"),
        ({"t1": [1.0], "t2": [0.1, 0.2]}, "atoms: expected arrays of one length"),
        ("t1", "atoms: expected an array of numbers"),
    ],
    ids=str,
)
def test_tables_of_atoms_that_are_none_are_refused(atoms, message):
    with pytest.raises((InputError, DtypeError), match=f"^{message}"):
        mrf.Dictionary.simulate(SEQ, atoms=atoms)


@pytest.mark.parametrize(
    ("seq", "message"),
    [
        (lambda: mrf.Sequence.fisp([10.0, 60.0], tr=0.012, te=0.003), "flip_angles: .*Degrees"),
        (lambda: mrf.Sequence.fisp([0.1, 0.6], tr=120.0, te=0.003), "tr: .*Milliseconds"),
        (lambda: mrf.Sequence.fisp([0.1, 0.6], tr=0.012, te=3.0), "te: .*te in ms"),
        (lambda: mrf.Sequence.fisp([0.1, 0.6], tr=-0.012, te=0.003), "tr: "),
        (lambda: mrf.Sequence.fisp([0.1, 0.6], tr=0.0, te=0.0), "tr: "),
    ],
)
def test_degrees_and_milliseconds_are_noticed_before_anything_is_simulated(seq, message):
    with pytest.raises(InputError, match=f"^{message}"):
        simulate(seq())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], {"t2": [0.1]}), "signals: expected shape"),
        ((np.zeros((0, 3)), {}), "signals: expected shape"),
        ((np.zeros((3, 0)), {}), "signals: expected shape"),
        ((np.array([["a"]]), {"t2": [0.1]}), "signals: expected an array of numbers"),
        (([[1.0, NAN]], {"t2": [0.1]}), r"signals: .* 1 of 1 NaN or infinite, first atom 0 \(t2 = 0.1\)"),
        (([[1.0], [0.0]], {"t2": [0.1, 0.2]}), r"signals: .* 1 of 2 zero, first atom 1 \(t2 = 0.2\).*Leave"),
        (([[1.0]], [0.1]), "parameters: expected a dict"),
        (([[1.0]], {1: [0.1]}), "parameters: expected a dict"),
        (([[1.0]], {"t2": [0.1, 0.2]}), r"parameters\['t2'\]: expected one for each of 1 atoms, got 2"),
        (([[1.0]], {"t2": [100.0]}), "t2: .*Milliseconds"),
        (([[1.0]], {"own": [NAN]}), r"parameters\['own'\]: expected finite"),
        (([[1.0]], {"t2": [0.1]}, [[1.0, 0.0]]), r"basis: expected shape \(n_echoes, 1\)"),
        (([[1.0]], {"t2": [0.1]}, [[1.0], [1.0]]), "basis: expected orthonormal"),
        (([[1.0]], {"t2": [0.1]}, [[1j], [0.0]]), "basis: expected real"),
        (([[1.0, 2.0]], {"t2": [0.1]}, [[1.0, 0.0]]), "basis: expected shape"),
        (([[1.0]], {"t2": [0.1]}, None, "fisp"), "sequence: expected a Sequence"),
        (([[1.0]], {"t2": [0.1]}, None, SEQ), "sequence: expected 1 echoes as the signals have, got 12"),
    ],
)
def test_tables_that_are_no_dictionary_are_refused(arguments, message):
    with pytest.raises((InputError, DtypeError), match=f"^{message}"):
        mrf.Dictionary(*arguments)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"t1": [0.1]}, "axes: expected a dict of arrays for 't2'"),
        ([0.1], "axes: expected a dict"),
        ({"t2": [0.2]}, r"axes\['t2'\]: expected every value"),
        ({"t2": [NAN]}, r"axes\['t2'\]: expected finite"),
    ],
)
def test_axes_that_are_not_the_parameters_are_refused(axes, message):
    with pytest.raises(InputError, match=f"^{message}"):
        mrf.Dictionary([[1.0]], {"t2": [0.1]}, axes=axes)


@pytest.mark.parametrize(
    ("signals", "options", "message"),
    [
        (np.ones((2, 11)), {}, r"signals: expected shape \(..., 12\), echoes last, got \(2, 11\)"),
        (np.ones((12, 2)), {}, "signals: expected shape"),
        (1.0, {}, "signals: expected shape"),
        (np.ones((2, 12), "U1"), {}, "signals: expected an array of numbers"),
        (np.full((2, 12), None), {}, "signals: expected an array of numbers"),
        (np.full((2, 12), NAN), {}, "signals: expected finite numbers, got 2 voxels .*voxel 0 in C order.*mask="),
        (np.r_[np.ones(11), INF], {}, "signals: expected finite"),
        (np.r_[np.ones(11), 1j * NAN], {}, "signals: expected finite"),
        (np.full((2, 12), NAN), {"mask": [False, True]}, "signals: .* 1 voxels of the mask .*voxel 1.*out of the mask"),
        (np.ones((2, 12)), {"mask": [True]}, r"mask: expected shape \(2,\)"),
        (np.ones((2, 12)), {"mask": np.ones((2, 12))}, r"mask: expected shape \(2,\)"),
        (np.ones((2, 12)), {"mask": [NAN, 1.0]}, "mask: expected finite"),
        (np.ones((2, 12)), {"mask": "brain"}, "mask: expected an array of numbers"),
        (np.ones(12), {"top_k": 0}, "top_k: expected an integer >= 1"),
        (np.ones(12), {"top_k": 7}, "top_k: expected at most 6"),
        (np.ones(12), {"top_k": 1.0}, "top_k: expected an integer"),
        (np.ones(12), {"top_k": 2, "interpolate": True}, "interpolate: expected top_k = 1"),
    ],
)
def test_signals_that_cannot_be_matched_are_refused(D, signals, options, message):
    with pytest.raises((InputError, DtypeError), match=f"^{message}"):
        D.match(signals, **options)


def test_a_compressed_dictionary_says_both_lengths_it_takes(D):
    Dr = D.compress(rank=3)
    assert Dr.match(np.ones((2, 3))).t1.shape == Dr.match(np.ones((2, 12))).t1.shape == (2,)
    with pytest.raises(
        InputError, match=r"^signals: expected shape \(..., 12\) or \(..., 3\), echoes last, got \(2, 4\)"
    ):
        Dr.match(np.ones((2, 4)))


def test_rescoring_needs_the_full_dictionary_and_whole_signals(D, tmp_path):
    D.compress(rank=3).save(tmp_path / "atoms.npz")
    for Dr in (
        simulate(rank=3),
        D.compress(rank=3, keep_full=False),
        mrf.Dictionary.load(tmp_path / "atoms.npz"),
        simulate(rank=3).compress(rank=2),
    ):
        with pytest.raises(InputError, match=r"^rescore: .*keep_full"):
            Dr.match(np.ones(12), rescore=True)
    with pytest.raises(InputError, match=r"^signals: rescoring needs the full length, \(..., 12\), got shape \(3,\)"):
        D.compress(rank=3).match(np.ones(3), rescore=True)


def test_only_grids_are_refined():
    with pytest.raises(InputError, match=r"^interpolate: .*product grid.*axes="):
        mrf.Dictionary.simulate(SEQ, atoms=[[1.0, 0.1], [1.0, 0.2]]).match(np.ones(12), interpolate=True)
    for t1 in ([1.0, 1.0, 2.0], [1.0, 3.0, 2.0]):
        with pytest.raises(InputError, match=r"^interpolate: .*axis t1.*ties or turns"):
            simulate(t1=t1).match(np.ones(12), interpolate=True)


def test_tensors_with_gradients_are_refused(D):
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match=r"^signals: requires a gradient.*detach"):
        D.match(torch.ones(12, requires_grad=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 13}, "rank: expected at most 12"),
        ({"rank": 0}, "rank: expected an integer >= 1"),
        ({"energy": 1.5}, "energy: expected a share"),
        ({"energy": None}, "rank, energy: expected one of them"),
        ({"energy": "all"}, "energy: expected a real number"),
    ],
)
def test_compression_that_cannot_be_is_refused(D, options, message):
    with pytest.raises((InputError, DtypeError), match=f"^{message}"):
        D.compress(**options)
    with pytest.raises(InputError, match=r"^rank: expected at most 4"):
        D.compress(rank=4).compress(rank=5)


@pytest.mark.parametrize("path", [None, 3, b"a.npz", "a\0b"])
def test_names_that_are_none_are_refused(D, path):
    with pytest.raises(DtypeError, match=r"^path: expected a file name"):
        D.save(path)
    with pytest.raises(DtypeError, match=r"^path: expected a file name"):
        mrf.Dictionary.load(path)
