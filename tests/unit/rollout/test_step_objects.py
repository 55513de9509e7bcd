"""A step kind with a Job of its own: made once, left as it is, and gone with its step."""

from dataclasses import replace

import pytest
from tests.unit.rollout.stage import Stage

from belay_api.rollout.steps import Step
from belay_operator.children import child_labels
from belay_operator.engine.plan import Manifest
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.steps import KINDS
from belay_operator.rollout.steps.pause import Pause


class Rehearsal(Pause):
    """A pause beside which a Job runs."""

    def objects(self, step: Step, observed: Observed) -> tuple[Manifest, ...]:
        settings, labels = observed.settings, child_labels({}, observed.settings.labels)
        spec = {"template": {"spec": {"containers": [{"name": "rehearse", "image": settings.trainer_image}]}}}
        return (observed.owner.child("batch/v1", "Job", "rehearsal", labels, spec=spec),)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A rollout in a step whose Job runs."""
    monkeypatch.setitem(KINDS, "pause", Rehearsal())
    made = Stage("a", "b").go()
    assert not jobs(made)
    made.wants("b")
    made.go(seconds=1)
    assert jobs(made)
    return made


def jobs(stage: Stage) -> list[str]:
    return [name for kind, _, name in stage.world.objects if kind == "Job"]


def test_its_job_is_gone_when_the_next_step_begins(stage: Stage) -> None:
    stage.go(seconds=31)
    assert stage.status.step is not None
    assert stage.status.step.kind == "analyze"
    assert jobs(stage) == []


def test_its_job_is_gone_when_the_candidate_is_taken_back(stage: Stage) -> None:
    stage.command("abort@1")
    stage.passes()
    assert jobs(stage) == []


def test_its_job_is_left_as_it_is_by_another_installation(stage: Stage) -> None:
    """The API server refuses another template, and the whole plan with it."""
    stage.world.settings = replace(stage.world.settings, trainer_image="belay-trainer:next")
    stage.go(seconds=1)
    assert stage.world.log.count("apply Job rehearsal") == 1


def test_the_job_of_a_newer_operators_step_is_not_ended(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(KINDS, "pause")
    stage.passes()
    assert jobs(stage) == ["rehearsal"]
