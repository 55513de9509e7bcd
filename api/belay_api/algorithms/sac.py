"""Soft actor-critic."""

from typing import Annotated

from pydantic import Field

from belay_api.algorithms.common import OffPolicySettings, Schedule


class SACSettings(OffPolicySettings):
    """Soft actor-critic, off-policy, for continuous actions; unset: the preset's."""

    learning_rate_schedule: Schedule | None = None
    """`constant`, or `linear`: falling to 0 with the budget."""
    tau: Annotated[float, Field(gt=0, le=1)] | None = None
    """How far the target network moves towards the critic at each gradient step."""
    ent_coef: Annotated[float, Field(gt=0)] | None = None
    """Weight of the entropy; unset: learned, so that the policy keeps a target entropy."""
