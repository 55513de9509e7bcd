"""Guard rails: a measurement of the candidate alone against a fixed limit.

Latency and errors need no statistics and no grace; they must act at once, but one bad look is noise. So breaches are
counted, a good look takes one away (a candidate that is bad two looks in three still fails), and the counter lives in
the rollout's status: it goes in and comes out here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from belay_api.reasons import Verdict
from belay_operator.rollout.analysis.evidence import Evidence

BREACHES_TO_FAIL = 3  # looks; with decay, so 3 in a row or a majority over a longer time


@dataclass(frozen=True, slots=True)
class GuardRail:
    """A bound on one measurement; at least one of the two is set."""

    metric: str  # name in spec.analysis.metrics
    max: float | None = None  # not above, in the measurement's unit; None: no upper limit
    min: float | None = None  # not below; None: no lower limit
    breaches_to_fail: int = BREACHES_TO_FAIL

    def __post_init__(self) -> None:
        if self.max is None and self.min is None:
            raise ValueError(f"metric {self.metric}: a limit needs max or min, neither is set")

    def broken_by(self, value: float) -> bool:
        """Whether a measurement lies beyond the limit; the limit itself is still good."""
        return (self.max is not None and value > self.max) or (self.min is not None and value < self.min)


def judge_limit(rail: GuardRail, value: float | None, *, breaches: int) -> Evidence:
    """Return the verdict on one look at a guard rail, with the counter to record as `breaches`.

    Args:
        value: The measurement; None: the provider did not answer; NaN: it answered that there is nothing to measure.
            Neither moves the counter: they say nothing about the candidate.
        breaches: The counter after the look before, 0 at first.
    """
    if value is None:
        return Evidence(rail.metric, Verdict.PROVIDER_DOWN, "the provider does not answer", breaches=breaches)
    if math.isnan(value):
        return Evidence(rail.metric, Verdict.NO_DATA, "there is nothing to measure", breaches=breaches)
    if not rail.broken_by(value):
        breaches = max(breaches - 1, 0)
        verdict = Verdict.NOT_ENOUGH_SAMPLES if breaches else Verdict.PASS
        message = "within its limit after a breach" if breaches else "within its limit"
        return Evidence(rail.metric, verdict, message, value=value, breaches=breaches)
    breaches = min(breaches + 1, rail.breaches_to_fail)
    if breaches < rail.breaches_to_fail:
        message = "beyond its limit, but not for long enough to tell from noise"
        return Evidence(rail.metric, Verdict.NOT_ENOUGH_SAMPLES, message, value=value, breaches=breaches)
    bound = f"above {rail.max:.6g}" if rail.max is not None and value > rail.max else f"below {rail.min:.6g}"
    message = f"{value:.6g} is {bound}, and {breaches} looks count against it"
    return Evidence(rail.metric, Verdict.FAIL, message, value=value, breaches=breaches)
