"""Results: statistics of single histories from integer sums, exact addition, files, pickles, figures."""

import dataclasses
import itertools
import math
import pickle
import zipfile

import numpy as np
import pytest

from spinray import Grid
from spinray.errors import DtypeError, FileError, InputError
from spinray.transport._identity import digest
from spinray.transport._sums import Cells, Identity, Sums
from spinray.transport._tally import Counted
from spinray.transport.result import Result
from spinray.transport.tallies import Dose

GRID = Grid((2, 3, 4), spacing=2.0)
IDENTITY = Identity("phantom", "source", "doppler=False", "0")
#: keV
SCALE = 60.0


def scored(rng, n):
    """What each of `n` histories deposits in each cell in keV: the whole, a part or, mostly, nothing."""
    return SCALE * rng.choice([0.0, 0.0, 0.0, 0.125, 0.37, 1.0], (n, *GRID.shape))


def integers(values):
    return np.rint(values * 2.0**32).astype(np.uint64).sum(axis=0)


def counted(x, tally=None):
    """What a tally keeps of what each history scores."""
    return Counted(tally or Dose(), (Sums(SCALE, integers(x), integers(x**2)),))


def result_of(deposits, start=0, seed=0, mass=None, tally=None, identity=IDENTITY, seconds=0.5):
    """The result of histories that deposit what is given."""
    x = deposits / SCALE
    scored = counted(x, tally)
    cells = Cells(np.full(GRID.shape, 0.008) if mass is None else mass, GRID)
    return Result((scored,), cells, {seed: ((start, start + len(deposits)),)}, seconds, identity)


def same_bits(a, b):
    names = ("mean", "std_error", "energy", "energy_std_error", "relative_error")
    return all(getattr(a["dose"], name).tobytes() == getattr(b["dose"], name).tobytes() for name in names)


def test_mean_and_standard_error_are_those_of_single_histories(rng):
    deposits = scored(rng, 500)
    dose = result_of(deposits)["dose"]
    np.testing.assert_allclose(dose.energy, deposits.mean(axis=0), rtol=1e-8)
    np.testing.assert_allclose(dose.energy_std_error, deposits.std(axis=0, ddof=1) / math.sqrt(500), rtol=1e-7)
    np.testing.assert_allclose(dose.relative_error, dose.energy_std_error / dose.energy, rtol=1e-15)
    assert dose.mean.dtype == dose.std_error.dtype == np.float64
    assert dose.mean.shape == GRID.shape


def test_a_kev_in_a_gram_is_1_602e_13_gray(rng):
    mass = rng.uniform(0.1, 2.0, GRID.shape)
    dose = result_of(scored(rng, 50), mass=mass)["dose"]
    np.testing.assert_allclose(dose.mean, 1.602176634e-19 * 1e3 * dose.energy / (mass * 1e-3), rtol=1e-14)
    np.testing.assert_allclose(
        dose.std_error, 1.602176634e-19 * 1e3 * dose.energy_std_error / (mass * 1e-3), rtol=1e-14
    )
    assert dose.units == "Gy per history"


def test_cells_without_mass_have_no_dose_and_no_error(rng):
    mass = np.full(GRID.shape, 0.008)
    mass[0, 1, 2] = 0.0
    deposits = scored(rng, 50)
    deposits[:, 0, 1, 2] = 0.0
    dose = result_of(deposits, mass=mass)["dose"]
    assert dose.mean[0, 1, 2] == dose.std_error[0, 1, 2] == 0.0
    assert np.isfinite(dose.mean).all()
    assert np.isfinite(dose.std_error).all()


def test_equal_deposits_have_no_spread_and_nothing_scored_is_not_certain():
    deposits = np.full((7, *GRID.shape), SCALE / 3)
    deposits[:, 0] = 0.0
    dose = result_of(deposits)["dose"]
    assert dose.energy_std_error[1].max() < 1e-4 * SCALE
    assert np.isinf(dose.relative_error[0]).all()
    assert np.isfinite(dose.relative_error[1]).all()


def test_one_history_tells_nothing_about_its_spread(rng):
    dose = result_of(scored(rng, 1) + SCALE / 8)["dose"]
    assert np.isinf(dose.std_error).all()
    assert dose.uncertainty() == math.inf


def test_parts_add_up_to_the_bits_of_one_run(rng):
    deposits = scored(rng, 400)
    whole = result_of(deposits)
    cuts = [0, 1, 57, 300, 400]
    parts = [result_of(deposits[a:b], start=a) for a, b in itertools.pairwise(cuts)]
    added = [sum(parts), sum(reversed(parts)), (parts[0] + parts[3]) + (parts[2] + parts[1])]
    for one in added:
        assert same_bits(one, whole)
        assert one.histories == whole.histories == {0: ((0, 400),)}
        assert one.n_histories == 400
        assert one.seed == 0
        assert one.seconds == 2.0


def test_seeds_add_up_too(rng):
    a, b = result_of(scored(rng, 100), seed=3), result_of(scored(rng, 50), seed=1, start=10)
    both = a + b
    assert both.histories == {1: ((10, 60),), 3: ((0, 100),)}
    assert both.n_histories == 150
    assert both.seed is None
    np.testing.assert_allclose(both["dose"].energy, (100 * a["dose"].energy + 50 * b["dose"].energy) / 150)
    assert same_bits(b + a, both)
    assert "several seeds" in repr(both)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": 99}, r"results: expected different histories, got \[99, 100\) of seed 0 in both.*another seed"),
        ({"start": 0}, r"results: expected different histories, got \[0, 40\) of seed 0"),
        ({"identity": dataclasses.replace(IDENTITY, phantom="other")}, "results: expected the same phantom"),
        ({"identity": dataclasses.replace(IDENTITY, source="other")}, "results: expected the same source"),
        (
            {"identity": dataclasses.replace(IDENTITY, physics="doppler=True")},
            "results: expected the same physics.*doppler=False and doppler=True",
        ),
        ({"identity": dataclasses.replace(IDENTITY, version="1")}, "results: expected the same version.*0 and 1"),
        ({"tally": Dose(name="mine")}, "results: expected the same tallies.*mine"),
        ({"tally": Dose("track_length")}, "results: expected the same tallies.*track_length"),
    ],
    ids=str,
)
def test_results_that_are_not_parts_of_one_run_do_not_add_up(rng, change, message):
    a, b = result_of(scored(rng, 100)), result_of(scored(rng, 40), **{"start": 100} | change)
    with pytest.raises(InputError, match=f"^{message}"):
        a + b
    with pytest.raises(InputError, match=r"^results: expected"):
        b + a


def test_only_results_are_added(rng):
    a = result_of(scored(rng, 10))
    for other in (1, 0.0, None, "dose", a["dose"]):
        with pytest.raises(TypeError, match=r"unsupported operand"):
            a + other
    with pytest.raises(TypeError, match=r"unsupported operand"):
        1 + a


def test_sums_that_would_wrap_around_are_refused(rng):
    a, b = result_of(scored(rng, 10)), result_of(scored(rng, 10), start=10)
    for result in (a, b):
        kept = result._scored["dose"]
        full = dataclasses.replace(kept.sums[0], first=np.full(GRID.shape, 2**63, np.uint64))
        result._scored["dose"] = dataclasses.replace(kept, sums=(full,))
    with pytest.raises(InputError, match=r"^results: the sums of 'dose' would exceed 64 bits"):
        a + b


def test_of_a_number_of_photons(rng):
    dose = result_of(scored(rng, 50))["dose"]
    scaled = dose.scaled(1e9)
    np.testing.assert_allclose(scaled.mean, 1e9 * dose.mean, rtol=1e-15)
    np.testing.assert_allclose(scaled.std_error, 1e9 * dose.std_error, rtol=1e-15)
    np.testing.assert_allclose(scaled.energy, 1e9 * dose.energy, rtol=1e-15)
    np.testing.assert_allclose(scaled.relative_error, dose.relative_error, rtol=1e-15)
    assert scaled.units == "Gy"
    for photons, message in [(0, "positive"), (-1.0, "positive"), (math.nan, "finite"), ("all", "a real number")]:
        with pytest.raises((InputError, DtypeError), match=f"^photons: expected.*{message}"):
            dose.scaled(photons)
    with pytest.raises(InputError, match=r"^photons: .*already"):
        scaled.scaled(2)


def test_the_uncertainty_is_that_of_the_cells_with_much_dose(rng):
    deposits = scored(rng, 300)
    deposits[:, 0] *= 0.2
    dose = result_of(deposits)["dose"]
    assert (dose.mean[0] < 0.5 * dose.mean.max()).all()
    assert (dose.mean[1] > 0.5 * dose.mean.max()).all()
    assert dose.uncertainty() == pytest.approx(np.sqrt((dose.relative_error[1] ** 2).mean()))
    assert dose.uncertainty(above=0.0) == pytest.approx(np.sqrt((dose.relative_error**2).mean()))
    deposits[:, 0, 0, 1] = 0.0
    mass = np.full(GRID.shape, 0.008)
    mass[0, 0, 1] = 0.0
    dose = result_of(deposits, mass=mass)["dose"]
    scored_in = dose.relative_error[dose.energy > 0]
    for options in ({"above": 0.0}, {"region": np.ones(GRID.shape, bool)}):
        assert dose.uncertainty(**options) == pytest.approx(np.sqrt((scored_in**2).mean()))
    first = np.zeros(GRID.shape, bool)
    first[0, 0, 0] = True
    assert dose.uncertainty(region=first) == pytest.approx(dose.relative_error[0, 0, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"above": 1.0}, "above: expected a share"),
        ({"above": 50}, "above: expected a share.*Percent"),
        ({"above": -0.1}, "above: expected"),
        ({"above": "half"}, "above: expected"),
        ({"region": np.ones((2, 3), bool)}, r"region: expected the shape of the tally \(2, 3, 4\), got \(2, 3\)"),
        ({"region": np.ones(GRID.shape)}, "region: expected an array of booleans"),
        ({"region": np.zeros(GRID.shape, bool)}, "region: expected at least one cell with mass"),
    ],
    ids=str,
)
def test_regions_that_are_none_are_refused(rng, options, message):
    with pytest.raises((InputError, DtypeError), match=f"^{message}"):
        result_of(scored(rng, 10))["dose"].uncertainty(**options)


def test_tallies_are_found_by_name(rng):
    result = result_of(scored(rng, 10))
    assert (list(result), len(result), "dose" in result, "kerma" in result) == (["dose"], 1, True, False)
    with pytest.raises(InputError, match=r"^name: expected one of 'dose', got 'kerma'"):
        result["kerma"]
    assert repr(result) == "Result(dose: 10 histories, seed 0, 0.5 s)"
    assert repr(result["dose"]) == "DoseResult((2, 3, 4), Gy per history, 10 histories)"


def test_arrays_are_read_only_and_computed_once(rng):
    dose = result_of(scored(rng, 10))["dose"]
    assert dose.mean is dose.mean
    for name in ("mean", "std_error", "energy", "energy_std_error", "relative_error"):
        with pytest.raises(ValueError, match=r"read-only"):
            getattr(dose, name)[0] = 0.0


def test_a_volume_has_its_place(rng):
    dose = result_of(scored(rng, 10))["dose"]
    assert dose.volume.grid == GRID
    assert np.array_equal(dose.volume.data, dose.mean)


def test_pickles_hold_what_was_counted_not_what_was_computed(rng):
    result = result_of(scored(rng, 10))
    before = len(pickle.dumps(result))
    result["dose"].std_error, result["dose"].relative_error
    assert len(pickle.dumps(result)) <= before + 64
    back = pickle.loads(pickle.dumps(result))
    assert same_bits(back, result)
    assert (back.histories, back.seconds) == (result.histories, result.seconds)
    assert same_bits(
        back + result_of(np.zeros((5, *GRID.shape)), start=10), result + result_of(np.zeros((5, *GRID.shape)), 10)
    )


def test_files_hold_results_to_the_bit(rng, tmp_path):
    deposits = scored(rng, 30)
    result = result_of(deposits, seed=2**64 - 1, start=5)
    result.save(tmp_path / "a.npz")
    back = Result.load(str(tmp_path / "a.npz"))
    assert same_bits(back, result)
    assert (back.histories, back.seconds, back["dose"].grid) == (result.histories, result.seconds, GRID)
    rest = result_of(scored(rng, 5), seed=2**64 - 1, start=35)
    assert same_bits(back + rest, result + rest)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_file_is_replaced_whole_or_not_at_all(rng, tmp_path, monkeypatch):
    old, new = result_of(scored(rng, 10)), result_of(scored(rng, 20))
    path = tmp_path / "a.npz"
    old.save(path)
    content = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(FileError, match=r"No space left"):
        new.save(path)
    assert path.read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 1


def test_damaged_files_are_refused(rng, tmp_path):
    path = tmp_path / "a.npz"
    result_of(scored(rng, 10)).save(path)
    content = path.read_bytes()
    for damaged in (b"", content[: len(content) // 2], content[:-10], b"text"):
        path.write_bytes(damaged)
        with pytest.raises(FileError, match=r"truncated, damaged, or not written by Result.save"):
            Result.load(path)


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "kind.npz", header=np.frombuffer(b'{"kind": "spinray.mri.mrf.Dictionary"}', np.uint8))
    for name, message in [
        ("arrays.npz", "expected a file written by Result.save, got an archive of other arrays"),
        ("array.npy", "expected a file written by Result.save, got a single array"),
        ("kind.npz", "expected a file written by Result.save, got kind 'spinray.mri.mrf.Dictionary'"),
        ("none.npz", "no such file"),
    ]:
        with pytest.raises(FileError, match=message):
            Result.load(tmp_path / name)
    with pytest.raises(DtypeError, match=r"^path: expected a file name"):
        Result.load(3)


@pytest.mark.parametrize(
    ("find", "put", "message"),
    [
        (b'"version": 1', b'"version": 9', "expected version 1 of spinray.transport.Result, got 9"),
        (b'"shape": [2, 3, 4]', b'"shape": [2, 3, 5]', "damaged: mass: expected numbers of shape"),
        (b"[[0, 10]]", b"[[9, 10]]", None),
        (b"[[0, 10]]", b"[[10, 0]]", "damaged: histories: expected start < stop"),
        (b'"Dose"', b'"Dosa"', "damaged"),
        (b'"analogue"', b'"analogic"', "damaged: estimator"),
    ],
)
def test_headers_that_contradict_the_arrays_are_refused(rng, tmp_path, find, put, message):
    path = tmp_path / "a.npz"
    result_of(scored(rng, 10)).save(path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    assert find in entries["header.npy"]
    entries["header.npy"] = entries["header.npy"].replace(find, put)
    with zipfile.ZipFile(path, "w") as archive:
        for name, entry in entries.items():
            archive.writestr(name, entry)
    if message is None:
        assert Result.load(path).n_histories == 1
        return
    with pytest.raises(FileError, match=message):
        Result.load(path)


def test_a_slice_is_drawn_with_its_uncertainty(rng):
    import matplotlib.pyplot as pyplot

    deposits = scored(rng, 50)
    deposits[:, 1] += SCALE
    deposits[:, :, 0] = 0.0
    dose = result_of(deposits)["dose"]
    drawn = dose.plot()
    assert drawn[0].get_title() == "dose at z = 1 mm"
    assert np.array_equal(drawn[0].images[0].get_array(), dose.mean[1])
    shown = np.ma.filled(drawn[1].images[0].get_array(), np.nan)
    np.testing.assert_allclose(shown, np.where(dose.mean[1] > 0, 100 * dose.relative_error[1], np.nan))
    assert dose.plot(z=-0.7, axes=drawn)[0].get_title() == "dose at z = -1 mm"
    for z, message in [(3.0, "z: expected a place in the grid, from -2 to 2 mm, got 3"), ("top", "z: expected a real")]:
        with pytest.raises((InputError, DtypeError), match=f"^{message}"):
            dose.plot(z=z)
    with pytest.raises(InputError, match=r"^axes: expected 2, got 1"):
        dose.plot(axes=drawn[:1])
    pyplot.close("all")


def solids(rng):
    x = rng.uniform(0.0, 1.0, (20, 2))
    cells = Cells(np.array([1.0, 2.0]), None, ("water", "insert"))
    return Result((counted(x),), cells, {0: ((0, 20),)}, 0.1, IDENTITY)


def test_solids_have_names_and_no_grid(rng, tmp_path):
    import matplotlib.pyplot as pyplot

    result = solids(rng)
    dose = result["dose"]
    assert (dose.mean.shape, dose.solids, dose.grid) == ((2,), ("water", "insert"), None)
    assert [label.get_text() for label in dose.plot().get_xticklabels()] == ["water", "insert"]
    with pytest.raises(InputError, match=r"^z: solids have no slices"):
        dose.plot(z=0.0)
    with pytest.raises(InputError, match=r"^volume: the cells are solids"):
        dose.volume  # noqa: B018  looking is what is tested
    result.save(tmp_path / "a.npz")
    back = Result.load(tmp_path / "a.npz")
    assert same_bits(back, result)
    assert back["dose"].solids == ("water", "insert")
    pyplot.close("all")


def test_a_mesh_of_solids_has_a_result_of_its_own(rng, tmp_path):
    mesh = Grid((2, 1, 3), spacing=4.0)
    x = rng.uniform(0.0, 1.0, (20, 8))
    cells = Cells(np.arange(1.0, 9.0), None, ("water", "world"), mesh)
    result = Result((counted(x),), cells, {0: ((0, 20),)}, 0.1, IDENTITY)
    result.save(tmp_path / "a.npz")
    for one in (result, Result.load(tmp_path / "a.npz"), pickle.loads(pickle.dumps(result))):
        dose = one["dose"]
        assert (dose.energy.shape, dose.mesh.energy.shape, dose.mesh.grid) == ((2,), (2, 1, 3), mesh)
        np.testing.assert_allclose(dose.energy, SCALE * x.mean(axis=0)[:2], rtol=1e-8)
        np.testing.assert_allclose(dose.mesh.energy.ravel(), SCALE * x.mean(axis=0)[2:], rtol=1e-8)
        assert np.array_equal(dose.mesh.mass.ravel(), np.arange(3.0, 9.0))
        np.testing.assert_allclose(dose.scaled(10).mesh.mean, 10 * dose.mesh.mean)
        assert dose.mesh.mesh is None


class Thing:
    def __init__(self, values, name="thing"):
        self.values, self.name = values, name


def test_digests_tell_objects_apart_by_value(rng):
    values = rng.normal(size=(3, 4))
    things = [
        None, True, 1, 1.0, "1", b"1", -0.0, 0.0, (1, 2), [1, 2], ((1,), 2), {"a": 1}, {"a": 2}, "ab", ("a", "b"),
        values, values.T, values.reshape(4, 3), values.view("i8"), values.astype("f4"), values[:1], np.float32(1),
        Thing(values), Thing(values + 1), Thing(values, "x"), Dose(), Dose(name="b"), GRID, Grid((2, 3, 4)), Thing,
        math.sqrt,
    ]  # fmt: skip
    digests = [digest(thing) for thing in things]
    assert len(set(digests)) == len(things)
    assert [digest(thing) for thing in things] == digests
    for thing in (values, Thing(values), GRID, Dose(), {"a": 1, "b": (2.0, "c")}):
        assert digest(pickle.loads(pickle.dumps(thing))) == digest(thing)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(values[::-1][::-1]) == digest(np.asfortranarray(values)) == digest(values)
