"""A task that cannot be played without a memory: what is right at the end was shown at the beginning alone."""

from typing import Any

import gymnasium
import numpy as np

LENGTH = 4  # timesteps


class Recall(gymnasium.Env[Any, Any]):
    """Shows a cue in the first observation of an episode, and pays 1 for its last action being the same.

    Whoever does not remember the cue is right half of the time, whatever it does.
    """

    def __init__(self, *, shows: str = "array", action: str = "choice") -> None:
        """Set up.

        Args:
            shows: `array`, or `dict` of cue and time.
            action: `choice` of 0 and 1, or one `number` from -1 to 1, whose sign says which.
        """
        box = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self._by_key = shows == "dict"
        self.observation_space: gymnasium.Space[Any] = (
            gymnasium.spaces.Dict({"cue": box, "time": box})
            if self._by_key
            else gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        )
        self._number = action == "number"
        self.action_space: gymnasium.Space[Any] = box if self._number else gymnasium.spaces.Discrete(2)
        self._cue, self._step = 0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        self._cue, self._step = int(self.np_random.integers(2)), 0
        return self._shown(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act."""
        chosen = int(np.ravel(action)[0] > 0) if self._number else int(action)
        self._step += 1
        over = self._step == LENGTH
        return self._shown(), float(over and chosen == self._cue), over, False, {}

    def _shown(self) -> Any:
        cue = np.array([0.0 if self._step else 2.0 * self._cue - 1.0], np.float32)
        time = np.array([self._step / LENGTH], np.float32)
        return {"cue": cue, "time": time} if self._by_key else np.concatenate([cue, time])


gymnasium.register("Recall-v0", entry_point=Recall, max_episode_steps=LENGTH)
