"""The preview address: to whom it leads when, whose evidence it is, and that nothing waits for it."""

from typing import Any

import pytest
from tests.unit.rollout.stage import SPEC, Stage
from tests.world import belay_object

from belay_operator.rollout.observe import KIND
from belay_operator.rollout.route import WARM_LEAD

HOST = "next.example.org"
TRAFFIC: dict[str, Any] = {"gatewayAPI": SPEC["traffic"]["gatewayAPI"] | {"preview": {"hostnames": [HOST]}}}
BLUE_GREEN: dict[str, Any] = {"traffic": TRAFFIC, "analysis": {}, "steps": [], "recipe": {"blueGreen": {"approve": {}}}}
PREVIEW = ("HTTPRoute", "default", "cartpole-preview")


def route(stage: Stage) -> dict[str, Any] | None:
    return stage.world.objects.get(PREVIEW)


def shown(stage: Stage) -> str | None:
    """Who answers at the preview address; None: nobody."""
    found = route(stage)
    if found is None:
        return None
    ((backend,),) = [rule["backendRefs"] for rule in found["spec"]["rules"]]
    return str(backend["name"])


def staged(**spec: Any) -> Stage:
    """`a` serves."""
    return Stage("a", "b", "c", **({"traffic": TRAFFIC} | spec)).go()


def answers(stage: Stage, *, accepted: bool) -> None:
    """The Gateway's controller answers on the preview address."""
    found = route(stage)
    assert found is not None
    said = [
        {
            "type": kind,
            "status": str(accepted),
            "reason": "NoMatchingListenerHostname",
            "message": "no listener has this name",
            "observedGeneration": found["metadata"]["generation"],
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]
    stage.world.patch(*PREVIEW[::2], {"status": {"parents": [{"parentRef": {"name": "gw"}, "conditions": said}]}})


def test_it_is_a_route_of_its_own_that_tells_pods_nothing() -> None:
    stage = staged()
    stage.wants("b")
    stage.go()
    found = route(stage)
    assert found is not None
    assert found["spec"]["hostnames"] == [HOST]
    assert found["spec"]["parentRefs"] == stage.world.objects["HTTPRoute", "default", "cartpole"]["spec"]["parentRefs"]
    (rule,) = found["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "Exact", "value": "/predictions/cartpole"}}]
    assert [one["type"] for one in rule["filters"]] == ["URLRewrite", "RequestHeaderModifier"]
    modified = rule["filters"][1]["requestHeaderModifier"]
    assert modified == {"remove": ["x-belay-rollout", "x-belay-baseline", "x-belay-shadow"]}
    assert stage.weights == {"a": 9_000, "b": 1_000}, "beside the weight that everybody meets"
    assert shown(stage) == "b"


def test_blue_green_shows_the_candidate_before_anybody_else_meets_it_and_stable_after() -> None:
    stage = staged(**BLUE_GREEN)
    assert shown(stage) == "a", "an address that testers know is never dead"
    stage.ready("b", 0)
    stage.wants("b")
    stage.go()
    assert (shown(stage), stage.reason) == ("a", "Preparing")
    stage.ready("b", 1)
    stage.go()
    assert (shown(stage), stage.weights, stage.reason) == ("b", {"a": 10_000}, "ApprovalNeeded")
    assert stage.status.analysis_started_at is None
    stage.command("approve@1")
    stage.go()
    assert (shown(stage), stage.weights) == ("b", {"b": 10_000})
    stage.go(seconds=61)
    assert stage.status.stable is not None
    assert (stage.status.stable.policy, shown(stage)) == ("b", "b")
    stage.wants("c")
    stage.go()
    assert shown(stage) == "c"


def test_a_mirror_has_no_part_in_it() -> None:
    stage = staged(steps=[{"shadow": {"duration": "10m"}}, {"setWeight": 10}])
    stage.wants("b")
    stage.go()
    assert "RequestMirror" in str(stage.world.objects["HTTPRoute", "default", "cartpole"])
    assert shown(stage) == "b"
    assert "RequestMirror" not in str(route(stage))


@pytest.mark.parametrize("how", ["abort", "superseded"])
def test_a_rollback_takes_the_candidate_out_by_the_pass_that_records_it(how: str) -> None:
    stage = staged()
    stage.wants("b")
    stage.go()
    stage.command("abort@1") if how == "abort" else stage.wants("a")
    held = stage.world.objects["RLRollout", "default", "cartpole"]
    plan = KIND.decide(KIND.observe(held, stage.world, stage.world.settings), stage.now)
    assert plan.status is not None
    assert "rollback" in plan.status
    applied = [manifest["metadata"]["name"] for manifest in plan.apply]
    assert applied == ["cartpole", "cartpole-preview"], "the route of everybody goes first"
    stage.passes()
    assert shown(stage) == "a"


def test_one_that_is_kept_to_be_looked_at_comes_back_until_its_pods_go() -> None:
    stage = staged(rollback={"keepCandidate": "30m"})
    stage.wants("b")
    stage.go()
    stage.command("abort@1")
    stage.go(seconds=1)
    assert (stage.status.kept, shown(stage)) == (None, "a"), "else its silence would never be seen"
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go(seconds=1)
    assert stage.status.kept is not None
    assert (shown(stage), stage.weights) == ("b", {"a": 10_000})
    stage.later(seconds=(stage.status.kept.until - stage.now - WARM_LEAD).total_seconds())
    stage.passes()
    assert stage.status.kept is not None
    assert shown(stage) == "a", "no request is sent to pods that are going"


def test_the_next_candidate_comes_before_one_that_is_kept() -> None:
    stage = staged(rollback={"keepCandidate": "30m"}, steps=[{"approve": {}}])
    stage.wants("b")
    stage.go()
    stage.command("abort@1")
    stage.go(seconds=1).go(seconds=1)
    assert (stage.status.kept is not None, shown(stage)) == (True, "b")
    stage.wants("c")
    stage.go()
    assert shown(stage) == "c"


def test_a_first_version_is_there_from_its_first_step() -> None:
    stage = Stage("a", traffic=TRAFFIC)
    stage.ready("a", 0)
    stage.passes()
    assert shown(stage) is None, "there is nobody to lead to"
    stage.ready("a", 1)
    stage.passes()
    assert shown(stage) == "a"


def test_it_comes_and_goes_with_the_spec() -> None:
    stage = Stage("a", "b").go()
    assert route(stage) is None
    stage.world.patch("RLRollout", "cartpole", {"spec": {"traffic": TRAFFIC}})
    stage.passes()
    assert shown(stage) == "a"
    stage.world.patch("RLRollout", "cartpole", {"spec": {"traffic": {"gatewayAPI": {"preview": None}}}})
    stage.passes()
    assert route(stage) is None


def test_whoever_edits_or_deletes_it_gets_it_back() -> None:
    stage = staged()
    stage.world.patch(*PREVIEW[::2], {"spec": {"hostnames": ["www.example.org"]}})
    stage.passes()
    found = route(stage)
    assert found is not None
    assert found["spec"]["hostnames"] == [HOST]
    stage.world.objects.pop(PREVIEW)
    stage.passes()
    assert shown(stage) == "a"


def test_one_that_is_refused_is_told_and_holds_up_neither_a_weight_nor_a_rollback() -> None:
    stage = staged()
    answers(stage, accepted=False)
    stage.passes()
    assert stage.reason == "RouteNotAccepted"
    assert "the preview address does not work: Gateway default/gw says NoMatchingListenerHostname" in stage.message
    stage.wants("b")
    stage.go()
    answers(stage, accepted=False)
    stage.go()
    assert stage.status.weight is not None
    assert stage.status.weight.applied == 10
    assert (stage.reason, "Beside that, the preview address does not work" in stage.message) == ("Paused", True)
    stage.command("abort@1")
    stage.go(seconds=1)
    assert stage.status.rollback is not None
    assert stage.status.rollback.weight_zero_at is not None
    answers(stage, accepted=True)


def test_an_answer_that_is_on_its_way_is_no_news() -> None:
    stage = staged()
    assert stage.reason == "Healthy"
    answers(stage, accepted=True)
    stage.passes()
    assert stage.reason == "Healthy"


def test_a_route_of_somebody_else_is_left_and_told() -> None:
    stage = Stage("a")
    theirs = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": PREVIEW[2]}}
    other = belay_object("RLRollout", "cartpole-preview", SPEC)
    stage.world.put(other)
    uid = stage.world.objects["RLRollout", "default", "cartpole-preview"]["metadata"]["uid"]
    owner = {"apiVersion": other["apiVersion"], "kind": "RLRollout", "name": PREVIEW[2], "uid": uid, "controller": True}
    theirs["metadata"]["ownerReferences"] = [owner]
    stage.world.put(theirs | {"spec": {"rules": []}})
    stage.go()
    assert stage.reason == "Healthy", "a rollout without a preview has nothing to do with it"
    stage.world.patch("RLRollout", "cartpole", {"spec": {"traffic": TRAFFIC}})
    stage.passes()
    assert stage.world.objects[PREVIEW]["spec"] == {"rules": []}
    assert "the HTTPRoute cartpole-preview belongs to another object" in stage.message
    stage.world.patch("RLRollout", "cartpole", {"spec": {"traffic": {"gatewayAPI": {"preview": None}}}})
    stage.passes()
    assert PREVIEW in stage.world.objects


def test_no_rule_leads_to_a_version_that_is_gone() -> None:
    stage = staged()
    stage.world.objects.pop(("RLPolicy", "default", "a"))
    stage.passes()
    assert route(stage) is None
