"""Users stay with one version on a real gateway, whose own order of matches decides who that is."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.e2e.steady import Steady

from belay_api.users import write_headers
from belay_demo.install import EXAMPLES
from belay_demo.kube import Namespace
from belay_operator.rollout.users import buckets

ROLLOUT = "by-user"
SPEC: dict[str, Any] = {
    "replicas": 1,
    "steps": [{"setWeight": 15}, {"pause": {}}, {"setWeight": 37}, {"pause": {}}],
    "bake": {"duration": "1s", "keepWarm": "1s"},
}


@pytest.fixture(scope="module")
def asked(gateway: Namespace, published: dict[str, dict[str, Any]]) -> Iterator[Steady]:
    """Serve `a` to steady callers that say no user, with `b` at its first weight."""
    for name in "ab":
        policy = {"apiVersion": "belay.dev/v1alpha1", "kind": "RLPolicy", "metadata": {"name": name}}
        gateway.apply(policy | {"spec": published[name]})
    rollout = yaml.safe_load((EXAMPLES / "20-rollout.yaml").read_text())
    traffic = rollout["spec"]["traffic"]
    traffic["gatewayAPI"]["assignment"] = "User"
    rollout["metadata"] = {"name": ROLLOUT}
    rollout["spec"] = {"policy": {"name": "a"}, "traffic": traffic, **SPEC}
    gateway.apply(rollout)
    gateway.wait("a to serve", lambda: _status(gateway).get("phase") == "Healthy", timeout_s=240)
    steady = Steady(gateway, ROLLOUT, asking={"episode": "e"})
    steady.start()
    gateway.patch("rlr", ROLLOUT, {"spec": {"policy": {"name": "b"}}})
    gateway.wait("the first weight", lambda: _status(gateway).get("weight", {}).get("applied") == 15, timeout_s=240)
    yield steady
    steady.stop()
    gateway.kubectl("delete", "rlr", ROLLOUT, "--wait")
    gateway.kubectl("delete", "rlp", "a", "b", "--ignore-not-found", "--wait")


@pytest.mark.timeout(600)
def test_users_have_the_version_that_the_draw_says_and_keep_it_when_others_join(
    gateway: Namespace, asked: Steady
) -> None:
    since = _status(gateway)["candidate"]["since"]
    trial = f"{gateway.name}/{ROLLOUT}/b/{since}"
    every = [write_headers(1_000 + number) for number in range(100)]
    for weight, command in ((15, "resume@1"), (37, "abort@2")):
        gateway.wait(
            f"{weight} %", lambda weight=weight: _status(gateway)["weight"].get("applied") == weight, timeout_s=120
        )
        time.sleep(2)  # from accepted to in force a route takes a quarter of a second
        having = buckets(weight, trial=trial)
        wanted = ["b" if {one, (one[0], None)} & set(having) else "a" for one in map(_digits, every)]
        assert wanted.count("b") == weight
        assert asked.who_answers(*every) == wanted
        # Episodes under way stay where they began, whatever their client sends beside their pin.
        assert asked.who_answers(*({**one, "x-belay-policy": "a"} for one in every[::9])) == ["a"] * 12
        assert asked.who_answers(*({**one, "x-belay-policy": "b"} for one in every[::9])) == ["b"] * 12
        gateway.kubectl("annotate", "rlr", ROLLOUT, f"belay.dev/command={command}", "--overwrite")
    gateway.wait("the rollback", lambda: _status(gateway).get("phase") == "RolledBack", timeout_s=120)
    assert set(asked.who_answers(*every)) == {"a"}
    assert asked.settled()["failed"] == 0
    assert set(asked.totals()["by"]) == {"a"}, "who says no user stays with stable"


def _digits(headers: dict[str, str]) -> tuple[str, str]:
    return headers["x-belay-user-tens"], headers["x-belay-user-ones"]


def _status(here: Namespace) -> dict[str, Any]:
    return here.status("rlr", ROLLOUT)
