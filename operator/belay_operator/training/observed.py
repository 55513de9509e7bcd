"""The value a training job's decision is made from: no cache and no clock in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from belay_api.init_from import InitialPolicy
from belay_api.policy import BaselinePolicy
from belay_api.reasons import AttemptEnd, TrainingReason
from belay_api.search import SearchStatus
from belay_api.summary import measured
from belay_api.training import RLTrainingJobSpec, RLTrainingJobStatus, SeedPhase, TrainingReport
from belay_api.wire import RunProgressRecord
from belay_operator.children import Owner
from belay_operator.engine.plan import Ref, Settings
from belay_operator.named_policy import Named
from belay_operator.training.initial import BETTER_THAN, INIT_FROM, pinned, pinned_baseline
from belay_operator.waiting import StoreOutage


@dataclass(frozen=True, slots=True)
class Life:
    """One attempt at a seed: a pod that a node has taken, as it is now."""

    pod: str
    node: str | None
    began_at: datetime  # when the node took it
    over: bool  # none of it runs any more
    ended_at: datetime | None  # when its trainer ended; None: it has not, or nobody knows when
    leaving: bool  # it is asked to go
    end: AttemptEnd | None  # how it ended by its own account and Kubernetes'; None: it runs, or was only asked to go
    message: str | None  # more about that
    requests: Mapping[str, float]  # what it holds while it is there, by resource, in its unit: CPUs, bytes, pieces


@dataclass(frozen=True, slots=True)
class SeedView:
    """One seed, as the workload and its pods tell of it now."""

    end: SeedPhase | None = None  # Succeeded or Failed, once it will not be tried again; None: neither yet
    at_work: bool = False  # a pod trains it
    retries: int = 0  # restarts that counted
    evictions: tuple[datetime, ...] = ()  # when each pod began that the kubelet evicted and its workload did not count
    reports: tuple[TrainingReport, ...] = ()  # of its pods that have ended, oldest first
    report_elsewhere: str | None = None  # where the report of its success lies, if that cannot be read; None: it can
    image: str | None = None  # what the pod ran that succeeded, by digest; None: none has, or nobody says
    obstacle: str | None = None  # why its newest pod cannot start, or has no place to run
    failure: str | None = None  # why the last of its pods that failed did
    lives: tuple[Life, ...] = ()  # of its pods that are still there, oldest first

    @property
    def success(self) -> TrainingReport | None:
        """The report of a pod that left a checkpoint that can be published; None: there is none."""
        return next(
            (one for one in self.reports if one.outcome == "Succeeded" and measured(one)),
            None,
        )


@dataclass(frozen=True, slots=True)
class WorkloadEnd:
    """How a workload ended."""

    reason: TrainingReason  # Succeeded, DeadlineExceeded, BadConfiguration or TooFewSeeds
    at: datetime
    message: str = ""  # why it failed, in the words of its controller


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """What runs an attempt's pods, as the cache has it: one object, and all that follows from it."""

    kind: str  # of the object; for sentences
    name: str
    exists: bool = False  # False: never made, or deleted
    ours: bool = False  # False: made by a job of our name that was deleted; the garbage collector still works on it
    deleting: bool = False
    ref: Ref | None = None  # of the object, to delete it; None: it is not ours, or goes already
    edited: bool = False  # it was made of a spec that was edited since: it is to be made anew, once it is at rest
    at_rest: bool = False  # it is suspended and none of its pods runs or will
    outdated: bool = False  # it exists, and what may change in it is not as the training's spec has it
    annotations: Mapping[str, str] = field(default_factory=dict)  # of the object: what the pods were made with
    spec: Mapping[str, Any] | None = None  # as it is, to be repeated; None: it does not exist, or need not change
    end: WorkloadEnd | None = None  # None: not yet
    ending: bool = False  # how it ends is certain, and what pods it still has are asked to go
    started_at: datetime | None = None  # when a pod of it first ran, as far as pods still tell
    runs_since: datetime | None = None  # from when on it may have pods; None: it is suspended, over, or not begun
    stopped_at: datetime | None = None  # when it was suspended or over; None: it is neither, or nobody knows when
    seeds: Mapping[int, SeedView] = field(default_factory=dict)  # by index; without one: nothing is known of it
    cannot_be_made: str | None = None  # why it has no pods, in the words of its controller
    cannot_start: str | None = None  # why pods of it cannot start, in the kubelet's words
    unschedulable: str | None = None  # why pods of it have no place to run, in the scheduler's words

    @property
    def title(self) -> str:
        """The object, as sentences call it."""
        return f"{self.kind} {self.name}"

    @property
    def obstacle(self) -> str | None:
        """Why pods of it that are to come do not, in whoever's words; None: nothing keeps them."""
        return self.cannot_start or self.unschedulable or self.cannot_be_made

    def seed(self, index: int) -> SeedView:
        """Return what is known of one seed."""
        return self.seeds.get(index, SeedView())


@dataclass(frozen=True, slots=True)
class RemoverView:
    """The Job that removes the checkpoints of a training that is over, as the cache has it."""

    name: str
    complete: bool
    failed: str | None  # why, once it will not be tried again; None: it has not failed
    obstacle: str | None  # what its pod waits for, and somebody has to mend; None: nothing
    ref: Ref | None  # to delete it; None: it goes already


@dataclass(frozen=True, slots=True)
class Observed:
    """One training job and its world."""

    owner: Owner
    spec: RLTrainingJobSpec
    status: RLTrainingJobStatus  # as last written: holds what pods said before they were removed
    workload: WorkloadView  # of this attempt
    settings: Settings
    searching: bool = False  # settings are still looked for: the workload is the search's, and its seeds are workers
    spent: bool = False  # the job has cost what it may
    strays: bool = False  # the workload was deleted and is gone, but not all its pods are: they may still write
    remover: RemoverView | None = None  # None: there is none
    search_job: Ref | None = None  # of a search that is over, once the job is over too; None: there is none
    progress: Mapping[int, RunProgressRecord] = field(default_factory=dict)  # newest heartbeat by index
    outage: StoreOutage | None = None  # of the built-in store; None: it is well, or the job keeps nothing there
    named: Mapping[str, Named] = field(default_factory=dict)  # RLPolicies to be pinned, by the spec's field
    policies: Mapping[str, str] = field(default_factory=dict)  # digest by name, of the namespace's RLPolicies; only
    # read where the job may publish

    @property
    def attempt(self) -> int:
        """Which life of the pods this is."""
        return attempt_of(self.status)

    @property
    def suspended(self) -> bool:
        """Whether no pod is to run."""
        return self.spec.suspend or self.spent or self.workload.edited

    def heartbeat(self, index: int) -> RunProgressRecord | None:
        """Return a seed's newest heartbeat; None: there is none of this attempt."""
        beat = self.progress.get(index)
        return beat if beat is not None and beat.search is None and self._is_ours(beat) else None

    def obstacle(self, index: int) -> str | None:
        """Return what the pod of an index says stands between it and its store; None: nothing, or there is no pod."""
        beat, view = self.progress.get(index), self.workload.seed(index)
        if beat is None or not view.at_work or not view.lives or not self._is_ours(beat):
            return None
        # A heartbeat of a pod that is gone says nothing of the next one, nor one of the search of a seed.
        of_another = beat.at < view.lives[-1].began_at or (beat.search is not None) != self.searching
        return None if of_another else beat.obstacle

    def search_heartbeats(self) -> list[SearchStatus]:
        """Return what pods of this attempt's search told last."""
        beats = [beat for beat in self.progress.values() if self._is_ours(beat)]
        return [beat.search for beat in beats if beat.search is not None]

    @property
    def initial(self) -> InitialPolicy | None:
        """What the seeds begin with; None: nothing, or it is not known yet."""
        return pinned(self.spec, self.status, self.named.get(INIT_FROM))

    @property
    def baseline(self) -> BaselinePolicy | None:
        """What the gates compare with; None: no RLPolicy, or it is not known yet."""
        return pinned_baseline(self.status, self.named.get(BETTER_THAN))

    @property
    def missing(self) -> str | None:
        """Why a policy that the spec names is waited for, as a sentence; None: none is."""
        return next((words for one in self.named.values() if (words := one.missing) is not None), None)

    @property
    def required(self) -> int:
        """Seeds that must succeed."""
        seeds = self.spec.seeds
        return seeds.count if seeds.required is None else seeds.required

    def _is_ours(self, beat: RunProgressRecord) -> bool:
        # A job of the same name that was deleted may still be on record, and so may an earlier attempt.
        return beat.uid == self.owner.uid and beat.attempt == self.attempt


def attempt_of(status: RLTrainingJobStatus) -> int:
    """Return which life of the pods a status speaks of."""
    return status.attempt or 1
