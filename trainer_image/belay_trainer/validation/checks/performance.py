"""Is the mean return high enough? Not the one that was measured: one that it is not below, with some confidence."""

from dataclasses import replace

import numpy as np

from belay_api.environment import EnvironmentSpec
from belay_api.gates import PerformanceGate
from belay_trainer.environments import Environment, cap
from belay_trainer.errors import BadConfiguration
from belay_trainer.evaluate import Uniform
from belay_trainer.validation.bounds import Floats
from belay_trainer.validation.check import CheckResult
from belay_trainer.validation.measurement import Measurement, judge_mean
from belay_trainer.validation.subject import Subject

TITLE = "Performance"
RANDOM_SEED = 0  # of the random actions
POLICY, RANDOM = "the policy", "random actions"
RETURN, OVER_RANDOM = "return", "return over that of random actions"  # what is measured


def fit(settings: PerformanceGate, environment: Environment, task: EnvironmentSpec) -> None:
    """See `Check`: random actions must come to an end."""
    if settings.better_than is not None and cap(environment) is None:
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
        found.append(_better_than_random(settings, subject, returns))
    played = subject.reference.returns(max(one.episodes or 0 for one in found))
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


def _better_than_random(settings: PerformanceGate, subject: Subject, returns: dict[str, Floats]) -> Measurement:
    random = subject.player(Uniform(subject.environment, RANDOM_SEED))

    def sample(count: int) -> tuple[Floats, float, float]:
        policy, other = subject.reference.returns(count), random.returns(count)
        low, high = subject.reach(policy, other)
        returns[RANDOM] = other
        return policy - other, low - high, high - low

    above_zero = float(np.nextafter(0.0, 1.0))  # returns that are always equal are not better
    judged = judge_mean(sample, episodes=settings.episodes, limit=above_zero, confidence=settings.confidence)
    field = f"betterThan {settings.better_than}, above"
    return replace(judged, limit=0.0).told(OVER_RANDOM, field=field, confidence=settings.confidence)


def _basis(subject: Subject, played: Floats) -> str:
    low, high = subject.reach(played)
    seen = "of any policy, random actions among them" if subject.foreseen else "here, for nothing is known of others"
    return (
        f"Bounds hold while no episode returns less than {low:.4g} or more than {high:.4g}: the lowest and the highest "
        f"seen {seen}."
    )
