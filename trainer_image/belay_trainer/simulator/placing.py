"""How an environment is put into the state in which somebody saw an observation, and whether it really is there.

Some observations are the whole state, or the state can be worked out from them; others leave something out, and then no
one-step prediction of that simulator means anything. Nobody is trusted here, our own functions no more than a user's:
each is tried on timesteps of the environment itself before a log is compared with it.
"""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import AcrobotEnv, PendulumEnv
from numpy.typing import NDArray

from belay_trainer import masks
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration
from belay_trainer.wrapping.named import imported

Place = Callable[[gymnasium.Env[Any, Any], NDArray[np.float64]], None]
"""Puts the unwrapped environment into the state of an observation."""

TRIED = 200  # timesteps that are played to try a function
STEADY = 0.01  # of what a timestep changes: by how much the environment may go on otherwise than it did
ROUNDED = 1e-5  # relative: of observations in float32
_HOOK = "write a function (environment, observation) that does, and name it with --state package.module:function"


def place_for(environment: Environment, function: str | None) -> Place:
    """Return what puts this environment into the state of an observation.

    Args:
        function: A user's own, as `package.module:function`; None: one that is known here.
    Raises: BadConfiguration where none is.
    """
    if function is not None:
        found: Place = imported(function, field="--state", what="a function", fits=callable)
        return found
    task = environment.unwrapped
    if isinstance(task, PendulumEnv):
        return _pendulum
    if isinstance(task, AcrobotEnv):
        return _acrobot
    size = int(np.prod(environment.observation_space.shape or ()))
    environment.reset(seed=0)
    if callable(getattr(task, "set_state", None)) and hasattr(getattr(task, "data", None), "qpos"):
        hidden = task.data.qpos.size + task.data.qvel.size - size
        if 0 <= hidden < task.data.qpos.size:
            return _mujoco
    elif np.shape(getattr(task, "state", None)) == (size,):
        return _whole_state
    raise BadConfiguration(
        f"environment.id: nobody here knows how {type(task).__name__} is put into the state of an observation of "
        f"{size} numbers: {_HOOK}."
    )


def check_placed(placed: Environment, played: Environment, place: Place) -> None:
    """Check that an environment which was put into the state of an observation goes on as the one that showed it.

    Args:
        placed, played: Two copies, which are reset here.
    Raises: BadConfiguration naming the number of the observation that differs most.
    """
    shown, went_on, followed = [], [], []
    observation, info = played.reset(seed=0)
    placed.reset(seed=1)
    generator = np.random.default_rng(0)
    for _ in range(TRIED):
        action = masks.any_action(played, observation, info, generator=generator)
        following, _, terminated, truncated, info = played.step(action)
        shown.append(observation)
        followed.append(following)
        went_on.append(stepped(placed, place, observation, action))
        observation = following
        if terminated or truncated:
            observation, info = played.reset()
    before, after, found = (np.array(rows, dtype=np.float64).reshape(TRIED, -1) for rows in (shown, followed, went_on))
    changed = np.sqrt(np.mean((after - before) ** 2, axis=0))
    off = np.sqrt(np.mean((found - after) ** 2, axis=0))
    allowed = STEADY * changed + ROUNDED * (1 + np.abs(after).max(axis=0))
    if not (off <= allowed).all():
        worst = int(np.argmax(np.nan_to_num(off / allowed, nan=np.inf)))
        raise BadConfiguration(
            f"environment.id: {type(placed.unwrapped).__name__}, put into the state of an observation, does not go on "
            f"as it did: number {worst} of the next observation is off by {off[worst]:.3g}, where a timestep changes "
            f"it by {changed[worst]:.3g}. Either an observation does not hold the whole state: {_HOOK}. Or steps have "
            "chance in them: make the environment without its noise, by environment.kwargs."
        )


def stepped(environment: Environment, place: Place, observation: NDArray[Any], action: Any) -> NDArray[Any]:
    """Return what the environment shows after this action in the state of this observation."""
    place(environment.unwrapped, np.asarray(observation, dtype=np.float64))
    following, _, terminated, truncated, _ = environment.step(action)
    if terminated or truncated:  # whoever is stepped beyond an end may answer anything
        environment.reset()
    return np.asarray(following)


def _whole_state(task: Any, observation: NDArray[np.float64]) -> None:
    task.state = observation.copy()


def _pendulum(task: Any, observation: NDArray[np.float64]) -> None:
    cosine, sine, speed = observation
    task.state = np.array([np.arctan2(sine, cosine), speed])


def _acrobot(task: Any, observation: NDArray[np.float64]) -> None:
    cosines, sines, speeds = observation[:4:2], observation[1:4:2], observation[4:]
    task.state = np.concatenate([np.arctan2(sines, cosines), speeds])


def _mujoco(task: Any, observation: NDArray[np.float64]) -> None:
    """Positions and velocities, as Gymnasium's tasks show them: without where the body stands, on which nothing hangs.

    What else an observation may hold, or hold otherwise, `check_placed` finds out.
    """
    speeds = task.data.qvel.size
    shown = observation.size - speeds
    positions = np.zeros(task.data.qpos.size)
    positions[positions.size - shown :] = observation[:shown]
    task.set_state(positions, observation[shown:])
