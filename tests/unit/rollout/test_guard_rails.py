"""Limits as a rollout lives with them, second by second: hiccups, breaches, outages, restarts, and what is written."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.unit.rollout.stage import ANALYSIS, Stage

from belay_api.rollout.status import RolloutPhase
from belay_api.rollout.verdicts import LimitStatus

LATENCY: dict[str, Any] = {"name": "latency", "source": {"serving": "latencyP99"}, "limit": {"max": "100ms"}}
STEPS = [{"setWeight": 50}, {"pause": {"duration": "30d"}}]


def on_trial(*steps: dict[str, Any]) -> Stage:
    """Candidate b with a share of the traffic, held to a limit of 100 ms."""
    stage = Stage("a", "b", steps=list(steps) or STEPS, analysis=ANALYSIS | {"metrics": [LATENCY]}).go()
    stage.wants("b")
    return stage.go(seconds=1)


def live(
    stage: Stage, seconds: int, *, rate: float, slow: float | Callable[[int], float] = 0.0, seed: int | None = None
) -> int | None:
    """Let that time pass, a scrape and a pass each second; return the second of the rollback, or None.

    Args:
        seed: Requests and slow ones come by chance; None: exactly as said.
    """
    rng = np.random.default_rng(seed)
    for second in range(1, seconds + 1):
        stage.later(seconds=1)
        share = slow(second) if callable(slow) else slow
        came = rate if seed is None else float(rng.poisson(rate))
        part = share if seed is None else float(rng.binomial(int(came), share)) / max(came, 1)
        stage.scrape("b", rate=came, slow=part, seconds=1)
        stage.passes()
        if stage.status.rollback is not None:
            return second
    return None


def limit(stage: Stage) -> LimitStatus:
    (verdict,) = stage.status.verdicts
    assert verdict.limit is not None
    return verdict.limit


@pytest.mark.parametrize("rate", [1.0, 30.0])
def test_a_hiccup_of_one_request_or_of_a_second_changes_nothing(rate: float) -> None:
    stage = on_trial()
    assert live(stage, 120, rate=rate, slow=lambda second: float(second == 57)) is None
    assert limit(stage).beyond == rate
    assert limit(stage).against < 0.01


def test_a_fifth_of_the_requests_too_slow_goes_within_a_minute_or_so() -> None:
    found = [live(on_trial(), 200, rate=1.0, slow=0.2, seed=seed) for seed in range(5)]
    assert all(found), found
    assert float(np.median([second or 0 for second in found])) <= 60


@pytest.mark.parametrize("rate", [1.0, 30.0, 300.0])
@pytest.mark.parametrize("health", [0, 120])
def test_a_total_outage_is_found_in_ten_to_twenty_seconds(rate: float, health: int) -> None:
    stage = on_trial()
    assert live(stage, health, rate=rate) is None
    found = live(stage, 40, rate=rate, slow=1.0)
    assert found is not None
    assert 5 <= found <= 21
    assert stage.status.phase is RolloutPhase.ROLLING_BACK
    assert stage.weights == {"a": 10000}


@pytest.mark.parametrize("at", [6, 9, 10, 14])
def test_an_operator_that_is_replaced_loses_no_evidence_and_counts_nothing_twice(at: int) -> None:
    """The next one knows what is recorded and no more; at most two blocks, unrecorded or not whole, end with the first.

    The evidence is that of somebody who judged as many blocks without a change of operators.
    """
    undisturbed, after = on_trial(), dict[int, float]()
    for _ in range(8):
        live(undisturbed, 5, rate=30.0, slow=0.02)
        after[limit(undisturbed).requests] = limit(undisturbed).against
    stage = on_trial()
    live(stage, at, rate=30.0, slow=0.02)
    before = limit(stage)
    stage.counted.clear()  # another process scrapes the pods for the first time
    stage.later(minutes=1)
    stage.scrape("b", rate=0.0, seconds=0)
    stage.passes()
    assert limit(stage) == before, "an operator that starts has nothing to write"
    live(stage, 40 - at, rate=30.0, slow=0.02)
    assert limit(stage).against == pytest.approx(after[limit(stage).requests], rel=1e-3)
    assert limit(stage).requests >= limit(undisturbed).requests - 2 * 150


def test_a_breach_under_way_when_the_operator_is_replaced_is_found_all_the_same() -> None:
    stage = on_trial()
    assert live(stage, 6, rate=30.0, slow=1.0) is None
    stage.counted.clear()
    stage.scrape("b", rate=0.0, seconds=0)
    assert live(stage, 6, rate=30.0, slow=1.0) is not None


def test_each_weight_increase_gives_a_head_start() -> None:
    stage = on_trial({"setWeight": 10}, {"pause": {"duration": "30s"}}, *STEPS)
    began = []
    for _ in range(10):
        live(stage, 5, rate=10.0)
        stage.accept()
        stage.passes()
        began.append((limit(stage).weight, limit(stage).against))
    assert [weight for weight, _ in began] == [10.0] * 6 + [50.0] * 4
    against = [value for _, value in began]
    assert against == sorted(against[:6], reverse=True) + sorted(against[6:], reverse=True)
    assert against[6] > against[5] + 0.0005


def test_running_numbers_are_written_once_a_block_and_silence_writes_nothing() -> None:
    stage = on_trial()
    live(stage, 10, rate=10.0)
    written = len(stage.world.log)
    live(stage, 60, rate=10.0)
    assert len(stage.world.log) - written <= 12
    live(stage, 70, rate=0.0)
    written = len(stage.world.log)
    live(stage, 100, rate=0.0)
    assert len(stage.world.log) == written
    assert [verdict.verdict for verdict in stage.status.verdicts] == ["NoData"]


def test_blocks_of_a_second_are_not_written_each_second() -> None:
    quick = LATENCY | {"limit": LATENCY["limit"] | {"tolerates": "1s"}}
    stage = on_trial()
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": {"metrics": [quick]}}})
    stage.passes()
    live(stage, 10, rate=10.0)
    written, judged = len(stage.world.log), limit(stage).requests
    live(stage, 60, rate=10.0)
    assert len(stage.world.log) - written <= 12
    assert limit(stage).requests - judged >= 550


def test_an_analysis_waits_until_the_limit_is_shown_to_be_kept() -> None:
    stage = on_trial({"setWeight": 50}, {"analyze": {}})
    blocks = 0
    while stage.weights == {"a": 5000, "b": 5000}:
        stage.later(seconds=5)
        stage.scrape("b", rate=2.0, seconds=5)
        stage.passes()
        blocks += 1
    assert (stage.weights, blocks) == ({"b": 10000}, 80)


def test_a_status_of_an_operator_that_counted_breaches_is_read_and_its_counter_forgotten() -> None:
    stage = on_trial()
    live(stage, 10, rate=10.0)
    (verdict,) = stage.world.objects["RLRollout", "default", "cartpole"]["status"]["verdicts"]
    del verdict["limit"]
    verdict |= {"value": 0.25, "breaches": 2}
    assert live(stage, 20, rate=10.0) is None
    assert limit(stage).requests >= 100
