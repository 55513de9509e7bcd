"""How the error is split over metrics and over the trials of a candidate."""

import math

import pytest

from belay_operator.rollout.analysis.budget import FIRST_TRIAL, split


@pytest.mark.parametrize("metrics", [1, 2, 7])
def test_parts_sum_to_the_stated_rate(metrics: int) -> None:
    budget = split(0.01, metrics)
    assert metrics * (budget.outcome + budget.missing) == pytest.approx(0.01 * FIRST_TRIAL)
    assert budget.outcome > budget.missing > 0


@pytest.mark.parametrize("rate", [0, -1, 0.5, math.nan])
def test_refuses_a_rate_without_meaning(rate: float) -> None:
    with pytest.raises(ValueError, match="falseRollbackRate"):
        split(rate, 1)
