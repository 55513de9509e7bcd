"""Deep Q-learning."""

from typing import Annotated

from pydantic import Field

from belay_api.algorithms.common import OffPolicySettings, Share, Steps


class DQNSettings(OffPolicySettings):
    """Deep Q-learning, off-policy, for discrete actions; unset: the preset's."""

    target_update_gradient_steps: Steps | None = None
    """Gradient steps between updates of the target network. Counted in gradient steps, not timesteps: counted in
    timesteps the same number makes DQN diverge."""
    exploration_steps: Annotated[int, Field(ge=1)] | None = None
    """Timesteps over which epsilon falls to its final value."""
    exploration_initial_eps: Share | None = None
    """Epsilon at the first timestep."""
    exploration_final_eps: Share | None = None
    """Epsilon after `exploration_steps`."""
