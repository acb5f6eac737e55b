"""Small problems that the tests of this folder train."""

import torch
from torch import nn

from spinray.training import Config, fit

mse = nn.functional.mse_loss


def regression(n=24, features=3, seed=0, dtype=torch.float32):
    """Noisy samples of a linear map, as (inputs, targets)."""
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(n, features, generator=chance, dtype=dtype)
    y = x @ torch.arange(1.0, features + 1, dtype=dtype)[:, None] + 0.5
    return x, y + 0.1 * torch.randn(n, 1, generator=chance, dtype=dtype)


def linear(features=3, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return nn.Linear(features, 1, dtype=dtype)


def network(seed=0):
    """All that makes a resumption hard: dropout draws random numbers, batch normalisation keeps statistics."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1))


def quick(one, data=None, loss=mse, validation=None, callbacks=(), resume=None, metrics=None, **config):
    """Train with the defaults of the tests."""
    if not {"epochs", "steps", "seconds"} & config.keys():
        config["epochs"] = 2
    return fit(
        one,
        regression() if data is None else data,
        loss,
        Config(**{"batch_size": 8, **config}),
        validation=validation,
        callbacks=callbacks,
        progress=False,
        resume=resume,
        metrics=metrics,
    )


class Clock:
    """Takes the place of ``time.perf_counter``; a call of it as a loss takes a second."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)

    def __call__(self, output, target):
        self.now += 1.0
        return mse(output, target)


def told_losses(values):
    """A loss that is, in validation, what a list says; in training it has a gradient."""
    values = iter(values)

    def loss(output, target):
        return mse(output, target) if torch.is_grad_enabled() else torch.tensor(next(values), dtype=torch.float64)

    return loss


def copied(one):
    """A state dict that later training does not change."""
    return {name: tensor.detach().clone() for name, tensor in one.state_dict().items()}


def same(one, other):
    """Whether two state dicts have the same names and bits."""
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def told(history):
    """A history without its times."""
    return [
        {name: values for name, values in rows.items() if name not in ("seconds", "waiting")}
        for rows in (history.steps, history.epochs)
    ] + [history.best_epoch, history.stopped]
