"""When verdicts are worth a write: at once where one says something else, now and then where only numbers run.

A look a second would else be a write a second. Numbers that are held back are due by the clock, and not only when the
next measurement comes: there may be none.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from belay_api.rollout.verdicts import MetricVerdict

WRITE_EVERY = timedelta(seconds=5)


def write_after(
    recorded: Iterable[MetricVerdict], verdicts: Iterable[MetricVerdict], now: datetime
) -> timedelta | None:
    """Return when numbers that are held back are due to be written, 0 or less: now; None when none are held back."""
    known = {verdict.metric: verdict for verdict in recorded}
    held_back = [
        before.at
        for verdict in verdicts
        if (before := known.get(verdict.metric)) is not None and not _same_numbers(before, verdict)
    ]
    if not held_back:
        return None
    age = now - min(held_back)
    # An operator whose clock was ahead of ours wrote these: nothing is known of their age.
    return WRITE_EVERY - age if age >= timedelta() else timedelta()


def are_news(recorded: Sequence[MetricVerdict], verdicts: Sequence[MetricVerdict]) -> bool:
    """Return whether something other than running numbers has changed."""
    return [_situation(verdict) for verdict in recorded] != [_situation(verdict) for verdict in verdicts]


def _situation(verdict: MetricVerdict) -> tuple[object, ...]:
    return (
        verdict.metric,
        verdict.definition,
        verdict.verdict,
        verdict.message,
        verdict.evidence_since,
        verdict.anchor and (verdict.anchor.policy, verdict.anchor.verdict, verdict.anchor.message),
    )


def _same_numbers(before: MetricVerdict, now: MetricVerdict) -> bool:
    return before.model_copy(update={"at": now.at}) == now
