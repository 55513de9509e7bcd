"""What the settings of several algorithms share. Names are Stable-Baselines3's, so they keep its spelling."""

from typing import Annotated

from pydantic import Field

from belay_api.model import Model

LearningRate = Annotated[float, Field(gt=0, le=1)]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]
Gamma = Annotated[float, Field(ge=0, le=1)]


class Settings(Model):
    """What every algorithm has."""

    model_config = {"alias_generator": None}

    net_arch: Annotated[list[Annotated[int, Field(ge=1, le=8192)]], Field(min_length=1, max_length=8)] | None = None
    """Hidden layer sizes of the policy and value networks."""
