"""The composed heads: published tables, clean nesting."""

import numpy as np
import pytest

from spinray import Grid
from spinray.phantoms import head, shepp_logan
from spinray.phantoms.skull import TISSUES


def test_shepp_logan_takes_the_published_values():
    # Skull, brain, ventricle, and the disc above the ventricles where it overlaps none; in units of water.
    points = np.array([[0.0, 0.9], [0.0, -0.3], [0.22, 0.0], [-0.22, 0.0], [0.0, 0.45], [0.0, -0.605]]) * 100
    original = shepp_logan(2, contrast="original", field_of_view=200.0, attenuation=1.0).value_at(points)
    np.testing.assert_allclose(original, [2.0, 1.02, 1.0, 1.0, 1.03, 1.03], atol=1e-12)
    modified = shepp_logan(2, field_of_view=200.0, attenuation=1.0).value_at(points)
    np.testing.assert_allclose(modified, [1.0, 0.2, 0.0, 0.0, 0.3, 0.3], atol=1e-12)


def test_shepp_logan_in_space_takes_the_published_values():
    points = (
        np.array([[0.0, 0.0, 0.89], [0.0, 0.0, 0.0], [0.22, 0.0, -0.25], [0.0, 0.35, -0.25], [0.0, 0.1, 0.625]]) * 100
    )
    original = shepp_logan(3, contrast="original", field_of_view=200.0, attenuation=1.0).value_at(points)
    np.testing.assert_allclose(original, [2.0, 1.02, 1.0, 1.04, 1.0], atol=1e-12)
    modified = shepp_logan(3, field_of_view=200.0, attenuation=1.0).value_at(points)
    np.testing.assert_allclose(modified, [1.0, 0.2, 0.0, 0.4, 0.0], atol=1e-12)


@pytest.mark.parametrize("ndim", [2, 3])
def test_shepp_logan_fills_its_field_of_view(ndim):
    phantom = shepp_logan(ndim, field_of_view=64.0, attenuation=0.02)
    mean = phantom.voxelise(Grid((64,) * ndim), dtype=np.float64)
    reach = [np.flatnonzero(mean.any(axis=tuple(k for k in range(ndim) if k != axis))) for axis in range(ndim)]
    lengths = [2 * 32 * part for part in ((0.9, 0.92, 0.69) if ndim == 3 else (0.92, 0.69))]
    for found, length in zip(reach, lengths, strict=True):
        assert abs(found[-1] - found[0] + 1 - length) <= 2
    assert mean.max() == pytest.approx(0.02, rel=1e-3)
    assert mean.sum() == pytest.approx(phantom.integral, rel=1e-4)


@pytest.mark.parametrize("ears", [True, False])
def test_every_shape_of_the_head_lies_in_one_tissue(ears):
    """Just inside and just outside each surface the object takes one value each, and none but those of tissues."""
    phantom, rng = head(mu_water=0.02, ears=ears), np.random.default_rng(0)
    tissues = np.array(list(TISSUES.values()))
    for shape in phantom.shapes:
        directions = rng.normal(size=(2000, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        near_centre = shape._centre() + 1e-6 * directions
        assert shape.contains(near_centre).all()
        # Push points outward along rays until the surface, by bisection on contains.
        low, high = np.full(2000, 1e-6), np.full(2000, 400.0)
        for _ in range(60):
            middle = (low + high) / 2
            inside = shape.contains(shape._centre() + middle[:, None] * directions)
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        for scale in (low - 1e-4, high + 1e-4):
            hounsfield = (phantom.value_at(shape._centre() + scale[:, None] * directions) / 0.02 - 1) * 1000
            assert np.ptp(hounsfield) < 1e-6, shape
            assert np.abs(hounsfield[0] - tissues).min() < 1e-6, shape


def test_the_head_is_of_a_heads_size_and_attenuation():
    phantom = head()
    edge = phantom.contains([[77.9, 0, 0], [87.9, -8, -12], [0, 97.9, 0], [0, 0, 104.9]])
    outside = phantom.contains([[88.1, -8, -12], [0, 98.1, 0], [0, 0, 105.1]])
    assert edge.all()
    assert not outside.any()
    brain = phantom.value_at([30.0, 20.0, 30.0])
    assert brain == pytest.approx(0.0206 * 1.035)
    mean = phantom.voxelise(Grid((56, 56, 48), spacing=4.0), dtype=np.float64)
    assert mean.sum() * 64 == pytest.approx(phantom.integral, rel=1e-3)
    assert mean.min() > -1e-12
    assert len(head(ears=False).shapes) < len(phantom.shapes)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="1/cm"):
        head(mu_water=0.206)
    with pytest.raises(ValueError, match="ndim"):
        shepp_logan(4)
    with pytest.raises(ValueError, match="contrast"):
        shepp_logan(2, contrast="high")
    with pytest.raises(ValueError, match="field_of_view"):
        shepp_logan(2, field_of_view=-1.0)
