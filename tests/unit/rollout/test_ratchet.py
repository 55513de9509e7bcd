"""Versions that are each worse by what is allowed do not slide on without a person."""

import pytest
from tests.unit.rollout.stage import ANALYSIS, Stage, digest

from belay_api.rollout.status import RolloutPhase

STEPS = [{"setWeight": 50}]


def rollout(*policies: str, **analysis: object) -> Stage:
    return Stage(
        "a", *policies, steps=STEPS, analysis=ANALYSIS | analysis, bake={"duration": "1s", "keepWarm": "1m"}
    ).go()


def promotes(stage: Stage, policy: str) -> None:
    """The candidate passes its steps and its bake."""
    stage.wants(policy)
    stage.go(seconds=120)
    stage.go(seconds=1)
    names = {stage.status.stable.policy if stage.status.stable else "": (200, 480.0, 40.0), policy: (200, 480.0, 40.0)}
    if stage.status.candidate is not None:
        stage.episodes("return", names)
        stage.scrape(policy, rate=50.0)
        stage.go(seconds=2).go(seconds=2)


def stable(stage: Stage) -> str:
    assert stage.status.stable is not None
    return stage.status.stable.policy


def anchor(stage: Stage) -> tuple[str, int]:
    assert stage.status.anchor is not None
    return stage.status.anchor.policy, stage.status.anchor.promotions


def test_the_third_version_in_a_row_waits_for_a_person() -> None:
    stage = rollout("b", "c", "d")
    assert anchor(stage) == ("a", 0), "whoever made the rollout chose its first version"
    for policy in "bc":
        promotes(stage, policy)
        assert stable(stage) == policy
    assert anchor(stage) == ("a", 2)
    stage.wants("d")
    stage.go(seconds=120)
    assert stage.status.candidate is None
    assert stage.reason == "ApprovalNeeded"
    assert "since a was approved" in stage.message
    assert stage.status.phase is RolloutPhase.WAITING_FOR_APPROVAL
    stage.command("approve@1")
    stage.passes()
    assert anchor(stage) == ("c", 0)
    assert stage.status.candidate is not None
    assert stage.status.candidate.policy == "d"


def test_nobody_waits_for_a_person_to_go_back() -> None:
    stage = rollout("b", "c")
    for policy in "bc":
        promotes(stage, policy)
    stage.wants("b")  # still warm
    stage.go(seconds=1)
    assert stable(stage) == "b"
    assert anchor(stage) == ("a", 2)
    stage.wants("a")  # what was approved
    stage.passes()
    assert stage.status.candidate is not None
    assert stage.status.candidate.policy == "a"


def test_a_person_who_promotes_approves() -> None:
    stage = rollout("b", "c")
    promotes(stage, "b")
    stage.wants("c")
    stage.go(seconds=120)
    stage.command("promote@1")
    stage.go(seconds=1)
    assert stable(stage) == "c"
    assert anchor(stage) == ("c", 0)


@pytest.mark.parametrize("analysis", [{"approveAfter": 0}, {"metrics": ANALYSIS["metrics"][1:]}])
def test_who_wants_no_approval_or_compares_nothing_is_not_asked(analysis: dict[str, object]) -> None:
    stage = rollout("b", "c", "d", **analysis)
    for policy in "bcd":
        promotes(stage, policy)
        assert stable(stage) == policy


def test_an_approval_before_anything_serves_is_refused() -> None:
    stage = Stage()
    stage.command("approve@1")
    stage.passes()
    assert stage.status.commands[-1].message == "no version is stable yet, so there is nothing to approve"


def test_a_rollout_of_a_version_of_belay_without_anchors_counts_from_its_stable_one() -> None:
    stage = rollout("b")
    held = stage.world.objects["RLRollout", "default", "cartpole"]
    del held["status"]["anchor"]
    promotes(stage, "b")
    assert anchor(stage) == ("a", 1)
    assert stage.status.anchor is not None
    assert stage.status.anchor.digest == digest("a")
