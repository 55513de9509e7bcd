"""`together`: rollouts that change together wait for each other, and are taken back together."""

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.rollout.stage import SPEC, Stage
from tests.world import START, belay_object

from belay_api.rollout.steps.together import TogetherStep
from belay_api.units import format_instant
from belay_operator.engine.change import Change
from belay_operator.engine.plan import Key
from belay_operator.rollout.observe import KIND
from belay_operator.rollout.peers import Peer, peer

MEET = {"together": {"with": ["partner"]}}
STEPS: list[dict[str, Any]] = [{"setWeight": 50}, MEET, {"setWeight": 80}, {"pause": {"duration": "9h"}}]
THEIRS = [{"setWeight": 50}, {"together": {"with": ["cartpole"]}}, {"pause": {"duration": "9h"}}]
AT = format_instant(START)
STABLE, TRIAL = ({"policy": name, "digest": name, "since": AT} for name in ("x", "y"))


def partner(
    *, step: int | None = None, steps: list[dict[str, Any]] = THEIRS, phase: str = "Healthy", **status: Any
) -> dict[str, Any]:
    """The other rollout: at rest, or with a candidate at that step."""
    under_way = {} if step is None else {"candidate": TRIAL, "step": {"index": step, "kind": "?", "startedAt": AT}}
    said = {"stable": STABLE, "phase": phase if step is None else "Progressing", "observedGeneration": 1}
    return belay_object("RLRollout", "partner", SPEC | {"steps": steps}, status=said | under_way | status)


def taken_back(reason: str = "Verdict") -> dict[str, Any]:
    rollback = {"reason": reason, "message": "?", "policy": "y", "decidedAt": AT, "drainedAt": AT}
    return partner(phase="RolledBack" if reason == "Verdict" else "Preparing", rollback=rollback)


def meeting(body: dict[str, Any] | None, **step: Any) -> Stage:
    """Candidate b has gone as far as it can without the other rollout, if that is needed."""
    steps = [STEPS[0], {"together": {"with": ["partner"], **step}}, *STEPS[2:]]
    stage = Stage("a", "b", steps=steps, analysis={}).go()
    if body is not None:
        stage.world.put(body)
    stage.wants("b")
    return stage.go(seconds=1)


def gone(stage: Stage) -> None:
    """Nobody asks b any more."""
    stage.go(seconds=1)
    for _ in range(2):
        stage.scrape("b", rate=0.0)
        stage.go(seconds=2)


def test_it_waits_for_the_other_and_both_go_on() -> None:
    stage = meeting(partner(step=0))
    assert stage.weights == {"a": 5000, "b": 5000}
    assert (stage.reason, stage.message) == ("WaitingForOthers", "waiting for partner")
    ours = peer(stage.world.objects["RLRollout", "default", "cartpole"])
    assert ours.reached == {"partner": 1}, "the other sees it come"
    stage.world.put(partner(step=1))
    stage.go(seconds=1)
    assert stage.weights == {"a": 2000, "b": 8000}
    assert peer(stage.world.objects["RLRollout", "default", "cartpole"]).reached == {"partner": 1}, "and gone past"


@pytest.mark.parametrize(
    "body", [partner(), partner(phase="Degraded"), partner(step=2)], ids=["rests", "no pods", "past it"]
)
def test_who_has_nothing_to_roll_out_or_is_past_it_is_not_waited_for(body: dict[str, Any]) -> None:
    assert meeting(body).weights == {"a": 2000, "b": 8000}


@pytest.mark.parametrize(
    "body",
    [partner(phase="Preparing"), partner(observedGeneration=0), partner(phase="Pending", stable=None)],
    ids=["on its way", "spec not read yet", "first version"],
)
def test_who_is_about_to_have_a_candidate_is_waited_for(body: dict[str, Any]) -> None:
    assert meeting(body).message == "waiting for partner"


def test_meetings_are_counted() -> None:
    """The second of one is the second of the other, whatever stands between."""
    steps = [MEET, {"setWeight": 10}, MEET, {"setWeight": 60}, {"pause": {}}]
    stage = Stage("a", "b", steps=steps, analysis={}).go()
    stage.world.put(partner(step=0, steps=[THEIRS[1], THEIRS[1]]))
    stage.wants("b")
    stage.go(seconds=1)
    assert (stage.weights, stage.message) == ({"a": 9000, "b": 1000}, "waiting for partner")
    stage.world.put(partner(step=1, steps=[THEIRS[1], THEIRS[1]]))
    stage.go(seconds=1)
    assert stage.weights == {"a": 4000, "b": 6000}


def test_taken_back_together_it_says_nothing_against_the_candidate_and_it_waits_for_the_next() -> None:
    stage = meeting(partner(step=0))
    stage.world.put(taken_back())
    stage.go(seconds=1)
    rollback = stage.status.rollback
    assert rollback is not None
    assert (rollback.reason, rollback.message) == ("OtherTakenBack", "together: partner has taken y back")
    gone(stage)
    assert stage.status.rejected_digests == []
    assert stage.status.candidate is None, "it gets no traffic only to be taken back again"
    assert (stage.reason, stage.weights) == ("WaitingForOthers", {"a": 10000})
    assert stage.message == (
        "no candidate is taken up: partner has taken y back, and the two change together. It is once that has another "
        "one, or asks for what it serves; or write onRollback: Hold"
    )
    stage.world.put(partner(step=0))
    stage.go(seconds=1)
    assert (stage.message, stage.weights) == ("waiting for partner", {"a": 5000, "b": 5000})


def test_what_a_drained_node_did_to_the_other_takes_nobody_along() -> None:
    stage = meeting(partner(step=0))
    stage.world.put(taken_back("PodsGone"))
    stage.go(seconds=1)
    assert (stage.status.rollback, stage.message) == (None, "waiting for partner")


def test_one_that_follows_a_family_rests_after_a_rollback_and_has_taken_back_all_the_same() -> None:
    """It asks for what it serves from then on, so its phase says Healthy."""
    stage = meeting(partner(step=0))
    following = taken_back()
    following["spec"]["policy"] = {"latestOf": "hopper"}
    following["status"]["phase"] = "Healthy"
    stage.world.put(following)
    stage.go(seconds=1)
    assert stage.status.rollback is not None
    assert stage.status.rollback.reason == "OtherTakenBack"
    gone(stage)
    assert stage.message.startswith("no candidate is taken up: partner has taken y back")
    following["spec"]["policy"] = {"name": "x"}  # somebody settles for what it serves
    stage.world.put(following)
    read = stage.world.objects["RLRollout", "default", "partner"]["metadata"]["generation"]
    stage.world.patch("RLRollout", "partner", {"status": {"observedGeneration": read}})
    stage.go(seconds=1).go(seconds=1)
    assert stage.weights == {"a": 2000, "b": 8000}


def test_two_that_follow_families_and_have_taken_back_do_not_wait_for_each_other() -> None:
    """Each would be barred by what the other has taken back, and neither could ever have another candidate."""
    stage = meeting(partner(step=0))
    following = taken_back()
    following["spec"]["policy"] = {"latestOf": "hopper"}
    stage.world.put(following)
    stage.world.patch("RLRollout", "partner", {"status": {"phase": "Healthy"}})
    assert peer(stage.world.objects["RLRollout", "default", "partner"]).taken_back == "y"
    stage.world.patch("RLRollout", "partner", {"status": {"phase": "Preparing"}})  # the family has another member
    assert peer(stage.world.objects["RLRollout", "default", "partner"]).taken_back is None
    stage.go(seconds=1)
    assert stage.status.rollback is None
    assert stage.message == "waiting for partner"


@pytest.mark.parametrize("reason", ["Verdict", "Superseded"])
def test_one_that_is_just_being_taken_back_has_not_come(reason: str) -> None:
    rollback = {"reason": reason, "message": "?", "policy": "y", "decidedAt": AT}
    stage = meeting(partner(step=1, phase="RollingBack", rollback=rollback), onRollback="Hold")
    assert stage.message.startswith("waiting for partner")
    assert stage.weights == {"a": 5000, "b": 5000}


def test_a_record_of_another_candidate_does_not_hide_that_what_it_asks_for_is_rejected() -> None:
    superseded = {"reason": "Superseded", "message": "?", "policy": "z", "decidedAt": AT, "drainedAt": AT}
    assert peer(partner(phase="RolledBack", rollback=superseded)).taken_back == "its candidate"


def test_who_has_come_has_come_whatever_keeps_the_candidate_here() -> None:
    stage = meeting(partner(step=0), timeout="1h")
    stage.command("pause@1")
    stage.world.put(partner(step=1))
    stage.go(seconds=1)
    stage.world.put(partner(step=0))  # its next release
    stage.later(minutes=70)
    stage.go(seconds=1)
    assert (stage.status.rollback, stage.reason) == (None, "Paused")
    stage.world.put(taken_back())
    stage.command("resume@2")
    stage.go(seconds=1)
    assert stage.weights == {"a": 2000, "b": 8000}


def test_held_where_asked_it_waits_for_the_others_next_one() -> None:
    stage = meeting(partner(step=0), onRollback="Hold")
    stage.world.put(taken_back())
    stage.go(minutes=1)
    assert (stage.status.rollback, stage.message) == (None, "waiting for partner, which has taken y back")
    stage.world.put(partner(step=1))
    stage.go(seconds=1)
    assert stage.weights == {"a": 2000, "b": 8000}


def test_past_the_timeout_it_is_taken_back_or_waits_on() -> None:
    stage = meeting(partner(step=0), timeout="1h")
    assert stage.message.startswith("waiting for partner until 2026-")
    stage.later(minutes=61)
    stage.go(seconds=1)
    rollback = stage.status.rollback
    assert rollback is not None
    assert rollback.reason == "NotTogether"
    assert rollback.message.startswith("together: partner did not come by 2026-")
    gone(stage)
    assert len(stage.status.rejected_digests) == 1, "else it would come again at once"
    stage = meeting(partner(step=0), timeout="1h", onTimeout="Hold")
    stage.later(minutes=61)
    stage.go(seconds=1)
    assert stage.status.rollback is None
    assert stage.message.startswith("waiting for partner, though it was to be by 2026-")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "there is no RLRollout partner in this namespace: create it, or take it out of `with`"),
        (
            partner(step=0, steps=[{"pause": {}}]),
            "partner has no step together with cartpole: add one there, or take partner",
        ),
    ],
    ids=["not there", "does not know"],
)
def test_who_never_comes_is_told_with_what_to_write(body: dict[str, Any] | None, words: str) -> None:
    stage = meeting(body)
    assert stage.message.startswith(f"together: {words}")
    assert stage.message.endswith("; or send skip or abort")
    assert any(one.type == "Stalled" and one.status == "True" for one in stage.status.conditions)
    stage.command("skip@1")
    stage.go(seconds=1)
    assert stage.weights == {"a": 2000, "b": 8000}


def test_who_waits_for_a_place_that_this_one_has_is_told_what_to_raise() -> None:
    waiting = partner(phase="Preparing", group={"name": "night", "askedAt": format_instant(START + timedelta(days=1))})
    for limit, told in ((1, True), (2, False)):
        stage = Stage("a", "b", steps=STEPS, analysis={}, group={"name": "night", "limit": limit}).go()
        stage.world.put(waiting)
        stage.wants("b")
        stage.go(seconds=1)
        words = (
            "together: partner waits for a place in the group night, of which 1 may have a candidate at once, and 2 "
            "meet here: raise group.limit, or take one of them out of the group; or send skip or abort"
        )
        queueing = "waiting for partner, which waits for a place in the group night"
        assert stage.message == (words if told else queueing)


def test_one_that_names_itself_is_told_so() -> None:
    stage = Stage("a", "b", steps=[{"setWeight": 5}, {"together": {"with": ["cartpole"]}}], analysis={}).go()
    stage.wants("b")
    assert "it names cartpole itself" in stage.go(seconds=1).message


def test_the_first_version_waits_for_nobody() -> None:
    stage = Stage("a", steps=STEPS, analysis={})
    stage.world.put(taken_back())
    assert stage.go().weights == {"a": 10000}


def test_they_wake_each_other_where_one_is_somewhere_else_and_nobody_else() -> None:
    stage = meeting(partner(step=0))
    stage.world.put(belay_object("RLRollout", "third", SPEC))
    told = [
        KIND.related(Change("RLRollout", before, after), stage.world)
        for before, after in ((partner(step=0), partner(step=1)), (partner(step=0), partner(step=0, verdicts=[])))
    ]
    assert [set(keys) for keys in told] == [{Key("RLRollout", "default", "cartpole")}, set()]


def test_steps_from_elsewhere_are_read_as_well() -> None:
    recorded = {"source": "recipe canary", "asked": "?", "steps": THEIRS}
    assert peer(partner(step=1, steps=[], progression=recorded)) == Peer(
        at_rest=False, taken_back=None, meetings={"cartpole": 1}, reached={"cartpole": 1}
    )


def test_it_names_somebody() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        TogetherStep.model_validate({"with": []})
