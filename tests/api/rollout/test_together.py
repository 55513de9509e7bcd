"""Two rollouts that change together on a real API server: they meet, one takes the other back, and both come again."""

from typing import Any

from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.rollout.test_rollout import policy, status

from belay_api.names import API_VERSION

OTHER = {"pick": "place", "place": "pick"}


def rollout(name: str, serves: str, **annotations: str) -> dict[str, Any]:
    """One of the two; its meeting comes before all traffic."""
    spec = {
        "policy": {"name": serves},
        "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
        "steps": [{"setWeight": 50}, {"together": {"with": [OTHER[name]]}}, {"pause": {}}],
        "bake": {"duration": "1s", "keepWarm": "0s"},
    }
    meta = {"name": name, "annotations": annotations}
    return {"apiVersion": API_VERSION, "kind": "RLRollout", "metadata": meta, "spec": spec}


def reason(kube: Kube, name: str) -> str:
    conditions = status(kube, name).get("conditions", ())
    return next((str(one["reason"]) for one in conditions if one["type"] == "Ready"), "")


def step(kube: Kube, name: str) -> str | None:
    found = status(kube, name).get("step", {}).get("kind")
    return str(found) if found is not None else None


def test_they_meet_are_taken_back_together_and_come_again(
    kube: Kube, start: Starter, data_plane: DataPlaneThread
) -> None:
    operator = start(TEST_KIND_MODULES="real").ready(timeout_s=180)
    for name in ("p1", "p2", "p3", "p4"):
        kube.apply(policy(name))
    for name in OTHER:
        kube.apply(rollout(name, "p1"))
    eventually(lambda: all(status(kube, name).get("phase") == "Healthy" for name in OTHER), what="both serve p1")

    kube.apply(rollout("place", "p3"))
    eventually(lambda: step(kube, "place") == "pause", what="place does not wait for pick, which rests")
    kube.apply(rollout("place", "p3", **{"belay.dev/command": "abort@1"}))
    eventually(lambda: status(kube, "place").get("phase") == "RolledBack", what="place is taken back")
    kube.apply(rollout("pick", "p2"))
    eventually(lambda: reason(kube, "pick") == "WaitingForOthers", what="pick waits for the next version of place")
    assert "candidate" not in status(kube, "pick"), "it gets no traffic"

    operator.kill()
    kube.apply(rollout("place", "p4", **{"belay.dev/command": "abort@1"}))
    start(TEST_KIND_MODULES="real").ready(timeout_s=180)
    eventually(lambda: {step(kube, name) for name in OTHER} == {"pause"}, what="they have met, and are past it")
    assert not status(kube, "pick").get("rejectedDigests"), "nothing was held against it"
    for name, serves in (("pick", "p2"), ("place", "p4")):
        kube.apply(rollout(name, serves, **{"belay.dev/command": "resume@2"}))
    eventually(lambda: all(status(kube, name).get("phase") == "Healthy" for name in OTHER), what="both are promoted")
    assert [status(kube, name)["stable"]["policy"] for name in ("pick", "place")] == ["p2", "p4"]
