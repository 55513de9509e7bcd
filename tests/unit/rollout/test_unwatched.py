"""What a stable version is watched by says nothing: told once, after patience, until all of it is heard of again."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.rollout.stage import ANALYSIS, KEY, Stage
from tests.unit.rollout.test_source_serving import Pods, pods  # noqa: F401  a fixture
from tests.unit.rollout.test_standing import ERRORS, asking

from belay_api.conditions import get_condition
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.watch import WatchSpec
from belay_operator.rollout import standing, unwatched, watch
from belay_operator.rollout.facts import Reading, Silence, StatisticsFact
from belay_operator.rollout.observe import KIND
from belay_operator.rollout.standing import StandingFact, limits

AWAY = "the server does not answer"


class Watched(Stage):
    """A stable version with a limit on its pods and an outcome that the logbook tells of."""

    def __init__(self) -> None:
        super().__init__("a")
        self.go(seconds=1).go(seconds=1)
        assert self.status.stable is not None
        self.analysis = AnalysisSpec.model_validate(ANALYSIS)

    def hears(self, *, limit: str | None = None, outcome: str | None = None) -> None:
        """Both are asked: each says something, or nothing from now on, for the reason given."""
        asked = limits(self.analysis, WatchSpec())
        key = ("default", "cartpole")
        silence = None if limit is None else Silence(self.now, limit)
        self.world.facts["standing", *key] = StandingFact("a", {}, dict.fromkeys(asked, silence))
        (query,) = watch.queries(self.analysis)
        silent = {} if outcome is None else {"problem": outcome, "silent_since": self.now}
        answer = Reading("asked", self.now, outcome_query=query, **silent)
        self.world.facts["watch", *key] = StatisticsFact("a", "a", self.now, {"return": answer})
        self.passes()

    @property
    def alarm(self) -> str | None:
        stood = get_condition(self.status.conditions, "Unwatched")
        return None if stood is None else stood.message


@pytest.mark.parametrize(("silent", "metric"), [({"limit": AWAY}, "latency"), ({"outcome": AWAY}, "return")])
def test_it_is_told_once_after_ten_minutes_until_it_is_heard_of(silent: Mapping[str, str], metric: str) -> None:
    stage = Watched()
    stage.hears(**silent)
    assert stage.alarm is None, "what is replaced is back by then"
    assert stage.world.plan(KIND, KEY, stage.now).requeue_after == timedelta(minutes=10)
    stage.later(minutes=10)
    stage.passes()
    assert stage.alarm == (
        f"nothing is heard of {metric} since 2026-05-04T10:00:02Z: {AWAY}. Until it is, nobody is told whether the "
        "stable version does worse"
    )
    assert stage.reason == "Healthy", "requests are answered"
    stage.later(hours=10)
    stage.passes()
    assert stage.told.count("StableUnwatched") == 1
    stage.hears()
    assert stage.alarm is None


def test_what_was_said_stands_until_somebody_knows_better() -> None:
    stage = Watched()
    stage.hears(limit=AWAY)
    stage.later(minutes=10)
    stage.passes()
    stage.world.facts.clear()  # another operator, which has asked nobody yet
    stage.passes()
    assert stage.alarm is not None
    stage.hears(outcome=AWAY)
    assert stage.alarm is not None, "the other one is silent now"
    assert stage.told.count("StableUnwatched") == 1


def test_a_spec_that_cannot_be_carried_out_ends_no_alarm() -> None:
    stage = Watched()
    stage.hears(limit=AWAY)
    stage.later(minutes=10)
    stage.passes()
    returned, latency = (dict(metric) for metric in ANALYSIS["metrics"])
    stage.edits_metrics(returned, {**latency, "limit": {"max": "100ms", "tolerates": "99999d"}})
    stage.hears()
    assert stage.reason == "InvalidSpec"
    assert stage.alarm is not None


def test_without_a_logbook_nobody_is_told_how_episodes_go() -> None:
    stage = Watched()
    stage.world.settings = replace(stage.world.settings, logbook_url=None)
    stage.hears()
    stage.later(minutes=10)
    stage.passes()
    assert "nothing is heard of return" in (stage.alarm or "")
    assert "installed without a logbook" in (stage.alarm or "")


def test_a_limit_that_is_defined_otherwise_was_not_asked_yet() -> None:
    stage = Watched()
    stage.hears(limit=AWAY)
    (latency,) = (dict(metric) for metric in ANALYSIS["metrics"] if metric["name"] == "latency")
    stage.edits_metrics({**latency, "limit": {"max": "200ms"}})
    stage.later(minutes=10)
    stage.passes()
    assert stage.alarm is None


@pytest.mark.asyncio
async def test_pods_that_do_not_answer_wake_the_rollout_after_patience_and_when_they_do(
    pods: Pods,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unwatched, "PATIENCE", timedelta(seconds=2))
    async with asking(ERRORS, monkeypatch) as asked:
        await asked.until(lambda: asked.held().requests > 0, meanwhile=lambda: pods.answer(0, 10))
        began = asked.context.now()
        pods.stop(0)
        await asked.until(lambda: bool(asked.context.woken))
        assert asked.context.now() - began >= timedelta(seconds=2)
        (silence,) = asked.context.fact(standing.TOPIC, "default", "cartpole").silence.values()
        assert "does not answer on port" in silence.why
        condition = {"type": "Unwatched", "status": "True", "reason": "StableUnwatched", "message": silence.why}
        asked.stage.world.patch("RLRollout", "cartpole", {"status": {"conditions": [condition]}})
        asked.context.woken.clear()
        await asyncio.sleep(1)
        assert asked.context.woken == [], "what stands is no news"
        pods.start(0)
        await asked.until(lambda: bool(asked.context.woken))
