"""Algorithms whose updates draw from a buffer of past experience."""

from typing import Any

import numpy as np

from belay_trainer.learners.stable_baselines import StableBaselines


class OffPolicy(StableBaselines):
    """Algorithms with a replay buffer."""

    def _iterate(self) -> None:
        model: Any = self.model
        model.collect_rollouts(
            model.env,
            train_freq=model.train_freq,
            action_noise=model.action_noise,
            callback=self._hook,
            learning_starts=model.learning_starts,
            replay_buffer=model.replay_buffer,
            log_interval=None,
        )
        if model.num_timesteps > model.learning_starts:
            model.train(batch_size=model.batch_size, gradient_steps=model.gradient_steps)

    def state(self, *, collecting_since: int | None = None) -> dict[str, Any]:
        """See `Learner.state`."""
        buffer: Any = self.model.replay_buffer
        rows = buffer.size()  # what lies beyond was never written, and is never read before it is
        arrays = {name: value[:rows] for name, value in _arrays(buffer).items()}
        replay = {"arrays": arrays, "pos": buffer.pos, "full": buffer.full}
        return super().state(collecting_since=collecting_since) | {"replay": replay}

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        buffer: Any = self.model.replay_buffer
        saved = state["replay"]
        arrays = _arrays(buffer)
        for name, rows in saved["arrays"].items():
            arrays[name][: len(rows)] = rows
        buffer.pos, buffer.full = saved["pos"], saved["full"]


def _arrays(buffer: Any) -> dict[str, np.ndarray]:
    """Return what a replay buffer keeps, by name; of observations with several parts each by itself."""
    found = {}
    for name, value in vars(buffer).items():
        if isinstance(value, np.ndarray):
            found[name] = value
        elif isinstance(value, dict):
            found |= {f"{name}/{key}": part for key, part in value.items() if isinstance(part, np.ndarray)}
    return found
