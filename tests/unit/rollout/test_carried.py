"""What the route carries ahead of status: a raise is one write, and nothing that keeps traffic safe depends on it."""

from dataclasses import replace

import pytest
from tests.unit.rollout.stage import KEY, Stage
from tests.unit.rollout.test_stories import BAD, healthy
from tests.world import SETTINGS

from belay_operator.rollout.carried import ANNOTATION
from belay_operator.rollout.observe import KIND

ROUTE = ("HTTPRoute", "default", "cartpole")


def raised() -> Stage:
    """10 % are in force, the pause is over, the Gateway has yet to answer to 50 %."""
    stage = healthy("b")
    stage.wants("b")
    stage.go(seconds=1)
    stage.world.log.clear()
    stage.later(seconds=31)
    stage.passes()
    assert stage.weights == {"a": 5000, "b": 5000}
    return stage


def carried(stage: Stage) -> str:
    return str(stage.world.objects[ROUTE]["metadata"]["annotations"][ANNOTATION])


def annotate(stage: Stage, text: str | None) -> None:
    stage.world.patch(ROUTE[0], ROUTE[2], {"metadata": {"annotations": {ANNOTATION: text}}})


def test_a_raise_is_written_to_the_route_and_recorded_once_the_gateway_has_answered() -> None:
    stage = raised()
    assert stage.world.log == ["apply HTTPRoute cartpole"]
    assert stage.recorded.step is not None
    assert stage.recorded.step.kind == "pause"
    stage.accept()
    stage.passes()
    assert stage.world.log == ["apply HTTPRoute cartpole", "status RLRollout cartpole"]
    assert stage.recorded.weight is not None
    assert (stage.recorded.weight.desired, stage.recorded.weight.applied) == (50, 50)
    assert stage.told.count("StepStarted") == 2


def test_a_silent_gateway_is_told_in_status_after_a_while() -> None:
    stage = raised()
    stage.world.objects[ROUTE]["status"] = {}
    stage.later(seconds=11)
    stage.passes()
    assert stage.reason == "RouteNotAccepted"
    assert stage.recorded.weight is not None
    assert stage.recorded.weight.desired == 50


@pytest.mark.parametrize("how", ["command", "verdict"])
def test_a_rollback_before_the_answer_is_recorded_first(how: str) -> None:
    stage = raised()
    stage.world.log.clear()
    if how == "command":
        stage.command("abort@1")
    else:
        stage.later(seconds=1)
        stage.episodes("return", BAD)
    stage.passes()
    assert stage.world.log[:2] == ["status RLRollout cartpole", "apply HTTPRoute cartpole"]
    assert stage.weights == {"a": 10000}
    assert ANNOTATION not in stage.world.objects[ROUTE]["metadata"].get("annotations", {})


def test_what_an_ended_trial_left_on_the_route_says_nothing_to_the_next() -> None:
    stage = raised()
    left = carried(stage)
    stage.command("abort@1")
    stage.go().later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.passes()
    stage.command("retry@2")
    stage.go(seconds=1)
    assert stage.weights == {"a": 9000, "b": 1000}
    annotate(stage, left)
    stage.passes()
    assert stage.weights == {"a": 9000, "b": 1000}
    assert stage.status == stage.recorded


@pytest.mark.parametrize("forged", ["", "text", "0 {}", "é {}"])
def test_what_is_not_signed_is_not_read(forged: str) -> None:
    stage = raised()
    annotate(stage, forged)
    assert stage.status == stage.recorded
    stage.accept()
    stage.passes()
    assert stage.recorded.weight is not None
    assert stage.recorded.weight.applied == 50, "it is decided again from what is recorded, and recorded first"


def test_nobody_skips_a_step_by_editing_the_route() -> None:
    stage = raised()
    signature, _, body = carried(stage).partition(" ")
    other = body.replace('"setWeight"', '"promote"')
    assert other != body
    annotate(stage, f"{signature} {other}")
    stage.passes()
    stage.accept()
    stage.passes()
    assert stage.recorded.step is not None
    assert stage.recorded.step.kind == "analyze"


def test_a_route_that_a_stranger_changed_is_put_right_and_goes_on_carrying() -> None:
    stage = raised()
    before = carried(stage)
    stage.world.patch(ROUTE[0], ROUTE[2], {"spec": {"rules": []}})
    stage.passes()
    assert stage.weights == {"a": 5000, "b": 5000}
    assert carried(stage) == before


def test_pods_that_go_before_the_answer_do_not_lower_what_was_raised() -> None:
    stage = raised()
    stage.ready("b", 0)
    stage.passes()
    assert stage.weights == {"a": 5000, "b": 5000}


def test_an_operator_without_a_key_records_first() -> None:
    stage = healthy("b")
    stage.world.settings = replace(SETTINGS, receipt_master=None)
    stage.wants("b")
    stage.go(seconds=1)
    stage.world.log.clear()
    stage.later(seconds=31)
    stage.passes()
    assert stage.world.log == ["status RLRollout cartpole", "apply HTTPRoute cartpole"]
    assert ANNOTATION not in stage.world.objects[ROUTE]["metadata"].get("annotations", {})


def test_the_raise_names_the_version_of_the_route_it_was_decided_on() -> None:
    stage = healthy("b")
    stage.wants("b")
    stage.go(seconds=1)
    stage.world.objects[ROUTE]["metadata"]["resourceVersion"] = "7"
    stage.later(seconds=31)
    (route,) = stage.world.plan(KIND, KEY, stage.now).apply
    assert route["metadata"]["resourceVersion"] == "7"
    stage.command("abort@1")
    (route,) = stage.world.plan(KIND, KEY, stage.now).apply
    assert "resourceVersion" not in route["metadata"], "nothing keeps a rollback"


def test_that_the_policy_is_not_there_yet_waits_a_moment_to_be_told() -> None:
    """One commit brings the policy and the rollout that names it; the two come by different watches."""
    stage = healthy()
    stage.wants("b")
    plan = stage.world.plan(KIND, KEY, stage.now)
    assert plan.debounce
    assert plan.status is not None
    assert Stage().world.plan(KIND, KEY, stage.now).debounce is False, "the first word is there at once"
    stage.publish("b")
    plan = stage.world.plan(KIND, KEY, stage.now)
    assert not plan.debounce, "a candidate is taken up at once"
