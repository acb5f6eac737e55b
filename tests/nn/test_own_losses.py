"""Gradient differences, TV, adversarial, cycle and Poisson losses: closed forms, gradients, bad input."""

import copy

import numpy as np
import pytest
import torch

from spinray.errors import DtypeError, InputError
from spinray.nn.losses import (
    CriticLoss,
    CycleLoss,
    GeneratorLoss,
    GradientDifferenceLoss,
    GradientPenalty,
    PoissonLoss,
    TVLoss,
)
from spinray.operators import Matrix
from spinray.regularizers import TV


def random(*shape, seed=0, **options):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed), **options)


# Differences between neighbours.


@pytest.mark.parametrize("shape", [(2, 3, 6, 5), (2, 1, 4, 5, 3)])
def test_tv_is_that_of_the_regulariser(shape):
    x = random(*shape)
    expected = sum(TV(1.0).value(image) for image in x.flatten(0, 1)) / x.numel()
    assert TVLoss()(x).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(1, 2, 4, 5), (1, 1, 3, 4, 3)])
def test_tv_passes_gradcheck(shape):
    assert torch.autograd.gradcheck(TVLoss(), random(*shape, requires_grad=True))


def test_tv_of_a_flat_image_has_the_gradient_zero():
    flat = torch.ones(1, 1, 4, 4, requires_grad=True)
    TVLoss()(flat).backward()
    assert not flat.grad.any()


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_gradient_difference_of_ramps(alpha):
    z, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (3, 4, 5)), indexing="ij")
    steep, gentle = (2 * x - 3 * y + z)[None, None], (x + y + z)[None, None]
    expected = 1**alpha + 2**alpha + 0**alpha
    assert GradientDifferenceLoss(alpha=alpha)(steep, gentle).item() == pytest.approx(expected)
    assert GradientDifferenceLoss(alpha=alpha)(-steep[:, :, 0] + 7, steep[:, :, 0]).item() == 0


@pytest.mark.parametrize("shape", [(2, 1, 4, 5), (1, 2, 3, 4, 3)])
def test_gradient_difference_passes_gradcheck(shape):
    target = random(*shape, seed=1)
    loss = GradientDifferenceLoss(alpha=2)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), random(*shape, requires_grad=True))


def test_bad_images_for_differences_are_refused():
    with pytest.raises(InputError, match=r"alpha: expected a number >= 1, got 0\.5"):
        GradientDifferenceLoss(alpha=0.5)
    with pytest.raises(InputError, match="at least 2 voxels along each axis"):
        GradientDifferenceLoss()(random(1, 1, 1, 4), random(1, 1, 1, 4))
    with pytest.raises(InputError, match="target: expected the shape of input"):
        GradientDifferenceLoss()(random(1, 1, 4, 4), random(1, 1, 4, 5))
    with pytest.raises(DtypeError, match="input: expected a torch tensor of real"):
        TVLoss()(random(1, 1, 4, 4).to(torch.complex64))
    with pytest.raises(InputError, match="One image alone"):
        TVLoss()(random(4, 4))


# Networks against each other.

KINDS = ["hinge", "least_squares", "wasserstein"]


def test_adversarial_losses_by_hand():
    real, fake = torch.tensor([2.25, 0.25, 2.25, 0.25]), torch.tensor([-1.0, 1.5])
    critic = {"hinge": 0.375 + 1.25, "least_squares": (1.5625 + 0.5625) / 4 + 3.25 / 4, "wasserstein": 0.25 - 1.25}
    generator = {"hinge": -0.25, "least_squares": 4.25 / 4, "wasserstein": -0.25}
    for kind in KINDS:
        assert CriticLoss(kind)(real, fake).item() == pytest.approx(critic[kind])
        assert GeneratorLoss(kind)(fake).item() == pytest.approx(generator[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_critic_and_generator_pull_in_opposite_directions(kind):
    real, fake = random(6, requires_grad=True), random(6, seed=1, requires_grad=True)
    (up,) = torch.autograd.grad(CriticLoss(kind)(real, fake), fake)
    (down,) = torch.autograd.grad(GeneratorLoss(kind)(fake), fake)
    between = (fake > 0) & (fake < 1)
    assert (up[between] >= 0).all()
    assert (down[between] < 0).all()
    assert torch.autograd.gradcheck(CriticLoss(kind), (real, fake))
    assert torch.autograd.gradcheck(GeneratorLoss(kind), fake)


def test_adversarial_training_finds_a_mean():
    # The generator shifts noise; the critic, a line, can tell means apart and nothing else.
    torch.manual_seed(0)
    shift, slope = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    critic_step = torch.optim.SGD([slope], lr=0.3)
    generator_step = torch.optim.SGD([shift], lr=0.3)
    trail = []
    for _ in range(300):
        real, noise = 3 + torch.randn(64), torch.randn(64)
        critic_step.zero_grad()
        CriticLoss("hinge")(slope * (real - shift.detach()), slope * noise).backward()
        critic_step.step()
        generator_step.zero_grad()
        GeneratorLoss("hinge")(slope.detach() * (noise + shift - 3)).backward()
        generator_step.step()
        trail.append(shift.item())
    assert np.mean(trail[150:]) == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.5])
def test_the_gradient_penalty_of_a_linear_critic(slope):
    direction = random(1, 1, 4, 4)
    direction *= slope / direction.norm() if slope else 0.0
    penalty = GradientPenalty(lambda x: (x * direction).sum((1, 2, 3)), weight=3.0)
    assert penalty(random(5, 1, 4, 4), random(5, 1, 4, 4, seed=1)).item() == pytest.approx(3 * (slope - 1) ** 2)


def test_the_gradient_penalty_takes_the_mean_of_patch_scores_at_seeded_places_between():
    seen = []

    def critic(x):
        seen.append(x.detach())
        return 2 * x

    real, fake = torch.ones(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    torch.manual_seed(1)
    penalty = GradientPenalty(critic, weight=1.0)(real, fake)
    # The mean of four scores 2 x has a gradient of four entries 1/2, of length 1.
    assert penalty.item() == pytest.approx(0, abs=1e-12)
    (places,) = seen
    assert ((places > 0) & (places < 1)).all()
    assert len({image.unique().item() for image in places}) == 3
    torch.manual_seed(1)
    GradientPenalty(critic)(real, fake)
    assert torch.equal(seen[1], places)


def test_the_gradient_penalty_trains_the_critic():
    torch.manual_seed(0)
    critic = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 1)).double()
    penalty = GradientPenalty(critic)
    step = torch.optim.Adam(critic.parameters(), lr=0.05)
    for _ in range(200):
        step.zero_grad()
        penalty(random(4, 1, 4, 4), random(4, 1, 4, 4, seed=1)).backward()
        step.step()
    assert critic[1].weight.norm().item() == pytest.approx(1, abs=0.01)


def test_bad_adversaries_are_refused():
    for make in (CriticLoss, GeneratorLoss):
        with pytest.raises(
            InputError, match="kind: expected one of 'hinge', 'least_squares', 'wasserstein', got 'wgan'"
        ):
            make("wgan")
    with pytest.raises(InputError, match="weight: expected a number >= 0"):
        GradientPenalty(torch.nn.Identity(), weight=-1)
    with pytest.raises(InputError, match="fake: expected the shape of real"):
        GradientPenalty(torch.nn.Identity())(random(2, 1, 4, 4), random(3, 1, 4, 4))


def test_the_cycle_of_inverse_networks_is_closed():
    double, half = torch.nn.Conv2d(1, 1, 1, bias=False), torch.nn.Conv2d(1, 1, 1, bias=False)
    torch.nn.init.constant_(double.weight, 2.0)
    torch.nn.init.constant_(half.weight, 0.5)
    x, y = torch.rand(2, 1, 4, 4), torch.rand(3, 1, 5, 5)
    assert CycleLoss(double, half)(x, y).item() == 0
    torch.nn.init.constant_(half.weight, 1.0)
    loss = CycleLoss(double, half)(x, y)
    assert loss.item() == pytest.approx((x.mean() + y.mean()).item())
    loss.backward()
    assert double.weight.grad is not None
    assert half.weight.grad is not None


# Counts.

A = Matrix(np.abs(np.random.default_rng(3).standard_normal((7, 6))), domain_shape=(2, 3))


@pytest.mark.parametrize("background", [0.5, np.linspace(0.1, 2, 7), torch.linspace(0.1, 2, 7)])
def test_the_poisson_loss_is_the_likelihood(background):
    x = random(4, 1, 2, 3).abs()
    mean = A(x) + torch.as_tensor(background)
    counts = torch.poisson(mean, generator=torch.Generator().manual_seed(1))
    expected = -torch.distributions.Poisson(mean).log_prob(counts).mean()
    assert PoissonLoss(A, background)(x, counts).item() == pytest.approx(expected.item(), rel=1e-7)


def test_its_gradient_is_the_adjoint_of_one_minus_the_ratio():
    x, counts = random(3, 2, 3).abs().requires_grad_(), torch.poisson(5 * random(3, 7).abs())
    loss = PoissonLoss(A, 0.5)
    loss(x, counts).backward()
    expected = A.adjoint(1 - counts / (A(x.detach()) + 0.5)) / counts.numel()
    torch.testing.assert_close(x.grad, expected)
    assert torch.autograd.gradcheck(lambda x: loss(x, counts), x)


def test_the_truth_minimises_the_loss_of_its_own_mean():
    x = random(2, 3).abs().requires_grad_()
    PoissonLoss(A, 1.0)(x, (A(x) + 1).detach()).backward()
    assert x.grad.abs().max() < 1e-14


def test_places_without_counts_have_a_gradient_even_where_nothing_is_expected():
    x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    loss = PoissonLoss(A)(x, torch.zeros(7))
    loss.backward()
    assert loss.item() == 0
    torch.testing.assert_close(x.grad, A.adjoint(torch.full((7,), 1 / 7, dtype=torch.float64)))
    assert PoissonLoss(A)(x, torch.ones(7)).item() == np.inf


def test_the_poisson_loss_can_be_copied_and_moved_in_precision():
    loss = PoissonLoss(A, 0.5)
    x, counts = random(2, 3).abs(), torch.ones(7)
    assert torch.equal(copy.deepcopy(loss)(x, counts), loss(x, counts))
    assert loss(x.float(), counts).dtype == torch.float32
    assert loss.float()(x, counts).item() == pytest.approx(loss(x, counts).item())


def test_bad_counts_are_refused():
    loss, x, counts = PoissonLoss(A), random(2, 3).abs(), torch.ones(7)
    with pytest.raises(InputError, match=r"counts: expected the shape of A\(x\), \(7,\), got \(6,\)"):
        loss(x, counts[:6])
    with pytest.raises(InputError, match="counts: expected numbers >= 0, got -1"):
        loss(x, -counts)
    with pytest.raises(InputError, match=r"x: expected images with A\(x\) \+ background >= 0, .*softplus"):
        loss(-x, counts)
    with pytest.raises(InputError, match=r"background: expected one number or shape \(7,\), as of A\(x\), got \(6,\)"):
        PoissonLoss(A, np.ones(6))
    with pytest.raises(InputError, match=r"background: expected one number or shape \(7,\)"):
        PoissonLoss(A, np.ones((2, 7)))
    with pytest.raises(InputError, match="background: expected numbers >= 0, got -1"):
        PoissonLoss(A, -1.0)
    with pytest.raises(InputError, match="background: expected finite numbers"):
        PoissonLoss(A, np.nan)
    with pytest.raises(DtypeError, match="A: expected a LinearOperator, got ndarray"):
        PoissonLoss(np.eye(3))
    with pytest.raises(DtypeError, match="A: expected a real operator"):
        PoissonLoss(Matrix(1j * np.eye(3)))
