"""What holds for every course a training can take, with an operator that may die between any two effects."""

import copy
import dataclasses
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import crashes
from tests.unit.training.given import NAME
from tests.unit.training.simulation import JOB, Cluster
from tests.world import START

from belay_api.attempts import MOST_ATTEMPTS
from belay_operator.training.observe import KIND

SEEDS = 3
ACTIONS = ("start", "start", "beat", "succeed", "fail", "judge", "toggle", "delete_job", "reap", "edit")
courses = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, SEEDS - 1), crashes), max_size=25)
returns = st.lists(st.integers(0, 500).map(float), min_size=SEEDS, max_size=SEEDS)
required = st.integers(1, SEEDS)


@settings(max_examples=120, deadline=None)
@given(courses, returns, required)
def test_every_course_ends_settled_and_publishes_at_most_once(
    course: list[tuple[str, int, int | None]], values: list[float], needed: int
) -> None:
    cluster = Cluster(values, needed)
    recorded: dict[int, float] = {}
    ended: dict[str, Any] = {}
    for action, index, crash in course:
        getattr(cluster, action)(index)
        cluster.look(crash)
        for seed in cluster.status.get("seeds", []):
            if "artifact" in seed:
                recorded[seed["index"]] = seed["return"]
            if seed["index"] in recorded:
                assert (seed["phase"], seed["return"]) == ("Succeeded", recorded[seed["index"]]), "a report is lost"
        attempts = {one["pod"]: one for one in cluster.status.get("history", [])}
        assert len(attempts) == len(cluster.status.get("history", [])) <= MOST_ATTEMPTS
        assert all(attempts.get(name, one) == one for name, one in ended.items()), "an attempt that ended is over"
        ended = {name: one for name, one in attempts.items() if "endedAt" in one}
        assert all("reason" in one for one in ended.values())
    cluster.finish()
    assert all("endedAt" in one for one in cluster.status.get("history", []) if _pod_is_gone(cluster, one["pod"]))

    status = cluster.status
    made = [said for said in cluster.world.log if said.startswith("apply RLPolicy")]
    if status["phase"] == "Succeeded":
        best = max(seed["return"] for seed in status["seeds"] if "artifact" in seed)
        assert made == [f"apply RLPolicy {status['publishedPolicy']}"]
        assert status["aggregate"]["best"]["return"] == best
        assert status["aggregate"]["seeds"] >= needed
        policy = cluster.world.objects["RLPolicy", "default", status["publishedPolicy"]]
        assert policy["spec"]["artifact"] == status["aggregate"]["best"]["artifact"]
        assert "ownerReferences" not in policy["metadata"], "a policy in service outlives its training job"
    else:
        assert status["phase"] == "Failed"
        assert made == []
    assert "finishedAt" in status
    asked = cluster.world.objects["RLTrainingJob", "default", NAME]["spec"].get("runtime", {}).get("resources", {})
    job = cluster.world.objects.get(JOB)
    if job is not None and asked and status["phase"] == "Succeeded" and job["spec"]["template"] is not None:
        held = job["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
        assert held["memory"] == asked["requests"]["memory"], "an edit is in the pods that ended the job"
    assert cluster.world.plan(KIND, cluster.key, now=START).writes == (), "a finished job costs no call at all"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS[:5]), st.integers(0, SEEDS - 1)), max_size=20), returns)
def test_looking_often_or_once_finds_the_same(course: list[tuple[str, int]], values: list[float]) -> None:
    often, once = Cluster(values, SEEDS), Cluster(values, SEEDS)
    for cluster, looks in ((often, True), (once, False)):
        cluster.look()
        for action, index in course:
            getattr(cluster, action)(index)
            if looks:
                cluster.look()
        cluster.look()
    for part in ("phase", "seeds", "progress", "startedAt"):
        assert often.status.get(part) == once.status.get(part)


@settings(max_examples=40, deadline=None)
@given(returns, st.permutations(range(SEEDS)), st.lists(crashes, max_size=4))
def test_the_result_does_not_depend_on_the_order_of_the_seeds(
    values: list[float], order: list[int], deaths: list[int | None]
) -> None:
    cluster, plain = Cluster(values, SEEDS), Cluster(values, SEEDS)
    plain.finish()
    cluster.look()
    for index in order:
        cluster.start(index)
        cluster.succeed(index)
        cluster.look(deaths.pop() if deaths else None)
    cluster.finish()
    assert cluster.status["aggregate"] == plain.status["aggregate"]
    assert cluster.status["publishedPolicy"] == plain.status["publishedPolicy"]


def test_a_job_deleted_after_success_stays_deleted() -> None:
    cluster = Cluster([100.0, 200.0, 300.0], SEEDS)
    cluster.finish()
    cluster.delete_job(0)
    cluster.world.remove("RLPolicy", cluster.status["publishedPolicy"])
    writes = len(cluster.world.log)
    cluster.look()
    assert len(cluster.world.log) == writes
    assert JOB not in cluster.world.objects


def test_another_operators_settings_do_not_touch_a_running_job() -> None:
    cluster = Cluster([100.0, 200.0, 300.0], SEEDS)
    cluster.look()
    before = cluster.world.objects[JOB]["spec"]["template"]
    cluster.world.settings = dataclasses.replace(
        cluster.world.settings, trainer_image="belay-trainer:next", labels={"team": "rl"}
    )
    cluster.world.patch("RLTrainingJob", NAME, {"spec": {"suspend": True}})
    cluster.look()
    job = cluster.world.objects[JOB]["spec"]
    assert (job["suspend"], job["template"]) == (True, before)


def test_a_job_that_another_version_made_can_be_suspended_and_resumed() -> None:
    """Almost nothing of a Job may change, and another version makes other pods and other rules."""
    cluster = Cluster([100.0, 200.0, 300.0], SEEDS)
    cluster.look()
    made = copy.deepcopy(cluster.world.objects[JOB])
    made["spec"]["template"]["spec"]["volumes"].pop()
    made["spec"]["podFailurePolicy"]["rules"].pop()
    cluster.world.adopt(made)
    for suspend in (True, False):
        cluster.world.patch("RLTrainingJob", NAME, {"spec": {"suspend": suspend}})
        cluster.look()
        assert cluster.world.objects[JOB]["spec"] == {**made["spec"], "suspend": suspend}


def test_how_many_seeds_train_at_once_may_change_and_nothing_else_does() -> None:
    cluster = Cluster([100.0, 200.0, 300.0], SEEDS)
    cluster.look()
    made, read = copy.deepcopy(cluster.world.objects[JOB]["spec"]), _config(cluster)
    for parallelism in (1, 2, 50):
        cluster.world.patch("RLTrainingJob", NAME, {"spec": {"seeds": {"parallelism": parallelism}}})
        cluster.look()
        assert cluster.world.objects[JOB]["spec"] == {**made, "parallelism": min(parallelism, SEEDS)}
    assert _config(cluster) == read, "what pods read decides what they learn"


def test_an_edit_of_a_suspended_job_is_in_its_next_pods_and_in_what_they_read() -> None:
    cluster = Cluster([100.0, 200.0, 300.0], SEEDS)
    cluster.world.patch("RLTrainingJob", NAME, {"spec": {"runtime": {"nodeSelector": {"disk": "hdd"}}}})
    cluster.look()
    cluster.start(0)
    first = cluster.world.objects[JOB]["metadata"]["uid"]
    cluster.toggle(0)
    cluster.look()
    assert cluster.world.objects[JOB]["metadata"]["uid"] == first, "a pause alone makes nothing anew"
    cluster.toggle(0)
    cluster.look()
    cluster.start(1)
    edit = {
        "suspend": True,
        "runtime": {"nodeSelector": {"disk": "ssd"}, "resources": {"limits": {"memory": "2Gi"}}},
        "budget": {"deadline": "3h"},
        "failure": {"retriesPerSeed": 7},
        "checkpoint": {"every": 77},
    }
    cluster.world.patch("RLTrainingJob", NAME, {"spec": edit})
    cluster.world.settle(KIND, cluster.key)
    held = cluster.world.objects[JOB]
    assert (held["spec"]["suspend"], held["metadata"]["uid"]) == (True, first), "a pod of it still saves"

    cluster.world.remove("Pod", f"{NAME}-a1-1-0")
    cluster.world.settle(KIND, cluster.key)
    made = cluster.world.objects[JOB]
    pod = made["spec"]["template"]["spec"]
    assert made["metadata"]["uid"] != first
    assert (made["spec"]["suspend"], made["spec"]["activeDeadlineSeconds"]) == (True, 3 * 3600)
    assert made["spec"]["backoffLimitPerIndex"] == 7
    assert (pod["nodeSelector"], pod["containers"][0]["resources"]["limits"]) == ({"disk": "ssd"}, {"memory": "2Gi"})
    (config,) = _config(cluster)
    assert json.loads(config["job.json"])["spec"]["checkpoint"]["every"] == 77  # type: ignore[index]

    cluster.toggle(0)
    cluster.finish()
    assert cluster.status["phase"] == "Succeeded"


def _pod_is_gone(cluster: Cluster, name: str) -> bool:
    return ("Pod", "default", name) not in cluster.world.objects


def _config(cluster: Cluster) -> list[object]:
    return [held["data"] for key, held in cluster.world.objects.items() if key[0] == "ConfigMap"]


def test_pods_never_read_the_configuration_of_a_deleted_namesake() -> None:
    """The garbage collector may still have the old ConfigMap when the old Job is gone."""
    first = Cluster([1.0], 1)
    first.look()
    again = Cluster([1.0], 1)
    again.world.objects["RLTrainingJob", "default", NAME]["metadata"]["uid"] = "another-uid"
    for key, held in first.world.objects.items():
        if key[0] == "ConfigMap":
            again.world.put(held)
    again.look()
    [config] = [v for v in again.world.objects[JOB]["spec"]["template"]["spec"]["volumes"] if v["name"] == "config"]
    [owner] = again.world.objects["ConfigMap", "default", config["configMap"]["name"]]["metadata"]["ownerReferences"]
    assert owner["uid"] == "another-uid"
    assert sum(key[0] == "ConfigMap" for key in again.world.objects) == 2, "the other one is left to its collector"
