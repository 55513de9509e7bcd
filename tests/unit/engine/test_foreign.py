"""Whose object it is that has a child's name."""

from datetime import UTC, datetime
from typing import Any

import pytest

from belay_api.reasons import PolicyReason, RolloutReason, TrainingReason
from belay_operator.engine.foreign import REASON, is_foreign, told

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
OURS = {"app.kubernetes.io/managed-by": "belay"}


def thing(controller: str | None, labels: dict[str, str] | None = None) -> dict[str, Any]:
    owners = [{"uid": "other", "controller": False}]
    if controller:
        owners.append({"uid": controller, "controller": True})
    return {"kind": "Service", "metadata": {"name": "s", "labels": labels, "ownerReferences": owners}}


@pytest.mark.parametrize(
    ("live", "foreign"),
    [
        pytest.param(thing("us", OURS), False, id="ours"),
        pytest.param(thing("us"), False, id="ours, somebody took the label off"),
        pytest.param(thing(None, OURS), False, id="orphaned"),
        pytest.param(thing(None), True, id="a user's own"),
        pytest.param(thing("them"), True, id="another controller's"),
        pytest.param(thing("them", OURS), True, id="of an earlier owner of this name, or of another kind of ours"),
    ],
)
def test_is_foreign(live: dict[str, Any], foreign: bool) -> None:
    assert is_foreign(live, thing("us")) is foreign


def test_every_kind_has_the_reason() -> None:
    assert {TrainingReason.CHILD_CONFLICT, PolicyReason.CHILD_CONFLICT, RolloutReason.CHILD_CONFLICT} == {str(REASON)}


def condition(kind: str, status: str, at: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": at}


def test_told_again_is_the_same_status_whatever_is_decided() -> None:
    obj = {
        "metadata": {"generation": 3},
        "status": {"conditions": [condition("Ready", "True", "2026-05-04T09:00:00Z")]},
    }
    decided = {
        "phase": "P",
        "conditions": [
            condition("Ready", "True", "2026-05-04T10:00:00Z"),
            condition("Verified", "True", "2026-05-04T10:00:00Z"),
        ],
    }
    first = told(obj, decided, [thing("us")], NOW)
    ready, verified = first["conditions"]
    assert first["phase"] == "P"
    assert verified == decided["conditions"][1]
    assert (ready["status"], ready["reason"], ready["lastTransitionTime"]) == ("False", REASON, "2026-05-04T10:00:00Z")
    assert "Service s exists" in ready["message"]
    assert told({**obj, "status": first}, decided, [thing("us")], NOW.replace(hour=11)) == first
    assert told({**obj, "status": first}, None, [thing("us")], NOW.replace(hour=11)) == first
