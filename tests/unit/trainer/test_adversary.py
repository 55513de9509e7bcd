"""Adversarial training: what the policy is shown is attacked within epsilon, where it learns and where it is chosen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv
from trainer_configs import make_config
from trainer_support import StopAfter, train_in

from belay_api.adversary import AdversarySpec
from belay_api.spaces import array_space, space_model
from belay_trainer.attack import Attack
from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration, Interrupted
from belay_trainer.evaluate import Evaluator, Policy
from belay_trainer.learners.adversary import Adversary
from belay_trainer.learners.stable_baselines import StableBaselines
from belay_trainer.measure import measure
from belay_trainer.stop import Stop
from belay_trainer.train import Trained
from belay_trainer.validation.observations import Limits

COPIES = 4
WEIGHTS = torch.tensor([[0.1, -0.2, 1.0, 0.5], [-0.1, 0.2, -1.0, -0.5]])  # logits of CartPole's two actions


def _copies() -> DummyVecEnv:
    tasks = DummyVecEnv([lambda: gymnasium.make("CartPole-v1") for _ in range(COPIES)])
    tasks.seed(7)
    return tasks


def _adversary(seed: int = 0, **settings: Any) -> Adversary:
    tasks = _copies()
    attack = Attack(
        "logits",
        array_space(tasks.action_space),
        Limits.of(space_model(tasks.observation_space)),
        settings.get("steps", 1),
    )
    return Adversary(
        tasks, AdversarySpec(**settings), attack, seed=seed, network=lambda: lambda shown: shown @ WEIGHTS.T
    )


def _played(tasks: Any, steps: int = 300) -> tuple[np.ndarray, list[Any]]:
    """Return what was shown, (steps, copies, numbers), and all else of each step; actions follow from a seed alone."""
    generator, shown, others = np.random.default_rng(1), [tasks.reset()], []
    for _ in range(steps):
        observations, *rest = tasks.step(generator.integers(2, size=COPIES))
        shown.append(observations)
        others.append([*(np.asarray(one).tolist() for one in rest[:2]), [sorted(info) for info in rest[2]]])
    return np.array(shown), others


@pytest.mark.parametrize("steps", [1, 5])
def test_a_share_of_what_is_shown_is_changed_within_epsilon_against_the_policy(steps: int) -> None:
    shown, others = _played(_adversary(epsilon=0.2, share=0.3, steps=steps))
    plain, same = _played(_copies())
    assert others == same, "rewards and episodes are the environment's own"
    changed = (shown != plain).any(axis=2)
    deviation = np.sqrt(0.3 * 0.7 / changed.size)
    assert abs(changed.mean() - 0.3) < 4 * deviation

    seen = np.array([plain[: row + 1].reshape(-1, 4).std(axis=0) for row in range(len(plain))])[:, None, :]
    late = slice(20, None)  # before, the deviation is that of hardly anything
    assert (np.abs(shown - plain)[late] <= 0.2 * seen[late] * 1.01 + 1e-6).all()
    weights = WEIGHTS.numpy()[1] - WEIGHTS.numpy()[0]
    before, after = plain @ weights, shown @ weights
    assert (np.sign(before) * (after - before) <= 1e-6).all(), "the margin of the chosen action only falls"
    assert (np.sign(before) * (after - before))[changed].max() < 0


SHORT = {"evaluation": {"every": 400, "episodes": 2}, "checkpoint": {"every": 200}, "budget": {"steps": 800}}


@pytest.fixture(autouse=True)
def _random_actions_without_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks are counted, and cuts are to fall into the training."""
    played = Evaluator.random
    monkeypatch.setattr(Evaluator, "random", lambda self, **how: played(self, **how | {"stop": lambda: False}))


def _learned_from(trained: Trained) -> np.ndarray:
    """Return the first numbers of what was learned from last."""
    return trained.learner.model.rollout_buffer.observations[..., 0]


def _fractions(numbers: np.ndarray) -> np.ndarray:
    """Return how far numbers are from whole ones, which those of Countdown are."""
    return np.abs(numbers - np.rint(numbers))


def test_it_is_what_is_learned_from_and_chosen_by_and_not_what_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"epsilon": 0.1, "share": 0.5}
    task = {"environment": {"id": "tasks:Countdown-v0"}, "normalize": {"observation": False}}
    spec = SHORT | task | {"algorithm": {"ppo": {"n_steps": 32}}}
    acted_on = _acted_on_in_the_latest_evaluation(monkeypatch)

    trained = train_in(tmp_path / "attacked", adversary=asked, **spec)
    learned, chosen = _fractions(_learned_from(trained)), _fractions(acted_on())
    assert abs((learned > 1e-6).mean() - 0.5) < 4 * np.sqrt(0.25 / learned.size)
    assert learned.max() < 0.1 * 2.3, "numbers from 0 to 7 deviate by less"
    assert 1e-6 < chosen.min() <= chosen.max() < 0.1 * 2.3, "all of them, where a checkpoint is chosen"
    measure(trained, Run(make_config(adversary=asked, **spec), index=0, seed=0), stop=Stop())
    assert _fractions(acted_on()).max() == 0

    assert _fractions(_learned_from(train_in(tmp_path / "plain", **spec))).max() == 0
    assert _fractions(acted_on()).max() == 0


def _acted_on_in_the_latest_evaluation(monkeypatch: pytest.MonkeyPatch) -> Callable[[], np.ndarray]:
    """Return what tells the first number of each observation that the policy acted on."""
    seen: list[np.ndarray] = []
    played, policy_of = Evaluator.__call__, StableBaselines.policy.fget
    assert policy_of is not None

    class Watched:
        def __init__(self, policy: Policy) -> None:
            self.policy = policy

        def predict(self, observation: np.ndarray, **how: Any) -> tuple[np.ndarray, object]:
            seen.append(observation[:, 0].copy())
            return self.policy.predict(observation, **how)

    def watched(self: Evaluator, *of: Any, **how: Any) -> Any:
        seen.clear()
        return played(self, *of, **how)

    monkeypatch.setattr(StableBaselines, "policy", property(lambda self: Watched(policy_of(self))))
    monkeypatch.setattr(Evaluator, "__call__", watched)
    return lambda: np.concatenate(seen)


@pytest.mark.parametrize(
    ("spec", "looks"),
    [
        ({"algorithm": {"ppo": {"n_steps": 32, "batch_size": 256}}, "environment": {"id": "CartPole-v1"}}, 3),
        ({"algorithm": {"dqn": {"learning_starts": 100, "net_arch": [32, 32]}},
          "normalize": {"observation": True}}, 500),
        ({"algorithm": {"sac": {"learning_starts": 100, "net_arch": [32, 32], "batch_size": 64}},
          "environment": {"id": "Pendulum-v1"}, "budget": {"steps": 300},
          "evaluation": {"every": 150, "episodes": 1}, "checkpoint": {"every": 75}}, 420),
    ],
)  # fmt: skip
def test_a_cut_changes_no_bit(tmp_path: Path, spec: dict[str, Any], looks: int) -> None:
    spec = SHORT | {"adversary": {"epsilon": 0.1}} | spec
    whole = train_in(tmp_path / "whole", **spec)
    with pytest.raises(Interrupted):
        train_in(tmp_path / "pieces", StopAfter(looks), **spec)
    pieces = train_in(tmp_path / "pieces", **spec)
    assert pieces.resumed_from
    assert pieces.learner.weights_sha256() == whole.learner.weights_sha256()
    plain = train_in(tmp_path / "plain", **{name: value for name, value in spec.items() if name != "adversary"})
    assert plain.learner.weights_sha256() != whole.learner.weights_sha256()


@pytest.mark.parametrize(
    ("environment", "algorithm", "wanted"),
    [
        ({"id": "tasks:Picture-v0"}, "ppo", "adversary: observations are whole numbers"),
        ({"id": "Taxi-v3"}, "dqn", "adversary: observations of Discrete.* cannot be changed a little"),
        (
            {"id": "panels:Panel-v0", "kwargs": {"shows": "dict"}},
            "ppo",
            "adversary: observations of Dict.* cannot be changed a little",
        ),
    ],
)
def test_a_task_without_a_gradient_is_refused(
    tmp_path: Path, environment: dict[str, Any], algorithm: str, wanted: str
) -> None:
    with pytest.raises(BadConfiguration, match=wanted):
        train_in(tmp_path, adversary={}, environment=environment, algorithm={algorithm: {}})
