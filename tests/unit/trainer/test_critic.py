"""What an artifact's critic says is what the model's expects, in fifths; where it has nothing to tell there is none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from test_export import TASKS, _export, _run, observations

from belay_trainer.critic import Critic, first_observations, write_critic
from belay_trainer.environments import maker
from belay_trainer.train import build

BY_HAND: dict[tuple[str, str], Callable[[Any, torch.Tensor], torch.Tensor]] = {
    ("dqn", "CartPole-v1"): lambda policy, seen: policy.q_net(seen).max(1).values,
    ("qrdqn", "CartPole-v1"): lambda policy, seen: policy.quantile_net(seen).mean(1).max(1).values,
    ("a2c", "Acrobot-v1"): lambda policy, seen: policy.predict_values(seen)[:, 0],
    ("sac", "Pendulum-v1"): lambda policy, seen: torch.cat(_of_greedy(policy, seen), dim=1).min(1).values,
    ("crossq", "Pendulum-v1"): lambda policy, seen: torch.cat(_of_greedy(policy, seen), dim=1).min(1).values,
    ("tqc", "Pendulum-v1"): lambda policy, seen: _of_greedy(policy, seen).flatten(1).mean(1),
}
VARIED = [case for case in TASKS if "CartPole" in case or "Pendulum" in case]


def _asked(path: Path, batch: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    found: np.ndarray = session.run(None, {given.name: batch})[0]
    assert answer.type == "tensor(int64)"
    return found


@pytest.mark.parametrize("case", VARIED)
def test_first_observations_fall_into_fifths_of_the_models_values(case: str, tmp_path: Path) -> None:
    algorithm, environment, _, _ = TASKS[case]
    run = _run(algorithm, environment)
    learner, _ = _export(run, tmp_path)
    first = first_observations(maker(run.spec.environment)())
    levels = _asked(tmp_path / "critic.onnx", first)
    np.testing.assert_allclose(np.bincount(levels, minlength=5) / levels.size, 0.2, atol=0.02)
    with torch.no_grad():
        by_value = levels[np.argsort(learner.networks().value(torch.from_numpy(first)).numpy())]
    assert (np.diff(by_value) >= 0).all()


@pytest.mark.parametrize("size", [1, 2, 37])
def test_any_batch_is_answered_one_level_each(size: int, tmp_path: Path) -> None:
    _export(_run(), tmp_path)
    levels = _asked(tmp_path / "critic.onnx", observations(_run(), size))
    assert levels.shape == (size,)
    assert ((levels >= 0) & (levels <= 4)).all()


@pytest.mark.parametrize("case", [case for case in TASKS if case not in VARIED])
def test_every_kind_of_policy_is_exported_with_or_without(case: str, tmp_path: Path) -> None:
    algorithm, environment, _, _ = TASKS[case]
    _, manifest = _export(_run(algorithm, environment), tmp_path)
    there = (tmp_path / "critic.onnx").is_file()
    assert there == ("critic.onnx" in {entry.path for entry in manifest.files})


def test_the_critics_values_are_the_librarys(tmp_path: Path) -> None:
    """By hand, from the library's own networks and statistics."""
    for (algorithm, environment), by_hand in BY_HAND.items():
        run = _run(algorithm, environment)
        learner = build(run)
        learner.start()
        first = first_observations(maker(run.spec.environment)())
        normaliser, policy = learner.model.get_vec_normalize_env(), learner.model.policy
        policy.set_training_mode(False)
        seen = torch.from_numpy(first if normaliser is None else normaliser.normalize_obs(first))
        with torch.no_grad():
            wanted = by_hand(policy, seen)
            found = learner.networks().value(torch.from_numpy(first))
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_where_all_beginnings_are_alike_to_it_there_is_none(tmp_path: Path) -> None:
    learner, _ = _export(_run(), tmp_path)
    (tmp_path / "critic.onnx").unlink()
    with torch.no_grad():
        learner.model.policy.value_net.weight.zero_()
    critic = Critic(learner.networks().value).eval()
    assert not write_critic(critic, maker(_run().spec.environment)(), tmp_path)
    assert not (tmp_path / "critic.onnx").exists()


def _of_greedy(policy: Any, seen: torch.Tensor) -> Any:
    return policy.critic(seen, policy.actor(seen, deterministic=True))
