"""Whose object it is that has a child's name."""

from typing import Any

import pytest

from belay_operator.engine.foreign import is_foreign

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
