"""Returns under a disturbance, held against the undisturbed ones from the same starts."""

import math

import numpy as np

from belay_api.gates import DisturbedGate
from belay_api.reasons import Verdict
from belay_trainer.validation.bounds import Floats
from belay_trainer.validation.check import CheckResult
from belay_trainer.validation.episodes import Player
from belay_trainer.validation.measurement import Measurement, judge_mean
from belay_trainer.validation.subject import Subject

CLEAR_OF_ZERO = 4.0
"""Standard errors: a mean return that is no farther from 0 has no share that means anything. A rollout asks as much."""


def held(name: str, player: Player, settings: DisturbedGate, subject: Subject) -> CheckResult:
    """Hold the returns that `player` plays to the limits of the gate.

    Args:
        name: What is disturbed, e.g. `noise 0.05`.
        player: Its episodes begin where those of `subject.reference` do.
    """
    found = []
    if settings.max_drop is not None:
        found.append(_drop(name, player, settings, settings.max_drop, subject))
    if settings.min_return is not None:
        found.append(_return(name, player, settings, settings.min_return, subject))
    most = max(one.episodes or settings.episodes for one in found)
    returns = player.returns(most)
    player.close()
    return CheckResult(tuple(found), returns={name: returns})


def unchanged(name: str, player: Player, settings: DisturbedGate, subject: Subject, *, why: str) -> Measurement | None:
    """Return that nothing was disturbed, where the first episodes are those of the reference to the bit; else None.

    Args:
        why: What the environment does with what it was given.
    """
    count = settings.episodes
    if not np.array_equal(player.returns(count), subject.reference.returns(count)):
        return None
    shown, undisturbed = ([trace.checksum for trace in one.traces(count)] for one in (player, subject.reference))
    if shown != undisturbed:
        return None
    message = f"{name}: all {count} episodes are the undisturbed ones, so {why}. Nothing was tested."
    return Measurement(name, Verdict.NO_DATA, message)


def _return(name: str, player: Player, settings: DisturbedGate, limit: float, subject: Subject) -> Measurement:
    def sample(count: int) -> tuple[Floats, float, float]:
        returns = player.returns(count)
        return returns, *subject.reach(returns)

    judged = judge_mean(sample, episodes=settings.episodes, limit=limit, confidence=settings.confidence)
    return judged.told(f"return with {name}", field="minReturn", confidence=settings.confidence)


def _drop(name: str, player: Player, settings: DisturbedGate, most: float, subject: Subject) -> Measurement:
    """Hold the drop to a share of the undisturbed return.

    A policy keeps the limit where disturbed - undisturbed + most · |undisturbed| is 0 or more in the mean. That is one
    number an episode, so what two episodes from one start have in common falls out.
    """
    title = f"drop with {name}"
    clean = subject.reference.returns(settings.episodes)
    level, error = float(clean.mean()), float(clean.std()) / math.sqrt(max(len(clean) - 1, 1))
    if abs(level) <= CLEAR_OF_ZERO * error:
        message = (
            f"{title}: the undisturbed return is {level:.4g}, not clear of 0, and no share of it is a drop. "
            "Set minReturn instead of maxDrop."
        )
        return Measurement(title, Verdict.NO_DATA, message)
    left = 1.0 - math.copysign(most, level)  # of an undisturbed return: so much must be left

    def sample(count: int) -> tuple[Floats, float, float]:
        undisturbed, disturbed = subject.reference.returns(count), player.returns(count)
        low, high = subject.reach(undisturbed, disturbed)
        wanted = left * np.array([low, high])
        return disturbed - left * undisturbed, low - wanted.max(), high - wanted.min()

    judged = judge_mean(sample, episodes=settings.episodes, limit=0.0, confidence=settings.confidence)
    size = abs(float(subject.reference.returns(judged.episodes).mean()))
    drop = judged.mapped(scale=-100 / size, offset=100 * most)
    return drop.told(title, field="maxDrop", confidence=settings.confidence, unit="%")
