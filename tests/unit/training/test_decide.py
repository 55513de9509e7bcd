"""A training job's decisions, case by case."""

from pathlib import Path
from typing import Any

import pytest
from tests.cases import Case, case_files, plan_as_yaml
from tests.unit.training.given import GIVEN, NAME, world_of
from tests.world import SETTINGS, key_of

from belay_operator.training.observe import KIND, observe

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


@pytest.mark.parametrize(("finished", "read"), [({}, True), ({"finishedAt": "2026-05-04T09:00:00Z"}, False)])
def test_a_job_that_is_over_reads_no_policies(finished: dict[str, str], read: bool) -> None:
    """Each change of its policy wakes it for ever after, and a namespace may have thousands of others."""
    ready = {"type": "Ready", "status": "True", "reason": "Published", "lastTransitionTime": "2026-05-04T09:00:00Z"}
    status = {"phase": "Succeeded", "conditions": [ready], **finished}
    given: dict[str, Any] = {
        "spec": {"publish": {"family": NAME}},
        "status": status,
        "job": {"ended": {"type": "Complete"}},
    }
    world = world_of({**given, "policies": {"cartpole-222222": 1}})
    assert bool(observe(world.objects["RLTrainingJob", "default", NAME], world, SETTINGS).policies) is read
