"""Dictionaries: the atoms of a grid, their signals, what compression keeps, and what files give back."""

import copy
import io
import logging
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

import spinray
from spinray.errors import FileError, InputError
from spinray.mri import mrf
from spinray.mri.mrf import _subspace

T1, T2, B1 = np.geomspace(0.2, 3, 12), np.geomspace(0.02, 0.5, 14), np.linspace(0.8, 1.2, 3)


def fisp(n=60, **options):
    return mrf.Sequence.fisp(0.2 + 0.8 * np.sin(np.arange(n) / 12) ** 2, tr=0.012, te=0.003, **options)


def spgr(n=40):
    return mrf.Sequence.spgr(np.linspace(0.1, 0.6, n), tr=0.01, te=0.003)


@pytest.fixture(scope="module")
def whole():
    return mrf.Dictionary.simulate(fisp(inversion_time=0.02), T1, T2, B1)


def energy_of(table):
    return float(np.sum(np.abs(table.astype(np.complex128)) ** 2))


def test_atoms_are_the_product_of_the_axes_the_last_fastest():
    D = mrf.Dictionary.simulate(fisp(5), [1.0, 2.0], [0.1, 0.2, 0.3], [0.9, 1.1], [-5.0, 5.0])
    expected = np.stack(np.meshgrid([1.0, 2.0], [0.1, 0.2, 0.3], [0.9, 1.1], [-5.0, 5.0], indexing="ij"), -1)
    assert list(D.parameters) == ["t1", "t2", "b1", "off_resonance"]
    np.testing.assert_array_equal(np.stack(list(D.parameters.values()), -1), expected.reshape(-1, 4))
    assert (len(D), D.n_atoms, D.n_echoes, D.rank, D.basis, D.energy, D.n_dropped) == (24, 24, 5, None, None, 1.0, 0)


def test_impossible_atoms_are_dropped_counted_and_logged(caplog):
    with caplog.at_level(logging.INFO, logger="spinray"):
        D = mrf.Dictionary.simulate(fisp(5), t1=[0.1, 0.5, 1.0], t2=[0.05, 0.5, 0.7])
    np.testing.assert_array_equal(D.parameters["t1"], [0.1, 0.5, 0.5, 1.0, 1.0, 1.0])
    np.testing.assert_array_equal(D.parameters["t2"], [0.05, 0.05, 0.5, 0.05, 0.5, 0.7])
    assert D.n_dropped == 3
    assert "3 of 9 atoms have T2 > T1" in caplog.text


@pytest.mark.parametrize("dtype", [None, np.float32, np.float64])
@pytest.mark.parametrize(
    ("seq", "off_resonance", "kind"),
    [(fisp(), None, "f"), (fisp(), [0.0], "f"), (fisp(), [4.0], "c"), (spgr(), None, "c")],
)
def test_signals_are_those_of_extended_phase_graphs_and_real_where_they_can_be(seq, off_resonance, kind, dtype):
    D = mrf.Dictionary.simulate(seq, T1, T2, B1, off_resonance, dtype=dtype)
    p = D.parameters
    expected = mrf.epg(seq, p["t1"], p["t2"], p["b1"], p.get("off_resonance", 0.0))
    np.testing.assert_allclose(D.signals, expected, atol=1e-13 if dtype == np.float64 else 2e-6)
    assert D.signals.dtype.kind == kind
    assert D.signals.real.dtype == (np.float64 if dtype == np.float64 else np.float32)


def test_atoms_one_by_one_are_the_same_as_in_a_grid():
    grid = mrf.Dictionary.simulate(fisp(20), [1.0, 2.0], [0.1], [0.9, 1.1])
    columns = np.stack(list(grid.parameters.values()), -1)
    for atoms in (columns, columns.tolist(), dict(zip(("t1", "t2", "b1"), columns.T, strict=True))):
        D = mrf.Dictionary.simulate(fisp(20), atoms=atoms)
        np.testing.assert_array_equal(D.signals, grid.signals)
        assert D.axes is None
    assert list(grid.axes) == ["t1", "t2", "b1"]
    D = mrf.Dictionary.simulate(fisp(20), atoms=[[1.0, 2.0], [1.0, 0.5]])
    assert (len(D), D.n_dropped) == (1, 1)


def test_few_states_are_an_approximation_whose_bound_is_logged(caplog, whole):
    with caplog.at_level(logging.INFO, logger="spinray"):
        D = mrf.Dictionary.simulate(whole.sequence, T1, T2, B1, n_states=6)
    bound = float(caplog.text.split("at most ")[1].split(" of M0")[0])
    assert 0 < np.abs(D.signals - whole.signals).max() <= bound * 1.001 + 1e-6


@pytest.mark.parametrize(("seq", "off_resonance"), [(fisp(inversion_time=0.02), None), (spgr(), [-3.0, 4.0])])
@pytest.mark.parametrize("rank", [1, 7])
def test_compression_on_the_fly_is_projection_of_the_signals(seq, off_resonance, rank):
    whole = mrf.Dictionary.simulate(seq, T1, T2, None, off_resonance)
    D = mrf.Dictionary.simulate(seq, T1, T2, None, off_resonance, rank=rank)
    np.testing.assert_allclose(D.basis.conj().T @ D.basis, np.eye(rank), atol=1e-6)
    np.testing.assert_allclose(D.signals, whole.signals @ D.basis.conj(), atol=2e-5)
    captured = energy_of(whole.signals @ D.basis.conj().astype(np.complex128)) / energy_of(whole.signals)
    assert D.energy == pytest.approx(captured, abs=3e-7)
    # The sample is all atoms here, so that no other basis captures more.
    singular = np.linalg.svd(whole.signals.astype(np.complex128), compute_uv=False)
    best = np.sum(singular[:rank] ** 2) / np.sum(singular**2)
    assert captured == pytest.approx(best, abs=1e-7)
    assert (D.rank, D.n_echoes, len(D)) == (rank, seq.n_echoes, len(whole))
    assert D.signals.dtype == whole.signals.dtype == D.basis.dtype


@pytest.mark.parametrize("wanted", [0.9, 0.999, 1 - 1e-5])
def test_the_rank_is_the_smallest_that_captures_the_energy(whole, wanted):
    for D in (
        whole.compress(energy=wanted),
        mrf.Dictionary.simulate(whole.sequence, T1, T2, B1, energy=wanted),
    ):
        singular = np.linalg.svd(whole.signals.astype(np.float64), compute_uv=False)
        shares = np.cumsum(singular**2) / np.sum(singular**2)
        assert D.rank == np.argmax(shares >= wanted) + 1
        assert D.energy == pytest.approx(shares[D.rank - 1], abs=3e-7)


def test_energy_is_measured_over_all_atoms_not_over_the_sample():
    n = 9000
    sampled = np.zeros(n, bool)
    sampled[_subspace.spread(n)] = True
    rng = np.random.default_rng(0)
    # What the sample holds lies along one direction; the others span nine more.
    table = np.where(sampled[:, None], np.eye(10)[0], rng.normal(size=(n, 10))).astype(np.float32)
    D = mrf.Dictionary(table, {"number": np.arange(n)})
    one = D.compress(rank=1)
    assert one.energy == pytest.approx(energy_of(table[:, :1]) / energy_of(table), rel=1e-6)
    assert one.energy < 0.6
    many = D.compress(energy=0.95)
    assert many.rank > 5
    assert many.energy >= 0.95
    assert energy_of(many.signals) / energy_of(table) == pytest.approx(many.energy, rel=1e-6)


def test_the_sample_keeps_step_with_no_axis():
    for n, fastest in ((100_000, 10), (2**20, 16), (409_600, 100)):
        some = _subspace.spread(n)
        assert (np.diff(some) > 0).all()
        assert 0 <= some[0] <= some[-1] < n
        counts = np.bincount(some % fastest, minlength=fastest)
        assert counts.min() > 0.7 * some.size / fastest


@pytest.mark.parametrize("seq", [fisp(), spgr()])
def test_compressing_twice_is_compressing_once(seq):
    whole = mrf.Dictionary.simulate(seq, T1, T2)
    before = whole.compress(rank=10)
    twice, once = before.compress(rank=5), whole.compress(rank=5)
    assert twice.basis.shape == once.basis.shape == (seq.n_echoes, 5)
    assert twice.energy == pytest.approx(once.energy, abs=1e-7)
    np.testing.assert_allclose(twice.signals @ twice.basis.T, once.signals @ once.basis.T, atol=1e-4)
    np.testing.assert_allclose(whole.signals @ twice.basis.conj(), twice.signals, atol=1e-4)
    # Of the energy of whole signals, not of what the first compression left: by that, three would do.
    three, four = whole.compress(rank=3), whole.compress(rank=4)
    again = four.compress(energy=three.energy + (1 - four.energy) / 2)
    assert again.rank == 4
    assert again.energy == pytest.approx(four.energy, abs=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_deficient_dictionaries_compress_without_loss(rng, dtype):
    factors = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 50))
    table = (factors * (1 + 1j) if np.dtype(dtype).kind == "c" else factors).astype(dtype)
    D = mrf.Dictionary(table, {"number": np.arange(300)}).compress()
    assert D.rank == 3
    np.testing.assert_allclose(D.signals @ D.basis.T, table, atol=1e-4 if D.signals.itemsize < 16 else 1e-6)
    one = mrf.Dictionary(table[:1], {"number": [0]})
    for compressed in (one.compress(), one.compress(rank=2)):
        assert compressed.energy == pytest.approx(1.0)
        np.testing.assert_allclose(compressed.signals @ compressed.basis.T, table[:1], atol=1e-4)


def test_the_full_dictionary_is_never_in_memory_when_it_is_compressed():
    """40,000 signals of 200 echoes are 32 MB; parameters, coefficients and the sample are less."""
    times = np.linspace(0.5, 3, 200), np.linspace(0.02, 0.4, 200)
    tracemalloc.start()
    try:
        D = mrf.Dictionary.simulate(fisp(200), *times, rank=5, n_states=4)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(D) == 40_000
    assert peak < 16e6


def test_results_do_not_depend_on_threads(keep_threads):
    def run(threads):
        spinray.set_num_threads(threads)
        full = mrf.Dictionary.simulate(spgr(), T1, T2, B1)
        return full, mrf.Dictionary.simulate(spgr(), T1, T2, B1, rank=5)

    for one, two in zip(run(1), run(2), strict=True):
        np.testing.assert_array_equal(one.signals, two.signals)
        assert one.energy == two.energy


def test_progress_is_shown_when_asked_for(capsys):
    mrf.Dictionary.simulate(fisp(), T1, T2, rank=3)
    assert capsys.readouterr().err == ""
    mrf.Dictionary.simulate(fisp(), T1, T2, rank=3, progress=True)
    assert "simulate: 100%" in capsys.readouterr().err


def test_a_dictionary_says_what_it_is(whole):
    assert repr(whole) == f"Dictionary({len(whole)} atoms of t1, t2, b1, 60 echoes)"
    assert "rank 4 of 60 echoes, energy 0.99" in repr(whole.compress(rank=4))


def test_nothing_of_it_can_be_written_to(whole):
    for D in (whole, pickle.loads(pickle.dumps(whole)), copy.deepcopy(whole)):
        with pytest.raises(ValueError, match="read-only"):
            D.signals[0, 0] = 1
        with pytest.raises(ValueError, match="read-only"):
            D.parameters["t1"][0] = 1
    mine = np.ones((2, 3), np.float32)
    mrf.Dictionary(mine, {"t2": [0.1, 0.2]})
    mine[0, 0] = 2  # what it was made of stays the caller's


EVERY_EVENT = mrf.Sequence(
    [
        mrf.Inversion(0.02, 0.9),
        mrf.T2Prep(0.04),
        mrf.RF(0.1 + 0.2, -1 / 3),
        mrf.ShapedRF([0.0, 700.0, 0.1], 1e-4, 0.3, 0.1),
        mrf.ShapedRF([1.0, 700.0j], 1e-4),
        mrf.Delay(0.003),
        mrf.Readout(0.002, 0.7),
        mrf.Spoil(-2, 0.001),
        mrf.Spoil(float("inf")),
    ],
    slice_profile=[0.3, 1.0],
    dephasing=1 / 3,
)


def same(a, b):
    np.testing.assert_array_equal(a.signals, b.signals)
    assert a.signals.dtype == b.signals.dtype
    assert list(a.parameters) == list(b.parameters)
    for name in a.parameters:
        np.testing.assert_array_equal(a.parameters[name], b.parameters[name])
    assert (a.basis is None) == (b.basis is None)
    if a.basis is not None:
        np.testing.assert_array_equal(a.basis, b.basis)
        assert a.basis.dtype == b.basis.dtype
    assert (a.axes is None) == (b.axes is None)
    for name in a.axes or ():
        np.testing.assert_array_equal(a.axes[name], b.axes[name])
    assert (a.sequence, a.energy, a.n_dropped) == (b.sequence, b.energy, b.n_dropped)


def every_kind():
    simulated = mrf.Dictionary.simulate(spgr(), T1, T2, B1)
    return {
        "whole": simulated,
        "compressed": simulated.compress(rank=4),
        "double": mrf.Dictionary.simulate(fisp(), atoms=[[1.0, 0.1]], dtype=np.float64),
        "every event": mrf.Dictionary(np.ones((2, 1)), {"my own": [1.0, 2.0]}, sequence=EVERY_EVENT),
        "basis only": mrf.Dictionary([[1.0]], {"t2": [0.1]}, basis=[[0.6], [0.8]]),
    }


@pytest.mark.parametrize("kind", every_kind())
def test_files_and_pickles_give_everything_back(kind, tmp_path):
    D = every_kind()[kind]
    for path in (tmp_path / "atoms.npz", str(tmp_path / "any name")):
        D.save(path)
        same(mrf.Dictionary.load(path), D)
    same(pickle.loads(pickle.dumps(D)), D)
    same(copy.deepcopy(D), D)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["any name", "atoms.npz"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch, whole):
    path = tmp_path / "atoms.npz"
    whole.compress(rank=3).save(path)
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half a dict")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(FileError, match=r"atoms.npz: cannot be written: No space"):
        patched.setattr(np, "savez", fail)
        whole.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with path.open("rb") as reader:
        whole.save(path)
        assert reader.read() == before  # who reads the old file meanwhile reads all of it
    assert mrf.Dictionary.load(path).rank is None


def test_truncated_files_are_refused(tmp_path, whole):
    path, cut = tmp_path / "atoms.npz", tmp_path / "cut.npz"
    whole.compress(rank=3).save(path)
    data = path.read_bytes()
    for size in (0, 1, 3, 30, 100, len(data) // 2, len(data) - 1000, len(data) - 30, len(data) - 1):
        cut.write_bytes(data[:size])
        with pytest.raises(FileError, match=r"cut.npz: .*(truncated|written by)"):
            mrf.Dictionary.load(cut)


def test_damage_is_noticed_or_harmless(tmp_path, whole, rng):
    """Any byte changed: the file is refused, or gives back the same."""
    D = mrf.Dictionary.simulate(fisp(8), T1[:3], T2[:3]).compress(rank=2)
    path = tmp_path / "atoms.npz"
    D.save(path)
    data = path.read_bytes()
    refused = 0
    for place in np.unique(np.r_[0:200, rng.integers(0, len(data), 300), len(data) - 200 : len(data)]):
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << rng.integers(0, 8))]) + data[place + 1 :])
        try:
            same(mrf.Dictionary.load(path), D)
        except FileError as error:
            assert "atoms.npz" in str(error)
            refused += 1
    assert refused > 300


def rewritten(path, **changes):
    """Change entries of an archive."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    with open(path, "wb") as file:
        np.savez(file, **{name: array for name, array in arrays.items() if array is not None})


def npy(array):
    """The bytes of a file of one array."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def archive_of_text():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "b")
    return file.getvalue()


def header(path, old, new):
    with np.load(path) as archive:
        text = archive["header"].tobytes().decode()
    assert old in text
    rewritten(path, header=np.frombuffer(text.replace(old, new).encode(), np.uint8))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: header(path, '"version": 1', '"version": 2'), "expected version 1 .* got 2. Simulate it anew"),
        (lambda path: header(path, "Dictionary", "Network"), "expected a file written by .* got kind .*Network"),
        (lambda path: header(path, '"Spoil"', '"Spell"'), "damaged"),
        (lambda path: header(path, '"angle": 0.2', '"angle": 200'), "damaged: .*Degrees"),
        (lambda path: header(path, "{", "["), "damaged"),
        (lambda path: rewritten(path, header=None), "got an archive of other arrays"),
        (lambda path: rewritten(path, signals=None), "damaged"),
        (lambda path: rewritten(path, signals=np.ones((3, 3))), "damaged: .*parameters|damaged: basis"),
        (lambda path: rewritten(path, signals=np.full((6, 2), np.nan)), "damaged: signals: .*NaN"),
        (lambda path: rewritten(path, basis=np.ones((8, 2))), "damaged: basis: .*orthonormal"),
        (lambda path: rewritten(path, basis=np.eye(9)[:, :2]), "damaged: sequence: expected 9 echoes"),
        (lambda path: rewritten(path, parameter_0=np.ones(5)), "damaged: parameters"),
        (lambda path: rewritten(path, parameter_1=np.full(6, -1.0)), "damaged: t2"),
        (lambda path: rewritten(path, axis_0=np.ones(2)), "damaged: axes"),
        (lambda path: rewritten(path, signals=np.array([[object()]])), "truncated, damaged, or not written"),
        (lambda path: path.write_bytes(b"a text"), "truncated, damaged, or not written"),
        (lambda path: path.write_bytes(npy(np.ones(3))), "a single array"),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "truncated, damaged, or not written"),
        (lambda path: path.write_bytes(archive_of_text()), "archive of other arrays"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: (path.unlink(), path.mkdir()), "a folder"),
    ],
)
def test_files_of_other_kinds_and_versions_are_refused(change, words, tmp_path):
    path = tmp_path / "atoms.npz"
    D = mrf.Dictionary.simulate(fisp(8), T1[:3], T2[:2]).compress(rank=2)
    assert len(D) == 6
    D.save(path)
    change(path)
    with pytest.raises(FileError, match=f"atoms.npz: .*({words})|atoms.npz: {words}"):
        mrf.Dictionary.load(path)


def test_places_that_cannot_be_written_to_are_refused(whole, tmp_path):
    with pytest.raises(FileError, match="cannot be written"):
        whole.save(tmp_path / "nowhere" / "atoms.npz")
    for folder in (tmp_path, "", "/"):
        with pytest.raises(FileError, match="a folder"):
            whole.save(folder)
    assert list(tmp_path.iterdir()) == []


def test_what_compression_lost_does_not_come_back(whole):
    with pytest.raises(InputError, match=r"energy: expected at most 0\.6.*, which this dictionary holds"):
        whole.compress(rank=1).compress(energy=0.9)
