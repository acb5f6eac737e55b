"""A training under way: what `fit` drives, callbacks see and checkpoints hold."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from ..errors import InputError
from ._average import Average
from ._batches import Batches, generators_of
from ._best import Best
from ._differences import first_difference
from ._guards import gradient_norm, loss_value, not_finite, one_number
from ._length import Behind, check_length, reached, share, shown
from ._optimisers import make_optimiser
from ._placement import Placement, criterion, size_of
from ._processes import Processes, bare
from ._random import OF_VALIDATION, captured, derived, reinstate, seeded
from ._schedules import factor, make_plateau
from .callbacks import Callback
from .config import Config
from .history import History
from .transfer import hold_frozen_statistics

__all__ = ["Run"]

#: What a run that is gone on with may have otherwise than the one that was saved.
_LENGTH = ("epochs", "steps", "seconds")


class Run:
    """A training under way, as callbacks see it; `fit` makes it.

    Attributes
    ----------
    network : torch.nn.Module
        The network itself, outside of any wrapper for several processes or for compilation.
    config : Config
        How it is trained.
    history : History
        What has happened so far.
    step, epoch : int
        Steps of the optimiser made, and epochs completed.
    rank : int
        Number of this process among several that train together.
    between_steps : bool
        Whether all that belongs to a run is of the same step: only then it can be saved.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        data: Any,
        batches: Batches,
        loss: Callable[..., Any],
        config: Config,
        validation: Batches | None,
        metrics: Mapping[str, Callable[..., Any]],
        callbacks: Sequence[Callback],
    ) -> None:
        self.network, self.config, self.history = bare(network), config, History()
        self.step = self.epoch = 0
        self.between_steps = True
        self._trained, self._processes, self._callbacks = network, Processes.of(network), callbacks
        self._generators, self._batches, self._validation = generators_of(data), batches, validation
        self._loss, self._metrics = criterion(loss), {name: criterion(one) for name, one in metrics.items()}
        self._measured = [] if validation is None else ["validation_loss", *metrics]
        self._parameters = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        if not self._parameters:
            raise InputError("network: expected one with parameters that require gradients, got none. Try unfreeze")
        trained = list(self._parameters.values())
        self._placement, self._device = Placement(self.network), trained[0].device
        self._optimiser = make_optimiser(config, trained)
        self._plateau = make_plateau(config.schedule_options if config.schedule == "plateau" else {})
        self._average = None if config.average is None else Average(trained, config.average)
        self._batch, self._sum, self._count, self._wait = 0, 0.0, 0.0, 0.0  # of the epoch under way
        self._clock_zero, self._epoch_zero = time.perf_counter(), 0.0
        self._best = Best(self.network, config)
        self._random_of_epoch: dict[str, Any] = {}
        self._random_to_go_on: dict[str, Any] | None = None
        check_length(config, batches.n_batches, self._processes.world)

    @property
    def rank(self) -> int:
        """Number of this process among several that train together."""
        return self._processes.rank

    def stop(self) -> None:
        """End the training after this step, or this epoch; of several processes all must do so together."""
        self._stop("callback")

    def _stop(self, reason: str) -> None:
        self.history.stopped = self.history.stopped or reason

    # How far it is

    @property
    def _elapsed(self) -> float:
        """Seconds of this run, those before an interruption included."""
        return time.perf_counter() - self._clock_zero

    @property
    def _behind(self) -> Behind:
        return Behind(self.step, self.epoch, self._batch, self._elapsed)

    def _judge_length(self) -> None:
        """Stop if the run has what it was given."""
        if reason := reached(self.config, self._behind):
            self._stop(reason)
        if self._best.is_long_ago:
            self._stop("patience")

    def _progress(self) -> tuple[int, int, str]:
        """Return what a progress bar shows: done, of how many, and a note."""
        names = ("loss", "validation_loss")
        last = {name: self.history.epochs[name][-1] for name in names if self.history.epochs.get(name)}
        last["loss"] = self._sum / self._count if self._count else last.get("loss", math.nan)
        note = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in last.items())
        done, total = shown(self.config, self._batches.n_batches, self._behind)
        return done, total, f"epoch {self.epoch + (self._batch > 0)}, {note}"

    # The run

    def train(self, check_interrupt: Callable[[], None], report: Callable[[int, int, str], None]) -> None:
        """Make epochs until something ends the run."""
        self._judge_length()
        # An epoch under way is ended even if there is nothing left to do in it.
        while self._batch or not self.history.stopped:
            self._one_epoch(check_interrupt, report)
            self._judge_length()

    def _one_epoch(self, check_interrupt: Callable[[], None], report: Callable[[int, int, str], None]) -> None:
        batches = self._begin_epoch()
        while not self.history.stopped:
            asked = time.perf_counter()
            self.between_steps = False
            batch = next(batches, None)
            if batch is None:
                self.between_steps = True
                break
            self._one_step(batch, time.perf_counter() - asked)
            self.between_steps = True
            report(*self._progress())
            for callback in self._callbacks:
                callback.on_step(self)
            self._judge_length()
            check_interrupt()
        if not self._batch:
            raise InputError(
                f"data: epoch {self.epoch + 1} gave no batch. Give something that can be iterated once for each epoch, "
                "like a DataLoader or a list"
            )
        self._end_epoch(check_interrupt)
        report(*self._progress())
        for callback in self._callbacks:
            callback.on_epoch(self)

    def _begin_epoch(self) -> Iterator[Any]:
        """Return the batches of this epoch that are still to be done."""
        self.network.train()
        hold_frozen_statistics(self.network)
        going_on, self._random_to_go_on = self._random_to_go_on, None
        if going_on is None or not self._batch:
            if going_on is not None:
                reinstate(going_on, self._generators)
            self._random_of_epoch, self._epoch_zero = captured(self._generators), self._elapsed
            return self._batches.batches(self.epoch, 0)
        # The order of the data is drawn again as at the beginning of the epoch.
        reinstate(self._random_of_epoch, self._generators)
        batches = self._batches.batches(self.epoch, self._batch)
        reinstate(going_on, self._generators)
        return batches

    def _one_step(self, batch: Any, waiting: float) -> None:
        began = time.perf_counter()
        inputs, target = self._placement.of("data", batch)
        rate = self._set_learning_rate()
        losses: list[float] = []

        def gradients() -> torch.Tensor:
            """Compute the gradients, as often as the optimiser asks for them."""
            self._optimiser.zero_grad()
            with self._autocast(self.config.precision):
                value = loss_value(self._loss(self._trained(*inputs), target, inputs))
            losses.append(self._finite("loss", value, inputs, target))
            if self.config.l1:
                value = value + self.config.l1 * sum(p.abs().sum() for p in self._parameters.values())
            if value.requires_grad:
                value.backward()
            norm = gradient_norm(self._parameters, self._where())
            if self.config.clip_norm is not None:
                torch.nn.utils.clip_grads_with_norm_(self._parameters.values(), self.config.clip_norm, norm)
            return value.detach()

        self._optimiser.step(gradients)  # type: ignore[arg-type]  # a tensor, as torch's own examples return
        if self._average is not None:
            self._average.update()
        size = size_of(inputs)
        self._batch, self.step = self._batch + 1, self.step + 1
        self._sum, self._count, self._wait = self._sum + losses[0] * size, self._count + size, self._wait + waiting
        seconds = time.perf_counter() - began
        values = {"loss": losses[0], "learning_rate": rate, "seconds": seconds, "waiting": waiting}
        self.history._add(self.history.steps, values)

    def _set_learning_rate(self) -> float:
        config = self.config
        rate = config.learning_rate * self._plateau.optimizer.param_groups[0]["lr"]
        behind = share(config, self._batches.n_batches, self._behind)
        rate *= factor(config.schedule, config.schedule_options, config.warm_up, behind, self.epoch)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _autocast(self, precision: str) -> contextlib.AbstractContextManager[Any]:
        if precision == "full":
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)

    def _end_epoch(self, check_interrupt: Callable[[], None]) -> None:
        """Validate, and judge whether this is the best epoch."""
        loss_sum, count = self._processes.total([self._sum, self._count])
        row = {"step": self.step, "loss": loss_sum / count}
        row["learning_rate"] = self.history.steps["learning_rate"][-1]
        validated = {} if self._validation is None else self._validate(self._validation, check_interrupt)
        self._judge(validated.get("validation_loss", row["loss"]))
        row |= {"seconds": self._elapsed - self._epoch_zero, "waiting": self._wait, **validated}
        self.history._add(self.history.epochs, row)
        self.epoch += 1
        self._batch, self._sum, self._count, self._wait = 0, 0.0, 0.0, 0.0

    def _judge(self, loss: float) -> None:
        """Keep the state of the best epoch, and count those since."""
        if self._best.judge(loss):
            self.history.best_epoch = self.epoch + 1
            with self._averaged():
                self._best.keep()
        if self.config.schedule == "plateau":
            self._plateau.step(loss)

    def _validate(self, data: Batches, check_interrupt: Callable[[], None]) -> dict[str, float]:
        """Return the means of loss and metrics over the validation samples."""
        forward = self.network if self._processes.world > 1 else self._trained
        sums, count = dict.fromkeys(self._measured, 0.0), 0
        random = seeded(derived(self.config.seed, OF_VALIDATION))
        self.network.eval()
        with random, torch.no_grad(), self._averaged(), self._autocast(self.config.validation_precision):
            for number, batch in enumerate(data.batches(0, 0)):
                inputs, target = self._placement.of("validation", batch)
                output, size = forward(*inputs), size_of(inputs)
                loss = loss_value(self._loss(output, target, inputs))
                sums["validation_loss"] += self._finite("validation loss", loss, inputs, target, number) * size
                for name, metric in self._metrics.items():
                    sums[name] += one_number(name, metric(output, target, inputs)) * size
                count += size
                check_interrupt()
        *totals, samples = self._processes.total([*sums.values(), count])
        if not samples:
            raise InputError("validation: gave no batch. Give something that can be iterated once for each epoch")
        return {name: total / samples for name, total in zip(sums, totals, strict=True)}

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._average is None else self._average.in_place()

    def _finite(self, what: str, value: torch.Tensor, inputs: Any, target: Any, batch: int | None = None) -> float:
        number = float(value.detach())
        if math.isfinite(number):
            return number
        raise InputError(f"{what}: {number} in {self._where(batch)}. {not_finite(inputs, target)}")

    def _where(self, batch: int | None = None) -> str:
        """Say where in the run it is, and in what state an error leaves the network."""
        number = (self._batch if batch is None else batch) + 1
        best = self.history.best_epoch
        left = "the network is as it was before" if best is None else f"the network has its best state, of epoch {best}"
        return f"epoch {self.epoch + 1}, batch {number} ({left})"

    # What is left

    def finish(self) -> None:
        """Give the network the state it is left in, and its gradients back to the memory."""
        self._optimiser.zero_grad()
        if self._ends_in_best or self.history.stopped == "error":
            self.network.load_state_dict(self._best.state)
        elif self._average is not None:
            self._average.put()

    @property
    def _ends_in_best(self) -> bool:
        """Whether the network is left in the state of its best epoch, not of its last step."""
        judged = self._validation is not None or self.config.patience is not None
        return judged and self.history.best_epoch is not None

    def state(self) -> dict[str, Any]:
        """Return all that a run needs to go on with the same bits, as plain values and the run's own tensors.

        Raises
        ------
        InputError
            Within a step, when part of it is of the last one and part of the next.
        """
        if not self.between_steps:
            raise InputError("run: this one is within a step. Save it in on_step, on_epoch or on_end")
        with self._averaged():
            left = copy.deepcopy(self.network.state_dict()) if self._average is not None else None
        return {
            "config": dataclasses.asdict(self.config),
            "trained": list(self._parameters),
            "measured": self._measured,
            "network": self.network.state_dict(),
            "left": self._best.state if self._ends_in_best else left,
            "best": self._best.saved(),
            "optimiser": self._optimiser.state_dict(),
            "plateau": (self._plateau.state_dict(), self._plateau.optimizer.param_groups[0]["lr"]),
            "average": None if self._average is None else self._average.values,
            "history": dataclasses.asdict(self.history),
            "step": self.step,
            "epoch": self.epoch,
            "within_epoch": (self._batch, self._sum, self._count, self._wait),
            "elapsed": (self._elapsed, self._epoch_zero),
            "random": captured(self._generators),
            "random_of_epoch": self._random_of_epoch,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`.

        Raises
        ------
        InputError
            If it is of another network or another configuration; the length of the run may differ.
        """
        difference = first_difference(state["network"], self.network.state_dict())
        if difference:
            raise InputError(f"resume: saved from another network: {difference}")
        for name, value in dataclasses.asdict(self.config).items():
            if name not in _LENGTH and state["config"].get(name) != value:
                saved = state["config"].get(name)
                raise InputError(f"resume: saved from a run with {name}={saved!r}, got {name}={value!r}")
        if state["trained"] != list(self._parameters):
            one = min(set(state["trained"]) ^ set(self._parameters))
            word = "not trained" if one in self._parameters else "trained"
            raise InputError(f"resume: {one!r} was {word} in the run that was saved")
        if state["measured"] != self._measured:
            raise InputError(f"resume: saved from a run that measured {state['measured']}, got {self._measured}")
        self.network.load_state_dict(state["network"])
        self._best.load(state["best"])
        self._optimiser.load_state_dict(state["optimiser"])
        plateau, self._plateau.optimizer.param_groups[0]["lr"] = state["plateau"]
        self._plateau.load_state_dict(plateau)
        if self._average is not None:
            self._average.values = [value.to(self._device) for value in state["average"]]
        self.history = History(**state["history"])
        self.history.stopped = ""
        self.step, self.epoch = state["step"], state["epoch"]
        self._batch, self._sum, self._count, self._wait = state["within_epoch"]
        self._clock_zero, self._epoch_zero = time.perf_counter() - state["elapsed"][0], state["elapsed"][1]
        self._random_to_go_on, self._random_of_epoch = state["random"], state["random_of_epoch"]
