"""The preview address on a real API server: added to a rollout that serves, and an object that the server takes."""

from typing import Any

import pytest
from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.faults import FaultProxy
from tests.api.rollout.test_rollout import Mortal, healthy_on, policy, rollout, status, weights
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


@pytest.mark.long
@pytest.mark.timeout(900)  # some thirty lives of an operator
def test_shown_kept_and_let_go_though_the_operator_dies_after_every_write(
    kube: Kube, start: Starter, data_plane: DataPlaneThread, proxy: FaultProxy
) -> None:
    """Wherever it dies, the address leads to nobody but stable, the candidate on trial, and the one that is kept."""
    mortal = Mortal(start, proxy, kube.namespace)
    for name in ("p1", "p2"):
        kube.apply(policy(name))
    kube.apply(previewed("p1"))
    mortal.until(lambda: healthy_on(kube, "p1") and shown(kube) == ([HOST], ["p1"]), what="it leads to stable")

    looked_at = previewed("p2")
    looked_at["spec"]["rollback"] = {"keepCandidate": "1h"}
    kube.apply(looked_at)
    mortal.until(lambda: shown(kube) == ([HOST], ["p2"]), what="it leads to the candidate")
    assert weights(kube) == {"p1": 10_000}, "before anybody else meets it"

    looked_at["metadata"]["annotations"] = {"belay.dev/command": "abort@1"}
    kube.apply(looked_at)
    mortal.until(lambda: status(kube).get("kept", {}).get("policy") == "p2", what="taken back, and kept")
    mortal.until(lambda: shown(kube) == ([HOST], ["p2"]), what="people look at it")
    assert weights(kube) == {"p1": 10_000}

    kube.apply(previewed("p2", command="abort@1"))  # nobody is kept any more
    mortal.until(lambda: "kept" not in status(kube) and shown(kube) == ([HOST], ["p1"]), what="let go")
    assert [command["id"] for command in status(kube)["commands"]] == ["1"]
    assert mortal.deaths > 5
