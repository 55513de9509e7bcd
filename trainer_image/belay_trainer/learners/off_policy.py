"""Algorithms whose updates draw from a buffer of past experience."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from belay_trainer.learners import parts
from belay_trainer.learners.stable_baselines import StableBaselines

ASKED = 64  # observations of the replay buffer at which the critic is asked, evenly spread over it
LATEST = 1_000  # timesteps of it whose actions are counted


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

    def _critic_metrics(self) -> dict[str, float]:
        buffer: Any = self.model.replay_buffer
        if not buffer.size():
            return {}
        rows, seen = np.linspace(0, buffer.size() - 1, min(ASKED, buffer.size())).astype(int), buffer.observations
        shown = (
            parts.joined({key: part[rows, 0] for key, part in seen.items()}, self._parts)
            if isinstance(seen, dict)
            else seen[rows, 0]
        )
        values = self.values(shown)
        return {} if values is None else {"q_value": float(values.mean())}

    def _learned_observations(self) -> Sequence[Any]:
        buffer = self.model.replay_buffer
        return buffer.observations, buffer.next_observations

    def _latest_actions(self) -> np.ndarray | None:
        buffer, space = self.model.replay_buffer, self.model.action_space
        count = min(LATEST, buffer.size())
        if not count:
            return None
        actions = buffer.actions[np.arange(buffer.pos - count, buffer.pos) % buffer.buffer_size]
        actions = actions.reshape(-1, actions.shape[-1])
        # The buffer has those of a box between -1 and 1.
        return self.model.policy.unscale_action(actions) if isinstance(space, spaces.Box) else actions

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
