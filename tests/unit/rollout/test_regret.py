"""What the next weight risks: for how long the spec may keep a candidate where; and how often status is written."""

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.rollout.stage import Stage

from belay_api.rollout.spec import RLRolloutSpec
from belay_operator.rollout.regret import Stay, next_stay

HOUR = timedelta(hours=1)
TRAFFIC = {"gatewayAPI": {"parentRefs": [{"name": "gw"}]}}


def spec(*steps: dict[str, Any]) -> RLRolloutSpec:
    said = {"policy": {"name": "b"}, "traffic": TRAFFIC, "steps": list(steps), "bake": {"duration": "1h"}}
    metric = {"name": "return", "source": {"logbook": {"outcome": "return"}}, "compare": {"maxRegression": "10%"}}
    return RLRolloutSpec.model_validate({**said, "analysis": {"metrics": [metric]}})


@pytest.mark.parametrize(
    ("steps", "after", "weight", "stay"),
    [
        ([{"setWeight": 5}, {"pause": {"duration": "1h"}}], 0, 5, Stay(100.0, HOUR)),
        ([{"setWeight": 5}, {"setWeight": 25}, {"pause": {"duration": "2h"}}], 0, 5, Stay(25.0, 2 * HOUR)),
        (
            [{"setWeight": 5}, {"setWeight": 25}, {"setWeight": 50}, {"analyze": {"timeout": "3h"}}],
            0,
            5,
            Stay(50.0, 3 * HOUR),
        ),
        ([{"setWeight": 5}, {"setWeight": 25}, {"analyze": {}}], 0, 5, Stay(25.0, 24 * HOUR)),
        ([{"setWeight": 50}, {"setWeight": 25}, {"analyze": {}}], 0, 50, Stay(100.0, HOUR)),
        ([{"setWeight": 5}, {"setWeight": 100}, {"approve": {"timeout": "1h"}}], 0, 5, Stay(100.0, 2 * HOUR)),
        ([{"setWeight": 5}, {"setWeight": 25}, {"pause": {}}], 0, 5, Stay(100.0, HOUR)),
        (
            [{"setWeight": 5}, {"setWeight": 25}, {"together": {"with": ["x"], "timeout": "2h"}}],
            0,
            5,
            Stay(25.0, 2 * HOUR),
        ),
        ([], 0, 100, None),
    ],
)
def test_where_the_candidate_goes_next_and_for_how_long(
    steps: list[dict[str, Any]], after: int, weight: float, stay: Stay | None
) -> None:
    assert next_stay(spec(*steps), after=after, weight=weight) == stay


def test_it_is_written_with_the_verdicts_and_not_at_every_look() -> None:
    stage = Stage("a", "b").go()
    stage.wants("b")
    stage.go(seconds=1)
    written = stage.world.log.count("status RLRollout cartpole")
    for index in range(20):
        stage.later(seconds=0.5)
        stage.episodes("return", {"a": (200 + 5 * index, 480.0, 40.0), "b": (20 + 5 * index, 479.0, 40.0)})
        stage.passes()
    assert stage.status.regret is not None
    assert 0 < stage.world.log.count("status RLRollout cartpole") - written <= 4, "in ten seconds"
