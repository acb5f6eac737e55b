"""Random anatomy: what is drawn depends on the seed alone, and has the values, labels and spectra it says."""

import numpy as np
import pytest

import spinray
from spinray.errors import DtypeError, InputError
from spinray.phantoms import textured
from spinray.phantoms.textured import FAMILIES, TISSUES

NAMES = tuple(TISSUES)


def interior(labels):
    """Pixels whose eight neighbours are of the same tissue, twice over."""
    for _ in range(2):
        padded = np.pad(labels, [(0, 0)] * (labels.ndim - 2) + [(1, 1), (1, 1)], constant_values=255)
        same = np.ones(labels.shape, bool)
        for dy in range(3):
            for dx in range(3):
                same &= padded[..., dy : dy + labels.shape[-2], dx : dx + labels.shape[-1]] == labels
        labels = np.where(same, labels, 255)
    return labels


@pytest.mark.parametrize("family", FAMILIES)
def test_same_seed_same_bits_for_any_number_of_threads(family, keep_threads):
    results = []
    for threads in (1, 3):
        spinray.set_num_threads(threads)
        results.append(textured((40, 50), 3, 7, count=3, family=family))
    one, other = results
    assert np.array_equal(one.attenuation, other.attenuation)
    assert np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_voxel_is_a_number(family):
    assert np.isfinite(textured((128, 128), 0, count=60, family=family).attenuation).all()


def test_a_phantom_does_not_depend_on_those_drawn_with_it():
    several = textured((32, 48), 5, 2, count=3)
    alone = textured((32, 48), 5, 3)
    assert several.attenuation.shape == (3, 32, 48)
    assert np.array_equal(several.attenuation[1], alone.attenuation)


def test_seed_index_and_family_change_the_phantom():
    shape = (32, 32)
    phantoms = [textured(shape, 1), textured(shape, 2), textured(shape, 1, 1), textured(shape, 1, family="abdomen")]
    for k, one in enumerate(phantoms):
        for other in phantoms[k + 1 :]:
            assert np.mean(one.labels != other.labels) > 0.02


@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_is_a_slice_of_the_volume(family):
    volume = textured((5, 48, 48), 4, family=family)
    image = textured((48, 48), 4, family=family)
    assert np.array_equal(volume.attenuation[2], image.attenuation)
    assert np.array_equal(volume.labels[2], image.labels)
    # Slices half a pixel apart are much alike, others are not.
    near = textured((3, 48, 48), 4, family=family, spacing=(0.5, *image.grid.spacing)).attenuation
    far = textured((3, 48, 48), 4, family=family, spacing=(40.0, *image.grid.spacing)).attenuation
    assert np.abs(near[1] - near[0]).mean() < 0.25 * np.abs(far[1] - far[0]).mean()


def test_slices_of_a_volume_have_the_statistics_of_images():
    spacing = FAMILIES["abdomen"] / 64
    images = textured((64, 64), 6, count=24, family="abdomen")
    volumes = textured((9, 64, 64), 7, count=6, family="abdomen", spacing=(12.0, spacing, spacing))
    for name in ("fat", "muscle", "liver"):
        label = NAMES.index(name)
        flat, deep = images.attenuation[images.labels == label], volumes.attenuation[volumes.labels == label]
        assert flat.mean() == pytest.approx(deep.mean(), rel=0.02)
        if name != "liver":  # of which slices have more or less, by their level
            share_flat, share_deep = np.mean(images.labels == label), np.mean(volumes.labels == label)
            assert share_flat == pytest.approx(share_deep, rel=0.35)
    gradient_flat = np.abs(np.diff(images.attenuation)).mean()
    assert gradient_flat == pytest.approx(np.abs(np.diff(volumes.attenuation)).mean(), rel=0.1)


@pytest.mark.parametrize("family", FAMILIES)
def test_tissues_have_the_attenuation_they_say(family):
    phantom = textured((256, 256), 11, count=6, family=family)
    inside = interior(phantom.labels)
    assert phantom.attenuation.dtype == np.float32
    assert phantom.labels.dtype == np.uint8
    assert phantom.attenuation.min() >= 0
    assert phantom.names == NAMES
    checked = 0
    for label, (low, high) in enumerate(TISSUES.values()):
        values = phantom.attenuation[inside == label]
        if len(values) > 500:
            checked += 1
            # Means of phantoms lie in the range; lungs hold vessels below half a pixel, which are denser.
            slack = 0.5 * high if NAMES[label] == "lung" else 0.03 * high
            assert low - slack <= values.mean() <= high + slack, NAMES[label]
    assert checked >= 3


def test_air_around_the_body_is_empty_and_the_body_is_not():
    for family in FAMILIES:
        phantom = textured((96, 96), 2, count=8, family=family)
        around = phantom.labels == 0
        assert np.median(phantom.attenuation[around]) == 0
        assert not phantom.labels[:, [0, -1]].any(), "the field holds the body"
        assert not phantom.labels[:, :, [0, -1]].any(), "the field holds the body"
        assert 0.15 < np.mean(~around) < 0.8


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("thorax", "skin fat muscle lung vessel cortical_bone spongiosa cartilage heart_muscle gas nodule soft_tissue"),
        ("abdomen", "skin fat muscle liver spleen kidney bowel_wall bowel_content gas vessel nodule cortical_bone"),
        ("head", "skin fat cortical_bone spongiosa grey_matter white_matter fluid gas muscle nodule vessel"),
        ("limb", "skin fat muscle cortical_bone spongiosa vessel soft_tissue"),
    ],
)
def test_families_have_their_tissues(family, expected):
    found = {NAMES[label] for label in np.unique(textured((128, 128), 0, count=24, family=family).labels)}
    assert {name.replace("_", " ") for name in expected.split()} <= found


def test_edges_are_shared_between_tissues():
    phantom = textured((128, 128), 9, family="head")
    bone = NAMES.index("cortical bone")
    y, x = np.nonzero((phantom.labels[:, 1:] == bone) ^ (phantom.labels[:, :-1] == bone))
    between = phantom.attenuation[y, x]
    assert np.mean((between > 0.024) & (between < 0.044)) > 0.15, "values between soft tissue and bone"


def test_one_anatomy_at_two_resolutions():
    fine = textured((256, 256), 12, family="abdomen").attenuation
    coarse = textured((128, 128), 12, family="abdomen").attenuation
    mean = fine.reshape(128, 2, 128, 2).mean((1, 3))
    assert np.sqrt(np.mean((mean - coarse) ** 2)) < 0.12 * coarse.std()


def structure_function(values, valid, distances):
    """Return the mean square difference of valid pixels at each distance along x."""
    result = []
    for d in distances:
        both = valid[..., d:] & valid[..., :-d]
        result.append(np.mean((values[..., d:] - values[..., :-d])[both] ** 2))
    return np.array(result)


@pytest.mark.parametrize(("family", "name"), [("abdomen", "liver"), ("thorax", "lung")])
def test_texture_has_the_power_law_it_says(family, name):
    # A spectrum f^-2 in the plane grows as log(distance), f^-2.2 as distance^0.2; white noise would not grow at all,
    # and a smooth field as distance^2.
    phantom = textured((256, 256), 21, count=10, family=family, spacing=1.0)
    inside = interior(phantom.labels) == NAMES.index(name)
    pairs = zip(phantom.attenuation, inside, strict=True)
    mean = np.array([image[body].mean() if body.any() else 1 for image, body in pairs])
    growth = structure_function(phantom.attenuation / mean[:, None, None], inside, [2, 4, 8, 16])
    exponent = np.polyfit(np.log([2, 4, 8, 16]), np.log(growth), 1)[0]
    assert 0.2 < exponent < 0.9


def test_phantoms_are_far_from_piecewise_constant():
    """Total variation inside tissues, where it is zero for flat shapes, is a large part of all."""
    for family in FAMILIES:
        phantom = textured((128, 128), 31, count=4, family=family)
        steps = np.abs(np.diff(phantom.attenuation))
        inside = phantom.labels[..., 1:] == phantom.labels[..., :-1]
        assert steps[inside].sum() > 0.15 * steps.sum(), family


def test_the_grid_says_where_the_voxels_lie():
    phantom = textured((8, 60, 80), 1, family="limb", spacing=(3.0, 2.0, 2.5))
    assert phantom.grid == spinray.Grid((8, 60, 80), (3.0, 2.0, 2.5))
    assert textured((60, 80), 1, family="limb").grid.spacing == (220 / 80, 220 / 80)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"shape": (64,)}, InputError, "shape: expected 2 or 3 integers"),
        ({"shape": (0, 4)}, InputError, "shape"),
        ({"shape": (1 << 30, 1 << 30)}, InputError, "fit into memory"),
        ({"seed": -1}, InputError, "seed: expected an integer >= 0"),
        ({"seed": 1 << 64}, InputError, "seed: expected an integer below"),
        ({"index": 0.5}, DtypeError, "index: expected an integer"),
        ({"count": 0}, InputError, "count: expected an integer >= 1"),
        ({"family": "fish"}, InputError, "family: expected one of 'thorax'"),
        ({"spacing": -1.0}, InputError, "spacing"),
        ({"spacing": 1000.0}, InputError, "spacing: expected voxels that fill at most 4000 mm"),
        ({"shape": (2, 4000, 4000), "spacing": (2000.0, 1.0, 1.0)}, InputError, "fits into memory, got .*in parts"),
    ],
)
def test_bad_arguments_are_named(arguments, error, match):
    given = {"shape": (16, 16), "seed": 0} | arguments
    with pytest.raises(error, match=match):
        textured(given.pop("shape"), given.pop("seed"), **given)
