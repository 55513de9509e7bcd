"""The gauge of alarms follows the cache."""

from typing import Any

from belay_operator.engine import alarms, metrics
from belay_operator.engine.change import Change


def rollout(*standing: str) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True"}, {"type": "Degraded", "status": "False"}]
    conditions += [{"type": name, "status": "True"} for name in standing]
    return {"metadata": {"namespace": "default", "name": "r"}, "status": {"conditions": conditions}}


def standing(condition: str) -> float:
    return metrics.ALARMS.labels("RLRollout", condition)._value.get()


def test_an_alarm_counts_from_when_it_stands_to_when_it_ends_or_its_object_goes() -> None:
    calm, alarmed, both = rollout(), rollout("Degraded"), rollout("Degraded", "SampleRatio")
    counted = [standing("Degraded")]
    for before, after in (
        (None, calm),
        (calm, alarmed),
        (alarmed, both),
        (both, calm),
        (None, alarmed),
        (alarmed, None),
    ):
        alarms.count(Change("RLRollout", before, after))
        counted.append(standing("Degraded"))
    assert [value - counted[0] for value in counted] == [0, 0, 1, 1, 0, 1, 0]
    assert standing("SampleRatio") == 0
