"""Twin delayed deep deterministic policy gradient."""

from typing import Annotated

from pydantic import Field

from belay_api.algorithms.common import Mixing, OffPolicySettings, Weight


class TD3Settings(OffPolicySettings):
    """Twin delayed deep deterministic policy gradient, off-policy, for continuous actions; unset: the preset's."""

    tau: Mixing | None = None
    """How far the target networks move towards the trained ones at each of their updates."""
    policy_delay: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Gradient steps of the critics per update of the policy and the target networks."""
    action_noise: Weight | None = None
    """Standard deviation of the Gaussian noise on actions during collection, where 1 is half of the action's range."""
    target_policy_noise: Weight | None = None
    """Standard deviation of the noise on the target policy's actions."""
    target_noise_clip: Weight | None = None
    """Bound of that noise."""
