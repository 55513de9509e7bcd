"""The kubelet's words about pods that wait for what they mount; `test_creation.py` has the loop that asks for them."""

from typing import Any

import pytest
from tests.unit.policy.judging import judging_pod
from tests.unit.training.given import NAME, pod

from belay_operator.job_events.starting import SOURCE, obstacles

JOB = f"{NAME}-a1"
NAMED = 'MountVolume.SetUp failed for volume "code" : configmap "my-task" not found'
SUMMARY = "Unable to attach or mount volumes: unmounted volumes=[code]: timed out waiting for the condition"
SECRET = "Unable to retrieve some image pull secrets (regcred); attempting to pull the image may not succeed."


def waiting(index: int = 0, **more: Any) -> dict[str, Any]:
    made = pod(index, "Pending", waiting={"reason": "ContainerCreating"})
    made["metadata"] |= {"namespace": "default", "uid": f"uid-{index}"}
    made["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
    return made | more


def event(message: str, *, at: str = "2026-05-04T09:00:00Z", of: str = "uid-0", reason: str = "FailedMount") -> Any:
    return {
        "metadata": {"creationTimestamp": at},
        "involvedObject": {"uid": of},
        "reason": reason,
        "lastTimestamp": at,
        "message": message,
    }


def test_the_sentence_with_the_cause_stands_though_the_summary_is_newer() -> None:
    events = [event(NAMED), event(SUMMARY, at="2026-05-04T09:02:00Z")]
    assert obstacles([waiting()], events) == {("default", JOB): NAMED}
    assert obstacles([waiting()], events[::-1]) == {("default", JOB): NAMED}


def test_without_a_cause_the_summary_is_better_than_nothing() -> None:
    assert obstacles([waiting()], [event(SUMMARY)]) == {("default", JOB): SUMMARY}


def test_of_two_causes_the_newest_counts() -> None:
    other = NAMED.replace("my-task", "your-task")
    events = [event(other, at="2026-05-04T09:05:00Z"), event(NAMED)]
    assert obstacles([waiting()], events) == {("default", JOB): other}


def test_a_pull_secret_is_named_after_what_is_not_mounted() -> None:
    events = [event(SECRET, reason="FailedToRetrieveImagePullSecret"), event(NAMED)]
    assert obstacles([waiting()], events) == {("default", JOB): f"{NAMED}; {SECRET.rstrip('.')}"}


def test_events_about_other_pods_are_not_ours() -> None:
    assert obstacles([waiting()], [event(NAMED, of="uid-of-another")]) == {}


PLACED = [{"type": "PodScheduled", "status": "True"}]
OTHERS: dict[str, tuple[dict[str, Any], bool]] = {
    "on its node": (waiting(), True),
    "without a node": (waiting(status={"phase": "Pending"}), False),
    "at work": (waiting(status={"phase": "Running", "conditions": PLACED}), False),
    "that judges": (
        judging_pod({}, "validation", "Pending") | {"status": {"phase": "Pending", "conditions": PLACED}},
        True,
    ),
    "of a policy": (waiting(metadata={"name": "p", "labels": {"belay.dev/policy": "p"}}), False),
}


@pytest.mark.parametrize("case", OTHERS)
def test_only_a_pod_of_a_job_of_ours_that_waits_on_its_node_is_asked_about(case: str) -> None:
    found, wanted = OTHERS[case]
    assert SOURCE.waits(found) is wanted
