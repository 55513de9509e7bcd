"""Which actions are allowed now, as a task says it: in one form however it does.

A task says it by a method `action_masks()` (as Stable-Baselines3 Contrib has it), by a key `action_mask` in its
observation, or by one in its info (as Gymnasium's Taxi has it). The form is a row of booleans, one for each output of
the network: for several choices at once those of the first, then those of the second, and so on; for switches off and
on of the first, then of the second.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from belay_api.spaces import array_space
from belay_heads import Head, head_of
from belay_heads.masked import allowed, first_without_choice
from belay_trainer.errors import BadConfiguration, EnvironmentFailed, TrainerError

METHOD, KEY = "action_masks", "action_mask"
OUTPUTS = {
    "discrete": "masked-logits",
    "multi-discrete": "masked-multi-categorical",
    "multi-binary": "masked-multi-categorical",
}
"""What a network under masks answers, by the kind of its actions."""

Environment = gymnasium.Env[Any, Any]


class Masking(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A task whose policy is told which actions are allowed."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._sizes = masked_head(environment).masks
        self._newest: tuple[Any, dict[str, Any]] = None, {}  # observation and info

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self._newest = self.env.reset(**how)
        return self._newest

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Act."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._newest = observation, info
        return observation, reward, terminated, truncated, info

    def action_masks(self) -> np.ndarray:
        """Return (outputs,) of booleans; the library asks for it by this name. Raises: BadConfiguration."""
        mask = mask_of(self.env, *self._newest)
        if mask is None:
            raise BadConfiguration(
                "environment.id: algorithm.maskablePPO has to know which actions are allowed, and the task does not "
                f"say: give it a method {METHOD}(), a key {KEY!r} in a Dict observation, or one in the info of reset "
                "and step. Where every action is always allowed, use ppo."
            )
        return row_of(mask, self._sizes)


def mask_of(environment: Environment, observation: Any, info: dict[str, Any]) -> Any:
    """Return the mask of a task as the task has it; None: it has none. Raises: EnvironmentFailed."""
    if environment.has_wrapper_attr(METHOD):
        try:
            return environment.get_wrapper_attr(METHOD)()
        except TrainerError:
            raise  # of `Masking`, whose words say more than that a method failed
        except Exception as error:
            raise EnvironmentFailed(f"environment.id: {METHOD}() failed", error) from error
    if isinstance(observation, dict) and KEY in observation:
        return observation[KEY]
    return info.get(KEY)


def row_of(mask: Any, sizes: tuple[int, ...]) -> np.ndarray:
    """Return a mask (outputs,) of booleans.

    Args:
        mask: As the task has it: one array, or one for each choice.
        sizes: The head's `masks`.
    Raises: BadConfiguration when it has another length, or allows nothing of some choice.
    """
    parts = mask if isinstance(mask, tuple | list) else [mask]
    row = np.concatenate([np.ravel(part) for part in parts])
    if row.size != sum(sizes):
        raise BadConfiguration(
            f"environment.id: a mask has {row.size} entries, wanted {sum(sizes)}, one for each action"
            + (f" of its choices of {list(sizes)}." if len(sizes) > 1 else ".")
        )
    row = row.astype(np.bool_)
    choice = first_without_choice(row, sizes)
    if choice is not None:
        of = f" of choice {choice}" if len(sizes) > 1 else ""
        raise BadConfiguration(f"environment.id: a mask allows no action{of}: end the episode there instead.")
    return row


def masked_head(environment: Environment) -> Head:
    """Return the head under masks for the actions of a task. Raises: BadConfiguration where they take none."""
    try:
        action = array_space(environment.action_space)
    except ValueError as error:
        raise BadConfiguration(f"environment.id: {error}") from error
    if action.kind not in OUTPUTS:
        raise BadConfiguration(
            f"algorithm.maskablePPO does not learn for the actions of this task, {environment.action_space}: a mask "
            "forbids choices. Use ppo, and bounds."
        )
    return head_of(OUTPUTS[action.kind], action)


def arguments(environments: Sequence[Environment]) -> dict[str, np.ndarray]:
    """Return what a policy is given beside observations: `action_masks` (environment, outputs), or nothing."""
    masks = [one.action_masks() for one in environments if isinstance(one, Masking)]
    return {METHOD: np.stack(masks)} if masks else {}


def any_action(
    environment: Environment, observation: Any, info: dict[str, Any], *, generator: np.random.Generator
) -> Any:
    """Return a random action, of those that the task allows where it says which: any other may be an error there."""
    mask = mask_of(environment, observation, info)
    if mask is None or array_space(environment.action_space).kind not in OUTPUTS:
        return environment.action_space.sample()
    head = masked_head(environment)
    return uniform(head, row_of(mask, head.masks)[None], generator)[0]


def uniform(head: Head, masks: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return actions, each drawn uniformly from those its mask allows.

    Args:
        head: Under masks.
        masks: (batch, outputs).
    """
    return head.sample(allowed(np.zeros(masks.shape), masks), generator)
