"""Killed at every effect of every transition: each plan of whole lives is carried out up to each of its effects.

What to kill at comes from the plans themselves, so a feature that brings an effect brings its deaths along. Random
courses are killed at random in `test_properties`; an operator process at each write to a real API server in
`tests/api/rollout`.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.unit.rollout.model.acts import SEEN_SILENT, act
from tests.unit.rollout.model.starts import start
from tests.unit.rollout.stage import KEY, Stage
from tests.unit.rollout.test_properties import everything

from belay_operator.engine.plan import Plan
from belay_operator.rollout.observe import KIND


@dataclass(frozen=True)
class Life:
    """What happens to a rollout, and the Event that is told last."""

    start: str
    acts: tuple[str, ...]
    told_last: str


LIVES = {
    "a trial by a list, behind a preview, and its rollback": Life(
        "shown",
        ("want c", "gateway accepts", "list edited", "half minute", "gateway accepts", "abort@1", *SEEN_SILENT),
        "RolledBack",
    ),
    "kept to be looked at, then let go": Life(
        "shown",
        ("want c", "gateway accepts", "abort@1", *SEEN_SILENT, "preview accepted", "hours", "list taken"),
        "RolledBack",
    ),
    "a preview that is taken out on trial": Life(
        "shown",
        ("want c", "gateway accepts", "preview taken out", "preview asked for", "preview deleted", "promote@1"),
        "CommandExecuted",
    ),
    "undone while the version before is warm": Life(
        "shown", ("undo@1", "gateway accepts", *SEEN_SILENT, "retry@2"), "StepStarted"
    ),
    "stable is not seen, then beyond its limits, and goes back": Life(
        "shown",
        (
            "back when degraded",
            "limits of stable unseen",
            "limits of stable broken",
            *SEEN_SILENT,
            "limits of stable kept",
        ),
        "RolledBack",
    ),
    "a group that is full, then is not": Life(
        "shown",
        ("other begins", "want c", "second", "other ends", "second", "gateway accepts", "want a"),
        "RollbackStarted",
    ),
    "a family": Life(
        "shown", ("family followed", "gateway accepts", "promote@1", "gateway accepts", "second"), "Promoted"
    ),
    "closed windows, and a command that is refused": Life(
        "two",
        ("windows closed", "want b", "gateway accepts", "promote@1", "gateway accepts", "windows open", "second"),
        "StepStarted",
    ),
    "a shadow, and its end": Life(
        "two",
        ("steps shadow", "want b", "gateway accepts", "shadow agrees", "half minute", "gateway accepts", "abort@1"),
        "RollbackStarted",
    ),
    "some users first": Life(
        "two",
        ("steps match", "want b", "gateway accepts", "half minute", "gateway accepts", "b deleted", *SEEN_SILENT),
        "RolledBack",
    ),
    "the anchor beside a trial": Life(
        "three",
        ("want c", "gateway accepts", "a has no pods", "gateway accepts", "all have pods", "abort@1", *SEEN_SILENT),
        "RolledBack",
    ),
    "arms that compete, and a person who ends it": Life(
        "two",
        ("b and c compete", "gateway accepts", "half minute", "better episodes", "fast", "want d", "gateway accepts"),
        "ExperimentEnded",
    ),
    "a weight by pods, past half, and back": Life(
        "pods",
        ("want b", "gateway accepts", "half minute", "gateway accepts", "b has one pod", "abort@1", *SEEN_SILENT),
        "RolledBack",
    ),
    "a promotion by pods": Life(
        "pods", ("want b", "gateway accepts", "promote@1", "gateway accepts", "second", "want a"), "RolloutStarted"
    ),
    "without a logbook, with an older status": Life(
        "two",
        (
            "want b",
            "gateway accepts",
            "half minute",
            "gateway accepts",
            "good episodes",
            "logbook away",
            "hours",
            "status restored",
        ),
        "StepStarted",
    ),
}


@pytest.mark.parametrize("life", sorted(LIVES))
def test_killed_at_every_effect_of_every_transition(life: str) -> None:
    """Whatever of a plan was done, those who come after it end where nobody had died."""
    stage, deaths = start(LIVES[life].start), 0
    for one in LIVES[life].acts:
        act(stage, one)
        undisturbed = copy.deepcopy(stage)
        undisturbed.passes()
        for killed in killed_at_each_effect(stage):
            killed.passes()
            assert everything(killed) == everything(undisturbed), one
            deaths += 1
        stage = undisturbed
    assert deaths > 3
    assert stage.told[-1] == LIVES[life].told_last, "it was another life"


def killed_at_each_effect(stage: Stage) -> Iterator[Stage]:
    """Each place at which an operator can die before nothing is left to do; the stage goes through its passes."""
    while effects := effects_of(plan := stage.world.plan(KIND, KEY, stage.now)):
        for done in range(1, effects):
            killed = copy.deepcopy(stage)
            killed.world.execute(KEY, plan, now=stage.now, effects=done)
            yield killed
        if not stage.world.execute(KEY, plan, now=stage.now):
            return


def effects_of(plan: Plan) -> int:
    """How many things a plan does, one after the other."""
    return (plan.status is not None) + sum(map(len, (plan.create, plan.apply, plan.delete, plan.events)))
