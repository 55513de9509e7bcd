"""When a seed ends before its budget."""

import pytest

from belay_api.training import EvaluationSpec
from belay_trainer import early


@pytest.mark.parametrize(("mean", "ends"), [(474.9, False), (475.0, True), (500.0, True)])
def test_a_target_ends_a_seed_when_it_is_reached(mean: float, ends: bool) -> None:
    words = early.enough(EvaluationSpec(target=475), step=3000, mean=mean, without_gain=0)
    assert (words is not None) == ends
    assert words is None or "evaluation.target is 475" in words


def test_a_target_may_be_negative_or_zero() -> None:
    assert early.enough(EvaluationSpec(target=-200), step=1, mean=-199.0, without_gain=0)
    assert not early.enough(EvaluationSpec(target=0), step=1, mean=-0.5, without_gain=0)


@pytest.mark.parametrize(("without_gain", "ends"), [(0, False), (2, False), (3, True)])
def test_patience_ends_a_seed_that_gets_no_better(without_gain: int, ends: bool) -> None:
    words = early.enough(EvaluationSpec(patience=3), step=3000, mean=1.0, without_gain=without_gain)
    assert (words is not None) == ends


def test_nothing_asked_for_ends_nothing() -> None:
    assert early.enough(EvaluationSpec(), step=1, mean=1e9, without_gain=1000) is None
    assert early.hopeless(EvaluationSpec(), step=10**9, best=-1e9) is None


@pytest.mark.parametrize(
    ("step", "best", "given_up"),
    [(900, -1.0, False), (1000, -1.0, True), (1000, 20.0, False), (5000, 19.9, True)],
)
def test_a_seed_that_comes_to_nothing_is_given_up(step: int, best: float, given_up: bool) -> None:
    spec = EvaluationSpec.model_validate({"stopLoss": {"after": 1000, "return": 20}})
    assert (early.hopeless(spec, step=step, best=best) is not None) == given_up
