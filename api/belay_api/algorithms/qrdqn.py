"""Deep Q-learning by quantile regression."""

from belay_api.algorithms.common import QLearningSettings, Quantiles, Schedule


class QRDQNSettings(QLearningSettings):
    """Deep Q-learning that learns how the discounted return of each action is distributed, off-policy, for discrete
    actions; unset: the preset's.

    The policy takes the action of the highest mean.
    """

    learning_rate_schedule: Schedule | None = None
    """`constant`, or `linear`: falling to 0 with the budget."""
    n_quantiles: Quantiles | None = None
    """Quantiles per action."""
