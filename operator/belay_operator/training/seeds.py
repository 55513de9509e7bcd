"""What became of each seed, from its pods' last words, the Job's index ranges and the logbook's heartbeats.

A pod is removed sooner or later and its termination message with it, so what was once read stays: a seed that is
recorded as succeeded is never asked again, and every other field only changes when something newer is known.
"""

from collections.abc import Sequence

from pydantic import ValidationError

from belay_api import names
from belay_api.training import SeedPhase, SeedStatus, TrainingReport
from belay_operator.pods import ContainerView, PodView, shorten
from belay_operator.training.build import CONTAINER
from belay_operator.training.observed import Observed

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"  # failures that counted, before this pod
REFUSED = "PodFailurePolicy"  # why a Job failed: a pod ended with EXIT_BAD_CONFIG
_DIGITS = 3  # significant, of a rate: more would only be noise, and every change is a write


def seed_statuses(observed: Observed) -> list[SeedStatus]:
    """Return the status of every seed, in the order of the indexes."""
    before = {seed.index: seed for seed in observed.status.seeds}
    pods = _by_index(observed.pods)
    spec = observed.spec.seeds
    return [
        _seed(observed, before.get(index) or SeedStatus(index=index, seed=spec.first + index), pods.get(index, []))
        for index in range(spec.count)
    ]


def unread(observed: Observed, seeds: Sequence[SeedStatus]) -> list[int]:
    """Return the indexes whose end the Job tells of, but whose last word is not known."""
    job = observed.job
    if job is None:
        return []
    silent = [s.index for s in seeds if s.phase == SeedPhase.FAILED and s.message is None]
    lost = [s.index for s in seeds if s.index in job.completed and not published(s)]
    if job.reason == REFUSED and not any(s.phase == SeedPhase.FAILED for s in seeds):
        return [s.index for s in seeds]  # one of them refused, and which one only its pod can tell
    return lost + silent


def published(seed: SeedStatus) -> bool:
    """Whether the seed left a checkpoint that can be published."""
    return seed.phase == SeedPhase.SUCCEEDED and seed.artifact is not None and seed.return_ is not None


def rounded(rate: float) -> float:
    """Return a rate with the digits that mean something.

    >>> rounded(5123.7), rounded(0.98765)
    (5120.0, 0.988)
    """
    return float(f"{rate:.{_DIGITS}g}")


def _seed(observed: Observed, before: SeedStatus, pods: list[PodView]) -> SeedStatus:
    if published(before):
        return before
    retries = max([before.retries, *(int(pod.annotations.get(FAILURES, 0)) for pod in pods)])
    seed = _with_heartbeat(observed, before.model_copy(update={"retries": retries}))
    reports = [report for pod in pods if (report := _report(pod)) is not None]
    if done := next((r for r in reports if r.outcome == "Succeeded" and r.artifact and r.return_ is not None), None):
        return _succeeded(seed, done)
    phase = _phase(observed, seed, pods)
    rate = None if phase == SeedPhase.STOPPED else seed.steps_per_second
    return seed.model_copy(update={"phase": phase, "steps_per_second": rate, "message": _message(seed, pods)})


def _succeeded(seed: SeedStatus, report: TrainingReport) -> SeedStatus:
    rate = report.steps_per_second
    return seed.model_copy(
        update={
            "phase": SeedPhase.SUCCEEDED,
            "step": report.step,
            "return_": report.return_,
            "selection_return": report.selection_return,
            "best_step": report.best_step,
            "steps_per_second": None if rate is None else rounded(rate),
            "resumed_from": report.resumed_from,
            "preset": report.preset,
            "random": report.random,
            "artifact": report.artifact,
            "message": report.message or None,
        }
    )


def _with_heartbeat(observed: Observed, seed: SeedStatus) -> SeedStatus:
    beat = observed.progress.get(seed.index)
    # A job of the same name that was deleted may still be on record, and so may an earlier attempt.
    if beat is None or beat.uid != observed.owner.uid or beat.attempt != observed.attempt:
        return seed
    rate = beat.steps_per_second
    return seed.model_copy(
        update={
            "step": beat.step,
            "selection_return": beat.best_return if beat.best_return is not None else seed.selection_return,
            "steps_per_second": None if rate is None else rounded(rate),
            "resumed_from": beat.resumed_from if beat.resumed_from is not None else seed.resumed_from,
        }
    )


def _phase(observed: Observed, seed: SeedStatus, pods: list[PodView]) -> SeedPhase:
    job = observed.job
    if job is not None and (seed.index in job.failed or _refused(pods)):
        return SeedPhase.FAILED
    if job is not None and seed.index in job.completed:
        return SeedPhase.SUCCEEDED
    if job is not None and job.ended is not None:
        return SeedPhase.FAILED if seed.phase == SeedPhase.FAILED else SeedPhase.STOPPED
    # A pod whose container has ended is no longer at work, though its phase says so until the Job has counted it.
    at_work = [c for pod in pods if not pod.deleting and (c := pod.container(CONTAINER)) is not None and c.running]
    return SeedPhase.RUNNING if at_work else SeedPhase.PENDING


def _refused(pods: list[PodView]) -> bool:
    """Whether a pod refused its configuration: the Job fails as a whole then, and lists no failed index."""
    ends = [c.ended for pod in pods if (c := _container(pod)) is not None and c.ended is not None]
    return any(ended.exit_code == names.EXIT_BAD_CONFIG for ended in ends)


def _message(seed: SeedStatus, pods: list[PodView]) -> str | None:
    """Why the newest pod cannot start, else why the last one that failed did; that word outlasts its pod."""
    newest = pods[-1] if pods else None
    if newest is not None and (words := newest.cannot_start or newest.unschedulable):
        return words
    failures = [words for pod in pods if pod.phase == "Failed" and (words := _words(pod)) is not None]
    if failures:
        return failures[-1]
    # Without a failure on record the old word was about a start that has come about since.
    return seed.message if seed.retries > 0 or seed.phase == SeedPhase.FAILED else None


def _words(pod: PodView) -> str | None:
    report, container = _report(pod), _container(pod)
    if report is not None and report.message:
        return shorten(report.message)
    if container is None:
        return pod.rejected
    return f"pod {pod.name} ended with {container.ended.words}" if container.ended else f"pod {pod.name} failed"


def _report(pod: PodView) -> TrainingReport | None:
    """Return the pod's last word; None while it is alive, or when what it said is no report."""
    container = _container(pod)
    if container is None or container.ended is None or not container.ended.message:
        return None
    try:
        return TrainingReport.model_validate_json(container.ended.message)
    except ValidationError:
        return None  # an image of the user's own may say anything


def _container(pod: PodView) -> ContainerView | None:
    return pod.container(CONTAINER)


def _by_index(pods: Sequence[PodView]) -> dict[int, list[PodView]]:
    found: dict[int, list[PodView]] = {}
    for pod in pods:
        index = pod.annotations.get(INDEX) or pod.labels.get(INDEX)
        if index is not None:
            found.setdefault(int(index), []).append(pod)
    return found
