"""Soft actor-critic with batch normalisation instead of target networks."""

from typing import Annotated

from pydantic import Field

from belay_api.algorithms.common import Layers, MaximumEntropySettings


class CrossQSettings(MaximumEntropySettings):
    """Soft actor-critic with batch normalisation instead of target networks, off-policy, for continuous actions; unset:
    the preset's.

    It needs fewer timesteps than SAC, and wider critics. There is no convolutional network for images.
    """

    batch_size: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    """Samples per gradient step; one alone has no variance to be normalised by."""
    critic_net_arch: Layers | None = None
    """Hidden layer sizes of the critics; unset: `net_arch`, or the preset's where that is unset too."""
    policy_delay: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Gradient steps of the critics per update of the policy."""
