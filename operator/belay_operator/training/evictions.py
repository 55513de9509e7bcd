"""What the kubelet's evictions cost: a retry each, also where the Job takes them for a disruption.

A Job cannot tell an eviction for want of memory or disk from a drain: both carry the condition DisruptionTarget, and a
pod that could still save ends with the code of one that was asked to go. So it makes the next pod, which may fill the
same disk, without end. They are counted here instead, and a Job that cannot succeed any more is given no time.
"""

from collections.abc import Iterable
from typing import Protocol

from belay_api.attempts import Evictions
from belay_api.searched import workers
from belay_api.training import RLTrainingJobSpec, RLTrainingJobStatus, SeedPhase
from belay_operator.training.observed import SeedView


class Retried(Protocol):
    """A seed, or a worker of the search."""

    @property
    def phase(self) -> SeedPhase:
        """How far it is."""

    @property
    def retries(self) -> int:
        """Restarts that counted."""


def evictions(view: SeedView, before: Evictions | None) -> Evictions | None:
    """Return the evictions so far as far as the Job does not count them; None: there were none.

    Args:
        before: Those that were counted.
    """
    new = [began for began in view.evictions if before is None or began > before.last]
    return Evictions(count=len(new) + (before.count if before else 0), last=max(new)) if new else before


def retries(view: SeedView, evicted: Evictions | None, *, before: int) -> int:
    """Return the restarts that counted, by the Job or here. Args: before: As status has them; they do not shrink."""
    return max(before, view.retries + (evicted.count if evicted is not None else 0))


def given_up(spec: RLTrainingJobSpec, view: SeedView, evicted: Evictions | None, retried: int) -> bool:
    """Whether evictions have used up all retries; a Job alone makes pods for ever then."""
    return evicted is not None and view.end is None and retried > spec.failure.retries_per_seed


def hopeless(spec: RLTrainingJobSpec, status: RLTrainingJobStatus) -> bool:
    """Whether evictions have left so little that the Job cannot succeed, which it does not know."""
    if spec.search is not None and status.searched_at is None:
        ended = [one for one in status.search_workers or () if one.phase != SeedPhase.RUNNING]
        return len(ended) == workers(spec) and _used_up(spec, ended)  # who has retries left goes on for the others
    required = spec.seeds.count if spec.seeds.required is None else spec.seeds.required
    failed = [seed for seed in status.seeds if seed.phase == SeedPhase.FAILED]
    return len(failed) > spec.seeds.count - required and _used_up(spec, failed)


def _used_up(spec: RLTrainingJobSpec, ended: Iterable[Retried]) -> bool:
    """Whether one of them had more retries than it may have; a Job alone makes no pod for that."""
    return any(one.phase == SeedPhase.FAILED and one.retries > spec.failure.retries_per_seed for one in ended)
