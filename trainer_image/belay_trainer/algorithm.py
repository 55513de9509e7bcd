"""Write an algorithm of your own: a network, and one method that plays and learns. The rest is Belay's.

    class Mine(Algorithm):
        def __init__(self, task: Task, *, learning_rate: float = 1e-3) -> None:
            self.policy = torch.nn.Linear(*task.observation_space.shape, task.action_space.n)
            ...

        def learn(self, task: Task) -> dict[str, float]:
            step = task.step(actions)       # as often as you like, at least once
            ...
            return {"policy_loss": loss}

It is trained by `algorithm: {custom: {entrypoint: "my_module:Mine", kwargs: {learning_rate: 1e-2}}}`. It is evaluated
on held-out seeds, checkpointed, resumed to the last bit, exported, checked and published as any other algorithm is.
Names in this module stay as they are; docs/guides/your-own-algorithm.md goes through an example.

Shapes: `copies` environments are stepped at once, so every array begins with that axis.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from belay_trainer.errors import BadConfiguration, Diverged


@dataclass(frozen=True, slots=True)
class Step:
    """What one timestep of every copy came to; all arrays are (copies, ...)."""

    rewards: np.ndarray  # (copies,) float32
    terminated: np.ndarray  # (copies,) bool: the task is over, nothing follows
    truncated: np.ndarray  # (copies,) bool: cut from outside, so what follows would still have had a value
    next_observations: np.ndarray
    """(copies, *observation): where the actions led. Of an episode that ended its last observation, from which a
    truncated one is bootstrapped; `task.observations` has the first of the next episode then."""
    infos: list[dict[str, Any]]  # the environment's

    @property
    def ended(self) -> np.ndarray:
        """Which episodes ended, either way (copies,); the next ones have begun."""
        return self.terminated | self.truncated


class Task:
    """The environment in several copies, stepped together; a copy whose episode ends begins the next by itself.

    Belay counts its timesteps and episodes. It stays the same object for the whole training.
    """

    observation_space: spaces.Space[Any]
    """Of one copy."""
    action_space: spaces.Space[Any]
    """Of one copy."""
    copies: int
    """How many: `environment.vector.count`."""
    seed: int
    """Of this training. Python's, NumPy's and torch's global generators are seeded with it, and are part of every
    checkpoint."""
    budget: int
    """Timesteps of the whole training, all copies together."""
    timesteps: int
    """Timesteps done."""
    observations: np.ndarray
    """What to act on now, (copies, *observation); of the space's dtype."""

    def __init__(self, vector: DummyVecEnv, *, seed: int, budget: int, listener: Callable[["Step", Any], None]) -> None:
        """Belay's own call.

        Args:
            listener: Told of each step and its actions. What it raises leaves `learn`.
        """
        self.observation_space, self.action_space = vector.observation_space, vector.action_space
        self.copies, self.seed, self.budget, self.timesteps = vector.num_envs, seed, budget, 0
        self.environment_error: Exception | None = None  # what a copy raised: not the algorithm's fault
        self._vector, self._listener = vector, listener

    def step(self, actions: Any) -> Step:
        """Step every copy once.

        May raise what is not yours to catch, where this pod must go: then `learn` ends here, its experience is lost,
        and the next pod calls it again with the object as it is now. So keep experience in local variables, and change
        the object once it is complete.

        Args:
            actions: (copies, *action): whole numbers for a Discrete space; for a Box any numbers, which are clipped to
                its bounds.
        Raises: BadConfiguration for actions of another shape or outside a Discrete space; Diverged for actions that are
            not finite; whatever the environment raises.
        """
        taken = self._checked(actions)
        try:
            observations, rewards, ended, infos = self._vector.step(taken)
        except Exception as error:
            self.environment_error = error
            raise
        cut = np.array([bool(info.get("TimeLimit.truncated")) for info in infos])
        following = np.array(observations)
        for copy in np.flatnonzero(ended):
            following[copy] = infos[copy]["terminal_observation"]
        self.observations = observations
        self.timesteps += self.copies
        step = Step(rewards.copy(), ended & ~cut, ended & cut, following, infos)
        self._listener(step, taken)
        return step

    def __reduce__(self) -> NoReturn:
        raise TypeError("the task is no part of a checkpoint: keep it in an attribute of the algorithm, or nowhere")

    def _checked(self, actions: Any) -> np.ndarray:
        taken, space = np.asarray(actions), self.action_space
        wanted = (self.copies, *(space.shape or ()))
        if taken.shape != wanted:
            raise BadConfiguration(
                f"algorithm.custom: step() was given actions of shape {taken.shape}, wanted {wanted}: one for each of "
                f"{self.copies} copies."
            )
        if isinstance(space, spaces.Discrete):
            low, high = int(space.start), int(space.start + space.n) - 1
            if taken.dtype.kind not in "iu" or taken.min() < low or taken.max() > high:
                raise BadConfiguration(
                    f"algorithm.custom: step() was given the {taken.dtype} actions {taken[:4].tolist()}, wanted whole "
                    f"numbers from {low} to {high}."
                )
        elif isinstance(space, spaces.Box):
            if not np.isfinite(taken).all():
                raise Diverged(f"actions are not finite at timestep {self.timesteps}: lower the step size.")
            return np.clip(taken, space.low, space.high).astype(space.dtype)
        return taken


class Algorithm(ABC):
    """What learns. Set `policy` in the constructor, which is called with the task and the spec's `kwargs`."""

    discount: ClassVar[float] = 0.99
    """Of rewards, per timestep; the critic is compared with what really came by it."""

    output: str | None = None
    """What `policy` answers for each observation, as `belay_api.artifact.Output` has it. None: for a Discrete space
    `logits`, one number an action; for a Box `mean`, the action itself, (batch, size of the action). Others are
    `q-values`; `gaussian`, means and then logarithms of standard deviations, (batch, 2 * size); and
    `squashed-gaussian`, the same before a tanh between the bounds. Served and evaluated is the greedy action: the
    largest number, or the mean."""

    policy: torch.nn.Module
    """From raw observations (batch, *observation), of the space's dtype, to `output`, float. It is traced for export:
    no branch may depend on values. Statistics by which it scales its input are buffers of it. Everything it is must be
    in its state_dict()."""

    critic: torch.nn.Module | None = None
    """From raw observations to the expected discounted return (batch,); None: there is none. With one, rollouts of the
    policy need fewer episodes, and the diagnosis compares it with what really came."""

    @abstractmethod
    def learn(self, task: Task) -> Mapping[str, float] | None:
        """Play at least one timestep and learn from it: one round, after which the training may be cut.

        Short rounds make for exact evaluations and quick saves: they happen between two of them. One round is usually
        what an update needs: some episodes, or some hundred timesteps.

        Returns: Figures for curves by name, such as `policy_loss`, `entropy` or `kl`; None: there are none. One that
            ends with `loss` and is not finite ends the training as diverged.
        """

    def state(self) -> Any:
        """Return all that a resumed training needs, between two rounds: it is pickled at once, and not changed.

        Unless overridden every attribute but the task. Override it for what cannot be pickled, and to leave out what is
        large and can be worked out again.
        """
        return {name: value for name, value in vars(self).items() if not isinstance(value, Task)}

    def restore(self, state: Any) -> None:
        """Take up what `state` returned, in an object that was just made."""
        vars(self).update(state)
