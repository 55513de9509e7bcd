"""Layers around an environment are part of the task: trained in, measured in, exported, and named in the artifact."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from trainer_configs import make_config

from belay_api.artifact import EvaluationReport, verify
from belay_api.environment import EnvironmentSpec, WrapperSpec
from belay_trainer import environments
from belay_trainer.config import Run
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration
from belay_trainer.export import Evaluations, export, loaded
from belay_trainer.train import build
from belay_trainer.wrapping.wrappers import KNOWN, REFUSED

REPORT = EvaluationReport(step=7, episodes=1, first_seed=0, mean=1.0, std=0.0, min=1.0, max=1.0)
PLAYED = Evaluations(REPORT, selection=REPORT, step=7)
STACKED = {"name": "FrameStackObservation", "kwargs": {"stack_size": 3}}
FLAT = {"name": "FlattenObservation"}
HALVED = {"name": "layered_tasks:Halved"}


def _made(*wrappers: dict[str, Any], id: str = "tasks:Countdown-v0") -> Environment:
    return environments.maker(EnvironmentSpec.model_validate({"id": id, "wrappers": list(wrappers)}))()


def test_the_first_layer_is_the_innermost() -> None:
    inner = _made(HALVED, STACKED, FLAT)
    np.testing.assert_array_equal(inner.reset(seed=3)[0], np.array([2.0, 0.5] * 3, np.float32))  # 4 timesteps are left
    quartered = _made(HALVED, {"name": "layered_tasks:Halved", "kwargs": {"by": 10.0}})
    np.testing.assert_array_equal(quartered.reset(seed=3)[0], np.array([0.2, 0.05], np.float32))


def test_a_time_limit_is_the_cap_that_everybody_knows_of() -> None:
    limited = _made({"name": "TimeLimit", "kwargs": {"max_episode_steps": 5}}, id="CartPole-v1")
    assert environments.cap(limited) == 5
    limited.reset(seed=0)
    assert [limited.step(step % 2)[3] for step in range(5)] == [False] * 4 + [True]


def test_lists_become_what_gymnasium_wants() -> None:
    bounds = {"min_action": [-0.5], "max_action": [0.5]}
    scaled = _made({"name": "RescaleAction", "kwargs": bounds}, id="Pendulum-v1")
    assert (scaled.action_space.low, scaled.action_space.high) == (-0.5, 0.5)
    scaled.reset(seed=0)
    plain = gymnasium.make("Pendulum-v1")
    plain.reset(seed=0)
    np.testing.assert_allclose(scaled.step(np.array([0.25]))[0], plain.step(np.array([1.0]))[0], rtol=1e-6)
    shaped = _made({"name": "ReshapeObservation", "kwargs": {"shape": [2, 1]}})
    assert shaped.observation_space.shape == (2, 1)


def test_what_is_served_takes_what_the_outermost_layer_shows(tmp_path: Path) -> None:
    task = {"id": "tasks:Countdown-v0", "wrappers": [STACKED, FLAT]}
    run = Run(make_config(environment=task), index=0, seed=0)
    learner = build(run)
    learner.start()
    environment = environments.maker(run.spec.environment)()
    manifest = export(
        learner,
        run,
        environment=environment,
        evaluations=PLAYED,
        folder=tmp_path,
    )
    assert verify(tmp_path, wanted=manifest.digest()) == manifest
    assert manifest.observation.shape == [6]
    assert manifest.wrappers == [WrapperSpec.model_validate(STACKED), WrapperSpec.model_validate(FLAT)]
    observation = environment.reset(seed=1)[0]
    for network in loaded(tmp_path).values():
        assert network(observation[None]).shape == (1, 2)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_refused_with_advice(name: str) -> None:
    assert name in gymnasium.wrappers.__all__
    with pytest.raises(BadConfiguration, match=rf"wrappers\[1\]: {name} cannot be used here: .*(leave it out|write a)"):
        _made(FLAT, {"name": name})


@pytest.mark.parametrize(
    ("wrapper", "wanted"),
    [
        ({"name": "FrameStack"}, r"wrappers\[0\].name: .*did you mean 'FrameStackObservation'"),
        ({"name": "TimeLimit", "kwargs": {"max_steps": 5}}, "kwargs.max_steps: .*did you mean 'max_episode_steps'"),
        ({"name": "FlattenObservation", "kwargs": {"order": 1}}, "has no such argument; it takes none"),
        ({"name": "TimeLimit"}, r"wrappers\[0\]: TimeLimit with kwargs \{\} .*max_episode_steps"),
        ({"name": "ClipAction"}, "takes Discrete"),
        ({"name": "layered_tasks:Halve"}, "there is no Halve, wanted a gymnasium.Wrapper: did you mean Halved?"),
        ({"name": "layered_tasks:HEIGHTS"}, "HEIGHTS is a ndarray, wanted a gymnasium.Wrapper"),
        ({"name": "layered_task:Halved"}, "layered_task cannot be imported"),
        ({"name": ":Halved"}, "write package.module:name"),
    ],
)
def test_bad_input_is_told_by_its_place(wrapper: dict[str, Any], wanted: str) -> None:
    with pytest.raises(BadConfiguration, match=wanted):
        _made(wrapper)


@pytest.mark.parametrize("name", ["Learning", "LearningElsewhere"])
def test_a_layer_of_ones_own_that_learns_is_refused(name: str) -> None:
    wrappers = [{"name": f"layered_tasks:{name}"}]
    run = Run(make_config(environment={"id": "tasks:Countdown-v0", "wrappers": wrappers}), 0, 0)
    with pytest.raises(BadConfiguration, match=f"{name} inside the environment keeps running statistics"):
        build(run)


def test_every_wrapper_of_gymnasium_is_known_or_refused() -> None:
    assert {*KNOWN, *REFUSED} == {name for name in gymnasium.wrappers.__all__ if name != "vector"}
