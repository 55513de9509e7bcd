"""The Job controller's words about pods it cannot make; `tests/api/training` has a real controller say them."""

from typing import Any

from tests.unit.training.given import JOB_UID, NAME, child_job

from belay_operator.training.creation import failures


def event(message: str, *, at: str, uid: str = JOB_UID) -> dict[str, Any]:
    return {
        "metadata": {"creationTimestamp": at},
        "involvedObject": {"uid": uid},
        "lastTimestamp": at,
        "message": message,
    }


def job() -> dict[str, Any]:
    made = child_job()
    made["metadata"]["namespace"] = "default"
    return made


def test_the_newest_words_count_and_the_name_of_no_pod_is_in_them() -> None:
    quota = 'Error creating: pods "cartpole-a1-0-{}" is forbidden: exceeded quota: small, limited: cpu={}.'
    events = [
        event(quota.format("x7k2p", 1), at="2026-05-04T09:00:00Z"),
        event(quota.format("99abc", 2), at="2026-05-04T09:30:00Z"),
        event(quota.format("q4q4q", 3), at="2026-05-04T09:10:00Z"),
    ]
    assert failures([job()], events) == {("default", NAME): "exceeded quota: small, limited: cpu=2"}


def test_words_about_another_job_are_not_ours() -> None:
    assert failures([job()], [event("Error creating: no", at="2026-05-04T09:00:00Z", uid="other")]) == {}
    stranger = job()
    stranger["metadata"]["labels"] = {}
    assert failures([stranger], [event("Error creating: no", at="2026-05-04T09:00:00Z")]) == {}
