"""The good end: stable := candidate, and the version before stays warm for a while.

Promotion swaps two names in status. The route says the same before and after (all new episodes to the candidate, both
versions pinned), and no pod restarts.
"""

from collections.abc import Mapping
from datetime import datetime

from belay_api.conditions import clear_condition
from belay_api.reasons import EventReason, Verdict
from belay_api.rollout.outcome import Action
from belay_api.rollout.status import HistoryEntry, RLRolloutStatus, SkippedStep, VersionStatus, WarmStatus
from belay_operator.rollout import watch
from belay_operator.rollout.facts import Reading
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.ratchet import after_promotion
from belay_operator.rollout.route import WARM_LEAD

KEEP_HISTORY = 10


def promote(observed: Observed, now: datetime, *, judged: bool) -> Move:
    """Return the promotion of the candidate; `judged`: by its verdicts. Raises: ValueError where there is none."""
    status, candidate = observed.status, observed.status.candidate
    if candidate is None:
        raise ValueError("only a candidate can be promoted")
    at, old = instant(now), status.stable
    # Shorter than the lead, the warm version's rule would outlive its pods. One that is lost cannot be kept.
    until = at + max(observed.spec.bake.keep_warm, WARM_LEAD)
    keeps = old is not None and not observed.stable_lost
    words = f"instead of {old.policy}" if old else "the first version"
    entry = HistoryEntry(
        policy=candidate.policy,
        digest=candidate.digest,
        outcome="Promoted",
        started_at=candidate.since,
        ended_at=at,
        message="".join((words, _without(status), _skipped(status.skipped))),
    )
    after = changed(
        status,
        stable=VersionStatus(policy=candidate.policy, digest=candidate.digest, since=at),
        anchor=after_promotion(status, candidate, judged=judged, now=now),
        previous=WarmStatus(policy=old.policy, digest=old.digest, until=until) if old and keeps else None,
        candidate=None,
        step=None,
        paused=None,
        skipped=[],
        weight=None,
        analysis_started_at=None,
        weight_changes=[],
        weight_history=[],
        watch=watch.begun(candidate.policy, observed.spec.analysis, trial=_trial(observed), status=status, at=at),
        conditions=clear_condition(list(status.conditions), watch.DEGRADED),
        history=[*status.history, entry][-KEEP_HISTORY:],
    )
    return Move(after, (note(EventReason.PROMOTED, f"{candidate.policy} is stable, {entry.message}"),))


def _trial(observed: Observed) -> Mapping[str, Reading]:
    """What a reference for the watch is taken from: it counts all episodes, and a trial by user the first of each."""
    return {} if observed.spec.traffic.by_user else observed.readings


def _without(status: RLRolloutStatus) -> str:
    """Which metrics the rollout went on without, because the spec says so."""
    names = [
        verdict.metric
        for verdict in status.verdicts
        if verdict.followed is not None
        and verdict.followed.action is Action.CONTINUE
        and verdict.verdict is not Verdict.PASS
    ]
    return f", without a Pass of {', '.join(names)}" if names else ""


def _skipped(skipped: list[SkippedStep]) -> str:
    """The steps that a person ended before their time, for the record."""
    if not skipped:
        return ""
    return "; skipped: " + ", ".join(f"step {one.index + 1} ({one.kind}) by skip@{one.command}" for one in skipped)
