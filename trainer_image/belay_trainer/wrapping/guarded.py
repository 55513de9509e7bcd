"""What an environment raises, told with the place where it happened.

An environment is somebody's own code, and may fail after a million timesteps. Its error alone does not say which
episode led there; the reset seed does, and with it the episode can be played again.
"""

from typing import Any

import gymnasium

from belay_trainer.errors import EnvironmentFailed, TrainerError

Environment = gymnasium.Env[Any, Any]


class Guarded(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A task whose errors say which call failed, in which timestep of which episode."""

    def __init__(self, environment: Environment, id: str) -> None:
        """Stand around all layers of the task. Args: id: As the spec names it."""
        super().__init__(environment)
        self._id = id
        self._seed: int | None = None  # of the last reset that had one
        self._episodes = self._timesteps = 0  # begun since that reset; taken in the newest of them

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode. Raises: EnvironmentFailed."""
        if seed is not None:
            self._seed, self._episodes = seed, 0
        self._episodes, self._timesteps = self._episodes + 1, 0
        try:
            return self.env.reset(seed=seed, options=options)
        except TrainerError:
            raise
        except Exception as error:
            raise self._failed("reset()", error) from error

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Act. Raises: EnvironmentFailed."""
        self._timesteps += 1
        try:
            return self.env.step(action)
        except TrainerError:
            raise
        except Exception as error:
            raise self._failed(f"step({' '.join(str(action).split()):.60})", error) from error

    def render(self) -> Any:
        """Draw. Raises: EnvironmentFailed."""
        try:
            return self.env.render()
        except Exception as error:
            raise self._failed("render()", error) from error

    def _failed(self, call: str, error: Exception) -> EnvironmentFailed:
        episode = "an episode without a reset seed"
        if self._seed is not None:
            episode = f"the episode of reset seed {self._seed}"
            if self._episodes > 1:
                episode = f"episode {self._episodes} since reset seed {self._seed}"
        return EnvironmentFailed(
            f"environment.id {self._id!r}: {call} failed in timestep {self._timesteps} of {episode}", error
        )
