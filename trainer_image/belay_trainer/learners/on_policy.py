"""PPO and A2C: an update uses what was collected since the one before, then forgets it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy

from belay_trainer.learners.stable_baselines import StableBaselines

OUTPUTS = {
    "discrete": "logits",
    "box": "gaussian",
    "multi-discrete": "multi-categorical",
    "multi-binary": "bernoulli",
}  # by kind of action


class OnPolicy(StableBaselines):
    """Actor-critics that share one network for both, or the observations alone."""

    actions = frozenset(OUTPUTS)
    outputs: ClassVar[Mapping[str, str]] = OUTPUTS
    _learned_from: tuple[np.ndarray, np.ndarray] | None = None  # values and actions of the latest update, (step, copy)

    @property
    def output(self) -> str:
        """What the actor's outputs are."""
        return self.outputs[self.kind]

    def _iterate(self) -> None:
        model: Any = self.model
        model.collect_rollouts(model.env, self._hook, model.rollout_buffer, n_rollout_steps=model.n_steps)
        model._update_current_progress_remaining(model.num_timesteps, model._total_timesteps)
        model.train()
        self._learned_from = model.rollout_buffer.values, model.rollout_buffer.actions  # made anew for each collection

    def _critic_metrics(self) -> dict[str, float]:
        if self._learned_from is None or self.shaped:
            return {}
        return {"value": float(self._learned_from[0].mean()) * self._reward_scale()}

    def _learned_observations(self) -> Sequence[Any]:
        return (self.model.rollout_buffer.observations,)

    def _latest_actions(self) -> np.ndarray | None:
        if self._learned_from is None:
            return None
        actions = self._learned_from[1]
        return actions.reshape(-1, actions.shape[-1])

    def _gradient_steps(self) -> int:
        model: Any = self.model  # counts epochs
        return model._n_updates * math.ceil(model.n_steps * model.n_envs / model.batch_size)

    def _actor(self, policy: Any) -> torch.nn.Module:
        return _Actor(policy, gaussian=self.kind == "box")

    def _value(self, policy: Any) -> torch.nn.Module:
        return _Value(policy)


class _Actor(torch.nn.Module):
    """Observations to logits, of all choices behind one another, or to means and logarithms of standard deviations."""

    def __init__(self, policy: Any, *, gaussian: bool) -> None:
        super().__init__()
        self.policy = policy
        self.gaussian = gaussian

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        # As the base class has it: the policy's own gives the critic's features as well where the two are not shared.
        features = BasePolicy.extract_features(self.policy, observation, self.policy.pi_features_extractor)
        return outputs(self.policy, features, gaussian=self.gaussian)


def outputs(policy: Any, latent: torch.Tensor, *, gaussian: bool) -> torch.Tensor:
    """Return what the head reads. Args: latent: What goes into the actor's own layers."""
    acting = policy.mlp_extractor.forward_actor(latent)
    output = policy.action_net(acting)
    return torch.cat([output, _log_std(policy, acting).expand_as(output)], dim=1) if gaussian else output


def _log_std(policy: Any, acting: torch.Tensor) -> torch.Tensor:
    """Return the logarithms of the standard deviations, (1 or batch, numbers of an action).

    Source: Raffin et al., "Smooth Exploration for Robotic Reinforcement Learning", CoRL 2021, for the noise that
    depends on what is seen: of a linear function of it whose weights are drawn.
    """
    if not policy.use_sde:
        return policy.log_std
    noise = policy.action_dist
    return 0.5 * torch.log(torch.mm(acting**2, noise.get_std(policy.log_std) ** 2) + noise.epsilon)


class _Value(torch.nn.Module):
    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.policy.predict_values(observation)[:, 0]
