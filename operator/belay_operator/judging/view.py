"""What the Job of a question and its pods tell, as the cache has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from belay_api.judging_job import JudgingReport
from belay_api.units import parse_instant
from belay_operator.children import Owner
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Ref
from belay_operator.judging.build import API_VERSION, KIND, job_name
from belay_operator.judging.question import Question
from belay_operator.pods import PodView, pod_view, shorten
from belay_operator.trainer_pod import CONTAINER
from belay_operator.waiting import StoreOutage, cannot_start

_NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a Job ended."""

    complete: bool
    reason: str  # of its condition: PodFailurePolicy, DeadlineExceeded, BackoffLimitExceeded
    message: str  # of its controller
    at: datetime


@dataclass(frozen=True, slots=True)
class JobView:
    """The Job of one question."""

    name: str
    exists: bool = False  # False: never made, or deleted
    ours: bool = False  # False: of a deleted namesake of the owner; the garbage collector still works on it
    deleting: bool = False
    ref: Ref | None = None  # to delete it; None: it is not ours, or goes already
    end: JobEnd | None = None  # None: not yet
    started: bool = False  # a container of a pod of it has run
    report: JudgingReport | None = None  # the newest last word of a pod that can be read
    evictions: int = 0  # of its pods by the kubelet, of which it counted none itself
    spec: Mapping[str, Any] | None = None  # as it is, to be repeated with less time; None: it need not change
    failure: str | None = None  # why the last of its pods that failed did; None: none did, or they are gone
    cannot_be_made: str | None = None  # why it has no pod, in the words of its controller
    cannot_start: str | None = None  # why its pod cannot start, in the kubelet's words
    unschedulable: str | None = None  # why its pod has no place to run, in the scheduler's words
    outage: StoreOutage | None = None  # of the built-in store, where its report is kept; None: it is well

    def evicted_too_often(self, question: Question) -> bool:
        """Whether its pods were evicted more often than its question may be tried again."""
        return self.evictions > question.asked.retries

    def ends_by_evictions(self, question: Question) -> bool:
        """Whether it is to end for that, and does not know it."""
        return self.end is None and self.evicted_too_often(question)

    @property
    def title(self) -> str:
        """The object, as sentences call it."""
        return f"{KIND} {self.name}"


def view(owner: Owner, question: Question, reader: Reader) -> JobView:
    """Return what is known of the question's Job."""
    name = job_name(owner, question)
    job = reader.get(KIND, owner.namespace, name)
    if job is None or not owner.owns(job):
        return JobView(name, exists=job is not None)
    held = map(pod_view, reader.owned("Pod", job["metadata"]["uid"]))
    pods = sorted(held, key=lambda pod: (pod.created_at, pod.name))
    evictions = sum(pod.counts_only_here(CONTAINER) for pod in pods)
    whole = reader.whole(KIND, owner.namespace, name) if evictions > question.asked.retries else None
    return JobView(
        name=name,
        exists=True,
        ours=True,
        deleting="deletionTimestamp" in job["metadata"],
        ref=Ref.of(API_VERSION, job),
        end=_end(job.get("status") or {}),
        started=any(c.started_at is not None for pod in pods for c in pod.containers),
        report=next((said for pod in reversed(pods) if (said := _report(pod)) is not None), None),
        evictions=evictions,
        spec=whole and whole["spec"],
        failure=next((words for pod in reversed(pods) if (words := _failure(pod)) is not None), None),
        cannot_be_made=None if pods else reader.fact("creation", owner.namespace, name),
        cannot_start=cannot_start(pods, reader.fact("starting", owner.namespace, name)),
        unschedulable=next((pod.unschedulable for pod in pods if pod.unschedulable), None),
        outage=reader.fact("store", "", ""),
    )


def _end(status: Mapping[str, Any]) -> JobEnd | None:
    held = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    for kind in ("Complete", "Failed"):
        if kind in held:
            said = held[kind]
            at = parse_instant(said.get("lastTransitionTime") or _NEVER)
            return JobEnd(kind == "Complete", said.get("reason", ""), said.get("message", ""), at)
    return None


def _report(pod: PodView) -> JudgingReport | None:
    container = pod.container(CONTAINER)
    if container is None or container.ended is None or not container.ended.message:
        return None
    try:
        return JudgingReport.model_validate_json(container.ended.message)
    except ValidationError:
        return None  # an image of the user's own may say anything


def _failure(pod: PodView) -> str | None:
    if pod.phase != "Failed":
        return None
    if pod.evicted is not None:
        return f"the kubelet evicted pod {pod.name}: {pod.evicted}"
    report, container = _report(pod), pod.container(CONTAINER)
    if report is not None and report.message:
        return shorten(report.message)
    if container is None:
        return pod.rejected
    return f"pod {pod.name} ended with {container.ended.words}" if container.ended else f"pod {pod.name} failed"
