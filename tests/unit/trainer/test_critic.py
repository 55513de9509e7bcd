"""What an artifact's critic says is what the model's expects, in fifths; where it has nothing to tell there is none."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from test_export import TASKS, _export, _run

from belay_trainer.critic import Critic, first_observations, write_critic
from belay_trainer.environments import maker
from belay_trainer.export import sample_observations

VARIED = [case for case in TASKS if "CartPole" in case or "Pendulum" in case]


def _asked(path: Path, observations: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    found: np.ndarray = session.run(None, {given.name: observations})[0]
    assert answer.type == "tensor(int64)"
    return found


@pytest.mark.parametrize("case", VARIED)
def test_first_observations_fall_into_fifths_of_the_models_values(case: str, tmp_path: Path) -> None:
    algorithm, environment, _, _ = TASKS[case]
    run = _run(algorithm, environment)
    model, _ = _export(run, tmp_path)
    first = first_observations(maker(run.spec.environment)())
    levels = _asked(tmp_path / "critic.onnx", first)
    np.testing.assert_allclose(np.bincount(levels, minlength=5) / levels.size, 0.2, atol=0.02)
    with torch.no_grad():
        tensor = torch.from_numpy(first)
        values = model.policy.q_net(tensor).max(1).values if algorithm == "dqn" else model.policy.predict_values(tensor)
    by_value = levels[np.argsort(values.numpy().ravel())]
    assert (np.diff(by_value) >= 0).all()


@pytest.mark.parametrize("size", [1, 2, 37])
def test_any_batch_is_answered_one_level_each(size: int, tmp_path: Path) -> None:
    _export(_run(), tmp_path)
    observations = sample_observations(maker(_run().spec.environment)(), count=size)
    levels = _asked(tmp_path / "critic.onnx", observations)
    assert levels.shape == (size,)
    assert ((levels >= 0) & (levels <= 4)).all()


@pytest.mark.parametrize("case", [case for case in TASKS if case not in VARIED])
def test_every_kind_of_policy_is_exported_with_or_without(case: str, tmp_path: Path) -> None:
    algorithm, environment, _, _ = TASKS[case]
    _, manifest = _export(_run(algorithm, environment), tmp_path)
    there = (tmp_path / "critic.onnx").is_file()
    assert there == ("critic.onnx" in {entry.path for entry in manifest.files})


def test_where_all_beginnings_are_alike_to_it_there_is_none(tmp_path: Path) -> None:
    model, _ = _export(_run(), tmp_path)
    (tmp_path / "critic.onnx").unlink()
    with torch.no_grad():
        model.policy.value_net.weight.zero_()
    assert not write_critic(Critic.of(model, model.policy.cpu()), maker(_run().spec.environment)(), tmp_path)
    assert not (tmp_path / "critic.onnx").exists()
