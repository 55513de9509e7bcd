"""A rollout that assigns users on a real API server, which knows how much an HTTPRoute may hold."""

from typing import Any

from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.rollout.test_rollout import healthy_on, policy, rollout, status, weights

from belay_operator.rollout.users import buckets


def by_user(name: str, *, command: str | None = None) -> dict[str, Any]:
    """The rollout with the weight that takes the most matches."""
    made = rollout("r", name, pause="10m", **({"command": command} if command else {}))
    made["spec"]["traffic"]["gatewayAPI"]["assignment"] = "User"
    made["spec"]["steps"] = [{"setWeight": 99}, *made["spec"]["steps"][1:]]
    return made


def matches(kube: Kube) -> list[int]:
    found = kube.get("httproute", "r") or {"spec": {"rules": []}}
    return [len(rule["matches"]) for rule in found["spec"]["rules"]]


def having(kube: Kube) -> set[tuple[str, str | None]]:
    """The digits that the users' rule matches."""
    (found,) = [kube.get("httproute", "r")]
    assert found is not None
    said = [{one["name"]: one["value"] for one in match["headers"]} for match in found["spec"]["rules"][1]["matches"]]
    return {(one["x-belay-user-tens"], one.get("x-belay-user-ones")) for one in said}


def test_users_are_assigned_by_one_write_and_taken_back_by_another(
    kube: Kube, start: Starter, data_plane: DataPlaneThread
) -> None:
    start(TEST_KIND_MODULES="real").ready(timeout_s=120)
    for name in ("p1", "p2"):
        kube.apply(policy(name))
    kube.apply(by_user("p1"))
    eventually(lambda: healthy_on(kube, "p1"), what="the first policy serves", timeout_s=120)
    assert matches(kube) == [1, 1, 2]

    kube.apply(by_user("p2"))
    eventually(lambda: status(kube).get("step", {}).get("kind") == "pause", what="the share is in force", timeout_s=120)
    assert weights(kube) == {"p1": 10_000}, "who says no user stays with stable"
    assert matches(kube) == [1, 18, 19, 19]
    candidate = status(kube)["candidate"]
    assert having(kube) == set(buckets(99, trial=f"{kube.namespace}/r/p2/{candidate['since']}"))
    written = kube.get("httproute", "r")
    assert written is not None

    kube.apply(by_user("p2", command="abort@1"))
    eventually(lambda: status(kube).get("phase") == "RolledBack", what="taken back", timeout_s=60)
    assert matches(kube) == [1, 1, 2, 1]
    after = kube.get("httproute", "r")
    assert after is not None
    leads = [{ref["name"] for ref in rule["backendRefs"]} for rule in after["spec"]["rules"]]
    assert leads == [{"p1"}] * 4
    assert after["metadata"]["generation"] == written["metadata"]["generation"] + 1, "one write, and none before it"


def test_four_arms_with_users_of_their_own_are_as_much_as_a_route_holds(
    kube: Kube, start: Starter, data_plane: DataPlaneThread
) -> None:
    start(TEST_KIND_MODULES="real").ready(timeout_s=120)
    for name in ("p1", "p2", "p3", "p4", "p5"):
        kube.apply(policy(name))
    kube.apply(by_user("p1"))
    eventually(lambda: healthy_on(kube, "p1"), what="the first policy serves", timeout_s=120)

    made = by_user("p1")
    shares = {"p2": 20, "p3": 10, "p4": 20, "p5": 40}
    arms = [{"policy": name, "weight": weight} for name, weight in shares.items()]
    compared = {"source": {"logbook": {"outcome": "return"}}, "compare": {"maxRegression": "5%"}}
    made["spec"]["analysis"]["metrics"].append({"name": "return", **compared})
    made["spec"]["policy"] = {"winnerOf": {"arms": arms, "metric": "return"}}
    kube.apply(made)
    eventually(lambda: "startedAt" in status(kube).get("experiment", {}), what="the arms compete", timeout_s=120)
    assert weights(kube) == {"p1": 10_000}, "who says no user stays with stable"
    pinned = status(kube)["pinned"]
    assert matches(kube) == [1, 1, *(11 + shares.get(name, 0) // 10 for name in pinned)]
