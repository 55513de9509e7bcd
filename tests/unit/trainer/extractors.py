"""A network of a user's own, for `policy_kwargs`."""

import gymnasium
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor


class Doubled(BaseFeaturesExtractor):
    """Observations and their squares."""

    def __init__(self, observation_space: gymnasium.Space, factor: float = 1.0) -> None:
        super().__init__(observation_space, features_dim=2 * observation_space.shape[0])
        self.factor = factor

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return torch.cat([observations, self.factor * observations**2], dim=1)
