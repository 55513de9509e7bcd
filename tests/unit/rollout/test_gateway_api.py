"""The route as it is written, as the API server stores it, and as a Gateway answers it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.world import World

from belay_api.rollout.traffic import GatewayTraffic
from belay_operator.children import Owner
from belay_operator.rollout.route import covers
from belay_operator.rollout.traffic.gateway_api import GatewayRouter
from belay_operator.rollout.traffic.router import Acceptance, Intent, Mirror, Segment, TrafficView

OWNER = Owner("RLRollout", "default", "cartpole", "uid-1", 1)
TRAFFIC = GatewayTraffic.model_validate({"parentRefs": [{"name": "gw", "namespace": "infra", "sectionName": "http"}]})
ROUTER = GatewayRouter(TRAFFIC, OWNER, {"x": "y"})
INTENT = Intent(shares=(("a", 90.0), ("b", 10.0)), pinned=(("a", "a"), ("b", "b")))


def manifest(intent: Intent = INTENT) -> dict[str, Any]:
    (made,) = ROUTER.objects(intent, TrafficView())
    return dict(made)


def read(route: dict[str, Any], router: GatewayRouter = ROUTER) -> TrafficView:
    return router.read(World([route]), ())


def stored(*parents: dict[str, Any], generation: int = 3, **spec: Any) -> dict[str, Any]:
    made = manifest()
    meta = made["metadata"] | {"uid": "route", "generation": generation}
    return made | {"metadata": meta, "spec": made["spec"] | spec, "status": {"parents": list(parents)}}


def parent(
    accepted: str = "True", resolved: str = "True", *, generation: int = 3, section: str | None = "http"
) -> dict[str, Any]:
    ref = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw", "namespace": "infra"}
    conditions = [
        {"type": kind, "status": status, "reason": "Why", "message": "words", "observedGeneration": generation}
        for kind, status in (("Accepted", accepted), ("ResolvedRefs", resolved))
    ]
    return {"parentRef": ref | ({"sectionName": section} if section else {}), "conditions": conditions}


def test_the_weighted_rule_comes_first_and_every_rule_rewrites_the_path() -> None:
    rules = manifest()["spec"]["rules"]
    assert [rule["matches"][0].get("headers", [{}])[0].get("value") for rule in rules] == [None, "a", "b"]
    for rule in rules:
        assert rule["matches"][0]["path"] == {"type": "Exact", "value": "/predictions/cartpole"}
        rewrite = rule["filters"][0]["urlRewrite"]["path"]
        assert rewrite == {"type": "ReplaceFullPath", "replaceFullPath": "/predictions/policy"}
    assert [(ref["name"], ref["weight"]) for ref in rules[0]["backendRefs"]] == [("a", 9000), ("b", 1000)]


ROLLOUT = {"name": "x-belay-rollout", "value": "cartpole"}


def modifiers(intent: Intent) -> list[dict[str, Any]]:
    return [r["filters"][1]["requestHeaderModifier"] for r in manifest(intent)["spec"]["rules"]]


def test_every_rule_names_the_rollout_to_the_serving_pods_whatever_the_client_sends() -> None:
    assert modifiers(INTENT) == [{"set": [ROLLOUT], "remove": ["x-belay-baseline", "x-belay-shadow"]}] * 3


def test_every_rule_names_the_baseline_to_the_serving_pods_whatever_the_client_sends() -> None:
    baseline = {"name": "x-belay-baseline", "value": "0f" * 32}
    assert (
        modifiers(replace(INTENT, baseline="0f" * 32))
        == [{"set": [ROLLOUT, baseline], "remove": ["x-belay-shadow"]}] * 3
    )


SEGMENT = Segment(
    headers=(("x-region", "eu"), ("x-user-group", "internal")), after=1, shares=(("b", 100.0),), told=False
)


def test_who_is_matched_has_a_rule_that_comes_before_everybodys_also_under_way() -> None:
    """A gateway takes the rule with more headers: an episode under way of a user with two would lose its place."""
    rules = manifest(replace(INTENT, segment=SEGMENT))["spec"]["rules"]
    theirs = ["x-region", "x-user-group"]
    headers = [[header["name"] for header in rule["matches"][0].get("headers", ())] for rule in rules]
    pin = "x-belay-policy"
    assert headers == [[], [pin], theirs, [pin, *theirs], [pin], [pin, *theirs]]
    assert [rule["backendRefs"][0]["name"] for rule in rules] == ["a", "a", "b", "a", "b", "b"]


def test_what_comes_by_a_rule_of_users_who_are_not_compared_is_nobodys_evidence() -> None:
    """The header is taken off whatever a client sends, and the critic is asked of nobody."""
    said = modifiers(replace(INTENT, segment=SEGMENT, baseline="0f" * 32))
    for one, compared in zip(said, (True, True, False, False, True, False), strict=True):
        assert (ROLLOUT in one.get("set", ())) is compared
        assert ({"x-belay-rollout", "x-belay-baseline"} <= set(one["remove"])) is not compared


MIRROR = Mirror(of="a", to="b", percent=25, header="b/1f")
SHADOWED = Intent(shares=(("a", 100.0),), pinned=(("z", "a"), ("a", "a"), ("c", "c")), mirror=MIRROR)


def mirrors(intent: Intent) -> list[Any]:
    filters = [[f for f in r["filters"] if f["type"] == "RequestMirror"] for r in manifest(intent)["spec"]["rules"]]
    return [found[0]["requestMirror"] if found else None for found in filters]


def test_every_rule_that_stable_answers_alone_mirrors_and_says_so() -> None:
    """The pinned one too, or only first decisions would be mirrored; but not what another version answers."""
    mirror = {"backendRef": {"group": "", "kind": "Service", "name": "b", "port": 8080}, "percent": 25}
    assert mirrors(SHADOWED) == [mirror, mirror, mirror, None]
    told = {"name": "x-belay-shadow", "value": "b/1f"}
    assert [told in one["set"] for one in modifiers(SHADOWED)] == [True, True, True, False]
    assert ["x-belay-shadow" in one.get("remove", ()) for one in modifiers(SHADOWED)] == [False, False, False, True]


def test_a_rule_that_two_versions_answer_mirrors_nothing() -> None:
    assert mirrors(replace(SHADOWED, shares=(("a", 90.0), ("c", 10.0))))[0] is None


def test_all_is_mirrored_without_a_word_that_older_gateway_apis_do_not_know() -> None:
    assert mirrors(replace(SHADOWED, mirror=replace(MIRROR, percent=100)))[0] == {
        "backendRef": {"group": "", "kind": "Service", "name": "b", "port": 8080}
    }


def test_a_route_that_names_no_rollout_is_written_anew() -> None:
    """As the version before wrote it: after an upgrade its episodes would be nobody's evidence."""
    found = stored()
    for rule in found["spec"]["rules"]:
        rule["filters"] = rule["filters"][:1]
    assert not covers(manifest()["spec"], read(found).objects[0].spec)


@pytest.mark.parametrize("share", [0.01, 33.333, 50, 66.667, 99.999])
def test_weights_sum_to_the_base(share: float) -> None:
    rules = manifest(Intent(shares=(("a", 100 - share), ("b", share)), pinned=()))["spec"]["rules"]
    assert sum(ref["weight"] for ref in rules[0]["backendRefs"]) == 10_000


def test_what_the_api_server_adds_is_no_difference() -> None:
    found = stored()
    found["spec"]["rules"][0]["timeouts"] = {"request": "15s"}
    assert covers(manifest()["spec"], read(found).objects[0].spec)


def test_an_empty_list_of_host_names_may_be_left_out() -> None:
    found = stored()
    del found["spec"]["hostnames"]
    assert covers(manifest()["spec"], read(found).objects[0].spec)


def test_what_a_stranger_adds_to_a_list_is_a_difference() -> None:
    """Host names of somebody else would take the route away from every caller who uses none of them."""
    assert not covers(manifest()["spec"], read(stored(hostnames=["elsewhere.example"])).objects[0].spec)


@pytest.mark.parametrize(
    "intent",
    [
        Intent(shares=(("a", 80.0), ("b", 20.0)), pinned=(("a", "a"), ("b", "b"))),
        Intent(shares=(("a", 100.0),), pinned=(("a", "a"), ("b", "b"))),
        Intent(shares=(("a", 90.0), ("b", 10.0)), pinned=(("a", "a"), ("b", "a"))),
        replace(INTENT, baseline="0f" * 32),
    ],
)
def test_another_intent_is_a_difference(intent: Intent) -> None:
    assert not covers(manifest(intent)["spec"], read(stored()).objects[0].spec)


@pytest.mark.parametrize(
    ("parents", "answer"),
    [
        ([parent()], Acceptance.ACCEPTED),
        ([parent(accepted="False")], Acceptance.REFUSED),
        ([parent(resolved="False")], Acceptance.REFUSED),
        ([parent(generation=2)], Acceptance.PENDING),
        ([parent(accepted="False", generation=2)], Acceptance.PENDING),
        ([], Acceptance.SILENT),
        ([parent(section="other")], Acceptance.SILENT),
        ([parent(accepted="False"), parent()], Acceptance.ACCEPTED),  # one of two controllers has taken it
    ],
)
def test_what_the_gateway_says(parents: list[dict[str, Any]], answer: Acceptance) -> None:
    view = read(stored(*parents))
    assert view.acceptance is answer
    assert bool(view.message) is (answer is not Acceptance.ACCEPTED)


def test_a_route_that_is_accepted_and_overlaps_another_is_told() -> None:
    """Two rollouts with one path: the Gateway takes both routes, and sends every request to the older one."""
    answer = parent()
    answer["conditions"].append(
        {"type": "RouteRulesOverlap", "status": "True", "reason": "RouteRulesOverlap", "message": "with x/other"}
    )
    view = read(stored(answer))
    assert view.acceptance is Acceptance.ACCEPTED
    trouble = ROUTER.trouble(view, in_place=True, waited=timedelta())
    assert trouble is not None
    assert trouble.message == "Gateway infra/gw says RouteRulesOverlap: with x/other"
    answer["conditions"][-1]["status"] = "False"
    assert ROUTER.trouble(read(stored(answer)), in_place=True, waited=timedelta()) is None


def test_every_gateway_must_accept() -> None:
    both = GatewayTraffic.model_validate({"parentRefs": [*TRAFFIC.dump()["parentRefs"], {"name": "second"}]})
    view = read(stored(parent()), GatewayRouter(both, OWNER, {}))
    assert view.acceptance is Acceptance.SILENT
    assert "default/second" in view.message


def test_a_route_of_a_deleted_rollout_is_foreign() -> None:
    successor = Owner("RLRollout", "default", "cartpole", "uid-2", 1)
    (found,) = read(stored(parent()), GatewayRouter(TRAFFIC, successor, {})).objects
    assert (found.owned, found.foreign) == (False, True)


def test_an_orphaned_route_is_taken_up_again() -> None:
    """`kubectl delete --cascade=orphan`, and the rollout made again: it has our label and belongs to nobody."""
    orphan = stored(parent())
    del orphan["metadata"]["ownerReferences"]
    (found,) = read(orphan).objects
    assert (found.owned, found.foreign) == (False, False)
    del orphan["metadata"]["labels"]
    assert read(orphan).objects[0].foreign, "somebody else's, by all we know"
