"""A list of steps on a real API server: applied after who takes it, edited under a trial, and shown for the next."""

from typing import Any

from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.rollout.test_approvals import ready, say
from tests.api.rollout.test_rollout import policy, status, weights

from belay_api.names import API_VERSION


def progression(*weights: int) -> dict[str, Any]:
    """The list, with a person after each weight."""
    steps = [step for weight in weights for step in ({"setWeight": weight}, {"pause": {}})]
    return {"apiVersion": API_VERSION, "kind": "RLProgression", "metadata": {"name": "ramp"}, "spec": {"steps": steps}}


def rollout(serves: str) -> dict[str, Any]:
    """A rollout that takes the list."""
    spec = {
        "policy": {"name": serves},
        "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
        "progression": {"name": "ramp"},
        "bake": {"duration": "1s"},
    }
    return {"apiVersion": API_VERSION, "kind": "RLRollout", "metadata": {"name": "r"}, "spec": spec}


def test_a_list_is_waited_for_and_its_edits_move_no_trial(
    kube: Kube, start: Starter, data_plane: DataPlaneThread
) -> None:
    operator = start(TEST_KIND_MODULES="real").ready(timeout_s=180)
    kube.apply(rollout("p1"))
    for name in ("p1", "p2"):
        kube.apply(policy(name))
    eventually(lambda: ready(kube)["reason"] == "ProgressionNotFound", what="it waits, and says for what")
    kube.apply(progression(10, 50))
    eventually(lambda: status(kube).get("phase") == "Healthy", what="the first version serves", timeout_s=60)
    kube.apply(rollout("p2"))
    eventually(lambda: weights(kube) == {"p1": 9_000, "p2": 1_000}, what="the first step", timeout_s=60)

    operator.kill()
    kube.apply(progression(1, 99))
    start(TEST_KIND_MODULES="real").ready(timeout_s=180)
    say(kube, "resume@1")
    eventually(lambda: weights(kube) == {"p1": 5_000, "p2": 5_000}, what="the second, as it was", timeout_s=60)
    assert status(kube)["progression"]["generation"] == 1
    say(kube, "resume@2")
    eventually(lambda: status(kube).get("stable", {}).get("policy") == "p2", what="promoted", timeout_s=90)
    eventually(lambda: status(kube)["progression"]["generation"] == 2, what="the next trial's steps are shown")
