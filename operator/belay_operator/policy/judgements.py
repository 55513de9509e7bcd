"""What an RLPolicy's spec asks of it, in a Job each, and what comes of that.

    spec.validation ─────────▶ Job ──▶ condition Validated, status.validation
    spec.offlineEvaluation ──▶ Job ──▶ condition EvaluatedOffline, status.offlineEvaluation

An answer goes into status and stays until the spec asks something else and that is answered. Its Job stays for a day,
for whoever wants to read its log. Nothing here touches what serves; `withheld` alone says whether that waits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from belay_api import names
from belay_api.conditions import ConditionStatus, clear_condition, get_condition, set_condition
from belay_api.gates import baseline
from belay_api.policy import BaselinePolicy, RLPolicySpec, RLPolicyStatus
from belay_operator.children import Owner
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Manifest, Note, Ref
from belay_operator.judging import build, offline, validation
from belay_operator.judging.kind import QuestionKind
from belay_operator.judging.question import Question
from belay_operator.judging.standing import Asked, QuestionStanding, standing
from belay_operator.judging.view import view
from belay_operator.named_policy import named
from belay_operator.policy.needs import Demand
from belay_operator.policy.observed import Observed

KINDS: tuple[QuestionKind, ...] = (validation, offline)
LOGS_KEPT = timedelta(days=1)  # of a Job whose answer is recorded


@dataclass(frozen=True, slots=True)
class Judging:
    """Where everything stands that the spec asks, by condition."""

    asked: tuple[Asked, ...]
    standings: dict[str, QuestionStanding]

    def pairs(self) -> Iterator[tuple[Asked, QuestionStanding]]:
        """Each question with its standing."""
        return ((one, self.standings[one.kind.CONDITION]) for one in self.asked)


def asked_of(owner: Owner, spec: RLPolicySpec, status: RLPolicyStatus, reader: Reader) -> tuple[Asked, ...]:
    """Return what the spec asks, with what is known of it."""
    found = []
    for kind in KINDS:
        question = kind.question(owner.name, spec)
        if question is not None:
            question, waits_for = _with_baseline(owner, question, status, reader)
            before = get_condition(status.conditions, kind.CONDITION)
            recorded = getattr(status, kind.FIELD)
            job = view(owner, question, reader)
            found.append(Asked(kind, question, job, recorded, before, waits_for))
    return tuple(found)


def _with_baseline(
    owner: Owner, question: Question, status: RLPolicyStatus, reader: Reader
) -> tuple[Question, str | None]:
    """Return a question with the RLPolicy that its gates compare with, and why that is waited for."""
    name = baseline(question.validation.gates) if question.validation is not None else None
    if name is None:
        return question, None
    if status.baseline is not None and status.baseline.policy == name:
        return replace(question, baseline=status.baseline), None
    other = named(reader, owner.namespace, name, field="spec.validation.gates: performance: betterThan")
    if other.found is None:
        return question, other.missing
    pinned = BaselinePolicy(policy=name, uri=other.found.uri, digest=other.found.digest)
    return replace(question, baseline=pinned), None


def outdated_jobs(owner: Owner, asked: Sequence[Asked], reader: Reader) -> tuple[Ref, ...]:
    """Return the Jobs of questions that the spec no longer asks."""
    wanted = {one.job.name for one in asked}
    jobs = (job for job in reader.owned(build.KIND, owner.uid) if job["metadata"]["name"] not in wanted)
    return tuple(ref for job in jobs if (ref := Ref.of(build.API_VERSION, job)) is not None)


def judge(observed: Observed, now: datetime) -> Judging:
    """Return where everything stands."""
    return Judging(observed.asked, {one.kind.CONDITION: standing(one, now) for one in observed.asked})


def withheld(observed: Observed, asking: Sequence[Demand], judging: Judging) -> QuestionStanding | None:
    """Return the standing of the gates where serving waits for them; None: it does not.

    What is in use stays in use, whatever is asked of it later: it has pods, or a rollout has promoted it.
    """
    found = judging.standings.get(validation.CONDITION)
    required = observed.spec.validation is not None and observed.spec.validation.required
    if found is None or not required or found.said.status is ConditionStatus.TRUE:
        return None
    child = observed.deployment
    in_use = (child is not None and child.asked > 0) or bool(observed.status.desired_replicas)
    return None if in_use or any(demand.stable for demand in asking) else found


def with_judgements(status: RLPolicyStatus, judging: Judging, *, generation: int, now: datetime) -> RLPolicyStatus:
    """Return `status` with the conditions and the answers."""
    conditions, answers = status.conditions, dict[str, Any]()
    answers["baseline"] = next((one.question.baseline for one in judging.asked if one.question.baseline), None)
    for kind in KINDS:
        found = judging.standings.get(kind.CONDITION)
        if found is None:
            conditions = clear_condition(conditions, kind.CONDITION)
            answers[kind.FIELD] = None
            continue
        conditions = set_condition(
            conditions,
            kind.CONDITION,
            found.said.status,
            reason=found.said.reason,
            message=found.said.message,
            generation=generation,
            now=now,
        )
        answers[kind.FIELD] = found.result or getattr(status, kind.FIELD)
    return status.model_copy(update={"conditions": conditions, **answers})


def jobs(observed: Observed, judging: Judging) -> tuple[tuple[Manifest, ...], tuple[Manifest, ...]]:
    """Return what the plan creates and applies."""
    owner, settings = observed.owner, observed.settings
    labels = {names.JUDGED_POLICY_LABEL: owner.name}
    applied: list[Manifest] = []
    for one, found in judging.pairs():
        # A Job may have been made without what its pod mounts: what the API server refuses stops nothing else.
        waits = one.job.ours and not one.job.deleting and one.job.end is None and not one.job.started
        if found.missing or (waits and not found.over):
            applied.append(build.config_map(owner, one.question, settings, labels))
        if found.missing:
            applied.append(build.job(owner, one.question, settings, labels))
        if found.give_up and one.job.spec is not None and not build.is_without_time(one.job.spec):
            applied.append(build.job_without_time(owner, one.question, settings, labels, held=one.job.spec))
    asks = any(one["kind"] == "ConfigMap" for one in applied)
    return (build.secrets(owner, settings) if asks else ()), tuple(applied)


def finished_jobs(judging: Judging, now: datetime) -> tuple[Ref, ...]:
    """Return the Jobs whose logs were kept for long enough."""
    return tuple(
        one.job.ref
        for one, found in judging.pairs()
        if one.job.ref is not None and (left := _log_left(one, found, now)) is not None and left <= timedelta()
    )


def recheck(judging: Judging, now: datetime) -> list[timedelta]:
    """Return when to look again though nothing happens."""
    found = [standing.recheck for standing in judging.standings.values() if standing.recheck is not None]
    left = (_log_left(one, standing, now) for one, standing in judging.pairs() if one.job.ref is not None)
    return [*found, *(one for one in left if one is not None and one > timedelta())]


def notes(observed: Observed, judging: Judging) -> tuple[Note, ...]:
    """Return an event for each question that is over since the last pass."""
    return tuple(
        Note(one.kind.EVENT, found.said.message, warning=found.said.status is not ConditionStatus.TRUE)
        for one, found in judging.pairs()
        if found.over and (one.before is None or one.before.message != found.said.message)
    )


def _log_left(one: Asked, found: QuestionStanding, now: datetime) -> timedelta | None:
    end = one.job.end
    return None if found.result is None or end is None else end.at + LOGS_KEPT - now
