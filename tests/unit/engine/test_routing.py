"""Whom a change wakes."""

from typing import Any

from belay_api import names
from belay_operator.engine.cache import Cache
from belay_operator.engine.change import Change
from belay_operator.engine.plan import Key
from belay_operator.engine.routing import keys_of


def pod(**labels: str) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"namespace": "ns", "name": "p", "labels": labels}}


def test_a_pod_given_to_another_policy_wakes_both() -> None:
    change = Change("Pod", pod(**{names.POLICY_LABEL: "a"}), pod(**{names.POLICY_LABEL: "b"}))
    assert keys_of(change, (), Cache()) == {Key("RLPolicy", "ns", "a"), Key("RLPolicy", "ns", "b")}


def test_an_object_of_ours_wakes_itself_and_who_controls_it() -> None:
    owner = {"kind": "RLTrainingJob", "name": "job", "uid": "u", "controller": True}
    held = {**owner, "name": "other", "controller": False}
    policy = {"metadata": {"namespace": "ns", "name": "p", "ownerReferences": [owner, held]}}
    keys = {Key("RLPolicy", "ns", "p"), Key("RLTrainingJob", "ns", "job")}
    assert keys_of(Change("RLPolicy", None, policy), (), Cache()) == keys
    assert keys_of(Change("RLPolicy", policy, None), (), Cache()) == keys
