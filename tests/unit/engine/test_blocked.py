"""What is said of a child that cannot be made: the same words in every pass, whatever is decided meanwhile."""

from datetime import UTC, datetime
from typing import Any

from belay_api.reasons import PolicyReason, RolloutReason, TrainingReason
from belay_operator.engine.blocked import (
    CHILD_CONFLICT,
    CHILD_REFUSED,
    WORDS,
    conflict,
    keep_blocked,
    refused,
    with_blocked,
    words_about,
)
from belay_operator.engine.errors import error_of

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
SERVICE = {"kind": "Service", "metadata": {"name": "s"}}
DEPLOYMENT = {"kind": "Deployment", "metadata": {"name": "d"}}
QUOTA = error_of("PATCH d", 403, "Forbidden", "exceeded quota: q.")


def test_every_kind_has_the_reasons() -> None:
    for reasons in (TrainingReason, PolicyReason, RolloutReason):
        assert {str(CHILD_CONFLICT), str(CHILD_REFUSED)} <= {str(reason) for reason in reasons}


def condition(kind: str, status: str, at: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": at}


OBJ = {"metadata": {"generation": 3}, "status": {"conditions": [condition("Ready", "True", "2026-05-04T09:00:00Z")]}}
DECIDED = {
    "phase": "P",
    "conditions": [
        condition("Ready", "True", "2026-05-04T10:00:00Z"),
        condition("Verified", "True", "2026-05-04T10:00:00Z"),
    ],
}


def test_said_again_is_the_same_status_whatever_is_decided() -> None:
    blocked = [refused(DEPLOYMENT, QUOTA), conflict(SERVICE)]
    first = with_blocked(OBJ, DECIDED, blocked, NOW)
    ready, verified = first["conditions"]
    assert first["phase"] == "P"
    assert verified == DECIDED["conditions"][1]
    assert (ready["status"], ready["reason"]) == ("False", "ChildRefused")
    assert ready["lastTransitionTime"] == "2026-05-04T10:00:00Z"
    assert "Deployment d, which stays as it is: exceeded quota: q. Belay tries again" in ready["message"]
    assert "Service s exists" in ready["message"]
    later, told = NOW.replace(hour=11), {**OBJ, "status": first}
    for decided in (DECIDED, None):
        assert with_blocked(told, decided, blocked, later) == first
        assert keep_blocked(told, decided) in (first, None), "and the first status of the pass already says it"


def test_a_ready_condition_that_names_nothing_blocked_is_not_kept() -> None:
    assert keep_blocked(OBJ, DECIDED) is DECIDED


def test_the_words_about_a_child_are_found_in_what_is_said_of_all() -> None:
    said = with_blocked(OBJ, DECIDED, [refused(DEPLOYMENT, QUOTA), conflict(SERVICE)], NOW)["conditions"][0]["message"]
    assert words_about("Deployment d", said) == "exceeded quota: q"
    assert words_about("Service s", said) is None


def test_the_words_of_a_webhook_are_cut() -> None:
    said = refused(DEPLOYMENT, error_of("PATCH d", 422, "Invalid", "x" * 10_000)).sentence
    assert len(said) < WORDS + 200
