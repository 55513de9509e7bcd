"""Is the policy worse than another one? Both play episodes from the same starts, through the networks that serving pods
load, and what is compared is the difference within each pair: what a start is worth falls out of it.

The mean of that difference is told with its interval. Held to `maxRegression` it is judged as a gate is: a policy that
returns less than allowed passes with probability 1 - confidence at most, over up to three looks, and one that does not
fails with as much at most. Bounds are those of every gate (`bounds.py`), which hold for differences of any shape.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from belay_api.gates import LONGEST
from belay_api.judging import Between, ComparedResult
from belay_api.judging_job import Comparison
from belay_api.reasons import Verdict
from belay_trainer.errors import BadConfiguration, Diverged
from belay_trainer.served import Artifact, ServedPolicy
from belay_trainer.validation.bounds import Floats
from belay_trainer.validation.checks.performance import POLICY
from belay_trainer.validation.disturbed import CLEAR_OF_ZERO
from belay_trainer.validation.gates import check_spaces
from belay_trainer.validation.measurement import LOOKS, Judged, judge_mean
from belay_trainer.validation.pairs import Pairs
from belay_trainer.validation.subject import Subject

_KEPT = {Verdict.PASS: "is kept", Verdict.FAIL: "is not kept"}


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of it."""

    result: ComparedResult
    returns: Mapping[str, Floats] = field(default_factory=dict)  # by policy; for the report


def compare(subject: Subject, other: Artifact, asked: Comparison) -> Compared:
    """Return what came of playing both. Raises: Stopped; BadConfiguration where the judged policy cannot be played."""
    try:
        check_spaces(other, subject.environment)
    except BadConfiguration as error:
        return _untold(asked, other, f"{asked.policy} cannot be played there ({error})")
    policy = subject.player(ServedPolicy(other), masked=bool(other.head.masks))

    def pairs(count: int) -> Pairs:
        played, beside = subject.reference.returns(count), policy.returns(count)
        return Pairs(played, beside, *subject.reach(played, beside, beside=other))

    try:
        subject.reference.returns(asked.episodes)
    except Diverged as error:
        message = f"It cannot be compared with {asked.policy}: {error}"
        return Compared(_result(asked, other, 0, message, verdict=Verdict.FAIL))
    try:
        return judge_pairs(pairs, asked, other)
    except Diverged as error:
        return _untold(asked, other, f"{asked.policy} could not be played ({error})")
    finally:
        policy.close()


def judge_pairs(pairs: Callable[[int], Pairs], asked: Comparison, other: Artifact) -> Compared:
    """Return what pairs of episodes tell. Args: pairs: Takes a number of episodes; the same ones come first."""
    if asked.max_regression is None:
        found = pairs(asked.episodes)
        difference = found.difference(asked.confidence, looks=1)
        return _told(asked, other, found, difference, f"{_difference(asked, found, difference)}.")
    first = pairs(asked.episodes)
    level, error = float(first.other.mean()), float(first.other.std()) / math.sqrt(max(asked.episodes - 1, 1))
    if abs(level) <= CLEAR_OF_ZERO * error:
        difference = first.difference(asked.confidence, looks=1)
        words = (
            f"{_difference(asked, first, difference)}. The return of {asked.policy} is not clear of 0, and no share of "
            "it is a regression: leave maxRegression out and set a gate with minReturn."
        )
        return _told(asked, other, first, difference, words, verdict=Verdict.NO_DATA)
    judged = judge_mean(
        lambda count: pairs(count).beyond(asked.max_regression or 0.0),
        episodes=asked.episodes,
        limit=0.0,
        confidence=asked.confidence,
    )
    found = pairs(judged.episodes)
    difference = found.difference(asked.confidence, looks=len(LOOKS))
    words = f"{_difference(asked, found, difference)}: maxRegression {100 * asked.max_regression:g} % {_held(judged)}"
    return _told(asked, other, found, difference, words, verdict=judged.verdict)


def _difference(asked: Comparison, found: Pairs, difference: Between) -> str:
    return (
        f"Against {asked.policy}, which returns {found.other.mean():.4g} over {len(found.other)} episodes from the "
        f"same starts, the difference is {difference.words()}"
    )


def _held(judged: Judged) -> str:
    if judged.verdict in _KEPT:
        return f"{_KEPT[judged.verdict]}."
    return f"may be kept or not. {judged.advice()}"


def _told(
    asked: Comparison,
    other: Artifact,
    found: Pairs,
    difference: Between,
    message: str,
    *,
    verdict: Verdict | None = None,
) -> Compared:
    result = _result(
        asked, other, len(found.other), message, verdict=verdict, difference=difference, level=float(found.other.mean())
    )
    return Compared(result, {POLICY: found.policy, asked.policy: found.other})


def _untold(asked: Comparison, other: Artifact, message: str) -> Compared:
    """Nothing was measured: that holds nobody who did not ask for a limit."""
    verdict = Verdict.NO_DATA if asked.max_regression is not None else None
    return Compared(_result(asked, other, 0, f"Nothing was compared: {message}.", verdict=verdict))


def _result(
    asked: Comparison,
    other: Artifact,
    episodes: int,
    message: str,
    *,
    verdict: Verdict | None,
    difference: Between | None = None,
    level: float | None = None,
) -> ComparedResult:
    return ComparedResult(
        policy=asked.policy,
        digest=other.digest,
        episodes=episodes,
        difference=difference,
        other=level,
        verdict=verdict,
        message=message if len(message) <= LONGEST else message[: LONGEST - 1] + "…",
    )
