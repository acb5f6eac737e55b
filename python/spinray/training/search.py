"""Search for hyper-parameters: random draws, successive halving, Hyperband; by Optuna where wished.

An objective is a function ``objective(parameters, budget) -> score``: train with these parameters for that budget
(epochs, steps or seconds, as you like) and return what is to be small, the validation loss.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _checks
from ..errors import DtypeError, FileError, InputError
from ..io._files import as_path, replacing

__all__ = [
    "Choice",
    "Evaluation",
    "Found",
    "Integers",
    "LogUniform",
    "Parameters",
    "Uniform",
    "hyperband",
    "search",
]


@dataclasses.dataclass(frozen=True)
class Uniform:
    """A number drawn evenly from `low` to `high`.

    Raises
    ------
    InputError, DtypeError
        If they are no finite numbers, or `high` is not above `low`.

    Examples
    --------
    >>> from spinray.training import Uniform, search
    >>> found = search(lambda parameters, budget: parameters["x"], {"x": Uniform(2, 3)}, n=9, budget=1)
    >>> 2 <= found.best.parameters["x"] < 2.5
    True
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self.low, self.high)

    def draw(self, chance: np.random.Generator) -> float:
        """Return one number."""
        return float(chance.uniform(self.low, self.high))

    def suggest(self, trial: Any, name: str) -> float:
        """Return what an Optuna trial suggests."""
        return float(trial.suggest_float(name, self.low, self.high))


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """A positive number whose logarithm is drawn evenly: a learning rate, the weight of a penalty.

    Raises
    ------
    InputError, DtypeError
        If `low` and `high` are no positive numbers, or `high` is not above `low`.

    Examples
    --------
    >>> from spinray.training import LogUniform
    >>> LogUniform(1e-5, 1e-2)
    LogUniform(low=1e-05, high=0.01)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _checks.positive("low", self.low)
        _check_range(self.low, self.high)

    def draw(self, chance: np.random.Generator) -> float:
        """Return one number."""
        return float(math.exp(chance.uniform(math.log(self.low), math.log(self.high))))

    def suggest(self, trial: Any, name: str) -> float:
        """Return what an Optuna trial suggests."""
        return float(trial.suggest_float(name, self.low, self.high, log=True))


@dataclasses.dataclass(frozen=True)
class Integers:
    """An integer drawn evenly from `low` to `high`, both included.

    Raises
    ------
    InputError, DtypeError
        If they are no integers, or `high` is not above `low`.

    Examples
    --------
    >>> from spinray.training import Integers, search
    >>> found = search(lambda parameters, budget: parameters["depth"], {"depth": Integers(3, 5)}, n=9, budget=1)
    >>> found.best.parameters["depth"]
    3
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        _check_range(_checks.integer("low", self.low), _checks.integer("high", self.high))

    def draw(self, chance: np.random.Generator) -> int:
        """Return one integer."""
        return int(chance.integers(self.low, self.high, endpoint=True))

    def suggest(self, trial: Any, name: str) -> int:
        """Return what an Optuna trial suggests."""
        return int(trial.suggest_int(name, self.low, self.high))


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of several values of any kind, with even chances.

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> from spinray.training import Choice
    >>> Choice(["adam", "sgd"])
    Choice(options=['adam', 'sgd'])
    """

    options: Sequence[Any]

    def __post_init__(self) -> None:
        if isinstance(self.options, str) or not isinstance(self.options, Sequence) or not len(self.options):
            raise InputError(f"options: expected a list of at least one value, got {self.options!r}")

    def draw(self, chance: np.random.Generator) -> Any:
        """Return one of them."""
        return self.options[int(chance.integers(len(self.options)))]

    def suggest(self, trial: Any, name: str) -> Any:
        """Return what an Optuna trial suggests, which knows numbers of options only."""
        return self.options[trial.suggest_categorical(name, list(range(len(self.options))))]


class Parameters(dict[str, Any]):
    """Values by name, and the `number` of their trial: the same at every budget, for a checkpoint to go on from."""

    def __init__(self, values: Mapping[str, Any], number: int) -> None:
        super().__init__(values)
        self.number = number


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One call of the objective."""

    parameters: Parameters
    budget: float
    score: float


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes
    ----------
    evaluations : list of Evaluation
        All calls of the objective, in their order.
    """

    evaluations: list[Evaluation]

    @property
    def best(self) -> Evaluation:
        """The lowest score of those with the largest budget."""
        largest = max(one.budget for one in self.evaluations)
        return min((one for one in self.evaluations if one.budget == largest), key=lambda one: _rank(one.score))

    @property
    def cost(self) -> float:
        """The sum of all budgets, as if no trial had gone on from a checkpoint."""
        return sum(one.budget for one in self.evaluations)

    def __repr__(self) -> str:
        best = self.best
        number = len({one.parameters.number for one in self.evaluations})
        return f"Found({number} trials, best {dict(best.parameters)} with {best.score:.6g} at budget {best.budget:g})"


Objective = Callable[[Parameters, Any], float]


def search(
    objective: Objective,
    space: Mapping[str, Any],
    *,
    n: int,
    budget: float,
    least: float | None = None,
    factor: int = 3,
    backend: str = "random",
    seed: int = 0,
    record: str | os.PathLike[str] | None = None,
) -> Found:
    """Try `n` draws from a space of parameters: all with the full budget, or by successive halving.

    With `least`, all draws are tried with a small budget, the best of each `factor` of them with `factor` times as much
    [1]_, and so on up to `budget`. That pays where a short training tells which parameters are bad.

    Parameters
    ----------
    objective : callable
        ``objective(parameters, budget)`` returns the score, a number, the lower the better; NaN for a failure.
        `parameters` is a dict, whose attribute ``number`` is the same whenever the same trial comes again with more.
    space : dict
        By name, `Uniform`, `LogUniform`, `Integers` or `Choice`, or a fixed value.
    n : int
        Number of draws.
    budget : float
        Largest budget of a trial; whole numbers where it is an integer.
    least : float, optional
        Smallest budget that tells anything. Without it each trial has the full budget: random search [2]_.
    factor : int
        One in so many goes on, with so many times the budget; at least 2.
    backend : {"random", "optuna"}
        Where draws come from. With "optuna", from its tree-structured Parzen estimator, which learns from the scores so
        far; trials then come one after the other, and one ends where its score is not among the best so far.
    seed : int
        Of the draws.
    record : path, optional
        A file that each score is written to at once. A search that was interrupted takes the scores found there, and
        goes on with what is missing.

    Returns
    -------
    Found
        Its ``best.parameters``, ``best.score`` and all ``evaluations``.

    Raises
    ------
    InputError, DtypeError
        If an argument is unusable, or the objective returns no number.
    FileError
        If `record` is of another search, or no such file.
    ImportError
        If Optuna is asked for and missing.

    References
    ----------
    .. [1] K. Jamieson, A. Talwalkar (2016), Non-stochastic best arm identification and hyperparameter optimization.
       AISTATS, PMLR 51:240-248, figure 3.
    .. [2] J. Bergstra, Y. Bengio (2012), Random search for hyper-parameter optimization. J. Mach. Learn. Res.
       13:281-305.

    Examples
    --------
    >>> from spinray.training import LogUniform, search
    >>> def distance(parameters, budget):
    ...     return abs(parameters["weight"] - 0.1) + 1 / budget
    >>> found = search(distance, {"weight": LogUniform(1e-3, 1.0)}, n=27, budget=27, least=1)
    >>> [one.budget for one in found.evaluations].count(1), round(found.best.parameters["weight"], 2)
    (27, 0.08)
    """
    n = _checks.integer("n", n, minimum=1)
    budgets = _budgets(budget, budget if least is None else least, factor)
    _checks.choice("backend", backend, ("random", "optuna"))
    space, seed = _space(space), _checks.integer("seed", seed, minimum=0)
    evaluate = _Evaluate(objective, record, [backend, n, budgets, factor, seed, repr(space)])
    if backend == "optuna":
        _by_optuna(evaluate, space, n, budgets, factor, seed)
    else:
        _halve(evaluate, [_drawn(space, seed, number) for number in range(n)], budgets, factor)
    return Found(evaluate.done)


def hyperband(
    objective: Objective,
    space: Mapping[str, Any],
    *,
    budget: float,
    least: float,
    factor: int = 3,
    seed: int = 0,
    record: str | os.PathLike[str] | None = None,
) -> Found:
    """Search by several successive halvings, from many draws with small budgets to few with the full one.

    For where one does not know whether a short training tells anything: each bracket costs about the same, and one is
    random search. Parameters, result and errors are those of `search`.

    Parameters
    ----------
    objective, space, budget, least, factor, seed, record
        As of `search`. With k the number of times `budget` can be divided by `factor` down to `least`, there are k + 1
        brackets; that with s halvings begins with ``ceil((k + 1) / (s + 1) factor^s)`` draws.

    Returns
    -------
    Found
        Of all brackets together.

    References
    ----------
    .. [1] L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh, A. Talwalkar (2018), Hyperband: a novel bandit-based
       approach to hyperparameter optimization. J. Mach. Learn. Res. 18(185):1-52, algorithm 1.

    Examples
    --------
    >>> from spinray.training import Uniform, hyperband
    >>> found = hyperband(lambda p, budget: (p["x"] - 0.3) ** 2, {"x": Uniform(0, 1)}, budget=9, least=1)
    >>> len(found.evaluations), abs(found.best.parameters["x"] - 0.3) < 0.1
    (22, True)
    """
    budgets, drawn = _budgets(budget, least, factor), 0
    space, seed = _space(space), _checks.integer("seed", seed, minimum=0)
    evaluate = _Evaluate(objective, record, ["hyperband", budgets, factor, seed, repr(space)])
    for halvings in reversed(range(len(budgets))):
        n = math.ceil(len(budgets) / (halvings + 1) * factor**halvings)
        trials = [_drawn(space, seed, drawn + number) for number in range(n)]
        _halve(evaluate, trials, budgets[-halvings - 1 :], factor)
        drawn += n
    return Found(evaluate.done)


class _Evaluate:
    """Calls the objective, unless the record has the score already."""

    def __init__(self, objective: Objective, record: str | os.PathLike[str] | None, what: list[Any]) -> None:
        if not callable(objective):
            raise DtypeError(f"objective: expected a function of parameters and budget, got {type(objective).__name__}")
        self.objective, self.done = objective, list[Evaluation]()
        self.path = None if record is None else as_path(record)
        self.known: Iterator[Any] = iter(())
        if self.path is None:
            return
        header = json.loads(json.dumps({"search": what}))
        if self.path.exists():
            self.known = iter(_read(self.path, header))
        else:
            _write(self.path, json.dumps(header) + "\n")

    def __call__(self, parameters: Parameters, budget: float) -> float:
        entry = {"number": parameters.number, "parameters": repr(dict(parameters)), "budget": budget}
        known = next(self.known, None)
        if known is None:
            score = self._score(parameters, budget)
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({**entry, "score": score}) + "\n")
        else:
            score = known.pop("score")
            if known != entry:
                raise FileError(f"record: expected {entry} as entry {len(self.done)} of {self.path}, got {known}")
        self.done.append(Evaluation(parameters, budget, score))
        return score

    def _score(self, parameters: Parameters, budget: float) -> float:
        score = self.objective(parameters, budget)
        try:
            # What torch returns may carry a gradient, which item() drops without a warning.
            return float(score.item() if hasattr(score, "item") else score)
        except (TypeError, ValueError, RuntimeError):
            raise DtypeError(f"objective: expected it to return a number, got {score!r}") from None


def _read(path: Path, header: Any) -> list[Any]:
    """Return the entries of a record; one that was cut off while written is cut off for good."""
    try:
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        first, *entries = map(json.loads, whole.splitlines())
    except ValueError:
        raise FileError(f"record: expected the record of a search, got {path}. Give the name of a new file") from None
    if first != header:
        raise FileError(f"record: expected the search {header}, got {first} in {path}. Give the name of a new file")
    if whole != text:
        _write(path, whole)
    return entries


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


def _drawn(space: Mapping[str, Any], seed: int, number: int) -> Parameters:
    """Return draw `number`, the same whatever the number of draws."""
    chance = np.random.default_rng((seed, number))
    return Parameters({k: v.draw(chance) if hasattr(v, "draw") else v for k, v in space.items()}, number)


def _halve(evaluate: _Evaluate, trials: list[Parameters], budgets: Sequence[float], factor: int) -> None:
    """Evaluate all with the first budget, the best with the next, and so on."""
    for budget in budgets:
        scores = {trial.number: evaluate(trial, budget) for trial in trials}
        best = sorted(trials, key=lambda trial: _rank(scores[trial.number]))[: max(len(trials) // factor, 1)]
        trials = sorted(best, key=lambda trial: trial.number)


def _by_optuna(
    evaluate: _Evaluate, space: Mapping[str, Any], n: int, budgets: Sequence[float], factor: int, seed: int
) -> None:
    """Evaluate what Optuna suggests, and stop a trial where it says so."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError('backend="optuna" needs Optuna: pip install "spinray[search]"') from error

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=factor)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)
    for number in range(n):
        trial = study.ask()
        values = {k: v.suggest(trial, k) if hasattr(v, "suggest") else v for k, v in space.items()}
        for halving, budget in enumerate(budgets):
            score = evaluate(Parameters(values, number), budget)
            trial.report(score, step=factor**halving)
            if trial.should_prune():
                break
        if math.isfinite(score):
            study.tell(trial, score)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _budgets(budget: float, least: float, factor: int) -> list[float]:
    """Return the budgets, smallest first, each `factor` times the one before, of which the largest is `budget`."""
    budget, least = _positive("budget", budget), _positive("least", least)
    if least > budget:
        raise InputError(f"least: expected at most the budget {budget}, got {least}")
    factor = _checks.integer("factor", factor, minimum=2)
    whole = isinstance(budget, int)
    least = max(least, 1) if whole else least
    budgets: list[float] = [budget]
    while (smaller := budget / factor ** len(budgets)) >= least * (1 - 1e-9):
        budgets.insert(0, round(smaller) if whole else smaller)
    return budgets


def _positive(name: str, value: float) -> float:
    """Return a positive number; an integer stays one."""
    number = _checks.positive(name, value)
    return int(value) if isinstance(value, (int, np.integer)) else number


def _space(space: Any) -> dict[str, Any]:
    if not isinstance(space, Mapping) or not space or not all(isinstance(name, str) for name in space):
        raise DtypeError(f"space: expected a dict of parameters by name, got {space!r}")
    return dict(space)


def _rank(score: float) -> float:
    """Return a score to sort by, failures last."""
    return math.inf if math.isnan(score) else score


def _check_range(low: float, high: float) -> None:
    if not _checks.number("low", low) < _checks.number("high", high):
        raise InputError(f"high: expected a number above low = {low}, got {high}")
