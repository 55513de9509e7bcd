"""The value a training job's decision is made from: no dict, no cache, no clock in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from belay_api.training import RLTrainingJobSpec, RLTrainingJobStatus
from belay_api.wire import RunProgressRecord
from belay_operator.children import Owner
from belay_operator.engine.plan import Settings
from belay_operator.pods import PodView


@dataclass(frozen=True, slots=True)
class JobView:
    """The child Job as the cache has it."""

    ours: bool  # False: made by a job of our name that was deleted; the garbage collector still works on it
    deleting: bool
    suspended: bool  # its spec says so
    ended: str | None  # `Complete` or `Failed`; None: neither yet
    ended_at: datetime | None  # when it did
    reason: str  # of the Failed condition; empty: not failed
    message: str  # of the Failed condition
    completed: frozenset[int] = frozenset()  # indexes that succeeded
    failed: frozenset[int] = frozenset()  # indexes that are out of retries


@dataclass(frozen=True, slots=True)
class Observed:
    """One training job and its world."""

    owner: Owner
    spec: RLTrainingJobSpec
    status: RLTrainingJobStatus  # as last written: holds what pods said before they were removed
    child: JobView | None  # the Job of our name; None: never made, or deleted
    settings: Settings  # those the Job was made with, while there is one: its template cannot change
    pods: tuple[PodView, ...] = ()  # of this attempt
    strays: bool = False  # the Job was deleted and is gone, but not all its pods are: they may still write
    progress: Mapping[int, RunProgressRecord] = field(default_factory=dict)  # newest heartbeat by index
    creation_failure: str | None = None  # why the Job controller cannot make pods, in its words; None: it said nothing
    policies: Mapping[str, str] = field(default_factory=dict)  # digest by name, of the namespace's RLPolicies; only
    # read once the Job is done and wants to publish

    @property
    def job(self) -> JobView | None:
        """The Job, unless it is an earlier namesake's."""
        return self.child if self.child is not None and self.child.ours else None

    @property
    def attempt(self) -> int:
        """Which life of the pods this is."""
        return self.status.attempt or 1

    @property
    def required(self) -> int:
        """Seeds that must succeed."""
        seeds = self.spec.seeds
        return seeds.count if seeds.required is None else seeds.required
