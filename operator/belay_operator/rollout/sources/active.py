"""Which rollouts want measurements right now, read from the cache without trusting it to be well-formed.

Pollers look at every rollout about once a second, so this reads the few fields it needs instead of parsing models.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from belay_api.rollout import AnalysisSpec
from belay_api.units import parse_instant
from belay_operator.engine.plan import Key


# A thousand trials are looked at every second and hardly ever change: reading each anew would be most of a core.
@lru_cache(maxsize=4096)
def _analysis(text: str) -> AnalysisSpec:
    return AnalysisSpec.model_validate_json(text)


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate that has been given traffic, or is having it taken away."""

    key: Key
    candidate: str
    stable: str | None  # None: the first version, which is not compared
    since: datetime | None  # status.analysisStartedAt; None: no weight is in force yet
    rolling_back: bool
    analysis: AnalysisSpec

    @property
    def judged(self) -> bool:
        """Whether statistics are wanted."""
        return self.since is not None and self.stable is not None and not self.rolling_back

    @property
    def has_limits(self) -> bool:
        """Whether a guard rail watches the serving pods."""
        return any(metric.limit is not None for metric in self.analysis.metrics)


def trials(rollouts: Iterable[Mapping[str, Any]]) -> Iterator[Trial]:
    """Yield the trials under way; a rollout that cannot be read is for its own reconcile to complain about."""
    for rollout in rollouts:
        status = rollout.get("status") or {}
        candidate = status.get("candidate")
        if not candidate or not status.get("weight"):
            continue
        meta, rollback = rollout["metadata"], status.get("rollback") or {"drainedAt": ""}
        try:
            since = status.get("analysisStartedAt")
            yield Trial(
                key=Key("RLRollout", meta["namespace"], meta["name"]),
                candidate=candidate["policy"],
                stable=(status.get("stable") or {}).get("policy"),
                since=parse_instant(since) if since else None,
                rolling_back="drainedAt" not in rollback,
                analysis=_analysis(json.dumps((rollout.get("spec") or {}).get("analysis") or {})),
            )
        except (ValidationError, ValueError, KeyError):
            continue
