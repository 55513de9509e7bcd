"""The route as it is written, as the API server stores it, and as a Gateway answers it."""

from typing import Any

import pytest

from belay_api.rollout import GatewayTraffic
from belay_operator.children import Owner
from belay_operator.rollout.traffic.gateway_api import GatewayRouter
from belay_operator.rollout.traffic.router import Answer, Intent

OWNER = Owner("RLRollout", "default", "cartpole", "uid-1", 1)
TRAFFIC = GatewayTraffic.model_validate({"parentRefs": [{"name": "gw", "namespace": "infra", "sectionName": "http"}]})
ROUTER = GatewayRouter()
INTENT = Intent(shares=(("a", 90.0), ("b", 10.0)), pinned=(("a", "a"), ("b", "b")))


def manifest(intent: Intent = INTENT, traffic: GatewayTraffic = TRAFFIC) -> dict[str, Any]:
    return dict(ROUTER.manifest(traffic, intent, owner=OWNER, labels={"x": "y"}))


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


def test_every_rule_names_the_rollout_to_the_serving_pods_whatever_the_client_sends() -> None:
    modifiers = [f["requestHeaderModifier"] for r in manifest()["spec"]["rules"] for f in r["filters"][1:]]
    assert modifiers == [{"set": [{"name": "x-belay-rollout", "value": "cartpole"}]}] * 3


def test_a_route_that_names_no_rollout_is_written_anew() -> None:
    """As the version before wrote it: after an upgrade its episodes would be nobody's evidence."""
    found = stored()
    for rule in found["spec"]["rules"]:
        rule["filters"] = rule["filters"][:1]
    assert not ROUTER.carries(ROUTER.read(found, TRAFFIC, owner=OWNER), manifest())


@pytest.mark.parametrize("share", [0.01, 33.333, 50, 66.667, 99.999])
def test_weights_sum_to_the_base(share: float) -> None:
    rules = manifest(Intent(shares=(("a", 100 - share), ("b", share)), pinned=()))["spec"]["rules"]
    assert sum(ref["weight"] for ref in rules[0]["backendRefs"]) == 10_000


def test_what_the_api_server_adds_is_no_difference() -> None:
    found = stored()
    found["spec"]["rules"][0]["timeouts"] = {"request": "15s"}
    view = ROUTER.read(found, TRAFFIC, owner=OWNER)
    assert ROUTER.carries(view, manifest())


@pytest.mark.parametrize(
    "intent",
    [
        Intent(shares=(("a", 80.0), ("b", 20.0)), pinned=(("a", "a"), ("b", "b"))),
        Intent(shares=(("a", 100.0),), pinned=(("a", "a"), ("b", "b"))),
        Intent(shares=(("a", 90.0), ("b", 10.0)), pinned=(("a", "a"), ("b", "a"))),
    ],
)
def test_another_intent_is_a_difference(intent: Intent) -> None:
    assert not ROUTER.carries(ROUTER.read(stored(), TRAFFIC, owner=OWNER), manifest(intent))


@pytest.mark.parametrize(
    ("parents", "answer"),
    [
        ([parent()], Answer.ACCEPTED),
        ([parent(accepted="False")], Answer.REFUSED),
        ([parent(resolved="False")], Answer.REFUSED),
        ([parent(generation=2)], Answer.PENDING),
        ([parent(accepted="False", generation=2)], Answer.PENDING),
        ([], Answer.SILENT),
        ([parent(section="other")], Answer.SILENT),
        ([parent(accepted="False"), parent()], Answer.ACCEPTED),  # one of two controllers has taken it
    ],
)
def test_what_the_gateway_says(parents: list[dict[str, Any]], answer: Answer) -> None:
    view = ROUTER.read(stored(*parents), TRAFFIC, owner=OWNER)
    assert view.answer is answer
    assert view.accepted is (answer is Answer.ACCEPTED)
    assert bool(view.message) is not view.accepted


def test_every_gateway_must_accept() -> None:
    both = GatewayTraffic.model_validate({"parentRefs": [*TRAFFIC.dump()["parentRefs"], {"name": "second"}]})
    view = ROUTER.read(stored(parent()), both, owner=OWNER)
    assert view.answer is Answer.SILENT
    assert "default/second" in view.message


def test_a_route_of_a_deleted_rollout_is_not_ours() -> None:
    successor = Owner("RLRollout", "default", "cartpole", "uid-2", 1)
    assert not ROUTER.read(stored(parent()), TRAFFIC, owner=successor).ours
