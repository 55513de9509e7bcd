"""Small environments whose right answers are known, registered as `tasks:<Id>-v0`."""

import os
import re
import threading
import time
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv


class Countdown(gymnasium.Env[np.ndarray, int]):
    """An episode seeded s lasts s % 7 + 1 timesteps and pays 1 for action 1, else 0: every return is known."""

    observation_space = spaces.Box(0.0, 10.0, (2,), np.float32)
    action_space = spaces.Discrete(2)
    pays = 1.0

    def __init__(self, pays: float = 1.0) -> None:
        self.pays = pays

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = (seed if seed is not None else int(self.np_random.integers(7))) % 7 + 1
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        return self._observation(), self.pays * float(action == 1), self.left == 0, False, {}

    def _observation(self) -> np.ndarray:
        np.random.random()  # an environment may draw from the global generator
        return np.array([self.left, 1.0], np.float32)


class Graded(Countdown):
    """Calls an episode that began with four timesteps or more a success, at its end."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        begun = super().reset(seed=seed, options=options)
        self.began = self.left
        return begun

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        *stepped, info = super().step(action)
        return *stepped, info | ({"is_success": self.began >= 4} if self.left == 0 else {})


class Promising(Countdown):
    """Says between what its rewards lie, as environments of old did."""

    def __init__(self, reward_range: tuple[float, float]) -> None:
        self.reward_range = reward_range


class Explosive(Countdown):
    """Pays infinity: no training survives it."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, _, terminated, truncated, info = super().step(action)
        return observation, float("inf"), terminated, truncated, info


class Overflowing(Countdown):
    """Pays infinity from timestep 5 of a copy on: its first steps are well."""

    steps = 0

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        self.steps += 1
        return observation, reward if self.steps < 5 else float("inf"), terminated, truncated, info


class Misshapen(Countdown):
    """Shows more numbers than its space has."""

    def _observation(self) -> np.ndarray:
        return np.zeros(3, np.float32)


class Wordy(Countdown):
    """Pays in words."""

    def step(self, action: int) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        observation, _, terminated, truncated, info = super().step(action)
        return observation, "one", terminated, truncated, info


class Blind(Countdown):
    """Shows what is not a number when three timesteps are left: not in the episode of reset seed 0, which has one."""

    def _observation(self) -> np.ndarray:
        return np.array([np.nan if self.left == 3 else self.left, 1.0], np.float32)


class Sightless(Countdown):
    """Never shows a number."""

    def _observation(self) -> np.ndarray:
        return np.array([1.0, np.nan], np.float32)


class Stuck(Countdown):
    """Waits for ever in timestep 500 of a copy: for an event, or in a regular expression, which lets no thread run."""

    def __init__(self, holds_interpreter: bool = False) -> None:
        super().__init__()
        self.holds_interpreter = holds_interpreter
        self.steps = 0

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == 500 and self.holds_interpreter:
            re.match("(a+)+$", "a" * 100 + "b")
        elif self.steps == 500:
            threading.Event().wait()
        return super().step(action)


class Rooms(gymnasium.Env[int, int]):
    """Discrete observations: six rooms in a row, action 1 goes right."""

    observation_space = spaces.Discrete(6)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.room = int(self.np_random.integers(3))
        return self.room, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.room = min(5, max(0, self.room + (1 if action == 1 else -1)))
        return self.room, float(self.room == 5), self.room == 5, False, {}


class Picture(Countdown):
    """Images with the channels last, as cameras give them."""

    def __init__(self, side: int = 36) -> None:
        self.observation_space = spaces.Box(0, 255, (side, 40, 3), np.uint8)

    def _observation(self) -> np.ndarray:
        return self.np_random.integers(0, 256, self.observation_space.shape, dtype=np.uint8)


class Steering(Picture):
    """Images to be answered by a number."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)


class Stubborn(CartPoleEnv):
    """Cannot be pickled, as an environment that holds a simulator process."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lock = threading.Lock()


class Session(CartPoleEnv):
    """Can be pickled, but not what it is in: its simulator ended with the process."""

    gone = False

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"gone": True}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self.gone:
            raise RuntimeError("the session is gone")
        return super().step(action)


class Called(CartPoleEnv):
    """Its simulator ended with the process as well, and is asked for the beginning of an episode only."""

    gone = False

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"gone": True}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if self.gone:
            raise RuntimeError("the session is gone")
        return super().reset(seed=seed, options=options)


class Heavy(CartPoleEnv):
    """A pole that another gravity pulls."""

    def __init__(self, gravity: float = 9.8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gravity = gravity


class Unhurried(CartPoleEnv):
    """Takes its time while the file named by SLOW_WHILE exists: what is to be stopped half way is not over before."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if os.path.exists(os.environ.get("SLOW_WHILE", "")):
            time.sleep(0.005)
        return super().step(action)


class Thirsty(CartPoleEnv):
    """Fails after a while, whatever it was started from."""

    left = 700  # timesteps of one copy

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        if not self.left:
            raise RuntimeError("out of fuel")
        return super().step(action)


class Odd(Countdown):
    """A space that cannot be served."""

    observation_space = spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)})})


class Endless(Countdown):
    """Never ends, and has no cap."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, False, truncated, info


class Sheet(Countdown):
    """Actions of a shape that no network of ours puts out."""

    action_space = spaces.Box(-1.0, 1.0, (2, 3), np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return super().step(int(action.sum() > 0))


class OldReset(Countdown):
    """Gym before 0.26: an observation alone."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> np.ndarray:  # type: ignore[override]
        return super().reset(seed=seed)[0]


class OldStep(Countdown):
    """Gym before 0.26: four values."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, dict[str, Any]]:  # type: ignore[override]
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, info


class Unfinished(Countdown):
    """Raises at its first step."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        raise KeyError("torque_limit")


def Normalised() -> gymnasium.Env[np.ndarray, int]:
    """Returns what learns its statistics while it is stepped."""
    return gymnasium.wrappers.NormalizeObservation(Countdown())


class Cliff(Countdown):
    """Pays well for a while, and then what no training survives; evaluations are spared."""

    paid = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.evaluated = seed is not None and seed < 2**31
        return super().reset(seed=seed, options=options)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        self.paid += not self.evaluated
        return observation, float("inf") if self.paid > 200 else reward, terminated, truncated, info


class Skilful(Countdown):
    """Only action 0 ends an episode."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, action == 0, truncated, info


class Far(gymnasium.Env[np.ndarray, int]):
    """Fifty timesteps; an action pays 1 where it tells whether the second number is above its mean.

    The first one is large and says nothing, the second is small and far from 0: without a common scale there is
    little to learn.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 50
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        paid = float(action == (self.sign > 0))
        self.left -= 1
        return self._observation(), paid, self.left == 0, False, {}

    def _observation(self) -> np.ndarray:
        self.sign = self.np_random.choice([-1.0, 1.0])
        return np.array([self.np_random.normal(0.0, 1e4), 1000.0 + 0.01 * self.sign])


class Pull(Far):
    """The same with a number as its action: 1 is paid where it has the right sign, in part where it is small."""

    action_space = spaces.Box(-2.0, 3.0, (1,), np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        paid = float(np.clip(action[0] * self.sign, -1.0, 1.0) + 1.0) / 2
        self.left -= 1
        return self._observation(), paid, self.left == 0, False, {}


class Luck(gymnasium.Env[np.ndarray, int]):
    """Four timesteps whose rewards are drawn at the start, N(0, 50) for either action: every policy is worth 0."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.rewards = list(self.np_random.normal(0.0, 50.0, (4, 2)))
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = self.rewards.pop()[action]
        return self._observation(), float(reward), not self.rewards, False, {}

    def _observation(self) -> np.ndarray:
        return self.np_random.normal(size=2).astype(np.float32)


class Sides(gymnasium.Env[np.ndarray, int]):
    """Ten timesteps with an observation N(`level`, 1) and a number that is always 5; action 1 pays 1 where the first is
    above 0, action 0 elsewhere. A timestep where it is below `edge` costs 1, unless it always costs `costs`. Option
    `start`: the first observation.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2)
    alive: ClassVar[list[int]] = [0, 0]  # copies now, and at most

    def __init__(self, level: float = 0.0, edge: float = -np.inf, costs: Any = None) -> None:
        self.level, self.edge, self.costs = level, edge, costs
        self.alive[0] += 1
        self.alive[1] = max(self.alive)

    def close(self) -> None:
        self.alive[0] -= 1

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 10
        return self._observation((options or {}).get("start")), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        paid, cost = float(action == (self.first > 0)), float(self.first < self.edge)
        self.left -= 1
        info = {"cost": cost if self.costs is None else self.costs}
        return self._observation(None), paid, self.left == 0, False, info

    def _observation(self, start: float | None) -> np.ndarray:
        self.first = self.np_random.normal(self.level) if start is None else start
        return np.array([self.first, 5.0], np.float32)


class Restless(Sides):
    """Its simulator is away at the fourth episode of a copy."""

    begun = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.begun += 1
        if self.begun == 4:
            raise ConnectionError("no simulator answers")
        return super().reset(seed=seed, options=options)


class Aim(gymnasium.Env[np.ndarray, np.ndarray]):
    """Ten timesteps; pays what the action is, times the sign of the first number of the observation."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 10
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        paid = float(action[0] * np.sign(self.first))
        self.left -= 1
        return self._observation(), paid, self.left == 0, False, {}

    def _observation(self) -> np.ndarray:
        self.first = self.np_random.choice([-0.5, 0.5])
        return np.array([self.first, 5.0], np.float32)


class Brink(gymnasium.Env[np.ndarray, int]):
    """Ten timesteps with a number N(0, 1): action 1 pays 1 where it is above 0 and costs 4 below, action 0 pays 0.

    Best is to act from 0 on; where each observation may be off by r, from r on.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 10
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        paid = (1.0 if self.height > 0 else -4.0) * float(action == 1)
        self.left -= 1
        return self._observation(), paid, self.left == 0, False, {}

    def _observation(self) -> np.ndarray:
        self.height = self.np_random.normal()
        return np.array([self.height], np.float32)


for name, task, cap in (
    ("Countdown", Countdown, 50),
    ("Promising", Promising, 50),
    ("Explosive", Explosive, 50),
    ("Overflowing", Overflowing, 50),
    ("Misshapen", Misshapen, 50),
    ("Wordy", Wordy, 50),
    ("Blind", Blind, 50),
    ("Sightless", Sightless, 50),
    ("Graded", Graded, 50),
    ("Stuck", Stuck, 50),
    ("Rooms", Rooms, 50),
    ("Picture", Picture, 50),
    ("Steering", Steering, 50),
    ("Stubborn", Stubborn, 500),
    ("Session", Session, 500),
    ("Called", Called, 500),
    ("Heavy", Heavy, 500),
    ("Unhurried", Unhurried, 500),
    ("Thirsty", Thirsty, 500),
    ("Odd", Odd, 50),
    ("Endless", Endless, None),
    ("Luck", Luck, 50),
    ("Far", Far, None),
    ("Pull", Pull, None),
    ("Sheet", Sheet, 50),
    ("OldReset", OldReset, 50),
    ("OldStep", OldStep, 50),
    ("Unfinished", Unfinished, 50),
    ("Normalised", Normalised, 50),
    ("Cliff", Cliff, 50),
    ("Skilful", Skilful, None),
    ("Sides", Sides, 10),
    ("Restless", Restless, 10),
    ("Aim", Aim, 10),
    ("Brink", Brink, 10),
):
    gymnasium.register(id=f"{name}-v0", entry_point=task, max_episode_steps=cap)
