"""Whole lives of a rollout, with all others played by `stage`: first version, promotion, rollback, and going back."""

import copy
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.rollout.stage import ANALYSIS, KEY, Stage, digest

from belay_api.rollout.status import RolloutPhase
from belay_operator.rollout.observe import KIND
from belay_operator.rollout.route import WARM_LEAD

GOOD = {"a": (200, 480.0, 40.0), "b": (200, 479.0, 40.0)}
BAD = {"a": (80, 480.0, 40.0), "b": (60, 300.0, 60.0)}


def healthy(*policies: str, **spec: object) -> Stage:
    stage = Stage("a", *policies, **spec).go()
    assert stage.status.phase is RolloutPhase.HEALTHY
    return stage


def nothing_judged(stage: Stage) -> bool:
    """Whether no verdict rests on anything: a limit may say that it has begun to count."""
    return all(verdict.limit is not None and not verdict.limit.against for verdict in stage.status.verdicts)


def under_analysis() -> Stage:
    stage = healthy("b")
    stage.wants("b")
    stage.go(seconds=1).go(seconds=31)
    assert stage.status.step is not None
    assert stage.status.step.kind == "analyze"
    assert stage.weights == {"a": 5000, "b": 5000}
    return stage


def test_the_first_version_serves_once_the_gateway_accepts() -> None:
    stage = Stage("a")
    stage.passes()
    assert stage.weights == {"a": 10000}
    assert stage.status.stable is None
    stage.accept()
    stage.passes()
    stage.scrape("a", rate=0.0, seconds=0)
    stage.passes()
    assert stage.status.stable is None, "its limits are asked before it is stable"
    stage.scrape("a", rate=0.0, seconds=1)
    stage.passes()
    assert stage.status.stable is not None
    assert stage.status.stable.policy == "a"
    assert stage.told == ["RolloutStarted", "Promoted"]


def test_a_candidate_whose_pods_are_gone_for_a_minute_is_taken_back() -> None:
    stage = under_analysis()
    stage.ready("b", 0)
    stage.go(seconds=59)
    assert stage.weights == {"a": 5000, "b": 5000}, "a pod may be placed anew"
    stage.go(seconds=1)
    assert stage.weights == {"a": 10000}
    assert stage.status.rollback is not None
    assert stage.status.rollback.reason == "PodsGone"
    assert stage.status.rollback.message == "no pod of b was ready for 1m while it had traffic"
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go(seconds=1)
    assert stage.status.rejected_digests == [], "a drained node is no evidence against a policy"
    stage.ready("b", 1)
    stage.go(seconds=1)
    assert stage.weights == {"a": 9000, "b": 1000}, "it is tried again, from the first step, when its pods are back"


def test_a_candidate_that_crashes_under_traffic_is_rejected() -> None:
    """Else it would be tried again for ever, at the cost of its users each time."""
    stage = under_analysis()
    stage.ready("b", 0, crash="container server ended with exit code 137; its log says why")
    stage.go(seconds=61)
    rollback = stage.status.rollback
    assert rollback is not None
    assert rollback.reason == "PolicyNotReady"
    assert "ended with exit code 137" in rollback.message
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go(seconds=1)
    assert stage.status.rejected_digests == [digest("b")]


@pytest.mark.parametrize("back", ["b", "a"])
def test_a_candidate_without_pods_is_kept_where_nobody_else_could_answer(back: str) -> None:
    stage = under_analysis()
    stage.ready("a", 0)
    stage.ready("b", 0)
    stage.go(seconds=90)
    assert stage.weights == {"a": 5000, "b": 5000}
    stage.ready(back, 1)
    stage.passes()
    assert stage.weights == ({"a": 10000} if back == "a" else {"a": 5000, "b": 5000})


def test_a_good_candidate_is_promoted_and_the_old_version_stays_warm() -> None:
    stage = under_analysis()
    stage.scrape("b", rate=50.0)
    stage.episodes("return", GOOD)
    stage.go(seconds=1)
    assert stage.status.phase is RolloutPhase.BAKING
    assert stage.weights == {"b": 10000}
    written = stage.world.log.count("apply HTTPRoute cartpole")

    stage.go(seconds=61)
    status = stage.status
    assert status.phase is RolloutPhase.HEALTHY
    assert status.stable is not None
    assert status.stable.policy == "b"
    assert status.previous is not None
    assert status.previous.policy == "a"
    assert stage.pinned == {"a": "a", "b": "b"}
    assert stage.world.log.count("apply HTTPRoute cartpole") == written, "a promotion writes no route"

    stage.go(hours=1)
    assert stage.status.previous is None
    assert stage.pinned == {"a": "b", "b": "b"}, "the rule keeps its place, so that b's does not shift"


def test_a_bad_candidate_is_off_the_route_in_the_pass_that_learns_of_it() -> None:
    stage = under_analysis()
    stage.scrape("b", rate=50.0)
    stage.episodes("return", BAD)
    stage.passes()
    assert stage.status.phase is RolloutPhase.ROLLING_BACK
    assert stage.weights == {"a": 10000}
    assert stage.pinned == {"a": "a", "b": "a"}, "episodes under way leave the candidate too"

    stage.accept()
    stage.passes()
    assert stage.status.rollback is not None
    assert stage.status.rollback.weight_zero_at == stage.now
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.passes()
    status = stage.status
    assert status.phase is RolloutPhase.ROLLED_BACK
    assert status.candidate is None
    assert status.rejected_digests == [digest("b")]
    assert [v.verdict for v in status.verdicts] == ["Fail", "Pass"], "the evidence stays"
    assert {c.type: c.status for c in status.conditions} == {"Ready": "False", "Stalled": "True"}
    assert stage.world.objects["RLRollout", "default", "cartpole"]["spec"]["policy"] == {"name": "b"}, "spec untouched"


def test_retry_gives_a_rejected_candidate_another_trial() -> None:
    stage = under_analysis()
    stage.command("abort@1")
    stage.go(seconds=1)
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.passes()
    assert stage.status.phase is RolloutPhase.ROLLED_BACK
    stage.command("retry@2")
    stage.go(seconds=1)
    assert stage.status.candidate is not None
    assert stage.weights == {"a": 9000, "b": 1000}
    assert nothing_judged(stage)
    assert [c.action for c in stage.status.commands] == ["abort", "retry"]


def test_what_an_earlier_trial_measured_says_nothing_about_the_next() -> None:
    stage = under_analysis()
    stage.episodes("return", BAD)
    stage.scrape("b", rate=50.0)
    stage.go()
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go()
    assert stage.status.phase is RolloutPhase.ROLLED_BACK
    stage.command("retry@1")
    stage.go(seconds=1)  # the poller has not asked again yet: its last answer is still there
    assert stage.status.phase is RolloutPhase.PROGRESSING
    assert nothing_judged(stage)


def test_another_policy_waits_until_the_running_candidate_is_gone() -> None:
    stage = under_analysis()
    stage.publish("c")
    stage.wants("c")
    stage.go(seconds=1)
    assert stage.weights == {"a": 10000}
    assert stage.status.candidate is not None
    assert stage.status.candidate.policy == "b"
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go()
    assert stage.status.candidate.policy == "c"
    assert stage.weights == {"a": 9000, "c": 1000}
    assert stage.status.rejected_digests == [], "b did nothing wrong"


def test_going_back_to_the_warm_version_is_one_step() -> None:
    stage = under_analysis()
    stage.command("promote@1")
    stage.go(seconds=1)
    assert stage.status.stable is not None
    assert stage.status.stable.policy == "b"
    stage.wants("a")
    stage.go(seconds=1)
    assert stage.status.stable.policy == "a"
    assert stage.weights == {"a": 10000}
    assert stage.status.previous is not None
    assert stage.status.previous.policy == "b"


def test_a_warm_version_that_is_deleted_holds_nothing_up() -> None:
    stage = under_analysis()
    stage.command("promote@1")
    stage.go(seconds=1)
    stage.world.remove("RLPolicy", "a")
    stage.go(seconds=1)
    assert stage.status.previous is None
    assert stage.pinned == {"a": "b", "b": "b"}
    assert stage.status.phase is RolloutPhase.HEALTHY
    assert stage.reason == "Healthy"
    stage.publish("c")
    stage.wants("c")
    stage.go(seconds=1)
    assert stage.weights == {"b": 9000, "c": 1000}
    assert stage.status.weight is not None
    assert stage.status.weight.applied == 10


def test_a_lost_stable_version_is_told_and_traffic_goes_where_it_is_answered() -> None:
    stage = healthy("b")
    stage.world.remove("RLPolicy", "a")
    stage.go(seconds=1)
    assert (stage.reason, stage.told[-1]) == ("StableLost", "StableLost")
    assert "nobody answers" in stage.message
    stage.wants("b")
    stage.go(seconds=1)
    assert stage.weights == {"b": 10000}
    assert stage.pinned == {"a": "b", "b": "b"}
    assert stage.status.stable is not None
    assert stage.status.stable.policy == "a", "one that replaces a lost version is no first version: a person decides"
    assert "b answers instead" in stage.message
    stage.go(hours=3)
    assert stage.status.stable.policy == "a"
    stage.command("promote@1")
    stage.go(seconds=1)
    assert stage.status.stable.policy == "b"
    assert stage.status.previous is None, "what is lost cannot be kept warm"
    assert stage.reason == "Healthy"


def test_a_candidate_made_again_with_other_bytes_can_be_promoted_where_stable_is_lost() -> None:
    stage = under_analysis()
    stage.world.remove("RLPolicy", "a")
    stage.go(seconds=1)
    stage.world.patch("RLPolicy", "b", {"spec": {"artifact": {"digest": digest("c")}}})
    stage.go(seconds=1)
    assert "send promote to make b stable" in stage.message
    stage.command("promote@1")
    stage.go(seconds=1)
    assert stage.status.stable is not None
    assert (stage.status.stable.policy, stage.weights) == ("b", {"b": 10000})
    assert "another digest than the one promoted" in stage.message


def test_a_candidate_whose_policy_is_deleted_before_its_first_step_begins_none() -> None:
    stage = healthy("b")
    stage.ready("b", 0)
    stage.wants("b")
    stage.go(seconds=1)
    stage.deletes("b")
    stage.go(seconds=1)
    assert (stage.told[-1], stage.reason) == ("RolloutStarted", "PolicyNotFound")
    assert stage.message == "RLPolicy b was deleted; a serves all traffic"
    stage.publish("b")
    stage.world.remove("Deployment", "b")
    stage.go(seconds=1)
    assert stage.weights == {"a": 9000, "b": 1000}


def test_a_rollback_of_shared_pods_ends_though_the_next_leaders_clock_is_behind() -> None:
    stage = under_analysis()
    stage.world.patch("RLPolicy", "b", {"status": {"usedBy": ["cartpole", "other"]}})
    stage.command("abort@1")
    stage.go(seconds=1)
    assert stage.status.phase is RolloutPhase.ROLLING_BACK
    stage.later(minutes=-10)
    stage.passes()
    assert stage.status.phase is RolloutPhase.ROLLED_BACK


def test_a_first_version_serves_on_when_another_policy_is_named_before_it_is_stable() -> None:
    stage = Stage("a", "b")
    stage.passes()
    stage.accept()
    stage.passes()
    stage.wants("b")
    stage.passes()
    assert stage.weights == {"a": 10000}, "nobody else could answer while b is loaded"
    stage.go(seconds=1)
    assert stage.status.stable is not None
    assert stage.status.stable.policy == "a"
    assert stage.weights == {"a": 9000, "b": 1000}, "and b takes its steps beside it"


def test_a_command_of_any_length_fits_into_the_status() -> None:
    stage = healthy()
    stage.command(f"{'x' * 200_000}@1")
    stage.go(seconds=1)
    (command,) = stage.status.commands
    assert len(command.dump()["action"]) + len(command.message or "") < 500


def test_a_candidate_without_pods_answers_for_nobody() -> None:
    stage = under_analysis()
    stage.scrape("b", rate=50.0)
    stage.episodes("return", GOOD)
    stage.go(seconds=1)
    assert stage.weights == {"b": 10000}
    stage.world.remove("RLPolicy", "a")
    stage.ready("b", 0)
    stage.go(seconds=1)
    assert stage.reason == "StableLost"
    assert "nobody answers" in stage.message


def test_a_warm_version_that_answers_for_a_lost_stable_one_is_kept_beyond_its_time() -> None:
    stage = under_analysis()
    stage.command("promote@1")
    stage.go(seconds=1)
    stage.world.remove("RLPolicy", "b")
    stage.go(seconds=1)
    assert (stage.reason, stage.weights) == ("StableLost", {"a": 10000})
    for _ in range(3):
        assert stage.status.previous is not None
        stage.now = stage.status.previous.until - WARM_LEAD
        stage.go()
        assert stage.weights == {"a": 10000}
        assert "a answers instead" in stage.message
    stage.publish("b")
    stage.go(seconds=1)
    assert stage.weights == {"b": 10000}
    stage.go(hours=1)
    assert stage.status.previous is None


def test_a_lost_stable_version_that_is_made_again_takes_its_share_back() -> None:
    stage = under_analysis()
    stage.world.remove("RLPolicy", "a")
    stage.go(seconds=1)
    assert stage.weights == {"b": 10000}
    stage.publish("a")
    stage.go(seconds=1)
    assert stage.weights == {"a": 5000, "b": 5000}
    assert stage.status.stable is not None
    assert stage.status.stable.lost_at is None
    assert stage.reason == "Analyzing"


def test_nothing_is_withdrawn_to_a_lost_stable_version() -> None:
    stage = under_analysis()
    stage.world.remove("RLPolicy", "a")
    stage.scrape("b", rate=50.0)
    stage.episodes("return", BAD)
    stage.go(seconds=1)
    assert (stage.weights, stage.reason) == ({"b": 10000}, "StableLost")
    stage.wants("c")
    stage.command("abort@1")
    stage.go(seconds=1)
    assert stage.weights == {"b": 10000}
    (command,) = stage.status.commands
    assert "only b answers" in (command.message or "")


def test_a_rollback_stands_still_while_stable_is_lost() -> None:
    stage = under_analysis()
    stage.command("abort@1")
    stage.passes()
    assert stage.weights == {"a": 10000}
    stage.world.remove("RLPolicy", "a")
    stage.go(seconds=40)
    assert stage.weights == {"b": 10000}, "past the deadline too: bad answers are better than none"
    assert stage.status.rollback is not None
    assert stage.status.rollback.endpoints_closed_at is None
    stage.publish("a")
    stage.go(seconds=1)
    assert stage.weights == {"a": 10000}


def test_closed_endpoints_open_again_where_only_the_candidate_answers() -> None:
    stage = under_analysis()
    stage.command("abort@1")
    stage.passes()
    stage.later(seconds=31)
    stage.passes()
    assert stage.status.rollback is not None
    assert stage.status.rollback.endpoints_closed_at is not None, "the Gateway has not answered"
    stage.world.remove("RLPolicy", "a")
    stage.passes()
    assert stage.weights == {"b": 10000}
    assert stage.status.rollback.endpoints_closed_at is None
    stage.publish("a")
    stage.passes()
    assert stage.weights == {"a": 10000}
    assert stage.status.rollback.endpoints_closed_at is not None


def test_a_candidate_whose_stable_version_is_lost_can_be_promoted() -> None:
    stage = under_analysis()
    stage.world.remove("RLPolicy", "a")
    stage.go(seconds=1)
    assert stage.status.weight is not None
    assert stage.status.weight.desired == 50, "nobody but a person passes an analysis by"
    stage.command("promote@1")
    stage.go(seconds=1)
    assert stage.weights == {"b": 10000}
    assert stage.status.phase is RolloutPhase.HEALTHY


def test_a_first_version_beyond_its_limit_is_told_and_keeps_its_traffic() -> None:
    stage = Stage("a", "b")
    stage.passes()
    stage.accept()
    stage.passes()
    stage.scrape("a", rate=0.0, seconds=0)
    stage.passes()
    for _ in range(6):
        stage.later(seconds=1)
        stage.scrape("a", rate=50.0, slow=1.0, seconds=1)
        stage.passes()
    assert stage.weights == {"a": 10000}, "nobody else could answer"
    assert stage.status.stable is None
    assert (stage.reason, stage.told.count("VerdictFailed")) == ("VerdictFailed", 1)
    for _ in range(6):
        stage.later(seconds=1)
        stage.scrape("a", rate=50.0, seconds=1)
        stage.passes()
    assert stage.status.stable is not None


def test_a_first_version_beyond_its_limit_is_not_stable_because_its_users_have_gone() -> None:
    stage = Stage("a")
    stage.passes()
    stage.accept()
    stage.passes()
    stage.scrape("a", rate=0.0, seconds=0)
    stage.passes()
    stage.later(seconds=1)
    stage.scrape("a", rate=50.0, slow=1.0, seconds=1)
    stage.passes()
    stage.later(minutes=2)
    stage.scrape("a", rate=0.0, seconds=120)
    stage.passes()
    assert stage.status.stable is None
    assert "waiting for a look at latency" in stage.message


def test_a_breach_at_the_end_of_the_bake_counts_though_the_requests_stop() -> None:
    stage = under_analysis()
    stage.scrape("b", rate=50.0)
    stage.episodes("return", GOOD)
    stage.go(seconds=1)
    stage.later(seconds=57)
    stage.scrape("b", rate=50.0)
    stage.passes()
    stage.later(seconds=2)
    stage.scrape("b", rate=50.0, slow=1.0, seconds=1)
    stage.passes()
    stage.later(seconds=120)
    stage.scrape("b", rate=0.0, seconds=120)
    stage.passes()
    assert stage.status.phase is RolloutPhase.BAKING
    assert "another look at latency" in stage.message
    stage.later(seconds=5)
    stage.scrape("b", rate=50.0, seconds=5)
    stage.passes()
    assert stage.status.phase is RolloutPhase.HEALTHY


def test_a_warm_version_that_was_taken_back_gets_no_episode_again() -> None:
    stage = under_analysis()
    stage.command("promote@1")
    stage.go(seconds=1)
    stage.wants("a")
    stage.passes()
    assert stage.weights == {"a": 10000}, "going back to the warm version is under way"
    stage.command("abort@2")
    stage.go(seconds=1)
    stage.later(seconds=2)
    stage.scrape("a", rate=0.0)
    stage.passes()
    assert stage.status.phase is RolloutPhase.ROLLED_BACK
    assert stage.status.previous is None
    assert stage.pinned == {"a": "b", "b": "b"}


def test_a_poller_that_cannot_answer_does_not_outlast_the_deadline() -> None:
    stage = under_analysis()
    stage.command("abort@1")
    stage.go(seconds=1)
    stage.scrape("b", rate=None)
    stage.go(seconds=29)
    assert stage.status.rollback is not None
    assert stage.status.rollback.endpoints_closed_at is None
    stage.go(seconds=2)
    assert stage.status.rollback.endpoints_closed_at is not None
    stage.world.put({"kind": "Service", "metadata": {"name": "b"}, "spec": {"selector": {"belay.dev/closed": "true"}}})
    stage.passes()
    assert stage.status.phase is RolloutPhase.ROLLED_BACK


def test_a_command_of_git_is_not_carried_out_again_however_many_came_between() -> None:
    """Each time somebody annotates another command, GitOps puts the one of Git back."""
    stage = under_analysis()
    for number in range(25):
        stage.command("abort@git")
        stage.passes()
        stage.command(f"nonsense@{number}")
        stage.passes()
    assert stage.told.count("CommandExecuted") == 1
    assert stage.told.count("CommandRefused") == 25, "the nonsense, each once; the abort never again"
    assert len(stage.status.commands) == 10


def test_endpoints_stay_closed_until_the_gateway_has_accepted_the_route() -> None:
    """Else the Gateway, which is away, would send requests to the pods of a version that was taken back."""
    stage = under_analysis()
    stage.command("abort@1")
    stage.passes()
    stage.later(seconds=31)
    stage.passes()
    stage.world.put({"kind": "Service", "metadata": {"name": "b"}, "spec": {"selector": {"belay.dev/closed": "true"}}})
    stage.passes()
    rollback = stage.status.rollback
    assert stage.status.phase is RolloutPhase.ROLLED_BACK
    assert rollback is not None
    assert rollback.drained_at is not None
    assert rollback.weight_zero_at is None
    stage.go(seconds=60)
    assert stage.status.rollback is not None
    assert stage.status.rollback.weight_zero_at == stage.now


def test_pods_that_are_gone_for_a_moment_end_no_rollback() -> None:
    stage = under_analysis()
    stage.command("abort@1")
    stage.passes()
    stage.world.remove("Pod", "b-0")
    stage.passes()
    assert stage.status.phase is RolloutPhase.ROLLING_BACK, "they may come back, and the Gateway has not said a word"
    stage.accept()
    stage.passes()
    assert stage.status.phase is RolloutPhase.ROLLED_BACK


def test_running_numbers_are_written_every_few_seconds_and_changes_at_once() -> None:
    stage = under_analysis()
    stage.episodes("return", {"a": (40, 480.0, 90.0), "b": (40, 470.0, 90.0)})
    stage.scrape("b", rate=50.0)
    stage.passes()
    before = len(stage.world.log)
    for i in range(1, 41):
        stage.later(milliseconds=100)
        stage.episodes("return", {"a": (40 + i, 480.0, 90.0), "b": (40 + i, 470.0, 90.0)})
        stage.passes()
    assert len(stage.world.log) == before
    stage.later(seconds=2)
    stage.episodes("return", {"a": (90, 480.0, 90.0), "b": (90, 470.0, 90.0)})
    stage.passes()
    assert len(stage.world.log) == before + 1


def test_an_edit_of_steps_to_come_holds_where_the_rollout_stands() -> None:
    stage = under_analysis()
    passed = {"setWeight": 10}, {"pause": {"duration": "30s"}}, {"setWeight": 50}
    stage.edits_steps(*passed, {"pause": {"duration": "9s"}})
    stage.go(seconds=1)
    assert stage.status.step is not None
    assert (stage.status.step.index, stage.status.step.kind) == (3, "pause")
    assert stage.weights == {"a": 5000, "b": 5000}
    assert "StepsChanged" not in stage.told


def test_steps_taken_out_behind_the_candidate_do_not_carry_it_past_the_analysis() -> None:
    stage = under_analysis()
    stage.edits_steps({"setWeight": 20}, {"analyze": {}})
    stage.go(seconds=1)
    assert stage.status.step is not None
    assert (stage.status.step.index, stage.status.step.kind) == (1, "analyze")
    assert stage.weights == {"a": 8000, "b": 2000}
    assert stage.told.count("StepsChanged") == 1

    stage.command("promote@1")
    stage.passes()
    stage.edits_steps({"setWeight": 1})
    stage.go(seconds=1)
    assert stage.weights == {"b": 10000}, "who promotes is past all steps"


def test_a_spec_that_would_wait_for_ever_is_refused_and_traffic_stays() -> None:
    stage = healthy("b")
    stage.world.patch("RLRollout", "cartpole", {"spec": {"steps": [{"analyze": {}}]}})
    stage.wants("b")
    stage.go(seconds=1)
    assert stage.reason == "InvalidSpec"
    assert stage.weights == {"a": 10000}
    assert stage.status.candidate is None


def test_a_spec_spoilt_during_a_trial_stops_the_steps_and_not_the_judging() -> None:
    stage = under_analysis()
    stage.edits_steps({"analyze": {}})
    stage.scrape("b", rate=50.0)
    stage.episodes("return", GOOD)
    stage.go(seconds=1)
    assert stage.reason == "InvalidSpec"
    assert [v.verdict for v in stage.status.verdicts] == ["Pass", "Pass"]
    assert stage.weights == {"a": 5000, "b": 5000}, "no step goes on"
    stage.episodes("return", BAD)
    stage.passes()
    assert stage.status.rollback is not None
    assert stage.status.rollback.metric == "return"
    assert stage.weights == {"a": 10000}


@pytest.mark.parametrize("spoil", [{"steps": [{"analyze": {}}]}, {"analysis": {"window": "10ms"}}])
@pytest.mark.parametrize(("command", "served"), [("abort@1", "a"), ("promote@1", "b")])
def test_a_command_is_carried_out_though_the_spec_is_spoilt(spoil: dict[str, Any], command: str, served: str) -> None:
    stage = under_analysis()
    stage.world.patch("RLRollout", "cartpole", {"spec": spoil})
    stage.go(seconds=1)
    ready = next(c for c in stage.status.conditions if c.type == "Ready")
    assert (ready.reason, "abort takes it back" in ready.message) == ("InvalidSpec", True)
    stage.command(command)
    stage.go(seconds=1)
    assert stage.weights == {served: 10000}
    assert [(c.action, c.message) for c in stage.status.commands] == [(command.partition("@")[0], None)]


def test_a_spec_spoilt_while_baking_is_not_promoted_by_time() -> None:
    stage = under_analysis()
    stage.scrape("b", rate=50.0)
    stage.episodes("return", GOOD)
    stage.go(seconds=1)
    assert stage.status.phase is RolloutPhase.BAKING
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": {"window": "10ms"}}})
    stage.go(seconds=61)
    assert stage.status.phase is RolloutPhase.BAKING
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": {"window": "10s"}}})
    stage.scrape("b", rate=50.0)
    stage.go(seconds=1)
    assert stage.status.phase is RolloutPhase.HEALTHY


def test_a_spec_spoilt_during_a_rollback_does_not_hold_it_up() -> None:
    stage = under_analysis()
    stage.publish("c")
    stage.command("abort@1")
    stage.go(seconds=1)
    stage.edits_steps({"analyze": {}})
    stage.wants("c")
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go(seconds=1)
    assert stage.status.rollback is not None
    assert stage.status.rollback.drained_at is not None
    assert stage.status.candidate is None, "c waits for a spec that can be carried out"
    assert stage.weights == {"a": 10000}
    assert stage.reason == "InvalidSpec"


def test_time_is_asked_for_and_not_polled() -> None:
    stage = under_analysis()
    plan = stage.world.plan(KIND, KEY, stage.now)
    assert plan.requeue_after is None or plan.requeue_after >= timedelta(seconds=1)


def limits_only(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"steps": list(steps), "analysis": ANALYSIS | {"metrics": [ANALYSIS["metrics"][1]]}}


@pytest.mark.parametrize("metrics", [ANALYSIS["metrics"][:1], ANALYSIS["metrics"][1:], ANALYSIS["metrics"]])
def test_each_analysis_asks_for_evidence_of_its_own_weight(metrics: list[Any]) -> None:
    steps = [{"setWeight": 5}, {"analyze": {}}, {"setWeight": 50}, {"analyze": {}}]
    stage = healthy("b", steps=steps, analysis=ANALYSIS | {"metrics": metrics})
    stage.wants("b")
    stage.go(seconds=1)

    def measure() -> None:
        stage.later(seconds=1)
        stage.scrape("b", rate=50.0)
        stage.episodes("return", GOOD)

    measure()
    stage.go()
    assert stage.weights == {"a": 5000, "b": 5000}
    stage.go(seconds=1)
    assert stage.status.step is not None
    assert (stage.status.step.index, stage.reason) == (3, "Analyzing"), "what passed at 5 % says nothing of 50 %"
    stage.later(seconds=1)
    stage.scrape("b", rate=50.0, weight_seen=False)
    stage.go()
    assert stage.status.step.index == 3, "nor does what was counted before the pods were seen under it"
    measure()
    stage.go()
    assert stage.weights == {"b": 10000}


def test_an_analysis_that_an_earlier_version_of_belay_began_comes_to_its_end() -> None:
    stage = under_analysis()
    written = stage.world.objects["RLRollout", "default", "cartpole"]["status"]
    del written["weight"]["since"], written["weightChanges"]
    stage.go(seconds=1)
    stage.scrape("b", rate=50.0)
    stage.episodes("return", GOOD)
    stage.go(seconds=1)
    assert stage.status.phase is RolloutPhase.BAKING


def test_a_fail_rests_on_everything_measured_and_not_only_at_the_present_weight() -> None:
    stage = healthy("b", steps=[{"setWeight": 5}, {"pause": {"duration": "30s"}}, {"setWeight": 50}, {"analyze": {}}])
    stage.wants("b")
    stage.go(seconds=1)
    stage.episodes("return", {"a": (60, 480.0, 40.0), "b": (50, 360.0, 40.0)})
    stage.go(seconds=31)
    assert stage.status.rollback is None
    first = stage.world.facts["statistics", "default", "cartpole"].outcomes["return"].windows
    stage.episodes("return", {"a": (60, 480.0, 40.0), "b": (50, 360.0, 40.0)})
    both = stage.world.facts["statistics", "default", "cartpole"].outcomes["return"]
    for early, late in zip(first.versions, both.windows.versions, strict=True):
        late.windows[:0] = early.windows
    stage.passes()
    assert stage.status.rollback is not None
    assert "over 100 episodes" in stage.status.rollback.message


def test_a_metric_that_is_redefined_under_its_name_begins_anew() -> None:
    stage = healthy("b", steps=[{"setWeight": 10}, {"analyze": {}}], analysis=ANALYSIS)
    stage.wants("b")
    stage.go(seconds=1)
    stage.later(seconds=1)
    stage.episodes("return", GOOD)
    stage.passes()
    assert [v.verdict for v in stage.status.verdicts if v.metric == "return"] == ["Pass"]
    redefined = ANALYSIS["metrics"][0] | {"source": {"logbook": {"outcome": "success"}}}
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": {"metrics": [redefined]}}})
    stage.go(seconds=1)
    assert stage.status.verdicts == []
    assert "return (no look yet)" in stage.message


def test_an_answer_for_another_grace_is_no_evidence() -> None:
    stage = under_analysis()
    stage.episodes("return", GOOD)
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": {"grace": "1h"}}})
    stage.scrape("b", rate=50.0)
    stage.go(seconds=1)
    assert "return (no look yet)" in stage.message
    stage.episodes("return", GOOD)
    stage.go(seconds=1)
    assert stage.status.phase is RolloutPhase.BAKING


def test_a_leader_whose_clock_is_behind_judges_at_once() -> None:
    stage = healthy("b", **limits_only({"setWeight": 50}, {"analyze": {}}))
    stage.wants("b")
    stage.go(seconds=1)
    stage.later(minutes=-10)
    for _ in range(4):
        stage.later(seconds=1)
        stage.scrape("b", rate=50.0, slow=1.0, seconds=1)
        stage.passes()
    assert stage.status.rollback is not None
    assert stage.status.rollback.metric == "latency"


def test_a_command_is_another_one_when_its_action_differs() -> None:
    stage = under_analysis()
    stage.command("retry@1")
    stage.passes()
    stage.command("abort@1")
    stage.passes()
    assert stage.status.rollback is not None, "an abort is never dropped in silence"
    assert [(c.action, bool(c.message)) for c in stage.status.commands] == [("retry", True), ("abort", False)]


def test_another_candidate_waits_until_the_gateway_has_let_go_of_the_one_before() -> None:
    """Taking it up would forget that the endpoints of the one before are closed, and open them to the old route."""
    stage = under_analysis()
    stage.publish("c")
    stage.command("abort@1")
    stage.passes()
    stage.later(seconds=31)
    stage.passes()
    stage.world.put({"kind": "Service", "metadata": {"name": "b"}, "spec": {"selector": {"belay.dev/closed": "true"}}})
    stage.passes()
    stage.wants("c")
    stage.passes()
    assert stage.status.candidate is None
    assert stage.status.rollback is not None
    assert stage.status.rollback.endpoints_closed_at is not None
    assert "its endpoints stay closed" in stage.message
    stage.go(seconds=1)
    assert stage.status.candidate is not None
    assert stage.status.candidate.policy == "c"


def test_numbers_held_back_are_written_though_no_further_measurement_comes() -> None:
    stage = under_analysis()
    stage.episodes("return", {"a": (40, 480.0, 90.0), "b": (40, 470.0, 90.0)})
    stage.passes()
    stage.later(seconds=2)
    stage.episodes("return", {"a": (60, 480.0, 90.0), "b": (60, 470.0, 90.0)})
    stage.passes()
    plan = stage.world.plan(KIND, KEY, stage.now)
    assert plan.requeue_after == timedelta(seconds=3), "when they are due, and not every tenth of a second until then"
    stage.later(seconds=3)
    stage.passes()
    verdict = stage.status.verdicts[0]
    assert verdict.candidate is not None
    assert verdict.candidate.episodes == 60
    again = stage.world.plan(KIND, KEY, stage.now).requeue_after
    assert again is None or again > timedelta(minutes=1), "then it is quiet"


def test_an_analysis_with_all_traffic_at_the_candidate_is_refused() -> None:
    stage = healthy("b")
    stage.edits_steps({"setWeight": 100}, {"analyze": {}})
    stage.wants("b")
    stage.go(seconds=1)
    assert (stage.reason, stage.weights) == ("InvalidSpec", {"a": 10000})
    assert "Put it before setWeight 100" in stage.message
    held_to_limits = healthy("b", **limits_only({"setWeight": 100}, {"analyze": {}}))
    held_to_limits.wants("b")
    held_to_limits.go(seconds=1)
    assert held_to_limits.weights == {"b": 10000}, "a limit needs no stable version"


@pytest.mark.parametrize(
    "spoil",
    [
        {"steps": [{"setWeight": 50}, {"pause": {"duration": "99999d"}}]},
        {"steps": [{"setWeight": 50}, {"shadow": {"percent": 10}}]},
        {"replicas": "many", "windows": [{"days": "Mon"}]},
        {"rollback": {"deadline": "99999d"}, "bake": {"duration": "99999d"}},
        {"analysis": {"grace": "99999d", "onNoData": {"after": "99999d", "action": "Hold"}}},
        {"analysis": {"metrics": [*ANALYSIS["metrics"], {"name": "new", "source": {"prometheus": {}}, "limit": {}}]}},
        {"traffic": {"gatewayAPI": {"parentRefs": [{"name": "gw"}], "sessions": "sticky"}}},
    ],
    ids="-".join,
)
def test_what_keeps_traffic_safe_depends_on_no_broken_part_of_the_spec(spoil: dict[str, Any]) -> None:
    stage = under_analysis()
    stage.world.patch("RLRollout", "cartpole", {"spec": spoil})
    stage.world.objects.pop(("HTTPRoute", "default", "cartpole"))
    stage.go(seconds=1)
    assert stage.reason == "InvalidSpec"
    assert stage.weights == {"a": 5000, "b": 5000}, "the route is written again, and no step goes on"
    aborted = copy.deepcopy(stage)
    stage.scrape("b", rate=50.0, slow=1.0, seconds=1)
    for _ in range(3):
        stage.later(seconds=1)
        stage.scrape("b", rate=50.0, slow=1.0, seconds=1)
        stage.passes()
    assert stage.weights == {"a": 10000}, "it is judged"
    aborted.command("abort@1")
    aborted.go(seconds=1)
    assert aborted.weights == {"a": 10000}, "a command is carried out"
    aborted.later(seconds=2)
    aborted.scrape("b", rate=0.0)
    aborted.go(seconds=1)
    assert aborted.status.rollback is not None
    assert aborted.status.rollback.drained_at is not None, "and a rollback ends"


def test_the_word_for_a_rollout_says_when_it_is_not_well() -> None:
    stage = healthy()
    stage.ready("a", 0)
    stage.go(seconds=1)
    assert (stage.status.phase, stage.reason) == (RolloutPhase.DEGRADED, "PolicyNotReady")


@pytest.mark.parametrize("ready", [0, 1], ids=["before b is ready", "after b is ready"])
def test_one_commit_that_names_b_and_removes_a_costs_no_step_and_no_request(ready: int) -> None:
    stage = healthy()
    stage.publish("b", ready=ready)
    stage.wants("b")
    if ready:
        stage.go(seconds=1)
    stage.deletes("a")
    stage.go(seconds=1)
    stage.ready("b", 1)
    stage.go(seconds=1)
    assert stage.weights == {"a": 9000, "b": 1000}, "a serves on, and b takes its steps"
    stage.go(seconds=31)
    stage.later(seconds=1)
    stage.scrape("b", rate=50.0)
    stage.episodes("return", GOOD)
    stage.go(seconds=1)
    stage.scrape("b", rate=50.0)
    stage.go(seconds=61)
    assert stage.status.stable is not None
    assert stage.status.stable.policy == "b"
    assert ("Deployment", "default", "a") in stage.world.objects, "kept warm"
    stage.go(hours=1)
    stage.passes()
    assert not {key for key in stage.world.objects if key[0] in ("Deployment", "Service") and key[2] == "a"}


def test_a_stable_version_whose_policy_is_gone_serves_on_whatever_becomes_of_the_next() -> None:
    stage = healthy()
    stage.wants("b")  # which does not exist
    stage.deletes("a")
    stage.go(seconds=1)
    assert (stage.reason, stage.weights) == ("PolicyNotFound", {"a": 10000})
    assert "a serves all traffic" in stage.message
    stage.publish("b")
    stage.go(seconds=1)
    stage.command("abort@1")
    stage.go(seconds=1)
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go(seconds=1)
    assert (stage.status.phase, stage.weights) == (RolloutPhase.ROLLED_BACK, {"a": 10000})
    assert ("Deployment", "default", "a") in stage.world.objects


def test_a_stable_version_whose_policy_is_deleted_at_rest_is_told() -> None:
    stage = healthy()
    stage.deletes("a")
    stage.go(seconds=1)
    assert (stage.reason, stage.status.phase, stage.weights) == ("PolicyNotFound", RolloutPhase.DEGRADED, {"a": 10000})
    assert "its pods are kept" in stage.message
    stage.publish("a")
    stage.world.objects.pop(("Deployment", "default", "a"))
    stage.go(seconds=1)
    assert stage.reason == "Healthy"
