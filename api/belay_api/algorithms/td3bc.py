"""TD3 with behaviour cloning."""

from typing import Annotated

from pydantic import Field

from belay_api.algorithms.common import Mixing, Weight
from belay_api.algorithms.offline import OfflineSettings


class TD3BCSettings(OfflineSettings):
    """TD3 with behaviour cloning, from a dataset, for continuous actions; unset: the preset's."""

    alpha: Annotated[float, Field(gt=0)] | None = None
    """Weight of the values against that of the logged actions, where values are of mean size 1."""
    tau: Mixing | None = None
    """How far the target networks move towards the trained ones at each of their updates."""
    policy_delay: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Gradient steps of the critics per update of the policy and the target networks."""
    target_policy_noise: Weight | None = None
    """Standard deviation of the noise on the target policy's actions, where 1 is half of the action's range."""
    target_noise_clip: Weight | None = None
    """Bound of that noise."""
