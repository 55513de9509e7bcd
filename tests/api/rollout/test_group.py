"""Three rollouts of one group on a real API server, all changed at once, and an operator that is killed among them."""

import time
from typing import Any

from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.rollout.test_rollout import policy, status

from belay_api.names import API_VERSION

NAMES = ("r1", "r2", "r3")


def rollout(name: str, serves: str, **annotations: str) -> dict[str, Any]:
    spec = {
        "policy": {"name": serves},
        "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
        "steps": [{"setWeight": 50}, {"pause": {}}],
        "bake": {"duration": "1s", "keepWarm": "0s"},
        "group": {"name": "night"},
    }
    meta = {"name": name, "annotations": annotations}
    return {"apiVersion": API_VERSION, "kind": "RLRollout", "metadata": meta, "spec": spec}


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
    resumed: set[str] = set()
    promoted: list[str] = []
    end = time.monotonic() + 150
    while len(promoted) < len(NAMES):
        assert time.monotonic() < end, f"promoted {promoted}"
        seen = {one["metadata"]["name"]: one["status"] for one in kube.all("rlrollout")}  # as they were at one moment
        assert len([name for name in NAMES if "candidate" in seen[name]]) <= 1
        waiting = [
            name for name in NAMES if _reason(seen[name]) == "GroupFull" and "grantedAt" not in seen[name]["group"]
        ]
        paused = [name for name in NAMES if seen[name].get("step", {}).get("kind") == "pause" and name not in resumed]
        if paused and len(waiting) + len(paused) + len(promoted) == len(NAMES):  # the others say what they wait for
            kube.apply(rollout(paused[0], "p2", **{"belay.dev/command": "resume@1"}))
            resumed.update(paused)
        new = [name for name in NAMES if name not in promoted and seen[name]["stable"]["policy"] == "p2"]
        if new and not promoted:
            operator.kill()
            start(TEST_KIND_MODULES="real").ready(timeout_s=180)
        promoted += new
    assert [name for name in NAMES if "group" in status(kube, name)] == []


def _reason(said: dict[str, Any]) -> str:
    return next((str(one["reason"]) for one in said.get("conditions", ()) if one["type"] == "Ready"), "")
