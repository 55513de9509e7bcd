"""One commit names another policy and removes the one that serves: no request fails, and the new one is judged.

What a GitOps tool does with such a commit is no more than the two kubectl calls below; which of them comes first, and
how much later the other, is a race. So is a rollout that is replaced: deleted and made again, with nothing in between.
Requests come from a caller without our client, who asks once.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from tests.e2e.steady import CALLERS, Steady

from belay_demo.install import EXAMPLES
from belay_demo.kube import Namespace, condition

ROLLOUT = "cartpole"
FIRST_WEIGHT = 20
# As short as a rollout can be that still has two weights, something to wait for and something to be judged by.
SPEC = {
    "replicas": 1,
    "steps": [{"setWeight": FIRST_WEIGHT}, {"pause": {"duration": "5s"}}, {"setWeight": 60}, {"analyze": {}}],
    "bake": {"duration": "2s", "keepWarm": "0s"},
    "analysis": {
        "window": "10s",
        "grace": "5s",
        "metrics": [{"name": "errors", "source": {"serving": "errorRate"}, "limit": {"max": "50%"}}],
    },
}
WRONG = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Scene:
    """A rollout that serves policy `a` to somebody who never stops asking; policy `b` waits for its turn."""

    here: Namespace
    steady: Steady
    specs: dict[str, dict[str, Any]]

    def make(self, name: str, **artifact: str) -> None:
        """Create policy `a` or `b`, with other artifact fields where given."""
        spec = copy.deepcopy(self.specs[name])
        spec["artifact"] |= artifact
        self.here.apply(
            {"apiVersion": "belay.dev/v1alpha1", "kind": "RLPolicy", "metadata": {"name": name}, "spec": spec}
        )

    def name(self, policy: str) -> None:
        """Name another policy in the rollout."""
        self.here.patch("rlr", ROLLOUT, {"spec": {"policy": {"name": policy}}})

    def remove(self, policy: str) -> None:
        """Remove a policy as GitOps tools do: in the foreground, and gone before anything else is asked."""
        self.here.kubectl("delete", "rlp", policy, "--cascade=foreground", "--wait=false")
        self.here.kubectl("wait", "--for=delete", f"rlp/{policy}", "--timeout=30s")

    def rollout(self) -> dict[str, Any]:
        """Return the rollout as it is now."""
        return self.here.get("rlr", ROLLOUT)

    def serves(self) -> None:
        """Wait until the rollout says that it serves."""
        self.here.wait("the rollout to be Healthy", self.healthy, timeout_s=120, every_s=0.2)

    def healthy(self) -> bool:
        """Whether the rollout says that it serves."""
        return self.rollout().get("status", {}).get("phase") == "Healthy"

    def applied(self) -> float | None:
        """Return the candidate's share that the Gateway has accepted."""
        return self.rollout().get("status", {}).get("weight", {}).get("applied")

    def pods(self, policy: str) -> set[str]:
        """Return the uids of a policy's pods that are to stay."""
        pods = self.here.items("pods", f"belay.dev/policy={policy}")
        return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}

    def ended(self, policy: str, *, timeout_s: float = 120) -> dict[str, Any]:
        """Return the history's entry about a candidate once there is one."""

        def entry() -> dict[str, Any] | None:
            entries = self.rollout()["status"].get("history", [])
            return next((one for one in entries if one["policy"] == policy), None)

        return self.here.wait(f"the end of {policy}", entry, timeout_s=timeout_s, every_s=0.5)

    def nothing_failed(self, *policies: str) -> None:
        """Fail unless every request so far was answered, and by these policies."""
        totals = self.steady.settled()
        told = json.dumps(totals, indent=1)
        assert (totals["failed"], totals["withoutRoute"]) == (0, 0), told
        assert set(totals["by"]) == set(policies), told


def manifest() -> dict[str, Any]:
    """Return the rollout that serves `a`."""
    rollout = yaml.safe_load((EXAMPLES / "20-rollout.yaml").read_text())
    rollout["metadata"] = {"name": ROLLOUT}
    rollout["spec"] = {"policy": {"name": "a"}, "traffic": rollout["spec"]["traffic"], **SPEC}
    return rollout


@pytest.fixture
def scene(gateway: Namespace, published: dict[str, dict[str, Any]]) -> Iterator[Scene]:
    """Serve `a`, with `b` published, and begin to ask."""
    made = Scene(gateway, Steady(gateway, ROLLOUT), published)
    for name in "ab":
        made.make(name)
    gateway.apply(manifest())
    gateway.wait("a's route", lambda: made.applied() == 100 or made.healthy(), timeout_s=120, every_s=0.5)
    made.steady.start()  # now: nobody is stable before its requests have been looked at
    made.serves()
    yield made
    made.steady.stop()
    gateway.kubectl("delete", "rlr", ROLLOUT, "--wait")
    gateway.kubectl("delete", "rlp", "a", "b", "--ignore-not-found", "--wait")
    gateway.kubectl("wait", "--for=delete", "deployment/a", "deployment/b", "--timeout=60s")


def judged(scene: Scene) -> None:
    """Wait until `b` is promoted, and see that it went the way of the steps."""
    scene.here.wait("the first weight", lambda: scene.applied() == FIRST_WEIGHT, timeout_s=90, every_s=0.2)
    before = scene.steady.answered()
    scene.here.wait("b to answer", lambda: scene.steady.answered().get("b"), timeout_s=30, every_s=0.5)
    assert scene.steady.settled()["by"]["a"] > before["a"], "a answers the others"
    entry = scene.ended("b")
    assert entry["outcome"] == "Promoted", entry["message"]
    status = scene.rollout()["status"]
    assert [(one["metric"], one["verdict"]) for one in status["verdicts"]] == [("errors", "Pass")]
    assert status["stable"]["policy"] == "b"
    assert condition(scene.rollout(), "Ready")["status"] == "True", condition(scene.rollout(), "Ready")
    scene.here.wait("a's pods to go", lambda: not scene.pods("a"), timeout_s=60)
    scene.nothing_failed("a", "b")


@pytest.mark.timeout(300)
def test_a_policy_removed_before_the_next_is_ready_serves_until_that_is_promoted(scene: Scene) -> None:
    serving = scene.pods("a")
    scene.name("b")
    scene.remove("a")
    assert scene.pods("a") == serving, "the pods that serve are not touched"
    judged(scene)


@pytest.mark.timeout(300)
def test_a_policy_removed_during_the_steps_of_the_next_serves_its_share_until_the_end(scene: Scene) -> None:
    scene.name("b")
    scene.here.wait("the first weight", lambda: scene.applied() == FIRST_WEIGHT, timeout_s=90, every_s=0.2)
    scene.remove("a")
    judged(scene)


@pytest.mark.timeout(300)
def test_where_the_next_never_comes_the_removed_one_serves_on_and_is_taken_back_when_made_again(scene: Scene) -> None:
    serving = scene.pods("a")
    scene.name("missing")
    scene.remove("a")
    said = scene.here.wait(
        "the rollout to say what is missing",
        lambda: next((c for c in scene.rollout()["status"]["conditions"] if c["reason"] == "PolicyNotFound"), None),
        timeout_s=30,
    )
    assert "missing" in said["message"]
    asked = scene.steady.settled()["by"]["a"]
    scene.here.wait("a to answer on", lambda: scene.steady.answered()["a"] > asked + 400, timeout_s=60)
    assert scene.rollout()["status"]["stable"]["policy"] == "a"

    scene.make("a")
    scene.name("a")
    scene.here.wait(
        "a to be taken back",
        lambda: (
            scene.here.status("rlp", "a").get("readyReplicas") == 1
            and condition(scene.rollout(), "Ready").get("status") == "True"
        ),
        timeout_s=60,
    )
    assert scene.pods("a") == serving, "no pod was started anew"
    scene.nothing_failed("a")


@pytest.mark.timeout(300)
def test_where_the_next_is_refused_the_removed_one_serves_on(scene: Scene) -> None:
    scene.here.kubectl("delete", "rlp", "b", "--wait")
    scene.make("b", digest=WRONG)
    scene.name("b")
    scene.remove("a")
    assert scene.ended("b")["outcome"] == "RolledBack"
    asked = scene.steady.settled()["by"]["a"]
    scene.here.wait("a to answer on", lambda: scene.steady.answered()["a"] > asked + 400, timeout_s=60)
    assert scene.rollout()["status"]["stable"]["policy"] == "a"
    scene.nothing_failed("a")


@pytest.mark.timeout(400)
def test_a_candidate_whose_node_is_drained_is_not_held_guilty(scene: Scene) -> None:
    """No pod may be made here any more, as where a drained node leaves no room: its end is the cluster's doing."""
    digest = scene.specs["b"]["artifact"]["digest"]
    hold = {"setWeight": FIRST_WEIGHT}, {"pause": {"duration": "10m"}}
    scene.here.patch("rlr", ROLLOUT, {"spec": {"steps": list(hold)}})
    scene.name("b")
    scene.here.wait("the first weight", lambda: scene.applied() == FIRST_WEIGHT, timeout_s=90, every_s=0.2)
    scene.here.kubectl("create", "quota", "full", "--hard=pods=0")
    try:
        scene.here.kubectl("delete", "pod", "-l", "belay.dev/policy=b", "--wait=false")
        entry = scene.ended("b", timeout_s=150)  # a minute without any pod is what it is given
    finally:
        scene.here.kubectl("delete", "quota", "full", "--ignore-not-found")
    assert entry["outcome"] == "Withdrawn", entry["message"]
    status = scene.rollout()["status"]
    assert digest not in status.get("rejectedDigests", []), "another try needs no command"
    assert status["stable"]["policy"] == "a"
    before = scene.steady.settled()
    later = scene.steady.settled()
    assert later["failed"] == before["failed"], "all requests are a's again"


@pytest.mark.timeout(400)
def test_a_rollout_that_is_replaced_sends_nobody_to_pods_that_end(scene: Scene) -> None:
    """It took the pods its namesake had just let go for its own, and was Healthy with nobody behind the route."""
    for _ in range(3):
        scene.here.kubectl("replace", "--force", "-f", "-", stdin=json.dumps(manifest()))
        scene.serves()
        answered = scene.steady.answered()["a"]
        scene.here.wait("answers", lambda answered=answered: scene.steady.answered()["a"] > answered, timeout_s=10)
    totals = scene.steady.settled()
    # In the instant the route comes or goes Envoy has it and not its cluster: an empty 503 in place of a 404.
    assert set(totals["causes"]) <= {"503: "}, json.dumps(totals, indent=1)
    assert totals["causes"].get("503: ", 0) <= 6 * CALLERS, json.dumps(totals, indent=1)
