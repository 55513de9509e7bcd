"""The preview address on a real API server: added to a rollout that serves, and an object that the server takes."""

from typing import Any

from tests.api.engine.kube import Kube, eventually
from tests.api.rollout.test_rollout import rollout, status
from tests.api.rollout.test_shadow import served

__all__ = ["served"]  # a fixture

HOST = "next.example.org"


def previewed(name: str, *, preview: bool = True, command: str | None = None) -> dict[str, Any]:
    """The rollout with a preview, whose candidate waits for a person before its first weight."""
    made = rollout("r", name, pause="10m", **({"command": command} if command else {}))
    made["spec"]["steps"] = [{"approve": {}}, *made["spec"]["steps"]]
    if preview:
        made["spec"]["traffic"]["gatewayAPI"]["preview"] = {"hostnames": [HOST]}
    return made


def shown(kube: Kube) -> tuple[list[str], list[str]] | None:
    """Host names and backends of the preview's route."""
    found = kube.get("httproute", "r-preview")
    if found is None:
        return None
    backends = [ref["name"] for rule in found["spec"]["rules"] for ref in rule["backendRefs"]]
    return found["spec"]["hostnames"], backends


def test_it_comes_to_a_rollout_that_serves_shows_its_candidate_and_goes(served: Kube) -> None:
    kube = served
    assert shown(kube) is None
    kube.apply(previewed("p1"))
    eventually(lambda: shown(kube) == ([HOST], ["p1"]), what="it leads to stable", timeout_s=60)

    kube.apply(previewed("p2"))
    eventually(lambda: status(kube).get("step", {}).get("kind") == "approve", what="a person is asked", timeout_s=120)
    eventually(lambda: shown(kube) == ([HOST], ["p2"]), what="it leads to the candidate", timeout_s=60)
    assert "weight" not in status(kube)
    found = kube.get("httproute", "r-preview")
    assert found is not None
    assert "x-belay-rollout" in found["spec"]["rules"][0]["filters"][1]["requestHeaderModifier"]["remove"]

    kube.apply(previewed("p2", command="abort@1"))
    eventually(lambda: status(kube).get("phase") == "RolledBack", what="taken back", timeout_s=60)
    assert shown(kube) == ([HOST], ["p1"])

    kube.run(
        "patch", "rlrollout", "r", "--type=json", "-p", '[{"op":"remove","path":"/spec/traffic/gatewayAPI/preview"}]'
    )
    eventually(lambda: shown(kube) is None, what="it is gone", timeout_s=60)
