"""An experiment from the first pass to the last: who gets what when, who wins, what is left of the others.

What holds in any order of events is in `test_properties`; how often an arm wins that should not, in
`analysis/test_experiment`.
"""

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.rollout.model.acts import SUNDAYS
from tests.unit.rollout.stage import ANALYSIS, Stage, digest
from tests.unit.rollout.test_anchor import asks_for
from tests.windows import alike

from belay_api.reasons import Verdict
from belay_api.rollout.experiment import ArmOutcome, ArmStatus, ExperimentStatus
from belay_api.rollout.status import RolloutPhase
from belay_api.wire import VersionStatistics
from belay_operator.rollout.analysis.queries import outcome_queries
from belay_operator.rollout.experiment import starts_of
from belay_operator.rollout.sources import prometheus
from belay_operator.rollout.sources.active import trial_of
from belay_operator.rollout.sources.logbook import polls_of
from belay_operator.rollout.sources.prometheus import askings_of
from belay_operator.rollout.sources.serving import demands_of, wanted

RETURN: dict[str, Any] = {**ANALYSIS, "metrics": ANALYSIS["metrics"][:1]}
STEPS = [{"setWeight": 50}, {"pause": {"duration": "9h"}}]
EQUAL, BETTER, BEST, WORSE = (400, 400.0, 40.0), (400, 480.0, 40.0), (400, 490.0, 40.0), (400, 250.0, 40.0)


def competing(*arms: str, analysis: dict[str, Any] = RETURN, **said: Any) -> Stage:
    """`a` is stable, and the arms have their shares."""
    stage = Stage("a", "b", "c", "d", "e", steps=STEPS, analysis=analysis).go()
    stage.wants_winner_of(*arms, **said)
    return stage.go(seconds=1)


def experiment(stage: Stage) -> ExperimentStatus:
    assert stage.status.experiment is not None
    return stage.status.experiment


def arm(stage: Stage, policy: str) -> ArmStatus:
    return next(one for one in experiment(stage).arms if one.policy == policy)


def candidate(stage: Stage) -> str | None:
    return stage.status.candidate and stage.status.candidate.policy


def test_arms_get_their_shares_together_and_their_episodes_stay() -> None:
    stage = Stage("a", "b", "c", steps=STEPS, analysis=RETURN).go()
    stage.ready("c", 0)
    stage.wants_winner_of("b:20", "c:5")
    stage.go(seconds=1)
    assert asks_for(stage, "b")
    assert stage.weights == {"a": 10000}, "the shares are fixed, so nobody begins alone"
    assert stage.message == "waiting for 1 ready replicas of c; a serves all traffic"
    stage.ready("c", 1)
    stage.go(seconds=1)
    assert stage.weights == {"a": 7500, "b": 2000, "c": 500}
    assert stage.pinned == {"a": "a", "b": "b", "c": "c"}
    (change,) = experiment(stage).changes
    assert (change.at, change.arms) == (experiment(stage).started_at, ["b", "c"])
    assert (stage.reason, stage.message) == ("Experimenting", "b, c compete with a by return")
    assert (stage.status.phase, candidate(stage)) == (RolloutPhase.PROGRESSING, None)


def test_the_best_of_those_that_are_better_is_promoted_by_the_ordinary_steps() -> None:
    stage = competing("b", "c", "d")
    stage.go(minutes=30)
    stage.episodes("return", {"a": EQUAL, "b": BETTER, "c": BEST, "d": EQUAL})
    stage.go(seconds=1)
    assert arm(stage, "b").better
    assert arm(stage, "c").better
    assert not arm(stage, "d").better
    assert experiment(stage).winner is None, "nobody wins before `duration` is over"
    stage.go(minutes=30)
    assert (experiment(stage).winner, experiment(stage).message) == ("c", "c has won: it is better than a by return")
    assert [one.outcome for one in experiment(stage).arms] == ["Better", "Winner", "Undecided"]
    assert candidate(stage) == "c"
    assert stage.weights == {"a": 5000, "c": 5000}, "its steps begin at once"
    assert stage.pinned == {"a": "a", "b": "b", "c": "c", "d": "d"}, "episodes under way have grace to end"
    assert asks_for(stage, "c")
    stage.go(seconds=2)
    assert stage.pinned == {"a": "a", "b": "a", "c": "c", "d": "a"}
    stage.go(seconds=6)
    assert stage.status.arms == []
    assert not asks_for(stage, "b")
    assert stage.pinned == {"a": "a", "b": "a", "c": "c", "d": "a"}
    stage.command("promote@1")
    stage.go(seconds=1).go(seconds=1)
    assert stage.status.stable is not None
    assert (stage.status.stable.policy, stage.reason) == ("c", "Healthy")
    assert experiment(stage).arms[1].verdicts[0].difference == pytest.approx(90)
    stage.go(hours=30)
    assert (stage.reason, stage.status.arms) == ("Healthy", []), "it does not begin again"


def test_the_winner_keeps_its_share_until_its_first_weight_and_is_judged_anew_at_it() -> None:
    stage = competing("b:20", "c")
    stage.edits_steps({"approve": {}}, {"setWeight": 50}, {"analyze": {}})
    stage.episodes("return", {"a": EQUAL, "b": BETTER, "c": EQUAL})
    stage.go(hours=1)
    assert (candidate(stage), stage.weights) == ("b", {"a": 8000, "b": 2000})
    assert stage.status.analysis_started_at == stage.now, "what it won by counts no more"
    assert stage.status.verdicts == []
    assert [(one.digest, one.count) for one in stage.status.trials][-1] == (digest("b"), 2)
    stage.episodes("return", {"a": EQUAL, "b": (900, 250.0, 40.0)})
    stage.passes()
    assert stage.weights == {"a": 10000}
    assert stage.status.rollback is not None
    assert stage.status.rollback.metric == "return"


def test_a_winner_that_waits_for_its_pods_tells_who_serves_the_rest() -> None:
    stage = Stage("a", "c", steps=STEPS, analysis=RETURN).go()
    stage.publish("b", ready=2)
    stage.world.patch("RLRollout", "cartpole", {"spec": {"replicas": 2}})
    stage.go(seconds=1)
    stage.wants_winner_of("b")
    stage.go(seconds=1)
    stage.episodes("return", {"a": EQUAL, "b": BETTER})
    stage.passes()
    stage.ready("b", 1)
    stage.go(hours=1)
    assert (candidate(stage), stage.weights) == ("b", {"a": 9000, "b": 1000})
    assert stage.message == "waiting for 2 ready replicas of b; a serves the rest of the traffic"


@pytest.mark.parametrize(
    "steps",
    [
        [{"shadow": {"duration": "1m"}}, {"setWeight": 50}],
        [
            {"match": {"headers": [{"name": "x-user-group", "value": "internal"}], "weight": 50}},
            {"pause": {"duration": "1m"}},
        ],
    ],
)
def test_steps_that_begin_off_the_route_begin_when_the_winners_episodes_have_ended(steps: list[Any]) -> None:
    stage = competing("b", "c")
    stage.edits_steps(*steps)
    stage.episodes("return", {"a": EQUAL, "b": BETTER, "c": EQUAL})
    stage.go(hours=1)
    assert (experiment(stage).winner, candidate(stage), stage.weights) == ("b", None, {"a": 10000})
    assert stage.message == "waiting until the episodes have ended that b, c began in the experiment"
    assert stage.pinned == {"a": "a", "b": "b", "c": "c"}
    stage.go(seconds=2)
    assert (candidate(stage), stage.weights) == ("b", {"a": 10000})


def test_a_winner_whose_way_is_barred_serves_nobody_while_it_waits() -> None:
    stage = competing("b", "c")
    stage.episodes("return", {"a": EQUAL, "b": BETTER, "c": EQUAL})
    stage.passes()
    closed = {"days": ["Sun"], "from": "00:00", "to": "24:00", "timeZone": "Europe/Berlin"}
    stage.world.patch("RLRollout", "cartpole", {"spec": {"windows": [closed]}})
    stage.go(hours=1)
    assert (experiment(stage).winner, candidate(stage), stage.weights) == ("b", None, {"a": 10000})
    assert stage.reason == "OutsideWindows"


def test_a_winner_of_a_group_asks_for_its_place_once_the_episodes_of_the_arms_have_ended() -> None:
    stage = competing("b", "c")
    stage.world.patch("RLRollout", "cartpole", {"spec": {"group": {"name": "night"}}})
    stage.episodes("return", {"a": EQUAL, "b": BETTER, "c": EQUAL})
    stage.go(hours=1)
    assert (experiment(stage).winner, candidate(stage), stage.weights) == ("b", None, {"a": 10000})
    assert stage.status.group is None, "who waits for something else is in nobody's way"
    stage.go(seconds=10)
    assert candidate(stage) == "b"
    assert stage.status.group is not None


def test_the_matched_of_a_step_before_meet_the_arms_as_all_others_do() -> None:
    """A segment's rules stay on the route for good: without a share there, its users would count for stable alone."""
    internal = [{"name": "x-user-group", "value": "internal"}]
    stage = Stage("a", "b", "c", steps=[{"match": {"headers": internal, "weight": 50}}], analysis=RETURN).go()
    stage.wants("c")
    stage.passes()
    stage.go(seconds=1)
    stage.command("abort@1")
    stage.go(seconds=1)
    for _ in range(2):
        stage.later(seconds=2)
        stage.scrape("c", rate=0.0)
    stage.wants_winner_of("b")
    stage.go(seconds=1)
    assert stage.segment == stage.weights == {"a": 9000, "b": 1000}
    assert stage.compared == ["everybody", "segment"]


def test_one_experiment_after_another_needs_no_more_rules_than_a_route_may_have() -> None:
    """Sixteen: with a segment two for each version, and two weighted ones. Arms that keep their pods need none."""
    stage = Stage(*"abcdefghi", steps=STEPS, analysis=RETURN).go()
    for names in ("bcde", "fghi", "bdfh", "cegi"):
        stage.wants_winner_of(*names, keepLosers="9h")
        stage.go(seconds=1)
        assert stage.weights == {"a": 6000, **dict.fromkeys(names, 1000)} or stage.weights == {"a": 10000}
        stage.go(seconds=3).go(seconds=1)
        assert stage.weights == {"a": 6000, **dict.fromkeys(names, 1000)}
        assert {name: (stage.pinned or {})[name] for name in names} == dict(zip(names, names, strict=True))
        assert len(stage.status.pinned) <= 7
    assert len(stage.status.arms) == 8


def test_an_arm_that_fails_is_off_at_once_rejected_and_the_others_go_on() -> None:
    stage = competing("b", "c", keepLosers="30m")
    stage.episodes("return", {"a": EQUAL, "b": WORSE, "c": EQUAL})
    stage.passes()
    assert stage.weights == {"a": 9000, "c": 1000}
    assert stage.pinned == {"a": "a", "b": "a", "c": "c"}, "its episodes under way leave it as well"
    assert arm(stage, "b").outcome is ArmOutcome.WORSE
    assert arm(stage, "b").message.startswith("return: worse than stable: mean 250 over 400 episodes")
    assert stage.status.rejected_digests == [digest("b")]
    assert stage.told[-1] == "ArmWithdrawn"
    stage.go(seconds=1).go(minutes=29)
    assert asks_for(stage, "b"), "kept for people to look at"
    assert len(experiment(stage).changes) == 2, "windows are cut where shares change"
    stage.go(minutes=2)
    assert not asks_for(stage, "b")
    stage.episodes("return", {"a": EQUAL, "b": WORSE, "c": BETTER})
    stage.go(minutes=30)
    assert experiment(stage).winner == "c"


def test_without_a_better_arm_nobody_wins_and_stable_stays() -> None:
    stage = competing("b", "c")
    stage.episodes("return", {"a": EQUAL, "b": EQUAL, "c": (400, 397.0, 40.0)})
    stage.go(hours=23)
    assert stage.weights == {"a": 8000, "b": 1000, "c": 1000}
    stage.go(hours=2)
    assert experiment(stage).message == "no arm was shown to be better than a by return in 1d"
    assert (stage.weights, stage.reason, stage.told[-1]) == ({"a": 10000}, "Healthy", "ExperimentEnded")
    stage.go(seconds=10)
    assert stage.status.arms == []


def test_one_that_is_better_and_breaks_a_limit_does_not_win() -> None:
    stage = competing("b", "c", analysis=ANALYSIS)
    for policy in "bc":
        stage.scrape(policy, rate=0.0, seconds=0)
    stage.passes()
    stage.scrape("b", rate=40.0, slow=1.0)
    stage.scrape("c", rate=40.0)
    stage.episodes("return", {"a": EQUAL, "b": BETTER, "c": EQUAL})
    stage.passes()
    assert arm(stage, "b").outcome is ArmOutcome.WORSE
    assert arm(stage, "b").message.startswith("latency: ")
    assert stage.weights == {"a": 9000, "c": 1000}
    passed = {one.metric: one.verdict for one in arm(stage, "c").verdicts}
    assert passed == {"return": Verdict.PASS, "latency": Verdict.PASS}


def test_one_that_is_better_wins_nothing_before_every_metric_has_passed() -> None:
    stage = competing("b", analysis=ANALYSIS)
    stage.scrape("b", rate=0.0, seconds=0)
    stage.episodes("return", {"a": EQUAL, "b": BETTER})
    stage.go(hours=2)
    assert arm(stage, "b").better
    assert experiment(stage).winner is None
    stage.scrape("b", rate=40.0)
    stage.passes()
    assert experiment(stage).winner == "b"


def test_hold_tells_who_has_won_and_leaves_the_rest_to_people() -> None:
    stage = competing("b", onWinner="Hold")
    stage.episodes("return", {"a": EQUAL, "b": BETTER})
    stage.go(hours=2)
    assert experiment(stage).winner == "b"
    assert stage.reason == "Holding"
    assert stage.message == (
        "b has won: it is better than a by return. a serves on: name b in spec.policy.name, or write onWinner: Promote"
    )
    stage.go(hours=1)
    assert (stage.weights, candidate(stage)) == ({"a": 10000}, None)
    stage.wants_winner_of("b", onWinner="Promote")
    stage.go(seconds=1)
    assert candidate(stage) == "b", "who follows is no part of what was found"


def test_an_arm_without_pods_gets_nothing_until_it_has_them_again() -> None:
    stage = competing("b", "c")
    stage.ready("b", 0)
    stage.go(seconds=1)
    assert stage.weights == {"a": 9000, "c": 1000}
    assert stage.message == "b, c compete with a by return; off the route until their pods are ready: b"
    stage.ready("b", 1)
    stage.go(seconds=1)
    assert stage.weights == {"a": 8000, "b": 1000, "c": 1000}
    assert len(experiment(stage).changes) == 3
    stage.deletes("b")
    stage.world.objects.pop(("Deployment", "default", "b"))
    stage.go(seconds=1)
    assert stage.weights == {"a": 9000, "c": 1000}
    assert (arm(stage, "b").outcome, arm(stage, "b").message) == ("Unfit", "its RLPolicy was deleted")
    assert stage.status.rejected_digests == [], "that says nothing against it"


def test_that_nobody_looks_after_stable_any_more_is_told_beside_it() -> None:
    stage = competing("b", "c")
    stage.deletes("a")
    stage.go(seconds=2)
    assert stage.weights == {"a": 8000, "b": 1000, "c": 1000}
    assert stage.message == (
        "b, c compete with a by return. RLPolicy a was deleted: its pods are kept, but nobody scales or mends them. "
        "Create it again as it was"
    )
    stage.publish("a")
    stage.go(seconds=2)
    assert stage.message == "b, c compete with a by return"


def test_abort_ends_it_and_so_does_another_wish() -> None:
    stage = competing("b", "c")
    stage.command("abort@1")
    stage.go(seconds=1)
    assert stage.weights == {"a": 10000}
    assert experiment(stage).message == "a person ended the experiment by abort@1: no arm has won"
    assert stage.reason == "Healthy"

    stage = competing("b", "c")
    stage.wants("b")
    stage.passes()
    assert stage.weights == {"a": 10000}, "its episodes as an arm end first"
    assert stage.message == "waiting until the episodes have ended that b, c began in the experiment"
    stage.accept()
    stage.go(seconds=3)
    assert (candidate(stage), stage.weights) == ("b", {"a": 5000, "b": 5000})


def test_a_broken_part_of_the_spec_neither_ends_it_nor_stops_what_keeps_traffic_safe() -> None:
    stage = competing("b", "c")
    held = stage.world.objects["RLRollout", "default", "cartpole"]
    held["spec"]["policy"]["winnerOf"]["duration"] = "300y"
    stage.go(seconds=1)
    assert (stage.reason, stage.weights) == ("InvalidSpec", {"a": 8000, "b": 1000, "c": 1000})
    stage.episodes("return", {"a": EQUAL, "b": WORSE, "c": BETTER})
    stage.go(hours=30)
    assert stage.weights == {"a": 9000, "c": 1000}, "who fails is off, and nobody wins meanwhile"
    stage.command("abort@1")
    stage.go(seconds=1)
    assert stage.weights == {"a": 10000}


def test_an_edit_of_what_arms_are_judged_by_is_another_test_with_less_of_the_error() -> None:
    stage = competing("b", "c")
    first = experiment(stage).started_at
    stage.episodes("return", {"a": EQUAL, "b": BETTER, "c": EQUAL})
    stage.passes()
    assert arm(stage, "b").better
    stage.edits_metrics({**RETURN["metrics"][0], "compare": {"maxRegression": "5%"}})
    stage.go(seconds=1)
    assert experiment(stage).started_at != first
    assert (arm(stage, "b").verdicts, arm(stage, "b").better) == ([], None), "nor does what was read before count"
    assert [(one.digest, one.count) for one in stage.status.trials] == [(digest("b"), 2), (digest("c"), 2)]


def test_other_arms_are_another_experiment_which_begins_when_those_before_are_off() -> None:
    stage = competing("b", "c", keepLosers="2h")
    stage.wants_winner_of("d", "c:20")
    stage.passes()
    assert stage.weights == {"a": 10000}
    stage.go(seconds=1).go(seconds=1)
    assert stage.weights == {"a": 7000, "c": 2000, "d": 1000}
    assert asks_for(stage, "b"), "kept for people to look at"
    assert [one.policy for one in experiment(stage).arms] == ["d", "c"]


def test_the_way_back_from_a_degraded_version_ends_it() -> None:
    stage = Stage("a", "b", "c", steps=[], analysis=RETURN, bake={"duration": "1s", "keepWarm": "9h"}).go()
    stage.wants("b")
    stage.passes()
    stage.command("promote@0")
    stage.go(seconds=1).go(seconds=1)
    assert stage.status.stable is not None
    assert stage.status.stable.policy == "b"
    stage.wants_winner_of("c")
    stage.go(seconds=1)
    assert stage.weights == {"b": 9000, "c": 1000}
    stage.command("undo@1")
    stage.passes()
    assert stage.weights == {"a": 10000}
    assert experiment(stage).message == "another version is on trial, so the experiment ended without a winner"


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        (("b", "z"), "there is no RLPolicy z in this namespace; a serves all traffic"),
        (("b", "a"), "a has the bytes of a, and nobody could be better than itself: remove it"),
    ],
)
def test_arms_that_cannot_compete_are_told(arms: tuple[str, ...], words: str) -> None:
    stage = competing(*arms)
    assert words in stage.message
    assert (stage.weights, stage.status.experiment) == ({"a": 10000}, None)


def test_without_a_stable_version_there_is_nothing_to_compare_with() -> None:
    stage = Stage("a", "b", analysis=RETURN)
    stage.wants_winner_of("b")
    stage.go()
    assert "name a first one in spec.policy.name" in stage.message
    assert stage.weights is None


def test_a_rejected_arm_competes_again_after_retry_only() -> None:
    stage = competing("b", "c")
    stage.episodes("return", {"a": EQUAL, "b": WORSE, "c": EQUAL})
    stage.passes()
    stage.wants_winner_of("b", "d")
    stage.go(seconds=1).go(seconds=1)
    assert stage.reason == "Rejected"
    assert stage.weights == {"a": 10000}
    stage.command("retry@1")
    stage.go(seconds=1)
    assert stage.weights == {"a": 8000, "b": 1000, "d": 1000}
    assert stage.status.rejected_digests == []


def test_an_arm_that_failed_does_not_come_back_into_its_experiment() -> None:
    stage = competing("b", "c")
    stage.episodes("return", {"a": EQUAL, "b": WORSE, "c": EQUAL})
    stage.passes()
    stage.command("retry@1")
    stage.passes()
    assert (stage.status.commands[-1].message or "").startswith("b failed in the experiment that is on record")


def test_an_arm_that_lost_its_pods_comes_back_while_windows_are_closed() -> None:
    stage = competing("b", "c")
    stage.edits(windows=[SUNDAYS])
    stage.ready("b", 0)
    stage.go(seconds=1)
    assert stage.weights == {"a": 9000, "c": 1000}
    stage.ready("b", 1)
    stage.go(seconds=1)
    assert stage.weights == {"a": 8000, "b": 1000, "c": 1000}


def starts(stage: Stage, **counts: int) -> None:
    """The logbook tells of 40 windows since the shares, with so many episodes of each in every one."""
    started = experiment(stage).started_at
    assert started is not None
    first = started + timedelta(seconds=20)
    versions = [
        VersionStatistics(
            version=policy,
            windows=alike(first, 40, count=count, mean=mean, m2=1600.0 * count, min=200, max=700),
        )
        for policy, count in counts.items()
        for mean in [480.0 if policy == "b" else 400.0]
    ]
    stage.answers("return", versions)


def test_where_an_arm_does_not_get_its_share_it_is_told_and_nobody_wins() -> None:
    """What is left of its episodes is no fair sample, however much better their mean is."""
    stage = competing("b:20", "c:20")
    stage.later(minutes=20)
    starts(stage, a=60, b=10, c=20)
    stage.go(hours=2)
    found = next(one for one in stage.status.conditions if one.type == "SampleRatio")
    words = "14.29% of 2800 episodes began at b, an arm of the experiment, where its weights ask for 25.00%"
    assert words in found.message
    assert stage.told.count("SampleRatioMismatch") == 1
    assert arm(stage, "b").better
    assert experiment(stage).winner is None
    stage.command("abort@1")
    stage.go(seconds=1)
    assert all(one.type != "SampleRatio" for one in stage.status.conditions), "it goes with the experiment"


def test_fair_shares_raise_no_alarm_and_an_arm_that_leaves_changes_what_is_fair() -> None:
    stage = competing("b:20", "c:20")
    stage.later(minutes=20)
    starts(stage, a=60, b=20, c=20)
    stage.passes()
    assert all(one.type != "SampleRatio" for one in stage.status.conditions)
    stage.ready("c", 0)
    stage.go(seconds=1)
    asked = starts_of(experiment(stage), arm(stage, "b"))
    assert [one.weight for one in asked.changes] == [0.25, 0.2], "stable has what c had"
    assert [one.weight for one in starts_of(experiment(stage), arm(stage, "c")).changes] == [0.25, None]


def test_all_arms_that_take_part_are_measured_and_no_other() -> None:
    asked = {"prometheus": {"query": 'orders{of="{{version}}"}'}}
    outside = {"name": "orders", "source": asked, "compare": {"maxRegression": "10%"}}
    stage = competing("b", "c", analysis=ANALYSIS | {"metrics": [*ANALYSIS["metrics"], outside]})
    stage.episodes("return", {"a": EQUAL, "b": WORSE, "c": EQUAL})
    stage.passes()
    rollout = stage.world.objects["RLRollout", "default", "cartpole"]
    trial = trial_of(rollout, lambda analysis: ())
    assert trial is not None
    assert (trial.on_trial, trial.stable, trial.since) == (("c",), "a", experiment(stage).started_at)
    (poll,) = polls_of(trial_of(rollout, outcome_queries))
    assert poll.query["versions"] == "b,a,c", "the answer keeps its name when an arm is out"
    asked = {name: demand.candidate for (_, name), (_, demand) in demands_of(trial_of(rollout, wanted)).items()}
    assert asked == {"a": False, "c": True}
    assert {poll.candidate for poll in askings_of(trial_of(rollout, prometheus.wanted))} == {"c"}
