"""Proximal policy optimisation."""

from typing import Annotated

from pydantic import Field

from belay_api.algorithms.common import BatchSize, OnPolicySettings, Schedule, StateDependentNoiseSettings


class ClippedSettings(OnPolicySettings):
    """What PPO and its kin have: no update moves the policy far."""

    batch_size: BatchSize | None = None
    """Samples per gradient step."""
    n_epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Passes over each batch of experience."""
    clip_range: Annotated[float, Field(gt=0, le=1)] | None = None
    """How far one update may move the policy, at the first timestep."""
    clip_range_schedule: Schedule | None = None
    """`constant`, or `linear`: falling to 0 with the budget."""
    target_kl: Annotated[float, Field(gt=0)] | None = None
    """KL divergence from the policy that collected: where a gradient step would begin beyond 1.5 times that, the update
    ends; unset: no update ends early."""


class PPOSettings(ClippedSettings, StateDependentNoiseSettings):
    """Proximal policy optimisation, on-policy, for discrete and continuous actions; unset: the preset's."""
