"""Of what a stable version is watched by, what nothing is heard of: an outage, and not that nobody asked for anything.

    limits        by who counts for them at rest     (sources/at_rest.py)
    comparisons   by the logbook's last answer       (sources/promoted.py)

What is silent, and since when, is known to who asks; what is said of it stands in the rollout's condition.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from belay_api.rollout.analysis import AnalysisSpec
from belay_operator.rollout import standing, watch
from belay_operator.rollout.facts import Reading, Silence, Silences

UNWATCHED = "Unwatched"
"""The condition that stands while it lasts (situations/stable_unwatched)."""
PATIENCE = timedelta(minutes=10)  # a server that is replaced is back by then, and wakes nobody


def silences(fact: object, watched: Mapping[str, Reading], analysis: AnalysisSpec, policy: str) -> Silences:
    """Return what is known of a version's metrics.

    Args:
        fact: What was counted for its limits.
        watched: What the logbook last said of its outcomes, by metric.
    """
    return {
        **standing.silences(fact, analysis, policy),
        **{metric: _of(reading) for metric, reading in watched.items()},
    }


def long(known: Silences, now: datetime) -> Iterator[tuple[str, Silence]]:
    """Yield the metrics of which nothing is heard for longer than that passes by itself."""
    return ((metric, one) for metric, one in known.items() if one is not None and is_long(one, now))


def is_long(silence: Silence, now: datetime) -> bool:
    """Whether patience with it is over."""
    return now - silence.since >= PATIENCE


def is_over(known: Silences, analysis: AnalysisSpec) -> bool:
    """Whether all are heard of; of one that was not asked yet, as after a restart of the operator, nobody knows."""
    metrics = [*standing.limited(analysis), *watch.watched(analysis)]
    return all(metric.name in known and known[metric.name] is None for metric in metrics)


def _of(reading: Reading) -> Silence | None:
    if reading.problem is None or reading.silent_since is None:
        return None
    return Silence(reading.silent_since, reading.problem)
