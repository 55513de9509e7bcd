"""What Argo CD makes of Belay's statuses, by the scripts of the chart in the Lua that it speaks (5.1)."""

import re
from pathlib import Path
from typing import Any

import pytest
from lupa.lua51 import LuaRuntime
from tests.unit.rollout.stage import Stage

from belay_api.reasons import PolicyReason, RolloutReason, TrainingReason
from belay_operator.rollout.commands import ACTIONS
from belay_operator.rollout.situations.command_given import parse

SCRIPTS = Path(__file__).parents[3] / "charts/belay/files/argocd"
TEMPLATE = (SCRIPTS.parents[1] / "templates/argocd.yaml").read_text()
COMMANDS = re.findall(r'"(\w+)"', next(line for line in TEMPLATE.splitlines() if '"promote"' in line))


def run(script: str, body: dict[str, Any]) -> Any:
    lua = LuaRuntime()
    lua.globals()["obj"] = lua.table_from(body, recursive=True)
    return lua.execute(script)


def health(body: dict[str, Any]) -> str:
    return str(run((SCRIPTS / "health.lua").read_text(), body)["status"])


def said(reason: str, *, ready: bool = False, stalled: bool = False, generation: int = 1) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready), "reason": reason, "message": "why"}]
    conditions += [{"type": "Stalled", "status": "True", "reason": reason}] if stalled else []
    status = {"observedGeneration": generation, "conditions": conditions}
    return {"metadata": {"name": "one", "generation": 1}, "status": status}


def seen(stage: Stage) -> dict[str, Any]:
    return stage.world.objects["RLRollout", "default", "cartpole"]


def possible(stage: Stage) -> set[str]:
    found = run((SCRIPTS / "discovery.lua").read_text(), seen(stage))
    assert set(found) == set(COMMANDS)
    return {name for name in found if not found[name]["disabled"]}


def act(stage: Stage, command: str) -> str:
    """Run the action as the chart has it, and return what it wrote."""
    script = (SCRIPTS / "action.lua").read_text().replace("COMMAND@", f"{command}@")
    changed = run(script, seen(stage))
    return str(changed["metadata"]["annotations"]["belay.dev/command"])


def test_nobody_is_healthy_by_an_older_generation_or_before_he_was_looked_at() -> None:
    assert health({"metadata": {"name": "one", "generation": 1}}) == "Progressing"
    assert health({"metadata": {"name": "one", "generation": 1}, "status": {"phase": "Pending"}}) == "Progressing"
    assert health(said("Healthy", ready=True, generation=0)) == "Progressing"
    assert health(said("Healthy", ready=True)) == "Healthy"


@pytest.mark.parametrize("reason", sorted({*RolloutReason, *PolicyReason, *TrainingReason}))
def test_what_stalls_is_degraded_but_where_a_person_is_waited_for(reason: str) -> None:
    person = {"ApprovalNeeded", "Paused", "OutsideWindows", "Holding", "GraceTooShort", "Suspended", "BudgetSpent"}
    mend = {"ArtifactNotFound", "PodStartFailed", "ChildRefused", "ChildConflict"}
    assert health(said(reason, stalled=True)) == ("Suspended" if reason in person else "Degraded")
    waiting = "Suspended" if reason in person else "Degraded" if reason in mend else "Progressing"
    assert health(said(reason)) == waiting
    assert health(said(reason, ready=True)) == "Healthy"


def test_the_commands_are_those_of_the_operator() -> None:
    assert set(COMMANDS) == set(ACTIONS)


def test_a_course_with_its_actions() -> None:
    stage = Stage("a", "b", steps=[{"setWeight": 10}, {"approve": {}}, {"pause": {}}])
    stage.go()
    assert (health(seen(stage)), possible(stage)) == ("Healthy", set())
    stage.wants("b")
    stage.go(seconds=1)
    assert (health(seen(stage)), stage.reason) == ("Suspended", "ApprovalNeeded")
    assert possible(stage) == {"promote", "abort", "skip", "pause", "approve"}
    stage.command("approve@1")
    stage.go(seconds=1)
    assert (health(seen(stage)), possible(stage)) == ("Suspended", {"promote", "abort", "skip", "pause", "resume"})
    written = act(stage, "abort")
    assert parse(written).action == "abort"
    assert re.fullmatch(r"argocd-\d+", parse(written).id)
    stage.command(written)
    stage.go(seconds=1)
    assert possible(stage) == set(), "nothing hinders a rollback"
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.passes()
    assert (health(seen(stage)), possible(stage)) == ("Degraded", {"retry"})
