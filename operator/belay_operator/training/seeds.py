"""What became of each seed, from what its workload and its pods tell and the logbook's heartbeats.

A pod is removed sooner or later and its termination message with it, so what was once read stays: a seed that is
recorded as succeeded is never asked again, and every other field only changes when something newer is known.
"""

from collections.abc import Sequence

from belay_api.reasons import AttemptEnd, TrainingReason
from belay_api.summary import measured
from belay_api.training import SeedPhase, SeedStatus, TrainingReport
from belay_operator.training.evictions import evictions, given_up, retries
from belay_operator.training.findings import seed_findings
from belay_operator.training.observed import Observed, SeedView, WorkloadView

_FAILURES = frozenset({AttemptEnd.FAILED, AttemptEnd.OUT_OF_MEMORY, AttemptEnd.EVICTED})  # after which a seed goes on
_DIGITS = 3  # significant, of a rate: more would only be noise, and every change is a write


def seed_statuses(observed: Observed) -> list[SeedStatus]:
    """Return the status of every seed, in the order of the indexes."""
    before = {seed.index: seed for seed in observed.status.seeds}
    spec = observed.spec.seeds
    seeds = [before.get(index) or SeedStatus(index=index, seed=spec.first + index) for index in range(spec.count)]
    return seeds if observed.searching else [_seed(observed, seed) for seed in seeds]


def unread(view: WorkloadView, seeds: Sequence[SeedStatus]) -> list[int]:
    """Return the indexes whose end the workload tells of, but whose last word is still on its way."""
    if view.end is None:
        return []
    failed = [s for s in seeds if s.phase == SeedPhase.FAILED]
    if view.end.reason == TrainingReason.BAD_CONFIGURATION and not failed:
        return [s.index for s in seeds]  # one of them refused, and which one only its pod can tell
    lost = [s for s in seeds if view.seed(s.index).end == SeedPhase.SUCCEEDED and not published(s)]
    return [
        *(s.index for s in lost if view.seed(s.index).report_elsewhere is None),
        *(s.index for s in failed if s.message is None),
    ]


def published(seed: SeedStatus) -> bool:
    """Whether the seed left a checkpoint that can be published, if it passed the gates."""
    return seed.phase == SeedPhase.SUCCEEDED and measured(seed)


def complete(observed: Observed, seeds: Sequence[SeedStatus]) -> bool:
    """Whether enough seeds succeeded, and nothing that happens to the pods afterwards changes the result."""
    view = observed.workload
    if view.ours:
        return view.end is not None and view.end.reason == TrainingReason.SUCCEEDED
    # Of a workload deleted by hand the result is known all the same, if its pods' reports were read in time.
    return sum(map(published, seeds)) >= observed.required


def rounded(rate: float) -> float:
    """Return a rate with the digits that mean something.

    >>> rounded(5123.7), rounded(0.98765)
    (5120.0, 0.988)
    """
    return float(f"{rate:.{_DIGITS}g}")


def _seed(observed: Observed, before: SeedStatus) -> SeedStatus:
    if published(before):
        return before
    view = observed.workload.seed(before.index)
    evicted = evictions(view, before.evictions)
    retried = retries(view, evicted, before=before.retries)
    seed = _with_heartbeat(observed, before.model_copy(update={"retries": retried, "evictions": evicted}))
    if (findings := seed_findings(observed, before.index)) is not None:
        seed = seed.model_copy(update={"findings": [one.reason for one in findings] or None})
    if view.success is not None:
        return _succeeded(seed, view.success).model_copy(update={"image": view.image})
    lost = given_up(observed.spec, view, evicted, retried)
    phase = SeedPhase.FAILED if lost else _phase(observed.workload, seed, view)
    rate = None if phase == SeedPhase.STOPPED else seed.steps_per_second
    return seed.model_copy(update={"phase": phase, "steps_per_second": rate, "message": _message(observed, seed, view)})


def _succeeded(seed: SeedStatus, report: TrainingReport) -> SeedStatus:
    rate = report.steps_per_second
    return seed.model_copy(
        update={
            "phase": SeedPhase.SUCCEEDED,
            "step": report.step,
            "return_": report.return_,
            "selection_return": report.selection_return,
            "estimate": report.estimate,
            "floor": report.floor,
            "best_step": report.best_step,
            "steps_per_second": None if rate is None else rounded(rate),
            "resumed_from": report.resumed_from,
            "preset": report.preset,
            "gpu": report.gpu,
            "random": report.random,
            "costs": report.costs,
            "artifact": report.artifact,
            "code": report.code,
            "validation": report.validation,
            "message": report.message or None,
        }
    )


def _with_heartbeat(observed: Observed, seed: SeedStatus) -> SeedStatus:
    beat = observed.heartbeat(seed.index)
    if beat is None:
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


def _phase(workload: WorkloadView, seed: SeedStatus, view: SeedView) -> SeedPhase:
    if view.end is not None:
        return view.end
    if workload.end is not None:
        return SeedPhase.FAILED if seed.phase == SeedPhase.FAILED else SeedPhase.STOPPED
    return SeedPhase.RUNNING if view.at_work else SeedPhase.PENDING


def _message(observed: Observed, seed: SeedStatus, view: SeedView) -> str | None:
    """Why it cannot go on, else why the last pod that failed did; that word outlasts its pod."""
    if words := view.report_elsewhere or view.obstacle or observed.obstacle(seed.index) or view.failure:
        return words
    # Without a failure on record the old word was about a start that has come about since, or a store that is back.
    failures = (one for one in observed.status.history or () if one.seed == seed.seed and one.reason in _FAILURES)
    newest = max(failures, key=lambda one: one.started_at, default=None)
    if newest is not None and newest.message is not None:
        return newest.message
    return seed.message if seed.retries > 0 or seed.phase == SeedPhase.FAILED else None
