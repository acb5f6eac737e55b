"""Learning rates over a run: closed forms, and torch's own schedulers."""

import itertools
import math

import pytest
import torch

from spinray.training import Config
from training.small import linear, mse, quick, regression


def rates(**config):
    """The learning rate of each step of ten epochs of three."""
    return quick(linear(), **{"epochs": 10, "learning_rate": 0.1, **config}).steps["learning_rate"]


def torchs(scheduler, steps=30, every=1):
    """What a scheduler of torch makes of 0.1."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    made, found = scheduler(optimiser), []
    for step in range(1, steps + 1):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if step % every == 0:
            made.step()
    return found


def test_a_constant_is_constant():
    assert rates() == [0.1] * 30


@pytest.mark.parametrize(
    ("config", "scheduler", "every"),
    [
        (
            {"schedule": "cosine", "schedule_options": {"final": 0.2}},
            lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 30, eta_min=0.02),
            1,
        ),
        ({"schedule": "poly"}, lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 30, power=0.9), 1),
        (
            {"schedule": "step", "schedule_options": {"every": 4, "factor": 0.3}},
            lambda o: torch.optim.lr_scheduler.StepLR(o, 4, gamma=0.3),
            3,
        ),
        (
            {"schedule": "cosine", "warm_up": 0.2},
            lambda o: torch.optim.lr_scheduler.SequentialLR(
                o,
                [
                    torch.optim.lr_scheduler.LambdaLR(o, lambda step: step / 6),
                    torch.optim.lr_scheduler.CosineAnnealingLR(o, 24),
                ],
                [6],
            ),
            1,
        ),
    ],
    ids=["cosine", "poly", "step", "warm-up"],
)
def test_they_are_those_of_torch(config, scheduler, every):
    assert rates(**config) == pytest.approx(torchs(scheduler, every=every), rel=1e-9, abs=1e-15)


def test_one_cycle_is_two_half_cosines():
    found = rates(schedule="one_cycle", schedule_options={"start": 0.1, "peak": 0.4, "final": 0.05})
    assert found[0] == pytest.approx(0.01)
    assert found[6] == pytest.approx(0.055)  # half way up
    assert found[12] == max(found) == pytest.approx(0.1)
    assert found[21] == pytest.approx(0.0525)  # half way down
    assert found[29] == pytest.approx(0.005 + 0.095 * (1 + math.cos(math.pi * 17 / 18)) / 2)
    assert (torch.tensor(found).diff() > 0).tolist() == [True] * 12 + [False] * 17


def test_plateau_is_that_of_torch_on_the_validation_loss():
    losses = [5.0, 4.0, 4.0, 4.0, 3.9999, 3.0, 3.5, 3.5, 3.5, 3.5]
    values = iter(losses)

    def loss(output, target):
        return mse(output, target) if torch.is_grad_enabled() else torch.tensor(next(values))

    options = {"patience": 1, "factor": 0.5}
    found = rates(schedule="plateau", schedule_options=options, loss=loss, validation=[regression()])
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    theirs, expected = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, **options), []
    for value in losses:
        expected += [optimiser.param_groups[0]["lr"]] * 3
        theirs.step(value)
    assert found == pytest.approx(expected)
    assert len(set(found)) == 3


def test_what_torch_refuses_of_a_plateau_is_refused():
    with pytest.raises(ValueError, match=r"schedule_options: Factor should be < 1.0"):
        rates(schedule="plateau", schedule_options={"factor": 2})


def test_the_share_is_that_of_whichever_limit_is_nearest():
    assert rates(schedule="poly", schedule_options={"power": 1.0}, steps=15) == pytest.approx(
        [0.1 * (1 - step / 15) for step in range(15)]
    )


def test_data_without_a_length_need_steps_or_seconds():
    stream = itertools.cycle([regression()])
    with pytest.raises(ValueError, match=r"schedule: 'cosine' .* length of the run, .* Give steps or seconds"):
        quick(linear(), stream, epochs=1, schedule="cosine")
    with pytest.raises(ValueError, match=r"warm_up=0.1 .* length of the run"):
        quick(linear(), stream, epochs=1, warm_up=0.1)
    assert len(quick(linear(), stream, steps=4, schedule="cosine").steps["loss"]) == 4


@pytest.mark.parametrize(
    ("config", "error", "says"),
    [
        ({"schedule": "triangle"}, ValueError, "schedule: expected one of 'constant', 'cosine', .* got 'triangle'"),
        ({"schedule": "cosine", "schedule_options": {"eta": 1}}, ValueError, "cosine takes final, got 'eta'"),
        ({"schedule_options": {"final": 1}}, ValueError, "constant takes none, got 'final'"),
        (
            {"schedule": "poly", "schedule_options": {"power": "a"}},
            TypeError,
            r"_options\['power'\]: expected a",
        ),
        ({"schedule": "step", "schedule_options": {"every": 1.5}}, TypeError, r"\['every'\]: expected an integer"),
        (
            {"schedule": "one_cycle", "schedule_options": {"peak": 1}},
            ValueError,
            r"\['peak'\]: expected a share below",
        ),
        (
            {"schedule": "plateau", "schedule_options": {"every": 2}},
            ValueError,
            "plateau takes factor, patience, .*",
        ),
        ({"warm_up": 1.0}, ValueError, r"warm_up: expected a number in \[0, 1\), got 1.0"),
    ],
)
def test_bad_schedules_are_named(config, error, says):
    with pytest.raises(error, match=says):
        Config(epochs=1, **config)
