"""A step waits for a person: who says what, what that means, and what holds while nobody says anything."""

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.rollout.stage import ANALYSIS, SPEC, Stage, digest

from belay_api.rollout.status import RolloutPhase
from belay_api.units import format_instant

LIMIT = ANALYSIS["metrics"][1]
HELD = ANALYSIS | {"metrics": [LIMIT], "onProviderDown": {"after": "1m", "action": "Hold"}}
UNJUDGED = ANALYSIS | {"metrics": []}
GOOD = (200, 480.0, 40.0)


def waiting(approve: dict[str, Any] | None = None, **spec: Any) -> Stage:
    """`b` has a tenth of the traffic and waits at the second step."""
    steps = [{"setWeight": 10}, {"approve": approve or {}}, {"setWeight": 50}, {"pause": {}}]
    stage = Stage("a", "b", "c", **({"steps": steps, "analysis": UNJUDGED} | spec)).go()
    stage.wants("b")
    stage.go(seconds=1).go(seconds=1)
    assert stage.status.phase is RolloutPhase.WAITING_FOR_APPROVAL
    return stage


def held(approve: dict[str, Any] | None = None) -> Stage:
    """The same, and nothing is measured for so long that the step would not be left."""
    stage = waiting(approve, analysis=HELD)
    stage.scrape("b", rate=None)
    stage.go(seconds=1).go(minutes=2)
    assert stage.reason == "Holding"
    return stage


def says(stage: Stage, command: str) -> str | None:
    """A person gives a command; returns why it was refused."""
    stage.command(command)
    stage.passes()
    last = stage.status.commands[-1]
    assert f"{last.action}@{last.id}" == command
    return last.message


def stable(stage: Stage) -> str | None:
    return stage.status.stable and stage.status.stable.policy


def test_a_step_waits_for_a_person_for_as_long_as_it_takes() -> None:
    stage = waiting()
    assert stage.reason == "ApprovalNeeded"
    assert digest("b")[:19] in stage.message
    stage.go(days=40)
    assert stage.weights == {"a": 9000, "b": 1000}
    assert says(stage, "approve@1") is None
    stage.go(seconds=1)
    assert stage.weights == {"a": 5000, "b": 5000}
    assert stage.told.count("Approved") == 1


def test_nobody_approves_by_saying_nothing() -> None:
    stage = waiting({"timeout": "24h"})
    due = stage.now + timedelta(hours=24) - timedelta(seconds=1)
    assert f"by {format_instant(due)}, it is taken back" in stage.message
    stage.go(hours=23)
    assert stage.weights == {"a": 9000, "b": 1000}
    stage.go(hours=1)
    assert stage.weights == {"a": 10000}
    rollback = stage.status.rollback
    assert rollback is not None
    assert rollback.reason == "NotApproved"
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go(seconds=1)
    assert stage.status.rejected_digests == [digest("b")], "else it would ask again, every day"
    assert says(stage, "approve@late") is None
    assert stage.weights == {"a": 10000}
    assert stage.status.candidate is None, "an approval that comes too late takes nothing up"


def test_hold_waits_on_past_its_timeout() -> None:
    stage = waiting({"timeout": "24h", "onTimeout": "Hold"})
    assert "it waits on" in stage.message
    stage.go(days=3)
    assert stage.weights == {"a": 9000, "b": 1000}
    assert "was to be approved by" in stage.message
    assert says(stage, "approve@1") is None
    stage.go(seconds=1)
    assert stage.weights == {"a": 5000, "b": 5000}


def test_an_approved_candidate_has_no_timeout_any_more() -> None:
    stage = held({"timeout": "1h"})
    assert says(stage, "approve@1") is None
    stage.go(hours=2)
    assert stage.weights == {"a": 9000, "b": 1000}


def test_a_timeout_holds_while_something_else_is_told() -> None:
    stage = held({"timeout": "1h"})
    stage.go(hours=1)
    assert stage.weights == {"a": 10000}


def test_a_broken_part_of_the_spec_stretches_no_timeout() -> None:
    stage = waiting({"timeout": "1h"})
    twice = [LIMIT, LIMIT]
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": {"metrics": twice}}})
    stage.go(minutes=59)
    assert stage.reason == "InvalidSpec"
    assert stage.weights == {"a": 9000, "b": 1000}
    stage.go(minutes=2)
    assert stage.weights == {"a": 10000}


def test_limits_hold_while_a_person_is_waited_for() -> None:
    stage = waiting(analysis=HELD)
    stage.scrape("b", rate=50.0, slow=1.0)
    stage.passes()
    assert stage.weights == {"a": 10000}
    assert stage.status.rollback is not None
    assert stage.status.rollback.reason == "Verdict"


def test_what_is_approved_is_this_candidate() -> None:
    stage = waiting()
    assert says(stage, "approve@1") is None
    stage = waiting()
    stage.wants("c")
    stage.go(seconds=1)
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go(seconds=1).go(seconds=1)
    assert stage.status.candidate is not None
    assert stage.status.candidate.policy == "c"
    assert stage.status.phase is RolloutPhase.WAITING_FOR_APPROVAL, "another one is asked about anew"


def test_an_approval_before_the_step_is_refused_in_words_and_does_not_count() -> None:
    steps = [{"setWeight": 10}, {"pause": {"duration": "30s"}}, {"approve": {}}, {"setWeight": 50}]
    stage = Stage("a", "b", steps=steps, analysis=UNJUDGED).go()
    stage.wants("b")
    stage.go(seconds=1)
    anchor = stage.status.anchor
    assert "no step approve is under way" in (says(stage, "approve@early") or "")
    assert stage.status.anchor == anchor, "nor is it taken for something else"
    stage.go(seconds=31)
    assert stage.status.phase is RolloutPhase.WAITING_FOR_APPROVAL
    assert stage.weights == {"a": 9000, "b": 1000}


def test_two_steps_need_two_approvals() -> None:
    steps = [{"setWeight": 10}, {"approve": {}}, {"approve": {}}, {"setWeight": 50}, {"pause": {}}]
    stage = waiting(steps=steps)
    assert says(stage, "approve@1") is None
    stage.go(seconds=1)
    assert "at step 3" in stage.message
    assert says(stage, "approve@2") is None
    stage.go(seconds=1)
    assert stage.weights == {"a": 5000, "b": 5000}


def test_steps_that_begin_again_ask_again() -> None:
    stage = held()
    assert says(stage, "approve@1") is None
    stage.edits_steps({"setWeight": 20}, {"approve": {}}, {"setWeight": 50})
    stage.scrape("b", rate=10.0)
    stage.go(seconds=1).go(seconds=1)
    assert stage.weights == {"a": 8000, "b": 2000}
    assert stage.status.phase is RolloutPhase.WAITING_FOR_APPROVAL


def test_a_second_approval_and_a_skip_are_refused() -> None:
    stage = held()
    assert says(stage, "skip@1") == "a step approve is not skipped: send approve, promote or abort"
    assert says(stage, "approve@1") is None
    assert says(stage, "approve@2") == "b is approved at this step already"


def test_promote_and_abort_keep_their_meaning() -> None:
    stage = waiting()
    assert says(stage, "promote@1") is None
    stage.go(seconds=1)
    assert stable(stage) == "b"
    stage = waiting()
    assert says(stage, "abort@1") is None
    assert stage.weights == {"a": 10000}


def test_while_a_rollback_is_under_way_nothing_is_approved() -> None:
    stage = waiting()
    says(stage, "abort@1")
    assert "is being rolled back" in (says(stage, "approve@1") or "")


@pytest.mark.parametrize(
    ("after", "anchor"), [([], ("b", 0)), ([{"pause": {"duration": "1s"}}], ("b", 0)), ([{"analyze": {}}], ("a", 1))]
)
def test_who_approves_with_the_verdict_before_him_approves_the_version(
    after: list[dict[str, Any]], anchor: tuple[str, int]
) -> None:
    """One that comes before the verdict lets the trial go on, and vouches for nothing."""
    steps = [{"setWeight": 10}, {"approve": {}}, *after]
    stage = waiting(steps=steps, analysis=ANALYSIS, bake={"duration": "1s", "keepWarm": "1m"})
    stage.episodes("return", {"a": GOOD, "b": GOOD})
    stage.scrape("b", rate=50.0)
    says(stage, "approve@1")
    for _ in range(4):
        stage.go(seconds=2)
        stage.scrape("b", rate=50.0)
        stage.passes()
    assert stable(stage) == "b"
    assert stage.status.anchor is not None
    assert (stage.status.anchor.policy, stage.status.anchor.promotions) == anchor


def test_a_first_version_is_not_asked_about() -> None:
    stage = Stage("a", steps=[*SPEC["steps"][:1], {"approve": {}}]).go()
    assert stable(stage) == "a"
