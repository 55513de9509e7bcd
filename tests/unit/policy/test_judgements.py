"""What is asked of a policy, in a Job each: case by case, whole manifests, and what serving does meanwhile."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.cases import Case, case_files, plan_as_yaml
from tests.strategies import crashes
from tests.unit.policy.given import NAME
from tests.unit.policy.judging import GIVEN, job_of, judging_pod, question_of, world_of
from tests.unit.policy.simulation import Cluster
from tests.world import START, World, belay_object, key_of

from belay_api.policy import BaselinePolicy, RLPolicyStatus
from belay_api.reasons import PolicyReason
from belay_operator.engine.change import Change
from belay_operator.policy.observe import KIND

CASES = case_files(Path(__file__).parent / "cases" / "judging")
MANIFESTS = case_files(Path(__file__).parent / "cases" / "judging_manifests")
GATES: dict[str, Any] = {"validation": {"gates": [{"performance": {"minReturn": 450}}]}}
JUDGED: dict[str, Any] = {
    "outcome": "Judged",
    "validation": {
        "verdict": "Pass",
        "environment": "CartPole-v1",
        "gates": [{"gate": "performance", "verdict": "Pass", "measured": 480, "limit": 450, "message": "mean 480."}],
    },
}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_is_asked(path: Path, refresh: bool) -> None:
    case = Case.read(path, given=GIVEN)
    world = world_of(case.given)
    key = key_of(world.objects["RLPolicy", "default", NAME])
    plan = world.plan(KIND, key, case.now)
    found = plan_as_yaml(plan)
    if "status" in found:  # what else a policy's status says is told by other cases
        found["status"] = {
            "conditions": [
                {key: value for key, value in one.items() if key != "lastTransitionTime"}
                for one in found["status"]["conditions"]
                if one["type"] in ("Validated", "EvaluatedOffline", "Ready", "Stalled")
            ],
            **{key: found["status"][key] for key in ("validation", "offlineEvaluation") if key in found["status"]},
            "desiredReplicas": found["status"]["desiredReplicas"],
        }
    world.settle(KIND, key, now=case.now)

    if refresh:
        case.rewrite(found)
    assert found == case.want
    assert world.would_write(KIND, key, case.now) == [], "a pass over a settled world writes nothing"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_form_of_the_children(path: Path, refresh: bool) -> None:
    case = Case.read(path, given=GIVEN)
    world = world_of(case.given)
    plan = plan_as_yaml(world.plan(KIND, key_of(world.objects["RLPolicy", "default", NAME]), case.now), full=True)
    found = [*plan["create"], *plan["apply"]]
    if refresh:
        case.rewrite(found)
    assert found == case.want


def test_a_question_keeps_its_hash() -> None:
    """Another hash would ask it of every policy again at an upgrade."""
    assert question_of(GATES, "validation").hash == "f8cb5f50f0efaf0f"
    spelt_out = {"vector": {}, "stallTimeout": "30m", "runtime": {"code": None, "env": []}, "retries": 3}
    assert question_of({"validation": GATES["validation"] | spelt_out}, "validation").hash == "f8cb5f50f0efaf0f"
    asked = {"offlineEvaluation": {"dataset": {"path": "/data/logs/a.parquet"}, "maxRegression": "5%"}}
    assert question_of(asked, "offlineEvaluation").hash == "0ca6be0e645472b7"


SAME: dict[str, dict[str, Any]] = {
    "retries": {"retries": 7},
    "deadline": {"deadline": "3h"},
    "whether serving waits": {"required": True},
}
OTHER: dict[str, dict[str, Any]] = {
    "a limit": {"gates": [{"performance": {"minReturn": 451}}]},
    "an environment": {"environment": {"id": "CartPole-v0"}},
    "code": {"runtime": {"code": {"configMap": {"name": "mine"}}}},
    "memory": {"runtime": {"resources": {"limits": {"memory": "2Gi"}}}},
}


@pytest.mark.parametrize("case", [*SAME, *OTHER])
def test_what_makes_another_question(case: str) -> None:
    before = question_of(GATES, "validation").hash
    after = question_of({"validation": GATES["validation"] | (SAME | OTHER)[case]}, "validation").hash
    assert (before == after) is (case in SAME)


def test_an_answer_is_found_once_and_outlives_its_job() -> None:
    world = asked(GATES)
    [job] = jobs(world)
    finish(world, job)
    settle(world)
    status = RLPolicyStatus.model_validate(held(world)["status"])
    assert status.validation is not None
    assert [note.reason for _, note in world.events] == ["Validated"]

    world.remove("Job", job)
    assert world.would_write(KIND, key_of(held(world)), START) == [], "it is not asked again"
    later = START + timedelta(days=2)
    assert world.would_write(KIND, key_of(held(world)), later) == []


def test_the_job_of_an_answer_goes_a_day_later_and_that_of_a_failure_stays() -> None:
    for failed in (False, True):
        world = asked(GATES)
        [job] = jobs(world)
        finish(world, job, failed=failed)
        settle(world)
        plan = world.plan(KIND, key_of(held(world)), START)
        assert plan.requeue_after == (None if failed else timedelta(days=1))
        later = START + timedelta(days=1, seconds=1)
        world.settle(KIND, key_of(held(world)), now=later)
        assert jobs(world) == ([job] if failed else [])


def test_a_failed_job_that_is_deleted_is_made_again() -> None:
    world = asked(GATES)
    [job] = jobs(world)
    finish(world, job, failed=True)
    settle(world)
    said = condition(world, "Validated")
    assert said["reason"] == "JobFailed"
    assert f"Delete Job {job}" in said["message"]
    world.remove("Job", job)
    settle(world)
    assert jobs(world) == [job]
    assert condition(world, "Validated")["reason"] == "Judging"


def test_a_job_that_is_deleted_before_its_answer_is_made_again() -> None:
    world = asked(GATES)
    [job] = jobs(world)
    world.remove("Job", job)
    settle(world)
    assert jobs(world) == [job]


def test_other_gates_are_asked_anew_and_the_old_verdict_stays_until_they_are_answered() -> None:
    world = asked(GATES)
    [first] = jobs(world)
    finish(world, first)
    settle(world)
    before = held(world)["status"]["validation"]
    gates = [{"performance": {"minReturn": 490}}]
    world.patch("RLPolicy", NAME, {"spec": {"validation": {"gates": gates}}})
    settle(world)
    [second] = jobs(world)
    assert second != first
    assert held(world)["status"]["validation"] == before
    assert condition(world, "Validated")["status"] == "Unknown"
    finish(world, second, spec={"validation": {"gates": gates}})
    settle(world)
    assert held(world)["status"]["validation"]["question"] != before["question"]
    assert condition(world, "Validated")["status"] == "True"


def test_who_asks_nothing_any_more_is_told_nothing() -> None:
    world = asked(GATES)
    [job] = jobs(world)
    finish(world, job)
    settle(world)
    world.patch("RLPolicy", NAME, {"spec": {"validation": None}})
    settle(world)
    assert jobs(world) == []
    assert "validation" not in held(world)["status"]
    assert "Validated" not in [one["type"] for one in held(world)["status"]["conditions"]]


REQUIRED = {"validation": GATES["validation"] | {"required": True}}


def test_a_policy_that_is_in_use_keeps_its_pods_whatever_is_asked_later() -> None:
    cluster = Cluster()
    cluster.name_it("a", 2, {"candidate": True})
    cluster.finish(good=True)
    cluster.world.patch("RLPolicy", NAME, {"spec": REQUIRED})
    settle(cluster.world)
    assert cluster.status["desiredReplicas"] == 2
    assert condition(cluster.world, "Ready")["status"] == "True"
    cluster.delete_child("Deployment")
    settle(cluster.world)
    deployment = cluster.child("Deployment")
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 2, "somebody deleted it: that is no reason to ask for gates first"


def test_a_version_that_a_rollout_has_promoted_is_never_withheld() -> None:
    cluster = Cluster()
    cluster.world.patch("RLPolicy", NAME, {"spec": REQUIRED})
    cluster.name_it("a", 2, {"stable": True})
    settle(cluster.world)
    assert cluster.status["desiredReplicas"] == 2


LIMITS = (450, 490)
events = st.one_of(
    st.tuples(st.just("name_it"), st.integers(1, 3)),
    st.tuples(st.just("limit"), st.sampled_from(LIMITS)),
    st.tuples(st.just("end"), st.booleans()),
    st.tuples(st.just("delete"), st.just(0)),
    st.tuples(st.just("require"), st.booleans()),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(events, crashes), max_size=12))
@example([(("name_it", 1), None), (("limit", 490), 0), (("end", True), 0), (("limit", 450), None)])
def test_every_course_ends_with_one_answer_to_the_last_question(course: list[Any]) -> None:
    """Whatever happens, and wherever the operator dies: pods once asked for stay, and the last question is answered."""
    cluster = Cluster()
    world = cluster.world
    world.patch("RLPolicy", NAME, {"spec": GATES})
    served = False
    for (what, value), crash in course:
        if what == "name_it":
            cluster.name_it("a", value, {"candidate": True})
        elif what == "limit":
            world.patch("RLPolicy", NAME, {"spec": {"validation": {"gates": [{"performance": {"minReturn": value}}]}}})
        elif what == "require":
            world.patch("RLPolicy", NAME, {"spec": {"validation": {"required": value}}})
        elif what == "end":
            for job in jobs(world):
                finish(world, job, spec=asked_by(world, job), failed=not value)
        else:
            for job in jobs(world):
                world.remove("Job", job)
        cluster.look(crash)
        served = served or bool(cluster.child("Deployment"))
        assert not served or cluster.child("Deployment") is not None
    settle(world)
    spec = {"validation": held(world)["spec"]["validation"]}
    for job in jobs(world):
        if "conditions" not in world.objects["Job", "default", job].get("status", {}):
            finish(world, job, spec=spec)
        elif condition(world, "Validated")["reason"] == "JobFailed":
            world.remove("Job", job)
            settle(world)
            finish(world, job, spec=spec)
    settle(world)
    assert held(world)["status"]["validation"]["question"] == question_of(spec, "validation").hash
    assert condition(world, "Validated")["status"] == "True"
    assert len(jobs(world)) <= 1
    if ("RLRollout", "default", "a") in world.objects:
        assert cluster.status["desiredReplicas"] > 0


GUIDES = Path(__file__).parents[3] / "docs" / "guides"


def test_the_guides_name_every_reason_of_an_answer() -> None:
    guide, offline = ((GUIDES / name).read_text() for name in ("validate.md", "judge-offline.md"))
    told = {*re.findall("`([A-Z][A-Za-z]+)`", guide), *re.findall("`([A-Z][A-Za-z]+)`", offline)}
    listed = list(PolicyReason)
    own = listed[listed.index(PolicyReason.NOT_VALIDATED) :]
    assert [reason.value for reason in own if reason.value not in told] == []


# --- the world of these tests -----------------------------------------------------------------------------------------
def asked(spec: dict[str, Any]) -> World:
    """A policy of which something is asked, its Jobs made."""
    world = world_of({"spec": spec})
    settle(world)
    return world


def settle(world: World) -> None:
    world.settle(KIND, key_of(held(world)))


def held(world: World) -> Any:
    return world.objects["RLPolicy", "default", NAME]


def condition(world: World, kind: str) -> Any:
    return next(one for one in held(world)["status"]["conditions"] if one["type"] == kind)


def jobs(world: World) -> list[str]:
    return sorted(name for kind, _, name in world.objects if kind == "Job")


def asked_by(world: World, job: str) -> dict[str, Any]:
    """The spec that a Job was made for: it may have been edited since, and the Job answers what it was asked."""
    now = held(world)["spec"]["validation"]
    said = [{"validation": now | {"gates": [{"performance": {"minReturn": limit}}]}} for limit in LIMITS]
    return next(spec for spec in said if job_of(spec, "validation") == job)


def finish(world: World, job: str, *, spec: dict[str, Any] = GATES, failed: bool = False) -> None:
    """What the kubelet and the Job controller do: a pod leaves its last word and ends, and so does the Job."""
    made = world.objects["Job", "default", job]
    if "conditions" in made.get("status", {}):
        return
    report = {"outcome": "Error", "message": "out of luck"} if failed else JUDGED
    pod = judging_pod(spec, "validation", "Failed" if failed else "Succeeded", report=report, exit=int(failed))
    pod["metadata"] |= {"name": f"{job}-pod", "ownerReferences": [owner_of(made)]}
    world.put(pod)
    end = {"type": "Failed" if failed else "Complete", "status": "True", "lastTransitionTime": "2026-05-04T10:00:00Z"}
    world.patch("Job", job, {"status": {"conditions": [end]}})


def owner_of(made: Any) -> dict[str, Any]:
    return {"kind": "Job", "name": made["metadata"]["name"], "uid": made["metadata"]["uid"], "controller": True}


BEFORE = "before-444444"
COMPARED: dict[str, Any] = {"validation": {"gates": [{"performance": {"betterThan": BEFORE}}]}}


def other(name: str = BEFORE, **status: Any) -> dict[str, Any]:
    artifact = {"uri": "pvc://policies/artifacts/44", "digest": f"sha256:{'4' * 64}"}
    return belay_object("RLPolicy", name, {"artifact": artifact}) | ({"status": status} if status else {})


def validated(world: World) -> dict[str, Any]:
    conditions = world.objects["RLPolicy", "default", NAME]["status"]["conditions"]
    return next(one for one in conditions if one["type"] == "Validated")


def test_gates_wait_for_the_policy_that_they_compare_with_and_keep_it() -> None:
    world = world_of({"spec": COMPARED})
    world.put(other("before-444445"))
    key = key_of(world.objects["RLPolicy", "default", NAME])
    world.settle(KIND, key, now=START)
    assert not [line for line in world.log if "Job" in line]
    assert validated(world)["reason"] == "WaitingForPolicy"
    words = f"betterThan: there is no RLPolicy {BEFORE} in namespace default; the nearest is before-444445. No pod is"
    assert words in validated(world)["message"]

    broken = {"type": "Verified", "status": "False", "message": "policy.onnx has digest 1."}
    world.put(other(conditions=[broken]))
    world.settle(KIND, key, now=START)
    assert "is not as it should be: policy.onnx has digest 1." in validated(world)["message"]

    world.put(other())
    changes = (Change("RLPolicy", None, other()), Change("RLPolicy", other(conditions=[broken]), other()))
    assert [list(KIND.related(change, world)) for change in changes] == [[key], [key]]
    world.settle(KIND, key, now=START)
    assert validated(world)["reason"] == "Judging"
    [config] = [one for (kind, _, _), one in world.objects.items() if kind == "ConfigMap"]
    told = json.loads(config["data"]["job.json"])
    assert told["baseline"] == {"policy": BEFORE, **other()["spec"]["artifact"]}
    [job] = [one for (kind, _, _), one in world.objects.items() if kind == "Job"]
    mounts = job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": "baseline", "mountPath": "/baseline", "readOnly": True} in mounts
    assert list(KIND.related(changes[0], world)) == [], "it is pinned"

    world.remove("RLPolicy", BEFORE)
    world.log.clear()
    world.settle(KIND, key, now=START)
    assert world.log == [], "what was asked is asked of the pinned bytes"
    assert validated(world)["reason"] == "Judging"


def test_other_bytes_to_compare_with_are_another_question() -> None:
    asked = question_of(COMPARED, "validation")
    pinned = [
        replace(
            asked,
            baseline=BaselinePolicy(policy=BEFORE, uri=f"store://sha256/{digit * 64}", digest=f"sha256:{digit * 64}"),
        )
        for digit in "45"
    ]
    assert len({one.hash for one in (asked, *pinned)}) == 3
