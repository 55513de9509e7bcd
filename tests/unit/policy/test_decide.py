"""A policy's decisions, case by case."""

from pathlib import Path

import pytest
from tests.cases import Case, case_files, plan_as_yaml
from tests.unit.policy.given import GIVEN, NAME, world_of
from tests.world import World, key_of

from belay_operator.policy.observe import KIND

CLOSED_AT = "2026-05-04T09:59:59Z"
CASES = case_files(Path(__file__).parent / "cases" / "decide")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_decide(path: Path, refresh: bool) -> None:
    case = Case.read(path, given=GIVEN)
    world = world_of(case.given)
    key = key_of(world.objects["RLPolicy", "default", NAME])
    plan = world.plan(KIND, key, case.now)
    found = plan_as_yaml(plan)
    world.settle(KIND, key, now=case.now)
    found |= {"children": _children(world)} if plan.apply else {}

    if refresh:
        case.rewrite(found)
    assert found == case.want
    assert world.would_write(KIND, key, case.now) == [], "a pass over a settled world writes nothing"


@pytest.mark.parametrize(
    ("rollback", "priority"),
    [
        pytest.param({}, 2, id="under way"),
        pytest.param({"endpointsClosedAt": CLOSED_AT}, 0, id="overdue"),
        pytest.param({"endpointsClosedAt": CLOSED_AT, "drainedAt": CLOSED_AT}, 0, id="over, the route not in force"),
        pytest.param(
            {"endpointsClosedAt": CLOSED_AT, "drainedAt": CLOSED_AT, "weightZeroAt": CLOSED_AT}, 2, id="proven"
        ),
    ],
)
def test_closing_the_endpoints_of_an_overdue_rollback_goes_before_everything(
    rollback: dict[str, str], priority: int
) -> None:
    world = world_of({"rollouts": [{"candidate": True, "rollback": rollback}]})
    assert KIND.priority(world.objects["RLPolicy", "default", NAME], world) == priority


def _children(world: World) -> dict[str, object]:
    """What of the children a decision is about: how many pods, and whether they can be reached."""
    deployment, service = (world.get(kind, "default", NAME) or {} for kind in ("Deployment", "Service"))
    return {
        "replicas": deployment.get("spec", {}).get("replicas"),
        "selector": dict(service.get("spec", {}).get("selector", {})),
    }
