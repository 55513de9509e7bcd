"""A training as one Indexed Job of Kubernetes: an index is a seed, and each of its lives a pod.

RLTrainingJob ──owns──▶ Job `<name>-a<attempt>` ──owns──▶ pods, one per index and life
                               └ conditions, index ranges      └ termination messages, failure counts

The Job counts: retries of each index, how many must succeed and may fail, the deadline, and what an exit code means.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from belay_api import names
from belay_api.reasons import TrainingReason
from belay_api.training import RLTrainingJobSpec, SeedPhase
from belay_api.units import parse_instant
from belay_operator.children import Owner
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Manifest, Ref
from belay_operator.specs import InvalidSpec
from belay_operator.trainer_pod import CONTAINER
from belay_operator.training import build
from belay_operator.training.clock import seconds_left
from belay_operator.training.observed import Observed, SeedView, WorkloadEnd, WorkloadView
from belay_operator.training.workloads.trainer_pod import TrainerPod, trainer_pods
from belay_operator.waiting import cannot_start

API_VERSION, KIND = "batch/v1", "Job"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"  # failures that counted, before this pod
_REASONS = {  # of a Failed condition; every other one means that too many indexes failed
    "DeadlineExceeded": TrainingReason.DEADLINE_EXCEEDED,
    "PodFailurePolicy": TrainingReason.BAD_CONFIGURATION,  # a pod ended with EXIT_BAD_CONFIG: the only rule that fails
}
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_LENGTH = 63  # of a label value, and of `<job>-<index>`, an Indexed Job's host names
_NEVER = "0001-01-01T00:00:00Z"


class IndexedJob:
    """See `Workload`."""

    searching = False

    def count(self, spec: RLTrainingJobSpec) -> int:
        """Return how many indexes there are."""
        return spec.seeds.count

    def at_once(self, spec: RLTrainingJobSpec) -> int:
        """Return how many of them are at work at once."""
        return min(spec.seeds.parallelism or spec.seeds.count, spec.seeds.count)

    def changeable(self, spec: RLTrainingJobSpec, *, suspended: bool, seconds_left: int | None) -> dict[str, Any]:
        """Return the fields of the Job that follow what may change in the training's spec and status."""
        limit = {} if seconds_left is None else {"activeDeadlineSeconds": seconds_left}
        return {"suspend": suspended, "parallelism": self.at_once(spec), **limit}

    def ends(self, observed: Observed) -> dict[str, Any]:
        """Return the fields of the Job that say when it is over."""
        count, required = observed.spec.seeds.count, observed.required
        early = {"successPolicy": {"rules": [{"succeededCount": required}]}} if required < count else {}
        return {"maxFailedIndexes": count - required, **early}

    def check(self, owner: Owner, spec: RLTrainingJobSpec) -> None:
        """See `Workload.check`: pods must get a host name."""
        last = f"{build.workload_name(owner.name, 1, searching=self.searching)}-{self.count(spec) - 1}"
        if not _LABEL.fullmatch(owner.name) or len(last) > _LABEL_LENGTH:
            raise InvalidSpec(
                f"metadata.name: {owner.name} cannot name pods: {last} must be a DNS label of at most {_LABEL_LENGTH} "
                "characters. Nothing is started. Create the job under a shorter name without dots."
            )

    def view(
        self,
        owner: Owner,
        spec: RLTrainingJobSpec,
        reader: Reader,
        *,
        attempt: int,
        suspended: bool,
        seconds_left: int | None,
    ) -> WorkloadView:
        """See `Workload.view`."""
        name = build.workload_name(owner.name, attempt, searching=self.searching)
        job = reader.get(KIND, owner.namespace, name)
        if job is None or not owner.owns(job):
            return WorkloadView(KIND, name, exists=job is not None)
        annotations = job["metadata"].get("annotations") or {}
        edited = build.is_edited(annotations, spec)
        status = job.get("status") or {}
        wanted = self.changeable(spec, suspended=suspended or edited, seconds_left=seconds_left)
        held = {"suspend": False, "activeDeadlineSeconds": None, **job["spec"]}
        outdated = any(held.get(name, value) != value for name, value in wanted.items())
        pods = trainer_pods(reader.owned("Pod", job["metadata"]["uid"]))
        whole = reader.whole(KIND, owner.namespace, name) if outdated else None
        end, paused_at = _end(status), _paused_at(status)
        return WorkloadView(
            kind=KIND,
            name=name,
            exists=True,
            ours=True,
            deleting="deletionTimestamp" in job["metadata"],
            ref=Ref.of(API_VERSION, job),
            outdated=outdated,
            edited=edited,
            at_rest=held["suspend"] and all(pod.view.phase in ("Succeeded", "Failed") for pod in pods),
            annotations=annotations,
            spec=whole and whole["spec"],
            end=end,
            ending=_ending(status),
            started_at=min((pod.started_at for pod in pods if pod.started_at is not None), default=None),
            runs_since=None if end or paused_at else _instant(status.get("startTime")),
            stopped_at=end.at if end else paused_at,
            seeds=_seeds(self.count(spec), status, pods),
            cannot_be_made=None if pods else reader.fact("creation", owner.namespace, name),
            cannot_start=cannot_start([pod.view for pod in pods], reader.fact("starting", owner.namespace, name)),
            unschedulable=min((words for pod in pods if (words := pod.view.unschedulable)), default=None),
        )

    def objects(self, observed: Observed) -> tuple[Manifest, ...]:
        """See `Workload.objects`. Hardly a field of a Job may change, and its pods' template least of all."""
        held = observed.workload.spec
        body = self._new(observed) if held is None else {**held, **self._changeable(observed)}
        return (build.workload_object(observed, API_VERSION, KIND, body),)

    def _new(self, observed: Observed) -> dict[str, Any]:
        spec = observed.spec
        return {
            **self._changeable(observed),
            "completionMode": "Indexed",
            "completions": self.count(spec),
            "backoffLimitPerIndex": spec.failure.retries_per_seed,
            "podFailurePolicy": _pod_failure_policy(),
            "podReplacementPolicy": "Failed",  # the next pod starts when the last is gone: one writer per index
            "template": build.pod_template(observed),
            **self.ends(observed),
        }

    def _changeable(self, observed: Observed) -> dict[str, Any]:
        left = seconds_left(observed.spec, observed.status)
        return self.changeable(observed.spec, suspended=observed.suspended, seconds_left=left)


def indexes(ranges: str) -> frozenset[int]:
    """Return the indexes in a Job's text form.

    >>> sorted(indexes("0,2-4"))
    [0, 2, 3, 4]
    """
    found: set[int] = set()
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _pod_failure_policy() -> dict[str, Any]:
    def exits(action: str, code: int) -> dict[str, Any]:
        return {"action": action, "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [code]}}

    # First match wins. The exit codes come first: a pod that refused its configuration is not a disruption even if its
    # node is being drained at the same time.
    return {
        "rules": [
            exits("FailJob", names.EXIT_BAD_CONFIG),
            exits("FailIndex", names.EXIT_DIVERGED),
            exits("Ignore", names.EXIT_INTERRUPTED),  # deleted by hand, say, which Kubernetes calls no disruption
            # An eviction by the kubelet carries the same condition: see ../evictions.py.
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]
    }


def _end(status: Mapping[str, Any]) -> WorkloadEnd | None:
    conditions = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    if "Complete" in conditions:
        at = status.get("completionTime") or conditions["Complete"].get("lastTransitionTime")
        return WorkloadEnd(TrainingReason.SUCCEEDED, parse_instant(at or _NEVER))
    if "Failed" in conditions:
        failed = conditions["Failed"]
        reason = _REASONS.get(failed.get("reason", ""), TrainingReason.TOO_FEW_SEEDS)
        at = failed.get("lastTransitionTime")
        return WorkloadEnd(reason, parse_instant(at or _NEVER), failed.get("message", ""))
    return None


def _paused_at(status: Mapping[str, Any]) -> datetime | None:
    """Return since when the Job's controller takes it for suspended; None: it does not."""
    conditions = status.get("conditions") or ()
    paused = (c for c in conditions if c["type"] == "Suspended" and c.get("status") == "True")
    return next((parse_instant(c.get("lastTransitionTime") or _NEVER) for c in paused), None)


def _instant(text: str | None) -> datetime | None:
    return parse_instant(text) if text else None


def _ending(status: Mapping[str, Any]) -> bool:
    """Whether the Job will complete or fail: its controller first asks its pods to go, and says the end after them."""
    return any(
        c["type"] in ("SuccessCriteriaMet", "FailureTarget") and c.get("status") == "True"
        for c in status.get("conditions") or ()
    )


def _seeds(count: int, status: Mapping[str, Any], pods: Sequence[TrainerPod]) -> dict[int, SeedView]:
    completed, failed = indexes(status.get("completedIndexes", "")), indexes(status.get("failedIndexes", ""))
    lives = _by_index(pods)
    return {
        index: _seed(lives.get(index, ()), completed=index in completed, failed=index in failed)
        for index in range(count)
    }


def _seed(pods: Sequence[TrainerPod], *, completed: bool, failed: bool) -> SeedView:
    # A Job that fails because of a refused configuration fails as a whole, and lists no failed index.
    failed = failed or any(pod.refused for pod in pods)
    return SeedView(
        end=SeedPhase.FAILED if failed else SeedPhase.SUCCEEDED if completed else None,
        at_work=any(pod.at_work for pod in pods),
        retries=max((int(pod.view.annotations.get(FAILURES, 0)) for pod in pods), default=0),
        evictions=tuple(
            life.began_at for pod in pods if pod.view.counts_only_here(CONTAINER) and (life := pod.life) is not None
        ),
        reports=tuple(report for pod in pods for report in pod.reports),
        report_elsewhere=next((pod.report_elsewhere for pod in pods if pod.report_elsewhere), None),
        image=next((pod.image for pod in pods if pod.published), None),
        obstacle=pods[-1].obstacle if pods else None,
        failure=next((pod.failure for pod in reversed(pods) if pod.failure is not None), None),
        lives=tuple(life for pod in pods if (life := pod.life) is not None),
    )


def _by_index(pods: Sequence[TrainerPod]) -> dict[int, list[TrainerPod]]:
    found: dict[int, list[TrainerPod]] = {}
    for pod in pods:
        index = pod.view.annotations.get(INDEX) or pod.view.labels.get(INDEX)
        if index is not None:
            found.setdefault(int(index), []).append(pod)
    return found
