"""This pass's verdicts differ from those on record: they are recorded.

First, where somebody edited what the candidate is judged by, that another test of it has begun: it has its own error.

`recording` says when they are worth a write.

A metric with dryRun that fails is told when its Fail is recorded, because nothing else follows. What the
candidate has lost is written with the verdicts, and never by itself.
"""

from datetime import datetime, timedelta

from belay_api.reasons import EventReason, Verdict
from belay_operator.engine.plan import Note
from belay_operator.rollout import recording
from belay_operator.rollout.move import Move, changed, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.regret import regret
from belay_operator.rollout.trials import begun, redefined


def act(observed: Observed, now: datetime) -> Move | None:
    """Record the verdicts, and the candidate's share of requests beside them."""
    verdicts, weight, analysis = observed.verdicts, observed.status.weight, observed.spec.analysis
    if verdicts is None or observed.rolling_back:
        return None
    if redefined(observed.status, analysis):
        return Move(changed(observed.status, trials=begun(observed.status, analysis)))
    left = write_after(observed, now)
    if not recording.are_news(observed.status.verdicts, verdicts) and (left is None or left > timedelta()):
        return None
    share = _observed_share(observed)
    if weight is not None and share is not None:
        weight = weight.model_copy(update={"observed": share})
    after = changed(observed.status, verdicts=list(verdicts), weight=weight, regret=regret(observed))
    return Move(after, _dry_failures(observed))


def _dry_failures(observed: Observed) -> tuple[Note, ...]:
    """What is told of metrics that fail and decide nothing."""
    known = {v.metric: v.definition for v in observed.status.verdicts if v.verdict is Verdict.FAIL}
    return tuple(
        note(
            EventReason.DRY_RUN_FAILED,
            f"{verdict.metric}: {verdict.message}. Nothing follows, because the metric says dryRun",
            warning=True,
        )
        for verdict in observed.verdicts or ()
        if verdict.dry_run and verdict.verdict is Verdict.FAIL and known.get(verdict.metric) != verdict.definition
    )


def write_after(observed: Observed, now: datetime) -> timedelta | None:
    """Return when numbers that are held back are due to be written, 0 or less: now; None when none are held back."""
    return recording.write_after(observed.status.verdicts, observed.verdicts or (), now)


def _observed_share(observed: Observed) -> float | None:
    """The candidate's share of requests in percent, by its pods' own counters; None: not measured."""
    status = observed.status
    if status.candidate is None or status.stable is None:
        return None
    anchor = status.served_anchor if status.weight is not None and status.weight.anchor else None
    sides = [side.policy for side in (status.candidate, status.stable, anchor) if side is not None]
    facts = [observed.serving.get(policy) for policy in sides]
    counts = [fact.requests for fact in facts if fact is not None and fact.requests is not None]
    if len(counts) < len(sides) or not sum(counts):
        return None
    return round(100 * counts[0] / sum(counts), 1)
