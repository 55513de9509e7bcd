"""Adversarial training: an attack changes a share of the observations that a policy is trained on.

Which disturbance. The adversary is the gradient attack of the gate `worstCase` on the policy as it is at that moment.
It changes observations within a bound, and neither the world nor the reward (a state-adversarial MDP, in the words of
Zhang et al.). It learns nothing: robust adversarial RL (RARL), whose second policy pushes the world, is another method.

Where it stands. Around the copies of the task and inside of what scales observations. So the library acts on what the
attack shows, and learns values and keeps a replay of that. Returns, rewards and episodes are the environment's own.

Who is published. The policy, from the checkpoint that returned most under the attack: evaluations during the training
play it behind `Adversary.against`. The last measurement is undisturbed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from belay_api.adversary import AdversarySpec
from belay_trainer.attack import Attack, Network
from belay_trainer.evaluate import Policy

_STREAM = 2  # beside the training's seed: not the numbers of draws or of exploration


class Adversary(VecEnvWrapper):
    """Copies of a task behind the attack.

    Source: Pattanaik, Tang, Liu, Bommannan & Chowdhary, "Robust deep reinforcement learning with adversarial attacks",
        AAMAS 2018 (arXiv:1712.03632): the agent is shown, in training, what a gradient attack on it makes of the state,
        and learns from that. For the problem: Zhang, Chen, Xiao, Li, Liu, Boning & Hsieh, "Robust deep reinforcement
        learning against adversarial perturbations on state observations", NeurIPS 2020.
    Departs: Pattanaik et al. move along the gradient by a drawn distance and take the worst of several; here the bound
        is epsilon. They begin with a trained agent, which is `initFrom` here (decision 067). The first observation
        after an update was chosen against the policy before it. The observation that an episode ends in is shown as it
        is.
    """

    def __init__(
        self, tasks: VecEnv, settings: AdversarySpec, attack: Attack, *, seed: int, network: Callable[[], Network]
    ) -> None:
        """Stand around these copies.

        Args:
            network: Returns what acts now, on raw observations, whenever it is asked.
        """
        super().__init__(tasks)
        self._settings, self._attack, self._network = settings, attack, network
        self._seen = RunningMeanStd(shape=tasks.observation_space.shape or ())  # of what the task shows
        self._generator = np.random.default_rng([seed, _STREAM])

    def reset(self) -> Any:
        """Begin an episode in each copy."""
        return self._shown(self.venv.reset())

    def step_wait(self) -> Any:
        """Step each copy."""
        observations, rewards, dones, infos = self.venv.step_wait()
        return self._shown(observations), rewards, dones, infos

    def against(self, policy: Policy) -> Policy:
        """Return the policy behind the attack, which changes every observation, within the bound as it is now."""
        network = self._network()
        return _Attacked(policy, lambda observations: self._changed(network, observations))

    def state(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {"seen": dict(vars(self._seen)), "generator": self._generator.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        vars(self._seen).update(state["seen"])
        self._generator.bit_generator.state = state["generator"]

    def _shown(self, observations: np.ndarray) -> np.ndarray:
        self._seen.update(observations)
        chosen = self._generator.random(len(observations)) < self._settings.share
        if not chosen.any():
            return observations
        shown = observations.copy()
        shown[chosen] = self._changed(self._network(), observations[chosen])
        return shown

    def _changed(self, network: Network, observations: np.ndarray) -> np.ndarray:
        shown, _ = self._attack.changed(network, observations, self._settings.epsilon * np.sqrt(self._seen.var))
        return shown


class _Attacked:
    """A `Policy` that acts on what the attack shows it."""

    def __init__(self, policy: Policy, changed: Callable[[np.ndarray], np.ndarray]) -> None:
        self._policy, self._changed = policy, changed

    def predict(self, observation: np.ndarray, **how: Any) -> tuple[np.ndarray, object]:
        """See `Policy`."""
        return self._policy.predict(self._changed(observation), **how)
