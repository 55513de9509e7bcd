"""Proximal policy optimisation."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from belay_api.algorithms.common import BatchSize, Gamma, LearningRate, Settings


class Schedule(StrEnum):
    """How a setting changes over the budget."""

    CONSTANT = "constant"
    LINEAR = "linear"
    """Falls linearly to 0."""


class PPOSettings(Settings):
    """Proximal policy optimisation, on-policy, for discrete and continuous actions; unset: the preset's."""

    learning_rate: LearningRate | None = None
    """Step size of the optimiser at the first timestep."""
    learning_rate_schedule: Schedule | None = None
    """`constant`, or `linear`: falling to 0 with the budget."""
    batch_size: BatchSize | None = None
    """Samples per gradient step."""
    gamma: Gamma | None = None
    """Discount per timestep."""
    n_steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Timesteps per environment copy between updates."""
    n_epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Passes over each batch of experience."""
    gae_lambda: Annotated[float, Field(ge=0, le=1)] | None = None
    """Bias against variance in the advantage estimate."""
    clip_range: Annotated[float, Field(gt=0, le=1)] | None = None
    """How far one update may move the policy, at the first timestep."""
    clip_range_schedule: Schedule | None = None
    """`constant`, or `linear`: falling to 0 with the budget."""
    ent_coef: Annotated[float, Field(ge=0)] | None = None
    """Weight of the entropy bonus."""
