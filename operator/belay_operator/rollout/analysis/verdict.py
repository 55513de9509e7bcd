"""Whether a candidate is worse than stable, shown not to be, or neither yet: one metric, one look.

Two claims race. **Fail**: the candidate is worse than stable. **Pass**: it is not worse by as much as the allowed
regression. Both are anytime-valid, so looking again costs nothing. A candidate between the two (worse, but by less
than allowed) may get either answer, and either is right. Neither claim proven is NotEnoughSamples; nothing measured is
NoData; nobody answering is ProviderDown. They are never folded together, and nothing measured never passes.

The missing rate is tested beside the outcome, on the same windows with an error of its own: a candidate that falls
silent in its worst episodes shows nothing in the rest. It fails alone; and no outcome passes while the candidate may
be missing MISSING_MARGIN more of its episodes than stable.

`budget` says how the stated error is split, `limits` judges guard rails, `combine` is the whole rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from belay_api.reasons import Verdict
from belay_operator.rollout.analysis.betting import interval, log_wealth, log_wealth_below
from belay_operator.rollout.analysis.budget import Budget
from belay_operator.rollout.analysis.evidence import Better, Comparison, Evidence, Paired, StartWindow, pair, summary
from belay_operator.rollout.analysis.sequential import (
    FLOOR,
    MIN_PER_WINDOW,
    TIGHTEST_AT,
    bound_width,
    boundary,
    stratified_difference,
)

MISSING_MARGIN = 0.10  # of episodes: as much as the usual allowed regression could hide behind


def judge(
    comparison: Comparison,
    candidate: Sequence[StartWindow] | None,
    stable: Sequence[StartWindow] | None,
    *,
    budget: Budget,
) -> Evidence:
    """Return the verdict on one compared metric from its start windows.

    Args:
        candidate, stable: All windows since the candidate first had a weight, of either version; None: the provider
            did not answer, which is not the same as no windows.
        budget: What this metric may spend, from `budget.split`.
    """
    empty = Evidence(comparison.metric, Verdict.PROVIDER_DOWN, "the logbook does not answer")
    if candidate is None or stable is None:
        return empty
    evidence = replace(empty, candidate=summary(candidate), stable=summary(stable))
    paired = pair(candidate, stable)
    missing = _judge_missing(paired, evidence, budget)
    if missing.verdict is Verdict.FAIL:
        return missing
    for side, windows in (("the candidate", candidate), ("stable", stable)):
        if not any(window.count for window in windows):
            message = f"no episode of {side} has ended within grace yet"
            return replace(missing, verdict=Verdict.NO_DATA, message=message)
    outcome = _judge_outcome(comparison, paired, missing, budget)
    if outcome.verdict is Verdict.PASS and missing.verdict is not Verdict.PASS:
        return replace(outcome, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=missing.message)
    return outcome


def _judge_missing(paired: Paired, evidence: Evidence, budget: Budget) -> Evidence:
    """The verdict on the missing rate alone: Fail, Pass or NotEnoughSamples."""
    candidate, stable = paired.silences()
    if log_wealth(candidate, stable) >= np.log(1 / budget.missing):
        share = [side.ones.sum() / max(side.total.sum(), 1.0) for side in (candidate, stable)]
        message = (
            f"{share[0]:.1%} of the candidate's episodes did not end within grace of their start, against "
            f"{share[1]:.1%} of stable's: the candidate falls silent"
        )
        return replace(evidence, verdict=Verdict.FAIL, message=message)
    if log_wealth_below(candidate, stable, shift=MISSING_MARGIN) >= np.log(1 / budget.wrong_promotion):
        return replace(evidence, verdict=Verdict.PASS, message="")
    message = f"it is not shown yet that the candidate misses less than {MISSING_MARGIN:.0%} more of its episodes"
    return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=message)


def _judge_outcome(comparison: Comparison, paired: Paired, evidence: Evidence, budget: Budget) -> Evidence:
    """The verdict on the outcome alone, by the exact test where every outcome is 0 or 1."""
    if comparison.binary is None:
        # Which test runs depends on what has been seen, and the first may give way to the second: both pay.
        budget = budget.halved()
    if comparison.binary and not paired.all_binary:
        message = "an outcome other than 0 and 1 was reported; this metric is judged as 0 or 1 and cannot be"
        return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=message)
    if paired.all_binary and comparison.binary is not False:
        return _judge_binary(comparison, paired, evidence, budget)
    return _judge_mean(comparison, paired, evidence, budget)


def _judge_mean(comparison: Comparison, paired: Paired, evidence: Evidence, budget: Budget) -> Evidence:
    """Confidence sequences on the difference of means (`sequential`)."""
    sign = comparison.better.value
    plain = stratified_difference(paired.candidate, paired.stable)
    if plain.count < FLOOR:
        message = (
            f"fewer than {FLOOR} episodes of a side so far, in windows where both have at least {MIN_PER_WINDOW}; "
            "if traffic is thin, a longer analysis.window brings more together"
        )
        return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=message)
    value, reference = float(plain.value), float(plain.reference)
    worst = float(bound_width(plain, alpha=budget.outcome))

    margin, best = comparison.margin, float(bound_width(plain, alpha=budget.wrong_promotion))
    clear = True
    if comparison.relative:
        # The margin is itself an estimate, so its error belongs into the bound: compare with (1 - margin) * stable.
        # That needs the sign of stable's mean; near 0 a percentage means nothing.
        multiple = boundary(plain.count, alpha=budget.wrong_promotion, tightest_at=TIGHTEST_AT)
        clear = bool(abs(reference) > plain.reference_error * multiple)
        factor = 1 - sign * comparison.margin * np.sign(reference)
        scaled = stratified_difference(paired.candidate, paired.stable, factor=factor)
        margin = comparison.margin * abs(reference)
        best = float(bound_width(scaled, alpha=budget.wrong_promotion))

    # In the direction of "better": fails with its upper bound below 0, passes with its lower bound above -margin.
    gain = sign * value
    low, high = gain - best, gain + worst
    evidence = replace(
        evidence,
        difference=value,
        interval=(low, high) if sign > 0 else (-high, -low),
        fail_below=0.0,
        pass_above=-sign * margin if clear else None,
    )
    if not clear and high >= 0:
        message = (
            "stable's mean is too close to 0 for a margin in percent: this can fail but not pass. Judge a cost with "
            "maxIncrease, or report an outcome whose mean is away from 0"
        )
        return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=message)
    return _decide(evidence, failed=high < 0, passed=clear and low > -margin)


def _judge_binary(comparison: Comparison, paired: Paired, evidence: Evidence, budget: Budget) -> Evidence:
    """Betting on the two frequencies (`betting`)."""
    candidate, stable = paired.outcomes()
    reference = _frequency_under_candidate_weights(paired)
    more = comparison.better is Better.MORE
    margin = comparison.margin * (reference or 0.0) if comparison.relative else comparison.margin
    change = -comparison.margin if more else comparison.margin
    shift, factor = (0.0, 1 + change) if comparison.relative else (change, 1.0)

    against, in_favour = (log_wealth_below, log_wealth) if more else (log_wealth, log_wealth_below)
    failed = bool(against(candidate, stable) >= np.log(1 / budget.outcome))
    passed = bool(in_favour(candidate, stable, shift=shift, factor=factor) >= np.log(1 / budget.wrong_promotion))

    alphas = (budget.wrong_promotion, budget.outcome) if more else (budget.outcome, budget.wrong_promotion)
    low, high = interval(candidate, stable, alpha_low=alphas[0], alpha_high=alphas[1])
    # A rejected claim is outside the interval; the search for its ends is coarser than the test.
    if failed:
        low, high = (low, min(high, 0.0)) if more else (max(low, 0.0), high)
    elif passed:
        low, high = (max(low, -margin), high) if more else (low, min(high, margin))
    difference = stratified_difference(paired.candidate, paired.stable).value
    evidence = replace(
        evidence,
        difference=None if np.isnan(difference) else float(difference),
        interval=(low, high),
        fail_below=0.0,
        pass_above=-margin if more else margin,
    )
    return _decide(evidence, failed=failed, passed=passed)


def _frequency_under_candidate_weights(paired: Paired) -> float | None:
    reference = float(stratified_difference(paired.candidate, paired.stable).reference)
    return None if np.isnan(reference) else reference


def _decide(evidence: Evidence, *, failed: bool, passed: bool) -> Evidence:
    """A tie goes to Fail: undoing a wrong rollback is cheap."""
    if failed:
        return replace(evidence, verdict=Verdict.FAIL, message=_worse(evidence))
    if passed:
        message = "not worse than stable by as much as the allowed regression"
        return replace(evidence, verdict=Verdict.PASS, message=message)
    message = "neither shown to be worse than stable nor to be within the allowed regression"
    return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=message)


def _worse(evidence: Evidence) -> str:
    """The numbers behind a Fail; it is final, so they may stand in the message."""
    sides = " against ".join(
        f"mean {side.mean:.6g} over {side.episodes} episodes"
        for side in (evidence.candidate, evidence.stable)
        if side is not None and side.mean is not None
    )
    low, high = evidence.interval or (None, None)
    return f"worse than stable: {sides}; the difference within the same windows lies between {low:.6g} and {high:.6g}"
