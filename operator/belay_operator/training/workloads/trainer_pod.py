"""What a pod that trains tells, whatever made it: whether it is at work, what stands in its way, its last word."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from belay_api import names
from belay_api.reasons import AttemptEnd
from belay_api.reports import ReportsRef, read_reports
from belay_api.training import TrainingReport
from belay_operator.pods import ContainerView, Ended, PodView, pod_view, shorten
from belay_operator.trainer_pod import CONTAINER
from belay_operator.training.observed import Life

_ENDS = {
    names.EXIT_DONE: AttemptEnd.SUCCEEDED,
    names.EXIT_BAD_CONFIG: AttemptEnd.BAD_CONFIGURATION,
    names.EXIT_DIVERGED: AttemptEnd.DIVERGED,
}


@dataclass(frozen=True, slots=True)
class TrainerPod:
    """One pod that trains, or did."""

    view: PodView
    last_word: tuple[TrainingReport, ...] | ReportsRef  # reports, or where they lie; no reports: it said nothing yet

    @property
    def started_at(self) -> datetime | None:
        """When the first of its containers ran; None: none has."""
        return min((c.started_at for c in self.view.containers if c.started_at is not None), default=None)

    @property
    def at_work(self) -> bool:
        """Whether it trains.

        One whose container has ended does not, though the pod's phase says so until its controller has counted it.
        """
        return not self.view.deleting and self._container is not None and self._container.running

    @property
    def image(self) -> str | None:
        """What it runs, by digest; None: its node does not say."""
        return None if self._container is None else self._container.image

    @property
    def published(self) -> bool:
        """Whether it says that its training succeeded."""
        return any(report.outcome == "Succeeded" for report in self.reports)

    @property
    def refused(self) -> bool:
        """Whether it refused its configuration."""
        return self._ended is not None and self._ended.exit_code == names.EXIT_BAD_CONFIG

    @property
    def obstacle(self) -> str | None:
        """Why it cannot start, or has no place to run; None: it can and has."""
        return self.view.cannot_start or self.view.unschedulable

    @property
    def reports(self) -> tuple[TrainingReport, ...]:
        """What it reported, as far as that can be read."""
        return () if isinstance(self.last_word, ReportsRef) else self.last_word

    @property
    def report_elsewhere(self) -> str | None:
        """Where it left the reports of its success, if this version cannot read them, and what to do; else None."""
        if self.view.phase != "Succeeded" or not isinstance(self.last_word, ReportsRef):
            return None
        return f"pod {self.view.name} {_elsewhere(self.last_word)}"

    @property
    def failure(self) -> str | None:
        """Why it failed, in its own words where it has any; None: it did not fail, or nobody says why."""
        if self.view.phase != "Failed":
            return None
        if self.view.evicted is not None:
            return f"the kubelet evicted pod {self.view.name}: {self.view.evicted}"
        if self._container is None:
            return self.view.rejected
        how = f"ended with {self._ended.words}" if self._ended else "failed"
        if isinstance(self.last_word, ReportsRef):
            return f"pod {self.view.name} {how} and {_elsewhere(self.last_word)}"
        own = next((report.message for report in self.last_word if report.message), None)
        return shorten(own) if own is not None else f"pod {self.view.name} {how}"

    @property
    def life(self) -> Life | None:
        """The attempt that it is, or was; None: no node has taken it."""
        over = self.view.phase in ("Succeeded", "Failed") or self._ended is not None
        began_at = self.view.taken_at or self.started_at
        if began_at is None and not over:
            return None
        end = self._end
        return Life(
            pod=self.view.name,
            node=self.view.node,
            began_at=began_at or self.view.created_at,
            over=over,
            ended_at=None if self._ended is None else self._ended.at,
            leaving=self.view.deleting,
            requests=self.view.requests,
            end=end,
            message=self.view.disruption if end == AttemptEnd.DISRUPTED else self.failure or self._last_message,
        )

    @property
    def _end(self) -> AttemptEnd | None:
        """How it ended. As in the Job's rules, an exit code of its own counts before a disruption that came with it."""
        ended = self._ended
        if ended is not None and ended.exit_code in _ENDS:
            given_up = any(report.outcome == "GivenUp" for report in self.reports)
            return AttemptEnd.GIVEN_UP if given_up else _ENDS[ended.exit_code]
        if self.view.evicted is not None:
            return AttemptEnd.EVICTED
        if self.view.disruption is not None:
            return AttemptEnd.DISRUPTED
        if self.view.deleting:
            return None
        if ended is not None and ended.reason == "OOMKilled":
            return AttemptEnd.OUT_OF_MEMORY
        return AttemptEnd.FAILED if self.view.phase == "Failed" or ended is not None else None

    @property
    def _last_message(self) -> str | None:
        return next((shorten(report.message) for report in reversed(self.reports) if report.message), None)

    @property
    def _container(self) -> ContainerView | None:
        return self.view.container(CONTAINER)

    @property
    def _ended(self) -> Ended | None:
        return None if self._container is None else self._container.ended


def trainer_pods(pods: Iterable[Mapping[str, Any]]) -> list[TrainerPod]:
    """Return the pods as the cache has them, oldest first."""
    views = sorted(map(pod_view, pods), key=lambda pod: (pod.created_at, pod.name))
    return [TrainerPod(view, reports_of(view)) for view in views]


def reports_of(pod: PodView) -> tuple[TrainingReport, ...] | ReportsRef:
    """Return a pod's last word: its reports, or where they lie.

    There are none while it is alive, nor where what it said is none: an image of the user's own may say anything.
    Whoever brings pods of many seeds exchanges a reference for its reports here, once a poller has fetched them
    (docs/decisions/031).
    """
    container = pod.container(CONTAINER)
    if container is None or container.ended is None or not container.ended.message:
        return ()
    try:
        return read_reports(container.ended.message)
    except ValueError:
        return ()


def _elsewhere(ref: ReportsRef) -> str:
    return (
        f"left its report at {shorten(ref.uri)} ({ref.size} bytes), where this version of the operator does not look: "
        "use the trainer image of the operator's version"
    )
