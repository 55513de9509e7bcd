"""What the settings of several algorithms share. Names are Stable-Baselines3's, so they keep its spelling."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from belay_api.model import Model

LearningRate = Annotated[float, Field(gt=0, le=1)]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]
Gamma = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Steps = Annotated[int, Field(ge=1, le=1_000_000)]
BufferSize = Annotated[int, Field(ge=1, le=100_000_000)]
Layers = Annotated[list[Annotated[int, Field(ge=1, le=8192)]], Field(min_length=1, max_length=8)]


class Schedule(StrEnum):
    """How a setting changes over the budget."""

    CONSTANT = "constant"
    LINEAR = "linear"
    """Falls linearly to 0."""


class Settings(Model):
    """What every algorithm has."""

    model_config = {"alias_generator": None}

    net_arch: Layers | None = None
    """Hidden layer sizes of the policy and value networks; after a convolutional network where observations are
    images."""
    learning_rate: LearningRate | None = None
    """Step size of the optimiser at the first timestep."""
    gamma: Gamma | None = None
    """Discount per timestep."""


class OnPolicySettings(Settings):
    """What algorithms have that learn from their newest experience alone."""

    learning_rate_schedule: Schedule | None = None
    """`constant`, or `linear`: falling to 0 with the budget."""
    n_steps: Steps | None = None
    """Timesteps per environment copy between updates."""
    gae_lambda: Share | None = None
    """Bias against variance in the advantage estimate."""
    ent_coef: Weight | None = None
    """Weight of the entropy bonus."""


class OffPolicySettings(Settings):
    """What algorithms have that learn from a buffer of past experience."""

    batch_size: BatchSize | None = None
    """Samples per gradient step."""
    buffer_size: BufferSize | None = None
    """Transitions kept for replay."""
    learning_starts: Annotated[int, Field(ge=0)] | None = None
    """Timesteps collected before the first update."""
    train_freq: Steps | None = None
    """Timesteps between updates."""
    gradient_steps: Steps | None = None
    """Gradient steps per update."""
