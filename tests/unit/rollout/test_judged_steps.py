"""`validate` and `evaluateOffline` from the first pass to the last: what is asked, the Job, and what is left of it."""

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rollout.model import acts as happen
from tests.unit.rollout.model.invariants import hold
from tests.unit.rollout.model.starts import anything, start
from tests.unit.rollout.stage import KEY, Stage, digest
from tests.unit.rollout.test_properties import everything

from belay_api.crd import NAME_LIMIT
from belay_api.judging_job import JudgingConfig
from belay_api.policy import ArtifactSpec
from belay_api.rollout.status import StepJudgement
from belay_api.units import format_instant
from belay_operator.children import Owner
from belay_operator.engine.change import Change
from belay_operator.engine.routing import keys_of
from belay_operator.judging.build import job_name
from belay_operator.judging.question import Question
from belay_operator.rollout.observe import KIND

GATES = [{"performance": {"minReturn": 450}}]
LOG = {"dataset": {"path": "/data/logs/a.parquet"}}
VALIDATE = {"validate": {"gates": GATES}}
LAST = ({"setWeight": 10}, {"pause": {"duration": "9h"}})
OFFLINE = {"evaluateOffline": {**LOG, "maxRegression": "5%"}}


def staged(*steps: dict[str, Any], **spec: Any) -> Stage:
    """A rollout whose candidate b was just taken up."""
    made = Stage("a", "b", "c", steps=[{"setWeight": 10}]).go()
    made.world.patch("RLRollout", "cartpole", {"spec": {"steps": [*steps, *LAST], **spec}})
    made.wants("b")
    made.passes()
    return made


def jobs(stage: Stage) -> list[str]:
    return [name for kind, _, name in stage.world.objects if kind == "Job"]


def configs(stage: Stage) -> list[str]:
    return [name for kind, _, name in stage.world.objects if kind == "ConfigMap"]


def asked(stage: Stage) -> JudgingConfig:
    """What the pod reads."""
    [name] = configs(stage)
    return JudgingConfig.model_validate_json(stage.world.objects["ConfigMap", "default", name]["data"]["job.json"])


def claims(stage: Stage) -> dict[str, str]:
    """The claims that the pod mounts, by path."""
    [name] = jobs(stage)
    pod = stage.world.objects["Job", "default", name]["spec"]["template"]["spec"]
    volumes = {
        one["name"]: one["persistentVolumeClaim"]["claimName"]
        for one in pod["volumes"]
        if "persistentVolumeClaim" in one
    }
    mounts = pod["containers"][0]["volumeMounts"]
    return {one["mountPath"]: volumes[one["name"]] for one in mounts if one["name"] in volumes}


def ends(stage: Stage, *, failed: str | None = None, **report: Any) -> None:
    """The pod leaves its last word, and the Job controller says how it ended."""
    config, [name] = asked(stage), jobs(stage)
    job = stage.world.objects["Job", "default", name]
    stamp = {"digest": config.artifact.digest, "question": config.question}
    said = {key: {**stamp, **value} if isinstance(value, dict) else value for key, value in report.items()}
    ended = {"exitCode": 3 if failed else 0, "startedAt": format_instant(stage.now), "message": json.dumps(said)}
    stage.world.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{name}-x",
                "labels": {"belay.dev/rollout": "cartpole"},
                "ownerReferences": [{"kind": "Job", "name": name, "uid": job["metadata"]["uid"], "controller": True}],
            },
            "status": {
                "phase": "Failed" if failed else "Succeeded",
                "containerStatuses": [{"name": "trainer", "state": {"terminated": ended}}],
            },
        }
    )
    how = {"type": "Failed", "reason": failed} if failed else {"type": "Complete"}
    at = {"status": "True", "lastTransitionTime": format_instant(stage.now)}
    stage.world.patch("Job", name, {"status": {"conditions": [how | at]}})


def passes_gates(stage: Stage, verdict: str = "Pass") -> None:
    gate = {"gate": "performance", "verdict": verdict, "measured": 480, "limit": 450, "message": "480 over 100."}
    ends(stage, outcome="Judged", validation={"verdict": verdict, "environment": "CartPole-v1", "gates": [gate]})


def judgement(stage: Stage) -> StepJudgement:
    [found] = stage.status.judgements
    return found


# --- what is asked ----------------------------------------------------------------------------------------------------
def test_the_steps_own_gates_are_asked_beside_stable() -> None:
    stage = staged({"validate": {"gates": GATES, "maxRegression": "5%", "episodes": 200, "confidence": 0.9}})
    config = asked(stage)
    assert config.validation is not None
    assert config.against is not None
    assert config.validation.gates is not None
    assert [gate.kind for gate in config.validation.gates] == ["performance"]
    assert (config.policy, config.artifact.digest) == ("b", digest("b"))
    assert (config.against.policy, config.against.artifact.digest) == ("a", digest("a"))
    assert (config.against.episodes, config.against.confidence, config.against.max_regression) == (200, 0.9, 0.05)
    assert config.uid == stage.world.objects["RLRollout", "default", "cartpole"]["metadata"]["uid"]


def test_without_gates_the_policys_own_are_asked_with_its_environment_and_runtime() -> None:
    stage = Stage("a", "b", steps=[{"setWeight": 10}]).go()
    own = {
        "gates": GATES,
        "environment": {"id": "my:Task-v0"},
        "runtime": {"threads": 2},
        "required": True,
        "retries": 1,
    }
    stage.world.patch("RLPolicy", "b", {"spec": {"validation": own}})
    stage.edits_steps({"validate": {"stallTimeout": "5m"}})
    stage.wants("b")
    stage.passes()
    found = asked(stage).validation
    assert found is not None
    assert found.gates is not None
    assert found.environment is not None
    assert (found.environment.id, found.runtime.threads, found.retries) == ("my:Task-v0", 2, 1)
    assert found.stall_timeout == timedelta(minutes=5)


def test_nobodys_gates_are_left_to_the_pod_which_reads_what_the_policy_was_trained_with() -> None:
    found = asked(staged({"validate": {}})).validation
    assert found is not None
    assert found.gates is None


def test_where_the_pods_run_is_said_once_for_both_steps() -> None:
    judging = {"runtime": {"data": [{"name": "logs", "claim": "logs"}], "threads": 3}, "deadline": "1h"}
    for step in (VALIDATE, OFFLINE):
        stage = staged(step, judging=judging)
        assert asked(stage).asked.runtime.threads == 3
        assert claims(stage) == {"/data/logs": "logs"}
        [name] = jobs(stage)
        assert stage.world.objects["Job", "default", name]["spec"]["activeDeadlineSeconds"] == 3600


def test_both_artifacts_are_mounted_from_their_claims() -> None:
    stage = Stage("a", "b", steps=[{"setWeight": 10}]).go()
    for name, claim in (("a", "old"), ("b", "new")):
        stage.world.patch("RLPolicy", name, {"spec": {"artifact": {"uri": f"pvc://{claim}/{name}"}}})
    stage.edits_steps(VALIDATE)
    stage.wants("b")
    stage.passes()
    assert claims(stage) == {"/initial": "new", "/against": "old"}


def test_a_stable_version_whose_policy_is_deleted_is_looked_for_in_the_built_in_store() -> None:
    stage = Stage("a", "b", steps=[{"setWeight": 10}]).go()
    stage.deletes("a")
    stage.edits_steps(VALIDATE)
    stage.wants("b")
    stage.passes()
    against = asked(stage).against
    assert against is not None
    assert against.artifact.uri == f"store://sha256/{digest('a').removeprefix('sha256:')}"


# --- the Job ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("step", [VALIDATE, OFFLINE], ids=["validate", "evaluateOffline"])
def test_its_job_is_made_once_before_any_traffic_and_left_alone(step: dict[str, Any]) -> None:
    stage = staged(step)
    [name] = jobs(stage)
    assert (stage.weights, stage.reason) == ({"a": 10_000}, "Judging")
    [owner] = stage.world.objects["ConfigMap", "default", configs(stage)[0]]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Job", name), "or each candidate would leave one for ever"
    stage.world.settings = replace(stage.world.settings, trainer_image="belay-trainer:next")
    stage.go(hours=1)
    assert jobs(stage) == [name]
    assert stage.world.log.count(f"apply Job {name}") == 1


def test_a_change_of_its_job_or_pods_wakes_the_rollout() -> None:
    stage = staged(VALIDATE)
    passes_gates(stage)
    for kind in ("Job", "Pod"):
        [thing] = [one for one in stage.world.in_namespace(kind, "default") if "ownerReferences" in one["metadata"]]
        assert KEY in keys_of(Change(kind, None, thing), [KIND], stage.world)


def test_passed_it_goes_and_leaves_the_answer() -> None:
    stage = staged(VALIDATE)
    passes_gates(stage)
    stage.go()
    assert (jobs(stage), configs(stage)) == ([], [])
    assert judgement(stage).verdict == "Pass"
    assert stage.weights == {"a": 9_000, "b": 1_000}
    assert stage.told.count("Validated") == 1


def test_failed_the_candidate_never_gets_traffic_and_is_rejected() -> None:
    stage = staged(VALIDATE)
    passes_gates(stage, "Fail")
    stage.go()
    assert (jobs(stage), stage.weights) == ([], {"a": 10_000})
    assert (stage.reason, stage.status.rejected_digests) == ("RolledBack", [digest("b")])
    assert stage.status.rollback is not None
    assert (stage.status.rollback.reason, stage.status.rollback.metric) == ("Verdict", "validate")
    assert judgement(stage).verdict == "Fail", "it tells why for as long as there is no other candidate"
    stage.command("retry@1")
    stage.passes()
    assert (stage.status.judgements, len(jobs(stage))) == ([], 1), "asked anew"


def test_refused_it_holds_until_what_is_asked_is_another_thing() -> None:
    stage = staged({"validate": {}})
    [first] = jobs(stage)
    ends(stage, failed="PodFailurePolicy", outcome="BadConfiguration", message="b was trained without gates")
    stage.go(hours=1)
    assert stage.reason == "JobFailed"
    assert "b was trained without gates" in stage.message
    assert stage.status.rejected_digests == []
    stage.world.remove("Pod", f"{first}-x")
    stage.go(hours=1)
    assert "b was trained without gates" in stage.message, "its words outlive the pod"
    stage.edits_steps(VALIDATE, *LAST)
    stage.passes()
    assert stage.reason == "Judging"
    assert first not in jobs(stage)
    passes_gates(stage)
    stage.go()
    assert stage.weights == {"a": 9_000, "b": 1_000}


def test_retry_and_a_job_deleted_by_hand_ask_again() -> None:
    stage = staged(OFFLINE)
    [first] = jobs(stage)
    ends(stage, failed="BackoffLimitExceeded", outcome="Error", message="no room")
    stage.go(hours=1)
    stage.command("retry@1")
    stage.passes()
    [second] = jobs(stage)
    assert (second != first, stage.reason) == (True, "Judging")
    stage.world.remove("Job", second)
    stage.passes()
    assert jobs(stage) == [second]
    result = {"judged": False, "reason": "too few", "logged": {"value": 1, "low": 0, "high": 2}, "episodes": 9}
    ends(stage, outcome="Judged", offline_evaluation=result)
    stage.go()
    assert (stage.reason, stage.status.rejected_digests) == ("Holding", [])
    assert jobs(stage) == [second], "its log can be read while somebody has to decide"
    stage.edits_steps({"evaluateOffline": {**OFFLINE["evaluateOffline"], "onNotEnoughSamples": "Continue"}}, *LAST)
    stage.go()
    assert (jobs(stage), stage.weights) == ([], {"a": 9_000, "b": 1_000}), (
        "the answer was there; nothing is asked twice"
    )


def test_superseded_it_takes_its_job_along() -> None:
    stage = staged(VALIDATE)
    [first] = jobs(stage)
    stage.wants("c")
    stage.go()
    assert first not in jobs(stage)
    assert asked(stage).policy == "c"


def test_gates_of_the_policy_that_change_are_asked_anew_and_wake_the_rollout() -> None:
    stage = staged({"validate": {}})
    [first] = jobs(stage)
    before = copy.deepcopy(stage.world.get("RLPolicy", "default", "b"))
    stage.world.patch("RLPolicy", "b", {"spec": {"validation": {"gates": GATES}}})
    after = stage.world.get("RLPolicy", "default", "b")
    assert KEY in set(KIND.related(Change("RLPolicy", before, after), stage.world))
    stage.passes()
    assert first not in jobs(stage)
    assert len(jobs(stage)) == 1


def test_a_spec_that_is_spoilt_meanwhile_ends_no_job() -> None:
    stage = staged(VALIDATE)
    [first] = jobs(stage)
    stage.edits_steps({"analyze": {}})
    stage.go()
    assert (stage.reason, jobs(stage)) == ("InvalidSpec", [first])
    stage.edits_steps(VALIDATE, *LAST)
    stage.go()
    assert stage.world.log.count(f"apply Job {first}") == 1


def test_the_first_version_is_asked_before_it_serves() -> None:
    stage = Stage("a", steps=[{"setWeight": 10}, VALIDATE, {"analyze": {}}, OFFLINE])
    stage.go()
    assert asked(stage).against is None
    assert stage.weights is None
    passes_gates(stage)
    stage.go()
    assert stage.status.step is not None
    assert (stage.status.step.kind, stage.weights) == ("evaluateOffline", None)
    margin = {"value": 3, "low": 1, "high": 5}
    result = {"judged": True, "verdict": "Pass", "logged": margin, "return": margin, "margin": margin, "episodes": 400}
    ends(stage, outcome="Judged", offline_evaluation=result)
    stage.go()
    assert (stage.weights, stage.reason) == ({"a": 10_000}, "Healthy")
    assert [one.kind for one in stage.status.judgements] == ["validate", "evaluateOffline"]


@pytest.mark.parametrize("answer", ["Pass", "Fail"])
def test_killed_after_any_effect_it_ends_the_same(answer: str) -> None:
    """From taking up the candidate to the end of the step, at every pass."""

    def ended(deaths: int) -> tuple[Any, ...]:
        stage = Stage("a", "b", steps=[{"setWeight": 10}]).go()
        stage.edits_steps(VALIDATE)
        stage.wants("b")
        stage.world.reconcile(KIND, KEY, now=stage.now, effects=deaths)
        stage.passes()
        stage.world.reconcile(KIND, KEY, now=stage.now, effects=deaths)
        passes_gates(stage, answer)
        stage.world.reconcile(KIND, KEY, now=stage.now, effects=deaths)
        stage.go()
        made = sum(one.startswith("apply Job") for one in stage.world.log)
        return stage.status.dump(), stage.weights, jobs(stage), configs(stage), made

    whole = ended(99)
    assert whole[4] == 1
    assert whole[0]["judgements"][0]["verdict"] == answer
    for deaths in range(8):
        assert ended(deaths) == whole, f"died after {deaths} effects"


def test_it_asks_at_all_weights_but_never_raises_one_itself() -> None:
    stage = staged({"setWeight": 5}, VALIDATE)
    stage.go()
    assert (stage.weights, stage.reason, len(jobs(stage))) == ({"a": 9_500, "b": 500}, "Judging", 1)
    passes_gates(stage, "Fail")
    stage.go()
    assert (stage.weights, jobs(stage)) == ({"a": 10_000}, [])


def test_the_longest_name_leaves_room_for_its_jobs() -> None:
    asked = Question("b", ArtifactSpec(uri=f"store://sha256/{'0' * 64}", digest=f"sha256:{'0' * 64}"))
    names = []
    for kind in ("RLRollout", "RLPolicy"):
        one = Owner(kind, "default", "x" * NAME_LIMIT, "uid", 1)
        spec = JudgingConfig.model_validate(
            {"namespace": "x", "uid": "u", "policy": "b", "artifact": asked.artifact, "question": "q",
             "validation": {"gates": GATES}}
        ).validation  # fmt: skip
        names.append(job_name(one, replace(asked, validation=spec)))
    assert max(map(len, names)) <= 63, "the Job's name is a label of its pods"
    assert names[0] != names[1], "both may ask the same"


# --- whatever happens -------------------------------------------------------------------------------------------------
def _ends(stage: Stage, how: str) -> None:
    """The Job's pod ends, where one runs."""
    if len(jobs(stage)) != 1 or len(configs(stage)) != 1 or asked(stage).validation is None:
        return
    if how == "refused":
        ends(stage, failed="PodFailurePolicy", outcome="BadConfiguration", message="no such thing")
    else:
        passes_gates(stage, how)


def _job_deleted(stage: Stage) -> None:
    for name in jobs(stage):
        stage.world.remove("Job", name)


ACTS = {
    "gates passed": lambda stage: _ends(stage, "Pass"),
    "gates failed": lambda stage: _ends(stage, "Fail"),
    "gates cannot tell": lambda stage: _ends(stage, "NotEnoughSamples"),
    "refused": lambda stage: _ends(stage, "refused"),
    "job deleted": _job_deleted,
    "log asked instead": lambda stage: stage.edits_steps(OFFLINE, *LAST),
    "other gates": lambda stage: stage.edits_steps({"validate": {"maxRegression": "1%"}}, *LAST),
}


def stage_lost(stage: Stage) -> bool:
    """Whether nobody but the candidate is there: then it answers, judged or not."""
    stable = stage.status.stable
    return stable is None or stable.lost_at is not None


CHOICE = st.one_of(st.sampled_from(sorted(ACTS)), anything("two"))


def _act(stage: Stage, name: str) -> None:
    ACTS[name](stage) if name in ACTS else happen.act(stage, name)


def _begin() -> Stage:
    stage = start("two")
    stage.edits_steps(VALIDATE, *LAST)
    stage.wants("b")
    stage.passes()
    return stage


@settings(max_examples=25, deadline=None)
@given(st.lists(CHOICE, max_size=6))
def test_a_job_is_there_for_its_step_alone_and_nobody_who_did_not_pass_gets_traffic(acts: list[str]) -> None:
    stage = _begin()
    for name in acts:
        _act(stage, name)
        before = stage.status
        stage.passes()
        hold(before, stage)
        status = stage.status
        assert len(jobs(stage)) <= 1
        withdrawn = status.rollback is not None and status.rollback.drained_at is None
        if jobs(stage):
            assert status.step is not None
            assert not withdrawn
        judged = status.step is not None and status.step.kind in ("validate", "evaluateOffline")
        if judged and status.weight is None and not stage_lost(stage):
            assert status.candidate is not None
            assert status.candidate.policy not in (stage.weights or {})
    for one in stage.status.judgements:
        answer = one.validation or one.offline_evaluation
        assert answer is not None
        assert stage.status.candidate is None or answer.digest == stage.status.candidate.digest, "no other candidate's"


@settings(max_examples=20, deadline=None)
@given(st.lists(CHOICE, max_size=4), CHOICE, st.integers(0, 7))
def test_a_death_between_any_two_effects_leaves_the_same_job_and_answer(
    acts: list[str], last: str, effects: int
) -> None:
    stage = _begin()
    for name in acts:
        _act(stage, name)
        stage.passes()
    _act(stage, last)
    undisturbed = copy.deepcopy(stage)
    undisturbed.passes()
    stage.world.reconcile(KIND, KEY, now=stage.now, effects=effects)
    stage.passes()
    assert everything(stage) == everything(undisturbed)
