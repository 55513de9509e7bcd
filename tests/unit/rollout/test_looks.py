"""What a rollout makes of numbers that a Prometheus server gives: limits and comparisons, look by look."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.chance import crossings, most_by_chance
from tests.unit.rollout.stage import ANALYSIS, Stage

from belay_api.conditions import get_condition
from belay_api.reasons import Verdict
from belay_api.rollout.margin import Margin
from belay_api.rollout.verdicts import MetricVerdict
from belay_operator.rollout.analysis.bet import Outcomes
from belay_operator.rollout.analysis.budget import split
from belay_operator.rollout.analysis.evidence import Better, Comparison
from belay_operator.rollout.analysis.verdict import race_of
from belay_operator.rollout.facts import Look, PrometheusFact
from belay_operator.rollout.sources.active import trial_of
from belay_operator.rollout.sources.looks import SETTLE
from belay_operator.rollout.sources.prometheus import askings_of, reading_of, wanted

QUERY = 'orders{policy="{{version}}"}'
STEPS = [{"setWeight": 50}, {"pause": {"duration": "30d"}}]
Value = Callable[[str, int], float | None]
"""Of a version, at the look of that number."""


def metric(**judged: Any) -> dict[str, Any]:
    return {"name": "orders", "source": {"prometheus": {"address": "http://p:9090", "query": QUERY}}} | judged


def stage_with(*metrics: dict[str, Any], steps: list[dict[str, Any]] | None = None) -> Stage:
    """Stable a; candidate b at its first weight."""
    stage = Stage("a", "b", steps=steps or STEPS, analysis=ANALYSIS | {"metrics": list(metrics)})
    stage.go()
    stage.later(minutes=2)  # of the first version nobody knows anything, which keeps nobody
    look(stage, lambda version, number: None, absence="a: the answer is empty")
    stage.passes()
    assert stage.status.stable is not None
    stage.wants("b")
    return stage.go(seconds=1)


def look(
    stage: Stage, value: Value, *, problem: str | None = None, absence: str | None = None, refused: bool = False
) -> None:
    """The poller has asked about every look that is over by now."""
    trial = trial_of(stage.world.objects["RLRollout", "default", "cartpole"], wanted)
    for poll, asking in askings_of(trial).items():
        for number in range(1, asking.over(stage.now) + 1):
            told = {version: value(version, number) for version in asking.versions}
            values = {version: it for version, it in told.items() if it is not None}
            asking.looks.append(Look(number, asking.end(number - 1), values))
        asking.answered = len(asking.looks)
        asking.problem, asking.absence, asking.refused = problem, absence, refused
        fact = stage.world.facts.get(("prometheus", "default", "cartpole"))
        same = fact is not None and (fact.stable, fact.since) == (poll.stable, poll.since)
        others = dict(fact.versions) if same else {}
        own = {**others.get(poll.candidate, {}), poll.metric: (poll.definition, reading_of(asking, stage.now))}
        versions = {**others, poll.candidate: own}
        stage.world.facts["prometheus", "default", "cartpole"] = PrometheusFact(poll.stable, poll.since, versions)


def minutes(stage: Stage, most: int, value: Value, *, at_once: int = 1, **told: Any) -> int | None:
    """Let that many looks go by; return the one after which the candidate is taken back, or None.

    Args:
        at_once: Looks that come with one answer: of a slow operator, and of one that shall be tested quickly.
    """
    for minute in range(at_once, most + 1, at_once):
        stage.later(minutes=at_once)
        look(stage, value, **told)
        stage.passes()
        if stage.status.rollback is not None:
            return minute
    return None


def verdict(stage: Stage) -> MetricVerdict:
    (only,) = stage.status.verdicts
    return only


def test_a_candidate_beyond_its_limit_at_every_look_goes_within_minutes_and_a_good_one_passes() -> None:
    stage = stage_with(metric(limit={"max": 10}))
    assert minutes(stage, 10, lambda version, number: 11.0) in (3, 4)
    assert stage.status.rollback is not None
    assert stage.status.rollback.metric == "orders"

    stage = stage_with(metric(limit={"max": 10}))
    assert minutes(stage, 20, lambda version, number: 10.0) is None
    assert verdict(stage).verdict is Verdict.PASS
    assert verdict(stage).query == 'prometheus, every 1m: orders{policy="b"}'


def test_the_message_of_a_breach_speaks_of_looks() -> None:
    stage = stage_with(metric(limit={"min": "-200"}, onFail={"after": "1m", "action": "Hold"}))
    minutes(stage, 6, lambda version, number: -300.0)
    assert verdict(stage).verdict is Verdict.FAIL
    assert "looks, and the last one, gave a number below -200; 5 % of them may" in verdict(stage).message
    stage = stage_with(metric(limit={"max": "5%"}, onFail={"after": "1m", "action": "Hold"}))
    minutes(stage, 6, lambda version, number: 1.0)
    assert "the share is 100 % at the last of" in verdict(stage).message
    assert "5 % is allowed" in verdict(stage).message


def test_one_bad_look_in_twenty_is_no_breach_and_neither_is_a_share_that_only_jumps_about_its_limit() -> None:
    stage = stage_with(metric(limit={"max": 10}))
    assert minutes(stage, 300, lambda version, number: 11.0 if number % 20 == 0 else 9.0, at_once=50) is None
    # 3 % on average, of so few requests that every third look shows 9 %.
    stage = stage_with(metric(limit={"max": "5%"}))
    assert minutes(stage, 300, lambda version, number: 0.09 if number % 3 == 0 else 0.0, at_once=50) is None


def test_a_restarted_operator_has_the_same_evidence_and_counts_no_look_twice() -> None:
    stage = stage_with(metric(limit={"max": 10}))
    minutes(stage, 2, lambda version, number: 11.0)
    before = verdict(stage)
    del stage.world.facts["prometheus", "default", "cartpole"]
    stage.passes()
    assert verdict(stage) == before
    look(stage, lambda version, number: 11.0)
    stage.passes()
    assert verdict(stage).limit == before.limit

    # One whose clock is behind knows of fewer looks than are judged already.
    stage.now -= timedelta(minutes=1)
    look(stage, lambda version, number: 11.0)
    stage.passes()
    assert verdict(stage).limit == before.limit


def test_nothing_and_nobody_and_a_bad_query_are_three_things() -> None:
    stage = stage_with(metric(limit={"max": 10}))
    minutes(stage, 2, lambda version, number: None, absence="b: the answer is empty")
    assert (verdict(stage).verdict, verdict(stage).message) == (Verdict.NO_DATA, "b: the answer is empty")

    minutes(stage, 1, lambda version, number: None, problem="http://p:9090 does not answer (TimeoutError)")
    assert verdict(stage).verdict is Verdict.PROVIDER_DOWN
    assert get_condition(stage.status.conditions, "QueryRefused") is None

    words = "http://p:9090 refuses the query: 1:10: parse error: unclosed left parenthesis"
    minutes(stage, 2, lambda version, number: None, absence=words, refused=True)
    assert (verdict(stage).verdict, verdict(stage).message) == (Verdict.NO_DATA, words)
    told = get_condition(stage.status.conditions, "QueryRefused")
    assert told is not None
    assert told.message == f"orders: {words}. Correct the query in spec.analysis"
    assert stage.told.count("QueryRefused") == 1

    minutes(stage, 1, lambda version, number: 1.0)
    assert get_condition(stage.status.conditions, "QueryRefused") is None


@pytest.mark.parametrize("judged", [{"limit": {"max": 10}}, {"compare": {"maxRegression": "10%"}}])
def test_no_number_ever_passes_nor_takes_anybody_back_before_the_spec_says_so(judged: dict[str, Any]) -> None:
    steps = [{"setWeight": 50}, {"analyze": {}}]
    stage = stage_with(metric(**judged), steps=steps)
    assert minutes(stage, 60, lambda version, number: None, absence="b: the answer is NaN") is None
    assert verdict(stage).verdict is Verdict.NO_DATA
    assert stage.reason == "Holding"


def test_before_the_first_look_is_over_nothing_is_missing() -> None:
    stage = stage_with(metric(compare={"maxRegression": "10%"}))
    look(stage, lambda version, number: 1.0)
    stage.passes()
    assert (verdict(stage).verdict, verdict(stage).message) == (Verdict.NOT_ENOUGH_SAMPLES, "no look is over yet")


def test_both_sides_sink_together_and_nobody_is_taken_back_and_one_that_sinks_alone_is() -> None:
    rng = np.random.default_rng(3)

    def world(version: str, number: int, *, drop: float = 0.0) -> float:
        shared = 100 * (1 - 0.4 * math.sin(number / 30))
        return float(shared * (1 - drop * (version == "b")) * (1 + 0.02 * rng.standard_normal()))

    stage = stage_with(
        metric(compare={"maxRegression": "10%"}),
        steps=[{"setWeight": 50}, {"analyze": {}}, {"pause": {"duration": "30d"}}],
    )
    assert minutes(stage, 150, world, at_once=75) is None
    assert verdict(stage).verdict is Verdict.PASS
    assert verdict(stage).candidate is not None
    assert verdict(stage).candidate.episodes > 100

    stage = stage_with(metric(compare={"maxRegression": "10%"}))
    found = minutes(stage, 200, lambda version, number: world(version, number, drop=0.2), at_once=40)
    assert found is not None
    assert found <= 120


def test_a_look_under_the_weight_before_is_no_evidence_for_this_one() -> None:
    stage = stage_with(
        metric(compare={"maxRegression": "10%"}),
        steps=[{"setWeight": 10}, {"analyze": {}}, {"setWeight": 50}, {"analyze": {}}],
    )
    assert minutes(stage, 120, lambda version, number: 100.0, at_once=120) is None
    stage.go(seconds=1)
    assert stage.status.step is not None
    assert (stage.status.step.index, stage.status.weight and stage.status.weight.applied) == (3, 50)
    minutes(stage, 10, lambda version, number: 100.0, at_once=10)
    told = verdict(stage)
    assert told.verdict is Verdict.NOT_ENOUGH_SAMPLES
    assert told.candidate is not None
    assert told.candidate.episodes == 8, "of ten one spans the change, and one is not settled"


def outcomes(values: NDArray[np.float64]) -> Outcomes:
    """Looks with one value each."""
    return Outcomes(np.ones_like(values), values, np.zeros_like(values), values, values)


@pytest.mark.parametrize("share_of_world", [0.0, 0.3])
def test_the_promise_of_a_comparison_holds_for_looks(share_of_world: float) -> None:
    """Equal sides in a world that wanders: rolled back in 1 % at most. One 20 % worse is found; one 10 % worse, at a
    margin of 10 %, passes in 2.5 % at most."""
    rng, shape = np.random.default_rng(11), (200, 240)
    wander = np.empty(shape)
    state = rng.standard_normal(shape[0])
    for column in range(shape[1]):
        state = 0.95 * state + math.sqrt(1 - 0.95**2) * rng.standard_normal(shape[0])
        wander[:, column] = state
    world = np.exp(share_of_world * wander)
    comparison = Comparison("orders", Better.MORE, Margin(0.1, relative=True), looks=True)
    spend = split(0.01, 1)
    assert spend.outcome is not None

    def race(drop: float) -> Any:
        candidate = world * (1 - drop) * (1 + 0.1 * rng.standard_normal(shape))
        return race_of(
            comparison, outcomes(candidate), outcomes(world * (1 + 0.1 * rng.standard_normal(shape))), earlier=None
        )

    assert crossings(race(0.0).worse(), spend.outcome) <= most_by_chance(shape[0], 0.01)
    assert crossings(race(0.1).better(), spend.wrong_promotion) <= most_by_chance(shape[0], 0.025)
    assert crossings(race(0.2).worse(), spend.outcome) >= 0.9 * shape[0]


def test_looks_settle_before_they_are_asked_about() -> None:
    stage = stage_with(metric(limit={"max": 10}))
    (asking,) = askings_of(trial_of(stage.world.objects["RLRollout", "default", "cartpole"], wanted)).values()
    assert asking.over(asking.end(3) + SETTLE - timedelta(milliseconds=1)) == 2
    assert asking.over(asking.end(3) + SETTLE) == 3


# --- arms of an experiment --------------------------------------------------------------------------------------------
def arms_held_to(*metrics: dict[str, Any]) -> Stage:
    """Arms b and c compete with a by return; nothing has ended yet."""
    analysis = ANALYSIS | {"metrics": [ANALYSIS["metrics"][0], *metrics]}
    stage = Stage("a", "b", "c", steps=STEPS, analysis=analysis).go()
    stage.later(minutes=2)
    look(stage, lambda version, number: None, absence="a: the answer is empty")
    stage.passes()
    stage.wants_winner_of("b:20", "c:20")
    return stage.go(seconds=1)


def test_an_arm_beyond_a_number_from_outside_leaves_and_the_others_go_on() -> None:
    stage = arms_held_to(metric(limit={"max": 10}))
    for _ in range(6):
        stage.later(minutes=1)
        look(stage, lambda version, number: 20.0 if version == "b" else 5.0)
        stage.passes()
    found = stage.status.experiment
    assert found is not None
    b, c = found.arms
    assert (b.outcome, c.outcome) == ("Worse", None)
    assert b.message.startswith("orders: ")
    assert [verdict.verdict for verdict in c.verdicts if verdict.metric == "orders"] == [Verdict.NOT_ENOUGH_SAMPLES]


def test_a_query_that_is_refused_is_told_of_arms_as_well() -> None:
    stage = arms_held_to(metric(limit={"max": 10}))
    stage.later(minutes=1)
    look(stage, lambda version, number: None, absence="the query does not parse", refused=True)
    stage.passes()
    told = get_condition(stage.status.conditions, "QueryRefused")
    assert told is not None
    assert told.message == "orders: the query does not parse. Correct the query in spec.analysis", "once, for both"
    look(stage, lambda version, number: 5.0)
    stage.passes()
    assert get_condition(stage.status.conditions, "QueryRefused") is None
