"""The reward that is learned from, in place of the environment's own; in the copies that experience is collected in.

    r'  =  Σ weight · component  +  γ·Φ(s') - Φ(s)

Potentials: with Φ of what follows a termination taken as 0, the added terms of an episode that ends add up, discounted,
to -Φ of its first observation whatever is done in it, so that no policy gains over another. An episode that is cut from
outside keeps Φ of its last observation: what would have followed is bootstrapped by the learner, whose value there is
less by that same Φ. Nothing is centred: a constant taken from each reward makes long episodes worse, which is another
task. Nothing here has statistics: rewards are scaled by `normalize.reward` alone, afterwards, and cut last.

Source: Ng, Harada, Russell, "Policy invariance under reward transformations", ICML 1999, theorem 1; for Φ at the end of
episodes Grześ, "Reward shaping in episodic reinforcement learning", AAMAS 2017.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from belay_api.environment import OWN_REWARD, EnvironmentSpec, RewardSpec
from belay_trainer.errors import BadConfiguration
from belay_trainer.wrapping.costs import Costed
from belay_trainer.wrapping.info import number
from belay_trainer.wrapping.named import imported

Environment = gymnasium.Env[Any, Any]
Around = Callable[[Environment], Environment]
Potential = Callable[[Any], float]
OWN = "belay.reward"
"""Key in `info` of the environment's own reward, where another one is learned from."""
SHAPED_RETURN, COMPONENT, POTENTIAL = "shaped_return", "component/", "potential"
"""Among the figures of an episode: the sum of what was learned from, of each weighted component, of the potentials."""
_FIELD = "environment.reward"


def around(task: EnvironmentSpec, *, discount: float, scaled: bool) -> Around:
    """Return what stands around each copy that experience is collected in, and counts its returns already.

    Args:
        discount: The algorithm's.
        scaled: Rewards are scaled afterwards, so that whoever scales them cuts them.
    Raises: BadConfiguration when there is no such potential.
    """
    spec, clip = task.reward, None if scaled else task.reward.clip
    potential = _potential(spec.potential)

    def put(environment: Environment) -> Environment:
        if task.constraints:
            environment = Costed(environment, task.constraints)
        if spec.shapes or clip is not None:
            environment = Shaped(environment, spec, potential, discount=discount, clip=clip)
        return environment

    return put


def own(rewards: np.ndarray, infos: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the environment's own rewards of one step of the vector, (copy,), where others may be learned from."""
    if not any(OWN in info for info in infos):
        return rewards
    return np.array([info[OWN] for info in infos], dtype=rewards.dtype)


class Shaped(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Answers the reward that is learned from."""

    def __init__(
        self,
        environment: Environment,
        spec: RewardSpec,
        potential: Potential | None,
        *,
        discount: float,
        clip: float | None = None,
    ) -> None:
        """Args: clip: Largest size of what is answered; None: any."""
        super().__init__(environment)
        self._weights = {OWN_REWARD: 1.0} | spec.components
        self._potential, self._discount, self._clip = potential, discount, clip
        self._before = 0.0  # Φ of the latest observation
        self._sums: dict[str, float] = {}

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(**kwargs)
        self._before = self._of(observation)
        self._sums = {}
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Answer with the reward that is learned from; `info` has the environment's own."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        parts = {
            f"{COMPONENT}{name}": weight * self._part(name, float(reward), info)
            for name, weight in self._weights.items()
        }
        if self._potential is not None:
            after = 0.0 if terminated else self._of(observation)
            parts[POTENTIAL] = self._discount * after - self._before
            self._before = after
        shaped = sum(parts.values())
        if self._clip is not None:
            shaped = min(max(shaped, -self._clip), self._clip)
        info[OWN] = float(reward)
        for name, part in (*parts.items(), (SHAPED_RETURN, shaped)):
            self._sums[name] = self._sums.get(name, 0.0) + part
        if "episode" in info:
            info["episode"] |= self._sums
        return observation, shaped, terminated, truncated, info

    def _part(self, name: str, reward: float, info: dict[str, Any]) -> float:
        return reward if name == OWN_REWARD else number(info, name, field=f"{_FIELD}.components.{name}")

    def _of(self, observation: Any) -> float:
        if self._potential is None:
            return 0.0
        try:
            found = float(self._potential(observation))
        except Exception as error:  # whatever a user's function raises
            raise BadConfiguration(f"{_FIELD}.potential fails: {type(error).__name__}: {error}") from error
        if not math.isfinite(found):
            raise BadConfiguration(f"{_FIELD}.potential is {found} for an observation: wanted a finite number.")
        return found


def _potential(name: str | None) -> Potential | None:
    if name is None:
        return None
    found: Potential = imported(name, field=f"{_FIELD}.potential", what="a function of one observation", fits=callable)
    return found
