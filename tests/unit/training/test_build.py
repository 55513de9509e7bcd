"""The form of a RLTrainingJob's children, whole."""

from pathlib import Path

import pytest
from tests.cases import Case, case_files, plan_as_yaml
from tests.unit.training.given import GIVEN, NAME, world_of
from tests.world import key_of

from belay_operator.training.observe import KIND

CASES = case_files(Path(__file__).parent / "cases" / "manifests")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_build(path: Path, refresh: bool) -> None:
    case = Case.read(path, given=GIVEN)
    world = world_of(case.given)
    plan = world.plan(KIND, key_of(world.objects["RLTrainingJob", "default", NAME]), case.now)

    said = plan_as_yaml(plan, full=True)
    found = said.get("create", []) + said["apply"]
    if refresh:
        case.rewrite(found)
    assert found == case.want
