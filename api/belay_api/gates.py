"""What a policy must show before it is published: one field for each kind of check, and what came of them.

A gate holds a number that was measured in some episodes to a limit. With few episodes such a number is uncertain, so a
gate passes only when the limit is kept with its `confidence`, fails only when it is broken with as much, and says
`NotEnoughSamples` between the two.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from belay_api.code import ObjectName
from belay_api.model import Model, StatusModel, alternatives, chosen, exactly_one, rule, rules
from belay_api.reasons import Verdict
from belay_api.units import Duration, FreeForm, Percent

MOST_GATES = 16
MOST_TIMES = 4  # as many episodes as asked for are played at most, where fewer do not tell
MOST_GATE_EPISODES = 2_500  # so that all of them have starts of their own: MOST_TIMES of them are 10,000
LONGEST = 300  # characters of what a gate says
RANDOM = "random"  # in place of an RLPolicy's name: actions drawn uniformly

Episodes = Annotated[int, Field(ge=5, le=MOST_GATE_EPISODES)]
Confidence = Annotated[float, Field(ge=0.5, le=0.999)]
StdShare = Annotated[float, Field(gt=0, le=100)]


class GateSettings(Model):
    """What every gate has."""

    limits: ClassVar[tuple[str, ...]] = ()
    """The fields of which at least one is set."""

    confidence: Confidence = 0.95
    """Probability that a policy which breaks the limit is not passed, and that one which keeps it is not failed;
    unset: 0.95."""

    @model_validator(mode="after")
    def _has_limit(self) -> Self:
        if all(getattr(self, name) is None for name in self.limits):
            raise ValueError(_no_limit(self.limits))
        return self


def _limit_rule(limits: tuple[str, ...]) -> ConfigDict:
    expression = " || ".join(f"has(self.{to_camel(name)})" for name in limits)
    return ConfigDict(json_schema_extra=rules(rule(expression, _no_limit(limits))))


def _no_limit(limits: tuple[str, ...]) -> str:
    return f"a gate without a limit passes nothing: set {', '.join(map(to_camel, limits))}, or several of them"


class PerformanceGate(GateSettings):
    """The mean return of the policy is high enough."""

    limits = ("min_return", "better_than")
    model_config = _limit_rule(limits)

    min_return: float | None = None
    """The mean return is at least this."""
    better_than: ObjectName | None = None
    """The mean return is higher than that of the RLPolicy of this name, of the same namespace, from the same starts;
    `random`: than that of actions drawn uniformly. Who asks waits while there is no such RLPolicy; its digest is
    recorded in status then, and counts from then on, whatever becomes of the name."""
    episodes: Episodes = 100
    """Episodes to play, up to four times as many where these do not tell; unset: 100."""


class DisturbedGate(GateSettings):
    """What gates have that play once undisturbed and once disturbed, from the same starts."""

    limits = ("max_drop", "min_return")
    model_config = _limit_rule(limits)

    max_drop: Percent | None = None
    """The mean return falls by at most this share of the size of the undisturbed one."""
    min_return: float | None = None
    """The mean return is at least this."""
    episodes: Episodes = 50
    """Episodes to play of each kind, up to four times as many where these do not tell; unset: 50."""


class NoiseUnit(StrEnum):
    """What noise is counted in."""

    STD = "std"
    """Standard deviations of each number of an observation, as the undisturbed episodes show them."""
    ABSOLUTE = "absolute"
    """The observation's own units."""


class RobustnessGate(DisturbedGate):
    """The policy still acts well where observations are noisy."""

    noise: Annotated[list[StdShare], Field(min_length=1, max_length=8)] = [0.01, 0.05, 0.1]
    """Standard deviations of the normal noise on every number of every observation, each judged by itself; unset: 0.01,
    0.05 and 0.1."""
    unit: NoiseUnit = NoiseUnit.STD
    """What `noise` is counted in; unset: `std`."""


class WorstCaseGate(DisturbedGate):
    """The policy still acts well where every observation is changed a little, in the direction that hurts."""

    epsilon: StdShare = 0.05
    """Largest change of each number of an observation, in its standard deviations; unset: 0.05."""
    steps: Annotated[int, Field(ge=1, le=100)] = 1
    """Steps along the gradient: 1 is the fast gradient sign method, more are projected gradient descent; unset: 1."""


_NO_START = "an edge case says how it begins: set options or kwargs"


class EdgeStart(Model):
    """Where episodes begin that are rare."""

    model_config = {"json_schema_extra": rules(rule("has(self.options) || has(self.kwargs)", _NO_START))}

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """For the report."""
    options: FreeForm | None = None
    """`options` of the environment's `reset`."""
    kwargs: FreeForm | None = None
    """Keyword arguments of `gymnasium.make`, over those of `environment.kwargs`."""

    @model_validator(mode="after")
    def _begins_somehow(self) -> Self:
        if self.options is None and self.kwargs is None:
            raise ValueError(_NO_START)
        return self


class EdgeCasesGate(DisturbedGate):
    """The policy acts well from rare starts."""

    starts: Annotated[list[EdgeStart], Field(min_length=1, max_length=16)]
    """The starts; each is judged by itself."""


class Shift(Model):
    """One way in which the world may differ from the training's."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """For the report."""
    kwargs: FreeForm
    """Keyword arguments of `gymnasium.make`, over those of `environment.kwargs`."""


class DynamicsGate(DisturbedGate):
    """The policy still acts well where the world behaves otherwise than in training."""

    shifts: Annotated[list[Shift], Field(min_length=1, max_length=16)]
    """The other worlds; each is judged by itself."""


class ConstraintsGate(GateSettings):
    """The policy keeps the constraints of the environment."""

    limits = ("max_violations", "max_rate")
    model_config = _limit_rule(limits)

    costs: Annotated[list[Annotated[str, Field(min_length=1, max_length=63)]], Field(min_length=1, max_length=16)] = [
        "cost"
    ]
    """Keys of `info`, which `step` returns: a timestep where one of them is above 0 violates a constraint; unset:
    `cost`."""
    max_violations: Annotated[int, Field(ge=0)] | None = None
    """Timesteps of all `episodes` that violate one, at most. It is a count and proves little of other episodes."""
    max_rate: Percent | None = None
    """The share of all episodes in which a constraint is violated is at most this."""
    episodes: Episodes = 100
    """Episodes to play, for `maxRate` up to four times as many where these do not tell; unset: 100."""


class LatencyGate(GateSettings):
    """The network answers fast enough, one observation at a time on one core."""

    limits = ("p50", "p99")
    model_config = _limit_rule(limits)

    p50: Duration | None = None
    """Half of all answers take at most this long."""
    p99: Duration | None = None
    """99 of 100 answers take at most this long."""


@exactly_one("a gate", "make one list entry of each")
class Gate(Model):
    """One entry of the gates; exactly one of its fields is set, and that field is its kind."""

    performance: PerformanceGate | None = None
    """The mean return."""
    constraints: ConstraintsGate | None = None
    """Violations of constraints, from what the environment tells in `info`."""
    robustness: RobustnessGate | None = None
    """The return with noise on the observations."""
    worst_case: WorstCaseGate | None = None
    """The return with observations that are changed by an adversary who knows the network."""
    edge_cases: EdgeCasesGate | None = None
    """The return from rare starts."""
    dynamics: DynamicsGate | None = None
    """The return where the environment has other parameters."""
    latency: LatencyGate | None = None
    """How long the exported network takes."""

    @property
    def kind(self) -> str:
        """The gate's kind as a resource spells it: the one field that is set."""
        return chosen(self)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(value is not None for _, value in self) != 1:
            raise ValueError(f"a gate has exactly one of {', '.join(alternatives(Gate))}")
        return self


def baselines(gates: Sequence[Gate] | None) -> list[str]:
    """Return the RLPolicies that gates compare with, each once."""
    asked = (gate.performance.better_than for gate in gates or () if gate.performance is not None)
    return sorted({name for name in asked if name not in (None, RANDOM)})


def baseline(gates: Sequence[Gate] | None) -> str | None:
    """Return the RLPolicy that gates compare with; None: they compare with none."""
    return next(iter(baselines(gates)), None)


def _one_baseline(gates: list[Gate]) -> list[Gate]:
    if len(baselines(gates)) > 1:
        raise ValueError(_ONE_BASELINE)
    return gates


def named_baseline(gate: str) -> str:
    """Return the CEL expression of whether a gate compares with an RLPolicy. Args: gate: The variable's name."""
    field = f"{gate}.performance.betterThan"
    return f"has({gate}.performance) && has({field}) && {field} != '{RANDOM}'"


_ONE_BASELINE = "betterThan: gates compare with one RLPolicy at most, beside random: name the same one in each of them"
Gates = Annotated[
    list[Gate],
    Field(
        min_length=1,
        max_length=MOST_GATES,
        json_schema_extra=rules(
            rule(
                f"self.all(a, !({named_baseline('a')}) || self.all(b, !({named_baseline('b')}) || "
                "a.performance.betterThan == b.performance.betterThan))",
                _ONE_BASELINE,
            )
        ),
    ),
    AfterValidator(_one_baseline),
]


class GateOutcome(StatusModel):
    """What came of one gate."""

    gate: Annotated[str, Field(max_length=63)]
    """Which: its kind, with its place among several of that kind, e.g. `dynamics[1]`."""
    verdict: Verdict
    """Pass, Fail, NotEnoughSamples (the episodes do not tell), or NoData (there is nothing to measure)."""
    measured: float | None = None
    """What was measured: a share in percent, a time in milliseconds; absent: nothing was."""
    limit: float | None = None
    """What it was held to, in the same unit; absent: nothing was measured."""
    message: Annotated[str, Field(max_length=LONGEST)]
    """Both in words, and what can be done. Of a gate with several measurements it is the gravest, as the numbers."""


class Validation(StatusModel):
    """What came of the gates of one policy."""

    passed: bool
    """All gates passed."""
    gates: int
    """How many there were."""
    failure: GateOutcome | None = None
    """The first one that was not passed; absent: all were."""
    report: Annotated[str, Field(max_length=1024)] | None = None
    """Address of the report for people, an HTML page; its digest is part of a `store://` address."""
    facts: Annotated[str, Field(max_length=1024)] | None = None
    """Address of the same for programs, as JSON."""
