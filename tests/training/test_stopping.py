"""What ends a training early, and what state it leaves."""

import math
import signal

import pytest
import torch
from torch import nn

from spinray.training import Callback, Checkpoint, load_weights
from training.small import copied, linear, mse, network, quick, regression, same, told_losses


class States(Callback):
    """The state after each epoch, and before the first."""

    def on_start(self, run):
        self.states = [copied(run.network)]

    def on_epoch(self, run):
        self.states.append(copied(run.network))


def test_early_stopping_restores_the_exact_best_state():
    one, states = network(), States()
    losses = [5.0, 3.0, 4.0, 2.0, 2.0, 2.5, 2.1, 1.0]
    history = quick(one, loss=told_losses(losses), validation=[regression()], callbacks=[states], patience=3, epochs=50)
    assert history.epochs["validation_loss"] == losses[:7]
    assert (history.best_epoch, history.stopped, history.n_epochs) == (4, "patience", 7)
    assert history.best["validation_loss"] == 2.0
    assert same(one.state_dict(), states.states[4])
    assert not same(states.states[4], states.states[7])


def test_a_network_with_state_of_its_own_gets_that_back_too():
    class Counting(nn.Linear):
        n_calls = 0

        def forward(self, x):
            self.n_calls += self.training
            return super().forward(x)

        def get_extra_state(self):
            return {"calls": self.n_calls}

        def set_extra_state(self, state):
            self.n_calls = state["calls"]

    one = Counting(3, 1)
    history = quick(one, loss=told_losses([2.0, 1.0, 3.0]), validation=[regression()], epochs=3)
    assert history.best_epoch == 2
    assert one.n_calls == 6


def test_a_gain_below_min_delta_is_no_reason_to_go_on_but_is_kept():
    one, states = linear(), States()
    losses = [1.0, 0.95, 0.85, 0.84, 0.80, 0.0]
    history = quick(
        one,
        loss=told_losses(losses),
        validation=[regression()],
        callbacks=[states],
        patience=2,
        min_delta=0.1,
        epochs=50,
    )
    assert history.epochs["validation_loss"] == pytest.approx(losses[:5])
    assert history.best_epoch == 5
    assert same(one.state_dict(), states.states[5])


def test_without_validation_patience_goes_by_the_training_loss():
    one, states = linear(), States()
    values = iter([3.0, 2.0, 4.0, 2.5, 1.0])
    history = quick(
        one,
        [regression()],
        lambda output, target: output.sum() * 0.1 + (next(values) - 0.1 * output.sum().detach()),
        callbacks=[states],
        optimiser="sgd",
        patience=2,
        epochs=50,
    )
    assert history.epochs["loss"] == pytest.approx([3.0, 2.0, 4.0, 2.5])
    assert (history.best_epoch, history.stopped) == (2, "patience")
    assert same(one.state_dict(), states.states[2])


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("validation", [None, [regression(seed=1)]])
def test_a_loss_that_is_no_number_stops_with_epoch_and_batch_and_leaves_the_best_state(value, validation):
    one, states = linear(), States()
    calls = 0

    def loss(output, target):
        nonlocal calls
        calls += torch.is_grad_enabled()
        return mse(output, target) * (value if calls == 8 else 1.0)

    with pytest.raises(ValueError, match=rf"loss: {value} in epoch 3, batch 2 \(.*best state, of epoch 2\)") as caught:
        quick(one, loss=loss, validation=validation, callbacks=[states], epochs=9)
    assert same(one.state_dict(), states.states[2])
    assert (caught.value.history.n_steps, caught.value.history.stopped) == (7, "error")


def test_a_loss_that_is_no_number_in_the_first_epoch_leaves_the_network_as_it_was():
    one = network()
    before = copied(one)
    x, y = regression()
    y[-1] = math.nan
    with pytest.raises(ValueError, match=r"nan in epoch 1, batch \d \(.* as it was before\). The batch's targets hold"):
        quick(one, (x, y))
    assert same(one.state_dict(), before)


def test_a_validation_loss_that_is_no_number_is_named():
    held_out = [regression(), regression(seed=1)]
    held_out[1][0][3, 1] = math.inf
    with pytest.raises(ValueError, match=r"validation loss: inf in epoch 1, batch 2 .*\. The batch's inputs hold"):
        quick(linear(), validation=held_out)


class Root(nn.Module):
    """|x| as a root, whose gradient at 0 is NaN."""

    def forward(self, x):
        return (x * x).sqrt()


def test_a_gradient_that_is_no_number_names_the_layer_it_comes_from():
    one = nn.Sequential(nn.Linear(3, 2), Root(), nn.Linear(2, 1), nn.Tanh(), nn.Linear(1, 1))
    with torch.no_grad():
        one[0].weight[0] = 0
        one[0].bias[0] = 0
    before = copied(one)
    with pytest.raises(ValueError, match=r"epoch 1, batch 1 \(.*\): in 2 of 6 parameters, .* '0\.bias'"):
        quick(one)
    assert same(one.state_dict(), before)


def interrupting(at, how):
    """A loss in which Ctrl-C comes during step `at`."""
    calls = 0

    def loss(output, target):
        nonlocal calls
        calls += 1
        if calls == at:
            how()
        return mse(output, target)

    return loss


def test_ctrl_c_takes_effect_after_the_step_and_leaves_all_in_order(tmp_path):
    one, other, after = network(), network(), network()
    handler = signal.getsignal(signal.SIGINT)
    loss = interrupting(5, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt) as caught:
        quick(one, loss=loss, callbacks=[Checkpoint(tmp_path / "run.pt")], epochs=9)
    assert signal.getsignal(signal.SIGINT) is handler
    assert (caught.value.history.n_steps, caught.value.history.stopped) == (5, "interrupt")
    quick(other, steps=5, epochs=9)
    assert same(one.state_dict(), other.state_dict())
    load_weights(after, tmp_path / "run.pt")
    assert same(one.state_dict(), after.state_dict())
    # What is resumed is what had not been interrupted.
    quick(after, resume=tmp_path / "run.pt", epochs=9)
    quick(whole := network(), epochs=9)
    assert same(after.state_dict(), whole.state_dict())


def test_ctrl_c_leaves_the_best_state_where_there_is_validation():
    one, states = network(), States()
    losses = told_losses([1.0, 2.0, 3.0, 4.0])

    class Stop(Callback):
        def on_epoch(self, run):
            if run.epoch == 3:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        quick(one, loss=losses, validation=[regression()], callbacks=[states, Stop()], epochs=9)
    assert caught.value.history.best_epoch == 1
    assert same(one.state_dict(), states.states[1])


def test_ctrl_c_in_the_first_epoch_leaves_the_last_step_with_validation_too(tmp_path):
    one, other, after = network(), network(), network()
    loss = interrupting(2, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        quick(one, loss=loss, validation=[regression()], callbacks=[Checkpoint(tmp_path / "run.pt")])
    quick(other, steps=2)
    load_weights(after, tmp_path / "run.pt")
    assert same(one.state_dict(), other.state_dict())
    assert same(one.state_dict(), after.state_dict())


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not interrupted")

    one = network()
    with pytest.raises(KeyboardInterrupt):
        quick(one, loss=interrupting(5, twice), callbacks=[Checkpoint(tmp_path / "run.pt")], epochs=9)
    # The half step is not saved: the file is that of the last epoch.
    quick(one, resume=tmp_path / "run.pt", epochs=9)
    quick(whole := network(), epochs=9)
    assert same(one.state_dict(), whole.state_dict())


@pytest.mark.parametrize("steps", [3, 4])
def test_ctrl_c_in_validation_is_made_up_for(tmp_path, steps):
    one, whole = network(), network()

    def loss(output, target):
        if interrupt and not torch.is_grad_enabled():
            signal.raise_signal(signal.SIGINT)
        return mse(output, target)

    interrupt = True
    with pytest.raises(KeyboardInterrupt) as caught:
        quick(one, loss=loss, validation=regression(), callbacks=[Checkpoint(tmp_path / "run.pt")], steps=steps)
    assert (caught.value.history.n_steps, caught.value.history.n_epochs) == (3, 0)
    interrupt = False
    history = quick(one, loss=loss, validation=regression(), resume=tmp_path / "run.pt", steps=steps)
    expected = quick(whole, loss=loss, validation=regression(), steps=steps)
    assert history.epochs["validation_loss"] == expected.epochs["validation_loss"]
    assert same(one.state_dict(), whole.state_dict())


def test_a_handler_of_the_callers_own_is_left_alone():
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        quick(linear(), loss=interrupting(2, lambda: signal.raise_signal(signal.SIGINT)))
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]


def test_any_error_carries_the_history_and_ends_the_callbacks():
    ended = []

    class Watch(Callback):
        def on_end(self, run):
            ended.append((run.history.stopped, run.between_steps))

    with pytest.raises(ZeroDivisionError) as caught:
        quick(linear(), loss=interrupting(2, lambda: 1 / 0), callbacks=[Watch()])
    assert caught.value.history.n_steps == 1
    assert ended == [("error", False)]
