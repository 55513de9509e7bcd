"""Deep Q-learning."""

from belay_api.algorithms.common import QLearningSettings


class DQNSettings(QLearningSettings):
    """Deep Q-learning, off-policy, for discrete actions; unset: the preset's."""
