"""Trainings under Kubernetes' own Job controller: the test plays the kubelet, nothing else is simulated."""

import json
import time
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.api.controllers import ENV, job_controller, operator_of, restricted_namespace
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import OperatorProcess

from belay_api.job_keys import job_key
from belay_api.units import format_instant, parse_duration
from belay_cluster.api import Api

ROOT = Path(__file__).parents[3]
INDEX = "batch.kubernetes.io/job-completion-index"


@pytest.fixture(scope="module")
def controllers() -> Iterator[Api]:
    """An API server with Belay's CRDs and kube-controller-manager."""
    with job_controller() as server:
        yield server


@pytest.fixture
def kube(controllers: Api, request: pytest.FixtureRequest) -> Kube:
    """kubectl in a namespace that takes nothing but restricted pods."""
    return restricted_namespace(controllers, request.node.name)


@pytest.fixture
def operator(controllers: Api, kube: Kube, tmp_path: Path) -> Iterator[OperatorProcess]:
    with operator_of(controllers, kube, tmp_path) as made:
        yield made


def training(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "belay.dev/v1alpha1",
        "kind": "RLTrainingJob",
        "metadata": {"name": "cartpole"},
        "spec": {
            "environment": {"id": "CartPole-v1"},
            "algorithm": {"ppo": {}},
            "budget": {"steps": 1000},
            "publish": {"family": "cartpole"},
            **spec,
        },
    }


def _master(controllers: Api) -> bytes:
    found = Kube(controllers.kubeconfig, "belay-system").get("secret", "belay-receipt-master")
    return b64decode((found or {})["data"]["key"])


def status(kube: Kube) -> dict[str, Any]:
    return dict((kube.get("rltrainingjob", "cartpole") or {}).get("status") or {})


def ready(kube: Kube) -> dict[str, Any]:
    return next((c for c in status(kube).get("conditions", []) if c["type"] == "Ready"), {})


def pods(kube: Kube, *, phase: str = "Pending") -> dict[int, str]:
    """Names by index of the pods in a phase that nobody is removing."""
    found = (p for p in kube.all("pods") if INDEX in p["metadata"].get("annotations", {}))
    alive = (p for p in found if p["status"]["phase"] == phase and "deletionTimestamp" not in p["metadata"])
    return {int(p["metadata"]["annotations"][INDEX]): p["metadata"]["name"] for p in alive}


def run(kube: Kube, index: int) -> None:
    name = eventually(lambda: pods(kube).get(index), what=f"a pod of index {index}")
    container = {"name": "trainer", "image": "x", "imageID": "x", "ready": True, "restartCount": 0}
    state = {"running": {"startedAt": "2026-05-04T10:00:00Z"}}
    kube.patch_status("pod", name, {"phase": "Running", "containerStatuses": [{**container, "state": state}]})


def end(kube: Kube, index: int, *, code: int, report: dict[str, Any] | None = None) -> None:
    name = eventually(lambda: pods(kube, phase="Running").get(index), what=f"a running pod of index {index}")
    at = {"startedAt": "2026-05-04T10:00:00Z", "finishedAt": "2026-05-04T10:01:00Z"}
    ended = {"exitCode": code, "reason": "Completed", "message": json.dumps(report) if report else "", **at}
    container = {"name": "trainer", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    said = {
        "phase": "Failed" if code else "Succeeded",
        "containerStatuses": [{**container, "state": {"terminated": ended}}],
    }
    kube.patch_status("pod", name, said)


def succeed(kube: Kube, index: int, value: float) -> None:
    digest = f"{index + 1:x}" * 64
    artifact = {"uri": f"store://sha256/{digest}", "digest": f"sha256:{digest}"}
    said = {"outcome": "Succeeded", "index": index, "seed": index, "step": 1000, "return": value, "artifact": artifact}
    run(kube, index)
    end(kube, index, code=0, report=said)


def test_two_of_three_seeds_are_enough_and_the_best_is_published(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(training(seeds={"count": 3, "required": 2}))
    run(kube, 1)
    eventually(lambda: status(kube).get("phase") == "Running", what="the job is running")
    succeed(kube, 0, 400.0)
    succeed(kube, 2, 480.0)
    eventually(lambda: ready(kube).get("reason") == "Published", what="the policy is published")

    told = status(kube)
    assert ready(kube)["status"] == "True"
    assert told["publishedPolicy"] == "cartpole-333333"
    assert [seed["phase"] for seed in told["seeds"]] == ["Succeeded", "Stopped", "Succeeded"]
    policy = kube.get("rlpolicy", "cartpole-333333")
    assert policy is not None
    assert policy["spec"]["lineage"]["trainingJob"] == "cartpole"
    assert "ownerReferences" not in policy["metadata"]
    settled = eventually(
        lambda: (kube.get("rlpolicy", "cartpole-333333") or {}).get("status"), what="the policy has a status"
    )
    assert {c["type"]: c["reason"] for c in settled["conditions"]}["Ready"] == "NotLoaded"

    kube.run("delete", "rltrainingjob", "cartpole", "--cascade=foreground", "--timeout=30s")
    assert kube.get("job", "cartpole-a1") is None
    assert kube.get("rlpolicy", "cartpole-333333") is not None, "a policy outlives its training"


def test_a_search_comes_first_and_its_settings_reach_the_seeds(
    controllers: Api, kube: Kube, operator: OperatorProcess, tmp_path: Path
) -> None:
    kube.apply(training(seeds={"count": 1}, search={"trials": 8, "parallelism": 2}))
    run(kube, 0)
    run(kube, 1)
    eventually(lambda: status(kube).get("phase") == "Searching", what="the job searches")
    assert kube.get("job", "cartpole-a1") is None, "seeds wait for their settings"
    # One worker fails for good, which alone would fail a training: exit 4 is not tried again.
    end(kube, 1, code=4, report={"outcome": "GivenUp", "index": 1, "seed": 0, "message": "it had no luck"})
    best = {"trial": 5, "value": 480.5, "settings": {"learning_rate": 3e-4, "net_arch": [64, 64]}}
    found = {"trials": 8, "finished": 6, "pruned": 2, "best": best, "importance": {"learning_rate": 1.0}}
    operator.kill()  # whatever it was about
    end(kube, 0, code=0, report={"outcome": "Succeeded", "index": 0, "seed": 1000, "search": found})
    eventually(lambda: _ended(kube, "cartpole-s1"), what="the Job of the search is over", timeout_s=60)

    again = OperatorProcess(controllers.kubeconfig, kube.namespace, tmp_path, number=1, env=ENV).ready()
    try:
        eventually(lambda: kube.get("job", "cartpole-a1"), what="the Job of the seeds")
        assert status(kube)["search"]["best"] == best
        [read] = [
            c["data"]["job.json"] for c in kube.all("configmaps") if c["metadata"]["name"].startswith("cartpole-a1")
        ]
        assert json.loads(read)["spec"]["algorithm"] == {"ppo": best["settings"]}
        succeed(kube, 0, 400.0)
        eventually(lambda: ready(kube).get("reason") == "Published", what="the policy is published")
    finally:
        again.kill()
    assert status(kube)["aggregate"]["best"]["return"] == 400.0


def _ended(kube: Kube, name: str) -> bool:
    conditions = ((kube.get("job", name) or {}).get("status") or {}).get("conditions", [])
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def test_a_failed_seed_is_retried_and_counted(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(training(seeds={"count": 1}, failure={"retriesPerSeed": 1}))
    run(kube, 0)
    end(kube, 0, code=137)
    eventually(lambda: pods(kube).get(0), what="the next pod", timeout_s=40)  # the Job controller backs off 10 s
    eventually(lambda: status(kube)["seeds"][0]["retries"] == 1, what="the retry is counted")
    succeed(kube, 0, 100.0)
    eventually(lambda: ready(kube).get("status") == "True", what="the job is ready")


def test_exit_3_fails_the_job_and_exit_4_its_seed(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(training(seeds={"count": 3, "required": 2}))
    run(kube, 0)
    end(kube, 0, code=4, report={"outcome": "Diverged", "index": 0, "seed": 0, "message": "loss is NaN"})
    eventually(lambda: status(kube)["seeds"][0]["phase"] == "Failed", what="the seed has failed")
    assert status(kube)["seeds"][0]["message"] == "loss is NaN"
    assert status(kube)["phase"] != "Failed"
    run(kube, 1)
    end(kube, 1, code=3, report={"outcome": "BadConfiguration", "index": 1, "seed": 1, "message": "gamma is 7"})
    eventually(lambda: status(kube).get("phase") == "Failed", what="the job has failed")
    assert ready(kube)["reason"] == "BadConfiguration"
    assert "gamma is 7" in ready(kube)["message"]
    assert {c["type"] for c in status(kube)["conditions"]} == {"Ready", "Stalled"}


def test_suspend_ends_the_pods_and_resume_brings_them_back(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(training(seeds={"count": 2}))
    run(kube, 0)
    run(kube, 1)
    kube.run("patch", "rltrainingjob", "cartpole", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    eventually(lambda: status(kube).get("phase") == "Suspended", what="the job is suspended")
    # Without a kubelet somebody else must let the pods go.
    eventually(lambda: kube.get("job", "cartpole-a1")["spec"]["suspend"], what="the Job is suspended")  # type: ignore[index]
    kube.run("delete", "pods", "--all", "--force", "--grace-period=0", check=False)
    kube.run("patch", "rltrainingjob", "cartpole", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    run(kube, 0)
    eventually(lambda: status(kube).get("phase") == "Running", what="the job runs again")


def test_scaled_by_kubectl_as_many_seeds_train_at_once(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(training(seeds={"count": 3, "parallelism": 1}))
    run(kube, 0)
    assert list(pods(kube)) == []
    eventually(lambda: status(kube).get("running") == 1, what="the one at work is counted")

    kube.run("scale", "rltj/cartpole", "--current-replicas=1", "--replicas=3")

    run(kube, 1)
    run(kube, 2)
    eventually(lambda: status(kube).get("running") == 3, what="all three are at work")


def place(kube: Kube, index: int) -> None:
    """Play the scheduler: a pod without a node is gone the moment it is deleted."""
    kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "here"}})
    name = eventually(lambda: pods(kube).get(index), what=f"a pod of index {index}")
    target = {"apiVersion": "v1", "kind": "Node", "name": "here"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{name}/binding"
    kube.run("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))


def leave(kube: Kube) -> dict[int, str]:
    """Play the kubelet of pods that were asked to go: they save, end with 143 and are gone; return their names."""

    def going() -> dict[int, str]:
        found = (p for p in kube.all("pods") if "deletionTimestamp" in p["metadata"])
        return {int(p["metadata"]["annotations"][INDEX]): p["metadata"]["name"] for p in found}

    names = eventually(going, what="a pod that is asked to go")
    for index, name in names.items():
        said = {"outcome": "Interrupted", "index": index, "seed": index, "message": "asked to stop at timestep 512"}
        at = {"startedAt": "2026-05-04T10:00:00Z", "finishedAt": "2026-05-04T10:05:00Z"}
        ended = {"exitCode": 143, "reason": "Error", "message": json.dumps(said), **at}
        container = {"name": "trainer", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
        status = [{**container, "state": {"terminated": ended}}]
        kube.patch_status("pod", name, {"phase": "Failed", "containerStatuses": status})
        counted = eventually(
            lambda n=name: not (kube.get("pod", n) or {"metadata": {}})["metadata"].get("finalizers"),  # type: ignore[misc]
            what="the Job controller has counted it",
        )
        assert counted
        kube.run("delete", "pod", name, "--force", "--grace-period=0", check=False)
    return names


def test_who_is_asked_to_go_has_not_failed(kube: Kube, operator: OperatorProcess) -> None:
    """Neither `kubectl scale` nor a pause costs a retry: with none left, both would end the seed."""
    kube.apply(training(seeds={"count": 2}, failure={"retriesPerSeed": 0}))
    for index in range(2):
        place(kube, index)
        run(kube, index)
    kube.run("scale", "rltj/cartpole", "--replicas=1")
    (scaled,) = leave(kube).values()
    kube.run("scale", "rltj/cartpole", "--replicas=2")
    left = eventually(lambda: pods(kube, phase="Running"), what="the other one")
    kube.run("patch", "rltrainingjob", "cartpole", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    assert leave(kube) == left

    (suspended,) = left.values()
    ends = eventually(lambda: len(found := _ends(kube)) == 2 and found, what="both attempts have ended")
    assert ends == {scaled: "Removed", suspended: "Suspended"}
    told = status(kube)
    assert [seed["retries"] for seed in told["seeds"]] == [0, 0]
    assert {one["node"] for one in told["history"]} == {"here"}
    assert (kube.get("job", "cartpole-a1") or {})["status"]["failedIndexes"] == ""


def test_a_job_that_ran_out_of_memory_gets_more(kube: Kube, operator: OperatorProcess) -> None:
    limits = {"resources": {"limits": {"memory": "1Gi"}}}
    kube.apply(training(seeds={"count": 1, "required": 1}, runtime=limits))
    place(kube, 0)
    run(kube, 0)
    before = kube.get("job", "cartpole-a1") or {}
    more = {"spec": {"runtime": {"resources": {"limits": {"memory": "3Gi"}}}}}
    with pytest.raises(AssertionError, match="set spec.suspend to true"):
        kube.run("patch", "rltrainingjob", "cartpole", "--type=merge", "-p", json.dumps(more))

    more["spec"] |= {"suspend": True, "budget": {"deadline": "9h"}, "checkpoint": {"every": 77}}  # type: ignore[dict-item]
    kube.run("patch", "rltrainingjob", "cartpole", "--type=merge", "-p", json.dumps(more))
    leave(kube)
    made = eventually(
        lambda: (job := kube.get("job", "cartpole-a1")) and job["metadata"]["uid"] != before["metadata"]["uid"] and job,
        what="another Job",
    )
    assert made["spec"]["suspend"] is True
    assert 8.9 * 3600 < made["spec"]["activeDeadlineSeconds"] < 9 * 3600, "less what it had used up"
    kube.run("patch", "rltrainingjob", "cartpole", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    pod = kube.get("pod", eventually(lambda: pods(kube).get(0), what="the next pod")) or {}
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"memory": "3Gi"}
    (name,) = [v["configMap"]["name"] for v in pod["spec"]["volumes"] if "configMap" in v]
    told = json.loads((kube.get("configmap", name) or {})["data"]["job.json"])
    assert told["spec"]["checkpoint"]["every"] == 77
    assert told["configHash"] == status(kube)["templateHash"], "what is trained is the same"
    succeed(kube, 0, 100.0)
    eventually(lambda: ready(kube).get("reason") == "Published", what="the job is done")


def test_a_spent_budget_pauses_the_job_until_it_is_raised(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(training(seeds={"count": 1}, cost={"cpuHour": 1.0, "currency": "EUR", "budget": 0.5}))
    place(kube, 0)
    run(kube, 0)  # since May
    leave(kube)
    eventually(lambda: ready(kube).get("reason") == "BudgetSpent", what="that it is spent")
    assert (kube.get("job", "cartpole-a1") or {})["spec"]["suspend"] is True
    told = status(kube)
    assert told["cost"]["price"] == told["seeds"][0]["cost"]["price"] > 0.5
    assert [one["reason"] for one in told["history"]] == ["Suspended"]

    kube.run("patch", "rltrainingjob", "cartpole", "--type=merge", "-p", '{"spec": {"cost": {"budget": 1000000}}}')
    run(kube, 0)
    eventually(lambda: ready(kube).get("reason") == "Training", what="it goes on")


def test_a_deadline_goes_on_after_a_pause_where_it_stood(kube: Kube, operator: OperatorProcess) -> None:
    """Kubernetes begins a Job's deadline anew with each resume; it takes another number as it goes."""
    kube.apply(training(seeds={"count": 1}, budget={"steps": 1000, "deadline": "1h"}))
    run(kube, 0)
    eventually(lambda: status(kube).get("clock", {}).get("since"), what="that the clock runs")
    assert (kube.get("job", "cartpole-a1") or {})["spec"]["activeDeadlineSeconds"] == 3600
    time.sleep(2.1)  # two seconds of an hour; Kubernetes has whole ones
    kube.run("patch", "rltrainingjob", "cartpole", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    clock = eventually(lambda: "since" not in (c := status(kube)["clock"]) and c, what="that it stands still")
    used = parse_duration(clock["used"]).total_seconds()
    assert 2 <= used < 60
    kube.run("delete", "pods", "--all", "--force", "--grace-period=0", check=False)
    kube.run("patch", "rltrainingjob", "cartpole", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    run(kube, 0)
    assert (kube.get("job", "cartpole-a1") or {})["spec"]["activeDeadlineSeconds"] == 3600 - used
    eventually(lambda: status(kube)["clock"].get("since"), what="that it runs again")


def test_a_pod_that_is_deleted_by_hand_saves_and_costs_no_retry(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(training(seeds={"count": 1}, failure={"retriesPerSeed": 0}))
    place(kube, 0)
    run(kube, 0)
    kube.run("delete", "pod", pods(kube, phase="Running")[0], "--wait=false")
    leave(kube)
    run(kube, 0)
    eventually(lambda: status(kube).get("running") == 1, what="the next pod")
    assert list(_ends(kube).values()) == ["Removed"]
    assert status(kube)["seeds"][0]["retries"] == 0


def test_a_pod_that_the_kubelet_evicts_costs_a_retry_though_its_job_calls_that_a_disruption(
    kube: Kube, operator: OperatorProcess
) -> None:
    """The Job controller would make the next pod for ever; here it does so twice."""
    kube.apply(training(seeds={"count": 1}, failure={"retriesPerSeed": 1}))
    for _ in range(2):
        run(kube, 0)
        _evict(kube, pods(kube, phase="Running")[0])
    eventually(lambda: _ended(kube, "cartpole-a1"), what="the Job has ended", timeout_s=60)
    eventually(lambda: status(kube).get("phase") == "Failed", what="the job has failed")
    told = status(kube)
    assert ready(kube)["reason"] == "TooFewSeeds"
    assert "The node was low on resource: memory" in ready(kube)["message"]
    assert [one["reason"] for one in told["history"] if one["reason"] == "Evicted"] == ["Evicted", "Evicted"]
    assert "deadline" not in (kube.get("rltrainingjob", "cartpole") or {})["spec"]["budget"]
    assert pods(kube) == pods(kube, phase="Running") == {}


def _evict(kube: Kube, name: str) -> None:
    """Play the kubelet of a node that is short of memory."""
    words = "The node was low on resource: memory. Container trainer was using 3Gi, request is 1Gi"
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": words}
    now = format_instant(datetime.now(UTC).replace(microsecond=0))  # which tells one pod's life from the next
    at = {"startedAt": now, "finishedAt": now}
    container = {"name": "trainer", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    state = {"terminated": {"exitCode": 137, "reason": "Error", **at}}
    said = {"phase": "Failed", "reason": "Evicted", "message": words, "conditions": [condition]}
    kube.patch_status("pod", name, {**said, "containerStatuses": [{**container, "state": state}]})


def _ends(kube: Kube) -> dict[str, str]:
    return {one["pod"]: one["reason"] for one in status(kube).get("history", []) if "endedAt" in one}


def test_a_job_that_another_version_made_is_suspended_and_resumed(
    controllers: Api, kube: Kube, operator: OperatorProcess, tmp_path: Path
) -> None:
    kube.apply(training(seeds={"count": 1}))
    made = eventually(lambda: kube.get("job", "cartpole-a1"), what="the Job")
    operator.kill()
    kube.run("delete", "job", "cartpole-a1", "--cascade=foreground")
    spec = {key: value for key, value in made["spec"].items() if key != "selector"}
    spec["podFailurePolicy"]["rules"].pop()
    spec["template"]["metadata"]["labels"] = made["metadata"]["labels"]  # without those the API server adds
    spec["template"]["spec"]["terminationGracePeriodSeconds"] = 7
    meta = {key: made["metadata"][key] for key in ("name", "labels", "annotations", "ownerReferences")}
    kube.run("create", "-f", "-", stdin=json.dumps({**made, "metadata": meta, "spec": spec, "status": {}}))
    before = kube.get("job", "cartpole-a1")["spec"]  # type: ignore[index]

    other = OperatorProcess(controllers.kubeconfig, kube.namespace, tmp_path, number=1, env=ENV).ready()
    try:
        for suspend in (True, False):
            patch = json.dumps({"spec": {"suspend": suspend}})
            kube.run("patch", "rltrainingjob", "cartpole", "--type=merge", "-p", patch)
            wanted = {**before, "suspend": suspend}
            eventually(lambda w=wanted: kube.get("job", "cartpole-a1")["spec"] == w, what=f"suspend: {suspend}")  # type: ignore[index,misc]
    finally:
        other.kill()


@pytest.mark.parametrize(
    ("guard", "words", "reason"),
    [
        (
            {"kind": "ResourceQuota", "spec": {"hard": {"limits.cpu": "1"}}},
            "exceeded quota: guard, requested: limits.cpu=2, used: limits.cpu=0, limited: limits.cpu=1",
            "Unschedulable",
        ),
        (
            {"kind": "LimitRange", "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
            "maximum cpu usage per Container is 1, but limit is 2",
            "PodStartFailed",
        ),
    ],
    ids=["quota", "limit-range"],
)
def test_why_no_pod_can_be_made_is_said(
    kube: Kube, operator: OperatorProcess, guard: dict[str, Any], words: str, reason: str
) -> None:
    kube.apply({"apiVersion": "v1", "metadata": {"name": "guard"}, **guard})
    kube.apply(training(seeds={"count": 1}, runtime={"resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}))
    said = eventually(lambda: (r := ready(kube)).get("reason") == reason and r, what="the controller's words")
    assert words in said["message"]
    assert {c["type"] for c in status(kube)["conditions"]} == {"Ready", "Reconciling"}, "it is not stalled"
    assert "TrainingStarted" not in [event["reason"] for event in kube.all("events")]

    kube.run("delete", guard["kind"], "guard")
    run(kube, 0)  # the Job controller tries again by itself
    eventually(lambda: ready(kube).get("reason") == "Training", what="the training runs")
    eventually(lambda: "TrainingStarted" in [event["reason"] for event in kube.all("events")], what="its start is told")


def test_a_missing_service_account_is_named(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(training(seeds={"count": 1}, runtime={"serviceAccountName": "simulators"}))
    said = eventually(lambda: (r := ready(kube)).get("reason") == "PodStartFailed" and r, what="the controller's words")
    assert 'serviceaccount "simulators" not found' in said["message"]
    kube.run("create", "serviceaccount", "simulators")
    run(kube, 0)
    eventually(lambda: ready(kube).get("reason") == "Training", what="the training runs")


def test_a_missing_config_map_is_named_in_the_kubelets_words(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(training(seeds={"count": 1}, runtime={"code": {"configMap": {"name": "my-task"}}}))
    name = eventually(lambda: pods(kube).get(0), what="a pod")
    pod = kube.get("pod", name) or {}
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": pod["metadata"]["creationTimestamp"]}
    kube.patch_status("pod", name, {"conditions": [scheduled]})
    words = 'MountVolume.SetUp failed for volume "code" : configmap "my-task" not found'
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "told"},
            "involvedObject": {"kind": "Pod", "namespace": kube.namespace, "name": name, "uid": pod["metadata"]["uid"]},
            "type": "Warning",
            "reason": "FailedMount",
            "message": words,
        }
    )
    said = eventually(lambda: (r := ready(kube)).get("reason") == "PodStartFailed" and r, what="the kubelet's words")
    assert words in said["message"]
    run(kube, 0)
    eventually(lambda: ready(kube).get("reason") == "Training", what="the training runs")


def test_whatever_a_runtime_may_ask_for_is_a_restricted_pod(kube: Kube, operator: OperatorProcess) -> None:
    """The namespace takes no other, and the API server knows every field of a Job that the operator wrote."""
    asked = yaml.safe_load((ROOT / "tests" / "api" / "schema" / "good" / "training_runtime.yaml").read_text())
    kube.run("create", "serviceaccount", asked["spec"]["runtime"]["serviceAccountName"])
    kube.apply(training(seeds={"count": 1}, runtime=asked["spec"]["runtime"], storage={"pvc": {"claim": "recordings"}}))
    pod = kube.get("pod", eventually(lambda: pods(kube).get(0), what="a pod")) or {}
    [container] = pod["spec"]["containers"]
    assert {"name": "MODE"} in container["env"], "an empty value is stored as none"
    assert len({mount["mountPath"] for mount in container["volumeMounts"]}) == len(container["volumeMounts"])


def test_the_pods_of_each_job_get_a_key_of_their_own(controllers: Api, kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(training(seeds={"count": 1}))
    pod = kube.get("pod", eventually(lambda: pods(kube).get(0), what="a pod")) or {}
    (name,) = [v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v]
    uid = (kube.get("rltrainingjob", "cartpole") or {})["metadata"]["uid"]
    secret, master = kube.get("secret", name), _master(controllers)
    assert secret is not None
    assert b64decode(secret["data"]["key"]) == job_key(master, kube.namespace, uid)

    kube.run("delete", "job", "cartpole-a1", "--cascade=foreground", "--timeout=30s")
    eventually(lambda: pods(kube).get(0), what="a pod of the Job that was made again")
    assert (kube.get("secret", name) or {})["metadata"]["uid"] == secret["metadata"]["uid"], "it is not made twice"

    kube.run("delete", "rltrainingjob", "cartpole", "--cascade=foreground", "--timeout=30s")
    assert kube.get("secret", name) is None


def test_a_secret_that_has_the_name_already_is_left_alone(controllers: Api, kube: Kube, tmp_path: Path) -> None:
    kube.apply(training(seeds={"count": 1}))
    name = f"cartpole-{(kube.get('rltrainingjob', 'cartpole') or {})['metadata']['uid'][:8]}-key"
    kube.run("create", "secret", "generic", name, "--from-literal=key=theirs")
    operator = OperatorProcess(controllers.kubeconfig, kube.namespace, tmp_path, number=0, env=ENV).ready()
    try:
        pod = kube.get("pod", eventually(lambda: pods(kube).get(0), what="a pod")) or {}
    finally:
        operator.kill()
    assert [v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v] == [name]
    assert b64decode((kube.get("secret", name) or {})["data"]["key"]) == b"theirs"


def test_a_job_deleted_by_hand_is_made_again(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(training(seeds={"count": 1}))
    before = eventually(lambda: kube.get("job", "cartpole-a1"), what="the Job")
    kube.run("delete", "job", "cartpole-a1", "--cascade=background")
    after = eventually(
        lambda: (job := kube.get("job", "cartpole-a1")) and job["metadata"]["uid"] != before["metadata"]["uid"],
        what="another Job",
    )
    assert after


def test_a_namespace_with_a_job_that_retries_by_index_ends_when_the_job_is_deleted(kube: Kube) -> None:
    """Kubernetes' own: no operator runs here. Once this fails, `docs/guides/operate.md` has a warning too many."""
    container = {"name": "c", "image": "x"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"completions": 1, "completionMode": "Indexed", "backoffLimitPerIndex": 1, "template": template}
    kube.run("label", "namespace", kube.namespace, "pod-security.kubernetes.io/enforce-")
    kube.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "plain"}, "spec": spec})
    eventually(lambda: kube.all("pods"), what="a pod, which never starts")
    kube.run("delete", "namespace", kube.namespace, "--wait=false")
    # Nobody runs its pod, so the pod collector, which comes every 20 s, ends it.
    eventually(lambda: kube.all("pods")[0]["status"]["phase"] == "Failed", what="the pod has ended", timeout_s=120)
    kube.run("wait", "--for=delete", "pods", "--all", "--timeout=10s", check=False)
    assert kube.all("pods"), "its Job keeps it"

    kube.run("delete", "job", "plain", "--wait=false")
    eventually(lambda: kube.get("namespace", kube.namespace) is None, what="the namespace is gone", timeout_s=30)


def test_what_a_job_leaves_behind_is_removed_after_a_while(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(training(seeds={"count": 1}, cleanup={"afterSuccess": "5s"}, storage={"pvc": {"claim": "policies"}}))
    succeed(kube, 0, 100.0)
    mine = {"batch.kubernetes.io/job-name": "cartpole-cleanup"}

    def pod_of_the_cleanup() -> str | None:
        found = (p for p in kube.all("pods") if mine.items() <= p["metadata"]["labels"].items())
        return next((str(p["metadata"]["name"]) for p in found), None)

    name = eventually(pod_of_the_cleanup, what="the pod that removes the checkpoints")
    assert kube.get("job", "cartpole-a1") is not None, "the training's own Job goes last"
    kube.patch_status("pod", name, {"phase": "Succeeded"})
    eventually(lambda: "doneAt" in status(kube).get("cleanup", {}), what="the cleanup is done")
    eventually(lambda: not kube.all("jobs") and not kube.all("pods"), what="Jobs and pods are gone")
    told = status(kube)
    assert (told["phase"], ready(kube)["status"], told["aggregate"]["mean"]) == ("Succeeded", "True", 100.0)
    assert kube.get("rlpolicy", told["publishedPolicy"]) is not None
    assert {"CleanupPlanned", "CleanedUp"} <= {event["reason"] for event in kube.all("events")}
