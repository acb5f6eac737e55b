"""Simulated scans: voxels are atoms, noise has its SNR, interleaves fill k-space."""

import math
import types

import numpy as np
import pytest

import spinray
from spinray.errors import DtypeError, InputError
from spinray.mri import mrf
from spinray.phantoms import SystemPhantom, brain


@pytest.fixture(scope="module")
def seq():
    flip_angles, tr = mrf.jiang2015(120)
    return mrf.Sequence.fisp(flip_angles, tr, 0.003, inversion_time=0.02)


@pytest.fixture(scope="module")
def head():
    return brain("shepp-logan", (32, 32))


def maps_of(t1, t2, m0):
    return {"t1": np.asarray(t1), "t2": np.asarray(t2), "m0": np.asarray(m0)}


# Scan


def test_each_voxel_is_its_atom_times_its_density(head, seq):
    series = mrf.scan(head, seq)
    assert series.shape == (32, 32, 120)
    assert series.dtype == np.complex64
    assert not series[~head.mask].any()
    for y, x in ((16, 16), (25, 16), (10, 12), (2, 16)):
        atom = mrf.epg(seq, head.t1[y, x], head.t2[y, x])
        np.testing.assert_allclose(series[y, x], head.m0[y, x] * atom, rtol=1e-5, atol=1e-7)


def test_maps_of_b1_and_off_resonance_reach_their_voxels(seq, rng):
    t1, t2 = rng.uniform(0.5, 2.0, (2, 3, 4)), rng.uniform(0.03, 0.1, (2, 3, 4))
    m0 = rng.normal(size=(2, 3, 4)) + 1j * rng.normal(size=(2, 3, 4))
    m0[1, 2, 3] = 0
    b1, off = rng.uniform(0.8, 1.2, (2, 3, 4)), rng.uniform(-50, 50, (2, 3, 4))
    series = mrf.scan(maps_of(t1, t2, m0), seq, b1=b1, off_resonance=off)
    assert series.dtype == np.complex128
    expected = m0[..., np.newaxis] * mrf.epg(seq, t1, t2, b1, off)
    np.testing.assert_allclose(series, expected, rtol=1e-9, atol=1e-12)
    one = mrf.scan(maps_of(t1, t2, m0), seq, b1=0.9)
    np.testing.assert_allclose(
        one, m0[..., np.newaxis] * mrf.epg(seq, t1, t2, np.full_like(t1, 0.9)), rtol=1e-9, atol=1e-12
    )


def test_a_model_of_ones_own_sees_each_pair_once(head):
    calls = []

    def decay(t1, t2, b1, off_resonance):
        calls.append(t1.size)
        return np.exp(-np.arange(1, 9) * 0.01 / t2[:, np.newaxis])

    series = mrf.scan(head, decay)
    assert calls == [len(np.unique(np.stack([head.t1, head.t2], -1)[head.mask], axis=0))]
    expected = head.m0[head.mask, np.newaxis] * np.exp(-np.arange(1, 9) * 0.01 / head.t2[head.mask, np.newaxis])
    np.testing.assert_allclose(series[head.mask], expected, rtol=1e-5)


def test_outside_the_object_no_times_are_needed(seq):
    series = mrf.scan(maps_of([0.0, 1.0], [0.0, 0.1], [0.0, 1.0]), seq)
    assert not series[0].any()
    assert series[1].any()
    nothing = mrf.scan(maps_of([0.0, 1.0], [0.0, 0.1], [0.0, 0.0]), lambda *_: np.zeros((0, 5)))
    assert nothing.shape == (2, 5)


def test_the_system_phantom_can_be_scanned():
    maps = SystemPhantom().maps(spinray.Grid((48, 48), 3.0), "T2")
    series = mrf.scan(maps, mrf.Sequence.mese(8, 0.01))
    inside = maps.mask & (maps.t2 > 0.02)
    with_echoes = np.abs(series[inside])
    fitted = 0.07 / np.log(with_echoes[:, 0] / with_echoes[:, 7])
    np.testing.assert_allclose(fitted, maps.t2[inside], rtol=1e-3)


def test_bad_maps_are_named(head, seq):
    good = maps_of(np.ones((2, 2)), np.full((2, 2), 0.1), np.ones((2, 2)))
    for changed, message in (
        ({"t2": np.ones(3)}, r"t2: expected shape \(2, 2\)"),
        ({"m0": np.ones((2, 3))}, r"m0: expected shape \(2, 2\)"),
        ({"t1": np.full((2, 2), math.nan)}, "t1: expected finite"),
        ({"m0": np.full((2, 2), math.inf)}, "m0: expected finite"),
    ):
        with pytest.raises(InputError, match=f"^{message}"):
            mrf.scan({**good, **changed}, seq)
    with pytest.raises(InputError, match="t1"):
        mrf.scan({**good, "t1": np.zeros((2, 2))}, seq)
    with pytest.raises(DtypeError, match="t2: expected real"):
        mrf.scan({**good, "t2": np.full((2, 2), 0.1j)}, seq)
    with pytest.raises(DtypeError, match="without t2"):
        mrf.scan(types.SimpleNamespace(t1=np.ones(2)), seq)
    with pytest.raises(DtypeError, match="seq: expected a Sequence"):
        mrf.scan(head, np.ones(5))
    with pytest.raises(InputError, match="b1: expected a number or shape"):
        mrf.scan(head, seq, b1=np.ones(5))
    with pytest.raises(InputError, match="off_resonance: expected finite"):
        mrf.scan(head, seq, off_resonance=math.nan)
    with pytest.raises(InputError, match="seq: expected signals of shape"):
        mrf.scan(head, lambda t1, t2, b1, off_resonance: t1)
    with pytest.raises(InputError, match="seq: expected finite"):
        mrf.scan(head, lambda t1, t2, b1, off_resonance: np.full((t1.size, 3), math.nan))


# Noise


def test_noise_has_its_snr_and_is_white(rng):
    series = (rng.normal(size=(40, 40, 50)) + 2j).astype(np.complex64)
    series[:10] = 0
    noise = mrf.add_noise(series, 7.0, seed=3) - series
    signal = math.sqrt(np.mean(np.abs(series[10:]) ** 2))
    for part in (noise[:10], noise[10:]):  # the same in the background
        assert np.sqrt(np.mean(np.abs(part) ** 2)) == pytest.approx(signal / 7, rel=0.02)
    assert noise.real.std() == pytest.approx(noise.imag.std(), rel=0.02)
    assert abs(noise.mean()) < 5 * signal / 7 / math.sqrt(noise.size)
    flat = noise.reshape(-1, 50)
    neighbours = np.vdot(flat[:, 1:], flat[:, :-1]) / np.vdot(flat, flat)
    assert abs(neighbours) < 0.02
    assert abs(np.mean(flat.real * flat.imag)) < 0.02 * np.mean(np.abs(flat) ** 2)


def test_each_voxel_can_have_the_snr(rng):
    scale = np.geomspace(1e-3, 1e3, 20)[:, np.newaxis]
    series = scale * rng.normal(size=(20, 4000))
    series[7] = 0
    noise = mrf.add_noise(series, 10.0, seed=1, per_voxel=True) - series
    assert not noise[7].any()
    ratio = np.linalg.norm(np.delete(series, 7, 0), axis=1) / np.linalg.norm(np.delete(noise, 7, 0), axis=1)
    np.testing.assert_allclose(ratio, 10.0, rtol=0.05)


def test_a_seed_is_the_same_noise_for_any_threads_and_blocks(keep_threads, monkeypatch, rng):
    series = rng.normal(size=(30, 20, 10)) + 1j
    spinray.set_num_threads(1)
    noisy = mrf.add_noise(series, 5.0, seed=9)
    spinray.set_num_threads(2)
    np.testing.assert_array_equal(mrf.add_noise(series, 5.0, seed=9), noisy)
    monkeypatch.setattr(mrf.acquisition, "_AT_ONCE", 70)
    np.testing.assert_array_equal(mrf.add_noise(series, 5.0, seed=9), noisy)
    assert not np.array_equal(mrf.add_noise(series, 5.0, seed=10), noisy)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("int16", "complex64"), ("float32", "complex64"), ("float64", "complex128"), ("complex64", "complex64")],
)
def test_precision_is_kept(dtype, expected):
    assert mrf.add_noise(np.ones((4, 4, 3), dtype), 5.0, 1).dtype == expected
    assert mrf.undersample(np.ones((4, 4, 3), dtype), 2).dtype == expected


def test_tensors_come_back_as_tensors():
    torch = pytest.importorskip("torch")
    series = torch.ones((8, 8, 4), dtype=torch.complex64)
    for change in (lambda x: mrf.add_noise(x, 5.0, 1), lambda x: mrf.undersample(x, 4)):
        assert torch.is_tensor(change(series))
        np.testing.assert_array_equal(change(series).numpy(), change(series.numpy()))


# Undersampling


def turned(mask, turn):
    """Mean angle at which a line crosses a ring of less than half its pitch, after turning it back."""
    fy, fx = np.meshgrid(np.fft.fftfreq(mask.shape[0]), np.fft.fftfreq(mask.shape[1]), indexing="ij")
    ring = (np.hypot(fy, fx) > 0.3) & (np.hypot(fy, fx) < 0.32) & (mask > 0)
    return np.angle(np.mean(np.exp(1j * np.arctan2(fy, fx)[ring]))) - 2 * math.pi * turn


@pytest.mark.parametrize(("shape", "acceleration"), [((64, 64), 48), ((60, 44), 16), ((33, 64), 7), ((8, 8), 1)])
def test_interleaves_fill_k_space_evenly(shape, acceleration):
    masks = mrf.spiral_masks(shape, acceleration)
    assert masks.shape == (acceleration, *shape)
    np.testing.assert_allclose(masks.mean(axis=0), 1.0, rtol=1e-6)
    assert (masks[:, 0, 0] == 1).all()  # every line starts at the centre
    counts = np.count_nonzero(masks, axis=(1, 2))
    assert counts.max() < 1.5 * counts.min()  # and all are about as long
    sampled = counts.mean() / math.prod(shape)
    assert 1 / acceleration <= sampled
    if acceleration == 48:
        assert sampled < 2.5 / 48


def test_the_centre_is_sampled_more_often():
    often = np.count_nonzero(mrf.spiral_masks((128, 128), 48), axis=0)
    radius = 128 * np.hypot(np.fft.fftfreq(128)[:, np.newaxis], np.fft.fftfreq(128))
    assert often[0, 0] == 48
    assert (often[radius > 60] == 1).all()
    assert often[(radius > 8) & (radius < 12)].mean() == pytest.approx(2, abs=0.2)
    uniform = np.count_nonzero(mrf.spiral_masks((128, 128), 48, centre_acceleration=48), axis=0)
    assert (uniform[radius > 8] == 1).all()
    assert uniform.sum() < often.sum()


def test_interleaves_turn_by_equal_angles():
    masks = mrf.spiral_masks((256, 256), 12)
    offsets = np.array([turned(masks[j], j / 12) for j in range(12)])
    spread = np.abs(np.exp(1j * (offsets - offsets[0])) - 1)
    assert spread.max() < 0.15  # a step is 0.52


def test_a_line_is_one_point_wide_and_winds_once_per_turn_of_its_pitch():
    """Along a ray from the centre, interleaf 0 is met every `acceleration` points."""
    mask = mrf.spiral_masks((256, 256), 20, centre_acceleration=20)[0]
    along_x, along_y = np.flatnonzero(mask[0, :128]), np.flatnonzero(mask[:128, 0])
    np.testing.assert_array_equal(along_x[along_x > 4], np.arange(20, 128, 20))
    np.testing.assert_array_equal(along_y[along_y > 8], np.arange(25, 128, 20))  # a quarter turn later


def test_images_are_masked_in_k_space(rng):
    series = rng.normal(size=(24, 32, 10)) + 1j * rng.normal(size=(24, 32, 10))
    aliased = mrf.undersample(series, 4)
    masks = mrf.spiral_masks((24, 32), 4)
    for frame in range(10):
        expected = np.fft.fft2(series[..., frame]) * masks[frame % 4]
        np.testing.assert_allclose(np.fft.fft2(aliased[..., frame]), expected, atol=1e-9)


def test_the_mean_over_a_turn_is_the_image(head):
    series = np.repeat(head.m0[..., np.newaxis], 32, axis=-1)
    for seed in (None, 5):
        aliased = mrf.undersample(series, 16, seed)
        assert np.linalg.norm(aliased[..., 0] - head.m0) > 0.5 * np.linalg.norm(head.m0)
        for turn in (slice(0, 16), slice(16, 32)):
            np.testing.assert_allclose(aliased[..., turn].mean(axis=-1), head.m0, atol=1e-5)
    np.testing.assert_allclose(mrf.undersample(series, 1), series, atol=1e-6)


def test_a_seed_is_an_order(rng):
    series = rng.normal(size=(16, 16, 40))
    drawn = mrf.undersample(series, 8, seed=2)
    np.testing.assert_array_equal(mrf.undersample(series, 8, seed=2), drawn)
    assert not np.allclose(mrf.undersample(series, 8, seed=3), drawn)
    assert not np.allclose(mrf.undersample(series, 8), drawn)


def test_slices_of_a_volume_and_blocks_are_alike(monkeypatch, rng):
    volume = rng.normal(size=(3, 16, 20, 12))
    aliased = mrf.undersample(volume, 5)
    for index in range(3):
        np.testing.assert_allclose(aliased[index], mrf.undersample(volume[index], 5), atol=1e-12)
    monkeypatch.setattr(mrf.acquisition, "_AT_ONCE", 2000)
    np.testing.assert_allclose(mrf.undersample(volume, 5), aliased, atol=1e-12)


def test_fingerprints_are_recognised_through_the_aliasing(seq):
    """Turning interleaves make aliasing look like noise, which matching averages out; fixed ones do not."""
    head = brain("shepp-logan", (48, 48))
    pairs = np.unique(np.stack([head.t1, head.t2], -1)[head.mask], axis=0)
    atoms = mrf.epg(seq, pairs[:, 0], pairs[:, 1])
    atoms = atoms / np.linalg.norm(atoms, axis=1, keepdims=True)

    def right(series):
        found = np.abs(series[head.mask] @ atoms.conj().T).argmax(axis=1)
        return np.mean(pairs[found, 0] == head.t1[head.mask])

    series = mrf.scan(head, seq)
    assert right(series) == 1
    aliased = mrf.undersample(series, 8)
    assert np.linalg.norm(aliased - series) > np.linalg.norm(series)
    assert right(aliased) > 0.95
    fixed = np.fft.ifft2(
        np.fft.fft2(series, axes=(0, 1)) * mrf.spiral_masks((48, 48), 8)[0][..., np.newaxis], axes=(0, 1)
    )
    assert right(fixed) < 0.9


def test_bad_arguments_are_named():
    series = np.ones((8, 8, 4), np.complex64)
    for call, message in (
        (lambda: mrf.add_noise(series, 0.0, 1), "snr"),
        (lambda: mrf.add_noise(series, math.inf, 1), "snr"),
        (lambda: mrf.add_noise(series, 5.0, -1), "seed"),
        (lambda: mrf.add_noise(series, 5.0, 1 << 64), "seed"),
        (lambda: mrf.add_noise(0 * series, 5.0, 1), "series: .*zeros"),
        (lambda: mrf.add_noise(math.nan * series, 5.0, 1), "series: .*finite"),
        (lambda: mrf.add_noise(1.0, 5.0, 1), "series"),
        (lambda: mrf.add_noise(series[:0], 5.0, 1), "series"),
        (lambda: mrf.undersample(series[0], 2), r"series: expected shape \(..., y, x, n_echoes\)"),
        (lambda: mrf.undersample(series, 0), "acceleration"),
        (lambda: mrf.undersample(math.inf * series.real, 2), "series: .*finite"),
        (lambda: mrf.undersample(series, 2, seed=-1), "seed"),
        (lambda: mrf.undersample(series, 8, centre_acceleration=9), "centre_acceleration: .*at most 8"),
        (lambda: mrf.undersample(series, 8, centre_acceleration=0.0), "centre_acceleration"),
        (lambda: mrf.spiral_masks((8,), 2), "shape"),
    ):
        with pytest.raises(InputError, match=f"^{message}"):
            call()
    with pytest.raises(DtypeError, match="series"):
        mrf.add_noise("signals", 5.0, 1)
    with pytest.raises(DtypeError, match="acceleration"):
        mrf.undersample(series, 2.5)
