"""Training on real pods: a killed seed resumes bit-exactly, a bad configuration ends the job, a volume is a store."""

import copy
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from belay_demo.install import EXAMPLES
from belay_demo.kube import Namespace, condition

BASE: dict[str, Any] = yaml.safe_load((EXAMPLES / "10-training.yaml").read_text())


def job(name: str, **spec: Any) -> dict[str, Any]:
    """Return the example's job under another name with parts of its spec replaced."""
    made = copy.deepcopy(BASE)
    made["metadata"] = {"name": name}
    made["spec"] |= spec
    return made


def report(here: Namespace, name: str) -> dict[str, Any]:
    """Return the final report of seed 0, from the termination message of its last pod."""
    pods = [p for p in here.items("pods", f"belay.dev/training-job={name}") if p["status"]["phase"] == "Succeeded"]
    [state] = [s["state"]["terminated"] for s in pods[0]["status"]["containerStatuses"] if s["name"] == "trainer"]
    return json.loads(state["message"])


def succeeded(here: Namespace, name: str) -> bool:
    found = here.get("rltj", name)
    stalled = condition(found, "Stalled")
    assert stalled.get("status") != "True", stalled["message"]
    return found.get("status", {}).get("phase") == "Succeeded"


def kill(pod: dict[str, Any]) -> None:
    """SIGKILL the trainer of a pod on this machine; elsewhere the pod is deleted by force, which kills it as hard."""
    uid = pod["metadata"]["uid"]
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            cgroup, command = (process / "cgroup").read_text(), (process / "cmdline").read_bytes()
        except OSError:
            continue  # it ended while we looked
        if uid in cgroup and b"belay_trainer" in command:
            os.kill(int(process.name), signal.SIGKILL)
            return
    Namespace(pod["metadata"]["namespace"]).kubectl(
        "delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0"
    )


@pytest.mark.timeout(600)
def test_a_killed_seed_resumes_and_ends_with_the_same_weights(here: Namespace) -> None:
    # Status may lag by a heartbeat and a poll, seven seconds: 35,000 timesteps on a fast machine.
    short = {"budget": {"steps": 100_000}, "seeds": {"count": 1, "first": 7}, "checkpoint": {"every": 2000}}
    short |= {"evaluation": {"every": 5000, "episodes": 5}, "publish": None}
    here.apply(job("whole", **short))
    here.apply(job("killed", **short))

    def well_under_way() -> bool:
        return any(4000 < (s.get("step") or 0) < 50_000 for s in here.status("rltj", "killed").get("seeds", []))

    here.wait("the seed to be well under way", well_under_way, timeout_s=240, every_s=0.3)
    [pod] = [p for p in here.items("pods", "belay.dev/training-job=killed") if p["status"]["phase"] == "Running"]
    kill(pod)

    for name in ("whole", "killed"):
        here.wait(f"{name} to succeed", lambda name=name: succeeded(here, name), timeout_s=300)
    whole, killed = report(here, "whole"), report(here, "killed")
    assert killed["resumedFrom"] > 0, "the second pod began from the beginning"
    assert killed["weightsSha256"] == whole["weightsSha256"]
    [seed] = here.status("rltj", "killed")["seeds"]
    assert (seed["retries"], seed["resumedFrom"]) == (1, killed["resumedFrom"])


@pytest.mark.timeout(300)
def test_a_bad_configuration_ends_the_job_and_says_why(here: Namespace) -> None:
    here.apply(job("no-such-task", environment={"id": "NoSuchTask-v0"}))
    stalled = here.wait(
        "the job to stall", lambda: condition(here.get("rltj", "no-such-task"), "Stalled"), timeout_s=120
    )
    assert stalled["reason"] == "BadConfiguration"
    assert "NoSuchTask" in stalled["message"]


@pytest.mark.timeout(300)
def test_a_missing_image_is_a_condition_and_heals(here: Namespace) -> None:
    here.apply(job("no-image", runtime={"image": "localhost/no-such-image:1"}, seeds={"count": 1}))
    ready = here.wait(
        "the condition",
        lambda: (
            condition(here.get("rltj", "no-image"), "Ready").get("reason") == "PodStartFailed"
            and condition(here.get("rltj", "no-image"), "Ready")
        ),
        timeout_s=120,
    )
    assert "no-such-image" in ready["message"]
    here.kubectl("delete", "rltj", "no-image", "--wait")
    here.wait("its pods to go", lambda: not here.items("pods", "belay.dev/training-job=no-image"), timeout_s=90)


@pytest.mark.timeout(600)
def test_an_environment_in_a_config_map_becomes_a_served_policy(here: Namespace) -> None:
    folder = EXAMPLES.parent / "own-environment"
    own = yaml.safe_load((folder / "10-training.yaml").read_text())
    own["spec"] |= {"budget": {"steps": 4096}, "seeds": {"count": 1}, "evaluation": {"every": 2048, "episodes": 5}}
    own["spec"]["publish"]["serving"] = {"replicas": 1}
    here.apply(own)
    # The kubelet tells it in an Event alone, and the operator asks for those of pods that wait for ten seconds.
    ready = here.wait(
        "the missing ConfigMap to be named",
        lambda: (
            condition(here.get("rltj", "thermostat"), "Ready").get("reason") == "PodStartFailed"
            and condition(here.get("rltj", "thermostat"), "Ready")
        ),
        timeout_s=120,
    )
    assert 'configmap "thermostat" not found' in ready["message"]

    here.kubectl("create", "configmap", "thermostat", f"--from-file={folder / 'thermostat.py'}")
    here.wait("the job to succeed", lambda: succeeded(here, "thermostat"), timeout_s=400)
    [seed] = here.status("rltj", "thermostat")["seeds"]
    assert seed["code"].startswith("sha256:")
    policy = here.wait("the policy", lambda: here.status("rltj", "thermostat").get("publishedPolicy"), timeout_s=30)
    here.kubectl("wait", "--for=condition=Loaded", f"rlp/{policy}", "--timeout=180s")


@pytest.mark.timeout(600)
def test_a_volume_is_a_store_as_well(here: Namespace) -> None:
    here.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "policies"},
            "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
        }
    )
    here.apply(
        job(
            "on-a-volume",
            storage={"pvc": {"claim": "policies"}},
            budget={"steps": 4096},
            seeds={"count": 2, "required": 2},
            evaluation={"every": 2048, "episodes": 5},
            publish={"family": "volume", "serving": {"replicas": 1}},
        )
    )
    here.wait("the job to succeed", lambda: succeeded(here, "on-a-volume"), timeout_s=300)
    policy = here.wait("the policy", lambda: here.status("rltj", "on-a-volume").get("publishedPolicy"), timeout_s=30)
    assert here.get("rlp", policy)["spec"]["artifact"]["uri"].startswith("pvc://policies/")
    here.kubectl("wait", "--for=condition=Loaded", f"rlp/{policy}", "--timeout=180s")
