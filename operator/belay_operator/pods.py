"""What a pod's status says, in the few facts that decisions need.

Everything is read from the pod object alone. What the kubelet only tells in Events (a ConfigMap that cannot be mounted)
is not seen here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from belay_api import names
from belay_api.units import parse_instant, parse_quantity

# Waiting for one of these does not end without somebody's help; ContainerCreating and PodInitializing do.
_CANNOT_START = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
_EVICTED = "Evicted"  # a node that shuts down says Terminated, one that makes room for a critical pod Preempting
_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff"})
_MESSAGE_LENGTH = 512  # of foreign words in ours: a stack trace does not belong in a condition


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended."""

    exit_code: int
    reason: str  # the kubelet's: Completed, Error, OOMKilled, ...
    message: str  # the container's own last word, from its termination message; empty: it said nothing
    at: datetime | None  # None: the kubelet does not know

    @property
    def words(self) -> str:
        """The end as a phrase for people, without the container's own message."""
        return f"exit code {self.exit_code} ({self.reason})" if self.reason else f"exit code {self.exit_code}"


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container of a pod."""

    name: str
    ready: bool
    running: bool
    started_at: datetime | None  # of its present or last life
    ended: Ended | None  # its last end, also while it waits for or is in its next life
    waiting: str | None  # why it cannot start, in the kubelet's words; None: it can
    image: str | None  # what it runs, by digest, as its node names it; None: the kubelet does not say


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod."""

    name: str
    created_at: datetime
    node: str | None  # where the scheduler put it; None: nowhere yet
    taken_at: datetime | None  # when its node took it: from then on it holds what it requests; None: none has
    phase: str  # Pending, Running, Succeeded, Failed or Unknown
    deleting: bool
    ready: bool
    unschedulable: str | None  # the scheduler's words: it waits for room, or for what it must be placed beside
    evicted: str | None  # why the kubelet evicted it, in its words: a limit, or its node was short of something
    rejected: str | None  # why it failed before any of its containers was made, in the kubelet's words
    disruption: (
        str | None
    )  # why Kubernetes ends it through no fault of its own: a drain, a preemption; None: it does not
    containers: tuple[ContainerView, ...]  # init containers first
    requests: Mapping[str, float]  # of all its containers, by resource, in its unit: CPUs, bytes, pieces
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def counts_only_here(self, container: str) -> bool:
        """Return whether it was evicted and its Job takes that for a disruption, or for a pod that was asked to go."""
        ended = found.ended if (found := self.container(container)) is not None else None
        code = None if ended is None else ended.exit_code
        if self.evicted is None or code in (names.EXIT_BAD_CONFIG, names.EXIT_DIVERGED):
            return False
        return self.disruption is not None or code == names.EXIT_INTERRUPTED

    def container(self, name: str) -> ContainerView | None:
        """Return a container by name; None before the kubelet has spoken of it."""
        return next((c for c in self.containers if c.name == name), None)

    @property
    def cannot_start(self) -> str | None:
        """Why the pod cannot start on its node, in the kubelet's words; None: nothing is in its way there."""
        if self.deleting or self.phase not in ("Pending", "Running"):
            return None
        return next((f"container {c.name}: {c.waiting}" for c in self.containers if c.waiting), None)


def pod_view(pod: Mapping[str, Any]) -> PodView:
    """Return the view of a pod as the cache has it."""
    meta, status = pod["metadata"], pod.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    scheduled, ready = conditions.get("PodScheduled") or {}, conditions.get("Ready") or {}
    stuck = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    return PodView(
        name=meta["name"],
        created_at=parse_instant(meta["creationTimestamp"]),
        node=(pod.get("spec") or {}).get("nodeName"),
        taken_at=_instant(status.get("startTime")),
        phase=status.get("phase", "Pending"),
        deleting="deletionTimestamp" in meta,
        ready=ready.get("status") == "True",
        unschedulable=shorten(scheduled.get("message", "")) if stuck and "deletionTimestamp" not in meta else None,
        evicted=shorten(status.get("message", "")) if status.get("reason") == _EVICTED else None,
        rejected=_rejected(status),
        disruption=_disruption(conditions.get("DisruptionTarget") or {}),
        containers=tuple(_containers(status)),
        requests=_requests(pod.get("spec") or {}),
        labels=meta.get("labels") or {},
        annotations=meta.get("annotations") or {},
    )


def over_quota(words: str) -> bool:
    """Return whether a controller failed to create a pod because a ResourceQuota is used up: it waits for room then.

    >>> over_quota('pods "a" is forbidden: exceeded quota: small, requested: limits.cpu=2, used: 0, limited: 1')
    True
    """
    return "exceeded quota" in words


def shorten(text: str) -> str:
    """Return foreign words in one line for a sentence of ours: without a full stop, cut where they would drown it.

    >>> shorten("It stands in  step, task.py line 7.")
    'It stands in step, task.py line 7'
    """
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= _MESSAGE_LENGTH else line[: _MESSAGE_LENGTH - 1] + "…"


def _requests(spec: Mapping[str, Any]) -> dict[str, float]:
    total: dict[str, float] = {}
    for container in spec.get("containers") or ():
        for resource, value in container["resources"]["requests"].items():
            total[resource] = total.get(resource, 0.0) + parse_quantity(value)
    return total


def _rejected(status: Mapping[str, Any]) -> str | None:
    if status.get("phase") != "Failed" or status.get("containerStatuses") or not status.get("reason"):
        return None
    return shorten(f"{status['reason']}: {status.get('message', '')}")


def _disruption(condition: Mapping[str, Any]) -> str | None:
    if condition.get("status") != "True":
        return None
    return shorten(f"{condition.get('reason', '')}: {condition.get('message', '')}").rstrip(".: ")


def _containers(status: Mapping[str, Any]) -> Iterator[ContainerView]:
    for said in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state, last = said.get("state") or {}, said.get("lastState") or {}
        running = state.get("running")
        ended = state.get("terminated") or last.get("terminated")
        started = (running or ended or {}).get("startedAt")
        yield ContainerView(
            name=said["name"],
            ready=bool(said.get("ready")),
            running=running is not None,
            started_at=_instant(started),
            ended=_ended(ended) if ended else None,
            waiting=_waiting(state.get("waiting") or {}),
            image=image_id(said.get("imageID") or "") or None,
        )


def image_id(said: str) -> str:
    """Return an image's name as every container runtime would say it.

    >>> image_id("docker-pullable://example.com/trainer@sha256:0a"), image_id("sha256:0b")
    ('example.com/trainer@sha256:0a', 'sha256:0b')
    """
    return said.rpartition("://")[2]


def _ended(terminated: Mapping[str, Any]) -> Ended:
    return Ended(
        exit_code=terminated.get("exitCode", 0),
        reason=terminated.get("reason", ""),
        message=terminated.get("message", ""),
        at=_instant(terminated.get("finishedAt")),
    )


def _instant(text: str | None) -> datetime | None:
    return parse_instant(text) if text else None


def _waiting(waiting: Mapping[str, Any]) -> str | None:
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason not in _CANNOT_START:
        return None
    if reason in _IMAGE:
        # A pull alternates between trying and backing off; both say the same, so a condition must not alternate too.
        return shorten(f"ImagePullBackOff: {message.partition('ErrImagePull: ')[2] or message}")
    return shorten(f"{reason}: {message}")
