"""Steps that the spec does not list: what recipes come to, and a trial that keeps to what it began with."""

from typing import Any

import pytest
from tests.unit.rollout.stage import KEY, SPEC, Stage
from tests.world import belay_object

from belay_api.rollout.recipes import Recipe
from belay_operator.engine.change import Change
from belay_operator.engine.plan import Key
from belay_operator.rollout.observe import KIND

CANARY = {"canary": {"weights": [10, 50]}}


def steps(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    return [step.said() for step in Recipe.model_validate(recipe).steps()]


@pytest.mark.parametrize(
    ("recipe", "wanted"),
    [
        (
            {"canary": {}},
            [{"setWeight": 5}, {"analyze": {}}, {"setWeight": 25}, {"analyze": {}}, {"setWeight": 50}, {"analyze": {}}],
        ),
        (
            {"canary": {"weights": [20], "pause": "10m", "timeout": "2h", "approve": {"timeout": "1d"}}},
            [
                {"setWeight": 20},
                {"pause": {"duration": "10m"}},
                {"analyze": {"timeout": "2h"}},
                {"approve": {"timeout": "1d"}},
            ],
        ),
        (
            {"shadowThenCanary": {"weights": [20], "shadow": {"duration": "1h", "maxDisagreement": "10%"}}},
            [{"shadow": {"duration": "1h", "maxDisagreement": "10%"}}, {"setWeight": 20}, {"analyze": {}}],
        ),
        ({"blueGreen": {"approve": {}}}, [{"approve": {}}]),
        ({"blueGreen": {"pause": "30m"}}, [{"pause": {"duration": "30m"}}]),
        (
            {"blueGreen": {"pause": "30m", "approve": {"timeout": "1h"}}},
            [{"pause": {"duration": "30m"}}, {"approve": {"timeout": "1h"}}],
        ),
    ],
    ids=["canary", "all knobs", "shadow first", "blue-green", "blue-green by time", "blue-green by both"],
)
def test_a_recipe_is_what_a_person_would_have_written(recipe: dict[str, Any], wanted: list[dict[str, Any]]) -> None:
    assert steps(recipe) == wanted


def test_a_recipe_promotes_as_its_steps_do() -> None:
    stage = Stage("a", "b", steps=[], recipe=CANARY).go()
    stage.wants("b")
    stage.go(seconds=1)
    assert stage.weights == {"a": 9000, "b": 1000}
    for weight in (5000, 10000):
        stage.later(seconds=95)
        stage.scrape("b", rate=10.0)
        stage.episodes("return", {"a": (200, 480.0, 40.0), "b": (200, 479.0, 40.0)})
        stage.go()
        assert stage.weights is not None
        assert stage.weights["b"] == weight
    assert stage.status.step is not None
    assert stage.status.step.kind == "bake"


def test_going_back_to_a_warm_version_asks_for_no_steps() -> None:
    """The steps cannot be carried out, and whoever goes back is in a hurry."""
    stage = Stage("a", "b", steps=[{"setWeight": 50}]).go()
    stage.wants("b")
    stage.go(seconds=1)
    stage.command("promote@1")
    stage.go(seconds=1).go(seconds=1)
    assert stage.status.stable is not None
    assert stage.status.stable.policy == "b"
    stage.world.patch("RLRollout", "cartpole", {"spec": {"steps": None, "recipe": CANARY, "analysis": {"metrics": []}}})
    stage.go(seconds=1)
    assert (stage.reason, stage.status.phase) == ("InvalidSpec", "Degraded")
    stage.wants("a")
    stage.go(seconds=1).go(seconds=1)
    assert stage.status.stable.policy == "a"
    stage.publish("c")
    stage.wants("c")
    stage.go(seconds=1)
    assert (stage.reason, stage.status.candidate) == ("InvalidSpec", None)


def test_a_recipe_of_another_version_takes_nothing_from_a_trial() -> None:
    """The operator was turned back: it does not know the knob, and traffic does not depend on it."""
    stage = Stage("a", "b", steps=[], recipe=CANARY).go()
    stage.wants("b")
    stage.go(seconds=1)
    began = stage.status.progression
    stage.world.patch("RLRollout", "cartpole", {"spec": {"recipe": {"canary": {"knob": 1}}}})
    stage.go(seconds=1)
    assert (stage.reason, stage.weights) == ("InvalidSpec", {"a": 9000, "b": 1000})
    assert "spec.recipe.canary.knob" in stage.message
    assert stage.status.progression == began
    stage.command("abort@1")
    stage.go(seconds=1)
    assert stage.weights == {"a": 10000}


# --- by reference -----------------------------------------------------------------------------------------------------
def by_reference(*names: str) -> Stage:
    """`a` serves, and the list says 10 and then 50 percent."""
    stage = Stage("a", *names, steps=[], analysis={}, progression={"name": "ramp"})
    writes(stage, 10, 50)
    return stage.go()


def writes(stage: Stage, *weights: int) -> None:
    """Somebody applies the list: weights, and a person to go on after each."""
    listed = [step for weight in weights for step in ({"setWeight": weight}, {"pause": {}})]
    stage.world.put(belay_object("RLProgression", "ramp", {"steps": listed}))


def test_an_edit_of_the_list_holds_from_the_next_trial_on() -> None:
    stage = by_reference("b", "c")
    stage.wants("b")
    stage.go(seconds=1)
    assert stage.weights == {"a": 9000, "b": 1000}
    writes(stage, 1, 99)
    stage.go(seconds=1)
    stage.command("resume@1")
    stage.go(seconds=1)
    assert stage.weights == {"a": 5000, "b": 5000}, "not 99 percent, and not the first step again"
    assert stage.status.progression is not None
    assert stage.status.progression.generation == 1
    stage.command("promote@2")
    stage.go(seconds=1).go(seconds=1)
    assert stage.status.progression.generation == 2
    stage.wants("c")
    stage.go(seconds=1)
    assert stage.weights == {"b": 9900, "c": 100}


def test_a_trial_that_follows_in_the_same_pass_takes_the_list_as_it_is_then() -> None:
    """Of a family the next one begins in the pass that ends the trial before."""
    stage = by_reference()
    stage.world.patch("RLRollout", "cartpole", {"spec": {"policy": {"name": None, "latestOf": "hopper"}}})
    for policy in "bc":
        stage.later(seconds=1)
        stage.publish(policy, family="hopper")
        stage.go(seconds=1)
    assert stage.weights == {"a": 9000, "b": 1000}
    writes(stage, 1)
    stage.command("promote@1")
    stage.go(seconds=1).go(seconds=1)
    assert stage.weights == {"b": 9900, "c": 100}


def test_a_list_that_is_deleted_takes_nothing_from_a_trial() -> None:
    stage = by_reference("b", "c")
    stage.wants("b")
    stage.go(seconds=1)
    stage.world.remove("RLProgression", "ramp")
    stage.go(seconds=1)
    stage.command("resume@1")
    stage.go(seconds=1)
    assert stage.weights == {"a": 5000, "b": 5000}
    stage.command("abort@2")
    stage.go(seconds=1)
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.go()
    assert stage.weights == {"a": 10000}
    stage.wants("c")
    stage.go(seconds=1)
    assert (stage.reason, stage.status.candidate) == ("ProgressionNotFound", None)
    writes(stage, 20)
    stage.go(seconds=1)
    assert stage.weights == {"a": 8000, "c": 2000}


def test_a_list_concerns_who_takes_it_and_only_when_its_steps_change() -> None:
    stage = by_reference()
    stage.world.put(belay_object("RLRollout", "other", {**SPEC, "progression": {"name": "other"}}))
    before, after = (belay_object("RLProgression", "ramp", {"steps": [{"setWeight": weight}]}) for weight in (5, 6))

    def concerned(*sides: dict[str, Any] | None) -> list[Key]:
        return list(KIND.related(Change("RLProgression", *sides), stage.world))

    assert concerned(before, after) == concerned(before, None) == concerned(None, after) == [KEY]
    assert concerned(before, before) == []
