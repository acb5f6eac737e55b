"""Augmentation: what each transformation does, exact repetition, labels moved with images, bad input."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.utils.data import DataLoader, Dataset, TensorDataset

from spinray.errors import DtypeError, InputError
from spinray.training import (
    Augment,
    Augmented,
    Checkpoint,
    Config,
    Elastic,
    Flip,
    GaussianNoise,
    Intensity,
    RightAngles,
    Rotate,
    SaltAndPepper,
    fit,
)
from spinray.training.augment import Part

EVERYTHING = (
    Flip((-1, -2)),
    RightAngles(),
    Rotate(0.5),
    Elastic(1.5, 5.0),
    Intensity(0.2, 0.1, 0.3),
    SaltAndPepper(0.1),
    GaussianNoise(0.1),
)
IDENTITY = (Rotate(0.0), Elastic(0.0, 8.0), Intensity(), SaltAndPepper(0.0), GaussianNoise(0.0))


def random(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def smooth(*shape):
    """An image that linear interpolation hardly changes, zero at the faces."""
    axes = [np.sin(np.linspace(0, np.pi, n)) ** 2 for n in shape]
    bump = np.prod(np.meshgrid(*axes, indexing="ij"), axis=0)
    return torch.from_numpy(bump * (1 + 0.3 * np.linspace(-1, 1, shape[-1])))[None]


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


class Samples(Dataset):
    """Images, and labels that are these images' own values."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        image = random(1, 12, 12, seed=index)
        return image, (image[0] * 1000).long()


# All of them.


@pytest.mark.parametrize("shape", [(2, 9, 7), (1, 5, 6, 7)])
def test_without_strength_nothing_changes_not_even_a_bit(shape):
    image, labels = random(*shape), torch.arange(math.prod(shape[1:])).reshape(shape[1:])
    moved = Augment(*IDENTITY)((image, labels), index=3)
    assert torch.equal(moved[0], image)
    assert torch.equal(moved[1], labels)


@pytest.mark.parametrize("transform", EVERYTHING, ids=lambda transform: type(transform).__name__)
@pytest.mark.parametrize("shape", [(2, 12, 12), (1, 5, 8, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_changes_something_and_keeps_shape_and_dtype_and_its_input(transform, shape, dtype):
    image = random(*shape, dtype=dtype)
    before = image.clone()
    results = [Augment(transform)(image, index=index) for index in range(8)]
    assert torch.equal(image, before)
    assert all(result.shape == image.shape and result.dtype == dtype for result in results)
    assert any(not torch.equal(result, image) for result in results)


def test_a_sample_depends_on_seed_epoch_and_index_and_on_nothing_else():
    image = random(1, 12, 12)
    once = Augment(*EVERYTHING, seed=4)(image, index=2, epoch=1)
    torch.manual_seed(99)
    assert torch.equal(Augment(*EVERYTHING, seed=4)(image, index=2, epoch=1), once)
    for seed, index, epoch in ((5, 2, 1), (4, 3, 1), (4, 2, 0), (4, 1, 2)):
        assert not torch.equal(Augment(*EVERYTHING, seed=seed)(image, index=index, epoch=epoch), once)


def test_the_global_generator_is_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    Augment(*EVERYTHING)(random(1, 12, 12), index=0)
    assert torch.equal(torch.rand(3), expected)


def test_the_bits_do_not_depend_on_threads():
    image = random(3, 211, 211)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(Augment(*EVERYTHING)(image, index=5))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_give_the_same_bits_in_every_epoch(workers):
    data = Augmented(Samples(), Augment(*EVERYTHING))
    loader = DataLoader(data, batch_size=2, num_workers=workers, persistent_workers=workers > 0)
    for epoch in (0, 1):
        data.set_epoch(epoch)
        found = [torch.cat(parts) for parts in zip(*loader, strict=True)]
        alone = [Augment(*EVERYTHING)(Samples()[i], index=i, epoch=epoch) for i in range(6)]
        for part, samples in zip(found, zip(*alone, strict=True), strict=True):
            assert torch.equal(part, torch.stack(samples))


@pytest.mark.parametrize("as_loader", [False, True])
def test_fit_augments_each_epoch_otherwise(as_loader):
    class Seen(torch.nn.Linear):
        def forward(self, x):
            images.append(x.detach())
            return super().forward(x)

    class Pairs(Samples):
        def __getitem__(self, index):
            return (super().__getitem__(index)[0],) * 2

    images, data = [], Augmented(Pairs(), Augment(GaussianNoise(1.0)))
    given = DataLoader(data, batch_size=3) if as_loader else data
    fit(Seen(12, 12), given, torch.nn.functional.mse_loss, Config(epochs=2, batch_size=3), progress=False)
    for epoch in (0, 1):
        expected = [data.augment(Pairs()[i], index=i, epoch=epoch)[0] for i in range(6)]
        found = list(torch.cat(images[2 * epoch : 2 * epoch + 2]))
        assert all(any(torch.equal(a, b) for b in found) for a in expected)


def test_a_resumed_training_sees_what_an_uninterrupted_one_does(tmp_path):
    def trained(epochs, **options):
        torch.manual_seed(0)
        network, config = torch.nn.Conv2d(1, 1, 3, padding=1), Config(epochs=epochs, batch_size=4)
        pairs = TensorDataset(*(random(6, 1, 12, 12, seed=seed) for seed in (0, 1)))
        data = Augmented(pairs, Augment(*EVERYTHING))
        fit(network, data, torch.nn.functional.mse_loss, config, progress=False, **options)
        return network.weight

    path = tmp_path / "run.pt"
    trained(2, callbacks=[Checkpoint(path)])
    assert torch.equal(trained(4, resume=path), trained(4))


def test_a_dataset_counts_from_its_end_too():
    data = Augmented(Samples(), Augment(*EVERYTHING))
    assert torch.equal(data[-1][0], data[5][0])
    assert len(list(data)) == 6


@pytest.mark.parametrize("shape", [(2, 12, 12), (1, 6, 8, 8)])
def test_all_images_of_a_sample_move_together(shape):
    a = smooth(*shape[1:]).expand(shape)
    moved, (target, number) = Augment(*EVERYTHING[:4])(((a, 2 * a), (3 * a, torch.tensor([1.0, 2.0]))), index=1)
    assert not torch.allclose(moved[0], a)
    torch.testing.assert_close(moved[1], 2 * moved[0])
    torch.testing.assert_close(target, 3 * moved[0])
    assert torch.equal(number, torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize("labels_shape", [(40, 40), (1, 40, 40)])
def test_labels_move_with_images_and_stay_labels(labels_shape):
    image = smooth(40, 40)
    labels = (image > 0.4).long() * (2**40 + 1)
    for index in range(5):
        moved, moved_labels = Augment(*EVERYTHING[:4])((image, labels.reshape(labels_shape)), index=index)
        assert moved_labels.shape == labels_shape
        assert moved_labels.dtype == torch.int64
        assert set(moved_labels.unique().tolist()) == {0, 2**40 + 1}
        clear = (moved - 0.4).abs() > 0.08
        assert torch.equal((moved > 0.4)[clear], (moved_labels.reshape(1, 40, 40) > 0)[clear])


def test_values_of_targets_and_labels_are_left_alone():
    image, labels = random(1, 12, 12), torch.arange(144).reshape(12, 12)
    augment = Augment(*EVERYTHING[4:])
    moved, (target, moved_labels) = augment((image, (image, labels)), index=0)
    assert not torch.equal(moved, image)
    assert torch.equal(target, image)
    assert torch.equal(moved_labels, labels)


def test_own_functions_are_transformations_too():
    def negative(parts, chance):
        return [part._replace(values=-part.values) for part in parts]

    assert torch.equal(Augment(Flip(()), negative)(torch.ones(1, 2, 2), index=0), -torch.ones(1, 2, 2))


# Each of them.


def test_flips_are_even_and_exact():
    image = torch.arange(8.0).reshape(1, 2, 2, 2)
    results = [Augment(Flip((-1, -3)))(image, index=index) for index in range(400)]
    for axes in ((), (1,), (3,), (1, 3)):
        share = np.mean([torch.equal(result, image.flip(axes)) for result in results])
        assert share == pytest.approx(0.25, abs=0.09)


def test_right_angles_are_even_and_exact():
    image = torch.arange(9.0).reshape(1, 3, 3)
    results = [Augment(RightAngles())(image, index=index) for index in range(400)]
    for turns in range(4):
        share = np.mean([torch.equal(result, image.rot90(turns, (-2, -1))) for result in results])
        assert share == pytest.approx(0.25, abs=0.09)
    volume = torch.arange(27.0).reshape(1, 3, 3, 3)
    found = {tuple(Augment(RightAngles(((-3, -2), (-2, -1))))(volume, index=i).ravel().tolist()) for i in range(200)}
    assert len(found) == 16


def angle_of(transform, seed):
    """The angle that a rotation draws first."""
    return transform.angle * (2 * float(torch.rand((), dtype=torch.float64, generator=chance(seed))) - 1)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_rotation_is_scipys(seed):
    image, rotate = smooth(24, 31), Rotate(1.0)
    (part,) = rotate([Part(image, False)], chance(seed))
    degrees = math.degrees(angle_of(rotate, seed))
    expected = ndimage.rotate(image[0].numpy(), degrees, reshape=False, order=1, axes=(0, 1))
    np.testing.assert_allclose(part.values[0].numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("plane", [(-2, -1), (-3, -1), (-3, -2)])
def test_a_rotation_by_a_right_angle_is_exact_and_in_its_plane(plane):
    volume = random(1, 7, 7, 7, dtype=torch.float64)
    rotate, seed = Rotate(math.pi, (plane,)), 0
    quarter = Rotate(abs(math.pi / 2 * rotate.angle / angle_of(rotate, seed)), (plane,))
    turns = round(angle_of(quarter, seed) / (math.pi / 2))
    (part,) = quarter([Part(volume, False)], chance(seed))
    torch.testing.assert_close(part.values, volume.rot90(turns, plane), atol=1e-9, rtol=0)


def test_angles_are_drawn_evenly_up_to_the_largest():
    angles = [angle_of(Rotate(0.3), seed) for seed in range(300)]
    assert max(np.abs(angles)) <= 0.3
    assert np.mean(angles) == pytest.approx(0, abs=0.03)
    assert np.std(angles) == pytest.approx(0.3 / math.sqrt(3), rel=0.1)


def places(elastic, shape, seed=0):
    """Where each voxel of the bent image comes from: images that hold their own indices, far from the faces."""
    indices = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij")
    parts = elastic([Part(torch.stack(list(indices)), False)], chance(seed))
    return parts[0].values.numpy()


@pytest.mark.parametrize("shape", [(40, 50), (20, 24, 28)])
def test_an_elastic_field_is_smooth_and_never_folds(shape):
    elastic, inner = Elastic(2.0, 5.0), (slice(4, -4),) * len(shape)
    for seed in range(4):
        where = places(elastic, shape, seed)
        moved = where - np.indices(shape)
        assert 0.5 < np.abs(moved[(slice(None), *inner)]).max() <= 2.0
        jacobian = np.stack([np.stack(np.gradient(component)) for component in where])
        assert np.linalg.det(np.moveaxis(jacobian, (0, 1), (-2, -1)))[inner].min() > 0


def test_an_elastic_field_is_the_b_spline_of_its_draws():
    shape, spacing = (9, 11), 4.0
    field = places(Elastic(1.6, spacing), shape)[(slice(None), slice(3, -3), slice(3, -3))]
    draws = torch.rand(2, 6, 6, dtype=torch.float64, generator=chance()).numpy()

    def spline(t):
        t = abs(t)
        return 2 / 3 - t**2 + t**3 / 2 if t < 1 else max(2 - t, 0) ** 3 / 6

    for y, x in ((3, 3), (5, 4), (4, 7)):
        weights = np.outer(*([spline(p / spacing - (k - 1)) for k in range(6)] for p in (y, x)))
        expected = np.array([y, x]) + 1.6 * (2 * (draws * weights).sum((1, 2)) - 1)
        np.testing.assert_allclose(field[:, y - 3, x - 3], expected, atol=1e-12)


def test_intensity_is_a_line_through_a_power():
    image = random(1, 8, 8, dtype=torch.float64)
    for index in range(20):
        scaled = Augment(Intensity(scale=0.3, shift=0.2))(image, index=index)
        (slope, offset), residual, *_ = np.polyfit(image.ravel().numpy(), scaled.ravel().numpy(), 1, full=True)
        assert residual < 1e-20
        assert 0.7 <= slope <= 1.3
        assert -0.2 <= offset <= 0.2
        bent = Augment(Intensity(gamma=1.0))(image, index=index)
        low, high = image.min(), image.max()
        inner = (image > low) & (image < high)
        power = (((bent - low) / (high - low)).log() / ((image - low) / (high - low)).log())[inner]
        assert power.std() < 1e-8
        assert 0.5 <= power.mean() <= 2


def test_intensity_can_change_targets_by_the_same_numbers():
    clean = random(1, 8, 8, dtype=torch.float64)
    noisy = clean + 0.5 * random(1, 8, 8, seed=1, dtype=torch.float64)
    changed = Augment(Intensity(0.3, 0.2, 0.5, targets=True))((noisy, clean), index=1)
    both, moved = (torch.cat([part.ravel() for part in pair]) for pair in ((noisy, clean), changed))
    order = both.argsort()
    # One strictly growing function of the value, whichever image it is in.
    assert (moved[order].diff() > 0).all()
    same = Augment(Intensity(0.3, 0.2, 0.5, targets=True))((noisy, noisy), index=1)
    assert torch.equal(*same)


def test_a_flat_image_has_no_power():
    assert torch.equal(Augment(Intensity(gamma=1.0))(torch.ones(1, 3, 3), index=0), torch.ones(1, 3, 3))


def test_grains_are_of_the_share_drawn_and_of_two_kinds():
    image = 1 + random(1, 100, 100)
    shares = []
    for index in range(40):
        result = Augment(SaltAndPepper(0.2))(image, index=index)
        changed = result != image
        salt, pepper = (result[changed] == image.max()).sum(), (result[changed] == image.min()).sum()
        assert salt + pepper == changed.sum()
        assert abs(int(salt - pepper)) < 5 * math.sqrt(int(changed.sum()) + 1)
        shares.append(changed.double().mean().item())
    assert max(shares) < 0.21
    assert np.mean(shares) == pytest.approx(0.1, abs=0.03)


def test_noise_is_white_and_of_the_deviation_drawn():
    image = torch.zeros(1, 64, 64)
    results = [Augment(GaussianNoise(2.0))(image, index=index) for index in range(40)]
    deviations = np.array([result.std().item() for result in results])
    assert deviations.max() < 2.1
    assert deviations.mean() == pytest.approx(1, abs=0.3)
    normal = results[0] / results[0].std()
    assert normal.pow(4).mean().item() == pytest.approx(3, abs=0.3)
    assert (normal[..., 1:] * normal[..., :-1]).mean().item() == pytest.approx(0, abs=0.05)


# Bad input.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Flip((0,)), r"axes\[0\]: expected one of -1, -2, -3, got 0"),
        (lambda: Rotate(30.0), r"angle: expected at most 2 pi rad, got 30\.0\. Degrees\?"),
        (lambda: Rotate(0.1, ((-1, -1),)), r"planes\[0\]: expected two axes"),
        (lambda: RightAngles((-2, -1)), r"planes\[0\]: expected two axes, as \(-2, -1\), got -2"),
        (lambda: Elastic(3.0, 5.0), r"displacement: expected at most 0\.4 of the spacing, 2, got 3\.0"),
        (lambda: Elastic(1.0, 0.0), "spacing: expected a positive number"),
        (lambda: Intensity(scale=1.0), r"scale: expected a number in \[0, 1\)"),
        (lambda: Intensity(gamma=-1.0), "gamma: expected a number >= 0"),
        (lambda: SaltAndPepper(5), r"share: expected a number in \[0, 1\], got 5\. Per cent\?"),
        (lambda: GaussianNoise(-1.0), "sigma: expected a number >= 0"),
        (lambda: Augment(seed=-1), "seed: expected an integer >= 0"),
    ],
)
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("sample", "error", "message"),
    [
        (torch.zeros(4, 4), InputError, r"sample: expected a first image of shape .*got \(4, 4\)"),
        ((torch.zeros(1, 4, 4), torch.zeros(1, 4, 5)), InputError, r"as large as the first, \(4, 4\), got shape"),
        (np.zeros((1, 4, 4)), DtypeError, "sample: expected tensors, got ndarray"),
        ((torch.zeros(1, 4, 4), 3), DtypeError, "sample: expected tensors, got int as number 1"),
        (torch.zeros(1, 4, 4, dtype=torch.complex64), DtypeError, "Real and imaginary part are channels"),
    ],
)
def test_bad_samples_are_refused(sample, error, message):
    with pytest.raises(error, match=message):
        Augment(Flip())(sample, index=0)


def test_transformations_that_do_not_fit_the_image_are_refused():
    with pytest.raises(InputError, match="axes: expected axes of an image with 2"):
        Augment(Flip((-3,)))(torch.zeros(1, 4, 4), index=0)
    with pytest.raises(InputError, match="planes: expected axes of an image with 2"):
        Augment(Rotate(0.1, ((-3, -1),)))(torch.zeros(1, 4, 4), index=0)
    with pytest.raises(InputError, match=r"planes: expected images as long along both of \(-2, -1\), got \(4, 5\)"):
        Augment(RightAngles())(torch.zeros(1, 4, 5), index=0)


def test_what_is_no_dataset_or_no_transformation_is_refused():
    with pytest.raises(DtypeError, match="data: expected a Dataset with a length, got generator"):
        Augmented((x for x in ()), Augment())
    with pytest.raises(DtypeError, match=r"augment: expected an Augment, got Flip\. Use Augment"):
        Augmented(TensorDataset(torch.zeros(1)), Flip())
    with pytest.raises(DtypeError, match=r"transforms\[0\]: expected a transformation, got float"):
        Augment(0.5)
    with pytest.raises(IndexError, match="expected -6 to 5, got 6"):
        Augmented(Samples(), Augment())[6]
