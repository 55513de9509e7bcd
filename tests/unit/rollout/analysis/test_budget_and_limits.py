"""How the error is split, how verdicts combine, and guard rails with their counter."""

import math

import pytest

from belay_api.reasons import Verdict
from belay_operator.rollout.analysis.budget import FIRST_TRIAL, split
from belay_operator.rollout.analysis.limits import GuardRail, judge_limit

P99 = GuardRail("latency-p99", max=0.1)


@pytest.mark.parametrize("metrics", [1, 2, 7])
def test_parts_sum_to_the_stated_rate(metrics: int) -> None:
    budget = split(0.01, metrics)
    assert metrics * (budget.outcome + budget.missing) == pytest.approx(0.01 * FIRST_TRIAL)
    assert budget.outcome > budget.missing > 0


@pytest.mark.parametrize("rate", [0, -1, 0.5, math.nan])
def test_refuses_a_rate_without_meaning(rate: float) -> None:
    with pytest.raises(ValueError, match="falseRollbackRate"):
        split(rate, 1)


def look(values: list[float | None], limit: GuardRail = P99) -> tuple[list[Verdict], int]:
    verdicts, breaches = [], 0
    for value in values:
        evidence = judge_limit(limit, value, breaches=breaches)
        assert evidence.breaches is not None
        breaches = evidence.breaches
        verdicts.append(evidence.verdict)
    return verdicts, breaches


WAIT, GOOD, BAD = Verdict.NOT_ENOUGH_SAMPLES, Verdict.PASS, Verdict.FAIL


def test_three_breaches_in_a_row_fail() -> None:
    assert look([0.1, 0.2, 0.2, 0.2, 0.2]) == ([GOOD, WAIT, WAIT, BAD, BAD], 3)


def test_counter_decays_instead_of_starting_over() -> None:
    assert look([0.2, 0.2, 0.05, 0.2, 0.2]) == ([WAIT, WAIT, WAIT, WAIT, BAD], 3)
    assert look([0.2, 0.05, 0.2, 0.05]) == ([WAIT, GOOD, WAIT, GOOD], 0)


def test_no_measurement_leaves_the_counter_alone() -> None:
    verdicts, breaches = look([0.2, 0.2, None, math.nan, 0.2])
    assert verdicts == [WAIT, WAIT, Verdict.PROVIDER_DOWN, Verdict.NO_DATA, BAD]
    assert breaches == 3


def test_lower_limit_and_infinity() -> None:
    floor = GuardRail("revenue", min=10.0, breaches_to_fail=1)
    assert look([10.0, 9.9], floor)[0] == [GOOD, BAD]
    assert look([math.inf] * 3)[0][-1] is BAD


def test_refuses_a_limit_without_bounds() -> None:
    with pytest.raises(ValueError, match="needs max or min"):
        GuardRail("errors")
