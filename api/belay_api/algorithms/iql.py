"""Implicit Q-learning."""

from typing import Annotated

from pydantic import Field

from belay_api.algorithms.common import Mixing, Weight
from belay_api.algorithms.offline import OfflineSettings


class IQLSettings(OfflineSettings):
    """Implicit Q-learning, from a dataset, for discrete and continuous actions; unset: the preset's."""

    expectile: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Which expectile of the logged actions' values a state is worth: .5 is their mean, towards 1 their best."""
    temperature: Weight | None = None
    """How much better actions are preferred: they count exp(temperature · advantage) times; 0 is behaviour cloning."""
    max_weight: Annotated[float, Field(gt=0)] | None = None
    """The most that an action counts."""
    tau: Mixing | None = None
    """How far the target networks move towards the trained ones at each gradient step."""
