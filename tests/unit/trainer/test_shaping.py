"""The reward that is learned from. Each fault of the usual way has a test that it would not pass."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from layered_tasks import HEIGHTS, Maze, height, time_left
from trainer_configs import make_config

from belay_api.environment import RewardSpec
from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration
from belay_trainer.learners.learner import Learner
from belay_trainer.train import build
from belay_trainer.wrapping.shaping import Shaped

DISCOUNT = 0.9
END = Maze.end


def _learner(reward: dict[str, Any], id: str, *, kwargs: dict[str, Any] | None = None, scaled: bool = False) -> Learner:
    task = {"id": f"layered_tasks:{id}-v0", "kwargs": kwargs or {}, "reward": reward}
    algorithm = {"ppo": {"n_steps": 256, "gamma": DISCOUNT, "net_arch": [8]}}
    config = make_config(environment=task, algorithm=algorithm, normalize={"reward": scaled})
    learner = build(Run(config, index=0, seed=0))
    learner.start()
    return learner


def _learned_from(reward: dict[str, Any], *, scaled: bool = True, mean: float = 0.0, steps: int = 2000) -> np.ndarray:
    """Return rewards (step, copy) as the algorithm gets them, in an environment that pays N(mean, 100)."""
    environment: Any = _learner(reward, "Noise", kwargs={"mean": mean}, scaled=scaled).model.env
    environment.reset()
    return np.array([environment.step(np.zeros(environment.num_envs, int))[1] for _ in range(steps)])


# --- scale and cut ----------------------------------------------------------------------------------------------------
def test_the_scale_settles_at_one_and_feeds_nothing_back() -> None:
    """Feeding normalised rewards back into the history settles at a deviation of sqrt(3.9) instead of 1."""
    rewards = _learned_from({})[1000:]
    returns = np.zeros(rewards.shape[1])
    found = []
    for step in rewards:  # as the statistics count: over the ends of episodes too
        returns = returns * DISCOUNT + step
        found.append(returns)
    assert np.std(found) == pytest.approx(1.0, abs=0.1)


def test_rewards_are_scaled_and_then_cut() -> None:
    """Cutting at 10 first saturates 92 % of N(0, 100), and throws away what differs."""
    assert (np.abs(_learned_from({"clip": 10.0}, scaled=False, steps=300)) == 10).mean() == pytest.approx(
        0.92, abs=0.02
    )
    assert (np.abs(_learned_from({"clip": 10.0})[100:]) == 10).mean() < 0.001
    assert np.abs(_learned_from({"clip": 0.2})[100:]).max() == pytest.approx(0.2), "the cut is the last thing done"


def test_nothing_is_centred() -> None:
    """With the mean taken off, a task that pays at every timestep no longer pays for long episodes."""
    rewards = _learned_from({}, mean=500.0)[200:]
    assert (rewards > 0).all()
    assert rewards.mean() / rewards.std() == pytest.approx(5.0, rel=0.05)


# --- components -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("components", "wanted"),
    [
        ({"cost": -2.0}, lambda heat, wear, paid: paid - 2 * heat),
        ({"reward": 0.0, "wear": 1.0}, lambda heat, wear, paid: wear),
        ({"reward": 3.0, "cost": 1.0, "wear": -1.0}, lambda heat, wear, paid: 3 * paid + heat - wear),
    ],
)
def test_components_are_weighted_by_name(
    components: dict[str, float], wanted: Callable[[float, float, float], float]
) -> None:
    learner: Any = _learner({"components": components}, "Heater")
    environment = learner.model.env
    environment.reset()
    for step in range(60):
        action = np.full(environment.num_envs, step % 2)
        _, rewards, dones, infos = environment.step(action)
        for reward, done, info in zip(rewards, dones, infos, strict=True):
            assert reward == pytest.approx(wanted(0.5 * (step % 2), 10.0 * done, float(step % 2)))
            assert info["belay.reward"] == float(step % 2)


def test_raw_and_shaped_returns_are_both_told_and_the_parts_add_up() -> None:
    reward = {"components": {"cost": -2.0, "wear": 0.1}, "potential": "layered_tasks:time_left"}
    learner = _learner(reward, "Heater")
    learner.advance(2000, leave=lambda: False, on_step=lambda: None)
    told = learner.metrics()
    parts = [told[f"collection/component/{name}"] for name in ("reward", "cost", "wear")]
    assert parts == pytest.approx([told["collection/return"], -told["collection/return"], 1.0])
    assert told["collection/shaped_return"] == pytest.approx(sum(parts) + told["collection/potential"])
    assert told["collection/return"] > 0, "the environment's own"


def test_a_component_that_nobody_tells_is_refused() -> None:
    """The usual way gives an unknown component the weight 1."""
    with pytest.raises(BadConfiguration, match=r"reward.components.costs: .*no 'costs'.* did you mean 'cost'"):
        _learner({"components": {"costs": -1.0}}, "Heater")


# --- potential --------------------------------------------------------------------------------------------------------
def _values(maze: Maze, rewards: np.ndarray) -> np.ndarray:
    """Return Q* (place, action), to the last bit that iterating changes."""
    q = np.zeros((5, 2))
    for _ in range(2000):
        best = np.append(q.max(axis=1), 0.0)
        q = rewards + DISCOUNT * best[maze.leads]
    return q


def _rewards(maze: Maze, environment: gymnasium.Env[int, int]) -> np.ndarray:
    """Return what the environment pays for each action in each place."""
    found = np.zeros((5, 2))
    for place in range(5):
        for action in range(2):
            environment.reset(options={"place": place})
            found[place, action] = environment.step(action)[1]
    return found


@pytest.mark.parametrize("drawn", range(6))
def test_a_potential_keeps_the_best_policy(drawn: int) -> None:
    maze = Maze(drawn)
    shaped = Shaped(maze, RewardSpec(potential="layered_tasks:height"), height, discount=DISCOUNT)
    own, learned = _values(maze, maze.pays), _values(maze, _rewards(maze, shaped))
    np.testing.assert_allclose(learned, own - HEIGHTS[:5, None], atol=1e-9)  # Ng et al. 1999, corollary 2
    assert (learned.argmax(axis=1) == own.argmax(axis=1)).all()


def test_a_potential_at_the_end_of_the_task_would_change_it() -> None:
    """The usual slip, and that the test above would see it."""
    changed = 0
    for drawn in range(6):
        maze = Maze(drawn)
        following = np.where(maze.leads == END, HEIGHTS[END], HEIGHTS[maze.leads])
        wrong = _values(maze, maze.pays + DISCOUNT * following - HEIGHTS[:5, None])
        changed += bool((wrong.argmax(axis=1) != _values(maze, maze.pays).argmax(axis=1)).any())
    assert changed >= 3


def test_an_episode_that_is_cut_keeps_its_last_potential() -> None:
    """What is bootstrapped beyond the cut is a value less by that potential, so both cancel out."""
    maze = Maze(3)
    value = np.append(_values(maze, maze.pays).max(axis=1), 0.0)
    shaped = Shaped(
        gymnasium.wrappers.TimeLimit(maze, 4), RewardSpec(potential="layered_tasks:height"), height, discount=DISCOUNT
    )
    for place in range(5):
        for course in range(16):
            began, _ = shaped.reset(options={"place": place})
            own = learned = 0.0
            for step in range(4):
                now, reward, terminated, truncated, info = shaped.step(course >> step & 1)
                own += DISCOUNT**step * info["belay.reward"]
                learned += DISCOUNT**step * reward
                if terminated or truncated:
                    break
            if truncated and not terminated:
                own += DISCOUNT ** (step + 1) * value[now]
                learned += DISCOUNT ** (step + 1) * (value[now] - height(now))
            assert learned == pytest.approx(own - height(began))


@pytest.mark.parametrize(
    ("potential", "wanted"),
    [
        ("layered_tasks:hight", "there is no hight, wanted a function .*: did you mean height?"),
        ("layered_tasks:HEIGHTS", "HEIGHTS is a ndarray"),
        ("layered_tasks:height", "environment.reward.potential fails: .*Error"),  # of a place, not of an array
        ("layered_tasks:undefined", "environment.reward.potential is nan"),
    ],
)
def test_a_potential_that_is_none_is_told(potential: str, wanted: str) -> None:
    with pytest.raises(BadConfiguration, match=wanted):
        _learner({"potential": potential}, "Heater")


# --- what else knows of rewards ---------------------------------------------------------------------------------------
def test_the_diagnosis_sees_the_environments_own_rewards() -> None:
    learner = _learner({"components": {"reward": -5.0}}, "Heater")
    noted: list[float] = []

    class Notes:
        wants_steps, wants_updates = True, False

        def step(self, *, rewards: np.ndarray, **others: Any) -> None:
            noted.extend(rewards.tolist())

    learner.recorder = Notes()  # type: ignore[assignment]
    learner.advance(300, leave=lambda: False, on_step=lambda: None)
    assert set(noted) == {0.0, 1.0}
    low, high = learner.internals().rewards
    assert (low, high) == (0.0, 1.0)
    assert learner.values(np.zeros((3, 2), np.float32)) is None, "its critic knows other values"
    assert time_left(np.ones(2)) == 3.0
