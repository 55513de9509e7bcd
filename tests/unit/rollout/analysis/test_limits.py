"""Guard rails: what is promised of a candidate on its limit, and how soon a breach is found."""

import numpy as np
import pytest
from numpy.typing import NDArray

from belay_operator.rollout.analysis.limits import (
    CUT_AT,
    FAIL_AT,
    PASS_AT,
    STAKES,
    Rail,
    against,
    cut,
    in_favour,
    started,
    suspicious,
)

P99 = Rail("latency", allowed=0.01, longest_s=0.1)
ERRORS = Rail("errors", allowed=0.05)
DAY_S = 86_400.0


def zero(*shape: int) -> NDArray[np.float64]:
    return np.zeros((STAKES.size, *shape))


def blocks_until_fail(rail: Rail, share: float, *, health: int = 0) -> int:
    """Blocks of one share that it takes to fail, after a weight increase and so many clean ones."""
    evidence = started(rail, zero())
    for _ in range(health):
        evidence = against(rail, evidence, 0.0, rail.block_s)
    for number in range(1, 10_000):
        evidence = against(rail, evidence, share, rail.block_s)
        if evidence.sum() >= FAIL_AT:
            return number
    raise AssertionError("never")


def failed_within(
    rail: Rail, share: float, *, rate: float, seconds: float, runs: int, clustered: bool = False, seed: int = 1
) -> float:
    """Share of the runs that fail within that time; `clustered`: the requests of a block go wrong together."""
    rng = np.random.default_rng(seed)
    evidence, failed = started(rail, zero(runs)), np.zeros(runs, bool)
    for _ in range(round(seconds / rail.block_s)):
        requests = rng.poisson(rate * rail.block_s, runs)
        wrong = rng.beta(share / 4, (1 - share) / 4, runs) if clustered else share
        beyond = rng.binomial(requests, wrong) / np.maximum(requests, 1)
        after = against(rail, evidence, beyond, rail.block_s)
        evidence = np.where(requests > 0, after, evidence)
        failed |= evidence.sum(axis=0) >= FAIL_AT
    return float(failed.mean())


def most(probability: float, runs: int) -> float:
    """What a share of runs stays below, but once in ten thousand."""
    return probability + 3.7 * (probability * (1 - probability) / runs) ** 0.5


@pytest.mark.parametrize(("rail", "rate"), [(P99, 1.0), (P99, 30.0), (ERRORS, 3.0)])
def test_exactly_on_the_limit_at_most_one_in_a_hundred_fails_in_a_day(rail: Rail, rate: float) -> None:
    runs = 1_000
    seen = failed_within(rail, rail.allowed, rate=rate, seconds=DAY_S, runs=runs)
    assert seen <= most(rail.false_per_day + rail.head_start, runs)


@pytest.mark.parametrize("rate", [0.5, 30.0])
def test_the_promise_holds_whatever_happens_within_a_block(rate: float) -> None:
    """Requests of one stall go wrong together; only the block's share counts. The promise is used up here, in part."""
    rail = Rail("latency", allowed=0.01, longest_s=0.1, false_per_day=1.0)
    runs, hours = 2_000, 6
    seen = failed_within(rail, rail.allowed, rate=rate, seconds=hours * 3600, runs=runs, clustered=True)
    assert 0 < seen <= most(hours / 24 + rail.head_start, runs)


@pytest.mark.parametrize(("rail", "times"), [(P99, 0.5), (P99, 0.9), (ERRORS, 0.5), (ERRORS, 0.9)])
def test_who_keeps_the_limit_practically_never_fails(rail: Rail, times: float) -> None:
    assert failed_within(rail, times * rail.allowed, rate=1.0, seconds=DAY_S, runs=300) == 0


def test_evidence_is_a_supermartingale_but_for_the_money_that_flows_in() -> None:
    """Whatever the share of a block is, its mean gain at the allowed share is 1: by hand, for shares of 0 and 1."""
    evidence = np.array([0.3, 0.1, 0.01, 0.2, 0.05])
    bad, good = (against(P99, evidence, share, 0.0) for share in (1.0, 0.0))
    assert P99.allowed * bad + (1 - P99.allowed) * good == pytest.approx(evidence)
    fresh = against(P99, zero(), P99.allowed, DAY_S)
    assert fresh.sum() == pytest.approx(P99.false_per_day), "a day of watching adds what may fail in a day"


def test_one_slow_request_at_one_a_second_changes_nothing() -> None:
    evidence = started(P99, zero())
    evidence = against(P99, evidence, 1 / 5, 5.0)
    assert evidence.sum() < 0.01


def test_a_fifth_of_the_requests_too_slow_goes_within_a_minute() -> None:
    rng = np.random.default_rng(5)
    runs = 1_000
    evidence, at = started(P99, zero(runs)), np.full(runs, np.inf)
    for block in range(60):
        requests = rng.poisson(1.0 * 5, runs)
        share = rng.binomial(requests, 0.2) / np.maximum(requests, 1)
        evidence = np.where(requests > 0, against(P99, evidence, share, 5.0), evidence)
        at = np.where((evidence.sum(axis=0) >= FAIL_AT) & np.isinf(at), 5.0 * (block + 1), at)
    assert np.median(at) <= 60
    assert np.quantile(at, 0.9) <= 90


def test_a_total_outage_is_found_at_once_and_after_hours_of_health() -> None:
    hour = round(3600 / P99.block_s)
    assert [blocks_until_fail(P99, 1.0, health=n) for n in (0, hour, 24 * hour)] == [2, 4, 4]
    assert [blocks_until_fail(ERRORS, 1.0, health=n) for n in (0, hour, 24 * hour)] == [3, 6, 6]


def test_hours_of_health_cost_nothing() -> None:
    hour = round(3600 / P99.block_s)
    for share in (0.02, 0.05, 0.2):
        assert blocks_until_fail(P99, share, health=100 * hour) == blocks_until_fail(P99, share, health=hour)


def test_a_longer_block_is_still_one_block() -> None:
    evidence = started(P99, zero())
    gap = against(P99, evidence, 1.0, 3600.0)
    assert gap.sum() == pytest.approx(against(P99, evidence, 1.0, 5.0).sum(), rel=0.6)
    assert gap.sum() < FAIL_AT


def test_what_may_never_fail_is_disproved_by_one_request() -> None:
    rail = Rail("errors", allowed=0.0)
    clean = against(rail, started(rail, zero()), 0.0, 5.0)
    assert clean.sum() < FAIL_AT
    failed = cut(against(rail, clean, 0.001, 5.0))
    assert np.isfinite(failed).all()
    assert failed.sum() == pytest.approx(CUT_AT)


def test_after_a_fail_it_can_be_seen_that_the_candidate_has_recovered() -> None:
    evidence = started(P99, zero())
    for _ in range(100):
        evidence = cut(against(P99, evidence, 1.0, 5.0))
    assert evidence.sum() == pytest.approx(CUT_AT)
    for _ in range(4):
        evidence = cut(against(P99, evidence, 0.0, 5.0))
    assert not suspicious(P99, evidence, 0.0)


@pytest.mark.parametrize(("rail", "blocks"), [(P99, 80), (ERRORS, 15), (Rail("errors", allowed=0.5), 3)])
def test_pass_takes_so_many_clean_blocks(rail: Rail, blocks: int) -> None:
    wealth, number = np.float64(1.0), 0
    while wealth < PASS_AT:
        wealth, number = in_favour(rail, wealth, 0.0), number + 1
    assert number == blocks


@pytest.mark.parametrize("rail", [P99, ERRORS])
def test_a_share_that_pass_refutes_passes_once_in_forty_at_most(rail: Rail) -> None:
    rng = np.random.default_rng(3)
    runs = 4_000
    wealth, passed = np.ones(runs), np.zeros(runs, bool)
    for _ in range(1_000):
        requests = rng.poisson(5.0, runs)
        share = rng.binomial(requests, rail.refuted) / np.maximum(requests, 1)
        wealth = np.where(requests > 0, in_favour(rail, wealth, share), wealth)
        passed |= wealth >= PASS_AT
    assert 0 < passed.mean() <= most(1 / PASS_AT, runs)


def test_a_bad_block_costs_the_pass() -> None:
    assert in_favour(P99, PASS_AT, 0.0) == PASS_AT
    assert in_favour(P99, PASS_AT, 0.2) < PASS_AT


def test_a_breach_may_be_under_way() -> None:
    calm, steep = zero(), started(P99, zero())
    assert not suspicious(P99, calm, 0.01)
    assert suspicious(P99, calm, 0.02), "the last block was beyond"
    assert not suspicious(P99, started(P99, steep), 0.0), "weight increases alone are no sign"
    assert suspicious(P99, against(P99, steep, 1.0, 5.0), 0.0)


@pytest.mark.parametrize(
    ("allowed", "refuted"), [(0.0, 0.05), (0.001, 0.05), (0.01, 0.05), (0.05, 0.25), (0.5, 0.75), (0.99, 0.995)]
)
def test_what_pass_refutes(allowed: float, refuted: float) -> None:
    assert Rail("errors", allowed=allowed).refuted == pytest.approx(refuted)


def test_refuses_what_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="0 to below 1"):
        Rail("errors", allowed=1.0)
    with pytest.raises(ValueError, match="above 0 and at most 1 a day"):
        Rail("errors", allowed=0.1, false_per_day=0.0)
