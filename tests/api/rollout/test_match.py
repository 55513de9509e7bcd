"""A step `match` on a real API server, which knows what an HTTPRoute may say and orders what it stores as it likes."""

from typing import Any

from tests.api.engine.kube import Kube, eventually
from tests.api.rollout.test_rollout import rollout, status
from tests.api.rollout.test_shadow import served

__all__ = ["served"]  # a fixture

HEADERS = [{"name": "x-user-group", "value": "internal"}, {"name": "X-Region", "value": "eu"}]


def matching(name: str, *, command: str | None = None) -> dict[str, Any]:
    """The rollout with the matched first."""
    made = rollout("r", name, pause="10m", **({"command": command} if command else {}))
    first = [{"match": {"headers": HEADERS, "weight": 50}}, {"pause": {}}]
    made["spec"]["steps"] = [*first, *made["spec"]["steps"]]
    return made


def rules(kube: Kube) -> list[tuple[list[str], dict[str, int], bool]]:
    """What each rule matches beside the path, to whom it leads, and whether it names the rollout to the pods."""
    found = kube.get("httproute", "r") or {"spec": {"rules": []}}
    return [
        (
            [one["name"] for one in rule["matches"][0].get("headers", [])],
            {ref["name"]: ref["weight"] for ref in rule["backendRefs"]},
            "x-belay-rollout" in str(rule["filters"][1]["requestHeaderModifier"].get("set")),
        )
        for rule in found["spec"]["rules"]
    ]


def test_the_matched_come_first_and_are_taken_back_first(served: Kube) -> None:
    kube, pin, theirs = served, "x-belay-policy", ["X-Region", "x-user-group"]
    kube.apply(matching("p2"))
    eventually(lambda: status(kube).get("step", {}).get("kind") == "pause", what="the share is in force", timeout_s=120)
    p1, p2, half = {"p1": 10_000}, {"p2": 10_000}, {"p1": 5_000, "p2": 5_000}
    pins = [([pin, *theirs], p1, True), ([pin, *theirs], p2, True)]
    assert rules(kube) == [([], p1, False), ([pin], p1, False), ([pin], p2, False), (theirs, half, True), *pins]
    written = kube.get("httproute", "r")
    assert written is not None

    kube.apply(matching("p2", command="abort@1"))
    eventually(lambda: status(kube).get("phase") == "RolledBack", what="taken back", timeout_s=60)
    assert {str(leads) for _, leads, _ in rules(kube)} == {str(p1)}
    assert all(told for _, _, told in rules(kube))
    assert len(rules(kube)) == 6, "a rule that goes costs requests"
    after = kube.get("httproute", "r")
    assert after is not None
    assert after["metadata"]["generation"] == written["metadata"]["generation"] + 1, "one write, and none before it"
