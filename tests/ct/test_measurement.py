"""CT numbers, photon noise, flat fields: what a detector measures and how it is read."""

import logging

import numpy as np
import pytest

import spinray
from spinray import Grid, Volume
from spinray.ct.measurement import add_noise, attenuation_to_hu, hu_to_attenuation, normalise


@pytest.fixture
def two_thread_counts():
    """Call a function with one thread and with two."""
    before = spinray.get_num_threads()

    def run(function):
        results = []
        for threads in (1, 2):
            spinray.set_num_threads(threads)
            results.append(function())
        return results

    yield run
    spinray.set_num_threads(before)


def test_air_is_zero_and_water_is_water():
    np.testing.assert_allclose(hu_to_attenuation([-1000.0, 0.0, 1000.0]), [0.0, 0.0206, 0.0412], atol=1e-12)
    np.testing.assert_allclose(attenuation_to_hu([0.0, 0.0206, 0.0309]), [-1000.0, 0.0, 500.0], atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ct_numbers_come_back(dtype):
    hu = np.random.default_rng(0).uniform(-1000, 3000, (3, 4, 5)).astype(dtype)
    mu = hu_to_attenuation(hu, mu_water=0.0184)
    assert mu.dtype == dtype
    np.testing.assert_allclose(attenuation_to_hu(mu, mu_water=0.0184), hu, atol=1e-3 if dtype == np.float32 else 1e-9)


def test_padding_is_cut_only_when_asked():
    padded = np.array([-2000, -1000, 40], np.int16)
    assert hu_to_attenuation(padded)[0] < 0
    clipped = hu_to_attenuation(padded, clip=True)
    assert clipped[0] == 0
    assert clipped.dtype == np.float32
    assert clipped[2] == pytest.approx(0.0206 * 1.04)


def test_volumes_stay_volumes():
    volume = Volume(np.zeros((2, 3, 4), np.int16), Grid((2, 3, 4), spacing=2.0).affine)
    mu = hu_to_attenuation(volume)
    assert isinstance(mu, Volume)
    assert mu.grid == volume.grid
    assert mu.data.dtype == np.float32


def test_tensors_stay_tensors_with_gradients():
    torch = pytest.importorskip("torch")
    hu = torch.tensor([-1000.0, 0.0], dtype=torch.float64, requires_grad=True)
    mu = hu_to_attenuation(hu, mu_water=0.02)
    mu.sum().backward()
    np.testing.assert_allclose(hu.grad.numpy(), 0.02 / 1000)
    assert attenuation_to_hu(torch.tensor([1, 2])).dtype == torch.float32
    assert hu_to_attenuation(torch.tensor([-3000.0]), clip=True).item() == 0
    with pytest.raises(ValueError, match="hu"):
        hu_to_attenuation(torch.tensor([float("nan")]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hu_to_attenuation([0.0, np.nan]), "hu"),
        (lambda: hu_to_attenuation(["a"]), "hu"),
        (lambda: hu_to_attenuation([1j]), "hu"),
        (lambda: hu_to_attenuation([0.0], mu_water=0.206), "1/cm"),
        (lambda: attenuation_to_hu([0.0], mu_water=-1.0), "mu_water"),
        (lambda: attenuation_to_hu([np.inf]), "mu"),
    ],
)
def test_unusable_ct_numbers_are_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


@pytest.mark.parametrize("p", [0.0, 3.0, 6.5])
def test_noise_has_the_moments_of_photon_counts(p):
    """Counts, read back from the result, are Poisson with mean and variance i0 exp(-p)."""
    i0, n = 2e4, 400_000
    counts = i0 * np.exp(-add_noise(np.full(n, p), i0, seed=5))
    mean = i0 * np.exp(-p)
    assert abs(counts.mean() - mean) < 5 * np.sqrt(mean / n)
    assert counts.var() / mean == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose(counts, counts.round(), atol=1e-6)


def test_electronic_noise_adds_its_variance_and_nothing_else():
    p, i0, n = np.full(300_000, 1.0), 1e4, 300_000
    quantum, both = (i0 * np.exp(-add_noise(p, i0, seed=2, electronic_noise=s)) for s in (0.0, 30.0))
    electronic = both - quantum
    assert abs(electronic.mean()) < 5 * 30 / np.sqrt(n)
    assert electronic.std() == pytest.approx(30.0, rel=0.01)
    # Independent of the photons it is added to.
    assert abs(np.corrcoef(electronic, quantum)[0, 1]) < 0.01


def test_a_reading_depends_on_the_seed_and_its_place_alone(monkeypatch, two_thread_counts):
    from spinray.ct import measurement

    p = np.random.default_rng(0).uniform(0, 6, (7, 11, 13)).astype(np.float32)

    def noise():
        return add_noise(p, 1e3, seed=9, electronic_noise=2.0)

    one, two = two_thread_counts(noise)
    np.testing.assert_array_equal(one, two)
    monkeypatch.setattr(measurement, "_AT_ONCE", 100)
    np.testing.assert_array_equal(noise(), one)
    np.testing.assert_array_equal(add_noise(p.ravel(), 1e3, seed=9, electronic_noise=2.0).reshape(p.shape), one)
    np.testing.assert_array_equal(add_noise(p[:3], 1e3, seed=9), add_noise(p, 1e3, seed=9)[:3])
    assert (add_noise(p, 1e3, seed=10) != one).mean() > 0.9


def test_starved_readings_stay_finite():
    noisy = add_noise(np.full(1000, 50.0), i0=100.0, seed=0)
    np.testing.assert_allclose(noisy, np.log(200.0))
    np.testing.assert_allclose(add_noise(np.full(5, 50.0), i0=100.0, seed=0, floor=1.0), np.log(100.0))
    assert np.isfinite(add_noise(np.full(1000, 5.0), i0=1.0, seed=0, electronic_noise=10.0)).all()


def test_the_incident_beam_may_vary_over_detector_and_views():
    bow_tie = np.linspace(1e3, 1e5, 50)
    noisy = add_noise(np.full((4000, 50), 1.0), bow_tie, seed=3)
    np.testing.assert_allclose(noisy.std(axis=0), 1 / np.sqrt(bow_tie * np.exp(-1.0)), rtol=0.1)
    assert noisy.mean() == pytest.approx(1.0, abs=0.002)


def test_noise_keeps_kind_and_dtype():
    assert add_noise(np.zeros((2, 3), np.int32), 10, seed=0).dtype == np.float32
    assert add_noise(np.zeros((2, 3)), 10, seed=0).dtype == np.float64
    assert add_noise(np.zeros((0, 3)), 10, seed=0).shape == (0, 3)
    p = np.random.default_rng(0).uniform(0, 2, (6, 8)).astype(np.float32)
    np.testing.assert_array_equal(add_noise(p.T[::-1], 1e3, 1), add_noise(p.T[::-1].copy(), 1e3, 1))
    torch = pytest.importorskip("torch")
    tensor = add_noise(torch.from_numpy(p).requires_grad_(), 1e3, seed=1)
    np.testing.assert_array_equal(tensor.numpy(), add_noise(p, 1e3, seed=1))
    assert not tensor.requires_grad


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"line_integrals": [np.nan]}, "line_integrals"),
        ({"line_integrals": "p"}, "line_integrals"),
        ({"line_integrals": [-800.0]}, "line_integrals"),
        ({"i0": 0.0}, "i0"),
        ({"i0": [1.0, -1.0, 2.0]}, "i0"),
        ({"i0": [1.0, 2.0]}, "i0"),
        ({"i0": np.inf}, "i0"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 1 << 64}, "seed"),
        ({"electronic_noise": -1.0}, "electronic_noise"),
        ({"floor": 0.0}, "floor"),
    ],
)
def test_unusable_noise_arguments_are_refused(change, words):
    arguments = {"line_integrals": [1.0, 2.0, 3.0], "i0": 1e4, "seed": 0} | change
    with pytest.raises((ValueError, TypeError), match=words):
        add_noise(**arguments)


def raw(p, seed=0):
    """Readings, flats and darks of a detector with its own gain and dark level in every pixel."""
    rng = np.random.default_rng(seed)
    gain, dark = rng.uniform(500, 900, p.shape[1:]), rng.uniform(20, 60, p.shape[1:])
    flats, darks = (np.stack([frame + d for d in (-3.0, 0.0, 3.0)]) for frame in (gain + dark, dark))
    return gain * np.exp(-p) + dark, flats, darks


@pytest.mark.parametrize("shape", [(5, 12), (5, 3, 12)])
def test_flat_fields_cancel(shape):
    p = np.random.default_rng(1).uniform(0, 4, shape)
    data, flats, darks = raw(p)
    np.testing.assert_allclose(normalise(data, flats, darks), p, atol=1e-12)
    np.testing.assert_allclose(normalise(data, flats.mean(0), darks[1]), p, atol=1e-12)
    np.testing.assert_allclose(normalise(data.astype(np.float32), flats, darks), p, atol=2e-5)


def test_integers_of_a_camera_do_not_wrap():
    data = np.array([[90, 200], [1100, 600]], np.uint16)
    p = normalise(data, np.full((4, 2), 1100, np.uint16), np.full((4, 2), 100, np.uint16), floor=1e-3)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, [[-np.log(1e-3), np.log(10)], [0.0, np.log(2)]], atol=1e-5)


def test_blocks_of_views_are_the_views_one_by_one(monkeypatch):
    from spinray.ct import measurement

    data, flats, darks = raw(np.random.default_rng(1).uniform(0, 4, (9, 3, 12)))
    whole = normalise(data, flats, darks)
    monkeypatch.setattr(measurement, "_AT_ONCE", 80)
    np.testing.assert_array_equal(normalise(data, flats, darks), whole)


def test_darkness_and_dead_pixels_are_floored_and_counted(caplog):
    p = np.full((6, 4), 1.0)
    data, flats, darks = raw(p)
    data[2, 1] = darks[1, 1] - 5.0
    # A dead pixel: darker with the beam on; its two negative differences must not pass for a transmission.
    flats[:, 3] = darks[1, 3] - 10.0
    data[:, 3] = darks[1, 3] - 5.0
    with caplog.at_level(logging.WARNING, logger="spinray"):
        result = normalise(data, flats, darks, floor=1e-4)
    expected = p.copy()
    expected[2, 1] = expected[:, 3] = -np.log(1e-4)
    np.testing.assert_allclose(result, expected)
    assert "7 of 24 readings" in caplog.text
    assert "1 dead pixels" in caplog.text


def test_sound_readings_cause_no_warning(caplog):
    data, flats, darks = raw(np.full((6, 4), 1.0))
    with caplog.at_level(logging.WARNING, logger="spinray"):
        normalise(data, flats, darks)
    assert not caplog.records


def test_tensors_are_normalised_too():
    torch = pytest.importorskip("torch")
    data, flats, darks = raw(np.full((6, 4), 1.0))
    result = normalise(torch.from_numpy(data), torch.from_numpy(flats), torch.from_numpy(darks))
    np.testing.assert_allclose(result.numpy(), 1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": np.ones(4)}, "data"),
        ({"data": np.full((5, 4), np.nan)}, "data"),
        ({"flats": np.full((3, 5), 10.0)}, "flats"),
        ({"flats": np.full((3, 3, 4), 10.0)}, "flats"),
        ({"flats": np.zeros((0, 4))}, "flats"),
        ({"flats": 10.0}, "flats"),
        ({"darks": np.ones((3, 5))}, "darks"),
        ({"flats": np.ones((3, 4)), "darks": np.full((3, 4), 10.0)}, "swapped"),
        ({"flats": np.full((3, 4), np.inf)}, "flats"),
        ({"floor": 0.0}, "floor"),
        ({"data": np.full((5, 4), "1")}, "data"),
    ],
)
def test_unusable_readings_are_refused(change, words):
    arguments = {"data": np.full((5, 4), 5.0), "flats": np.full((3, 4), 10.0), "darks": np.ones((3, 4))} | change
    with pytest.raises((ValueError, TypeError), match=words):
        normalise(**arguments)
