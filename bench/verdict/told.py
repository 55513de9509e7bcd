"""What the logbook tells of arrays of rollouts at a look, so that the operator's own functions can be asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from belay_api.wire import EarlierStatistics, Statistics, VersionStatistics, WindowStatistics
from belay_operator.rollout.facts import Reading
from verdict.rules import Schedule, SoFar
from verdict.world import Floats

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)  # when the candidate first had a weight


def told_windows(
    side: SoFar, rollout: int, look: int, schedule: Schedule, late: Floats | None = None
) -> list[WindowStatistics]:
    """Return one version's windows; late: of the missing in each window of that rollout, reported by then."""
    ripe, window, starts = int(schedule.ripe[look]), schedule.window_of_bin, schedule.windows
    last = np.concatenate((window[1:ripe] != window[: max(ripe - 1, 0)], [True]))[:ripe]
    ends = np.flatnonzero(last)
    numbers = (
        getattr(side, name)[rollout, ends].tolist() for name in ("count", "missing", "mean", "m2", "low", "high")
    )
    after = (np.zeros(starts.size) if late is None else late)[window[ends]].tolist()
    return [
        WindowStatistics(
            start=BEGAN + timedelta(seconds=start),
            count=count,
            missing=missing,
            late=its,
            **({"mean": mean, "m2": m2, "min": low, "max": high} if count else {}),
        )
        for start, its, count, missing, mean, m2, low, high in zip(
            starts[window[ends]].tolist(), after, *numbers, strict=True
        )
    ]


def earlier_of_version(returns: Floats) -> EarlierStatistics | None:
    """Return what is told of a version's last episodes before the first window; None: there were none."""
    if not returns.size:
        return None
    m2 = float(((returns - returns.mean()) ** 2).sum())
    return EarlierStatistics(count=returns.size, mean=returns.mean(), m2=m2, min=returns.min(), max=returns.max())


def reading(look: int, schedule: Schedule, *versions: VersionStatistics) -> Reading:
    """Return the answer to one look."""
    at = BEGAN + timedelta(seconds=float(schedule.looks[look]))
    return Reading("asked", at, windows=Statistics(outcome="return", at=at, etag=str(look), versions=list(versions)))
