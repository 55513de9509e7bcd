"""What a rollout tells: a trial's beginning and end, a rollback's, an experiment's, whom it waits for, what is wrong.

What passes by itself in moments is not told: a route about to be accepted, pods about to be ready. Metrics tell that.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from belay_api.reasons import EventReason, RolloutReason
from belay_api.units import parse_instant
from belay_operator.notify.told.telling import Happened, Severity, Status, Telling

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
_SUPERSEDED = "Superseded"  # a rollback of this reason is nobody's trouble: another policy is wanted
_WENT_BACK = frozenset({"Undone", "Degraded"})  # one of these withdraws what was stable, which begins no trial


def happened(status: Status) -> Iterable[Happened]:
    """Return the trials and the experiment that `status` knows of, and the rollback under way or last."""
    candidate, stable, history = status.get("candidate"), status.get("stable"), list(status.get("history") or ())
    rollback = status.get("rollback") or {}
    promotions = {(one["policy"], one["endedAt"]) for one in history if one["outcome"] == "Promoted"}
    for entry in history:
        if (entry["policy"], entry["startedAt"]) not in promotions:  # else it was stable before, and taken back
            yield _started(entry, entry["startedAt"], "")
        # Verdicts stay until another candidate is taken up: then they are that one's.
        yield _ended(entry, facts(status) if entry is history[-1] and not candidate else {})
    if candidate and rollback.get("reason") not in _WENT_BACK:
        yield _started(candidate, candidate["since"], f", instead of {stable['policy']}" if stable else "")
    if status.get("experiment"):
        yield from _competing(status["experiment"])
    if rollback:
        yield Happened(
            reason=str(EventReason.ROLLBACK_STARTED),
            at=parse_instant(rollback["decidedAt"]),
            severity=_severity(rollback.get("reason")),
            message=f"{rollback['policy']} is withdrawn: {rollback['message']}",
            policy=rollback["policy"],
            facts=(facts(status) if candidate else {})
            | {"cause": rollback["reason"]}
            | ({"metric": rollback["metric"]} if rollback.get("metric") else {}),
        )


def _competing(experiment: Mapping[str, Any]) -> Iterable[Happened]:
    """An experiment's beginning, each arm that was taken out, and the end."""
    names, metric = ", ".join(sorted(arm["policy"] for arm in experiment["arms"])), experiment["metric"]
    yield Happened(
        reason=str(EventReason.EXPERIMENT_STARTED),
        at=parse_instant(experiment["begunAt"]),
        severity=INFO,
        message=f"{names} compete with {experiment['stable']} by {metric}",
        facts={"metric": metric},
    )
    for arm in experiment["arms"]:
        if "withdrawnAt" in arm:
            yield Happened(
                reason=str(EventReason.ARM_WITHDRAWN),
                at=parse_instant(arm["withdrawnAt"]),
                severity=WARNING,
                message=f"{arm['policy']}: {arm['message']}",
                policy=arm["policy"],
                facts={"digest": arm["digest"], "outcome": arm["outcome"]},
            )
    if "decidedAt" in experiment:
        winner = experiment.get("winner")
        yield Happened(
            reason=str(EventReason.EXPERIMENT_ENDED),
            at=parse_instant(experiment["decidedAt"]),
            severity=INFO if winner else WARNING,
            message=experiment["message"],
            policy=winner,
            facts={"metric": metric},
        )


def facts(status: Status) -> dict[str, Any]:
    """Return who serves and who is on trial, with its weight, step and verdicts."""
    found: dict[str, Any] = {}
    for role in ("stable", "candidate"):
        if status.get(role):
            found[role] = {"policy": status[role]["policy"], "digest": status[role]["digest"]}
    if (applied := (status.get("weight") or {}).get("applied")) is not None:
        found["weight"] = applied
    if status.get("step"):
        found["step"] = {"index": status["step"]["index"], "kind": status["step"]["kind"]}
    verdicts = [{"metric": one["metric"], "verdict": one["verdict"]} for one in status.get("verdicts") or ()]
    return found | ({"verdicts": verdicts} if verdicts else {})


def _severity(reason: str | None) -> Severity:
    """Of a rollback, its beginning and its end. None: by a Belay that did not record it."""
    return INFO if reason == _SUPERSEDED else WARNING


def _started(version: Mapping[str, Any], since: str, instead: str) -> Happened:
    return Happened(
        reason=str(EventReason.ROLLOUT_STARTED),
        at=parse_instant(since),
        severity=INFO,
        message=f"{version['policy']} is the candidate{instead}",
        policy=version["policy"],
        facts={"digest": version["digest"]},
    )


def _ended(entry: Mapping[str, Any], more: Mapping[str, Any]) -> Happened:
    promoted, message = entry["outcome"] == "Promoted", entry.get("message") or ""
    outcome = {"Promoted": "is stable", "RolledBack": "was taken back", "Withdrawn": "was withdrawn"}
    words = f"{entry['policy']} {outcome.get(entry['outcome'], 'ended')}"
    return Happened(
        reason=str(EventReason.PROMOTED if promoted else EventReason.ROLLED_BACK),
        at=parse_instant(entry["endedAt"]),
        severity=INFO if promoted else _severity(entry.get("reason")),
        message=f"{words}{', ' if promoted else ': '}{message}" if message else words,
        policy=entry["policy"],
        facts={**more, "digest": entry["digest"], "outcome": entry["outcome"]},
    )


TELLING = Telling(
    kind="RLRollout",
    plural="rlrollouts",
    word="rollout",
    happens=tuple(
        str(reason)
        for reason in (
            EventReason.ROLLOUT_STARTED,
            EventReason.ROLLBACK_STARTED,
            EventReason.ROLLED_BACK,
            EventReason.PROMOTED,
            EventReason.EXPERIMENT_STARTED,
            EventReason.ARM_WITHDRAWN,
            EventReason.EXPERIMENT_ENDED,
        )
    ),
    happened=happened,
    situations={
        "Ready": {
            str(reason): severity
            for reason, severity in {
                RolloutReason.PAUSED: INFO,
                RolloutReason.APPROVAL_NEEDED: WARNING,
                RolloutReason.HOLDING: WARNING,
                RolloutReason.GRACE_TOO_SHORT: WARNING,
                RolloutReason.VERDICT_FAILED: ERROR,
                RolloutReason.JOB_FAILED: ERROR,
                RolloutReason.STABLE_LOST: ERROR,
                RolloutReason.INVALID_SPEC: ERROR,
                RolloutReason.CHILD_CONFLICT: ERROR,
                RolloutReason.CHILD_REFUSED: ERROR,
            }.items()
        },
        "Degraded": {str(RolloutReason.STABLE_WORSE): ERROR},
        "Unwatched": {str(RolloutReason.STABLE_UNWATCHED): WARNING},
        "SampleRatio": {str(RolloutReason.SAMPLE_RATIO_MISMATCH): WARNING},
        "CoarseWeight": {str(RolloutReason.TOO_FEW_PODS): WARNING},
        "QueryRefused": {str(RolloutReason.QUERY_REFUSED): WARNING},
        "GatewayNotSetUp": {str(RolloutReason.GATEWAY_NOT_SET_UP): WARNING},
    },
    facts=facts,
)
