"""The example with windows and an approval, on a real API server: what waits, who is asked, and the way back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.rollout.test_rollout import policy, status, weights

EXAMPLE = Path(__file__).parents[3] / "examples" / "approvals" / "rollout.yaml"
ALWAYS = [{"from": "00:00", "to": "24:00", "timeZone": "UTC"}]


def example(policy_name: str, windows: list[dict[str, Any]] | None = None, *, replicas: int = 1) -> dict[str, Any]:
    """The example as it is but for its namespace, its policy and when it is opened."""
    thing: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    thing["metadata"] = {"name": "r"}
    thing["spec"] |= {"policy": {"name": policy_name}, "replicas": replicas}
    thing["spec"]["windows"] = windows or thing["spec"]["windows"]
    return thing


def ready(kube: Kube) -> dict[str, str]:
    found = [one for one in status(kube).get("conditions", ()) if one["type"] == "Ready"]
    return found[0] if found else {"reason": "", "message": ""}


def say(kube: Kube, command: str, name: str = "r") -> None:
    kube.run("annotate", "--overwrite", "rlr", name, f"belay.dev/command={command}")


def test_a_person_is_waited_for_and_a_promotion_undone(kube: Kube, start: Starter, data_plane: DataPlaneThread) -> None:
    operator = start(TEST_KIND_MODULES="real").ready(timeout_s=180)
    for name in ("p1", "p2"):
        kube.apply(policy(name))
    kube.apply(example("p1", ALWAYS))
    eventually(lambda: status(kube).get("phase") == "Healthy", what="the first policy serves")
    kube.apply(example("p2", ALWAYS))
    eventually(lambda: status(kube).get("phase") == "WaitingForApproval", what="it asks", timeout_s=90)
    assert ready(kube)["reason"] == "ApprovalNeeded"
    assert "send the command approve" in ready(kube)["message"]

    operator.kill()
    say(kube, "approve@1")
    start(TEST_KIND_MODULES="real").ready(timeout_s=180)
    eventually(lambda: weights(kube) == {"p1": 5_000, "p2": 5_000}, what="it goes on", timeout_s=90)
    eventually(lambda: ready(kube)["reason"] == "Paused", what="it waits for the second word", timeout_s=60)
    say(kube, "resume@1")
    eventually(lambda: status(kube).get("stable", {}).get("policy") == "p2", what="promoted", timeout_s=90)
    assert [(one["action"], one["id"]) for one in status(kube)["commands"]] == [("approve", "1"), ("resume", "1")]

    say(kube, "undo@1")
    eventually(lambda: weights(kube) == {"p1": 10_000}, what="the version before answers")
    eventually(lambda: status(kube).get("phase") == "RolledBack", what="p2 was seen drained", timeout_s=60)
    now = status(kube)
    assert now["stable"]["policy"] == "p1"
    assert now["rejectedDigests"] == [policy("p2")["spec"]["artifact"]["digest"]]
    assert "undo@1" in ready(kube)["message"]


def test_a_window_that_opens_is_acted_on(kube: Kube, start: Starter, data_plane: DataPlaneThread) -> None:
    """Nothing but the clock tells the operator."""
    start(TEST_KIND_MODULES="real").ready(timeout_s=180)
    for name in ("p1", "p2"):
        kube.apply(policy(name))
    kube.apply(example("p1"))
    eventually(lambda: status(kube).get("phase") == "Healthy", what="a first version waits for no window")
    minute = (datetime.now(UTC) + timedelta(seconds=100)).replace(second=0, microsecond=0)
    opening = {"from": minute.strftime("%H:%M"), "to": (minute - timedelta(hours=1)).strftime("%H:%M")}
    kube.apply(example("p2", [opening | {"timeZone": "UTC"}]))
    eventually(lambda: ready(kube)["reason"] == "OutsideWindows", what="it says so")
    assert f"the next opens at {minute.strftime('%Y-%m-%dT%H:%M:%SZ')}" in ready(kube)["message"]
    eventually(lambda: weights(kube) == {"p1": 9_000, "p2": 1_000}, what="taken up", timeout_s=150)
    since = datetime.fromisoformat(status(kube)["candidate"]["since"])
    assert minute <= since < minute + timedelta(seconds=30)
