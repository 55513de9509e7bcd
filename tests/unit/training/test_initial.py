"""Who is woken by a policy, and what a training that waits for one is told."""

from typing import Any

import pytest
from tests.unit.training.given import policy, training_job
from tests.world import START, World, key_of

from belay_operator.engine.change import Change
from belay_operator.training.observe import KIND

BEFORE = "before-444444"
WAITING = training_job({"initFrom": {"policy": BEFORE}})
BROKEN = {"type": "Verified", "status": "False", "reason": "DigestMismatch", "message": "policy.onnx has digest 1."}


def looked_at(*conditions: dict[str, Any]) -> dict[str, Any]:
    made = policy(BEFORE, 3)
    return {**made, "status": {"conditions": list(conditions)}} if conditions else made


PINNED = {"initial": {"policy": BEFORE, "digest": policy(BEFORE, 3)["spec"]["artifact"]["digest"]}}


@pytest.mark.parametrize(
    ("change", "job", "woken"),
    [
        (Change("RLPolicy", None, looked_at()), WAITING, True),
        (Change("RLPolicy", looked_at(BROKEN), looked_at()), WAITING, True),
        (Change("RLPolicy", looked_at(), looked_at({"type": "Ready", "status": "True"})), WAITING, False),
        (Change("RLPolicy", None, policy("another-444444", 3)), WAITING, False),
        (Change("RLPolicy", None, looked_at()), training_job({"initFrom": {"policy": BEFORE}}, status=PINNED), False),
        (Change("RLPolicy", None, looked_at()), training_job(), False),
    ],
)
def test_a_policy_wakes_whoever_waits_for_it(change: Change, job: dict[str, Any], woken: bool) -> None:
    found = list(KIND.related(change, World([job])))
    assert found == ([key_of(job)] if woken else [])


def test_a_broken_policy_starts_nothing_and_its_fault_is_repeated() -> None:
    world = World([WAITING, looked_at(BROKEN)])
    plan = world.plan(KIND, key_of(WAITING), START)
    assert plan.apply == ()
    assert plan.status is not None
    ready = next(one for one in plan.status["conditions"] if one["type"] == "Ready")
    assert ready["reason"] == "WaitingForPolicy"
    assert f"the artifact of RLPolicy {BEFORE} is not as it should be: policy.onnx has digest 1." in ready["message"]
