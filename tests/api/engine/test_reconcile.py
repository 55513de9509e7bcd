"""The engine against a real API server: what it writes, what it leaves alone, what it repairs."""

import json
import time
from typing import Any

import pytest
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.faults import Fault, FaultProxy


def training_job(name: str, **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "belay.dev/v1alpha1",
        "kind": "RLTrainingJob",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "environment": {"id": "CartPole-v1"},
            "algorithm": {"ppo": {}},
            "budget": {"steps": 1000},
        },
    }


def phase(kube: Kube, name: str) -> str | None:
    found = kube.get("rltrainingjob", name)
    return (found or {}).get("status", {}).get("phase")


def finish_job(kube: Kube, name: str) -> None:
    """Do what the Job controller would, once there is a Job: status says that it runs before it is made."""
    eventually(lambda: kube.get("job", f"{name}-a1"), what="the Job exists")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("SuccessCriteriaMet", "Complete")
    ]
    kube.patch_status(
        "job",
        f"{name}-a1",
        {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions},
    )


def test_an_object_becomes_its_children_and_its_status(kube: Kube, start: Starter) -> None:
    start().ready()
    kube.apply(training_job("a"))
    eventually(lambda: phase(kube, "a") == "Running", what="status written")
    job = eventually(lambda: kube.get("job", "a-a1"), what="the Job exists")
    parent = kube.get("rltrainingjob", "a")
    assert parent is not None
    assert job["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "belay"
    assert job["metadata"]["ownerReferences"][0]["uid"] == parent["metadata"]["uid"]
    assert parent["status"]["observedGeneration"] == parent["metadata"]["generation"]
    assert kube.get("configmap", "a-a1") is not None


def test_a_world_as_wanted_costs_no_call_and_a_finished_object_none_at_all(
    kube: Kube, start: Starter, proxy: FaultProxy
) -> None:
    operator = start(kubeconfig=proxy.kubeconfig, BELAY_RESYNC_S="3600").ready()
    kube.apply(training_job("a"))
    eventually(lambda: kube.get("job", "a-a1"), what="the Job exists")
    time.sleep(0.5)
    before = time.monotonic()
    kube.run("label", "rltrainingjob", "a", "touched=yes")  # news that changes nothing wanted
    eventually(lambda: operator.metric("belay_applies_saved_total") > 3, what="passes after the label")
    time.sleep(0.3)
    assert proxy.seen(since=before, path="a-a1|rltrainingjobs/a") == []

    finish_job(kube, "a")
    eventually(lambda: phase(kube, "a") == "Succeeded", what="the end is seen")
    eventually(lambda: proxy.seen(path="/events$", writes=True), what="the end is told")
    time.sleep(0.3)
    before, passes = time.monotonic(), operator.metric("belay_reconciles_total")
    for number in range(3):
        kube.run("label", "--overwrite", "rltrainingjob", "a", f"touched=again-{number}")
    eventually(lambda: operator.metric("belay_reconciles_total") >= passes + 3, what="three more passes")
    assert proxy.seen(since=before, path="a-a1|rltrainingjobs/a|events") == []


def test_a_child_changed_or_deleted_behind_our_back_is_repaired(kube: Kube, start: Starter) -> None:
    start().ready()
    kube.apply(training_job("a"))
    first = eventually(lambda: kube.get("job", "a-a1"), what="the Job exists")
    kube.run("patch", "job", "a-a1", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    eventually(lambda: (kube.get("job", "a-a1") or {}).get("spec", {}).get("suspend"), what="suspend is put back")
    kube.run("delete", "job", "a-a1", "--cascade=background")
    second = eventually(
        lambda: (found := kube.get("job", "a-a1")) and found["metadata"]["uid"] != first["metadata"]["uid"] and found,
        what="the Job is made again",
    )
    assert second["spec"]["suspend"] is True


def test_a_malformed_object_gets_a_condition_and_never_stops_others(kube: Kube, start: Starter) -> None:
    operator = start().ready()
    kube.apply(training_job("bad", **{"test/command": "malformed"}))
    kube.apply(training_job("bug", **{"test/command": "bug"}))
    kube.apply(training_job("good"))
    eventually(lambda: phase(kube, "good") == "Running", what="the good one runs")
    status = eventually(lambda: (kube.get("rltrainingjob", "bad") or {}).get("status"), what="the bad one has a status")
    ready = status["conditions"][0]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "False", "InvalidSpec")
    assert "spec.algorithm" in ready["message"]
    bug = kube.get("rltrainingjob", "bug")
    assert bug is not None
    assert "status" not in bug, "a bug in our code is no fault of the object"
    eventually(lambda: operator.metric("belay_reconciles_total") > 3, what="tries of the bug")
    assert "a bug in observe" in operator.text()
    kube.apply(training_job("bad"))  # corrected
    eventually(lambda: phase(kube, "bad") == "Running", what="the corrected one runs")


@pytest.mark.parametrize("depth", [300, 2_000])
def test_a_spec_nested_without_end_stops_nobody(kube: Kube, start: Starter, depth: int) -> None:
    """`kwargs` is free-form. Read by the first list, and by the watch."""
    kwargs = '{"a":' * depth + "1" + "}" * depth  # as text: json.dumps goes no deeper than a thousand

    def deep(name: str) -> str:
        return json.dumps(training_job(name)).replace('"CartPole-v1"', f'"CartPole-v1", "kwargs": {kwargs}')

    kube.run("create", "-f", "-", stdin=deep("first"))
    start().ready()
    kube.run("create", "-f", "-", stdin=deep("second"))
    kube.apply(training_job("good"))
    eventually(lambda: phase(kube, "good") == "Running", what="the good one runs")
    path = "jsonpath={.status.conditions[0].reason}"
    for name in ("first", "second"):
        said = eventually(lambda name=name: kube.run("get", "rltrainingjob", name, "-o", path), what="a condition")
        assert said == "InvalidSpec"


def test_an_event_is_told_once(kube: Kube, start: Starter) -> None:
    start().ready()
    kube.apply(training_job("a"))
    eventually(lambda: kube.get("job", "a-a1"), what="the Job exists")
    finish_job(kube, "a")
    eventually(lambda: phase(kube, "a") == "Succeeded", what="the end is seen")
    found = eventually(lambda: [e for e in kube.all("events") if e["reason"] == "TrainingSucceeded"], what="the event")
    time.sleep(0.5)
    assert len(found) == 1
    assert found[0]["involvedObject"]["name"] == "a"


def test_a_namespace_of_others_is_left_alone(kube: Kube, start: Starter) -> None:
    start(BELAY_WATCH_NAMESPACES="default").ready()
    kube.apply(training_job("a"))
    time.sleep(1.0)
    assert phase(kube, "a") is None


def test_a_namespace_that_is_being_deleted_is_left_in_peace(kube: Kube, start: Starter) -> None:
    """Only the namespace controller would end it, and none runs here: it stays terminating, and refuses what is new."""
    operator = start().ready()
    kube.apply(training_job("a"))
    eventually(lambda: kube.get("job", "a-a1"), what="the Job exists")
    kube.run("delete", "namespace", kube.namespace, "--wait=false")
    kube.run("delete", "job", "a-a1", "--cascade=background")
    passes = operator.metric("belay_reconciles_total")
    kube.run("label", "rltrainingjob", "a", "touched=yes")
    eventually(lambda: operator.metric("belay_reconciles_total") > passes, what="a pass over it")
    time.sleep(1)
    assert kube.get("job", "a-a1") is None
    assert "pass failed" not in operator.text()


def test_sigterm_ends_in_order(kube: Kube, start: Starter) -> None:
    operator = start().ready()
    began = time.monotonic()
    assert operator.terminate() == 0
    assert time.monotonic() - began < 4.0, "kopf's own end would wait five seconds for every task of ours"


def test_sigterm_lets_a_pass_under_way_finish(kube: Kube, start: Starter, proxy: FaultProxy) -> None:
    operator = start(kubeconfig=proxy.kubeconfig).ready()
    kube.apply(training_job("a"))
    eventually(lambda: kube.get("job", "a-a1"), what="the Job exists")
    slow = proxy.inject(Fault(method="PUT", path="/rltrainingjobs/a/status", delay_s=2, times=1))
    finish_job(kube, "a")
    eventually(lambda: slow.times == 0, what="the end is being written")
    assert operator.terminate() == 0
    assert phase(kube, "a") == "Succeeded"


def test_what_somebody_else_made_under_a_childs_name_is_left_alone(kube: Kube, start: Starter) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a-a1", "labels": {"app": "theirs"}},
        "data": {"job.json": "theirs", "more": "1"},
    }
    kube.apply(theirs)
    operator = start().ready()
    kube.apply(training_job("a"))

    said = eventually(lambda: (now := ready(kube)).get("reason") == "ChildConflict" and now, what="the owner says so")
    assert said["status"] == "False"
    assert "ConfigMap a-a1 exists" in said["message"]
    eventually(lambda: kube.get("job", "a-a1"), what="the other child is made")

    passes, version = operator.metric("belay_reconciles_total"), (kube.get("rltrainingjob", "a") or {})["metadata"]
    eventually(lambda: operator.metric("belay_reconciles_total") >= passes + 2, what="it is tried again")
    assert (kube.get("rltrainingjob", "a") or {})["metadata"] == version, "trying again writes nothing"
    untouched = kube.get("configmap", "a-a1") or {}
    assert (untouched["data"], untouched["metadata"]["labels"]) == (theirs["data"], {"app": "theirs"})
    assert "ownerReferences" not in untouched["metadata"]

    kube.run("delete", "configmap", "a-a1")
    made = eventually(lambda: kube.get("configmap", "a-a1"), what="ours, once the name is free")
    assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "belay"
    eventually(lambda: ready(kube).get("reason") == "Running", what="the condition goes with its cause")


def ready(kube: Kube) -> dict[str, Any]:
    """Return the Ready condition of training job a."""
    status = (kube.get("rltrainingjob", "a") or {}).get("status", {})
    return next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), {})


def test_what_the_api_server_refuses_is_said_in_its_words_and_stops_nothing_else(kube: Kube, start: Starter) -> None:
    none = {"count/jobs.batch": "0"}
    kube.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": none}})
    kube.patch_status("resourcequota", "none", {"hard": none, "used": none})  # no controller does it here
    operator = start().ready()
    kube.apply(training_job("a"))

    said = eventually(lambda: (now := ready(kube)).get("reason") == "ChildRefused" and now, what="the owner says so")
    assert said["status"] == "False"
    assert "Job a-a1" in said["message"]
    assert "exceeded quota: none, requested: count/jobs.batch=1" in said["message"]
    assert kube.get("configmap", "a-a1"), "the other child is made"

    passes, version = operator.metric("belay_reconciles_total"), (kube.get("rltrainingjob", "a") or {})["metadata"]
    eventually(lambda: operator.metric("belay_reconciles_total") >= passes + 2, what="it is tried again")
    assert (kube.get("rltrainingjob", "a") or {})["metadata"] == version, "trying again writes nothing"
    told = [event for event in kube.all("events") if event["reason"] == "ChildRefused"]
    assert [event["message"] for event in told] == [said["message"]]

    kube.run("delete", "resourcequota", "none")
    kube.run("annotate", "rltrainingjob", "a", "test/mended=yes")  # or a back-off of at most two minutes later
    eventually(lambda: kube.get("job", "a-a1"), what="the Job, once there is room")
    eventually(lambda: ready(kube).get("reason") == "Running", what="the condition goes with its cause")


def test_a_kind_that_writes_for_ever_is_braked(kube: Kube, start: Starter, proxy: FaultProxy) -> None:
    operator = start(kubeconfig=proxy.kubeconfig).ready()
    kube.apply(training_job("a"))
    kube.run("annotate", "rltrainingjob", "a", "test/command=churn")
    eventually(lambda: operator.metric("belay_reconcile_churn_total") >= 1, what="the churn is noticed")
    time.sleep(4)  # back-offs of less than a second are over
    since = time.monotonic()
    time.sleep(10)
    assert 1 <= len(proxy.seen(writes=True, since=since, path="/rltrainingjobs/a/status")) <= 8, "two passes in 5 s"
