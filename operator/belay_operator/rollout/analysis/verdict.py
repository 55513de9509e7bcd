"""Whether a candidate is worse than stable, shown not to be, or neither yet: one metric, one look.

Two claims race. **Fail**: the candidate is worse than stable. **Pass**: it is not worse by as much as the allowed
regression. Both are bets (`bet`), so looking again costs nothing. A candidate between the two (worse, but by less than
allowed) may get either answer, and either is right. Neither claim proven is NotEnoughSamples; nothing measured is
NoData; nobody answering is ProviderDown. They are never folded together, and nothing measured never passes.

The missing rate is tested beside the outcome, on the same windows with an error of its own: a candidate that falls
silent in its worst episodes shows nothing in the rest. It fails alone; and no outcome passes while either side may be
missing MISSING_MARGIN more of its episodes than the other: what is left of stable is a selected sample as well where
stable's reports get lost. That says nothing against the candidate, so it fails nobody.

A third claim stands beside the two where `maxRegret` is set: the candidate has cost more than that (`regret`).

`budget` says how the stated error is split, `limits` judges guard rails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from belay_api.reasons import Verdict
from belay_api.rollout.compare import RangeOrigin
from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bet import Bounds, Earlier, Outcomes
from belay_operator.rollout.analysis.bounds import Range, bounds
from belay_operator.rollout.analysis.budget import Budget
from belay_operator.rollout.analysis.evidence import (
    MISSING_MARGIN,
    Better,
    Comparison,
    Evidence,
    Paired,
    StartWindow,
    broken,
    ends,
    pair,
    summary,
)
from belay_operator.rollout.analysis.race import Race
from belay_operator.rollout.analysis.regret import Regret, regret

SILENCES = Bounds(np.array(-1.0), np.array(0.0))  # mirrored: 1 is an episode that is missing
USUAL_SILENCE = Earlier(mean=0.05, spread=0.2, low=0.0, high=1.0)
STABLE_LOSES = (
    "more of stable's episodes than of the candidate's did not end within grace of their start: what is left of stable "
    f"is a selected sample, and nothing passes while it may miss {MISSING_MARGIN.value:.0%} of them or more beyond the "
    "candidate's share. Look for what keeps its reports from arriving; if stable hangs and the candidate mends that, "
    "send the command promote"
)
BUT_STABLE_LOSES = (
    "More of stable's episodes than of the candidate's did not end within grace of their start: if it lost its worst, "
    "stable only looks better"
)
CLEAR_OF_ZERO = 3.0  # standard errors
FIRST_WINDOW = (
    "nothing was known of this outcome before the first window in which both sides have episodes: what comes after "
    "that window counts"
)
NO_EPISODE = "no episode has begun yet"
NO_USER = (
    "no user who counts has begun an episode yet: each counts once in a trial, by the first episode that she begins in "
    "it, and only where the request says whose it is, by client.episode(user=…) or the headers x-belay-user, "
    "x-belay-user-tens and x-belay-user-ones"
)
FIRST_LOOK = "nothing was known of this number before the first looks at both sides: what comes after them counts"
VAGUE = (
    "stable's mean is too close to 0 for a margin in percent: this can fail but not pass. Write the margin as a number "
    "in the outcome's own unit, or report an outcome whose mean is away from 0"
)


def judge(
    comparison: Comparison,
    candidate: Sequence[StartWindow] | None,
    stable: Sequence[StartWindow] | None,
    *,
    budget: Budget,
    earlier: Earlier | None = None,
    seen: Range | None = None,
) -> Evidence:
    """Return the verdict on one compared metric from its start windows.

    Args:
        candidate, stable: All windows since the candidate first had a weight, of either version; None: the provider
            did not answer, which is not the same as no windows.
        budget: What this metric may spend, from `budget.split`.
        earlier: What was seen of the outcome before these windows.
        seen: How far it was seen to reach elsewhere.
    """
    empty = Evidence(comparison.metric, Verdict.PROVIDER_DOWN, "the logbook does not answer")
    if candidate is None or stable is None:
        return empty
    evidence = replace(empty, candidate=summary(candidate), stable=summary(stable))
    if not candidate and not stable:
        return replace(evidence, verdict=Verdict.NO_DATA, message=NO_USER if comparison.users else NO_EPISODE)
    paired = pair(candidate, stable)
    if comparison.looks:
        return _judge_outcome(comparison, paired, evidence, budget, earlier=earlier, seen=seen)
    missing = _judge_missing(comparison, paired, evidence, budget)
    if missing.verdict is Verdict.FAIL:
        return missing
    for side, windows in (("the candidate", candidate), ("stable", stable)):
        if not any(window.count for window in windows):
            message = f"no episode of {side} has ended within grace yet"
            return replace(missing, verdict=Verdict.NO_DATA, message=message)
    outcome = _judge_outcome(comparison, paired, missing, budget, earlier=earlier, seen=seen)
    return _beside(missing, _within_cost(comparison, outcome))


def _beside(missing: Evidence, outcome: Evidence) -> Evidence:
    """Return the verdict on the outcome with what the missing rates leave of it."""
    if outcome.verdict is Verdict.PASS and missing.verdict is not Verdict.PASS:
        return replace(outcome, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=missing.message)
    if outcome.verdict is Verdict.FAIL and missing.message == STABLE_LOSES:
        return replace(outcome, message=f"{outcome.message}. {BUT_STABLE_LOSES}")
    return outcome


def _within_cost(comparison: Comparison, outcome: Evidence) -> Evidence:
    """Return the verdict on the outcome, Fail where more was lost than may be."""
    lost, most = outcome.regret, comparison.max_regret
    if outcome.verdict is Verdict.FAIL or lost is None or most is None or lost.low <= most:
        return outcome
    # It is final, so its numbers may stand in the message.
    about, least = (float(f"{value:.3g}") for value in (lost.estimate, lost.low))
    message = (
        f"about {about:.12g} was lost by {lost.episodes} episodes of the candidate against what stable had at the same "
        f"time, and at least {least:.12g}; maxRegret is {most:.12g}"
    )
    return replace(outcome, verdict=Verdict.FAIL, message=message)


def _judge_missing(comparison: Comparison, paired: Paired, evidence: Evidence, budget: Budget) -> Evidence:
    """The verdict on the missing rates alone: Fail, Pass or NotEnoughSamples."""
    candidate, stable = paired.silences()
    margin = comparison.missing_margin
    race, swapped = silence(candidate, stable, margin), silence(stable, candidate, margin)
    if budget.missing is not None and race.worse()[-1] >= math.log(1 / budget.missing):
        share = [(side.count * side.mean).sum() / max(side.count.sum(), 1.0) for side in (candidate, stable)]
        message = (
            f"{share[0]:.1%} of the candidate's episodes did not end within grace of their start, against "
            f"{share[1]:.1%} of stable's: the candidate falls silent"
        )
        return replace(evidence, verdict=Verdict.FAIL, message=message)
    enough = math.log(1 / budget.wrong_promotion)
    spoken = bool(race.better()[-1] >= enough)
    if spoken and swapped.better()[-1] >= enough:
        return replace(evidence, verdict=Verdict.PASS, message="")
    if swapped.worse()[-1] >= enough:
        message = STABLE_LOSES
    else:
        sides = ("stable", "the candidate") if spoken else ("the candidate", "stable")
        more = f"{100 * margin.value:.0f} percentage points more of its episodes than"
        message = f"it is not shown yet that {sides[0]} misses less than {more} {sides[1]}"
    return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=message)


def silence(side: Outcomes, other: Outcomes, margin: Margin = MISSING_MARGIN) -> Race:
    """Return the race of two claims about one side: that it misses more than the other, and less than the margin more.

    Args:
        side, other: 1 for an episode that is missing.
    """
    return Race(margin, side.mirrored(), other.mirrored(), SILENCES, USUAL_SILENCE.mirrored())


def race_of(
    comparison: Comparison, candidate: Outcomes, stable: Outcomes, *, earlier: Earlier | None, seen: Range | None = None
) -> Race:
    """Return the race of the two claims about an outcome, with everything mirrored where less is better.

    Args:
        candidate, stable: Of any leading shape.
    """
    certain = comparison.certain
    if comparison.better is Better.LESS:
        candidate, stable, certain = candidate.mirrored(), stable.mirrored(), certain.mirrored()
        earlier = None if earlier is None else earlier.mirrored()
        seen = None if seen is None else seen.mirrored()
    reach = bounds(certain, comparison.margin, candidate, stable, earlier, seen=seen)
    return Race(comparison.margin, candidate, stable, reach, earlier)


def _judge_outcome(
    comparison: Comparison,
    paired: Paired,
    evidence: Evidence,
    budget: Budget,
    *,
    earlier: Earlier | None,
    seen: Range | None,
) -> Evidence:
    """The verdict on the outcome alone."""
    more, certain = comparison.better is Better.MORE, comparison.certain
    race = race_of(comparison, paired.candidate, paired.stable, earlier=earlier, seen=seen)
    no_fail, no_pass = broken(certain if more else certain.mirrored(), race.candidate, race.stable)
    reference, error = paired.reference()
    margin = comparison.margin.value * (abs(reference) if comparison.margin.relative else 1.0)
    # Near 0 a percentage means nothing, and a range taken from stable's mean protects against nothing.
    vague = comparison.margin.relative and not abs(reference) > CLEAR_OF_ZERO * error
    evidence = replace(
        evidence,
        difference=paired.difference(),
        fail_below=0.0,
        pass_above=None if math.isnan(margin) or vague else -margin if more else margin,
        regret=None if no_fail or no_pass else _regret(race, budget),
    )
    if not race.begun:
        return replace(
            evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=FIRST_LOOK if comparison.looks else FIRST_WINDOW
        )
    failed = budget.outcome is not None and not no_fail and bool(race.worse()[-1] >= math.log(1 / budget.outcome))
    unbounded = certain.low is None or certain.high is None
    passed = (
        not no_pass and not (vague and unbounded) and bool(race.better()[-1] >= math.log(1 / budget.wrong_promotion))
    )

    low, high = race.interval(
        alpha_low=budget.wrong_promotion,
        alpha_high=budget.wrong_promotion if budget.outcome is None else budget.outcome,
    )
    # A rejected claim is outside the interval; the search for its ends is coarser than the test.
    if failed:
        high = min(high, 0.0)
    elif passed:
        low = max(low, -margin)
    lowest, highest = ends(race.bounds)
    evidence = replace(
        evidence,
        interval=(low, high) if more else (-high, -low),
        range=(lowest, highest) if more else (-highest, -lowest),
        explained=race.explained,
        range_from=comparison.origin,
    )
    if (no_fail or no_pass) and not failed and not passed:
        return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=_broken(comparison, paired))
    if vague and (unbounded or not reference) and not failed and not passed:
        return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=VAGUE)
    return _decide(evidence, comparison.counted, failed=failed, passed=passed)


def _regret(race: Race, budget: Budget) -> Regret | None:
    """What was lost so far; None: it is not asked for."""
    if budget.regret is None:
        return None
    return regret(
        race.candidate,
        race.stable,
        race.bounds,
        race.earlier,
        alpha_low=budget.regret,
        alpha_high=budget.wrong_promotion,
    )


def _broken(comparison: Comparison, paired: Paired) -> str:
    """Which outcome lies outside the range, and what to do."""
    sides = [side for side in (paired.candidate, paired.stable) if side.count.any()]
    low = min(float(side.low[side.count > 0].min()) for side in sides)
    high = max(float(side.high[side.count > 0].max()) for side in sides)
    certain = comparison.certain
    below = certain.low is not None and low < certain.low
    seen, origin = (low, comparison.origin[0]) if below else (high, comparison.origin[1])
    mend = "correct compare.range"
    if origin is RangeOrigin.TASK:
        mend = (
            "it follows from the rewards and the cap of the environment that both were trained in, so set compare.range"
        )
    return (
        f"an outcome of {seen:.6g} lies outside the range that every outcome is promised to lie in, {_range(certain)}: "
        f"{mend}; nothing is decided by what rests on it"
    )


def _range(certain: Range) -> str:
    low, high = ("?" if end is None else f"{end:.6g}" for end in (certain.low, certain.high))
    return f"{low} to {high}"


def _decide(evidence: Evidence, counted: str, *, failed: bool, passed: bool) -> Evidence:
    """A tie goes to Fail: undoing a wrong rollback is cheap."""
    if failed:
        return replace(evidence, verdict=Verdict.FAIL, message=_worse(evidence, counted))
    if passed:
        message = "not worse than stable by as much as the allowed regression"
        return replace(evidence, verdict=Verdict.PASS, message=message)
    message = "neither shown to be worse than stable nor to be within the allowed regression"
    if counted == "users":
        message += "; only users who come for the first time in this trial are further evidence"
    return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=message)


def _worse(evidence: Evidence, counted: str) -> str:
    """The numbers behind a Fail; it is final, so they may stand in the message."""
    sides = " against ".join(
        f"mean {side.mean:.6g} over {side.episodes} {counted}"
        for side in (evidence.candidate, evidence.stable)
        if side is not None and side.mean is not None
    )
    low, high = evidence.interval or (None, None)
    return f"worse than stable: {sides}; the difference within the same windows lies between {low:.6g} and {high:.6g}"
