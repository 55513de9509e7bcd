"""Is the mean return high enough? Not the one that was measured: one that it is not below, with some confidence."""

from dataclasses import replace

import numpy as np

from belay_api.environment import EnvironmentSpec
from belay_api.gates import RANDOM, PerformanceGate
from belay_api.reasons import Verdict
from belay_trainer.environments import Environment, cap
from belay_trainer.errors import BadConfiguration, Diverged
from belay_trainer.evaluate import Uniform
from belay_trainer.served import Artifact, ServedPolicy
from belay_trainer.validation.bounds import Floats
from belay_trainer.validation.check import CheckResult
from belay_trainer.validation.episodes import Player
from belay_trainer.validation.measurement import Measurement, judge_mean
from belay_trainer.validation.pairs import Pairs
from belay_trainer.validation.subject import Subject

TITLE = "Performance"
RANDOM_SEED = 0  # of the random actions
POLICY, ACTIONS = "the policy", "random actions"
RETURN, OVER_RANDOM = "return", "return over that of random actions"  # what is measured


def fit(settings: PerformanceGate, environment: Environment, task: EnvironmentSpec) -> None:
    """See `Check`: random actions must come to an end."""
    if settings.better_than == RANDOM and cap(environment) is None:
        raise BadConfiguration(
            "betterThan: episodes of random actions need not end, for the environment has no cap. Set minReturn, or "
            "register the environment with max_episode_steps."
        )


def measure(settings: PerformanceGate, subject: Subject) -> CheckResult:
    """See `Check`."""
    found: list[Measurement] = []
    returns: dict[str, Floats] = {}
    if settings.min_return is not None:
        found.append(_least(settings, settings.min_return, subject))
    if settings.better_than is not None:
        found.append(_better(settings, settings.better_than, subject, returns))
    played = subject.reference.returns(max(one.episodes or settings.episodes for one in found))
    spread = (
        f"{len(played)} episodes: mean {played.mean():.4g}, standard deviation {played.std():.4g}, lowest "
        f"{played.min():.4g}, highest {played.max():.4g}."
    )
    return CheckResult(tuple(found), (spread, _basis(subject, played)), {POLICY: played, **returns})


def _least(settings: PerformanceGate, limit: float, subject: Subject) -> Measurement:
    def sample(count: int) -> tuple[Floats, float, float]:
        returns = subject.reference.returns(count)
        return returns, *subject.reach(returns)

    judged = judge_mean(sample, episodes=settings.episodes, limit=limit, confidence=settings.confidence)
    return judged.told(RETURN, field="minReturn", confidence=settings.confidence)


def _better(settings: PerformanceGate, than: str, subject: Subject, returns: dict[str, Floats]) -> Measurement:
    """Return how much the policy returns over random actions, or over the RLPolicy `than`."""
    beside = subject.baseline if than != RANDOM else None
    title, other = (ACTIONS, _random(subject)) if beside is None else (f"RLPolicy {than}", _player(subject, beside))

    def sample(count: int) -> tuple[Floats, float, float]:
        played = subject.reference.returns(count)  # what fails here is this policy's fault
        try:
            against = other.returns(count)
        except Diverged as error:
            raise _Unplayable(f"{title} could not be played ({error})") from error
        returns[title] = against
        return Pairs(played, against, *subject.reach(played, against, beside=beside)).beyond(0.0)

    above_zero = float(np.nextafter(0.0, 1.0))  # returns that are always equal are not better
    try:
        judged = judge_mean(sample, episodes=settings.episodes, limit=above_zero, confidence=settings.confidence)
    except _Unplayable as error:
        name = f"return over that of {title}"
        return Measurement(name, Verdict.NO_DATA, f"{name}: {error}.")
    named = OVER_RANDOM if beside is None else f"return over that of {title}"
    return replace(judged, limit=0.0).told(named, field=f"betterThan {than}, above", confidence=settings.confidence)


class _Unplayable(Exception):
    """The other policy cannot be played, which says nothing of this one."""


def _random(subject: Subject) -> Player:
    return subject.player(Uniform(subject.environment, RANDOM_SEED))


def _player(subject: Subject, beside: Artifact) -> Player:
    return subject.player(ServedPolicy(beside), masked=bool(beside.head.masks))


def _basis(subject: Subject, played: Floats) -> str:
    low, high = subject.reach(played)
    seen = "of any policy, random actions among them" if subject.foreseen else "here, for nothing is known of others"
    return (
        f"Bounds hold while no episode returns less than {low:.4g} or more than {high:.4g}: the lowest and the highest "
        f"seen {seen}."
    )
