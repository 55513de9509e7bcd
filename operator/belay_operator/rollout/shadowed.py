"""From what the logbook knows of a step `shadow` to its verdict, with the evidence as status stores it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from belay_api.reasons import Verdict
from belay_api.rollout.status import (
    ShadowChoice,
    ShadowLatency,
    ShadowResult,
    ShadowSides,
    ShadowSideStatus,
    ShadowUnit,
)
from belay_api.rollout.steps.shadow import ShadowStep
from belay_api.wire import NotCompared, ShadowReport, ShadowSide
from belay_operator.rollout import stored
from belay_operator.rollout.analysis import agreement
from belay_operator.rollout.facts import ShadowFact

LEAST_ANSWERED = 0.9  # a candidate that is silent in its worst quarter shows nothing of that in what it decides
CHANCE = 3.0  # standard deviations by which a share of mirrors may fall short where the gateway draws them
MOST_CHOICES = 16
UNITS = {
    "choice": ShadowUnit.DISAGREEMENT,
    "range": ShadowUnit.SHARE_OF_RANGE,
    "std": ShadowUnit.SHARE_OF_FIVE_STD,
}
NOT_INSTALLED = "Belay is installed without a logbook, where decisions are compared; install it, or remove the step"


@dataclass(frozen=True, slots=True)
class ShadowLook:
    """What a look is judged by."""

    asked: ShadowStep
    index: int
    candidate: str
    stable: str
    answers: bool  # the candidate has a ready pod
    until: datetime  # when `duration` is over


def result(look: ShadowLook, fact: ShadowFact) -> ShadowResult:
    """Return the verdict of one look. It is open until `duration` is over, but for a Fail."""
    report = fact.report
    if report is None:
        return ShadowResult(
            step=look.index,
            stable=look.stable,
            verdict=Verdict.PROVIDER_DOWN,
            message=fact.problem or "the logbook does not answer",
            query=fact.query,
            at=fact.at,
        )
    asked = look.asked
    bounds = agreement.interval([(one.difference, one.count) for one in report.episodes], confidence=asked.confidence)
    verdict, message = _judged(look, report, bounds, over=fact.at >= look.until)
    return ShadowResult(
        step=look.index,
        stable=look.stable,
        verdict=verdict,
        message=message,
        pairs=report.pairs,
        episodes=sum(one.count for one in report.episodes),
        unit=UNITS[report.scale] if report.scale is not None else None,
        difference=stored.short(report.difference),
        interval=stored.interval(bounds) if report.episodes else None,
        not_compared=sum(report.not_compared.values()) or None,
        answered=_share_answered(report, asked.percent),
        sides=ShadowSides(stable=_side(report.stable), candidate=_side(report.candidate)),
        choices=[
            ShadowChoice(stable=one.stable, candidate=one.candidate, pairs=one.pairs)
            for one in report.cells[:MOST_CHOICES]
        ],
        query=fact.query,
        at=fact.at,
    )


def sentence(found: ShadowResult, candidate: str) -> str:
    """Return what was found, with its numbers."""
    if found.verdict is Verdict.NO_DATA or None in (found.difference, found.interval, found.unit):
        return found.message
    return f"{found.message}: {_numbers(found, candidate)}, in the mean over {found.episodes} episodes"


def _numbers(found: ShadowResult, candidate: str) -> str:
    if found.difference is None or found.interval is None:
        return "nothing is known of the difference"
    low, high = found.interval
    numbers = f"{_percent(found.difference)} ({_percent(low)} to {_percent(high)})"
    match found.unit:
        case ShadowUnit.DISAGREEMENT:
            return f"{candidate} chooses otherwise than {found.stable} in {numbers} of decisions"
        case ShadowUnit.SHARE_OF_RANGE:
            return f"the actions of {candidate} and {found.stable} differ by {numbers} of their range"
    return f"the actions of {candidate} and {found.stable} differ by {numbers} of five standard deviations"


def _judged(
    look: ShadowLook, report: ShadowReport, bounds: tuple[float, float], *, over: bool
) -> tuple[Verdict | None, str]:
    missing = _missing(look, report)
    if missing is not None:
        return (Verdict.NO_DATA, missing) if over else (None, f"under way; so far {missing}")
    name, limit = ("maxDisagreement", look.asked.max_disagreement)
    if look.asked.max_distance is not None:
        name, limit = ("maxDistance", look.asked.max_distance)
    low, high = bounds
    if limit is not None and low > limit:
        return Verdict.FAIL, f"{name} of {_percent(limit)} is not kept"
    if not over:
        return None, "under way"
    if limit is None:
        return None, "the step holds the difference to nothing"
    if high <= limit:
        return Verdict.PASS, f"{name} of {_percent(limit)} is kept"
    return Verdict.NOT_ENOUGH_SAMPLES, f"the pairs so far do not tell whether {name} of {_percent(limit)} is kept"


def _missing(look: ShadowLook, report: ShadowReport) -> str | None:
    """Why nothing can be said; None: something can."""
    return next((words for check in MISSING if (words := check(look, report)) is not None), None)


def _no_pod(look: ShadowLook, report: ShadowReport) -> str | None:
    return None if look.answers else f"no pod of {look.candidate} is ready, so no mirrored request is answered"


def _no_ids(look: ShadowLook, report: ShadowReport) -> str | None:
    if not report.unnamed or report.asked:
        return None
    return (
        "the gateway sends no x-request-id, and without it no two decisions are known to be about one request: have it "
        "make request ids"
    )


def _stable_silent(look: ShadowLook, report: ShadowReport) -> str | None:
    if report.stable.told:
        return None
    return (
        f"no decision of {look.stable} was told: no requests came through the route, or its pods are of an earlier "
        "version of Belay, or cannot reach the logbook"
    )


def _candidate_silent(look: ShadowLook, report: ShadowReport) -> str | None:
    if report.candidate.told:
        return None
    return (
        f"no decision of {look.candidate} was told: nothing is mirrored, or its pods crash or hang at it, are of an "
        "earlier version of Belay, or cannot reach the logbook"
    )


def _too_silent(look: ShadowLook, report: ShadowReport) -> str | None:
    part = look.asked.percent / 100
    mirrored = report.asked * part
    if report.answered >= LEAST_ANSWERED * mirrored - CHANCE * math.sqrt(mirrored * (1 - part)):
        return None
    return f"{look.candidate} answers less than nine tenths of the mirrored requests: it is too slow, crashes or hangs"


def _wrong_limit(look: ShadowLook, report: ShadowReport) -> str | None:
    if report.scale in ("range", "std") and look.asked.max_disagreement is not None:
        return f"maxDisagreement is for choices, and the actions of {look.stable} are numbers: write maxDistance"
    if report.scale == "choice" and look.asked.max_distance is not None:
        return f"maxDistance is for numbers, and the actions of {look.stable} are choices: write maxDisagreement"
    return None


def _too_few(look: ShadowLook, report: ShadowReport) -> str | None:
    if report.pairs >= look.asked.min_pairs:
        return None
    if sum(report.not_compared.values()) > report.pairs:
        most = max(report.not_compared, key=lambda why: report.not_compared[why])
        return f"most decisions cannot be compared: {_why(most, look)}"
    return f"there are fewer than {look.asked.min_pairs} pairs of decisions that can be compared"


MISSING: tuple[Callable[[ShadowLook, ShadowReport], str | None], ...] = (
    _no_pod,
    _no_ids,
    _stable_silent,
    _candidate_silent,
    _too_silent,
    _wrong_limit,
    _too_few,
)
"""What may be missing, the nearest cause first."""


def _why(reason: NotCompared, look: ShadowLook) -> str:
    match reason:
        case NotCompared.SAMPLED:
            return "requests ask for drawn actions (deterministic: false), and two draws differ by chance"
        case NotCompared.STATE:
            return (
                f"{look.candidate} remembers its episode, and requests carry no memory of {look.stable} that has the "
                "form of its own. Only the first decision of an episode can be compared"
            )
        case NotCompared.SPACE:
            return f"{look.candidate} and {look.stable} have other action spaces"
        case NotCompared.LARGE:
            return "an action has too many numbers to be told of, more than 64"


def _share_answered(report: ShadowReport, percent: int) -> float | None:
    mirrored = report.asked * percent / 100
    return round(min(report.answered / mirrored, 1.0), 3) if mirrored else None


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def _side(side: ShadowSide) -> ShadowSideStatus:
    latency = None if side.p50 is None or side.p99 is None else ShadowLatency(p50=side.p50, p99=side.p99)
    return ShadowSideStatus(failed=side.failed, latency=latency)
