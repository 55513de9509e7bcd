"""Soft actor-critic."""

from belay_api.algorithms.common import MaximumEntropySettings, Mixing


class SACSettings(MaximumEntropySettings):
    """Soft actor-critic, off-policy, for continuous actions; unset: the preset's."""

    tau: Mixing | None = None
    """How far the target network moves towards the critic at each gradient step."""
