"""A search for the settings that an algorithm learns best with: what is tried, and what came of it.

A trial trains once, for less time than a seed, with settings that a sampler chose. Pods are workers of one study and
share its journal. The best settings are then trained anew on the job's own seeds, and only that is published.
"""

import json
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

from pydantic import Field, ValidationError, WithJsonSchema, model_validator

from belay_api.algorithms import AlgorithmSpec
from belay_api.algorithms.common import Settings
from belay_api.model import Model, StatusModel, rule, rules
from belay_api.units import FreeForm
from belay_api.words import nearest

MOST_TRIALS = 1000
MOST_WORKERS = 100
FIRST_TRIAL_SEED = 1000
"""After `seeds.first`: trial n trains with the seed first + 1000 + n, and a job has at most 1,000 seeds of its own. So
no trial has a seed, nor an episode of training, in common with what is published."""
_NOT_SEARCHED = frozenset({"policy_kwargs"})


class Sampler(StrEnum):
    """Who chooses the settings of a trial."""

    RANDOM = "random"
    TPE = "tpe"
    """Tree-structured Parzen estimator: near what did well before; its first ten trials are random."""
    CMAES = "cmaes"
    """Covariance matrix adaptation: for many trials of numbers. Settings without an order are drawn at random."""


class Pruner(StrEnum):
    """Who ends trials that do badly before their time."""

    NONE = "none"
    MEDIAN = "median"
    """One that is below the median of earlier trials at the same evaluation, once five have ended."""
    ASHA = "asha"
    """Successive halving: after 1, 3, 9 … evaluations the best third goes on."""
    HYPERBAND = "hyperband"
    """Several successive halvings, some of which give trials more time before they judge."""


Choice = Annotated[Any, WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True})]
Ends = Annotated[list[float], Field(min_length=2, max_length=2)]


# CEL does not see `choices`, which may hold anything.
ONE_OF_THEM = {"minProperties": 1, "maxProperties": 1}


class Values(Model):
    """What one setting may be: exactly one of `log`, `range` and `choices`."""

    model_config = {
        "json_schema_extra": ONE_OF_THEM
        | rules(
            rule(
                "!has(self.log) || self.log[0] > 0.0 && self.log[0] < self.log[1]",
                "log in search.space is [low, high] with 0 < low < high: nothing has a logarithm below",
            ),
            rule(
                "!has(self.range) || self.range[0] < self.range[1]", "range in search.space is [low, high], low first"
            ),
        )
    }

    log: Ends | None = None
    """Between [low, high], each factor equally likely."""
    range: Ends | None = None
    """Between [low, high], each number equally likely."""
    choices: Annotated[list[Choice], Field(min_length=1, max_length=64)] | None = None
    """One of these. In ascending order they count as ordered: neighbours are taken to do alike."""

    @property
    def ends(self) -> list[float] | None:
        """Between what a number lies; None: it is one of `choices`."""
        return self.log or self.range

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if sum(value is not None for value in (self.log, self.range, self.choices)) != 1:
            raise ValueError("write exactly one of log, range and choices, such as {log: [1e-5, 1e-3]}")
        if self.ends is not None and self.ends[0] >= self.ends[1]:
            raise ValueError(f"{self.ends[0]:g} is not below {self.ends[1]:g}: write the lower end first")
        if self.log is not None and self.log[0] <= 0:
            raise ValueError(f"log begins at {self.log[0]:g}, and nothing at or below 0 has a logarithm: use range")
        if self.choices is not None and any(one in self.choices[:place] for place, one in enumerate(self.choices)):
            raise ValueError("a choice stands there twice: keep one")
        return self


class SearchSpec(Model):
    """Find settings first, then train the seeds with the best ones."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.dimensions) || self.dimensions > 0 || has(self.space) && size(self.space) > 0",
                "search.dimensions is 0 and search.space is empty, so every trial would be the same: raise dimensions, "
                "or name settings in space",
            )
        )
    }

    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)]
    """Trials, each with other settings."""
    sampler: Sampler = Sampler.TPE
    """`random`, `tpe` or `cmaes`."""
    pruner: Pruner = Pruner.MEDIAN
    """`none`, `median`, `asha` or `hyperband`."""
    space: Annotated[dict[str, Values], Field(max_length=32)] = Field(default_factory=dict)
    """What settings of the algorithm may be, by name: in place of what the ready space says of them, or beside it. A
    setting that `algorithm` sets itself is not searched."""
    dimensions: Annotated[int, Field(ge=0, le=32)] | None = None
    """How many settings of the algorithm's ready space are searched, the most important ones first; unset: all. Those
    in `space` are searched in any case."""
    steps: Annotated[int, Field(ge=10)] | None = None
    """Timesteps of one trial, in which it is evaluated ten times; unset: a quarter of `budget.steps`."""
    parallelism: Annotated[int, Field(ge=1, le=MOST_WORKERS)] | None = None
    """Trials at work at once, each in a pod; unset: one for each seed, and `seeds.parallelism` of them at once."""


class BestTrial(StatusModel):
    """The trial whose settings the seeds train with."""

    trial: int
    """Its number, from 0."""
    value: float
    """Mean return over the second half of its evaluations: it chose the settings, and is higher than they are worth."""
    settings: FreeForm
    """What the sampler chose."""


class SearchStatus(StatusModel):
    """How far the search is, as its pods tell."""

    trials: int
    """Trials asked for."""
    finished: int = 0
    """Trials that trained to their end."""
    pruned: int = 0
    """Trials that the pruner ended."""
    failed: int = 0
    """Trials that diverged, raised an error, or whose settings the algorithm refused."""
    best: BestTrial | None = None
    """The best of those finished; absent: none has."""
    importance: dict[str, float] | None = None
    """How much each setting decided whether a trial was among the best, from 0 to 1, together 1; absent: too few
    trials to tell."""
    message: str | None = None
    """What the last trial that failed said."""

    @property
    def ended(self) -> int:
        """Trials that are over."""
        return self.finished + self.pruned + self.failed


def trial_steps(search: SearchSpec, budget: int) -> int:
    """Return the timesteps of one trial. Args: budget: `budget.steps`."""
    return search.steps or max(10, budget // 4)


def check(search: SearchSpec, algorithm: AlgorithmSpec) -> None:
    """Hold a space against the algorithm's settings. Raises: ValueError naming the setting, and the nearest one."""
    settings, title = algorithm.settings, f"algorithm.{algorithm.chosen}"
    known = searchable(type(settings))
    for name, values in search.space.items():
        field = f"search.space.{name}"
        if name not in known:
            near = nearest(name, known)
            words = f"the nearest is {near}" if near else f"there are {', '.join(known)}"
            raise ValueError(f"{field}: {title} has no setting of that name to be searched; {words}")
        if getattr(settings, name) is not None:
            raise ValueError(f"{field}: {title} sets {name} to one value already: leave one of the two out")
        if values.ends is not None and kind_of(type(settings), name) not in (int, float):
            raise ValueError(f"{field}: {name} is no number: name its values in choices")
        for value in values.choices or values.ends or ():
            if problem := _problem(type(settings), name, value, whole=values.ends is not None):
                raise ValueError(f"{field}: {value!r} cannot be {name} of {title}: {problem}")


def searchable(settings: type[Settings]) -> list[str]:
    """Return the settings of an algorithm that can be searched."""
    return [name for name in settings.model_fields if name not in _NOT_SEARCHED]


def kind_of(settings: type[Settings], name: str) -> Any:
    """Return the plain type of a setting: `float`, `int`, `bool`, `list` or an enum."""
    kind = settings.model_fields[name].annotation
    while (origin := get_origin(kind)) in (Annotated, Union, UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
    return origin or kind


def _problem(settings: type[Settings], name: str, value: Any, *, whole: bool) -> str | None:
    """Return why a setting cannot have a value; None: it can. Args: whole: 10.0 may stand for 10."""
    if whole and kind_of(settings, name) is int and float(value).is_integer():
        value = int(value)
    try:
        settings.model_validate_json(json.dumps({name: value}), strict=True)
    except ValidationError as error:
        return str(error.errors(include_url=False)[0]["msg"])
    return None
