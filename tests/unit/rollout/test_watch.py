"""A promoted version from its trial on: its reference, the query that follows it, one alert, and the way back."""

from datetime import timedelta
from typing import Any

from tests.unit.rollout.model.acts import act
from tests.unit.rollout.model.starts import start
from tests.unit.rollout.stage import ANALYSIS, KEY, Stage
from tests.unit.rollout.test_stories import GOOD, under_analysis

from belay_api.conditions import get_condition
from belay_api.rollout.spec import RLRolloutSpec
from belay_api.rollout.status import RolloutPhase
from belay_api.wire import Statistics, VersionStatistics, WindowStatistics
from belay_operator.rollout import watch
from belay_operator.rollout.facts import Reading, StatisticsFact
from belay_operator.rollout.observe import KIND
from belay_operator.rollout.sources.promoted import polls_of


def promoted(**spec: Any) -> Stage:
    stage = under_analysis()
    stage.world.patch("RLRollout", "cartpole", {"spec": {"bake": {"duration": "1m", "keepWarm": "24h"}, **spec}})
    stage.scrape("b", rate=50.0)
    stage.episodes("return", GOOD)
    stage.go(seconds=1).go(seconds=61)
    assert stage.status.phase is RolloutPhase.HEALTHY
    return stage


def plays(stage: Stage, mean: float, *, windows: int) -> None:
    """Windows of five minutes pass with 40 episodes each, and the logbook is asked once they are over."""
    held = stage.world.objects["RLRollout", "default", "cartpole"]
    analysis = RLRolloutSpec.model_validate(held["spec"]).analysis
    (query,) = watch.queries(analysis)
    length, (record,) = timedelta(seconds=query.window_s), stage.status.watch
    begun = [record.counted_until + index * length for index in range(windows)]
    stage.now = max(stage.now, begun[-1] + length) + timedelta(minutes=1)
    told = [
        WindowStatistics(start=at, count=40, missing=0, mean=mean, m2=40.0**2 * 39, min=mean - 80, max=mean + 80)
        for at in begun
    ]
    answer = Statistics(
        outcome="return", at=stage.now, etag=str(stage.now), versions=[VersionStatistics(version="b", windows=told)]
    )
    reading = Reading("asked", stage.now, windows=answer, outcome_query=query)
    fact = StatisticsFact("b", "b", record.counted_until, {"return": reading})
    stage.world.facts["watch", "default", "cartpole"] = fact
    stage.passes()


def test_its_reference_is_how_it_did_in_its_trial() -> None:
    (record,) = promoted().status.watch
    assert record.reference is not None
    assert (record.policy, record.reference.episodes, record.reference.mean) == ("b", 200, 479.0)
    assert record.least is not None
    assert 479.0 - 47.9 - 2.33 * 45 / 200**0.5 < record.least < 479.0 - 47.9


def test_one_alert_while_it_is_worse_and_one_word_when_it_is_over() -> None:
    stage = promoted()
    for mean, windows in ((478.0, 6), (380.0, 12), (380.0, 13), (380.0, 13)):
        plays(stage, mean, windows=windows)
    assert stage.told.count("StableWorse") == 1
    assert get_condition(stage.status.conditions, "Degraded") is not None
    assert stage.reason == "Healthy", "requests are answered"
    plays(stage, 478.0, windows=13)
    assert stage.told.count("StableRecovered") == 1
    assert get_condition(stage.status.conditions, "Degraded") is None


def test_a_look_is_no_write() -> None:
    stage = promoted()
    written = len(stage.world.log)
    for windows in range(1, 12):
        plays(stage, 478.0, windows=windows)
    assert len(stage.world.log) == written
    plays(stage, 478.0, windows=12)
    assert len(stage.world.log) == written + 1, "an hour of them is counted for good"


def test_what_is_asked_goes_on_from_what_is_counted() -> None:
    stage = promoted()
    (before,) = polls_of(stage.world.objects["RLRollout", "default", "cartpole"])
    assert before.query["versions"] == "b"
    plays(stage, 478.0, windows=12)
    (after,) = polls_of(stage.world.objects["RLRollout", "default", "cartpole"])
    assert after.started_at == before.started_at + timedelta(hours=1)


def test_where_asked_it_goes_back_to_the_version_that_is_warm() -> None:
    stage = promoted(watch={"onDegraded": "Rollback"})
    plays(stage, 380.0, windows=12)
    assert stage.weights == {"a": 10000}
    assert stage.status.rollback is not None
    assert stage.status.rollback.reason == "Degraded"
    assert stage.status.watch == []
    assert stage.world.would_write(KIND, KEY, stage.now) == []


def test_a_breach_of_the_version_before_is_no_alarm_on_who_is_promoted_instead() -> None:
    """Its pods were asked until the very pass of the promotion: the way out of a breach led back into it."""
    stage = start("shown")
    for happens in (
        "want c",
        "gateway accepts",
        "limits of stable broken",
        "back when degraded",
        "promote@1",
        "gateway accepts",
    ):
        act(stage, happens)
        stage.passes()
    assert stage.status.stable is not None
    assert (stage.status.stable.policy, stage.weights) == ("c", {"c": 10_000})
    assert get_condition(stage.status.conditions, "Degraded") is None


def test_a_spec_that_cannot_be_carried_out_silences_no_alarm() -> None:
    stage = promoted()
    stage.edits(steps=[{"setWeight": 10}, {"pause": {"duration": "99999d"}}])
    act(stage, "limits of stable broken")
    stage.passes()
    assert stage.reason == "InvalidSpec"
    assert stage.told.count("StableWorse") == 1


def test_an_alarm_stands_while_the_spec_does_not_say_what_it_is_about() -> None:
    stage = promoted()
    act(stage, "limits of stable broken")
    stage.passes()
    returned, latency = (dict(metric) for metric in ANALYSIS["metrics"])
    stage.edits_metrics(returned, {**latency, "limit": {"max": "100ms", "tolerates": "99999d"}})
    stage.passes()
    assert stage.reason == "InvalidSpec"
    assert get_condition(stage.status.conditions, "Degraded") is not None, "nobody has seen that it is over"
    stage.edits_metrics(returned, latency)
    act(stage, "limits of stable kept")
    stage.passes()
    assert get_condition(stage.status.conditions, "Degraded") is None
    assert stage.told.count("StableWorse") == 1


def test_an_edited_margin_ends_no_alarm_and_makes_no_new_reference() -> None:
    """What it had sunk to became what it was held against, and somebody was told that it did as well again."""
    stage = promoted()
    plays(stage, 380.0, windows=12)
    returned, latency = (dict(metric) for metric in ANALYSIS["metrics"])
    stage.edits_metrics({**returned, "compare": {"maxRegression": "8%"}}, latency)
    stage.passes()
    (record,) = stage.status.watch
    assert record.reference is not None
    assert record.least is not None
    assert (record.reference.mean, record.degraded_since is not None) == (479.0, True)
    assert 479.0 - 0.08 * 479.0 - 2.33 * 45 / 200**0.5 < record.least < 479.0 - 0.08 * 479.0
    assert get_condition(stage.status.conditions, "Degraded") is not None
    assert stage.told.count("StableRecovered") == 0
    plays(stage, 478.0, windows=13)
    assert stage.told.count("StableRecovered") == 1


def test_another_outcome_is_watched_anew_and_nothing_has_recovered() -> None:
    stage = promoted()
    plays(stage, 380.0, windows=12)
    returned, latency = (dict(metric) for metric in ANALYSIS["metrics"])
    stage.edits_metrics({**returned, "source": {"logbook": {"outcome": "revenue"}}}, latency)
    stage.passes()
    (record,) = stage.status.watch
    assert record.reference is None
    assert get_condition(stage.status.conditions, "Degraded") is None
    assert stage.told.count("StableRecovered") == 0


def test_on_trial_another_outcome_is_not_held_against_the_reference_of_the_one_before() -> None:
    stage = promoted()
    stage.publish("c")
    stage.wants("c")
    stage.go(seconds=1)
    assert stage.status.candidate is not None
    returned, latency = (dict(metric) for metric in ANALYSIS["metrics"])
    stage.edits_metrics({**returned, "source": {"logbook": {"outcome": "revenue"}}}, latency)
    held = stage.world.objects["RLRollout", "default", "cartpole"]
    (query,) = watch.queries(RLRolloutSpec.model_validate(held["spec"]).analysis)
    since = stage.status.watch[0].counted_until
    told = [
        WindowStatistics(start=since + index * timedelta(minutes=5), count=40, missing=0, mean=5, m2=40, min=3, max=8)
        for index in range(12)
    ]
    stage.now = since + timedelta(hours=2)
    answer = Statistics(
        outcome="revenue", at=stage.now, etag="1", versions=[VersionStatistics(version="b", windows=told)]
    )
    reading = Reading("asked", stage.now, windows=answer, outcome_query=query)
    stage.world.facts["watch", "default", "cartpole"] = StatisticsFact("b", "b", since, {"revenue": reading})
    stage.passes()
    assert stage.told.count("StableWorse") == 0


def test_an_outcome_that_nobody_reports_has_nothing_else_read_again() -> None:
    stage = promoted()
    returned, latency = (dict(metric) for metric in ANALYSIS["metrics"])
    revenue = {**returned, "name": "revenue", "source": {"logbook": {"outcome": "revenue"}}}
    stage.edits_metrics(returned, revenue, latency)
    stage.passes()
    begun = {
        poll.outcome_query.outcome: poll.started_at
        for poll in polls_of(stage.world.objects["RLRollout", "default", "cartpole"])
    }
    held = stage.world.objects["RLRollout", "default", "cartpole"]["status"]["watch"]
    held[0]["countedUntil"] = "2026-06-04T10:00:00Z"
    now = {
        poll.outcome_query.outcome: poll.started_at
        for poll in polls_of(stage.world.objects["RLRollout", "default", "cartpole"])
    }
    assert now["return"] - begun["return"] > timedelta(days=30)
    assert now["revenue"] == begun["revenue"]
