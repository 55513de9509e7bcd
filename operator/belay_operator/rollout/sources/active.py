"""Which rollouts want measurements right now, read from the cache without trusting it to be well-formed.

Pollers follow every rollout, so this reads the few fields they need instead of parsing models, and reads a rollout
again only when it changed: a change costs the same with one trial and with ten thousand.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.traffic import Assignment
from belay_api.units import parse_instant
from belay_operator.engine.plan import Key
from belay_operator.engine.source import Changes, PollerContext
from belay_operator.rollout.raw_status import is_rolling_back
from belay_operator.rollout.specification import analysis as readable

Wanted = TypeVar("Wanted")
"""What spec.analysis asks of one source, in that source's own terms."""


@dataclass(frozen=True, slots=True)
class Trial(Generic[Wanted]):
    """A candidate that has been given traffic, or is having it taken away."""

    key: Key
    candidate: str
    stable: str | None  # None: the first version, which is not compared
    anchor: str | None  # the version compared with besides; None: none
    since: datetime | None  # status.analysisStartedAt; None: no weight is in force yet
    rolling_back: bool
    weight_since: datetime | None  # status.weight.since; None: no weight is in force yet
    weight_changes: tuple[datetime, ...]  # status.weightChanges: no window of episodes spans one
    weight_zero_at: datetime | None  # of the rollback; None: the route may still lead to the candidate
    wanted: Wanted
    by_user: bool = False  # users are assigned, and each counts once
    arms: tuple[str, ...] = ()  # of an experiment, that take part: all of them are on trial; `candidate` is its first

    @property
    def on_trial(self) -> tuple[str, ...]:
        """Who is measured as a candidate."""
        return self.arms or (self.candidate,)

    @property
    def judged(self) -> bool:
        """Whether statistics are wanted."""
        return self.since is not None and self.stable is not None and not self.rolling_back


@dataclass(frozen=True, slots=True)
class TrialChange(Generic[Wanted]):
    """One rollout's trial, before and after; None: it has none."""

    before: Trial[Wanted] | None
    after: Trial[Wanted] | None


class Trials(Generic[Wanted]):
    """The trials under way, by rollout."""

    def __init__(self, context: PollerContext, changes: Changes, wanted: Callable[[AnalysisSpec], Wanted]) -> None:
        """Start without any.

        Args:
            changes: Of RLRollouts.
            wanted: What an analysis asks of the source.
        """
        self._context, self._changes, self._wanted = context, changes, wanted
        self._held: dict[
            tuple[str, str], tuple[Any, Trial[Wanted]]
        ] = {}  # with spec.analysis as the trial was read from it

    def refresh(self) -> Iterator[TrialChange[Wanted]]:
        """Take the changed rollouts and yield the trials that changed with them."""
        for name in self._changes.take():
            analysis, before = self._held.pop(name, (None, None))
            rollout = self._context.get("RLRollout", *name)
            after = None
            if rollout is not None:
                asked = (rollout.get("spec") or {}).get("analysis")
                # Reading an analysis is nearly all the work, and it hardly ever changes.
                known = before.wanted if before is not None and asked == analysis else None
                if (after := trial_of(rollout, self._wanted, known=known)) is not None:
                    self._held[name] = (asked, after)
            if after != before:
                yield TrialChange(before, after)


def trial_of(
    rollout: Mapping[str, Any], wanted: Callable[[AnalysisSpec], Wanted], *, known: Wanted | None = None
) -> Trial[Wanted] | None:
    """Return a rollout's trial, or None; one that cannot be read is for its own reconcile to complain about.

    Args:
        wanted: What an analysis asks of the source.
        known: What its spec.analysis asks, where that was read before; None: read it.
    """
    status = rollout.get("status") or {}
    candidate = status.get("candidate")
    if not candidate:
        return _experiment_of(rollout, wanted, known=known)
    if not status.get("weight"):
        return None
    meta, rolling_back = rollout["metadata"], is_rolling_back(status)
    try:
        return Trial(
            key=Key("RLRollout", meta["namespace"], meta["name"]),
            candidate=candidate["policy"],
            stable=(status.get("stable") or {}).get("policy"),
            anchor=_served(status),
            since=_instant(status.get("analysisStartedAt")),
            rolling_back=rolling_back,
            weight_since=_instant(status["weight"].get("since")),
            weight_changes=tuple(parse_instant(at) for at in status.get("weightChanges") or ()),
            weight_zero_at=_instant(status["rollback"].get("weightZeroAt")) if rolling_back else None,
            wanted=wanted(analysis_of(rollout)) if known is None else known,
            by_user=assigns_users(rollout),
        )
    except (ValueError, KeyError):
        return None


def _experiment_of(
    rollout: Mapping[str, Any], wanted: Callable[[AnalysisSpec], Wanted], *, known: Wanted | None
) -> Trial[Wanted] | None:
    """The experiment under way, as a trial of several; None: there is none, or the gateway has not accepted it."""
    meta, experiment = rollout["metadata"], (rollout.get("status") or {}).get("experiment") or {}
    if "startedAt" not in experiment or "decidedAt" in experiment:
        return None
    try:
        since = parse_instant(experiment["startedAt"])
        return Trial(
            key=Key("RLRollout", meta["namespace"], meta["name"]),
            candidate=experiment["arms"][0]["policy"],
            stable=experiment["stable"],
            anchor=None,
            since=since,
            rolling_back=False,
            weight_since=since,
            weight_changes=tuple(parse_instant(one["at"]) for one in experiment.get("changes") or ()),
            weight_zero_at=None,
            wanted=wanted(analysis_of(rollout)) if known is None else known,
            by_user=assigns_users(rollout),
            arms=tuple(arm["policy"] for arm in experiment["arms"] if "outcome" not in arm),
        )
    except (ValueError, KeyError, IndexError):
        return None


def _served(status: Mapping[str, Any]) -> str | None:
    """The anchor, while a trial needs it."""
    anchor = status.get("servedAnchor") or {}
    return None if "until" in anchor else anchor.get("policy")


def assigns_users(rollout: Mapping[str, Any]) -> bool:
    """Whether users are assigned, and not episodes."""
    traffic = (rollout.get("spec") or {}).get("traffic") or {}
    return (traffic.get("gatewayAPI") or {}).get("assignment") == Assignment.USER


def analysis_of(rollout: Mapping[str, Any]) -> AnalysisSpec:
    """The readable part of the analysis: what is decided by is what is measured."""
    try:
        return readable((rollout.get("spec") or {}).get("analysis") or {})
    except ValueError:
        return AnalysisSpec()


def _instant(text: str | None) -> datetime | None:
    return parse_instant(text) if text else None
