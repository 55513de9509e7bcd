"""No error is spent twice on one candidate: a digest that comes again, or is judged otherwise, has what is left."""

import pytest
from tests.unit.rollout.stage import ANALYSIS, Stage
from tests.unit.rollout.test_stories import healthy

from belay_operator.rollout.analysis.budget import split


def on_trial() -> Stage:
    stage = healthy("b", "c", steps=[{"setWeight": 50}, {"pause": {"duration": "10h"}}])
    stage.wants("b")
    stage.go(seconds=1)
    assert counts(stage) == [1]
    return stage


def counts(stage: Stage) -> list[int]:
    return [one.count for one in stage.status.trials]


def test_all_trials_together_keep_the_stated_rates() -> None:
    spent = [split(0.01, 2, trial=trial) for trial in range(1, 10_000)]
    assert 2 * sum(one.outcome + one.missing for one in spent) == pytest.approx(0.01, rel=1e-4)
    assert sum(one.wrong_promotion for one in spent) == pytest.approx(0.025, rel=1e-4)
    assert spent[0].outcome > 0.85 * 0.005 * 0.9


def test_a_digest_that_comes_again_is_another_test_of_it() -> None:
    stage = on_trial()
    stage.wants("c")
    stage.go(seconds=1).later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go(seconds=1)
    assert counts(stage) == [1, 1]
    stage.wants("b")
    stage.go(seconds=1).later(seconds=2)
    stage.scrape("c", rate=0.0)
    stage.go(seconds=1)
    assert counts(stage) == [1, 2]


def test_a_retry_is_another_test() -> None:
    stage = on_trial()
    stage.command("abort@1")
    stage.go(seconds=1).later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go(seconds=1)
    stage.command("retry@2")
    stage.go(seconds=1)
    assert counts(stage) == [2]


@pytest.mark.parametrize(
    "edit",
    [
        {"metrics": [{**ANALYSIS["metrics"][0], "compare": {"maxRegression": "20%"}}, ANALYSIS["metrics"][1]]},
        {"metrics": [{**ANALYSIS["metrics"][0], "name": "renamed"}, ANALYSIS["metrics"][1]]},
        {"falseRollbackRate": 0.2},
        {"grace": "3s"},
    ],
)
def test_an_edit_of_what_it_is_judged_by_is_another_test(edit: dict[str, object]) -> None:
    stage = on_trial()
    stage.scrape("b", rate=50.0)
    stage.passes()
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": edit}})
    stage.passes()
    assert counts(stage) == [2]


def test_an_edit_of_a_limit_is_none() -> None:
    stage = on_trial()
    stage.scrape("b", rate=50.0)
    stage.passes()
    metrics = [ANALYSIS["metrics"][0], {**ANALYSIS["metrics"][1], "limit": {"max": "200ms"}}]
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": {"metrics": metrics}}})
    stage.passes()
    assert counts(stage) == [1]


def test_a_first_version_is_no_test() -> None:
    assert counts(healthy()) == []
