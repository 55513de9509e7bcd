"""Three rollouts of one group on a real API server, all changed at once, and an operator that is killed among them."""

import time
from typing import Any

from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.rollout.test_rollout import policy, status

from belay_api.names import API_VERSION

NAMES = ("r1", "r2", "r3")


def rollout(name: str, serves: str) -> dict[str, Any]:
    spec = {
        "policy": {"name": serves},
        "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
        "steps": [{"setWeight": 50}, {"pause": {"duration": "1s"}}],
        "bake": {"duration": "1s", "keepWarm": "0s"},
        "group": {"name": "night"},
    }
    return {"apiVersion": API_VERSION, "kind": "RLRollout", "metadata": {"name": name}, "spec": spec}


def test_one_candidate_at_a_time_and_everybody_in_the_end(
    kube: Kube, start: Starter, data_plane: DataPlaneThread
) -> None:
    operator = start(TEST_KIND_MODULES="real").ready(timeout_s=180)
    for name in ("p1", "p2"):
        kube.apply(policy(name))
    for name in NAMES:
        kube.apply(rollout(name, "p1"))
    eventually(lambda: all(status(kube, name).get("phase") == "Healthy" for name in NAMES), what="all serve p1")
    assert [name for name in NAMES if "group" in status(kube, name)] == [], "first versions wait for nobody"

    for name in NAMES:
        kube.apply(rollout(name, "p2"))
    waited: set[str] = set()
    promoted: list[str] = []
    end = time.monotonic() + 150
    while len(promoted) < len(NAMES):
        assert time.monotonic() < end, f"promoted {promoted}"
        seen = {one["metadata"]["name"]: one["status"] for one in kube.all("rlrollout")}  # as they were at one moment
        assert len([name for name in NAMES if "candidate" in seen[name]]) <= 1
        waited |= {
            name for name in NAMES if _reason(seen[name]) == "GroupFull" and "grantedAt" not in seen[name]["group"]
        }
        new = [name for name in NAMES if name not in promoted and seen[name]["stable"]["policy"] == "p2"]
        if new and not promoted:
            operator.kill()
            start(TEST_KIND_MODULES="real").ready(timeout_s=180)
        promoted += new
    assert len(waited) == len(NAMES) - 1, "the others said what they waited for"
    assert [name for name in NAMES if "group" in status(kube, name)] == []


def _reason(said: dict[str, Any]) -> str:
    return next((str(one["reason"]) for one in said.get("conditions", ()) if one["type"] == "Ready"), "")
