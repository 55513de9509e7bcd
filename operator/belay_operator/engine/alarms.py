"""How many objects an alarm stands at: conditions that are True while something is wrong and requests are answered."""

from collections.abc import Mapping
from typing import Any

from belay_operator.engine import metrics
from belay_operator.engine.change import Change

ALARMS = frozenset({"Degraded", "SampleRatio", "Unwatched"})


def count(change: Change) -> None:
    """Count the alarms that a change of a cached object brings or ends."""
    before, after = _standing(change.before), _standing(change.after)
    for name in after - before:
        metrics.ALARMS.labels(change.kind, name).inc()
    for name in before - after:
        metrics.ALARMS.labels(change.kind, name).dec()


def _standing(body: Mapping[str, Any] | None) -> frozenset[str]:
    conditions = ((body or {}).get("status") or {}).get("conditions") or ()
    return frozenset(one["type"] for one in conditions if one.get("status") == "True" and one.get("type") in ALARMS)
