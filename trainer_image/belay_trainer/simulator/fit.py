"""Fit a simulator to a log: search, step down, ask what is told, and compare on episodes that were held back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from belay_api.environment import EnvironmentSpec
from belay_api.spaces import space_model
from belay_trainer import datasets, environments
from belay_trainer.datasets import split
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.datasets.fit import fitted
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration
from belay_trainer.simulator import least_squares
from belay_trainer.simulator.least_squares import Floats, Told
from belay_trainer.simulator.parameters import Parameter, parameters, values
from belay_trainer.simulator.placing import check_placed, place_for
from belay_trainer.simulator.predictor import Predictor, Scale, misses
from belay_trainer.simulator.transitions import Transitions
from belay_trainer.validation.observations import require_numbers
from belay_trainer.wrapping.randomized import Randomized

SEARCHED = 1_000  # timesteps; the search needs the valley, not its lowest point
HELD_OUT = 0.2
LEAST_EPISODES = 10  # that are fitted: of fewer, drawn again and again, an interval means little
LEAST_HELD_OUT = 2
OPEN = 0.5  # of a parameter's range: an interval that leaves more open tells next to nothing
AT_END = 0.005  # of the range


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What is asked."""

    task: EnvironmentSpec  # with `randomize`
    dataset: Path
    place: str | None  # `package.module:function`; None: one of ours
    transitions: int  # at most compared in each part
    confidence: float
    seed: int


@dataclass(frozen=True, slots=True)
class FittedParameter:
    """One parameter."""

    parameter: Parameter
    made_with: float | None  # what the simulator has by itself; None: nobody says
    value: float  # in the fit; any other would do as well where `unknown` is said
    low: float
    high: float  # of the interval
    unknown: str | None  # why the log does not tell it; None: it does
    at_end: bool  # of its range


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One-step misses of episodes that nothing was fitted to: root mean squares in standard deviations."""

    transitions: int
    episodes: int
    made_with: float  # of the simulator by itself
    fitted: float
    gain_low: float  # interval of the mean square that the fit takes off
    gain_high: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What came out."""

    parameters: tuple[FittedParameter, ...]
    transitions: int
    episodes: int
    held_out: HeldOut
    left_out: tuple[int, ...]  # numbers of an observation that never changed
    notes: tuple[str, ...]  # of the dataset


def fit(request: FitRequest, *, tell: Callable[[str], None] = lambda _: None) -> Fit:
    """Fit. Args: tell: Is told what is done now.

    Raises: BadConfiguration where the spec, the log or the environment does not allow it.
    """
    searched = parameters(request.task.randomize)
    task, plain = _task(request.task), environments.maker(request.task.model_copy(update={"randomize": {}}))
    place = place_for(task.env, request.place)
    check_placed(plain(), plain(), place)
    dataset, notes = _read(request.dataset, task)
    learning, held_back = _split(dataset, request)
    scale = Scale.of(learning)
    if not scale.varies.any():
        raise BadConfiguration(f"dataset {request.dataset}: no number of an observation ever changes.")

    predictor = Predictor(task, searched, place, scale)
    tell(f"searching {', '.join(one.name for one in searched)} on {min(SEARCHED, len(learning)):,} timesteps")
    found = least_squares.search(
        partial(predictor.misses, transitions=learning.every(SEARCHED)), len(searched), seed=request.seed
    )
    missed = partial(predictor.misses, transitions=learning)
    tell(f"going down from there on {len(learning):,} timesteps")
    best = least_squares.descend(missed, found)
    slope, left = least_squares.slopes(missed, best), missed(best)
    if not (np.isfinite(slope).all() and np.isfinite(left).all()):
        raise BadConfiguration(
            f"environment.id: with {values(searched, best)} it shows observations that are not finite: narrow "
            "environment.randomize to what the simulator can be made with."
        )
    told = least_squares.tell(slope, left, learning.episode, best, confidence=request.confidence, seed=request.seed)
    return Fit(
        parameters=tuple(
            _fitted(number, searched, best, told, task.made_with[one.name]) for number, one in enumerate(searched)
        ),
        transitions=len(learning),
        episodes=learning.episodes,
        held_out=_compare(
            misses(plain(), place, held_back, scale), predictor.misses(best, held_back), held_back, request
        ),
        left_out=tuple(int(number) for number in np.flatnonzero(~scale.varies)),
        notes=tuple(notes),
    )


def _task(spec: EnvironmentSpec) -> Randomized:
    made = environments.maker(spec)()
    environments.check_spaces(made)
    environments.check_wrappers(made)
    environments.check_arrays(made, "parameters are fitted to")
    require_numbers(made.observation_space, "parameters are fitted to observations")
    environments.try_out(made)
    if not isinstance(made, Randomized):
        raise TypeError(f"{made} draws nothing")
    return made


def _read(path: Path, task: Environment) -> tuple[Dataset, list[str]]:
    dataset, notes = datasets.read(path)
    shaped = fitted(
        dataset, space_model(task.observation_space), space_model(task.action_space), name=str(path), owner="task"
    )
    dtype = task.action_space.dtype
    return replace(shaped, actions=shaped.actions.astype(dtype, copy=False)), notes


def _split(dataset: Dataset, request: FitRequest) -> tuple[Transitions, Transitions]:
    """Return what is fitted and what is held back. Raises: BadConfiguration where that is too little."""
    if dataset.episodes >= LEAST_EPISODES + LEAST_HELD_OUT:
        parts = split.by_chance(dataset, (1 - HELD_OUT, HELD_OUT), np.random.default_rng(request.seed))
        fitted_to, held_back = (Transitions.of(part, most=request.transitions) for part in parts)
        if fitted_to.episodes >= LEAST_EPISODES and held_back.episodes >= LEAST_HELD_OUT:
            return fitted_to, held_back
    raise BadConfiguration(
        f"dataset {request.dataset}: {dataset.episodes} episodes are too few to say how sure a value is, wanted "
        f"{LEAST_EPISODES} to fit and {LEAST_HELD_OUT} to hold back: log more, or cut long ones into several."
    )


def _fitted(number: int, searched: tuple[Parameter, ...], best: Floats, told: Told, made_with: Any) -> FittedParameter:
    one, low, high = searched[number], float(told.low[number]), float(told.high[number])
    is_number = isinstance(made_with, int | float | np.number) and not isinstance(made_with, bool)
    return FittedParameter(
        parameter=one,
        made_with=float(made_with) if is_number else None,
        value=one.value(float(best[number])),
        low=one.value(low),
        high=one.value(high),
        unknown=_unknown(number, searched, told),
        at_end=bool(told.felt[number]) and not AT_END < best[number] < 1 - AT_END,
    )


def _unknown(number: int, searched: tuple[Parameter, ...], told: Told) -> str | None:
    """Return why the log does not tell a parameter, or None."""
    if not told.felt[number]:
        return "no prediction changes with it, anywhere in its range"
    if told.tied[number, number]:
        others = [one.name for at, one in enumerate(searched) if told.tied[number, at] and at != number]
        return f"what it does can be done by {' and '.join(others)} as well: measure one, and leave it out"
    share = float(told.high[number] - told.low[number])
    if share > OPEN:
        return f"{100 * share:.0f} % of its range fit about as well: log more, or what it acts on"
    return None


def _compare(by_itself: Floats, fitted_misses: Floats, held_back: Transitions, request: FitRequest) -> HeldOut:
    squares = [np.mean(missed**2, axis=1) for missed in (by_itself, fitted_misses)]
    low, high = least_squares.difference(
        squares[0] - squares[1], held_back.episode, confidence=request.confidence, seed=request.seed
    )
    return HeldOut(
        transitions=len(held_back),
        episodes=held_back.episodes,
        made_with=float(np.sqrt(squares[0].mean())),
        fitted=float(np.sqrt(squares[1].mean())),
        gain_low=low,
        gain_high=high,
    )
