"""What is told follows from status alone, and is what the decisions tell as Events of those reasons."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.cases import Case, case_files
from tests.unit.notify.given import ago, alarm, ready, rollout, version
from tests.unit.rollout import given as rollouts
from tests.unit.training import given as trainings
from tests.world import key_of

from belay_operator.notify.event import State, event_type
from belay_operator.notify.told import REASONS, TELLING
from belay_operator.rollout.decide import decide
from belay_operator.training.observe import KIND as TRAINING

UNIT = Path(__file__).parents[1]
ROLLOUTS = [path for folder in sorted((UNIT / "rollout" / "cases").iterdir()) for path in case_files(folder)]
TRAININGS = case_files(UNIT / "training" / "cases" / "decide")


def new(kind: str, before: Any, after: Any) -> Counter[str]:
    """Reasons of what a status says to have happened, and the one before it did not."""
    telling = TELLING[kind]
    known = {(one.reason, one.at, one.policy) for one in telling.happened(before)}
    return Counter(one.reason for one in telling.happened(after) if (one.reason, one.at, one.policy) not in known)


def as_events(kind: str, notes: Any) -> Counter[str]:
    return Counter(str(note.reason) for note in notes if note.reason in TELLING[kind].happens)


@pytest.mark.parametrize("path", ROLLOUTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_rollout_tells_from_its_status_what_its_decision_tells_as_events(path: Path) -> None:
    """Else a crash between the status and what is told of it would lose it."""
    case = Case.read(path, given=rollouts.GIVEN)
    seen = rollouts.observed(case.given, case.now)
    plan = decide(seen, case.now)
    after = plan.status if plan.status is not None else seen.recorded.dump()
    told, events = new("RLRollout", seen.recorded.dump(), after), as_events("RLRollout", plan.events)
    # Another candidate that is taken up in the same pass forgets the rollback before it: its end tells of it.
    assert told in (events, events - Counter({"RollbackStarted": events["RolledBack"] and 1}))


def test_the_end_of_a_rollback_is_as_grave_as_its_beginning() -> None:
    at = "2026-05-04T10:00:00Z"
    for reason, severity in (("Superseded", "info"), ("PodsGone", "warning"), ("Verdict", "warning")):
        rollback = {"reason": reason, "message": "?", "policy": "b", "decidedAt": at}
        outcome = "RolledBack" if reason == "Verdict" else "Withdrawn"
        ended = {"policy": "b", "digest": "b", "startedAt": at, "endedAt": at, "outcome": outcome, "reason": reason}
        status = {"rollback": rollback, "history": [ended]}
        told = {one.reason: str(one.severity) for one in TELLING["RLRollout"].happened(status)}
        assert told == {"RolloutStarted": "info", "RollbackStarted": severity, "RolledBack": severity}


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: path.stem)
def test_a_training_tells_from_its_status_what_its_decision_tells_as_events(path: Path) -> None:
    case = Case.read(path, given=trainings.GIVEN)
    world = trainings.world_of(case.given)
    held = world.objects["RLTrainingJob", "default", trainings.NAME]
    before = held.get("status") or {}
    plan = world.plan(TRAINING, key_of(held), case.now)
    after = plan.status if plan.status is not None else before
    published = any(note.reason == "PolicyPublished" for note in plan.events)
    events = as_events("RLTrainingJob", plan.events)
    if held["spec"].get("publish"):  # succeeded is told once the policy is there, which the Event does not wait for
        events["TrainingSucceeded"] = int(published)
    assert new("RLTrainingJob", before, after) == +events


def test_whom_a_rollout_waits_for_and_what_is_wrong_stands_until_it_ends() -> None:
    telling = TELLING["RLRollout"]
    status = {"conditions": [alarm("Degraded", "StableWorse"), ready("ApprovalNeeded")]}
    assert [(one.reason, str(one.severity)) for one in telling.stands(status)] == [
        ("StableWorse", "error"),
        ("ApprovalNeeded", "warning"),
    ]
    assert telling.stands({"conditions": [ready("Healthy", true=True)]}) == []
    assert telling.stands({"conditions": [{**alarm("Degraded", "StableWorse"), "status": "False"}]}) == []
    assert telling.stands({}) == []


def test_a_policy_whose_gates_may_still_pass_is_no_news() -> None:
    telling = TELLING["RLPolicy"]
    assert telling.stands({"conditions": [ready("NotValidated")]}) == []
    stalled = {"conditions": [ready("NotValidated"), alarm("Stalled", "NotValidated")]}
    assert [one.reason for one in telling.stands(stalled)] == ["NotValidated"]


def test_verdicts_go_with_the_trial_they_are_of() -> None:
    verdicts = [{"metric": "return", "verdict": "Fail"}]
    old = {**version("b", ago(60)), "outcome": "RolledBack", "startedAt": ago(60), "endedAt": ago(30), "message": "m"}
    status = rollout(history=[old], verdicts=verdicts)["status"]
    telling = TELLING["RLRollout"]
    assert [one.facts["verdicts"] for one in telling.happened(status) if one.reason == "RolledBack"] == [verdicts]
    status |= {"candidate": version("c", ago(10))}
    assert all("verdicts" not in one.facts for one in telling.happened(status))


def test_types_are_words_of_the_reasons() -> None:
    rollouts, trainings, policies = (TELLING[kind] for kind in ("RLRollout", "RLTrainingJob", "RLPolicy"))
    assert event_type(rollouts, "Promoted", State.HAPPENED) == "dev.belay.rollout.promoted"
    assert event_type(rollouts, "RolloutStarted", State.HAPPENED) == "dev.belay.rollout.started"
    assert event_type(rollouts, "ApprovalNeeded", State.BEGAN) == "dev.belay.rollout.approval_needed"
    assert event_type(rollouts, "ApprovalNeeded", State.ENDED) == "dev.belay.rollout.approval_needed.ended"
    assert event_type(trainings, "TrainingFailed", State.HAPPENED) == "dev.belay.training.failed"
    assert event_type(policies, "DigestMismatch", State.BEGAN) == "dev.belay.policy.digest_mismatch"


def test_the_guide_names_every_reason() -> None:
    guide = (UNIT.parents[1] / "docs" / "guides" / "notifications.md").read_text()
    assert [reason for reason in REASONS if f"`{reason}`" not in guide] == []
