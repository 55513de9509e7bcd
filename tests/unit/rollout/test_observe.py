"""What is read from the cache, whom a change concerns, and what is refused though the API server let it pass."""

from typing import Any

import pytest
from tests.unit.rollout.stage import KEY, SPEC, Stage, digest
from tests.world import SETTINGS, World, belay_object

from belay_operator.engine.change import Change
from belay_operator.engine.plan import Key
from belay_operator.rollout.observe import KIND, observe
from belay_operator.rollout.sources.active import Trial, trial_of
from belay_operator.rollout.sources.serving import OfPods, wanted

KNOWN = {"evaluated": {"episodes": 20, "mean": 480, "std": 40, "min": 350, "max": 500}, "low": 9, "high": 500}


def rollout(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return belay_object("RLRollout", "cartpole", SPEC | spec, status=status or {})


def seen(stage: Stage) -> Any:
    body = stage.world.get("RLRollout", "default", "cartpole")
    assert body is not None
    return observe(body, stage.world, SETTINGS)


def policy(**parts: Any) -> dict[str, Any]:
    artifact = {"artifact": {"uri": f"store://sha256/{'a' * 64}", "digest": digest("a")}}
    spec = artifact | {"serving": parts.pop("serving", {})}
    return belay_object("RLPolicy", "a", spec, status=parts)


@pytest.mark.parametrize(
    ("own", "wanted", "needed"), [(None, 3, 3), (1, 3, 1), (5, 3, 3), (0, 3, 1)], ids=["ours", "own", "more", "none"]
)
def test_needed_replicas(own: int | None, wanted: int, needed: int) -> None:
    serving = {} if own is None else {"replicas": own}
    stage = Stage(replicas=wanted)
    stage.world.put(policy(serving=serving))
    assert seen(stage).policies["a"].needed_replicas == needed


@pytest.mark.parametrize(
    ("verified", "broken"),
    [
        (("False", "DigestMismatch"), True),
        (("False", "ArtifactInvalid"), True),
        (("False", "ArtifactNotFound"), True),
        (("False", "StoreUnavailable"), False),
        (("Unknown", "Verifying"), False),
        (("True", "Verified"), False),
    ],
)
def test_only_what_waiting_cannot_mend_is_broken(verified: tuple[str, str], broken: bool) -> None:
    stage = Stage()
    condition = {"type": "Verified", "status": verified[0], "reason": verified[1], "message": "words"}
    stage.world.put(policy(conditions=[condition]))
    assert (seen(stage).policies["a"].broken is not None) is broken


def test_what_an_artifact_knows_is_read_from_its_policy() -> None:
    stage = Stage()
    stage.world.put(policy())
    assert seen(stage).policies["a"].outcomes is None, "of an earlier version, or not read yet"
    stage.world.put(policy(outcomes={"return": KNOWN | {"added": "by a later version"}}))
    known = seen(stage).policies["a"].outcomes
    assert (known.return_.low, known.return_.high, known.return_.random, known.length) == (9, 500, None, None)


@pytest.mark.parametrize(("reason", "repeated"), [("PodStartFailed", "words"), ("Verifying", ""), ("Loading", "")])
def test_only_trouble_of_a_policy_is_repeated(reason: str, repeated: str) -> None:
    """Each word of a policy on its way would be one more write of its rollout."""
    stage = Stage()
    stage.world.put(policy(conditions=[{"type": "Ready", "status": "False", "reason": reason, "message": "words"}]))
    assert seen(stage).policies["a"].message == repeated


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"steps": [{"analyze": {}}]}, "steps\\[0\\]: analyze"),
        ({"steps": [{"setWeight": 5}, {"setWeight": 0}, {"analyze": {}}]}, "steps\\[2\\]: analyze"),
        (
            {"analysis": {"metrics": [{"name": "x", "source": {"serving": "latencyP99"}, "limit": {"max": "5%"}}]}},
            "100ms",
        ),
        ({"analysis": {"metrics": [{"name": "x", "source": {"serving": "errorRate"}, "limit": {"max": "5s"}}]}}, "5%"),
        (
            {"analysis": {"metrics": [{"name": "x", "source": {"serving": "errorRate"}, "limit": {"max": "5%"}}] * 2}},
            "twice",
        ),
        (
            {
                "analysis": {
                    "metrics": [
                        {
                            "name": "x",
                            "source": {"logbook": {"outcome": "return"}},
                            "compare": {"maxRegression": "0%"},
                        }
                    ]
                }
            },
            "above 0",
        ),
        ({"analysis": {"window": "10ms"}}, "window"),
    ],
)
def test_a_spec_that_cannot_be_carried_out_is_refused(spec: dict[str, Any], words: str) -> None:
    world = World([rollout(**spec)])
    body = world.get("RLRollout", "default", "cartpole")
    assert body is not None
    with pytest.raises(ValueError, match=words):
        observe(body, world, SETTINGS)


def test_invalid_changes_nothing_but_the_conditions() -> None:
    stage = Stage("a").go()
    before = stage.status
    body = stage.world.get("RLRollout", "default", "cartpole")
    assert body is not None
    plan = KIND.invalid(body, "spec.steps: no", stage.now)
    assert plan.status is not None
    assert {k: v for k, v in plan.status.items() if k not in ("conditions", "observedGeneration")} == {
        k: v for k, v in before.dump().items() if k not in ("conditions", "observedGeneration")
    }
    assert {c["type"]: c["status"] for c in plan.status["conditions"]} == {"Ready": "False", "Stalled": "True"}
    assert (plan.apply, plan.delete) == ((), ())


def test_a_policy_concerns_the_rollouts_that_use_it_or_wait_for_it() -> None:
    stage = Stage("a", "b").go()

    def concerned(policy: str) -> list[Key]:
        return list(KIND.related(Change("RLPolicy", None, belay_object("RLPolicy", policy, {})), stage.world))

    assert concerned("a") == [KEY]
    assert concerned("b") == []
    stage.wants("z")  # not there yet: its arrival must be told
    assert (concerned("a"), concerned("z")) == ([KEY], [KEY])


@pytest.mark.parametrize(
    ("change", "woken"),
    [
        ({"status": {"replicas": 2, "desiredReplicas": 2, "observedGeneration": 2}}, False),
        ({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Verifying"}]}}, False),
        ({"metadata": {"labels": {"team": "a"}}}, False),
        ({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Unschedulable"}]}}, False),
        ({"status": {"conditions": [{"type": "Ready", "reason": "Unschedulable", "message": "no room"}]}}, True),
        ({"status": {"conditions": [{"type": "Verified", "status": "False", "reason": "DigestMismatch"}]}}, True),
        ({"status": {"conditions": [{"type": "Loaded", "status": "False", "lastTransitionTime": "t"}]}}, True),
        ({"status": {"readyReplicas": 2}}, True),
        ({"status": {"usedBy": ["another"]}}, True),
        ({"status": {"outcomes": {"return": KNOWN}}}, True),
        ({"spec": {"serving": {"replicas": 2}}}, True),
        ({"spec": {"artifact": {"digest": digest("z")}}}, True),
        ({"metadata": {"deletionTimestamp": "2026-05-04T10:00:00Z"}}, True),
    ],
    ids=str,
)
def test_a_policy_wakes_its_rollouts_when_it_says_something_new_to_them(change: dict[str, Any], woken: bool) -> None:
    stage = Stage("a").go()
    before = stage.world.objects["RLPolicy", "default", "a"]
    after = {part: {**before.get(part, {}), **change.get(part, {})} for part in ("metadata", "spec", "status")}
    for told in (Change("RLPolicy", before, before | after), Change("RLPolicy", before | after, before)):
        assert list(KIND.related(told, stage.world)) == [KEY] * woken


def served(stage: Stage, *, kept_for: str, replicas: int = 1) -> dict[str, Any]:
    """Put the Deployment of policy `a`, with one ready pod, as the policy kind has it: owned by who asks for it."""
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    stage.world.patch("Pod", "a-0", {"status": ready})
    policy = stage.world.objects["RLPolicy", "default", "a"]["metadata"]["uid"]
    owners = [
        {"kind": "RLPolicy", "name": "a", "uid": policy, "controller": True},
        {"kind": "RLRollout", "name": "cartpole", "uid": kept_for},
    ]
    return stage.world.put(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "a", "ownerReferences": owners},
            "spec": {"replicas": replicas},
            "status": {"readyReplicas": 1},
        }
    )


def test_pods_count_for_a_new_rollout_once_their_policy_has_heard_of_it() -> None:
    """A rollout deleted and made anew finds its namesake's pods ready, in the moment before they are ended."""
    stage = Stage("a")
    ours = rollout_uid(stage)
    for kept_for, replicas, ready in [("uid-namesake", 1, 0), (ours, 0, 0), (ours, 1, 1)]:
        served(stage, kept_for=kept_for, replicas=replicas)
        assert seen(stage).policies["a"].ready_replicas == ready
    served(stage, kept_for="uid-namesake")
    assert (stage.go().status.phase, stage.weights) == ("Preparing", None)
    served(stage, kept_for=ours)
    assert stage.go().status.phase == "Healthy"


def test_a_stable_version_counts_by_its_policys_word() -> None:
    """Its Deployment may be from before Belay noted who needs it."""
    stage = Stage("a").go()
    served(stage, kept_for="uid-somebody")
    assert seen(stage).policies["a"].ready_replicas == 1


def test_a_deployment_and_its_pods_concern_who_waits_for_them() -> None:
    stage = Stage("a")
    deployment = served(stage, kept_for="uid-namesake")
    stage.passes()
    pod = stage.world.objects["Pod", "default", "a-0"]
    for kind, body in (("Deployment", deployment), ("Pod", pod)):  # what of them is read, in whatever order it comes
        assert list(KIND.related(Change(kind, None, body), stage.world)) == [KEY]
    deployment = served(stage, kept_for=rollout_uid(stage))
    stage.go()
    for kind, body in (("Deployment", deployment), ("Pod", pod)):
        assert list(KIND.related(Change(kind, None, body), stage.world)) == []


def rollout_uid(stage: Stage) -> str:
    return str(stage.world.objects["RLRollout", "default", "cartpole"]["metadata"]["uid"])


def test_pods_concern_only_a_rollback() -> None:
    stage = Stage("a", "b").go()
    stage.wants("b")
    stage.go()
    pod = stage.world.get("Pod", "default", "b-0")
    assert pod is not None
    assert list(KIND.related(Change("Pod", None, pod), stage.world)) == []
    body = stage.world.get("RLRollout", "default", "cartpole")
    assert body is not None
    assert KIND.priority(body, stage.world) == 1

    stage.command("abort@1")
    stage.go()
    assert list(KIND.related(Change("Pod", None, pod), stage.world)) == [KEY]
    body = stage.world.get("RLRollout", "default", "cartpole")
    assert body is not None
    assert KIND.priority(body, stage.world) == 0


def trial(stage: Stage) -> Trial[OfPods] | None:
    """What the pollers make of the rollout."""
    body = stage.world.get("RLRollout", "default", "cartpole")
    return None if body is None else trial_of(body, wanted)


def test_pollers_are_asked_only_while_somebody_wants_to_know() -> None:
    stage = Stage("a", "b").go()
    assert trial(stage) is None
    stage.wants("b")
    stage.go()
    found = trial(stage)
    assert found is not None
    assert (found.candidate, found.stable, found.judged, found.wanted.limits) == ("b", "a", True, True)
    stage.command("abort@1")
    stage.passes()
    found = trial(stage)
    assert found is not None
    assert (found.rolling_back, found.judged) == (True, False)
    stage.accept()
    stage.passes()
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.passes()
    assert trial(stage) is None


def test_a_rollout_that_is_being_deleted_is_left_alone() -> None:
    stage = Stage("a")
    stage.world.patch("RLRollout", "cartpole", {"metadata": {"deletionTimestamp": "2026-05-04T10:00:00Z"}})
    assert stage.world.would_write(KIND, KEY, stage.now) == []


def test_a_route_of_somebody_else_is_not_changed_and_told() -> None:
    stage = Stage("a")
    route = {"kind": "HTTPRoute", "metadata": {"name": "cartpole"}, "spec": {"rules": []}}
    stage.world.put(route)
    stage.passes()
    assert stage.world.objects["HTTPRoute", "default", "cartpole"]["spec"] == {"rules": []}
    assert stage.reason == "RouteNotAccepted"
