"""Training does what the formulas say, and what a loop written by hand does."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset, TensorDataset

from spinray.training import Callback, freeze
from training.small import Clock, copied, linear, mse, network, quick, regression, same


def test_one_step_of_gradient_descent_is_the_one_by_hand():
    x, y = regression(dtype=torch.float64)
    one = linear(dtype=torch.float64)
    w, b = one.weight.detach().clone(), one.bias.detach().clone()
    history = quick(one, (x, y), optimiser="sgd", learning_rate=0.1, batch_size=24, steps=1)
    residual = x @ w.T + b - y
    torch.testing.assert_close(one.weight, w - 0.1 * 2 * (residual * x).mean(0, keepdim=True), rtol=1e-12, atol=0)
    torch.testing.assert_close(one.bias, b - 0.1 * 2 * residual.mean(0), rtol=1e-12, atol=0)
    assert history.steps["loss"] == [pytest.approx((residual**2).mean().item(), rel=1e-12)]


@pytest.mark.parametrize("optimiser", ["lbfgs", "sgd", "adam"])
def test_linear_regression_ends_in_least_squares(optimiser):
    x, y = regression(dtype=torch.float64)
    one = linear(dtype=torch.float64)
    how = {
        "lbfgs": {"epochs": 3, "optimiser_options": {"tolerance_grad": 1e-12, "tolerance_change": 1e-15}},
        "sgd": {"epochs": 100},
        "adam": {"epochs": 400, "schedule": "cosine"},
    }
    quick(one, (x, y), optimiser=optimiser, learning_rate=0.3, batch_size=24, **how[optimiser])
    solution = torch.linalg.lstsq(torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1), y).solution
    torch.testing.assert_close(torch.cat([one.weight[0], one.bias]), solution[:, 0], rtol=0, atol=1e-6)


def test_weight_decay_is_ridge_regression():
    x, y = regression(dtype=torch.float64)
    one = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    quick(one, (x, y), optimiser="sgd", learning_rate=0.2, weight_decay=0.4, batch_size=24, epochs=150)
    ridge = torch.linalg.solve(x.T @ x / len(x) + 0.2 * torch.eye(3, dtype=x.dtype), x.T @ y / len(x))
    torch.testing.assert_close(one.weight, ridge.T, rtol=1e-9, atol=0)


def test_an_l1_penalty_is_soft_thresholding():
    """Of orthonormal inputs: each weight is moved towards 0 by half the penalty, and stays there."""
    x, y = torch.eye(3, dtype=torch.float64) * 3**0.5, torch.tensor([[3.0], [-2.0], [0.2]], dtype=torch.float64)
    one = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    history = quick(one, (x, y), optimiser="sgd", learning_rate=0.3, schedule="poly", l1=0.8, batch_size=3, epochs=500)
    best = y[:, 0] / 3**0.5
    torch.testing.assert_close(one.weight[0], best.sign() * (best.abs() - 0.4).clamp(min=0), rtol=0, atol=1e-3)
    expected = mse(one(x), y).item()
    assert history.steps["loss"][-1] == pytest.approx(expected, rel=1e-2)  # without the penalty


LOOPS = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, weight_decay=0.1),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.01, line_search_fn="strong_wolfe"),
}
OPTIONS = {"sgd": {"momentum": 0.9, "nesterov": True}, "lbfgs": {"line_search_fn": "strong_wolfe"}}


@pytest.mark.parametrize("optimiser", LOOPS)
def test_weights_and_history_are_those_of_a_loop_written_by_hand(optimiser):
    x, y = regression(22)
    batches = [(x[i : i + 8], y[i : i + 8]) for i in (0, 8, 16)]
    held_out = regression(10, seed=1)
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1))
    theirs = copy.deepcopy(ours)
    history = quick(
        ours,
        batches,
        validation=held_out,
        metrics={"worst": lambda output, target: (output - target).abs().max()},
        optimiser=optimiser,
        optimiser_options=OPTIONS.get(optimiser, {}),
        learning_rate=0.01,
        weight_decay=0.0 if optimiser == "lbfgs" else 0.1,
        epochs=3,
    )

    stepper, losses, epochs, states = LOOPS[optimiser](theirs.parameters()), [], [], []
    for _ in range(3):
        theirs.train()
        for inputs, target in batches:

            def closure(inputs=inputs, target=target):
                stepper.zero_grad()
                value = mse(theirs(inputs), target)
                value.backward()
                return value

            losses.append(stepper.step(closure).item())
        theirs.eval()
        with torch.no_grad():
            parts = [(theirs(a), b) for a, b in zip(held_out[0].split(8), held_out[1].split(8), strict=True)]
            epochs.append(
                (
                    sum(loss * len(b) for loss, (b, _) in zip(losses[-3:], batches, strict=True)) / 22,
                    sum(mse(a, b).item() * len(b) for a, b in parts) / 10,
                    sum((a - b).abs().max().item() * len(b) for a, b in parts) / 10,
                )
            )
        states.append(copied(theirs))
    assert history.steps["loss"] == losses
    assert list(zip(*(history.epochs[n] for n in ("loss", "validation_loss", "worst")), strict=True)) == epochs
    assert history.epochs["step"] == [3, 6, 9]
    best = min(range(3), key=lambda i: epochs[i][1])
    assert history.best_epoch == best + 1
    assert same(ours.state_dict(), states[best])


def test_without_validation_the_last_state_stays():
    one = linear()
    history = quick(one, optimiser="sgd", learning_rate=0.9, epochs=5)  # unstable: the best epoch is an early one
    assert history.best_epoch < 5
    after = linear()
    quick(after, optimiser="sgd", learning_rate=0.9, epochs=4)
    assert not same(one.state_dict(), after.state_dict())
    with torch.no_grad():
        assert mse(one(regression()[0]), regression()[1]) > history.epochs["loss"][history.best_epoch - 1]


def test_no_gradient_is_left():
    one = linear()
    quick(one)
    assert [p.grad for p in one.parameters()] == [None, None]


def test_gradients_are_clipped_to_their_norm():
    one = linear()
    before = torch.cat([p.detach().flatten().clone() for p in one.parameters()])
    quick(one, optimiser="sgd", learning_rate=0.5, clip_norm=1e-2, steps=1)
    moved = torch.cat([p.detach().flatten() for p in one.parameters()]) - before
    assert moved.norm().item() == pytest.approx(0.5 * 1e-2, rel=1e-4)


def test_the_average_is_the_one_of_torch_and_is_what_is_validated_and_left():
    data, held_out, seen = regression(), regression(seed=1), []

    class Watch(Callback):
        def on_step(self, run):
            average.update_parameters(run.network)

        def on_epoch(self, run):
            with torch.no_grad():
                seen.append(mse(average(held_out[0]), held_out[1]).item())

    one = linear()
    average = torch.optim.swa_utils.AveragedModel(one, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    history = quick(one, data, validation=held_out, callbacks=[Watch()], average=0.9, batch_size=24, epochs=6)
    assert history.epochs["validation_loss"] == pytest.approx(seen, rel=1e-6)
    assert history.best_epoch == 6
    assert same(one.state_dict(), average.module.state_dict())


def test_the_average_is_left_without_validation_too():
    values = []

    class Watch(Callback):
        def on_step(self, run):
            values.append(run.network.weight.detach().clone())

    one = linear()
    quick(one, callbacks=[Watch()], average=0.75, optimiser="sgd", learning_rate=0.05, steps=3)
    torch.testing.assert_close(one.weight, 0.75**2 * values[0] + 0.25 * 0.75 * values[1] + 0.25 * values[2])


class TwoInTwoOut(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 1), nn.Linear(2, 1)

    def forward(self, x, y):
        return self.a(x), self.b(y)


@pytest.mark.parametrize("kind", ["tensors", "loader"])
def test_several_inputs_and_outputs(kind):
    torch.manual_seed(0)
    x, y = torch.randn(16, 3), torch.randn(16, 2)
    targets = (x[:, :1] * 2, y.sum(1, keepdim=True))
    data = ((x, y), targets)
    if kind == "loader":
        data = DataLoader([((x[i], y[i]), (targets[0][i], targets[1][i])) for i in range(16)], batch_size=8)
    one = TwoInTwoOut()
    quick(
        one,
        data,
        lambda output, target: mse(output[0], target[0]) + mse(output[1], target[1]),
        optimiser="lbfgs",
        learning_rate=1.0,
        epochs=20,
        batch_size=16,
    )
    torch.testing.assert_close(one.a.weight, torch.tensor([[2.0, 0, 0]]), rtol=0, atol=1e-3)
    torch.testing.assert_close(one.b.weight, torch.ones(1, 2), rtol=0, atol=1e-3)


def test_a_loss_with_a_parameter_named_inputs_sees_them():
    x, y = regression()
    seen = []

    def residual(output, target, inputs):
        seen.append(inputs)
        return mse(output, target)

    class Loss(nn.Module):
        def forward(self, output, target, *, inputs=None):
            return residual(output, target, inputs)

    quick(linear(), [(x, y)], residual, epochs=1, validation=[(x, y)], metrics={"again": Loss()})
    assert [one is x for one in seen] == [True, True, True]
    quick(TwoInTwoOut(), [((x, x[:, :2]), y)], lambda o, t, inputs: seen.append(inputs) or mse(o[0], t), epochs=1)
    assert isinstance(seen[-1], tuple)
    assert len(seen[-1]) == 2


def test_a_loss_whose_first_parameter_is_named_inputs_does_not():
    quick(linear(), loss=lambda inputs, targets: mse(inputs, targets), epochs=1)


def test_losses_built_into_the_interpreter_are_called():
    quick(nn.Linear(3, 1), [(torch.ones(1, 3), torch.ones(1, 1))], torch.dist, epochs=1)


def test_autocast_is_for_what_it_is_asked_for():
    seen = {"training": set(), "validation": set()}

    def loss(output, target):
        seen["training" if torch.is_grad_enabled() else "validation"].add(output.dtype)
        return mse(output.float(), target)

    quick(linear(), loss=loss, validation=regression(seed=1), precision="bfloat16")
    assert seen == {"training": {torch.bfloat16}, "validation": {torch.float32}}
    seen["training"].clear()
    seen["validation"].clear()
    quick(linear(), loss=loss, validation=regression(seed=1), validation_precision="bfloat16")
    assert seen == {"training": {torch.float32}, "validation": {torch.bfloat16}}


def test_complex_networks_are_trained():
    torch.manual_seed(0)
    one = nn.Linear(2, 1, bias=False, dtype=torch.complex64)
    x = torch.randn(32, 2, dtype=torch.complex64)
    y = x @ torch.tensor([[1 + 2j], [-3j]])

    def loss(output, target):
        return (output - target).abs().square().mean()

    quick(
        one, (x, y), loss, learning_rate=0.1, schedule="cosine", epochs=150, batch_size=32, average=0.5, clip_norm=9.0
    )
    torch.testing.assert_close(one.weight.detach(), torch.tensor([[1 + 2j, -3j]]), rtol=0, atol=1e-2)


def order_of(**config):
    """Sample numbers of each batch."""
    seen = []

    def note(output, target):
        seen.append([int(number) for number in target[:, 0]])
        return output.mean()

    x = torch.ones(10, 3)
    quick(linear(), (x, torch.arange(10.0)[:, None]), note, batch_size=4, **config)
    return seen


def test_every_epoch_has_each_sample_once_in_an_order_of_its_own():
    seen = order_of(epochs=3)
    assert [len(batch) for batch in seen] == [4, 4, 2] * 3
    epochs = [list(itertools.chain(*seen[i : i + 3])) for i in (0, 3, 6)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert order_of(epochs=3) == seen
    assert order_of(epochs=3, seed=1) != seen


class Noisy(Dataset):
    """Samples to which each generator there is adds noise."""

    def __init__(self, n=24):
        self.x, self.y = regression(n)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        import random

        return self.x[i] + torch.randn(3) * 0.1 + np.float32(np.random.rand() + random.random()), self.y[i]  # noqa: NPY002  tested


@pytest.mark.parametrize("shuffled", [lambda data: data, lambda data: DataLoader(data, batch_size=8, shuffle=True)])
def test_the_same_seed_gives_the_same_bits(shuffled):
    def run(seed, caller):
        torch.manual_seed(caller)
        np.random.seed(caller)  # noqa: NPY002  tested
        one = network()
        quick(one, shuffled(Noisy()), seed=seed)
        return copied(one)

    first = run(5, 0)
    assert same(first, run(5, 1))
    assert not same(first, run(6, 0))


def test_the_callers_random_numbers_are_left_alone():
    import random

    def draw():
        return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002  tested

    def start():
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002  tested
        random.seed(1)

    one = network()
    start()
    expected = draw()
    start()
    quick(one, Noisy(), validation=Noisy())
    assert draw() == expected
    start()
    with pytest.raises(ZeroDivisionError):
        quick(one, Noisy(), lambda output, target: 1 / 0)
    assert draw() == expected


def test_validation_changes_nothing_in_training():
    plain, watched = network(), network()
    losses = quick(plain, Noisy(), epochs=3).steps["loss"]
    history = quick(watched, Noisy(), validation=Noisy(), epochs=3)
    assert history.steps["loss"] == losses
    # Each validation draws the same numbers: epochs are compared on the same data.
    again = quick(linear(), Noisy(), validation=Noisy(), optimiser="sgd", learning_rate=1e-30)
    assert again.epochs["validation_loss"][0] == again.epochs["validation_loss"][1]


def test_validation_runs_in_evaluation_mode_and_the_modes_are_put_back():
    modes = []

    class Watch(nn.Linear):
        def forward(self, x):
            modes.append((self.training, torch.is_grad_enabled()))
            return super().forward(x)

    one = nn.Sequential(Watch(3, 1), nn.Dropout())
    one[1].eval()
    quick(one, batch_size=24, validation=regression(), epochs=2)
    assert modes == [(True, True), (False, False)] * 2
    assert (one.training, one[0].training, one[1].training) == (True, True, False)


def test_frozen_parts_keep_weights_and_statistics():
    one = network()
    assert freeze(one, "0.*", "1.*") == ["0.weight", "0.bias", "1.weight", "1.bias"]
    before = copied(one)
    quick(one)
    after = one.state_dict()
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert kept == {name for name in before if name[0] in "01"}


def test_statistics_without_parameters_freeze_with_the_module_around_them():
    inner = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False))
    one = nn.Sequential(inner, nn.BatchNorm1d(4, affine=False), nn.Linear(4, 1))
    freeze(one, "0.*")
    quick(one)
    assert (inner[1].running_mean == 0).all()
    assert (one[1].running_mean != 0).any()


def test_steps_end_an_endless_stream_and_the_last_epoch_is_validated():
    x, y = regression()
    history = quick(linear(), itertools.cycle([(x, y)]), steps=7, validation=(x, y))
    assert (history.n_steps, history.n_epochs, history.stopped) == (7, 1, "steps")
    assert len(history.epochs["validation_loss"]) == 1


def test_seconds_end_an_endless_stream_and_set_the_pace_of_the_schedule(monkeypatch):
    history = quick(linear(), itertools.cycle([regression()]), Clock(monkeypatch), seconds=4.0, schedule="cosine")
    assert (history.stopped, history.n_steps) == ("seconds", 4)
    rates = [1e-3, 0.5e-3 * (1 + 0.5**0.5), 0.5e-3, 0.5e-3 * (1 - 0.5**0.5)]
    assert history.steps["learning_rate"] == pytest.approx(rates)


def test_whichever_limit_is_reached_first_ends_the_run():
    assert quick(linear(), epochs=2, steps=100, seconds=1000.0).stopped == "epochs"
    history = quick(linear(), epochs=2, steps=4, seconds=1000.0)
    assert (history.stopped, history.n_steps, history.epochs["step"]) == ("steps", 4, [3, 4])


def test_a_callback_stops_the_run():
    class Enough(Callback):
        def on_step(self, run):
            if run.step == 2:
                run.stop()

    history = quick(linear(), epochs=9, callbacks=[Enough()])
    assert (history.stopped, history.n_steps) == ("callback", 2)


def test_a_loader_of_a_stream_has_no_length():
    class Samples(IterableDataset):
        def __iter__(self):
            return zip(*regression(), strict=True)

    assert quick(linear(), DataLoader(Samples(), batch_size=8)).epochs["step"] == [3, 6]


def test_loaders_are_told_the_epoch():
    data = TensorDataset(*regression())
    sampler = DistributedSampler(data, num_replicas=1, rank=0, shuffle=True)
    told = []
    sampler.set_epoch = told.append
    quick(linear(), DataLoader(data, batch_size=8, sampler=sampler), epochs=3)
    assert told == [0, 1, 2]


def test_data_that_count_their_batches_are_taken_as_they_are():
    class Source:
        n_batches = 3

        def batches(self, epoch, first):
            asked.append((epoch, first))
            return iter([regression()] * self.n_batches)

    asked = []
    history = quick(linear(), Source(), epochs=2, schedule="cosine")
    assert asked == [(0, 0), (1, 0)]
    quick(linear(), validation=Source(), epochs=2)
    assert asked[2:] == [(0, 0), (0, 0)]  # always the same
    assert history.steps["learning_rate"][3] == pytest.approx(0.5e-3)


def test_times_are_told_apart(monkeypatch):
    """By a clock that only data, loss and validation advance."""
    clock = Clock(monkeypatch)

    class Slow:
        def __iter__(self):
            for _ in range(3):
                clock.now += 2.0
                yield regression()

    def loss(output, target):
        clock.now += 5.0 if torch.is_grad_enabled() else 7.0
        return mse(output, target)

    history = quick(linear(), Slow(), loss, validation=[regression()], epochs=2)
    assert history.steps["waiting"] == [2.0] * 6
    assert history.steps["seconds"] == [5.0] * 6
    assert history.epochs["waiting"] == [6.0, 6.0]
    assert history.epochs["seconds"] == [28.0, 28.0]
    assert history.seconds == 56.0
    assert history.waiting_share == pytest.approx(2 / 7)


def test_the_bar_tells_epoch_and_losses(capsys):
    from spinray.training import Config, fit

    fit(linear(), regression(), mse, Config(epochs=2, batch_size=8), validation=regression())
    shown = capsys.readouterr().err.split("\r")[-1]
    assert "6/6" in shown
    assert "epoch 2, loss" in shown
    assert "validation loss" in shown
    assert capsys.readouterr().out == ""


def test_a_compiled_network_is_trained():
    one, plain = linear(), linear()
    quick(torch.compile(one, backend="eager"))
    quick(plain)
    assert same(one.state_dict(), plain.state_dict())
