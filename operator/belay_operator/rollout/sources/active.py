"""Which rollouts want measurements right now, read from the cache without trusting it to be well-formed.

Pollers follow every rollout, so this reads the few fields they need instead of parsing models, and reads a rollout
again only when it changed: a change costs the same with one trial and with ten thousand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from belay_api.units import parse_instant
from belay_operator.engine.plan import Key
from belay_operator.engine.source import Changes, PollerContext
from belay_operator.rollout.analysis.queries import questions
from belay_operator.rollout.facts import Question
from belay_operator.rollout.specification import analysis as readable


@dataclass(frozen=True, slots=True)
class Wanted:
    """What spec.analysis asks of the pollers."""

    metrics: bool = False  # there is any
    limits: bool = False  # a guard rail watches the serving pods
    questions: tuple[Question, ...] = ()  # to the logbook


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate that has been given traffic, or is having it taken away."""

    key: Key
    candidate: str
    stable: str | None  # None: the first version, which is not compared
    since: datetime | None  # status.analysisStartedAt; None: no weight is in force yet
    rolling_back: bool
    weight_since: datetime | None  # status.weight.since; None: no weight is in force yet
    weight_changes: tuple[datetime, ...]  # status.weightChanges: no window of episodes spans one
    weight_zero_at: datetime | None  # of the rollback; None: the route may still lead to the candidate
    wanted: Wanted

    @property
    def judged(self) -> bool:
        """Whether statistics are wanted."""
        return self.since is not None and self.stable is not None and not self.rolling_back


@dataclass(frozen=True, slots=True)
class TrialChange:
    """One rollout's trial, before and after; None: it has none."""

    before: Trial | None
    after: Trial | None


class Trials:
    """The trials under way, by rollout."""

    def __init__(self, context: PollerContext, changes: Changes) -> None:
        """Args: changes: of RLRollouts."""
        self._context, self._changes = context, changes
        self._held: dict[tuple[str, str], tuple[Any, Trial]] = {}  # with spec.analysis as the trial was read from it

    def refresh(self) -> Iterator[TrialChange]:
        """Take the changed rollouts and yield the trials that changed with them."""
        for name in self._changes.take():
            analysis, before = self._held.pop(name, (None, None))
            rollout = self._context.get("RLRollout", *name)
            after = None
            if rollout is not None:
                asked = (rollout.get("spec") or {}).get("analysis")
                # Reading an analysis is nearly all the work, and it hardly ever changes.
                known = before.wanted if before is not None and asked == analysis else None
                if (after := trial_of(rollout, known=known)) is not None:
                    self._held[name] = (asked, after)
            if after != before:
                yield TrialChange(before, after)


def trial_of(rollout: Mapping[str, Any], *, known: Wanted | None = None) -> Trial | None:
    """Return a rollout's trial, or None; one that cannot be read is for its own reconcile to complain about.

    Args:
        known: What its spec.analysis asks, where that was read before; None: read it.
    """
    status = rollout.get("status") or {}
    candidate = status.get("candidate")
    if not candidate or not status.get("weight"):
        return None
    meta, rollback = rollout["metadata"], status.get("rollback") or {"drainedAt": ""}
    rolling_back = "drainedAt" not in rollback
    try:
        return Trial(
            key=Key("RLRollout", meta["namespace"], meta["name"]),
            candidate=candidate["policy"],
            stable=(status.get("stable") or {}).get("policy"),
            since=_instant(status.get("analysisStartedAt")),
            rolling_back=rolling_back,
            weight_since=_instant(status["weight"].get("since")),
            weight_changes=tuple(parse_instant(at) for at in status.get("weightChanges") or ()),
            weight_zero_at=_instant(rollback.get("weightZeroAt")) if rolling_back else None,
            wanted=known or wanted((rollout.get("spec") or {}).get("analysis") or {}),
        )
    except (ValueError, KeyError):
        return None


def wanted(analysis: Mapping[str, Any]) -> Wanted:
    """Return what the readable part of an analysis asks: what is decided by is what is measured."""
    try:
        spec = readable(analysis)
    except ValueError:
        return Wanted()
    limits = any(metric.limit is not None for metric in spec.metrics)
    return Wanted(metrics=bool(spec.metrics), limits=limits, questions=questions(spec))


def _instant(text: str | None) -> datetime | None:
    return parse_instant(text) if text else None
