"""Whose critic the serving pods are told to ask: stable's while there is something to compare, and no promotion writes
the route for it."""

from typing import Any

from tests.unit.rollout.stage import Stage
from tests.unit.rollout.test_stories import healthy

from belay_operator.rollout.route import baseline_of

ROUTE = ("HTTPRoute", "default", "cartpole")


def told(stage: Stage) -> str | None:
    """The baseline that every rule tells."""
    modifiers: list[dict[str, Any]] = [
        part["requestHeaderModifier"]
        for rule in stage.world.objects[ROUTE]["spec"]["rules"]
        for part in rule["filters"]
        if part["type"] == "RequestHeaderModifier"
    ]
    assert all(modifier == modifiers[0] for modifier in modifiers)
    return next((one["value"] for one in modifiers[0]["set"] if one["name"] == "x-belay-baseline"), None)


def digest(stage: Stage, policy: str) -> str:
    found = stage.world.objects[("RLPolicy", "default", policy)]["spec"]["artifact"]["digest"]
    return str(found).removeprefix("sha256:")


def test_both_sides_are_told_stables_critic_from_before_the_trial_on() -> None:
    stage = healthy("b")
    assert told(stage) == digest(stage, "a")
    stage.wants("b")
    stage.go(seconds=1)
    assert stage.weights is not None
    assert len(stage.weights) == 2
    assert told(stage) == digest(stage, "a") == baseline_of(stage.status)


def test_a_rollback_leaves_it() -> None:
    stage = healthy("b")
    stage.wants("b")
    stage.go(seconds=1)
    stage.command("abort@1")
    stage.go().later(seconds=2)
    assert stage.weights == {"a": 10000}
    assert told(stage) == digest(stage, "a")


def test_what_is_promoted_was_told_with_its_last_weight() -> None:
    """Promotion swaps two names in status: a write of the route would be one more answer of the Gateway to wait for."""
    stage = healthy("b")
    stage.wants("b")
    stage.go(seconds=1)
    assert told(stage) == digest(stage, "a")
    stage.world.log.clear()
    stage.command("promote@1")
    stage.go(seconds=1)
    assert stage.status.stable is not None
    assert stage.status.stable.policy == "b"
    assert stage.weights == {"b": 10000}
    assert stage.world.log.count("apply HTTPRoute cartpole") == 1, "the one that sends all traffic to it"
    assert told(stage) == digest(stage, "b") == baseline_of(stage.status)


def test_the_first_version_is_its_own_baseline_from_the_start() -> None:
    stage = Stage("a")
    stage.go()
    assert told(stage) == digest(stage, "a")
