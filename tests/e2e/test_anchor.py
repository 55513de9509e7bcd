"""The version approved last is served beside a candidate, under live traffic: promoted twice, and no request fails.

Real policies, real TorchServe, real Envoy, real episodes; three trainings that differ by their seed.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from belay_demo.install import EXAMPLES
from belay_demo.kube import Namespace
from belay_demo.players import Players

NAME = "anchored"
ROLLOUT: dict[str, Any] = yaml.safe_load((EXAMPLES / "20-rollout.yaml").read_text())
JOB: dict[str, Any] = yaml.safe_load((EXAMPLES / "10-training.yaml").read_text())


@pytest.fixture(scope="module")
def policies(gateway: Namespace) -> list[str]:
    """Return the names of three policies that are about as good, one seed each."""
    names = [f"anchored-{number}" for number in range(3)]
    for number, name in enumerate(names):
        job = copy.deepcopy(JOB)
        job["metadata"]["name"] = name
        job["spec"] |= {"seeds": {"count": 1, "first": 10 * number}, "publish": {"family": name}}
        gateway.apply(job)
    return [
        gateway.wait(
            f"{name} to publish", lambda name=name: gateway.status("rltj", name).get("publishedPolicy"), timeout_s=900
        )
        for name in names
    ]


@pytest.fixture(scope="module")
def traffic(gateway: Namespace, policies: list[str]) -> Iterator[Players]:
    """Serve the first policy and let users play until the module ends."""
    rollout = copy.deepcopy(ROLLOUT)
    rollout["metadata"]["name"] = NAME
    rollout["spec"] |= {"policy": {"name": policies[0]}, "bake": {"duration": "5s", "keepWarm": "5s"}}
    # Three policies of one training differ by less than half of their return; what is tried here is the way.
    (compared,) = [metric for metric in rollout["spec"]["analysis"]["metrics"] if "compare" in metric]
    compared["compare"]["maxRegression"] = "50%"
    rollout["spec"]["analysis"] |= {"anchor": "Serve", "metrics": [compared]}
    gateway.apply(rollout)
    gateway.wait("the first policy", lambda: gateway.status("rlr", NAME).get("phase") == "Healthy", timeout_s=240)
    players = Players(gateway, rollout=NAME)
    players.start()
    gateway.wait("episodes", lambda: players.totals().get("episodes", 0) >= 20, timeout_s=180)
    yield players
    gateway.kubectl("delete", "deployment", "players", "--wait=false")
    gateway.kubectl("delete", "rlr", NAME, "--wait=false")


@pytest.mark.timeout(1800)
def test_promoted_twice_with_the_first_version_beside_the_second_trial(
    gateway: Namespace, policies: list[str], traffic: Players
) -> None:
    def now() -> dict[str, Any]:
        return gateway.status("rlr", NAME)

    def promoted(policy: str) -> bool:
        return bool(now().get("stable", {}).get("policy") == policy)

    gateway.patch("rlr", NAME, {"spec": {"policy": {"name": policies[1]}}})
    gateway.wait("the first promotion", lambda: promoted(policies[1]), timeout_s=900)
    assert "servedAnchor" not in now(), "stable was the anchor itself"
    assert now()["anchor"]["policy"] == policies[0]
    gateway.wait("the first version not to be kept warm", lambda: "previous" not in now(), timeout_s=60)

    gateway.patch("rlr", NAME, {"spec": {"policy": {"name": policies[2]}}})
    gateway.wait("its part of the traffic", lambda: now().get("weight", {}).get("anchor") == 25, timeout_s=600)
    gateway.wait("the second promotion", lambda: promoted(policies[2]), timeout_s=900)
    (verdict,) = [one for one in now()["verdicts"] if one["metric"] == "return"]
    assert verdict["anchor"]["verdict"] == "Pass"
    assert verdict["anchor"]["policy"] == policies[0]
    assert verdict["anchor"]["anchor"]["episodes"] > 0
    assert now()["anchor"] | {"promotions": 2} == now()["anchor"]

    gateway.wait("it to be let go", lambda: "servedAnchor" not in now(), timeout_s=180)
    gateway.wait("its pods to go", lambda: not gateway.items("pods", f"belay.dev/policy={policies[0]}"), timeout_s=120)
    assert traffic.totals()["failed"] == 0
    assert set(policies) <= set(traffic.totals()["by"])
