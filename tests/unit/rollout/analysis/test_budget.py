"""How the error is split, and how verdicts combine."""

import math
from itertools import permutations

import pytest

from belay_api.reasons import Verdict
from belay_operator.rollout.analysis.budget import WORST_FIRST, combine, split


@pytest.mark.parametrize("metrics", [1, 2, 7])
def test_parts_sum_to_the_stated_rate(metrics: int) -> None:
    budget = split(0.01, metrics)
    assert metrics * (budget.outcome + budget.missing) == pytest.approx(0.01)
    assert budget.outcome > budget.missing > 0


@pytest.mark.parametrize("rate", [0, -1, 0.5, math.nan])
def test_refuses_a_rate_without_meaning(rate: float) -> None:
    with pytest.raises(ValueError, match="falseRollbackRate"):
        split(rate, 1)


def test_worst_verdict_wins_in_any_order() -> None:
    assert set(WORST_FIRST) == set(Verdict)
    for order in permutations(WORST_FIRST, 3):
        assert combine(order) is min(order, key=WORST_FIRST.index)
    assert combine([Verdict.PASS, Verdict.PASS]) is Verdict.PASS
    assert combine([]) is Verdict.NO_DATA  # zero measurements never pass
