"""T10: images are what ct.scatter says, kernels superpose as written, and the row trains."""

import dataclasses

import numpy as np
import pytest
import torch

from spinray import Grid, ct, transport
from spinray.zoo import scatter_estimation
from spinray.zoo._scatter_images import ScatterImages
from spinray.zoo._scatter_kernels import Kernels, _gaussian, _weights, relative_error
from spinray.zoo.scatter_estimation import ScatterEstimation, estimate


def coarse():
    return ScatterImages(shape=(8, 12), pixel=52.0, views=2, grid=Grid((12, 16, 16), 24.0))


@pytest.fixture(scope="module")
def small():
    class Small(ScatterEstimation):
        n, n_held_out, fit_steps, images = 3, 2, 5, coarse()

        def network(self):
            return type(super().network())(2, 1, features=4, levels=2)

        def config(self):
            return dataclasses.replace(super().config(), epochs=3)

    return Small()


def test_images_depend_on_seed_and_index_alone():
    images = coarse()
    primary, scatter = images.images("head", 3, 1, 300)
    assert primary.shape == scatter.shape == (2, 8, 12)
    assert primary.dtype == scatter.dtype == np.float32
    again, other = images.images("head", 3, 1, 300), images.images("head", 3, 2, 300)
    assert np.array_equal(primary, again[0])
    assert np.array_equal(scatter, again[1])
    assert not np.array_equal(primary, other[0])


def test_a_cylinder_transmits_what_its_thickness_says():
    images = ScatterImages(shape=(9, 31), pixel=4.0, views=1, grid=Grid((12, 48, 48), 6.0))
    body = images.body("cylinder", 0, 0)
    inside = body.data > -500
    assert inside[6].sum() * 36 == pytest.approx(np.pi * (np.ptp(np.flatnonzero(inside[6, 24])) * 3 + 3) ** 2, rel=0.1)
    primary, scatter = images.images("cylinder", 0, 0, 200)
    A = ct.ConeBeam(images.grid, [np.random.default_rng([0, 0, 1]).uniform(0, 2 * np.pi)], (9, 31), 4.0, 1000, 1500)
    mu = transport.VoxelPhantom.from_hu(body).attenuation(60.0)
    # The spectrum's mean is near 60 keV; beam hardening takes a few percent off.
    assert -np.log(primary[0, 4, 15]) == pytest.approx(float(A(mu)[0, 4, 15]), rel=0.1)
    assert (scatter > 0).all()


def test_weights_of_thicknesses_are_hats_that_add_up_to_one():
    thickness = torch.linspace(0, 8, 33)
    weights = _weights(thickness, (1.0, 3.0, 5.0))
    assert sum(weights).numpy() == pytest.approx(1.0)
    assert weights[1][thickness == 3.0].item() == 1
    assert weights[0][thickness == 2.0].item() == pytest.approx(0.5)
    assert weights[2][thickness > 5].numpy() == pytest.approx(1.0)
    assert len(_weights(thickness, (2.0,))) == 1


def test_a_kernel_spreads_one_pixel_as_a_gaussian():
    kernels = Kernels((2.0,))
    with torch.no_grad():
        kernels.widths[0] = torch.tensor([2.0, 3.0]).log()
        kernels.amplitudes[0] = torch.tensor([0.3, 0.1]).log()
        kernels.exponents[0] = torch.tensor([1.2, 0.8])
        primary = torch.ones(1, 41, 51)
        primary[0, 20, 25] = 0.2
        # What is open has next to no thickness.
        scatter = kernels.of_primary(primary)[0] - kernels.of_primary(torch.ones(1, 41, 51))[0]
    p = -np.log(0.2)
    source = 0.2**1.2 * p**0.8
    y, x = np.arange(41)[:, None] - 20, np.arange(51) - 25
    expected = sum(a * np.exp(-0.5 * (x**2 + y**2) / s**2) / (2 * np.pi * s**2) for a, s in ((0.3, 2.0), (0.1, 3.0)))
    assert scatter.numpy() == pytest.approx(source * expected, rel=1e-3, abs=1e-5)
    assert _gaussian(41, torch.tensor(2.0))[20].sum().item() == pytest.approx(1.0, abs=1e-4)


def known_kernels():
    kernels = Kernels((1.0, 3.0))
    with torch.no_grad():
        kernels.widths += 0.2
        kernels.amplitudes += torch.tensor([[1.3, 0.8], [0.9, 1.2]])
        kernels.exponents += torch.tensor([[0.1, -0.1], [-0.1, 0.1]])
    return kernels


def readings(kernels, n=6):
    """Primaries of smooth random bodies, and the scatter that kernels make of them."""
    random = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 24), indexing="ij")
    size, depth = (0.3 + torch.rand(2, n, 1, 1, generator=random) * torch.tensor([[[[0.5]]], [[[3.0]]]])).unbind()
    primary = (-depth * (1 - (x**2 + y**2) / size**2).clamp(min=0).sqrt()).exp()
    with torch.no_grad():
        scatter = kernels.of_primary(primary)
    return primary, scatter


def test_repetition_finds_the_scatter_of_the_primary():
    kernels = known_kernels()
    primary, scatter = readings(kernels)
    kernels.repetitions = 30
    with torch.no_grad():
        assert float(relative_error(kernels(primary + scatter), scatter)) < 1e-3
        assert float(relative_error(kernels.of_primary(primary + scatter), scatter)) > 0.01


def test_fitting_comes_back_to_the_kernels_that_made_the_scatter():
    primary, scatter = readings(known_kernels())
    fitted = Kernels((1.0, 3.0))
    with torch.no_grad():
        before = float(relative_error(fitted(primary + scatter), scatter))
    fitted.fit(primary + scatter, scatter, steps=80)
    with torch.no_grad():
        after = float(relative_error(fitted(primary + scatter), scatter))
    assert before > 0.05
    assert after < 0.02


def test_moving_a_parameter_puts_it_back():
    kernels = known_kernels()
    spare = readings(kernels)
    spare = spare[0] + spare[1], spare[1]
    before = kernels.widths.detach().clone()
    errors = [scatter_estimation._moved(kernels, "widths", spare, factor) for factor in (0.5, 1.0, 2.0)]
    assert torch.equal(kernels.widths, before)
    assert errors[1] < min(errors[0], errors[2])


def test_a_view_is_seen_with_those_after_it():
    reading = torch.arange(1.0, 9.0)[:, None, None].expand(8, 2, 3)
    seen = scatter_estimation.inputs(reading, views=4)
    assert seen.shape == (8, 4, 2, 3)
    assert torch.exp(-seen[1, :, 0, 0]).tolist() == pytest.approx([2, 3, 4, 1])
    assert torch.exp(-seen[6, :, 0, 0]).tolist() == pytest.approx([7, 8, 5, 6])


def test_estimates_undo_the_logarithms():
    class Perfect(torch.nn.Module):
        def forward(self, x):
            return np.log(3.0) + x[:, :1]

    assert estimate(Perfect(), torch.ones(2, 4, 5), 2).numpy() == pytest.approx(0.03)
    assert estimate(Perfect(), torch.full((2, 4, 5), 0.5), 1).numpy() == pytest.approx(0.06)


def test_a_body_in_a_mirror_is_seen_from_the_other_sides():
    """What training learns from mirrors is what projections of the mirrored body are."""

    class Mirrored(ScatterEstimation):
        n, images = 1, dataclasses.replace(coarse(), views=4)

    row = Mirrored()
    data, _ = row.data()
    A = ct.ConeBeam(row.images.grid, np.arange(4) * np.pi / 2, (8, 12), 52.0, 1000, 1500)
    random = np.random.default_rng(0).random(row.images.grid.shape)
    views = [scatter_estimation.inputs(torch.from_numpy(np.exp(-A(x))), 4) for x in (random, random[:, :, ::-1])]
    mirrored = views[0][:1, [0, 3, 2, 1]].flip(-1)
    assert views[1][:1].numpy() == pytest.approx(mirrored.numpy(), rel=1e-5)
    assert torch.equal(data[4], data[0][[0, 3, 2, 1]].flip(-1))
    assert torch.equal(data[8], data[0].flip(-2))


def test_the_row_trains_and_reports(small):
    seen, targets = small.recipe(small.seed, 0)
    assert seen.shape == (2, 2, 8, 12)
    assert targets.shape == (2, 1, 8, 12)
    primary, scatter = small.images.images("thorax", small.seed, 0, 3000)
    assert seen[:, 0].numpy() == pytest.approx(-np.log(primary + scatter), abs=1e-5)
    assert 0.01 * np.exp(targets[:, 0].numpy()) == pytest.approx(scatter, rel=1e-4)
    assert len(small.data()[0]) == 4 * 3 * 2
    torch.manual_seed(0)
    network = small.network()
    history = small.train(network)
    assert history.epochs["loss"][-1] < history.epochs["loss"][0]
    report = small.examine(network)
    assert {"network: abdomen", "fitted kernels: cylinder"} <= set(report.scores)
    assert len(report.sweeps) == 2
    assert report.pictures["target"].shape == (8, 12)
