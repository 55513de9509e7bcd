"""A training job's decisions, case by case."""

from pathlib import Path

import pytest
from tests.cases import Case, case_files, plan_as_yaml
from tests.unit.training.given import GIVEN, NAME, world_of
from tests.world import key_of

from belay_operator.training.observe import KIND

CASES = case_files(Path(__file__).parent / "cases" / "decide")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_decide(path: Path, refresh: bool) -> None:
    case = Case.read(path, given=GIVEN)
    world = world_of(case.given)
    key = key_of(world.objects["RLTrainingJob", "default", NAME])
    found = plan_as_yaml(world.plan(KIND, key, case.now))
    if refresh:
        case.rewrite(found)
    assert found == case.want

    world.settle(KIND, key, now=case.now)
    assert world.would_write(KIND, key, case.now) == [], "a pass over a settled world writes nothing"
