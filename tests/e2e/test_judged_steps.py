"""A candidate that was trained too little is found by `validate` before it answers a request.

Real training, real pods, real episodes beside the stable policy.
"""

import copy
from typing import Any

import pytest
import yaml

from belay_demo.install import EXAMPLES
from belay_demo.kube import Namespace, condition

ROLLOUT: dict[str, Any] = yaml.safe_load((EXAMPLES / "20-rollout.yaml").read_text())
JOBS = {"good": "10-training.yaml", "weak": "40-undertrained.yaml"}


def published(here: Namespace, file: str, **spec: Any) -> str:
    """Train with one seed and return the policy."""
    job = yaml.safe_load((EXAMPLES / file).read_text())
    job["spec"] |= {"seeds": {"count": 1, "first": job["spec"]["seeds"].get("first", 0)}, **spec}
    here.apply(job)
    name = job["metadata"]["name"]
    return str(here.wait(f"{name} to publish", lambda: here.status("rltj", name).get("publishedPolicy"), timeout_s=600))


@pytest.mark.timeout(1500)
def test_a_weak_candidate_is_found_beside_stable_before_it_has_traffic(gateway: Namespace) -> None:
    weak = published(gateway, JOBS["weak"])
    good = published(gateway, JOBS["good"], gates=[{"performance": {"betterThan": weak, "episodes": 20}}])
    trained = gateway.get("rltj", "cartpole")
    assert condition(trained, "GatesPassed")["status"] == "True"
    assert trained["status"]["baseline"]["digest"] == gateway.get("rlp", weak)["spec"]["artifact"]["digest"]
    rollout = copy.deepcopy(ROLLOUT)
    rollout["metadata"]["name"] = "judged"
    rollout["spec"]["policy"]["name"] = good
    gates = [{"performance": {"minReturn": 20}}]  # which both keep: only stable shows that one is worse
    rollout["spec"]["steps"].insert(0, {"validate": {"gates": gates, "maxRegression": "20%"}})
    gateway.apply(rollout)

    def status() -> dict[str, Any]:
        return gateway.status("rlr", "judged")

    gateway.wait("the first version", lambda: status().get("phase") == "Healthy", timeout_s=400)
    [first] = status()["judgements"]
    assert (first["verdict"], "compared" in first["validation"]) == ("Pass", False)

    rollout["spec"]["policy"]["name"] = weak
    gateway.apply(rollout)
    gateway.wait("the candidate is taken back", lambda: status().get("phase") == "RolledBack", timeout_s=400)
    now = status()
    [found] = now["judgements"]
    compared = found["validation"]["compared"]
    assert (found["verdict"], compared["verdict"], now["rollback"]["metric"]) == ("Fail", "Fail", "validate")
    assert compared["difference"]["high"] < 0, "all of the interval says that it is worse"
    assert found["validation"]["reports"]["html"].startswith("store://sha256/")
    assert now["stable"]["policy"] == good
    assert not gateway.items("jobs", "belay.dev/rollout=judged"), "its Job went with its step"
    gateway.kubectl("delete", "rlr", "judged")
