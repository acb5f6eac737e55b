"""Matching: the atom that brute force finds, whatever the dictionary; maps, masks, scales, places between atoms."""

import pickle

import numpy as np
import pytest

import spinray
from real_data import real_file
from spinray.errors import InputError
from spinray.mri import mrf
from spinray.mri.mrf import _interpolation

T1, T2 = np.geomspace(0.2, 3, 40), np.geomspace(0.02, 0.5, 45)


def fisp(n=120):
    return mrf.Sequence.fisp(0.2 + 0.8 * np.sin(np.arange(n) / 12) ** 2, tr=0.012, te=0.003, inversion_time=0.02)


def spgr(n=120):
    return mrf.Sequence.spgr(0.1 + 0.6 * np.sin(np.arange(n) / 12) ** 2, tr=0.01, te=0.003, inversion_time=0.02)


@pytest.fixture(scope="module")
def real():
    return mrf.Dictionary.simulate(fisp(), T1, T2)


@pytest.fixture(scope="module")
def complex_(real):
    return mrf.Dictionary.simulate(spgr(), T1, T2)


def complex_normal(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def tables(rng):
    """Dictionaries by name: (atoms, length)."""
    times = np.linspace(0.01, 1, 50)
    smooth = 1 - 2 * np.exp(-times / np.geomspace(0.05, 3, 3000)[:, None])
    duplicated = np.repeat(rng.normal(size=(150, 20)), 3, axis=0)
    return {
        "smooth": smooth,
        "smooth complex": smooth * np.exp(2j * np.pi * np.linspace(-4, 4, 3000)[:, None] * times),
        "random": rng.normal(size=(900, 12)),
        "random complex": complex_normal(rng, 900, 40),
        "random long": rng.normal(size=(400, 200)),
        # All directions of a line are one: scales differ, and for complex ones phases.
        "tied": np.tile(rng.normal(size=(100, 16)), (4, 1)) * rng.uniform(-2, 2, (400, 1)),
        "tied complex": np.tile(complex_normal(rng, 100, 16), (4, 1)) * complex_normal(rng, 400, 1),
        "duplicated": duplicated,
        "nearly duplicated": duplicated * (1 + 1e-7 * rng.normal(size=duplicated.shape)),
        "deficient": rng.normal(size=(700, 3)) @ rng.normal(size=(3, 60)),
        "deficient complex": complex_normal(rng, 700, 2) @ complex_normal(rng, 2, 60),
        "one atom": rng.normal(size=(1, 30)),
        "one echo": rng.normal(size=(5, 1)),
        "unequal norms": rng.normal(size=(500, 10)) * np.geomspace(1e-9, 1e9, 500)[:, None],
    }


def signals_for(table, rng, n=160):
    """Signals that are atoms, noisy atoms, noise, and nothing; complex and of any scale."""
    picked = table[rng.integers(0, len(table), n)]
    picked = picked / np.linalg.norm(picked, axis=1, keepdims=True)
    noise = complex_normal(rng, *picked.shape) / np.sqrt(2 * picked.shape[1])
    level = np.repeat([0.0, 0.02, 0.3, 1e3, 0.0], n // 5)[:, None]
    y = (picked + level * noise) * (rng.uniform(0.1, 10, (n, 1)) * np.exp(2j * np.pi * rng.random((n, 1))))
    y[-n // 5 :] = 0
    return y


def brute_force(table, y):
    """Correlations (signals, atoms) and scales, in double."""
    a, y = table.astype(np.complex128), y.astype(np.complex128)
    products, norms = y @ a.conj().T, np.linalg.norm(a, axis=1)
    lengths = np.linalg.norm(y, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.abs(products) / norms / lengths, products / norms**2


def assert_best(m, table, y, rtol=1e-6):
    """What was found is the best there is, or as good to rounding; correlation and scale are its own."""
    correlation, scale = brute_force(table, y)
    there = np.linalg.norm(y, axis=1) > 0
    np.testing.assert_array_equal(m.index[~there], -1)
    for found in (m.m0, m.correlation, *m.parameters.values()):
        assert not np.any(found[~there])
    rows = np.flatnonzero(there)
    index = m.index[rows]
    assert (correlation[rows, index] >= correlation[rows].max(axis=1) * (1 - rtol)).all()
    np.testing.assert_allclose(m.correlation[rows], correlation[rows, index], rtol=2e-6, atol=2e-6)
    size = np.abs(scale[rows, index]) / np.maximum(correlation[rows, index], 1e-30)
    np.testing.assert_allclose(m.m0[rows] / size, scale[rows, index] / size, atol=5e-6)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("kind", tables(np.random.default_rng(0)))
def test_the_atom_is_that_of_brute_force(kind, precision, rng):
    table = tables(rng)[kind]
    table = table.astype(np.result_type(precision, np.complex64) if table.dtype.kind == "c" else precision)
    y = signals_for(table, rng)
    D = mrf.Dictionary(table, {"number": np.arange(len(table))})
    m = D.match(y)
    assert_best(m, table, y, rtol=1e-6 if precision == np.float32 else 1e-12)
    assert 0 < m.scored <= 1
    np.testing.assert_array_equal(m.number, np.where(m.index < 0, 0, m.index))
    single = D.match(y.astype(np.complex64))
    assert_best(single, table, y.astype(np.complex64))
    if table.dtype.kind == "f":
        assert_best(D.match(y.real), table, y.real, rtol=1e-6)


@pytest.mark.parametrize("kind", ["random", "smooth", "smooth complex", "tied complex", "deficient", "one atom"])
def test_the_best_few_are_in_order(kind, rng):
    table = tables(rng)[kind].astype(np.complex64 if "complex" in kind else np.float32)
    y = signals_for(table, rng)[:64]
    k = min(5, len(table))
    m = mrf.Dictionary(table, {"number": np.arange(len(table))}).match(y.reshape(8, 8, -1), top_k=k)
    shape = (8, 8, k) if k > 1 else (8, 8)
    assert m.index.shape == m.m0.shape == m.correlation.shape == m.number.shape == shape
    index = m.index.reshape(64, k)
    correlation = brute_force(table, y)[0]
    best = -np.sort(-correlation, axis=1)[:, :k]
    np.testing.assert_allclose(np.take_along_axis(correlation, index, 1), best, rtol=1e-6)
    assert all(len(set(row)) == k for row in index.tolist())


@pytest.mark.parametrize("name", ["real", "complex_"])
def test_fingerprints_are_matched_as_by_brute_force_whole_and_compressed(name, request, rng):
    D = request.getfixturevalue(name)
    y = signals_for(D.signals, rng, 400)
    assert_best(D.match(y), D.signals, y)
    for Dr in (D.compress(), D.compress(rank=4), mrf.Dictionary.simulate(D.sequence, T1, T2, rank=6)):
        m = Dr.match(y)
        inner = y @ Dr.basis.conj().astype(np.complex128)
        correlation = brute_force(Dr.signals, inner)[0]
        there = m.index >= 0
        assert there.sum() == 320
        found = np.take_along_axis(correlation, np.maximum(m.index, 0)[:, None], 1)[:, 0]
        assert (found >= correlation.max(axis=1) * (1 - 1e-6))[there].all()
        # With whole signals, that of the atom's whole signal.
        expanded = (Dr.signals.astype(np.complex128) @ Dr.basis.T)[m.index[there]]
        own = np.abs(np.sum(expanded.conj() * y[there], axis=1))
        own /= np.linalg.norm(expanded, axis=1) * np.linalg.norm(y[there], axis=1)
        np.testing.assert_allclose(m.correlation[there], own, atol=2e-6)
        given = Dr.match(inner)
        assert (
            brute_force(Dr.signals, inner)[0][there, given.index[there]] >= correlation.max(1)[there] * 0.999999
        ).all()
        same = given.index == m.index
        assert same.mean() > 0.98
        np.testing.assert_allclose(given.m0[same], m.m0[same], rtol=1e-4)


@pytest.mark.parametrize("name", ["real", "complex_"])
def test_rescoring_is_matching_the_full_dictionary(name, request, rng):
    D = request.getfixturevalue(name)
    y = signals_for(D.signals, rng, 400)
    coarse = D.compress(rank=3)
    assert (coarse.match(y).index != D.match(y).index).mean() > 0.1
    m = coarse.match(y, rescore=True)
    assert_best(m, D.signals, y)
    assert_best(coarse.compress(rank=2).match(y, rescore=True), D.signals, y)
    assert_best(pickle.loads(pickle.dumps(coarse)).match(y, rescore=True), D.signals, y)
    assert_best(D.match(y, rescore=True), D.signals, y)


def test_nothing_is_scored_that_need_not_be():
    D = mrf.Dictionary.simulate(fisp(200), np.geomspace(0.2, 3, 100), np.geomspace(0.02, 0.5, 100), rank=8)
    y = D.signals[::7] * (1 + 0.5j)
    m = D.match(y)
    np.testing.assert_allclose(m.correlation, 1, atol=1e-6)
    assert m.scored < 0.2
    assert f"{100 * m.scored:.3g} % of atoms scored" in repr(m)


def test_results_do_not_depend_on_threads(keep_threads, real, rng):
    y = signals_for(real.signals, rng, 400)

    def run(threads):
        spinray.set_num_threads(threads)
        return [D.match(y, top_k=2) for D in (pickle.loads(pickle.dumps(real)), real.compress(rank=5))]

    for one, two in zip(run(1), run(2), strict=True):
        for name in ("index", "correlation", "m0", "t1", "t2", "scored"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_pieces_are_the_whole(real, rng, monkeypatch):
    y = signals_for(real.signals, rng, 400).reshape(20, 20, -1)
    mask = rng.random((20, 20)) < 0.7
    whole = real.match(y, mask, interpolate=True)
    monkeypatch.setattr(mrf.match, "_AT_ONCE", 1000)
    pieces = real.match(y, mask, interpolate=True)
    np.testing.assert_array_equal(pieces.index, whole.index)
    np.testing.assert_allclose(pieces.m0, whole.m0, atol=1e-5 * np.abs(whole.m0).max())
    assert pieces.scored == pytest.approx(whole.scored, rel=0.5)


def test_voxels_outside_the_mask_are_left_alone(real, rng):
    y = signals_for(real.signals, rng, 200)[:120].reshape(10, 12, -1)
    mask = rng.random((10, 12)) < 0.5
    y[~mask] = np.nan
    everywhere = real.match(np.nan_to_num(y))
    for given in (mask, mask.astype(np.uint8), mask.tolist()):
        m = real.match(y, given)
        np.testing.assert_array_equal(m.index, np.where(mask, everywhere.index, -1))
        np.testing.assert_array_equal(m.t1, np.where(mask, everywhere.t1, 0))
        np.testing.assert_array_equal(m.correlation[~mask], 0)
        np.testing.assert_array_equal(m.m0[~mask], 0)
    nothing = real.match(y, np.zeros((10, 12), bool))
    assert (nothing.index == -1).all()
    assert nothing.scored == 0
    assert real.match(np.zeros((0, 120))).t1.shape == (0,)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-15, 1e15, 1e30, 1e37])
def test_signals_may_have_any_scale(real, scale):
    picked = np.arange(0, len(real), 50)
    y = real.signals[picked] * np.float32(scale)
    for D in (real, real.compress(rank=12)):
        m = D.match(y)
        if scale > 1e-40:
            np.testing.assert_array_equal(m.index, picked)
            np.testing.assert_allclose(m.m0 / np.complex128(scale), 1, rtol=1e-4)
        # Numbers this small have few digits.
        np.testing.assert_allclose(m.correlation, 1, atol=1e-5 if scale > 1e-40 else 0.1)
        unscaled, refined = (D.match(x, interpolate=True) for x in (real.signals[picked], y))
        np.testing.assert_allclose(refined.m0 / np.complex128(scale), unscaled.m0, rtol=1e-2 if scale > 1e-40 else 1)
    wide = real.match(real.signals[picked].astype(np.float64) * 1e200)
    np.testing.assert_array_equal(wide.index, picked)
    np.testing.assert_allclose(wide.m0, 1e200, rtol=1e-5)


def test_results_have_the_precision_of_the_signals(real):
    for dtype, scale, score in (
        (np.float32, np.complex64, np.float32),
        (np.complex64, np.complex64, np.float32),
        (np.int16, np.complex64, np.float32),
        (np.complex128, np.complex128, np.float64),
    ):
        m = real.match((1000 * real.signals[:5]).astype(dtype))
        assert (m.m0.dtype, m.correlation.dtype, m.t1.dtype, m.index.dtype) == (scale, score, np.float64, np.int64)
    assert real.match(real.signals[3]).t1.shape == ()


def test_tensors_in_tensors_out(real, rng):
    torch = pytest.importorskip("torch")
    y = signals_for(real.signals, rng, 100).astype(np.complex64)
    m, expected = real.match(torch.from_numpy(y), mask=torch.ones(100, dtype=torch.bool)), real.match(y)
    for name in ("t1", "t2", "m0", "correlation", "index"):
        assert isinstance(getattr(m, name), torch.Tensor)
        np.testing.assert_array_equal(getattr(m, name).numpy(), getattr(expected, name))


def test_a_match_has_the_parameters_of_its_dictionary(real):
    m = real.match(real.signals[:6].reshape(2, 3, -1))
    np.testing.assert_array_equal(m.t2, real.parameters["t2"][m.index])
    assert list(m.parameters) == ["t1", "t2"]
    with pytest.raises(AttributeError, match="no 'b1', its parameters are t1, t2"):
        _ = m.b1
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(m)).t2, m.t2)


def test_progress_is_shown_when_asked_for(real, capsys):
    real.match(real.signals)
    assert capsys.readouterr().err == ""
    real.match(real.signals, progress=True)
    assert "match: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("top_k", [1, 2])
def test_maps_are_drawn(real, top_k):
    plt = pytest.importorskip("matplotlib.pyplot")
    y = real.signals[:120].reshape(4, 5, 6, -1) * 2
    mask = np.ones((4, 5, 6), bool)
    mask[:, 0] = False
    m = real.match(y, mask, top_k=top_k)
    _, axes = m.plot(at=1)
    assert [one.get_title() for one in axes] == ["t1 [s]", "t2 [s]", "|m0|", "correlation"]
    drawn = axes[0].images[0].get_array()
    best = m.t1[1] if top_k == 1 else m.t1[1, ..., 0]
    np.testing.assert_array_equal(np.ma.getmaskarray(drawn), ~mask[1])
    np.testing.assert_array_equal(drawn[1:], best[1:])
    assert len(real.match(y[0]).plot()[1]) == 4
    plt.close("all")
    for bad in (real.match(y[0, 0]), real.match(y[0, 0, 0])):
        with pytest.raises(InputError, match="plot: expected maps"):
            bad.plot()
    with pytest.raises(InputError, match="at: expected a slice below 4, got 4"):
        m.plot(at=4)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("axes", "truth"),
    [
        ({"t1": T1, "t2": T2}, (0.813, 0.0711)),
        ({"t1": np.linspace(0.4, 2, 41), "t2": np.linspace(0.04, 0.3, 40)}, (1.013, 0.1071)),
        ({"t1": T1[::-1], "t2": T2}, (0.813, 0.0711)),
        ({"t1": T1, "t2": T2, "b1": np.linspace(0.8, 1.2, 9)}, (0.813, 0.0711, 0.978)),
    ],
)
def test_places_between_atoms_are_found(axes, truth, compressed):
    """On a grid in steps of 5 to 7 %, a tenth of a step; with b1, which is much like t2, a third."""
    D = mrf.Dictionary.simulate(fisp(), **axes)
    y = mrf.Dictionary.simulate(fisp(), atoms=[truth]).signals * (3 - 4j)
    D = D.compress() if compressed else D
    m, refined = D.match(y), D.match(y, interpolate=True)
    for (name, axis), value in zip(axes.items(), truth, strict=True):
        nearest = np.argmin(np.abs(axis - value))
        step = np.abs(np.diff(axis))[max(nearest - 1, 0) : nearest + 1].max()
        error = abs(refined.parameters[name][0] - value)
        assert error < (0.1 if len(axes) == 2 else 0.34) * step
        assert error < abs(m.parameters[name][0] - value) or error < 0.02 * step
    assert refined.correlation[0] >= m.correlation[0]
    assert abs(refined.m0[0] - (3 - 4j)) < 0.5 * abs(m.m0[0] - (3 - 4j))
    np.testing.assert_array_equal(refined.index, m.index)


def test_refined_correlations_are_never_below_those_of_atoms(real, complex_, rng):
    for D in (real, complex_, real.compress(rank=3)):
        y = signals_for(real.signals, rng, 1000) if D is not complex_ else signals_for(D.signals, rng, 1000)
        m, refined = D.match(y), D.match(y, interpolate=True)
        assert (refined.correlation >= m.correlation).all()
        assert (refined.correlation <= 1).all()
        found = m.index >= 0
        for name, axis in D.axes.items():
            between, atom = refined.parameters[name][found], m.parameters[name][found]
            place = np.argmin(np.abs(axis - atom[:, None]), axis=1)
            assert (between >= axis[np.maximum(place - 1, 0)] * (1 - 1e-12)).all()
            assert (between <= axis[np.minimum(place + 1, axis.size - 1)] * (1 + 1e-12)).all()
            assert (between != atom).mean() > 0.4
        assert not refined.t1[~found].any()


def test_refinement_stays_on_the_rim_of_the_grid(real):
    """No neighbour on one side, or none that is possible: that axis is left as it is."""
    p = real.parameters
    rim = (p["t1"] == T1[0]) | (p["t1"] == T1[-1])
    m = real.match(real.signals[rim] + 0.01, interpolate=True)
    np.testing.assert_array_equal(m.t1[m.index == np.flatnonzero(rim)], p["t1"][rim][m.index == np.flatnonzero(rim)])
    one = mrf.Dictionary.simulate(fisp(), [1.0], [0.1])
    m = one.match(real.signals, interpolate=True)
    assert (m.t1 == 1).all()
    assert (m.t2 == 0.1).all()


def test_refinement_of_a_line_is_its_parabola():
    """Atoms on the unit circle at angles of 10 degrees; the correlation with angle x is |cos(x - atom)|."""
    angles = np.deg2rad(np.arange(10, 170, 10))
    D = mrf.Dictionary(np.stack([np.cos(angles), np.sin(angles)], 1), {"angle": angles}, axes={"angle": angles})
    x = np.deg2rad(83.0)
    m = D.match([np.cos(x), np.sin(x)], interpolate=True)
    left, centre, right = (np.cos(x - np.deg2rad(degrees)) for degrees in (70, 80, 90))
    vertex = 0.5 * (left - right) / (left - 2 * centre + right)
    assert m.angle == pytest.approx(np.deg2rad(80 + 10 * vertex), abs=1e-9)
    assert m.correlation == pytest.approx(min(centre - 0.25 * (left - right) * vertex, 1), abs=1e-9)


def test_a_logarithmic_axis_is_refined_in_its_logarithm():
    x = np.geomspace(1, 100, 9)
    turns = 0.3 * np.log(x)
    D = mrf.Dictionary(np.stack([np.cos(turns), np.sin(turns)], 1), {"x": x}, axes={"x": x})
    truth = x[4] * 1.2
    m = D.match([np.cos(0.3 * np.log(truth)), np.sin(0.3 * np.log(truth))], interpolate=True)
    assert m.index == 4
    assert m.x == pytest.approx(truth, rel=1e-3)


@pytest.mark.parametrize(
    ("gradient", "hessian", "best"),
    [
        # A top between atoms: there.
        ((0.3, -0.1), ((-1.0, 0.4), (0.4, -0.8)), "inside"),
        # A ridge that leads out, a saddle, a valley, an axis without a top: no further than the neighbours.
        ((0.45, 0.35), ((-1.0, 0.95), (0.95, -1.0)), None),
        ((0.3, 0.4), ((-1.0, 3.0), (3.0, -1.0)), None),
        ((0.3, 0.4), ((-1.0, -3.0), (-3.0, -1.0)), None),
        ((0.3, 0.0), ((-1.0, 0.0), (0.0, 0.0)), None),
    ],
)
def test_two_axes_are_refined_together(gradient, hessian, best):
    """Correlations that are a paraboloid about atom (2, 2) of a 5 by 5 grid with steps of 1 and 2."""
    g, h = np.array(gradient), np.array(hessian)
    axes = {"a": np.arange(5.0), "b": 2 * np.arange(5.0)}
    places = np.stack(np.meshgrid(*axes.values(), indexing="ij"), -1).reshape(-1, 2)
    parameters = dict(zip("ab", places.T, strict=True))
    grid = _interpolation.Neighbours(mrf.Dictionary(np.ones((25, 1)), parameters, axes=axes))

    def height(place):
        d = (place - (2, 4)) / (1, 2)
        return 0.5 + 0.1 * (d @ g + 0.5 * np.einsum("...i,ij,...j", d, h, d))

    refined = grid.refine(np.array([12]), lambda atoms: (height(places[atoms]), 2j * height(places[atoms])))
    found = np.array([refined.parameters[name][0] for name in "ab"])
    assert refined.score[0] == pytest.approx(height(found))
    assert refined.scale[0] == pytest.approx(2j * height(found))
    if best == "inside":
        np.testing.assert_allclose(found, (2, 4) - np.linalg.solve(h, g) * (1, 2))
        return
    assert (np.abs(found - (2, 4)) <= (1, 2)).all()
    for alone in ((2 - g[0] / h[0, 0], 4), (2, 4 - 2 * g[1] / min(h[1, 1], -1e-9))):
        if np.abs(alone[1] - 4) <= 2:
            assert refined.score[0] >= height(np.array(alone)) - 1e-12
    assert refined.score[0] > 0.5


def test_signals_without_anything_in_the_space_of_a_dictionary_are_not_matched():
    times = {"t2": [0.1, 0.2, 0.3]}
    D = mrf.Dictionary(np.eye(3), times, basis=np.eye(20)[:, :3], axes=times)
    for refine in (False, True):
        m = D.match(np.eye(20)[[7, 1]], interpolate=refine)
        assert m.index.tolist() == [-1, 1]
        assert m.t2.tolist() == [0, pytest.approx(0.2)]
        assert m.correlation.tolist() == [0, 1]
        assert m.m0.tolist() == [0, 1]


@pytest.mark.parametrize("source", ["shepp-logan", "maps"])
def test_relaxation_times_of_a_brain_come_back_within_a_step(source, monkeypatch):
    """To half a step of T1 and one of T2 by atoms, to a tenth of it between them."""
    if source == "maps":
        monkeypatch.setenv("SPINRAY_DATA", str(real_file("mri/brain_tissue_maps.npz").parents[1]))
    maps = spinray.phantoms.brain(source, (64, 64))
    # Steps of T1 as fine as those of T2 in what they do to signals, so that either may be rounded for itself.
    t1, t2 = np.geomspace(0.1, 5, 150), np.geomspace(0.02, 2.5, 60)
    flip_angles, tr = mrf.jiang2015(300)
    seq = mrf.Sequence.fisp(flip_angles, tr, te=0.002, inversion_time=0.02)
    y = mrf.scan(maps, seq)
    steps = {"t1": np.log(t1[1] / t1[0]), "t2": np.log(t2[1] / t2[0])}
    for D in (mrf.Dictionary.simulate(seq, t1, t2), mrf.Dictionary.simulate(seq, t1, t2, energy=1 - 1e-6)):
        m, refined = D.match(y, maps.mask), D.match(y, maps.mask, interpolate=True)
        for name, step in steps.items():
            truth = getattr(maps, name)[maps.mask]
            assert np.abs(np.log(m.parameters[name][maps.mask] / truth)).max() <= step
            assert np.abs(np.log(refined.parameters[name][maps.mask] / truth)).max() <= 0.1 * step
        np.testing.assert_allclose(refined.m0[maps.mask], maps.m0[maps.mask], rtol=0.01)
        assert not m.t1[~maps.mask].any()
